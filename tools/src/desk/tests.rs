//! Who is let in, and what they are told.

use std::time::Duration;

use voxline_protocol::plivo::{PlivoSigner, UpgradeForm};

use super::*;

const TOKEN: &str = "an-auth-token";
const BASE: &str = "https://voice.example.com";
const CALL: &str = "CallUUID=c-1&From=14155550100&To=14155550199&Direction=inbound&CallStatus=ringing";

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn desk() -> FrontDesk {
    let verifier = PlivoVerifier::new(secret("an-older-token")).with_token(secret(TOKEN));
    FrontDesk::new(verifier, secret("key"), Origin::Fixed(BASE.to_owned()))
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A webhook as Plivo would post it.
fn post(path: &str, form: &str, nonce: &str) -> Request<Bytes> {
    let params = Params::from_form(form);
    let headers =
        PlivoSigner::new(secret(TOKEN)).sign(&Method::POST, &format!("{BASE}{path}"), &params, nonce);
    let mut request =
        Request::post(path).header("host", "10.0.0.1").body(Bytes::from(form.to_owned())).unwrap();
    request.headers_mut().extend(headers);
    request
}

fn dial(target: &str, nonce: Option<&str>) -> Request<Bytes> {
    let mut request = Request::get(target).body(Bytes::new()).unwrap();
    if let Some(nonce) = nonce {
        let url = format!("wss://voice.example.com{target}");
        let headers = PlivoSigner::new(secret(TOKEN)).sign_upgrade(&url, UpgradeForm::EXPECTED, nonce);
        request.headers_mut().extend(headers);
    }
    request
}

/// The target of the stream in an answer.
fn stream_in(verdict: Verdict) -> String {
    let Verdict::Answer(response) = verdict else { panic!("{verdict:?}") };
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    assert_eq!(response.status(), 200, "{body}");
    let (_, rest) = body.split_once(">wss://voice.example.com").unwrap();
    rest.split_once('<').unwrap().0.replace("&amp;", "&")
}

fn status(verdict: &Verdict) -> u16 {
    match verdict {
        Verdict::Answer(response)
        | Verdict::Respond(response)
        | Verdict::HungUp(_, response)
        | Verdict::Status(_, response) => response.status().as_u16(),
        Verdict::Stream(_) => 101,
    }
}

#[test]
fn the_answer_names_a_stream_that_its_call_may_open_three_times() {
    let (desk, now) = (desk(), now());
    let target = stream_in(desk.receive(now, &post("/answer", CALL, "1"), false));
    assert!(target.starts_with("/stream?call=c-1&token="), "{target}");
    for _ in 0..3 {
        let verdict = desk.receive(now, &dial(&target, None), true);
        assert!(matches!(&verdict, Verdict::Stream(Some(call)) if call.as_str() == "c-1"), "{verdict:?}");
    }
    assert_eq!(status(&desk.receive(now, &dial(&target, None), true)), 403, "used up");
    assert_eq!(status(&desk.receive(now, &dial(&target, Some("2")), true)), 101, "but a signature is enough");
    assert_eq!(status(&desk.receive(now, &dial(&target, Some("2")), true)), 403, "once");
}

#[test]
fn an_answer_by_get_is_signed_with_its_query() {
    let target = format!("/answer?{CALL}");
    let url = format!("{BASE}{target}");
    let headers = PlivoSigner::new(secret(TOKEN)).sign(&Method::GET, &url, &Params::new(), "1");
    let mut request = Request::get(&target).body(Bytes::new()).unwrap();
    request.headers_mut().extend(headers);
    assert!(stream_in(desk().receive(now(), &request, false)).contains("call=c-1"));
}

#[test]
fn what_plivo_did_not_sign_is_refused() {
    let (desk, now) = (desk(), now());
    let unsigned = Request::post("/answer").body(Bytes::from(CALL)).unwrap();
    assert_eq!(status(&desk.receive(now, &unsigned, false)), 403);
    let mut changed = post("/answer", CALL, "1");
    *changed.body_mut() = Bytes::from(CALL.replace("c-1", "c-2"));
    assert_eq!(status(&desk.receive(now, &changed, false)), 403, "another body");
    let request = post("/hangup", CALL, "2");
    assert_eq!(status(&desk.receive(now, &request, false)), 200);
    assert_eq!(status(&desk.receive(now, &request, false)), 403, "played again");
    assert_eq!(status(&desk.receive(now, &dial("/stream", None), true)), 403);
    assert_eq!(status(&desk.receive(now, &dial("/stream?call=c-1&token=0", None), true)), 403);
    let late = stream_in(desk.receive(now, &post("/answer", CALL, "3"), false));
    let tomorrow = now + Duration::from_secs(86_400);
    assert_eq!(status(&desk.receive(tomorrow, &dial(&late, None), true)), 403, "a token grows old");
}

#[test]
fn a_status_callback_is_read_and_rubbish_is_not() {
    let (desk, now) = (desk(), now());
    let form = "Event=DegradedStream&CallUUID=c-1&StreamID=s-1&BufferLevel=60";
    let verdict = desk.receive(now, &post("/status", form, "1"), false);
    assert!(matches!(&verdict, Verdict::Status(callback, _) if callback.stream_id.as_str() == "s-1"));
    assert_eq!(status(&desk.receive(now, &post("/status", "Event=StopStream", "2"), false)), 400);
    assert_eq!(status(&desk.receive(now, &post("/elsewhere", "", "3"), false)), 404);
    assert_eq!(status(&desk.receive(now, &dial("/stream", None), false)), 426);
}

#[test]
fn without_a_token_only_this_machine_is_served() {
    let desk = FrontDesk::loopback(secret("key"), Origin::FromRequest { forwarded: false });
    for (host, expected) in [("127.0.0.1:8080", 101), ("localhost", 101), ("abc.tunnel.example", 403)] {
        let request = Request::get("/stream").header("host", host).body(Bytes::new()).unwrap();
        assert_eq!(status(&desk.receive(now(), &request, true)), expected, "{host}");
    }
}

//! The lobby: a browser gets its session and never the key, and nobody pays for one that never comes.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::time::sleep;
use voxline::lobby::{Lobby, LobbyLimits};
use voxline::simulate::agenthuman::AvatarSimulatorConfig;
use voxline_protocol::agenthuman::{AvatarApi, AvatarQuirk};
use voxline_protocol::{BaseUrl, Message, Secret};
use voxline_transport::{Connector, Endpoint, Incoming};

use crate::{Bench, revision_a};

const TOKEN: &str = "a-token-of-our-own-backend";

fn lobby(bench: &Bench, limits: LobbyLimits) -> Lobby {
    let key = Secret::new(AvatarSimulatorConfig::KEY).unwrap();
    let api = AvatarApi::new(key).with_base(BaseUrl::parse("http://127.0.0.1").unwrap());
    Lobby::new(bench.network.clone(), api, revision_a(), Secret::new(TOKEN).unwrap(), limits)
}

async fn ask(lobby: &Lobby, method: Method, path: &str, token: &str) -> Response<Bytes> {
    let request =
        Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    let response = lobby.respond(&request.body(Bytes::new()).unwrap()).await;
    let shown = format!("{response:?} {}", String::from_utf8_lossy(response.body()));
    assert!(!shown.contains(AvatarSimulatorConfig::KEY), "the key is in no answer: {shown}");
    assert_eq!(response.headers()["cache-control"], "no-store");
    response
}

async fn get(lobby: &Lobby) -> Response<Bytes> {
    ask(lobby, Method::GET, "/avatar/session", TOKEN).await
}

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_out_is_all_a_browser_needs() {
    let bench = Bench::new(&[]);
    let lobby = lobby(&bench, LobbyLimits::default());
    let response = get(&lobby).await;
    assert_eq!(response.status(), 200);
    let told = body(&response);
    let fields: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["access_token", "keep_s", "room", "session_id", "url", "video"]);

    // As a page would.
    let endpoint = Endpoint::parse(told["url"].as_str().unwrap()).unwrap();
    let mut link = bench.network.connector(endpoint).connect().await.unwrap();
    let init = json!({ "type": "session.init", "config": {
        "session_id": told["session_id"], "access_token": told["access_token"], "room": told["room"],
        "video_width": told["video"]["width"], "video_height": told["video"]["height"],
    }});
    link.send(Message::Text(init.to_string())).await.unwrap();
    let Some(Ok(Incoming::Text(answer))) = link.next().await else { panic!("no answer") };
    assert!(answer.as_str().contains("connection.established"), "{answer:?}");
    lobby.close().await;
    assert!(bench.service.running().is_empty());
    assert_eq!(get(&lobby).await.status(), 429, "a lobby that is closed hands out nothing");
}

#[tokio::test(start_paused = true)]
async fn without_the_token_nothing_is_asked_of_the_service() {
    let bench = Bench::new(&[]);
    let lobby = lobby(&bench, LobbyLimits::default());
    let bare = Request::get("/avatar/session").body(Bytes::new()).unwrap();
    assert_eq!(lobby.respond(&bare).await.status(), 401, "no token");
    for wrong in ["", "x", "a-token-of-our-own-backenD", "a-token-of-our-own-backend-and-more"] {
        for (method, path) in [
            (Method::GET, "/avatar/session"),
            (Method::POST, "/avatar/session/sess_1"),
            (Method::DELETE, "/avatar/session/sess_1"),
        ] {
            let response = ask(&lobby, method.clone(), path, wrong).await;
            assert_eq!(response.status(), 401, "{method} with `{wrong}`");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
        }
    }
    assert_eq!(bench.service.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_never_comes_costs_a_minute_and_one_that_stays_is_kept() {
    let bench = Bench::new(&[]);
    let lobby = lobby(&bench, LobbyLimits::default());
    let id = body(&get(&lobby).await)["session_id"].as_str().unwrap().to_owned();
    let path = format!("/avatar/session/{id}");
    for _ in 0..20 {
        sleep(Duration::from_secs(45)).await;
        assert_eq!(ask(&lobby, Method::POST, &path, TOKEN).await.status(), 200);
    }
    assert_eq!(bench.service.running(), [id], "kept for a quarter of an hour");
    sleep(Duration::from_secs(61)).await;
    assert!(bench.service.running().is_empty(), "and ended once nobody keeps it");
    assert_eq!(ask(&lobby, Method::POST, &path, TOKEN).await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn no_more_sessions_are_open_or_created_than_was_said() {
    let bench = Bench::new(&[]);
    let lobby = lobby(&bench, LobbyLimits::default().with_sessions(NonZeroUsize::MIN));
    let first = body(&get(&lobby).await)["session_id"].as_str().unwrap().to_owned();
    let refused = get(&lobby).await;
    assert_eq!((refused.status().as_u16(), bench.created()), (429, 1));
    assert!(refused.headers().contains_key("retry-after"));
    let gone = ask(&lobby, Method::DELETE, &format!("/avatar/session/{first}"), TOKEN).await;
    assert_eq!(gone.status(), 200);
    assert!(bench.service.running().is_empty(), "it is over when the answer comes");
    for _ in 1..6 {
        let response = get(&lobby).await;
        assert_eq!(response.status(), 200);
        let id = body(&response)["session_id"].as_str().unwrap().to_owned();
        ask(&lobby, Method::DELETE, &format!("/avatar/session/{id}"), TOKEN).await;
    }
    assert_eq!((get(&lobby).await.status().as_u16(), bench.created()), (429, 6), "six a minute");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(get(&lobby).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn any_number_of_sessions_may_be_open_if_somebody_pays_for_them() {
    let bench = Bench::new(&[]);
    let lobby = lobby(&bench, LobbyLimits::default().with_sessions(NonZeroUsize::MAX));
    assert_eq!(get(&lobby).await.status(), 200);
    lobby.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_is_told_by_its_code_in_plain_words() {
    let bench = Bench::new(&[AvatarQuirk::AlwaysTryAgain]);
    let response = get(&lobby(&bench, LobbyLimits::default())).await;
    assert_eq!(response.status(), 502);
    let told = body(&response);
    assert_eq!(told["error"]["code"], "agenthuman/start-timeout");
    assert_eq!(told["error"]["message"], "The avatar is busy right now. We are trying again.");
    assert_eq!((bench.created(), bench.service.running().len()), (1, 0), "an error is told after the end");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_being_made_when_the_lobby_closes_is_ended_first() {
    for millis in [0, 1, 500, 3_000] {
        let bench = Bench::new(&[AvatarQuirk::AlwaysTryAgain]);
        let lobby = lobby(&bench, LobbyLimits::default());
        let closing = async {
            sleep(Duration::from_millis(millis)).await;
            lobby.close().await;
            assert!(bench.service.running().is_empty(), "closed after {millis} ms");
        };
        let (response, ()) = tokio::join!(get(&lobby), closing);
        assert_eq!(response.status(), 502, "closed after {millis} ms");
        sleep(Duration::from_secs(60)).await;
        assert!(bench.service.running().is_empty(), "closed after {millis} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_ended_keeps_its_place_until_it_is() {
    let mut bench = Bench::new(&[]);
    let lobby = lobby(&bench, LobbyLimits::default().with_sessions(NonZeroUsize::MIN));
    let id = body(&get(&lobby).await)["session_id"].as_str().unwrap().to_owned();
    let path = format!("/avatar/session/{id}");
    bench.hang_up().await;
    let told = ask(&lobby, Method::DELETE, &path, TOKEN).await;
    assert!(matches!(told.status().as_u16(), 202 | 502), "{told:?}");
    assert_eq!(
        ask(&lobby, Method::POST, &path, TOKEN).await.status(),
        404,
        "what is being ended is not kept"
    );
    sleep(Duration::from_secs(300)).await;
    assert_eq!((get(&lobby).await.status().as_u16(), bench.service.running().len()), (429, 1));
    bench.serve();
    bench.nothing_runs("the service is back").await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(get(&lobby).await.status(), 200);
    lobby.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_lobby_closes_in_time_though_its_sessions_cannot_be_ended() {
    let mut bench = Bench::new(&[]);
    let lobby = lobby(&bench, LobbyLimits::default());
    assert_eq!(get(&lobby).await.status(), 200);
    bench.hang_up().await;
    let began = tokio::time::Instant::now();
    lobby.close().await;
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_lobby_that_is_dropped_ends_what_it_handed_out() {
    let bench = Bench::new(&[]);
    let lobby = lobby(&bench, LobbyLimits::default());
    get(&lobby).await;
    drop(lobby);
    bench.nothing_runs("dropped").await;
}

//! The REST calls against the simulated service, over values.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Response;
use voxline_protocol::Secret;
use voxline_protocol::agenthuman::{
    ApiError, AvatarApi, AvatarCall, AvatarDesk, AvatarDeskConfig, AvatarQuirk, CallAnswer, CallStep,
    CreateSession, HostedStatus, Revision, RoomAccess, SessionInfo, VideoSize,
};
use voxline_protocol::daily::{RoomUrl, TokenClaims};

use crate::pair::instant;

/// A service, a client for it, and the time.
struct Bench {
    desk: AvatarDesk,
    api: AvatarApi,
    now: Instant,
    begin: Instant,
    requests: Vec<String>,
}

impl Bench {
    fn new(quirks: &[AvatarQuirk]) -> Self {
        let mut config = AvatarDeskConfig::new("ah_test_1", "wss://gpu.example");
        config.quirks = quirks.to_vec();
        let now = instant();
        let api = AvatarApi::new(Secret::new("ah_test_1").unwrap());
        Self { desk: AvatarDesk::new(config), api, now, begin: now, requests: Vec::new() }
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000) + (self.now - self.begin)
    }

    fn run(&mut self, mut call: AvatarCall) -> Result<CallAnswer, ApiError> {
        loop {
            match call.step(self.now) {
                CallStep::Done(answer) => return Ok(answer),
                CallStep::Wait(at) => self.now = at,
                CallStep::Send(request) => {
                    self.requests.push(format!("{} {}", request.method(), request.uri().path()));
                    let wall = self.wall();
                    let response = self.desk.handle(wall, &request);
                    call.handle_response(self.now, &response)?;
                }
            }
        }
    }

    fn created(&mut self, session: &CreateSession) -> SessionInfo {
        let call = self.api.create(session);
        match self.run(call) {
            Ok(CallAnswer::Session(info)) => *info,
            other => panic!("{other:?}"),
        }
    }

    fn start(&mut self, id: &str) -> Result<CallAnswer, ApiError> {
        let call = self.api.start(id);
        self.run(call)
    }

    fn end(&mut self, id: &str) -> Result<CallAnswer, ApiError> {
        let call = self.api.end(id);
        self.run(call)
    }
}

fn own_room() -> RoomAccess {
    RoomAccess::daily("https://mine.daily.co/demo", Secret::new("jwt").unwrap())
}

#[test]
fn a_session_of_revision_a_lives_from_create_to_end() {
    let mut bench = Bench::new(&[]);
    let info = bench.created(&CreateSession::revision_a("avat_1"));
    assert_eq!((info.status, info.revision), (HostedStatus::Created, Some(Revision::A)));
    assert_eq!(bench.desk.running().count(), 0, "nothing is paid for before the start");

    let Ok(CallAnswer::Started { ws_uri, expiration }) = bench.start(&info.session_id) else { panic!() };
    assert_eq!(ws_uri, "wss://gpu.example/s/1");
    assert!(expiration.unwrap() > bench.wall());
    assert!(bench.now > bench.begin, "it waited after `try_again`");
    assert_eq!(bench.desk.running().count(), 1);

    let session = info.to_session(None, VideoSize::default(), bench.now, bench.wall()).unwrap();
    assert_eq!(session.revision(), Revision::A);
    assert_eq!(bench.end(&info.session_id), Ok(CallAnswer::Ended));
    assert_eq!(bench.end(&info.session_id), Ok(CallAnswer::Ended), "ending twice is harmless");
    assert_eq!(bench.desk.running().count(), 0);
    let path = "/v1/sessions/sess_1";
    let expected = [
        "POST /v1/sessions".to_owned(),
        format!("PUT {path}/start"),
        format!("PUT {path}/start"),
        format!("POST {path}/end"),
        format!("POST {path}/end"),
    ];
    assert_eq!(bench.requests, expected);
}

#[test]
fn a_session_of_revision_b_is_started_by_its_creation() {
    let mut bench = Bench::new(&[]);
    let info = bench.created(&CreateSession::revision_b("avat_1", own_room()));
    assert_eq!((info.status, info.revision), (HostedStatus::Started, Some(Revision::B)));
    let session = info.to_session(None, VideoSize::default(), bench.now, bench.wall()).unwrap();
    assert_eq!(session.expires_at, Some(bench.now + Duration::from_secs(4 * 3600)));
    let hosted = bench.desk.hosted(7, bench.now, bench.wall());
    assert!(hosted[0].is_assigned_here, "every server holds every session");
}

#[test]
fn the_room_of_revision_a_passes_our_own_checks_and_is_read_again_where_create_leaves_it_out() {
    let mut bench = Bench::new(&[AvatarQuirk::NoRoomInCreate]);
    let info = bench.created(&CreateSession::revision_a("avat_1"));
    let refused = info.to_session(None, VideoSize::default(), bench.now, bench.wall());
    assert_eq!(refused.unwrap_err(), ApiError::NoRoom);
    let call = bench.api.get(&info.session_id);
    let Ok(CallAnswer::Session(again)) = bench.run(call) else { panic!() };
    assert_eq!(again.secret, None, "the secret is shown once");
    let room = again.room.unwrap();
    let (url, _) = RoomUrl::parse(&room.url).unwrap();
    let claims = TokenClaims::decode(&room.token).unwrap();
    assert_eq!(claims.check(&url, bench.wall(), Duration::from_secs(3600)), []);
    assert!(info.to_session(Some(room), VideoSize::default(), bench.now, bench.wall()).is_ok());
}

#[test]
fn the_other_verb_is_tried_once() {
    let mut bench = Bench::new(&[AvatarQuirk::StartByPost, AvatarQuirk::EndByPut]);
    let info = bench.created(&CreateSession::revision_a("avat_1"));
    assert!(bench.start(&info.session_id).is_ok());
    assert_eq!(bench.end(&info.session_id), Ok(CallAnswer::Ended));
    assert_eq!(bench.desk.running().count(), 0);
    assert!(bench.requests.contains(&"POST /v1/sessions/sess_1/start".to_owned()));
    assert_eq!(bench.requests.last().unwrap(), "PUT /v1/sessions/sess_1/end");
}

#[test]
fn a_start_that_never_ends_ends_after_a_minute() {
    let mut bench = Bench::new(&[AvatarQuirk::AlwaysTryAgain]);
    let info = bench.created(&CreateSession::revision_a("avat_1"));
    let limit = AvatarCall::START_BUDGET;
    assert_eq!(bench.start(&info.session_id), Err(ApiError::StartTimeout { limit }));
    assert!(bench.now - bench.begin <= limit);
    let polls = bench.requests.len() - 1;
    assert!((10..=25).contains(&polls), "{polls} polls in a minute");
}

#[test]
fn a_busy_or_failing_service_is_asked_again_and_a_refusal_is_not() {
    for quirk in [AvatarQuirk::RateLimited, AvatarQuirk::RateLimitedBare, AvatarQuirk::ServerErrors] {
        let mut bench = Bench::new(&[quirk]);
        let info = bench.created(&CreateSession::revision_a("avat_1"));
        assert_eq!(info.session_id, "sess_1", "{quirk}");
        let least = if quirk == AvatarQuirk::RateLimitedBare { 60 } else { 1 };
        assert!(bench.now - bench.begin >= Duration::from_secs(least), "{quirk}");
    }
    let mut bench = Bench::new(&[]);
    let call = bench.api.create(&CreateSession::revision_a(""));
    assert_eq!(bench.run(call).unwrap_err().code().as_str(), "agenthuman/api-request");
    let call = AvatarApi::new(Secret::new("ah_test_2").unwrap()).create(&CreateSession::revision_a("a"));
    assert_eq!(bench.run(call).unwrap_err().code().as_str(), "agenthuman/api-unauthorized");
    assert_eq!(bench.start("sess_9").unwrap_err().code().as_str(), "agenthuman/api-not-found");
    assert_eq!(bench.end("sess_9"), Ok(CallAnswer::Ended), "nothing is left to end");
}

#[test]
fn a_full_plan_says_so() {
    let mut bench = Bench::new(&[]);
    for _ in 0..5 {
        bench.created(&CreateSession::revision_b("avat_1", own_room()));
    }
    let call = bench.api.create(&CreateSession::revision_b("avat_1", own_room()));
    let error = bench.run(call).unwrap_err();
    assert_eq!(error.code().as_str(), "agenthuman/api-concurrency");
    assert!(error.code().entry().unwrap().retryable);
}

#[test]
fn a_create_call_without_an_answer_is_not_repeated_and_an_end_call_is() {
    let bench = Bench::new(&[]);
    let mut call = bench.api.create(&CreateSession::revision_a("avat_1"));
    assert!(matches!(call.step(bench.now), CallStep::Send(_)));
    assert_eq!(call.handle_lost(bench.now), Err(ApiError::Transport));
    let mut call = bench.api.end("sess_1");
    for _ in 0..3 {
        let now = match call.step(bench.now) {
            CallStep::Wait(at) => at,
            _ => bench.now,
        };
        let _ = call.step(now);
        assert_eq!(call.handle_lost(bench.now), Ok(()));
    }
    assert_eq!(call.handle_lost(bench.now), Err(ApiError::Transport));
}

#[test]
fn addresses_that_cannot_be_dialled_are_refused() {
    let bench = Bench::new(&[]);
    for uri in ["ws://gpu.example/", "http://gpu.example/", "soon"] {
        let mut call = bench.api.start("sess_1");
        let _ = call.step(bench.now);
        let body = Bytes::from(format!(r#"{{"success":true,"ws_uri":"{uri}"}}"#));
        let error = call.handle_response(bench.now, &Response::new(body)).unwrap_err();
        assert_eq!(error, ApiError::BadAddress { uri: uri.to_owned() });
    }
}

#[test]
fn the_key_and_the_secrets_are_never_shown() {
    let mut bench = Bench::new(&[]);
    let info = bench.created(&CreateSession::revision_a("avat_1"));
    let mut call = bench.api.get("sess_1");
    let shown = format!("{:?} {info:?} {call:?}", bench.api);
    assert!(!shown.contains("ah_test_1") && !shown.contains("secret-1"), "{shown}");
    let CallStep::Send(request) = call.step(bench.now) else { panic!() };
    assert!(!format!("{request:?}").contains("ah_test_1"), "{request:?}");
}

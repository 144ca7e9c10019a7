//! The avatar's room: events, presence, webhooks, tokens and addresses.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use voxline_protocol::daily::{
    AvatarIdentity, DailyApi, DailyDesk, Participant, Present, RoomEvent, RoomMonitor, RoomMonitorConfig,
    RoomUrl, TokenClaims, TrackKind, VideoPolicy, Webhook, WebhookKey,
};
use voxline_protocol::{BaseUrl, Secret};

use super::play::start;

/// Lines, each of them taken as an event, an answer about who is there, a webhook, a token and a room's
/// address; what can be read goes to one [`RoomMonitor`].
pub fn daily(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut monitor =
        RoomMonitor::new(RoomMonitorConfig::new("demo", AvatarIdentity::named("AI Avatar")), start());
    let mut now = start();
    for line in text.lines().take(100) {
        now += Duration::from_millis(line.len() as u64 * 50);
        if let Ok(event) = RoomEvent::from_json(line) {
            look(&event);
            monitor.handle_event(now, &event);
        }
        let mut response = Response::new(Bytes::copy_from_slice(line.as_bytes()));
        if let Ok(present) = DailyApi::read_presence(&response) {
            monitor.handle_presence(now, &present);
        }
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        assert!(DailyApi::read_presence(&response).is_err_and(|error| error.is_retryable()));
        if let Some(webhook) = webhook(line) {
            monitor.handle_webhook(now, &webhook);
        }
        token(line);
        if line.starts_with("end") {
            monitor.expect_end();
        }
        if monitor.poll_timeout().is_some_and(|at| at <= now) {
            monitor.handle_timeout(now);
        }
        assert!(monitor.poll_timeout().is_none_or(|at| at > now), "{monitor:#?}");
        for _ in 0..100 {
            let Some(verdict) = monitor.poll_verdict() else { break };
            assert!(verdict.code().is_none_or(|code| code.entry().is_some()), "{verdict:?}");
        }
        assert!(monitor.poll_verdict().is_none(), "verdicts without end");
    }
}

fn look(event: &RoomEvent) {
    let look = |participant: &Participant| {
        for kind in [TrackKind::Audio, TrackKind::Video] {
            let _ = participant.track(&kind);
        }
    };
    if let RoomEvent::Joined { participants } = event {
        participants.iter().for_each(look);
    }
    if let RoomEvent::ParticipantJoined(one) | RoomEvent::ParticipantUpdated(one) = event {
        look(one);
    }
    let _ = VideoPolicy::default().tracks(true);
}

/// A body that is rightly signed is read or called unreadable; one that is not is refused.
fn webhook(body: &str) -> Option<voxline_protocol::daily::WebhookEvent> {
    let Ok(key) = WebhookKey::new(&secret("a2V5")) else { unreachable!("it is base64") };
    let wall = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut headers = HeaderMap::new();
    headers.insert("x-webhook-timestamp", HeaderValue::from_static("1700000000"));
    let forged = HeaderValue::from_str(body.trim()).unwrap_or(HeaderValue::from_static("AAAA"));
    headers.insert("x-webhook-signature", forged);
    let forged = key.open(&headers, body.as_bytes(), wall);
    assert!(matches!(forged, Err(_) | Ok(Webhook::Test)), "{forged:?}");
    let signature = HeaderValue::from_str(&key.sign("1700000000", body.as_bytes()));
    headers.insert("x-webhook-signature", signature.unwrap_or(HeaderValue::from_static("")));
    match key.open(&headers, body.as_bytes(), wall) {
        Ok(Webhook::Event(event)) => Some(*event),
        Ok(_) | Err(_) => None,
    }
}

fn token(line: &str) {
    let room = RoomUrl::parse(line);
    if let Ok((room, _)) = &room {
        let again = RoomUrl::parse(&room.to_string());
        assert_eq!(again.map(|(room, _)| room).ok().as_ref(), Some(room));
        ask(&DailyApi::new(secret("key")), room, line);
    }
    let Ok((room, _)) = RoomUrl::parse("https://x.daily.co/demo") else { unreachable!("it is one room") };
    if let Ok(base) = BaseUrl::parse(line) {
        ask(&DailyApi::new(secret("key")).with_base(base), &room, line);
    }
    let Ok(key) = Secret::new(line) else { return };
    let Ok(claims) = TokenClaims::decode(&key) else { return };
    for wall in [UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(1 << 40)] {
        for finding in claims.check(&room, wall, Duration::from_secs(600)) {
            assert!(finding.code.entry().is_some(), "{finding:?}");
        }
    }
}

/// Both calls about a room, and what a simulated service makes of them.
fn ask(api: &DailyApi, room: &RoomUrl, session_id: &str) {
    let mut desk = DailyDesk::new("key");
    let mut present = Present::default();
    present.session_id = session_id.to_owned();
    desk.join(room.name(), present);
    let requests = [api.presence(room), api.eject(room, session_id)];
    for (request, call) in requests.iter().zip(["presence", "eject"]) {
        let path = format!("/v1/rooms/{}/{call}", room.name());
        assert!(request.uri().path().ends_with(&path), "{}", request.uri());
    }
    if requests[0].uri().path().starts_with("/v1/") {
        let present = DailyApi::read_presence(&desk.handle(&requests[0]));
        assert!(present.is_ok_and(|present| present.len() == 1));
        desk.handle(&requests[1]);
        assert_eq!(desk.ejected(), 1, "{session_id:?}");
    }
}

fn secret(text: &str) -> Secret {
    let Ok(secret) = Secret::new(text) else { unreachable!("it is printable ASCII") };
    secret
}

//! The avatar: both machines, their messages, and the REST side.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use voxline_protocol::agenthuman::{
    AspectRatio, AvatarApi, AvatarCall, AvatarClient, AvatarClientConfig, AvatarCommand, AvatarDesk,
    AvatarDeskConfig, AvatarEvent, AvatarQuirk, AvatarServer, AvatarServerCommand, AvatarServerConfig,
    AvatarServerEvent, AvatarSession, CallAnswer, CallStep, CreateSession, HostedSession, HostedStatus,
    InputRate, PcmSpec, Preflight, Revision, RoomAccess, RoomPlan, VendorError, VideoSize, check_speech,
};
use voxline_protocol::{BaseUrl, CloseFrame, Message, Secret, UtteranceId};

use super::play::{MAX_SOUND, Options, Stage, Subject, duration, play, start};

/// Operations of [`AvatarClient`].
pub fn avatar_client(data: &[u8]) {
    play::<Client>(data);
}

/// Operations of [`AvatarServer`].
pub fn avatar_server(data: &[u8]) {
    play::<Server>(data);
}

/// One message, given to both sides before and after the handshake.
pub fn avatar_wire(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let error = VendorError::parse(&text);
    assert!(error.code().entry().is_some(), "{error:?}");

    let mut client = Stage::<Client>::new(&Options::default());
    client.open();
    client.text(&text);
    client.text(r#"{"type":"connection.established"}"#);
    client.command(AvatarCommand::Say { utterance: UtteranceId::new(1), audio: vec![0; 64_000].into() });
    client.text(&text);
    client.command(AvatarCommand::Interrupt);
    client.text(&text);
    client.pass(Duration::from_secs(3), true);
    client.text(&text);
    client.end();

    let mut server = Stage::<Server>::new(&Options::default());
    server.open();
    server.text(&text);
    server.text(r#"{"type":"session.init","session_id":"sess_1","session_token":"token"}"#);
    server.text(&text);
    server.pass(Duration::from_secs(3), true);
    server.end();
}

/// A status, a header and a body as the answer to each call; the same as a request to the simulated
/// service; and lines for what is checked before a session is created.
pub fn avatar_rest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (first, body) = text.split_once('\n').unwrap_or((&text, ""));
    let (status, header) = first.split_once(' ').unwrap_or((first, ""));
    answers(status, header, body);
    desk(first, body);
    preflight(&text);
}

fn answers(status: &str, header: &str, body: &str) {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = status.parse().unwrap_or(StatusCode::OK);
    if let Ok(value) = HeaderValue::from_str(header) {
        response.headers_mut().insert("retry-after", value);
    }
    let api = AvatarApi::new(key("ah_test_1"));
    let api = match BaseUrl::parse(body) {
        Ok(base) => api.with_base(base),
        Err(_) => api,
    };
    for call in
        [api.create(&CreateSession::revision_a(header)), api.start(header), api.get(header), api.end(header)]
    {
        if let Some(CallAnswer::Session(info)) = run(call, &response) {
            assert!(!info.session_id.is_empty());
            let room = RoomAccess::daily("https://x.daily.co/y", key("jwt"));
            let _ = info.to_session(Some(room), VideoSize::default(), start(), UNIX_EPOCH);
        }
    }
}

/// Gives the same answer until the call is over, which it must be soon.
fn run(mut call: AvatarCall, response: &Response<Bytes>) -> Option<CallAnswer> {
    let mut now = start();
    for _ in 0..200 {
        match call.step(now) {
            CallStep::Done(answer) => return Some(answer),
            CallStep::Send(request) => {
                assert!(request.uri().query().is_none(), "{}", request.uri());
                if let Err(error) = call.handle_response(now, response) {
                    assert!(error.code().entry().is_some(), "{error:?}");
                    return None;
                }
            }
            CallStep::Wait(at) => {
                assert!(at > now && at - now <= Duration::from_secs(150), "waits {:?}", at - now);
                now = at;
            }
        }
    }
    panic!("a call without end: {call:?}");
}

/// `METHOD PATH`, then the body; whatever it answers is JSON, and a session it made can be ended.
fn desk(first: &str, body: &str) {
    let mut config = AvatarDeskConfig::new("ah_test_1", "ws://127.0.0.1:9000");
    let (method, path) = first.split_once(' ').unwrap_or((first, ""));
    config.quirks.extend(AvatarQuirk::parse(path));
    let mut desk = AvatarDesk::new(config);
    let wall = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut ask = |method: Method, uri: Uri, body: &str| {
        let mut request = Request::new(Bytes::copy_from_slice(body.as_bytes()));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().insert("x-api-key", HeaderValue::from_static("ah_test_1"));
        let response = desk.handle(wall, &request);
        let answer: Result<serde_json::Value, _> = serde_json::from_slice(response.body());
        let Ok(answer) = answer else { panic!("an answer that is no JSON: {response:?}") };
        answer
    };
    if let (Ok(method), Ok(uri)) = (method.parse(), path.parse()) {
        let _ = ask(method, uri, body);
    }
    let session = ask(Method::POST, Uri::from_static("/v1/sessions"), body);
    let id = session.pointer("/session/session_id").or_else(|| session.pointer("/data/session/session_id"));
    if let Some(id) = id.and_then(serde_json::Value::as_str) {
        for (method, verb) in [(Method::POST, "start"), (Method::PUT, "end")] {
            let Ok(uri) = format!("/v1/sessions/{id}/{verb}").parse() else { panic!("{id} is in no path") };
            let _ = ask(method, uri, body);
        }
    }
    let _ = desk.hosted(0, start(), wall);
}

/// Key, avatar, size, shape, platform, address and token, a line each.
fn preflight(text: &str) {
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (key, avatar, size, shape) = (line(), line(), line(), line());
    let room = RoomPlan { platform: line(), url: line(), token: line() };
    for revision in [Revision::A, Revision::B] {
        let mut plan = Preflight::new(revision, key, avatar);
        plan.video = size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        plan.aspect_ratio = Some(shape);
        plan.room = Some(room);
        for wall in [UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(1 << 40)] {
            for finding in plan.check(wall) {
                assert!(finding.code.entry().is_some(), "{finding:?}");
            }
        }
        if let Some((width, height)) = plan.video
            && let Ok(size) = VideoSize::new(width, height)
        {
            assert_eq!((i64::from(size.width()), i64::from(size.height())), (width, height));
        }
    }
    let _ = (AspectRatio::parse(shape), AvatarQuirk::parse(shape), SystemTime::UNIX_EPOCH);
    let bytes = text.as_bytes();
    let _ = (check_speech(bytes, true), check_speech(bytes, false));
    if let [a, b, c, d, e, ..] = bytes {
        let spec = PcmSpec::new(u32::from_le_bytes([*a, *b, *c, 0]), u16::from(*d), u16::from(*e));
        let _ = (InputRate::for_source(spec), InputRate::for_source(spec.float()));
    }
}

/// Options as in the scripts: `revision=a`, `rate=48000`, `expires=60` (seconds).
#[derive(Debug, Default)]
struct Client {
    /// Utterances that were taken and have had no account yet.
    open: BTreeMap<UtteranceId, u64>,
    over: Vec<UtteranceId>,
    asked: Option<AvatarCommand>,
}

impl Subject for Client {
    type Machine = AvatarClient;

    fn machine(options: &Options<'_>, now: Instant) -> AvatarClient {
        let mut session = session(options.get("revision").unwrap_or("b"), "sess_1");
        if let Some(seconds) = options.number("expires") {
            session = session.with_expiry(now + Duration::from_secs(u64::min(seconds, 100_000)));
        }
        let mut config = AvatarClientConfig::new(session);
        if options.get("rate") == Some("48000") {
            config = config.with_rate(InputRate::Hz48000);
        }
        AvatarClient::new(config)
    }

    fn command(line: &str) -> Option<AvatarCommand> {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |text: &str| text.parse().ok().map(UtteranceId::new);
        Some(match words[..] {
            ["say", id, what] => AvatarCommand::Say { utterance: number(id)?, audio: speech(what)? },
            ["speak", id, what] => AvatarCommand::Speak { utterance: number(id)?, audio: speech(what)? },
            ["finish", id] => AvatarCommand::Finish { utterance: number(id)? },
            ["interrupt"] => AvatarCommand::Interrupt,
            ["session", id] => AvatarCommand::UseSession(Box::new(session("b", id))),
            ["close"] => AvatarCommand::Close,
            _ => return None,
        })
    }

    fn asks(&mut self, command: &AvatarCommand) {
        self.asked = Some(command.clone());
    }

    fn accepted(&mut self) {
        if let Some(AvatarCommand::Say { utterance, audio } | AvatarCommand::Speak { utterance, audio }) =
            self.asked.take()
        {
            assert!(!self.over.contains(&utterance), "{utterance} was over");
            *self.open.entry(utterance).or_default() += audio.len() as u64 / 2;
        }
    }

    fn told(&mut self, event: &AvatarEvent) {
        match event {
            AvatarEvent::Speech(report) => {
                let Some(given) = self.open.remove(&report.utterance) else {
                    panic!("an account too many: {report:?}");
                };
                assert_eq!(report.given, given, "{report:?}");
                assert!(report.confirmed_until <= given, "{report:?}");
                self.over.push(report.utterance);
            }
            AvatarEvent::Chunk(receipt) => {
                assert!(receipt.samples.start <= receipt.samples.end, "{receipt:?}");
            }
            AvatarEvent::Interrupted { heard, .. } => {
                for heard in heard {
                    assert!(heard.at_least <= heard.at_most, "{heard:?}");
                }
            }
            _ => {}
        }
    }

    fn sent(&mut self, message: &Message, first: bool) {
        let is_init = matches!(message, Message::Text(text) if text.starts_with(r#"{"type":"session.init""#));
        assert_eq!(is_init, first && !matches!(message, Message::Close(_)), "{message:?}");
    }

    fn finished(&mut self) {
        assert!(self.open.is_empty(), "utterances without an account: {:?}", self.open);
    }

    fn is_closed(event: &AvatarEvent) -> bool {
        *event == AvatarEvent::Closed
    }
}

/// Options as in the scripts: `quirk=NAME`, `status=created|started|ended`, `slot=other`, `expires=60`,
/// `delay=100` (milliseconds).
#[derive(Debug, Default)]
struct Server;

impl Subject for Server {
    type Machine = AvatarServer;

    fn machine(options: &Options<'_>, now: Instant) -> AvatarServer {
        let mut session = HostedSession::new("sess_1", "token", Revision::B);
        session.status = match options.get("status") {
            Some("created") => HostedStatus::Created,
            Some("ended") => HostedStatus::Ended,
            Some(_) | None => HostedStatus::Started,
        };
        session.is_assigned_here = options.get("slot") != Some("other");
        let expires =
            options.number("expires").map(|seconds| Duration::from_secs(u64::min(seconds, 100_000)));
        session.expires_at = expires.map(|left| now + left);
        let other = HostedSession::new("sess_2", "token", Revision::A);
        let mut config = AvatarServerConfig::new(vec![session, other]);
        for quirk in options.get("quirk").unwrap_or_default().split(',').filter_map(AvatarQuirk::parse) {
            config = config.with_quirk(quirk);
        }
        config.confirm_delay = options.millis("delay").unwrap_or_default().min(Duration::from_secs(60));
        AvatarServer::new(config)
    }

    fn command(line: &str) -> Option<AvatarServerCommand> {
        let words: Vec<_> = line.splitn(3, ' ').collect();
        Some(match words[..] {
            ["close", code] => AvatarServerCommand::Close(CloseFrame::new(code.parse().ok()?, "")),
            ["host", id, secret] => {
                AvatarServerCommand::Host(Box::new(HostedSession::new(id, secret, Revision::B)))
            }
            ["send", ..] => AvatarServerCommand::Send("{}".to_owned()),
            _ => return None,
        })
    }

    fn told(&mut self, event: &AvatarServerEvent) {
        if let AvatarServerEvent::Speech { audio, plays_from, plays_until, .. } = event {
            assert!(audio.len().is_multiple_of(2) && plays_from <= plays_until, "{event:?}");
        }
    }

    fn is_closed(_event: &AvatarServerEvent) -> bool {
        false
    }
}

fn session(revision: &str, id: &str) -> AvatarSession {
    match revision {
        "a" => {
            let room = RoomAccess::daily("https://agenthuman.daily.co/demo", key("jwt"));
            AvatarSession::revision_a(id, key("token"), room, VideoSize::default())
        }
        _ => AvatarSession::revision_b(id, key("token")),
    }
}

fn key(text: &str) -> Secret {
    let Ok(key) = Secret::new(text) else { unreachable!("it is printable ASCII") };
    key
}

/// Sixteen-kilohertz silence of that length, or one of the known bad inputs.
fn speech(what: &str) -> Option<Bytes> {
    Some(match what {
        "wav" => Bytes::from_static(b"RIFF\x24\0\0\0WAVEfmt "),
        "odd" => Bytes::from_static(&[0; 641]),
        "none" => Bytes::new(),
        _ => {
            let length = (duration(what).as_millis() as usize).saturating_mul(32);
            Bytes::from(vec![0; (length <= MAX_SOUND).then_some(length)?])
        }
    })
}

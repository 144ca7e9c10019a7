//! The AgentHuman machines at play.

use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_protocol::agenthuman::{
    AvatarClient, AvatarClientConfig, AvatarCommand, AvatarEvent, AvatarQuirk, AvatarServer,
    AvatarServerCommand, AvatarServerConfig, AvatarServerEvent, AvatarSession, HostedSession, HostedStatus,
    InputRate, LinkEnd, Revision, RoomAccess, SpeechReport, VideoSize,
};
use voxline_protocol::{CloseFrame, Secret, UtteranceId};

use crate::runner::{Options, Protocol};

/// `agenthuman-client`: options `revision=a`, `rate=48000`, `expires=60` (seconds).
pub(crate) struct Client;

impl Protocol for Client {
    type Machine = AvatarClient;

    fn machine(options: &Options, now: Instant) -> AvatarClient {
        let mut session = session(options.get("revision").unwrap_or("b"), "sess_1");
        if let Some(seconds) = options.get("expires") {
            session = session.with_expiry(now + Duration::from_secs(seconds.parse().unwrap()));
        }
        let mut config = AvatarClientConfig::new(session);
        if options.get("rate") == Some("48000") {
            config = config.with_rate(InputRate::Hz48000);
        }
        AvatarClient::new(config)
    }

    /// `say 1 5s`, `speak 1 200ms`, `finish 1`, `interrupt`, `session sess_2`, `close`; `say 1 wav`
    /// and `say 1 odd` are bad on purpose.
    fn command(line: &str) -> Result<AvatarCommand, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |text: &str| text.parse().map(UtteranceId::new).map_err(|_| format!("`{text}`?"));
        Ok(match words[..] {
            ["say", id, what] => AvatarCommand::Say { utterance: number(id)?, audio: audio(what)? },
            ["speak", id, what] => AvatarCommand::Speak { utterance: number(id)?, audio: audio(what)? },
            ["finish", id] => AvatarCommand::Finish { utterance: number(id)? },
            ["interrupt"] => AvatarCommand::Interrupt,
            ["session", id] => AvatarCommand::UseSession(Box::new(session("b", id))),
            ["close"] => AvatarCommand::Close,
            _ => return Err(format!("no such command: {line}")),
        })
    }

    fn event(event: &AvatarEvent) -> String {
        match event {
            AvatarEvent::Chunk(receipt) => format!(
                "chunk {} {}..{} after {:?}",
                receipt.utterance.get(),
                receipt.samples.start,
                receipt.samples.end,
                receipt.queueing
            ),
            AvatarEvent::ChunkRefused { utterance, samples, error } => {
                format!("refused {} {}..{} {error}", utterance.get(), samples.start, samples.end)
            }
            AvatarEvent::ChunkUnconfirmed { utterance, samples } => {
                format!("unconfirmed {} {}..{}", utterance.get(), samples.start, samples.end)
            }
            AvatarEvent::Closed => "closed".to_owned(),
            AvatarEvent::Established { link, took } => format!("established {} in {took:?}", link.get()),
            AvatarEvent::Expiring { left } => format!("expiring in {left:?}"),
            AvatarEvent::Garbled(error) => format!("garbled {error}"),
            AvatarEvent::Interrupted { epoch, outcome, heard } => {
                let heard: Vec<_> = heard
                    .iter()
                    .map(|heard| {
                        format!(" {} {:?}..{:?}", heard.utterance.get(), heard.at_least, heard.at_most)
                    })
                    .collect();
                format!("interrupted {} {outcome:?}{}", epoch.get(), heard.concat())
            }
            AvatarEvent::LinkDown { link, end, recovery, unplayed } => {
                format!("down {} {} {recovery:?} unplayed {unplayed:?}", link.get(), link_end(end))
            }
            AvatarEvent::SampleCount { utterance, expected, confirmed } => {
                format!("count {} {expected} but {confirmed}", utterance.get())
            }
            AvatarEvent::ServiceError(error) => format!("error {error}"),
            AvatarEvent::Speech(report) => speech(report),
            AvatarEvent::Unhandled { kind } => format!("unhandled {kind}"),
            other => format!("{other:?}"),
        }
    }
}

/// `agenthuman-server`: options `quirk=NAME`, `status=created|started|ended`, `slot=other`,
/// `expires=60`, `delay=100` (milliseconds).
pub(crate) struct Server;

impl Protocol for Server {
    type Machine = AvatarServer;

    fn machine(options: &Options, now: Instant) -> AvatarServer {
        let mut session = HostedSession::new("sess_1", "token", Revision::B);
        session.status = match options.get("status") {
            Some("created") => HostedStatus::Created,
            Some("ended") => HostedStatus::Ended,
            _ => HostedStatus::Started,
        };
        session.is_assigned_here = options.get("slot") != Some("other");
        session.expires_at =
            options.get("expires").map(|seconds| now + Duration::from_secs(seconds.parse().unwrap()));
        let mut config = AvatarServerConfig::new(vec![session]);
        if let Some(name) = options.get("quirk") {
            config = config.with_quirk(AvatarQuirk::parse(name).unwrap());
        }
        if let Some(delay) = options.get("delay") {
            config.confirm_delay = Duration::from_millis(delay.parse().unwrap());
        }
        AvatarServer::new(config)
    }

    /// `close 1000`, `host sess_2 token`, `send TEXT`.
    fn command(line: &str) -> Result<AvatarServerCommand, String> {
        let words: Vec<_> = line.splitn(3, ' ').collect();
        Ok(match words[..] {
            ["close", code] => {
                AvatarServerCommand::Close(CloseFrame::new(code.parse().map_err(|_| "which code?")?, ""))
            }
            ["host", id, secret] => {
                AvatarServerCommand::Host(Box::new(HostedSession::new(id, secret, Revision::B)))
            }
            ["send", ..] => AvatarServerCommand::Send(line["send ".len()..].to_owned()),
            _ => return Err(format!("no such command: {line}")),
        })
    }

    fn event(event: &AvatarServerEvent) -> String {
        match event {
            AvatarServerEvent::Disconnected { session_id, ends_session } => {
                format!("disconnected {} ends={ends_session}", session_id.as_deref().unwrap_or("nobody"))
            }
            AvatarServerEvent::Error(error) => format!("error {error}"),
            AvatarServerEvent::Established { session_id, revision, .. } => {
                format!("established {session_id} {revision}")
            }
            AvatarServerEvent::Interrupted { dropped } => format!("interrupted {dropped:?}"),
            AvatarServerEvent::SessionExpired { session_id } => format!("expired {session_id}"),
            AvatarServerEvent::Speech { audio, rate_hz, is_advised_length, .. } => {
                format!("speech {} at {rate_hz} advised={is_advised_length}", audio.len())
            }
            other => format!("{other:?}"),
        }
    }
}

fn session(revision: &str, id: &str) -> AvatarSession {
    let secret = Secret::new("token").unwrap();
    match revision {
        "a" => {
            let room = RoomAccess::daily("https://agenthuman.daily.co/demo", Secret::new("jwt").unwrap());
            AvatarSession::revision_a(id, secret, room, VideoSize::default())
        }
        _ => AvatarSession::revision_b(id, secret),
    }
}

/// Sixteen-kilohertz silence of that length, or one of the known bad inputs.
fn audio(what: &str) -> Result<Bytes, String> {
    let bad = || format!("`{what}` is no audio: write 5s or 200ms");
    Ok(match what {
        "wav" => Bytes::from_static(b"RIFF\x24\0\0\0WAVEfmt "),
        "odd" => Bytes::from_static(&[0; 641]),
        "none" => Bytes::new(),
        _ => {
            let (number, per_unit) = match what.strip_suffix("ms") {
                Some(number) => (number, 32),
                None => (what.strip_suffix('s').ok_or_else(bad)?, 32_000),
            };
            Bytes::from(vec![0; number.parse::<usize>().map_err(|_| bad())? * per_unit])
        }
    })
}

fn speech(report: &SpeechReport) -> String {
    let SpeechReport { utterance, end, given, confirmed_until, chunks, .. } = report;
    format!("speech {} {end:?} {confirmed_until}/{given} in {chunks}", utterance.get())
}

fn link_end(end: &LinkEnd) -> String {
    match end {
        LinkEnd::Closed(None) => "lost".to_owned(),
        LinkEnd::Closed(Some(frame)) => frame.to_string(),
        LinkEnd::Refused(error) => format!("`{error}`"),
        LinkEnd::EstablishTimeout | LinkEnd::Expired | LinkEnd::Replaced | _ => format!("{end:?}"),
    }
}

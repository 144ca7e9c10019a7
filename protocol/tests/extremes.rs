//! Any limit a person can configure, from nothing at all to for ever, leaves a machine that works or says why
//! not: none panics, turns in circles or talks without end.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::agenthuman::{
    AvatarClient, AvatarClientConfig, AvatarCommand, AvatarServer, AvatarServerConfig, AvatarSession,
    HostedSession, Revision,
};
use voxline_protocol::daily::{AvatarIdentity, RoomMonitor, RoomMonitorConfig};
use voxline_protocol::plivo::{
    CallId, DegradedLevel, PlivoCaller, PlivoCallerConfig, PlivoCommand, PlivoConfig, PlivoStream,
    StreamTokens,
};
use voxline_protocol::slng::{
    SttClient, SttCommand, SttConfig, SttServer, SttServerConfig, TtsClient, TtsCommand, TtsConfig,
    TtsServer, TtsServerConfig,
};
use voxline_protocol::{Input, Machine, Message, Secret, UtteranceId};

const EXTREMES: [Duration; 4] =
    [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(u32::MAX as u64), Duration::MAX];

/// Sets one field of a configuration.
type Set<C> = fn(&mut C, Duration);

/// Each field at each extreme by itself, then all at once.
fn each<C: Clone>(usual: &C, fields: &[(&str, Set<C>)], mut run: impl FnMut(&str, C)) {
    for extreme in EXTREMES {
        let mut all = usual.clone();
        for (name, set) in fields {
            let mut config = usual.clone();
            set(&mut config, extreme);
            set(&mut all, extreme);
            run(&format!("{name} of {extreme:?}"), config);
        }
        run(&format!("everything of {extreme:?}"), all);
    }
}

/// Ten seconds of a session over three links, of which the first breaks; `commands` are given every second.
fn live<A: Machine, B: Machine>(
    name: &str,
    mut near: A,
    mut far: impl FnMut(Instant) -> B,
    start: Instant,
    commands: impl Fn(u64) -> Vec<A::Command>,
) {
    let mut now = start;
    let mut other = far(now);
    let mut is_up = true;
    let _ = near.handle_input(now, Input::Opened);
    let _ = other.handle_input(now, Input::Opened);
    for tick in 0..100u64 {
        if tick % 10 == 0 {
            for command in commands(tick / 10) {
                let _ = near.handle_command(now, command);
            }
        }
        if tick == 35 || tick == 70 {
            let _ = near.handle_input(now, Input::Closed(None));
            other = far(now);
            let _ = near.handle_input(now, Input::Opened);
            let _ = other.handle_input(now, Input::Opened);
            is_up = true;
        }
        is_up &= !carry(name, now, &mut near, &mut other);
        if is_up {
            carry(name, now, &mut other, &mut near);
        }
        now += Duration::from_millis(100);
        let _ = near.handle_timeout(now);
        let _ = other.handle_timeout(now);
    }
}

/// True if the link was closed.
fn carry(name: &str, now: Instant, from: &mut impl Machine, to: &mut impl Machine) -> bool {
    while from.poll_event().is_some() {}
    for _ in 0..MAX_OUTPUTS {
        let Some(message) = from.poll_transmit() else { return false };
        let _ = match message {
            Message::Text(text) => to.handle_input(now, Input::Text(&text)),
            Message::Binary(bytes) => to.handle_input(now, Input::Binary(bytes)),
            Message::Close(frame) => {
                let _ = to.handle_input(now, Input::Closed(Some(frame)));
                let _ = from.handle_input(now, Input::Closed(None));
                return true;
            }
        };
    }
    panic!("{name}: it never stops talking");
}

#[test]
fn a_phone_stream_survives_any_limits() {
    let fields: &[(&str, Set<PlivoConfig>)] = &[
        ("start_timeout", |config, limit| config.start_timeout = limit),
        ("media_timeout", |config, limit| config.media_timeout = limit),
        ("lead", |config, limit| config.lead = limit),
        ("max_queued", |config, limit| config.max_queued = limit),
        ("frame", |config, limit| config.frame = limit),
        ("checkpoint_timeout", |config, limit| config.checkpoint_timeout = limit),
        ("clear_timeout", |config, limit| config.clear_timeout = limit),
        ("redial_timeout", |config, limit| config.redial_timeout = limit),
        ("close_timeout", |config, limit| config.close_timeout = limit),
    ];
    each(&PlivoConfig::default(), fields, |name, config| {
        let start = Instant::now();
        let caller = |now| PlivoCaller::new(PlivoCallerConfig::new("call", "stream"), now);
        live(name, PlivoStream::new(config, start), caller, start, |second| {
            let mut commands = vec![
                PlivoCommand::Play(vec![0x55; 8_000].into()),
                PlivoCommand::Checkpoint("mark".into()),
                PlivoCommand::Degraded(Some(DegradedLevel::Ninety)),
            ];
            if second % 3 == 2 {
                commands.push(PlivoCommand::Clear);
            }
            commands
        });
    });
}

#[test]
fn a_simulated_call_survives_any_limits() {
    let fields: &[(&str, Set<PlivoCallerConfig>)] = &[
        ("playback_capacity", |config, limit| config.playback_capacity = limit),
        ("egress_capacity", |config, limit| config.egress_capacity = limit),
        ("redial_delay", |config, limit| config.redial_delay = limit),
        ("epoch", |config, limit| config.epoch = limit),
    ];
    each(&PlivoCallerConfig::new("call", "stream"), fields, |name, config| {
        let start = Instant::now();
        let stream = |now| PlivoStream::new(PlivoConfig::default(), now);
        live(name, PlivoCaller::new(config, start), stream, start, |_| Vec::new());
    });
}

#[test]
fn a_speech_session_survives_any_limits() {
    let fields: &[(&str, Set<TtsConfig>)] = &[
        ("ready_timeout", |config, limit| config.ready_timeout = limit),
        ("clear_timeout", |config, limit| config.clear_timeout = limit),
        ("clear_quiet", |config, limit| config.clear_quiet = limit),
        ("terminal_timeout", |config, limit| config.terminal_timeout = limit),
        ("close_timeout", |config, limit| config.close_timeout = limit),
        ("keepalive", |config, limit| config.keepalive = limit),
        ("max_text", |config, limit| config.max_text = limit.as_secs() as usize),
        ("max_queued_text", |config, limit| config.max_queued_text = limit.as_secs() as usize),
    ];
    each(&TtsConfig::new(FORMAT, "ada"), fields, |name, config| {
        let start = Instant::now();
        let gateway = |now| TtsServer::new(TtsServerConfig::default(), now);
        live(name, TtsClient::new(config, start), gateway, start, |second| {
            let speak =
                |text: &str| TtsCommand::Speak { utterance: UtteranceId::new(second), text: text.into() };
            let mut commands = vec![speak("One two three. "), speak("Four."), TtsCommand::Flush];
            if second % 3 == 2 {
                commands.push(TtsCommand::Clear);
            }
            commands
        });
    });
}

#[test]
fn a_recognition_session_survives_any_limits() {
    let fields: &[(&str, Set<SttConfig>)] = &[
        ("max_held", |config, limit| config.max_held = limit),
        ("replay_speed", |config, limit| config.replay_speed = limit.as_secs_f32()),
        ("transit_margin", |config, limit| config.transit_margin = limit),
        ("quiet_after", |config, limit| config.quiet_after = limit),
        ("ready_timeout", |config, limit| config.ready_timeout = limit),
        ("final_timeout", |config, limit| config.final_timeout = limit),
        ("close_timeout", |config, limit| config.close_timeout = limit),
        ("keepalive", |config, limit| config.keepalive = limit),
    ];
    each(&SttConfig::new(FORMAT).unwrap(), fields, |name, config| {
        let start = Instant::now();
        let gateway = |now| SttServer::new(SttServerConfig::default(), now);
        live(name, SttClient::new(config, start), gateway, start, |_| {
            vec![SttCommand::Audio(vec![0; 32_000].into()), SttCommand::Finalize]
        });
    });
}

#[test]
fn an_avatar_survives_any_limits() {
    let fields: &[(&str, Set<AvatarClientConfig>)] = &[
        ("chunks.floor", |config, limit| config.chunks.floor = limit),
        ("chunks.best", |config, limit| config.chunks.best = limit),
        ("chunks.good", |config, limit| config.chunks.good = limit),
        ("chunks.ceiling", |config, limit| config.chunks.ceiling = limit),
        ("max_message_bytes", |config, limit| config.max_message_bytes = limit.as_secs() as usize),
        ("max_unsent", |config, limit| config.max_unsent = limit),
        ("max_ahead", |config, limit| config.max_ahead = limit),
        ("establish_timeout", |config, limit| config.establish_timeout = limit),
        ("confirm_timeout", |config, limit| config.confirm_timeout = limit),
        ("interrupt_timeout", |config, limit| config.interrupt_timeout = limit),
        ("close_timeout", |config, limit| config.close_timeout = limit),
        ("expiry_warning", |config, limit| config.expiry_warning = limit),
        ("min_uplink", |config, limit| config.min_uplink = limit.as_secs() as u32),
    ];
    let session = AvatarSession::revision_b("sess_1", Secret::new("token").unwrap());
    each(&AvatarClientConfig::new(session), fields, |name, config| {
        for delay in [Duration::ZERO, Duration::MAX] {
            let start = Instant::now();
            let service = |_| {
                let hosted = HostedSession::new("sess_1", "token", Revision::B);
                let mut config = AvatarServerConfig::new(vec![hosted]);
                config.confirm_delay = delay;
                AvatarServer::new(config)
            };
            live(name, AvatarClient::new(config.clone()), service, start, |second| {
                let (said, speaking) = (UtteranceId::new(2 * second), UtteranceId::new(2 * second + 1));
                let audio = Bytes::from(vec![1; 64_000]);
                let mut commands = vec![
                    AvatarCommand::Say { utterance: said, audio: audio.clone() },
                    AvatarCommand::Speak { utterance: speaking, audio },
                ];
                if second % 3 == 2 {
                    commands.push(AvatarCommand::Interrupt);
                }
                commands
            });
        }
    });
}

#[test]
fn what_has_no_end_never_comes() {
    let now = Instant::now();
    let mut config = RoomMonitorConfig::new("demo", AvatarIdentity::named("Ada"));
    config.join_limit = Duration::MAX;
    config.media_limit = Duration::MAX;
    config.degraded_limit = Duration::MAX;
    let mut monitor = RoomMonitor::new(config, now);
    assert_eq!(monitor.poll_timeout(), None);
    monitor.handle_timeout(now + Duration::from_secs(1 << 30));
    assert_eq!(monitor.poll_verdict(), None);

    let mut tokens = StreamTokens::new(Secret::new("key").unwrap()).with_lifetime(Duration::MAX);
    let call = CallId::from("call");
    let token = tokens.issue(now, &call);
    assert!(tokens.redeem(now + Duration::from_secs(1 << 30), &call, &token).is_ok());

    let mut config = PlivoConfig::default();
    config.start_timeout = Duration::MAX;
    assert_eq!(PlivoStream::new(config, now).poll_timeout(), None);
}

#[test]
fn a_keepalive_of_nothing_is_none() {
    let now = Instant::now();
    let ready = Input::Text(r#"{"type":"ready","session_id":"s"}"#);

    let mut config = TtsConfig::new(FORMAT, "ada");
    config.keepalive = Duration::ZERO;
    let mut tts = TtsClient::new(config, now);
    tts.handle_input(now, Input::Opened).unwrap();
    tts.handle_input(now, ready.clone()).unwrap();
    assert_eq!(tts.poll_timeout(), None);

    let mut config = SttConfig::new(FORMAT).unwrap();
    config.keepalive = Duration::ZERO;
    let mut stt = SttClient::new(config, now);
    stt.handle_input(now, Input::Opened).unwrap();
    stt.handle_input(now, ready).unwrap();
    assert_eq!(stt.poll_timeout(), None);
}

/// A link that takes nothing for an hour is owed one keepalive, not a hundred.
#[test]
fn keepalives_do_not_pile_up_before_a_stuck_link() {
    let now = Instant::now();
    let mut tts = TtsClient::new(TtsConfig::new(FORMAT, "ada"), now);
    tts.handle_input(now, Input::Opened).unwrap();
    assert!(tts.poll_transmit().is_some(), "`init`");
    tts.handle_input(now, Input::Text(r#"{"type":"ready","session_id":"s"}"#)).unwrap();
    for second in 0..3_600 {
        tts.handle_timeout(now + Duration::from_secs(second)).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| tts.poll_transmit()).count(), 1);
}

const FORMAT: AudioFormat = AudioFormat::linear16(SampleRate::Hz16000);
/// More than any ten seconds of these sessions bring forth.
const MAX_OUTPUTS: usize = 10_000;

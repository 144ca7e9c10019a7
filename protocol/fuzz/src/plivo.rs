//! A phone stream: both machines, and the messages between them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::plivo::{
    CallerCommand, CallerEvent, CheckpointName, DegradedLevel, Digit, HeardLedger, PlivoCaller,
    PlivoCallerConfig, PlivoCommand, PlivoConfig, PlivoEvent, PlivoStream, StreamInfo,
};
use voxline_protocol::{CloseFrame, Message};

use super::play::{Options, Stage, Subject, play, sound};

/// Operations of [`PlivoStream`].
pub fn plivo_stream(data: &[u8]) {
    play::<Stream>(data);
}

/// Operations of [`PlivoCaller`].
pub fn plivo_caller(data: &[u8]) {
    play::<Caller>(data);
}

/// One message, given to both sides before and after `start`.
pub fn plivo_wire(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(info) = StreamInfo::from_start(&text) {
        for (name, _) in &info.headers {
            assert!(info.header(name).is_some(), "{name:?} of {info:?}");
        }
        let _ = info.check_format(AudioFormat::PHONE);
    }

    let mut stream = Stage::<Stream>::new(&Options::default());
    stream.open();
    stream.text(&text);
    stream.text(START);
    stream.command(PlivoCommand::Play(vec![0xff; 8_000].into()));
    stream.command(PlivoCommand::Checkpoint("mark".into()));
    for _ in 0..2 {
        stream.text(&text);
        stream.pass(Duration::from_millis(500), true);
    }
    stream.close(None);
    stream.open();
    stream.text(&text);
    stream.end();

    let mut caller = Stage::<Caller>::new(&Options::default());
    caller.open();
    for _ in 0..2 {
        caller.text(&text);
        caller.pass(Duration::from_millis(500), true);
    }
    caller.close(Some(CloseFrame::normal()));
    caller.end();
}

/// Options as in the scripts: `lead`, `frame`, `max-queued` in milliseconds.
#[derive(Debug)]
struct Stream {
    /// Marks that were taken and not yet answered.
    marks: BTreeMap<CheckpointName, u32>,
    asked: Option<PlivoCommand>,
    ledger: HeardLedger,
    now: Option<Instant>,
}

impl Default for Stream {
    fn default() -> Self {
        let ledger = HeardLedger::new(AudioFormat::PHONE);
        Self { marks: BTreeMap::new(), asked: None, ledger, now: None }
    }
}

impl Subject for Stream {
    type Machine = PlivoStream;

    fn machine(options: &Options<'_>, now: Instant) -> PlivoStream {
        let mut config = PlivoConfig::default();
        if let Some(lead) = options.millis("lead") {
            config = config.with_lead(lead);
        }
        if let Some(frame) = options.millis("frame") {
            config = config.with_frame(frame);
        }
        if let Some(limit) = options.millis("max-queued") {
            config = config.with_max_queued(limit.min(Duration::from_secs(60)));
        }
        PlivoStream::new(config, now)
    }

    fn command(line: &str) -> Option<PlivoCommand> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match verb {
            "checkpoint" => PlivoCommand::Checkpoint(rest.into()),
            "clear" => PlivoCommand::Clear,
            "close" => PlivoCommand::Close,
            "degraded" => {
                let level = |level: &DegradedLevel| rest == level.percent().to_string();
                PlivoCommand::Degraded(DegradedLevel::ALL.into_iter().find(level))
            }
            "dtmf" => PlivoCommand::SendDtmf(Digit::parse_all(rest).ok()?),
            "play" => PlivoCommand::Play(sound(rest)?),
            _ => return None,
        })
    }

    fn asks(&mut self, command: &PlivoCommand) {
        self.asked = Some(command.clone());
        // Before the command is taken: its own marks may be answered within it.
        if let PlivoCommand::Checkpoint(name) = command {
            *self.marks.entry(name.clone()).or_default() += 1;
        }
    }

    fn refused(&mut self) {
        if let Some(PlivoCommand::Checkpoint(name)) = self.asked.take() {
            self.answered(&name);
        }
    }

    fn told(&mut self, event: &PlivoEvent) {
        match event {
            PlivoEvent::Played(name) | PlivoEvent::Skipped { name, .. } => self.answered(name),
            PlivoEvent::Cleared { heard, .. }
            | PlivoEvent::ClearSettled { heard, .. }
            | PlivoEvent::LinkLost { heard, .. } => {
                assert!(heard.at_least <= heard.played && heard.played <= heard.at_most, "{heard:?}");
            }
            PlivoEvent::Media(media) => assert!(media.payload.len() < 1 << 20),
            _ => {}
        }
        if let Some(now) = self.now {
            self.ledger.handle(now, event);
        }
    }

    fn settled(&mut self, machine: &PlivoStream, now: Instant) {
        self.now = Some(now);
        let (all, part) = (machine.heard(now), machine.heard_since_clear(now));
        for heard in [&all, &part] {
            assert!(heard.at_least <= heard.played && heard.played <= heard.at_most, "{heard:?}");
        }
        let _ = (machine.at_peer(now), machine.round_trip());
    }

    fn finished(&mut self) {
        assert!(self.marks.is_empty(), "marks without an answer: {:?}", self.marks);
    }

    fn is_closed(event: &PlivoEvent) -> bool {
        *event == PlivoEvent::Closed
    }
}

impl Stream {
    fn answered(&mut self, name: &CheckpointName) {
        let Some(open) = self.marks.get_mut(name) else { panic!("`{name}` was answered twice") };
        *open -= 1;
        if *open == 0 {
            self.marks.remove(name);
        }
    }
}

/// Options as in the scripts: `quirk`, `rate` (of linear audio; µ-law without it), `one-way=yes`; and `seed`.
#[derive(Debug, Default)]
struct Caller {
    /// How much of the call the ear has had.
    heard: Duration,
}

impl Subject for Caller {
    type Machine = PlivoCaller;

    fn machine(options: &Options<'_>, now: Instant) -> PlivoCaller {
        let mut config = PlivoCallerConfig::new("call-1", "stream-1").with_header("tenant", "acme");
        for quirk in options.get("quirk").unwrap_or_default().split(',').filter_map(|name| name.parse().ok())
        {
            config = config.with_quirk(quirk);
        }
        if let Some(rate) = options.number("rate").and_then(|hz: u32| SampleRate::try_from(hz).ok()) {
            config = config.with_format(AudioFormat::linear16(rate));
        }
        if options.get("one-way").is_some() {
            config = config.one_way();
        }
        PlivoCaller::new(config.with_seed(options.number("seed").unwrap_or_default()), now)
    }

    fn command(line: &str) -> Option<CallerCommand> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match verb {
            "hang-up" => CallerCommand::HangUp,
            "press" => CallerCommand::Press(rest.chars().next().and_then(Digit::new)?),
            "speak" => CallerCommand::Speak(sound(rest)?),
            _ => return None,
        })
    }

    fn told(&mut self, event: &CallerEvent) {
        match event {
            CallerEvent::Ear(frame) => {
                assert_eq!(frame.at, self.heard, "the ear hears without a pause");
                assert!(frame.played <= frame.audio.len());
                self.heard += Duration::from_millis(20);
            }
            CallerEvent::Rejected { code, .. } => assert!(code.entry().is_some(), "{code}"),
            _ => {}
        }
    }

    fn sent(&mut self, message: &Message, first: bool) {
        let is_start = matches!(message, Message::Text(text) if text.contains(r#""start":"#));
        assert!(is_start || !first || matches!(message, Message::Close(_)), "{message:?}");
    }

    fn is_closed(event: &CallerEvent) -> bool {
        *event == CallerEvent::Closed
    }
}

const START: &str = r#"{"event":"start","start":{"callId":"c","streamId":"s","mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}}}"#;

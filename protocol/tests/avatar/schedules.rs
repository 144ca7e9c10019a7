//! Random schedules of speaking, interrupting, confirming, cutting, failing and expiring, in both
//! revisions: every utterance has one account, no speech follows an interruption, no message is
//! outside its limits, and what was heard lies where the client says.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_protocol::agenthuman::{
    AvatarClientConfig, AvatarCommand, AvatarEvent, AvatarQuirk, AvatarServerCommand, AvatarServerConfig,
    AvatarServerEvent, Heard, HostedSession, InputRate, InterruptOutcome, LinkEnd, Recovery, Revision,
    SpeechEnd,
};
use voxline_protocol::{Machine, Message, UtteranceId};

use crate::pair::{Pair, session};

#[test]
fn random_schedules_lose_no_speech_and_say_none_after_an_interruption() {
    let heavy = std::env::var_os("VOXLINE_HEAVY").is_some();
    let count = if heavy { 300_000 } else { 20_000 };
    let mut totals = Totals::default();
    for seed in 0..count {
        let outcome = std::panic::catch_unwind(|| Schedule::new(seed).play());
        match outcome {
            Ok(schedule) => totals.add(&schedule),
            Err(panic) => {
                println!("schedule {seed} failed; run it alone with Schedule::new({seed}).play()");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{count} schedules: {totals:?}");
    // A test in which nothing happens proves nothing.
    assert!(totals.confirmed > count && totals.interrupted > count / 4 && totals.resent > count / 10);
    assert!(totals.heard_checked > count / 20 && totals.failed > 0 && totals.new_sessions > count / 20);
}

#[derive(Debug, Default)]
struct Totals {
    confirmed: u64,
    interrupted: u64,
    other_ends: u64,
    messages: u64,
    resent: u64,
    heard_checked: u64,
    failed: u64,
    new_sessions: u64,
}

impl Totals {
    fn add(&mut self, one: &Self) {
        self.confirmed += one.confirmed;
        self.interrupted += one.interrupted;
        self.other_ends += one.other_ends;
        self.messages += one.messages;
        self.resent += one.resent;
        self.heard_checked += one.heard_checked;
        self.failed += one.failed;
        self.new_sessions += one.new_sessions;
    }
}

/// One seeded schedule and what must stay true of it.
struct Schedule {
    random: Random,
    revision: Revision,
    rate: InputRate,
    quirks: Vec<AvatarQuirk>,
    pair: Pair,
    floor: u64,
    ceiling: u64,
    /// Speech handed over: id → (first sample in the run of all speech, samples).
    given: HashMap<UtteranceId, (u64, u64)>,
    reported: HashSet<UtteranceId>,
    /// Samples handed over in all, each with its own value so that the server can tell them apart.
    total: u64,
    next_id: u64,
    open: Option<UtteranceId>,
    /// Samples below this were interrupted.
    dead_below: u64,
    /// By the run of all speech: confirmed by a receipt.
    confirmed: Vec<bool>,
    sent_once: Vec<bool>,
    seen_sent: usize,
    seen_events: usize,
    seen_server_events: usize,
    /// By the run of all speech: reached the server.
    arrived: Vec<bool>,
    mouth: Vec<Segment>,
    /// The session established on this link.
    speaking: String,
    fresh_link: bool,
    spurious_errors: bool,
    sessions: u64,
    totals: Totals,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D);
        let revision = if random.chance(2) { Revision::A } else { Revision::B };
        let rate = if random.chance(4) { InputRate::Hz48000 } else { InputRate::Hz16000 };
        let mut quirks: Vec<_> = (0..random.below(3)).map(|_| random.pick(QUIRKS)).collect();
        if revision == Revision::B && random.chance(2) {
            quirks.push(AvatarQuirk::EndOnDisconnect);
        }
        let mut config = AvatarClientConfig::new(session(revision, "sess_0")).with_rate(rate);
        // A hundredth of the real sizes: the same rules with less to copy.
        config.chunks.floor = Duration::from_millis(10);
        config.chunks.best = Duration::from_millis(50);
        config.chunks.good = Duration::from_millis(100);
        config.chunks.ceiling = Duration::from_millis(300);
        config.max_ahead = Duration::from_millis(300 + random.below(700));
        let hosted = HostedSession::new("sess_0", "secret", revision);
        let mut server = AvatarServerConfig::new(vec![hosted]);
        server.quirks.clone_from(&quirks);
        server.confirm_delay = Duration::from_millis(random.below(40));
        let mut pair = Pair::new(config, server);
        pair.delay = Duration::from_millis(1 + random.below(120));
        let per_ms = u64::from(rate.sample_rate().hz()) / 1000;
        Self {
            random,
            revision,
            rate,
            quirks,
            pair,
            floor: 10 * per_ms,
            ceiling: 300 * per_ms,
            given: HashMap::new(),
            reported: HashSet::new(),
            total: 0,
            next_id: 0,
            open: None,
            dead_below: 0,
            confirmed: Vec::new(),
            sent_once: Vec::new(),
            seen_sent: 0,
            seen_events: 0,
            seen_server_events: 0,
            arrived: Vec::new(),
            mouth: Vec::new(),
            speaking: String::new(),
            fresh_link: false,
            spurious_errors: false,
            sessions: 0,
            totals: Totals::default(),
        }
    }

    fn play(mut self) -> Totals {
        for _ in 0..10 + self.random.below(40) {
            self.act();
            self.check();
            if self.pair.failure.is_some() {
                break;
            }
        }
        self.wind_up()
    }

    fn act(&mut self) {
        match self.random.below(16) {
            0..=3 => self.speak(),
            4 | 5 => self.say(),
            6 => self.finish(),
            7 => {
                let _ = self.pair.ask(AvatarCommand::Interrupt);
                self.dead_below = self.total;
                self.open = None;
            }
            8 if self.random.chance(2) => self.pair.cut(),
            9 if self.random.chance(4) => self.inject_error(),
            10 if self.random.chance(6) => self.use_new_session(),
            11 if self.random.chance(8) => self.expire_session(),
            12 => self.pair.run(Duration::from_millis(self.random.below(4_000))),
            _ => self.pair.run(Duration::from_millis(self.random.below(150))),
        }
        self.recover();
    }

    fn samples(&mut self, count: u64) -> Bytes {
        let from = self.total;
        self.total += count;
        self.confirmed.resize(self.total as usize, false);
        self.sent_once.resize(self.total as usize, false);
        self.arrived.resize(self.total as usize, false);
        let bytes = (from..self.total).flat_map(|at| (at as i16 + 1).to_le_bytes()).collect::<Vec<_>>();
        Bytes::from(bytes)
    }

    fn speak(&mut self) {
        let count = 1 + self.random.below(30 * self.floor / 10);
        if self.total + count >= MOST_SAMPLES {
            return;
        }
        let id = self.open.unwrap_or_else(|| UtteranceId::new(self.next_id));
        let audio = self.samples(count);
        let from = self.total - count;
        if self.pair.ask(AvatarCommand::Speak { utterance: id, audio }).is_ok() {
            self.given.entry(id).or_insert((from, 0)).1 += count;
            self.next_id = self.next_id.max(id.get() + 1);
            self.open = Some(id);
        } else {
            assert!(self.pair.failure.is_some(), "speech was refused");
        }
    }

    fn say(&mut self) {
        let count = 1 + self.random.below(15 * self.floor);
        if self.total + count >= MOST_SAMPLES {
            return;
        }
        let id = UtteranceId::new(self.next_id);
        let audio = self.samples(count);
        if self.pair.ask(AvatarCommand::Say { utterance: id, audio }).is_ok() {
            self.given.insert(id, (self.total - count, count));
            self.next_id += 1;
            self.open = None;
        }
    }

    fn finish(&mut self) {
        if let Some(utterance) = self.open.take() {
            let _ = self.pair.ask(AvatarCommand::Finish { utterance });
        }
    }

    fn inject_error(&mut self) {
        self.spurious_errors = true;
        let text = self.random.pick(ERRORS);
        let command = AvatarServerCommand::Send(format!(r#"{{"type":"error","error":"{text}"}}"#));
        self.pair.serve(command);
    }

    fn use_new_session(&mut self) {
        self.sessions += 1;
        self.totals.new_sessions += 1;
        let id = format!("sess_{}", self.sessions);
        let hosted = HostedSession::new(&id, "secret", self.revision);
        let command = AvatarServerCommand::Host(Box::new(hosted));
        self.pair.serve(command);
        let mut next = session(self.revision, &id);
        if self.random.chance(4) {
            next = next.with_expiry(self.pair.now + Duration::from_millis(200 + self.random.below(3_000)));
        }
        let _ = self.pair.ask(AvatarCommand::UseSession(Box::new(next)));
        self.check();
        // The application ends the session it replaces, and its avatar falls silent.
        self.silence(self.pair.now);
    }

    /// The service forgets the session, as when its time is up or its room is empty.
    fn expire_session(&mut self) {
        let id = format!("sess_{}", self.sessions);
        let mut hosted = HostedSession::new(&id, "secret", self.revision);
        hosted.expires_at = Some(self.pair.now);
        let command = AvatarServerCommand::Host(Box::new(hosted));
        self.pair.serve(command);
    }

    /// What the session layer does: dials again, with a new session where the machine asks for one.
    fn recover(&mut self) {
        self.check();
        if self.pair.failure.is_some() || self.pair.is_open() || !self.random.chance(2) {
            return;
        }
        let recovery = self.pair.events.iter().rev().find_map(|(_, event)| match event {
            AvatarEvent::LinkDown { recovery, .. } => Some(*recovery),
            _ => None,
        });
        if recovery == Some(Recovery::NewSession) {
            self.use_new_session();
        }
        self.fresh_link = true;
        self.pair.open();
    }

    /// Everything that happened since the last look, against what must be true.
    fn check(&mut self) {
        for index in self.seen_sent..self.pair.sent.len() {
            let (_, message) = self.pair.sent[index].clone();
            self.check_sent(&message);
        }
        self.seen_sent = self.pair.sent.len();
        for index in self.seen_server_events..self.pair.server_events.len() {
            let (at, event) = self.pair.server_events[index].clone();
            self.watch_server(at, event);
        }
        self.seen_server_events = self.pair.server_events.len();
        for index in self.seen_events..self.pair.events.len() {
            let (at, event) = self.pair.events[index].clone();
            self.check_event(at, &event);
        }
        self.seen_events = self.pair.events.len();
    }

    fn check_sent(&mut self, message: &Message) {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return,
            Message::Binary(_) => panic!("a binary message"),
        };
        self.totals.messages += 1;
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let kind = value["type"].as_str().unwrap();
        assert!(!self.fresh_link || kind == "session.init", "{kind} before session.init");
        self.fresh_link = false;
        assert!(["session.init", "agent.speak", "agent.interrupt"].contains(&kind), "{kind}");
        if kind != "agent.speak" {
            return;
        }
        assert_eq!(value["sample_rate"], self.rate.sample_rate().hz());
        let audio = base64_simd::STANDARD.decode_to_vec(value["audio"].as_str().unwrap()).unwrap();
        let samples = audio.len() as u64 / 2;
        assert!((self.floor..=self.ceiling).contains(&samples), "{samples} samples");
        let (from, until) = voice(&audio).expect("a message of silence");
        assert!(from >= self.dead_below, "{from} was interrupted, up to {}", self.dead_below);
        for at in from..until {
            assert!(!self.confirmed[at as usize], "{at} was confirmed and is sent again");
        }
        if self.sent_once[from as usize] {
            self.totals.resent += 1;
        }
        self.sent_once[from as usize..until as usize].fill(true);
    }

    fn check_event(&mut self, at: Instant, event: &AvatarEvent) {
        match event {
            AvatarEvent::Chunk(receipt) => {
                let (base, _) = self.given[&receipt.utterance];
                for sample in receipt.samples.clone() {
                    let sample = (base + sample) as usize;
                    assert!(!self.confirmed[sample], "{sample} confirmed twice");
                    assert!(self.sent_once[sample], "{sample} confirmed unsent");
                    self.confirmed[sample] = true;
                }
            }
            AvatarEvent::Speech(report) => {
                let (base, given) = self.given[&report.utterance];
                assert!(self.reported.insert(report.utterance), "a second account: {report:?}");
                assert_eq!(report.given, given);
                let confirmed = &self.confirmed[base as usize..(base + given) as usize];
                let prefix = confirmed.iter().take_while(|sample| **sample).count() as u64;
                assert_eq!(report.confirmed_until, prefix, "{report:?}");
                match &report.end {
                    SpeechEnd::Confirmed => {
                        assert_eq!(prefix, given);
                        self.totals.confirmed += 1;
                        self.check_arrived(base, given);
                    }
                    SpeechEnd::Interrupted => self.totals.interrupted += 1,
                    _ => self.totals.other_ends += 1,
                }
            }
            AvatarEvent::Interrupted { outcome, heard, .. } => {
                let is_certain = *outcome == InterruptOutcome::Acknowledged
                    && !self.spurious_errors
                    && !self.has(AvatarQuirk::SilentInterrupt)
                    && !self.has(AvatarQuirk::SlowConfirmation);
                for heard in heard.iter().filter(|_| is_certain) {
                    self.check_heard(heard);
                }
                self.mouth.retain(|segment| segment.stopped.is_none_or(|stopped| stopped > at));
            }
            // The service's avatar falls silent at the same instant.
            AvatarEvent::LinkDown { end: LinkEnd::Expired, .. } => self.silence(at),
            _ => {}
        }
    }

    /// What the server took and said, as the truth to compare with.
    fn watch_server(&mut self, at: Instant, event: AvatarServerEvent) {
        match event {
            AvatarServerEvent::Speech { audio, plays_from, .. } => {
                let (from, until) = voice(&audio).unwrap();
                self.arrived[from as usize..until as usize].fill(true);
                if self.speaking == format!("sess_{}", self.sessions) {
                    self.mouth.push(Segment { from, until, plays_from, stopped: None });
                }
            }
            AvatarServerEvent::Established { session_id, .. } => self.speaking = session_id,
            AvatarServerEvent::Interrupted { .. }
            | AvatarServerEvent::SessionExpired { .. }
            | AvatarServerEvent::Disconnected { ends_session: true, .. } => self.silence(at),
            _ => {}
        }
    }

    fn silence(&mut self, at: Instant) {
        for segment in &mut self.mouth {
            segment.stopped.get_or_insert(at);
        }
    }

    /// Speech that counts as confirmed did arrive, unless the server lied about it.
    fn check_arrived(&self, base: u64, given: u64) {
        let lies = self.spurious_errors || self.has(AvatarQuirk::SlowConfirmation);
        let all = &self.arrived[base as usize..(base + given) as usize];
        assert!(lies || all.iter().all(|sample| *sample), "confirmed, but it never arrived");
    }

    fn check_heard(&mut self, heard: &Heard) {
        let (base, given) = self.given[&heard.utterance];
        let rate = self.rate.sample_rate();
        let own = self.mouth.iter().filter(|segment| (base..base + given).contains(&segment.from));
        let truth = own
            .filter_map(|segment| {
                let said = segment.stopped?.checked_duration_since(segment.plays_from)?;
                Some(
                    rate.duration_of(segment.from - base)
                        + said.min(rate.duration_of(segment.until - segment.from)),
                )
            })
            .max()
            .unwrap_or_default();
        let slack = Duration::from_micros(100);
        assert!(
            heard.at_least <= truth + slack && truth <= heard.at_most + slack,
            "{heard:?}, in truth {truth:?}"
        );
        self.totals.heard_checked += 1;
    }

    fn has(&self, quirk: AvatarQuirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// Gives everything time to end, then closes: nothing may be left without an account.
    fn wind_up(mut self) -> Totals {
        self.finish();
        for _ in 0..600 {
            self.recover();
            if self.pair.failure.is_some() || self.reported.len() == self.given.len() {
                break;
            }
            self.pair.run(Duration::from_millis(500));
        }
        self.check();
        let is_over = self.pair.failure.is_some();
        assert!(
            is_over || self.reported.len() == self.given.len(),
            "speech without an account after 5 minutes"
        );
        if is_over {
            self.totals.failed += 1;
        } else {
            self.pair.ask(AvatarCommand::Close).unwrap();
            self.pair.run(Duration::from_secs(5));
        }
        self.check();
        assert_eq!(self.reported.len(), self.given.len());
        assert!(self.pair.client.is_finished());
        assert_eq!(self.pair.events.last().map(|(_, event)| event), Some(&AvatarEvent::Closed));
        self.totals
    }
}

/// One message in the server's mouth, by the run of all speech.
struct Segment {
    from: u64,
    until: u64,
    plays_from: Instant,
    stopped: Option<Instant>,
}

/// Which samples of the run of all speech a message carries; silence follows at most.
fn voice(audio: &[u8]) -> Option<(u64, u64)> {
    let values: Vec<_> = audio.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let voiced = values.iter().take_while(|value| **value != 0).count();
    assert!(values[voiced..].iter().all(|value| *value == 0), "a hole in the speech");
    assert!(values[..voiced].windows(2).all(|two| two[1] == two[0] + 1), "speech out of order");
    let first = *values.first().filter(|_| voiced > 0)? as u64 - 1;
    Some((first, first + voiced as u64))
}

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Samples one schedule may hand over: each has a value of its own in sixteen bits.
const MOST_SAMPLES: u64 = 32_000;

const QUIRKS: &[AvatarQuirk] = &[
    AvatarQuirk::BinaryAnswer,
    AvatarQuirk::CloseMidStream,
    AvatarQuirk::CloseOnError,
    AvatarQuirk::DropThirdConfirmation,
    AvatarQuirk::ErrorAsObject,
    AvatarQuirk::ErrorInMessage,
    AvatarQuirk::ErrorTypeSuffix,
    AvatarQuirk::ForgetOnInterrupt,
    AvatarQuirk::FractionalCount,
    AvatarQuirk::InterruptedName,
    AvatarQuirk::KeepOnError,
    AvatarQuirk::NoCount,
    AvatarQuirk::NoSessionId,
    AvatarQuirk::NotFoundOnce,
    AvatarQuirk::SilentInit,
    AvatarQuirk::SilentInterrupt,
    AvatarQuirk::SlowConfirmation,
    AvatarQuirk::TripleCount,
    AvatarQuirk::UnknownError,
    AvatarQuirk::UnknownEvent,
];

const ERRORS: &[&str] = &[
    "First message must be session.init",
    "Invalid room platform",
    "Invalid video dimensions",
    "Invalid aspect ratio",
    "Invalid session id - server not assigned or session id mismatch",
    "Failed to fetch video path",
    "Session not found",
    "Invalid JSON format",
    "No audio data provided",
    "Failed to process audio: decoder busy",
    "Unknown message type: agent.speak",
    "Invalid session configuration",
    "The avatar is shy today",
];

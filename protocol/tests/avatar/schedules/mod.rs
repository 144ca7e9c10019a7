//! Random schedules of speaking, interrupting, confirming, cutting, failing and expiring, in both
//! revisions: every utterance has one account, no speech follows an interruption, no message is
//! outside its limits, and what was heard lies where the client says.

mod truth;

use std::time::Duration;

use voxline_protocol::agenthuman::{
    AvatarClientConfig, AvatarCommand, AvatarEvent, AvatarQuirk, AvatarServerCommand, AvatarServerConfig,
    HostedSession, InputRate, Recovery, Revision,
};
use voxline_protocol::{Dice, Machine, UtteranceId};

use self::truth::{MOST_SAMPLES, Truth};
use crate::pair::{Pair, session};

#[test]
fn random_schedules_lose_no_speech_and_say_none_after_an_interruption() {
    let heavy = std::env::var_os("VOXLINE_HEAVY").is_some();
    let count = if heavy { 1_000_000 } else { 100_000 };
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

/// What happened in all of them.
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

/// One seeded schedule, played against what must stay true of it.
struct Schedule {
    dice: Dice,
    revision: Revision,
    pair: Pair,
    truth: Truth,
    floor: u64,
    next_id: u64,
    open: Option<UtteranceId>,
    seen_sent: usize,
    seen_events: usize,
    seen_server_events: usize,
    sessions: u64,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D);
        let revision = if chance(&mut dice, 2) { Revision::A } else { Revision::B };
        let rate = if chance(&mut dice, 4) { InputRate::Hz48000 } else { InputRate::Hz16000 };
        let mut quirks: Vec<_> = (0..dice.within(0..3)).map(|_| pick(&mut dice, QUIRKS)).collect();
        if revision == Revision::B && chance(&mut dice, 2) {
            quirks.push(AvatarQuirk::EndOnDisconnect);
        }
        let mut config = AvatarClientConfig::new(session(revision, "sess_0")).with_rate(rate);
        // A hundredth of the real sizes: the same rules with less to copy.
        config.chunks.floor = Duration::from_millis(10);
        config.chunks.best = Duration::from_millis(50);
        config.chunks.good = Duration::from_millis(100);
        config.chunks.ceiling = Duration::from_millis(300);
        config.max_ahead = Duration::from_millis(dice.within(300..1000));
        let hosted = HostedSession::new("sess_0", "secret", revision);
        let mut server = AvatarServerConfig::new(vec![hosted]);
        server.quirks.clone_from(&quirks);
        server.confirm_delay = Duration::from_millis(dice.within(0..40));
        let mut pair = Pair::new(config, server);
        pair.delay = Duration::from_millis(dice.within(1..121));
        let per_ms = u64::from(rate.sample_rate().hz()) / 1000;
        Self {
            dice,
            revision,
            pair,
            truth: Truth::new(rate, 10 * per_ms..=300 * per_ms, quirks),
            floor: 10 * per_ms,
            next_id: 0,
            open: None,
            seen_sent: 0,
            seen_events: 0,
            seen_server_events: 0,
            sessions: 0,
        }
    }

    fn play(mut self) -> Totals {
        for _ in 0..10 + self.dice.within(0..40) {
            self.act();
            self.check();
            if self.pair.failure.is_some() {
                break;
            }
        }
        self.wind_up()
    }

    fn act(&mut self) {
        match self.dice.within(0..16) {
            0..=3 => self.speak(),
            4 | 5 => self.say(),
            6 => self.finish(),
            7 => {
                let _ = self.pair.ask(AvatarCommand::Interrupt);
                self.truth.interrupt();
                self.open = None;
            }
            8 if chance(&mut self.dice, 2) => self.pair.cut(),
            9 if chance(&mut self.dice, 4) => self.inject_error(),
            10 if chance(&mut self.dice, 6) => self.use_new_session(),
            11 if chance(&mut self.dice, 8) => self.expire_session(),
            12 => self.pair.run(Duration::from_millis(self.dice.within(0..4_000))),
            _ => self.pair.run(Duration::from_millis(self.dice.within(0..150))),
        }
        self.recover();
    }

    fn speak(&mut self) {
        let count = 1 + self.dice.within(0..3 * self.floor);
        if self.truth.total() + count >= MOST_SAMPLES {
            return;
        }
        let utterance = self.open.unwrap_or_else(|| UtteranceId::new(self.next_id));
        let audio = self.truth.samples(count);
        if self.pair.ask(AvatarCommand::Speak { utterance, audio }).is_ok() {
            self.truth.give(utterance, count);
            self.next_id = self.next_id.max(utterance.get() + 1);
            self.open = Some(utterance);
        } else {
            assert!(self.pair.failure.is_some(), "speech was refused");
        }
    }

    fn say(&mut self) {
        // Now and then more than one message may carry.
        let most = if chance(&mut self.dice, 6) { 45 } else { 15 };
        let count = 1 + self.dice.within(0..most * self.floor);
        if self.truth.total() + count >= MOST_SAMPLES {
            return;
        }
        let utterance = UtteranceId::new(self.next_id);
        let audio = self.truth.samples(count);
        if self.pair.ask(AvatarCommand::Say { utterance, audio }).is_ok() {
            self.truth.give(utterance, count);
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
        self.truth.spurious_errors = true;
        let text = pick(&mut self.dice, ERRORS);
        let command = AvatarServerCommand::Send(format!(r#"{{"type":"error","error":"{text}"}}"#));
        self.pair.serve(command);
    }

    fn use_new_session(&mut self) {
        self.sessions += 1;
        self.truth.totals.new_sessions += 1;
        let id = format!("sess_{}", self.sessions);
        let mut hosted = HostedSession::new(&id, "secret", self.revision);
        let mut next = session(self.revision, &id);
        if chance(&mut self.dice, 4) {
            let expiry = self.pair.now + Duration::from_millis(self.dice.within(200..3_200));
            hosted.expires_at = Some(expiry);
            next = next.with_expiry(expiry);
        }
        let command = AvatarServerCommand::Host(Box::new(hosted));
        self.pair.serve(command);
        let _ = self.pair.ask(AvatarCommand::UseSession(Box::new(next)));
        self.check();
        // The application ends the session it replaces, and its avatar falls silent.
        self.truth.use_session(id, self.pair.now);
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
        if self.pair.failure.is_some() || self.pair.is_open() || !chance(&mut self.dice, 2) {
            return;
        }
        let recovery = self.pair.events.iter().rev().find_map(|(_, event)| match event {
            AvatarEvent::LinkDown { recovery, .. } => Some(*recovery),
            _ => None,
        });
        if recovery == Some(Recovery::NewSession) {
            self.use_new_session();
        }
        self.truth.open_link();
        self.pair.open();
    }

    /// Everything that happened since the last look, against what must be true.
    fn check(&mut self) {
        let events = &self.pair.events[self.seen_events..];
        self.truth.watch_link(events);
        for (at, message) in &self.pair.sent[self.seen_sent..] {
            self.truth.check_sent(*at, message);
        }
        self.seen_sent = self.pair.sent.len();
        for (at, event) in &self.pair.server_events[self.seen_server_events..] {
            self.truth.watch_server(*at, event);
        }
        self.seen_server_events = self.pair.server_events.len();
        for (at, event) in events {
            self.truth.check_event(*at, event);
        }
        self.seen_events = self.pair.events.len();
    }

    /// Gives everything time to end, then closes: nothing may be left without an account.
    fn wind_up(mut self) -> Totals {
        self.finish();
        for _ in 0..600 {
            self.recover();
            if self.pair.failure.is_some() || self.truth.is_all_reported() {
                break;
            }
            self.pair.run(Duration::from_millis(500));
        }
        self.check();
        let is_over = self.pair.failure.is_some();
        assert!(is_over || self.truth.is_all_reported(), "speech without an account after 5 minutes");
        if is_over {
            self.truth.totals.failed += 1;
        } else {
            self.pair.ask(AvatarCommand::Close).unwrap();
            self.pair.run(Duration::from_secs(5));
        }
        self.check();
        assert!(self.truth.is_all_reported());
        assert!(self.pair.client.is_finished());
        assert_eq!(self.pair.events.last().map(|(_, event)| event), Some(&AvatarEvent::Closed));
        self.truth.totals
    }
}

fn chance(dice: &mut Dice, one_in: u64) -> bool {
    dice.within(0..one_in) == 0
}

fn pick<T: Copy>(dice: &mut Dice, from: &[T]) -> T {
    from[dice.within(0..from.len() as u64) as usize]
}

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

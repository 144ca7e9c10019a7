//! Speech as the service takes it, confirms it, and stops it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::check::check_speech;
use super::{AvatarServer, AvatarServerEvent, Due, Timer};
use crate::agenthuman::wire::{self, SpeakMessage, ToClient};
use crate::agenthuman::{AvatarQuirk, VendorError};
use crate::json::decode;
use crate::{CloseFrame, Message, UtteranceId};

impl AvatarServer {
    pub(super) fn on_speak(&mut self, now: Instant, text: &str) {
        self.speaks += 1;
        let verdict = match decode::<SpeakMessage<'_>>(text) {
            Ok(message) => check_speech(&message),
            Err(error) => Err(VendorError::AudioProcessingFailed { detail: error.what }),
        };
        let (audio, rate_hz) = match verdict {
            Ok(speech) => speech,
            Err(error) => return self.refuse(error, false),
        };
        if self.has(AvatarQuirk::CloseMidStream) && self.speaks == 3 {
            self.close(CloseFrame::normal());
            return;
        }
        let exact = (audio.len() / 2) as f64 * 16_000.0 / f64::from(rate_hz);
        let length = Duration::from_secs_f64(exact / 16_000.0);
        let ours = UtteranceId::new(self.speaks);
        let (plays_from, plays_until) = self.mouth.add(now, ours, Duration::ZERO..length, length);
        let is_advised_length = ADVISED.contains(&length);
        self.events.push_back(AvatarServerEvent::Speech {
            audio,
            rate_hz,
            plays_from,
            plays_until,
            is_advised_length,
        });
        if !(self.has(AvatarQuirk::DropThirdConfirmation) && self.speaks.is_multiple_of(3)) {
            self.confirm(now, exact);
        }
    }

    fn confirm(&mut self, now: Instant, exact: f64) {
        let count = if self.has(AvatarQuirk::NoCount) {
            None
        } else if self.has(AvatarQuirk::FractionalCount) {
            Some(json!(exact + 0.25))
        } else if self.has(AvatarQuirk::TripleCount) {
            Some(json!(exact.round() as u64 * 3))
        } else {
            Some(json!(exact.round() as u64))
        };
        let message = ToClient { kind: wire::SPEAK_CONFIRMED, audio_samples: count, ..ToClient::default() };
        let mut delay = self.config.confirm_delay;
        if self.has(AvatarQuirk::SlowConfirmation) {
            delay = delay.saturating_add(SLOW);
        }
        // A delay beyond all time is a service that never confirms.
        if let Some(at) = now.checked_add(delay) {
            self.answer(at, message.to_text());
        }
    }

    /// Answers leave in the order of their questions.
    fn answer(&mut self, at: Instant, text: String) {
        let at = self.due.back().map_or(at, |last| last.at.max(at));
        self.due.push_back(Due { at, text });
        self.release();
    }

    pub(super) fn release(&mut self) {
        while self.due.front().is_some_and(|due| self.now.is_some_and(|now| due.at <= now)) {
            self.outbox.extend(self.due.pop_front().map(|due| Message::Text(due.text)));
        }
        self.arm_due();
    }

    fn arm_due(&mut self) {
        match self.due.front() {
            Some(due) => self.timers.set(Timer::Confirm, due.at),
            None => self.timers.stop(Timer::Confirm),
        }
    }

    pub(super) fn on_interrupt(&mut self, now: Instant) {
        let dropped = self.mouth.ahead(now);
        self.mouth.clear();
        if self.has(AvatarQuirk::ForgetOnInterrupt) {
            self.due.clear();
            self.arm_due();
        }
        self.events.push_back(AvatarServerEvent::Interrupted { dropped });
        if self.has(AvatarQuirk::SilentInterrupt) {
            return;
        }
        let kind = if self.has(AvatarQuirk::InterruptedName) {
            "agent.interrupted"
        } else {
            wire::INTERRUPT_CONFIRMED
        };
        self.answer(now, ToClient { kind, ..ToClient::default() }.to_text());
    }
}

const SLOW: Duration = Duration::from_secs(3);
/// What the vendor advises for one message.
const ADVISED: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);

//! Speech on its way out, and the barge-in that stops it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{AvatarClient, AvatarEvent, Heard, InterruptOutcome, PendingInterrupt, State, Timer};
use crate::agenthuman::speech::{SpeechEnd, Standing};
use crate::agenthuman::{Revision, audio, wire};
use crate::{Code, CommandError, Message, UtteranceId};

impl AvatarClient {
    pub(super) fn say(&mut self, utterance: UtteranceId, audio: Bytes) -> Result<(), CommandError> {
        let standing = match self.speech.standing(utterance) {
            Standing::New => Standing::New,
            Standing::Open | Standing::Over => Standing::Over,
        };
        self.check_speech(&audio, standing).map_err(|reason| not_taken(utterance, reason))?;
        self.speech.push(utterance, audio, false);
        self.speech.finish(utterance);
        self.report_completed();
        Ok(())
    }

    pub(super) fn speak(&mut self, utterance: UtteranceId, audio: Bytes) -> Result<(), CommandError> {
        let standing = self.speech.standing(utterance);
        self.check_speech(&audio, standing).map_err(|reason| not_taken(utterance, reason))?;
        self.speech.push(utterance, audio, true);
        self.report_completed();
        Ok(())
    }

    fn check_speech(&self, audio: &Bytes, standing: Standing) -> Result<(), CommandError> {
        if standing == Standing::Over {
            return Err(CommandError::Invalid {
                field: "utterance",
                seen: "over already".to_owned(),
                remedy: "number a new utterance higher than every one before",
            });
        }
        audio::check_speech(audio, standing == Standing::New)?;
        if audio.len() > Revision::A.max_message_bytes() {
            return Err(CommandError::WouldRefuse {
                code: Code::new("agenthuman/message-too-large"),
                seen: format!("audio of {} bytes", audio.len()),
                remedy: "hand it over in pieces of at most 30 seconds",
            });
        }
        let samples = self.speech.unsent() + (audio.len() / 2) as u64;
        if self.config.rate.duration(samples) > self.config.max_unsent {
            return Err(CommandError::QueueFull {
                limit: self.config.max_unsent.as_millis() as usize,
                unit: "ms of unsent speech",
            });
        }
        if standing == Standing::New && self.speech.utterances() >= MAX_UTTERANCES {
            return Err(CommandError::QueueFull { limit: MAX_UTTERANCES, unit: "utterances" });
        }
        Ok(())
    }

    /// The next speech message, if there is enough for one and room for it.
    pub(super) fn poll_speech(&mut self, now: Instant) -> Option<Message> {
        self.timers.stop(Timer::Pace);
        let left = self.earliest.ahead(now);
        let low = self.config.chunks.floor;
        let starving = left <= low;
        let Some(length) = self.speech.next_length(starving) else {
            if self.speech.could_starve() {
                self.timers.after(Timer::Pace, now, left - low);
            }
            return None;
        };
        let ahead = left.max(self.speech.in_flight());
        if ahead > Duration::ZERO && ahead + length > self.config.max_ahead {
            // What is not being said yet needs an answer first, and that wakes us by itself.
            let excess = (ahead + length).saturating_sub(self.config.max_ahead);
            if ahead == left && excess <= left {
                self.timers.after(Timer::Pace, now, excess);
            }
            return None;
        }
        let chunk = self.speech.send(now, starving)?;
        self.earliest.add(now, chunk.utterance, chunk.voice(self.config.rate), length);
        self.silent_since = None;
        self.arm_confirm(now);
        Some(Message::Text(wire::speak(&chunk.audio, self.config.rate)))
    }

    pub(super) fn arm_confirm(&mut self, now: Instant) {
        if self.speech.is_anything_in_flight() && self.timers.get(Timer::Confirm).is_none() {
            self.timers.after(Timer::Confirm, now, self.confirm_limit());
        }
    }

    /// The confirmation timeout, and the time a slow uplink needs for all that is on its way.
    pub(super) fn confirm_limit(&self) -> Duration {
        let text_bytes = self.speech.in_flight_bytes() as u64 * 4 / 3;
        let upload_ms = text_bytes * 1000 / u64::from(self.config.min_uplink.max(1));
        self.config.confirm_timeout.saturating_add(Duration::from_millis(upload_ms))
    }

    pub(super) fn report_completed(&mut self) {
        while let Some(report) = self.speech.completed() {
            self.events.push_back(AvatarEvent::Speech(report));
        }
    }

    pub(super) fn interrupt(&mut self, now: Instant) {
        self.epoch = self.epoch.next();
        let heard_at = self.silent_since.unwrap_or(now);
        let mut cut_off = self.latest.unfinished(heard_at);
        for report in self.speech.drop_all(&SpeechEnd::Interrupted) {
            // Sent without a confirmation: it may have been said or not.
            if report.chunks > 0 && !cut_off.contains(&report.utterance) {
                cut_off.push(report.utterance);
            }
            self.events.push_back(AvatarEvent::Speech(report));
        }
        self.timers.stop(Timer::Confirm);
        self.timers.stop(Timer::Pace);
        // One that is open already has nothing more to stop at the service: speech waits for its end.
        let open = self.interrupt.take();
        let must_ask =
            open.is_some() || self.state == State::Ready || self.latest.ahead(heard_at) > Duration::ZERO;
        let reached = |utterance| (utterance, self.latest.reached(utterance, heard_at));
        let cut_off = match open {
            Some(open) => open.cut_off,
            None => cut_off.into_iter().map(reached).collect(),
        };
        self.interrupt = Some(PendingInterrupt { epoch: self.epoch, cut_off });
        if !must_ask {
            self.finish_interrupt(now, InterruptOutcome::NotNeeded);
        }
    }

    pub(super) fn on_interrupt_answer(&mut self, now: Instant, outcome: InterruptOutcome, kind: String) {
        if self.state == State::Interrupting {
            self.state = State::Ready;
            self.finish_interrupt(now, outcome);
        } else {
            self.unhandled(kind);
        }
    }

    pub(super) fn finish_interrupt(&mut self, now: Instant, outcome: InterruptOutcome) {
        self.timers.stop(Timer::Interrupt);
        let Some(pending) = self.interrupt.take() else { return };
        let heard = pending.cut_off.into_iter().map(|(utterance, at_least)| {
            let at_most = self.earliest.reached(utterance, now).max(at_least);
            Heard { utterance, at_least, at_most }
        });
        let (epoch, heard) = (pending.epoch, heard.collect());
        self.earliest.clear();
        self.latest.clear();
        self.events.push_back(AvatarEvent::Interrupted { epoch, outcome, heard });
    }
}

fn not_taken(utterance: UtteranceId, reason: CommandError) -> CommandError {
    CommandError::Speech { utterance, reason: Box::new(reason) }
}

/// Utterances held at once.
const MAX_UTTERANCES: usize = 256;

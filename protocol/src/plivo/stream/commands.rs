//! What the application asks: audio, marks, barge-in, tones, the end.

use std::time::Instant;

use bytes::Bytes;

use super::super::playout::Playout;
use super::super::types::{CheckpointName, DegradedLevel, Digit};
use super::super::wire;
use super::event::{ClearedBy, PlivoEvent, SkipReason};
use super::{PlivoStream, State, Timer, is_wav};
use crate::{CloseFrame, Code, CommandError, Message};

impl PlivoStream {
    /// Queues audio in the stream's own format.
    ///
    /// # Errors
    /// The stream has not started or is over; the audio is not whole samples or begins with a WAV
    /// header; the queue is full.
    pub fn play(&mut self, now: Instant, audio: Bytes) -> Result<(), CommandError> {
        let limit = self.config.max_queued;
        let playout = self.started(now)?;
        if !audio.len().is_multiple_of(playout.format().encoding.bytes_per_sample()) {
            return Err(CommandError::PartialSample { got: audio.len() });
        }
        if is_wav(&audio) {
            return Err(CommandError::WouldRefuse {
                code: Code::new("plivo/incorrect-payload"),
                seen: "audio begins with a WAV header".to_owned(),
                remedy: "give raw samples",
            });
        }
        if playout.queued() + playout.format().duration_of(audio.len()) > limit {
            let limit = usize::try_from(limit.as_millis()).unwrap_or(usize::MAX);
            return Err(CommandError::QueueFull { limit, unit: "ms of audio" });
        }
        if !audio.is_empty() {
            playout.play(audio);
        }
        Ok(())
    }

    /// Sets a mark behind everything queued so far.
    ///
    /// # Errors
    /// The stream has not started or is over; the name is longer than 1,024 bytes; too many marks are pending.
    pub fn checkpoint(&mut self, now: Instant, name: impl Into<CheckpointName>) -> Result<(), CommandError> {
        let name = name.into();
        let playout = self.started(now)?;
        check_length("checkpoint", name.as_str().len())?;
        if playout.pending_marks() >= MAX_MARKS {
            return Err(CommandError::QueueFull { limit: MAX_MARKS, unit: "checkpoints" });
        }
        playout.checkpoint(name);
        Ok(())
    }

    /// Barge-in: drops what is queued here, and asks Plivo to drop what it holds. New audio may follow at once.
    ///
    /// # Errors
    /// The stream has not started or is over.
    pub fn clear(&mut self, now: Instant) -> Result<(), CommandError> {
        let now = self.advance(now);
        let playout = self.started(now)?;
        let clearing = playout.clear(now);
        let dropped = playout.format().duration_of(clearing.unheard.len());
        self.stats.clears += 1;
        self.events.push_back(PlivoEvent::Cleared {
            dropped,
            unheard: clearing.unheard,
            heard: clearing.heard,
            by: ClearedBy::Us,
        });
        self.skip(clearing.skipped, SkipReason::Cleared);
        if clearing.tell {
            let stream_id = self.info.as_ref().map_or("", |info| info.stream_id.as_str());
            self.urgent.push_back(Message::Text(wire::event("clearAudio", &[("streamId", stream_id)])));
        }
        self.settle_silent_clears();
        Ok(())
    }

    /// Sends key tones, at once and beside the audio queue.
    ///
    /// # Errors
    /// The stream is not live; nothing was pressed, or more than 1,024 keys; too many tones wait for the link.
    pub fn send_dtmf(&mut self, now: Instant, digits: &[Digit]) -> Result<(), CommandError> {
        self.started(now)?;
        if digits.is_empty() {
            return Err(CommandError::Invalid {
                field: "dtmf",
                seen: "empty".to_owned(),
                remedy: "give at least one key",
            });
        }
        check_length("dtmf", digits.len())?;
        if self.state != State::Live {
            return Err(CommandError::NotStarted);
        }
        if self.urgent.len() >= MAX_URGENT {
            return Err(CommandError::QueueFull { limit: MAX_URGENT, unit: "messages" });
        }
        let digits: String = digits.iter().map(|digit| digit.as_char()).collect();
        self.urgent.push_back(Message::Text(wire::event("sendDTMF", &[("dtmf", &digits)])));
        Ok(())
    }

    /// Ends the stream. What is still queued is lost.
    pub fn close(&mut self, now: Instant) {
        let now = self.advance(now);
        match self.state {
            State::AwaitingStart | State::Live => {
                self.drop_marks(SkipReason::Ended);
                self.urgent.clear();
                self.urgent.push_back(Message::Close(CloseFrame::normal()));
                self.timers.stop_all();
                self.timers.after(Timer::Close, now, self.config.close_timeout);
                self.state = State::Closing;
            }
            State::Down => self.finish(),
            State::Closing | State::Finished => {}
        }
    }

    /// Lowers the lead to what a congested Plivo can take, or restores it.
    pub(super) fn degrade(&mut self, level: Option<DegradedLevel>) {
        self.lead = match level {
            None => self.config.lead,
            Some(DegradedLevel::Thirty) => self.config.lead * 3 / 4,
            Some(DegradedLevel::Sixty) => self.config.lead / 2,
            Some(DegradedLevel::Ninety) => self.config.lead / 4,
        };
    }

    fn started(&mut self, now: Instant) -> Result<&mut Playout, CommandError> {
        self.advance(now);
        match self.state {
            State::AwaitingStart | State::Down | State::Live => {
                self.playout.as_mut().ok_or(CommandError::NotStarted)
            }
            State::Closing | State::Finished => Err(CommandError::Closed),
        }
    }
}

/// Plivo takes no message of more than 64 KB, and an escaped character may take six bytes.
fn check_length(field: &'static str, bytes: usize) -> Result<(), CommandError> {
    if bytes <= MAX_NAME {
        return Ok(());
    }
    Err(CommandError::Invalid { field, seen: format!("{bytes} bytes long"), remedy: "give at most 1,024" })
}

/// Bytes of a mark's name, and keys of one message.
const MAX_NAME: usize = 1_024;
/// Marks that may be pending at once: an hour of sentences.
const MAX_MARKS: usize = 1_024;
/// Key tones and clears that may wait for the link.
const MAX_URGENT: usize = 64;

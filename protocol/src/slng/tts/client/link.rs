//! What links and commands do to a speech session: openings, ends, clears, closes, deadlines.

use bytes::Bytes;

use super::turn::Leftover;
use super::{Link, Timer, TtsClient};
use crate::error::words;
use crate::slng::codes;
use crate::slng::tts::{Truncation, TtsEvent};
use crate::slng::wire::{
    Ready, Terminal, ToTts, TtsInitConfig, TtsMessage, VendorError, encode, encoding_name, error_body,
    read_tts,
};
use crate::{CloseFrame, Code, DecodeError, Machine, Message, ProtocolError};

impl TtsClient {
    pub(super) fn on_opened(&mut self) {
        match self.link {
            Link::Over => return,
            Link::Down => {}
            // A new link replaces the old one, whose end was not told.
            Link::AwaitingReady
            | Link::Clearing { .. }
            | Link::Closing
            | Link::Quiet
            | Link::Ready
            | Link::Retired => self.on_closed(None),
        }
        if self.link == Link::Over {
            return;
        }
        self.life = self.life.next();
        self.link = Link::AwaitingReady;
        self.useful = false;
        let config = TtsInitConfig {
            encoding: encoding_name(self.config.format.encoding),
            sample_rate: self.config.format.rate.hz(),
            language: self.config.language.as_deref(),
            speed: self.config.speed,
        };
        let init = encode(&ToTts::Init { voice: &self.config.voice, config });
        self.outbox.push_back(Message::Text(init));
        self.timers.after(Timer::Ready, self.now, self.config.ready_timeout);
    }

    pub(super) fn on_closed(&mut self, frame: Option<CloseFrame>) {
        self.timers.stop_all();
        self.outbox.clear();
        match self.link {
            Link::Down | Link::Over => return,
            Link::Closing => return self.finish(),
            Link::Clearing { dropped } => self.events.push_back(TtsEvent::Cleared { dropped_bytes: dropped }),
            Link::AwaitingReady | Link::Quiet | Link::Ready | Link::Retired => {}
        }
        self.link = Link::Down;
        let in_order = frame.as_ref().is_some_and(|frame| frame.code == CloseFrame::NORMAL);
        match &self.turn {
            Some(turn) if in_order && self.closes_by_ending(turn) => self.end_turn(Terminal::Other),
            Some(_) => self.lose_turn(Truncation::LinkLost),
            None => {}
        }
        self.leftover = None;
        self.intake.reset();
        self.events.push_back(TtsEvent::LinkLost(frame));
    }

    pub(super) fn on_text(&mut self, text: &str) -> Result<(), ProtocolError> {
        let message = match read_tts(text) {
            Ok(message) => message,
            Err(error) => return self.on_garbled(error),
        };
        self.garbled_in_a_row = 0;
        match message {
            TtsMessage::Audio { audio, last } => {
                self.on_audio(Bytes::from(audio));
                if let Some(terminal) = last {
                    self.on_terminal(terminal);
                }
            }
            TtsMessage::Cleared => self.on_cleared(),
            TtsMessage::Error(error) => return self.on_error(error),
            TtsMessage::Ignored => {}
            TtsMessage::Ready(ready) => self.on_ready(ready),
            TtsMessage::Terminal(terminal) => self.on_terminal(terminal),
            TtsMessage::Unhandled(kind) => {
                self.stats.unhandled += 1;
                self.events.push_back(TtsEvent::Unhandled { kind: words(&kind) });
            }
            TtsMessage::Words(words) => self.on_words(&words),
        }
        Ok(())
    }

    fn on_garbled(&mut self, error: DecodeError) -> Result<(), ProtocolError> {
        self.stats.garbled += 1;
        self.garbled_in_a_row += 1;
        if self.garbled_in_a_row > MAX_GARBLED {
            let what = "messages that do not parse";
            return Err(self.fail(ProtocolError::LimitExceeded { what, limit: MAX_GARBLED }));
        }
        self.events.push_back(TtsEvent::Garbled { error });
        Ok(())
    }

    fn on_ready(&mut self, ready: Ready) {
        if self.link == Link::AwaitingReady {
            self.link = Link::Ready;
            self.timers.stop(Timer::Ready);
            self.arm_keepalive();
            let Ready { session_id, request_id } = ready;
            self.events.push_back(TtsEvent::Ready { session_id, request_id });
        }
    }

    pub(super) fn on_binary(&mut self, audio: Bytes) -> Result<(), ProtocolError> {
        match error_body(&audio) {
            Some(error) => {
                let code = if error.code == codes::UNKNOWN { codes::ERROR_BODY } else { error.code };
                self.on_error(VendorError { code, ..error })
            }
            None => {
                self.on_audio(audio);
                Ok(())
            }
        }
    }

    fn on_error(&mut self, error: VendorError) -> Result<(), ProtocolError> {
        match self.link {
            Link::Closing | Link::Down | Link::Over | Link::Retired => return Ok(()),
            Link::AwaitingReady | Link::Clearing { .. } | Link::Quiet | Link::Ready => {}
        }
        if !codes::retryable(error.code) {
            return Err(self.fail(ProtocolError::Peer { code: error.code, message: error.message }));
        }
        // Whether a link survives an error is documented nowhere; the vendor's clients drop it.
        self.stated_wait = error.retry_after;
        self.warn(error.code, error.message);
        self.retire(Truncation::LinkLost);
        Ok(())
    }

    pub(super) fn on_clear(&mut self) {
        let mut dropped = 0;
        self.events.retain(|event| {
            if let TtsEvent::Audio { audio, .. } = event {
                dropped += audio.len() as u64;
            }
            !Self::is_perishable(event)
        });
        self.stats.dropped_bytes += dropped;
        self.text.clear();
        self.intake.reset();
        self.timers.stop(Timer::Terminal);
        self.timers.stop(Timer::Settle);
        let owed = self.turn.take().is_some();
        match &mut self.link {
            Link::Ready if owed => {
                self.link = Link::Clearing { dropped };
                self.leftover = Some(Leftover::Any);
                self.outbox.push_back(Message::Text(encode(&ToTts::Clear)));
                self.timers.after(Timer::Clear, self.now, self.config.clear_timeout);
            }
            // It joins the clear that is unanswered.
            Link::Clearing { dropped: before } => *before += dropped,
            Link::AwaitingReady | Link::Down | Link::Quiet | Link::Ready | Link::Retired => {
                self.events.push_back(TtsEvent::Cleared { dropped_bytes: dropped });
            }
            Link::Closing | Link::Over => {}
        }
    }

    fn on_cleared(&mut self) {
        let Link::Clearing { dropped } = self.link else { return };
        self.timers.stop(Timer::Clear);
        self.link = Link::Quiet;
        self.timers.after(Timer::Quiet, self.now, self.config.clear_quiet);
        self.events.push_back(TtsEvent::Cleared { dropped_bytes: dropped });
    }

    pub(super) fn on_close(&mut self) {
        self.text.clear();
        self.turn = None;
        self.timers.stop_all();
        match self.link {
            Link::Down | Link::Over | Link::Retired => self.finish(),
            Link::AwaitingReady | Link::Clearing { .. } | Link::Closing | Link::Quiet | Link::Ready => {
                self.link = Link::Closing;
                self.outbox.push_back(Message::Text(encode(&ToTts::Close)));
                self.timers.after(Timer::Close, self.now, self.config.close_timeout);
            }
        }
    }

    /// Gives the link up: closes it, and waits for another.
    pub(super) fn retire(&mut self, reason: Truncation) {
        if let Link::Clearing { dropped } = self.link {
            self.events.push_back(TtsEvent::Cleared { dropped_bytes: dropped });
        }
        self.lose_turn(reason);
        self.timers.stop_all();
        self.outbox.clear();
        self.outbox.push_back(Message::Close(CloseFrame::normal()));
        self.link = Link::Retired;
    }

    fn arm_keepalive(&mut self) {
        if !self.config.keepalive.is_zero() {
            self.timers.after(Timer::Keepalive, self.now, self.config.keepalive);
        }
    }

    /// Ends the session badly: the caller returns the error, and nothing follows it.
    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.link = Link::Over;
        self.timers.stop_all();
        self.outbox.clear();
        self.text.clear();
        self.turn = None;
        error
    }

    fn finish(&mut self) {
        self.link = Link::Over;
        self.timers.stop_all();
        self.events.push_back(TtsEvent::Closed);
    }

    pub(super) fn warn(&mut self, code: Code, message: impl Into<String>) {
        self.events.push_back(TtsEvent::Warning { code, message: message.into() });
    }

    pub(super) fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Clear => {
                self.warn(codes::NO_CLEARED, format!("no `cleared` within {:?}", self.config.clear_timeout));
                self.retire(Truncation::LinkLost);
            }
            Timer::Close => {
                self.outbox.push_back(Message::Close(CloseFrame::normal()));
                self.finish();
            }
            Timer::Keepalive => {
                // What still waits for the link keeps it as busy as another one would.
                if self.outbox.is_empty() {
                    self.outbox.push_back(Message::Text(encode(&ToTts::Keepalive)));
                }
                self.arm_keepalive();
            }
            Timer::Quiet => self.link = Link::Ready,
            Timer::Ready => {
                self.warn(codes::NO_READY, format!("no `ready` within {:?}", self.config.ready_timeout));
                self.retire(Truncation::LinkLost);
            }
            Timer::Settle => self.on_settled(),
            Timer::Terminal => self.on_silence(),
        }
    }
}

/// Messages in a row that may fail to parse.
const MAX_GARBLED: usize = 100;

//! What links do to a recognition session: openings, ends, messages, deadlines.

use super::{Close, Link, SttClient, Timer};
use crate::error::words;
use crate::slng::codes;
use crate::slng::stt::SttEvent;
use crate::slng::wire::{
    Ready, SttInit, SttInitConfig, SttMessage, ToStt, VendorError, encode, encoding_name, read_stt,
};
use crate::{CloseFrame, Code, DecodeError, Message, ProtocolError};

impl SttClient {
    pub(super) fn on_opened(&mut self) {
        match self.link {
            Link::Over => return,
            Link::Down => {}
            // A new link replaces the old one, whose end was not told.
            Link::AwaitingReady | Link::Ready | Link::Retired => self.on_closed(None),
        }
        if self.link == Link::Over {
            return;
        }
        self.life = self.life.next();
        self.link = Link::AwaitingReady;
        self.useful = false;
        let config = SttInitConfig {
            sample_rate: self.config.rate.hz(),
            encoding: encoding_name(self.config.format().encoding),
            language: self.config.language.as_deref(),
            enable_partials: self.config.partials,
        };
        self.outbox.push_back(Message::Text(encode(&ToStt::Init(SttInit { config }))));
        self.timers.after(Timer::Ready, self.now, self.config.ready_timeout);
    }

    pub(super) fn on_closed(&mut self, frame: Option<CloseFrame>) {
        if matches!(self.link, Link::Down | Link::Over) {
            return;
        }
        self.outbox.clear();
        let in_order = frame.as_ref().is_some_and(|frame| frame.code == CloseFrame::NORMAL);
        if self.close == Close::Sent && in_order {
            return self.finish();
        }
        self.let_go();
        self.link = Link::Down;
        self.events.push_back(SttEvent::LinkLost(frame));
        if self.lost_closing >= MAX_TRIES {
            self.abandon();
        }
    }

    /// What a link's end means for audio and finalizes: they wait for the next one.
    fn let_go(&mut self) {
        self.cover_silence();
        let sent = self.hold.next();
        for timer in [Timer::Final, Timer::Keepalive, Timer::Pace, Timer::Ready] {
            self.timers.stop(timer);
        }
        if self.close == Close::Sent {
            self.close = Close::Asked;
        }
        self.drop_span(self.covered, self.hold.start());
        self.covered = self.covered.max(self.hold.start());
        self.hold.rewind();
        self.behind |= sent > self.hold.next() || self.link == Link::Ready;
        self.stats.replayed += sent - self.hold.next();
        self.sends.clear();
        self.partial_pending = false;
        self.last_final = None;
        self.marks.iter_mut().for_each(|mark| mark.sent = false);
        let (events, marks) = (&mut self.events, &mut self.marks);
        marks.retain(|mark| {
            let given_up = mark.tries >= MAX_TRIES;
            if given_up {
                events.push_back(SttEvent::FinalizeTimedOut { position: mark.position });
            }
            !given_up
        });
        if self.close != Close::NotAsked {
            self.lost_closing += 1;
        }
    }

    /// Gives the link up: closes it, and waits for another.
    fn retire(&mut self) {
        self.let_go();
        self.outbox.clear();
        self.outbox.push_back(Message::Close(CloseFrame::normal()));
        self.link = Link::Retired;
    }

    pub(super) fn on_text(&mut self, text: &str) -> Result<(), ProtocolError> {
        let message = match read_stt(text) {
            Ok(message) => message,
            Err(error) => return self.on_garbled(error),
        };
        self.garbled_in_a_row = 0;
        match message {
            SttMessage::Error(error) => return self.on_error(error),
            SttMessage::Final(speech) => self.on_final(speech),
            SttMessage::Ignored => {}
            SttMessage::Partial(speech) => self.on_partial(speech),
            SttMessage::Ready(ready) => self.on_ready(ready),
            SttMessage::Unhandled(kind) => self.unhandled(&kind),
        }
        Ok(())
    }

    pub(super) fn unhandled(&mut self, kind: &str) {
        self.stats.unhandled += 1;
        self.events.push_back(SttEvent::Unhandled { kind: words(kind) });
    }

    fn on_garbled(&mut self, error: DecodeError) -> Result<(), ProtocolError> {
        self.stats.garbled += 1;
        self.garbled_in_a_row += 1;
        if self.garbled_in_a_row > MAX_GARBLED {
            let what = "messages that do not parse";
            return Err(self.fail(ProtocolError::LimitExceeded { what, limit: MAX_GARBLED }));
        }
        self.events.push_back(SttEvent::Garbled { error });
        Ok(())
    }

    fn on_error(&mut self, error: VendorError) -> Result<(), ProtocolError> {
        if !codes::retryable(error.code) {
            return Err(self.fail(ProtocolError::Peer { code: error.code, message: error.message }));
        }
        self.stated_wait = error.retry_after;
        self.warn(error.code, error.message);
        self.retire();
        Ok(())
    }

    /// Ends the session badly: the caller returns the error, and nothing follows it.
    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.link = Link::Over;
        self.timers.stop_all();
        self.outbox.clear();
        error
    }

    pub(super) fn arm_keepalive(&mut self) {
        if !self.config.keepalive.is_zero() {
            self.timers.after(Timer::Keepalive, self.now, self.config.keepalive);
        }
    }

    fn on_ready(&mut self, ready: Ready) {
        if self.link != Link::AwaitingReady {
            return;
        }
        self.link = Link::Ready;
        self.timers.stop(Timer::Ready);
        self.arm_keepalive();
        self.origin = self.hold.next();
        self.pace = self.now;
        self.progress();
        let (Ready { session_id, request_id }, backlog) = (ready, self.backlog());
        self.events.push_back(SttEvent::Ready { session_id, request_id, backlog });
        self.note_caught_up();
    }

    fn warn(&mut self, code: Code, message: impl Into<String>) {
        self.events.push_back(SttEvent::Warning { code, message: message.into() });
    }

    pub(super) fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Close => {
                if matches!(self.link, Link::AwaitingReady | Link::Ready) {
                    self.outbox.push_back(Message::Close(CloseFrame::normal()));
                }
                self.abandon();
            }
            Timer::Final => {
                if let Some(mark) = self.marks.pop_front() {
                    self.events.push_back(SttEvent::FinalizeTimedOut { position: mark.position });
                }
                self.arm_final();
            }
            Timer::Keepalive => {
                // What still waits for the link keeps it as busy as another one would.
                if self.outbox.is_empty() {
                    self.outbox.push_back(Message::Text(encode(&ToStt::Keepalive)));
                }
                self.arm_keepalive();
            }
            // It only has us polled.
            Timer::Pace => {}
            Timer::Ready => {
                self.warn(codes::NO_READY, format!("no `ready` within {:?}", self.config.ready_timeout));
                self.retire();
            }
        }
    }
}

/// Links on which a finalize, or the end of the session, is tried.
const MAX_TRIES: u32 = 3;
/// Messages in a row that may fail to parse.
const MAX_GARBLED: usize = 100;

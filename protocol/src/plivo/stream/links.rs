//! Links come and go: what each change does to the stream, and which waits it ends.

use std::time::Duration;

use super::super::playout::{Heard, Playout};
use super::event::{LossCause, PlivoEvent, SkipReason};
use super::inbound::TrackClock;
use super::{PlivoStream, State, Timer};
use crate::{Awaited, CloseFrame, Message, ProtocolError};

impl PlivoStream {
    /// Resolves every pending mark: nobody will hear of them any more.
    pub(super) fn drop_marks(&mut self, why: SkipReason) {
        self.give_up_clears();
        let Some(playout) = &mut self.playout else { return };
        let mut names = playout.settle_loss(self.now).0.skipped;
        names.extend(playout.drop_queue());
        self.skip(names, why);
    }

    /// Settles the clears whose answers are not waited for any more. One that comes all the same is no news.
    pub(super) fn give_up_clears(&mut self) {
        while self.settle_clear(false) {
            self.forgiven += 1;
        }
    }

    /// Settles the oldest clear in progress, and those after it that Plivo was never told of. Clears
    /// settle in the order in which they were asked for. False if there was none.
    pub(super) fn settle_clear(&mut self, acknowledged: bool) -> bool {
        let settled = self.playout.as_mut().and_then(|playout| playout.settle_clear(self.now, acknowledged));
        let Some(settled) = settled else { return false };
        self.skip(settled.skipped, SkipReason::Cleared);
        self.events.push_back(PlivoEvent::ClearSettled { heard: settled.heard, acknowledged });
        self.settle_silent_clears();
        true
    }

    pub(super) fn settle_silent_clears(&mut self) {
        if self.playout.as_ref().is_some_and(Playout::oldest_clear_is_silent) {
            self.settle_clear(true);
        }
    }

    pub(super) fn finish(&mut self) {
        if self.state != State::Finished {
            self.drop_marks(SkipReason::Ended);
            self.state = State::Finished;
            self.timers.stop_all();
            self.urgent.clear();
            self.events.push_back(PlivoEvent::Closed);
        }
    }

    /// Ends the session badly: the caller returns the error.
    pub(super) fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.drop_marks(SkipReason::Ended);
        self.state = State::Finished;
        self.timers.stop_all();
        self.urgent.clear();
        self.urgent
            .push_back(Message::Close(CloseFrame::new(CloseFrame::POLICY_VIOLATION, error.to_string())));
        error
    }

    /// The link is gone, or as good as gone.
    pub(super) fn lose_link(&mut self, close: Option<CloseFrame>, cause: LossCause) {
        self.stats.links_lost += 1;
        self.state = State::Down;
        self.timers.stop_all();
        self.timers.after(Timer::Redial, self.now, self.config.redial_timeout);
        self.urgent.clear();
        self.give_up_clears();
        self.forgiven = 0;
        let mut skipped = Vec::new();
        let (mut heard, mut unheard) = (Heard::default(), Duration::ZERO);
        if let Some(playout) = &mut self.playout {
            let settled = playout.rewind(self.now, self.last_input);
            (skipped, heard) = (settled.skipped, settled.heard);
            unheard = playout.queued();
        }
        self.skip(skipped, SkipReason::LinkLost);
        self.events.push_back(PlivoEvent::LinkLost { close, cause, heard, unheard });
        self.losses += 1;
        if self.losses > self.config.redials {
            self.finish();
        }
    }

    pub(super) fn on_opened(&mut self) {
        if matches!(self.state, State::Live | State::AwaitingStart) {
            self.lose_link(None, LossCause::Closed);
        }
        match self.state {
            State::Finished => return,
            // Somebody dialled before our close had arrived: the new link is closed like the old one.
            State::Closing => {
                if self.urgent.is_empty() {
                    self.urgent.push_back(Message::Close(CloseFrame::normal()));
                }
                return;
            }
            State::AwaitingStart | State::Down | State::Live => {}
        }
        if self.info.is_some() {
            self.life = self.life.next();
        }
        self.clocks = [TrackClock::default(); 2];
        self.timers.stop(Timer::Redial);
        self.timers.after(Timer::Start, self.now, self.config.start_timeout);
        self.state = State::AwaitingStart;
    }

    pub(super) fn on_closed(&mut self, close: Option<CloseFrame>) {
        match self.state {
            State::AwaitingStart | State::Live => {
                let ended = close.as_ref().is_some_and(|frame| frame.code == CloseFrame::NORMAL);
                self.lose_link(close, LossCause::Closed);
                // Plivo dials again after a broken link, not after one it closed itself.
                if ended {
                    self.finish();
                }
            }
            State::Closing => self.finish(),
            State::Down | State::Finished => {}
        }
    }

    pub(super) fn fire(&mut self, timer: Timer) -> Result<(), ProtocolError> {
        match timer {
            Timer::Close | Timer::Redial => self.finish(),
            Timer::Media => self.give_up_link(LossCause::Silent, "no media"),
            Timer::Start if self.info.is_some() => self.give_up_link(LossCause::Unstarted, "no start"),
            Timer::Start => {
                let limit = self.config.start_timeout;
                return Err(self.fail(ProtocolError::Timeout { awaited: Awaited::Start, limit }));
            }
        }
        Ok(())
    }

    pub(super) fn give_up_link(&mut self, cause: LossCause, reason: &str) {
        self.lose_link(None, cause);
        // Any code but 1000 tells Plivo that the link broke, so that it dials again.
        self.urgent.push_back(Message::Close(CloseFrame::new(GOING_AWAY, reason)));
    }

    /// Resolves marks and clears whose answer is overdue.
    pub(super) fn expire(&mut self) {
        if self.state != State::Live {
            return;
        }
        let Some(playout) = &mut self.playout else { return };
        while let Some(name) = playout.expire_mark(self.now, self.config.checkpoint_timeout) {
            self.events.push_back(PlivoEvent::Skipped { name, why: SkipReason::TimedOut });
        }
        while self.clear_is_overdue() && self.settle_clear(false) {
            self.forgiven += 1;
        }
    }

    pub(super) fn clear_is_overdue(&self) -> bool {
        let oldest = self.playout.as_ref().and_then(Playout::oldest_clear);
        let due = oldest.and_then(|at| at.checked_add(self.config.clear_timeout));
        due.is_some_and(|at| at <= self.now)
    }
}

/// RFC 6455 §7.4.1: this end goes away from the link.
const GOING_AWAY: u16 = 1001;

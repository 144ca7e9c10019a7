//! Links coming and going, and what a lost one takes along.

use std::time::Instant;

use super::{AvatarClient, AvatarEvent, InterruptOutcome, LinkEnd, State, Timer};
use crate::agenthuman::Recovery;
use crate::agenthuman::speech::Piece;
use crate::{CloseFrame, LinkLife};

impl AvatarClient {
    pub(super) fn on_opened(&mut self, now: Instant) {
        if matches!(self.state, State::Closing | State::Finished) {
            return;
        }
        if self.state != State::Down {
            // A second link without the first one's end: the first is gone all the same.
            self.leave_link(now);
        }
        self.link = Some(self.link.map_or(LinkLife::FIRST, LinkLife::next));
        self.opened_at = Some(now);
        self.close_due = false;
        self.garbled = 0;
        self.state = State::Opened;
        self.timers.after(Timer::Establish, now, self.config.establish_timeout);
    }

    pub(super) fn leave_link(&mut self, now: Instant) {
        // What is on its way may have arrived or not: the two models take one each.
        self.earliest.rewind(self.speech.in_flight());
        self.latest.delay(now, self.speech.in_flight());
        if let Some(Piece { utterance, samples, .. }) = self.speech.link_lost(now) {
            self.events.push_back(AvatarEvent::ChunkUnconfirmed { utterance, samples });
            self.report_completed();
        }
        for timer in [Timer::Establish, Timer::Confirm, Timer::Interrupt, Timer::Pace] {
            self.timers.stop(timer);
        }
        if matches!(self.state, State::Ready | State::Interrupting) {
            self.silent_since = Some(now);
        }
        self.state = State::Down;
    }

    pub(super) fn link_down(&mut self, now: Instant, end: LinkEnd, recovery: Recovery) {
        let unplayed = self.latest.unsaid(now);
        self.leave_link(now);
        let link = self.link.unwrap_or_default();
        self.events.push_back(AvatarEvent::LinkDown { link, end, recovery, unplayed });
    }

    pub(super) fn on_closed(&mut self, now: Instant, frame: Option<CloseFrame>) {
        match self.state {
            State::Down | State::Finished => self.close_due = false,
            State::Closing => self.finish(),
            State::Opened | State::Initialising | State::Ready | State::Interrupting => {
                self.link_down(now, LinkEnd::Closed(frame), Recovery::Redial);
            }
        }
    }

    pub(super) fn on_expired(&mut self, now: Instant) {
        if matches!(self.state, State::Closing | State::Finished) {
            return;
        }
        self.close_due = self.state != State::Down;
        self.link_down(now, LinkEnd::Expired, Recovery::NewSession);
        // What the old session had in hand is never said.
        self.end_playback(now);
    }

    /// Whatever the avatar still had to say is gone with its session.
    pub(super) fn end_playback(&mut self, now: Instant) {
        self.finish_interrupt(now, InterruptOutcome::NotNeeded);
        self.earliest.stop(now);
        self.latest.stop(self.silent_since.take().unwrap_or(now));
    }
}

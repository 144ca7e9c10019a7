//! What leaves, in which order, how large and how fast.

use std::time::Duration;

use super::{Close, Link, SttClient, Timer};
use crate::Message;
use crate::slng::stt::SttEvent;
use crate::slng::wire::{ToStt, encode};

impl SttClient {
    pub(super) fn note_caught_up(&mut self) {
        if self.behind && self.link == Link::Ready && self.hold.unsent() < self.min_message() {
            self.behind = false;
            self.events.push_back(SttEvent::CaughtUp);
        }
    }

    const fn min_message(&self) -> u64 {
        self.config.rate.samples_in(MIN_MESSAGE)
    }

    /// The next audio, finalize or close, if one may go out now.
    pub(super) fn next_message(&mut self) -> Option<Message> {
        if self.link != Link::Ready || self.close == Close::Sent {
            return None;
        }
        let next = self.hold.next();
        let mark = self.marks.iter_mut().find(|mark| !mark.sent);
        let stop = match mark {
            Some(mark) if mark.position <= next => {
                mark.sent = true;
                mark.tries += 1;
                if self.timers.get(Timer::Final).is_none() {
                    self.timers.after(Timer::Final, self.now, self.config.final_timeout);
                }
                return Some(self.sent(Message::Text(encode(&ToStt::Finalize))));
            }
            Some(mark) => Some(mark.position),
            None if self.close == Close::Asked => Some(self.hold.end()),
            None => None,
        };
        let ready = stop.unwrap_or_else(|| self.hold.end()) - next;
        // A tail shorter than a message leaves only if something waits behind it.
        if ready > 0 && (ready >= self.min_message() || stop.is_some()) {
            return self.next_audio(ready);
        }
        if self.close == Close::Asked && self.hold.unsent() == 0 {
            self.close = Close::Sent;
            return Some(self.sent(Message::Text(encode(&ToStt::Close))));
        }
        None
    }

    /// Up to `ready` samples, if the pace allows.
    fn next_audio(&mut self, ready: u64) -> Option<Message> {
        let head_start = MAX_MESSAGE;
        if self.pace > self.now + head_start {
            self.timers.set(Timer::Pace, self.pace - head_start);
            return None;
        }
        let samples = ready.min(self.config.rate.samples_in(MAX_MESSAGE));
        let audio = self.hold.take(samples);
        let cost = self.config.rate.duration_of(samples).div_f64(f64::from(self.config.replay_speed));
        self.pace = self.pace.max(self.now) + cost;
        self.stats.sent += samples;
        self.remember_send();
        self.note_caught_up();
        self.progress();
        Some(self.sent(Message::Binary(audio)))
    }

    fn remember_send(&mut self) {
        let sent = self.hold.next();
        match self.sends.back_mut() {
            Some((at, position)) if *at == self.now => *position = sent,
            _ => self.sends.push_back((self.now, sent)),
        }
        let reach = self.config.quiet_after.max(self.config.transit_margin);
        // The newest entry beyond the reach still answers for that moment.
        while self.sends.get(1).is_some_and(|(at, _)| self.now.saturating_duration_since(*at) >= reach) {
            self.sends.pop_front();
        }
    }

    fn sent(&mut self, message: Message) -> Message {
        self.arm_keepalive();
        message
    }
}

/// The shortest audio message but for a tail: the vendor's advice is 20 to 100 ms.
const MIN_MESSAGE: Duration = Duration::from_millis(20);
/// The longest, and the head start a clump of live audio may have.
const MAX_MESSAGE: Duration = Duration::from_millis(100);

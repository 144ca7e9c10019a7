//! The agent's voice on the phone: what is played, what that says, and what the caller heard of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::{AudioFormat, fade};
use voxline_protocol::UtteranceId;
use voxline_protocol::plivo::{ClearedBy, HeardLedger, HeardUtterance, PlivoCommand, PlivoEvent};
use voxline_protocol::slng::SpokenWord;

use super::mouth::Mouth;
use crate::{BargeInPattern, TurnId};

/// Speech on its way to the phone, as a value: told what to say and what the stream reports, it says what the stream is
/// to be given, once for each utterance what was heard of it, and when the phone has fallen silent.
///
/// Between a barge-in and the stream's word that it has dropped everything, new speech waits here. So a barge-in never
/// overtakes another one, and a fade comes before whatever is said next. While paused, all speech waits here.
#[derive(Debug)]
pub(super) struct PhoneVoice {
    mouth: Mouth,
    ledger: HeardLedger,
    clearing: Option<Clearing>,
    paused: Option<Paused>,
    /// What is unheard is at most `speech_ahead` and `sentence_limit` of the conversation, and this is part of it.
    held: VecDeque<Held>,
    given: VecDeque<PlivoCommand>,
    /// The first command is a clear that overtakes whatever was given.
    overtaking: bool,
    /// The clears that are not settled, oldest first: whose they are, and what is heard after them.
    silencing: VecDeque<Silence>,
    /// How many of them the stream has confirmed.
    confirmed: usize,
    silent: VecDeque<Silence>,
}

/// The phone is silent, but for a tail: of a barge-in, or of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) turn: TurnId,
    pub(super) tail: Duration,
}

/// A clear the stream has not confirmed.
#[derive(Debug)]
struct Clearing {
    pattern: BargeInPattern,
    /// Another one followed, in this turn.
    again: Option<TurnId>,
}

/// What was stopped to be gone on with.
#[derive(Debug, Default)]
struct Paused {
    /// The stream was cleared for it, and has not confirmed that.
    unconfirmed: bool,
    /// What the stream dropped.
    rest: Option<Bytes>,
    /// Wanted back as soon as the clear is settled.
    resume: bool,
}

/// Speech that waits for a clear to be confirmed, or for the end of a pause.
#[derive(Debug)]
enum Held {
    Audio(UtteranceId, Bytes),
    Finish(UtteranceId),
    GiveUp(UtteranceId),
}

impl PhoneVoice {
    /// Speech is made as `speech`, and played as `phone`.
    pub(super) fn new(speech: AudioFormat, phone: AudioFormat) -> Self {
        Self {
            mouth: Mouth::new(speech, phone),
            ledger: HeardLedger::new(phone),
            clearing: None,
            paused: None,
            held: VecDeque::new(),
            given: VecDeque::new(),
            overtaking: false,
            silencing: VecDeque::new(),
            confirmed: 0,
            silent: VecDeque::new(),
        }
    }

    /// A sentence is about to be made; again, if `skip` of its audio was already sent.
    pub(super) fn begin(&mut self, utterance: UtteranceId, text: &str, again: bool, skip: Duration) {
        self.mouth.expect(skip);
        if !again {
            self.ledger.text(utterance, text);
        }
    }

    /// When words of a sentence are spoken.
    pub(super) fn words(&mut self, utterance: UtteranceId, words: &[SpokenWord]) {
        for word in words {
            self.ledger.spoken(utterance, word.end, &word.text);
        }
    }

    /// Audio of a sentence was made. True if it is the first there is to play.
    pub(super) fn speak(&mut self, now: Instant, utterance: UtteranceId, audio: &[u8]) -> bool {
        let (sound, first) = self.mouth.speak(utterance, audio);
        self.say(now, Held::Audio(utterance, sound));
        first
    }

    /// A sentence is made to its end.
    pub(super) fn finish(&mut self, now: Instant, utterance: UtteranceId) {
        let rest = self.mouth.end();
        self.say(now, Held::Audio(utterance, rest));
        self.say(now, Held::Finish(utterance));
    }

    /// A sentence will not be made to its end; what there is of it is played.
    pub(super) fn give_up(&mut self, now: Instant, utterance: UtteranceId) {
        self.mouth.stop();
        self.say(now, Held::GiveUp(utterance));
    }

    /// Falls silent: all that was not heard is void.
    pub(super) fn interrupt(&mut self, turn: TurnId, pattern: BargeInPattern) {
        self.mouth.stop();
        self.held.clear();
        self.ledger.clear();
        let paused = self.paused.take();
        match &mut self.clearing {
            Some(clearing) => clearing.again = Some(turn),
            None => match paused {
                // The stream was cleared for the pause.
                Some(Paused { unconfirmed: true, .. }) => {
                    self.clearing = Some(Clearing { pattern: BargeInPattern::Immediate, again: None });
                }
                Some(Paused { rest: Some(_), .. }) => {}
                Some(Paused { rest: None, .. }) | None => self.clear(turn, pattern),
            },
        }
    }

    /// Falls silent, and keeps what was not heard and what is said from now on.
    pub(super) fn pause(&mut self, turn: TurnId) {
        if let Some(paused) = &mut self.paused {
            paused.resume = false;
            return;
        }
        let mut paused = Paused::default();
        // While a clear is on its way, nothing is at the stream.
        if self.clearing.is_none() {
            self.ledger.pause();
            // Behind what was given before, so that it hands all of it back.
            self.given.push_back(PlivoCommand::Clear);
            self.silencing.push_back(Silence { turn, tail: Duration::ZERO });
            paused.unconfirmed = true;
        }
        self.paused = Some(paused);
    }

    /// Goes on where it paused, as soon as it is settled where that is.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(paused) = &mut self.paused {
            paused.resume = true;
            self.try_to_resume(now);
        }
    }

    /// Takes what the stream reports.
    pub(super) fn handle(&mut self, now: Instant, event: &PlivoEvent) {
        self.ledger.handle(now, event);
        if let PlivoEvent::Cleared { by: ClearedBy::Us, unheard, .. } = event {
            self.on_cleared(now, unheard);
        } else if matches!(event, PlivoEvent::ClearSettled { .. }) {
            self.on_settled(now);
        } else if matches!(
            event,
            PlivoEvent::Cleared { by: ClearedBy::Restart, .. } | PlivoEvent::PlayFailed { .. }
        ) {
            // What was kept belongs to what is over.
            self.held.clear();
            self.paused = self.paused.take().filter(|paused| !paused.resume).map(|_| Paused::default());
        }
    }

    /// The next command for the stream, and whether it overtakes those before it.
    pub(super) fn poll_command(&mut self) -> Option<(PlivoCommand, bool)> {
        let command = self.given.pop_front()?;
        Some((command, std::mem::take(&mut self.overtaking)))
    }

    /// The stream had no room for a command: it is the next one again.
    pub(super) fn put_back(&mut self, command: PlivoCommand) {
        self.given.push_front(command);
    }

    /// What was heard of the next utterance that is over.
    pub(super) fn poll_heard(&mut self) -> Option<HeardUtterance> {
        self.ledger.take()
    }

    /// The next time the phone has fallen silent.
    pub(super) fn poll_silence(&mut self) -> Option<Silence> {
        self.silent.pop_front()
    }

    /// Whether there is something for the stream.
    pub(super) fn has_command(&self) -> bool {
        !self.given.is_empty()
    }

    fn clear(&mut self, turn: TurnId, pattern: BargeInPattern) {
        self.given.clear();
        self.given.push_back(PlivoCommand::Clear);
        self.overtaking = true;
        self.clearing = Some(Clearing { pattern, again: None });
        let tail = if pattern == BargeInPattern::FadeOut { fade::CUT } else { Duration::ZERO };
        self.silencing.push_back(Silence { turn, tail });
    }

    fn on_cleared(&mut self, now: Instant, unheard: &Bytes) {
        self.confirmed += 1;
        match self.clearing.take() {
            Some(Clearing { again: Some(turn), .. }) => self.clear(turn, BargeInPattern::Immediate),
            Some(Clearing { pattern, .. }) => {
                if pattern == BargeInPattern::FadeOut {
                    self.fade(now, unheard);
                }
                if self.paused.is_some() {
                    self.try_to_resume(now);
                } else {
                    self.release(now);
                }
            }
            None => {
                if let Some(paused) = self.paused.as_mut().filter(|paused| paused.unconfirmed) {
                    paused.unconfirmed = false;
                    paused.rest = Some(unheard.clone());
                }
            }
        }
    }

    /// A clear is settled: ours, if the stream has confirmed one.
    fn on_settled(&mut self, now: Instant) {
        if self.confirmed > 0 {
            self.confirmed -= 1;
            self.silent.extend(self.silencing.pop_front());
        }
        self.try_to_resume(now);
    }

    fn try_to_resume(&mut self, now: Instant) {
        let Some(paused) = self.paused.as_ref().filter(|paused| paused.resume && !paused.unconfirmed) else {
            return;
        };
        if let Some(rest) = &paused.rest {
            let Some(marks) = self.ledger.resume(now) else { return };
            let rest = self.mouth.rise(rest);
            let mut from = 0;
            for (at, name) in marks {
                let at = at.min(rest.len());
                if at > from {
                    self.given.push_back(PlivoCommand::Play(rest.slice(from..at)));
                    from = at;
                }
                self.given.push_back(PlivoCommand::Checkpoint(name));
            }
            if from < rest.len() {
                self.given.push_back(PlivoCommand::Play(rest.slice(from..)));
            }
        }
        self.paused = None;
        if self.clearing.is_none() {
            self.release(now);
        }
    }

    fn release(&mut self, now: Instant) {
        for held in std::mem::take(&mut self.held) {
            self.give(now, held);
        }
    }

    fn fade(&mut self, now: Instant, unheard: &[u8]) {
        let tail = self.mouth.fade(unheard);
        if !tail.is_empty() {
            self.ledger.wordless(now, tail.len());
            self.given.push_back(PlivoCommand::Play(tail));
        }
    }

    fn say(&mut self, now: Instant, speech: Held) {
        if matches!(&speech, Held::Audio(_, sound) if sound.is_empty()) {
            // Nothing to hold, and nothing to give.
        } else if self.clearing.is_some() || self.paused.is_some() {
            self.held.push_back(speech);
        } else {
            self.give(now, speech);
        }
    }

    fn give(&mut self, now: Instant, speech: Held) {
        let command = match speech {
            Held::Audio(utterance, sound) => {
                self.ledger.audio(now, utterance, sound.len());
                PlivoCommand::Play(sound)
            }
            Held::Finish(utterance) => PlivoCommand::Checkpoint(self.ledger.finish(utterance)),
            Held::GiveUp(utterance) => PlivoCommand::Checkpoint(self.ledger.give_up(utterance)),
        };
        self.given.push_back(command);
    }
}

#[cfg(test)]
mod tests;

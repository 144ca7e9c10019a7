//! The agent's voice on the phone: what is played, what that says, and what the caller heard of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::AudioFormat;
use voxline_protocol::UtteranceId;
use voxline_protocol::plivo::{ClearedBy, HeardLedger, HeardUtterance, PlivoCommand, PlivoEvent};
use voxline_protocol::slng::SpokenWord;

use super::mouth::Mouth;
use crate::BargeInPattern;

/// Speech on its way to the phone, as a value: told what to say and what the stream reports, it says what the stream is
/// to be given, and once for each utterance what was heard of it.
///
/// Between a barge-in and the stream's word that it has dropped everything, new speech waits here. So a barge-in never
/// overtakes another one, and a fade comes before whatever is said next.
#[derive(Debug)]
pub(super) struct PhoneVoice {
    mouth: Mouth,
    ledger: HeardLedger,
    clearing: Option<Clearing>,
    held: VecDeque<Held>,
    given: VecDeque<PlivoCommand>,
    /// A clear that overtakes what is given.
    overtaking: bool,
}

/// A clear the stream has not confirmed.
#[derive(Debug)]
struct Clearing {
    pattern: BargeInPattern,
    /// Another one followed.
    again: bool,
}

/// Speech that waits for a clear to be confirmed.
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
            held: VecDeque::new(),
            given: VecDeque::new(),
            overtaking: false,
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
    pub(super) fn interrupt(&mut self, pattern: BargeInPattern) {
        self.mouth.stop();
        self.held.clear();
        self.ledger.clear();
        match &mut self.clearing {
            Some(clearing) => clearing.again = true,
            None => self.clear(pattern),
        }
    }

    /// Takes what the stream reports.
    pub(super) fn handle(&mut self, now: Instant, event: &PlivoEvent) {
        self.ledger.handle(now, event);
        if let PlivoEvent::Cleared { by: ClearedBy::Us, unheard, .. } = event {
            self.on_cleared(now, unheard);
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

    /// Whether there is something for the stream.
    pub(super) fn has_command(&self) -> bool {
        !self.given.is_empty()
    }

    fn clear(&mut self, pattern: BargeInPattern) {
        self.given.clear();
        self.given.push_back(PlivoCommand::Clear);
        self.overtaking = true;
        self.clearing = Some(Clearing { pattern, again: false });
    }

    fn on_cleared(&mut self, now: Instant, unheard: &[u8]) {
        match self.clearing.take() {
            Some(Clearing { again: true, .. }) => self.clear(BargeInPattern::Immediate),
            Some(Clearing { pattern, .. }) => {
                if pattern == BargeInPattern::FadeOut {
                    self.fade(now, unheard);
                }
                for held in std::mem::take(&mut self.held) {
                    self.give(now, held);
                }
            }
            None => {}
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
        if self.clearing.is_some() {
            self.held.push_back(speech);
        } else {
            self.give(now, speech);
        }
    }

    fn give(&mut self, now: Instant, speech: Held) {
        let command = match speech {
            Held::Audio(_, sound) if sound.is_empty() => return,
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

//! The sentences of one answer on their way from the responder to the caller's ear.

use std::collections::VecDeque;
use std::time::Duration;

use voxline_protocol::UtteranceId;

/// Each sentence stands in exactly one of its places; one is with the speech service at a time.
#[derive(Debug, Default)]
pub(super) struct Utterances {
    next: UtteranceId,
    pub(super) waiting: VecDeque<Utterance>,
    /// With the speech service.
    pub(super) making: Option<Utterance>,
    /// Made, and not yet heard to the end.
    pub(super) made: VecDeque<Utterance>,
    pub(super) heard: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Utterance {
    pub(super) id: UtteranceId,
    pub(super) text: String,
    /// Audio received of it, over all tries.
    pub(super) made: Duration,
    /// Audio of this try that repeats an earlier one.
    pub(super) skip: Duration,
    pub(super) tries: u32,
}

impl Utterance {
    /// The words that fit into the audio made so far, at a typical pace.
    pub(super) fn voiced_words(&self) -> String {
        let voiced = (self.made.max(self.skip).as_secs_f64() * TYPICAL_CHARS_PER_SECOND) as usize;
        let mut end = 0;
        let fits = |word: &&str| {
            end += word.chars().count() + 1;
            end - 1 <= voiced
        };
        self.text.split_whitespace().take_while(fits).collect::<Vec<_>>().join(" ")
    }
}

impl Utterances {
    pub(super) fn begin_answer(&mut self) {
        self.drop_all();
        self.heard.clear();
    }

    pub(super) fn add(&mut self, text: String) {
        self.next = self.next.next();
        let id = self.next;
        self.waiting.push_back(Utterance { id, text, made: Duration::ZERO, skip: Duration::ZERO, tries: 0 });
    }

    /// The utterance being made, if it is this one.
    pub(super) fn making(&mut self, id: UtteranceId) -> Option<&mut Utterance> {
        self.making.as_mut().filter(|utterance| utterance.id == id)
    }

    pub(super) fn knows(&self, id: UtteranceId) -> bool {
        self.making.iter().chain(&self.made).any(|utterance| utterance.id == id)
    }

    /// Marks are in the order of the audio, so an acknowledgement covers everything before it.
    pub(super) fn played(&mut self, id: UtteranceId) {
        let Some(at) = self.made.iter().position(|utterance| utterance.id == id) else { return };
        self.heard.extend(self.made.drain(..=at).map(|utterance| utterance.text));
    }

    /// Audio made and not yet known to be heard.
    pub(super) fn unheard(&self) -> Duration {
        self.made.iter().map(|utterance| utterance.made).sum()
    }

    pub(super) fn all_heard(&self) -> bool {
        self.waiting.is_empty() && self.making.is_none() && self.made.is_empty()
    }

    pub(super) fn drop_all(&mut self) {
        self.waiting.clear();
        self.making = None;
        self.made.clear();
    }
}

/// English at an unhurried pace.
const TYPICAL_CHARS_PER_SECOND: f64 = 15.0;

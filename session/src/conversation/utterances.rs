//! The sentences of one answer on their way from the responder to the caller's ear.

use std::collections::VecDeque;
use std::time::Duration;

use voxline_protocol::UtteranceId;

use super::TurnId;

/// Each sentence stands in exactly one of its places; one is with the speech service at a time.
#[derive(Debug, Default)]
pub(super) struct Utterances {
    next: UtteranceId,
    pub(super) waiting: VecDeque<Utterance>,
    /// With the speech service.
    pub(super) making: Option<Utterance>,
    /// Made, and not yet heard to the end.
    pub(super) made: VecDeque<Utterance>,
    heard: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Utterance {
    pub(super) id: UtteranceId,
    pub(super) text: String,
    /// Audio received of it in this try.
    pub(super) made: Duration,
    /// Audio of this try that repeats an earlier one.
    pub(super) skip: Duration,
    pub(super) tries: u32,
}

impl Utterances {
    pub(super) fn begin_answer(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
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

    /// What was heard of an utterance that was made, or is being made: it is over.
    pub(super) fn heard(&mut self, id: UtteranceId, text: String) {
        self.making.take_if(|utterance| utterance.id == id);
        self.made.retain(|utterance| utterance.id != id);
        self.heard.push(text);
    }

    /// Audio made and not yet known to be heard.
    pub(super) fn unheard(&self) -> Duration {
        self.made.iter().map(|utterance| utterance.made).sum()
    }

    pub(super) fn all_heard(&self) -> bool {
        self.waiting.is_empty() && self.making.is_none() && self.made.is_empty()
    }

    /// What was heard of the answer, which is over.
    pub(super) fn take_heard(&mut self) -> String {
        joined(&std::mem::take(&mut self.heard))
    }

    /// A barge-in: what was not spoken is void, what was is awaited.
    pub(super) fn interrupt(&mut self, turn: TurnId) -> Interrupted {
        let awaited = self.made.drain(..).chain(self.making.take()).map(|utterance| utterance.id).collect();
        let heard = std::mem::take(&mut self.heard);
        self.waiting.clear();
        Interrupted { turn, awaited, heard }
    }
}

/// An answer that was cut short, until it is known what was heard of it.
#[derive(Debug)]
pub(super) struct Interrupted {
    pub(super) turn: TurnId,
    awaited: Vec<UtteranceId>,
    heard: Vec<String>,
}

impl Interrupted {
    /// False if this sentence is not awaited here.
    pub(super) fn heard(&mut self, id: UtteranceId, text: &str) -> bool {
        let Some(at) = self.awaited.iter().position(|awaited| *awaited == id) else { return false };
        self.awaited.remove(at);
        self.heard.push(text.to_owned());
        true
    }

    /// What was heard of it, once all is known.
    pub(super) fn outcome(&self) -> Option<String> {
        self.awaited.is_empty().then(|| joined(&self.heard))
    }
}

fn joined(texts: &[String]) -> String {
    texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

//! The sentences of one answer on their way from the responder to the caller's ear.

use std::collections::VecDeque;
use std::time::Duration;

use voxline_protocol::UtteranceId;

use super::TurnId;

/// Each sentence stands in exactly one of its places; one is with the speech service at a time.
#[derive(Debug, Default)]
pub(super) struct Utterances {
    next: UtteranceId,
    /// At most [`reply_ahead`](super::ConversationConfig::reply_ahead), a filler and one that is made again.
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
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Said while the answer is awaited.
    Filler,
    Plain,
    /// Not to be interrupted.
    Protected,
}

impl Utterances {
    pub(super) fn begin_answer(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }

    pub(super) fn add(&mut self, text: String, kind: Kind) {
        self.next = self.next.next();
        let (id, none) = (self.next, Duration::ZERO);
        self.waiting.push_back(Utterance { id, text, made: none, skip: none, tries: 0, kind });
    }

    /// The utterance being made, if it is this one.
    pub(super) fn making(&mut self, id: UtteranceId) -> Option<&mut Utterance> {
        self.making.as_mut().filter(|utterance| utterance.id == id)
    }

    /// One of which the caller may have heard something, and of which it is not known what.
    pub(super) fn get(&self, id: UtteranceId) -> Option<&Utterance> {
        let again = self.waiting.iter().filter(|utterance| utterance.tries > 0);
        self.given().chain(again).find(|utterance| utterance.id == id)
    }

    /// Whether one that must not be interrupted is on its way to the caller's ear.
    pub(super) fn is_protected(&self) -> bool {
        self.given().any(|utterance| utterance.kind == Kind::Protected)
    }

    fn given(&self) -> impl Iterator<Item = &Utterance> {
        self.making.iter().chain(&self.made)
    }

    /// What was heard of an utterance that was made, or is being made: it is over.
    pub(super) fn heard(&mut self, id: UtteranceId, text: String) {
        self.making.take_if(|utterance| utterance.id == id);
        self.made.retain(|utterance| utterance.id != id);
        self.waiting.retain(|utterance| utterance.id != id);
        self.heard.push(text);
    }

    /// Audio made and not yet known to be heard.
    pub(super) fn unheard(&self) -> Duration {
        self.made.iter().fold(Duration::ZERO, |sum, utterance| sum.saturating_add(utterance.made))
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
        let again = self.waiting.drain(..).filter(|utterance| utterance.tries > 0);
        let spoken = self.made.drain(..).chain(self.making.take()).chain(again);
        let awaited = spoken.map(|utterance| utterance.id).collect();
        let heard = std::mem::take(&mut self.heard);
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
    /// What was heard of one of its sentences. False if that is not awaited here.
    pub(super) fn settle(&mut self, id: UtteranceId, text: &str) -> bool {
        let Some(at) = self.awaited.iter().position(|awaited| *awaited == id) else { return false };
        self.awaited.remove(at);
        self.heard.push(text.to_owned());
        true
    }

    pub(super) fn is_settled(&self) -> bool {
        self.awaited.is_empty()
    }

    /// The sentences of which nothing is known.
    pub(super) fn awaited(&self) -> &[UtteranceId] {
        &self.awaited
    }

    pub(super) fn heard(&self) -> String {
        joined(&self.heard)
    }
}

fn joined(texts: &[String]) -> String {
    texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

//! What was said so far, as the responder gets to see it: the agent's words only as far as they were heard.

use std::collections::VecDeque;

use voxline_protocol::UtteranceId;

use super::TurnId;

/// Who said it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// Our side.
    Agent,
    /// The person on the phone.
    Caller,
}

/// One stretch of one speaker.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who said it.
    pub speaker: Speaker,
    /// The words; for an interrupted agent, those the caller heard.
    pub text: String,
    /// True if a barge-in cut it short.
    pub interrupted: bool,
    /// The agent's turn; none for the caller, whose words make the turn.
    turn: Option<TurnId>,
    /// The agent's sentences, each as far as it counts.
    sentences: Vec<(UtteranceId, String)>,
}

impl Entry {
    fn new(speaker: Speaker, turn: Option<TurnId>) -> Self {
        Self { speaker, text: String::new(), interrupted: false, turn, sentences: Vec::new() }
    }

    fn add(&mut self, text: &str) {
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(text);
    }
}

/// The dialogue so far, oldest first, at most [`History::LIMIT`] entries: beyond that the oldest go.
#[derive(Debug, Clone, Default)]
pub struct History {
    entries: VecDeque<Entry>,
}

impl History {
    /// Entries kept. Long calls have hundreds; a responder sees fewer.
    pub const LIMIT: usize = 1_000;

    /// An empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The entries, oldest first.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }

    /// What the caller said last.
    #[must_use]
    pub fn last_caller_text(&self) -> Option<&str> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.speaker == Speaker::Caller)
            .map(|entry| entry.text.as_str())
    }

    /// Adds the caller's words. A caller who goes on before an answer was heard continues the same entry.
    pub(crate) fn caller_said(&mut self, text: &str) {
        self.open(Speaker::Caller, None).add(text);
    }

    /// Adds a sentence to what the agent is saying in `turn`.
    pub(crate) fn agent_says(&mut self, turn: TurnId, utterance: UtteranceId, text: &str) {
        let entry = self.open(Speaker::Agent, Some(turn));
        entry.add(text);
        entry.sentences.push((utterance, text.to_owned()));
    }

    /// Cuts a sentence to what was heard of it. An answer of which nothing was heard was never given.
    pub(crate) fn cut_to(&mut self, utterance: UtteranceId, heard: &str) {
        let says = |entry: &Entry| entry.sentences.iter().any(|(id, _)| *id == utterance);
        let Some(at) = self.entries.iter().rposition(says) else { return };
        let entry = &mut self.entries[at];
        let sentences = std::mem::take(&mut entry.sentences);
        entry.text.clear();
        for (id, text) in sentences {
            let text = if id == utterance { heard.to_owned() } else { text };
            entry.add(&text);
            entry.sentences.push((id, text));
        }
        if entry.text.is_empty() {
            self.forget(at);
        }
    }

    /// Notes that a barge-in cut the agent short in `turn`.
    pub(crate) fn interrupt(&mut self, turn: TurnId) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.turn == Some(turn)) {
            entry.interrupted = true;
        }
    }

    /// Drops an entry; what the caller said before and after it is one.
    fn forget(&mut self, at: usize) {
        self.entries.remove(at);
        let speaks =
            |index: usize| self.entries.get(index).is_some_and(|entry| entry.speaker == Speaker::Caller);
        if at > 0 && speaks(at - 1) && speaks(at) {
            let later = self.entries.remove(at);
            self.entries[at - 1].add(&later.map_or_else(String::new, |entry| entry.text));
        }
    }

    /// The last entry if it goes on, or a new one.
    fn open(&mut self, speaker: Speaker, turn: Option<TurnId>) -> &mut Entry {
        let goes_on = self.entries.back().is_some_and(|last| last.speaker == speaker && last.turn == turn);
        if !goes_on {
            if self.entries.len() == Self::LIMIT {
                self.entries.pop_front();
            }
            self.entries.push_back(Entry::new(speaker, turn));
        }
        let last = self.entries.len() - 1;
        &mut self.entries[last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: UtteranceId = UtteranceId::new(1);
    const TWO: UtteranceId = UtteranceId::new(2);

    fn texts(history: &History) -> Vec<&str> {
        history.iter().map(|entry| entry.text.as_str()).collect()
    }

    #[test]
    fn an_answer_of_which_nothing_was_heard_joins_the_callers_words() {
        for late in [false, true] {
            let mut history = History::new();
            let turn = TurnId::default().next();
            history.caller_said("I would like");
            history.agent_says(turn, ONE, "Yes?");
            if !late {
                history.cut_to(ONE, "");
            }
            history.caller_said("a table for two");
            history.cut_to(ONE, "");
            assert_eq!(texts(&history), ["I would like a table for two"], "late: {late}");
        }
    }

    #[test]
    fn each_sentence_is_cut_by_itself() {
        let mut history = History::new();
        let turn = TurnId::default().next();
        history.agent_says(turn, ONE, "One two three.");
        history.agent_says(turn, TWO, "Four five six.");
        history.cut_to(ONE, "One two");
        assert_eq!(texts(&history), ["One two Four five six."]);
        history.cut_to(TWO, "");
        assert_eq!(texts(&history), ["One two"]);
    }

    #[test]
    fn the_oldest_entries_go_first() {
        let mut history = History::new();
        for turn in 0..History::LIMIT {
            history.caller_said(&turn.to_string());
            history.agent_says(TurnId::default(), ONE, "noted");
        }
        assert_eq!(history.iter().len(), History::LIMIT);
        assert_eq!(history.iter().next().unwrap().text, (History::LIMIT / 2).to_string());
    }
}

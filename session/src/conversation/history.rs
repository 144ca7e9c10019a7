//! What was said so far, as the responder gets to see it: the agent's words only as far as they were heard.

use std::collections::VecDeque;

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
    /// The turn the agent answered; none for the caller, whose words make the turn.
    turn: Option<TurnId>,
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
        self.add(Speaker::Caller, None, text);
    }

    /// Adds a sentence to what the agent is saying in `turn`.
    pub(crate) fn agent_says(&mut self, turn: TurnId, text: &str) {
        self.add(Speaker::Agent, Some(turn), text);
    }

    /// Cuts the answer to `turn` to what was heard of it, once: false if it was cut before. An answer of
    /// which nothing was heard was never given.
    pub(crate) fn cut_to(&mut self, turn: TurnId, heard: &str) -> bool {
        let Some(at) = self.entries.iter().rposition(|entry| entry.turn == Some(turn)) else { return true };
        let answer = &mut self.entries[at];
        if answer.interrupted {
            return false;
        }
        heard.clone_into(&mut answer.text);
        answer.interrupted = true;
        if heard.is_empty() {
            self.entries.remove(at);
        }
        true
    }

    /// Replaces the last sentence of the answer to `turn`, which could not be voiced, by what was voiced of it.
    pub(crate) fn shorten(&mut self, turn: TurnId, sentence: &str, voiced: &str) {
        let Some(at) = self.entries.iter().rposition(|entry| entry.turn == Some(turn)) else { return };
        let answer = &mut self.entries[at].text;
        let Some(before) = answer.strip_suffix(sentence) else { return };
        *answer = format!("{before}{voiced}").trim_end().to_owned();
        if answer.is_empty() {
            self.entries.remove(at);
        }
    }

    fn add(&mut self, speaker: Speaker, turn: Option<TurnId>, text: &str) {
        if let Some(last) =
            self.entries.back_mut().filter(|last| last.speaker == speaker && last.turn == turn)
        {
            last.text.push(' ');
            last.text.push_str(text);
            return;
        }
        if self.entries.len() == Self::LIMIT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { speaker, text: text.to_owned(), interrupted: false, turn });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_which_nothing_was_heard_joins_the_callers_words() {
        let mut history = History::new();
        let turn = TurnId::default().next();
        history.caller_said("I would like");
        history.agent_says(turn, "Yes?");
        assert!(history.cut_to(turn, ""));
        history.caller_said("a table for two");
        let texts: Vec<_> = history.iter().map(|entry| entry.text.as_str()).collect();
        assert_eq!(texts, ["I would like a table for two"]);
    }

    #[test]
    fn an_answer_is_cut_once() {
        let mut history = History::new();
        let turn = TurnId::default().next();
        history.agent_says(turn, "One two three.");
        assert!(history.cut_to(turn, "One two"));
        assert!(!history.cut_to(turn, "One"));
        assert_eq!(history.iter().next_back().unwrap().text, "One two");
    }

    #[test]
    fn the_oldest_entries_go_first() {
        let mut history = History::new();
        for turn in 0..History::LIMIT {
            history.caller_said(&turn.to_string());
            history.agent_says(TurnId::default(), "noted");
        }
        assert_eq!(history.iter().len(), History::LIMIT);
        assert_eq!(history.iter().next().unwrap().text, (History::LIMIT / 2).to_string());
    }
}

//! Text that waits to be spoken, and the pieces it leaves in.

use std::collections::VecDeque;
use std::ops::Range;

use super::FlushPolicy;
use crate::UtteranceId;

/// Runs of text in the order in which they are spoken. A run is one utterance up to its flush.
#[derive(Debug, Default)]
pub(super) struct TextQueue {
    runs: VecDeque<Run>,
    last: Option<UtteranceId>,
}

/// One utterance's text up to its flush.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) utterance: UtteranceId,
    pub(super) text: String,
    pub(super) flushed: bool,
    /// Bytes of the text that were sent on this link, or voiced.
    pub(super) taken: usize,
    /// Bytes of the text whose audio is complete.
    pub(super) voiced: usize,
    /// Audio made for `voiced`, in bytes.
    pub(super) made: u64,
    /// Links on which the text after `voiced` was sent without an answer.
    pub(super) attempts: u32,
}

/// The next part of a run to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    /// Whether the gateway shall speak it without waiting for more.
    pub(super) flush: bool,
}

impl TextQueue {
    /// Adds text to the open run of `utterance`, or opens one.
    pub(super) fn push(&mut self, utterance: UtteranceId, text: &str) {
        self.last = Some(utterance);
        match self.runs.back_mut() {
            Some(run) if !run.flushed && run.utterance == utterance => run.text.push_str(text),
            _ => {
                self.flush();
                self.runs.push_back(Run::new(utterance, text));
            }
        }
    }

    pub(super) fn flush(&mut self) {
        if let Some(run) = self.runs.back_mut() {
            run.flushed = true;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Run> {
        self.runs.pop_front()
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    pub(super) fn front(&self) -> Option<&Run> {
        self.runs.front()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Run> {
        self.runs.front_mut()
    }

    /// The highest utterance ever given.
    pub(super) const fn last(&self) -> Option<UtteranceId> {
        self.last
    }

    /// Text that is not yet voiced, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.runs.iter().map(|run| run.text.len() - run.voiced).sum()
    }
}

impl Run {
    fn new(utterance: UtteranceId, text: &str) -> Self {
        let text = text.to_owned();
        Self { utterance, text, flushed: false, taken: 0, voiced: 0, made: 0, attempts: 0 }
    }

    /// What to send next under `policy`, in messages of at most `max` characters; `None` while there
    /// is nothing to send yet, or nothing a voice could speak.
    pub(super) fn next_piece(&self, policy: FlushPolicy, max: usize) -> Option<Piece> {
        let rest = &self.text[self.taken..];
        // Some providers refuse a text without a letter, so marks and digits wait for their neighbours.
        let sendable = |text: &str| {
            let speakable: fn(char) -> bool =
                if self.flushed { char::is_alphanumeric } else { char::is_alphabetic };
            text.contains(speakable)
        };
        let (length, ends_run) = match policy {
            FlushPolicy::Batch if !self.flushed => return None,
            FlushPolicy::AsGiven | FlushPolicy::Batch => (rest.len(), self.flushed),
            FlushPolicy::Sentence => {
                let ends = sentence_ends(rest).find(|end| sendable(&rest[..*end]));
                match ends.or_else(|| self.flushed.then_some(rest.len())) {
                    Some(end) => (end, true),
                    None => return None,
                }
            }
        };
        let cut = cut_at_words(&rest[..length], max);
        // A cut in the middle of an utterance ends a turn of its own where every message is one.
        let flush = if cut < length { policy != FlushPolicy::AsGiven } else { ends_run };
        sendable(&rest[..length]).then(|| Piece { range: self.taken..self.taken + cut, flush })
    }

    /// Whether anything after what was taken could be spoken.
    pub(super) fn has_more(&self) -> bool {
        self.text[self.taken..].contains(char::is_alphanumeric)
    }
}

/// Offsets just after each sentence and the white space behind it.
fn sentence_ends(text: &str) -> impl Iterator<Item = usize> {
    let mut chars = text.char_indices().peekable();
    let mut mark = false;
    std::iter::from_fn(move || {
        while let Some((at, c)) = chars.next() {
            let after = at + c.len_utf8();
            if matches!(c, '。' | '！' | '？' | '\n') || (mark && c.is_whitespace()) {
                mark = false;
                let mut end = after;
                while let Some((at, space)) = chars.next_if(|(_, next)| next.is_whitespace()) {
                    end = at + space.len_utf8();
                }
                return Some(end);
            }
            // A closing quote or bracket may stand between the mark and the space.
            mark = matches!(c, '.' | '!' | '?' | '…') || (mark && matches!(c, '"' | '\'' | ')' | '”' | '’'));
        }
        None
    })
}

/// Where to cut `text` so that at most `max` characters come before: after the last space, if there is one.
fn cut_at_words(text: &str, max: usize) -> usize {
    let Some((limit, _)) = text.char_indices().nth(max) else { return text.len() };
    let mut spaces = text[..limit].char_indices().filter(|(_, c)| c.is_whitespace());
    spaces.next_back().map_or(limit, |(at, space)| at + space.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(policy: FlushPolicy, max: usize, texts: &[&str], flushed: bool) -> Vec<(String, bool)> {
        let mut run = Run::new(UtteranceId::FIRST, "");
        let mut out = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            run.text.push_str(text);
            run.flushed = flushed && index + 1 == texts.len();
            while let Some(piece) = run.next_piece(policy, max) {
                run.taken = piece.range.end;
                out.push((run.text[piece.range].to_owned(), piece.flush));
            }
        }
        out
    }

    #[test]
    fn pieces_follow_the_policy() {
        let texts = ["One. Tw", "o 2.5 is! ", "\"Three.\" ", "4"];
        let own = |list: &[(&str, bool)]| {
            list.iter().map(|(text, flush)| ((*text).to_owned(), *flush)).collect::<Vec<_>>()
        };
        assert_eq!(
            pieces(FlushPolicy::Sentence, 100, &texts, true),
            own(&[("One. ", true), ("Two 2.5 is! ", true), ("\"Three.\" ", true), ("4", true)])
        );
        assert_eq!(
            pieces(FlushPolicy::Batch, 100, &texts, true),
            own(&[("One. Two 2.5 is! \"Three.\" 4", true)])
        );
        assert_eq!(
            pieces(FlushPolicy::AsGiven, 100, &texts, true),
            own(&[("One. Tw", false), ("o 2.5 is! ", false), ("\"Three.\" ", false), ("4", true)])
        );
        assert_eq!(pieces(FlushPolicy::Batch, 100, &texts, false), own(&[]));
    }

    #[test]
    fn marks_and_digits_wait_for_letters_and_bare_marks_are_never_sent() {
        let own = |list: &[(&str, bool)]| {
            list.iter().map(|(text, flush)| ((*text).to_owned(), *flush)).collect::<Vec<_>>()
        };
        assert_eq!(pieces(FlushPolicy::AsGiven, 100, &["42", ", ", "so"], true), own(&[("42, so", true)]));
        assert_eq!(pieces(FlushPolicy::AsGiven, 100, &["?!", " "], true), own(&[]));
    }

    #[test]
    fn long_texts_are_cut_between_words() {
        let own = |list: &[(&str, bool)]| {
            list.iter().map(|(text, flush)| ((*text).to_owned(), *flush)).collect::<Vec<_>>()
        };
        assert_eq!(
            pieces(FlushPolicy::Batch, 8, &["ab cd efé gh", "ijklmnopqr"], true),
            own(&[("ab cd ", true), ("efé ", true), ("ghijklmn", true), ("opqr", true)])
        );
    }
}

//! One utterance in the ledger: where its words are in its audio, and how far they were heard.

use std::time::Duration;

use voxline_audio::AudioFormat;

use super::super::playout::Heard;
use super::stretch::Span;
use crate::UtteranceId;

/// How an utterance ended.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardUtterance {
    /// Which one.
    pub utterance: UtteranceId,
    /// How much of its audio was heard.
    pub heard: Heard,
    /// How much audio of it was given to the stream.
    pub given: Duration,
    /// Its text up to there, in whole words: what belongs in the history.
    pub text: String,
    /// How the text's end was found.
    pub basis: TextBasis,
    /// Whether the caller heard all of it.
    pub complete: bool,
}

/// How a position in audio became a position in text.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextBasis {
    /// All or nothing of it was heard: there is nothing to find.
    Exact,
    /// Proportionally between two known places.
    Proportional,
    /// At the voice's rate of speech, since the end of its audio was not known yet.
    Rate,
    /// By the times of its words.
    Words,
}

#[derive(Debug)]
pub(super) struct Utterance {
    pub(super) id: UtteranceId,
    /// Which stretch its audio belongs to.
    pub(super) stretch: u64,
    pub(super) text: String,
    /// Places where text and audio are known to meet.
    anchors: Vec<Anchor>,
    /// All audio ever given, up to its first byte and up to its last.
    pub(super) start: u64,
    pub(super) end: u64,
    /// No more audio will come.
    pub(super) finished: bool,
    /// All its text is in its audio.
    pub(super) whole: bool,
    /// A part in the middle was never played.
    pub(super) holed: bool,
}

/// Bytes of audio at which so many bytes of text are over.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    audio: u64,
    text: usize,
    word: bool,
}

impl Utterance {
    pub(super) const fn new(id: UtteranceId, stretch: u64, start: u64) -> Self {
        Self {
            id,
            stretch,
            text: String::new(),
            anchors: Vec::new(),
            start,
            end: start,
            finished: false,
            whole: false,
            holed: false,
        }
    }

    pub(super) const fn audio(&self) -> u64 {
        self.end - self.start
    }

    pub(super) fn anchor(&mut self, audio: u64, text: usize, word: bool) {
        let text = text.min(self.text.len());
        let index = self.anchors.partition_point(|anchor| anchor.audio <= audio);
        self.anchors.insert(index, Anchor { audio, text, word });
    }

    /// `word` is the next one of the text and is over by `audio`. One that comes again, because its utterance was made
    /// again, is known already.
    pub(super) fn spoken(&mut self, audio: u64, word: &str) {
        let last = self.anchors.iter().rev().find(|anchor| anchor.word).copied();
        let from = last.map_or(0, |anchor| anchor.text);
        if last.is_some_and(|anchor| audio <= anchor.audio) {
            return;
        }
        let Some(at) = self.text[from..].find(word) else { return };
        let end = from + at + word.len();
        // The comma behind a word is said with it.
        let rest = &self.text[end..];
        let end = end + rest.find(|c: char| c.is_whitespace() || c.is_alphanumeric()).unwrap_or(rest.len());
        // Each takes some of the text, so that there are no more of them than it has words.
        if end > from {
            self.anchor(audio, end, true);
        }
    }

    #[cfg(test)]
    pub(super) const fn anchors(&self) -> usize {
        self.anchors.len()
    }

    pub(super) fn report(&self, format: AudioFormat, span: Span, rate: f64) -> HeardUtterance {
        let own = span.map(|offset| offset.clamp(self.start, self.end) - self.start);
        let [at_least, played, at_most] = own.map(|bytes| format.duration_of(bytes as usize));
        let complete = self.whole && !self.holed && own[1] > 0 && own[1] == self.audio();
        let (text_end, basis) = self.text_at(format, own[1], complete, rate);
        HeardUtterance {
            utterance: self.id,
            heard: Heard { at_least, played, at_most },
            given: format.duration_of(self.audio() as usize),
            text: self.text[..text_end].to_owned(),
            basis,
            complete,
        }
    }

    /// Where the text ends that is spoken by `audio`, as a byte of it at the end of a word.
    fn text_at(&self, format: AudioFormat, audio: u64, complete: bool, rate: f64) -> (usize, TextBasis) {
        if audio == 0 || complete {
            return (if complete { self.text.len() } else { 0 }, TextBasis::Exact);
        }
        let next = self.anchors.iter().find(|anchor| anchor.audio > audio);
        let last = self.anchors.iter().rev().find(|anchor| anchor.audio <= audio);
        let from = last.copied().unwrap_or(Anchor { audio: 0, text: 0, word: false });
        let (end, basis) = match next {
            Some(next) if next.word => return (self.boundary(from.text), TextBasis::Words),
            Some(next) => {
                let share = (audio - from.audio) as f64 / (next.audio - from.audio) as f64;
                let text = next.text.saturating_sub(from.text) as f64;
                (from.text + (text * share) as usize, TextBasis::Proportional)
            }
            None if from.word && from.text == self.text.len() => return (from.text, TextBasis::Words),
            None => {
                let seconds = format.duration_of((audio - from.audio) as usize).as_secs_f64();
                let rest = &self.text[from.text..];
                let spoken = rest.char_indices().nth((seconds * rate) as usize);
                (from.text + spoken.map_or(rest.len(), |(at, _)| at), TextBasis::Rate)
            }
        };
        (self.boundary(end), basis)
    }

    /// The end of the last whole word within the first `end` bytes.
    fn boundary(&self, end: usize) -> usize {
        if end >= self.text.len() {
            return self.text.len();
        }
        let ends_word = |at: &usize| {
            let Some((before, after)) = self.text.split_at_checked(*at) else { return false };
            let last = before.chars().next_back();
            let parted = after.starts_with(char::is_whitespace) || last.is_some_and(is_a_word);
            parted && last.is_some_and(|last| !last.is_whitespace())
        };
        (0..=end).rev().find(ends_word).unwrap_or(0)
    }
}

/// Chinese and Japanese put no space between words; each character may end one.
const fn is_a_word(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{A4CF}' | '\u{F900}'..='\u{FAFF}' | '\u{FF01}'..='\u{FF60}')
}

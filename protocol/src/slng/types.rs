//! Words both speech directions share: configuration errors, word timings, what a text turned into.

use std::time::Duration;

use thiserror::Error;

use crate::Code;

/// A setting the gateway would refuse, found before anything is sent.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} is {seen}; {remedy}")]
pub struct ConfigError {
    /// The setting.
    pub field: &'static str,
    /// The value seen, shortened; never a key.
    pub seen: String,
    /// What to give instead.
    pub remedy: &'static str,
}

impl ConfigError {
    pub(super) fn new(field: &'static str, seen: impl Into<String>, remedy: &'static str) -> Self {
        let mut seen = seen.into();
        if let Some((cut, _)) = seen.char_indices().nth(SEEN_CHARS) {
            seen.truncate(cut);
            seen.push('…');
        }
        Self { field, seen, remedy }
    }

    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> Code {
        super::codes::CONFIG
    }
}

/// One spoken word of synthesised audio, timed from the start of its utterance.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokenWord {
    /// The word as the provider wrote it.
    pub text: String,
    /// Where it begins in the utterance's audio.
    pub start: Duration,
    /// Where it ends.
    pub end: Duration,
}

/// Recognised speech, placed in the audio that was given.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// What was said.
    pub text: String,
    /// First sample of the span, counted from the first sample ever given.
    pub start: u64,
    /// One past the last sample of the span.
    pub end: u64,
    /// 0 to 1; `None` where the model gives none.
    pub confidence: Option<f32>,
    /// The language as the gateway names it.
    pub language: Option<String>,
    /// Each word with its place, where the model gives them.
    pub words: Vec<Word>,
}

/// One recognised word and its place.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The word, punctuated where the model does that.
    pub text: String,
    /// First sample, counted from the first sample ever given.
    pub start: u64,
    /// One past the last sample.
    pub end: u64,
    /// 0 to 1; `None` where the model gives none.
    pub confidence: Option<f32>,
}

/// Characters of a refused value that an error keeps.
const SEEN_CHARS: usize = 60;

/// A peer's seconds as a duration; what is no time counts as none.
pub(super) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

//! What a gateway's recognition link is set up with, told, asked, and tells.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use voxline_audio::SampleRate;

use crate::slng::gate::Common;
use crate::slng::{Quirks, Word};
use crate::{CloseFrame, DecodeError};

/// How the simulated gateway behaves.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SttServerConfig {
    /// Its faults and dialects; none by default.
    pub quirks: Quirks,
    /// The name it gives the link. Default `sim-stt`.
    pub session_id: String,
    /// How long the application may take to finish after `close`. Default 5 s.
    pub drain_timeout: Duration,
}

impl SttServerConfig {
    /// Misbehaves as `quirks` say.
    #[must_use]
    pub const fn with_quirks(mut self, quirks: Quirks) -> Self {
        self.quirks = quirks;
        self
    }

    /// Calls the link `session_id`.
    #[must_use]
    pub fn with_session_id(mut self, session_id: impl Into<String>) -> Self {
        self.session_id = session_id.into();
        self
    }
}

impl Default for SttServerConfig {
    fn default() -> Self {
        Self { quirks: Quirks::NONE, session_id: "sim-stt".to_owned(), drain_timeout: Duration::from_secs(5) }
    }
}

/// What the client announced in `init`.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SttInit {
    /// Samples a second; the audio is 16-bit linear and mono.
    pub rate: SampleRate,
    /// The language.
    pub language: Option<String>,
    /// Whether partial transcripts are wanted.
    pub partials: bool,
}

/// Speech the application of a simulated gateway understood.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// The words.
    pub text: String,
    /// Where they are, in samples from the link's first.
    pub span: Range<u64>,
    /// 0 to 1.
    pub confidence: Option<f32>,
    /// The language.
    pub language: Option<String>,
    /// Each word with its place, in samples from the link's first.
    pub words: Vec<Word>,
}

impl Heard {
    /// Speech in `span`, its words spread evenly over it. Empty text is an empty result.
    #[must_use]
    pub fn new(text: impl Into<String>, span: Range<u64>) -> Self {
        let text = text.into();
        let list: Vec<&str> = text.split_whitespace().collect();
        let (count, length) = (list.len() as u64, span.end.saturating_sub(span.start));
        // Whole words' lengths first, so that no span is too long to be multiplied.
        let (each, rest) = (length / count.max(1), length % count.max(1));
        let place = |index: usize| span.start + each * index as u64 + rest * index as u64 / count.max(1);
        let words = list.iter().enumerate().map(|(index, word)| Word {
            text: (*word).to_owned(),
            start: place(index),
            end: place(index + 1),
            confidence: None,
        });
        let words = words.collect();
        Self { text, span, confidence: None, language: None, words }
    }

    /// Speech whose words have known places.
    #[must_use]
    pub fn with_words(mut self, words: Vec<Word>) -> Self {
        self.words = words;
        self
    }

    /// Sure to `confidence`, 0 to 1.
    #[must_use]
    pub const fn with_confidence(mut self, confidence: f32) -> Self {
        self.confidence = Some(confidence);
        self
    }
}

/// What the application of a simulated gateway can do.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum SttServerCommand {
    /// Ends the link at once.
    Close(CloseFrame),
    /// Reports an error and, unless a quirk forbids it, closes the link.
    Error {
        /// The gateway's name for it, such as `provider_error`.
        code: String,
        /// Its words.
        message: String,
    },
    /// A transcript that will not be revised.
    Final(Heard),
    /// The answer to [`SttServerEvent::Close`]: all finals were given.
    Finish,
    /// A transcript so far. Sent only if the client asked for partials.
    Partial(Heard),
}

/// What the application of a simulated gateway is told.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SttServerEvent {
    /// More audio, whole samples.
    Audio(Bytes),
    /// The client has no more audio: give the finals that are left, then `Finish`.
    Close,
    /// The link is over. Always the last event.
    Closed,
    /// The client wants a final for all audio so far; an empty one if there is no speech in it.
    Finalize,
    /// A message that did not parse.
    Garbled {
        /// What was wrong with it.
        error: DecodeError,
    },
    /// The client's `init`.
    Started(SttInit),
    /// A message type a gateway does not know.
    Unhandled {
        /// The type's name.
        kind: String,
    },
}

impl From<Common> for SttServerEvent {
    fn from(event: Common) -> Self {
        match event {
            Common::Closed => Self::Closed,
            Common::Garbled(error) => Self::Garbled { error },
            Common::Unhandled(kind) => Self::Unhandled { kind },
        }
    }
}

//! What a gateway's speech link is set up with, told, asked, and tells.

use std::time::Duration;

use bytes::Bytes;
use voxline_audio::AudioFormat;

use crate::slng::Quirks;
use crate::slng::gate::Common;
use crate::{CloseFrame, DecodeError};

/// How the simulated gateway behaves.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TtsServerConfig {
    /// Its faults and dialects; none by default.
    pub quirks: Quirks,
    /// The name it gives the link. Default `sim-tts`.
    pub session_id: String,
    /// How long one audio message lasts, 20 to 100 ms. Default 40 ms.
    pub chunk: Duration,
    /// Audio held for the link, in bytes. Default 32 MiB.
    pub max_queued: usize,
}

impl TtsServerConfig {
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

    /// Sends audio in messages of `chunk`.
    #[must_use]
    pub const fn with_chunk(mut self, chunk: Duration) -> Self {
        self.chunk = chunk;
        self
    }
}

impl Default for TtsServerConfig {
    fn default() -> Self {
        Self {
            quirks: Quirks::NONE,
            session_id: "sim-tts".to_owned(),
            chunk: Duration::from_millis(40),
            max_queued: 32 * 1024 * 1024,
        }
    }
}

/// What the client asked for in `init`.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct TtsInit {
    /// The format of all audio on this link.
    pub format: AudioFormat,
    /// The voice.
    pub voice: Option<String>,
    /// The language.
    pub language: Option<String>,
    /// The speaking rate.
    pub speed: Option<f32>,
}

/// What the application of a simulated gateway can do. Turns are numbered from 0 on each link.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TtsServerCommand {
    /// More audio of a turn, whole samples. Audio of a cleared turn is dropped in silence.
    Audio {
        /// Whose audio it is.
        turn: u64,
        /// The samples in the link's format.
        audio: Bytes,
    },
    /// Ends the link.
    Close(CloseFrame),
    /// A turn has all its audio; to be said after the turn's flush.
    End {
        /// Which turn.
        turn: u64,
    },
    /// Reports an error and, unless a quirk forbids it, closes the link.
    Error {
        /// The gateway's name for it, such as `provider_error`.
        code: String,
        /// Its words.
        message: String,
    },
}

/// What the application of a simulated gateway is told.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum TtsServerEvent {
    /// Turns numbered below `before` are void: stop making their audio.
    Cleared {
        /// The first turn that is not.
        before: u64,
    },
    /// The link is over. Always the last event.
    Closed,
    /// A message that did not parse.
    Garbled {
        /// What was wrong with it.
        error: DecodeError,
    },
    /// The client's `init`.
    Started(TtsInit),
    /// Text to be spoken in `turn`. The turn is complete with the event whose `flush` is set.
    Synthesise {
        /// Which turn.
        turn: u64,
        /// More of its text, possibly none.
        text: String,
        /// Whether this was all.
        flush: bool,
    },
    /// A message type a gateway does not know.
    Unhandled {
        /// The type's name.
        kind: String,
    },
}

impl From<Common> for TtsServerEvent {
    fn from(event: Common) -> Self {
        match event {
            Common::Closed => Self::Closed,
            Common::Garbled(error) => Self::Garbled { error },
            Common::Unhandled(kind) => Self::Unhandled { kind },
        }
    }
}

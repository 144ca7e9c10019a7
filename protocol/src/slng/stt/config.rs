//! What a recognition session is told, asked, and tells.

use std::time::Duration;

use bytes::Bytes;
use voxline_audio::{AudioFormat, Encoding, SampleRate};

use crate::slng::{ConfigError, Transcript};
use crate::{CloseFrame, Code, DecodeError};

/// How a recognition session is set up. Everything but the format has a default.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct SttConfig {
    /// Samples a second of the audio that will be given; it is 16-bit linear and mono.
    pub rate: SampleRate,
    /// The language; the model's own by default. Leave it out for models of one language.
    pub language: Option<String>,
    /// Whether to ask for partial transcripts. Default true.
    pub partials: bool,
    /// How much audio is held for replay. Default 60 s. When it is full, the oldest is given up and
    /// [`SttEvent::Dropped`] says which, as soon as that means a loss.
    pub max_held: Duration,
    /// How many times faster than real time held audio is sent. Default 2.0: audio is live again when
    /// the link has been back for as long as it was away, and for as long as the speech lasts that the
    /// lost one left without a final. At 1.5 that takes twice as long; beyond 2.0 recognisers have not
    /// been tried. Less than 1.1 counts as 1.1.
    pub replay_speed: f32,
    /// Audio younger than this when a final arrives without times may be still on its way. Default 250 ms.
    pub transit_margin: Duration,
    /// Audio older than this without a partial transcript holds no speech. Default 3 s. It counts
    /// only where the model has shown that it sends partials.
    pub quiet_after: Duration,
    /// How long the gateway may take to answer `init`. Default 5 s.
    pub ready_timeout: Duration,
    /// How long a final may take after `finalize`. Default 3 s; the vendor measured 0.3 to 0.6 s.
    pub final_timeout: Duration,
    /// How long the end of the session may make no progress. Default 5 s.
    pub close_timeout: Duration,
    /// Silence on the link after which `keepalive` is sent. Default 10 s. Zero sends none.
    pub keepalive: Duration,
}

impl SttConfig {
    /// A session that is given `format`.
    ///
    /// ```
    /// use voxline_audio::{AudioFormat, SampleRate};
    /// use voxline_protocol::slng::SttConfig;
    ///
    /// let config = SttConfig::new(AudioFormat::linear16(SampleRate::Hz16000))?.with_language("en");
    /// assert_eq!(config.rate, SampleRate::Hz16000);
    /// assert!(SttConfig::new(AudioFormat::PHONE).is_err());
    /// # Ok::<(), voxline_protocol::slng::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// The encoding is not 16-bit linear: the gateway speaks µ-law but does not hear it.
    pub fn new(format: AudioFormat) -> Result<Self, ConfigError> {
        if format.encoding != Encoding::Linear16Le {
            return Err(ConfigError::new(
                "encoding",
                format.encoding.to_string(),
                "decode it to 16-bit linear first; 8000 Hz is fine",
            ));
        }
        Ok(Self {
            rate: format.rate,
            language: None,
            partials: true,
            max_held: Duration::from_secs(60),
            replay_speed: 2.0,
            transit_margin: Duration::from_millis(250),
            quiet_after: Duration::from_secs(3),
            ready_timeout: Duration::from_secs(5),
            final_timeout: Duration::from_secs(3),
            close_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(10),
        })
    }

    /// Expects `language`.
    #[must_use]
    pub fn with_language(mut self, language: impl Into<String>) -> Self {
        self.language = Some(language.into());
        self
    }

    /// Asks for partial transcripts, or not.
    #[must_use]
    pub const fn with_partials(mut self, partials: bool) -> Self {
        self.partials = partials;
        self
    }

    /// Holds at most `limit` of audio.
    #[must_use]
    pub const fn with_max_held(mut self, limit: Duration) -> Self {
        self.max_held = limit;
        self
    }

    /// Replays `speed` times as fast as real time; less than 1.1 counts as 1.1, or it would never catch up.
    #[must_use]
    pub const fn with_replay_speed(mut self, speed: f32) -> Self {
        self.replay_speed = speed;
        self
    }

    /// Waits `limit` for a final after `finalize`.
    #[must_use]
    pub const fn with_final_timeout(mut self, limit: Duration) -> Self {
        self.final_timeout = limit;
        self
    }

    /// The format that is sent.
    #[must_use]
    pub const fn format(&self) -> AudioFormat {
        AudioFormat::linear16(self.rate)
    }
}

/// What a recognition session can be asked.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SttCommand {
    /// More audio, any whole number of samples.
    Audio(Bytes),
    /// Has everything given so far recognised, then ends the session with [`SttEvent::Closed`].
    Close,
    /// The speaker stopped: asks for a final now. Answered by [`SttEvent::Finalized`] or
    /// [`SttEvent::FinalizeTimedOut`] (R09).
    Finalize,
}

/// What a recognition session tells. Positions count samples from the first one ever given.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum SttEvent {
    /// After a lost link: everything given has been sent again, and audio is live.
    CaughtUp,
    /// The session ended well. Always the last event.
    Closed,
    /// Audio that no link will carry any more: too much was held, or the session ended before the
    /// gateway had answered for it.
    Dropped {
        /// Its first sample.
        from: u64,
        /// One past its last.
        to: u64,
    },
    /// Speech that will not be revised. Each stretch of speech is told once, whatever the links do.
    Final(Transcript),
    /// A final answered a finalize; it came before this event, unless there was no speech.
    Finalized {
        /// How much had been given when it was asked.
        position: u64,
    },
    /// No final came in time, or on three links. Audio stays held as if it had not been asked.
    FinalizeTimedOut {
        /// How much had been given when it was asked.
        position: u64,
    },
    /// A message that did not parse, and that the session can do without.
    Garbled {
        /// What was wrong with it.
        error: DecodeError,
    },
    /// The link ended. Audio that no final covers is replayed on the next one.
    LinkLost(Option<CloseFrame>),
    /// Speech so far; the next partial or final replaces it.
    Partial(Transcript),
    /// The gateway accepted the configuration; audio flows.
    Ready {
        /// The gateway's name for this link, to be quoted in support cases.
        session_id: Option<String>,
        /// Its name for the request that opened the link (`slng_request_id`), to be quoted beside it.
        request_id: Option<String>,
        /// How much audio waits to be sent, faster than real time.
        backlog: Duration,
    },
    /// A message type this version does not know.
    Unhandled {
        /// The type's name on the wire.
        kind: String,
    },
    /// Something went wrong and was dealt with.
    Warning {
        /// Its page in the catalogue.
        code: Code,
        /// The gateway's words, or ours.
        message: String,
    },
}

/// What a recognition session has counted.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SttStats {
    /// Samples given.
    pub given: u64,
    /// Samples sent, replays included.
    pub sent: u64,
    /// Samples sent again because a link was lost.
    pub replayed: u64,
    /// Transcripts dropped because they repeated what was final.
    pub duplicates: u64,
    /// Messages that did not parse.
    pub garbled: u64,
    /// Messages of unknown type.
    pub unhandled: u64,
}

//! What a speech session is told, asked, and tells.

use std::time::Duration;

use bytes::Bytes;
use voxline_audio::AudioFormat;

use crate::slng::{ConfigError, SpokenWord};
use crate::{CloseFrame, Code, DecodeError, UtteranceId};

/// How a speech session is set up. Everything but format and voice has a default.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct TtsConfig {
    /// What the audio shall be. The gateway honours it on most routes; a header that contradicts it
    /// is reported as a warning.
    pub format: AudioFormat,
    /// The voice, in the model's own naming. Several models have no default, so neither has this.
    pub voice: String,
    /// The language; the model's own by default.
    pub language: Option<String>,
    /// Speaking rate, 1.0 being normal; only some models honour it.
    pub speed: Option<f32>,
    /// When text is sent and flushed. Default [`FlushPolicy::AsGiven`].
    pub flush_policy: FlushPolicy,
    /// How long the gateway may take to answer `init`. Default 5 s; below 1 s cold models fail.
    pub ready_timeout: Duration,
    /// How long `cleared` may take before the link is replaced. Default 300 ms.
    pub clear_timeout: Duration,
    /// Silence required after `cleared` before text is sent again. Default 100 ms. Zero trusts every
    /// route to send nothing late.
    pub clear_quiet: Duration,
    /// How long a flushed utterance may stay silent before the link is replaced. Default 5 s.
    pub terminal_timeout: Duration,
    /// How long the gateway may take to close after `close`. Default 1 s.
    pub close_timeout: Duration,
    /// How often `keepalive` is sent. Default 25 s; the vendor's own client uses 30 s. Zero sends none.
    pub keepalive: Duration,
    /// The longest text of one command and of one message, in characters. Default 2,000; some
    /// models take no more than 500.
    pub max_text: usize,
    /// Text held while it waits its turn, in bytes. Default 64 KiB.
    pub max_queued_text: usize,
}

impl TtsConfig {
    /// A session that makes `format` with `voice`.
    ///
    /// ```
    /// use voxline_audio::{AudioFormat, SampleRate};
    /// use voxline_protocol::slng::{FlushPolicy, TtsConfig};
    ///
    /// let config = TtsConfig::new(AudioFormat::linear16(SampleRate::Hz24000), "aura-2-thalia-en")
    ///     .with_language("en")
    ///     .with_flush_policy(FlushPolicy::Sentence);
    /// assert_eq!(config.voice, "aura-2-thalia-en");
    /// assert!(config.check().is_ok());
    /// ```
    #[must_use]
    pub fn new(format: AudioFormat, voice: impl Into<String>) -> Self {
        Self {
            format,
            voice: voice.into(),
            language: None,
            speed: None,
            flush_policy: FlushPolicy::AsGiven,
            ready_timeout: Duration::from_secs(5),
            clear_timeout: Duration::from_millis(300),
            clear_quiet: Duration::from_millis(100),
            terminal_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(1),
            keepalive: Duration::from_secs(25),
            max_text: 2_000,
            max_queued_text: 64 * 1024,
        }
    }

    /// Speaks `language` instead of the model's own.
    #[must_use]
    pub fn with_language(mut self, language: impl Into<String>) -> Self {
        self.language = Some(language.into());
        self
    }

    /// Speaks `speed` times as fast.
    #[must_use]
    pub const fn with_speed(mut self, speed: f32) -> Self {
        self.speed = Some(speed);
        self
    }

    /// Sends and flushes text by `policy`.
    #[must_use]
    pub const fn with_flush_policy(mut self, policy: FlushPolicy) -> Self {
        self.flush_policy = policy;
        self
    }

    /// Waits `limit` for `ready`.
    #[must_use]
    pub const fn with_ready_timeout(mut self, limit: Duration) -> Self {
        self.ready_timeout = limit;
        self
    }

    /// Waits `limit` for the next sign of a flushed utterance.
    #[must_use]
    pub const fn with_terminal_timeout(mut self, limit: Duration) -> Self {
        self.terminal_timeout = limit;
        self
    }

    /// Takes at most `characters` in one command.
    #[must_use]
    pub const fn with_max_text(mut self, characters: usize) -> Self {
        self.max_text = characters;
        self
    }

    /// Finds what the gateway would refuse, before a link is opened.
    ///
    /// # Errors
    /// The voice or the language is empty, or the speed is no positive number.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.voice.trim().is_empty() {
            return Err(ConfigError::new("voice", "empty", "name a voice of the model"));
        }
        if self.language.as_ref().is_some_and(|language| language.trim().is_empty()) {
            return Err(ConfigError::new("language", "empty", "give a language such as `en`, or none"));
        }
        match self.speed {
            Some(speed) if !(speed.is_finite() && speed > 0.0) => {
                Err(ConfigError::new("speed", speed.to_string(), "give a positive number; 1.0 is normal"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// When text goes out and when the gateway is told to speak what it has (T02).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlushPolicy {
    /// Each text at once, flushed when the application says so: the model may begin before the end is
    /// known. The flush travels inside the last text if that text has not left yet.
    AsGiven,
    /// The whole utterance as one text once it is flushed: best prosody, one message, and the only
    /// form the gateway's cache can find. Costs the time until the flush.
    Batch,
    /// Each sentence by itself as soon as it is complete: first audio early, and a lost link costs
    /// one sentence at most. A sentence is complete when white space follows its full stop.
    Sentence,
}

/// What a speech session can be asked. Utterance numbers are the application's and never go down.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TtsCommand {
    /// Drops all that has not been delivered, text and audio; answered by [`TtsEvent::Cleared`].
    Clear,
    /// Stops at once and ends the session; answered by [`TtsEvent::Closed`].
    Close,
    /// The current utterance has all its text.
    Flush,
    /// More text of an utterance, joined to what it has without a space. A new number flushes the
    /// utterance before it.
    Speak {
        /// Whose text this is.
        utterance: UtteranceId,
        /// The text, of which at least one character.
        text: String,
    },
}

/// What a speech session tells.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum TtsEvent {
    /// Audio in the configured format, whole samples.
    Audio {
        /// Whose audio it is.
        utterance: UtteranceId,
        /// The samples as bytes.
        audio: Bytes,
    },
    /// Nothing older than the clear will come any more.
    Cleared {
        /// Audio that was dropped since the clear, in bytes.
        dropped_bytes: u64,
    },
    /// The session ended well. Always the last event.
    Closed,
    /// A message that did not parse, and that the session can do without.
    Garbled {
        /// What was wrong with it.
        error: DecodeError,
    },
    /// The link ended. Text of which nothing was heard is spoken on the next one.
    LinkLost(Option<CloseFrame>),
    /// The gateway accepted the configuration; text flows.
    Ready {
        /// The gateway's name for this link, to be quoted in support cases.
        session_id: Option<String>,
        /// Its name for the request that opened the link (`slng_request_id`), to be quoted beside it.
        request_id: Option<String>,
    },
    /// An utterance ended before it was spoken. It is not spoken again by itself: what was heard of
    /// it would be heard twice.
    Truncated {
        /// Which one.
        utterance: UtteranceId,
        /// Audio made before it stopped.
        spoken: Duration,
        /// All text it was given since its last flush.
        text: String,
        /// Bytes of `text` that are certainly voiced whole; the rest stopped somewhere or never began.
        voiced: usize,
        /// Why.
        reason: Truncation,
    },
    /// A message type this version does not know.
    Unhandled {
        /// The type's name on the wire.
        kind: String,
    },
    /// An utterance has all its audio.
    UtteranceEnd {
        /// Which one.
        utterance: UtteranceId,
        /// Audio made for it.
        duration: Duration,
    },
    /// Something went wrong and was dealt with.
    Warning {
        /// Its page in the catalogue.
        code: Code,
        /// The gateway's words, or ours.
        message: String,
    },
    /// When each word is spoken, on models that say so.
    Words {
        /// Whose words they are.
        utterance: UtteranceId,
        /// The words, timed from the start of the utterance.
        words: Vec<SpokenWord>,
    },
}

/// Why an utterance stopped.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truncation {
    /// The link ended in the middle of its audio, without an end marker (T17).
    LinkLost,
    /// Its text was sent on several links and never answered with audio.
    Unanswered,
    /// The gateway went silent in the middle of its audio.
    WentSilent,
}

/// What a speech session has counted.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TtsStats {
    /// Audio handed to the application, in bytes.
    pub audio_bytes: u64,
    /// Audio dropped because of a clear or because nobody owned it, in bytes.
    pub dropped_bytes: u64,
    /// Messages that did not parse.
    pub garbled: u64,
    /// Messages of unknown type.
    pub unhandled: u64,
    /// Utterances, or parts of them, sent again on another link.
    pub replayed: u64,
}

//! The gateway's known faults and dialects, as switches of the simulated one (Z07).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

macro_rules! quirks {
    ($(#[doc = $meaning:literal] $variant:ident $name:literal)*) => {
        /// One fault or dialect of the gateway that was seen in the field or is possible by its rules.
        ///
        /// ```
        /// use voxline_protocol::slng::{Quirks, SlngQuirk};
        ///
        /// assert_eq!("no-cleared".parse(), Ok(SlngQuirk::NoCleared));
        /// let quirks: Quirks = "json-audio,flushed-only".parse()?;
        /// assert!(quirks.contains(SlngQuirk::FlushedOnly));
        /// # Ok::<(), voxline_protocol::slng::UnknownQuirk>(())
        /// ```
        #[non_exhaustive]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum SlngQuirk {
            $(#[doc = $meaning] $variant,)*
        }

        impl SlngQuirk {
            /// Every quirk, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name by which it is switched on.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What the gateway does then, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    // A doc comment begins with a space.
                    $(Self::$variant => $meaning.trim_ascii(),)*
                }
            }
        }
    };
}

quirks! {
    /// The link ends with an error once it is thirty seconds old.
    AgeLimit "age-limit"
    /// The key is refused by an error after the upgrade rather than by its status.
    AuthFrame "auth-frame"
    /// An utterance is ended by `audio_end` and by `flushed`.
    BothTerminals "both-terminals"
    /// TTS: the link is closed in good order after each end marker.
    CloseAfterTerminal "close-after-terminal"
    /// TTS: the first flush of a link is answered by a close in good order, without audio.
    CloseBeforeAudio "close-before-audio"
    /// TTS: a close in good order stands for the end marker.
    CloseForTerminal "close-for-terminal"
    /// The link stays open and nothing is answered after `ready`.
    Dead "dead"
    /// STT: each final is sent twice.
    DuplicateFinals "duplicate-finals"
    /// STT: audio before `ready` is taken rather than answered by a close with 1008.
    EarlyAudioAllowed "early-audio-allowed"
    /// STT: an empty final precedes each final.
    EmptyFinals "empty-finals"
    /// TTS: the first flush of a link is answered by an error text in a binary message.
    ErrorBody "error-body"
    /// Errors say `Error` instead of `error`.
    ErrorCapitalised "error-capitalised"
    /// Errors come without a code.
    ErrorCodeless "error-codeless"
    /// Errors carry their fields inside `data`.
    ErrorNested "error-nested"
    /// The link stays open after an error.
    ErrorStaysOpen "error-stays-open"
    /// Errors come without a type.
    ErrorTypeless "error-typeless"
    /// TTS: an utterance is ended by `flushed` alone.
    FlushedOnly "flushed-only"
    /// The link ends with an error after ten seconds without a message.
    IdleLimit "idle-limit"
    /// TTS: a `flush` outside a text is not honoured.
    IgnoreStandaloneFlush "ignore-standalone-flush"
    /// TTS: audio comes in base64 inside JSON.
    JsonAudio "json-audio"
    /// TTS: old audio follows `cleared`.
    LateAudio "late-audio"
    /// `ready` takes two seconds.
    LateReady "late-ready"
    /// TTS: `clear` is obeyed without an acknowledgement.
    NoCleared "no-cleared"
    /// STT: `finalize` is never answered.
    NoFinal "no-final"
    /// STT: there are no partial transcripts.
    NoPartials "no-partials"
    /// `init` is never answered.
    NoReady "no-ready"
    /// TTS: an utterance has no end marker, and the link stays open.
    NoTerminal "no-terminal"
    /// STT: words come without times.
    NoWordTimes "no-word-times"
    /// TTS: audio comes in messages of an odd number of bytes.
    OddAudio "odd-audio"
    /// The first request of a link is answered by an error of the provider.
    ProviderError "provider-error"
    /// `init` is answered by a complaint about too many links.
    RateLimit "rate-limit"
    /// STT: audio in base64 is refused.
    RejectJsonAudio "reject-json-audio"
    /// STT: transcripts come as a provider's own `Results`.
    ResultsDialect "results-dialect"
    /// TTS: each utterance begins with a RIFF header.
    RiffHeader "riff-header"
    /// TTS: each utterance begins with a RIFF header that names another rate.
    RiffLies "riff-lies"
    /// TTS: each text is ended by itself, not each flush.
    TerminalPerFragment "terminal-per-fragment"
    /// STT: transcripts are called `text`.
    TextKey "text-key"
}

impl fmt::Display for SlngQuirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SlngQuirk {
    type Err = UnknownQuirk;

    fn from_str(name: &str) -> Result<Self, UnknownQuirk> {
        let found = Self::ALL.iter().find(|quirk| quirk.name() == name);
        found.copied().ok_or_else(|| UnknownQuirk { name: name.to_owned() })
    }
}

/// A set of quirks; empty is the well-behaved gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Quirks(u64);

impl Quirks {
    /// No quirk at all.
    pub const NONE: Self = Self(0);

    /// The set with `quirk` added.
    #[must_use]
    pub const fn with(self, quirk: SlngQuirk) -> Self {
        Self(self.0 | 1 << quirk as u64)
    }

    /// Whether `quirk` is in it.
    #[must_use]
    pub const fn contains(self, quirk: SlngQuirk) -> bool {
        self.0 & 1 << quirk as u64 != 0
    }
}

impl FromIterator<SlngQuirk> for Quirks {
    fn from_iter<I: IntoIterator<Item = SlngQuirk>>(quirks: I) -> Self {
        quirks.into_iter().fold(Self::NONE, Self::with)
    }
}

impl FromStr for Quirks {
    type Err = UnknownQuirk;

    /// Reads names separated by commas; an empty text is the empty set.
    fn from_str(names: &str) -> Result<Self, UnknownQuirk> {
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::parse).collect()
    }
}

/// A name that no quirk has.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no quirk is called `{name}`")]
pub struct UnknownQuirk {
    /// The name that was given.
    pub name: String,
}

const _: () = assert!(SlngQuirk::ALL.len() <= u64::BITS as usize, "a set is one word");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quirk_is_found_by_its_name_and_names_are_sorted() {
        assert!(SlngQuirk::ALL.is_sorted_by_key(|quirk| quirk.name()));
        for quirk in SlngQuirk::ALL {
            assert_eq!(quirk.name().parse(), Ok(*quirk));
            assert!(quirk.meaning().ends_with('.') && !quirk.meaning().starts_with(' '), "{quirk}");
            assert!(Quirks::NONE.with(*quirk).contains(*quirk));
        }
        assert!("no-ready,waltz".parse::<Quirks>().unwrap_err().to_string().contains("waltz"));
    }
}

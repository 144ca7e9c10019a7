//! When the caller's voice takes the floor, and how the agent falls silent.

use std::time::Duration;

/// How the agent stops when the caller takes the floor (SLNG, interruption handling).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BargeInPattern {
    /// Everything queued is dropped, here and at the provider. The default.
    #[default]
    Immediate,
    /// The same, then the next 30 ms that would have played are sent after all, faded to silence: no click.
    FadeOut,
}

/// When a caller who speaks over the agent is meant to be heard.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BargeInPolicy {
    /// How the agent stops.
    pub pattern: BargeInPattern,
    /// How long the caller must keep speaking after the detector said so. 0 by default: the detector's own
    /// minimum speech has passed by then. Longer ignores coughs and costs that much talking over the caller.
    pub min_speech: Duration,
}

impl BargeInPolicy {
    /// Stops at once, without a fade.
    #[must_use]
    pub const fn immediate() -> Self {
        Self { pattern: BargeInPattern::Immediate, min_speech: Duration::ZERO }
    }

    /// Uses another pattern.
    #[must_use]
    pub const fn with_pattern(self, pattern: BargeInPattern) -> Self {
        Self { pattern, ..self }
    }

    /// Asks for longer speech before the agent stops.
    #[must_use]
    pub const fn with_min_speech(self, min_speech: Duration) -> Self {
        Self { min_speech, ..self }
    }
}

impl Default for BargeInPolicy {
    fn default() -> Self {
        Self::immediate()
    }
}

//! How long the agent takes to fall silent, from the caller's first sound.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::TurnId;

/// The time between the caller's voice and the agent's silence, both at the caller's end.
///
/// The agent hears the voice as late as it learns of the silence, so the way to the caller and back is in it once.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interruption {
    /// From the voice's first sound to its being noticed.
    pub detection: Duration,
    /// From there to the decision to stop: minimum speech, words.
    pub decision: Duration,
    /// From there to silence at the caller, a fade included.
    pub clearing: Duration,
}

impl Interruption {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.detection + self.decision + self.clearing
    }
}

/// The silences that were asked for and not confirmed, oldest first.
#[derive(Debug, Default)]
pub(super) struct Silences(VecDeque<(TurnId, Interruption, Instant)>);

impl Silences {
    pub(super) fn expect(&mut self, turn: TurnId, began: Instant, noticed: Instant, now: Instant) {
        let detection = noticed.saturating_duration_since(began);
        let decision = now.saturating_duration_since(noticed);
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((turn, Interruption { detection, decision, clearing: Duration::ZERO }, now));
    }

    /// The agent is silent in `turn`, but for a tail still to be heard. `None` if no voice asked for it.
    pub(super) fn settle(&mut self, now: Instant, turn: TurnId, tail: Duration) -> Option<Interruption> {
        let at = self.0.iter().position(|(of, ..)| *of == turn)?;
        let (_, interruption, asked) = self.0.remove(at)?;
        Some(Interruption { clearing: now.saturating_duration_since(asked) + tail, ..interruption })
    }
}

/// More than this unconfirmed means a phone that confirms nothing.
const KEPT: usize = 8;

//! What is to go wrong, and when: a value with a seed.

use std::ops::RangeInclusive;
use std::time::Duration;

use voxline_protocol::Dice;

/// Faults for one link, drawn from a seed so that a failing run can be repeated.
///
/// Times are ages of the link on Tokio's clock. Nothing goes wrong by default.
///
/// ```
/// use std::time::Duration;
/// use voxline_transport::FaultPlan;
///
/// let second = Duration::from_secs(1);
/// let plan = FaultPlan::new(7).with_cut(second..=second * 30).with_garble(0.01);
/// assert_eq!(plan.seed, 7);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    /// Where every draw comes from.
    pub seed: u64,
    /// The link breaks at an age from this range: both ends see a reset.
    pub cut: Option<RangeInclusive<Duration>>,
    /// The link goes silent at an age from this range: nothing arrives any more, and what is sent
    /// vanishes. No end is told.
    pub black_hole: Option<RangeInclusive<Duration>>,
    /// Every message that arrives does so later, each by its own draw; the order is kept.
    pub delay: Option<RangeInclusive<Duration>>,
    /// Again and again, for a while, nothing moves in either direction.
    pub stall: Option<Stall>,
    /// The share of arriving messages that is damaged, 0 to 1.
    pub garble: f64,
    /// The peer's close frame is lost: the link's end looks like a reset.
    pub drop_close: bool,
}

/// Pauses in both directions.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// How long the link moves before it stops.
    pub every: RangeInclusive<Duration>,
    /// How long it then stands still.
    pub lasting: RangeInclusive<Duration>,
}

impl FaultPlan {
    /// A plan in which nothing goes wrong yet.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, cut: None, black_hole: None, delay: None, stall: None, garble: 0.0, drop_close: false }
    }

    /// Sets [`Self::cut`].
    #[must_use]
    pub const fn with_cut(mut self, age: RangeInclusive<Duration>) -> Self {
        self.cut = Some(age);
        self
    }

    /// Sets [`Self::black_hole`].
    #[must_use]
    pub const fn with_black_hole(mut self, age: RangeInclusive<Duration>) -> Self {
        self.black_hole = Some(age);
        self
    }

    /// Sets [`Self::delay`].
    #[must_use]
    pub const fn with_delay(mut self, delay: RangeInclusive<Duration>) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Sets [`Self::stall`].
    #[must_use]
    pub const fn with_stall(
        mut self,
        every: RangeInclusive<Duration>,
        lasting: RangeInclusive<Duration>,
    ) -> Self {
        self.stall = Some(Stall { every, lasting });
        self
    }

    /// Sets [`Self::garble`].
    #[must_use]
    pub const fn with_garble(mut self, share: f64) -> Self {
        self.garble = share;
        self
    }

    /// Sets [`Self::drop_close`].
    #[must_use]
    pub const fn with_dropped_close(mut self) -> Self {
        self.drop_close = true;
        self
    }

    /// The plan for the link of this number: the same faults at other moments.
    pub(crate) fn for_link(&self, number: u64) -> Self {
        let mut plan = self.clone();
        plan.seed = Dice::new(self.seed.wrapping_add(number)).roll();
        plan
    }
}

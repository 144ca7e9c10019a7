//! Seeded chance: jitter, faults and quirks that are the same for the same seed, everywhere.

use std::ops::Range;
use std::time::Duration;

/// A stream of draws from a seed. For spreading and for faults; it guards nothing.
///
/// SplitMix64, from G. Steele, D. Lea and C. Flood, "Fast splittable pseudorandom number generators" (2014).
///
/// ```
/// use voxline_protocol::Dice;
///
/// let mut dice = Dice::new(7);
/// assert!(dice.within(1..7) < 7);
/// assert_eq!(Dice::new(7).roll(), Dice::new(7).roll());
/// ```
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same way for this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `range`; its start where the range is empty.
    pub const fn within(&mut self, range: Range<u64>) -> u64 {
        let drawn = self.roll();
        match range.end.saturating_sub(range.start) {
            0 => range.start,
            span => range.start + drawn % span,
        }
    }

    /// A number from 0 to below 1.
    pub const fn unit(&mut self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A duration from `from` to below `to`; `from` where that is no range.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        from + to.saturating_sub(from).mul_f64(self.unit())
    }

    /// True once in `times`, on average.
    pub const fn once_in(&mut self, times: u64) -> bool {
        self.within(0..times) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers for seed 0 in the authors' reference implementation.
    #[test]
    fn dice_fall_as_published() {
        let mut dice = Dice::new(0);
        assert_eq!([dice.roll(), dice.roll()], [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut dice = Dice::new(1);
        for _ in 0..1_000 {
            assert!((3..9).contains(&dice.within(3..9)));
            assert!((0.0..1.0).contains(&dice.unit()));
        }
        assert_eq!(dice.within(4..4), 4);
        assert_eq!(dice.between(Duration::from_secs(2), Duration::from_secs(1)), Duration::from_secs(2));
    }
}

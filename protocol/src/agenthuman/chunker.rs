//! How much speech goes into one message: small at first so that the avatar starts early, then larger.

use std::time::Duration;

use super::InputRate;

/// The sizes of speak messages, as lengths of audio.
///
/// The service advises 1 s at least, 5 s at best, 10 s still good, 30 s at most. Five seconds cost
/// five seconds of silence on speech that is being made while it is sent, so such speech starts at
/// the floor and doubles from message to message up to the best size.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSizes {
    /// The least one message carries; a shorter end is filled with silence. Default 1 s. Less
    /// starts sooner and is against the vendor's advice.
    pub floor: Duration,
    /// What one message carries once speech flows. Default 5 s. More makes each confirmation, and
    /// so what must be sent again after a cut, coarser.
    pub best: Duration,
    /// How far the last message of an utterance may grow so that no crumb is left for another one.
    /// Default 10 s.
    pub good: Duration,
    /// What no message passes, whatever the other fields say. Default 30 s, which is the
    /// vendor's limit: more counts as that, and less than 20 ms as 20 ms.
    pub ceiling: Duration,
}

impl Default for ChunkSizes {
    fn default() -> Self {
        Self {
            floor: Duration::from_secs(1),
            best: Duration::from_secs(5),
            good: Duration::from_secs(10),
            ceiling: Duration::from_secs(30),
        }
    }
}

/// Decides the sizes of one utterance's messages; holds no audio.
///
/// ```
/// use voxline_protocol::agenthuman::{ChunkSizes, Chunker, InputRate};
///
/// const SECOND: u64 = 16_000;
/// let mut live = Chunker::live(ChunkSizes::default(), InputRate::Hz16000, 10_000_000);
/// let mut sent = Vec::new();
/// while let Some(size) = live.size(40 * SECOND, false, false) {
///     live.took();
///     sent.push(size / SECOND);
///     if sent.len() == 5 { break; }
/// }
/// assert_eq!(sent, [1, 2, 4, 5, 5]);
/// ```
#[derive(Debug, Clone)]
pub struct Chunker {
    target: u64,
    floor: u64,
    best: u64,
    good: u64,
}

impl Chunker {
    /// For speech that is still being made: starts at the floor.
    #[must_use]
    pub fn live(sizes: ChunkSizes, rate: InputRate, max_message_bytes: usize) -> Self {
        let whole = Self::ready_made(sizes, rate, max_message_bytes);
        Self { target: whole.floor, ..whole }
    }

    /// For speech that is there already: starts at the best size.
    #[must_use]
    pub fn ready_made(sizes: ChunkSizes, rate: InputRate, max_message_bytes: usize) -> Self {
        // A message of `n` bytes holds (n − envelope) · 3/4 bytes of audio, two bytes a sample.
        let fits = (max_message_bytes.saturating_sub(ENVELOPE_BYTES) / 4 * 3 / 2) as u64;
        let ceiling = rate.samples(sizes.ceiling.clamp(LEAST_CEILING, MOST_CEILING));
        let ceiling = ceiling.min(fits).max(rate.samples(LEAST_CEILING));
        let floor = rate.samples(sizes.floor).clamp(1, ceiling);
        let best = rate.samples(sizes.best).clamp(floor, ceiling);
        let good = rate.samples(sizes.good).clamp(best, ceiling);
        Self { target: best, floor, best, good }
    }

    /// How many of the `available` samples go into the next message, or `None` to wait for more.
    ///
    /// `finished`: no more samples will come; the answer can then be more than is available, never
    /// more than the floor, and the difference is silence to add. `starving`: the avatar is about
    /// to fall silent, so anything from the floor up should go.
    #[must_use]
    pub fn size(&self, available: u64, finished: bool, starving: bool) -> Option<u64> {
        if available == 0 {
            return None;
        }
        if finished && available <= self.good && available < self.target + self.floor {
            return Some(available.max(self.floor));
        }
        if available >= self.target {
            return Some(self.target);
        }
        (starving && available >= self.floor).then_some(available)
    }

    /// Says that the last size was used: the next may be twice as large.
    pub fn took(&mut self) {
        self.target = (self.target * 2).min(self.best);
    }

    /// The least a message carries, in samples.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }
}

/// Whatever is configured: shorter messages would be more envelope than speech.
const LEAST_CEILING: Duration = Duration::from_millis(20);
/// The vendor's own, which no message may pass (V14).
const MOST_CEILING: Duration = Duration::from_secs(30);
/// What a speak message holds beside its audio, rounded up.
const ENVELOPE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 16_000;

    /// Cuts `total` samples that are all there and finished.
    fn cut(mut chunker: Chunker, mut total: u64) -> Vec<u64> {
        let mut sizes = Vec::new();
        while let Some(size) = chunker.size(total, true, false) {
            chunker.took();
            sizes.push(size);
            total = total.saturating_sub(size);
        }
        assert_eq!(total, 0);
        sizes
    }

    fn ready_made() -> Chunker {
        Chunker::ready_made(ChunkSizes::default(), InputRate::Hz16000, 10_000_000)
    }

    #[test]
    fn ready_made_speech_goes_in_the_best_size_and_leaves_no_crumb() {
        assert_eq!(cut(ready_made(), 20 * SECOND), [5 * SECOND; 4]);
        assert_eq!(cut(ready_made(), 5 * SECOND + 10), [5 * SECOND + 10]);
        assert_eq!(cut(ready_made(), 11 * SECOND), [5 * SECOND, 5 * SECOND, SECOND]);
    }

    #[test]
    fn a_short_word_is_filled_up_to_the_floor() {
        assert_eq!(cut(ready_made(), SECOND / 3), [SECOND]);
    }

    #[test]
    fn a_starving_avatar_gets_what_there_is_from_the_floor_up() {
        let mut chunker = Chunker::live(ChunkSizes::default(), InputRate::Hz16000, 10_000_000);
        chunker.took();
        assert_eq!(chunker.size(SECOND + 5, false, false), None);
        assert_eq!(chunker.size(SECOND + 5, false, true), Some(SECOND + 5));
        assert_eq!(chunker.size(SECOND - 5, false, true), None);
    }

    proptest! {
        #[test]
        fn no_size_is_outside_its_limits_and_nothing_is_lost(
            total in 1u64..5_000_000, live: bool, wide: bool, best_ms in 0u64..60_000, max_message in 70usize..4_000_000,
        ) {
            let rate = if wide { InputRate::Hz48000 } else { InputRate::Hz16000 };
            let sizes = ChunkSizes { best: Duration::from_millis(best_ms), ..ChunkSizes::default() };
            let make = if live { Chunker::live } else { Chunker::ready_made };
            let chunker = make(sizes, rate, max_message);
            let floor = chunker.floor();
            let given = cut(chunker, total);
            for size in &given {
                prop_assert!(*size >= floor);
                prop_assert!(*size <= rate.samples(Duration::from_secs(30)));
                prop_assert!((*size as usize * 2).div_ceil(3) * 4 + ENVELOPE_BYTES <= max_message + 4);
            }
            let sum: u64 = given.iter().sum();
            prop_assert!(sum >= total && sum - total < floor);
        }
    }
}

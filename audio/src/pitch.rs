//! The period a short run of sound best repeats with.

use crate::SampleRate;

/// The lags looked at, and how: 5 to 15 ms, as in ITU-T G.711 Appendix I. A higher voice is found at a multiple of
/// its period, which splices as well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PitchSearch {
    shortest: usize,
    longest: usize,
    window: usize,
    /// Step of the coarse search, in samples: about 4 kHz.
    step: usize,
}

/// A period and how well the sound repeats with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    /// Samples, between the shortest and the longest lag.
    pub(crate) samples: usize,
    /// Normalised correlation, -1 to 1; 1 for silence, which repeats with every period.
    pub(crate) likeness: f32,
}

impl PitchSearch {
    pub(crate) fn new(rate: SampleRate) -> Self {
        let hz = rate.hz() as usize;
        Self { shortest: hz / 200, longest: hz * 3 / 200, window: hz / 100, step: (hz / 4_000).max(1) }
    }

    /// The longest period it can find, in samples.
    pub(crate) const fn longest(&self) -> usize {
        self.longest
    }

    /// Samples one search looks at.
    pub(crate) const fn span(&self) -> usize {
        self.longest + self.window
    }

    /// The period with which the last of `samples` repeat what came before them.
    ///
    /// # Panics
    ///
    /// Panics if `samples` has fewer than [`span`](Self::span).
    pub(crate) fn at_end(&self, samples: &[f32]) -> Period {
        let samples = &samples[samples.len() - self.span()..];
        let (past, recent) = samples.split_at(self.longest);
        self.search(|lag, step| {
            let earlier = &samples[self.longest - lag..];
            debug_assert!(past.len() >= lag);
            likeness(recent, earlier, step)
        })
    }

    /// The period with which the first of `samples` are repeated after them.
    ///
    /// # Panics
    ///
    /// Panics if `samples` has fewer than [`span`](Self::span).
    pub(crate) fn at_start(&self, samples: &[f32]) -> Period {
        let first = &samples[..self.window];
        assert!(samples.len() >= self.span(), "a search takes {} samples", self.span());
        self.search(|lag, step| likeness(first, &samples[lag..], step))
    }

    /// Coarse over all lags and every few samples, then fine around the best.
    fn search(&self, likeness: impl Fn(usize, usize) -> f32) -> Period {
        let best = |lags: &mut dyn Iterator<Item = usize>, step| {
            let mut best = Period { samples: self.shortest, likeness: f32::NEG_INFINITY };
            for samples in lags {
                let likeness = likeness(samples, step);
                if likeness > best.likeness {
                    best = Period { samples, likeness };
                }
            }
            best
        };
        let coarse = best(&mut (self.shortest..=self.longest).step_by(self.step), self.step).samples;
        let reach = self.step - 1;
        let fine = coarse.saturating_sub(reach).max(self.shortest)..=(coarse + reach).min(self.longest);
        best(&mut { fine }, 1)
    }
}

/// Normalised correlation over the samples of `a`, every `step`th.
fn likeness(a: &[f32], b: &[f32], step: usize) -> f32 {
    let (mut cross, mut energy_a, mut energy_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().step_by(step).zip(b.iter().step_by(step)) {
        cross += a * b;
        energy_a += a * a;
        energy_b += b * b;
    }
    let energy = (energy_a * energy_b).sqrt();
    if energy < SILENT_ENERGY { 1.0 } else { cross / energy }
}

/// Energy of a window in which there is nothing to hear: about -80 dBFS over 10 ms at 8 kHz.
const SILENT_ENERGY: f32 = 1e-6;

#[cfg(test)]
mod tests {
    use core::f32::consts::TAU;

    use super::*;

    #[test]
    fn the_period_of_a_buzz_is_found_at_both_ends_and_every_rate() {
        for rate in SampleRate::ALL {
            let hz = rate.hz() as f32;
            let search = PitchSearch::new(rate);
            let buzz: Vec<f32> = (0..search.span() + 50)
                .map(|n| (1..8).map(|k| (TAU * 130.0 * k as f32 * n as f32 / hz).sin() / k as f32).sum())
                .collect();
            for period in [search.at_end(&buzz), search.at_start(&buzz)] {
                assert!((period.samples as f32 - hz / 130.0).abs() <= 1.0, "{rate}: {period:?}");
                assert!(period.likeness > 0.95, "{rate}: {period:?}");
            }
        }
    }

    #[test]
    fn silence_repeats_with_any_period() {
        let search = PitchSearch::new(SampleRate::Hz8000);
        assert_eq!(search.at_end(&[0.0; 400]).likeness, 1.0);
    }
}

//! At which rate a voice sounds like one.

use crate::{Resampler, SampleRate};

use model::{MODEL, NO_VOICE};
use traits::{Listener, Traits};

#[cfg(test)]
mod fit;
mod model;
mod traits;

/// What one trait says for a rate: it is brought to mean 0 and deviation 1 over voices at their own rate, held within
/// [`FAR`], and counts by itself and by its square.
#[derive(Debug, Clone, Copy)]
struct Weight {
    mean: f32,
    deviation: f32,
    linear: f32,
    square: f32,
}

/// The rate at which `samples` most likely are a voice but for `claimed`, and by how much more likely than there: a
/// difference of log-likelihoods, below 0 where the claimed rate is the better one. `None` where no rate makes a voice of
/// them.
pub(super) fn likelier(samples: &[f32], claimed: SampleRate) -> Option<(SampleRate, f32)> {
    let mut listener = Listener::new();
    let mut traits_at = |rate: SampleRate| listener.listen(&slowed(samples, rate));
    let as_claimed = traits_at(claimed);
    let others = COMMON.into_iter().filter(|(rate, _)| !is_within(*rate, claimed, 1.2));
    let (best, traits, score) = others
        .filter_map(|(rate, rareness)| {
            let traits = traits_at(rate)?;
            let unlikely = rareness + if is_within(rate, claimed, 1.4) { NEIGHBOUR } else { 0.0 };
            Some((rate, traits, likelihood(&traits) - unlikely))
        })
        .max_by(|a, b| a.2.total_cmp(&b.2))?;
    let is_voice = |traits: &Traits| strangeness(traits) < STRANGE;
    (is_voice(&traits) || as_claimed.as_ref().is_some_and(is_voice))
        .then(|| (best, score - as_claimed.as_ref().map_or(NO_VOICE, likelihood)))
}

/// The samples as they sound when played at `rate`, at 8 kHz: the first seconds of them.
fn slowed(samples: &[f32], rate: SampleRate) -> Vec<f32> {
    let samples = &samples[..samples.len().min(rate.hz() as usize * HEARD_SECONDS)];
    if rate == SampleRate::Hz8000 {
        return samples.to_vec();
    }
    let mut resampler = Resampler::new(rate, SampleRate::Hz8000);
    let mut slowed = vec![0.0; resampler.output_len(samples.len())];
    resampler.process(samples, &mut slowed);
    slowed
}

/// How likely a voice at its own rate is to have these traits, as a logarithm, but for a constant.
fn likelihood(traits: &Traits) -> f32 {
    let terms = traits.iter().zip(&MODEL).map(|(trait_, weight)| {
        let x = weight.standard(*trait_);
        weight.linear * x + weight.square * x * x
    });
    terms.sum()
}

/// How far from any voice at its own rate these traits are: 1 for an ordinary one.
fn strangeness(traits: &Traits) -> f32 {
    let squares = traits.iter().zip(&MODEL).map(|(trait_, weight)| weight.standard(*trait_).powi(2));
    squares.sum::<f32>() / traits.len() as f32
}

impl Weight {
    const fn of([mean, deviation, linear, square]: [f32; 4]) -> Self {
        Self { mean, deviation, linear, square }
    }

    fn standard(self, trait_: f32) -> f32 {
        ((trait_ - self.mean) / self.deviation).clamp(-FAR, FAR)
    }
}

/// Whether neither rate is more than `factor` times the other.
fn is_within(a: SampleRate, b: SampleRate, factor: f32) -> bool {
    let (low, high) = (a.hz().min(b.hz()), a.hz().max(b.hz()));
    high as f32 <= low as f32 * factor
}

/// Rates that are confused with each other, and how much rarer than the others one is, as a logarithm. What is 22.05 or
/// 44.1 kHz is nearest to 24 or 48.
const COMMON: [(SampleRate, f32); 5] = [
    (SampleRate::Hz8000, 0.0),
    (SampleRate::Hz16000, 0.0),
    (SampleRate::Hz24000, 0.0),
    (SampleRate::Hz32000, 2.5),
    (SampleRate::Hz48000, 0.0),
];

/// How much rarer it is, as a logarithm, that two rates are confused which are less than 1.4 times apart.
const NEIGHBOUR: f32 = 2.0;

/// Seconds listened to, as they sound at the supposed rate.
const HEARD_SECONDS: usize = 10;

/// Deviations past which one value is as unlikely as the next.
const FAR: f32 = 4.0;

/// Strangeness of what is no voice.
const STRANGE: f32 = 3.0;

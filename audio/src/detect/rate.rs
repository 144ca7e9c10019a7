//! At which rate a voice sounds like one.

use crate::SampleRate;
use crate::fft::PowerSpectrum;

/// What a voice shows if it is played at some rate.
#[derive(Debug, Clone, Copy)]
struct VoiceTraits {
    /// Median pitch.
    pitch_hz: f32,
    /// Where half of the voiced power between 300 and 3400 Hz lies below: the region of the first formant.
    middle_hz: f32,
    /// Share of the loud frames that have a pitch.
    voiced: f32,
    /// How fast its loudness moves: the pace of syllables.
    pace_hz: f32,
}

/// The rate at which `samples` sound most like a voice, and how much more so than at `claimed`: a difference of
/// log-likelihoods. `None` where there is too little voice to tell, or no rate is better.
pub(super) fn likelier(samples: &[f32], claimed: SampleRate) -> Option<(SampleRate, f32)> {
    let likelihood = |rate: SampleRate| traits(samples, rate.hz() as f32).map(|traits| traits.likelihood());
    // No voice at all at the claimed rate is as much as the worst one.
    let as_claimed = likelihood(claimed).unwrap_or(NO_VOICE);
    let others = COMMON.into_iter().filter(|rate| *rate != claimed);
    let (best, likelihood) = others
        .filter_map(|rate| {
            // What people confuse most often is off by a factor of two.
            let is_double = claimed.hz().max(rate.hz()) == 2 * claimed.hz().min(rate.hz());
            Some((rate, likelihood(rate)? + if is_double { 0.7 } else { 0.0 }))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    (likelihood > as_claimed).then_some((best, likelihood - as_claimed))
}

impl VoiceTraits {
    /// How likely a voice shows these, as a logarithm that is 0 at best.
    ///
    /// Pitches of adults spread around 145 Hz by a factor of 1.46. The middle lies at 560 Hz for a pitch of 100 Hz and
    /// rises with its fifth root, within 12 %, and loudness moves at 4.6 Hz: both measured on fourteen synthetic
    /// voices in six languages, wideband and over the telephone's band. People vary more in pace than those did, so
    /// 20 % are granted.
    fn likelihood(&self) -> f32 {
        let pitch = (self.pitch_hz / 145.0).ln() / 0.38;
        let middle = (self.middle_hz / (560.0 * (self.pitch_hz / 100.0).powf(0.2))).ln() / 0.12;
        let pace = (self.pace_hz / 4.6).ln() / 0.2;
        // Far out one is as unlikely as the next.
        let deviations = (pitch * pitch).min(9.0) + (middle * middle).min(25.0) + (pace * pace).min(9.0);
        -0.5 * deviations + 2.0 * (self.voiced.min(0.7) / 0.7).ln()
    }
}

/// Pitch and spectrum at a supposed rate; `None` with less than 200 ms of voice.
fn traits(samples: &[f32], hz: f32) -> Option<VoiceTraits> {
    let span = ((hz * 0.032) as usize).next_power_of_two();
    let mut spectrum = PowerSpectrum::new(span);
    let mut power = vec![0.0; spectrum.bins()];
    let mut total = vec![0.0; spectrum.bins()];
    let mut pitches = Vec::new();
    let loudest = samples.chunks(span).map(energy).fold(0.0, f32::max);
    let mut loud = 0;
    let hop = ((hz * 0.02) as usize).max(samples.len() / MOST_FRAMES);
    for frame in samples.windows(span).step_by(hop) {
        if energy(frame) <= loudest * 0.01 {
            continue;
        }
        loud += 1;
        if let Some(pitch) = pitch_of(frame, hz) {
            pitches.push(pitch);
            spectrum.process(frame, &mut power);
            let sum: f32 = power.iter().sum::<f32>().max(f32::MIN_POSITIVE);
            total.iter_mut().zip(&power).for_each(|(total, power)| *total += power / sum);
        }
    }
    if pitches.len() < FEWEST_FRAMES {
        return None;
    }
    pitches.sort_by(f32::total_cmp);
    Some(VoiceTraits {
        pitch_hz: pitches[pitches.len() / 2],
        middle_hz: middle_of(&total, hz / span as f32),
        voiced: pitches.len() as f32 / loud as f32,
        pace_hz: pace_of(samples, hz),
    })
}

/// The mean frequency of the envelope: root of its slope's power over its own (S. O. Rice, 1944).
fn pace_of(samples: &[f32], hz: f32) -> f32 {
    let hop = (hz * 0.01) as usize;
    let rms: Vec<f32> =
        samples.windows(2 * hop).step_by(hop).map(|w| (energy(w) / w.len() as f32).sqrt()).collect();
    // A triangle of 50 ms takes out what pitch periods leave.
    let envelope: Vec<f32> =
        rms.windows(5).map(|w| (w[0] + 2.0 * w[1] + 3.0 * w[2] + 2.0 * w[3] + w[4]) / 9.0).collect();
    let mean = envelope.iter().sum::<f32>() / envelope.len().max(1) as f32;
    let power: f32 = envelope.iter().map(|level| (level - mean).powi(2)).sum();
    let slope: f32 = envelope.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
    (slope / power.max(f32::MIN_POSITIVE)).sqrt() * 100.0 / core::f32::consts::TAU
}

fn middle_of(power: &[f32], bin_hz: f32) -> f32 {
    let (low, high) = ((300.0 / bin_hz).ceil() as usize, (3_400.0 / bin_hz) as usize);
    let band = &power[low..high.min(power.len())];
    let half = band.iter().sum::<f32>() / 2.0;
    let mut sum = 0.0;
    let below = band.iter().take_while(|power| {
        sum += **power;
        sum < half
    });
    (low + below.count()) as f32 * bin_hz
}

/// The pitch of a frame, if it has one between 60 and 400 Hz: the shortest lag of nearly the best correlation.
fn pitch_of(frame: &[f32], hz: f32) -> Option<f32> {
    let step = (hz as usize / 8_000).max(1);
    let (shortest, longest) = ((hz / 400.0) as usize, ((hz / 60.0) as usize).min(frame.len() / 2));
    let alike = |lag: usize| {
        let (mut cross, mut before, mut after) = (0.0, 0.0, 0.0);
        for (a, b) in frame.iter().zip(&frame[lag..]).step_by(step) {
            cross += a * b;
            before += a * a;
            after += b * b;
        }
        cross / (before * after).sqrt().max(1e-9)
    };
    let scores: Vec<f32> = (shortest..=longest).step_by(step).map(alike).collect();
    let best = scores.iter().copied().fold(0.0, f32::max);
    if best < 0.6 {
        return None;
    }
    let peak = scores.windows(3).position(|w| w[1] >= best * 0.9 && w[1] >= w[0] && w[1] >= w[2])?;
    Some(hz / (shortest + (peak + 1) * step) as f32)
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|x| x * x).sum()
}

/// Voiced frames of 20 ms that are enough to judge by.
const FEWEST_FRAMES: usize = 10;

/// Frames looked at; more say no more.
const MOST_FRAMES: usize = 100;

/// Rates that are confused with each other.
const COMMON: [SampleRate; 4] =
    [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000, SampleRate::Hz48000];

/// Log-likelihood at and below which nothing speaks for a voice.
const NO_VOICE: f32 = -8.0;

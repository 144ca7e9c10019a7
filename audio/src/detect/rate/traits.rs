//! What a voice shows if it is played at some rate: its pitch, its pace, and the shape and the movement of its spectrum.

use core::f32::consts::PI;

use crate::fft::PowerSpectrum;

/// What a voice shows, in the order of [`NAMES`].
pub(super) type Traits = [f32; TRAITS];

/// Measures [`Traits`].
#[derive(Debug)]
pub(super) struct Listener {
    spectrum: PowerSpectrum,
    power: Vec<f32>,
    /// First bin and weights of each band: triangles at equal steps of the mel scale.
    bands: [(usize, Vec<f32>); BANDS],
    /// Discrete cosine transform of the bands.
    cosines: [[f32; BANDS]; CEPSTRA],
}

/// One frame of 32 ms.
#[derive(Debug, Clone, Copy)]
struct Frame {
    is_loud: bool,
    likeness: f32,
    pitch_hz: Option<f32>,
    /// The spectrum's shape, from coarse to fine; the first is the level.
    cepstrum: [f32; CEPSTRA],
}

impl Listener {
    pub(super) fn new() -> Self {
        let spectrum = PowerSpectrum::new(FRAME);
        let mel = |hz: f32| (1.0 + hz / 700.0).ln();
        let (low, high) = (mel(120.0), mel(3_800.0));
        let edge = |n: usize| {
            let hz = ((low + (high - low) * n as f32 / (BANDS + 1) as f32).exp() - 1.0) * 700.0;
            hz * FRAME as f32 / HZ
        };
        let bands = core::array::from_fn(|band| {
            let (left, middle, right) = (edge(band), edge(band + 1), edge(band + 2));
            let first = left.ceil() as usize;
            let weight = |bin: usize| {
                let bin = bin as f32;
                ((bin - left) / (middle - left)).min((right - bin) / (right - middle))
            };
            (first, (first..=right as usize).map(weight).collect())
        });
        let cosine = |k: usize, band: usize| (PI * k as f32 * (band as f32 + 0.5) / BANDS as f32).cos();
        Self {
            power: vec![0.0; spectrum.bins()],
            spectrum,
            bands,
            cosines: core::array::from_fn(|k| core::array::from_fn(|band| cosine(k, band) / BANDS as f32)),
        }
    }

    /// The traits of a voice in samples at 8 kHz; `None` with less than 200 ms of it.
    pub(super) fn listen(&mut self, samples: &[f32]) -> Option<Traits> {
        let frames = self.frames(samples);
        let loud: Vec<&Frame> = frames.iter().filter(|frame| frame.is_loud).collect();
        let voiced: Vec<&Frame> = loud.iter().copied().filter(|frame| frame.pitch_hz.is_some()).collect();
        if voiced.len() < FEWEST_FRAMES {
            return None;
        }
        let mut pitches: Vec<f32> = voiced.iter().filter_map(|frame| frame.pitch_hz).map(f32::ln).collect();
        pitches.sort_by(f32::total_cmp);
        let pitch_at = |share: f32| pitches[((pitches.len() - 1) as f32 * share) as usize];
        let unlike = loud.iter().filter(|frame| frame.likeness < 0.5).count();
        let mut traits = [0.0; TRAITS];
        traits[..6].copy_from_slice(&[
            pitch_at(0.1),
            pitch_at(0.5),
            pitch_at(0.9),
            voiced.len() as f32 / loud.len() as f32,
            unlike as f32 / loud.len() as f32,
            pace_of(samples),
        ]);
        let (shape, rest) = traits[6..].split_at_mut(CEPSTRA - 1);
        let (spread, movement) = rest.split_at_mut(CEPSTRA);
        for k in 0..CEPSTRA {
            let value = |frame: &Frame| frame.cepstrum[k];
            // The level says nothing.
            if let Some(k) = k.checked_sub(1) {
                shape[k] = mean(voiced.iter().map(|frame| value(frame)));
            }
            let middle = mean(loud.iter().map(|frame| value(frame)));
            spread[k] = log_mean(loud.iter().map(|frame| (value(frame) - middle).powi(2)));
            let steps = frames
                .windows(STEP + 1)
                .filter(|w| [&w[0], &w[STEP / 2], &w[STEP]].into_iter().all(|frame| frame.is_loud));
            movement[k] = log_mean(steps.map(|w| (value(&w[STEP]) - value(&w[0])).powi(2)));
        }
        Some(traits)
    }

    fn frames(&mut self, samples: &[f32]) -> Vec<Frame> {
        let loudest = samples.windows(FRAME).step_by(HOP).map(energy).fold(0.0, f32::max);
        let floor = (loudest * FLOOR).max(f32::MIN_POSITIVE);
        let half: Vec<f32> = samples.as_chunks::<2>().0.iter().map(|pair| pair[0] + pair[1]).collect();
        let frames = samples.windows(FRAME).step_by(HOP).zip(half.windows(FRAME / 2).step_by(HOP / 2));
        frames
            .map(|(frame, half)| {
                let is_loud = energy(frame) > loudest * LOUD;
                let (likeness, pitch_hz) = if is_loud { pitch_of(half) } else { (0.0, None) };
                let cepstrum = if is_loud { self.cepstrum(frame, floor) } else { [0.0; CEPSTRA] };
                Frame { is_loud, likeness, pitch_hz, cepstrum }
            })
            .collect()
    }

    fn cepstrum(&mut self, frame: &[f32], floor: f32) -> [f32; CEPSTRA] {
        self.spectrum.process(frame, &mut self.power);
        let bands: [f32; BANDS] = core::array::from_fn(|band| {
            let (first, weights) = &self.bands[band];
            let power = self.power[*first..].iter().zip(weights).map(|(power, weight)| power * weight);
            (power.sum::<f32>() + floor).ln()
        });
        self.cosines.map(|row| row.iter().zip(&bands).map(|(cosine, band)| cosine * band).sum())
    }
}

/// The mean frequency of the level's ups and downs, as a logarithm: root of its slope's power over its own
/// (S. O. Rice, 1944).
fn pace_of(samples: &[f32]) -> f32 {
    let powers: Vec<f32> = samples.windows(2 * HOP).step_by(HOP).map(energy).collect();
    // A triangle of 50 ms takes out what pitch periods leave.
    let smooth: Vec<f32> =
        powers.windows(5).map(|w| w[0] + 2.0 * w[1] + 3.0 * w[2] + 2.0 * w[3] + w[4]).collect();
    let loudest = smooth.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let levels: Vec<f32> = smooth.iter().map(|power| (power / loudest + 1e-4).ln()).collect();
    let middle = mean(levels.iter().copied());
    let power = mean(levels.iter().map(|level| (level - middle).powi(2)));
    let slope = mean(levels.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)));
    0.5 * (slope / power.max(1e-9)).max(1e-9).ln()
}

/// How well a frame at 4 kHz repeats itself, and its pitch if it has one between 60 and 450 Hz: the shortest lag of
/// nearly the best correlation.
fn pitch_of(frame: &[f32]) -> (f32, Option<f32>) {
    let (shortest, longest) = (8, 67);
    let alike = |lag: usize| {
        let (mut cross, mut before, mut after) = (0.0, 0.0, 0.0);
        for (a, b) in frame.iter().zip(&frame[lag..]) {
            cross += a * b;
            before += a * a;
            after += b * b;
        }
        cross / (before * after).sqrt().max(1e-9)
    };
    let scores: Vec<f32> = (shortest..=longest).map(alike).collect();
    let best = scores.iter().copied().fold(0.0, f32::max);
    let is_peak = |w: &[f32]| w[1] >= best * 0.9 && w[1] >= w[0] && w[1] >= w[2];
    let peak = (best >= 0.6).then(|| scores.windows(3).position(is_peak)).flatten();
    let pitch = peak.map(|at| {
        let (before, top, after) = (scores[at], scores[at + 1], scores[at + 2]);
        // The top of a parabola through the three.
        let aside = 0.5 * (before - after) / (before - 2.0 * top + after).min(-1e-6);
        HZ / 2.0 / (shortest as f32 + at as f32 + 1.0 + aside.clamp(-0.5, 0.5))
    });
    (best, pitch)
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|x| x * x).sum()
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0_f32));
    sum / count.max(1.0)
}

fn log_mean(values: impl Iterator<Item = f32>) -> f32 {
    (mean(values) + 1e-6).ln()
}

/// What each trait is, pitch and pace as logarithms.
#[cfg(test)]
pub(super) const NAMES: [&str; TRAITS] = [
    "lowest tenth of the pitches",
    "median pitch",
    "highest tenth of the pitches",
    "share of what is loud that has a pitch",
    "share of what is loud that is noise",
    "pace of the level's ups and downs",
    "shape of the voiced spectrum, 1: tilt",
    "shape, 2",
    "shape, 3",
    "shape, 4",
    "shape, 5",
    "shape, 6",
    "shape, 7",
    "shape, 8: finest",
    "spread of the level",
    "spread of shape 1",
    "spread, 2",
    "spread, 3",
    "spread, 4",
    "spread, 5",
    "spread, 6",
    "spread, 7",
    "spread, 8",
    "movement of the level within 40 ms",
    "movement of shape 1",
    "movement, 2",
    "movement, 3",
    "movement, 4",
    "movement, 5",
    "movement, 6",
    "movement, 7",
    "movement, 8",
];

/// Samples a second of what is listened to.
const HZ: f32 = 8_000.0;

/// 32 ms, every 10 ms.
const FRAME: usize = 256;
const HOP: usize = 80;

/// Frames over which movement is looked at: 40 ms.
const STEP: usize = 4;

const BANDS: usize = 20;
const CEPSTRA: usize = 9;

pub(super) const TRAITS: usize = 6 + 3 * CEPSTRA - 1;

/// Share of the loudest frame's energy a frame must have to count.
const LOUD: f32 = 0.003;

/// What each band is given at least, as a share of the loudest frame: what is quieter than that is noise.
const FLOOR: f32 = 2.5e-9;

/// Voiced frames of 10 ms that are enough to judge by.
const FEWEST_FRAMES: usize = 20;

//! Fits the model to voices at their own rate, and prints it.
//!
//! `VOXLINE_TRAINING_VOICES` is a folder of folders of WAV files, as `tests/data/make_voices.py` makes them:
//!
//! `VOXLINE_TRAINING_VOICES=DIR cargo test --release -p voxline-audio --lib refit -- --ignored --nocapture`
#![expect(clippy::print_stdout, reason = "what it prints is pasted into `model.rs`")]

use std::fs::{self, File};
use std::path::Path;

use super::traits::{Listener, NAMES, TRAITS, Traits};
use super::{FAR, slowed};
use crate::{HighPass, Resampler, SampleRate, WavReader};

/// One voice: its own rate among [`RATES`], and its traits at each of them.
struct Voice {
    own: usize,
    traits: [Option<Traits>; RATES.len()],
}

/// A linear and a square weight of each trait, and what it counts that no voice is heard.
const WEIGHTS: usize = 2 * TRAITS + 1;
type Row = [f64; WEIGHTS];

#[test]
#[ignore = "prints the model anew, from the voices in VOXLINE_TRAINING_VOICES"]
fn refit() {
    let folder = std::env::var_os("VOXLINE_TRAINING_VOICES").unwrap();
    let voices = voices_in(Path::new(&folder));
    let scale = scale_of(&voices);
    let rows: Vec<(usize, [Row; RATES.len()])> = voices
        .iter()
        .map(|voice| (voice.own, voice.traits.map(|traits| row(traits.as_ref(), &scale))))
        .collect();
    let weights = fit(&rows);
    println!("// Fitted to {} takes.", voices.len());
    for (n, name) in NAMES.iter().enumerate() {
        let (mean, deviation) = scale[n];
        println!(
            "    Weight::of([{mean:.3}, {deviation:.3}, {:.3}, {:.3}]), // {name}",
            weights[n],
            weights[TRAITS + n]
        );
    }
    println!("pub(super) const NO_VOICE: f32 = {:.2};", weights[WEIGHTS - 1]);
}

/// Mean and deviation of each trait, at the voices' own rates.
fn scale_of(voices: &[Voice]) -> [(f64, f64); TRAITS] {
    let own: Vec<&Traits> = voices.iter().filter_map(|voice| voice.traits[voice.own].as_ref()).collect();
    core::array::from_fn(|n| {
        let mean = own.iter().map(|t| f64::from(t[n])).sum::<f64>() / own.len() as f64;
        let square = own.iter().map(|t| (f64::from(t[n]) - mean).powi(2)).sum::<f64>() / own.len() as f64;
        (mean, square.sqrt())
    })
}

fn row(traits: Option<&Traits>, scale: &[(f64, f64); TRAITS]) -> Row {
    let mut row = [0.0; WEIGHTS];
    let Some(traits) = traits else {
        row[WEIGHTS - 1] = 1.0;
        return row;
    };
    for (n, (mean, deviation)) in scale.iter().enumerate() {
        let x = ((f64::from(traits[n]) - mean) / deviation).clamp(-f64::from(FAR), f64::from(FAR));
        row[n] = x;
        row[TRAITS + n] = x * x;
    }
    row
}

/// The weights under which the voices' own rates are the likeliest: a conditional logit (D. McFadden, 1974), by
/// Newton's method, large weights held back.
fn fit(voices: &[(usize, [Row; RATES.len()])]) -> Row {
    let mut weights = [0.0; WEIGHTS];
    for _ in 0..30 {
        let hold = 2.0 * HOLD_BACK * voices.len() as f64;
        let mut slope = weights.map(|weight| hold * weight);
        let mut bend = vec![[0.0; WEIGHTS]; WEIGHTS];
        for (n, row) in bend.iter_mut().enumerate() {
            row[n] = hold;
        }
        for (own, rows) in voices {
            let scores = rows.map(|row| row.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>());
            let most = scores.into_iter().fold(f64::MIN, f64::max);
            let shares = scores.map(|score| (score - most).exp());
            let total: f64 = shares.iter().sum();
            let mean: Row =
                core::array::from_fn(|n| rows.iter().zip(&shares).map(|(row, s)| row[n] * s / total).sum());
            for n in 0..WEIGHTS {
                slope[n] += mean[n] - rows[*own][n];
            }
            for (row, share) in rows.iter().zip(&shares) {
                let off: Row = core::array::from_fn(|n| row[n] - mean[n]);
                for (n, bend) in bend.iter_mut().enumerate() {
                    let factor = off[n] * share / total;
                    bend.iter_mut().zip(&off).for_each(|(bend, off)| *bend += factor * off);
                }
            }
        }
        let step = solve(bend, slope);
        weights.iter_mut().zip(&step).for_each(|(weight, step)| *weight -= step);
    }
    weights
}

/// Gauss's elimination, for a matrix that is positive definite.
fn solve(mut matrix: Vec<Row>, mut right: Row) -> Row {
    for n in 0..WEIGHTS {
        for below in n + 1..WEIGHTS {
            let factor = matrix[below][n] / matrix[n][n];
            let above = matrix[n];
            matrix[below].iter_mut().zip(&above).for_each(|(x, above)| *x -= factor * above);
            right[below] -= factor * right[n];
        }
    }
    for n in (0..WEIGHTS).rev() {
        let known: f64 = (n + 1..WEIGHTS).map(|k| matrix[n][k] * right[k]).sum();
        right[n] = (right[n] - known) / matrix[n][n];
    }
    right
}

/// Each voice some times over, each time in another room, at another rate.
fn voices_in(folder: &Path) -> Vec<Voice> {
    let (mut dice, mut listener, mut voices) = (Dice(0x9E37_79B9_7F4A_7C15), Listener::new(), Vec::new());
    for folder in entries(folder) {
        let files = entries(&folder);
        // Many takes of few voices weigh as much as few of many.
        let takes = (400 / files.len()).clamp(2, 12);
        for file in files {
            let mut reader = WavReader::new(File::open(&file).unwrap()).unwrap();
            let rate = SampleRate::try_from(reader.format().hz).unwrap();
            let mut samples = vec![0.0; rate.hz() as usize * 30];
            let length = reader.read(&mut samples).unwrap();
            for _ in 0..takes {
                let own = dice.below(RATES.len());
                let take = take(&samples[..length], rate, RATES[own], &mut dice);
                let traits = RATES.map(|rate| listener.listen(&slowed(&take, rate)));
                voices.push(Voice { own, traits });
            }
        }
    }
    voices
}

fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

/// A voice as one may get it: a little larger or smaller, perhaps over the telephone, in a room, with noise, quiet or
/// loud, for the most part whole.
fn take(samples: &[f32], from: SampleRate, to: SampleRate, dice: &mut Dice) -> Vec<f32> {
    let larger = (0.04 * dice.normal()).exp();
    let length = ((samples.len() - 2) as f32 / larger) as usize;
    let stretched = (0..length).map(|n| {
        let at = n as f32 * larger;
        let (whole, part) = (at as usize, at.fract());
        samples[whole] + part * (samples[whole + 1] - samples[whole])
    });
    let (mut voice, mut rate) = (stretched.collect::<Vec<_>>(), from);
    let band = dice.unit();
    if band > 0.3 {
        voice = convert(&voice, rate, SampleRate::Hz8000);
        rate = SampleRate::Hz8000;
    }
    if band > 0.5 {
        let cutoff_hz = if band > 0.75 { dice.between(80.0, 350.0) } else { 280.0 };
        for _ in 0..2 {
            HighPass::new(rate, cutoff_hz).process(&mut voice);
        }
        voice = low_pass(&voice, dice.between(3_000.0, 3_800.0) / rate.hz() as f32);
    }
    for _ in 0..2 {
        let echo = (0.3 * dice.normal()).clamp(-0.7, 0.7);
        let delay = (rate.hz() as usize / 8_000).max(1) * (1 + dice.below(3));
        for n in (delay..voice.len()).rev() {
            voice[n] += echo * voice[n - delay];
        }
    }
    let mut voice = convert(&voice, rate, to);
    let below_db = [15.0, 20.0, 30.0, 40.0, 60.0][dice.below(5)];
    let noise = crate::level::rms(&voice) * crate::level::from_dbfs(-below_db);
    let pole: f32 = if dice.unit() < 0.5 { 0.95 } else { 0.0 };
    let mut last = 0.0;
    for sample in &mut voice {
        last = pole * last + dice.normal() * noise * (1.0 - pole * pole).sqrt();
        *sample += last;
    }
    if dice.unit() < 0.2 {
        voice.truncate((to.hz() as f32 * dice.between(1.5, 2.5)) as usize);
    }
    let gain = crate::level::from_dbfs(dice.between(-30.0, 0.0)) / crate::level::peak(&voice);
    voice.iter().map(|sample| (sample * gain * 32_767.0).round() / 32_768.0).collect()
}

/// A windowed sinc of 65 taps; the cut-off is a share of the rate.
fn low_pass(samples: &[f32], cutoff: f32) -> Vec<f32> {
    let tap = |n: i32| {
        let window = 0.5 + 0.5 * (core::f32::consts::PI * n as f32 / 33.0).cos();
        let x = core::f32::consts::TAU * cutoff * n as f32;
        window * if n == 0 { 2.0 * cutoff } else { 2.0 * cutoff * x.sin() / x }
    };
    let taps: Vec<f32> = (-32..=32).map(tap).collect();
    samples.windows(taps.len()).map(|run| run.iter().zip(&taps).map(|(x, tap)| x * tap).sum()).collect()
}

fn convert(samples: &[f32], from: SampleRate, to: SampleRate) -> Vec<f32> {
    let mut resampler = Resampler::new(from, to);
    let mut converted = vec![0.0; resampler.output_len(samples.len())];
    resampler.process(samples, &mut converted);
    converted
}

/// A small seeded generator (xorshift64*).
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u64 << 24) as f32
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    fn below(&mut self, end: usize) -> usize {
        (self.unit() * end as f32) as usize
    }

    /// Mean 0, deviation 1.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

/// The rates a voice is offered, of which one is its own.
const RATES: [SampleRate; 4] =
    [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000, SampleRate::Hz48000];

/// How much a weight costs, squared, a voice.
const HOLD_BACK: f64 = 1e-4;

//! Which reading of the bytes makes sound of them.

use crate::{Encoding, g711};

/// A way to read bytes as samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    ALaw,
    BigEndian,
    Float32,
    LittleEndian,
    MuLaw,
    /// 16 bits, little-endian, with one byte before the first sample.
    Shifted,
    /// 16 bits, little-endian, two channels in turn: the first of them.
    Stereo,
}

impl Reading {
    pub(super) const ALL: [Self; 7] = [
        Self::ALaw,
        Self::BigEndian,
        Self::Float32,
        Self::LittleEndian,
        Self::MuLaw,
        Self::Shifted,
        Self::Stereo,
    ];

    pub(super) const fn of(encoding: Encoding) -> Self {
        match encoding {
            Encoding::ALaw => Self::ALaw,
            Encoding::Linear16Le => Self::LittleEndian,
            Encoding::MuLaw => Self::MuLaw,
        }
    }

    /// Reads `bytes` from the front, within ±1; a partial sample at the end is left out.
    pub(super) fn read(self, bytes: &[u8]) -> Vec<f32> {
        let g711 = |decode: fn(&[u8], &mut [i16])| {
            let mut samples = vec![0; bytes.len()];
            decode(bytes, &mut samples);
            samples.into_iter().map(scale).collect()
        };
        match self {
            Self::ALaw => g711(g711::decode_alaw),
            Self::MuLaw => g711(g711::decode_mulaw),
            Self::LittleEndian => {
                bytes.as_chunks::<2>().0.iter().map(|b| scale(i16::from_le_bytes(*b))).collect()
            }
            Self::BigEndian => {
                bytes.as_chunks::<2>().0.iter().map(|b| scale(i16::from_be_bytes(*b))).collect()
            }
            Self::Shifted => Self::LittleEndian.read(bytes.get(1..).unwrap_or(&[])),
            Self::Stereo => {
                let frames = bytes.as_chunks::<4>().0.iter();
                frames.map(|b| scale(i16::from_le_bytes([b[0], b[1]]))).collect()
            }
            Self::Float32 => {
                let floats = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
                // Integers read as floats are astronomically large or small.
                floats.map(|x| if x.abs() < 4.0 { x } else { f32::NAN }).collect()
            }
        }
    }
}

/// How well each sample follows from those before it, in dB: 0 for noise, 10 to 30 for a voice read rightly.
///
/// The gain of linear prediction, frame by frame, over the frames within 20 dB of the loudest: pauses are noise
/// however they are read, and a wrong reading makes the quiet parts loud.
pub(super) fn prediction_gain_db(samples: &[f32]) -> f32 {
    if is_lopsided(samples) {
        return 0.0;
    }
    let frames: Vec<(f32, f32)> = samples.chunks_exact(FRAME).filter_map(energy_and_gain).collect();
    let loudest = frames.iter().fold(0.0, |loudest: f32, (energy, _)| loudest.max(*energy));
    let active = frames.iter().filter(|(energy, _)| *energy >= loudest * 0.01);
    let (sum, count) = active.fold((0.0, 0), |(sum, count), (_, gain)| (sum + gain, count + 1));
    if count == 0 { 0.0 } else { sum / count as f32 }
}

/// Whether every other sample is of another kind: halves of wider samples, or two channels.
pub(super) fn is_lopsided(samples: &[f32]) -> bool {
    let (even, odd) =
        samples.as_chunks::<2>().0.iter().fold((0.0_f32, 0.0_f32), |(even, odd), pair| {
            (even + pair[0] * pair[0], odd + pair[1] * pair[1])
        });
    even > 2.0 * odd || odd > 2.0 * even
}

/// `None` for silence; 0 for what is not a number.
fn energy_and_gain(frame: &[f32]) -> Option<(f32, f32)> {
    let mean = frame.iter().sum::<f32>() / frame.len() as f32;
    let correlation: [f32; ORDER + 1] = core::array::from_fn(|lag| {
        frame.iter().zip(&frame[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum()
    });
    if correlation[0].is_nan() {
        return Some((0.0, 0.0));
    }
    if correlation[0] < 1e-6 * FRAME as f32 {
        return None;
    }
    // Levinson and Durbin; 40 dB of white noise keep a pure tone from counting for everything.
    let energy = correlation[0] * 1.000_1;
    let (mut error, mut predictor) = (energy, [0.0_f32; ORDER + 1]);
    predictor[0] = 1.0;
    for order in 1..=ORDER {
        let sum: f32 = (0..order).map(|n| predictor[n] * correlation[order - n]).sum();
        let reflection = -sum / error;
        let before = predictor;
        for n in 1..=order {
            predictor[n] = before[n] + reflection * before[order - n];
        }
        error *= (1.0 - reflection * reflection).max(1e-6);
    }
    Some((correlation[0], 10.0 * (energy / error).log10()))
}

/// Whether the samples are those of two channels in turn, alike or not.
pub(super) fn is_interleaved(samples: &[f32]) -> bool {
    let (mut inside, mut between) = (0.0_f32, 0.0_f32);
    for pair in samples.windows(3).step_by(2) {
        inside += (pair[0] - pair[1]).powi(2);
        between += (pair[1] - pair[2]).powi(2);
    }
    let are_alike = (inside - between).abs() > SAME_CHANNELS * (inside + between);
    // A voice is most like itself one sample on; two voices in turn are two samples on.
    let lag = |lag: usize| samples.iter().zip(&samples[lag..]).map(|(a, b)| a * b).sum::<f32>();
    are_alike || lag(2) - lag(1) > OTHER_CHANNEL * lag(0)
}

fn scale(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// Samples of one frame: 8 to 32 ms.
const FRAME: usize = 256;

const ORDER: usize = 6;

/// How much nearer the samples of a pair must be to each other than to their other neighbours.
const SAME_CHANNELS: f32 = 0.9;

/// Correlation two samples on must have over one sample on.
const OTHER_CHANNEL: f32 = 0.15;

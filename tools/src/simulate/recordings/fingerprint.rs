//! What a stretch of speech looks like to an ear that minds no level: the shape of its spectrum, every 10 ms.

use std::f64::consts::TAU;
use std::fmt;
use std::sync::LazyLock;

/// Relative strengths of the bands in decibels, their mean zero.
pub(super) type Shape = [f32; BANDS];

/// A whole recording, frame by frame; `None` where nobody speaks.
#[derive(Clone)]
pub(super) struct Fingerprint {
    pub(super) frames: Vec<Option<Shape>>,
}

impl Fingerprint {
    /// Of samples at 8 kHz; `None` where there is no speech in them at all.
    pub(super) fn of(sound: &[i16]) -> Option<Self> {
        let mut frames = Vec::new();
        Ear::default().push(sound, |frame| frames.push(frame));
        // The whole is known, so the loudest frame is found before the first is judged.
        let mut loudness = Loudness::default();
        for frame in &frames {
            loudness.is_speech(frame);
        }
        let frames: Vec<_> =
            frames.into_iter().map(|frame| loudness.is_speech(&frame).then_some(frame.shape)).collect();
        frames.iter().any(Option::is_some).then_some(Self { frames })
    }

    /// Frames from the first to the last in which somebody speaks.
    pub(super) fn spoken(&self) -> std::ops::Range<usize> {
        let first = self.frames.iter().position(Option::is_some).unwrap_or(0);
        let last = self.frames.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        first..last
    }
}

impl fmt::Debug for Fingerprint {
    /// Without the shapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprint").field("frames", &self.frames.len()).finish_non_exhaustive()
    }
}

/// One frame as it is heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct EarFrame {
    level_db: f32,
    pub(super) shape: Shape,
}

/// Makes frames of samples at 8 kHz.
#[derive(Clone, Default)]
pub(super) struct Ear {
    window: Vec<f32>,
}

impl Ear {
    pub(super) fn push(&mut self, sound: &[i16], mut each: impl FnMut(EarFrame)) {
        for &sample in sound {
            self.window.push(f32::from(sample) / 32_768.0);
            if self.window.len() == WINDOW {
                each(frame_of(&self.window));
                self.window.drain(..HOP);
            }
        }
    }
}

/// Tells speech from silence by the loudest frame so far.
#[derive(Debug, Clone)]
pub(super) struct Loudness {
    loudest_db: f32,
}

impl Loudness {
    pub(super) fn is_speech(&mut self, frame: &EarFrame) -> bool {
        self.loudest_db = self.loudest_db.max(frame.level_db);
        frame.level_db > FAINTEST_DB && frame.level_db > self.loudest_db - SPEECH_RANGE_DB
    }
}

impl Default for Loudness {
    fn default() -> Self {
        Self { loudest_db: f32::NEG_INFINITY }
    }
}

/// Mean difference of two shapes in decibels.
pub(super) fn distance(one: &Shape, other: &Shape) -> f32 {
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).sum::<f32>() / BANDS as f32
}

fn frame_of(window: &[f32]) -> EarFrame {
    static PROBES: LazyLock<Vec<[(f32, f32); WINDOW]>> = LazyLock::new(|| (0..BANDS).map(probe).collect());
    let energy: f32 = window.iter().map(|sample| sample * sample).sum();
    if energy / (WINDOW as f32) < 1e-9 {
        return EarFrame { level_db: f32::NEG_INFINITY, shape: [0.0; BANDS] };
    }
    let mut shape: Shape = std::array::from_fn(|band| {
        let (mut re, mut im) = (0.0, 0.0);
        for (sample, (c, s)) in window.iter().zip(&PROBES[band]) {
            re += sample * c;
            im += sample * s;
        }
        10.0 * (re * re + im * im + 1e-9).log10()
    });
    // What lies far below the strongest band is the noise of the line, not of the voice.
    let strongest = shape.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    shape = shape.map(|band| band.max(strongest - BAND_RANGE_DB));
    let mean = shape.iter().sum::<f32>() / BANDS as f32;
    EarFrame { level_db: 10.0 * (energy / WINDOW as f32).log10(), shape: shape.map(|band| band - mean) }
}

/// A Hann-windowed wave in the middle of a band.
fn probe(band: usize) -> [(f32, f32); WINDOW] {
    let cycles = (LOWEST_HZ + BAND_HZ * band as f64) / 8_000.0;
    std::array::from_fn(|at| {
        let hann = 0.5 - 0.5 * (TAU * (at as f64 + 0.5) / WINDOW as f64).cos();
        let (s, c) = (TAU * cycles * at as f64).sin_cos();
        ((hann * c) as f32, (hann * s) as f32)
    })
}

/// 10 ms.
pub(super) const HOP: usize = 80;
/// 20 ms: its Hann window sees 200 Hz, a little more than one band.
const WINDOW: usize = 160;
const BANDS: usize = 20;
/// The bands fill 240 to 3280 Hz, what every telephone passes.
const LOWEST_HZ: f64 = 240.0;
const BAND_HZ: f64 = 160.0;
/// Consonants are some 30 dB below vowels.
const SPEECH_RANGE_DB: f32 = 35.0;
/// dBFS; above the rounding of µ-law.
const FAINTEST_DB: f32 = -65.0;
/// µ-law keeps 35 dB between a sound and its own noise.
const BAND_RANGE_DB: f32 = 30.0;

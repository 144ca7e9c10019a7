//! Making key signals.

use core::f32::consts::TAU;
use core::time::Duration;

use super::{Digit, UnsupportedDigit};
use crate::SampleRate;

/// Dials: the tones of some keys one after another, with pauses.
///
/// ```
/// use voxline_audio::{DtmfGenerator, SampleRate};
///
/// let mut dial = DtmfGenerator::new(SampleRate::Hz8000, "1800")?;
/// let mut frame = [0.0; 160];
/// let mut frames = 0;
/// while dial.fill(&mut frame) > 0 {
///     frames += 1; // send it
/// }
/// assert_eq!(frames, 4 * (100 + 100) / 20);
/// # Ok::<(), voxline_audio::UnsupportedDigit>(())
/// ```
#[derive(Debug, Clone)]
pub struct DtmfGenerator {
    rate: SampleRate,
    digits: Vec<Digit>,
    tone: usize,
    pause: usize,
    /// Samples made so far.
    position: usize,
}

impl DtmfGenerator {
    /// Dials `digits` with tones and pauses of 100 ms each.
    ///
    /// # Errors
    /// A character that is on no key.
    pub fn new(rate: SampleRate, digits: &str) -> Result<Self, UnsupportedDigit> {
        let digits = digits.chars().map(Digit::try_from).collect::<Result<_, _>>()?;
        let tenth = rate.hz() as usize / 10;
        Ok(Self { rate, digits, tone: tenth, pause: tenth, position: 0 })
    }

    /// Other lengths of tone and pause. Receivers need not hear under 40 ms of either (ITU-T Q.24).
    #[must_use]
    pub fn with_timing(mut self, tone: Duration, pause: Duration) -> Self {
        self.tone = self.rate.samples_in(tone) as usize;
        self.pause = self.rate.samples_in(pause) as usize;
        self
    }

    /// Writes the next samples and returns how many of them still belong to the dialling, the last pause included;
    /// the others are silence.
    pub fn fill(&mut self, frame: &mut [f32]) -> usize {
        let made = self.remaining().min(frame.len());
        let (sounding, silent) = frame.split_at_mut(made);
        for sample in sounding {
            *sample = self.sample(self.position);
            self.position += 1;
        }
        silent.fill(0.0);
        made
    }

    /// Samples still to come.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        (self.tone + self.pause) * self.digits.len() - self.position
    }

    /// Dials again from the first key.
    pub const fn reset(&mut self) {
        self.position = 0;
    }

    fn sample(&self, position: usize) -> f32 {
        let period = self.tone + self.pause;
        let (low_hz, high_hz) = self.digits[position / period].frequencies_hz();
        let at = position % period;
        if at >= self.tone {
            return 0.0;
        }
        let seconds = at as f32 / self.rate.hz() as f32;
        let wave = LOW * (TAU * low_hz * seconds).sin() + HIGH * (TAU * high_hz * seconds).sin();
        // An edge of a few milliseconds keeps the key from clicking.
        let edge = (self.rate.hz() / EDGES_A_SECOND) as f32;
        let nearest = (at.min(self.tone - 1 - at) as f32 + 0.5) / edge;
        wave * if nearest < 1.0 { 0.5 - 0.5 * (TAU / 2.0 * nearest).cos() } else { 1.0 }
    }
}

/// Amplitude of the low tone: −11 dBFS.
const LOW: f32 = 0.28;

/// Amplitude of the high tone, 2 dB over the low one, since lines attenuate it more (ETSI ES 201 235-2).
const HIGH: f32 = 0.35;

/// Edges of 3 ms.
const EDGES_A_SECOND: u32 = 333;

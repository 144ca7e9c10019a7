//! One symbol: its tones, made and measured.

use std::f64::consts::TAU;

use voxline_audio::SampleRate;

/// Adds to `out` the symbol of `tones` (frequency in hertz, amplitude), each rising and falling along a cosine.
pub(super) fn sound_symbol(rate: SampleRate, tones: &[(f64, f64)], out: &mut Vec<i16>) {
    let length = symbol_samples(rate);
    let edge = length / 8;
    let mut waves = [Wave::default(); 2];
    for (wave, &(hz, amplitude)) in waves.iter_mut().zip(tones) {
        *wave = Wave::new(TAU * hz / f64::from(rate.hz()), amplitude);
    }
    for at in 0..length {
        let from_edge = at.min(length - 1 - at);
        let envelope = if from_edge < edge {
            0.5 - 0.5 * (TAU / 2.0 * (from_edge as f64 + 0.5) / edge as f64).cos()
        } else {
            1.0
        };
        let sum: f64 = waves.iter_mut().map(Wave::next).sum();
        out.push((sum * envelope * f64::from(i16::MAX)).round() as i16);
    }
}

/// The two tones of a byte.
pub(super) fn tones_of(byte: u8) -> [(f64, f64); 2] {
    [(low_hz(byte & 0x0F), AMPLITUDE), (high_hz(byte >> 4), AMPLITUDE)]
}

/// The tones of the preamble, symbol by symbol: no two neighbours share one, so each edge can be seen.
pub(super) fn preamble() -> [&'static [(f64, f64)]; PREAMBLE_SYMBOLS] {
    const OUTER: [(f64, f64); 2] = [(SYNC_HZ[0], AMPLITUDE), (SYNC_HZ[2], AMPLITUDE)];
    // One tone in place of two, at the same power.
    const INNER: [(f64, f64); 1] = [(SYNC_HZ[1], AMPLITUDE * std::f64::consts::SQRT_2)];
    [&OUTER, &INNER, &OUTER]
}

/// Reads bytes from symbols.
#[derive(Clone)]
pub(super) struct ByteReader {
    window: usize,
    /// 2 cos ω of each tone, low group first: the one coefficient of Goertzel's recurrence.
    coefficients: [f32; 32],
}

impl ByteReader {
    pub(super) fn new(rate: SampleRate) -> Self {
        let coefficients = std::array::from_fn(|tone| {
            let nibble = (tone % 16) as u8;
            let hz = if tone < 16 { low_hz(nibble) } else { high_hz(nibble) };
            2.0 * (TAU * hz / f64::from(rate.hz())).cos() as f32
        });
        let window = (f64::from(rate.hz()) / SPACING_HZ).round() as usize;
        Self { window, coefficients }
    }

    /// Samples [`read`](Self::read) takes, from the middle of a symbol.
    pub(super) const fn window(&self) -> usize {
        self.window
    }

    /// The byte whose tones are strongest in `window`, and the power of those two. A pause was taken out of the
    /// window at each of `joints`.
    ///
    /// # Panics
    ///
    /// Where `window` has another length than [`window`](Self::window), or a joint lies outside it.
    pub(super) fn read(&self, window: &[f32], joints: &[usize]) -> (u8, f32) {
        assert_eq!(window.len(), self.window, "the middle of one symbol");
        let whole = self.read_pieces(window, joints);
        let power = window.iter().map(|sample| sample * sample).sum::<f32>() / self.window as f32;
        if whole.1 > power * CLEAN {
            return whole;
        }
        // A pause too short to be noticed turns the tones half over in the middle of the window.
        let step = self.window.div_ceil(GUESSES);
        (step..self.window)
            .step_by(step)
            .map(|joint| self.read_pieces(window, &[joint]))
            .fold(whole, |best, guess| if guess.1 > best.1 { guess } else { best })
    }

    /// What a tone keeps over a joint is its frequency, not its phase: amplitudes are added up. A neighbour of the
    /// right tone never has more than two fifths of its power then, wherever the joint is.
    fn read_pieces(&self, window: &[f32], joints: &[usize]) -> (u8, f32) {
        let mut amplitudes = [0.0_f32; 32];
        let mut from = 0;
        for &to in joints.iter().chain([&window.len()]) {
            self.add_amplitudes(&window[from..to], &mut amplitudes);
            from = to;
        }
        let scale = 2.0 / (self.window as f32 * self.window as f32);
        let powers = amplitudes.map(|amplitude| amplitude * amplitude * scale);
        let (low, low_power) = strongest(&powers[..16]);
        let (high, high_power) = strongest(&powers[16..]);
        (high << 4 | low, low_power + high_power)
    }

    fn add_amplitudes(&self, piece: &[f32], amplitudes: &mut [f32; 32]) {
        let mut older = [0.0_f32; 32];
        let mut newer = [0.0_f32; 32];
        for &sample in piece {
            for tone in 0..32 {
                let next = sample + self.coefficients[tone] * newer[tone] - older[tone];
                older[tone] = newer[tone];
                newer[tone] = next;
            }
        }
        for tone in 0..32 {
            let (a, b) = (newer[tone], older[tone]);
            // Rounding may leave less than nothing.
            amplitudes[tone] += (a * a + b * b - self.coefficients[tone] * a * b).max(0.0).sqrt();
        }
    }
}

/// Samples of one symbol: whole at every rate there is, since each is a multiple of 50 Hz.
pub(super) const fn symbol_samples(rate: SampleRate) -> usize {
    (rate.hz() / SYMBOLS_PER_SECOND) as usize
}

/// A sine by rotation: one complex multiplication a sample.
#[derive(Debug, Clone, Copy, Default)]
struct Wave {
    now: (f64, f64),
    step: (f64, f64),
}

impl Wave {
    fn new(radians_per_sample: f64, amplitude: f64) -> Self {
        let (sin, cos) = radians_per_sample.sin_cos();
        Self { now: (amplitude, 0.0), step: (cos, sin) }
    }

    fn next(&mut self) -> f64 {
        let (re, im) = self.now;
        self.now = (re * self.step.0 - im * self.step.1, re * self.step.1 + im * self.step.0);
        im
    }
}

fn strongest(powers: &[f32]) -> (u8, f32) {
    let mut best = (0, 0.0);
    for (nibble, &power) in powers.iter().enumerate() {
        if power > best.1 {
            best = (nibble as u8, power);
        }
    }
    best
}

fn low_hz(nibble: u8) -> f64 {
    480.0 + SPACING_HZ * f64::from(nibble)
}

fn high_hz(nibble: u8) -> f64 {
    1_840.0 + SPACING_HZ * f64::from(nibble)
}

/// Symbols before the header of a block.
pub(super) const PREAMBLE_SYMBOLS: usize = 3;
/// 20 ms each.
pub(super) const SYMBOLS_PER_SECOND: u32 = 50;
/// Tones of the preamble alone: below, between and above the two groups of the text.
pub(super) const SYNC_HZ: [f64; 3] = [400.0, 1_760.0, 3_120.0];
/// Share of the power that is in the two tones: 1 without a break, 0.99 with noise 20 dB below. Where one tone is
/// turned over and its neighbour stronger, no more than 0.7 is left.
const CLEAN: f32 = 0.85;
/// One a millisecond.
const GUESSES: usize = 13;
/// Two tones of this amplitude are −20 dBFS with their edges, the level of speech.
const AMPLITUDE: f64 = 0.109;
/// One cycle in 12.5 ms, the window a symbol is read over.
const SPACING_HZ: f64 = 80.0;

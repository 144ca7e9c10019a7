//! Loudness as people hear it: ITU-R BS.1770 and EBU R 128 for one channel.

use crate::SampleRate;

mod peak;
mod weighting;

pub use peak::TruePeak;
pub(crate) use weighting::KWeighting;

/// Measures loudness over 400 ms, 3 s, and the whole, in LUFS.
///
/// Sums are kept per 100 ms and the whole in a histogram, so a day of sound takes no more memory than a second.
/// Reading is cheap for the first two and walks a thousand bins for the whole.
///
/// ```
/// use voxline_audio::{LoudnessMeter, SampleRate};
///
/// let mut meter = LoudnessMeter::new(SampleRate::Hz48000);
/// let tone: Vec<f32> = (0..96_000).map(|n| (n as f32 * std::f32::consts::TAU * 997.0 / 48_000.0).sin()).collect();
/// meter.process(&tone);
/// // A full-scale sine near 1 kHz in one channel is what the standard calls -3.01.
/// assert!((meter.integrated().unwrap() + 3.01).abs() < 0.05);
/// ```
#[derive(Debug, Clone)]
pub struct LoudnessMeter {
    weighting: KWeighting,
    block_length: usize,
    filled: usize,
    sum: f64,
    /// Mean squares of the last 3 s, in blocks of 100 ms; the newest at `newest`.
    blocks: [f64; SHORT_TERM_BLOCKS],
    newest: usize,
    count: u64,
    /// Power and number of 400 ms windows per tenth of an LU above the absolute gate.
    bins: Vec<(f64, u64)>,
}

impl LoudnessMeter {
    /// A meter for sound at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Self {
            weighting: KWeighting::new(rate),
            block_length: rate.hz() as usize / 10,
            filled: 0,
            sum: 0.0,
            blocks: [0.0; SHORT_TERM_BLOCKS],
            newest: 0,
            count: 0,
            bins: vec![(0.0, 0); BINS],
        }
    }

    /// Listens to a run of samples, of any length.
    pub fn process(&mut self, samples: &[f32]) {
        for &sample in samples {
            let weighted = self.weighting.next(sample);
            self.sum += weighted * weighted;
            self.filled += 1;
            if self.filled == self.block_length {
                self.end_block();
            }
        }
    }

    /// Forgets all it heard.
    pub fn reset(&mut self) {
        self.weighting.reset();
        self.filled = 0;
        self.sum = 0.0;
        self.blocks = [0.0; SHORT_TERM_BLOCKS];
        self.count = 0;
        self.bins.fill((0.0, 0));
    }

    /// Loudness of the last 400 ms in LUFS; `None` before there are as many, and for digital silence.
    #[must_use]
    pub fn momentary(&self) -> Option<f32> {
        self.mean_of(MOMENTARY_BLOCKS).and_then(lufs)
    }

    /// Loudness of the last 3 s in LUFS; `None` before there are as many, and for digital silence.
    #[must_use]
    pub fn short_term(&self) -> Option<f32> {
        self.mean_of(SHORT_TERM_BLOCKS).and_then(lufs)
    }

    /// Loudness of the whole in LUFS, over what is above -70 LUFS and above 10 LU under the mean of that; `None`
    /// where nothing is.
    #[must_use]
    pub fn integrated(&self) -> Option<f32> {
        let mean = |bins: &[(f64, u64)]| {
            let (power, windows) =
                bins.iter().fold((0.0, 0), |(p, w), (power, count)| (p + power, w + count));
            (windows > 0).then(|| power / windows as f64)
        };
        let gate = lufs(mean(&self.bins)?)? - 10.0;
        // A bin is in or out as a whole: the gate is exact to a tenth of an LU, well inside what the standard allows.
        lufs(mean(&self.bins[bin_of(gate)..])?)
    }

    fn end_block(&mut self) {
        self.newest = (self.newest + 1) % SHORT_TERM_BLOCKS;
        self.blocks[self.newest] = self.sum / self.block_length as f64;
        self.count += 1;
        self.filled = 0;
        self.sum = 0.0;
        // Windows of 400 ms overlap by three quarters: one ends with each block.
        if let Some(power) = self.mean_of(MOMENTARY_BLOCKS)
            && let Some(loudness) = lufs(power)
            && loudness >= ABSOLUTE_GATE
        {
            let bin = &mut self.bins[bin_of(loudness)];
            bin.0 += power;
            bin.1 += 1;
        }
    }

    fn mean_of(&self, blocks: usize) -> Option<f64> {
        if self.count < blocks as u64 {
            return None;
        }
        let newest = self.newest + SHORT_TERM_BLOCKS;
        let sum: f64 = (0..blocks).map(|back| self.blocks[(newest - back) % SHORT_TERM_BLOCKS]).sum();
        Some(sum / blocks as f64)
    }
}

/// Loudness of a K-weighted mean square; `None` where there is none (BS.1770-5, equation 2).
pub(crate) fn lufs(power: f64) -> Option<f32> {
    (power > NOTHING).then(|| (10.0 * power.log10() - 0.691) as f32)
}

fn bin_of(loudness: f32) -> usize {
    (((loudness - ABSOLUTE_GATE) * 10.0).max(0.0) as usize).min(BINS - 1)
}

/// Power under which there is nothing, -150 dB: what keeps the filters from denormals is quieter, 16 bits are louder.
const NOTHING: f64 = 1e-15;

const MOMENTARY_BLOCKS: usize = 4;
const SHORT_TERM_BLOCKS: usize = 30;

/// What is quieter is no part of the programme (BS.1770-5, annex 1).
const ABSOLUTE_GATE: f32 = -70.0;

/// Tenths of an LU from the gate to 20 LU over full scale.
const BINS: usize = 900;

#[cfg(test)]
mod tests {
    use core::f32::consts::TAU;

    use super::*;

    fn tone(rate: SampleRate, dbfs: f32, seconds: f32) -> impl Iterator<Item = f32> {
        let hz = rate.hz() as f32;
        let amplitude = 10f32.powf(dbfs / 20.0);
        (0..(seconds * hz) as usize).map(move |n| amplitude * (TAU * (997.0 * n as f32 / hz).fract()).sin())
    }

    fn integrated(rate: SampleRate, parts: &[(f32, f32)]) -> f32 {
        let mut meter = LoudnessMeter::new(rate);
        for &(dbfs, seconds) in parts {
            meter.process(&tone(rate, dbfs, seconds).collect::<Vec<_>>());
        }
        meter.integrated().unwrap()
    }

    #[test]
    fn a_tone_near_1_khz_reads_3_lu_under_its_peak_at_every_rate() {
        for rate in SampleRate::ALL {
            let got = integrated(rate, &[(-20.0, 2.0)]);
            assert!((got + 23.01).abs() < 0.1, "{rate}: {got}");
        }
    }

    /// EBU Tech 3341, table 1, cases 3 to 5, in one channel: 3 LU less than the two channels there.
    #[test]
    fn quiet_parts_are_gated_as_the_test_signals_ask() {
        let rate = SampleRate::Hz48000;
        for (name, parts) in [
            ("case 3", &[(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)][..]),
            ("case 4", &[(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)]),
            ("case 5", &[(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)]),
        ] {
            let got = integrated(rate, parts);
            assert!((got + 26.0).abs() < 0.15, "{name}: {got}");
        }
    }

    #[test]
    fn momentary_and_short_term_follow_and_silence_has_no_loudness() {
        let mut meter = LoudnessMeter::new(SampleRate::Hz8000);
        assert_eq!((meter.momentary(), meter.integrated()), (None, None));
        meter.process(&[0.0; 80_000]);
        assert_eq!((meter.short_term(), meter.integrated()), (None, None));
        meter.process(&tone(SampleRate::Hz8000, -20.0, 0.4).collect::<Vec<_>>());
        assert!((meter.momentary().unwrap() + 23.0).abs() < 0.2);
        assert!((meter.short_term().unwrap() + 31.8).abs() < 0.2);
    }
}

//! Sample-rate conversion between any two of the supported rates.

mod design;
mod dots;
mod interleave;
mod kernel;
mod low_delay;
mod pace;
mod rows;
mod stage;

use core::fmt;

use crate::SampleRate;
use crate::pcm::Sample;
use pace::{Pace, reduced};
use stage::{Path, Table};

/// How much of the spectrum is kept, against how long it takes.
///
/// "Nyquist" is half of the lower of the two rates: 4 kHz where one side is a telephone.
#[non_exhaustive]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// Flat to 0.85 Nyquist within 0.01 dB, images and aliases under −60 dB from 1.15 Nyquist up; 1.6 ms at
    /// 8 kHz. For what a machine listens to: voice detectors, recognisers that were trained on worse.
    Detector,
    /// Flat to 0.85 Nyquist within 0.001 dB, images and aliases under −100 dB from Nyquist up; 3.3 ms at 8 kHz.
    /// For files, and for material with energy right at the edge of the band.
    ///
    /// The delay is less than half the filter's length, and constant to 0.85 Nyquist only. From there to Nyquist the
    /// phase bends and the level rises by up to 0.6 dB before it falls.
    Strict,
    /// Flat to 0.85 Nyquist within 0.001 dB, images and aliases under −79 dB from 1.15 Nyquist up; 2.1 ms at
    /// 8 kHz. Between 0.85 and 1.15 Nyquist (3.4 to 4.6 kHz) they may stand: telephone speech has next to nothing
    /// there, and G.711's own noise lies 40 dB higher.
    #[default]
    Telephone,
}

/// Converts a stream from one rate to another, in runs of any length.
///
/// An FIR filter that delays all of its pass band alike, split into phases. However the input is cut into runs, the samples that come out are
/// the same to the last bit, and after `n` samples in, exactly `n × to ⁄ from` (rounded up) have come out: nothing
/// drifts in a day-long call. [`latency`](Self::latency) says how late they are. Nothing is allocated after `new`;
/// coefficients are made once for each ratio and [`Preset`] and shared.
///
/// ```
/// use voxline_audio::{Resampler, SampleRate};
///
/// let mut up = Resampler::new(SampleRate::Hz8000, SampleRate::Hz16000);
/// let phone = [0.1_f32; 160];
/// let mut wide = vec![0.0; up.output_len(phone.len())];
/// up.process(&phone, &mut wide);
/// assert_eq!(wide.len(), 320);
///
/// // The end of the utterance is still inside.
/// let mut rest = vec![0.0; up.latency()];
/// up.flush(&mut rest);
/// ```
#[derive(Clone)]
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
    pace: Pace,
    latency: usize,
    path: Path,
}

impl Resampler {
    /// A resampler with [`Preset::Telephone`].
    #[must_use]
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        Self::with_preset(from, to, Preset::default())
    }

    /// A resampler with `preset`. The first one of its ratio and preset makes the coefficients, which takes
    /// microseconds, or a millisecond where 22.05 or 44.1 kHz meets the other rates.
    #[must_use]
    pub fn with_preset(from: SampleRate, to: SampleRate, preset: Preset) -> Self {
        let (up, down) = reduced(to.hz() as usize, from.hz() as usize);
        let (path, latency) = if up == down {
            (Path::Copy, 0)
        } else {
            let table = Table::shared(up, down, preset);
            (Path::new(&table), table.latency)
        };
        Self { from, to, pace: Pace::new(up, down), latency, path }
    }

    /// Samples the next call of [`process`](Self::process) makes of `input_len` samples. Within one stream it
    /// varies by one where the ratio is not whole for that length; for every length of a
    /// [`FrameSpec`](crate::FrameSpec) both rates have, it is the frame of the other rate.
    #[must_use]
    pub const fn output_len(&self, input_len: usize) -> usize {
        self.pace.output_len(input_len)
    }

    /// By how many samples the output is late: output `latency + n` sounds at the time of output `n`.
    #[must_use]
    pub const fn latency(&self) -> usize {
        self.latency
    }

    /// The rate of the input.
    #[must_use]
    pub const fn input_rate(&self) -> SampleRate {
        self.from
    }

    /// The rate of the output.
    #[must_use]
    pub const fn output_rate(&self) -> SampleRate {
        self.to
    }

    /// Converts one run.
    ///
    /// # Panics
    /// Panics unless `output.len() == self.output_len(input.len())`.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) {
        self.run(input, output);
    }

    /// [`process`](Self::process) for samples at the edge; rounds and saturates.
    ///
    /// # Panics
    /// Panics unless `output.len() == self.output_len(input.len())`.
    pub fn process_i16(&mut self, input: &[i16], output: &mut [i16]) {
        self.run(input, output);
    }

    /// Ends the stream: fills `output` with the samples the latency still held back, and starts afresh.
    ///
    /// # Panics
    /// Panics unless `output.len() == self.latency()`.
    pub fn flush(&mut self, output: &mut [f32]) {
        self.run_out(output);
    }

    /// [`flush`](Self::flush) for samples at the edge.
    ///
    /// # Panics
    /// Panics unless `output.len() == self.latency()`.
    pub fn flush_i16(&mut self, output: &mut [i16]) {
        self.run_out(output);
    }

    /// Forgets the stream; the next sample is the first of a new one.
    pub fn reset(&mut self) {
        self.pace.reset();
        self.path.reset();
    }

    fn run<S: Sample>(&mut self, input: &[S], output: &mut [S]) {
        assert_eq!(output.len(), self.output_len(input.len()), "output has the length output_len tells");
        self.path.process(input, output);
        self.pace.advance(input.len());
    }

    fn run_out<S: Sample>(&mut self, mut output: &mut [S]) {
        assert_eq!(output.len(), self.latency, "a flush gives back exactly the latency");
        // Silence, a sample at a time: at most one sample of output is made too many at the end.
        let mut made = [S::SILENCE; MAX_RATIO];
        while !output.is_empty() {
            let made = &mut made[..self.output_len(1)];
            self.run(&[S::SILENCE], made);
            let (out, rest) = output.split_at_mut(made.len().min(output.len()));
            out.copy_from_slice(&made[..out.len()]);
            output = rest;
        }
        self.reset();
    }
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resampler")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("latency", &self.latency)
            .finish_non_exhaustive()
    }
}

/// Outputs one input can make: 8 to 48 kHz.
const MAX_RATIO: usize = 6;

#[cfg(test)]
mod tests {
    use super::design::Prototype;
    use super::*;

    fn noise(length: usize) -> Vec<f32> {
        let mut state = 1_u32;
        (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 16_777_216.0 - 0.5
            })
            .collect()
    }

    fn convert(resampler: &mut Resampler, input: &[f32]) -> Vec<f32> {
        let mut output = vec![0.0; resampler.output_len(input.len())];
        resampler.process(input, &mut output);
        output
    }

    #[test]
    fn equal_rates_pass_every_bit() {
        let mut same = Resampler::new(SampleRate::Hz24000, SampleRate::Hz24000);
        let input = [f32::NAN, f32::from_bits(1), -0.0, 1e30];
        let output = convert(&mut same, &input);
        assert!(output.iter().zip(input).all(|(out, input)| out.to_bits() == input.to_bits()));
        assert_eq!(same.latency(), 0);
        same.flush(&mut []);
    }

    #[test]
    fn every_pair_equals_the_textbook_convolution() {
        let input = noise(700);
        for from in SampleRate::ALL {
            for to in SampleRate::ALL {
                for preset in [Preset::Detector, Preset::Strict, Preset::Telephone] {
                    let mut resampler = Resampler::with_preset(from, to, preset);
                    let Pace { up, down, .. } = resampler.pace;
                    if up == down {
                        continue;
                    }
                    let (prototype, _) = Prototype::design(up, down, preset);
                    let output = convert(&mut resampler, &input);
                    for (m, sample) in output.iter().enumerate().step_by(7) {
                        let (at, phase) = (m * down / up, m * down % up);
                        let exact: f64 =
                            (0..=at).map(|t| prototype.tap(phase + t * up) * f64::from(input[at - t])).sum();
                        assert!(
                            (f64::from(*sample) - exact).abs() < 2e-6,
                            "{from} to {to}, {preset:?}: output {m}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn counts_are_exact_in_the_long_run_and_for_frames() {
        for from in SampleRate::ALL {
            for to in SampleRate::ALL {
                let mut resampler = Resampler::new(from, to);
                let frame = from.hz() as usize / 50;
                let mut total = 0;
                for _ in 0..50 {
                    let made = convert(&mut resampler, &vec![0.0; frame]).len();
                    assert!(made == to.hz() as usize / 50, "{from} to {to}: {made}");
                    total += made;
                }
                assert_eq!(total, to.hz() as usize, "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_flush_gives_the_tail_and_starts_afresh() {
        for (from, to) in [
            (SampleRate::Hz8000, SampleRate::Hz48000),
            (SampleRate::Hz24000, SampleRate::Hz8000),
            (SampleRate::Hz44100, SampleRate::Hz16000),
        ] {
            let mut resampler = Resampler::new(from, to);
            let input = noise(441);
            let mut whole = convert(&mut resampler, &input);
            let mut tail = vec![0.0; resampler.latency()];
            resampler.flush(&mut tail);
            whole.extend_from_slice(&tail);

            let mut padded = input.clone();
            padded.resize(2_000, 0.0);
            let expected = convert(&mut Resampler::new(from, to), &padded);
            assert_eq!(whole, expected[..whole.len()], "{from} to {to}");
            assert_eq!(convert(&mut resampler, &input), whole[..whole.len() - tail.len()], "{from} to {to}");
        }
    }

    #[test]
    #[should_panic(expected = "output has the length output_len tells")]
    fn a_wrong_output_length_is_the_callers_bug() {
        Resampler::new(SampleRate::Hz8000, SampleRate::Hz16000).process(&[0.0; 160], &mut [0.0; 160]);
    }
}

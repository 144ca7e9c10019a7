//! `voxline audio convert`: one channel at another rate, without noise, as loud as it should be.

use std::io::Read;

use voxline_audio::{
    Denoise, FileGain, Limiter, LoudnessMeter, NoiseReduction, Preset, Resampler, SampleRate, TruePeak,
    level, pcm,
};

use super::source::{AudioError, Source};

/// What becomes of the samples, in bounded memory however many there are.
///
/// What goes in first comes out first: no delay of noise reduction, rate conversion or limiter remains, and the
/// sound lasts as long as before.
///
/// ```
/// use voxline::audio::{Conversion, Source};
/// use voxline_audio::{AudioFormat, NoiseReduction, SampleRate};
///
/// let conversion = Conversion::new(SampleRate::Hz16000, NoiseReduction::Light);
/// let mut samples = Vec::new();
/// conversion.run(&mut Source::raw(&[0x20_u8; 801][..], AudioFormat::PHONE), None, |block| {
///     samples.extend_from_slice(block);
///     Ok(())
/// })?;
/// assert_eq!(samples.len(), 1_602);
/// # Ok::<(), voxline::audio::AudioError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct Conversion {
    /// Samples a second of what comes out.
    pub rate: SampleRate,
    /// How much noise is taken out, at the rate of what goes in.
    pub noise_reduction: NoiseReduction,
}

impl Conversion {
    /// A conversion to `rate`.
    #[must_use]
    pub const fn new(rate: SampleRate, noise_reduction: NoiseReduction) -> Self {
        Self { rate, noise_reduction }
    }

    /// The gain that brings what comes out to -20 LUFS under -1 dBTP. None where nothing is loud enough to be
    /// measured: silence is not raised.
    ///
    /// # Errors
    ///
    /// What reading returns, and [`AudioError::Empty`].
    pub fn measure<R: Read>(&self, source: &mut Source<R>) -> Result<Option<FileGain>, AudioError> {
        let (mut loudness, mut peak) = (LoudnessMeter::new(self.rate), TruePeak::new());
        self.each_block(source, |block| {
            loudness.process(block);
            peak.process(block);
            Ok(())
        })?;
        let between = |lufs| FileGain::between(lufs, peak.dbtp(), TARGET_LUFS, CEILING_DBTP);
        Ok(loudness.integrated().map(between))
    }

    /// Converts all of `source`, with a `gain` from [`measure`](Self::measure), and hands the samples out block by
    /// block.
    ///
    /// # Errors
    ///
    /// What reading and `each` return, and [`AudioError::Empty`].
    pub fn run<R: Read>(
        &self,
        source: &mut Source<R>,
        gain: Option<FileGain>,
        mut each: impl FnMut(&[i16]) -> Result<(), AudioError>,
    ) -> Result<(), AudioError> {
        let factor = gain.map_or(1.0, |gain| level::from_dbfs(gain.db));
        let mut limiter =
            gain.filter(|gain| gain.needs_limiter).map(|_| Limiter::with_true_peak(self.rate, CEILING_DBTP));
        let mut late = Late(limiter.as_ref().map_or(0, Limiter::latency));
        let (mut louder, mut samples) = (Vec::new(), Vec::new());
        let mut hand_out = |block: &[f32], limiter: &mut Option<Limiter>| {
            louder.clear();
            louder.extend(block.iter().map(|sample| sample * factor));
            if let Some(limiter) = limiter {
                limiter.process(&mut louder);
            }
            let timely = late.skip(&louder);
            samples.resize(timely.len(), 0);
            pcm::f32_to_i16(timely, &mut samples);
            each(&samples)
        };
        self.each_block(source, |block| hand_out(block, &mut limiter))?;
        let rest = vec![0.0; limiter.as_ref().map_or(0, Limiter::latency)];
        hand_out(&rest, &mut limiter)
    }

    /// Hands out what is left of noise at the new rate.
    fn each_block<R: Read>(
        &self,
        source: &mut Source<R>,
        mut each: impl FnMut(&[f32]) -> Result<(), AudioError>,
    ) -> Result<(), AudioError> {
        let mut chain = Chain::new(source.format().rate, self);
        let mut is_empty = true;
        loop {
            let block = source.read()?;
            if block.is_empty() {
                break;
            }
            is_empty = false;
            each(chain.process(block))?;
        }
        if is_empty {
            return Err(AudioError::Empty);
        }
        each(chain.drain())?;
        each(chain.flush())
    }
}

/// Noise reduction, then rate conversion.
struct Chain {
    reducer: Box<dyn Denoise>,
    reducer_late: Late,
    resampler: Resampler,
    resampler_late: Late,
    clean: Vec<f32>,
    converted: Vec<f32>,
}

impl Chain {
    fn new(from: SampleRate, conversion: &Conversion) -> Self {
        let reducer = conversion.noise_reduction.reducer(from);
        // Files can wait: the preset that keeps the most of the band.
        let resampler = Resampler::with_preset(from, conversion.rate, Preset::Strict);
        Self {
            reducer_late: Late(reducer.latency()),
            reducer,
            resampler_late: Late(resampler.latency()),
            resampler,
            clean: Vec::new(),
            converted: Vec::new(),
        }
    }

    fn process(&mut self, block: &[f32]) -> &[f32] {
        self.clean.clear();
        self.clean.extend_from_slice(block);
        self.reducer.process(&mut self.clean);
        let timely = self.reducer_late.skip(&self.clean);
        self.converted.resize(self.resampler.output_len(timely.len()), 0.0);
        self.resampler.process(timely, &mut self.converted);
        self.resampler_late.skip(&self.converted)
    }

    /// What the noise reduction still held.
    fn drain(&mut self) -> &[f32] {
        let silence = vec![0.0; self.reducer.latency()];
        self.process(&silence)
    }

    /// What the resampler still held.
    fn flush(&mut self) -> &[f32] {
        self.converted.resize(self.resampler.latency(), 0.0);
        self.resampler.flush(&mut self.converted);
        self.resampler_late.skip(&self.converted)
    }
}

/// Samples at the front of a stream that are only its delay.
struct Late(usize);

impl Late {
    fn skip<'a>(&mut self, samples: &'a [f32]) -> &'a [f32] {
        let skipped = self.0.min(samples.len());
        self.0 -= skipped;
        &samples[skipped..]
    }
}

/// How loud prompts for a telephone are made: louder than EBU R 128's programmes, which nobody hears in traffic.
const TARGET_LUFS: f32 = -20.0;

/// EBU R 128's highest true peak.
const CEILING_DBTP: f32 = -1.0;

//! How much one hop sounds like speech: the trait, and the score that needs no model.

use core::fmt;
use core::ops::Range;

use crate::SampleRate;
use crate::fft::PowerSpectrum;
use crate::slow_minimum::SlowMinimum;

/// Says how much each hop of samples sounds like speech.
///
/// The seam between a detector's decision and where its scores come from: spectral statistics, a small network, or
/// a model of your own.
///
/// ```
/// use voxline_audio::{FrameSpec, SpeechScore, VoiceDetector, VoiceDetectorConfig, level};
///
/// /// Whatever is loud is a voice.
/// #[derive(Debug)]
/// struct Loudness;
///
/// impl SpeechScore for Loudness {
///     fn hop(&self) -> usize {
///         80 // 10 ms at 8 kHz
///     }
///
///     fn score(&mut self, hop: &[f32]) -> f32 {
///         if level::to_dbfs(level::rms(hop)) > -30.0 { 1.0 } else { 0.0 }
///     }
///
///     fn reset(&mut self) {}
/// }
///
/// let config = VoiceDetectorConfig::default(); // which asks for 80 ms of it
/// let mut detector = VoiceDetector::with_source(FrameSpec::PHONE, config, Box::new(Loudness));
/// let frames = (1..).find(|_| detector.process(&[0.2; 160]).is_speech());
/// assert_eq!(frames, Some(4));
/// ```
pub trait SpeechScore: fmt::Debug + Send {
    /// Samples one score is made from, at the rate the source was built for; never 0.
    fn hop(&self) -> usize;

    /// Scores one hop of [`hop`](Self::hop) samples within ±1: 0 is surely not speech, 1 surely is.
    fn score(&mut self, hop: &[f32]) -> f32;

    /// Takes note of a hop too quiet to be scored. Does nothing unless overridden: for the source, time stands still.
    fn skip(&mut self, _hop: &[f32]) {}

    /// Forgets every hop so far.
    fn reset(&mut self);
}

/// A score from how far each band of the telephone's spectrum stands above its own noise, and how harmonic it is.
///
/// Per band, the likelihood ratio of speech against noise (J. Sohn et al., "A statistical model-based voice activity
/// detection", 1999) over a noise floor tracked by minimum statistics. Works at every [`SampleRate`] on what lies
/// between 200 Hz and 3.8 kHz, so it scores a call and a studio alike. One 10 ms hop costs one transform of 32 to 46 ms.
///
/// ```
/// use voxline_audio::{SampleRate, SpectralScore, SpeechScore};
///
/// let mut score = SpectralScore::new(SampleRate::Hz16000);
/// assert_eq!(score.hop(), 160);
/// assert_eq!(score.score(&[0.0; 160]), 0.0);
/// ```
#[derive(Debug, Clone)]
pub struct SpectralScore {
    hop: usize,
    spectrum: PowerSpectrum,
    /// The last samples, as many as one transform takes.
    history: Vec<f32>,
    power: Vec<f32>,
    bands: Vec<Band>,
    ratio: f32,
    /// Hops still to come before the history is all sound.
    to_fill: usize,
    /// Hops the noise was averaged over at the start, up to [`WARM_UP_HOPS`].
    warmed: u32,
}

#[derive(Debug, Clone)]
struct Band {
    bins: Range<usize>,
    smoothed: f32,
    minimum: SlowMinimum,
    noise: f32,
    /// Power of speech over noise that the last hop left, for the next one's a-priori ratio.
    clean: f32,
}

impl SpectralScore {
    /// A score for sound at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let hz = rate.hz() as usize;
        let size = (hz * 32 / 1_000).next_power_of_two();
        let spectrum = PowerSpectrum::new(size);
        let bin_of = |frequency: f32| (frequency * size as f32 / hz as f32).round() as usize;
        Self {
            hop: hz / 100,
            history: vec![0.0; size],
            power: vec![0.0; spectrum.bins()],
            spectrum,
            bands: BAND_EDGES_HZ.windows(2).map(|edge| Band::new(bin_of(edge[0])..bin_of(edge[1]))).collect(),
            ratio: 0.0,
            to_fill: size.div_ceil(hz / 100),
            warmed: 0,
        }
    }

    /// Takes the first hops for noise: one alone is a poor guess at the mean, and would make the next look loud.
    fn warm_up(&mut self) {
        self.warmed += 1;
        for band in &mut self.bands {
            band.noise += (band.power(&self.power) - band.noise) / self.warmed as f32;
            band.smoothed = band.noise;
        }
    }

    /// Mean log-likelihood ratio of speech over the bands, updating what each knows of its noise.
    fn likelihood(&mut self) -> f32 {
        let (mut sum, mut product) = (0.0, 1.0);
        for band in &mut self.bands {
            let (exponent, normaliser) = band.likelihood(band.power(&self.power));
            sum += exponent;
            // One logarithm of a product for nineteen of its factors; each is under 400, so a double holds it.
            product *= f64::from(normaliser);
        }
        ((sum - product.ln() as f32) / self.bands.len() as f32).min(FULL_RATIO)
    }
}

impl SpeechScore for SpectralScore {
    fn hop(&self) -> usize {
        self.hop
    }

    fn score(&mut self, hop: &[f32]) -> f32 {
        self.history.copy_within(hop.len().., 0);
        let kept = self.history.len() - hop.len();
        self.history[kept..].copy_from_slice(hop);
        if self.to_fill > 1 {
            self.to_fill -= 1;
            return 0.0;
        }
        self.spectrum.process(&self.history, &mut self.power);
        if self.warmed < WARM_UP_HOPS {
            self.warm_up();
            return 0.0;
        }
        let ratio = self.likelihood();
        self.ratio += (ratio - self.ratio) * if ratio > self.ratio { ATTACK } else { RELEASE };
        let score = 1.0 / (1.0 + ((EVEN_RATIO - self.ratio) * STEEPNESS).exp());
        for band in &mut self.bands {
            band.learn(1.0 - score);
        }
        score
    }

    fn reset(&mut self) {
        self.history.fill(0.0);
        self.ratio = 0.0;
        self.to_fill = self.history.len().div_ceil(self.hop);
        self.warmed = 0;
        for band in &mut self.bands {
            *band = Band::new(band.bins.clone());
        }
    }
}

impl Band {
    const fn new(bins: Range<usize>) -> Self {
        Self { bins, smoothed: 0.0, minimum: SlowMinimum::new(NOISE_MEMORY_HOPS), noise: 0.0, clean: 0.0 }
    }

    /// Mean power of the band's bins.
    fn power(&self, spectrum: &[f32]) -> f32 {
        let bins = &spectrum[self.bins.clone()];
        bins.iter().sum::<f32>() / bins.len() as f32 + POWER_FLOOR
    }

    /// The likelihood ratio: the exponent of its numerator, and its denominator.
    fn likelihood(&mut self, power: f32) -> (f32, f32) {
        self.smoothed += (power - self.smoothed) * SMOOTHING;
        let minimum = self.minimum.push(self.smoothed);
        self.noise = self.noise.clamp(minimum, minimum * NOISE_SPAN);
        let posterior = (power / self.noise).min(MAX_RATIO);
        // Decision-directed: most of what the last hop held, a little of what this one shows.
        let prior = PERSISTENCE * self.clean + (1.0 - PERSISTENCE) * (posterior - 1.0).max(0.0);
        let share = prior / (1.0 + prior);
        self.clean = posterior * share * share;
        (posterior * share, 1.0 + prior)
    }

    /// Moves the noise towards the smoothed power, as far as the hop was noise.
    fn learn(&mut self, noise_share: f32) {
        self.noise += (self.smoothed - self.noise) * NOISE_RATE * noise_share;
    }
}

/// Bands of about 100 Hz where voices have their pitch and first formant, wider above.
const BAND_EDGES_HZ: [f32; 20] = [
    200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 920.0, 1050.0, 1200.0, 1370.0, 1550.0, 1750.0, 1970.0,
    2200.0, 2450.0, 2750.0, 3080.0, 3400.0, 3800.0,
];

/// Power of a band that counts as nothing: -100 dBFS.
const POWER_FLOOR: f32 = 1e-10;

/// Hops at the start that are taken for noise: 100 ms.
const WARM_UP_HOPS: u32 = 10;

/// Share of a hop in the smoothed power: about 50 ms.
const SMOOTHING: f32 = 0.2;

/// How far back the noise minimum looks: 2 s, longer than most runs of speech without a gap in a band.
const NOISE_MEMORY_HOPS: u32 = 200;

/// The noise may stand this far above the smoothed minimum, which lies below its mean.
const NOISE_SPAN: f32 = 4.0;

/// Share of a hop of pure noise in the noise estimate: about 0.3 s.
const NOISE_RATE: f32 = 0.03;

/// Power over noise is taken for no more than 26 dB, lest one loud hop speak for many.
const MAX_RATIO: f32 = 400.0;

/// Weight of the past in the a-priori ratio.
const PERSISTENCE: f32 = 0.9;

/// Share of a new hop in the mean ratio, rising and falling.
const ATTACK: f32 = 0.5;
const RELEASE: f32 = 0.15;

/// Mean log-likelihood ratio at which a hop is as likely speech as not.
const EVEN_RATIO: f32 = 0.16;

/// A mean ratio over this says no more, and would only make the ending slow.
const FULL_RATIO: f32 = 0.5;

/// How fast the score turns around [`EVEN_RATIO`].
const STEEPNESS: f32 = 10.0;

//! Voices brought to one loudness.

use crate::loudness::{KWeighting, lufs};
use crate::{Limiter, SampleRate};

/// Brings a live voice to a target loudness, slowly enough not to be heard, and keeps it under a ceiling.
///
/// Loudness is measured over the last 3 s of speech and of nothing else; while nobody speaks the gain stands still,
/// so that pauses are never pumped up. Who speaks is for the caller to say, from a
/// [`VoiceDetector`](crate::VoiceDetector) over the same sound.
///
/// ```
/// use voxline_audio::{Normaliser, NormaliserConfig, SampleRate};
///
/// let mut normaliser = Normaliser::new(SampleRate::Hz8000, NormaliserConfig::default());
/// let mut frame = [0.0; 160];
/// normaliser.process(&mut frame, false);
/// assert_eq!(normaliser.gain_db(), 0.0);
/// assert_eq!(normaliser.latency(), 56);
/// ```
#[derive(Debug, Clone)]
pub struct Normaliser {
    config: NormaliserConfig,
    hz: f32,
    weighting: KWeighting,
    block_length: usize,
    filled: usize,
    sum: f64,
    /// Mean squares of the last blocks of speech, oldest overwritten first.
    blocks: [f64; BLOCKS],
    heard: usize,
    gain_db: f32,
    gain: f32,
    limiter: Limiter,
}

/// How a [`Normaliser`] moves.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormaliserConfig {
    /// Loudness of speech to aim at. Default -20 LUFS, which suits calls; -23 suits wideband playback. Higher leans
    /// on the limiter.
    pub target_lufs: f32,
    /// The most a quiet voice is raised. Default 18 dB. More raises the room with it.
    pub max_gain_db: f32,
    /// The least gain a loud voice is given. Default -12 dB.
    pub min_gain_db: f32,
    /// Fastest rise. Default 3 dB a second, at most 25.
    pub rise_db_per_second: f32,
    /// Fastest fall. Default 10 dB a second, at most 25, which is half a dB in 20 ms: faster is heard as a jump.
    pub fall_db_per_second: f32,
    /// What no true peak passes. Default -1 dBFS; G.711 wants -3.
    pub ceiling_dbfs: f32,
    /// Gain to begin with, as learnt from earlier calls. Default 0 dB.
    pub initial_gain_db: f32,
}

impl NormaliserConfig {
    /// Sets [`target_lufs`](Self::target_lufs).
    #[must_use]
    pub const fn with_target_lufs(mut self, target_lufs: f32) -> Self {
        self.target_lufs = target_lufs;
        self
    }

    /// Sets [`ceiling_dbfs`](Self::ceiling_dbfs).
    #[must_use]
    pub const fn with_ceiling_dbfs(mut self, ceiling_dbfs: f32) -> Self {
        self.ceiling_dbfs = ceiling_dbfs;
        self
    }

    /// Sets [`initial_gain_db`](Self::initial_gain_db).
    #[must_use]
    pub const fn with_initial_gain_db(mut self, initial_gain_db: f32) -> Self {
        self.initial_gain_db = initial_gain_db;
        self
    }
}

impl Default for NormaliserConfig {
    fn default() -> Self {
        Self {
            target_lufs: -20.0,
            max_gain_db: 18.0,
            min_gain_db: -12.0,
            rise_db_per_second: 3.0,
            fall_db_per_second: 10.0,
            ceiling_dbfs: -1.0,
            initial_gain_db: 0.0,
        }
    }
}

impl Normaliser {
    /// A normaliser for sound at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate, config: NormaliserConfig) -> Self {
        Self {
            config,
            hz: rate.hz() as f32,
            weighting: KWeighting::new(rate),
            block_length: rate.hz() as usize / 10,
            filled: 0,
            sum: 0.0,
            blocks: [0.0; BLOCKS],
            heard: 0,
            gain_db: config.initial_gain_db,
            gain: crate::level::from_dbfs(config.initial_gain_db),
            limiter: Limiter::with_true_peak(rate, config.ceiling_dbfs),
        }
    }

    /// Levels one run in place, of any length; what leaves is [`latency`](Self::latency) samples late. `is_speech`
    /// says whether somebody speaks in it.
    pub fn process(&mut self, frame: &mut [f32], is_speech: bool) {
        // A ramp as long as a long run is steeper at its end than the decibels of all of it say.
        for piece in frame.chunks_mut(self.hz as usize / 50) {
            self.process_piece(piece, is_speech);
        }
    }

    /// Forgets the voice and goes back to the gain it began with.
    pub fn reset(&mut self) {
        self.weighting.reset();
        self.filled = 0;
        self.sum = 0.0;
        self.heard = 0;
        self.gain_db = self.config.initial_gain_db;
        self.gain = crate::level::from_dbfs(self.gain_db);
        self.limiter.reset();
    }

    /// Samples by which the output is late.
    #[must_use]
    pub fn latency(&self) -> usize {
        self.limiter.latency()
    }

    /// The gain in use, before the limiter: what to begin this speaker's next call with.
    #[must_use]
    pub const fn gain_db(&self) -> f32 {
        self.gain_db
    }

    /// Loudness of the last seconds of speech before the gain, in LUFS; `None` in the first 400 ms of it.
    #[must_use]
    pub fn loudness(&self) -> Option<f32> {
        if self.heard < FEWEST_BLOCKS {
            return None;
        }
        let blocks = &self.blocks[..self.heard.min(BLOCKS)];
        lufs(blocks.iter().sum::<f64>() / blocks.len() as f64)
    }

    fn process_piece(&mut self, frame: &mut [f32], is_speech: bool) {
        for &sample in frame.iter() {
            // The filter hears everything, so that speech does not begin with an edge; only speech is summed.
            let weighted = self.weighting.next(sample);
            if is_speech {
                self.sum += weighted * weighted;
                self.filled += 1;
                if self.filled == self.block_length {
                    self.end_block();
                }
            }
        }
        if is_speech && let Some(wanted) = self.wanted_gain_db() {
            let seconds = frame.len() as f32 / self.hz;
            let NormaliserConfig { fall_db_per_second: fall, rise_db_per_second: rise, .. } = self.config;
            let most = |db_per_second: f32| db_per_second.clamp(0.0, FASTEST_DB_PER_SECOND) * seconds;
            self.gain_db += (wanted - self.gain_db).clamp(-most(fall), most(rise));
        }
        let target = crate::level::from_dbfs(self.gain_db);
        let step = (target - self.gain) / frame.len().max(1) as f32;
        for sample in frame.iter_mut() {
            self.gain += step;
            *sample *= self.gain;
        }
        self.gain = target;
        self.limiter.process(frame);
    }

    fn wanted_gain_db(&self) -> Option<f32> {
        let NormaliserConfig { target_lufs, min_gain_db, max_gain_db, .. } = self.config;
        Some((target_lufs - self.loudness()?).clamp(min_gain_db.min(max_gain_db), max_gain_db))
    }

    fn end_block(&mut self) {
        let power = self.sum / self.block_length as f64;
        self.filled = 0;
        self.sum = 0.0;
        // A hang-over counts as speech and is silent: as in BS.1770, it says nothing of how loud the voice is.
        if power > ABSOLUTE_GATE_POWER {
            self.blocks[self.heard % BLOCKS] = power;
            self.heard += 1;
        }
    }
}

/// The one gain that brings a whole file to a loudness, and whether its peaks then need a limiter.
///
/// Measure the file first, with a [`LoudnessMeter`](crate::LoudnessMeter) and a [`TruePeak`](crate::TruePeak).
///
/// ```
/// use voxline_audio::FileGain;
///
/// let gain = FileGain::between(-29.0, -10.0, -20.0, -1.0);
/// assert_eq!((gain.db, gain.needs_limiter), (9.0, false));
/// assert!(FileGain::between(-29.0, -8.0, -20.0, -1.0).needs_limiter);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FileGain {
    /// Gain in dB.
    pub db: f32,
    /// Whether peaks pass the ceiling with this gain: run a
    /// [`Limiter::with_true_peak`] after it.
    pub needs_limiter: bool,
}

impl FileGain {
    /// From the file's integrated loudness and true peak to a target loudness under a ceiling.
    #[must_use]
    pub fn between(loudness_lufs: f32, peak_dbtp: f32, target_lufs: f32, ceiling_dbtp: f32) -> Self {
        let db = target_lufs - loudness_lufs;
        Self { db, needs_limiter: peak_dbtp + db > ceiling_dbtp }
    }
}

/// Half a dB in 20 ms.
const FASTEST_DB_PER_SECOND: f32 = 25.0;

/// 3 s of speech in blocks of 100 ms.
const BLOCKS: usize = 30;

/// Speech below 400 ms is too little to judge a voice by.
const FEWEST_BLOCKS: usize = 4;

/// -50 LUFS: what is quieter is a pause inside the speech.
const ABSOLUTE_GATE_POWER: f64 = 1.2e-5;

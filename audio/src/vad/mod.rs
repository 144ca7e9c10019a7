//! Voice activity: is somebody speaking in this frame?

use core::fmt;
use core::time::Duration;

use crate::slow_minimum::SlowMinimum;
use crate::tame::tame;
use crate::{FrameSpec, SampleRate, level};

#[cfg(feature = "vad")]
mod learned;
mod score;

#[cfg(feature = "vad")]
pub use learned::LearnedScore;
pub use score::{SpectralScore, SpeechScore};

/// Tells speech from silence, frame by frame.
///
/// Two layers: a [`SpeechScore`] says how much each hop of about 10 ms sounds like speech, and one decision turns
/// the scores into edges. The decision measures the score against its own slow minimum, because every score drifts
/// with the noise behind the voice, and it asks for a minimum of speech before the start and of silence before the
/// end. The frame that completes either carries the edge; nothing is decided about frames already given.
///
/// Give it the caller's own sound, before noise reduction: what a reducer leaves behind misleads it.
///
/// ```
/// use voxline_audio::{FrameSpec, VoiceActivity, VoiceDetector, VoiceDetectorConfig};
///
/// let mut detector = VoiceDetector::new(FrameSpec::PHONE, VoiceDetectorConfig::default());
/// assert_eq!(detector.process(&[0.0; 160]), VoiceActivity::Silence);
/// ```
pub struct VoiceDetector {
    spec: FrameSpec,
    source: Box<dyn SpeechScore>,
    /// Samples of the hop being filled.
    hop: Vec<f32>,
    filled: usize,
    decision: Decision,
}

/// What a [`VoiceDetector`] says of one frame.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VoiceActivity {
    /// Nobody speaks.
    Silence,
    /// Speech goes on.
    Speech,
    /// The minimum of speech is complete; the voice began that much earlier.
    SpeechStarted,
    /// The hang-over has passed without speech; the voice ended that much earlier.
    SpeechEnded,
}

impl VoiceActivity {
    /// Whether somebody speaks at the end of the frame.
    #[must_use]
    pub const fn is_speech(self) -> bool {
        match self {
            Self::Speech | Self::SpeechStarted => true,
            Self::Silence | Self::SpeechEnded => false,
        }
    }
}

/// How a [`VoiceDetector`] decides.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceDetectorConfig {
    /// Score from 0 to 1 above which a hop may be speech. Default 0.5. Lower hears quiet talkers and more noise;
    /// higher misses the weak ends of words.
    pub threshold: f32,
    /// How far above its own slow minimum the score must stand for speech to start. Default 0.25. Too low starts on
    /// every change of the noise; too high never starts on a noisy line.
    pub rise: f32,
    /// How far above its slow minimum the score must stay for speech to go on. Default 0.1, at most `rise`.
    pub fall: f32,
    /// How far back the slow minimum looks. Default 5 s. Too short takes a long sentence for noise; too long is slow
    /// to forgive a louder line.
    pub floor_memory: Duration,
    /// Speech that must be heard before it counts; gaps inside it are taken off. Default 80 ms. Too short starts on
    /// clicks and coughs; too long delays a barge-in by as much.
    pub min_speech: Duration,
    /// Silence after which speech counts as ended. Default 200 ms. Use 500 to 800 ms to find ends of turns; too
    /// short ends a sentence at every pause for breath.
    pub hang_over: Duration,
    /// Hops quieter than this are silence, whatever they sound like. Default -60 dBFS.
    pub min_level_dbfs: f32,
}

impl VoiceDetectorConfig {
    /// Sets [`threshold`](Self::threshold).
    #[must_use]
    pub const fn with_threshold(mut self, threshold: f32) -> Self {
        self.threshold = threshold;
        self
    }

    /// Sets [`floor_memory`](Self::floor_memory).
    #[must_use]
    pub const fn with_floor_memory(mut self, floor_memory: Duration) -> Self {
        self.floor_memory = floor_memory;
        self
    }

    /// Sets [`min_speech`](Self::min_speech).
    #[must_use]
    pub const fn with_min_speech(mut self, min_speech: Duration) -> Self {
        self.min_speech = min_speech;
        self
    }

    /// Sets [`hang_over`](Self::hang_over).
    #[must_use]
    pub const fn with_hang_over(mut self, hang_over: Duration) -> Self {
        self.hang_over = hang_over;
        self
    }

    /// Sets [`min_level_dbfs`](Self::min_level_dbfs).
    #[must_use]
    pub const fn with_min_level_dbfs(mut self, min_level_dbfs: f32) -> Self {
        self.min_level_dbfs = min_level_dbfs;
        self
    }
}

impl Default for VoiceDetectorConfig {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            rise: 0.25,
            fall: 0.1,
            floor_memory: Duration::from_secs(5),
            min_speech: Duration::from_millis(80),
            hang_over: Duration::from_millis(200),
            min_level_dbfs: -60.0,
        }
    }
}

impl VoiceDetector {
    /// A detector over frames of `spec`, scored by [`SpectralScore`].
    #[must_use]
    pub fn new(spec: FrameSpec, config: VoiceDetectorConfig) -> Self {
        Self::with_source(spec, config, Box::new(SpectralScore::new(spec.rate())))
    }

    /// A detector over frames of `spec`, scored by `source`, which must expect the same sample rate.
    ///
    /// # Panics
    ///
    /// Panics if the source's hop is empty.
    #[must_use]
    pub fn with_source(spec: FrameSpec, config: VoiceDetectorConfig, source: Box<dyn SpeechScore>) -> Self {
        let hop = source.hop();
        assert!(hop > 0, "a score needs at least one sample a hop");
        Self {
            spec,
            source,
            hop: vec![0.0; hop],
            filled: 0,
            decision: Decision::new(config, spec.rate(), hop),
        }
    }

    /// Listens to one frame.
    ///
    /// # Panics
    ///
    /// Panics unless `frame` has [`FrameSpec::samples`] samples.
    pub fn process(&mut self, frame: &[f32]) -> VoiceActivity {
        assert_eq!(frame.len(), self.spec.samples(), "a frame here is {} samples", self.spec.samples());
        let before = self.decision.speaking;
        let mut rest = frame;
        while !rest.is_empty() {
            let space = &mut self.hop[self.filled..];
            let (now, later) = rest.split_at(rest.len().min(space.len()));
            space.iter_mut().zip(now).for_each(|(to, from)| *to = tame(*from));
            self.filled += now.len();
            rest = later;
            if self.filled == self.hop.len() {
                self.filled = 0;
                self.decision.weigh(&self.hop, self.source.as_mut());
            }
        }
        match (before, self.decision.speaking) {
            (false, false) => VoiceActivity::Silence,
            (false, true) => VoiceActivity::SpeechStarted,
            (true, false) => VoiceActivity::SpeechEnded,
            (true, true) => VoiceActivity::Speech,
        }
    }

    /// Forgets the sound so far, the noise floor included.
    pub fn reset(&mut self) {
        self.source.reset();
        self.decision.reset();
        self.filled = 0;
    }

    /// Whether somebody speaks, as of the last frame.
    #[must_use]
    pub const fn is_speech(&self) -> bool {
        self.decision.speaking
    }

    /// The score of the last hop: 0 is surely not speech, 1 surely is.
    #[must_use]
    pub const fn score(&self) -> f32 {
        self.decision.score
    }

    /// The frames this detector takes.
    #[must_use]
    pub const fn spec(&self) -> FrameSpec {
        self.spec
    }
}

impl fmt::Debug for VoiceDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoiceDetector")
            .field("spec", &self.spec)
            .field("source", &self.source)
            .field("decision", &self.decision)
            .finish_non_exhaustive()
    }
}

/// Turns scores into speech and silence.
#[derive(Debug)]
struct Decision {
    config: VoiceDetectorConfig,
    min_power: f32,
    min_speech_hops: u32,
    hang_over_hops: u32,
    floor: SlowMinimum,
    score: f32,
    speaking: bool,
    /// Hops of speech heard lately: up with each, down with each hop without.
    heard: u32,
    quiet: u32,
}

impl Decision {
    fn new(config: VoiceDetectorConfig, rate: SampleRate, hop: usize) -> Self {
        let hops = |time: Duration| rate.samples_in(time.min(LONGEST)).div_ceil(hop as u64).max(1) as u32;
        Self {
            config,
            min_power: 10f32.powf(config.min_level_dbfs / 10.0),
            min_speech_hops: hops(config.min_speech),
            hang_over_hops: hops(config.hang_over),
            floor: SlowMinimum::new(hops(config.floor_memory)),
            score: 0.0,
            speaking: false,
            heard: 0,
            quiet: 0,
        }
    }

    fn weigh(&mut self, hop: &[f32], source: &mut dyn SpeechScore) {
        let power = level::energy(hop) / hop.len() as f32;
        if power < self.min_power {
            // Nothing to hear: the source is spared the work, and what it knows of the noise stays as it was.
            source.skip(hop);
            self.score = 0.0;
            self.move_to(false);
            return;
        }
        let score = source.score(hop);
        self.score = if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) };
        let floor = self.floor.push(self.score);
        let VoiceDetectorConfig { threshold, rise, fall, .. } = self.config;
        // However high the floor drifts, a score that says "surely" still starts speech.
        let start = threshold.max(floor + rise).min(SURE);
        let stay = start - (rise - fall).max(0.0);
        self.move_to(self.score > if self.speaking { stay } else { start });
    }

    fn move_to(&mut self, speech: bool) {
        if self.speaking {
            self.quiet = if speech { 0 } else { self.quiet + 1 };
            if self.quiet >= self.hang_over_hops {
                self.speaking = false;
                self.heard = 0;
            }
        } else {
            self.heard = if speech { self.heard + 1 } else { self.heard.saturating_sub(1) };
            if self.heard >= self.min_speech_hops {
                self.speaking = true;
                self.quiet = 0;
            }
        }
    }

    fn reset(&mut self) {
        self.floor.reset();
        self.score = 0.0;
        self.speaking = false;
        self.heard = 0;
        self.quiet = 0;
    }
}

/// Longer spans mean for ever.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A score no floor can push the start of speech above.
const SURE: f32 = 0.95;

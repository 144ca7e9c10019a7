//! The spectral score, checked by a network.

use super::{SpectralScore, SpeechScore};
use crate::rnnoise::Rnnoise;
use crate::{Preset, SampleRate};

/// [`SpectralScore`] where the voice probability of RNNoise (J.-M. Valin, 2018) does not speak against it.
///
/// In steady noise the spectral score is the better of the two, and alone it takes for a voice whatever rises out of
/// the noise. The network knows voices from other sounds, and grows unsure of them the louder the noise: so its word
/// is measured against what it lately said of speech on this line. The score is the lesser of both.
///
/// In pink noise as loud as telephone speech both find 92 to 95 % of it, the spectral score with no false alarm, this
/// one with up to 3 %; of slower talkers each may find 87 %. Where the background is no steady noise, false alarms in
/// the pauses fall: with key tones 10 dB under the voice from 36 to 9 %, with noise that steps by 12 dB every 4 s from
/// 43 to 6 %, with typing from 86 to 24 %.
/// Music, other voices and ringing tones still pass for speech, as they do with the spectral score.
///
/// Works at every [`SampleRate`], by our resamplers, in hops of 10 ms, in silence too; it takes some seventy times the
/// work of the spectral score. It allocates nothing on the thread that made it, and on another once, for its transforms.
///
/// ```
/// use voxline_audio::{FrameSpec, LearnedScore, VoiceActivity, VoiceDetector, VoiceDetectorConfig};
///
/// let spec = FrameSpec::PHONE;
/// let source = Box::new(LearnedScore::new(spec.rate()));
/// let mut detector = VoiceDetector::with_source(spec, VoiceDetectorConfig::default(), source);
/// assert_eq!(detector.process(&[0.0; 160]), VoiceActivity::Silence);
/// ```
#[derive(Debug)]
pub struct LearnedScore {
    spectral: SpectralScore,
    network: Rnnoise,
    /// Log-odds of a voice, smoothed.
    voice: f32,
    /// What they usually are on this line while the spectral score says speech.
    usual: f32,
}

impl LearnedScore {
    /// A score for sound at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let network = Rnnoise::new(rate, Preset::Detector);
        Self { spectral: SpectralScore::new(rate), network, voice: -SURE, usual: 0.0 }
    }
}

impl LearnedScore {
    fn hear(&mut self, hop: &[f32]) {
        let voice = &mut self.voice;
        self.network.process(hop, |_, probability| {
            let odds = (probability / (1.0 - probability)).ln().clamp(-SURE, SURE);
            *voice += (odds - *voice) * if odds > *voice { ATTACK } else { RELEASE };
        });
    }
}

impl SpeechScore for LearnedScore {
    fn hop(&self) -> usize {
        self.spectral.hop()
    }

    fn score(&mut self, hop: &[f32]) -> f32 {
        let spectral = self.spectral.score(hop);
        self.hear(hop);
        if spectral > 0.5 {
            self.usual += (self.voice - self.usual) * LEARNING;
        }
        let even = (self.usual - MARGIN).clamp(LEAST_EVEN, MOST_EVEN);
        let learned = 1.0 / (1.0 + ((even - self.voice) * STEEPNESS).exp());
        // With a second opinion at hand the first may be bolder.
        let bolder = 1.0 / (1.0 + (1.0 / spectral - 1.0) / BOLDNESS);
        bolder.min(learned)
    }

    fn skip(&mut self, hop: &[f32]) {
        // Keystrokes with the silence between them cut out are a noise the network takes for a voice.
        self.hear(hop);
    }

    fn reset(&mut self) {
        self.spectral.reset();
        self.network.reset();
        (self.voice, self.usual) = (-SURE, 0.0);
    }
}

/// Log-odds beyond which the network's certainty means no more.
const SURE: f32 = 4.0;

/// Share of a hop in the smoothed log-odds, rising and falling: 30 and 100 ms. A single key press does not reach far.
const ATTACK: f32 = 0.3;
const RELEASE: f32 = 0.1;

/// Share of a hop of speech in what the log-odds usually are: 2 s.
const LEARNING: f32 = 0.005;

/// Log-odds that count as even lie this far under the usual ones: soft ends of words do.
const MARGIN: f32 = 3.0;

/// Never under this, as steady noise of any loudness is; words in noise as loud as they are reach it.
const LEAST_EVEN: f32 = -2.5;

/// Never over this, as every voice on a clean line is.
const MOST_EVEN: f32 = 0.3;

/// How fast the network's word turns around the even.
const STEEPNESS: f32 = 2.0;

/// Factor on the odds of the spectral score.
const BOLDNESS: f32 = 1.8;

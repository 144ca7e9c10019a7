//! Sound in place of sound that did not come.

use crate::SampleRate;
use crate::pitch::PitchSearch;
use crate::tame::tame;

/// Continues a voice over a gap with its own last pitch periods, fading to silence within 60 ms.
///
/// The shape is that of ITU-T G.711 Appendix I: repeat one period for 10 ms, then two, then three, take a fifth off
/// per 10 ms after the first 10, and cross-fade into the real sound on its return. Unlike there no sample is held
/// back to smooth the joint; the jump it leaves is taken up by a correction that dies out over a quarter period.
///
/// Give it every frame that plays: [`pass`](Self::pass) those that came, [`fill`](Self::fill) those that did not.
///
/// ```
/// use voxline_audio::{Concealer, SampleRate};
///
/// let mut concealer = Concealer::new(SampleRate::Hz8000);
/// let mut frame: [f32; 160] = std::array::from_fn(|n| (n as f32 * std::f32::consts::TAU / 80.0).sin());
/// for _ in 0..4 {
///     concealer.pass(&mut frame);
/// }
/// let mut gap = [0.0; 160];
/// concealer.fill(&mut gap);
/// assert!((gap[20] - 1.0).abs() < 0.05, "the voice goes on");
/// ```
#[derive(Debug, Clone)]
pub struct Concealer {
    pitch: PitchSearch,
    hz: usize,
    /// What was played last, the newest at the end.
    history: Vec<f32>,
    /// What was played before the gap began: the periods to repeat.
    before: Vec<f32>,
    period: usize,
    /// Periods in use: 1 to 3.
    periods: usize,
    /// Where in the periods in use the next sample comes from.
    at: usize,
    /// What the joint's correction starts from.
    jump: f32,
    /// Samples filled since the gap began; 0 outside of one.
    filled: usize,
}

impl Concealer {
    /// A concealer for sound at `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        let hz = rate.hz() as usize;
        let pitch = PitchSearch::new(rate);
        // Three longest periods and the quarter period that smooths their joint.
        let history = pitch.longest() * 3 + pitch.longest() / 2;
        Self {
            pitch,
            hz,
            history: vec![0.0; history],
            before: vec![0.0; history],
            period: 0,
            periods: 1,
            at: 0,
            jump: 0.0,
            filled: 0,
        }
    }

    /// Takes a frame that came, of any length. After a gap its beginning is cross-faded with what was filled in.
    pub fn pass(&mut self, frame: &mut [f32]) {
        for sample in frame.iter_mut() {
            *sample = tame(*sample);
        }
        if self.filled > 0 {
            // A quarter period, and 4 ms more for each 10 ms of gap, as in Appendix I; at most 10 ms.
            let overlap = self.period / 4 + self.filled * 2 / 5;
            let overlap = overlap.min(self.hz / 100).min(frame.len());
            for (n, sample) in frame[..overlap].iter_mut().enumerate() {
                let rise = (n + 1) as f32 / (overlap + 1) as f32;
                *sample = *sample * rise + self.next_filled() * (1.0 - rise);
            }
            self.filled = 0;
        }
        self.remember(frame);
    }

    /// Fills a frame that did not come, of any length.
    pub fn fill(&mut self, frame: &mut [f32]) {
        if self.filled == 0 {
            self.begin();
        }
        for sample in frame.iter_mut() {
            *sample = self.next_filled();
        }
        self.remember(frame);
    }

    /// Forgets what was played: the next gap is silence.
    pub fn reset(&mut self) {
        self.history.fill(0.0);
        self.filled = 0;
    }

    fn begin(&mut self) {
        self.before.copy_from_slice(&self.history);
        self.period = self.pitch.at_end(&self.history).samples;
        self.periods = 1;
        self.at = 0;
        let end = self.history.len();
        self.jump = self.history[end - 1] - self.history[end - 1 - self.period];
    }

    fn next_filled(&mut self) -> f32 {
        let gain = self.gain();
        let sample = if gain > 0.0 { (self.next_repeated() + self.correction()) * gain } else { 0.0 };
        self.filled = self.filled.saturating_add(1);
        sample
    }

    /// The next sample of the periods in use, whose end is cross-faded to lead into their start.
    fn next_repeated(&mut self) -> f32 {
        let length = self.period * self.periods;
        let start = self.before.len() - length;
        let overlap = self.period / 4;
        let mut sample = self.before[start + self.at];
        if let Some(n) = (self.at + overlap).checked_sub(length) {
            let rise = (n + 1) as f32 / (overlap + 1) as f32;
            sample += (self.before[start - overlap + n] - sample) * rise;
        }
        self.at += 1;
        if self.at == length {
            // The end leads into the last period, with which a longer run ends too.
            let ten_ms = self.hz / 100;
            let periods = (1 + self.filled / ten_ms).min(3).max(self.periods);
            self.at = if periods > self.periods { self.period * (periods - self.periods) } else { 0 };
            self.periods = periods;
        }
        sample
    }

    /// What is left of the jump between the last real sample and the period before it.
    fn correction(&self) -> f32 {
        let settle = self.period / 4;
        self.jump * (1.0 - (self.filled + 1) as f32 / (settle + 1) as f32).max(0.0)
    }

    /// How much of the voice is left in the next filled sample: 1 for the first 10 ms, then a fifth less per 10 ms.
    pub(crate) fn gain(&self) -> f32 {
        let past = self.filled as f32 / (self.hz as f32 * 0.01) - 1.0;
        (1.0 - 0.2 * past.max(0.0)).max(0.0)
    }

    fn remember(&mut self, frame: &[f32]) {
        let new = frame.len().min(self.history.len());
        let keep = self.history.len() - new;
        self.history.copy_within(new.., 0);
        self.history[keep..].copy_from_slice(&frame[frame.len() - new..]);
    }
}

//! Tops cut off: how much of the sound was clipped.

/// Finds flat tops at full scale and counts what they cost.
///
/// A wave that merely touches full scale bends there; one that was clipped stands still. Three equal samples in a
/// row near full scale are a clip, and so is every sample beyond it. "Near" takes in the top step of G.711, where
/// clipping in a telephone network ends up.
///
/// ```
/// use voxline_audio::ClipMeter;
///
/// let mut meter = ClipMeter::new();
/// meter.process(&[0.2, 1.0, 1.0, 1.0, 1.0, 0.3, -0.99, 0.4]);
/// let report = meter.report();
/// assert_eq!((report.clips, report.clipped, report.longest), (1, 4, 4));
/// ```
#[derive(Debug, Clone, Default)]
pub struct ClipMeter {
    last: f32,
    run: u64,
    report: ClipReport,
}

/// What a [`ClipMeter`] counted.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClipReport {
    /// Samples heard.
    pub samples: u64,
    /// Samples that stand on a flat top or beyond full scale.
    pub clipped: u64,
    /// Flat tops.
    pub clips: u64,
    /// Samples of the longest one.
    pub longest: u64,
}

impl ClipReport {
    /// Clipped samples as a share of all, 0 to 1; 0 where there are none.
    #[must_use]
    pub fn share(&self) -> f32 {
        if self.samples == 0 { 0.0 } else { self.clipped as f32 / self.samples as f32 }
    }
}

impl ClipMeter {
    /// A meter that heard nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to a run of samples, of any length. A top may reach from one run into the next.
    pub fn process(&mut self, samples: &[f32]) {
        self.report.samples += samples.len() as u64;
        for &sample in samples {
            let beyond = sample.abs() > 1.0;
            let stands = sample == self.last || (beyond && self.last.abs() > 1.0 && sample * self.last > 0.0);
            if sample.abs() < NEAR_FULL_SCALE || sample.is_nan() {
                self.run = 0;
            } else if stands && self.run > 0 {
                self.run += 1;
                // The run turns out to be a clip with its third sample, or at once beyond full scale.
                match self.run {
                    FEWEST if !beyond => self.begin(FEWEST),
                    run if run > FEWEST || beyond => {
                        self.report.clipped += 1;
                        self.report.longest = self.report.longest.max(run);
                    }
                    _ => {}
                }
            } else {
                self.run = 1;
                if beyond {
                    self.begin(1);
                }
            }
            self.last = sample;
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn report(&self) -> ClipReport {
        self.report
    }

    /// Forgets all it heard.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    fn begin(&mut self, samples: u64) {
        self.report.clips += 1;
        self.report.clipped += samples;
        self.report.longest = self.report.longest.max(samples);
    }
}

/// The top of µ-law decodes to 0.9804 of full scale, that of A-law to 0.9844.
const NEAR_FULL_SCALE: f32 = 0.98;

/// Equal samples that make a flat top.
const FEWEST: u64 = 3;

#[cfg(test)]
mod tests {
    use core::f32::consts::TAU;

    use super::*;

    fn report(samples: &[f32], run: usize) -> ClipReport {
        let mut meter = ClipMeter::new();
        samples.chunks(run).for_each(|run| meter.process(run));
        meter.report()
    }

    #[test]
    fn a_full_scale_sine_is_not_clipped_and_a_louder_one_is() {
        let sine = |gain: f32| -> Vec<f32> {
            (0..8_000)
                .map(|n| {
                    ((gain * (TAU * 0.01 * n as f32).sin()).clamp(-1.0, 1.0) * 32_767.0).round() / 32_768.0
                })
                .collect()
        };
        assert_eq!(report(&sine(1.0), 160).clipped, 0);
        let clipped = report(&sine(2.0), 160);
        // Over half of full scale for two thirds of the time, in two tops a period.
        assert!((clipped.share() - 0.667).abs() < 0.03, "{clipped:?}");
        assert_eq!(clipped.clips, 160);
    }

    #[test]
    fn counts_do_not_depend_on_how_the_sound_is_cut() {
        let samples =
            [0.1, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 0.5, 1.5, 1.2, 1.2, 0.0, 0.99, 0.99, 0.98];
        let whole = report(&samples, samples.len());
        assert_eq!((whole.clips, whole.clipped, whole.longest), (3, 11, 5));
        for run in 1..samples.len() {
            assert_eq!(report(&samples, run), whole, "runs of {run}");
        }
    }

    #[test]
    fn not_a_number_is_no_clip() {
        assert_eq!(report(&[f32::NAN; 10], 10).clipped, 0);
        assert_eq!(report(&[f32::INFINITY; 10], 10).clipped, 10);
    }
}

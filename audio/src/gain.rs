//! A gain that changes without a click.

use crate::simd::widest;

/// A linear gain that glides to each new value over one frame.
///
/// ```
/// let mut gain = voxline_audio::Gain::new(1.0);
/// gain.set_target(0.5);
/// let mut frame = [1.0_f32; 160];
/// gain.process(&mut frame);
/// assert!(frame[0] > 0.99 && frame[159] == 0.5);
/// ```
#[derive(Debug, Clone)]
pub struct Gain {
    initial: f32,
    current: f32,
    target: f32,
}

impl Gain {
    /// Starts at `linear`: 1.0 changes nothing, 0.0 is silence. [`level::from_dbfs`](crate::level::from_dbfs)
    /// makes one of decibels.
    #[must_use]
    pub const fn new(linear: f32) -> Self {
        Self { initial: linear, current: linear, target: linear }
    }

    /// The gain to reach at the end of the next frame, on a straight ramp.
    pub const fn set_target(&mut self, linear: f32) {
        self.target = linear;
    }

    /// Scales one frame. A steady gain of exactly 1.0 leaves every bit as it is.
    pub fn process(&mut self, frame: &mut [f32]) {
        let (from, to) = (self.current, self.target);
        let Some((last, before)) = frame.split_last_mut() else { return };
        let step = (to - from) / (before.len() + 1) as f32;
        if step != 0.0 {
            widest(|| {
                for (index, sample) in before.iter_mut().enumerate() {
                    *sample *= from + step * (index + 1) as f32;
                }
            });
            *last *= to;
        } else if to != 1.0 {
            widest(|| {
                for sample in frame {
                    *sample *= to;
                }
            });
        }
        self.current = to;
    }

    /// Back to the gain it started with, at once.
    pub const fn reset(&mut self) {
        self.current = self.initial;
        self.target = self.initial;
    }

    /// The gain at the end of the last frame.
    #[must_use]
    pub const fn current(&self) -> f32 {
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_straight_ends_on_its_target_and_stays_there() {
        let mut gain = Gain::new(0.0);
        gain.set_target(1.0);
        let mut frame = [1.0; 10];
        gain.process(&mut frame);
        for (index, sample) in frame.iter().enumerate() {
            assert!((sample - (index + 1) as f32 / 10.0).abs() < 1e-6, "{index}");
        }
        assert_eq!(frame[9], 1.0);
        let mut frame = [0.3; 10];
        gain.process(&mut frame);
        assert_eq!(frame, [0.3; 10]);
        gain.reset();
        gain.process(&mut frame);
        assert_eq!(frame, [0.0; 10]);
    }

    #[test]
    fn an_empty_frame_leaves_the_ramp_for_the_next_one() {
        let mut gain = Gain::new(1.0);
        gain.set_target(0.0);
        gain.process(&mut []);
        assert_eq!(gain.current(), 1.0);
    }
}

//! Starting and stopping sound without a click.
//!
//! The shape is the raised cosine: its slope is zero at both ends, so neither the start nor the end of a fade is an
//! edge. It is made by turning a vector by a constant angle, so a fade of any length needs no table.

use core::f64::consts::PI;
use core::time::Duration;

/// Fades in over the whole of `frame`.
pub fn fade_in(frame: &mut [f32]) {
    let mut gains = RaisedCosine::over(frame.len());
    for sample in frame {
        *sample *= 1.0 - gains.next_falling();
    }
}

/// Fades out over the whole of `frame`.
pub fn fade_out(frame: &mut [f32]) {
    let mut gains = RaisedCosine::over(frame.len());
    for sample in frame {
        *sample *= gains.next_falling();
    }
}

/// Ends a stream that is being heard: fills `tail` with what to play in place of what was dropped.
///
/// `upcoming` are the very samples that would have come next; only they continue the waveform, and anything else
/// put there is a click. They are faded over the length of `tail` ([`CUT`] is a good one), or over all of
/// `upcoming` where that is shorter, with silence after it.
///
/// ```
/// use voxline_audio::{SampleRate, fade};
///
/// let dropped = [0.5_f32; 800];
/// let mut tail = vec![0.0; SampleRate::Hz8000.samples_in(fade::CUT) as usize];
/// fade::cut(&dropped, &mut tail);
/// assert!(tail[0] > 0.499 && tail[239] < 0.001);
/// ```
pub fn cut(upcoming: &[f32], tail: &mut [f32]) {
    let faded = upcoming.len().min(tail.len());
    let (sounding, silent) = tail.split_at_mut(faded);
    sounding.copy_from_slice(&upcoming[..faded]);
    fade_out(sounding);
    silent.fill(0.0);
}

/// [`cut`] for samples at the edge.
pub fn cut_i16(upcoming: &[i16], tail: &mut [i16]) {
    let faded = upcoming.len().min(tail.len());
    let (sounding, silent) = tail.split_at_mut(faded);
    let mut gains = RaisedCosine::over(faded);
    for (to, &from) in sounding.iter_mut().zip(upcoming) {
        *to = (f32::from(from) * gains.next_falling()).round() as i16;
    }
    silent.fill(0);
}

/// How long a cut takes: under 20 ms a loud vowel still clicks, over 40 ms it sounds like talking on.
pub const CUT: Duration = Duration::from_millis(30);

/// The gains ½ + ½ cos(π (i + ½) ⁄ n), one after the other.
#[derive(Debug)]
struct RaisedCosine {
    at: (f64, f64),
    turn: (f64, f64),
}

impl RaisedCosine {
    fn over(length: usize) -> Self {
        let step = PI / length.max(1) as f64;
        let (half_sin, half_cos) = (step / 2.0).sin_cos();
        let (sin, cos) = step.sin_cos();
        Self { at: (half_cos, half_sin), turn: (cos, sin) }
    }

    #[inline]
    fn next_falling(&mut self) -> f32 {
        let ((x, y), (cos, sin)) = (self.at, self.turn);
        self.at = (x * cos - y * sin, x * sin + y * cos);
        (0.5 + 0.5 * x) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fades_have_the_shape_of_the_formula_and_add_up_to_one() {
        for length in [1, 2, 7, 160, 48_000] {
            let mut rising = vec![1.0_f32; length];
            let mut falling = rising.clone();
            fade_in(&mut rising);
            fade_out(&mut falling);
            for index in 0..length {
                let phase = PI * (index as f64 + 0.5) / length as f64;
                let expected = 0.5 + 0.5 * phase.cos();
                assert!((f64::from(falling[index]) - expected).abs() < 1e-6, "{index} of {length}");
                assert!((rising[index] + falling[index] - 1.0).abs() < 1e-6, "{index} of {length}");
            }
        }
    }

    #[test]
    fn a_cut_fades_what_there_is_and_is_silent_after_it() {
        let mut tail = [1.0; 8];
        cut(&[0.5; 4], &mut tail);
        assert!(tail[0] > 0.4 && tail[3] < 0.03);
        assert_eq!(tail[4..], [0.0; 4]);
        cut(&[], &mut tail);
        assert_eq!(tail, [0.0; 8]);

        let mut tail = [1; 8];
        cut_i16(&[-10_000; 800], &mut tail);
        assert!(tail[0] < -9_800 && tail[7] > -200);
        assert!(tail.is_sorted());
    }
}

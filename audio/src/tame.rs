//! Samples from outside, made safe for recursive arithmetic.

/// A sample as it is, or as near as a filter's memory can bear: not a number is silence, and the rest is held
/// within ±8, far over full scale but small enough that its square is an ordinary number.
pub(crate) fn tame(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-8.0, 8.0) }
}

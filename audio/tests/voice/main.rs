//! The kernels that follow a voice over time, judged on speech and on noise.

mod conceal;
mod denoise;
mod detect;
mod fade;
mod jitter;
mod loudness;
mod properties;
#[path = "../speech/mod.rs"]
mod speech;
mod vad;

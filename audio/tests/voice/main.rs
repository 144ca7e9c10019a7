//! The kernels that follow a voice over time, judged on speech and on noise.

mod denoise;
mod detect;
mod fade;
mod loudness;
mod playout;
mod properties;
#[path = "../speech/mod.rs"]
mod speech;
mod vad;

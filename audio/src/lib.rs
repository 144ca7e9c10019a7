//! Words and DSP kernels for real-time voice.
#![deny(unsafe_code)]

mod format;
mod frame;
mod framer;
pub mod g711;
pub mod pcm;
mod simd;

pub use format::{AudioFormat, Encoding, SampleRate, UnsupportedRate};
pub use frame::{FrameDuration, FrameSpec};
pub use framer::Framer;

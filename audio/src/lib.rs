//! Words and DSP kernels for real-time voice.
#![deny(unsafe_code)]

mod clip;
mod conceal;
mod dtmf;
pub mod fade;
mod fft;
mod filter;
mod format;
mod frame;
mod framer;
pub mod g711;
mod gain;
mod jitter;
pub mod level;
mod limiter;
mod loudness;
pub mod mix;
mod noise;
pub mod pcm;
mod pitch;
mod record;
mod resample;
mod simd;
mod slow_minimum;
mod tame;
mod transcode;
mod vad;
mod wav;

pub use clip::{ClipMeter, ClipReport};
pub use conceal::Concealer;
pub use dtmf::{Digit, DtmfDetector, DtmfEvent, DtmfGenerator, UnsupportedDigit};
pub use filter::HighPass;
pub use format::{AudioFormat, Encoding, SampleRate, UnsupportedRate};
pub use frame::{FrameDuration, FrameSpec};
pub use framer::Framer;
pub use gain::Gain;
pub use jitter::{JitterBuffer, JitterBufferConfig, JitterStats, Playout};
pub use limiter::Limiter;
pub use loudness::{LoudnessMeter, TruePeak};
pub use noise::ComfortNoise;
pub use record::{RecordError, Recorder, RecorderConfig, Side};
pub use resample::{Preset, Resampler};
pub use transcode::Transcoder;
pub use vad::{SpectralScore, SpeechScore, VoiceActivity, VoiceDetector, VoiceDetectorConfig};
pub use wav::{WavEncoding, WavError, WavFormat, WavHeader, WavLength, WavReader, WavWriter};

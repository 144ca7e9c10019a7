//! Words and DSP kernels for real-time voice.
//!
//! Mono, `i16` at the edges and `f32` within ±1.0 inside, without a dependency. What a phone leg does with each
//! frame it hears:
//!
//! ```
//! use voxline_audio::{Encoding, FrameSpec, Framer, Resampler, SampleRate, level, pcm};
//!
//! let mut framer = Framer::new(FrameSpec::PHONE, Encoding::MuLaw);
//! let mut resampler = Resampler::new(SampleRate::Hz8000, SampleRate::Hz16000);
//! let (mut frame, mut narrow, mut wide) = ([0; 160], [0.0; 160], [0.0; 320]);
//!
//! let mut message = &[0xd5_u8; 400][..]; // from the network, of any length
//! while !message.is_empty() {
//!     message = &message[framer.push(message)..];
//!     while framer.pop(&mut frame) {
//!         pcm::i16_to_f32(&frame, &mut narrow);
//!         resampler.process(&narrow, &mut wide);
//!         println!("{:.1} dBFS", level::to_dbfs(level::rms(&wide)));
//!     }
//! }
//! ```
//!
//! `examples/receive_path.rs` goes on from here to voice activity and key signals; `examples/clean_wav.rs` takes the
//! noise out of a file and levels it.
//!
//! | to | there is |
//! |---|---|
//! | name formats and frames | [`SampleRate`], [`Encoding`], [`AudioFormat`], [`FrameSpec`], [`Framer`] |
//! | convert | [`pcm`], [`g711`], [`Resampler`], [`Transcoder`] |
//! | measure | [`level`], [`LoudnessMeter`], [`TruePeak`], [`ClipMeter`], [`PowerSpectrum`] |
//! | judge | [`inspect`] what is said to be sound, [`PlaybackRate`] |
//! | shape | [`Gain`], [`mix`], [`fade`], [`HighPass`], [`Limiter`], [`Normaliser`], [`NoiseReduction`] |
//! | hear | [`VoiceDetector`], [`DtmfDetector`] |
//! | make | [`DtmfGenerator`], [`ComfortNoise`] |
//! | play on a clock | [`JitterBuffer`], [`Concealer`] |
//! | keep | [`Recorder`], [`WavReader`], [`WavWriter`] |
//!
//! Kernels without state are functions over slices of equal length; kernels with state have `new`, `process`, `reset`,
//! and `latency` where they delay. No `process` allocates. A length that does not fit is the caller's bug and panics;
//! bytes of any length meet the [`Framer`] first. No sample, not even NaN, makes a kernel panic.
//!
//! Two features bring what needs the nnnoiseless crate: `denoise` the strong noise reduction, `vad` the voice score a
//! network checks. Loudness by ITU-R BS.1770 is this crate's own code and needs none.
//!
//! The fastest instructions of the machine are found at run time, and every fast path has a plain twin it is tested
//! against. The sound of each kernel is a measured figure with a bound in `tests/quality.rs`.
#![deny(unsafe_code)]

mod clip;
mod conceal;
mod denoise;
mod detect;
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
mod normalise;
pub mod pcm;
mod pitch;
mod record;
mod resample;
#[cfg(any(feature = "denoise", feature = "vad"))]
mod rnnoise;
mod simd;
mod slow_minimum;
mod tame;
mod transcode;
mod vad;
mod wav;

pub use clip::{ClipMeter, ClipReport};
pub use conceal::Concealer;
#[cfg(feature = "denoise")]
pub use denoise::StrongDenoiser;
pub use denoise::{Denoise, LightDenoiser, NoiseReduction};
pub use detect::{Container, Finding, PlaybackRate, Verdict, inspect};
pub use dtmf::{Digit, DtmfDetector, DtmfEvent, DtmfGenerator, UnsupportedDigit};
pub use fft::PowerSpectrum;
pub use filter::HighPass;
pub use format::{AudioFormat, Encoding, SampleRate, UnsupportedRate};
pub use frame::{FrameDuration, FrameSpec};
pub use framer::Framer;
pub use gain::Gain;
pub use jitter::{JitterBuffer, JitterBufferConfig, JitterStats, Playout};
pub use limiter::Limiter;
pub use loudness::{LoudnessMeter, TruePeak};
pub use noise::ComfortNoise;
pub use normalise::{FileGain, Normaliser, NormaliserConfig};
pub use record::{RecordError, Recorder, RecorderConfig, Side};
pub use resample::{Preset, Resampler};
pub use transcode::Transcoder;
#[cfg(feature = "vad")]
pub use vad::LearnedScore;
pub use vad::{SpectralScore, SpeechScore, VoiceActivity, VoiceDetector, VoiceDetectorConfig};
pub use wav::{WavEncoding, WavError, WavFormat, WavHeader, WavLength, WavReader, WavWriter};

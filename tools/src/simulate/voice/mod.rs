//! tonetext: a voice whose text is in the sound.
//!
//! A test of a voice path wants to know which words came through it. Speech cannot say: a recogniser guesses.
//! Tonetext can. [`Encoder`] turns text into tones inside the telephone band, [`Decoder`] turns whatever arrived
//! back into text, and [`Tracker`] states which blocks are missing, doubled or damaged.
//!
//! ```
//! use voxline::simulate::voice::{Decoder, Encoder, Tracker};
//! use voxline_audio::SampleRate;
//!
//! let sound = Encoder::new(SampleRate::Hz16000).encode("Thursday at three, then.");
//! let mut decoder = Decoder::new(SampleRate::Hz16000);
//! let mut tracker = Tracker::from_start();
//! decoder.push(&sound);
//! decoder.finish();
//! while let Some(event) = decoder.poll() {
//!     tracker.handle_event(&event);
//! }
//! assert_eq!(tracker.text(), "Thursday at three, then.");
//! assert!(tracker.faults().is_empty());
//! ```
//!
//! # The sound
//!
//! A symbol lasts 20 ms and carries one byte as two tones: the low nibble picks one of sixteen between 480 and
//! 1680 Hz, the high nibble one of sixteen between 1840 and 3040 Hz, all 80 Hz apart. 80 Hz is one cycle in 12.5 ms,
//! so the tones are orthogonal over the middle of a symbol, and the rest is left to the raised-cosine edges and to
//! timing error. Three more tones (400, 1760, 3120 Hz) belong to the preamble alone, so no text can imitate it.
//!
//! A block is three preamble symbols, a header (speaker, number, length and flags, CRC-8), up to eight characters of
//! text, and a CRC-16 over header and text. Full blocks follow each other at 22 characters a second, without a gap.
//!
//! # A pause is not a loss
//!
//! A phone line that starves plays silence and goes on where it stopped: what it plays is late, not lost. So the
//! decoder takes out of a block every silence from 2.5 ms, which no unbroken block contains, wherever it falls, be it
//! within a symbol or within the preamble. Silence is what stays 20 dB below the sound before it in every sample, as
//! noise 30 dB below does. The tones of a symbol that was broken are added up by amplitude, since their phase is not
//! known. A shorter pause is too short to see; there the decoder tries where in the symbol it might be.
//!
//! - A block may pause for two seconds in all. After that, or where what follows is not its rest, it is damaged up to
//!   its first pause, and a new preamble is found as ever.
//! - Positions are those in the stream, pauses included: a block begins after the silence before it and ends before
//!   the silence after it. A pause below 2.5 ms displaces them by its own length.
//! - Every pause costs up to a millisecond of the timing within its block, a short one its own length, and a block
//!   bears three to four. So a line may starve five times a second at any rate; at 8 kHz, where edges are sharp,
//!   every other frame mostly comes through too.
//! - A voice that follows one more than 25 dB louder is taken for a pause of that one until the two seconds are over.

mod block;
mod decoder;
mod encoder;
mod pause;
mod sync;
mod tones;
mod tracker;

pub use block::{Block, blocks_of, duration_of};
pub use decoder::{Decoder, VoiceEvent};
pub use encoder::Encoder;
pub use tracker::{Tracker, Utterance, VoiceFault};

#[cfg(test)]
mod tests;

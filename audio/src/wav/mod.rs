//! WAV files: read as they come, even cut short or wrongly labelled, and written so that a crash leaves a good one.

use core::fmt;
use core::time::Duration;
use std::io;

use crate::{AudioFormat, Encoding, SampleRate, UnsupportedRate};

mod header;
mod reader;
mod writer;

pub use header::{WavHeader, WavLength};
pub use reader::WavReader;
pub use writer::WavWriter;

/// What the samples of a WAV file are.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WavFormat {
    /// How one sample is written.
    pub encoding: WavEncoding,
    /// Channels, interleaved: 1 or 2.
    pub channels: u16,
    /// Sample frames a second. Any rate but 0: a file may be read at a rate no kernel here supports.
    pub hz: u32,
}

/// How one sample of a WAV file is written.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WavEncoding {
    /// ITU-T G.711 A-law, 8 bits.
    ALaw,
    /// IEEE float, 32 bits, full scale ±1.
    Float32,
    /// Signed integer, 16 bits.
    Linear16,
    /// Signed integer, 24 bits in 3 bytes.
    Linear24,
    /// Signed integer, 32 bits.
    Linear32,
    /// ITU-T G.711 µ-law, 8 bits.
    MuLaw,
    /// Unsigned integer, 8 bits: silence is 128.
    Unsigned8,
}

impl WavFormat {
    /// A format of `channels` channels.
    #[must_use]
    pub const fn new(encoding: WavEncoding, channels: u16, rate: SampleRate) -> Self {
        Self { encoding, channels, hz: rate.hz() }
    }

    /// Bytes of one sample frame: one sample of each channel.
    #[must_use]
    pub const fn bytes_per_frame(self) -> usize {
        self.encoding.bytes_per_sample() * self.channels as usize
    }

    /// The format as a stream of this crate: mono, in one of its encodings, at one of its rates.
    ///
    /// # Errors
    ///
    /// [`WavError::Channels`], [`WavError::Bits`] or [`WavError::Rate`], whichever comes first.
    pub fn to_audio_format(self) -> Result<AudioFormat, WavError> {
        if self.channels != 1 {
            return Err(WavError::Channels { channels: self.channels, most: 1 });
        }
        let encoding = match self.encoding {
            WavEncoding::ALaw => Encoding::ALaw,
            WavEncoding::Linear16 => Encoding::Linear16Le,
            WavEncoding::MuLaw => Encoding::MuLaw,
            WavEncoding::Float32 => return Err(WavError::Bits { codec: "float", bits: 32 }),
            other @ (WavEncoding::Linear24 | WavEncoding::Linear32 | WavEncoding::Unsigned8) => {
                return Err(WavError::Bits { codec: "integer", bits: 8 * other.bytes_per_sample() as u16 });
            }
        };
        Ok(AudioFormat::new(encoding, SampleRate::try_from(self.hz)?))
    }

    /// How long `frames` sample frames last.
    #[must_use]
    pub fn duration_of(self, frames: u64) -> Duration {
        let hz = u64::from(self.hz.max(1));
        Duration::new(frames / hz, ((frames % hz) * 1_000_000_000 / hz) as u32)
    }
}

impl From<AudioFormat> for WavFormat {
    fn from(format: AudioFormat) -> Self {
        let encoding = match format.encoding {
            Encoding::ALaw => WavEncoding::ALaw,
            Encoding::Linear16Le => WavEncoding::Linear16,
            Encoding::MuLaw => WavEncoding::MuLaw,
        };
        Self::new(encoding, 1, format.rate)
    }
}

impl WavEncoding {
    #[cfg(test)]
    const ALL: [Self; 7] = [
        Self::ALaw,
        Self::Float32,
        Self::Linear16,
        Self::Linear24,
        Self::Linear32,
        Self::MuLaw,
        Self::Unsigned8,
    ];

    /// Bytes one sample takes.
    #[must_use]
    pub const fn bytes_per_sample(self) -> usize {
        match self {
            Self::ALaw | Self::MuLaw | Self::Unsigned8 => 1,
            Self::Linear16 => 2,
            Self::Linear24 => 3,
            Self::Float32 | Self::Linear32 => 4,
        }
    }
}

/// Why a WAV file cannot be read or written.
#[non_exhaustive]
#[derive(Debug)]
pub enum WavError {
    /// Samples of this width in a codec that is known.
    Bits {
        /// The codec: `integer`, `float` or `G.711`.
        codec: &'static str,
        /// Bits a sample.
        bits: u16,
    },
    /// More channels than can be taken, or none.
    Channels {
        /// Channels of the file.
        channels: u16,
        /// The most that can be taken here.
        most: u16,
    },
    /// A codec this crate does not know.
    Codec {
        /// The format tag, as registered in RFC 2361.
        tag: u16,
    },
    /// No byte at all.
    Empty,
    /// The header contradicts itself.
    Inconsistent {
        /// The field that does.
        field: &'static str,
        /// Its value.
        value: u32,
        /// What the others ask for.
        expected: u32,
    },
    /// The file or the stream under it failed.
    Io(io::Error),
    /// It begins with something else.
    NotWav {
        /// The first bytes.
        found: [u8; 4],
    },
    /// The samples come first, or too far down.
    NoHeader {
        /// Bytes looked at.
        searched: usize,
    },
    /// A rate no stream of this crate has.
    Rate(UnsupportedRate),
    /// A WAV file has no room for more.
    TooLong {
        /// Bytes of sound asked for.
        bytes: u64,
        /// The most a file can hold.
        most: u64,
    },
    /// The file ends inside its header.
    Truncated {
        /// Bytes there are.
        length: usize,
    },
}

impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bits { codec, bits } => {
                write!(f, "{codec} samples of {bits} bits are not supported here; convert to 16-bit integer")
            }
            Self::Channels { channels, most: 1 } => {
                write!(f, "the file has {channels} channels where mono is needed; pick or mix one")
            }
            Self::Channels { channels, most } => {
                write!(f, "the file has {channels} channels; 1 to {most} are supported")
            }
            Self::Codec { tag } => write!(
                f,
                "codec 0x{tag:04x} is not supported; use 16-bit integer (0x0001), 32-bit float (0x0003), \
                 A-law (0x0006) or µ-law (0x0007)"
            ),
            Self::Empty => f.write_str("the file is empty: 0 bytes where a WAV header should be"),
            Self::Inconsistent { field, value, expected } => {
                write!(
                    f,
                    "the WAV header contradicts itself: {field} is {value} where the rest asks for {expected}"
                )
            }
            Self::Io(_) => f.write_str("reading or writing the WAV file failed"),
            Self::NotWav { found } => {
                write!(
                    f,
                    "not a WAV file: it begins with \"{}\" where \"RIFF\" should be",
                    found.escape_ascii()
                )
            }
            Self::NoHeader { searched } => {
                write!(f, "no format and data chunk within the first {searched} bytes of the WAV file")
            }
            Self::Rate(error) => error.fmt(f),
            Self::TooLong { bytes, most } => {
                write!(
                    f,
                    "{bytes} bytes of sound do not fit a WAV file, which holds {most}; start a new file"
                )
            }
            Self::Truncated { length } => {
                write!(f, "the file ends inside its WAV header, after {length} bytes")
            }
        }
    }
}

impl core::error::Error for WavError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Bits { .. }
            | Self::Channels { .. }
            | Self::Codec { .. }
            | Self::Empty
            | Self::Inconsistent { .. }
            | Self::NotWav { .. }
            | Self::NoHeader { .. }
            | Self::Rate(_)
            | Self::TooLong { .. }
            | Self::Truncated { .. } => None,
        }
    }
}

impl From<io::Error> for WavError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<UnsupportedRate> for WavError {
    fn from(error: UnsupportedRate) -> Self {
        Self::Rate(error)
    }
}

//! The header of a WAV file, from bytes and to bytes.

use super::{WavEncoding, WavError, WavFormat};

/// What a WAV header says, and where the samples begin.
///
/// ```
/// use voxline_audio::{SampleRate, WavEncoding, WavFormat, WavHeader, WavLength};
///
/// let format = WavFormat::new(WavEncoding::MuLaw, 1, SampleRate::Hz8000);
/// let bytes = WavHeader::encode(format, 16_000)?;
/// let header = WavHeader::parse(&bytes)?.expect("the header is whole");
/// assert_eq!(header.format, format);
/// assert_eq!(header.length, WavLength::Bytes(16_000));
/// assert_eq!(header.data_at, bytes.len());
/// // Half a header is no error yet: more may come.
/// assert_eq!(WavHeader::parse(&bytes[..20])?, None);
/// # Ok::<(), voxline_audio::WavError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WavHeader {
    /// What the samples are.
    pub format: WavFormat,
    /// How much sound the header promises.
    pub length: WavLength,
    /// Bytes before the first sample.
    pub data_at: usize,
}

/// How much sound a header promises. It is a promise: files cut short and streams still growing break it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WavLength {
    /// This many bytes.
    Bytes(u64),
    /// Nothing: a placeholder, written by programs that stream or died before the end. Read until the data ends.
    Unknown,
}

impl WavHeader {
    /// Bytes within which a header must end. Cover art and studio notes before the sound may be long; a stream that
    /// never comes to its sound must not be held for ever.
    pub const SEARCH_LIMIT: usize = 1 << 20;

    /// The most sound a file can hold, in bytes: its lengths have 32 bits, and 36 to 50 count the header.
    pub const MAX_DATA: u64 = u32::MAX as u64 - 64;

    /// Reads the header at the front of `bytes`; `None` if it has not ended yet.
    ///
    /// RIFF and RF64 files, plain and `WAVE_FORMAT_EXTENSIBLE` formats; chunks that do not matter are skipped.
    ///
    /// # Errors
    ///
    /// Every [`WavError`] but `Empty`, `Io`, `Rate`, `TooLong` and `Truncated`: an end is for who reads to tell.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, WavError> {
        let Some(magic) = bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        if magic != b"RIFF" && magic != b"RF64" {
            return Err(WavError::NotWav { found: *magic });
        }
        match bytes.get(8..12) {
            None => return Ok(None),
            Some(b"WAVE") => {}
            Some(other) => return Err(WavError::NotWav { found: [other[0], other[1], other[2], other[3]] }),
        }
        let mut at = 12;
        let (mut format, mut long_length) = (None, None);
        loop {
            if at > Self::SEARCH_LIMIT {
                return Err(WavError::NoHeader { searched: Self::SEARCH_LIMIT });
            }
            let Some((id, size)) = chunk_head(bytes, at) else {
                return Ok(None);
            };
            at += 8;
            if id == *b"data" {
                let Some(format) = format else {
                    return Err(WavError::NoHeader { searched: at });
                };
                return Ok(Some(Self { format, length: length_of(size, long_length), data_at: at }));
            }
            // Chunks are padded to an even length; a size that leads out of reach ends the search above.
            let end = at.saturating_add(size as usize).saturating_add(size as usize & 1);
            if id == *b"fmt " || id == *b"ds64" {
                let Some(body) = bytes.get(at..at.saturating_add(size as usize)) else {
                    return if end > Self::SEARCH_LIMIT {
                        Err(WavError::NoHeader { searched: Self::SEARCH_LIMIT })
                    } else {
                        Ok(None)
                    };
                };
                if id == *b"fmt " {
                    format = Some(parse_format(body)?);
                } else {
                    // ds64: size of the whole, then of the data, 64 bits each.
                    long_length = body
                        .get(8..16)
                        .map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
                }
            }
            at = end;
        }
    }

    /// The header of a file with `data_bytes` bytes of sound: 44 bytes for integers, 58 with the fact chunk that
    /// every other codec asks for.
    ///
    /// # Errors
    ///
    /// [`WavError::TooLong`] past [`MAX_DATA`](Self::MAX_DATA).
    pub fn encode(format: WavFormat, data_bytes: u64) -> Result<Vec<u8>, WavError> {
        if data_bytes > Self::MAX_DATA {
            return Err(WavError::TooLong { bytes: data_bytes, most: Self::MAX_DATA });
        }
        let data_bytes = data_bytes as u32;
        let (tag, is_integer) = match format.encoding {
            WavEncoding::ALaw => (TAG_ALAW, false),
            WavEncoding::Float32 => (TAG_FLOAT, false),
            WavEncoding::Linear16
            | WavEncoding::Linear24
            | WavEncoding::Linear32
            | WavEncoding::Unsigned8 => (TAG_INTEGER, true),
            WavEncoding::MuLaw => (TAG_MULAW, false),
        };
        let frame = format.bytes_per_frame() as u32;
        let header_bytes: u32 = if is_integer { 44 } else { 58 };
        let mut out = Vec::with_capacity(header_bytes as usize);
        out.extend_from_slice(b"RIFF");
        // Padded to an even length; the 8 bytes up to here are not counted.
        out.extend_from_slice(&(header_bytes - 8 + data_bytes + (data_bytes & 1)).to_le_bytes());
        out.extend_from_slice(b"WAVEfmt ");
        out.extend_from_slice(&(if is_integer { 16u32 } else { 18 }).to_le_bytes());
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&format.channels.to_le_bytes());
        out.extend_from_slice(&format.hz.to_le_bytes());
        out.extend_from_slice(&format.hz.saturating_mul(frame).to_le_bytes());
        out.extend_from_slice(&(frame as u16).to_le_bytes());
        out.extend_from_slice(&(format.encoding.bytes_per_sample() as u16 * 8).to_le_bytes());
        if !is_integer {
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(b"fact\x04\0\0\0");
            out.extend_from_slice(&(data_bytes / frame.max(1)).to_le_bytes());
        }
        out.extend_from_slice(b"data");
        out.extend_from_slice(&data_bytes.to_le_bytes());
        Ok(out)
    }
}

/// The name and the size of the chunk at `at`, if its first eight bytes are there.
fn chunk_head(bytes: &[u8], at: usize) -> Option<([u8; 4], u32)> {
    let head = bytes.get(at..at.checked_add(8)?)?;
    Some(([head[0], head[1], head[2], head[3]], u32_at(head, 4)))
}

const fn length_of(size: u32, long: Option<u64>) -> WavLength {
    match (size, long) {
        (u32::MAX, Some(length)) if length != 0 && length != u64::MAX => WavLength::Bytes(length),
        // What programs write that cannot know yet: nothing, the most there is, or a value near either limit.
        (0 | 0x7FFF_0000..=0x7FFF_FFFF | 0x8000_0000 | 0xFFFF_0000..=u32::MAX, _) => WavLength::Unknown,
        (size, _) => WavLength::Bytes(size as u64),
    }
}

fn parse_format(body: &[u8]) -> Result<WavFormat, WavError> {
    if body.len() < 16 {
        return Err(WavError::Inconsistent {
            field: "the size of the format chunk",
            value: body.len() as u32,
            expected: 16,
        });
    }
    let (mut tag, channels, hz) = (u16_at(body, 0), u16_at(body, 2), u32_at(body, 4));
    let (frame, bits) = (u16_at(body, 12), u16_at(body, 14));
    if tag == TAG_EXTENSIBLE {
        if body.len() < 40 {
            return Err(WavError::Inconsistent {
                field: "the size of the extensible format chunk",
                value: body.len() as u32,
                expected: 40,
            });
        }
        let outer = tag;
        tag = u16_at(body, 24);
        if body[26..40] != SUBFORMAT_TAIL {
            return Err(WavError::Codec { tag: outer });
        }
    }
    let encoding = match (tag, bits) {
        (TAG_INTEGER, 8) => WavEncoding::Unsigned8,
        (TAG_INTEGER, 16) => WavEncoding::Linear16,
        (TAG_INTEGER, 24) => WavEncoding::Linear24,
        (TAG_INTEGER, 32) => WavEncoding::Linear32,
        (TAG_INTEGER, _) => return Err(WavError::Bits { codec: "integer", bits }),
        (TAG_FLOAT, 32) => WavEncoding::Float32,
        (TAG_FLOAT, _) => return Err(WavError::Bits { codec: "float", bits }),
        (TAG_ALAW, 8) => WavEncoding::ALaw,
        (TAG_MULAW, 8) => WavEncoding::MuLaw,
        (TAG_ALAW | TAG_MULAW, _) => return Err(WavError::Bits { codec: "G.711", bits }),
        (tag, _) => return Err(WavError::Codec { tag }),
    };
    if channels == 0 || channels > MAX_CHANNELS {
        return Err(WavError::Channels { channels, most: MAX_CHANNELS });
    }
    if hz == 0 {
        return Err(WavError::Rate(crate::UnsupportedRate { hz }));
    }
    let format = WavFormat { encoding, channels, hz };
    let expected = format.bytes_per_frame() as u32;
    if u32::from(frame) != expected {
        return Err(WavError::Inconsistent {
            field: "the block alignment",
            value: u32::from(frame),
            expected,
        });
    }
    Ok(format)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

const MAX_CHANNELS: u16 = 2;

// Format tags, RFC 2361 and Microsoft's mmreg.h.
const TAG_INTEGER: u16 = 0x0001;
const TAG_FLOAT: u16 = 0x0003;
const TAG_ALAW: u16 = 0x0006;
const TAG_MULAW: u16 = 0x0007;
const TAG_EXTENSIBLE: u16 = 0xFFFE;

/// The rest of the subformat identifier after the tag: `-0000-0010-8000-00AA00389B71`.
const SUBFORMAT_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

#[cfg(test)]
mod tests {
    use super::*;

    fn file(chunks: &[(&[u8; 4], &[u8])], data_size: u32) -> Vec<u8> {
        let mut out = b"RIFF\xff\xff\xff\xffWAVE".to_vec();
        for (id, body) in chunks {
            out.extend_from_slice(*id);
            out.extend_from_slice(&(body.len() as u32).to_le_bytes());
            out.extend_from_slice(body);
            out.resize(out.len() + (body.len() & 1), 0);
        }
        out.extend_from_slice(b"data");
        out.extend_from_slice(&data_size.to_le_bytes());
        out
    }

    fn format(tag: u16, channels: u16, hz: u32, frame: u16, bits: u16) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&channels.to_le_bytes());
        out.extend_from_slice(&hz.to_le_bytes());
        out.extend_from_slice(&(hz * u32::from(frame)).to_le_bytes());
        out.extend_from_slice(&frame.to_le_bytes());
        out.extend_from_slice(&bits.to_le_bytes());
        out
    }

    #[test]
    fn what_is_encoded_is_parsed_again_and_no_prefix_of_it_is_an_error() {
        for encoding in WavEncoding::ALL {
            for channels in [1, 2] {
                let format = WavFormat { encoding, channels, hz: 44_100 };
                let bytes = WavHeader::encode(format, 88_200).unwrap();
                let header = WavHeader::parse(&bytes).unwrap().unwrap();
                assert_eq!(
                    header,
                    WavHeader { format, length: WavLength::Bytes(88_200), data_at: bytes.len() }
                );
                for cut in 0..bytes.len() {
                    assert_eq!(WavHeader::parse(&bytes[..cut]).unwrap(), None, "{encoding:?} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn chunks_that_do_not_matter_are_skipped_odd_ones_with_their_padding() {
        let bytes =
            file(&[(b"LIST", b"odd"), (b"fmt ", &format(1, 1, 8_000, 2, 16)), (b"cue ", b"even")], 320);
        let header = WavHeader::parse(&bytes).unwrap().unwrap();
        assert_eq!((header.format.hz, header.data_at), (8_000, bytes.len()));
    }

    #[test]
    fn an_extensible_format_is_what_its_subformat_says() {
        let mut body = format(TAG_EXTENSIBLE, 2, 48_000, 8, 32);
        body.extend_from_slice(&[22, 0, 32, 0, 3, 0, 0, 0]);
        body.extend_from_slice(&TAG_FLOAT.to_le_bytes());
        body.extend_from_slice(&SUBFORMAT_TAIL);
        let header = WavHeader::parse(&file(&[(b"fmt ", &body)], 8)).unwrap().unwrap();
        assert_eq!(header.format, WavFormat { encoding: WavEncoding::Float32, channels: 2, hz: 48_000 });
    }

    #[test]
    fn placeholder_lengths_are_no_lengths() {
        for (size, expected) in [
            (0, WavLength::Unknown),
            (u32::MAX, WavLength::Unknown),
            (0x7FFF_FFFF, WavLength::Unknown),
            (0x7FFF_F000, WavLength::Unknown),
            (0xFFFF_FFDB, WavLength::Unknown),
            (320, WavLength::Bytes(320)),
            (0x4000_0000, WavLength::Bytes(0x4000_0000)),
        ] {
            let bytes = file(&[(b"fmt ", &format(1, 1, 8_000, 2, 16))], size);
            assert_eq!(WavHeader::parse(&bytes).unwrap().unwrap().length, expected, "{size:#x}");
        }
    }

    #[test]
    fn a_long_file_has_its_length_in_its_own_chunk() {
        let mut sizes = vec![0; 28];
        sizes[8..16].copy_from_slice(&6_000_000_000u64.to_le_bytes());
        let mut bytes = file(&[(b"ds64", &sizes), (b"fmt ", &format(1, 1, 8_000, 2, 16))], u32::MAX);
        bytes[..4].copy_from_slice(b"RF64");
        assert_eq!(WavHeader::parse(&bytes).unwrap().unwrap().length, WavLength::Bytes(6_000_000_000));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let with = |body: &[u8]| WavHeader::parse(&file(&[(b"fmt ", body)], 8)).unwrap_err().to_string();
        for (text, message) in [
            (with(&format(1, 1, 8_000, 2, 12)), "integer samples of 12 bits"),
            (with(&format(3, 1, 8_000, 8, 64)), "float samples of 64 bits"),
            (with(&format(7, 1, 8_000, 2, 16)), "G.711 samples of 16 bits"),
            (with(&format(0x55, 1, 8_000, 1, 0)), "codec 0x0055"),
            (with(&format(1, 6, 8_000, 12, 16)), "6 channels; 1 to 2"),
            (with(&format(1, 0, 8_000, 2, 16)), "0 channels"),
            (with(&format(1, 1, 0, 2, 16)), "0 Hz"),
            (with(&format(1, 2, 8_000, 2, 16)), "block alignment is 2 where the rest asks for 4"),
            (with(b"short"), "size of the format chunk is 5"),
            (WavHeader::parse(b"ID3\x04....").unwrap_err().to_string(), "begins with \"ID3\\x04\""),
            (WavHeader::parse(b"RIFF....AVI ....").unwrap_err().to_string(), "begins with \"AVI \""),
            (WavHeader::parse(&file(&[], 8)).unwrap_err().to_string(), "no format and data chunk"),
        ] {
            assert!(text.contains(message), "{text:?} does not say {message:?}");
        }
    }

    #[test]
    fn a_chunk_that_leads_nowhere_ends_the_search() {
        let mut bytes = b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff".to_vec();
        bytes.resize(64, 0);
        assert!(matches!(WavHeader::parse(&bytes), Err(WavError::NoHeader { .. })));
    }
}

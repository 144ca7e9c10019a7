//! What the first bytes give away.

/// A file format, or something else that is no raw sound.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// AAC in ADTS frames.
    Aac,
    /// Apple's AIFF.
    Aiff,
    /// AMR speech frames.
    Amr,
    /// Sun's AU.
    Au,
    /// FLAC.
    Flac,
    /// A page of HTML or XML.
    Markup,
    /// Matroska or WebM.
    Matroska,
    /// MPEG audio, with or without an ID3 tag before it.
    Mp3,
    /// MP4, M4A, QuickTime.
    Mp4,
    /// Ogg, with Opus or Vorbis in it.
    Ogg,
    /// A JSON document, as services answer with in place of sound.
    Json,
    /// Plain text.
    Text,
    /// RIFF WAVE or RF64.
    Wav,
}

impl Container {
    /// What begins like `bytes`; `None` for what may be raw samples.
    ///
    /// The first bytes of a stream do, a kilobyte of them where an MP3 or AAC stream without a tag is to be found out.
    ///
    /// ```
    /// use voxline_audio::Container;
    ///
    /// assert_eq!(Container::of(b"OggS\0\x02"), Some(Container::Ogg));
    /// assert_eq!(Container::of(&[0xFF; 160]), None);
    /// assert_eq!(Container::Ogg.name(), "an Ogg file");
    /// ```
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let starts = |magic: &[u8]| bytes.starts_with(magic);
        if (starts(b"RIFF") || starts(b"RF64")) && bytes.get(8..12).is_none_or(|kind| kind == b"WAVE") {
            return Some(Self::Wav);
        }
        for (magic, container) in [
            (&b"OggS"[..], Self::Ogg),
            (b"fLaC", Self::Flac),
            (b"ID3", Self::Mp3),
            (b".snd\0\0\0", Self::Au),
            (b"#!AMR", Self::Amr),
            (b"\x1A\x45\xDF\xA3", Self::Matroska),
        ] {
            if starts(magic) {
                return Some(container);
            }
        }
        if starts(b"FORM") && bytes.get(8..11) == Some(b"AIF") {
            return Some(Self::Aiff);
        }
        if bytes.get(4..8) == Some(b"ftyp") {
            return Some(Self::Mp4);
        }
        if is_mpeg(bytes) {
            return Some(Self::Mp3);
        }
        if is_adts(bytes) {
            return Some(Self::Aac);
        }
        Self::of_text(bytes)
    }

    fn of_text(bytes: &[u8]) -> Option<Self> {
        let head = &bytes[..bytes.len().min(TEXT_BYTES)];
        // A character may be cut at the end of what is looked at.
        let is_text = match core::str::from_utf8(head) {
            Ok(text) => !text.is_empty() && text.chars().all(is_printable),
            Err(error) => {
                let (good, rest) = head.split_at(error.valid_up_to());
                error.error_len().is_none()
                    && rest.len() < 4
                    && good.len() >= FEWEST_LETTERS
                    && core::str::from_utf8(good).is_ok_and(|text| text.chars().all(is_printable))
            }
        };
        let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
        match first {
            Some(b'{' | b'[') if is_text && opens_json(head) => Some(Self::Json),
            Some(b'<') if is_text && head.len() >= FEWEST_LETTERS && opens_tag(head) => Some(Self::Markup),
            Some(_) if is_text && head.len() >= FEWEST_LETTERS && has_words(head) => Some(Self::Text),
            _ => None,
        }
    }

    /// Its name, as in "a WAV file".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aac => "an AAC stream",
            Self::Aiff => "an AIFF file",
            Self::Amr => "an AMR file",
            Self::Au => "an AU file",
            Self::Flac => "a FLAC file",
            Self::Markup => "an HTML or XML document",
            Self::Matroska => "a WebM or Matroska file",
            Self::Mp3 => "an MP3 stream",
            Self::Mp4 => "an MP4 file",
            Self::Ogg => "an Ogg file",
            Self::Json => "a JSON document",
            Self::Text => "plain text",
            Self::Wav => "a WAV file",
        }
    }

    /// Whether it is words and no sound at all.
    #[must_use]
    pub const fn is_words(self) -> bool {
        matches!(self, Self::Json | Self::Markup | Self::Text)
    }
}

/// An MPEG frame header, followed by another where it says the next one is.
fn is_mpeg(bytes: &[u8]) -> bool {
    mpeg_frame_length(bytes).is_some_and(|length| {
        // Silence in G.711 and -1 in PCM look like the first half of a header; chance does not make two.
        bytes.get(length..length + 4).is_some_and(|next| {
            mpeg_frame_length(next).is_some() && next[1] == bytes[1] && (next[2] ^ bytes[2]) & 0x0C == 0
        })
    })
}

/// Length of the MPEG audio frame that begins here (ISO 11172-3, 2.4.2.3).
fn mpeg_frame_length(bytes: &[u8]) -> Option<usize> {
    let &[sync, version_layer, rates, _] = bytes.first_chunk::<4>()?;
    if sync != 0xFF || version_layer & 0xE0 != 0xE0 {
        return None;
    }
    let (version, layer) = (version_layer >> 3 & 3, version_layer >> 1 & 3);
    let (bitrate, rate) = (usize::from(rates >> 4), usize::from(rates >> 2 & 3));
    // Version 1 is reserved, layers other than III are not met, and 0 and 15 say nothing of the length.
    if version == 1 || layer != 1 || rate == 3 || bitrate == 0 || bitrate == 15 {
        return None;
    }
    let is_first = version == 3;
    let kbits = if is_first { MPEG1_KBITS } else { MPEG2_KBITS }[bitrate - 1];
    let hz = [44_100, 48_000, 32_000][rate]
        >> match version {
            3 => 0,
            2 => 1,
            _ => 2,
        };
    let padding = usize::from(rates >> 1 & 1);
    Some(if is_first { 144 } else { 72 } * kbits * 1_000 / hz + padding)
}

/// An ADTS header, followed by another (ISO 14496-3, 1.A.2.2).
fn is_adts(bytes: &[u8]) -> bool {
    let length_of = |at: usize| {
        let head = bytes.get(at..at + 6)?;
        let is_sync = head[0] == 0xFF && head[1] & 0xF6 == 0xF0 && head[2] >> 2 & 0xF < 13;
        let length = usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5]) >> 5;
        (is_sync && length > 7).then_some(length)
    };
    length_of(0).is_some_and(|length| length_of(length).is_some())
}

fn is_printable(c: char) -> bool {
    !c.is_control() || c.is_ascii_whitespace()
}

/// Whether a brace or a bracket is followed by what JSON lets follow: two bytes of sound may be a brace and a letter.
fn opens_json(head: &[u8]) -> bool {
    let mut rest = head.iter().filter(|byte| !byte.is_ascii_whitespace()).skip(1);
    match rest.next() {
        Some(b'}' | b']') => rest.next().is_none(),
        next => matches!(next, Some(b'"' | b'{' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')),
    }
}

/// Whether the first angle bracket opens a tag, a comment or a declaration.
fn opens_tag(head: &[u8]) -> bool {
    let next = head.trim_ascii_start().get(1);
    next.is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, b'!' | b'?'))
}

/// Letters and spaces as in language: sound that happens to be printable has few of either.
fn has_words(head: &[u8]) -> bool {
    let letters = head.iter().filter(|b| b.is_ascii_alphabetic() || **b == b' ').count();
    letters * 10 >= head.len() * 7
}

/// How much of a text is looked at.
const TEXT_BYTES: usize = 256;

/// Printable bytes that are taken for text: chance makes fewer.
const FEWEST_LETTERS: usize = 12;

const MPEG1_KBITS: [usize; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const MPEG2_KBITS: [usize; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_send_instead_of_samples_is_recognised() {
        let mut mp3 = vec![0xFF, 0xFB, 0x90, 0x64];
        mp3.resize(417, 0x55);
        mp3.extend_from_slice(&[0xFF, 0xFB, 0x90, 0x64]);
        let mut aac = vec![0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC];
        aac.resize(16, 0);
        aac.extend_from_slice(&[0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC]);
        for (bytes, expected) in [
            (&b"RIFF\x24\0\0\0WAVEfmt "[..], Container::Wav),
            (b"RIFF", Container::Wav),
            (b"OggS\0\x02", Container::Ogg),
            (b"fLaC\0\0\0\x22", Container::Flac),
            (b"ID3\x04\0", Container::Mp3),
            (&mp3, Container::Mp3),
            (&aac, Container::Aac),
            (b"\0\0\0\x20ftypM4A ", Container::Mp4),
            (b"FORM\0\0\0\0AIFF", Container::Aiff),
            (b"{\"error\":\"invalid key\"}", Container::Json),
            (b"  [1, 2]", Container::Json),
            (b"{\r\n}", Container::Json),
            ("{\"message\":\"ung\u{fc}ltig\"}".as_bytes(), Container::Json),
            (b"<html><body>502 Bad Gateway</body></html>", Container::Markup),
            (b"Too many requests, try again later.", Container::Text),
        ] {
            assert_eq!(Container::of(bytes), Some(expected), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn silence_is_no_header() {
        for byte in 0..=255 {
            assert_eq!(
                Container::of(&[byte; 400]),
                if byte.is_ascii_alphabetic() {
                    Some(Container::Text)
                } else if byte == b'{' || byte == b'[' {
                    Some(Container::Json)
                } else {
                    None
                },
                "{byte}"
            );
        }
        assert_eq!(Container::of(&[]), None);
        for sound in [&b"{z"[..], b"<>=>>>?>@>A>B>C>", b"[]\\]]]^]_]`]a]b]"] {
            assert_eq!(Container::of(sound), None, "{}", sound.escape_ascii());
        }
    }
}

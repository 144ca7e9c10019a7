//! Is this sound what it is said to be?

use core::fmt;
use std::time::Instant;

use crate::{AudioFormat, ClipMeter, Encoding, SampleRate, level};

use codec::Reading;

mod codec;
mod header;
mod rate;

pub use header::Container;

/// What [`inspect`] found, with how sure it is. `Display` is a sentence for people.
///
/// ```
/// use voxline_audio::{AudioFormat, Container, Finding, SampleRate, inspect};
///
/// let claimed = AudioFormat::linear16(SampleRate::Hz16000);
/// let verdicts = inspect(b"{\"error\": \"quota exceeded\"}", claimed);
/// assert_eq!(verdicts[0].finding, Finding::Container(Container::Json));
/// assert_eq!(
///     verdicts[0].to_string(),
///     "this is a JSON document, not 16-bit linear at 16000 Hz: read it as the peer's answer, it may say what is wrong"
/// );
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// What it is.
    pub finding: Finding,
    /// From 0, a guess, to 1, certain.
    pub confidence: f32,
    /// What the sound was said to be.
    pub claimed: AudioFormat,
}

/// What may be the matter with sound.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// Many tops are cut off.
    Clipping {
        /// Share of the samples that are, 0 to 1.
        share: f32,
    },
    /// Another encoding.
    Codec(Encoding),
    /// A file format, or no sound at all.
    Container(Container),
    /// The middle of the waveform is off zero.
    DcOffset {
        /// By how much; 1 is full scale.
        offset: f32,
    },
    /// Nothing is the matter.
    Fine,
    /// 32-bit floats.
    Float32,
    /// The first byte belongs to no sample: every sample is made of halves of two.
    Misaligned,
    /// The voice would sound as right at another sample rate, as far as one can tell: ask an ear.
    RateUnsure {
        /// The other rate.
        perhaps: SampleRate,
    },
    /// Nothing to hear.
    Silence,
    /// Two channels in turn.
    Stereo,
    /// The two bytes of each sample are the wrong way round.
    SwappedBytes,
    /// Too little to judge.
    TooShort,
    /// The voice is one of another sample rate.
    WrongRate {
        /// The rate at which it sounds right.
        likely: SampleRate,
    },
}

impl Finding {
    /// A word for programs, which does not change: `wrong-rate`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Clipping { .. } => "clipping",
            Self::Codec(_) => "codec",
            Self::Container(_) => "container",
            Self::DcOffset { .. } => "dc-offset",
            Self::Fine => "fine",
            Self::Float32 => "float32",
            Self::Misaligned => "misaligned",
            Self::RateUnsure { .. } => "rate-unsure",
            Self::Silence => "silence",
            Self::Stereo => "stereo",
            Self::SwappedBytes => "swapped-bytes",
            Self::TooShort => "too-short",
            Self::WrongRate { .. } => "wrong-rate",
        }
    }

    /// Whether the sound can be used as what it was said to be.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        match self {
            Self::Clipping { .. }
            | Self::DcOffset { .. }
            | Self::Fine
            | Self::RateUnsure { .. }
            | Self::Silence
            | Self::TooShort => true,
            Self::Codec(_)
            | Self::Container(_)
            | Self::Float32
            | Self::Misaligned
            | Self::Stereo
            | Self::SwappedBytes
            | Self::WrongRate { .. } => false,
        }
    }
}

/// Looks at the beginning of what is said to be raw sound: the gravest verdict first, and always at least one.
///
/// Give it the first bytes as they came, up to some seconds; of more it looks at the first ten in which something
/// happens. It is for checks at start and for tools, not for every message: it allocates, and takes about
/// a hundredth of the sound's own time.
///
/// Codec, byte order and channels are told by how well samples follow from each other, which half a second of
/// voice shows. The rate is told by pitch, pace, and the shape and the movement of the spectrum, which takes two seconds of
/// voice. Nine times of ten it is named even if it is off by a factor of 1.5, and oftener if by more; the rest is mostly
/// [`RateUnsure`](Finding::RateUnsure), as is now and then a voice at its own rate that is not like others. The measured shares are
/// printed and bounded by the test of the matrix. A factor under 1.2, as 24 for 22.05 kHz, cannot be told, nor can any where
/// nobody speaks.
#[must_use]
pub fn inspect(bytes: &[u8], claimed: AudioFormat) -> Vec<Verdict> {
    let verdict =
        |finding, confidence: f32| Verdict { finding, confidence: confidence.clamp(0.0, 1.0), claimed };
    if let Some(container) = Container::of(bytes) {
        return vec![verdict(Finding::Container(container), if bytes.len() < 12 { 0.7 } else { 0.99 })];
    }
    if bytes.len() < claimed.bytes_per_second() / 50 {
        return vec![verdict(Finding::TooShort, 1.0)];
    }
    if let Some(verdict) = steady(bytes).map(|byte| verdict_on_steady(byte, claimed)) {
        return vec![verdict];
    }
    let bytes = from_first_change(bytes, claimed);
    let (reading, gains) =
        (Reading::of(claimed.encoding), Reading::ALL.map(|r| (r, codec::prediction_gain_db(&r.read(bytes)))));
    let samples = reading.read(bytes);
    if let Some((finding, confidence)) = other_reading(reading, &gains, &samples) {
        return vec![verdict(finding, confidence)];
    }
    let mut verdicts = Vec::new();
    if level::peak(&samples) < SILENT_PEAK {
        return vec![verdict(Finding::Silence, 0.95)];
    }
    let mut centred = samples.clone();
    let offset = samples.iter().sum::<f32>() / samples.len() as f32;
    centred.iter_mut().for_each(|sample| *sample -= offset);
    let rate = rate::likelier(&centred, claimed.rate);
    if let Some((likely, gain)) = rate
        && gain > RATE_MARGIN
    {
        let odds = gain.exp();
        verdicts.push(verdict(Finding::WrongRate { likely }, (odds / (1.0 + odds)).min(SUREST_RATE)));
    }
    let mut clips = ClipMeter::new();
    clips.process(&samples);
    let share = clips.report().share();
    if share > CLIPPED_SHARE {
        verdicts.push(verdict(Finding::Clipping { share }, 0.5 + share * 50.0));
    }
    if offset.abs() > MOST_OFFSET && offset.abs() > 0.2 * level::rms(&centred) {
        verdicts.push(verdict(Finding::DcOffset { offset }, 0.6 + offset.abs() * 4.0));
    }
    if let Some((perhaps, gain)) = rate
        && (RATE_DOUBT..=RATE_MARGIN).contains(&gain)
    {
        verdicts.push(verdict(Finding::RateUnsure { perhaps }, 0.5));
    }
    if verdicts.is_empty() {
        let gain = gains.iter().find(|(r, _)| *r == reading).map_or(0.0, |(_, gain)| *gain);
        // A voice that reads well is surely read rightly; noise reads equally in every way.
        verdicts.push(verdict(Finding::Fine, 0.5 + gain / 30.0));
    }
    verdicts
}

/// The byte all of `bytes` are.
fn steady(bytes: &[u8]) -> Option<u8> {
    let first = *bytes.first()?;
    bytes.iter().all(|byte| *byte == first).then_some(first)
}

/// One byte for ever is somebody's silence; whose?
fn verdict_on_steady(byte: u8, claimed: AudioFormat) -> Verdict {
    let silence_of = match byte {
        0x00 => Some(Encoding::Linear16Le),
        0xFF | 0x7F => Some(Encoding::MuLaw),
        0xD5 | 0x55 => Some(Encoding::ALaw),
        _ => None,
    };
    let (finding, confidence) = match (silence_of, claimed.encoding) {
        // All ones are -1, which is as silent.
        (Some(Encoding::MuLaw), Encoding::Linear16Le) if byte == 0xFF => (Finding::Silence, 0.6),
        (Some(encoding), said) if encoding == said => (Finding::Silence, 0.95),
        (Some(encoding), _) => (Finding::Codec(encoding), 0.7),
        (None, _) => {
            let samples = Reading::of(claimed.encoding).read(&[byte, byte]);
            (Finding::DcOffset { offset: samples.first().copied().unwrap_or(0.0) }, 0.9)
        }
    };
    Verdict { finding, confidence, claimed }
}

/// Up to ten seconds from where the bytes stop being all the same.
fn from_first_change(bytes: &[u8], claimed: AudioFormat) -> &[u8] {
    let first = bytes.first().copied().unwrap_or(0);
    let start = bytes.iter().position(|byte| *byte != first).unwrap_or(0);
    // In whole stereo frames, so that no reading is shifted.
    let start = start - start % 4;
    let end = bytes.len().min(start + claimed.bytes_per_second() * INSPECTED_SECONDS);
    &bytes[start..end]
}

/// A way to read the bytes that makes clearly more of them than the one that was claimed.
fn other_reading(claimed: Reading, gains: &[(Reading, f32)], samples: &[f32]) -> Option<(Finding, f32)> {
    let gain_of = |reading| gains.iter().find(|(r, _)| *r == reading).map_or(0.0, |(_, gain)| *gain);
    let as_claimed = gain_of(claimed);
    // Read so, each channel must make sense: what is out of step alternates too.
    let stereo = gain_of(Reading::Stereo);
    if claimed == Reading::LittleEndian
        && stereo > PREDICTABLE_DB.max(gain_of(Reading::Shifted)).max(gain_of(Reading::BigEndian))
        && codec::is_interleaved(samples)
    {
        return Some((Finding::Stereo, 0.9));
    }
    let (best, gain) = gains
        .iter()
        .copied()
        // These are ways to misread 16-bit samples and nothing else.
        .filter(|(reading, _)| {
            claimed == Reading::LittleEndian || !matches!(reading, Reading::Shifted | Reading::Stereo)
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let margin = gain - as_claimed;
    if best == claimed || margin < READING_MARGIN_DB || gain < PREDICTABLE_DB {
        return None;
    }
    let finding = match best {
        Reading::ALaw => Finding::Codec(Encoding::ALaw),
        Reading::BigEndian => Finding::SwappedBytes,
        Reading::Float32 => Finding::Float32,
        Reading::LittleEndian => Finding::Codec(Encoding::Linear16Le),
        Reading::MuLaw => Finding::Codec(Encoding::MuLaw),
        Reading::Shifted => Finding::Misaligned,
        Reading::Stereo => Finding::Stereo,
    };
    Some((finding, 1.0 - (-margin / 4.0).exp()))
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claimed = self.claimed;
        match self.finding {
            Finding::Clipping { share } => write!(
                f,
                "{:.1} % of the samples are clipped: lower the level before it is encoded",
                share * 100.0
            ),
            Finding::Codec(encoding) => {
                write!(
                    f,
                    "this sounds like {encoding}, not {claimed}: declare {encoding}, or decode it first"
                )
            }
            Finding::Container(container) if container.is_words() => write!(
                f,
                "this is {}, not {claimed}: read it as the peer's answer, it may say what is wrong",
                container.name()
            ),
            Finding::Container(Container::Wav) => {
                write!(
                    f,
                    "this is a WAV file, not {claimed}: strip the header and check what it says of the samples"
                )
            }
            Finding::Container(container) => {
                write!(f, "this is {}, not {claimed}: decode it, or ask for raw samples", container.name())
            }
            Finding::DcOffset { offset } => write!(
                f,
                "the waveform is off zero by {:.0} % of full scale: a high-pass removes it",
                offset * 100.0
            ),
            Finding::Fine => write!(f, "this sounds like {claimed}"),
            Finding::Float32 => {
                write!(f, "this looks like 32-bit floats, not {claimed}: convert them to 16-bit integers")
            }
            Finding::Misaligned => write!(
                f,
                "the samples begin one byte late for {claimed}: a byte was lost or added before them, as by cutting a \
                 stream at an odd length"
            ),
            Finding::RateUnsure { perhaps } => write!(
                f,
                "this may be {claimed}, but the voice would sound right at {perhaps} too: listen to it at both"
            ),
            Finding::Silence => f.write_str("there is nothing to hear: the samples are silence"),
            Finding::Stereo => {
                write!(f, "this sounds like two channels in turn, not {claimed}: pick or mix one of them")
            }
            Finding::SwappedBytes => {
                write!(
                    f,
                    "the bytes of each sample are the wrong way round for {claimed}: send little-endian"
                )
            }
            Finding::TooShort => f.write_str("less than 20 ms of sound is too little to judge"),
            Finding::WrongRate { likely } => {
                let factor = f64::from(claimed.rate.hz()) / f64::from(likely.hz());
                let how = if factor > 1.0 { "too fast and too high" } else { "too slow and too low" };
                write!(
                    f,
                    "at {} this voice is {how} by a factor of about {:.1}: it sounds right at {likely} or near it",
                    claimed.rate,
                    factor.max(1.0 / factor)
                )
            }
        }
    }
}

/// Checks while sound plays that it is consumed at the rate it was declared with.
///
/// Tell it now and then how many samples have been played in all; it compares them with the clock over the last
/// ten seconds or so.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_audio::{Finding, PlaybackRate, SampleRate};
///
/// let mut played = PlaybackRate::new(SampleRate::Hz16000);
/// let start = Instant::now();
/// for second in 0..5 {
///     // The player was told 24 kHz.
///     played.record(start + Duration::from_secs(second), second * 24_000);
/// }
/// assert_eq!(played.finding(), Some(Finding::WrongRate { likely: SampleRate::Hz24000 }));
/// ```
#[derive(Debug, Clone)]
pub struct PlaybackRate {
    rate: SampleRate,
    /// Where the clock and the count stood, oldest first.
    marks: std::collections::VecDeque<(Instant, u64)>,
}

impl PlaybackRate {
    /// A check against `rate`.
    #[must_use]
    pub fn new(rate: SampleRate) -> Self {
        Self { rate, marks: std::collections::VecDeque::with_capacity(MARKS) }
    }

    /// At `now`, `samples` have been played in all. A count that falls is another stream's: the check begins anew.
    pub fn record(&mut self, now: Instant, samples: u64) {
        match self.marks.back() {
            Some((_, count)) if samples < *count => self.marks.clear(),
            // A mark a second is enough, and ten of them span the time that is looked at.
            Some((at, _)) if now.saturating_duration_since(*at) < MARK_INTERVAL => return,
            Some(_) | None => {}
        }
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back((now, samples));
    }

    /// Samples a second as played; `None` in the first two seconds.
    #[must_use]
    pub fn measured_hz(&self) -> Option<f64> {
        let ((first, from), (last, to)) = (self.marks.front()?, self.marks.back()?);
        let seconds = last.saturating_duration_since(*first).as_secs_f64();
        (seconds >= 2.0).then(|| (to - from) as f64 / seconds)
    }

    /// [`Finding::WrongRate`] where the measured rate is nearer to another of [`SampleRate::ALL`] and over 5 % off,
    /// which no clock is; [`Finding::Fine`] where it is not. `None` while that cannot be told.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let measured = self.measured_hz()?;
        let off = |rate: SampleRate| (measured / f64::from(rate.hz())).ln().abs();
        let likely = SampleRate::ALL.into_iter().min_by(|a, b| off(*a).total_cmp(&off(*b)))?;
        let is_wrong = likely != self.rate && off(self.rate) > 0.05;
        Some(if is_wrong { Finding::WrongRate { likely } } else { Finding::Fine })
    }

    /// Forgets the marks.
    pub fn reset(&mut self) {
        self.marks.clear();
    }
}

/// How much more of the bytes another reading must make.
const READING_MARGIN_DB: f32 = 2.5;

/// Prediction gain that noise does not have.
const PREDICTABLE_DB: f32 = 4.0;

/// Log-likelihood another rate must gain.
const RATE_MARGIN: f32 = 1.75;

/// Log-likelihood another rate may lack and still leave a doubt.
const RATE_DOUBT: f32 = -1.0;

/// How sure of a rate one can be: now and then a voice is a stranger to the model.
const SUREST_RATE: f32 = 0.95;

/// Clipped samples that are heard: one in two hundred.
const CLIPPED_SHARE: f32 = 0.005;

/// Offset that eats into the room of loud sound: 2 % of full scale.
const MOST_OFFSET: f32 = 0.02;

/// Peak of what is silence: 2 steps of 16 bits, or the smallest of G.711.
const SILENT_PEAK: f32 = 0.000_3;

const INSPECTED_SECONDS: usize = 10;

const MARKS: usize = 11;
const MARK_INTERVAL: core::time::Duration = core::time::Duration::from_millis(900);

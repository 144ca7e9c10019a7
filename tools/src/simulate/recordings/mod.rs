//! Recordings of speech whose words we know, and the recognition of them by ear.
//!
//! No recogniser of human speech fits into a test. But a caller that plays a known recording can be recognised as one
//! recognises a tune: [`Recogniser`] compares what it hears with every [`Recording`] it knows and says which was
//! played, from where to where, and what was missing or doubled. Everything else is unknown to it.

mod align;
mod fingerprint;
mod heard;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use voxline_audio::{Resampler, SampleRate};

use crate::wavfile::{Wav, WavError, WavProblem};
use align::Alignment;
use fingerprint::{Ear, Fingerprint, Loudness};

pub use heard::{Heard, RecordingFault, Stretch};

/// Speech with its words.
///
/// ```
/// use voxline::simulate::recordings::Recording;
/// use voxline_audio::SampleRate;
///
/// let recording = Recording::appointment();
/// assert_eq!(recording.transcript(), "I would like to change my appointment to Thursday afternoon.");
/// assert_eq!(recording.sound(SampleRate::Hz8000).len(), 27_104);
/// ```
#[derive(Clone)]
pub struct Recording {
    name: String,
    transcript: String,
    wav: Wav,
    print: Fingerprint,
}

impl Recording {
    /// Takes `wav` for a recording of someone saying `transcript`.
    ///
    /// # Errors
    ///
    /// [`WavProblem::Silent`] where nothing in it is loud enough to be speech.
    pub fn new(name: impl Into<String>, transcript: impl Into<String>, wav: Wav) -> Result<Self, WavProblem> {
        let print = Fingerprint::of(&wav.to_rate(SampleRate::Hz8000)).ok_or(WavProblem::Silent)?;
        Ok(Self { name: name.into(), transcript: transcript.into(), wav, print })
    }

    /// Reads a file of someone saying `transcript`.
    ///
    /// # Errors
    ///
    /// As [`Wav::read`] and [`new`](Self::new).
    pub fn read(path: impl AsRef<Path>, transcript: impl Into<String>) -> Result<Self, WavError> {
        let name = path.as_ref().display().to_string();
        let wav = Wav::read(path)?;
        Self::new(name.as_str(), transcript, wav).map_err(|problem| WavError { file: name, problem })
    }

    /// “I would like to change my appointment to Thursday afternoon.”, 3.4 s, by espeak-ng.
    #[must_use]
    pub fn appointment() -> Arc<Self> {
        static RECORDING: LazyLock<Arc<Recording>> = LazyLock::new(|| {
            Recording::shipped(
                "appointment",
                "I would like to change my appointment to Thursday afternoon.",
                include_bytes!("../../../assets/appointment.wav"),
            )
        });
        Arc::clone(&RECORDING)
    }

    /// “Sorry, I meant Friday morning.”, 1.9 s, by espeak-ng.
    #[must_use]
    pub fn friday() -> Arc<Self> {
        static RECORDING: LazyLock<Arc<Recording>> = LazyLock::new(|| {
            Recording::shipped(
                "friday",
                "Sorry, I meant Friday morning.",
                include_bytes!("../../../assets/friday.wav"),
            )
        });
        Arc::clone(&RECORDING)
    }

    /// What it is called in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is said in it.
    #[must_use]
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// How long it sounds, silence at either end included.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.wav.duration()
    }

    /// Its samples at `rate`.
    #[must_use]
    pub fn sound(&self, rate: SampleRate) -> Vec<i16> {
        self.wav.to_rate(rate)
    }

    fn shipped(name: &str, transcript: &str, bytes: &[u8]) -> Arc<Self> {
        let Ok(recording) = Wav::parse(bytes).and_then(|wav| Self::new(name, transcript, wav)) else {
            unreachable!("the file is part of this source tree, and a test reads it")
        };
        Arc::new(recording)
    }
}

impl fmt::Debug for Recording {
    /// Without the samples.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("name", &self.name)
            .field("transcript", &self.transcript)
            .field("duration", &self.duration())
            .finish_non_exhaustive()
    }
}

/// Hears known recordings in a stream of samples.
///
/// It compares spectra every 10 ms, so it minds neither level nor companding, nor where the recording begins or is
/// cut. A second of speech costs 24 million operations for each minute of recordings known; silence costs next to
/// nothing. Take what was heard with [`heard`](Self::heard) whenever it is wanted, and [`reset`](Self::reset) between
/// utterances: until then the search remembers every jump it may have made.
///
/// ```
/// use voxline::simulate::recordings::{Recogniser, Recording};
/// use voxline_audio::SampleRate;
///
/// let mut recogniser = Recogniser::new(vec![Recording::appointment(), Recording::friday()], SampleRate::Hz8000);
/// recogniser.push(&Recording::friday().sound(SampleRate::Hz8000));
/// let heard = recogniser.heard();
/// assert_eq!(heard.text(), "Sorry, I meant Friday morning.");
/// assert!(heard.faults().is_empty());
/// ```
#[derive(Clone)]
pub struct Recogniser {
    recordings: Vec<Arc<Recording>>,
    rate: SampleRate,
    resampler: Resampler,
    narrow: Vec<i16>,
    ear: Ear,
    loudness: Loudness,
    alignment: Alignment,
}

impl Recogniser {
    /// Knows `recordings` and hears samples at `rate`.
    #[must_use]
    pub fn new(recordings: Vec<Arc<Recording>>, rate: SampleRate) -> Self {
        let alignment = Alignment::new(recordings.iter().map(|recording| recording.print.frames.len()));
        Self {
            recordings,
            rate,
            resampler: Resampler::new(rate, SampleRate::Hz8000),
            narrow: Vec::new(),
            ear: Ear::default(),
            loudness: Loudness::default(),
            alignment,
        }
    }

    /// The next samples of the stream, any number of them.
    pub fn push(&mut self, samples: &[i16]) {
        self.narrow.clear();
        self.narrow.resize(self.resampler.output_len(samples.len()), 0);
        self.resampler.process_i16(samples, &mut self.narrow);
        let Self { recordings, narrow, ear, loudness, alignment, .. } = self;
        ear.push(narrow, |frame| {
            let heard = loudness.is_speech(&frame).then_some(&frame.shape);
            let known = recordings.iter().flat_map(|recording| &recording.print.frames);
            alignment.step(heard, known.map(|frame| frame.as_ref()));
        });
    }

    /// What was heard since the beginning or the last [`reset`](Self::reset). Growing: while a recording is played,
    /// what is still to come is missing.
    #[must_use]
    pub fn heard(&self) -> Heard {
        let lateness = self.resampler.latency() as u64;
        Heard::new(&self.recordings, &self.alignment, self.rate, lateness)
    }

    /// Forgets what was heard, between one utterance and the next. Positions begin again at zero.
    pub fn reset(&mut self) {
        self.resampler.reset();
        self.ear = Ear::default();
        self.loudness = Loudness::default();
        self.alignment.reset();
    }
}

impl fmt::Debug for Recogniser {
    /// Without the state of the search.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recogniser")
            .field("recordings", &self.recordings)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

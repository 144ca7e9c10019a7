//! WAV files in the making: under a name that ends in `.part` until they are whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use hound::{SampleFormat, WavSpec, WavWriter};
use voxline_audio::SampleRate;

use super::{WavError, problem_of};

/// A recording in the making: 16-bit, two channels, the caller left and the agent right.
///
/// It grows under a name that ends in `.part` and takes its own name when it is finished; one that is dropped before
/// is removed. So a file under its final name is always whole.
///
/// ```
/// use voxline::wavfile::{CallWriter, Wav};
/// use voxline_audio::SampleRate;
///
/// let path = std::env::temp_dir().join(format!("voxline-doc-{}.wav", std::process::id()));
/// let mut call = CallWriter::create(&path, SampleRate::Hz8000)?;
/// call.write(&[100; 160], &[300; 160])?;
/// call.finish()?;
/// assert_eq!(Wav::read(&path)?.to_rate(SampleRate::Hz8000), [200; 160]);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), voxline::wavfile::WavError>(())
/// ```
#[derive(Debug)]
pub struct CallWriter(Part);

impl CallWriter {
    /// Begins a recording that will be called `path`, in a directory that exists.
    ///
    /// # Errors
    ///
    /// [`WavProblem::Io`](super::WavProblem::Io) where the file cannot be made.
    pub fn create(path: impl Into<PathBuf>, rate: SampleRate) -> Result<Self, WavError> {
        Part::create(path.into(), rate, 2).map(Self)
    }

    /// Appends what both sides said in the same time; the shorter one is followed by silence.
    ///
    /// # Errors
    ///
    /// [`WavProblem::Io`](super::WavProblem::Io) where the disk is full or gone.
    pub fn write(&mut self, caller: &[i16], agent: &[i16]) -> Result<(), WavError> {
        let length = caller.len().max(agent.len());
        let at = |channel: &[i16], at| channel.get(at).copied().unwrap_or(0);
        self.0.write((0..length).flat_map(|i| [at(caller, i), at(agent, i)]))
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    ///
    /// [`WavProblem::Io`](super::WavProblem::Io); the file under the final name, if there was one, is then unchanged.
    pub fn finish(self) -> Result<(), WavError> {
        self.0.finish()
    }
}

/// One voice in the making: 16-bit, mono. Like [`CallWriter`] it has its name only once it is whole.
///
/// ```
/// use voxline::wavfile::{SpeechWriter, Wav};
/// use voxline_audio::SampleRate;
///
/// let path = std::env::temp_dir().join(format!("voxline-doc-speech-{}.wav", std::process::id()));
/// let mut speech = SpeechWriter::create(&path, SampleRate::Hz24000)?;
/// speech.write(&[7; 100])?;
/// speech.restart()?; // the speaker begins again
/// speech.write(&[9; 480])?;
/// speech.finish()?;
/// assert_eq!(Wav::read(&path)?.to_rate(SampleRate::Hz24000), [9; 480]);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), voxline::wavfile::WavError>(())
/// ```
#[derive(Debug)]
pub struct SpeechWriter(Part);

impl SpeechWriter {
    /// Begins a file that will be called `path`, in a directory that exists.
    ///
    /// # Errors
    ///
    /// [`WavProblem::Io`](super::WavProblem::Io) where the file cannot be made.
    pub fn create(path: impl Into<PathBuf>, rate: SampleRate) -> Result<Self, WavError> {
        Part::create(path.into(), rate, 1).map(Self)
    }

    /// Appends what was said.
    ///
    /// # Errors
    ///
    /// [`WavProblem::Io`](super::WavProblem::Io) where the disk is full or gone.
    pub fn write(&mut self, samples: &[i16]) -> Result<(), WavError> {
        self.0.write(samples.iter().copied())
    }

    /// Drops everything written so far.
    ///
    /// # Errors
    ///
    /// [`WavProblem::Io`](super::WavProblem::Io) where the file cannot be made again.
    pub fn restart(&mut self) -> Result<(), WavError> {
        self.0.restart()
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    ///
    /// [`WavProblem::Io`](super::WavProblem::Io); the file under the final name, if there was one, is then unchanged.
    pub fn finish(self) -> Result<(), WavError> {
        self.0.finish()
    }
}

/// A file that is removed unless it is finished.
struct Part {
    /// `None` once finished, or once it could not be begun again.
    writer: Option<WavWriter<BufWriter<File>>>,
    spec: WavSpec,
    part: PathBuf,
    path: PathBuf,
}

impl Part {
    fn create(path: PathBuf, rate: SampleRate, channels: u16) -> Result<Self, WavError> {
        let mut part = OsString::from(&path);
        part.push(".part");
        let spec = WavSpec {
            channels,
            sample_rate: rate.hz(),
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut created = Self { writer: None, spec, part: part.into(), path };
        created.restart()?;
        Ok(created)
    }

    fn restart(&mut self) -> Result<(), WavError> {
        // Dropped first: it writes its header once more.
        self.writer = None;
        let begun = WavWriter::create(&self.part, self.spec).map_err(|error| self.failed(error))?;
        self.writer = Some(begun);
        Ok(())
    }

    fn write(&mut self, samples: impl Iterator<Item = i16>) -> Result<(), WavError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut written = Ok(());
        for sample in samples {
            written = written.and_then(|()| writer.write_sample(sample));
        }
        written.map_err(|error| self.failed(error))
    }

    fn finish(mut self) -> Result<(), WavError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let finished = writer.finalize().and_then(|()| Ok(fs::rename(&self.part, &self.path)?));
        finished.map_err(|error| {
            // Nothing can be done about a file that cannot be removed either.
            fs::remove_file(&self.part).ok();
            self.failed(error)
        })
    }

    fn failed(&self, error: hound::Error) -> WavError {
        WavError { file: self.path.display().to_string(), problem: problem_of(error) }
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            fs::remove_file(&self.part).ok();
        }
    }
}

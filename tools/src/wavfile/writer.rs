//! WAV files in the making: under a name that ends in `.part` until they are whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use voxline_audio::{SampleRate, WavEncoding, WavFormat, WavWriter};

use super::{WavError, WavProblem};

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
        let both: Vec<i16> = (0..length).flat_map(|i| [at(caller, i), at(agent, i)]).collect();
        self.0.write(&both)
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
        self.0.write(samples)
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
    format: WavFormat,
    part: PathBuf,
    path: PathBuf,
}

impl Part {
    fn create(path: PathBuf, rate: SampleRate, channels: u16) -> Result<Self, WavError> {
        let mut part = OsString::from(&path);
        part.push(".part");
        let format = WavFormat::new(WavEncoding::Linear16, channels, rate);
        let mut created = Self { writer: None, format, part: part.into(), path };
        created.restart()?;
        Ok(created)
    }

    fn restart(&mut self) -> Result<(), WavError> {
        self.writer = None;
        let begun = File::create(&self.part)
            .map_err(voxline_audio::WavError::from)
            .and_then(|file| WavWriter::new(BufWriter::new(file), self.format));
        self.writer = Some(begun.map_err(|error| self.failed(error))?);
        Ok(())
    }

    fn write(&mut self, samples: &[i16]) -> Result<(), WavError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write_i16(samples).map_err(|error| self.failed(error))
    }

    fn finish(mut self) -> Result<(), WavError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let finished = writer.finish().and_then(|_| Ok(fs::rename(&self.part, &self.path)?));
        finished.map_err(|error| {
            // Nothing can be done about a file that cannot be removed either.
            fs::remove_file(&self.part).ok();
            self.failed(error)
        })
    }

    fn failed(&self, error: voxline_audio::WavError) -> WavError {
        WavError { file: self.path.display().to_string(), problem: WavProblem::from(error) }
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

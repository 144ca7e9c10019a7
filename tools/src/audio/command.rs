//! The two commands: files in, files out, a bar while it lasts.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressBarIter, ProgressStyle};
use tokio::task::spawn_blocking;
use voxline_audio::{AudioFormat, Container, Encoding, NoiseReduction, WavError, WavWriter};

use super::{AudioError, Conversion, Plot, Report, Source, Statement};
use crate::cli::{AudioCommand, ConvertArgs, InspectArgs};
use crate::error::{ToolError, chain};
use crate::output;
use crate::run::interrupted;

/// Runs `voxline audio …`. True if the file is what it is said to be, and for every conversion that worked.
///
/// An interrupted command ends at its next read, and leaves nothing that it had begun.
pub(crate) async fn run(command: AudioCommand) -> Result<bool, ToolError> {
    let interrupted = interrupted();
    let stop = Stop::default();
    let mut work = spawn_blocking({
        let stop = stop.clone();
        move || match command {
            AudioCommand::Convert(args) => convert(&args, &stop).map(|()| true),
            AudioCommand::Inspect(args) => inspect(&args, &stop),
        }
    });
    let done = tokio::select! {
        done = &mut work => done,
        () = interrupted => {
            stop.0.store(true, Ordering::Relaxed);
            work.await
        }
    };
    done.map_err(|error| ToolError::failed("the work was broken off", &error))?
}

/// Set once the command is interrupted.
#[derive(Clone, Default)]
struct Stop(Arc<AtomicBool>);

/// A file that cannot be read on once the command is interrupted.
struct Interruptible {
    file: File,
    stop: Stop,
}

impl Read for Interruptible {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        if self.stop.0.load(Ordering::Relaxed) { Err(io::Error::other("interrupted")) } else { Ok(read) }
    }
}

fn inspect(args: &InspectArgs, stop: &Stop) -> Result<bool, ToolError> {
    if let Some(plot) = &args.plot
        && !has_extension(plot, &["svg"])
    {
        return Err(ToolError::Usage(format!("{}: a plot is an SVG file, name it FILE.svg", plot.display())));
    }
    let of_file = |error: AudioError| failed(&args.file, &error);
    let mut source = open(&args.file, args.raw_format, "listening", stop)?;
    let mut plot = args.plot.as_ref().map(|_| Plot::new(source.format().rate));
    let report = Report::of(&mut source, plot.as_mut()).map_err(of_file)?;
    if let (Some(plot), Some(path)) = (plot, &args.plot) {
        let title = format!("{}: {}", args.file.display(), source.format());
        write_whole(path, plot.to_svg(&title).as_bytes()).map_err(|error| failed(path, &error))?;
        output::note(format_args!("drawn: {}", path.display()));
    }
    if args.json {
        output::result(
            serde_json::to_string(&report).map_err(|error| ToolError::failed("no report", &error))?,
        );
    } else {
        output::result(args.file.display());
        report.lines().iter().for_each(output::result);
    }
    Ok(report.is_usable())
}

fn convert(args: &ConvertArgs, stop: &Stop) -> Result<(), ToolError> {
    let is_wav = has_extension(&args.output, &["wav"]);
    if !is_wav && !has_extension(&args.output, &["raw", "pcm", "ulaw", "alaw"]) {
        return Err(ToolError::Usage(format!(
            "{}: name it .wav for a WAV file, or .raw, .pcm, .ulaw or .alaw for samples without a header",
            args.output.display()
        )));
    }
    let of_input = |error: AudioError| failed(&args.input, &error);
    let mut source = open(&args.input, args.raw_format, "converting", stop)?;
    if source.channels() > 1 {
        output::note(format_args!("{}: both channels are mixed down to one", args.input.display()));
    }
    let (from, noise_reduction) = (source.format(), args.denoise.unwrap_or(NoiseReduction::Off));
    let to = AudioFormat::new(args.encoding.unwrap_or(from.encoding), args.rate.unwrap_or(from.rate));
    let conversion = Conversion::new(to.rate, noise_reduction);

    let gain = if args.normalise {
        let mut first = open(&args.input, args.raw_format, "measuring", stop)?;
        let gain = conversion.measure(&mut first).map_err(of_input)?;
        match gain {
            Some(gain) => output::note(format_args!("level: {:+.1} dB", gain.db)),
            None => output::note("level: unchanged, nothing is loud enough to be measured"),
        }
        gain
    } else {
        None
    };
    let mut sink = Sink::create(&args.output, to, is_wav).map_err(|error| failed(&args.output, &error))?;
    conversion.run(&mut source, gain, |block| sink.write(block)).map_err(of_input)?;
    let written = sink.finish().map_err(|error| failed(&args.output, &error))?;
    if let Some(broken) = source.broken_promise() {
        output::note(format_args!("{}: {}", args.input.display(), Statement::from(broken).text));
    }
    let seconds = to.rate.duration_of(written).as_secs_f64();
    output::result(format_args!("{}: {to}, {seconds:.2} s", args.output.display()));
    Ok(())
}

/// Opens a file, with a bar on stderr where that is a terminal.
fn open(
    path: &Path,
    raw: Option<AudioFormat>,
    doing: &'static str,
    stop: &Stop,
) -> Result<Source<ProgressBarIter<Interruptible>>, ToolError> {
    let of_file = |error: AudioError| failed(path, &error);
    let file = File::open(path).map_err(AudioError::from).map_err(of_file)?;
    let bytes = file.metadata().map_err(AudioError::from).map_err(of_file)?.len();
    let bar = ProgressBar::new(bytes).with_message(doing);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %  {eta} left") {
        bar.set_style(style);
    }
    let file = bar.wrap_read(Interruptible { file, stop: stop.clone() });
    match raw {
        Some(format) => Ok(Source::raw(file, format)),
        None => Source::wav(file).map_err(|error| match error {
            AudioError::Wav(error @ WavError::NotWav { .. }) => {
                let path_and = |text| ToolError::Failed(format!("{}: {text}", path.display()));
                path_and(match container_of(path) {
                    Some(words) if words.is_words() => {
                        format!("this is {}, not sound: read it, it may say what went wrong", words.name())
                    }
                    Some(other) => {
                        format!(
                            "this is {}: decode it into a WAV file first, as ffmpeg and sox do",
                            other.name()
                        )
                    }
                    None => format!(
                        "{error}; say what samples without a header are, as in --raw-format mulaw:8000"
                    ),
                })
            }
            AudioError::Empty | AudioError::Io(_) | AudioError::Wav(_) => of_file(error),
        }),
    }
}

/// What a file is that is no WAV file, if its beginning tells.
fn container_of(path: &Path) -> Option<Container> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    Container::of(&head)
}

/// Where converted samples go: a file that takes its name once it is whole.
struct Sink {
    part: Part,
    kind: SinkKind,
    written: u64,
}

enum SinkKind {
    Raw { file: BufWriter<File>, encoding: Encoding, bytes: Vec<u8> },
    Wav(WavWriter<BufWriter<File>>),
}

impl Sink {
    fn create(path: &Path, format: AudioFormat, is_wav: bool) -> Result<Self, AudioError> {
        let part = Part::of(path);
        let file = BufWriter::new(File::create(&part.part)?);
        let kind = if is_wav {
            SinkKind::Wav(WavWriter::new(file, format.into())?)
        } else {
            SinkKind::Raw { file, encoding: format.encoding, bytes: Vec::new() }
        };
        Ok(Self { part, kind, written: 0 })
    }

    fn write(&mut self, samples: &[i16]) -> Result<(), AudioError> {
        self.written += samples.len() as u64;
        match &mut self.kind {
            SinkKind::Raw { file, encoding, bytes } => {
                bytes.resize(samples.len() * encoding.bytes_per_sample(), 0);
                encoding.encode(samples, bytes);
                file.write_all(bytes)?;
            }
            SinkKind::Wav(writer) => writer.write_i16(samples)?,
        }
        Ok(())
    }

    /// Completes the file; how many samples are in it.
    fn finish(self) -> Result<u64, AudioError> {
        match self.kind {
            SinkKind::Raw { mut file, .. } => file.flush()?,
            SinkKind::Wav(writer) => drop(writer.finish()?),
        }
        self.part.publish()?;
        Ok(self.written)
    }
}

/// A file under a name that ends in `.part`, removed unless it is published.
struct Part {
    part: PathBuf,
    path: PathBuf,
}

impl Part {
    fn of(path: &Path) -> Self {
        let mut part = OsString::from(path);
        part.push(".part");
        Self { part: part.into(), path: path.to_owned() }
    }

    fn publish(self) -> Result<(), AudioError> {
        Ok(fs::rename(&self.part, &self.path)?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Once published it is gone already; what cannot be removed stays, and its name says what it is.
        fs::remove_file(&self.part).ok();
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), AudioError> {
    let part = Part::of(path);
    fs::write(&part.part, bytes)?;
    part.publish()
}

fn failed(path: &Path, error: &AudioError) -> ToolError {
    ToolError::Failed(format!("{}: {}", path.display(), chain(error)))
}

fn has_extension(path: &Path, accepted: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| accepted.iter().any(|one| extension.eq_ignore_ascii_case(one)))
}

/// What is looked at of a file that is no WAV file: two frames of MP3 at the least.
const HEAD_BYTES: u64 = 4_096;

//! `voxline audio inspect`: what a file is, how loud, how much of it is voice, and what is the matter with it.

use std::io::Read;

use serde::Serialize;
use voxline_audio::{
    AudioFormat, ClipMeter, Finding, FrameDuration, FrameSpec, LoudnessMeter, TruePeak, Verdict,
    VoiceDetector, VoiceDetectorConfig, level, pcm,
};

use super::plot::Plot;
use super::source::{AudioError, BrokenPromise, Source};

/// What was found in a file.
#[non_exhaustive]
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `WAV` or `raw`.
    pub container: &'static str,
    /// How a sample is written.
    pub encoding: String,
    /// Samples a second.
    pub rate_hz: u32,
    /// Channels; all else is measured on their mean.
    pub channels: u16,
    /// How long it sounds.
    pub seconds: f64,
    /// The highest sample.
    pub peak_dbfs: f32,
    /// The highest point of the wave between the samples.
    pub true_peak_dbtp: f32,
    /// The root of the mean square of the whole.
    pub rms_dbfs: f32,
    /// Loudness by EBU R 128; none where nothing is loud enough to count.
    pub loudness_lufs: Option<f32>,
    /// The mean of the samples; 1 is full scale.
    pub offset: f32,
    /// Samples that are clipped, as a share of all.
    pub clipped_share: f32,
    /// Tops that are cut off.
    pub clips: u64,
    /// Share of the time in which somebody speaks.
    pub voice_share: f32,
    /// What is the matter, the gravest first.
    pub verdicts: Vec<Statement>,
}

/// One thing to say about the file.
#[non_exhaustive]
#[derive(Debug, Clone, Serialize)]
pub struct Statement {
    /// A word for programs: that of [`Finding::code`], `truncated` or `goes-on`.
    pub finding: &'static str,
    /// A sentence.
    pub text: String,
    /// From 0, a guess, to 1, certain.
    pub confidence: f32,
    /// Whether the file can be used as what it is said to be.
    pub usable: bool,
    /// The rate at which the voice sounds right, where it is another or may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likely_hz: Option<u32>,
}

impl Report {
    /// Reads `source` to its end, drawing it into `plot` if there is one.
    ///
    /// # Errors
    ///
    /// [`AudioError::Empty`] where there is no sample, and what reading returns.
    pub fn of<R: Read>(source: &mut Source<R>, mut plot: Option<&mut Plot>) -> Result<Self, AudioError> {
        let format = source.format();
        let mut meters = Meters::new(format);
        loop {
            let block = source.read()?;
            if block.is_empty() {
                break;
            }
            meters.process(block);
            if let Some(plot) = &mut plot {
                plot.process(block);
            }
        }
        if meters.samples == 0 {
            return Err(AudioError::Empty);
        }
        Ok(meters.into_report(source))
    }

    /// Whether nothing stands in the way of using the file.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.usable)
    }

    /// The report for people, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { container, encoding, rate_hz, seconds, .. } = self;
        let channels = if self.channels == 1 { "mono" } else { "stereo, mixed down" };
        let clipping = if self.clips == 0 {
            "none".to_owned()
        } else {
            format!("{:.3} % of the samples, in {} tops", self.clipped_share * 100.0, self.clips)
        };
        let loudness =
            self.loudness_lufs.map_or_else(|| "too quiet to have one".to_owned(), |l| format!("{l:.1} LUFS"));
        let mut lines = vec![
            format!("format    {container}, {encoding} at {rate_hz} Hz, {channels}, {seconds:.2} s"),
            format!(
                "level     peak {:.1} dBFS, between samples {:.1} dBTP, RMS {:.1} dBFS, offset {:.1} %",
                self.peak_dbfs,
                self.true_peak_dbtp,
                self.rms_dbfs,
                // Never "-0.0".
                (self.offset * 1_000.0).round() / 10.0 + 0.0
            ),
            format!("loudness  {loudness}"),
            format!("clipping  {clipping}"),
            format!("voice     {:.0} % of the time", self.voice_share * 100.0),
        ];
        for verdict in &self.verdicts {
            let mark = if verdict.usable { "verdict " } else { "problem " };
            lines.push(format!("{mark}  {} ({:.0} % sure)", verdict.text, verdict.confidence * 100.0));
        }
        lines
    }
}

/// All that listens while the file goes by.
struct Meters {
    format: AudioFormat,
    samples: u64,
    sum: f64,
    squares: f64,
    peak: f32,
    true_peak: TruePeak,
    loudness: LoudnessMeter,
    clips: ClipMeter,
    voice: Option<VoiceDetector>,
    frames: u64,
    voiced: u64,
    head: Head,
}

impl Meters {
    fn new(format: AudioFormat) -> Self {
        let spec = FrameSpec::new(format.rate, FrameDuration::Ms20);
        Self {
            format,
            samples: 0,
            sum: 0.0,
            squares: 0.0,
            peak: 0.0,
            true_peak: TruePeak::new(),
            loudness: LoudnessMeter::new(format.rate),
            clips: ClipMeter::new(),
            voice: spec.map(|spec| VoiceDetector::new(spec, VoiceDetectorConfig::default())),
            frames: 0,
            voiced: 0,
            head: Head::new(format),
        }
    }

    fn process(&mut self, block: &[f32]) {
        self.samples += block.len() as u64;
        self.sum += block.iter().map(|sample| f64::from(*sample)).sum::<f64>();
        self.squares += f64::from(level::energy(block));
        self.peak = self.peak.max(level::peak(block));
        self.true_peak.process(block);
        self.loudness.process(block);
        self.clips.process(block);
        self.head.process(block);
        if let Some(voice) = &mut self.voice {
            // Less than a frame at the very end is not heard.
            for frame in block.chunks_exact(voice.spec().samples()) {
                self.frames += 1;
                self.voiced += u64::from(voice.process(frame).is_speech());
            }
        }
    }

    fn into_report<R>(self, source: &Source<R>) -> Report {
        let found = self.format.rate.duration_of(self.samples);
        let mut verdicts: Vec<_> = source.broken_promise().map(Statement::from).into_iter().collect();
        verdicts.extend(voxline_audio::inspect(&self.head.bytes, self.format).iter().map(Statement::from));
        let (count, clips) = (self.samples as f64, self.clips.report());
        Report {
            container: source.container(),
            encoding: source.encoding_name(),
            rate_hz: self.format.rate.hz(),
            channels: source.channels(),
            seconds: found.as_secs_f64(),
            peak_dbfs: level::to_dbfs(self.peak),
            true_peak_dbtp: self.true_peak.dbtp(),
            rms_dbfs: level::to_dbfs((self.squares / count).sqrt() as f32),
            loudness_lufs: self.loudness.integrated(),
            offset: (self.sum / count) as f32,
            clipped_share: clips.share(),
            clips: clips.clips,
            voice_share: self.voiced as f32 / self.frames.max(1) as f32,
            verdicts,
        }
    }
}

impl From<&Verdict> for Statement {
    fn from(verdict: &Verdict) -> Self {
        let likely_hz = if let Finding::WrongRate { likely: rate } | Finding::RateUnsure { perhaps: rate } =
            verdict.finding
        {
            Some(rate.hz())
        } else {
            None
        };
        Self {
            finding: verdict.finding.code(),
            text: verdict.to_string(),
            confidence: verdict.confidence,
            usable: verdict.finding.is_usable(),
            likely_hz,
        }
    }
}

impl From<BrokenPromise> for Statement {
    fn from(broken: BrokenPromise) -> Self {
        let (finding, text) = match broken {
            BrokenPromise::TooLittle { promised, bytes } => {
                let promised = promised.as_secs_f64();
                let text = format!(
                    "the file ends {bytes} bytes before the {promised:.2} s its header promises: copy it again"
                );
                ("truncated", text)
            }
            BrokenPromise::TooMuch { promised } => {
                let promised = promised.as_secs_f64();
                let text = format!(
                    "the file goes on after the {promised:.2} s its header promises, and the rest was left out: mend the \
                     header if that is sound"
                );
                ("goes-on", text)
            }
        };
        Self { finding, text, confidence: 1.0, usable: false, likely_hz: None }
    }
}

/// The first seconds in which something happens, as bytes of the wire: what a verdict is made from.
struct Head {
    format: AudioFormat,
    bytes: Vec<u8>,
    steady: bool,
    samples: Vec<i16>,
}

impl Head {
    fn new(format: AudioFormat) -> Self {
        Self { format, bytes: Vec::new(), steady: true, samples: Vec::new() }
    }

    fn process(&mut self, block: &[f32]) {
        let second = self.format.bytes_per_second();
        if self.bytes.len() >= VERDICT_SECONDS * second {
            return;
        }
        // Of a beginning that is all one byte, one second says as much as an hour.
        if self.steady {
            self.bytes.truncate(second);
        }
        let start = self.bytes.len();
        self.samples.resize(block.len(), 0);
        pcm::f32_to_i16(block, &mut self.samples);
        self.bytes.resize(start + block.len() * self.format.encoding.bytes_per_sample(), 0);
        self.format.encoding.encode(&self.samples, &mut self.bytes[start..]);
        let first = self.bytes[0];
        self.steady = self.steady && self.bytes[start..].iter().all(|byte| *byte == first);
    }
}

/// A second of silence and the ten seconds a verdict looks at.
const VERDICT_SECONDS: usize = 11;

//! What was typed, and nothing more: each command turns its part into a plan.

mod calls;
mod shared;
mod simulate;
mod speech;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use voxline_audio::{AudioFormat, Encoding, NoiseReduction, SampleRate};

pub use calls::{CallArgs, EchoArgs, ServeArgs};
pub use shared::{
    AvatarServiceArgs, BargeIn, GatewayArgs, HearingArgs, LineArgs, TalkArgs, TrustArgs, TypedKey, VoiceArgs,
};
pub use simulate::{SimulateAgenthumanArgs, SimulateCommand, SimulateSlngArgs};
pub use speech::{AvatarArgs, SpeakArgs, TranscribeArgs};

/// Real-time voice over WebSockets: run a phone agent, simulate the vendors, find what is wrong.
#[derive(Debug, Parser)]
#[command(name = "voxline", version, about, max_term_width = 100)]
#[non_exhaustive]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Looks at sound in files, and converts it.
    #[command(subcommand)]
    Audio(AudioCommand),
    /// Plays one whole phone conversation through every layer, on this machine, and shows what was heard.
    Demo(DemoArgs),
    /// Runs the phone agent: calls come in at http://ADDR/answer, their streams at ws://ADDR/stream.
    ///
    /// It says back what it heard, `You said: …`. An agent that thinks is a program of yours: give
    /// `voxline::agent::PhoneAgent` your own `voxline_session::Responder`.
    Serve(ServeArgs),
    /// Answers each caller frame with the same audio, a line check: calls come in as for `serve`.
    Echo(EchoArgs),
    /// Calls a phone agent as Plivo would, and tells what the caller heard.
    Call(CallArgs),
    /// Speaks a text into a WAV file, and tells what was waited for.
    Speak(SpeakArgs),
    /// Has an AgentHuman avatar say a file or a text, and tells what the service confirmed.
    Avatar(AvatarArgs),
    /// Prints what is said in a WAV file, and tells what was waited for.
    Transcribe(TranscribeArgs),
    /// Serves a vendor's side of the wire.
    #[command(subcommand)]
    Simulate(SimulateCommand),
    /// Explains an error code, or lists them.
    Codes(CodesArgs),
}

/// `voxline codes`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct CodesArgs {
    /// A code such as slng/auth, or what comes before its slash; without it, all are listed.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// Prints records, one line each.
    #[arg(long)]
    pub json: bool,
}

/// `voxline audio`.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum AudioCommand {
    /// Converts to one channel at another rate, in another encoding, louder, without noise.
    Convert(ConvertArgs),
    /// Tells what a file is, how loud, how much of it is voice, and what is the matter with it.
    Inspect(InspectArgs),
}

/// `voxline audio convert`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct ConvertArgs {
    /// A WAV file of 8 to 48 kHz, 16-bit, float or G.711, mono or stereo; or any file with --raw-format.
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// Where the result goes: .wav, or .raw, .pcm, .ulaw or .alaw for samples without a header.
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// What the samples of IN are if it has no header: linear16, mulaw or alaw, a colon, and the rate.
    #[arg(long, value_name = "ENCODING:HZ", value_parser = audio_format)]
    pub raw_format: Option<AudioFormat>,
    /// Samples a second of OUT; without it, those of IN.
    #[arg(long, value_name = "HZ", value_parser = sample_rate)]
    pub rate: Option<SampleRate>,
    /// How OUT writes a sample, linear16, mulaw or alaw; without it, as IN does.
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    pub encoding: Option<Encoding>,
    /// Brings the loudness to -20 LUFS and keeps peaks under -1 dBTP; reads IN twice.
    #[arg(long)]
    pub normalise: bool,
    /// Takes noise out: light (the default) or strong.
    #[arg(
        long,
        value_name = "HOW",
        value_parser = noise_reduction,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "light"
    )]
    pub denoise: Option<NoiseReduction>,
}

/// `voxline audio inspect`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct InspectArgs {
    /// A WAV file of 8 to 48 kHz, 16-bit, float or G.711, mono or stereo; or any file with --raw-format.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What the samples are if the file has no header: linear16, mulaw or alaw, a colon, and the rate.
    #[arg(long, value_name = "ENCODING:HZ", value_parser = audio_format)]
    pub raw_format: Option<AudioFormat>,
    /// Draws the waveform and the spectrogram.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Prints the report as one record.
    #[arg(long)]
    pub json: bool,
}

/// `voxline demo`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct DemoArgs {
    /// Where the recording, the timeline and the records go.
    #[arg(long, value_name = "DIR", default_value = "voxline-demo")]
    pub out: PathBuf,
    /// Speech for the second turn: a WAV file of 8 to 48 kHz, 16-bit or float, mono or stereo.
    #[arg(long, value_name = "FILE.wav")]
    pub caller: Option<PathBuf>,
    /// What is said in the file; without it the file's name is taken as its words.
    #[arg(long, value_name = "TEXT", requires = "caller")]
    pub transcript: Option<String>,
    /// The same number gives the same schedule of faults.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The same conversation over links in memory on a paused clock: a second instead of half a minute.
    #[arg(long)]
    pub quick: bool,
    /// Prints the table as records, one line a turn.
    #[arg(long)]
    pub json: bool,
}

fn audio_format(text: &str) -> Result<AudioFormat, String> {
    let (name, hz) = text.split_once(':').ok_or("an encoding, a colon and a rate, as in mulaw:8000")?;
    Ok(AudioFormat::new(encoding(name)?, sample_rate(hz)?))
}

fn encoding(text: &str) -> Result<Encoding, String> {
    match text {
        "alaw" => Ok(Encoding::ALaw),
        "linear16" => Ok(Encoding::Linear16Le),
        "mulaw" => Ok(Encoding::MuLaw),
        _ => Err("expected linear16, mulaw or alaw".to_owned()),
    }
}

fn sample_rate(text: &str) -> Result<SampleRate, String> {
    let hz: u32 =
        text.parse().map_err(|_| "expected a number of samples a second, such as 16000".to_owned())?;
    SampleRate::try_from(hz).map_err(|error| error.to_string())
}

fn noise_reduction(text: &str) -> Result<NoiseReduction, String> {
    match text {
        "light" => Ok(NoiseReduction::Light),
        "strong" => Ok(NoiseReduction::Strong),
        _ => Err("expected light or strong".to_owned()),
    }
}

//! What was typed, and nothing more: each command turns its part into a plan.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Deref;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use voxline_audio::{AudioFormat, Encoding, NoiseReduction, SampleRate};

use crate::hangup::PlivoAccount;
use crate::simulate::agenthuman::AvatarSimulatorConfig;

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
    /// Answers each caller frame with the same audio: a line check.
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

/// `voxline serve`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct ServeArgs {
    /// Where to listen: an address or a name, and a port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Speech by the simulated SLNG gateway inside: no key, no network.
    #[arg(long, conflicts_with = "slng")]
    pub simulate: bool,
    /// Base URL of the SLNG gateway, such as wss://eu-west.api.slng.ai; the key comes from SLNG_API_KEY.
    #[arg(long, value_name = "URL", required_unless_present = "simulate")]
    pub slng: Option<String>,
    /// Speech synthesis model.
    #[arg(long, value_name = "MODEL", default_value = "slng/deepgram/aura:2-en")]
    pub tts_model: String,
    /// The voice to speak with.
    #[arg(long, value_name = "NAME", default_value = "aura-2-thalia-en")]
    pub voice: String,
    /// Speech recognition model.
    #[arg(long, value_name = "MODEL", default_value = "slng/deepgram/nova:3-en")]
    pub stt_model: String,
    /// Synthesis links kept connected and ready for the next calls; the gateway counts each as a connection.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub standby: usize,
    /// Plivo's Auth Token, or several with commas while one is rotated: whatever it did not sign is refused.
    #[arg(long, value_name = "TOKEN", env = "PLIVO_AUTH_TOKEN", hide_env_values = true)]
    pub auth_token: Option<TypedKey>,
    /// Plivo's Auth ID: with it and the Auth Token, a call that ends on our side is hung up over Plivo's REST interface.
    #[arg(long, value_name = "ID", env = "PLIVO_AUTH_ID")]
    pub auth_id: Option<String>,
    /// Where Plivo's REST interface is: another one for a simulated Plivo.
    #[arg(long, value_name = "URL", default_value = PlivoAccount::URL)]
    pub plivo_api: String,
    /// The address Plivo calls, such as `https://voice.example.com`; without it, what each request asked for.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Believes X-Forwarded-Host and X-Forwarded-Proto: only behind a proxy that sets them.
    #[arg(long, conflicts_with = "public_url")]
    pub trust_forwarded: bool,
    /// Takes unsigned requests from this machine although an Auth Token is set.
    #[arg(long)]
    pub insecure_loopback: bool,
    /// Appends one JSON line for each stream to this file; without it, to stderr when an Auth Token is set.
    #[arg(long, value_name = "FILE")]
    pub debug_log: Option<PathBuf>,
    /// Hands out avatar sessions at GET /avatar/session, so many at once, to whoever bears --avatar-token; the service's
    /// key comes from AGENTHUMAN_API_KEY.
    #[arg(long, value_name = "N", requires = "avatar_token")]
    pub avatar_sessions: Option<NonZeroUsize>,
    /// What your backend must bear to be handed avatar sessions: 16 characters or more.
    #[arg(long, value_name = "TOKEN", env = "VOXLINE_AVATAR_TOKEN", hide_env_values = true)]
    pub avatar_token: Option<TypedKey>,
    /// The avatar.
    #[arg(long, value_name = "ID", env = "AGENTHUMAN_AVATAR", default_value = "avat_demo")]
    pub avatar: String,
    /// The avatars' REST service.
    #[arg(long, value_name = "URL", default_value = "https://api.agenthuman.com")]
    pub avatar_api: String,
    /// Calls held at once; one more is answered as busy, and its stream refused.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub max_calls: usize,
    /// Ends after this many calls; without it, on Ctrl-C or SIGTERM.
    #[arg(long, value_name = "N")]
    pub calls: Option<usize>,
}

/// `voxline echo`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct EchoArgs {
    /// Where to listen: an address or a name, and a port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Calls held at once; the stream of one more is refused.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub max_calls: usize,
    /// Ends after this many calls; without it, on Ctrl-C or SIGTERM.
    #[arg(long, value_name = "N")]
    pub calls: Option<usize>,
}

/// `voxline call`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct CallArgs {
    /// The agent's stream, ws://… or wss://…, or its answer URL, http://… or https://….
    #[arg(value_name = "URL", required_unless_present = "quirks")]
    pub url: Option<String>,
    /// What the caller says: a WAV file of 8 to 48 kHz, 16-bit or float, mono or stereo.
    #[arg(long, value_name = "FILE.wav")]
    pub audio: Option<PathBuf>,
    /// What the caller says, in tonetext.
    #[arg(long, value_name = "TEXT", conflicts_with = "audio")]
    pub say: Option<String>,
    /// Where to write what the caller heard.
    #[arg(long, value_name = "FILE.wav")]
    pub out: Option<PathBuf>,
    /// How long to wait for an answer after the caller's last word.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub wait: u64,
    /// Trusts this certificate besides the public ones, for wss:// and https:// to a test server.
    #[arg(long, value_name = "FILE.pem")]
    pub ca: Option<PathBuf>,
    /// Signs webhooks and streams with this Auth Token, as Plivo does for its account.
    #[arg(long, value_name = "TOKEN", env = "PLIVO_AUTH_TOKEN", hide_env_values = true)]
    pub auth_token: Option<TypedKey>,
    /// Tells this address how the call ended.
    #[arg(long, value_name = "URL")]
    pub hangup_url: Option<String>,
    /// Misbehave as Plivo is known to; may be given several times. `--quirk list` lists them.
    #[arg(long = "quirk", value_name = "NAME")]
    pub quirks: Vec<String>,
    /// The same number gives the same misbehaviour.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// This many calls at once; all must hear something.
    #[arg(long, value_name = "N", default_value_t = NonZeroU32::MIN)]
    pub calls: NonZeroU32,
}

/// `voxline speak`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct SpeakArgs {
    /// What to say.
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// The file to write; it has another name until it is whole.
    #[arg(short, long, value_name = "FILE.wav")]
    pub out: PathBuf,
    /// Speech by the simulated SLNG gateway inside: no key, no network.
    #[arg(long, conflicts_with = "slng")]
    pub simulate: bool,
    /// Base URL of the SLNG gateway, such as wss://eu-west.api.slng.ai; the key comes from SLNG_API_KEY.
    #[arg(long, value_name = "URL", required_unless_present = "simulate")]
    pub slng: Option<String>,
    /// Trust the certificates in this PEM file besides the public ones, such as `simulate slng`'s ca.pem.
    #[arg(long, value_name = "FILE", requires = "slng")]
    pub ca: Option<PathBuf>,
    /// Speech synthesis model.
    #[arg(long, value_name = "MODEL", default_value = "slng/deepgram/aura:2-en")]
    pub model: String,
    /// The voice to speak with.
    #[arg(long, value_name = "NAME", default_value = "aura-2-thalia-en")]
    pub voice: String,
    /// Samples a second.
    #[arg(long, value_name = "HZ", default_value_t = 24_000)]
    pub rate: u32,
    /// How samples travel: linear16, mulaw or alaw. The file is 16-bit linear whatever they were.
    #[arg(long, value_name = "NAME", default_value = "linear16")]
    pub encoding: String,
}

/// `voxline transcribe`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct TranscribeArgs {
    /// A WAV file of 8 to 48 kHz, 16-bit or float, mono or stereo.
    #[arg(value_name = "FILE.wav")]
    pub file: PathBuf,
    /// Recognition by the simulated SLNG gateway inside: no key, no network.
    #[arg(long, conflicts_with = "slng")]
    pub simulate: bool,
    /// Base URL of the SLNG gateway, such as wss://eu-west.api.slng.ai; the key comes from SLNG_API_KEY.
    #[arg(long, value_name = "URL", required_unless_present = "simulate")]
    pub slng: Option<String>,
    /// Trust the certificates in this PEM file besides the public ones, such as `simulate slng`'s ca.pem.
    #[arg(long, value_name = "FILE", requires = "slng")]
    pub ca: Option<PathBuf>,
    /// Speech recognition model.
    #[arg(long, value_name = "MODEL", default_value = "slng/deepgram/nova:3-en")]
    pub model: String,
    /// How many times faster than real time the file is sent.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub speed: f64,
    /// Prints records, one line each: partials, finals, and a summary of the times.
    #[arg(long)]
    pub json: bool,
}

/// `voxline simulate`.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum SimulateCommand {
    /// The AgentHuman service: sessions by REST, and the avatars' WebSocket.
    Agenthuman(SimulateAgenthumanArgs),
    /// The SLNG gateway: speech synthesis and recognition over WebSocket.
    Slng(SimulateSlngArgs),
}

/// `voxline simulate slng`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct SimulateSlngArgs {
    /// Where to listen for ws://; may be given several times.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    pub listen: Vec<SocketAddr>,
    /// Where to listen for wss://; may be given several times.
    #[arg(long, value_name = "ADDR")]
    pub tls_listen: Vec<SocketAddr>,
    /// The certificate to show there, with its issuers.
    #[arg(long, value_name = "FILE.pem", requires = "tls_key", conflicts_with = "tls_self_signed")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key.
    #[arg(long, value_name = "FILE.pem", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Makes a certificate for localhost and *.api.slng.ai, and the issuer a client has to trust: DIR/ca.pem.
    #[arg(long, value_name = "DIR")]
    pub tls_self_signed: Option<PathBuf>,
    /// Misbehave like this vendor is known to; may be given several times. `--quirk list` lists them.
    #[arg(long = "quirk", value_name = "NAME")]
    pub quirks: Vec<String>,
    /// Cut every link somewhere in its first seconds.
    #[arg(long, value_name = "SECONDS")]
    pub cut: Option<f64>,
    /// The same number gives the same cuts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Refuse every key but this one.
    #[arg(long, value_name = "KEY", env = "VOXLINE_SIMULATED_KEY", hide_env_values = true)]
    pub key: Option<TypedKey>,
}

/// `voxline avatar`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct AvatarArgs {
    /// What to say: a WAV file of 16 or 48 kHz, 16-bit, mono.
    #[arg(value_name = "FILE.wav", required_unless_present = "text")]
    pub file: Option<PathBuf>,
    /// What to say instead, by the voice of the simulated SLNG gateway inside.
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub text: Option<String>,
    /// The simulated service inside instead of the real one: no key, no network.
    #[arg(long)]
    pub simulate: bool,
    /// The REST service; the key comes from AGENTHUMAN_API_KEY.
    #[arg(long, value_name = "URL", default_value = "https://api.agenthuman.com")]
    pub api: String,
    /// The avatar.
    #[arg(long, value_name = "ID", env = "AGENTHUMAN_AVATAR", default_value = "avat_demo")]
    pub avatar: String,
    /// The picture, in the revision whose room is the vendor's.
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = video)]
    pub video: Option<(i64, i64)>,
    /// Your own room, in the revision that wants one.
    #[arg(long, value_name = "URL", requires = "room_token")]
    pub room_url: Option<String>,
    /// A token with which the avatar may join your room.
    #[arg(long, value_name = "TOKEN", env = "VOXLINE_ROOM_TOKEN", hide_env_values = true)]
    pub room_token: Option<TypedKey>,
    /// Whose room it is: daily or livekit.
    #[arg(long, value_name = "NAME", default_value = "daily")]
    pub room_platform: String,
    /// Daily's key for the domain of your room: then Daily is asked whether the avatar is there.
    #[arg(long, value_name = "KEY", env = "DAILY_API_KEY", hide_env_values = true)]
    pub daily_key: Option<TypedKey>,
    /// Daily's REST service.
    #[arg(long, value_name = "URL", default_value = "https://api.daily.co")]
    pub daily_api: String,
    /// Where the socket is, in the revision with a room of yours.
    #[arg(long, value_name = "URL")]
    pub socket: Option<String>,
    /// The folder where open sessions are noted, so that the next run ends what a killed one left.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
}

/// `voxline simulate agenthuman`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct SimulateAgenthumanArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8091")]
    pub listen: SocketAddr,
    /// Misbehave like this vendor is known to; may be given several times. `--quirk list` lists them.
    #[arg(long = "quirk", value_name = "NAME")]
    pub quirks: Vec<String>,
    /// Refuse every key but this one.
    #[arg(long, value_name = "KEY", default_value = AvatarSimulatorConfig::KEY)]
    pub key: TypedKey,
}

/// A key as it was typed or found in the environment, not looked at yet. What holds it can be printed.
#[derive(Clone)]
pub struct TypedKey(String);

impl From<String> for TypedKey {
    fn from(typed: String) -> Self {
        Self(typed)
    }
}

impl Deref for TypedKey {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TypedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedKey(..)")
    }
}

fn video(text: &str) -> Result<(i64, i64), String> {
    let size =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    size.ok_or_else(|| "expected a width, an x and a height, as in 1280x720".to_owned())
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

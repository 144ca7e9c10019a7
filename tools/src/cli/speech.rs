//! `voxline speak`, `transcribe` and `avatar`: what was typed.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use voxline_audio::{Encoding, SampleRate};

use super::{AvatarServiceArgs, GatewayArgs, HearingArgs, TypedKey, VoiceArgs, encoding, sample_rate};

/// `voxline speak`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("speech").args(["simulate", "slng"]).required(true))]
#[non_exhaustive]
pub struct SpeakArgs {
    /// What to say.
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// The file to write; it has another name until it is whole.
    #[arg(short, long, value_name = "FILE.wav")]
    pub out: PathBuf,
    /// Where speech comes from.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Who speaks.
    #[command(flatten)]
    pub voice: VoiceArgs,
    /// Samples a second, from 8000 to 48000.
    #[arg(long, value_name = "HZ", default_value = "24000", value_parser = sample_rate)]
    pub rate: SampleRate,
    /// How samples travel: linear16, mulaw or alaw. The file is 16-bit linear whatever they were.
    #[arg(long, value_name = "NAME", default_value = "linear16", value_parser = encoding)]
    pub encoding: Encoding,
}

/// `voxline transcribe`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("speech").args(["simulate", "slng"]).required(true))]
#[non_exhaustive]
pub struct TranscribeArgs {
    /// A WAV file of 8 to 48 kHz, integer, float, µ-law or A-law, mono or stereo.
    #[arg(value_name = "FILE.wav")]
    pub file: PathBuf,
    /// Where recognition comes from.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Who listens.
    #[command(flatten)]
    pub hearing: HearingArgs,
    /// How many times faster than real time the file is sent.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub speed: f64,
    /// Prints records, one line each: partials, finals, and a summary of the times.
    #[arg(long)]
    pub json: bool,
}

/// `voxline avatar`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("speech").args(["simulate", "slng"]))]
#[non_exhaustive]
pub struct AvatarArgs {
    /// What to say: a WAV file of 16 or 48 kHz, 16-bit, mono.
    #[arg(value_name = "FILE.wav", required_unless_present = "text")]
    pub file: Option<PathBuf>,
    /// What to say instead, by the gateway's voice.
    #[arg(long, value_name = "TEXT", conflicts_with = "file", requires = "speech")]
    pub text: Option<String>,
    /// Where speech comes from.
    #[command(flatten)]
    pub gateway: GatewayArgs,
    /// Who speaks.
    #[command(flatten)]
    pub voice: VoiceArgs,
    /// Which avatar, and whose.
    #[command(flatten)]
    pub service: AvatarServiceArgs,
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

fn video(text: &str) -> Result<(i64, i64), String> {
    let size =
        text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    size.ok_or_else(|| "expected a width, an x and a height, as in 1280x720".to_owned())
}

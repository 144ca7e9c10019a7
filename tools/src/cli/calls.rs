//! `voxline serve`, `echo` and `call`: what was typed.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{
    AvatarServiceArgs, GatewayArgs, HearingArgs, LineArgs, TalkArgs, TrustArgs, TypedKey, VoiceArgs,
};
use crate::hangup::PlivoAccount;

/// `voxline serve`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("speech").args(["simulate", "slng"]).required(true))]
#[non_exhaustive]
pub struct ServeArgs {
    /// Where calls come in, and whose are taken.
    #[command(flatten, next_help_heading = "Calls")]
    pub line: LineArgs,
    /// Where speech comes from.
    #[command(flatten, next_help_heading = "Speech")]
    pub gateway: GatewayArgs,
    /// Who speaks.
    #[command(flatten, next_help_heading = "Speech")]
    pub voice: VoiceArgs,
    /// Who listens.
    #[command(flatten, next_help_heading = "Speech")]
    pub hearing: HearingArgs,
    /// How a conversation goes.
    #[command(flatten, next_help_heading = "Conversation")]
    pub talk: TalkArgs,
    /// Synthesis links kept connected and ready for the next calls; the gateway counts each as a connection.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Speech")]
    pub standby: usize,
    /// Plivo's Auth ID: with it and the Auth Token, a call that ends on our side is hung up over Plivo's REST interface.
    #[arg(long, value_name = "ID", env = "PLIVO_AUTH_ID", help_heading = "Calls")]
    pub auth_id: Option<String>,
    /// Where Plivo's REST interface is: another one for a simulated Plivo.
    #[arg(long, value_name = "URL", default_value = PlivoAccount::URL, help_heading = "Calls")]
    pub plivo_api: String,
    /// Appends one JSON line for each stream to this file; without it, to stderr when an Auth Token is set.
    #[arg(long, value_name = "FILE", help_heading = "Calls")]
    pub debug_log: Option<PathBuf>,
    /// Hands out avatar sessions at GET /avatar/session, so many at once, to whoever bears --avatar-token; the service's
    /// key comes from AGENTHUMAN_API_KEY.
    #[arg(long, value_name = "N", requires = "avatar_token", help_heading = "Avatars")]
    pub avatar_sessions: Option<NonZeroUsize>,
    /// What your backend must bear to be handed avatar sessions: 16 characters or more.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "VOXLINE_AVATAR_TOKEN",
        hide_env_values = true,
        help_heading = "Avatars"
    )]
    pub avatar_token: Option<TypedKey>,
    /// Which avatar, and whose.
    #[command(flatten, next_help_heading = "Avatars")]
    pub service: AvatarServiceArgs,
}

/// `voxline echo`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct EchoArgs {
    /// Where calls come in, and whose are taken.
    #[command(flatten)]
    pub line: LineArgs,
}

/// `voxline call`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct CallArgs {
    /// The agent's stream, ws://… or wss://…, or its answer URL, http://… or https://….
    #[arg(value_name = "URL", required_unless_present = "quirks")]
    pub url: Option<String>,
    /// What the caller says: a WAV file of 8 to 48 kHz, integer, float, µ-law or A-law, mono or stereo.
    #[arg(long, value_name = "FILE.wav")]
    pub audio: Option<PathBuf>,
    /// What the caller says, in the simulated voice.
    #[arg(long, value_name = "TEXT", conflicts_with = "audio")]
    pub say: Option<String>,
    /// Where the recording goes: the caller on the left, what it heard on the right.
    #[arg(long, value_name = "FILE.wav")]
    pub out: Option<PathBuf>,
    /// How long an answer is waited for after the caller's last word.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub wait: u64,
    /// Whose certificates are believed.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Signs webhooks and streams with this Auth Token, as Plivo does for its account.
    #[arg(long, value_name = "TOKEN", env = "PLIVO_AUTH_TOKEN", hide_env_values = true)]
    pub auth_token: Option<TypedKey>,
    /// Tells this address how the call ended.
    #[arg(long, value_name = "URL")]
    pub hangup_url: Option<String>,
    /// Misbehaves as Plivo is known to; may be given several times. `--quirk list` lists them.
    #[arg(long = "quirk", value_name = "NAME")]
    pub quirks: Vec<String>,
    /// The same number gives the same misbehaviour.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// This many calls at once; all must hear something.
    #[arg(long, value_name = "N", default_value_t = NonZeroU32::MIN)]
    pub calls: NonZeroU32,
}

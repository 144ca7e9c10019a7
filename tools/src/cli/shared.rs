//! What several commands take: where speech comes from, who is let in, how a conversation goes.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use voxline_session::{BackChannels, BargeInPattern, BargeInPolicy, ConversationConfig};

use crate::agent::Models;

/// Where speech comes from.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct GatewayArgs {
    /// The simulated services inside instead of real ones: no key, no network.
    #[arg(long)]
    pub simulate: bool,
    /// Base URL of the SLNG gateway, such as wss://eu-west.api.slng.ai; the key comes from SLNG_API_KEY.
    ///
    /// May be given several times, the preferred one first: a link that cannot be opened there is opened at the next,
    /// and the one that failed is asked last for 30 s, or not at all before a time it stated. Links that are open stay
    /// where they are.
    #[arg(long, value_name = "URL")]
    pub slng: Vec<String>,
    /// Whose certificates are believed.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Whose certificates are believed.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct TrustArgs {
    /// Trusts the certificates in this PEM file besides the public ones, such as `simulate slng`'s ca.pem.
    #[arg(long, value_name = "FILE.pem")]
    pub ca: Option<PathBuf>,
}

/// Who speaks.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct VoiceArgs {
    /// Speech synthesis model.
    #[arg(long, value_name = "MODEL", default_value = Models::TTS)]
    pub tts_model: String,
    /// The voice to speak with; it belongs to the model.
    #[arg(long, value_name = "NAME", default_value = Models::VOICE)]
    pub voice: String,
}

/// Who listens.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct HearingArgs {
    /// Speech recognition model.
    #[arg(long, value_name = "MODEL", default_value = Models::STT)]
    pub stt_model: String,
}

/// Which avatar, and whose.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct AvatarServiceArgs {
    /// The avatar, by its id; a simulated service has one of its own.
    #[arg(long, value_name = "ID", env = "AGENTHUMAN_AVATAR")]
    pub avatar: Option<String>,
    /// The avatars' REST service; the key comes from AGENTHUMAN_API_KEY.
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://api.agenthuman.com",
        conflicts_with = "simulate"
    )]
    pub avatar_api: String,
}

/// Where calls come in, and whose are taken.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct LineArgs {
    /// Where to listen: an address or a name, and a port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Plivo's Auth Token, or several with commas while one is rotated: whatever it did not sign is refused.
    #[arg(long, value_name = "TOKEN", env = "PLIVO_AUTH_TOKEN", hide_env_values = true)]
    pub auth_token: Option<TypedKey>,
    /// The address Plivo calls, such as `https://voice.example.com`; without it, what each request asked for.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Believes X-Forwarded-Host and X-Forwarded-Proto: only behind a proxy that sets them.
    #[arg(long, conflicts_with = "public_url")]
    pub trust_forwarded: bool,
    /// Takes unsigned requests from this machine although an Auth Token is set.
    #[arg(long)]
    pub insecure_loopback: bool,
    /// Calls held at once; one more is answered as busy, and its stream refused.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub max_calls: usize,
    /// Ends after this many calls; without it, on Ctrl-C or SIGTERM.
    #[arg(long, value_name = "N")]
    pub calls: Option<usize>,
}

/// How a conversation goes.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct TalkArgs {
    /// Says this when a call begins.
    #[arg(long, value_name = "TEXT")]
    pub greeting: Option<String>,
    /// How the agent stops when the caller speaks over it.
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub barge_in: BargeIn,
    /// Words of the caller it takes to stop the agent; 0 is any voice.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub min_words: usize,
    /// Lets words pass by which a caller only shows to be listening: mm-hmm, yeah, okay (English).
    #[arg(long)]
    pub back_channels: bool,
    /// Is not interrupted in a sentence with these words; may be given several times.
    #[arg(long, value_name = "WORDS")]
    pub protect: Vec<String>,
    /// Says this when nobody says anything after the agent's last word; given several times, one after the other, until
    /// the caller speaks.
    #[arg(long, value_name = "TEXT")]
    pub idle_prompt: Vec<String>,
    /// Silence before an --idle-prompt.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub idle_after: u64,
}

/// How an agent stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[non_exhaustive]
pub enum BargeIn {
    /// At once; what is queued is dropped.
    #[default]
    Immediate,
    /// The same, faded to silence within 30 ms, so that nothing clicks.
    FadeOut,
    /// At any sound; goes on where it stopped if no words follow within 1.5 s.
    Pause,
}

impl TalkArgs {
    /// The conversation that was asked for.
    #[must_use]
    pub fn conversation(&self) -> ConversationConfig {
        let pattern = match self.barge_in {
            BargeIn::Immediate => BargeInPattern::Immediate,
            BargeIn::FadeOut => BargeInPattern::FadeOut,
            BargeIn::Pause => BargeInPattern::Pause { patience: PATIENCE },
        };
        let mut policy = BargeInPolicy::immediate()
            .with_pattern(pattern)
            .with_min_words(self.min_words)
            .with_protected(&self.protect);
        if self.back_channels {
            policy = policy.with_back_channels(BackChannels::english());
        }
        let conversation = ConversationConfig::default().with_barge_in(policy);
        match self.idle_prompt.as_slice() {
            [] => conversation,
            prompts => conversation.with_idle_prompts(Duration::from_secs(self.idle_after), prompts),
        }
    }
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

/// Does for most recognisers.
const PATIENCE: Duration = Duration::from_millis(1_500);

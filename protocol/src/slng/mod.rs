//! The SLNG voice gateway's unified bridge: speech synthesis and recognition, both sides of each.
//!
//! [`TtsClient`] turns text into audio and [`SttClient`] audio into text; [`TtsServer`] and
//! [`SttServer`] are the gateway's own side, with every fault seen in the field as a named
//! [`SlngQuirk`]. [`Route`] builds the address and the headers of a link, [`authorise`] checks them.
//!
//! Nothing on this wire says which text a byte of audio belongs to, or which audio a transcript
//! covers. Each client's documentation states the rule by which it decides.

mod access;
pub mod codes;
mod gate;
mod quirk;
mod route;
mod stt;
mod tts;
mod types;
mod wire;

pub use access::{AccessRefused, Credentials, authorise};
pub use codes::{close_code, error_code, status_code};
pub use quirk::{Quirks, SlngQuirk, UnknownQuirk};
pub use route::{Region, Route, Service};
pub use stt::{
    Heard, SttClient, SttCommand, SttConfig, SttEvent, SttInit, SttServer, SttServerCommand, SttServerConfig,
    SttServerEvent, SttStats,
};
pub use tts::{
    FlushPolicy, Truncation, TtsClient, TtsCommand, TtsConfig, TtsEvent, TtsInit, TtsServer,
    TtsServerCommand, TtsServerConfig, TtsServerEvent, TtsStats,
};
pub use types::{ConfigError, SpokenWord, Transcript, Word};

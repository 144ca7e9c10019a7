//! Text to speech: the client, the gateway's side, and what they are made of.

mod client;
mod config;
mod intake;
mod server;
mod text;

pub use client::TtsClient;
pub use config::{FlushPolicy, Truncation, TtsCommand, TtsConfig, TtsEvent, TtsStats};
pub use server::{TtsInit, TtsServer, TtsServerCommand, TtsServerConfig, TtsServerEvent};

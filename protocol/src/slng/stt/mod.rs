//! Speech to text: the client, the gateway's side, and what they are made of.

mod client;
mod config;
mod hold;
mod server;

pub use client::SttClient;
pub use config::{SttCommand, SttConfig, SttEvent, SttStats};
pub use server::{Heard, SttInit, SttServer, SttServerCommand, SttServerConfig, SttServerEvent};

//! `voxline simulate`: what was typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::TypedKey;
use crate::simulate::agenthuman::AvatarSimulatorConfig;

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
    /// Misbehaves as this vendor is known to; may be given several times. `--quirk list` lists them.
    #[arg(long = "quirk", value_name = "NAME")]
    pub quirks: Vec<String>,
    /// Cuts every link somewhere in its first seconds.
    #[arg(long, value_name = "SECONDS")]
    pub cut: Option<f64>,
    /// The same number gives the same cuts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Refuses every key but this one.
    #[arg(long, value_name = "KEY", env = "VOXLINE_SIMULATED_KEY", hide_env_values = true)]
    pub key: Option<TypedKey>,
}

/// `voxline simulate agenthuman`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct SimulateAgenthumanArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8091")]
    pub listen: SocketAddr,
    /// Misbehaves as this vendor is known to; may be given several times. `--quirk list` lists them.
    #[arg(long = "quirk", value_name = "NAME")]
    pub quirks: Vec<String>,
    /// Refuses every key but this one.
    #[arg(long, value_name = "KEY", default_value = AvatarSimulatorConfig::KEY)]
    pub key: TypedKey,
}

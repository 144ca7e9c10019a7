//! `voxline simulate`: a vendor's side of the wire, on addresses of your choice.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;
use voxline_protocol::Secret;
use voxline_protocol::slng::{Quirks, SlngQuirk};
use voxline_transport::{FaultPlan, ServerTls};

use super::slng::{SlngSimulator, SlngSimulatorConfig};
use super::{agenthuman, certificate};
use crate::cli::{SimulateCommand, SimulateSlngArgs};
use crate::error::{ToolError, chain};
use crate::gateway::usage;
use crate::output;
use crate::run::{interrupted, listen};

/// Serves until Ctrl-C.
pub(crate) async fn run(command: &SimulateCommand) -> Result<(), ToolError> {
    match command {
        SimulateCommand::Agenthuman(args) => agenthuman::run(args).await,
        SimulateCommand::Slng(args) if args.quirks.iter().any(|name| name == LIST) => {
            for quirk in SlngQuirk::ALL {
                output::result(format_args!("{:<24} {}", quirk.name(), quirk.meaning()));
            }
            Ok(())
        }
        SimulateCommand::Slng(args) => slng(args).await,
    }
}

async fn slng(args: &SimulateSlngArgs) -> Result<(), ToolError> {
    let gateway = SlngSimulator::new(config(args)?);
    let tls = tls(args)?;
    let mut serving = JoinSet::new();
    for address in &args.listen {
        let listener = listen(&address.to_string()).await?;
        told("ws", &listener.local_address().to_string());
        let gateway = gateway.clone();
        serving.spawn(async move { gateway.serve(listener).await });
    }
    for address in &args.tls_listen {
        let Some(tls) = tls.clone() else {
            let words =
                "--tls-listen needs a certificate; add --tls-self-signed DIR, or --tls-cert and --tls-key";
            return Err(ToolError::Usage(words.to_owned()));
        };
        let listener = listen(&address.to_string()).await?.with_tls(tls);
        told("wss", &listener.local_address().to_string());
        let gateway = gateway.clone();
        serving.spawn(async move { gateway.serve(listener).await });
    }
    tokio::select! {
        () = async { while serving.join_next().await.is_some() {} } => {}
        () = interrupted() => output::note("interrupted"),
    }
    Ok(())
}

fn config(args: &SimulateSlngArgs) -> Result<SlngSimulatorConfig, ToolError> {
    let quirks: Quirks = args.quirks.join(",").parse().map_err(|error| {
        ToolError::Usage(format!("--quirk: {}; `--quirk list` lists them", chain(&error)))
    })?;
    let mut faults = FaultPlan::new(args.seed);
    if let Some(seconds) = args.cut {
        let longest = Duration::try_from_secs_f64(seconds)
            .map_err(|_| ToolError::Usage(format!("--cut is {seconds}; give a number of seconds")))?;
        faults = faults.with_cut(Duration::ZERO..=longest);
    }
    let config = SlngSimulatorConfig::default().with_quirks(quirks).with_faults(faults);
    Ok(match &args.key {
        Some(key) => config.with_key(Secret::new(key).map_err(usage)?),
        None => config,
    })
}

/// What the listeners for wss:// show, if anything was said about it.
fn tls(args: &SimulateSlngArgs) -> Result<Option<ServerTls>, ToolError> {
    let (chain, key) = match (&args.tls_self_signed, &args.tls_cert, &args.tls_key) {
        (Some(dir), _, _) => {
            let made = certificate::make(dir)?;
            output::note(format_args!("trust {}", dir.join(certificate::CA).display()));
            made
        }
        (None, Some(cert), Some(key)) => (read(cert)?, read(key)?),
        (None, _, _) => return Ok(None),
    };
    ServerTls::from_pem(&chain, &key).map(Some).map_err(usage)
}

fn read(path: &Path) -> Result<Vec<u8>, ToolError> {
    std::fs::read(path).map_err(|error| {
        ToolError::Usage(format!("cannot read `{}`: {error}; give a PEM file", path.display()))
    })
}

fn told(scheme: &str, address: &str) {
    let path = "/v1/bridges/unmute/{tts,stt}/MODEL";
    output::note(format_args!("SLNG gateway at {scheme}://{address}{path}, simulated"));
}

/// In the place of a quirk's name: asks which there are.
const LIST: &str = "list";

//! `voxline simulate`: a vendor's side of the wire, on an address of your choice.

use voxline_protocol::Secret;
use voxline_protocol::slng::Quirks;

use super::slng::{SlngSimulator, SlngSimulatorConfig};
use crate::cli::{SimulateCommand, SimulateSlngArgs};
use crate::error::{ToolError, chain};
use crate::output;
use crate::run::{interrupted, listen};

/// Serves until Ctrl-C.
pub(crate) async fn run(command: &SimulateCommand) -> Result<(), ToolError> {
    match command {
        SimulateCommand::Slng(args) => slng(args).await,
    }
}

async fn slng(args: &SimulateSlngArgs) -> Result<(), ToolError> {
    let usage = |error: &(dyn std::error::Error + 'static)| ToolError::Usage(chain(error));
    let quirks: Quirks = args.quirks.join(",").parse().map_err(|error| usage(&error))?;
    let mut config = SlngSimulatorConfig::default().with_quirks(quirks);
    if let Some(key) = &args.key {
        config = config.with_key(Secret::new(key).map_err(|error| usage(&error))?);
    }
    let listener = listen(&args.listen.to_string()).await?;
    let address = listener.local_address();
    output::note(format_args!(
        "SLNG gateway at ws://{address}/v1/bridges/unmute/{{tts,stt}}/MODEL, simulated"
    ));
    let gateway = SlngSimulator::new(config);
    tokio::select! {
        () = gateway.serve(listener) => {}
        () = interrupted() => output::note("interrupted"),
    }
    Ok(())
}

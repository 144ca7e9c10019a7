//! `voxline simulate agenthuman`.

use voxline_protocol::Secret;
use voxline_protocol::agenthuman::{AvatarQuirk, AvatarServerEvent};

use super::{AvatarSimulator, AvatarSimulatorConfig};
use crate::cli::SimulateAgenthumanArgs;
use crate::error::ToolError;
use crate::output;
use crate::run::{interrupted, listen};

/// Serves until Ctrl-C, then names the sessions nobody ended.
pub(crate) async fn run(args: &SimulateAgenthumanArgs) -> Result<(), ToolError> {
    if args.quirks.iter().any(|name| name == "list") {
        AvatarQuirk::ALL.iter().for_each(output::result);
        return Ok(());
    }
    let quirks = args.quirks.iter().map(|name| quirk(name)).collect::<Result<Vec<_>, _>>()?;
    let key = Secret::new(&args.key).map_err(|error| ToolError::Usage(format!("--key: {error}")))?;
    let listener = listen(&args.listen.to_string()).await?.with_config(AvatarSimulator::listener_config());
    let address = listener.local_address();
    output::note(format_args!("AgentHuman at http://{address}/v1/sessions and ws://{address}, simulated"));
    let config = AvatarSimulatorConfig::default().with_quirks(quirks).with_key(key.expose());
    let service = AvatarSimulator::with_observer(&format!("ws://{address}"), config, tell);
    tokio::select! {
        () = service.serve(listener) => {}
        () = interrupted() => output::note("interrupted"),
    }
    for session in service.running() {
        output::note(format_args!(
            "{session} was never ended: with the real service it would go on costing money"
        ));
    }
    Ok(())
}

fn quirk(name: &str) -> Result<AvatarQuirk, ToolError> {
    AvatarQuirk::parse(name).ok_or_else(|| {
        ToolError::Usage(format!("--quirk: no quirk is called `{name}`; `--quirk list` lists them"))
    })
}

fn tell(session: Option<&str>, event: &AvatarServerEvent) {
    let who = session.unwrap_or("a new link");
    match event {
        AvatarServerEvent::Disconnected { .. } => output::note(format_args!("{who}: link is gone")),
        AvatarServerEvent::Error(error) => output::note(format_args!("{who}: answered `{error}`")),
        AvatarServerEvent::Established { revision, .. } => {
            output::note(format_args!("{who}: established, {revision}"));
        }
        AvatarServerEvent::Interrupted { dropped } => {
            output::note(format_args!("{who}: interrupted, {:.2} s dropped", dropped.as_secs_f64()));
        }
        AvatarServerEvent::SessionExpired { .. } => output::note(format_args!("{who}: expired")),
        AvatarServerEvent::Speech { audio, rate_hz, .. } => {
            let seconds = (audio.len() / 2) as f64 / f64::from(*rate_hz);
            output::note(format_args!("{who}: {seconds:.2} s of speech at {rate_hz} Hz"));
        }
        _ => {}
    }
}

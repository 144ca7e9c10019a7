//! `voxline serve`: the phone agent, with speech from a gateway or from the simulated one inside.

use std::future::pending;

use tokio::task::JoinSet;
use voxline_protocol::Secret;
use voxline_session::{AgentEvent, ConversationEvent, LegEvent};

use crate::agent::{Models, PhoneAgent, STREAM_PATH, Speech};
use crate::cli::ServeArgs;
use crate::error::{ToolError, chain};
use crate::net::{Loopback, Net};
use crate::output;
use crate::responder::EchoResponder;
use crate::run::{interrupted, listen};
use crate::simulate::slng::{SlngSimulator, SlngSimulatorConfig};

/// Serves until Ctrl-C, or until as many calls as were asked for have ended.
pub(crate) async fn run(args: &ServeArgs) -> Result<(), ToolError> {
    let net = Loopback::default();
    let mut gateway = JoinSet::new();
    let (base, key) = match &args.slng {
        Some(base) => (base.clone(), key_from_environment()?),
        None => (start_gateway(&net, &mut gateway).await?, Secret::new("simulated").map_err(usage)?),
    };
    let models = Models::new(&args.tts_model, &args.voice, &args.stt_model);
    let speech = Speech::new(&base, &key, &models).map_err(usage)?;
    let listener = listen(&args.listen.to_string()).await?;
    let address = listener.local_address();
    output::note(format_args!("phone agent at ws://{address}{STREAM_PATH}, speech from {base}"));
    let agent = PhoneAgent::new(net, speech, EchoResponder::default());
    let agent = agent.with_observer(|call, _, event| tell(call, event));
    tokio::select! {
        () = agent.serve(listener, args.calls) => {}
        () = interrupted() => output::note("interrupted"),
        () = ended(&mut gateway) => return Err(ToolError::Failed("the simulated gateway stopped".to_owned())),
    }
    Ok(())
}

/// Serves a gateway of our own on loopback; gives its base URL back.
async fn start_gateway(net: &Loopback, tasks: &mut JoinSet<()>) -> Result<String, ToolError> {
    let listened = net.listen("slng").await;
    let (acceptor, url) = listened.map_err(|error| ToolError::failed("the simulated gateway", &error))?;
    tasks.spawn(async move { SlngSimulator::new(SlngSimulatorConfig::default()).serve(acceptor).await });
    Ok(url)
}

async fn ended(tasks: &mut JoinSet<()>) {
    if tasks.join_next().await.is_none() {
        pending::<()>().await;
    }
}

fn key_from_environment() -> Result<Secret, ToolError> {
    let key = std::env::var("SLNG_API_KEY").map_err(|_| {
        let words = "SLNG_API_KEY is not set; set it to the gateway's key, or use --simulate";
        ToolError::Usage(words.to_owned())
    })?;
    Secret::new(&key).map_err(|error| ToolError::Usage(format!("SLNG_API_KEY: {}", chain(&error))))
}

fn usage(error: impl std::error::Error + 'static) -> ToolError {
    ToolError::Usage(chain(&error))
}

/// One line for what whoever runs the agent would want to see.
fn tell(call: usize, event: &AgentEvent) {
    let line = match event {
        AgentEvent::Started(info) => format!("started, {} of {}", info.format, info.call_id),
        AgentEvent::Conversation(ConversationEvent::CallerSaid { text, .. }) => format!("caller  {text}"),
        AgentEvent::Conversation(ConversationEvent::AgentSays { text, .. }) => format!("agent   {text}"),
        AgentEvent::Conversation(ConversationEvent::BargeIn { .. }) => {
            "caller  speaks over the agent".to_owned()
        }
        AgentEvent::Conversation(ConversationEvent::Answering { shares, .. }) => {
            format!("agent   answers after {} ms", shares.total().as_millis())
        }
        AgentEvent::Leg { leg, event: LegEvent::Lost } => format!("{leg} link lost"),
        AgentEvent::Leg { leg, event: LegEvent::Redialling { attempt, delay } } => {
            format!("{leg} dials again in {} ms (attempt {attempt})", delay.as_millis())
        }
        AgentEvent::Leg { leg, event: LegEvent::Warning(text) } => format!("{leg}: {text}"),
        AgentEvent::ResponderFailed { message, .. } => format!("responder failed: {message}"),
        AgentEvent::Conversation(_)
        | AgentEvent::Dtmf(_)
        | AgentEvent::Leg { .. }
        | AgentEvent::Partial(_)
        | _ => return,
    };
    output::note(format_args!("call {call}  {line}"));
}

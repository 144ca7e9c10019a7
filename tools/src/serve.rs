//! `voxline serve`: the phone agent, with speech from a gateway or from the simulated one inside.

use voxline_session::{AgentEvent, ConversationEvent, LegEvent};

use crate::agent::{Models, PhoneAgent, STREAM_PATH, Speech};
use crate::cli::ServeArgs;
use crate::error::ToolError;
use crate::gateway::{Gateway, usage};
use crate::net::Loopback;
use crate::output;
use crate::responder::EchoResponder;
use crate::run::{interrupted, listen};

/// Serves until Ctrl-C, or until as many calls as were asked for have ended.
pub(crate) async fn run(args: &ServeArgs) -> Result<(), ToolError> {
    let mut gateway = Gateway::open(args.slng.as_deref()).await?;
    let models = Models::new(&args.tts_model, &args.voice, &args.stt_model);
    let speech = Speech::new(&gateway.base, &gateway.key, &models).map_err(usage)?;
    let listener = listen(&args.listen.to_string()).await?;
    let address = listener.local_address();
    output::note(format_args!("phone agent at ws://{address}{STREAM_PATH}, speech from {}", gateway.base));
    let agent = PhoneAgent::new(Loopback::default(), speech, EchoResponder::default());
    let agent = agent.with_observer(|call, _, event| tell(call, event));
    tokio::select! {
        () = agent.serve(listener, args.calls) => {}
        () = interrupted() => output::note("interrupted"),
        error = gateway.ended() => return Err(error),
    }
    Ok(())
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

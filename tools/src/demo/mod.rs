//! `voxline demo`: one whole phone conversation through every layer, and what came of it.

mod outcome;
mod plan;
mod report;
mod stage;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use voxline_protocol::agenthuman::AvatarEvent;
use voxline_session::{AgentEvent, AvatarNotice, ConversationEvent, LegEvent};

use crate::cli::DemoArgs;
use crate::error::ToolError;
use crate::net::{InMemory, Loopback};
use crate::output;
use crate::run::{paused_runtime, runtime};
use crate::simulate::recordings::Recording;
use crate::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
use outcome::TurnOutcome;
use plan::Plan;
use report::Folder;
use stage::{Play, play};

/// Runs the demo; true if everything that was said was heard.
pub(crate) fn run(args: &DemoArgs) -> Result<bool, ToolError> {
    let recording = recording(args)?;
    let folder = Folder::make(&args.out)?;
    let plan = Plan::new(&recording, args.seed);
    let gateway = SlngSimulator::new(SlngSimulatorConfig::default().with_recordings(vec![recording]));

    let started = Instant::now();
    let quiet = args.json;
    let live = move |event: &AgentEvent| {
        if !quiet {
            tell(event);
        }
    };
    let played = if args.quick {
        paused_runtime()?.block_on(play(InMemory::new(), &plan, gateway, live))?
    } else {
        runtime()?.block_on(play(Loopback::default(), &plan, gateway, live))?
    };
    let outcomes = TurnOutcome::all(&plan, &played);
    folder.write(&played, &outcomes)?;
    report(args, &played, &outcomes, started)
}

fn report(
    args: &DemoArgs,
    played: &Play,
    outcomes: &[TurnOutcome],
    started: Instant,
) -> Result<bool, ToolError> {
    let right = outcomes.iter().filter(|outcome| outcome.ok).count();
    if args.json {
        for outcome in outcomes {
            let line =
                serde_json::to_string(outcome).map_err(|error| ToolError::failed("turn record", &error))?;
            output::result(line);
        }
    } else {
        let call = played.recording.format.rate.duration_of(played.recording.heard.len() as u64);
        output::result("");
        output::result(report::table(outcomes));
        output::result(format_args!(
            "{right} of {} turns heard as said, in a call of {:.1} s (took {:.1} s).",
            outcomes.len(),
            call.as_secs_f64(),
            started.elapsed().as_secs_f64()
        ));
        let out = args.out.display();
        output::result(format_args!(
            "{out}/call.wav (caller left, agent right), timeline.svg, turns.json, events.jsonl"
        ));
    }
    Ok(right == outcomes.len())
}

/// The speech of the second turn.
fn recording(args: &DemoArgs) -> Result<Arc<Recording>, ToolError> {
    let Some(path) = &args.caller else { return Ok(Recording::appointment()) };
    let stem = || path.file_stem().unwrap_or_default().to_string_lossy().replace(['_', '-'], " ");
    let transcript = args.transcript.clone().unwrap_or_else(stem);
    Recording::read(path, transcript)
        .map(Arc::new)
        .map_err(|error| ToolError::Usage(crate::error::chain(&error)))
}

/// One live line for what a listener would notice.
fn tell(event: &AgentEvent) {
    let line = match event {
        AgentEvent::Conversation(event) => conversation_line(event),
        AgentEvent::Avatar(notice) => avatar_line(notice),
        AgentEvent::Leg { leg, event: LegEvent::Lost } => Some(format!("        {leg} link lost")),
        AgentEvent::Leg { leg, event: LegEvent::Up { after } } if !after.is_zero() => {
            Some(format!("        {leg} link up after {} ms", after.as_millis()))
        }
        AgentEvent::Leg { leg, event: LegEvent::Warning(text) } => Some(format!("        {leg}: {text}")),
        AgentEvent::Leg { leg, event: LegEvent::Refused(error) } => {
            Some(format!("        {leg} refused: {error}"))
        }
        AgentEvent::Leg { leg, event: LegEvent::Overrun } => {
            Some(format!("        {leg} is overrun; audio was dropped"))
        }
        AgentEvent::ResponderFailed { message, .. } => Some(format!("        responder failed: {message}")),
        AgentEvent::Leg { .. }
        | AgentEvent::Dtmf(_)
        | AgentEvent::Partial(_)
        | AgentEvent::Started(_)
        | _ => None,
    };
    if let Some(line) = line {
        output::note(line);
    }
}

fn avatar_line(notice: &AvatarNotice) -> Option<String> {
    if let AvatarNotice::Recovering { .. } = notice {
        Some("        avatar link lost".to_owned())
    } else if let AvatarNotice::Protocol(AvatarEvent::Established { link, .. }) = notice
        && link.get() > 0
    {
        Some("        avatar link up, with the same session".to_owned())
    } else {
        None
    }
}

fn conversation_line(event: &ConversationEvent) -> Option<String> {
    match event {
        ConversationEvent::CallerSaid { turn, text } => Some(format!("{turn}  caller  {text}")),
        ConversationEvent::Answering { turn, shares } => {
            Some(format!("{turn}  agent   answers after {} ms", shares.total().as_millis()))
        }
        ConversationEvent::AgentSays { turn, text, .. } => Some(format!("{turn}  agent   {text}")),
        ConversationEvent::BargeIn { turn } => {
            Some(format!("{turn}  caller  speaks over the agent, which falls silent"))
        }
        ConversationEvent::FellSilent { turn, latency } => {
            Some(format!("{turn}  agent   silent {} ms after the caller began", latency.total().as_millis()))
        }
        ConversationEvent::TurnEnded { .. }
        | ConversationEvent::Paused { .. }
        | ConversationEvent::Resumed { .. } => None,
        trouble @ (ConversationEvent::TranscriptLate { .. }
        | ConversationEvent::ReplyLate { .. }
        | ConversationEvent::SpeechFailed { .. }
        | _) => Some(format!("        {trouble:?}")),
    }
}

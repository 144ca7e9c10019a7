//! The demo's results for people and for programs: the table, and the files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use voxline_protocol::agenthuman::AvatarEvent;
use voxline_session::{AgentEvent, AvatarNotice, ConversationEvent, Leg, LegEvent, Shares};

use super::outcome::TurnOutcome;
use super::stage::Play;
use crate::error::ToolError;
use crate::output;
use crate::simulate::agenthuman::AvatarEar;
use crate::timeline::{LinkLane, Timeline, TimelineTurn};
use crate::wavfile::CallWriter;

/// The folder of a demo's files.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, and finds out whether it can be written to before anything else is done.
    pub(super) fn make(path: &Path) -> Result<Self, ToolError> {
        let refused = |error: std::io::Error| {
            ToolError::Usage(format!(
                "cannot write to `{}`: {error}; give a folder that can be written with --out",
                path.display()
            ))
        };
        fs::create_dir_all(path).map_err(refused)?;
        let probe = path.join(".probe.part");
        fs::write(&probe, b"").map_err(refused)?;
        fs::remove_file(&probe).map_err(refused)?;
        Ok(Self(path.to_owned()))
    }

    /// Writes every file, each under its final name only once it is whole.
    pub(super) fn write(&self, play: &Play, outcomes: &[TurnOutcome]) -> Result<(), ToolError> {
        let recording = &play.recording;
        let wav = self.0.join("call.wav");
        let written = CallWriter::create(&wav, recording.format.rate).and_then(|mut call| {
            call.write(&recording.said, &recording.heard)?;
            call.finish()
        });
        written.map_err(|error| ToolError::failed("the recording could not be written", &error))?;
        let turns = serde_json::to_string_pretty(outcomes)
            .map_err(|error| ToolError::failed("turns.json", &error))?;
        self.put("turns.json", &turns)?;
        self.put("events.jsonl", &events(play))?;
        self.put("timeline.svg", &timeline(play, outcomes).to_svg())
    }

    fn put(&self, name: &str, text: &str) -> Result<(), ToolError> {
        let (part, whole) = (self.0.join(format!("{name}.part")), self.0.join(name));
        fs::write(&part, text)
            .and_then(|()| fs::rename(&part, &whole))
            .map_err(|error| ToolError::failed(format!("cannot write `{}`", whole.display()), &error))
    }
}

/// The table of turns.
pub(super) fn table(outcomes: &[TurnOutcome]) -> String {
    let mut text = String::from("turn  silence");
    for (name, _, _) in Shares::default().named() {
        let _ = write!(text, " {:>12}", name.replace('_', "-"));
    }
    text.push_str("         rest   (ms)\n");
    for outcome in outcomes {
        let _ = write!(text, "{:>4}  {:>7}", outcome.turn, number(outcome.silence_ms));
        let shares = outcome.shares_ms.unwrap_or_default();
        for (_, share, target) in shares.named() {
            let late = if target.is_some_and(|target| share > target) { "!" } else { "" };
            let _ = write!(text, " {:>12}", format!("{late}{}", share.as_millis()));
        }
        let _ = writeln!(text, " {:>12}", number(outcome.rest_ms()));
    }
    let _ = write!(text, "target  {:>5}", "-");
    for (_, _, target) in Shares::default().named() {
        let _ = write!(text, " {:>12}", number(target.map(|target| target.as_millis())));
    }
    let _ = writeln!(text, " {:>12}", "-");
    for outcome in outcomes {
        let verdict = if outcome.ok { "ok" } else { "WRONG" };
        let _ = writeln!(text, "\nturn {} {verdict}{}", outcome.turn, remarks(outcome));
        let _ = writeln!(text, "  caller said   {}", outcome.caller_said);
        if outcome.stt_text != outcome.caller_said {
            let _ = writeln!(text, "  understood    {}", outcome.stt_text);
        }
        let _ = writeln!(text, "  caller heard  {}", outcome.agent_heard);
        if outcome.avatar_said != outcome.agent_heard {
            let _ = writeln!(text, "  avatar said   {}", outcome.avatar_said);
        }
        if outcome.agent_heard != outcome.agent_text {
            let _ = writeln!(text, "  agent meant   {}", outcome.agent_text);
        }
    }
    text
}

fn remarks(outcome: &TurnOutcome) -> String {
    let mut remarks = String::new();
    if outcome.interrupted {
        remarks.push_str(", interrupted");
    }
    if let Some(millis) = outcome.talked_over_ms {
        let _ = write!(remarks, " (silent {millis} ms after the caller began)");
    }
    if outcome.link_cuts > 0 {
        let _ = write!(remarks, ", {} cut", output::count(outcome.link_cuts as u64, "link"));
    }
    remarks
}

fn number(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// One line for everything that happened, in the order of time.
fn events(play: &Play) -> String {
    let mut lines: Vec<(Duration, Value)> =
        play.agent.iter().map(|(at, event)| (*at, agent_event(event))).collect();
    for cut in &play.cuts {
        lines.push((cut.at, json!({ "event": "cut", "leg": cut.leg.to_string() })));
    }
    for block in &play.recording.blocks {
        let at = play.recording.format.rate.duration_of(block.end);
        lines.push((at, json!({ "event": "heard", "text": block.text, "last": block.last })));
    }
    for block in &play.room {
        let at = AvatarEar::RATE.duration_of(block.end);
        lines.push((at, json!({ "event": "said_in_room", "text": block.text, "last": block.last })));
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut text = String::new();
    for (at, mut line) in lines {
        line["t_ms"] = json!(at.as_micros() as f64 / 1_000.0);
        let _ = writeln!(text, "{line}");
    }
    text
}

fn agent_event(event: &AgentEvent) -> Value {
    match event {
        AgentEvent::Avatar(notice) => avatar_event(notice),
        AgentEvent::Conversation(event) => conversation_event(event),
        AgentEvent::Dtmf(digit) => json!({ "event": "dtmf", "digit": digit.to_string() }),
        AgentEvent::Leg { leg, event } => {
            let mut value = leg_event(event);
            value["leg"] = json!(leg.to_string());
            value
        }
        AgentEvent::Partial(text) => json!({ "event": "partial", "text": text }),
        AgentEvent::ResponderFailed { turn, message } => {
            json!({ "event": "responder_failed", "turn": turn.get(), "message": message })
        }
        AgentEvent::Started(info) => {
            json!({ "event": "started", "call": info.call_id.as_str(), "format": info.format.to_string() })
        }
        AgentEvent::StreamEnded(record) => json!({
            "event": "stream_ended", "links": record.links, "clears": record.clears,
            "bytes_in": record.bytes_in, "bytes_out": record.bytes_out, "gaps": record.gaps,
        }),
        other => json!({ "event": "other", "text": format!("{other:?}") }),
    }
}

fn avatar_event(notice: &AvatarNotice) -> Value {
    if let AvatarNotice::Protocol(AvatarEvent::Chunk(receipt)) = notice {
        json!({ "event": "avatar_confirmed", "utterance": receipt.utterance.get(),
            "samples": [receipt.samples.start, receipt.samples.end],
            "queueing_ms": receipt.queueing.as_millis() as u64 })
    } else {
        json!({ "event": "avatar", "text": format!("{notice:?}") })
    }
}

fn conversation_event(event: &ConversationEvent) -> Value {
    match event {
        ConversationEvent::CallerSaid { turn, text } => {
            json!({ "event": "caller_said", "turn": turn.get(), "text": text })
        }
        ConversationEvent::AgentSays { turn, text, .. } => {
            json!({ "event": "agent_says", "turn": turn.get(), "text": text })
        }
        ConversationEvent::Answering { turn, shares } => {
            json!({ "event": "answering", "turn": turn.get(), "own_ms": shares.total().as_millis() as u64 })
        }
        ConversationEvent::BargeIn { turn } => json!({ "event": "barge_in", "turn": turn.get() }),
        ConversationEvent::TurnEnded { turn, heard, interrupted } => {
            json!({ "event": "turn_ended", "turn": turn.get(), "heard": heard, "interrupted": interrupted })
        }
        ConversationEvent::FellSilent { turn, latency } => {
            json!({ "event": "fell_silent", "turn": turn.get(), "after_ms": latency.total().as_millis() as u64 })
        }
        ConversationEvent::Paused { turn } => json!({ "event": "paused", "turn": turn.get() }),
        ConversationEvent::Resumed { turn } => json!({ "event": "resumed", "turn": turn.get() }),
        other @ (ConversationEvent::TranscriptLate { .. }
        | ConversationEvent::ReplyLate { .. }
        | ConversationEvent::SpeechFailed { .. }
        | _) => json!({ "event": "trouble", "text": format!("{other:?}") }),
    }
}

fn leg_event(event: &LegEvent) -> Value {
    match event {
        LegEvent::Lost => json!({ "event": "link_lost" }),
        LegEvent::Redialling { attempt, delay } => {
            json!({ "event": "redialling", "attempt": attempt, "delay_ms": delay.as_millis() as u64 })
        }
        LegEvent::Up { after } => json!({ "event": "link_up", "after_ms": after.as_millis() as u64 }),
        LegEvent::Warning(text) => json!({ "event": "warning", "text": text }),
        other @ (LegEvent::Overrun | LegEvent::Refused(_) | _) => {
            json!({ "event": "trouble", "text": format!("{other:?}") })
        }
    }
}

fn timeline(play: &Play, outcomes: &[TurnOutcome]) -> Timeline {
    let recording = &play.recording;
    let rate = recording.format.rate;
    let mut picture = Timeline::new("voxline demo", rate, &recording.said, &recording.heard)
        .with_avatar(AvatarEar::RATE, &play.room_sound);
    let end = picture.duration;
    for (index, outcome) in outcomes.iter().enumerate() {
        let from = play.turns.get(index).map_or(end, |turn| rate.duration_of(turn.said_from));
        let to = play.turns.get(index + 1).map_or(end, |turn| rate.duration_of(turn.said_from));
        let mut turn = TimelineTurn::new(outcome.turn as u64, from..to);
        turn.caller_said.clone_from(&outcome.caller_said);
        turn.agent_text.clone_from(&outcome.agent_text);
        turn.agent_heard.clone_from(&outcome.agent_heard);
        turn.shares = outcome.shares_ms.unwrap_or_default();
        picture.turns.push(turn);
    }
    for leg in [Leg::Phone, Leg::Stt, Leg::Tts, Leg::Avatar] {
        let cuts = play.cuts.iter().filter(|cut| cut.leg == leg).map(|cut| cut.at).collect();
        picture.links.push(LinkLane::new(leg.to_string(), spans_up(play, leg, end), cuts));
    }
    let barge_in = |(at, event): &(Duration, AgentEvent)| {
        matches!(event, AgentEvent::Conversation(ConversationEvent::BargeIn { .. })).then_some(*at)
    };
    picture.barge_ins = play.agent.iter().filter_map(barge_in).collect();
    picture
}

/// When a leg's link was open, by the agent's own events.
fn spans_up(play: &Play, of: Leg, end: Duration) -> Vec<std::ops::Range<Duration>> {
    let mut up = Vec::new();
    // The phone's link is what the call began with, and the avatar was there before.
    let mut since = matches!(of, Leg::Phone | Leg::Avatar).then_some(Duration::ZERO);
    for (at, event) in &play.agent {
        match is_up(event, of) {
            Some(true) => since = since.or(Some(*at)),
            Some(false) => up.extend(since.take().map(|since| since..*at)),
            None => {}
        }
    }
    up.extend(since.map(|since| since..end));
    up
}

/// Whether an event says that a leg's link is up, or is not.
fn is_up(event: &AgentEvent, of: Leg) -> Option<bool> {
    if let AgentEvent::Leg { leg, event } = event {
        let says = matches!(event, LegEvent::Up { .. } | LegEvent::Lost);
        return (*leg == of && says).then_some(matches!(event, LegEvent::Up { .. }));
    }
    let AgentEvent::Avatar(notice) = event else { return None };
    let is_up = matches!(&**notice, AvatarNotice::Protocol(AvatarEvent::Established { .. }));
    let is_down = matches!(&**notice, AvatarNotice::Protocol(AvatarEvent::LinkDown { .. }));
    (of == Leg::Avatar && (is_up || is_down)).then_some(is_up)
}

//! What came of each turn: decoded, measured, and compared with what was said.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use voxline_session::{AgentEvent, ConversationEvent, Shares, TurnId};

use super::plan::{Mishap, Plan};
use super::stage::{Play, PlayedTurn};
use crate::simulate::agenthuman::AvatarEar;
use crate::simulate::caller::{Recording, words_of};

/// One turn, as `turns.json` tells it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TurnOutcome {
    pub(super) turn: usize,
    /// What the caller said, by the script.
    pub(super) caller_said: String,
    /// What the recogniser decoded from the audio that reached it.
    pub(super) stt_text: String,
    /// What the agent wanted to say.
    pub(super) agent_text: String,
    /// What was decoded from the audio at the caller's ear.
    pub(super) agent_heard: String,
    /// What was decoded from what the avatar said in its room.
    pub(super) avatar_said: String,
    /// What the agent believes the caller heard.
    pub(super) agent_heard_estimate: String,
    pub(super) interrupted: bool,
    pub(super) link_cuts: usize,
    #[serde(serialize_with = "as_millis")]
    pub(super) shares_ms: Option<Shares>,
    /// Between the caller's last sound and the agent's first, in the recording.
    pub(super) silence_ms: Option<u64>,
    /// From the caller's first sound over the agent to the agent's silence, in the recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) talked_over_ms: Option<u64>,
    /// Every decoded text equals what was said.
    pub(super) ok: bool,
}

impl TurnOutcome {
    /// What came of every turn of `plan`.
    pub(super) fn all(plan: &Plan, play: &Play) -> Vec<Self> {
        (0..plan.turns.len()).map(|index| Self::of(index, plan, play)).collect()
    }

    fn of(index: usize, plan: &Plan, play: &Play) -> Self {
        let planned = &plan.turns[index];
        let story = Story::of(TurnId::new(index as u32 + 1), play);
        let agent_heard = heard_words(index, play);
        let avatar_said = room_words(index, play);
        let silence = silence_after(index, play);
        let shares = story.answered.map(|(at, shares)| with_provider(shares, at, index, play));
        let (caller_said, stt_text) = (planned.said.text().to_owned(), story.understood);
        // The agent answers what it understood, so a wrong reply is a wrong transcript.
        let heard_right = if matches!(planned.mishap, Mishap::BargeIn { .. }) {
            let is_begun = |heard: &str| !heard.is_empty() && story.said.starts_with(heard);
            let begun = is_begun(&agent_heard) && is_begun(&avatar_said);
            story.interrupted && begun && planned.reply.starts_with(&story.said)
        } else {
            let is_whole = agent_heard == story.said && avatar_said == story.said;
            !story.interrupted && is_whole && story.said == planned.reply
        };
        Self {
            turn: index + 1,
            ok: stt_text == caller_said && heard_right,
            caller_said,
            stt_text,
            agent_text: story.said,
            agent_heard,
            avatar_said,
            agent_heard_estimate: story.heard,
            interrupted: story.interrupted,
            link_cuts: play.cuts.iter().filter(|cut| cut.turn == index).count(),
            shares_ms: shares,
            silence_ms: silence.map(|silence| silence.as_millis() as u64),
            talked_over_ms: talked_over(index, play).map(|span| span.as_millis() as u64),
        }
    }

    /// What of the silence no share explains, in milliseconds; negative where shares overlap.
    pub(super) fn rest_ms(&self) -> Option<i64> {
        let shares = self.shares_ms?.total().as_millis() as i64;
        Some(self.silence_ms? as i64 - shares)
    }
}

/// One turn in the agent's own events.
#[derive(Debug, Default)]
struct Story {
    understood: String,
    said: String,
    heard: String,
    interrupted: bool,
    /// When the answer's first audio left, and what the agent knows of the time before.
    answered: Option<(Duration, Shares)>,
}

impl Story {
    fn of(turn: TurnId, play: &Play) -> Self {
        let mut story = Self::default();
        for (at, event) in &play.agent {
            if let AgentEvent::Conversation(event) = event {
                story.add(turn, *at, event);
            }
        }
        story
    }

    fn add(&mut self, turn: TurnId, at: Duration, event: &ConversationEvent) {
        match event {
            ConversationEvent::CallerSaid { turn: of, text } if *of == turn => {
                self.understood.clone_from(text);
            }
            ConversationEvent::AgentSays { turn: of, text, .. } if *of == turn => {
                if !self.said.is_empty() {
                    self.said.push(' ');
                }
                self.said.push_str(text);
            }
            ConversationEvent::Answering { turn: of, shares } if *of == turn => {
                self.answered = Some((at, *shares));
            }
            ConversationEvent::TurnEnded { turn: of, heard, interrupted } if *of == turn => {
                self.heard.clone_from(heard);
                self.interrupted = *interrupted;
            }
            ConversationEvent::CallerSaid { .. }
            | ConversationEvent::AgentSays { .. }
            | ConversationEvent::Answering { .. }
            | ConversationEvent::BargeIn { .. }
            | ConversationEvent::TurnEnded { .. }
            | ConversationEvent::TranscriptLate { .. }
            | ConversationEvent::ReplyLate { .. }
            | ConversationEvent::SpeechFailed { .. }
            | _ => {}
        }
    }
}

/// The words heard between the end of this turn's question and the end of the next one's.
fn heard_words(index: usize, play: &Play) -> String {
    let from = play.turns.get(index).map_or(u64::MAX, |turn| turn.said_to);
    let to = play.turns.get(index + 1).map_or(u64::MAX, |turn| turn.said_to);
    words_of(play.recording.blocks.iter().filter(|block| (from..to).contains(&block.start)))
}

/// The words said in the room in the same time.
fn room_words(index: usize, play: &Play) -> String {
    let rate = play.recording.format.rate;
    let asked = |turn: Option<&PlayedTurn>| {
        turn.map_or(u64::MAX, |turn| AvatarEar::RATE.samples_in(rate.duration_of(turn.said_to)))
    };
    let span = asked(play.turns.get(index))..asked(play.turns.get(index + 1));
    words_of(play.room.iter().filter(|block| span.contains(&block.start)))
}

/// Adds what only the other end can measure: how long the answer's first audio took to the ear, less its half of the
/// network's round trip.
fn with_provider(mut shares: Shares, left_at: Duration, index: usize, play: &Play) -> Shares {
    if let Some(heard_at) = first_answer(index, play) {
        shares.provider = heard_at.saturating_sub(left_at).saturating_sub(shares.network / 2);
    }
    shares
}

/// When the answer's first sound was heard.
fn first_answer(index: usize, play: &Play) -> Option<Duration> {
    let turn = play.turns.get(index)?;
    let heard = play.recording.heard.get(turn.said_to as usize..)?;
    let first = heard.iter().position(|sample| is_sound(*sample))?;
    Some(play.recording.format.rate.duration_of(turn.said_to + first as u64))
}

/// The silence between a question and its answer, in the recording.
fn silence_after(index: usize, play: &Play) -> Option<Duration> {
    let turn = play.turns.get(index)?;
    let last_word = last_sound(&play.recording.said, turn)?;
    let heard = play.recording.heard.get(last_word..)?;
    let first_word = heard.iter().position(|sample| is_sound(*sample))?;
    Some(play.recording.format.rate.duration_of(first_word as u64))
}

/// How long the agent went on after the caller had begun to speak over it.
fn talked_over(index: usize, play: &Play) -> Option<Duration> {
    let Recording { heard, format, .. } = &play.recording;
    let next = play.turns.get(index + 1)?;
    let begun = next.said_from as usize;
    let gap = format.rate.samples_in(PAUSE) as usize;
    // Talked over only if the agent was speaking at that moment.
    heard.get(begun.saturating_sub(gap)..begun)?.iter().find(|sample| is_sound(**sample))?;
    let overlap = heard.get(begun..next.said_to as usize)?;
    let last = overlap.iter().rposition(|sample| is_sound(*sample))?;
    Some(format.rate.duration_of(last as u64))
}

fn last_sound(said: &[i16], turn: &PlayedTurn) -> Option<usize> {
    let words = said.get(turn.said_from as usize..turn.said_to as usize)?;
    Some(turn.said_from as usize + words.iter().rposition(|sample| is_sound(*sample))? + 1)
}

fn is_sound(sample: i16) -> bool {
    sample.unsigned_abs() > SOUND
}

fn as_millis<S: serde::Serializer>(shares: &Option<Shares>, serializer: S) -> Result<S::Ok, S::Error> {
    let millis = |shares: &Shares| {
        let shares =
            shares.named().map(|(name, share, _)| (name.to_owned(), json!(share.as_millis() as u64)));
        Map::from_iter(shares)
    };
    shares.as_ref().map(millis).map_or_else(|| Value::Object(Map::new()), Value::Object).serialize(serializer)
}

/// −46 dBFS: above a telephone's noise, under the quiet ends of words.
const SOUND: u16 = 160;
/// A voice that was silent for this long was not speaking.
const PAUSE: Duration = Duration::from_millis(100);

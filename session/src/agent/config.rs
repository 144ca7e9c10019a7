//! What an agent is told, and what it tells.

use std::fmt;
use std::time::Duration;

use thiserror::Error;
use voxline_audio::{AudioFormat, SampleRate, VoiceDetectorConfig};
use voxline_protocol::CommandError;
use voxline_protocol::plivo::{Digit, StreamInfo};

use super::record::StreamRecord;
use crate::{Avatar, AvatarNotice, ConversationConfig, ConversationEvent, SessionError, TurnId};

/// How an agent hears, speaks and takes turns.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Turn taking and barge-in.
    pub conversation: ConversationConfig,
    /// When the caller is speaking.
    pub detector: VoiceDetectorConfig,
    /// What the synthesis session makes; must equal its own setting. 16-bit linear at 24 kHz by default.
    pub speech: AudioFormat,
    /// The rate of the 16-bit linear audio the recognition session takes; must equal its own setting. 16 kHz by
    /// default.
    pub hearing: SampleRate,
    /// How long the sessions may take to close after the call. 2 s by default; then they are cut.
    pub teardown: Duration,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            conversation: ConversationConfig::default(),
            // Long sentences without a breath must not be taken for the line's noise.
            detector: VoiceDetectorConfig::default().with_floor_memory(Duration::from_secs(30)),
            speech: AudioFormat::linear16(SampleRate::Hz24000),
            hearing: SampleRate::Hz16000,
            teardown: Duration::from_secs(2),
        }
    }
}

impl AgentConfig {
    /// Uses another way of taking turns.
    #[must_use]
    pub fn with_conversation(self, conversation: ConversationConfig) -> Self {
        Self { conversation, ..self }
    }

    /// Uses another voice detector.
    #[must_use]
    pub fn with_detector(self, detector: VoiceDetectorConfig) -> Self {
        Self { detector, ..self }
    }

    /// Takes speech in another format. µ-law at 8 kHz passes through to a phone untouched.
    #[must_use]
    pub fn with_speech(self, speech: AudioFormat) -> Self {
        Self { speech, ..self }
    }
}

/// Through what an agent speaks.
#[non_exhaustive]
#[derive(Debug, Default)]
pub enum Output {
    /// An avatar in its room. The caller is heard on the phone, which stays silent while there is an avatar.
    Avatar(Avatar),
    /// Both. What is heard through one of them only does not count as heard.
    Both(Avatar),
    /// The phone.
    #[default]
    Phone,
}

/// One of an agent's sessions.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leg {
    /// The avatar.
    Avatar,
    /// The call.
    Phone,
    /// Speech recognition.
    Stt,
    /// Speech synthesis.
    Tts,
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avatar => "avatar",
            Self::Phone => "phone",
            Self::Stt => "stt",
            Self::Tts => "tts",
        })
    }
}

/// What an agent tells its observer.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// What the avatar tells: confirmations with their queueing latency, recoveries, its room.
    Avatar(Box<AvatarNotice>),
    /// What was said, answered, interrupted.
    Conversation(ConversationEvent),
    /// The caller pressed a key.
    Dtmf(Digit),
    /// Something happened to a session's link.
    Leg {
        /// Which session.
        leg: Leg,
        /// What.
        event: LegEvent,
    },
    /// What the recogniser makes of the unfinished utterance.
    Partial(String),
    /// The responder gave up; what it had said so far is spoken.
    ResponderFailed {
        /// Which turn it was answering.
        turn: TurnId,
        /// Its own words.
        message: String,
    },
    /// The call's stream began, or goes on over another link.
    Started(StreamInfo),
    /// A stream is over; the last thing told of it.
    StreamEnded(StreamRecord),
}

/// What can happen to one session of a call.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum LegEvent {
    /// A session took no more commands; this one was dropped.
    Overrun,
    /// A machine refused what the agent asked.
    Refused(CommandError),
    /// The link is gone; what the peer had not covered is kept.
    Lost,
    /// A dial is planned.
    Redialling {
        /// Which in a row.
        attempt: u32,
        /// Until it is made.
        delay: Duration,
    },
    /// A session that stood by took the place of one that had lost its link.
    Replaced,
    /// A link is up.
    Up {
        /// How long there was none.
        after: Duration,
    },
    /// The peer complained, or sent what nobody understands.
    Warning(String),
}

/// The call ended badly.
#[non_exhaustive]
#[derive(Debug, Error)]
#[error("{leg} session failed")]
pub struct AgentError {
    /// Which session.
    pub leg: Leg,
    /// How.
    #[source]
    pub source: SessionError,
}

//! What somebody in the room sees, as Daily's browser library tells it in JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::DecodeError;
use crate::json::decode;

/// One event of a room, by the names of Daily's browser library (`daily-js`).
///
/// ```
/// use voxline_protocol::daily::{NetworkState, RoomEvent};
///
/// let event = RoomEvent::from_json(r#"{"action":"network-quality-change","networkState":"low"}"#)?;
/// assert_eq!(event, RoomEvent::NetworkQuality { state: NetworkState::Warning, reasons: vec![] });
/// # Ok::<(), voxline_protocol::DecodeError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum RoomEvent {
    /// The room failed for good; `Left` follows.
    Error(RoomError),
    /// We are in: everybody who is there already.
    Joined {
        /// Remote participants and ourselves.
        participants: Vec<Participant>,
    },
    /// We are out.
    Left,
    /// One of our connections was made or broke.
    NetworkConnection {
        /// `signaling`, `sfu` or `peer-to-peer`.
        kind: String,
        /// True for connected, false for interrupted.
        is_connected: bool,
    },
    /// Our own network got better or worse.
    NetworkQuality {
        /// How good it is.
        state: NetworkState,
        /// Why, in the library's words.
        reasons: Vec<String>,
    },
    /// Somebody came. May come before our own `Joined`.
    ParticipantJoined(Participant),
    /// Somebody went.
    ParticipantLeft(Participant),
    /// Something about somebody changed, tracks included.
    ParticipantUpdated(Participant),
    /// A track began to flow.
    TrackStarted {
        /// Whose, if it is known.
        session_id: Option<String>,
        /// Which.
        kind: TrackKind,
    },
    /// A track stopped.
    TrackStopped {
        /// Whose, if it is known: not always after leaving.
        session_id: Option<String>,
        /// Which.
        kind: TrackKind,
    },
    /// An event this version has no use for.
    Unhandled {
        /// Its name.
        action: String,
    },
}

/// Somebody in the room.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Participant {
    /// New with every join.
    pub session_id: String,
    /// From the token, else the session id.
    pub user_id: Option<String>,
    /// The display name.
    pub user_name: Option<String>,
    /// Ourselves.
    pub local: bool,
    /// Tracks by name: `audio`, `video` and others.
    pub tracks: BTreeMap<String, Track>,
}

impl Participant {
    /// The state of one of its tracks; off where there is none.
    #[must_use]
    pub fn track(&self, kind: &TrackKind) -> TrackState {
        self.tracks.get(kind.as_str()).map_or(TrackState::Off { by_bandwidth: false }, Track::state)
    }
}

/// A track as it stands in the JSON.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Track {
    state: String,
    subscribed: Value,
    off: Option<BTreeMap<String, Value>>,
}

impl Track {
    fn state(&self) -> TrackState {
        match self.state.as_str() {
            "blocked" => TrackState::Blocked,
            "interrupted" => TrackState::Interrupted,
            "loading" => TrackState::Loading,
            "playable" => TrackState::Playable,
            "sendable" => TrackState::Sendable,
            _ => {
                let by_bandwidth = self.off.as_ref().and_then(|off| off.get("byBandwidth"));
                TrackState::Off { by_bandwidth: by_bandwidth == Some(&Value::Bool(true)) }
            }
        }
    }

    /// Whether we take it.
    #[must_use]
    pub fn subscription(&self) -> Subscription {
        if self.subscribed == Value::Bool(true) {
            Subscription::Subscribed
        } else if self.subscribed == "staged" {
            Subscription::Staged
        } else {
            Subscription::Unsubscribed
        }
    }
}

/// Whether a track is taken.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// Negotiated, no bytes flow.
    Staged,
    /// It flows.
    Subscribed,
    /// Not taken.
    Unsubscribed,
}

/// How a track is.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackState {
    /// A device or a permission is missing at the sender.
    Blocked,
    /// A stall that is expected to pass.
    Interrupted,
    /// It will flow soon.
    Loading,
    /// It is switched off.
    Off {
        /// By the service, because there is too little bandwidth.
        by_bandwidth: bool,
    },
    /// It flows.
    Playable,
    /// It is there to be subscribed to.
    Sendable,
}

/// Which track.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrackKind {
    /// The microphone.
    Audio,
    /// Any other, by its name.
    Other(String),
    /// The camera.
    Video,
}

impl TrackKind {
    /// The name in the library.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Other(name) => name,
            Self::Video => "video",
        }
    }
}

/// How good our own network is.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NetworkState {
    /// Too bad for a picture.
    Bad,
    /// Good.
    Good,
    /// Not known.
    #[default]
    Unknown,
    /// Getting worse; also called low.
    Warning,
}

/// Why a room failed.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomError {
    /// Which kind.
    pub kind: ErrorKind,
    /// The library's words.
    pub message: String,
}

/// The kinds of failures a room can have.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The network: joining again may help.
    Connection,
    /// Thrown out: by an owner, a time limit, or a second join with the same user id.
    Ejected,
    /// The library is too old.
    EndOfLife,
    /// The room has expired.
    ExpiredRoom,
    /// The token has expired.
    ExpiredToken,
    /// As many are in as may be.
    MeetingFull,
    /// There is no such room.
    NoRoom,
    /// Token or privacy forbid it.
    NotAllowed,
    /// The room is not open yet.
    NotYetRoom,
    /// The token is not valid yet.
    NotYetToken,
    /// A kind nobody documented.
    Unknown,
}

impl ErrorKind {
    /// Whether joining again, with the same room and token, can help.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Connection | Self::MeetingFull | Self::NotYetRoom | Self::NotYetToken | Self::Unknown => {
                true
            }
            Self::Ejected
            | Self::EndOfLife
            | Self::ExpiredRoom
            | Self::ExpiredToken
            | Self::NoRoom
            | Self::NotAllowed => false,
        }
    }
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Wire {
    action: String,
    participant: Option<Participant>,
    participants: BTreeMap<String, Participant>,
    network_state: String,
    network_state_reasons: Option<Vec<String>>,
    #[serde(rename = "type")]
    kind: String,
    event: String,
    error_msg: String,
    error: Option<WireError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireError {
    #[serde(rename = "type")]
    kind: String,
    msg: String,
}

impl RoomEvent {
    /// Reads one event. An action this version has no use for is `Unhandled`.
    ///
    /// # Errors
    /// The text is not JSON of the documented shape.
    pub fn from_json(text: &str) -> Result<Self, DecodeError> {
        let wire: Wire = decode(text)?;
        let somebody = |wire: Wire| {
            wire.participant.ok_or_else(|| DecodeError::new("missing field `participant`", text))
        };
        let session_id = wire.participant.as_ref().map(|somebody| somebody.session_id.clone());
        Ok(match wire.action.as_str() {
            "error" => {
                let WireError { kind, msg } = wire.error.unwrap_or_default();
                let message = if wire.error_msg.is_empty() { msg } else { wire.error_msg };
                Self::Error(RoomError { kind: error_kind(&kind), message })
            }
            "joined-meeting" => Self::Joined { participants: wire.participants.into_values().collect() },
            "left-meeting" => Self::Left,
            "network-connection" => {
                Self::NetworkConnection { kind: wire.kind, is_connected: wire.event == "connected" }
            }
            "network-quality-change" => Self::NetworkQuality {
                state: match wire.network_state.as_str() {
                    "good" => NetworkState::Good,
                    "warning" | "low" => NetworkState::Warning,
                    "bad" => NetworkState::Bad,
                    _ => NetworkState::Unknown,
                },
                reasons: wire.network_state_reasons.unwrap_or_default(),
            },
            "participant-joined" => Self::ParticipantJoined(somebody(wire)?),
            "participant-left" => Self::ParticipantLeft(somebody(wire)?),
            "participant-updated" => Self::ParticipantUpdated(somebody(wire)?),
            "track-started" => Self::TrackStarted { session_id, kind: track_kind(&wire.kind) },
            "track-stopped" => Self::TrackStopped { session_id, kind: track_kind(&wire.kind) },
            action => Self::Unhandled { action: action.to_owned() },
        })
    }
}

fn track_kind(name: &str) -> TrackKind {
    match name {
        "audio" => TrackKind::Audio,
        "video" => TrackKind::Video,
        other => TrackKind::Other(other.to_owned()),
    }
}

fn error_kind(name: &str) -> ErrorKind {
    match name {
        "connection-error" => ErrorKind::Connection,
        "ejected" => ErrorKind::Ejected,
        "end-of-life" => ErrorKind::EndOfLife,
        "exp-room" => ErrorKind::ExpiredRoom,
        "exp-token" => ErrorKind::ExpiredToken,
        "meeting-full" => ErrorKind::MeetingFull,
        "no-room" => ErrorKind::NoRoom,
        "not-allowed" => ErrorKind::NotAllowed,
        "nbf-room" => ErrorKind::NotYetRoom,
        "nbf-token" => ErrorKind::NotYetToken,
        _ => ErrorKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_with_what_newer_libraries_add() {
        let text = r#"{"action":"participant-updated","callClientId":"1","participant":{"session_id":"s1",
            "user_name":"AI Avatar (AH)","local":false,"permissions":{"canSend":[]},"tracks":{
            "video":{"state":"off","subscribed":"staged","off":{"byBandwidth":true}},
            "audio":{"state":"playable","subscribed":true},"hologram":{"state":"new"}}}}"#;
        let RoomEvent::ParticipantUpdated(avatar) = RoomEvent::from_json(text).unwrap() else { panic!() };
        assert_eq!(avatar.track(&TrackKind::Video), TrackState::Off { by_bandwidth: true });
        assert_eq!(avatar.track(&TrackKind::Audio), TrackState::Playable);
        assert_eq!(avatar.tracks["video"].subscription(), Subscription::Staged);
        let stopped = RoomEvent::from_json(r#"{"action":"track-stopped","participant":null,"type":"video"}"#);
        assert_eq!(stopped, Ok(RoomEvent::TrackStopped { session_id: None, kind: TrackKind::Video }));
        let error = r#"{"action":"error","errorMsg":"gone","error":{"type":"exp-room","msg":"x"}}"#;
        let expected = RoomError { kind: ErrorKind::ExpiredRoom, message: "gone".into() };
        assert_eq!(RoomEvent::from_json(error), Ok(RoomEvent::Error(expected)));
        assert!(RoomEvent::from_json(r#"{"action":"participant-left"}"#).is_err());
        assert!(RoomEvent::from_json("7").is_err());
    }
}

//! What Plivo tells over HTTP: a call that asks for instructions or is over, and how its stream fares.

use std::fmt;
use std::time::Duration;

use super::caller::DropReason;
use super::codes;
use super::form::Params;
use super::types::{CallId, DegradedLevel, StreamId};
use crate::{Code, DecodeError};

/// An answer, ring or hangup webhook.
///
/// ```
/// use voxline_protocol::plivo::{CallDirection, CallState, CallWebhook, Params};
///
/// let params = Params::from_form("CallUUID=c-1&From=%2B14155550100&To=14155550199&Direction=inbound&CallStatus=ringing");
/// let call = CallWebhook::read(params)?;
/// assert_eq!((call.direction, call.state), (Some(CallDirection::Inbound), CallState::Ringing));
/// # Ok::<(), voxline_protocol::DecodeError>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct CallWebhook {
    /// The call. Webhooks may be delivered twice: act once on each.
    pub call_id: CallId,
    /// Who calls, in E.164 with or without `+`, or a SIP address.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Which way the call goes.
    pub direction: Option<CallDirection>,
    /// How the call stands.
    pub state: CallState,
    /// How the call ended, on the hangup URL: a name such as `NORMAL_CLEARING`, or a number.
    pub hangup_cause: Option<String>,
    /// The hangup cause's page, where it has one.
    pub hangup_code: Option<Code>,
    /// How long the call lasted, on the hangup URL.
    pub duration: Option<Duration>,
    /// Everything, known or not.
    pub params: Params,
}

impl CallWebhook {
    /// Reads a call webhook.
    ///
    /// # Errors
    /// It names no call.
    pub fn read(params: Params) -> Result<Self, DecodeError> {
        let text = |name: &str| params.text(name).unwrap_or_default();
        let call_id = required(&params, "CallUUID")?;
        let direction = match text("Direction").as_str() {
            "inbound" => Some(CallDirection::Inbound),
            "outbound" => Some(CallDirection::Outbound),
            _ => None,
        };
        let hangup_code = ["HangupCauseCode", "HangupCause"]
            .into_iter()
            .find_map(|name| codes::of_hangup(&params.text(name)?));
        Ok(Self {
            call_id: call_id.into(),
            from: text("From"),
            to: text("To"),
            direction,
            state: CallState::parse(&text("CallStatus")),
            hangup_cause: params.text("HangupCause"),
            hangup_code,
            duration: seconds(&params, "Duration"),
            params,
        })
    }
}

/// Which way a call goes, seen from the account.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallDirection {
    /// Somebody called the account's number.
    Inbound,
    /// The account placed the call.
    Outbound,
}

/// How a call stands.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallState {
    /// The called line was busy.
    Busy,
    /// It ended.
    Completed,
    /// It could not be placed.
    Failed,
    /// People talk.
    InProgress,
    /// Nobody answered.
    NoAnswer,
    /// Something Plivo did not document, or nothing at all.
    Other(String),
    /// It rings.
    Ringing,
    /// It rang too long.
    Timeout,
}

impl CallState {
    fn parse(text: &str) -> Self {
        match text {
            "busy" => Self::Busy,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "in-progress" => Self::InProgress,
            "no-answer" => Self::NoAnswer,
            "ringing" => Self::Ringing,
            "timeout" => Self::Timeout,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// A stream's status callback, in either naming scheme.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct StreamCallback {
    /// What happened. Callbacks may be delivered twice: act once on each, by stream and kind.
    pub notice: StreamNotice,
    /// The stream's call.
    pub call_id: CallId,
    /// The stream.
    pub stream_id: StreamId,
    /// When, in Plivo's own words: `YYYY-MM-DD HH:MM:SS` or ISO 8601.
    pub timestamp: Option<String>,
    /// Everything, known or not.
    pub params: Params,
}

/// What a status callback reports.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamNotice {
    /// The server reads too slowly: shorten the lead, shed filler, watch the buffer. Plivo does not
    /// document where the level stands; `None` if it was not found.
    Degraded(Option<DegradedLevel>),
    /// The stream broke off: alert somebody. `None` if Plivo's words fit no reason we know.
    Dropped(Option<DropReason>),
    /// An event Plivo does not document.
    Other(String),
    /// The stream began: log it.
    Started,
    /// The stream ended as it should, after so long: clean up.
    Stopped(Option<Duration>),
}

/// How status callbacks are named.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamingScheme {
    /// `StartStream`, `StopStream`, `DroppedStream`, `DegradedStream`: the best practices, and live logs.
    A,
    /// `started`, `stopped`, `failed`: the protocol reference of 2026.
    B,
}

impl StreamCallback {
    /// Reads a status callback.
    ///
    /// # Errors
    /// It names no event, call or stream.
    pub fn read(params: Params) -> Result<Self, DecodeError> {
        let event = required(&params, "Event")?;
        let notice = match event.as_str() {
            "StartStream" | "started" => StreamNotice::Started,
            "StopStream" | "stopped" => StreamNotice::Stopped(seconds(&params, "Duration")),
            "DroppedStream" | "failed" => StreamNotice::Dropped(drop_reason(&params)),
            "DegradedStream" | "degraded" => StreamNotice::Degraded(level(&params)),
            other => StreamNotice::Other(other.to_owned()),
        };
        Ok(Self {
            notice,
            call_id: required(&params, "CallUUID")?.into(),
            stream_id: required(&params, "StreamID")?.into(),
            timestamp: params.text("Timestamp"),
            params,
        })
    }

    /// Writes one, as Plivo would: for the simulator. `None` for what the scheme has no name for.
    #[must_use]
    pub fn write(
        scheme: NamingScheme,
        notice: &StreamNotice,
        call_id: &CallId,
        stream_id: &StreamId,
        timestamp: &str,
    ) -> Option<Params> {
        let (event, event_b) = match notice {
            StreamNotice::Degraded(_) => ("DegradedStream", None),
            StreamNotice::Dropped(_) => ("DroppedStream", Some("failed")),
            StreamNotice::Other(event) => (event.as_str(), Some(event.as_str())),
            StreamNotice::Started => ("StartStream", Some("started")),
            StreamNotice::Stopped(_) => ("StopStream", Some("stopped")),
        };
        let event = match scheme {
            NamingScheme::A => event,
            NamingScheme::B => event_b?,
        };
        let mut params = Params::new();
        params.push("Event", event);
        params.push("CallUUID", call_id.as_str());
        params.push("StreamID", stream_id.as_str());
        params.push("Timestamp", timestamp);
        match (notice, scheme) {
            (StreamNotice::Degraded(Some(level)), _) => {
                params.push("BufferLevel", level.percent().to_string());
            }
            (StreamNotice::Dropped(Some(reason)), NamingScheme::A) => params.push("Error", words(*reason)),
            (StreamNotice::Dropped(Some(reason)), NamingScheme::B) => {
                params.push("StatusReason", words(*reason));
            }
            (StreamNotice::Stopped(duration), NamingScheme::B) => {
                params.push("StatusReason", "completed");
                if let Some(duration) = duration {
                    params.push("Duration", duration.as_secs().to_string());
                }
            }
            (
                StreamNotice::Degraded(_)
                | StreamNotice::Dropped(_)
                | StreamNotice::Other(_)
                | StreamNotice::Started
                | StreamNotice::Stopped(_),
                _,
            ) => {}
        }
        Some(params)
    }
}

impl fmt::Display for StreamNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Degraded(Some(level)) => write!(f, "degraded: {} % behind", level.percent()),
            Self::Degraded(None) => f.write_str("degraded"),
            Self::Dropped(Some(reason)) => write!(f, "dropped: {}", words(*reason)),
            Self::Dropped(None) => f.write_str("dropped"),
            Self::Other(event) => f.write_str(event),
            Self::Started => f.write_str("started"),
            Self::Stopped(_) => f.write_str("stopped"),
        }
    }
}

fn required(params: &Params, name: &str) -> Result<String, DecodeError> {
    let missing = || DecodeError::new(format_args!("no `{name}`"), &params.to_form());
    params.text(name).filter(|value| !value.is_empty()).ok_or_else(missing)
}

fn seconds(params: &Params, name: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(params.text(name)?.trim().parse().ok()?).ok()
}

const fn words(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Initiation => "connection_failed",
        DropReason::Streaming => "connection disconnected with the remote service",
        DropReason::TooSlow => "slow connection",
    }
}

/// By Plivo's words, in whichever field they stand.
fn drop_reason(params: &Params) -> Option<DropReason> {
    let text = ["Error", "StatusReason", "Reason"].into_iter().find_map(|name| params.text(name))?;
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["slow", "buffer"]) {
        Some(DropReason::TooSlow)
    } else if has(&["connection_failed", "authentication_failed", "initiat", "handshake", "refused"]) {
        Some(DropReason::Initiation)
    } else if has(&["disconnect", "reset", "terminated", "closed"]) {
        Some(DropReason::Streaming)
    } else {
        None
    }
}

/// Any parameter that sounds like a buffer's level, rounded down to one of the three thresholds.
fn level(params: &Params) -> Option<DegradedLevel> {
    let sounds = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["buffer", "level", "percent"].iter().any(|word| name.contains(word))
    };
    let value = params.iter().find(|(name, _)| sounds(name))?.1;
    let percent: f64 = value.trim().trim_end_matches('%').parse().ok()?;
    DegradedLevel::ALL.into_iter().rev().find(|level| percent >= f64::from(level.percent()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_naming_schemes_are_read() {
        let base = "CallUUID=c&StreamID=s&";
        for (body, expected) in [
            ("Event=StartStream", StreamNotice::Started),
            ("Event=started", StreamNotice::Started),
            ("Event=StopStream", StreamNotice::Stopped(None)),
            ("Event=stopped&Duration=12", StreamNotice::Stopped(Some(Duration::from_secs(12)))),
            (
                "Event=failed&StatusReason=connection_failed",
                StreamNotice::Dropped(Some(DropReason::Initiation)),
            ),
            (
                "Event=DroppedStream&Error=connection+disconnected+with+the+remote+service",
                StreamNotice::Dropped(Some(DropReason::Streaming)),
            ),
            ("Event=DroppedStream&Error=slow+connection", StreamNotice::Dropped(Some(DropReason::TooSlow))),
            ("Event=DroppedStream", StreamNotice::Dropped(None)),
            (
                "Event=DegradedStream&BufferPercentage=61.5%25",
                StreamNotice::Degraded(Some(DegradedLevel::Sixty)),
            ),
            ("Event=DegradedStream", StreamNotice::Degraded(None)),
            ("Event=PlayedStream", StreamNotice::Other("PlayedStream".to_owned())),
        ] {
            let seen = StreamCallback::read(Params::from_form(&format!("{base}{body}"))).unwrap();
            assert_eq!(seen.notice, expected, "{body}");
        }
        assert!(StreamCallback::read(Params::from_form("Event=StartStream")).is_err());
    }

    #[test]
    fn what_is_written_is_read() {
        for scheme in [NamingScheme::A, NamingScheme::B] {
            for notice in [
                StreamNotice::Started,
                StreamNotice::Dropped(Some(DropReason::TooSlow)),
                StreamNotice::Dropped(Some(DropReason::Initiation)),
                StreamNotice::Degraded(Some(DegradedLevel::Ninety)),
            ] {
                let (call, stream) = (CallId::from("c"), StreamId::from("s"));
                let Some(params) =
                    StreamCallback::write(scheme, &notice, &call, &stream, "2026-01-15 10:30:05")
                else {
                    assert_eq!(
                        (scheme, &notice),
                        (NamingScheme::B, &StreamNotice::Degraded(Some(DegradedLevel::Ninety)))
                    );
                    continue;
                };
                let read = StreamCallback::read(Params::from_form(&params.to_form())).unwrap();
                assert_eq!(read.notice, notice);
            }
        }
    }

    #[test]
    fn a_hangup_names_its_cause() {
        let body = r#"{"CallUUID":"c","CallStatus":"completed","HangupCause":"NORMAL_CLEARING","HangupCauseCode":4010,"Duration":7}"#;
        let call = CallWebhook::read(Params::from_body(body).unwrap()).unwrap();
        assert_eq!(call.state, CallState::Completed);
        assert_eq!(call.hangup_code.map(Code::as_str), Some("plivo/hangup-4010"));
        assert_eq!(call.duration, Some(Duration::from_secs(7)));
        assert!(CallWebhook::read(Params::new()).is_err());
    }
}

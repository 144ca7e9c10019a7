//! A session as the REST service describes it.

use std::time::{Instant, SystemTime};

use http::Response;
use serde_json::Value;

use super::ApiError;
use super::call::is_dialable;
use super::time::parse_utc;
use crate::Secret;
use crate::agenthuman::{AvatarSession, HostedStatus, Revision, RoomAccess, VideoSize};

/// What a create, get or end answer says about a session.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct SessionInfo {
    /// Its id.
    pub session_id: String,
    /// Where it is in its life; words we do not know count as started.
    pub status: HostedStatus,
    /// The revision, told by which secret there is; `None` without one, as in get answers.
    pub revision: Option<Revision>,
    /// The secret for the socket. Only the create answer has it: keep it as long as the session.
    pub secret: Option<Secret>,
    /// The room of revision A, where the answer names it.
    pub room: Option<RoomAccess>,
    /// When the session ends by itself; `None` is never.
    pub expiration: Option<SystemTime>,
    /// An address for the socket, in case the answer has one that the secret can be told to: with TLS, or on this machine.
    pub ws_uri: Option<String>,
    /// How many more sessions may run at once, where the answer says it.
    pub available: Option<u64>,
    /// Minutes left on the account, where the answer says it.
    pub minutes_left: Option<f64>,
}

impl SessionInfo {
    /// Reads an answer; `session` may stand at the top or inside `data`.
    pub(super) fn read(response: &Response<impl AsRef<[u8]>>) -> Result<Self, ApiError> {
        let body = response.body().as_ref();
        let unreadable = || ApiError::unreadable(response.status().as_u16(), body);
        let value: Value = serde_json::from_slice(body).map_err(|_| unreadable())?;
        let session = [&value["session"], &value["data"]["session"], &value["data"]]
            .into_iter()
            .find(|session| session.is_object())
            .ok_or_else(unreadable)?;
        let text = |field: &str| session[field].as_str().filter(|text| !text.is_empty());
        let session_id = text("session_id").ok_or_else(unreadable)?.to_owned();
        let status = match text("status") {
            Some("created") => HostedStatus::Created,
            Some("ended" | "completed") => HostedStatus::Ended,
            Some(_) | None => HostedStatus::Started,
        };
        let (a, b) = (text("access_token"), text("session_token"));
        // With both, a session that waits for its start call is of revision A.
        let revision = match (a, b) {
            (Some(_), Some(_)) if status == HostedStatus::Created => Some(Revision::A),
            (_, Some(_)) => Some(Revision::B),
            (Some(_), None) => Some(Revision::A),
            (None, None) => None,
        };
        let secret = if revision == Some(Revision::A) { a } else { b };
        let usage = &value["usage"];
        Ok(Self {
            session_id,
            status,
            revision,
            secret: secret.and_then(|secret| Secret::new(secret).ok()),
            room: read_room(&session["daily_room"]),
            expiration: text("expiration").and_then(parse_utc),
            ws_uri: text("ws_uri").filter(|uri| is_dialable(uri)).map(str::to_owned),
            available: usage["concurrency"]["available"].as_u64(),
            minutes_left: usage["minutes"]["total_remaining"].as_f64(),
        })
    }

    /// What the socket's client needs, with the expiry moved from the wall clock to ours.
    ///
    /// `room` is the one to use where the answer names none: from a get answer in revision A.
    ///
    /// # Errors
    /// There is no secret, or revision A has no room.
    pub fn to_session(
        &self,
        room: Option<RoomAccess>,
        video: VideoSize,
        now: Instant,
        wall: SystemTime,
    ) -> Result<AvatarSession, ApiError> {
        let secret = self.secret.clone().ok_or(ApiError::MissingSecret)?;
        let session = match self.revision {
            Some(Revision::A) => {
                let room = self.room.clone().or(room).ok_or(ApiError::NoRoom)?;
                AvatarSession::revision_a(&self.session_id, secret, room, video)
            }
            Some(Revision::B) => AvatarSession::revision_b(&self.session_id, secret),
            None => return Err(ApiError::MissingSecret),
        };
        let left = self.expiration.map(|at| at.duration_since(wall).unwrap_or_default());
        Ok(match left.and_then(|left| now.checked_add(left)) {
            Some(at) => session.with_expiry(at),
            None => session,
        })
    }
}

fn read_room(room: &Value) -> Option<RoomAccess> {
    let url = room["url"].as_str()?;
    let token = Secret::new(room["token"].as_str()?).ok()?;
    Some(RoomAccess::daily(url, token))
}

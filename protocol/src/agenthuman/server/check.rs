//! The service's checks, in its order.

use std::time::Instant;

use base64_simd::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::Value;
use voxline_audio::Container;

use super::{HostedSession, HostedStatus};
use crate::Secret;
use crate::agenthuman::wire::{InitConfig, InitMessage, SpeakMessage};
use crate::agenthuman::{Revision, RoomAccess, RoomPlatform, VendorError, VideoSize};

/// What a good `session.init` asked for.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) session_id: String,
    pub(super) revision: Revision,
    pub(super) room: Option<Box<RoomAccess>>,
}

/// Shape and names first, then room, picture, server, session, secret.
///
/// The order is not documented. This one says what is wrong with the message before it says what is
/// wrong with the session.
pub(super) fn check_init(
    init: &InitMessage,
    sessions: &[HostedSession],
    now: Instant,
) -> Result<Accepted, VendorError> {
    let (id, secret, revision) = match &init.config {
        Some(config) => (&config.session_id, &config.access_token, Revision::A),
        None => (&init.session_id, &init.session_token, Revision::B),
    };
    let (Some(id), Some(secret)) = (text(id.as_ref()), text(secret.as_ref())) else {
        return Err(VendorError::InvalidSessionConfiguration);
    };
    let room = match &init.config {
        Some(config) => Some(Box::new(check_room(config)?)),
        None => None,
    };
    if let Some(config) = &init.config {
        check_video(config)?;
    }
    let session = sessions.iter().find(|session| session.session_id == id);
    if session.is_some_and(|session| !session.is_assigned_here) {
        return Err(VendorError::ServerMismatch);
    }
    let is_over = |session: &&HostedSession| {
        session.status == HostedStatus::Ended || session.expires_at.is_some_and(|at| at <= now)
    };
    let Some(session) = session.filter(|session| !is_over(session)) else {
        return Err(VendorError::SessionNotFound);
    };
    if session.secret != secret || session.status != HostedStatus::Started {
        return Err(VendorError::SessionConfigUnavailable);
    }
    Ok(Accepted { session_id: id.to_owned(), revision, room })
}

fn check_room(config: &InitConfig) -> Result<RoomAccess, VendorError> {
    let room = config.room.as_ref();
    let field = |name| text(room.and_then(|room| room.get(name)));
    if field("platform") != Some(RoomPlatform::Daily.as_str()) {
        return Err(VendorError::InvalidRoomPlatform);
    }
    let (Some(url), Some(Ok(token))) = (field("url"), field("token").map(Secret::new)) else {
        return Err(VendorError::InvalidRoomPlatform);
    };
    let access = RoomAccess::daily(url, token);
    Ok(match field("display_name") {
        Some(name) => access.with_display_name(name),
        None => access,
    })
}

/// A side that is not given takes its default.
fn check_video(config: &InitConfig) -> Result<VideoSize, VendorError> {
    let default = VideoSize::default();
    let side = |value: &Option<Value>, default: u32| match value {
        None | Some(Value::Null) => Some(i64::from(default)),
        Some(value) => value.as_i64(),
    };
    let width = side(&config.video_width, default.width());
    let height = side(&config.video_height, default.height());
    let (Some(width), Some(height)) = (width, height) else {
        return Err(VendorError::InvalidVideoDimensions);
    };
    VideoSize::new(width, height).map_err(|refusal| refusal.error)
}

/// The samples of a speak message, and their rate.
pub(super) fn check_speech(message: &SpeakMessage<'_>) -> Result<(Bytes, u32), VendorError> {
    let failed = |detail: &str| VendorError::AudioProcessingFailed { detail: detail.to_owned() };
    let encoded = message.audio.as_deref().unwrap_or_default();
    if encoded.is_empty() {
        return Err(VendorError::NoAudioData);
    }
    let audio = BASE64.decode_to_vec(encoded).map_err(|_| failed("invalid base64"))?;
    let rate_hz = match &message.sample_rate {
        None | Some(Value::Null) => 16_000,
        Some(value) => value
            .as_u64()
            .and_then(|hz| u32::try_from(hz).ok())
            .filter(|hz| RATES.contains(hz))
            .ok_or_else(|| failed("unsupported sample_rate"))?,
    };
    if Container::of(&audio).is_some_and(|container| !container.is_words()) {
        return Err(failed("file header where samples are due"));
    }
    if !audio.len().is_multiple_of(2) {
        return Err(failed("odd number of bytes"));
    }
    Ok((Bytes::from(audio), rate_hz))
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Rates a resampler can be expected to take.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=192_000;

//! What is wrong is refused before anything is sent, or costs nothing more than the session it was found in.

use bytes::Bytes;
use std::time::Duration;
use voxline_protocol::Secret;
use voxline_protocol::agenthuman::{AvatarQuirk, CreateSession, RoomAccess};
use voxline_session::{AvatarConfig, AvatarNotice};

use crate::{Bench, revision_a, revision_b, speech};

#[tokio::test(start_paused = true)]
async fn what_the_service_would_refuse_is_never_sent() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a()).await.unwrap();
    for (name, audio, code) in [
        ("nothing", &b""[..], "agenthuman/no-audio"),
        ("half a sample", &[0; 32_001], "agenthuman/audio-processing"),
        ("a WAV file", b"RIFF\x24\0\0\0WAVE", "agenthuman/audio-processing"),
    ] {
        let error = avatar.say(Bytes::copy_from_slice(audio)).await.unwrap_err();
        assert_eq!(error.code().as_str(), code, "{name}: {error}");
    }
    avatar.close().await.unwrap();

    let nothing_sent = Bench::new(&[]);
    let config = AvatarConfig::new(CreateSession::revision_a(" "));
    let error = nothing_sent.open(config).await.unwrap_err();
    assert_eq!(error.code().as_str(), "agenthuman/avatar");
}

#[tokio::test(start_paused = true)]
async fn a_room_token_that_cannot_work_is_found_before_the_session_is_created() {
    // Daily's form, for room `demo-room`: one ended in 2023, the other lasts until 2100.
    let expired = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoiZGVtby1yb29tIiwiZXhwIjoxNzAwMDAzNjAwfQ.c2ln";
    let lasting = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoiZGVtby1yb29tIiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2ln";
    for (url, token, code) in [
        ("https://mine.daily.co/demo-room", expired, "daily/token-expired"),
        ("https://mine.daily.co/another-room", lasting, "daily/token-wrong-room"),
        ("https://mine.daily.co/demo-room", "no-token", "daily/token-malformed"),
    ] {
        let bench = Bench::new(&[]);
        let room = RoomAccess::daily(url, Secret::new(token).unwrap());
        let config = AvatarConfig::new(CreateSession::revision_b("avat_1", room));
        let error = bench.open(config).await.unwrap_err();
        assert_eq!(error.code().as_str(), code, "{error}");
        assert!(!error.to_string().contains(token), "the token is not shown");
        assert_eq!(bench.service.calls(), 0, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_services_own_room_is_checked_too_and_its_session_ended() {
    let bench = Bench::new(&[AvatarQuirk::ForeignRoomToken]);
    let error = bench.open(revision_a()).await.unwrap_err();
    assert_eq!(error.code().as_str(), "daily/token-wrong-room");
    assert_eq!((bench.created(), bench.established()), (1, 0), "created, and never dialled");
    assert!(bench.service.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn speech_there_is_no_room_for_is_told_by_its_number() {
    let bench = Bench::new(&[AvatarQuirk::SilentInit]);
    let config = revision_b().with_max_unsent(Duration::from_secs(5));
    let mut avatar = bench.open(config).await.unwrap();
    let taken = avatar.say(speech(3)).await.unwrap();
    let refused = avatar.say(speech(3)).await.unwrap();
    let told = loop {
        if let Some(AvatarNotice::Refused { utterance, reason }) = avatar.next().await {
            break (utterance, reason.code().as_str());
        }
    };
    assert_eq!(told, (refused, "command/queue-full"));
    assert_ne!(taken, refused);
    avatar.close().await.unwrap();
}

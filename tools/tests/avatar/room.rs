//! The room: watched for the avatar by asking Daily, which replaces an avatar that stays away, and cleared at the end.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use voxline::simulate::agenthuman::AvatarSimulatorConfig;
use voxline_protocol::agenthuman::{AvatarQuirk, CreateSession, RoomAccess};
use voxline_protocol::daily::{DailyApi, RoomEvent, RoomVerdict};
use voxline_protocol::{BaseUrl, Secret};
use voxline_session::{Avatar, AvatarConfig, AvatarNotice};

use crate::{Bench, accounts, retry, revision_a, speech};

/// Revision B in a room of ours, for which Daily is asked.
fn watched(daily_key: &str) -> AvatarConfig {
    let room = RoomAccess::daily("https://mine.daily.co/demo-room", Secret::new(TOKEN).unwrap());
    let daily =
        DailyApi::new(Secret::new(daily_key).unwrap()).with_base(BaseUrl::parse("http://127.0.0.1").unwrap());
    AvatarConfig::new(CreateSession::revision_b("avat_1", room))
        .with_socket_url(BaseUrl::parse("ws://127.0.0.1").unwrap())
        .with_retry(retry())
        .with_daily(daily)
}

/// The next thing that is said about the room; `None` once the avatar is over.
async fn verdict(avatar: &mut Avatar) -> Option<RoomVerdict> {
    loop {
        let notice = timeout(Duration::from_secs(600), avatar.next()).await.expect("a verdict in time")?;
        if let AvatarNotice::Room(verdict) = notice {
            return Some(verdict);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_avatar_nobody_sees_in_the_room_is_called_late() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a().with_room_watch()).await.unwrap();
    let begun = Instant::now();
    let verdict = loop {
        if let Some(AvatarNotice::Room(verdict)) = avatar.next().await {
            break verdict;
        }
    };
    assert_eq!(verdict, RoomVerdict::AvatarLate { limit: Duration::from_secs(20) });
    assert!(begun.elapsed() <= Duration::from_secs(21));
    avatar.close().await.unwrap();
    assert!(bench.service.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn daily_says_when_the_avatar_is_there_and_who_asked_is_gone_with_the_session() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(watched(AvatarSimulatorConfig::DAILY_KEY)).await.unwrap();
    assert!(matches!(verdict(&mut avatar).await, Some(RoomVerdict::AvatarJoined { .. })));
    assert_eq!(bench.service.present("demo-room"), 1);
    avatar.say(speech(30)).await.unwrap();
    assert_eq!(accounts(&mut avatar, 1).await.len(), 1);
    sleep(Duration::from_secs(60)).await;
    let asked = bench.service.calls();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.service.calls() - asked, 4, "every 15 seconds");
    avatar.close().await.unwrap();
    assert_eq!(bench.service.ejections(), 1, "the avatar is put out before its session is ended");
    assert_eq!(bench.service.present("demo-room"), 0);
    let asked = bench.service.calls();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.service.calls(), asked);
}

#[tokio::test(start_paused = true)]
async fn an_avatar_that_vanishes_is_replaced_and_the_speech_goes_on_in_the_new_session() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(watched(AvatarSimulatorConfig::DAILY_KEY)).await.unwrap();
    assert!(matches!(verdict(&mut avatar).await, Some(RoomVerdict::AvatarJoined { .. })));
    bench.service.empty_rooms();
    let begun = Instant::now();
    assert_eq!(verdict(&mut avatar).await, Some(RoomVerdict::AvatarLost));
    assert!(begun.elapsed() <= Duration::from_secs(31), "two answers: {:?}", begun.elapsed());
    let limit = Duration::from_secs(50);
    assert_eq!(verdict(&mut avatar).await, Some(RoomVerdict::AvatarLate { limit }));
    avatar.say(speech(8)).await.unwrap();
    assert!(matches!(verdict(&mut avatar).await, Some(RoomVerdict::AvatarJoined { .. })), "the new one");
    assert_eq!((bench.created(), bench.service.running().len()), (2, 1));
    avatar.close().await.unwrap();
    assert!(bench.service.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_avatar_whose_session_was_replaced_is_not_taken_for_the_new_one() {
    for is_cut in [true, false] {
        let bench = Bench::new(&[AvatarQuirk::StalePresence, AvatarQuirk::EndOnDisconnect]);
        let mut avatar = bench.open(watched(AvatarSimulatorConfig::DAILY_KEY)).await.unwrap();
        assert!(matches!(verdict(&mut avatar).await, Some(RoomVerdict::AvatarJoined { .. })));
        sleep(Duration::from_secs(2)).await;
        if is_cut {
            bench.service.links().cut();
        } else {
            bench.end(&bench.service.running()[0]).await;
        }
        avatar.say(speech(3)).await.unwrap();
        let mut verdicts = Vec::new();
        let _ = timeout(Duration::from_secs(60), async {
            while let Some(verdict) = verdict(&mut avatar).await {
                verdicts.push(verdict);
            }
        })
        .await;
        assert!(matches!(verdicts[..], [RoomVerdict::AvatarJoined { .. }]), "cut: {is_cut}, {verdicts:?}");
        assert_eq!(bench.created(), 2, "cut: {is_cut}");
        avatar.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_avatar_that_never_comes_is_given_up_after_three_sessions() {
    let bench = Bench::new(&[AvatarQuirk::NeverInRoom]);
    let mut avatar = bench.open(watched(AvatarSimulatorConfig::DAILY_KEY)).await.unwrap();
    let begun = Instant::now();
    while let Some(said) = verdict(&mut avatar).await {
        assert!(matches!(said, RoomVerdict::AvatarLate { .. }), "{said:?}");
    }
    let error = avatar.close().await.unwrap_err();
    assert_eq!(error.code().as_str(), "daily/avatar-late", "{error}");
    assert_eq!(bench.created(), 3);
    assert!(begun.elapsed() < Duration::from_secs(180), "{:?}", begun.elapsed());
    assert!(bench.service.running().is_empty(), "no money for an empty room");
}

#[tokio::test(start_paused = true)]
async fn without_daily_the_room_is_not_seen_and_that_ends_nothing() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(watched("another-key")).await.unwrap();
    assert_eq!(verdict(&mut avatar).await, Some(RoomVerdict::Blind));
    avatar.say(speech(80)).await.unwrap();
    assert_eq!(accounts(&mut avatar, 1).await.len(), 1);
    assert_eq!(bench.created(), 1);
    avatar.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn trouble_in_the_room_is_told_when_it_lasts_and_when_it_is_over() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a().with_room_watch()).await.unwrap();
    let event = |json: &str| RoomEvent::from_json(json).unwrap();
    let person = r#"{"action":"participant-joined","participant":{"session_id":"s1","user_name":"AI Avatar (AH)","tracks":
        {"video":{"state":"playable","subscribed":true},"audio":{"state":"playable","subscribed":true}}}}"#;
    avatar.room_event(event(person)).await.unwrap();
    assert!(matches!(verdict(&mut avatar).await, Some(RoomVerdict::AvatarJoined { .. })));
    assert_eq!(verdict(&mut avatar).await, Some(RoomVerdict::MediaReady));
    avatar.room_event(event(r#"{"action":"network-quality-change","networkState":"bad"}"#)).await.unwrap();
    let begun = Instant::now();
    assert_eq!(verdict(&mut avatar).await, Some(RoomVerdict::Degraded));
    assert_eq!(begun.elapsed().as_secs(), 2);
    avatar.room_event(event(r#"{"action":"network-quality-change","networkState":"good"}"#)).await.unwrap();
    assert_eq!(verdict(&mut avatar).await, Some(RoomVerdict::Recovered));
    avatar.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_nothing_is_held_back_and_is_not_paid_for_once_it_wants_the_end() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a().with_room_watch()).await.unwrap();
    let event = |action: &str| {
        let who = r#""participant":{"session_id":"s1","user_name":"AI Avatar (AH)"}"#;
        RoomEvent::from_json(&format!(r#"{{"action":"participant-{action}",{who}}}"#)).unwrap()
    };
    let mut reported = 0;
    let mut report = async |avatar: &mut Avatar| {
        let action = if reported % 2 == 0 { "joined" } else { "left" };
        reported += 1;
        timeout(Duration::from_secs(1), avatar.room_event(event(action))).await.is_ok()
    };
    let mut taken = 0;
    while report(&mut avatar).await {
        taken += 1;
        assert!(taken < 1_000, "taken without end");
    }
    for _ in 0..100 {
        assert!(avatar.next().await.is_some());
    }
    assert!(report(&mut avatar).await, "whoever reads again is heard again");
    while report(&mut avatar).await {}
    avatar.end();
    bench.nothing_runs("nobody reads").await;
}

/// Daily's form, for room `demo-room`, until 2100.
const TOKEN: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoiZGVtby1yb29tIiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2ln";

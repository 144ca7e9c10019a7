//! One session from its creation to its end, by every way out.

use std::time::Duration;
use tokio::time::timeout;
use voxline_protocol::agenthuman::{AvatarQuirk, SpeechEnd};

use crate::{Bench, accounts, revision_a, revision_b, speech};

#[tokio::test(start_paused = true)]
async fn one_session_says_many_utterances_and_is_ended() {
    for (name, config) in [("A", revision_a()), ("B", revision_b())] {
        let bench = Bench::new(&[]);
        let mut avatar = bench.open(config).await.unwrap();
        for _ in 0..5 {
            avatar.say(speech(12)).await.unwrap();
            assert_eq!(bench.service.running().len(), 1, "{name}");
            let reports = accounts(&mut avatar, 1).await;
            assert_eq!(reports[0].end, SpeechEnd::Confirmed, "{name}");
        }
        avatar.close().await.unwrap();
        assert!(bench.service.running().is_empty(), "{name}: closing waits for the end");
        assert_eq!(bench.established(), 1, "{name}: one session, one link");
    }
}

#[tokio::test(start_paused = true)]
async fn every_way_out_ends_the_session() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a()).await.unwrap();
    avatar.say(speech(60)).await.unwrap();
    drop(avatar);
    bench.nothing_runs("dropped in mid-speech").await;

    let bench = Bench::new(&[]);
    let avatar = bench.open(revision_a()).await.unwrap();
    let holder = tokio::spawn(async move {
        let _avatar = avatar;
        panic!("the application's own");
    });
    assert!(holder.await.is_err());
    bench.nothing_runs("a panic of its holder").await;

    for (quirk, code) in [
        (AvatarQuirk::AlwaysTryAgain, "agenthuman/start-timeout"),
        (AvatarQuirk::ExpiredAtBirth, "agenthuman/api-request"),
        (AvatarQuirk::SilentInit, "protocol/timeout"),
        (AvatarQuirk::WebrtcOffer, "agenthuman/revision-0"),
    ] {
        let bench = Bench::new(&[quirk]);
        match bench.open(revision_a()).await {
            Ok(mut avatar) => {
                while timeout(Duration::from_secs(600), avatar.next()).await.expect("an end").is_some() {}
                let error = avatar.close().await.unwrap_err();
                assert_eq!(error.code().as_str(), code, "{quirk}");
            }
            Err(error) => assert_eq!(error.code().as_str(), code, "{quirk}"),
        }
        assert!(bench.service.running().is_empty(), "{quirk}: an error is told after the end");
    }
}

#[tokio::test(start_paused = true)]
async fn an_opening_given_up_at_any_moment_leaves_nothing_running() {
    for (name, config) in [("A", revision_a()), ("B", revision_b())] {
        for millis in (0..2_500).step_by(50) {
            let bench = Bench::new(&[AvatarQuirk::SlowConfirmation]);
            let opening = timeout(Duration::from_millis(millis), bench.open(config.clone())).await;
            drop(opening);
            bench.nothing_runs(&format!("{name} given up after {millis} ms")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_accounts_for_everything_said_before_it_and_nothing_after() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a()).await.unwrap();
    let before = [avatar.say(speech(60)).await.unwrap(), avatar.say(speech(5)).await.unwrap()];
    avatar.interrupt().await.unwrap();
    let after = avatar.say(speech(5)).await.unwrap();
    let reports = accounts(&mut avatar, 3).await;
    for utterance in before {
        let end = reports.iter().find(|report| report.utterance == utterance).map(|report| &report.end);
        assert_eq!(end, Some(&SpeechEnd::Interrupted));
    }
    let end = reports.iter().find(|report| report.utterance == after).map(|report| &report.end);
    assert_eq!(end, Some(&SpeechEnd::Confirmed));
    avatar.close().await.unwrap();
}

//! Links and sessions that are lost, refused or misdirected: brought back, as often as it is worth it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use voxline_protocol::UtteranceId;
use voxline_protocol::agenthuman::{AvatarEvent, AvatarQuirk, Recovery, SpeechEnd};
use voxline_session::{AvatarError, AvatarNotice};

use crate::{Bench, accounts, retry, revision_a, revision_b, speech};

#[tokio::test(start_paused = true)]
async fn links_cut_at_random_moments_lose_no_utterance_and_leave_no_session() {
    let rounds = if std::env::var_os("VOXLINE_HEAVY").is_some() { 500 } else { 20 };
    for seed in 0..rounds {
        for (name, config, quirks) in [
            ("A", revision_a(), &[][..]),
            ("A whose session ends with its link", revision_a(), &[AvatarQuirk::EndOnDisconnect]),
            ("B", revision_b(), &[AvatarQuirk::EndOnDisconnect]),
            ("B that forgets once", revision_b(), &[AvatarQuirk::NotFoundOnce]),
        ] {
            let name = format!("{name}, seed {seed}");
            let bench = Bench::new(quirks);
            let links = bench.service.links().clone();
            let cutting = tokio::spawn(async move {
                let mut moment = seed * 7_919 + 13;
                for _ in 0..3 {
                    moment = moment * 48_271 % 2_147_483_647;
                    sleep(Duration::from_millis(moment % 15_000)).await;
                    links.cut();
                }
            });
            let mut avatar = bench.open(config).await.unwrap();
            let mut said = Vec::new();
            for seconds in [3, 11, 1, 20] {
                said.push(avatar.say(speech(seconds)).await.unwrap());
            }
            let mut ends: BTreeMap<UtteranceId, Vec<SpeechEnd>> = BTreeMap::new();
            for report in accounts(&mut avatar, said.len()).await {
                ends.entry(report.utterance).or_default().push(report.end);
            }
            cutting.await.unwrap();
            for utterance in said {
                assert_eq!(ends.remove(&utterance), Some(vec![SpeechEnd::Confirmed]), "{name}, {utterance}");
            }
            let _ = avatar.close().await;
            bench.nothing_runs(&name).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stays_away_is_given_up_and_every_utterance_accounted_for() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a()).await.unwrap();
    let said = avatar.say(speech(100)).await.unwrap();
    let begun = Instant::now();
    sleep(Duration::from_secs(3)).await;
    let links = bench.service.links().clone();
    let _cutting = tokio::spawn(async move {
        loop {
            links.cut();
            sleep(Duration::from_millis(10)).await;
        }
    });
    let reports = accounts(&mut avatar, 1).await;
    assert_eq!(reports[0].utterance, said);
    assert_ne!(reports[0].end, SpeechEnd::Confirmed);
    assert!(reports[0].confirmed_until > 0 && reports[0].confirmed_until < reports[0].given);
    let error = avatar.close().await.unwrap_err();
    assert!(matches!(error, AvatarError::Lost { attempts: 6, .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(300));
    assert!(bench.service.running().is_empty(), "REST still answers, so the session is ended");
}

#[tokio::test(start_paused = true)]
async fn a_session_refused_once_speaks_all_the_same_without_another_one() {
    for quirk in [AvatarQuirk::WrongServerOnce, AvatarQuirk::NoVideoPathOnce, AvatarQuirk::NotFoundOnce] {
        let bench = Bench::new(&[quirk]);
        let mut avatar = bench.open(revision_a()).await.unwrap();
        avatar.say(speech(3)).await.unwrap();
        assert_eq!(accounts(&mut avatar, 1).await[0].end, SpeechEnd::Confirmed, "{quirk}");
        avatar.close().await.unwrap();
        assert_eq!((bench.created(), bench.established()), (1, 1), "{quirk}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_refused_for_good_is_given_up_under_the_services_own_name() {
    for (quirk, code, sessions) in [
        (AvatarQuirk::WrongServer, "agenthuman/server-mismatch", 1),
        (AvatarQuirk::NoVideoPath, "agenthuman/session-config", 1),
        // Initialised once more, then made anew twice.
        (AvatarQuirk::NeverFound, "agenthuman/session-not-found", 3),
    ] {
        let bench = Bench::new(&[quirk]);
        let begun = Instant::now();
        let mut avatar = bench.open(revision_a()).await.unwrap();
        let said = avatar.say(speech(3)).await.unwrap();
        let reports = accounts(&mut avatar, 1).await;
        assert_eq!((reports[0].utterance, reports[0].confirmed_until), (said, 0), "{quirk}");
        let error = avatar.close().await.unwrap_err();
        assert_eq!(error.code().as_str(), code, "{quirk}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{quirk}: after {:?}", begun.elapsed());
        assert_eq!(bench.created(), sessions, "{quirk}");
        assert!(bench.service.running().is_empty(), "{quirk}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_while_it_speaks_is_replaced_and_the_rest_is_said_there() {
    let bench = Bench::new(&[]);
    let mut avatar = bench.open(revision_a()).await.unwrap();
    let said = avatar.say(speech(60)).await.unwrap();
    while let Some(notice) = avatar.next().await {
        if let AvatarNotice::Protocol(AvatarEvent::Chunk(_)) = notice {
            break;
        }
    }
    // As the account's owner may do on the vendor's own page.
    let running = bench.service.running();
    bench.end(&running[0]).await;
    let reports = accounts(&mut avatar, 1).await;
    assert_eq!((reports[0].utterance, &reports[0].end), (said, &SpeechEnd::Confirmed));
    assert_eq!(bench.created(), 2);
    avatar.close().await.unwrap();
    assert!(bench.service.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_over_when_it_is_asked_for_again_is_replaced_in_the_same_attempt() {
    let bench = Bench::new(&[AvatarQuirk::WrongServerOnce]);
    // One for each session: the second meets a wrong server once, too.
    let config = revision_a().with_retry(retry().with_max_attempts(2));
    let mut avatar = bench.open(config).await.unwrap();
    let first = bench.service.running();
    let said = avatar.say(speech(3)).await.unwrap();
    let (mut tried, mut made) = (Vec::new(), Vec::new());
    let report = loop {
        let notice = timeout(Duration::from_secs(60), avatar.next()).await.unwrap().unwrap();
        if let AvatarNotice::Protocol(AvatarEvent::Speech(report)) = notice {
            break report;
        } else if let AvatarNotice::Created { session_id } = notice {
            made.push(session_id);
        } else if let AvatarNotice::Recovering { recovery } = notice {
            if recovery == Recovery::StartAgain {
                bench.end(&first[0]).await;
            }
            tried.push(recovery);
        }
    };
    assert_eq!(tried, [Recovery::StartAgain, Recovery::NewSession, Recovery::StartAgain]);
    assert_eq!((report.utterance, report.end), (said, SpeechEnd::Confirmed));
    assert_eq!((made.len(), bench.created()), (2, 2), "{made:?}");
    assert_eq!(bench.service.running(), made[1..], "the first is not paid for");
    avatar.close().await.unwrap();
    assert!(bench.service.running().is_empty());
}

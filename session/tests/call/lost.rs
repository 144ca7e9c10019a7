//! Speech links that end in the middle of what is said: every word is heard once, and whole (T08, T09).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use voxline_protocol::slng::{TtsClient, TtsConfig, TtsEvent};
use voxline_session::{AgentEvent, Leg, LegEvent, Pool, PoolConfig, SessionConfig};

use crate::speech::{FORMAT, Fate, Way, now, sentence, words_of};
use crate::world::{Call, Script, Setting, retry};

fn is_replaced(event: &AgentEvent) -> bool {
    matches!(event, AgentEvent::Leg { leg: Leg::Tts, event: LegEvent::Replaced })
}

/// Two sentences; the synthesis link is cut so long after the caller's words were understood.
async fn cut(setting: Setting, after: Duration) -> Call {
    let mut call = Call::begin(setting).await;
    sleep(Duration::from_secs(5)).await;
    call.says("w400").await;
    call.understood_turn(1).await;
    sleep(after).await;
    call.synthesis.meets(Fate::Cut);
    assert_eq!(call.turn(1).await, format!("{} {}", sentence(1, 30), sentence(31, 60)), "{after:?}");
    call
}

fn two_sentences() -> Setting {
    Setting::new(Script::new(&[&[sentence(1, 30), sentence(31, 60)]]))
}

#[tokio::test(start_paused = true)]
async fn t09_a_half_voiced_sentence_goes_on_at_its_first_unheard_word() {
    for step in 0..30 {
        let call = cut(two_sentences(), Duration::from_millis(step * 47)).await;
        assert_eq!(call.heard(), words_of(1, 60), "cut after {step} steps");
        assert_eq!(call.synthesis.dials().len(), 2, "the link was cut and dialled again");
        call.hang_up().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_stands_by_takes_over_without_a_wait_for_a_dial() {
    for step in 0..20 {
        let after = Duration::from_millis(step * 47);
        let redialled = cut(slowly(two_sentences()), after).await;
        let mut setting = slowly(two_sentences());
        let pool = Arc::new(standby(&slowly(two_sentences()).synthesis));
        setting.spare = Some(Box::new(move || Some(pool.try_acquire()?.into_parts().0)));
        let call = cut(setting, after).await;
        for (name, call) in [("redialled", &redialled), ("replaced", &call)] {
            assert_eq!(call.heard(), words_of(1, 60), "{name}, cut after {after:?}");
            assert_eq!(call.told(is_replaced), name == "replaced", "cut after {after:?}: {}", call.log());
        }
        assert!(call.gap() <= Duration::from_millis(100), "cut after {after:?}: {:?}", call.gap());
        let later = redialled.took().saturating_sub(call.took());
        assert!(later >= Duration::from_secs(1), "cut after {after:?}: a dial costs {later:?}");
        call.hang_up().await.unwrap();
        redialled.hang_up().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn every_loss_takes_another_session_and_without_one_the_link_is_dialled() {
    let mut setting = Setting::new(Script::new(&[&[sentence(1, 100)]]));
    let pool = Arc::new(standby(&setting.synthesis));
    setting.spare = Some(Box::new(move || Some(pool.try_acquire()?.into_parts().0)));
    let mut call = Call::begin(setting).await;
    call.says("w400").await;
    call.understood_turn(1).await;
    for _ in 0..3 {
        sleep(Duration::from_millis(400)).await;
        // What stands by is cut too, so that the pool may have none.
        call.synthesis.meets(Fate::Cut);
    }
    assert_eq!(call.turn(1).await, sentence(1, 100), "{}", call.log());
    assert_eq!(call.heard(), words_of(1, 100));
    call.hang_up().await.unwrap();
}

/// Where a dial takes long.
fn slowly(mut setting: Setting) -> Setting {
    setting.synthesis.handshake = Duration::from_secs(4);
    setting
}

/// One session that is connected and ready.
fn standby(way: &Way) -> Pool<TtsClient, Way> {
    let mut session = SessionConfig::default();
    session.command_capacity = 512;
    session.retry = retry();
    let config = PoolConfig::new(1, |event| matches!(event, TtsEvent::Ready { .. })).with_session(session);
    Pool::new(way.clone(), || TtsClient::new(TtsConfig::new(FORMAT, "ada"), now()), config)
}

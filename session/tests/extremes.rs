//! Proves that limits of nothing and limits beyond all time are limits like any other: `Duration::MAX` is none, or a day.

mod support;

use std::time::{Duration, Instant};

use voxline_protocol::UtteranceId;
use voxline_session::{
    BargeInPattern, BargeInPolicy, Breaker, Budget, Conversation, ConversationAction, ConversationConfig,
    ConversationInput, Pool, PoolConfig, Probe, RetryPolicy, Session, SessionConfig, VendorLimits,
};

use support::{Heard, Meets, Plan, Say, Talker, line, serve};

const LIMITS: [Duration; 2] = [Duration::ZERO, Duration::MAX];

fn session(limit: Duration) -> SessionConfig {
    let mut config = SessionConfig::default();
    (config.close_limit, config.send_limit) = (limit, limit);
    config.retry = RetryPolicy::new(limit, limit).with_seed(1).with_max_attempts(3);
    config.retry.good_after = limit;
    config.limits = VendorLimits::new(Budget::default(), Breaker::new(1, limit));
    config
}

#[tokio::test(start_paused = true)]
async fn a_session_lives_and_ends_under_any_limit() {
    for limit in LIMITS {
        let (plan, mut links) = Plan::new(&[Meets::Link, Meets::Nobody], 8);
        let (mut sender, receiver) =
            Session::builder(Talker::default()).config(session(limit)).start(plan).split();
        let far = tokio::spawn(serve(links.recv().await.unwrap()));
        sender.send(line("one")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        far.abort();
        tokio::time::sleep(Duration::from_secs(2 * 24 * 3_600)).await;
        drop(receiver);
        sender.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_lends_or_says_why_not_under_any_limit() {
    for limit in LIMITS {
        let (plan, mut links) = Plan::new(&[], 8);
        let serving = tokio::spawn(async move {
            while let Some(link) = links.recv().await {
                tokio::spawn(serve(link));
            }
        });
        let probe = Probe::new(|| Say::Clear, |event| *event == Heard::Cleared).with_times(limit, limit);
        let config = PoolConfig::new(2, |event| *event == Heard::Ready)
            .with_max_age(limit)
            .with_idle_limit(limit)
            .with_acquire_limit(limit)
            .with_ready_limit(limit)
            .with_probe(probe)
            .with_session(session(limit));
        let pool = Pool::new(plan, Talker::default, config);
        let lent = tokio::time::timeout(Duration::from_secs(60), pool.acquire()).await.unwrap();
        assert_eq!(lent.is_ok(), limit == Duration::MAX, "{limit:?}");
        drop(lent);
        pool.close().await;
        serving.abort();
    }
}

#[test]
fn a_conversation_takes_its_turns_under_any_limit() {
    for limit in LIMITS {
        for pattern in [BargeInPattern::Immediate, BargeInPattern::Pause { patience: limit }] {
            let mut config = ConversationConfig::default()
                .with_end_of_turn(limit)
                .with_idle_prompts(limit, ["Hello?"])
                .with_filler(limit, "One moment.")
                .with_barge_in(BargeInPolicy::immediate().with_pattern(pattern).with_min_speech(limit));
            (config.transcript_timeout, config.reply_timeout, config.speech_timeout) = (limit, limit, limit);
            (config.speech_ahead, config.sentence_limit) = (limit, limit);
            let mut talk = Conversation::new(config);
            let start = Instant::now();
            let (utterance, ago) = (UtteranceId::new(1), Duration::ZERO);
            let inputs = [
                ConversationInput::VoiceStarted { ago },
                ConversationInput::Final("Hello?".into()),
                ConversationInput::VoiceEnded { ago },
                ConversationInput::Finalized,
                ConversationInput::Say(voxline_session::Say::new("How can I help? I am here.")),
                ConversationInput::SpeechMade { utterance, duration: limit },
                ConversationInput::SpeechMade { utterance, duration: limit },
                ConversationInput::VoiceStarted { ago },
                ConversationInput::VoiceEnded { ago },
                ConversationInput::SpeechEnded { utterance },
                ConversationInput::HungUp,
            ];
            let mut actions = Vec::new();
            for (second, input) in inputs.into_iter().enumerate() {
                let now = start + Duration::from_secs(second as u64);
                talk.handle_timeout(now);
                talk.handle_input(now, input);
                actions.extend(std::iter::from_fn(|| talk.poll_action()));
            }
            assert!(actions.iter().any(|action| matches!(action, ConversationAction::Speak { .. })));
            assert_eq!(talk.poll_timeout(), None);
        }
    }
}

//! A peer that takes everything and says nothing more, not even to a ping: noticed within the stated time, and nothing
//! is lost or doubled.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout};
use voxline_protocol::UtteranceId;
use voxline_protocol::slng::{SttCommand, SttEvent, TtsCommand, TtsEvent};
use voxline_session::SessionEvent;

use crate::speech::{FORMAT, Fate, PING, Way, sentence, sound, words, words_of};
use crate::world::{Call, Script, Setting, stt_over, tts_over};

/// A dead link is noticed within two pings, its close waited for in vain, and another one dialled after at most a second.
const NOTICED: Duration = Duration::from_secs(2 * PING.as_secs() + 1);

#[tokio::test(start_paused = true)]
async fn a_synthesis_session_notices_and_speaks_the_rest_over_another_link() {
    for step in 0..16 {
        let way = Way::to_synthesis();
        let (mut sender, mut receiver) = tts_over(&way).split();
        sleep(Duration::from_secs(2)).await;
        let utterance = UtteranceId::new(1);
        let text = sentence(1, 40);
        sender.send(TtsCommand::Speak { utterance, text: text.clone() }).await.unwrap();
        sender.send(TtsCommand::Flush).await.unwrap();
        let swallowing = way.clone();
        let swallowed = tokio::spawn(async move {
            sleep(Duration::from_millis(step * 47)).await;
            swallowing.meets(Fate::Swallowed);
            Instant::now()
        });
        // The session says how much it had voiced; what is said again starts anew.
        let (mut audio, mut told) = (Vec::new(), 0);
        loop {
            let event = timeout(Duration::from_secs(60), receiver.next()).await.unwrap().unwrap().unwrap();
            if let SessionEvent::Protocol(TtsEvent::Audio { audio: more, .. }) = event {
                audio.extend_from_slice(&more);
            } else if let SessionEvent::Protocol(TtsEvent::Truncated { spoken, .. }) = event {
                assert_eq!(spoken, FORMAT.duration_of(audio.len()), "step {step}");
                (audio, told) = (Vec::new(), told + 1);
                sender.send(TtsCommand::Speak { utterance, text: text.clone() }).await.unwrap();
                sender.send(TtsCommand::Flush).await.unwrap();
            } else if let SessionEvent::Protocol(TtsEvent::UtteranceEnd { .. }) = event {
                break;
            }
        }
        assert_eq!(audio, sound(&text), "step {step}");
        assert!(told <= 1, "step {step}");
        let lost = swallowed.await.unwrap();
        let redialled = way.dials().get(1).map(|at| *at - lost.into_std());
        assert!(redialled.is_some_and(|late| late <= NOTICED), "step {step}: {redialled:?}");
        sender.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_recognition_session_notices_and_hears_every_word_once() {
    for step in 0..20 {
        let way = Way::to_recognition();
        let (mut sender, mut receiver) = stt_over(&way).split();
        let swallowing = way.clone();
        let swallowed = tokio::spawn(async move {
            sleep(Duration::from_millis(2_000 + step * 97)).await;
            swallowing.meets(Fate::Swallowed);
            Instant::now()
        });
        let speech: Vec<u8> =
            [sound(&sentence(1, 20)), vec![0; 64_000], sound(&sentence(21, 40)), vec![0; 64_000]].concat();
        let speaking = tokio::spawn(async move {
            for frame in speech.chunks(640) {
                sender.send(SttCommand::Audio(frame.to_vec().into())).await.unwrap();
                sleep(Duration::from_millis(20)).await;
            }
            sender.send(SttCommand::Finalize).await.unwrap();
            sender
        });
        let mut heard = Vec::new();
        let listening = async {
            while heard.len() < 40 {
                if let SessionEvent::Protocol(SttEvent::Final(said)) = receiver.next().await.unwrap().unwrap()
                {
                    heard.extend(said.text.split_whitespace().map(str::to_owned));
                }
            }
        };
        timeout(Duration::from_secs(60), listening).await.unwrap_or_default();
        let expected: Vec<_> = (1..=40).map(|word| format!("w{word}")).collect();
        assert_eq!(heard, expected, "step {step}");
        let lost = swallowed.await.unwrap();
        let redialled = way.dials().get(1).map(|at| *at - lost.into_std());
        assert!(redialled.is_some_and(|late| late <= NOTICED), "step {step}: {redialled:?}");
        speaking.await.unwrap().close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_speech_services_fall_silent_loses_no_word_in_either_direction() {
    for step in 0..20 {
        let script = Script::new(&[&[sentence(1, 30), sentence(31, 60)], &[sentence(100, 110)]]);
        let mut call = Call::begin(Setting::new(script)).await;
        call.says(&sentence(400, 409)).await;
        sleep(Duration::from_millis(step * 293)).await;
        call.synthesis.meets(Fate::Swallowed);
        call.recognition.meets(Fate::Swallowed);
        let answer = format!("{} {}", sentence(1, 30), sentence(31, 60));
        assert_eq!(call.turn(1).await, answer, "step {step}: {}", call.log());
        call.says(&sentence(420, 429)).await;
        assert_eq!(call.turn(2).await, sentence(100, 110), "step {step}: {}", call.log());
        assert_eq!(call.understood(), said(&[(400, 409), (420, 429)]), "step {step}");
        assert_eq!(call.heard(), [words_of(1, 60), words_of(100, 110)].concat(), "step {step}");
        call.hang_up().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_phone_link_falls_silent_goes_on_where_the_ear_was() {
    for step in 0..10 {
        let script = Script::new(&[&[sentence(1, 30), sentence(31, 60)]]);
        let mut call = Call::begin(Setting::new(script)).await;
        call.says("w400").await;
        call.understood_turn(1).await;
        sleep(Duration::from_millis(500 + step * 293)).await;
        call.phone.black_hole();
        let lost = Instant::now();
        let noticed = call.until(crate::world::is_phone_lost).await;
        assert!(noticed - lost <= Duration::from_millis(1_600), "step {step}: {:?}", noticed - lost);
        // So does the provider, a little later, and dials again.
        call.phone.cut();
        assert_eq!(call.turn(1).await, format!("{} {}", sentence(1, 30), sentence(31, 60)), "step {step}");
        let numbers: Vec<_> = call.heard().iter().map(|(word, _)| *word).collect();
        let whole: Vec<_> = (1..=60).collect();
        assert!(whole.iter().all(|word| numbers.contains(word)), "step {step}: {numbers:?}");
        call.hang_up().await.unwrap();
    }
}

fn said(spans: &[(u16, u16)]) -> String {
    let words = spans.iter().flat_map(|(first, last)| *first..=*last).map(|word| format!("w{word}"));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_sound_says_its_words() {
    let samples: Vec<_> =
        sound("w3 w4.").chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
    assert_eq!(words(&samples), words_of(3, 4));
}

//! What the caller heard of a sentence is told by the times of its words, where the voice gives them (T11).

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::DuplexStream;
use tokio::time::sleep;
use voxline_protocol::Message;
use voxline_session::Say;
use voxline_transport::{Incoming, WebSocket, WebSocketConfig};

use crate::speech::{Way, sound};
use crate::world::{Call, Script, Setting};

const TEXT: &str = "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10.";
/// One word after another is over: the second is slow, the rest are quick.
const ENDS: [f64; 10] = [0.3, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.98, 1.0];

/// A gateway that says when words are spoken, in the messages of the routes that do.
async fn synthesise(far: DuplexStream, tells_words: bool) {
    let mut link = WebSocket::from_upgraded(far, &WebSocketConfig::new()).await;
    while let Some(Ok(Incoming::Text(text))) = link.next().await {
        let mut answers = Vec::new();
        if text.as_str().contains(r#""init""#) {
            answers.push(Message::Text(r#"{"type":"ready","session_id":"s"}"#.into()));
        } else if text.as_str().contains(r#""flush""#) {
            if tells_words {
                answers.push(Message::Text(times()));
            }
            answers.push(Message::Binary(Bytes::from(sound(TEXT))));
            answers.push(Message::Text(r#"{"type":"audio_end"}"#.into()));
        } else if text.as_str().contains(r#""clear""#) {
            answers.push(Message::Text(r#"{"type":"cleared"}"#.into()));
        }
        for answer in answers {
            if link.send(answer).await.is_err() {
                return;
            }
        }
    }
}

fn times() -> String {
    let words: Vec<_> = (1..=ENDS.len()).map(|word| format!(r#""w{word}""#)).collect();
    let ends: Vec<_> = ENDS.iter().map(f64::to_string).collect();
    let starts: Vec<_> =
        std::iter::once("0".to_owned()).chain(ends.iter().cloned()).take(ENDS.len()).collect();
    format!(
        r#"{{"type":"timestamps","word_timestamps":{{"words":[{}],"start":[{}],"end":[{}]}}}}"#,
        words.join(","),
        starts.join(","),
        ends.join(",")
    )
}

/// What counts as heard of a sentence that is cut short so long after its first sound.
async fn heard(after: u64, tells_words: bool) -> String {
    let mut setting = Setting::new(Script::default());
    setting.synthesis = Way::new(move |far| tokio::spawn(synthesise(far, tells_words)).abort_handle());
    let call = Call::begin(setting).await;
    call.handle.say(Say::new(TEXT)).await.unwrap();
    while call.heard().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(after)).await;
    call.handle.say(Say::new("w50.")).await.unwrap();
    let heard = call.turn(1).await;
    call.hang_up().await.unwrap();
    heard
}

#[tokio::test(start_paused = true)]
async fn t11_an_interrupted_sentence_is_cut_by_the_times_of_its_words() {
    assert_eq!(heard(200, true).await, "", "the first is over after 300 ms");
    assert_eq!(heard(400, true).await, "w1");
    assert_eq!(heard(700, true).await, "w1", "the second is slow");
    let guessed = heard(700, false).await;
    assert!(guessed.starts_with("w1 w2 w3 w4 w5"), "without times by its length: {guessed}");
}

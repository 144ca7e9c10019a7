//! Proves that a barge-in overtakes what is older, recalls stale sound, and touches nothing newer.

mod support;

use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use proptest::prelude::*;
use voxline_protocol::Message;
use voxline_session::{Receiver, Sender, Session, SessionEvent};
use voxline_transport::memory;

use support::{FarEnd, Heard, Say, Talker, heard, line};

fn session(events: usize) -> (Sender<Talker>, Receiver<Talker>, FarEnd) {
    let (near, far) = memory::pair(64);
    let session =
        Session::builder(Talker::default()).command_capacity(256).event_capacity(events).accept(near);
    let (sender, receiver) = session.split();
    (sender, receiver, FarEnd(far))
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Everything the far end is sent once it reads.
async fn sent(far: &mut FarEnd) -> Vec<String> {
    let mut sent = Vec::new();
    loop {
        settle().await;
        let before = sent.len();
        while let Some(Some(text)) = far.hear().now_or_never() {
            sent.push(text);
        }
        if sent.len() == before {
            return sent;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn commands_still_queued_are_dropped_and_later_ones_are_not() {
    let (mut sender, _receiver, mut far) = session(8);
    assert_eq!(sent(&mut far).await, ["hello"]);
    // No await: the driver does not run in between.
    for number in 0..50 {
        sender.try_send(line(format!("old {number}"))).unwrap();
    }
    sender.interrupt(Say::Clear).unwrap();
    sender.try_send(line("new")).unwrap();
    assert_eq!(sent(&mut far).await, ["clear", "1 new"]);
    assert_eq!((sender.metrics().commands_dropped, sender.metrics().interrupts), (50, 1));
}

#[tokio::test(start_paused = true)]
async fn audio_not_yet_read_is_recalled_and_notes_are_not() {
    let (mut sender, mut receiver, mut far) = session(64);
    for number in 0..5 {
        far.play(&format!("old {number}")).await;
    }
    far.say("note kept").await;
    settle().await;
    assert_eq!(sender.metrics().events_queued, 6);
    sender.interrupt(Say::Clear).unwrap();
    far.play("new").await;
    settle().await;
    assert_eq!(heard(&mut receiver).await, Some(Heard::Note("kept".into())));
    assert_eq!(heard(&mut receiver).await, Some(Heard::Audio("new".into())));
    assert_eq!(sender.metrics().events_dropped, 5);
}

#[tokio::test(start_paused = true)]
async fn audio_that_arrived_but_was_not_delivered_is_stale_too() {
    // The event queue is full and the application reads nothing, so audio waits in the machine and
    // in the link; the barge-in must still reach the far end.
    let (mut sender, mut receiver, mut far) = session(2);
    for number in 0..10 {
        far.play(&format!("old {number}")).await;
    }
    settle().await;
    sender.interrupt(Say::Clear).unwrap();
    assert_eq!(sent(&mut far).await, ["hello", "clear"]);
    // What was still in the link reaches the machine after the barge-in: telling it apart is the
    // protocol's business. What the session held is gone.
    assert_ne!(heard(&mut receiver).await, Some(Heard::Audio("old 0".into())));
}

#[tokio::test(start_paused = true)]
async fn a_slow_application_stops_the_reading_but_not_timers_or_sending() {
    let (near, far) = memory::pair(64);
    let machine = Talker::with_beats();
    let (mut sender, mut receiver) = Session::builder(machine).event_capacity(2).accept(near).split();
    let mut far = FarEnd(far);
    for number in 0..10 {
        far.play(&number.to_string()).await;
    }
    assert_eq!(sent(&mut far).await, ["hello"]);
    sender.send(line("still")).await.unwrap();
    assert_eq!(sent(&mut far).await, ["1 still"]);
    tokio::time::sleep(3 * support::BEAT).await;
    assert_eq!(sent(&mut far).await, ["beat", "beat", "beat"]);
    assert!(receiver.metrics().messages_received <= 3, "{:?}", receiver.metrics());
    for number in 0..10 {
        assert_eq!(heard(&mut receiver).await, Some(Heard::Audio(number.to_string())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_link_stops_the_sending_but_not_events_and_what_waits_can_be_dropped() {
    let (near, far) = memory::pair(2);
    let (mut sender, mut receiver) = Session::builder(Talker::default()).accept(near).split();
    let mut far = FarEnd(far);
    for number in 0..10 {
        sender.send(line(format!("old {number}"))).await.unwrap();
    }
    settle().await;
    far.say("note through").await;
    assert_eq!(heard(&mut receiver).await, Some(Heard::Note("through".into())));
    sender.interrupt(Say::Clear).unwrap();
    assert_eq!(sent(&mut far).await, ["hello", "1 old 0", "clear"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_command_is_an_event_and_the_session_goes_on() {
    let (mut sender, mut receiver, mut far) = session(4);
    sender.send(Say::Nonsense).await.unwrap();
    sender.send(line("on")).await.unwrap();
    assert!(matches!(receiver.next().await, Some(Ok(SessionEvent::Refused(_)))));
    assert_eq!(sent(&mut far).await, ["hello", "1 on"]);
}

#[tokio::test(start_paused = true)]
async fn refusals_nobody_reads_stop_the_commands_within_a_bound() {
    let (mut sender, mut receiver, _far) = session(4);
    let mut accepted = 0;
    while tokio::time::timeout(Duration::from_millis(5), sender.send(Say::Nonsense)).await.is_ok() {
        accepted += 1;
    }
    assert_eq!(accepted, 256 + 4 + 4, "commands queued, events queued, events held");
    for _ in 0..accepted {
        assert!(matches!(receiver.next().await, Some(Ok(SessionEvent::Refused(_)))));
    }
}

#[tokio::test(start_paused = true)]
async fn the_sender_is_a_sink_and_flush_waits_for_the_driver() {
    let (mut sender, _receiver, mut far) = session(4);
    let mut lines = futures::stream::iter((0..40).map(|number| Ok(line(number.to_string()))));
    sender.send_all(&mut lines).await.unwrap();
    assert_eq!(sender.metrics().commands_queued, 0);
    assert_eq!(sent(&mut far).await.len(), 41);
}

/// One thing that happens to a session.
#[derive(Debug, Clone)]
enum Move {
    Send,
    Interrupt,
    Play,
    Read,
    Settle,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => Just(Move::Send),
        1 => Just(Move::Interrupt),
        4 => Just(Move::Play),
        3 => Just(Move::Read),
        3 => Just(Move::Settle),
    ];
    prop::collection::vec(one, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(support::heavy(200, 20_000) as u32))]

    /// Lines carry the epoch they were sent in, audio the epoch it was played in, with the driver
    /// settled at each barge-in so that both are certain.
    #[test]
    fn whatever_the_schedule_nothing_stale_gets_out_and_nothing_fresh_is_lost(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(schedule(moves))?;
    }
}

async fn schedule(moves: Vec<Move>) -> Result<(), TestCaseError> {
    let (mut sender, mut receiver, mut far) = session(1_024);
    let (mut epoch, mut number) = (0u32, 0u32);
    let mut fresh_lines = Vec::new();
    let mut fresh_audio = Vec::new();
    settle().await;
    for step in moves {
        number += 1;
        match step {
            Move::Send if sender.try_send(line(format!("{epoch}.{number}"))).is_ok() => {
                fresh_lines.push(format!("{epoch}.{number}"));
            }
            Move::Send => {}
            Move::Interrupt => {
                prop_assert!(sender.interrupt(Say::Clear).is_ok());
                epoch += 1;
                fresh_lines.clear();
                fresh_audio.clear();
                let arrived_late = sent(&mut far).await;
                let cleared = arrived_late.iter().position(|text| text == "clear");
                prop_assert!(cleared.is_some(), "{arrived_late:?}");
            }
            Move::Play => {
                let audio = format!("{epoch}.{number}");
                if far.0.send(Message::Binary(audio.clone().into())).now_or_never().is_some() {
                    fresh_audio.push(audio);
                    // Taken by the driver before the next barge-in can be thought of.
                    settle().await;
                }
            }
            Move::Read => match receiver.next().now_or_never() {
                Some(Some(Ok(SessionEvent::Protocol(Heard::Audio(audio))))) => {
                    prop_assert!(!fresh_audio.is_empty(), "stale audio {}", audio);
                    prop_assert_eq!(audio, fresh_audio.remove(0));
                }
                Some(other) => prop_assert!(matches!(other, Some(Ok(_))), "{other:?}"),
                None => {}
            },
            Move::Settle => {
                for text in sent(&mut far).await {
                    if let Some((_, said)) = text.split_once(' ') {
                        prop_assert!(!fresh_lines.is_empty(), "stale line {}", said);
                        prop_assert_eq!(said, fresh_lines.remove(0));
                    }
                }
            }
        }
    }
    let last: Vec<String> =
        sent(&mut far).await.iter().filter_map(|text| Some(text.split_once(' ')?.1.to_owned())).collect();
    prop_assert_eq!(last, fresh_lines);
    let mut left = Vec::new();
    while let Some(Some(Ok(event))) = receiver.next().now_or_never() {
        if let SessionEvent::Protocol(Heard::Audio(audio)) = event {
            left.push(audio);
        }
    }
    prop_assert_eq!(left, fresh_audio);
    Ok(())
}

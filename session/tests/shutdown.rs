//! Proves that nothing outlives a session, and that every end is bounded, in order and told.

mod support;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use tokio::runtime::Handle;
use tokio::time::Instant;
use voxline_protocol::{CommandError, Input, Machine, Message, ProtocolError};
use voxline_session::{
    Adopter, Builder, Driver, Lease, Pool, Receiver, RetryPolicy, Sender, Session, SessionError,
    SessionEvent, Slot, Supervisor, VendorLimits, Wait,
};
use voxline_transport::memory::MemoryTransport;
use voxline_transport::{Incoming, memory};

use support::{FarEnd, Heard, Meets, Plan, Say, Talker, heard, line, rest, serve};

const SECOND: Duration = Duration::from_secs(1);

/// Tasks of this test's runtime other than the test itself.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_sender_lets_everything_out_and_ends_well() {
    let (near, far) = memory::pair(4);
    let server = tokio::spawn(serve(far));
    let (mut sender, receiver) = Session::builder(Talker::default()).accept(near).split();
    for number in 0..100 {
        sender.send(line(number.to_string())).await.unwrap();
    }
    drop(sender);
    let (events, outcome) = rest(receiver).await;
    outcome.unwrap();
    assert_eq!(events.last(), Some(&SessionEvent::Protocol(Heard::Closed)));
    let heard = server.await.unwrap();
    assert_eq!((heard.len(), heard.last().map(String::as_str)), (102, Some("bye")));
    settle().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_says_goodbye_is_cut_at_the_limit() {
    let (near, far) = memory::pair(64);
    let (sender, receiver) = Session::builder(Talker::default()).close_limit(3 * SECOND).accept(near).split();
    let begun = Instant::now();
    let closing = tokio::spawn(sender.close());
    let (_, outcome) = rest(receiver).await;
    assert!(
        matches!(outcome, Err(SessionError::Timeout { wait: Wait::Close, limit }) if limit == 3 * SECOND)
    );
    closing.await.unwrap();
    assert_eq!(begun.elapsed(), 3 * SECOND);
    assert_eq!(tasks(), 0);
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_ignores_our_close_frame_is_cut_at_the_limit() {
    let (near, mut far) = memory::pair(64);
    let (mut sender, mut receiver) =
        Session::builder(Talker::default()).close_limit(3 * SECOND).accept(near).split();
    far.send(Message::Text("bye".into())).await.unwrap();
    assert_eq!(heard(&mut receiver).await, Some(Heard::Closed));
    let begun = Instant::now();
    assert!(receiver.next().await.is_none(), "the application is told at once");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    sender.closed().await;
    assert_eq!(begun.elapsed(), 3 * SECOND);
    assert_eq!(tasks(), 0);
    assert!(matches!(far.next().await, Some(Ok(Incoming::Text(_)))));
    assert!(matches!(far.next().await, Some(Ok(Incoming::Closed(Some(frame)))) if frame.code == 1000));
}

/// Sends what it is told, in a protocol without an end of its own.
#[derive(Debug, Default)]
struct Letters(VecDeque<String>);

impl Machine for Letters {
    type Command = String;
    type Event = ();

    fn handle_input(&mut self, _: std::time::Instant, _: Input<'_>) -> Result<(), ProtocolError> {
        Ok(())
    }

    fn handle_command(&mut self, _: std::time::Instant, letter: String) -> Result<(), CommandError> {
        self.0.push_back(letter);
        Ok(())
    }

    fn handle_timeout(&mut self, _: std::time::Instant) -> Result<(), ProtocolError> {
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Message> {
        self.0.pop_front().map(Message::Text)
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<std::time::Instant> {
        None
    }

    fn is_finished(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_end_of_its_own_a_session_ends_once_its_last_word_has_left() {
    let (near, far) = memory::pair(1);
    let (mut sender, receiver) = Session::builder(Letters::default()).accept(near).split();
    for letter in ["a", "b", "c"] {
        sender.send(letter.into()).await.unwrap();
    }
    drop(sender);
    let ending = tokio::spawn(receiver.finish());
    let mut far = FarEnd(far);
    for letter in ["a", "b", "c"] {
        tokio::time::sleep(SECOND).await;
        assert_eq!(far.hear().await.as_deref(), Some(letter));
    }
    assert_eq!(far.hear().await, None, "then the close frame");
    ending.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn last_words_the_link_does_not_take_are_cut_at_the_limit() {
    let (near, stuck) = memory::pair(1);
    let (mut sender, receiver) = Session::builder(Letters::default())
        .close_limit(3 * SECOND)
        .send_limit(60 * SECOND)
        .accept(near)
        .split();
    for letter in ["a", "b", "c"] {
        sender.send(letter.into()).await.unwrap();
    }
    let begun = Instant::now();
    drop(sender);
    let outcome = receiver.finish().await;
    assert!(
        matches!(outcome, Err(SessionError::Timeout { wait: Wait::Close, limit }) if limit == 3 * SECOND),
        "{outcome:?}"
    );
    assert_eq!(begun.elapsed(), 3 * SECOND);
    assert_eq!(tasks(), 0);
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_receiver_cancels_at_once() {
    let (near, far) = memory::pair(64);
    let (mut sender, receiver) = Session::builder(Talker::default()).accept(near).split();
    settle().await;
    drop(receiver);
    let begun = Instant::now();
    sender.closed().await;
    assert_eq!((begun.elapsed(), tasks()), (Duration::ZERO, 0));
    assert!(matches!(sender.send(line("late")).await, Err(SessionError::Ended)));
    assert!(sender.interrupt(Say::Clear).is_err());
    let mut far = FarEnd(far);
    assert_eq!(far.hear().await.as_deref(), Some("hello"));
    assert_eq!(far.hear().await, None, "with a close frame, as the link took it");
}

#[tokio::test(start_paused = true)]
async fn cancelling_waits_until_the_task_is_gone_whatever_it_was_doing() {
    for (name, steps) in
        [("live", vec![]), ("dialling", vec![Meets::Silence]), ("waiting", vec![Meets::Nobody; 1_000])]
    {
        let (plan, _links) = Plan::new(&steps, 4);
        let retry = RetryPolicy::default().with_seed(1);
        let (_sender, receiver) = Session::builder(Talker::default()).retry(retry).start(plan).split();
        tokio::time::sleep(20 * SECOND).await;
        let begun = Instant::now();
        receiver.cancel().await;
        assert_eq!((begun.elapsed(), tasks()), (Duration::ZERO, 0), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_both_halves_leaves_nothing() {
    let (near, far) = memory::pair(64);
    let server = tokio::spawn(serve(far));
    drop(Session::builder(Talker::default()).accept(near));
    server.await.unwrap();
    settle().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_driver_cuts_the_link_and_is_told() {
    let (near, far) = memory::pair(64);
    let (session, driver) = Session::builder(Talker::default()).drive(near);
    let (mut sender, receiver) = session.split();
    let mut driver = Box::pin(driver);
    assert!((&mut driver).now_or_never().is_none());
    drop(driver);
    let (_, outcome) = rest(receiver).await;
    assert!(matches!(outcome, Err(SessionError::Aborted)), "{outcome:?}");
    sender.closed().await;
    let mut far = FarEnd(far);
    assert_eq!(far.hear().await.as_deref(), Some("hello"));
    assert_eq!(far.hear().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_panics_ends_its_own_session_and_is_told() {
    let (near, far) = memory::pair(64);
    let server = tokio::spawn(serve(far));
    let (mut sender, receiver) = Session::builder(Talker::default()).accept(near).split();
    sender.send(Say::Panic).await.unwrap();
    assert!(matches!(receiver.finish().await, Err(SessionError::Aborted)));
    assert!(matches!(sender.send(line("late")).await, Err(SessionError::Ended)));
    server.await.unwrap();
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_driver_polled_by_hand_needs_no_task() {
    let (near, far) = memory::pair(64);
    let (session, driver) = Session::builder(Talker::default()).drive(near);
    let (mut sender, receiver) = session.split();
    let application = async {
        sender.send(line("one")).await.unwrap();
        sender.close().await;
        rest(receiver).await.1.unwrap();
    };
    let (heard, (), ()) = tokio::join!(serve(far), driver, application);
    assert_eq!(heard, ["hello", "1 one", "bye"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_send_queued_nothing_and_a_dropped_next_lost_nothing() {
    let (near, far) = memory::pair(64);
    let (session, driver) = Session::builder(Talker::default()).command_capacity(1).drive(near);
    let (mut sender, mut receiver) = session.split();
    sender.send(line("one")).await.unwrap();
    assert!(sender.send(line("dropped")).now_or_never().is_none(), "there is no room");
    assert!(receiver.next().now_or_never().is_none());
    let driver = tokio::spawn(driver);
    sender.send(line("two")).await.unwrap();
    let mut far = FarEnd(far);
    for expected in ["hello", "1 one", "2 two"] {
        assert_eq!(far.hear().await.as_deref(), Some(expected));
    }
    far.say("note heard").await;
    settle().await;
    assert_eq!(heard(&mut receiver).await, Some(Heard::Note("heard".into())));
    drop(receiver);
    driver.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connect_leaves_no_dial_behind() {
    let (plan, mut links) = Plan::new(&[Meets::Silence], 4);
    assert!(Session::builder(Talker::default()).connect(plan).now_or_never().is_none());
    assert!(links.recv().await.is_none(), "the connector is gone");
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_while_the_vendor_is_down_ends_at_the_limit() {
    let (plan, _links) = Plan::new(&[Meets::Nobody; 1_000], 4);
    let mut session = Session::builder(Talker::default()).close_limit(3 * SECOND).start(plan);
    let (sender, _) = session.halves();
    sender.send(line("never heard")).await.unwrap();
    let (sender, receiver) = session.split();
    let begun = Instant::now();
    drop(sender);
    let outcome = receiver.finish().await;
    assert!(matches!(outcome, Err(SessionError::Timeout { wait: Wait::Close, .. })), "{outcome:?}");
    assert_eq!((begun.elapsed(), tasks()), (3 * SECOND, 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_busy_both_ways_lets_other_tasks_run() {
    let (near, far) = memory::pair(4);
    let (mut sender, receiver) = Session::builder(Talker::default()).accept(near).split();
    let server = tokio::spawn(serve(far));
    let ran = Arc::new(AtomicBool::new(false));
    let other = Arc::clone(&ran);
    tokio::spawn(async move {
        tokio::task::yield_now().await;
        other.store(true, Ordering::Relaxed);
    });
    let mut sent = 0;
    while !ran.load(Ordering::Relaxed) {
        sender.send(line("busy")).await.unwrap();
        sent += 1;
        assert!(sent < 10_000, "starved");
    }
    drop(sender);
    receiver.finish().await.unwrap();
    server.await.unwrap();
}

/// On a real clock and two threads: a lost wake-up would stop it for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_threads() {
    const LINES: usize = 3_000;
    let (near, far) = memory::pair(3);
    let (mut sender, mut receiver) =
        Session::builder(Talker::default()).command_capacity(2).event_capacity(2).accept(near).split();
    let far = tokio::spawn(async move {
        let mut far = FarEnd(far);
        assert_eq!(far.hear().await.as_deref(), Some("hello"));
        for number in 1..=LINES {
            assert_eq!(far.hear().await, Some(format!("{number} line")));
            far.say(&format!("note {number}")).await;
        }
        assert_eq!(far.hear().await.as_deref(), Some("bye"));
        far.say("bye").await;
        while far.hear().await.is_some() {}
    });
    let sending = tokio::spawn(async move {
        for _ in 0..LINES {
            sender.send(line("line")).await.unwrap();
        }
    });
    let whole = async {
        for number in 1..=LINES {
            assert_eq!(heard(&mut receiver).await, Some(Heard::Note(number.to_string())));
        }
        receiver.finish().await.unwrap();
        far.await.unwrap();
        sending.await.unwrap();
    };
    tokio::time::timeout(60 * SECOND, whole).await.unwrap();
}

#[test]
fn handles_cross_threads() {
    fn send<T: Send>() {}
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Session<Talker>>();
    send_and_sync::<Sender<Talker>>();
    send_and_sync::<Receiver<Talker>>();
    send_and_sync::<Builder<Talker>>();
    send_and_sync::<Adopter<MemoryTransport>>();
    send_and_sync::<Pool<Talker, Plan>>();
    send_and_sync::<Lease<Talker>>();
    send_and_sync::<Slot<Talker>>();
    send_and_sync::<Supervisor>();
    send_and_sync::<VendorLimits>();
    send_and_sync::<SessionError>();
    send::<Driver<Talker, MemoryTransport>>();
}

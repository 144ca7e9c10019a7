//! Each kind of fault, by hand and by plan, on links in memory.

use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};

use super::*;
use crate::memory::{self, MemoryTransport};

const SECOND: Duration = Duration::from_secs(1);

fn faulty(plan: FaultPlan) -> (Faulty<MemoryTransport>, MemoryTransport, FaultHandle) {
    let handle = FaultHandle::new();
    let (near, far) = memory::pair(1024);
    (Faulty::new(near, plan, &handle), far, handle)
}

fn text(number: u32) -> Message {
    Message::Text(format!("message {number}"))
}

#[tokio::test(start_paused = true)]
async fn without_faults_everything_passes() {
    let (mut near, mut far, _) = faulty(FaultPlan::new(1));
    near.send(text(1)).await.unwrap();
    far.send(text(2)).await.unwrap();
    assert_eq!(far.next().await.unwrap().unwrap(), Incoming::Text("message 1".into()));
    assert_eq!(near.next().await.unwrap().unwrap(), Incoming::Text("message 2".into()));
    near.close().await.unwrap();
    assert!(matches!(far.next().await, Some(Ok(Incoming::Closed(_)))));
    assert!(matches!(near.next().await, Some(Ok(Incoming::Closed(_)))));
    assert!(near.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_planned_cut_comes_at_its_age_and_both_ends_see_it() {
    let (mut near, mut far, _) = faulty(FaultPlan::new(1).with_cut(SECOND * 3..=SECOND * 3));
    let start = Instant::now();
    assert!(matches!(near.next().await, Some(Err(TransportError::Reset(_)))));
    assert_eq!(start.elapsed(), SECOND * 3);
    assert!(near.next().await.is_none());
    assert!(matches!(near.send(text(1)).await, Err(TransportError::Reset(_))));
    assert!(matches!(far.next().await, Some(Err(TransportError::Reset(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_takes_everything_and_gives_nothing() {
    let (mut near, mut far, handle) = faulty(FaultPlan::new(1));
    far.send(text(1)).await.unwrap();
    handle.black_hole();
    near.send(text(2)).await.unwrap();
    assert!(tokio::time::timeout(SECOND * 1000, near.next()).await.is_err());
    assert!(far.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_planned_black_hole_opens_at_its_age_and_nobody_is_told() {
    let (mut near, mut far, _handle) = faulty(FaultPlan::new(1).with_black_hole(SECOND * 3..=SECOND * 3));
    far.send(text(1)).await.unwrap();
    assert!(matches!(near.next().await, Some(Ok(Incoming::Text(_)))));
    tokio::time::sleep(SECOND * 3).await;
    near.send(text(2)).await.unwrap();
    far.send(text(3)).await.unwrap();
    assert!(tokio::time::timeout(SECOND * 1000, near.next()).await.is_err());
    assert!(far.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cut_by_hand_wakes_whoever_waits() {
    let (mut near, _far, handle) = faulty(FaultPlan::new(1));
    assert_eq!(handle.open_links(), 1);
    let waiting = tokio::spawn(async move { near.next().await });
    tokio::task::yield_now().await;
    handle.cut();
    assert!(matches!(waiting.await.unwrap(), Some(Err(TransportError::Reset(_)))));
    assert_eq!(handle.open_links(), 0);
}

#[tokio::test(start_paused = true)]
async fn delayed_messages_keep_their_order_and_are_late() {
    let (mut near, mut far, _) = faulty(FaultPlan::new(9).with_delay(SECOND..=SECOND * 5));
    for number in 0..20 {
        far.send(text(number)).await.unwrap();
    }
    let start = Instant::now();
    for number in 0..20 {
        let expected = Incoming::Text(format!("message {number}").into());
        assert_eq!(near.next().await.unwrap().unwrap(), expected);
        assert!(start.elapsed() >= SECOND);
    }
    assert!(start.elapsed() <= SECOND * 5);
}

#[tokio::test(start_paused = true)]
async fn a_stall_stops_both_directions_and_ends() {
    let still = Duration::ZERO..=Duration::ZERO;
    let (mut near, mut far, _) = faulty(FaultPlan::new(1).with_stall(still, SECOND * 2..=SECOND * 2));
    far.send(text(1)).await.unwrap();
    assert!(near.next().now_or_never().is_none());
    assert!(near.send(text(2)).now_or_never().is_none());

    let once = FaultPlan::new(1).with_stall(SECOND..=SECOND, SECOND * 2..=SECOND * 2);
    let (mut near, mut far, _) = faulty(once);
    tokio::time::advance(SECOND).await;
    far.send(text(1)).await.unwrap();
    let start = Instant::now();
    assert!(matches!(near.next().await, Some(Ok(Incoming::Text(_)))));
    assert_eq!(start.elapsed(), SECOND * 2);

    let (mut near, mut far, handle) = faulty(FaultPlan::new(1));
    handle.stall();
    far.send(text(1)).await.unwrap();
    assert!(tokio::time::timeout(SECOND, near.next()).await.is_err());
    handle.resume();
    assert!(matches!(near.next().await, Some(Ok(Incoming::Text(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_garbled_message_differs_and_a_lost_close_is_a_reset() {
    let (mut near, mut far, _) = faulty(FaultPlan::new(3).with_garble(1.0).with_dropped_close());
    far.send(text(1)).await.unwrap();
    far.send(Message::Binary(Bytes::from_static(&[0; 8]))).await.unwrap();
    far.close().await.unwrap();
    let Incoming::Text(garbled) = near.next().await.unwrap().unwrap() else { panic!("no text") };
    assert!("message 1".starts_with(garbled.as_str()) && garbled.as_str() != "message 1");
    assert_ne!(near.next().await.unwrap().unwrap(), Incoming::Binary(Bytes::from_static(&[0; 8])));
    assert!(matches!(near.next().await, Some(Err(TransportError::Reset(_)))));
    assert!(near.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_faults_and_links_differ() {
    let ages = |seed| async move {
        let plan = FaultPlan::new(seed).with_cut(SECOND..=SECOND * 100);
        let mut ages = Vec::new();
        for number in 0..3 {
            let (near, _far) = memory::pair(1);
            let start = Instant::now();
            let mut near = Faulty::new(near, plan.for_link(number), &FaultHandle::new());
            assert!(matches!(near.next().await, Some(Err(_))));
            ages.push(start.elapsed());
        }
        ages
    };
    let (first, again, other) = (ages(1).await, ages(1).await, ages(2).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_ne!(first[0], first[1]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_cuts_what_is_open_and_refuses_what_is_new() {
    use crate::{Acceptor, Endpoint, Exchange};

    let network = memory::Network::new(8);
    let mut listener = network.listen("h").unwrap();
    let handle = FaultHandle::new();
    let connector = FaultyConnector::new(
        network.connector(Endpoint::parse("ws://h/").unwrap()),
        FaultPlan::new(1),
        handle.clone(),
    );
    let server = async { listener.accept().await.unwrap().upgrade().await.unwrap() };
    let (near, _far) = tokio::join!(connector.connect(), server);
    handle.go_down();
    assert!(matches!(near.unwrap().next().await, Some(Err(TransportError::Reset(_)))));
    assert!(matches!(connector.connect().await, Err(TransportError::Unreachable { .. })));
    handle.come_back();
    let server = async { listener.accept().await.unwrap().upgrade().await.unwrap() };
    let (near, _far) = tokio::join!(connector.connect(), server);
    near.unwrap();
}

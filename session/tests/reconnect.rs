//! Proves that a session outlives its links, loses nothing with them, and ends when it should.

mod support;

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::time::Instant;
use voxline_protocol::{CloseFrame, Message};
use voxline_session::{
    Breaker, Budget, RetryPolicy, Session, SessionError, SessionEvent, VendorLimits, Wait,
};
use voxline_transport::memory::MemoryTransport;
use voxline_transport::{TransportError, memory};

use support::{FarEnd, Heard, Meets, Plan, Random, Talker, heard, heavy, line, print_seed, rest, serve};

const SECOND: Duration = Duration::from_secs(1);

fn policy() -> RetryPolicy {
    RetryPolicy::default().with_seed(11)
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_is_replaced_and_unacknowledged_lines_are_said_again() {
    let (plan, mut links) = Plan::new(&[Meets::Link, Meets::Nobody, Meets::Nobody], 8);
    let session = Session::builder(Talker::default()).retry(policy()).connect(plan).await.unwrap();
    let (mut sender, mut receiver) = session.split();

    let mut far = FarEnd(links.recv().await.unwrap());
    sender.send(line("one")).await.unwrap();
    sender.send(line("two")).await.unwrap();
    assert_eq!(far.hear().await.as_deref(), Some("hello"));
    assert_eq!(far.hear().await.as_deref(), Some("1 one"));
    far.say("ack 1").await;
    drop(far);
    sender.send(line("three")).await.unwrap();

    let server = tokio::spawn(serve(links.recv().await.unwrap()));
    assert_eq!(heard(&mut receiver).await, Some(Heard::LinkLost));
    let mut attempts = Vec::new();
    while let Some(Ok(SessionEvent::Reconnecting { attempt, .. })) = receiver.next().await {
        attempts.push(attempt);
    }
    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(heard(&mut receiver).await, Some(Heard::Ready));

    let metrics = receiver.metrics();
    assert_eq!((metrics.links, metrics.reconnects(), metrics.dials), (2, 1, 4));
    assert!(metrics.link_up);
    assert_eq!(metrics.last_connect, Some(Duration::from_millis(20)));
    drop(sender);
    assert!(rest(receiver).await.1.is_ok());
    assert_eq!(server.await.unwrap(), ["hello", "2 two", "3 three", "bye"]);
}

#[tokio::test(start_paused = true)]
async fn commands_given_before_the_first_link_wait_in_the_machine() {
    let (plan, mut links) = Plan::new(&[Meets::Nobody, Meets::Nobody], 8);
    let (mut sender, mut receiver) =
        Session::builder(Talker::default()).retry(policy()).command_capacity(2).start(plan).split();
    for number in 0..20 {
        sender.send(line(number.to_string())).await.unwrap();
    }
    let server = tokio::spawn(serve(links.recv().await.unwrap()));
    let mut redials = 0;
    let connected = loop {
        match receiver.next().await {
            Some(Ok(SessionEvent::Connected { after })) => break after,
            event => assert!(matches!(event, Some(Ok(SessionEvent::Reconnecting { .. }))), "{event:?}"),
        }
        redials += 1;
    };
    assert_eq!(redials, 2);
    assert!(connected > Duration::from_millis(60), "three dials of 20 ms each");
    sender.close().await;
    let heard = server.await.unwrap();
    assert_eq!(heard.len(), 22, "{heard:?}");
    assert_eq!(heard[20], "20 19");
}

#[tokio::test(start_paused = true)]
async fn a_first_dial_that_fails_is_told_at_once() {
    let (plan, _links) = Plan::new(&[Meets::Refusal(401)], 8);
    let error = Session::builder(Talker::default()).connect(plan).await.unwrap_err();
    assert!(
        matches!(error, SessionError::Transport(TransportError::Refused { status: 401, .. })),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_session_without_another_dial() {
    for status in [400, 401, 403] {
        let (plan, mut links) = Plan::new(&[Meets::Link, Meets::Nobody, Meets::Refusal(status)], 8);
        let dials = plan.dials.clone();
        let session = Session::builder(Talker::default()).retry(policy()).connect(plan).await.unwrap();
        drop(links.recv().await.unwrap());
        let (_sender, receiver) = session.split();
        let (_, outcome) = rest(receiver).await;
        let error = outcome.unwrap_err();
        assert!(
            matches!(&error, SessionError::Transport(TransportError::Refused { status: got, .. }) if *got == status),
            "{error:?}"
        );
        assert_eq!(dials.times().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_stated_wait_is_kept() {
    let (plan, mut links) = Plan::new(&[Meets::Link, Meets::Later(40)], 8);
    let dials = plan.dials.clone();
    let _session = Session::builder(Talker::default()).retry(policy()).connect(plan).await.unwrap();
    drop(links.recv().await.unwrap());
    links.recv().await.unwrap();
    let dials = dials.times();
    assert!(dials[2] - dials[1] >= 40 * SECOND, "{:?}", dials[2] - dials[1]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_up_at_once_is_dialled_ever_more_slowly() {
    let (plan, mut links) = Plan::new(&[], 8);
    let dials = plan.dials.clone();
    let begun = Instant::now();
    let session =
        Session::builder(Talker::default()).retry(policy().with_max_attempts(8)).connect(plan).await.unwrap();
    let hang_up = tokio::spawn(async move {
        while let Some(link) = links.recv().await {
            drop(link);
        }
    });
    let (_sender, receiver) = session.split();
    let (_, outcome) = rest(receiver).await;
    let Err(SessionError::RetriesExhausted { attempts: 8, last, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(*last, SessionError::Transport(TransportError::Reset(_))), "{last:?}");
    assert_eq!(dials.times().len(), 9);
    assert!(begun.elapsed() > 20 * SECOND, "{:?}", begun.elapsed());
    hang_up.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_after_each_utterance_is_dialled_at_once() {
    let (plan, mut links) = Plan::new(&[], 8);
    let begun = Instant::now();
    let session = Session::builder(Talker::default()).retry(policy()).connect(plan).await.unwrap();
    let (_sender, mut receiver) = session.split();
    for number in 0..20 {
        let mut far = FarEnd(links.recv().await.unwrap());
        far.play(&number.to_string()).await;
        far.close(1000).await;
        assert_eq!(heard(&mut receiver).await, Some(Heard::Audio(number.to_string())));
        assert_eq!(heard(&mut receiver).await, Some(Heard::LinkLost));
    }
    assert!(begun.elapsed() <= 20 * Duration::from_millis(21), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_a_new_session_at_once() {
    let limits = VendorLimits::new(Budget::default(), Breaker::new(1, 5 * SECOND));
    let (plan, _links) = Plan::new(&[Meets::Nobody], 8);
    Session::builder(Talker::default()).limits(&limits).connect(plan).await.unwrap_err();
    let (plan, _links) = Plan::new(&[], 8);
    let dials = plan.dials.clone();
    let error = Session::builder(Talker::default()).limits(&limits).connect(plan).await.unwrap_err();
    assert!(matches!(error, SessionError::HeldBack { .. }), "{error:?}");
    assert!(dials.times().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_accepted_session_ends_with_its_link() {
    let (near, far) = memory::pair(8);
    let (_sender, receiver) = Session::builder(Talker::default()).accept(near).split();
    FarEnd(far).close(1000).await;
    let (events, outcome) = rest(receiver).await;
    assert_eq!(events, [SessionEvent::Protocol(Heard::LinkLost)]);
    let error = outcome.unwrap_err();
    assert!(
        matches!(&error, SessionError::LinkClosed { frame: Some(frame) } if frame.code == 1000),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_redial_within_the_grace_time_continues_the_session() {
    let (near, far) = memory::pair(8);
    let (session, adopter) = Session::builder(Talker::default()).accept_adoptable(near, 20 * SECOND);
    let (mut sender, mut receiver) = session.split();
    sender.send(line("one")).await.unwrap();
    let mut far = FarEnd(far);
    assert_eq!(far.hear().await.as_deref(), Some("hello"));
    drop(far);
    assert_eq!(heard(&mut receiver).await, Some(Heard::LinkLost));
    assert!(matches!(receiver.next().await, Some(Ok(SessionEvent::Unlinked { .. }))));
    tokio::time::sleep(19 * SECOND).await;

    let (near, far) = memory::pair(8);
    let server = tokio::spawn(serve(far));
    adopter.adopt(near).await.unwrap();
    let event = receiver.next().await.unwrap().unwrap();
    assert!(matches!(event, SessionEvent::Reconnected { after } if after >= 19 * SECOND), "{event:?}");
    tokio::time::sleep(60 * SECOND).await;
    sender.close().await;
    assert_eq!(server.await.unwrap(), ["hello", "1 one", "bye"]);
    let (near, _far) = memory::pair(8);
    assert!(adopter.adopt(near).await.is_err(), "the session has ended");
}

#[tokio::test(start_paused = true)]
async fn a_redial_replaces_a_link_not_yet_known_to_be_dead() {
    let (near, _black_hole) = memory::pair(8);
    let (session, adopter) = Session::builder(Talker::default()).accept_adoptable(near, SECOND);
    let (sender, mut receiver) = session.split();
    let (near, far) = memory::pair(8);
    let server = tokio::spawn(serve(far));
    adopter.adopt(near).await.unwrap();
    assert_eq!(heard(&mut receiver).await, Some(Heard::LinkLost));
    assert_eq!(heard(&mut receiver).await, Some(Heard::Ready));
    drop(sender);
    rest(receiver).await.1.unwrap();
    assert_eq!(server.await.unwrap(), ["hello", "bye"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_redialling_ends_the_session_after_the_grace_time() {
    let (near, far) = memory::pair(8);
    let (session, _adopter) = Session::builder(Talker::default()).accept_adoptable(near, 20 * SECOND);
    let (_sender, receiver) = session.split();
    let begun = Instant::now();
    drop(far);
    let (_, outcome) = rest(receiver).await;
    assert!(matches!(outcome, Err(SessionError::Timeout { wait: Wait::Adoption, .. })), "{outcome:?}");
    assert_eq!(begun.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_nothing_counts_as_lost() {
    let (plan, mut links) = Plan::new(&[], 1);
    let session = Session::builder(Talker::default()).retry(policy()).connect(plan).await.unwrap();
    let (mut sender, mut receiver) = session.split();
    let begun = Instant::now();
    let _stuck = links.recv().await.unwrap();
    sender.send(line("one")).await.unwrap();
    let server = tokio::spawn(serve(links.recv().await.unwrap()));
    assert_eq!(heard(&mut receiver).await, Some(Heard::LinkLost));
    assert_eq!(heard(&mut receiver).await, Some(Heard::Ready));
    assert!(begun.elapsed() >= 10 * SECOND && begun.elapsed() < 12 * SECOND, "{:?}", begun.elapsed());
    sender.close().await;
    assert_eq!(server.await.unwrap(), ["hello", "1 one", "bye"]);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_is_told_once_after_the_events_before_it() {
    let (near, far) = memory::pair(8);
    let (mut sender, receiver) = Session::builder(Talker::default()).accept(near).split();
    let mut far = FarEnd(far);
    far.say("note first").await;
    far.say("gibberish").await;
    let mut receiver = receiver;
    assert_eq!(heard(&mut receiver).await, Some(Heard::Note("first".into())));
    assert!(matches!(receiver.next().await, Some(Err(SessionError::Protocol(_)))));
    assert!(receiver.next().await.is_none());
    assert!(matches!(sender.send(line("late")).await, Err(SessionError::Ended)));
}

#[tokio::test(start_paused = true)]
async fn what_a_machine_says_as_it_fails_is_still_told() {
    let (near, far) = memory::pair(8);
    let (_sender, mut receiver) = Session::builder(Talker::default()).accept(near).split();
    FarEnd(far).say("gibberish last words").await;
    assert_eq!(heard(&mut receiver).await, Some(Heard::Note("last words".into())));
    assert!(matches!(receiver.next().await, Some(Err(SessionError::Protocol(_)))));
    assert!(receiver.next().await.is_none());
}

/// Links live for a few messages, end in every way, and dials fail; the machine's promise must hold over all of it.
#[tokio::test(start_paused = true)]
async fn whatever_is_cut_every_line_arrives_in_order() {
    for seed in 0..heavy(100, 5_000) {
        print_seed(seed);
        let mut random = Random::new(seed);
        let steps: Vec<Meets> =
            (0..20).map(|_| if random.one_in(3) { Meets::Nobody } else { Meets::Link }).collect();
        let (plan, mut links) = Plan::new(&steps, 1 + random.below(6) as usize);
        let builder = Session::builder(Talker::default()).event_capacity(1 + random.below(4) as usize);
        let (mut sender, receiver) =
            builder.retry(policy().with_seed(seed)).close_limit(3_600 * SECOND).start(plan).split();
        let reading = tokio::spawn(rest(receiver));
        let writing = tokio::spawn(async move {
            let mut random = Random::new(!seed);
            for number in 1..=100 {
                tokio::time::sleep(random.millis(300)).await;
                sender.send(line(number.to_string())).await.unwrap();
            }
            sender.close().await;
        });

        let mut said: Vec<u32> = Vec::new();
        let mut count = 0;
        while let Some(link) = links.recv().await {
            count += 1;
            // The last links are left alone, so that there is an end.
            let life = if count > 15 { u64::MAX } else { random.below(12) };
            let heard = serve_for(link, life, random.below(3)).await;
            let lines = heard.iter().filter_map(|text| text.split_once(' ')?.0.parse::<u32>().ok());
            said.extend(lines);
        }
        writing.await.unwrap();
        let (_, outcome) = reading.await.unwrap();
        assert!(outcome.is_ok(), "{outcome:?}");
        let mut first_heard = Vec::new();
        for number in said {
            if !first_heard.contains(&number) {
                first_heard.push(number);
            }
        }
        assert_eq!(first_heard, (1..=100).collect::<Vec<u32>>());
    }
}

/// Serves so many messages, then cuts the link, closes it, or stops reading and closes a minute later.
async fn serve_for(link: MemoryTransport, messages: u64, end: u64) -> Vec<String> {
    let mut far = FarEnd(link);
    let mut heard = Vec::new();
    for _ in 0..messages {
        let Some(text) = far.hear().await else { return heard };
        let answer = match text.split_once(' ').unwrap_or((&text, "")) {
            ("hello", _) => "ready".to_owned(),
            ("bye", _) => "bye".to_owned(),
            (number, _) => format!("ack {number}"),
        };
        heard.push(text);
        if far.0.send(Message::Text(answer)).await.is_err() {
            return heard;
        }
    }
    if end == 1 {
        let _ = far.0.send(Message::Close(CloseFrame::new(1001, ""))).await;
    } else if end == 2 {
        tokio::time::sleep(60 * SECOND).await;
    }
    heard
}

//! An agent that is shut down ends its calls in order, whether or not it can have them hung up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use voxline::agent::{Models, PhoneAgent, Speech};
use voxline::desk::STREAM_PATH;
use voxline::net::{InMemory, Net};
use voxline::responder::EchoResponder;
use voxline::simulate::caller::Caller;
use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
use voxline_protocol::Secret;
use voxline_protocol::plivo::PlivoCallerConfig;
use voxline_session::AgentEvent;
use voxline_transport::Endpoint;

/// Shuts an agent down after it worked for so many turns of the scheduler on a call; tells how many streams have a
/// record, and how many calls were hung up.
async fn shut_down(turns: usize, hangs_up: bool) -> (usize, usize) {
    let net = InMemory::new();
    let (slng, slng_url) = net.listen("slng").await.unwrap();
    let (acceptor, agent_url) = net.listen("agent").await.unwrap();
    let speech = Speech::new(&slng_url, &Secret::new("simulated").unwrap(), &Models::default()).unwrap();
    let (records, hung_up) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let (written, asked) = (Arc::clone(&records), Arc::clone(&hung_up));
    let mut agent =
        PhoneAgent::new(net.clone(), speech, EchoResponder::default()).with_observer(move |_, _, event| {
            if let AgentEvent::StreamEnded(_) = event {
                *written.lock().unwrap() += 1;
            }
        });
    if hangs_up {
        // This provider says yes, and lets the stream be.
        agent = agent.with_hang_up(move |_| {
            *asked.lock().unwrap() += 1;
            async {}
        });
    }
    let gateway = SlngSimulator::new(SlngSimulatorConfig::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { gateway.serve(slng).await });
    let serving = agent.clone();
    let serving = tokio::spawn(async move { serving.serve(acceptor, None).await });

    let stream = Endpoint::parse(&format!("{agent_url}{STREAM_PATH}")).unwrap();
    let caller = Caller::dial(net.connector(stream), PlivoCallerConfig::new("call", "stream")).await;
    let mut caller = caller.unwrap();
    tasks.spawn(async move { while matches!(caller.listen().await, Ok(Some(_))) {} });
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    agent.shut_down();
    let ended = tokio::time::timeout(Duration::from_secs(5), serving).await;
    ended.expect("all calls have ended, and so has serving").unwrap();
    let (records, hung_up) = (*records.lock().unwrap(), *hung_up.lock().unwrap());
    (records, hung_up)
}

#[tokio::test(start_paused = true)]
async fn each_stream_has_its_record_also_one_that_is_just_being_let_in() {
    for turns in (0..30).chain([1_000]) {
        assert_eq!(shut_down(turns, false).await, (1, 0), "after {turns} turns");
        assert_eq!(shut_down(turns, true).await, (1, 1), "after {turns} turns");
    }
}

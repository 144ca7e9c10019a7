//! A call whose preferred gateway is down is held by the next one (T16).

use std::time::Duration;

use voxline::agent::{Models, PhoneAgent, Speech};
use voxline::desk::STREAM_PATH;
use voxline::net::{InMemory, Net};
use voxline::responder::EchoResponder;
use voxline::simulate::caller::{Caller, words_of};
use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
use voxline::simulate::voice::Encoder;
use voxline_protocol::Secret;
use voxline_protocol::plivo::PlivoCallerConfig;
use voxline_transport::Endpoint;

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_although_the_preferred_gateway_is_down() {
    for standby in [0, 1] {
        let net = InMemory::new();
        let (slng, fallback) = net.listen("slng").await.unwrap();
        let (acceptor, agent_url) = net.listen("agent").await.unwrap();
        let (key, models) = (Secret::new("simulated").unwrap(), Models::default());
        let speech = Speech::new("ws://down.localhost", &key, &models).unwrap();
        let speech = speech.with_fallback(&fallback, &key, &models).unwrap();
        let agent = PhoneAgent::new(net.clone(), speech, EchoResponder::default()).with_standby(standby);
        let gateway = SlngSimulator::new(SlngSimulatorConfig::default());
        let gateway = tokio::spawn(async move { gateway.serve(slng).await });
        let agent = tokio::spawn(async move { agent.serve(acceptor, Some(1)).await });

        let stream = Endpoint::parse(&format!("{agent_url}{STREAM_PATH}")).unwrap();
        let config = PlivoCallerConfig::new("call", "stream");
        let mut caller = Caller::dial(net.connector(stream), config).await.unwrap();
        caller.listen_for(Duration::from_secs(1)).await.unwrap();
        let question = Encoder::new(caller.format().rate).encode("Anybody there?");
        caller.say(&question).await.unwrap();
        caller.listen_for(Duration::from_secs(12)).await.unwrap();
        assert_eq!(words_of(caller.heard()), "You said: Anybody there?", "standby {standby}");
        caller.hang_up().await;
        agent.await.unwrap();
        gateway.abort();
    }
}

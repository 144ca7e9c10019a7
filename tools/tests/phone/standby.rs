//! A call's first sentence waits for no handshake where a synthesis session stands by.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use voxline::agent::{Models, PhoneAgent, Speech};
use voxline::desk::STREAM_PATH;
use voxline::net::{InMemory, Net};
use voxline::responder::ScriptedResponder;
use voxline::simulate::caller::Caller;
use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
use voxline::simulate::voice::Encoder;
use voxline_protocol::Secret;
use voxline_protocol::plivo::PlivoCallerConfig;
use voxline_transport::memory::{MemoryConnector, MemoryListener, MemoryTransport, Network};
use voxline_transport::{Connector, Endpoint, ListenError, TransportError};

use crate::world::LINES;

/// A network on which connecting to synthesis takes a while.
#[derive(Debug, Clone)]
struct SlowToSpeech {
    net: InMemory,
    connecting: Duration,
}

#[derive(Debug)]
struct Slow {
    inner: MemoryConnector,
    connecting: Duration,
}

impl Net for SlowToSpeech {
    type Acceptor = MemoryListener;
    type Connector = Slow;
    type Requester = Network;

    fn listen(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<(MemoryListener, String), ListenError>> + Send {
        self.net.listen(name)
    }

    fn connector(&self, endpoint: Endpoint) -> Slow {
        let is_speech = endpoint.to_string().contains("/tts/");
        let connecting = if is_speech { self.connecting } else { Duration::ZERO };
        Slow { inner: self.net.connector(endpoint), connecting }
    }

    fn requester(&self) -> Network {
        self.net.requester()
    }
}

impl Connector for Slow {
    type Transport = MemoryTransport;

    async fn connect(&self) -> Result<MemoryTransport, TransportError> {
        tokio::time::sleep(self.connecting).await;
        self.inner.connect().await
    }
}

/// From the start of the call to the first sound of the first answer.
async fn first_answer(connecting: Duration, standby: usize) -> Duration {
    let net = SlowToSpeech { net: InMemory::new(), connecting };
    let (slng, slng_url) = net.listen("slng").await.unwrap();
    let (acceptor, agent_url) = net.listen("agent").await.unwrap();
    let speech = Speech::new(&slng_url, &Secret::new("simulated").unwrap(), &Models::default()).unwrap();
    let lines = LINES.map(|(said, reply)| (said.to_owned(), reply.to_owned())).to_vec();
    let gateway = SlngSimulator::new(SlngSimulatorConfig::default());
    let agent = PhoneAgent::new(net.clone(), speech, ScriptedResponder::new(lines)).with_standby(standby);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { gateway.serve(slng).await });
    tasks.spawn(async move { agent.serve(acceptor, Some(1)).await });
    tokio::time::sleep(Duration::from_secs(30)).await;

    let begun = tokio::time::Instant::now();
    let stream = Endpoint::parse(&format!("{agent_url}{STREAM_PATH}")).unwrap();
    let config = PlivoCallerConfig::new("call", "stream");
    let mut caller = Caller::dial(net.net.connector(stream), config).await.unwrap();
    let question = Encoder::new(caller.format().rate).encode(LINES[0].0);
    caller.say(&question).await.unwrap();
    while caller.last_sound() == 0 {
        assert!(caller.listen().await.unwrap().is_some(), "the call goes on");
        assert!(begun.elapsed() < Duration::from_secs(60), "no answer");
    }
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn with_a_standby_the_first_sentence_costs_no_handshake() {
    let handshake = Duration::from_secs(8);
    let at_best = first_answer(Duration::ZERO, 0).await;
    let cold = first_answer(handshake, 0).await;
    let warm = first_answer(handshake, 1).await;
    assert!(cold >= handshake, "{cold:?}");
    assert_eq!(warm, at_best, "as if connecting took no time");
}

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
use voxline_audio::AudioFormat;
use voxline_protocol::Secret;
use voxline_protocol::plivo::PlivoCallerConfig;
use voxline_protocol::slng::Service;
use voxline_session::AgentConfig;
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

type Agent = PhoneAgent<SlowToSpeech, ScriptedResponder>;

/// From the start of the call to the first sound of the first answer; and the links to synthesis there are once the call
/// is over, while the agent lives.
async fn first_answer(connecting: Duration, set: fn(Agent) -> Agent) -> (Duration, usize) {
    let net = SlowToSpeech { net: InMemory::new(), connecting };
    let (slng, slng_url) = net.listen("slng").await.unwrap();
    let (acceptor, agent_url) = net.listen("agent").await.unwrap();
    let speech = Speech::new(&slng_url, &Secret::new("simulated").unwrap(), &Models::default()).unwrap();
    let lines = LINES.map(|(said, reply)| (said.to_owned(), reply.to_owned())).to_vec();
    let gateway = SlngSimulator::new(SlngSimulatorConfig::default());
    let links = gateway.links(Service::Tts).clone();
    let agent = set(PhoneAgent::new(net.clone(), speech, ScriptedResponder::new(lines)));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { gateway.serve(slng).await });
    let serving = agent.clone();
    let serving = tokio::spawn(async move { serving.serve(acceptor, Some(1)).await });
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
    let answered = begun.elapsed();
    caller.hang_up().await;
    tokio::time::timeout(Duration::from_secs(15), serving).await.unwrap().unwrap();
    (answered, links.open_links())
}

/// Plays without conversion, and so with other sounds than the default.
fn mulaw() -> AgentConfig {
    AgentConfig::default().with_speech(AudioFormat::PHONE)
}

#[tokio::test(start_paused = true)]
async fn with_a_standby_the_first_sentence_costs_no_handshake() {
    let handshake = Duration::from_secs(8);
    let (at_best, _) = first_answer(Duration::ZERO, |agent| agent).await;
    let (cold, _) = first_answer(handshake, |agent| agent).await;
    let (warm, left) = first_answer(handshake, |agent| agent.with_standby(1)).await;
    assert!(cold >= handshake, "{cold:?}");
    assert_eq!(warm, at_best, "as if connecting took no time");
    assert_eq!(left, 0, "what stood by is closed when the serving is over");
}

#[tokio::test(start_paused = true)]
async fn a_standby_speaks_what_the_settings_say_in_whatever_order_they_are_made() {
    let handshake = Duration::from_secs(8);
    let (at_best, _) = first_answer(Duration::ZERO, |agent| agent.with_config(mulaw())).await;
    for set in [(|agent| agent.with_config(mulaw()).with_standby(1)) as fn(Agent) -> Agent, |agent| {
        agent.with_standby(1).with_config(mulaw())
    }] {
        assert_eq!(first_answer(handshake, set).await, (at_best, 0));
    }
}

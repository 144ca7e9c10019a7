//! Keys: shown nowhere, whatever goes wrong (C14), and replaced while links are open (C15).

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fmt::{self, Debug, Write as _};
use std::net::SocketAddr;
use std::panic;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use voxline::agent::{Models, PhoneAgent, Speech};
use voxline::cli::Cli;
use voxline::net::{InMemory, Loopback, Net};
use voxline::responder::EchoResponder;
use voxline::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
use voxline::simulate::voice::Encoder;
use voxline::{GatewayError, Speaking, Spoken, Transcribing};
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::Secret;
use voxline_protocol::slng::{Quirks, Route, Service, SlngQuirk, TtsClient, TtsConfig, TtsEvent};
use voxline_session::{Pool, PoolConfig, SessionError};
use voxline_transport::{
    Acceptor, Connector, Endpoint, Exchange, Key, Proxy, TransportError, WebSocketConfig, WebSocketConnector,
};

#[tokio::test]
async fn a_key_is_shown_nowhere_whatever_goes_wrong() {
    let seen = Seen::install();
    seen.note(&"control"); // what the search would find
    tracing::trace!(control = "control", "control");
    log::trace!("control {}", "control");
    let key = Secret::new(CANARY).unwrap();

    // What works, and what breaks on the way.
    let config = SlngSimulatorConfig::default().with_key(key.clone());
    let (gateway, base, serving) = serve(config.clone()).await;
    let speaking = Speaking::begin(dial(&base, Service::Tts, &seen), tts_config(), TEXT).await.unwrap();
    seen.note(&speaking);
    spoken(speaking, &seen, Some(&gateway)).await.unwrap();
    let sound = Encoder::new(RATE).encode("Hi.");
    let connector = dial(&base, Service::Stt, &seen);
    let mut transcribing = Transcribing::begin(connector, RATE, sound, 4.0).await.unwrap();
    seen.note(&transcribing);
    while let Some(heard) = transcribing.next().await.unwrap() {
        seen.note(&heard);
    }
    let by_token = endpoint(&base, Service::Tts).with_token(key.clone());
    let speaking = Speaking::begin(WebSocketConnector::new(by_token), tts_config(), TEXT).await.unwrap();
    spoken(speaking, &seen, None).await.unwrap();

    // What is refused, and what is not there.
    let other = SlngSimulatorConfig::default().with_key(Secret::new("another").unwrap());
    let (_, refusing, _refusing) = serve(other.clone()).await;
    let by_frame = other.with_quirks(Quirks::NONE.with(SlngQuirk::AuthFrame));
    let (_, by_frame, _by_frame) = serve(by_frame).await;
    let to_plain_port = base.replace("ws://", "wss://");
    for base in [refusing.as_str(), &by_frame, &to_plain_port, "ws://127.0.0.1:9", "wss://nowhere.invalid"] {
        let endpoints = [
            endpoint(base, Service::Tts).with_bearer(key.clone()),
            endpoint(base, Service::Tts).with_token(key.clone()),
            endpoint(base, Service::Tts).with_secret_header("X-API-Key", key.clone()).unwrap(),
        ];
        for endpoint in endpoints {
            let quick = WebSocketConfig::new().with_connect_timeout(Duration::from_millis(500));
            let connector = WebSocketConnector::new(endpoint).with_config(quick);
            seen.note(&connector);
            let error = match Speaking::begin(connector, tts_config(), TEXT).await {
                Ok(speaking) => spoken(speaking, &seen, None).await.unwrap_err(),
                Err(error) => error,
            };
            seen.error(&error);
        }
    }
    for broken in [format!("{CANARY}\n{CANARY}"), format!("{CANARY}\u{200B}")] {
        seen.error(&Secret::new(&broken).unwrap_err());
    }
    seen.error(&Route::new("ftp://host", Service::Tts, "slng/a", key.clone()).unwrap_err());
    seen.error(
        &Route::new(&base, Service::Tts, "slng/a", key.clone())
            .unwrap()
            .with_provider_key(key.clone())
            .unwrap_err(),
    );

    through_proxies(&base, &seen).await;
    by_a_pool(&base, &refusing, &seen).await;

    // Everything that holds a key, printed.
    let speech = Speech::new(&base, &key, &Models::default()).unwrap();
    seen.note(&PhoneAgent::new(Loopback::default(), speech.clone(), EchoResponder::default()));
    seen.note(&(speech, &gateway, config, Key::from(key.clone()), &key));
    let route = Route::new(&base, Service::Tts, "deepgram/aura:2", key.clone()).unwrap();
    seen.note(&route.with_key_in_url().with_provider_key(key.clone()).unwrap());

    // A panic, in a task that holds a live session.
    let speaking = Speaking::begin(dial(&base, Service::Tts, &seen), tts_config(), TEXT).await.unwrap();
    let connector = dial(&base, Service::Tts, &seen);
    let panicked =
        tokio::spawn(async move { panic!("{ON_PURPOSE}, with {:?}", (speaking, connector)) }).await;
    seen.error(&panicked.unwrap_err());
    serving.abort();

    // The command, on a gateway that refuses and on one that is not there.
    let file = std::env::temp_dir().join(format!("voxline-secrets-{}.wav", std::process::id()));
    for base in [refusing.as_str(), "ws://127.0.0.1:9"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_voxline"));
        command.args(["speak", TEXT, "--slng", base, "-o"]).arg(&file);
        command.env("SLNG_API_KEY", CANARY).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(!output.status.success());
        seen.note(&String::from_utf8_lossy(&output.stderr));
        seen.note(&String::from_utf8_lossy(&output.stdout));
    }

    let all = seen.all();
    assert!(all.matches("control").count() >= 5, "what is traced, logged and printed is not all seen: {all}");
    assert!(all.contains(ON_PURPOSE) && all.contains("401"), "the failures did not happen: {all}");
    assert!(all.contains("407"), "no proxy refused: {all}");
    // A password travels to a proxy in this form.
    let encoded = base64_simd::STANDARD.encode_to_string(format!("{USER}:{CANARY}"));
    let shown = |line: &&str| line.contains(CANARY) || line.contains(&encoded);
    let shown: Vec<&str> = all.lines().filter(shown).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

#[tokio::test(start_paused = true)]
async fn new_dials_use_the_rotated_key_while_old_links_finish() {
    let net = InMemory::new();
    let (acceptor, base) = net.listen("slng").await.unwrap();
    let used = Arc::new(Mutex::new(Vec::new()));
    let gateway = SlngSimulator::new(SlngSimulatorConfig::default());
    let serving = gateway.clone();
    let acceptor = Witness { inner: acceptor, used: Arc::clone(&used) };
    tokio::spawn(async move { serving.serve(acceptor).await });
    let used = || used.lock().unwrap().clone();

    let key = Key::from(Secret::new("old").unwrap());
    let endpoint = endpoint(&base, Service::Tts).with_bearer(key.clone());
    let mut before = Speaking::begin(net.connector(endpoint.clone()), tts_config(), TEXT).await.unwrap();
    assert!(matches!(before.next().await.unwrap(), Some(Spoken::Audio(_))));

    key.replace(Secret::new("new").unwrap());
    let mut after = Speaking::begin(net.connector(endpoint), tts_config(), TEXT).await.unwrap();
    while let Some(spoken) = before.next().await.unwrap() {
        assert!(matches!(spoken, Spoken::Audio(_)), "the old link did not finish: {spoken:?}");
    }
    before.close().await;
    assert_eq!(used(), ["Bearer old", "Bearer new"]);

    // A session from before the rotation redials with the key of the day.
    key.replace(Secret::new("newer").unwrap());
    assert!(matches!(after.next().await.unwrap(), Some(Spoken::Audio(_))));
    gateway.links(Service::Tts).cut();
    while after.next().await.unwrap().is_some() {}
    assert_eq!(used(), ["Bearer old", "Bearer new", "Bearer newer"]);
}

/// Proxies that let through whoever knows the password, that are not there, that refuse, that hang up, and that cannot
/// be addressed; each is told a password, in both ways there are.
async fn through_proxies(base: &str, seen: &Seen) {
    let proxies = |address: SocketAddr, password: &str| {
        let secret = Secret::new(password).unwrap();
        [
            Proxy::parse(&format!("http://{USER}:{password}@{address}")).unwrap(),
            Proxy::parse(&format!("http://{address}")).unwrap().with_basic(USER, &secret),
        ]
    };
    let dial = |proxy: Proxy| {
        seen.note(&proxy);
        let quick = WebSocketConfig::new().with_connect_timeout(Duration::from_millis(500));
        let endpoint = endpoint(base, Service::Tts).with_bearer(Secret::new(CANARY).unwrap());
        let connector = WebSocketConnector::new(endpoint).with_proxy(proxy).with_config(quick);
        seen.note(&connector);
        connector
    };
    let (asking, tunnels) = asking_proxy().await;
    for proxy in proxies(asking, CANARY) {
        let speaking = Speaking::begin(dial(proxy), tts_config(), TEXT).await.unwrap();
        spoken(speaking, seen, None).await.unwrap();
    }
    for proxy in proxies(asking, "another") {
        let error = Speaking::begin(dial(proxy), tts_config(), TEXT).await.unwrap_err();
        let refused = |error: &GatewayError| {
            let GatewayError::Session(SessionError::Transport(error)) = error else { return false };
            matches!(error, TransportError::ProxyRefused { status: 407, .. })
        };
        assert!(refused(&error), "{error:?}");
        seen.error(&error);
    }
    tunnels.abort();
    for answer in [None, Some(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".as_slice()), Some(b"?")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for proxy in proxies(listener.local_addr().unwrap(), CANARY) {
            let answering = async {
                let Some(answer) = answer else { return std::future::pending().await };
                let (mut link, _) = listener.accept().await.unwrap();
                let asked = head(&mut link).await;
                assert!(asked.contains(&login()), "the password was not even sent: {asked}");
                link.write_all(answer).await.unwrap();
                // Held until the client has read it.
                let _ = link.read(&mut [0]).await;
            };
            let error = tokio::select! {
                failed = Speaking::begin(dial(proxy), tts_config(), TEXT) => failed.unwrap_err(),
                () = async { answering.await; std::future::pending().await } => unreachable!(),
            };
            seen.error(&error);
        }
    }
    let socks = format!("socks5://{USER}:{CANARY}@h");
    for url in [format!("https://{USER}:{CANARY}@h"), socks, CANARY.to_owned()] {
        seen.error(&Proxy::parse(&url).unwrap_err());
    }
}

/// A proxy on loopback that opens a tunnel for the user with the password, and for nobody else.
async fn asking_proxy() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut tunnels = JoinSet::new();
        loop {
            let (mut link, _) = listener.accept().await.unwrap();
            tunnels.spawn(async move {
                let asked = head(&mut link).await;
                if !asked.lines().any(|line| line == login()) {
                    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
                    return link.write_all(refusal).await.unwrap();
                }
                let there = asked.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
                let mut there = TcpStream::connect(there).await.unwrap();
                link.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                // However the tunnel ends.
                let _ = copy_bidirectional(&mut link, &mut there).await;
            });
        }
    });
    (address, serving)
}

/// The header that a proxy is told the password in.
fn login() -> String {
    let pair = base64_simd::STANDARD.encode_to_string(format!("{USER}:{CANARY}"));
    format!("proxy-authorization: Basic {pair}")
}

/// A request up to its empty line.
async fn head(link: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(link.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A pool that lends, one that is refused, and one whose borrower panics.
async fn by_a_pool(base: &str, refusing: &str, seen: &Seen) {
    let pool = |base: &str| {
        let machine = || TtsClient::new(tts_config(), tokio::time::Instant::now().into_std());
        let is_ready = |event: &TtsEvent| matches!(event, TtsEvent::Ready { .. });
        let config =
            PoolConfig::new(2, is_ready).with_min_standby(1).with_acquire_limit(Duration::from_secs(5));
        let connector =
            WebSocketConnector::new(endpoint(base, Service::Tts).with_bearer(Secret::new(CANARY).unwrap()));
        let pool = Pool::new(connector, machine, config);
        seen.note(&pool);
        seen.note(pool.connector());
        pool
    };
    let lending = pool(base);
    let mut lease = lending.acquire().await.unwrap();
    seen.note(&lease);
    seen.note(&lease.session());
    let panicked = tokio::spawn(async move { panic!("{ON_PURPOSE}, with {lease:?}") }).await;
    seen.error(&panicked.unwrap_err());
    seen.note(&lending.status());
    lending.close().await;
    let refused = pool(refusing);
    seen.error(&refused.acquire().await.unwrap_err());
    refused.close().await;
    seen.error(&refused.acquire().await.unwrap_err());
}

/// Sees every key that is used.
struct Witness<A> {
    inner: A,
    used: Arc<Mutex<Vec<String>>>,
}

impl<A: Acceptor> Acceptor for Witness<A> {
    type Exchange = A::Exchange;

    async fn accept(&mut self) -> Option<A::Exchange> {
        let exchange = self.inner.accept().await?;
        let key = exchange.request().headers()["authorization"].to_str().unwrap().to_owned();
        self.used.lock().unwrap().push(key);
        Some(exchange)
    }
}

/// Speaks to the end; cuts the link once on the way if it is given one to cut.
async fn spoken(
    mut speaking: Speaking,
    seen: &Seen,
    mut cut: Option<&SlngSimulator>,
) -> Result<(), GatewayError> {
    while let Some(spoken) = speaking.next().await? {
        if !matches!(spoken, Spoken::Audio(_)) {
            seen.note(&spoken);
        } else if let Some(gateway) = cut.take() {
            gateway.links(Service::Tts).cut();
        }
    }
    speaking.close().await;
    Ok(())
}

async fn serve(config: SlngSimulatorConfig) -> (SlngSimulator, String, JoinHandle<()>) {
    let (acceptor, base) = Loopback::default().listen("slng").await.unwrap();
    let gateway = SlngSimulator::new(config);
    let serving = gateway.clone();
    (gateway, base, tokio::spawn(async move { serving.serve(acceptor).await }))
}

fn dial(base: &str, service: Service, seen: &Seen) -> impl Connector + Debug + use<> {
    let endpoint = endpoint(base, service).with_bearer(Secret::new(CANARY).unwrap());
    let connector = WebSocketConnector::new(endpoint);
    seen.note(&connector);
    connector
}

fn endpoint(base: &str, service: Service) -> Endpoint {
    Endpoint::parse(&format!("{base}{}", service.path("some/model"))).unwrap()
}

fn tts_config() -> TtsConfig {
    TtsConfig::new(AudioFormat::linear16(RATE), "aura-2-thalia-en")
}

/// Everything this process shows: traces, logs, panics, and what a test prints of errors and values.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<String>>);

impl Seen {
    fn install() -> Self {
        let seen = Self::default();
        tracing::subscriber::set_global_default(seen.clone()).unwrap();
        log::set_boxed_logger(Box::new(seen.clone())).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let of_panics = seen.clone();
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            of_panics.line(&info.to_string());
            if !info.to_string().contains(ON_PURPOSE) {
                tell(info);
            }
        }));
        seen
    }

    fn note(&self, value: &dyn Debug) {
        self.line(&format!("{value:?} {value:#?}"));
    }

    /// An error as people print it: its text, its debug form, and those of its causes.
    fn error(&self, error: &dyn std::error::Error) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.line(&format!("{error} {error:?} {error:#?}"));
            next = error.source();
        }
    }

    fn line(&self, text: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_str(text);
        all.push('\n');
    }

    fn all(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Subscriber for Seen {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(span.metadata().name().to_owned());
        span.record(&mut fields);
        self.line(&fields.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut fields = Fields(String::new());
        values.record(&mut fields);
        self.line(&fields.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.line(&fields.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl log::Log for Seen {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.line(&record.args().to_string());
    }

    fn flush(&self) {}
}

impl Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seen(..)")
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

/// A key that stands nowhere else.
const CANARY: &str = "slng_canary_7f3a9c51";
const USER: &str = "proxy-user";
const ON_PURPOSE: &str = "a panic on purpose";
const TEXT: &str = "Is anybody there?";
const RATE: SampleRate = SampleRate::Hz16000;

#[test]
fn a_command_line_can_be_printed() {
    let key = |name: &str| format!("--{name}={CANARY}");
    for (command, keys) in [
        (&["serve", "--simulate"][..], &["auth-token", "avatar-token"][..]),
        (&["call", "ws://127.0.0.1:9/stream"], &["auth-token"]),
        (&["avatar", "hello.wav", "--room-url=https://team.daily.co/room"], &["room-token", "daily-key"]),
        (&["simulate", "slng"], &["key"]),
        (&["simulate", "agenthuman"], &["key"]),
    ] {
        let words = ["voxline"].iter().chain(command).map(ToString::to_string);
        let typed = Cli::try_parse_from(words.chain(keys.iter().map(|name| key(name)))).unwrap();
        let printed = format!("{typed:?}");
        assert!(!printed.contains(CANARY), "{printed}");
        assert_eq!(printed.matches("TypedKey(..)").count(), keys.len(), "{printed}");
    }
}

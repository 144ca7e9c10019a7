//! The gateway a command speaks and hears through: a real one by its address, or the simulated one inside.

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use voxline_protocol::slng::{self, ConfigError, Service};
use voxline_protocol::{BaseUrl, CommandError, Secret};
use voxline_session::{Failover, RetryPolicy, SessionError};
use voxline_transport::{ClientTls, RoundTrip, TransportError, WebSocketConfig, WebSocketConnector};

use crate::cli::{GatewayArgs, TrustArgs};
use crate::error::{ToolError, chain};
use crate::net::{Loopback, Net};
use crate::simulate::slng::{SlngSimulator, SlngSimulatorConfig};
use crate::{agent, codes};

/// Where speech comes from, and what pays for it.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The preferred address.
    pub(crate) base: String,
    /// Where to go when that fails, in this order.
    pub(crate) others: Vec<String>,
    pub(crate) key: Secret,
    pub(crate) tls: ClientTls,
    simulated: JoinSet<()>,
}

/// A way to a gateway, and what was measured on it.
pub(crate) type Way = (Failover<WebSocketConnector>, RoundTrips);

impl Gateway {
    /// The gateway that was named, with the key from the environment, or one of our own on loopback.
    pub(crate) async fn open(args: &GatewayArgs) -> Result<Self, ToolError> {
        let (tls, mut simulated) = (trusted(&args.trust)?, JoinSet::new());
        let mut bases = args.slng.iter().cloned();
        let (base, key) = match bases.next() {
            Some(base) => (base, key_from_environment()?),
            None => (simulate(&mut simulated).await?, Secret::new("simulated").map_err(usage)?),
        };
        Ok(Self { base, others: bases.collect(), key, tls, simulated })
    }

    /// A way to one service, which measures the network while it is in use.
    pub(crate) fn connector(&self, service: Service, model: &str) -> Result<Way, ToolError> {
        let connector = |base: &String| {
            let endpoint = agent::endpoint(base, service, model, &self.key).map_err(usage)?;
            let config = WebSocketConfig::new().with_ping_interval(Some(PING_INTERVAL));
            Ok(WebSocketConnector::new(endpoint).with_config(config).with_tls(self.tls.clone()))
        };
        let first = connector(&self.base)?;
        let others = self.others.iter().map(connector).collect::<Result<Vec<_>, ToolError>>()?;
        let round_trips =
            std::iter::once(&first).chain(&others).map(WebSocketConnector::round_trip).collect();
        Ok((Failover::new(first, others), RoundTrips(round_trips)))
    }

    /// Waits for the end of a simulated gateway, which is an error; a real one is not ours to watch.
    pub(crate) async fn ended(&mut self) -> ToolError {
        if self.simulated.join_next().await.is_none() {
            pending::<()>().await;
        }
        ToolError::Failed("the simulated gateway stopped".to_owned())
    }
}

/// Why a text was not spoken, or a recording not transcribed.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The link was lost in the middle of the speech, again and again.
    #[error("speech broke off {times} times before its end; try again, or split the text")]
    BrokenOff {
        /// How often it was begun.
        times: u32,
    },
    /// What was asked cannot be sent as it is.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A setting the gateway would refuse.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The session ended badly.
    #[error("gateway")]
    Session(#[from] SessionError),
    /// The link is up, or comes and goes, and nothing comes of it.
    #[error("the gateway was silent for {limit:?}; check the model, and the vendor's status")]
    Silent {
        /// How long was waited.
        limit: Duration,
    },
    /// The gateway took the text on several links and never spoke.
    #[error("the gateway takes the text but does not speak; check that the voice belongs to the model")]
    Unanswered,
}

impl From<GatewayError> for ToolError {
    fn from(error: GatewayError) -> Self {
        match &error {
            GatewayError::Command(_) | GatewayError::Config(_) => Self::Usage(chain(&error)),
            GatewayError::Session(session) => Self::Failed(explain(session)),
            GatewayError::BrokenOff { .. } | GatewayError::Silent { .. } | GatewayError::Unanswered => {
                Self::Failed(chain(&error))
            }
        }
    }
}

/// What is known about a session's end, for somebody at a terminal.
fn explain(error: &SessionError) -> String {
    let mut cause = error;
    while let SessionError::RetriesExhausted { last, .. } = cause {
        cause = last;
    }
    let mut code = cause.code();
    if let SessionError::Transport(TransportError::Refused { status: 401 | 403, .. }) = cause {
        code = slng::codes::AUTH;
    }
    let remedy = match cause {
        SessionError::Transport(TransportError::Tls { .. }) => "A private issuer is trusted by --ca FILE.",
        SessionError::Aborted | _ => codes::page(code).map_or("", |page| page.remedy),
    };
    format!("{code}: {}. {remedy}", chain(error)).trim_end().to_owned()
}

/// Links that were lost are dialled again for as long as somebody at a terminal would wait.
pub(crate) fn retry() -> RetryPolicy {
    RetryPolicy::default().with_give_up_after(GIVE_UP_AFTER)
}

/// What was measured on the ways to a gateway, of which one is in use.
#[derive(Debug, Clone)]
pub(crate) struct RoundTrips(Vec<RoundTrip>);

impl RoundTrips {
    /// The first there is.
    pub(crate) fn get(&self) -> Option<Duration> {
        self.0.iter().find_map(RoundTrip::get)
    }

    /// The network's share of a latency: waits a moment for the first measurement if there was none yet.
    pub(crate) async fn network(&self) -> Option<Duration> {
        let give_up = Instant::now() + PING_INTERVAL * 2;
        while self.get().is_none() && Instant::now() < give_up {
            sleep(PING_INTERVAL / 50).await;
        }
        self.get()
    }
}

/// `95 ms, of which the network 1 ms and the gateway 94 ms`.
pub(crate) fn shares(whole: Duration, network: Option<Duration>) -> String {
    let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
    match network {
        Some(network) => format!(
            "{}, of which the network {} and the gateway {}",
            ms(whole),
            ms(network),
            ms(whole.saturating_sub(network))
        ),
        None => format!("{} (no ping was answered)", ms(whole)),
    }
}

/// A mistake in what was typed.
pub(crate) fn usage(error: impl Error + 'static) -> ToolError {
    ToolError::Usage(chain(&error))
}

/// The address of a service that is told a key, as `option` gave it.
pub(crate) fn base_url(option: &str, url: &str) -> Result<BaseUrl, ToolError> {
    BaseUrl::parse(url).map_err(|error| ToolError::Usage(format!("{option}: {error}")))
}

async fn simulate(tasks: &mut JoinSet<()>) -> Result<String, ToolError> {
    let listened = Loopback::default().listen("slng").await;
    let (acceptor, url) = listened.map_err(|error| ToolError::failed("the simulated gateway", &error))?;
    tasks.spawn(async move { SlngSimulator::new(SlngSimulatorConfig::default()).serve(acceptor).await });
    Ok(url)
}

/// Whose certificates are believed.
pub(crate) fn trusted(args: &TrustArgs) -> Result<ClientTls, ToolError> {
    let Some(file) = &args.ca else { return Ok(ClientTls::new()) };
    let refused = |error: &(dyn Error + 'static)| {
        ToolError::Usage(format!("--ca: cannot use `{}`: {}; give a PEM file", file.display(), chain(error)))
    };
    let roots = std::fs::read(file).map_err(|error| refused(&error))?;
    ClientTls::with_roots_from_pem(&roots).map_err(|error| refused(&error))
}

fn key_from_environment() -> Result<Secret, ToolError> {
    let key = std::env::var_os("SLNG_API_KEY").ok_or_else(|| {
        let words = "SLNG_API_KEY is not set; set it to the gateway's key, or use --simulate";
        ToolError::Usage(words.to_owned())
    })?;
    // Bytes that are no text become a character that a key cannot hold, and are refused as such.
    Secret::new(&key.to_string_lossy())
        .map_err(|error| ToolError::Usage(format!("SLNG_API_KEY: {}", chain(&error))))
}

/// A second without a sign of life is the end of a link here; half of it is enough for any round trip.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// The longest that speech or its transcript is waited for without a sign of either.
pub(crate) const LONGEST_SILENCE: Duration = Duration::from_secs(30);

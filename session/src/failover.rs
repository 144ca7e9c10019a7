//! Several ways to one service: the first that works, and a rest for those that did not.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use voxline_transport::{Connector, Retry, TransportError};

use crate::driver::now;
use crate::limits::{LONGEST_WAIT, later};

/// Dials the first of several candidates that answers: regions of a gateway, or a gateway and its stand-in.
///
/// Candidates are asked in the order given. One whose dial failed cools down: until then it is asked
/// after all others, so that a dead favourite costs each dial nothing. One that stated how long to
/// stay away (`Retry-After`) is not asked before. Only when no candidate answered is the dial a
/// failure, for the session's own backoff, and final only when all of them refused for good.
///
/// It is a [`Connector`] like any other: a session, a pool or an agent's sessions dial it. Clones share
/// what they know of the candidates, so make one for each service, and give a clone to each session. What
/// becomes of a link once it is open is for its session's retry policy.
///
/// ```no_run
/// # use std::time::Instant;
/// use voxline_audio::AudioFormat;
/// use voxline_protocol::slng::{TtsClient, TtsConfig, TtsEvent};
/// use voxline_session::{Failover, Pool, PoolConfig, Session};
/// use voxline_transport::{Endpoint, WebSocketConnector};
///
/// # async fn dial() -> Result<(), Box<dyn std::error::Error>> {
/// let gateways = ["wss://eu.api.example.com/tts", "wss://us.api.example.com/tts"];
/// let mut candidates = Vec::new();
/// for gateway in gateways {
///     candidates.push(WebSocketConnector::new(Endpoint::parse(gateway)?));
/// }
/// let others = candidates.split_off(1);
/// let synthesis = Failover::new(candidates.remove(0), others);
///
/// let machine = || TtsClient::new(TtsConfig::new(AudioFormat::PHONE, "ada"), Instant::now());
/// let call = Session::builder(machine()).start(synthesis.clone());
/// let config = PoolConfig::new(4, |event| matches!(event, TtsEvent::Ready { .. }));
/// let standby = Pool::new(synthesis.clone(), machine, config);
/// # drop((call, standby));
/// # Ok(())
/// # }
/// ```
pub struct Failover<C> {
    candidates: Arc<[C]>,
    cool_down: Duration,
    rests: Arc<Mutex<Rests>>,
}

impl<C> Failover<C> {
    /// Prefers `first`, then `others` in their order. A failed one cools down for 30 s.
    pub fn new(first: C, others: impl IntoIterator<Item = C>) -> Self {
        let candidates: Arc<[C]> = std::iter::once(first).chain(others).collect();
        let rests = Arc::new(Mutex::new(Rests(vec![Rest::None; candidates.len()])));
        Self { candidates, cool_down: COOL_DOWN, rests }
    }

    /// Sets how long a candidate whose dial failed is asked last: about as long as an outage lasts that is worth
    /// going elsewhere for. Until it is over, a favourite that is back goes unused.
    #[must_use]
    pub fn with_cool_down(self, cool_down: Duration) -> Self {
        Self { cool_down, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, Rests> {
        // Held for a look and never across an await.
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Connector> Failover<C> {
    async fn dial(&self) -> Result<C::Transport, TransportError> {
        let order = match self.lock().order(now()) {
            Ok(order) => order,
            Err(refusal) => return Err(refusal.error(now())),
        };
        let mut failure: Option<TransportError> = None;
        for index in order {
            match self.candidates[index].connect().await {
                Ok(link) => {
                    self.lock().0[index] = Rest::None;
                    return Ok(link);
                }
                Err(error) => {
                    if self.candidates.len() > 1 {
                        tracing::warn!(candidate = index, error = %error, "a candidate did not answer");
                    }
                    self.lock().0[index] = Rest::after(&error, now(), self.cool_down);
                    failure = Some(match failure {
                        Some(before) if delay(&before) <= delay(&error) => before,
                        Some(_) | None => error,
                    });
                }
            }
        }
        Err(failure.unwrap_or(TransportError::Closed))
    }
}

impl<C: Connector> Connector for Failover<C> {
    type Transport = C::Transport;

    /// Each candidate has the limit of its own connector; together they take no longer than the sum.
    fn connect(&self) -> impl Future<Output = Result<C::Transport, TransportError>> + Send {
        self.dial()
    }
}

impl<C> Clone for Failover<C> {
    fn clone(&self) -> Self {
        Self { candidates: self.candidates.clone(), cool_down: self.cool_down, rests: self.rests.clone() }
    }
}

impl<C: fmt::Debug> fmt::Debug for Failover<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failover")
            .field("candidates", &self.candidates)
            .field("cool_down", &self.cool_down)
            .finish_non_exhaustive()
    }
}

/// What each candidate rests from.
#[derive(Debug)]
struct Rests(Vec<Rest>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rest {
    None,
    /// Asked last until then.
    Cooling {
        until: Instant,
    },
    /// Not asked until then.
    Refused(Refusal),
}

/// A candidate's wish to be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    until: Instant,
    status: u16,
    body: String,
}

impl Rest {
    fn after(error: &TransportError, now: Instant, cool_down: Duration) -> Self {
        match (error.retry(), error) {
            (Retry::After(wait), TransportError::Refused { status, body, .. }) => {
                let until = later(now, wait);
                Self::Refused(Refusal { until, status: *status, body: body.clone() })
            }
            (Retry::After(wait), _) => Self::Cooling { until: later(now, wait) },
            (Retry::AfterBackoff | Retry::Never, _) => Self::Cooling { until: later(now, cool_down) },
        }
    }
}

impl Refusal {
    /// The refusal as it would be said now.
    fn error(self, now: Instant) -> TransportError {
        let Self { until, status, body } = self;
        TransportError::Refused { status, retry_after: Some(until.saturating_duration_since(now)), body }
    }
}

impl Rests {
    /// Who is asked, in which order: the rested as given, then the cooling, first the one that rested longest. If all
    /// are to be left alone, the refusal that is over first.
    fn order(&self, now: Instant) -> Result<Vec<usize>, Refusal> {
        let mut asked = Vec::new();
        let mut refusals: Vec<&Refusal> = Vec::new();
        for (index, rest) in self.0.iter().enumerate() {
            match rest {
                Rest::None => asked.push((None, index)),
                Rest::Cooling { until } => asked.push((Some(*until).filter(|until| *until > now), index)),
                Rest::Refused(refusal) if refusal.until > now => refusals.push(refusal),
                Rest::Refused(_) => asked.push((None, index)),
            }
        }
        asked.sort(); // `None`, the rested, sorts first
        match refusals.into_iter().min_by_key(|refusal| refusal.until) {
            Some(refusal) if asked.is_empty() => Err(refusal.clone()),
            Some(_) | None => Ok(asked.into_iter().map(|(_, index)| index).collect()),
        }
    }
}

/// How soon another attempt can help: the soonest is what a failed round is told as.
fn delay(error: &TransportError) -> Duration {
    match error.retry() {
        Retry::AfterBackoff => Duration::ZERO,
        Retry::After(wait) => wait.min(LONGEST_WAIT),
        Retry::Never => Duration::MAX,
    }
}

/// About what it takes a vendor to mend a region.
const COOL_DOWN: Duration = Duration::from_secs(30);

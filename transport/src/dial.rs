//! From a name to a byte stream: lookup, TCP, proxy and TLS under one deadline, with the stage in every error.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use voxline_protocol::is_loopback;

use crate::endpoint::authority;
use crate::io::BoxIo;
use crate::proxy::Proxy;
use crate::tls::ClientTls;
use crate::{ConnectStage, Endpoint, StageTimeouts, TransportError};

/// How byte streams are opened.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    /// Needed for secure endpoints only; made early because reading the roots takes a moment.
    pub(crate) tls: Option<ClientTls>,
    pub(crate) proxy: Option<Proxy>,
}

impl Dialer {
    pub(crate) fn new(secure: bool) -> Self {
        Self { tls: secure.then(ClientTls::new), proxy: None }
    }

    pub(crate) async fn open(
        &self,
        deadline: &Deadline,
        endpoint: &Endpoint,
        no_delay: bool,
    ) -> Result<BoxIo, TransportError> {
        let tcp = match &self.proxy {
            None => tcp(deadline, endpoint.host(), endpoint.port()).await?,
            Some(proxy) => {
                let tcp = tcp(deadline, proxy.host(), proxy.port()).await?;
                deadline.run(ConnectStage::Proxy, proxy.tunnel(tcp, &endpoint.authority())).await?
            }
        };
        // Refused only by a socket that is already dead; the next step will say so better.
        let _ = tcp.set_nodelay(no_delay);
        match self.tls.as_ref().filter(|_| endpoint.is_secure()) {
            None => Ok(Box::new(tcp)),
            Some(tls) => deadline.run(ConnectStage::Tls, handshake(tls, endpoint, tcp)).await,
        }
    }
}

/// One limit over all steps, and each step's own.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
    stages: StageTimeouts,
}

impl Deadline {
    /// Starts to count now.
    pub(crate) fn new(limit: Duration, stages: StageTimeouts) -> Self {
        Self { at: later(limit), limit, stages }
    }

    pub(crate) async fn run<T>(
        &self,
        stage: ConnectStage,
        step: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let own = self.stages.of(stage).map(|limit| (later(limit), limit));
        let (at, limit) = match own {
            Some((at, limit)) if at < self.at => (at, limit),
            Some(_) | None => (self.at, self.limit),
        };
        timeout_at(at, step).await.unwrap_or(Err(TransportError::Timeout { stage, limit }))
    }
}

/// A limit that ends beyond all time ends beyond any program's.
fn later(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or_else(|| now + A_LIFETIME)
}

async fn tcp(deadline: &Deadline, host: &str, port: u16) -> Result<TcpStream, TransportError> {
    let unreachable = |source| TransportError::Unreachable { authority: authority(host, port), source };
    let lookup = async { addresses(host, port).await.map_err(unreachable) };
    let addresses = deadline.run(ConnectStage::Dns, lookup).await?;
    deadline.run(ConnectStage::Tcp, async { race(addresses).await.map_err(unreachable) }).await
}

/// The addresses of a host. Whoever may be told a key in clear is this machine, and no name server is asked:
/// RFC 6761 §6.3.
async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if is_loopback(host) && host.parse::<IpAddr>().is_err() {
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(both.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    Ok(lookup_host((host, port)).await?.collect())
}

async fn handshake(tls: &ClientTls, endpoint: &Endpoint, tcp: TcpStream) -> Result<BoxIo, TransportError> {
    let authority = || endpoint.authority();
    let name = ServerName::try_from(endpoint.host().to_owned())
        .map_err(|error| TransportError::Tls { authority: authority(), source: Box::new(error) })?;
    match TlsConnector::from(tls.config()).connect(name, tcp).await {
        Ok(stream) => Ok(Box::new(stream)),
        // rustls' findings are `InvalidData`; the rest is the network's doing.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(TransportError::Tls { authority: authority(), source: Box::new(error) })
        }
        Err(error) => Err(TransportError::Reset(error)),
    }
}

/// Tries the addresses in order, starting the next one when one fails or is slow: RFC 8305 §5.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.next() {
            Some(address) => attempts.push(TcpStream::connect(address)),
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(tcp) => return Ok(tcp),
                Err(error) => failure = error,
            },
            () = sleep(ATTEMPT_DELAY), if more => {}
        }
    }
}

const A_LIFETIME: Duration = Duration::from_secs(30 * 365 * 86_400);
/// RFC 8305 §8: the recommended time before the next address is tried beside the first.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const STAGES: [ConnectStage; 6] = [
        ConnectStage::Dns,
        ConnectStage::Tcp,
        ConnectStage::Proxy,
        ConnectStage::Tls,
        ConnectStage::Upgrade,
        ConnectStage::Response,
    ];

    async fn stalls_for(deadline: &Deadline, stage: ConnectStage) -> (Duration, ConnectStage, Duration) {
        let begun = Instant::now();
        match deadline.run::<()>(stage, pending()).await {
            Err(TransportError::Timeout { stage, limit }) => (begun.elapsed(), stage, limit),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_step_of_a_dial_ends_at_its_own_limit_or_at_the_whole_dials() {
        for stage in STAGES {
            let deadline = Deadline::new(5 * SECOND, StageTimeouts::default().with(stage, SECOND));
            assert_eq!(stalls_for(&deadline, stage).await, (SECOND, stage, SECOND));
            let deadline = Deadline::new(5 * SECOND, StageTimeouts::default());
            assert_eq!(stalls_for(&deadline, stage).await, (5 * SECOND, stage, 5 * SECOND));
            let deadline = Deadline::new(5 * SECOND, StageTimeouts::default().with(stage, 60 * SECOND));
            assert_eq!(stalls_for(&deadline, stage).await, (5 * SECOND, stage, 5 * SECOND));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_step_took_is_missing_from_the_next() {
        let deadline = Deadline::new(5 * SECOND, StageTimeouts::default());
        let slow = async {
            sleep(4 * SECOND).await;
            Ok(())
        };
        deadline.run(ConnectStage::Tcp, slow).await.unwrap();
        let (after, stage, limit) = stalls_for(&deadline, ConnectStage::Tls).await;
        assert_eq!((after, stage, limit), (SECOND, ConnectStage::Tls, 5 * SECOND));
    }
}

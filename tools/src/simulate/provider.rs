//! Plivo's side of one call beside its stream: webhooks signed and posted, streams dialled with signed upgrades.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::sync::mpsc;
use voxline_protocol::plivo::{
    CallId, NamingScheme, Params, PlivoSigner, StreamCallback, StreamId, StreamNotice, StreamStatus,
    UpgradeForm,
};
use voxline_transport::{
    ClientTls, Connector, Endpoint, EndpointError, HttpClient, Requester, TransportError, WebSocket,
    WebSocketConnector,
};

use crate::debuglog::utc;
use crate::error::ToolError;

/// What a simulated Plivo knows of one call. Clones are the same call.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    http: HttpClient,
    tls: ClientTls,
    signer: Option<PlivoSigner>,
    nonces: Arc<AtomicU64>,
}

impl Provider {
    /// Signs with `signer`, and believes the certificates of `tls`.
    pub(crate) fn new(tls: ClientTls, signer: Option<PlivoSigner>) -> Self {
        let http = HttpClient::new().with_tls(tls.clone()).with_timeout(ANSWER_DEADLINE);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let first = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Self { http, tls, signer, nonces: Arc::new(AtomicU64::new(first)) }
    }

    /// Posts a webhook.
    pub(crate) async fn post(&self, url: &str, params: &Params) -> Result<Response<Bytes>, ToolError> {
        // What follows `#` sets Plivo's retries, and is not asked for.
        let url = url.split('#').next().unwrap_or(url);
        let failed = |error: &(dyn std::error::Error + 'static)| {
            ToolError::failed(format!("cannot post to {url}"), error)
        };
        let endpoint = Endpoint::parse(url).map_err(|error| failed(&error))?;
        let mut request = Request::new(Bytes::from(params.to_form()));
        *request.method_mut() = Method::POST;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        request
            .headers_mut()
            .extend(self.sign(|signer, nonce| signer.sign(&Method::POST, url, params, nonce)));
        self.http.send(&endpoint, request).await.map_err(|error| failed(&error))
    }

    /// A way to a stream; every dial is signed anew.
    pub(crate) fn dialler(&self, url: &str) -> Result<SignedDial, EndpointError> {
        Endpoint::parse(url)?;
        Ok(SignedDial { provider: self.clone(), url: url.to_owned() })
    }

    /// Posts each status that arrives to `url`, until no more can come.
    pub(crate) async fn post_statuses(
        self,
        url: String,
        call: CallId,
        stream: StreamId,
        scheme: NamingScheme,
        mut statuses: mpsc::Receiver<StreamStatus>,
    ) {
        while let Some(status) = statuses.recv().await {
            let notice = match status {
                StreamStatus::Degraded(level) => StreamNotice::Degraded(Some(level)),
                StreamStatus::Dropped(reason) => StreamNotice::Dropped(Some(reason)),
                StreamStatus::Started => StreamNotice::Started,
                StreamStatus::Stopped => StreamNotice::Stopped(None),
                _ => continue,
            };
            let timestamp = utc(SystemTime::now());
            let Some(params) = StreamCallback::write(scheme, &notice, &call, &stream, &timestamp) else {
                continue;
            };
            match self.post(&url, &params).await {
                Ok(response) if response.status().is_success() => {}
                Ok(response) => {
                    tracing::warn!(status = response.status().as_u16(), "status callback was refused");
                }
                Err(error) => tracing::warn!(%error, "status callback was not delivered"),
            }
        }
    }

    fn sign(&self, sign: impl FnOnce(&PlivoSigner, &str) -> HeaderMap) -> HeaderMap {
        let nonce = format!("{:020}", self.nonces.fetch_add(1, Ordering::Relaxed));
        self.signer.as_ref().map(|signer| sign(signer, &nonce)).unwrap_or_default()
    }
}

/// Dials a stream as Plivo does.
#[derive(Debug, Clone)]
pub(crate) struct SignedDial {
    provider: Provider,
    url: String,
}

impl SignedDial {
    fn endpoint(&self) -> Result<Endpoint, EndpointError> {
        let headers =
            self.provider.sign(|signer, nonce| signer.sign_upgrade(&self.url, UpgradeForm::EXPECTED, nonce));
        headers.iter().try_fold(Endpoint::parse(&self.url)?, |endpoint, (name, value)| {
            endpoint.with_header(name.as_str(), value.to_str().unwrap_or_default())
        })
    }
}

impl Connector for SignedDial {
    type Transport = WebSocket;

    async fn connect(&self) -> Result<WebSocket, TransportError> {
        let Ok(endpoint) = self.endpoint() else {
            unreachable!("`dialler` parsed the address, and base64 and digits are header values")
        };
        WebSocketConnector::new(endpoint).with_tls(self.provider.tls.clone()).connect().await
    }
}

/// Plivo's limit on an answer.
const ANSWER_DEADLINE: std::time::Duration = std::time::Duration::from_secs(15);

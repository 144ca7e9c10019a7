//! Where a phone agent gets its ears and its voice.

use thiserror::Error;
use voxline_protocol::Secret;
use voxline_protocol::slng::{ConfigError, Route, Service};
use voxline_session::{Failover, RetryPolicy, VendorLimits};
use voxline_transport::{Endpoint, EndpointError};

use crate::net::Net;

/// Where an agent gets its ears and its voice. Clones share the limits on redialling.
#[derive(Debug, Clone)]
pub struct Speech {
    pub(super) tts: Candidates,
    pub(super) stt: Candidates,
    pub(super) voice: String,
    pub(super) limits: VendorLimits,
    pub(super) retry: RetryPolicy,
}

impl Speech {
    /// Speech from the gateway at `base`, paid with `key`.
    ///
    /// # Errors
    /// The base is no ws, wss, http or https URL, or a model is no model's name.
    pub fn new(base: &str, key: &Secret, models: &Models) -> Result<Self, SpeechError> {
        Ok(Self {
            tts: Candidates::new(endpoint(base, Service::Tts, &models.tts, key)?),
            stt: Candidates::new(endpoint(base, Service::Stt, &models.stt, key)?),
            voice: models.voice.clone(),
            limits: VendorLimits::default(),
            retry: RetryPolicy::default(),
        })
    }

    /// Dials the gateway at `base` where those before it fail, as [`Failover`] says.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_fallback(mut self, base: &str, key: &Secret, models: &Models) -> Result<Self, SpeechError> {
        self.tts.others.push(endpoint(base, Service::Tts, &models.tts, key)?);
        self.stt.others.push(endpoint(base, Service::Stt, &models.stt, key)?);
        Ok(self)
    }

    /// Redials as `retry` says.
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }
}

/// Where one service is, the preferred place first.
#[derive(Debug, Clone)]
pub(super) struct Candidates {
    first: Endpoint,
    others: Vec<Endpoint>,
}

impl Candidates {
    const fn new(first: Endpoint) -> Self {
        Self { first, others: Vec::new() }
    }

    /// A way there; its clones share what they learn of the places.
    pub(super) fn connector<N: Net>(&self, net: &N) -> Failover<N::Connector> {
        let others = self.others.iter().map(|endpoint| net.connector(endpoint.clone()));
        Failover::new(net.connector(self.first.clone()), others)
    }
}

/// Which models speak and hear.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    /// Speech synthesis.
    pub tts: String,
    /// The synthesis model's voice.
    pub voice: String,
    /// Speech recognition.
    pub stt: String,
}

impl Models {
    /// The default synthesis model.
    pub const TTS: &str = "slng/deepgram/aura:2-en";
    /// The default synthesis model's default voice.
    pub const VOICE: &str = "aura-2-thalia-en";
    /// The default recognition model.
    pub const STT: &str = "slng/deepgram/nova:3-en";

    /// These models.
    pub fn new(tts: impl Into<String>, voice: impl Into<String>, stt: impl Into<String>) -> Self {
        Self { tts: tts.into(), voice: voice.into(), stt: stt.into() }
    }
}

impl Default for Models {
    /// English, hosted by the gateway, quick.
    fn default() -> Self {
        Self::new(Self::TTS, Self::VOICE, Self::STT)
    }
}

/// A gateway that cannot be dialled as described.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum SpeechError {
    /// A setting of the route.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// One of the gateway's routes, with its key.
pub(crate) fn endpoint(
    base: &str,
    service: Service,
    model: &str,
    key: &Secret,
) -> Result<Endpoint, SpeechError> {
    let route = Route::new(base, service, model, key.clone())?;
    Ok(Endpoint::parse(&route.url())?.with_bearer(key.clone()))
}

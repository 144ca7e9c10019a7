//! Where a phone agent gets its ears and its voice.

use thiserror::Error;
use voxline_protocol::Secret;
use voxline_protocol::slng::{ConfigError, Route, Service};
use voxline_session::{RetryPolicy, VendorLimits};
use voxline_transport::{Endpoint, EndpointError};

/// Where an agent gets its ears and its voice. Clones share the limits on redialling.
#[derive(Debug, Clone)]
pub struct Speech {
    pub(super) tts: Endpoint,
    pub(super) stt: Endpoint,
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
            tts: endpoint(base, Service::Tts, &models.tts, key)?,
            stt: endpoint(base, Service::Stt, &models.stt, key)?,
            voice: models.voice.clone(),
            limits: VendorLimits::default(),
            retry: RetryPolicy::default(),
        })
    }

    /// Redials as `retry` says.
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
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
    /// These models.
    pub fn new(tts: impl Into<String>, voice: impl Into<String>, stt: impl Into<String>) -> Self {
        Self { tts: tts.into(), voice: voice.into(), stt: stt.into() }
    }
}

impl Default for Models {
    /// English, hosted by the gateway, quick.
    fn default() -> Self {
        Self::new("slng/deepgram/aura:2-en", "aura-2-thalia-en", "slng/deepgram/nova:3-en")
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

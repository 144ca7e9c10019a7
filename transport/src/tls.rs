//! TLS by rustls, with the choices made: ring, TLS 1.2 and 1.3, the public roots.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use voxline_protocol::Code;

use crate::error::BoxError;

/// What a TLS server shows: its certificate chain, and the key that proves it.
///
/// `Debug` shows neither.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl ServerTls {
    /// Reads a certificate chain, the server's own first, and its private key.
    ///
    /// # Errors
    /// A text holds no PEM section of its kind, or the key does not fit the certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key(Box::new(error)))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Certificate(Box::new(error)))?;
        let mut config = builder
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| TlsError::Certificate(Box::new(error)))?;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls(..)")
    }
}

/// Whose certificates a client believes: the public roots, and what is added here.
///
/// Clones share the session cache, so that a second dial is a shorter handshake.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// The public roots alone, as Mozilla lists them.
    #[must_use]
    pub fn new() -> Self {
        Self::build(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// The public roots and the certificates in this PEM text: a private issuer, or a test's own.
    ///
    /// # Errors
    /// The text holds no certificate, or one that cannot be a root.
    pub fn with_roots_from_pem(roots: &[u8]) -> Result<Self, TlsError> {
        let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in certificates(roots)? {
            store.add(root).map_err(|error| TlsError::Certificate(Box::new(error)))?;
        }
        Ok(Self::build(store))
    }

    fn build(roots: RootCertStore) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let Ok(builder) = builder.with_safe_default_protocol_versions() else {
            unreachable!("the ring provider has cipher suites for TLS 1.2 and for 1.3")
        };
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Self(Arc::new(config))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

impl Default for ClientTls {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls(..)")
    }
}

/// Certificates or a key that cannot be used.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum TlsError {
    /// A certificate cannot be used, or does not belong to the key.
    #[error("certificate cannot be used; give the server's own first, then its issuers, as PEM")]
    Certificate(#[source] BoxError),
    /// There is no private key in the text, or not one we can read.
    #[error("no usable private key; give PKCS #8, PKCS #1 or SEC1 as PEM")]
    Key(#[source] BoxError),
}

impl TlsError {
    /// The stable name of this error; its page is in [`CODES`](crate::CODES).
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::new(match self {
            Self::Certificate(_) => "transport/bad-certificate",
            Self::Key(_) => "transport/bad-key",
        })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(TlsError::Certificate("no `BEGIN CERTIFICATE` section".into()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TlsError::Certificate(Box::new(error))),
    }
}

/// WebSocket upgrades exist in HTTP/1.1 only; saying so keeps a server from choosing HTTP/2.
const HTTP_1_1: &[u8] = b"http/1.1";

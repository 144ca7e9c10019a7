//! Credentials that change while the process runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use voxline_protocol::Secret;

/// A credential that can be replaced while it is in use.
///
/// Clones share it: links opened after [`Key::replace`] carry the new one, links that are open
/// stay as they are.
///
/// ```
/// use voxline_protocol::Secret;
/// use voxline_transport::{Endpoint, Key};
///
/// let key = Key::from(Secret::new("old").unwrap());
/// let endpoint = Endpoint::parse("wss://api.example.com/")?.with_bearer(key.clone());
/// key.replace(Secret::new("new").unwrap()); // the next dial uses it
/// # Ok::<(), voxline_transport::EndpointError>(())
/// ```
#[derive(Clone)]
pub struct Key(Arc<RwLock<Secret>>);

impl Key {
    /// Puts another key in the place of this one, for every clone.
    pub fn replace(&self, key: Secret) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    pub(crate) fn expose(&self) -> String {
        self.0.read().unwrap_or_else(PoisonError::into_inner).expose().to_owned()
    }
}

impl From<Secret> for Key {
    fn from(key: Secret) -> Self {
        Self(Arc::new(RwLock::new(key)))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

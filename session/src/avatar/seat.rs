//! A session for somebody else to dial.

use std::future::pending;

use voxline_protocol::agenthuman::{AvatarApi, AvatarSession, RoomAccess};
use voxline_transport::Requester;

use super::place::{Place, Service};
use super::rest::Rest;
use super::{AvatarConfig, AvatarError};

/// A session that was created and started, and is dialled by somebody else: a browser, which may have the session's own
/// secret and the room's token, and never the API key.
///
/// It costs money until it is ended. Nobody here sees whether it is used, so its holder decides how long to wait.
/// Dropped, it is ended behind.
///
/// ```no_run
/// use voxline_protocol::Secret;
/// use voxline_protocol::agenthuman::{AvatarApi, CreateSession};
/// use voxline_session::{AvatarConfig, AvatarSeat};
/// use voxline_transport::HttpClient;
///
/// # async fn lend() -> Result<(), Box<dyn std::error::Error>> {
/// let api = AvatarApi::new(Secret::new(&std::env::var("AGENTHUMAN_API_KEY")?)?);
/// let config = AvatarConfig::new(CreateSession::revision_a("avat_1"));
/// let mut seat = AvatarSeat::take(HttpClient::new(), api, config).await?;
/// println!("{} at {}", seat.session().session_id, seat.url());
/// seat.end().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AvatarSeat {
    place: Place,
    session: AvatarSession,
}

impl AvatarSeat {
    /// Checks the configuration, ends what a killed process left open, and creates and starts a session.
    ///
    /// Cancel-safe: dropped while waiting, whatever was begun is ended behind.
    ///
    /// # Errors
    /// The configuration cannot work, or the service or the journal failed. No session is left open.
    pub async fn take<R: Requester>(
        requester: R,
        api: AvatarApi,
        config: AvatarConfig,
    ) -> Result<Self, AvatarError> {
        Self::take_unless(requester, api, config, pending()).await
    }

    /// As [`take`](Self::take), unless `given_up` is ready first: unlike dropping the future, this waits until whatever
    /// was begun is ended.
    ///
    /// # Errors
    /// As [`take`](Self::take), and [`AvatarError::Ended`] if it was given up.
    pub async fn take_unless<R: Requester>(
        requester: R,
        api: AvatarApi,
        config: AvatarConfig,
        given_up: impl Future<Output = ()> + Send,
    ) -> Result<Self, AvatarError> {
        let rest = Rest::new(requester, api, &config)?;
        let service = Service { rest, config };
        let making = async {
            service.prepare().await?;
            service.new_session().await
        };
        let made = tokio::select! {
            made = making => made,
            () = given_up => Err(AvatarError::Ended),
        };
        if made.is_err() {
            // What was created is ended behind.
            service.rest.quiet().await;
        }
        made.map(|(place, session)| Self { place, session })
    }

    /// What `session.init` takes: the id, the session's own secret, and in revision A room and picture.
    #[must_use]
    pub const fn session(&self) -> &AvatarSession {
        &self.session
    }

    /// Where the socket is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.place.url
    }

    /// The room the avatar joins.
    #[must_use]
    pub const fn room(&self) -> Option<&RoomAccess> {
        self.place.room.as_ref()
    }

    /// Ends the session.
    ///
    /// Cancel-safe: dropped while waiting, the session is held as before.
    ///
    /// # Errors
    /// [`AvatarError::NotEnded`]: ask again later.
    pub async fn end(&mut self) -> Result<(), AvatarError> {
        self.place.paid.try_end().await
    }
}

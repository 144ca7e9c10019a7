//! Where a session is to be had: created, started, dialled, and all of that again when it is lost.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use futures::future::BoxFuture;
use tokio::time::sleep;
use tracing::{debug, warn};
use voxline_protocol::agenthuman::{
    ApiError, AvatarSession, CallAnswer, CreateSession, HostedStatus, Preflight, Recovery, Revision,
    RoomAccess, RoomPlan,
};
use voxline_transport::{Connector, Endpoint, Retry, Transport, TransportError};

use super::rest::{Paid, Rest};
use super::{AvatarConfig, AvatarError};
use crate::SessionError;
use crate::driver::now;

/// The service, where sessions are made.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) rest: Rest,
    pub(super) config: AvatarConfig,
}

/// The service, and the ways to its sessions' sockets.
pub(super) struct World<T> {
    pub(super) service: Service,
    dial: Box<Dial<T>>,
}

type Dial<T> = dyn Fn(Endpoint) -> BoxFuture<'static, Result<T, TransportError>> + Send + Sync;

/// A session that was created and started, and where its socket is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) paid: Paid,
    pub(super) room: Option<RoomAccess>,
    /// The socket's address.
    pub(super) url: String,
    revision: Revision,
    endpoint: Endpoint,
}

impl Place {
    /// Whether the room is one the configuration named, rather than the service's own.
    pub(super) const fn is_room_ours(&self) -> bool {
        matches!(self.revision, Revision::B)
    }
}

/// What a recovery came to.
pub(super) enum Recovered<T> {
    /// There is a link.
    Linked {
        link: T,
        place: Place,
        /// The session that takes the old one's place, if one had to be made.
        fresh: Option<AvatarSession>,
        attempts: u32,
    },
    /// The session is over: only a new one helps, once its room is clear.
    Over { place: Place, attempts: u32 },
}

impl Service {
    /// Creates a session, checks what came with it, and starts it.
    pub(super) async fn new_session(&self) -> Result<(Place, AvatarSession), AvatarError> {
        let create = &self.config.create;
        let (mut info, paid) = self.rest.create(create).await?;
        let revision = info.revision.ok_or(ApiError::MissingSecret)?;
        if revision == Revision::A && info.room.is_none() {
            // The documents' own sample leaves it out of the create answer.
            if let CallAnswer::Session(read) = self.rest.run(self.rest.api.get(paid.id())).await? {
                info.room = read.room;
            }
        }
        let url = if revision == Revision::A {
            self.check_room(info.room.as_ref())?;
            let (url, expiration) = self.start(paid.id()).await?;
            info.expiration = expiration;
            url
        } else {
            info.ws_uri.clone().unwrap_or_else(|| self.config.socket_url.to_string())
        };
        let session = info.to_session(None, self.config.video, now(), SystemTime::now())?;
        let room = info.room.or_else(|| self.own_room());
        let endpoint = Endpoint::parse(&url)?;
        Ok((Place { paid, room, url, revision, endpoint }, session))
    }

    /// The room as it stands in the configuration.
    fn own_room(&self) -> Option<RoomAccess> {
        if let CreateSession::B { room, .. } = &self.config.create { Some((**room).clone()) } else { None }
    }

    /// Checks what can be checked before anything is sent, and ends what earlier processes left open; the ids of
    /// what was ended.
    pub(super) async fn prepare(&self) -> Result<Vec<String>, AvatarError> {
        let mut findings = self.plan().check(SystemTime::now());
        findings.retain(|found| !found.is_warning);
        if !findings.is_empty() {
            return Err(AvatarError::Preflight(findings));
        }
        self.rest.end_leftovers().await
    }

    fn plan(&self) -> Preflight<'_> {
        let mut plan = self.rest.api.preflight(&self.config.create);
        plan.planned = self.config.planned;
        plan
    }

    fn check_room(&self, room: Option<&RoomAccess>) -> Result<(), AvatarError> {
        let Some(room) = room else { return Ok(()) };
        let mut plan = self.plan();
        let (platform, token) = (room.platform.as_str(), room.token.expose());
        plan.room = Some(RoomPlan { platform, url: &room.url, token });
        let mut findings = plan.check(SystemTime::now());
        findings.retain(|found| !found.is_warning);
        if findings.is_empty() { Ok(()) } else { Err(AvatarError::Preflight(findings)) }
    }

    async fn start(&self, id: &str) -> Result<(String, Option<SystemTime>), ApiError> {
        let CallAnswer::Started { ws_uri, expiration } = self.rest.run(self.rest.api.start(id)).await? else {
            unreachable!("a start call answers with an address")
        };
        Ok((ws_uri, expiration))
    }

    /// Asks for the same session once more; false if there is none any more.
    async fn start_again(&self, place: &mut Place) -> Result<bool, AvatarError> {
        let id = place.paid.id();
        let asked = if place.revision == Revision::A {
            match self.start(id).await {
                Ok((url, _)) => {
                    place.endpoint = Endpoint::parse(&url)?;
                    place.url = url;
                    Ok(true)
                }
                Err(error) => Err(error),
            }
        } else {
            let read = self.rest.run(self.rest.api.get(id)).await;
            read.map(
                |answer| !matches!(answer, CallAnswer::Session(info) if info.status == HostedStatus::Ended),
            )
        };
        match asked {
            Err(ApiError::Refused { status: 400..=499, .. }) => Ok(false),
            asked => Ok(asked?),
        }
    }
}

impl<T: Transport> World<T> {
    pub(super) fn new<F, C>(service: Service, connect: F) -> Self
    where
        F: Fn(Endpoint) -> C + Send + Sync + 'static,
        C: Connector<Transport = T>,
    {
        let dial = move |endpoint| -> BoxFuture<'static, _> {
            let connector = Arc::new(connect(endpoint));
            Box::pin(async move { connector.connect().await })
        };
        Self { service, dial: Box::new(dial) }
    }

    /// Dials the first link, as often as the policy allows.
    pub(super) async fn dial_first(&self, place: &Place) -> Result<T, AvatarError> {
        let mut attempts = 0;
        loop {
            match (self.dial)(place.endpoint.clone()).await {
                Ok(link) => return Ok(link),
                Err(error) if error.retry() == Retry::Never => {
                    return Err(SessionError::Transport(error).into());
                }
                Err(error) => {
                    attempts += 1;
                    self.pause(attempts, Some(SessionError::Transport(error).into())).await?;
                }
            }
        }
    }

    /// Brings a link back, or makes a new session first, as `recovery` says.
    pub(super) async fn recover(
        &self,
        mut place: Place,
        mut recovery: Recovery,
        mut attempts: u32,
    ) -> Result<Recovered<T>, AvatarError> {
        let mut fresh = None;
        let mut last = None;
        loop {
            attempts += 1;
            self.pause(attempts, last.take()).await?;
            debug!(?recovery, attempts, "bringing the avatar back");
            if recovery == Recovery::StartAgain {
                match self.service.start_again(&mut place).await {
                    Ok(true) => {}
                    // The same attempt goes on with a new session.
                    Ok(false) => return Ok(Recovered::Over { place, attempts: attempts - 1 }),
                    Err(error) => {
                        last = Some(error);
                        continue;
                    }
                }
            }
            if recovery == Recovery::NewSession {
                // The old one may hold the only place the account has.
                if let Err(error) = place.paid.end().await {
                    warn!(%error, "cannot end the session that is being replaced");
                }
                // Not tried again: what a lost answer created is unknown.
                let (new, session) = self.service.new_session().await?;
                place = new;
                fresh = Some(session);
            }
            match (self.dial)(place.endpoint.clone()).await {
                Ok(link) => return Ok(Recovered::Linked { link, place, fresh, attempts }),
                Err(error) => last = Some(SessionError::Transport(error).into()),
            }
            recovery = Recovery::StartAgain;
        }
    }

    /// Waits before attempt number `attempts`, or gives up.
    async fn pause(&self, attempts: u32, last: Option<AvatarError>) -> Result<(), AvatarError> {
        let retry = &self.service.config.retry;
        if retry.max_attempts.is_some_and(|max| attempts > max) {
            return Err(AvatarError::Lost { attempts: attempts - 1, last: last.map(Box::new) });
        }
        sleep(retry.delays().nth(attempts as usize - 1).unwrap_or(retry.cap)).await;
        Ok(())
    }
}

impl<T> fmt::Debug for World<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("service", &self.service).finish_non_exhaustive()
    }
}

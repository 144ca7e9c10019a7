//! REST calls carried out, and the guard that ends what they began.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, warn};
use voxline_protocol::agenthuman::{
    ApiError, AvatarApi, AvatarCall, CallAnswer, CallStep, CreateSession, SessionInfo,
};
use voxline_protocol::daily::{DailyApi, DailyApiError, Present, RoomUrl};
use voxline_transport::{Endpoint, EndpointError, Requester, TransportError};

use super::{AvatarConfig, AvatarError, Journal};
use crate::driver::now;

type Carry = dyn Fn(Arc<Endpoint>, Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, TransportError>>
    + Send
    + Sync;

/// The REST service, with whoever carries its requests. Clones share the count of what goes on behind them.
#[derive(Clone)]
pub(super) struct Rest {
    pub(super) api: AvatarApi,
    endpoint: Arc<Endpoint>,
    carry: Arc<Carry>,
    daily: Option<(DailyApi, Arc<Endpoint>)>,
    journal: Option<Journal>,
    /// Calls that go on although nobody waits for them.
    behind: watch::Sender<usize>,
}

impl Rest {
    pub(super) fn new<R: Requester>(
        requester: R,
        api: AvatarApi,
        config: &AvatarConfig,
    ) -> Result<Self, EndpointError> {
        let requester = Arc::new(requester);
        let carry = move |endpoint: Arc<Endpoint>, request| -> BoxFuture<'static, _> {
            let requester = Arc::clone(&requester);
            Box::pin(async move { requester.send(&endpoint, request).await })
        };
        let daily = match config.daily.clone() {
            Some(daily) => Some((daily.clone(), Arc::new(Endpoint::parse(daily.base())?))),
            None => None,
        };
        let endpoint = Arc::new(Endpoint::parse(api.base())?);
        let behind = watch::Sender::new(0);
        Ok(Self { api, endpoint, carry: Arc::new(carry), daily, journal: config.journal.clone(), behind })
    }

    /// Carries out a call. Its own budgets bound it.
    pub(super) async fn run(&self, mut call: AvatarCall) -> Result<CallAnswer, ApiError> {
        loop {
            match call.step(now()) {
                CallStep::Done(answer) => return Ok(answer),
                CallStep::Wait(until) => sleep_until(until.into()).await,
                CallStep::Send(request) => match self.ask(&self.endpoint, request).await {
                    Some(response) => call.handle_response(now(), &response)?,
                    None => call.handle_lost(now())?,
                },
            }
        }
    }

    /// One request, one response, or none in time.
    async fn ask(&self, endpoint: &Arc<Endpoint>, request: Request<Bytes>) -> Option<Response<Bytes>> {
        match timeout(AvatarCall::TIMEOUT, (self.carry)(Arc::clone(endpoint), request)).await {
            Ok(Ok(response)) => Some(response),
            Ok(Err(error)) => {
                debug!(%error, "REST call was not answered");
                None
            }
            Err(_elapsed) => None,
        }
    }

    /// Whether Daily can be asked.
    pub(super) const fn has_daily(&self) -> bool {
        self.daily.is_some()
    }

    /// Asks Daily who is in a room; `None` if it did not answer, which another time may mend.
    pub(super) async fn presence(&self, room: &RoomUrl) -> Result<Option<Vec<Present>>, DailyApiError> {
        let Some((daily, endpoint)) = &self.daily else { return Ok(None) };
        let Some(response) = self.ask(endpoint, daily.presence(room)).await else { return Ok(None) };
        DailyApi::read_presence(&response).map(Some)
    }

    /// Puts somebody out of a room, if Daily can be asked.
    pub(super) async fn eject(&self, room: &RoomUrl, session_id: &str) {
        let Some((daily, endpoint)) = &self.daily else { return };
        let answer = self.ask(endpoint, daily.eject(room, session_id)).await;
        debug!(status = answer.map(|answer| answer.status().as_u16()), "avatar is put out of its room");
    }

    /// Creates a session and notes it in the journal.
    ///
    /// Dropped while waiting, the call goes on behind, and ends whatever it created: an id nobody has read is a
    /// session nobody can end.
    pub(super) async fn create(&self, session: &CreateSession) -> Result<(SessionInfo, Paid), AvatarError> {
        let (rest, call, busy) = (self.clone(), self.api.create(session), self.busy());
        let created = tokio::spawn(async move {
            let _busy = busy;
            let CallAnswer::Session(info) = rest.run(call).await? else {
                unreachable!("a create call answers with a session")
            };
            let (base, id) = (rest.api.base().to_owned(), info.session_id.clone());
            let paid = Paid { rest, id: Some(id.clone()) };
            if let Some(journal) = paid.rest.journal.clone() {
                on_disk(move || journal.add(&base, &id)).await.map_err(AvatarError::Journal)?;
            }
            Ok((*info, paid))
        });
        // Only a runtime that shuts down cancels it.
        created.await.unwrap_or(Err(AvatarError::Ended))
    }

    /// Ends a session by its id, and takes it off the journal.
    pub(super) async fn end(&self, id: &str) -> Result<(), ApiError> {
        let ended = timeout(AvatarCall::START_BUDGET, self.run(self.api.end(id))).await;
        ended.unwrap_or(Err(ApiError::Transport))?;
        if let Some(journal) = self.journal.clone() {
            let (base, id) = (self.api.base().to_owned(), id.to_owned());
            if let Err(error) = on_disk(move || journal.remove(&base, &id)).await {
                warn!(%error, "a session that is over stays in the journal; the next start ends it again");
            }
        }
        Ok(())
    }

    /// Ends what earlier processes left open; the ids of those that are over now.
    pub(super) async fn end_leftovers(&self) -> Result<Vec<String>, AvatarError> {
        let Some(journal) = self.journal.clone() else { return Ok(Vec::new()) };
        let base = self.api.base().to_owned();
        let left = on_disk(move || journal.leftovers(&base)).await.map_err(AvatarError::Journal)?;
        let mut ended = Vec::new();
        for id in left {
            match self.end(&id).await {
                Ok(()) => ended.push(id),
                // It stays in the journal for the next start.
                Err(error) => warn!(%error, session = id, "cannot end a session a killed process left"),
            }
        }
        Ok(ended)
    }

    /// Waits until nothing goes on behind. What does has its own limit.
    pub(super) async fn quiet(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.behind.subscribe().wait_for(|calls| *calls == 0).await;
    }

    fn busy(&self) -> Busy {
        self.behind.send_modify(|calls| *calls += 1);
        Busy(self.behind.clone())
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("api", &self.api).field("journal", &self.journal).finish_non_exhaustive()
    }
}

/// A session that costs money. Dropped before it was ended, it is ended behind, so that no way out of a function
/// (an error, a cancelled future, a panic) can forget it.
#[derive(Debug)]
pub(super) struct Paid {
    rest: Rest,
    /// `None` once it is over, or once its end was tried in vain and told.
    id: Option<String>,
}

impl Paid {
    pub(super) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    pub(super) async fn end(mut self) -> Result<String, AvatarError> {
        let id = self.id().to_owned();
        let ended = self.try_end().await;
        self.id = None;
        ended.map(|()| id)
    }

    /// Ends it, unless it is over; what fails may be tried again.
    pub(super) async fn try_end(&mut self) -> Result<(), AvatarError> {
        let Some(id) = self.id.clone() else { return Ok(()) };
        self.rest.end(&id).await.map_err(|source| AvatarError::NotEnded { session_id: id, source })?;
        self.id = None;
        Ok(())
    }
}

impl Drop for Paid {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        // Outside a runtime nothing can be sent any more; the journal still has it.
        let Ok(runtime) = Handle::try_current() else { return };
        let (rest, busy) = (self.rest.clone(), self.rest.busy());
        runtime.spawn(async move {
            let _busy = busy;
            if let Err(error) = rest.end(&id).await {
                warn!(%error, session = id, "session was not ended and may go on costing money");
            }
        });
    }
}

/// One call behind, while it lives.
struct Busy(watch::Sender<usize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    // Only a runtime that shuts down cancels it.
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

//! The agent's sessions: both ends of each, their orderly end, and what the agent waits for.

use std::future::{pending, poll_fn};
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{SinkExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use voxline_protocol::Machine;
use voxline_protocol::plivo::{DegradedLevel, PlivoStream};
use voxline_protocol::slng::{TtsClient, TtsEvent};

use super::config::{AgentError, Leg};
use crate::avatar::AvatarNext;
use crate::{Avatar, Receiver, ResponderError, Sender, Session, SessionError, SessionEvent, TurnId};

pub(super) type Reply = BoxStream<'static, Result<String, ResponderError>>;
pub(super) type Degradation = watch::Receiver<Option<DegradedLevel>>;

/// Both ends of one session.
pub(super) struct Handles<M: Machine> {
    pub(super) sender: Sender<M>,
    pub(super) receiver: Receiver<M>,
}

impl<M: Machine> Handles<M> {
    pub(super) fn new(session: Session<M>) -> Self {
        let (sender, receiver) = session.split();
        Self { sender, receiver }
    }

    /// Asks for an orderly end and reads to it, so that the driver is not held up by unread events. What is not over
    /// within `limit` is cut; either way the driver is gone afterwards.
    pub(super) async fn close(self, limit: Duration) {
        let Self { sender, mut receiver } = self;
        drop(sender);
        // How it ends no longer matters to the call.
        let _ = timeout(limit, async { while receiver.next().await.is_some() {} }).await;
        receiver.cancel().await;
    }
}

/// The next event of a session that must live as long as the call.
pub(super) fn alive<E>(
    leg: Leg,
    event: Option<Result<SessionEvent<E>, SessionError>>,
) -> Result<SessionEvent<E>, AgentError> {
    event.unwrap_or(Err(SessionError::Ended)).map_err(|source| AgentError { leg, source })
}

/// What the speech service tells next, once the phone has room for what it may bring. While speech `waits` for that
/// room, only the room is told.
pub(super) async fn next_speech(
    phone: &mut Sender<PlivoStream>,
    speech: &mut Receiver<TtsClient>,
    waits: bool,
) -> Speech {
    // A phone that has ended says so itself; its readiness is only looked at, nothing is reserved.
    let room = poll_fn(|cx| phone.poll_ready_unpin(cx)).await;
    if waits && room.is_ok() { Speech::Room } else { Speech::Event(speech.next().await) }
}

/// What can bring the speech on.
pub(super) enum Speech {
    Event(Option<Result<SessionEvent<TtsEvent>, SessionError>>),
    Room,
}

/// What the avatar tells next, or that it has room for what `waits`; never, while there is none.
pub(super) async fn next_avatar(avatar: &mut Option<Avatar>, waits: bool) -> AvatarNext {
    match avatar {
        Some(avatar) => avatar.next_or_room(waits).await,
        None => pending().await,
    }
}

/// Asks for the avatar's orderly end; what is not over within `limit` goes on by itself.
pub(super) async fn part(avatar: Option<Avatar>, limit: Duration) {
    if let Some(avatar) = avatar {
        // How it ends no longer matters to the call.
        let _ = timeout(limit, avatar.close()).await;
    }
}

/// The responder's next words; never, while none is at work.
pub(super) async fn next_piece(
    reply: &mut Option<(TurnId, Reply)>,
) -> (TurnId, Option<Result<String, ResponderError>>) {
    match reply {
        Some((turn, pieces)) => (*turn, pieces.next().await),
        None => pending().await,
    }
}

/// The level that was told since the last look; never, when nobody tells any.
pub(super) async fn next_level(level: &mut Option<Degradation>) -> Option<DegradedLevel> {
    if let Some(told) = level
        && told.changed().await.is_ok()
    {
        return *told.borrow_and_update();
    }
    *level = None;
    pending().await
}

pub(super) async fn sleep_to(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// Tokio's clock, so that a paused one stops the agent too.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

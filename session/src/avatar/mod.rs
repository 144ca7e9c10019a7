//! One avatar from its creation to its end, as one handle.

mod config;
mod error;
mod journal;
mod life;
mod live;
mod place;
mod rest;
mod room;
mod seat;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use voxline_protocol::UtteranceId;
use voxline_protocol::agenthuman::{AvatarApi, AvatarCommand, InputRate, check_speech};
use voxline_protocol::daily::{Present, RoomEvent};
use voxline_transport::{Connector, Endpoint, Requester};

pub use config::{AvatarConfig, AvatarNotice};
pub use error::AvatarError;
pub use journal::Journal;
use life::Life;
use live::{Ask, Hand};
use place::{Service, World};
use rest::Rest;
pub use seat::AvatarSeat;

/// A talking avatar: its session created, started and dialled, brought back when it is lost, and ended.
///
/// An AgentHuman session costs money until somebody ends it. So its life is a task of its own, and every way out leads
/// through the same orderly end (close the socket, then end the session by REST): [`close`](Self::close), the handle
/// dropped with its future or by a panic, an error, and the session's own end. What a killed process leaves behind is
/// in the [`Journal`], and the next [`open`](Self::open) ends it first.
///
/// ```no_run
/// use voxline_protocol::Secret;
/// use voxline_protocol::agenthuman::{AvatarApi, AvatarEvent, CreateSession};
/// use voxline_session::{Avatar, AvatarConfig, AvatarNotice};
/// use voxline_transport::{HttpClient, WebSocketConnector};
///
/// # async fn speak(speech: bytes::Bytes) -> Result<(), Box<dyn std::error::Error>> {
/// let api = AvatarApi::new(Secret::new(&std::env::var("AGENTHUMAN_API_KEY")?)?);
/// let config = AvatarConfig::new(CreateSession::revision_a("avat_1"));
/// let mut avatar = Avatar::open(HttpClient::new(), WebSocketConnector::new, api, config).await?;
/// avatar.say(speech).await?;
/// while let Some(notice) = avatar.next().await {
///     if let AvatarNotice::Protocol(AvatarEvent::Speech(report)) = notice {
///         println!("{:?}", report.end);
///         break;
///     }
/// }
/// avatar.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Avatar {
    /// `None` once the end was asked for.
    hand: Option<Hand>,
    notices: mpsc::Receiver<AvatarNotice>,
    life: JoinHandle<Result<(), AvatarError>>,
    last: UtteranceId,
    rate: InputRate,
}

impl Avatar {
    /// Checks the configuration, ends what a killed process left open, creates and starts a session, and dials it.
    ///
    /// `requester` carries the REST calls of `api`; `connect` makes a way to wherever a session's socket is. Speech may
    /// follow at once: it waits until the service has established the session.
    ///
    /// Cancel-safe: dropped while waiting, whatever was begun is ended behind.
    ///
    /// # Errors
    /// The configuration cannot work ([`AvatarError::Preflight`], before anything is sent), or the service, its socket
    /// or the journal failed. No session is left open.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub async fn open<R, F, C>(
        requester: R,
        connect: F,
        api: AvatarApi,
        config: AvatarConfig,
    ) -> Result<Self, AvatarError>
    where
        R: Requester,
        F: Fn(Endpoint) -> C + Send + Sync + 'static,
        C: Connector,
    {
        let rest = Rest::new(requester, api, &config)?;
        let rate = config.rate;
        let world = World::new(Service { rest, config }, connect);
        let (hand, asked) = Hand::new();
        let (notices, told) = mpsc::channel(NOTICES);
        let life = Life::new(world, asked, notices);
        let (ready, is_ready) = oneshot::channel();
        let life = tokio::spawn(life.run(ready));
        // Without an answer, the task has panicked.
        is_ready.await.unwrap_or(Err(AvatarError::Ended))?;
        Ok(Self { hand: Some(hand), notices: told, life, last: UtteranceId::FIRST, rate })
    }

    /// Says one whole utterance: raw 16-bit little-endian mono samples at the configured rate.
    ///
    /// Cancel-safe: dropped while waiting for room, nothing was said.
    ///
    /// # Errors
    /// The service would refuse the audio (empty, half a sample, a file with its header), or the avatar is over.
    pub async fn say(&mut self, audio: Bytes) -> Result<UtteranceId, AvatarError> {
        check_speech(&audio, true)?;
        let utterance = self.begin();
        self.ask(Ask::Command(AvatarCommand::Say { utterance, audio })).await?;
        Ok(utterance)
    }

    /// Begins an utterance that is still being made, for [`speak`](Self::speak). It finishes the one before.
    pub const fn begin(&mut self) -> UtteranceId {
        self.last = self.last.next();
        self.last
    }

    /// Says more of an utterance. Cancel-safe, as [`say`](Self::say).
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub async fn speak(&mut self, utterance: UtteranceId, audio: Bytes) -> Result<(), AvatarError> {
        check_speech(&audio, false)?;
        self.ask(Ask::Command(AvatarCommand::Speak { utterance, audio })).await
    }

    /// Says that an utterance has no more speech.
    ///
    /// # Errors
    /// The avatar is over.
    pub async fn finish(&mut self, utterance: UtteranceId) -> Result<(), AvatarError> {
        self.ask(Ask::Command(AvatarCommand::Finish { utterance })).await
    }

    /// Barge-in: the avatar stops, and everything not yet said is dropped and accounted for.
    ///
    /// # Errors
    /// The avatar is over.
    pub async fn interrupt(&mut self) -> Result<(), AvatarError> {
        self.ask(Ask::Command(AvatarCommand::Interrupt)).await
    }

    /// Tells what was seen inside the room, where [`AvatarConfig::watch_room`] is on.
    ///
    /// # Errors
    /// The avatar is over.
    pub async fn room_event(&mut self, event: RoomEvent) -> Result<(), AvatarError> {
        self.ask(Ask::Room(Box::new(event))).await
    }

    /// Tells who is in the room by its REST service, where [`AvatarConfig::watch_room`] is on; for whoever asks it
    /// himself. With [`AvatarConfig::daily`] it is asked already.
    ///
    /// # Errors
    /// The avatar is over.
    pub async fn room_presence(&mut self, present: Vec<Present>) -> Result<(), AvatarError> {
        self.ask(Ask::Presence(present)).await
    }

    /// What the avatar tells next; `None` once it is over and its session ended. Cancel-safe.
    ///
    /// An application that does not read stops the reading of the socket, and with it every recovery; once 128 notices
    /// wait, nothing more is taken from it either, but for its wish to end.
    pub async fn next(&mut self) -> Option<AvatarNotice> {
        self.notices.recv().await
    }

    /// Asks for the orderly end. [`next`](Self::next) tells what becomes of each utterance, then ends.
    pub fn end(&mut self) {
        self.hand = None;
    }

    /// Asks for the orderly end and waits for it. Notices not yet read are dropped.
    ///
    /// Dropped while waiting, the end goes on by itself.
    ///
    /// # Errors
    /// How the avatar ended, if badly: above all [`AvatarError::NotEnded`].
    pub async fn close(mut self) -> Result<(), AvatarError> {
        self.end();
        while self.next().await.is_some() {}
        // Only a panic or a runtime that shuts down leaves no outcome.
        self.life.await.unwrap_or(Err(AvatarError::Ended))
    }

    /// The last number that was given to an utterance.
    pub(crate) const fn last(&self) -> UtteranceId {
        self.last
    }

    /// The rate of the speech it takes.
    #[must_use]
    pub const fn rate(&self) -> InputRate {
        self.rate
    }

    /// Asks without waiting; gives the command back if there is no room. One for an avatar that is over is dropped:
    /// its end is told by [`next`](Self::next).
    pub(crate) fn try_command(&self, command: AvatarCommand) -> Result<(), AvatarCommand> {
        let Some(Hand { asks, .. }) = &self.hand else { return Ok(()) };
        match asks.try_send(Ask::Command(command)) {
            Err(TrySendError::Full(Ask::Command(command))) => Err(command),
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// What the avatar tells next, or that there is room for a command that `waits`. Cancel-safe.
    pub(crate) async fn next_or_room(&mut self, waits: bool) -> AvatarNext {
        let Self { hand, notices, .. } = self;
        tokio::select! {
            biased;
            notice = notices.recv() => AvatarNext::Notice(notice.map(Box::new)),
            // Only looked at; whoever asks next takes it.
            Some(_) = async { Some(hand.as_ref()?.asks.reserve().await) }, if waits => AvatarNext::Room,
        }
    }

    async fn ask(&self, ask: Ask) -> Result<(), AvatarError> {
        let Some(Hand { asks, .. }) = &self.hand else { return Err(AvatarError::Ended) };
        asks.send(ask).await.map_err(|_| AvatarError::Ended)
    }
}

/// What can bring an agent's speech on.
#[derive(Debug)]
pub(crate) enum AvatarNext {
    Notice(Option<Box<AvatarNotice>>),
    Room,
}

/// Notices that wait for the application.
const NOTICES: usize = 64;

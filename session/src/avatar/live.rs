//! A session that is live, and what can happen to it next. Whatever is waited for here may be given up and waited for
//! again: nothing is in the hands of a wait.

use std::future::{pending, poll_fn};

use futures::SinkExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use voxline_protocol::agenthuman::{AvatarClient, AvatarCommand, AvatarSession};
use voxline_protocol::daily::{Present, RoomEvent};
use voxline_transport::Transport;

use super::AvatarError;
use super::place::{Place, Recovered};
use super::room::RoomWatch;
use crate::{Adopter, Receiver, Sender};

/// What the handle asks.
#[derive(Debug)]
pub(super) enum Ask {
    Command(AvatarCommand),
    Presence(Vec<Present>),
    Room(Box<RoomEvent>),
}

/// The handle's side: what it asks, and a sign of life that ends with it at once, whatever it had asked before.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) asks: mpsc::Sender<Ask>,
    _alive: oneshot::Sender<()>,
}

/// The other end of a [`Hand`].
#[derive(Debug)]
pub(super) struct Asks {
    pub(super) asked: mpsc::Receiver<Ask>,
    alive: oneshot::Receiver<()>,
}

impl Hand {
    pub(super) fn new() -> (Self, Asks) {
        let (asks, asked) = mpsc::channel(ASKS);
        let (_alive, alive) = oneshot::channel();
        (Self { asks, _alive }, Asks { asked, alive })
    }
}

/// The machine on its driver, the way to give it links, and the session that is paid for.
pub(super) struct Live<T> {
    pub(super) sender: Sender<AvatarClient>,
    pub(super) receiver: Receiver<AvatarClient>,
    pub(super) links: Adopter<T>,
    /// `None` while a recovery has it.
    pub(super) place: Option<Place>,
    pub(super) recovery: Option<BoxFuture<'static, Result<Recovered<T>, AvatarError>>>,
    /// What a recovery has brought, until the machine has it.
    pub(super) brought: Option<Brought<T>>,
    /// The session expired while its link was being brought back.
    pub(super) expired: bool,
}

/// A link, and the session it is for if that is another one.
pub(super) struct Brought<T> {
    pub(super) session: Option<Box<AvatarSession>>,
    pub(super) link: Option<T>,
}

/// What the machine can be given next.
pub(super) enum Step {
    /// It is asked for this.
    Ask(Ask),
    /// The handle is gone, and all it asked was done.
    Gone,
    /// It has the link that was brought.
    Placed,
}

/// What the machine is to be given next, once it has room for that; asked of the handle only if it `may_ask`.
/// Cancel-safe.
pub(super) async fn next_step<T: Transport>(
    asks: &mut Asks,
    may_ask: bool,
    sender: &mut Sender<AvatarClient>,
    links: &Adopter<T>,
    brought: &mut Option<Brought<T>>,
) -> Step {
    if let Some(next) = brought {
        tokio::select! {
            biased;
            () = place(next, sender, links) => {}
            _ = &mut asks.alive, if !may_ask => return Step::Gone,
        }
        *brought = None;
        return Step::Placed;
    }
    // Of a session that has ended its receiver tells; its room is only looked at.
    let room = poll_fn(|cx| sender.poll_ready_unpin(cx));
    tokio::select! {
        biased;
        ask = async { _ = room.await; asks.asked.recv().await }, if may_ask => ask.map_or(Step::Gone, Step::Ask),
        // What it asked last and nobody could take any more is refused by whoever ends the session.
        _ = &mut asks.alive, if !may_ask => Step::Gone,
    }
}

async fn place<T: Transport>(
    brought: &mut Brought<T>,
    sender: &mut Sender<AvatarClient>,
    links: &Adopter<T>,
) {
    // What fails here fails because the machine has ended, which its receiver tells.
    if brought.session.is_some() && poll_fn(|cx| sender.poll_ready_unpin(cx)).await.is_ok() {
        let command = brought.session.take().map(AvatarCommand::UseSession);
        let _ = command.map(|command| sender.start_send_unpin(command));
    }
    // The link must not come before the session it is for.
    let _ = SinkExt::flush(sender).await;
    links.adopt_from(&mut brought.link).await;
}

/// The outcome of a recovery, if one is under way.
pub(super) async fn next<O>(recovery: &mut Option<BoxFuture<'static, O>>) -> O {
    match recovery {
        Some(recovery) => recovery.await,
        None => pending().await,
    }
}

/// The next thing that happens in the room, if one is watched.
pub(super) async fn step(watch: &mut Option<RoomWatch>) {
    match watch {
        Some(watch) => watch.step().await,
        None => pending().await,
    }
}

/// Asks that wait for the task; it takes them at once, so this is for bursts.
const ASKS: usize = 64;

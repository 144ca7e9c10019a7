//! The task that owns an avatar's session from its creation to its end.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, timeout};
use tracing::{debug, warn};
use voxline_protocol::CommandError;
use voxline_protocol::agenthuman::{
    AvatarClient, AvatarClientConfig, AvatarCommand, AvatarEvent, AvatarSession, LinkEnd, Recovery,
    SessionState,
};
use voxline_protocol::daily::RoomVerdict;
use voxline_transport::Transport;

use super::live::{Ask, Asks, Brought, Live, Step, next, next_step, step};
use super::place::{Place, Recovered, Service, World};
use super::room::RoomWatch;
use super::{AvatarError, AvatarNotice};
use crate::{Receiver, Session, SessionConfig, SessionEvent, TrySendError};

/// An avatar's life as one task: whatever happens to its handle, it ends the session before it ends itself.
#[derive(Debug)]
pub(super) struct Life<T> {
    world: Arc<World<T>>,
    asks: Asks,
    notices: mpsc::Sender<AvatarNotice>,
    /// What the application has not taken yet. While it is long, nothing is read or taken that could add to it; only
    /// what comes of a recovery under way still does.
    outbox: VecDeque<AvatarNotice>,
    state: SessionState,
    watch: Option<RoomWatch>,
    /// The avatar of the session before, by its session in the room.
    former: Option<String>,
    /// Sessions in a row whose avatar stayed out of its room.
    absences: u32,
    /// Attempts to bring link or session back since speech was last confirmed.
    attempts: u32,
}

impl<T: Transport> Life<T> {
    pub(super) fn new(world: World<T>, asks: Asks, notices: mpsc::Sender<AvatarNotice>) -> Self {
        Self {
            world: Arc::new(world),
            asks,
            notices,
            outbox: VecDeque::new(),
            state: SessionState::Idle,
            watch: None,
            former: None,
            absences: 0,
            attempts: 0,
        }
    }

    /// Lives. `ready` is told once the first link is up, or why none could be had.
    pub(super) async fn run(
        mut self,
        mut ready: oneshot::Sender<Result<(), AvatarError>>,
    ) -> Result<(), AvatarError> {
        let opened = tokio::select! {
            opened = self.open() => opened,
            // Nobody waits any more; what was begun is ended by its guard.
            () = ready.closed() => Err(AvatarError::Ended),
        };
        let outcome = match opened {
            Ok(live) => {
                // If nobody waits any more, the handle is gone too, and the end follows at once.
                let _ = ready.send(Ok(()));
                self.hold(live).await
            }
            Err(error) => {
                // Told before the handle is given up: a failed start leaves nothing behind.
                self.world.service.rest.quiet().await;
                let _ = ready.send(Err(error));
                return Ok(());
            }
        };
        self.world.service.rest.quiet().await;
        self.go(SessionState::Closed);
        self.flush().await;
        outcome
    }

    async fn open(&mut self) -> Result<Live<T>, AvatarError> {
        let world = Arc::clone(&self.world);
        for session_id in world.service.prepare().await? {
            self.outbox.push_back(AvatarNotice::LeftoverEnded { session_id });
        }
        self.go(SessionState::Creating);
        let (place, session) = world.service.new_session().await?;
        self.outbox.push_back(AvatarNotice::Created { session_id: place.paid.id().to_owned() });
        self.go(SessionState::Connecting);
        let link = world.dial_first(&place).await?;
        self.go(SessionState::Initialising);
        self.watch_room(&place);
        let builder = Session::builder(AvatarClient::new(world.service.client_config(session)));
        let builder = builder.config(SessionConfig {
            close_limit: world.service.config.close_limit,
            ..SessionConfig::default()
        });
        let (session, links) = builder.accept_adoptable(link, GRACE);
        let (sender, receiver) = session.split();
        let (place, expired) = (Some(place), false);
        Ok(Live { sender, receiver, links, place, recovery: None, brought: None, expired })
    }

    /// Holds the session until it ends or is no longer wanted, then ends it.
    async fn hold(&mut self, mut live: Live<T>) -> Result<(), AvatarError> {
        let lived = self.live(&mut live).await;
        if let Err(error) = &lived {
            debug!(%error, "avatar is lost");
            self.go(SessionState::Failed);
        }
        self.go(SessionState::Closing);
        if let Some(watch) = &mut self.watch {
            watch.expect_end();
        }
        let Live { sender, receiver, links, place, recovery, .. } = live;
        // What it holds is ended behind, and waited for at the very end.
        drop((sender, recovery));
        self.refuse_rest();
        // The socket first, then the room, then the session: in that order nobody has anything left to say.
        let _ = timeout(self.world.service.config.close_limit.saturating_mul(2), self.drain(receiver)).await;
        // Not before: a machine that can get no other link ends without a word about its utterances.
        drop(links);
        if let Some(watch) = self.watch.take() {
            watch.clear().await;
        }
        let ended = match place {
            Some(place) => place.paid.end().await.map(Some),
            None => Ok(None),
        };
        match (lived, ended) {
            (lived, Ok(ended)) => {
                self.outbox.extend(ended.map(|session_id| AvatarNotice::Ended { session_id }));
                lived
            }
            (Ok(()), Err(error)) => Err(error),
            (Err(lived), Err(error)) => {
                warn!(%error, "avatar was lost, and its session not ended");
                Err(lived)
            }
        }
    }

    async fn live(&mut self, live: &mut Live<T>) -> Result<(), AvatarError> {
        loop {
            let is_read = self.outbox.len() < OUTBOX;
            let Live { sender, receiver, links, recovery, brought, .. } = live;
            let is_placed = brought.is_none();
            tokio::select! {
                biased;
                taken = hand_over(&self.notices, &mut self.outbox), if !self.outbox.is_empty() => {
                    if !taken {
                        return Ok(()); // the handle is gone
                    }
                }
                step = next_step(&mut self.asks, is_read, sender, links, brought) => match step {
                    Step::Ask(ask) => self.on_ask(live, ask),
                    Step::Gone => return Ok(()),
                    Step::Placed => self.go(SessionState::Initialising),
                },
                recovered = next(recovery), if is_placed => {
                    live.recovery = None;
                    self.on_recovered(live, recovered?);
                }
                event = receiver.next(), if is_read => match event.transpose()? {
                    Some(event) => self.on_event(live, event),
                    None => return Ok(()),
                },
                () = step(&mut self.watch), if is_read => {}
            }
            self.take_verdicts(live)?;
        }
    }

    fn on_ask(&mut self, live: &mut Live<T>, ask: Ask) {
        match (ask, &mut self.watch) {
            // The driver takes commands at its every turn, link or no link, so a barge-in may stand in the queue:
            // it comes after all it drops, and each utterance gets its account. There is room for it.
            (Ask::Command(command), _) => {
                if let Err(TrySendError::Ended(command) | TrySendError::Full(command)) =
                    live.sender.try_send(command)
                {
                    self.refuse(&command);
                }
            }
            (Ask::Presence(present), Some(watch)) => watch.on_presence(&present),
            (Ask::Room(event), Some(watch)) => watch.on_event(&event),
            (Ask::Presence(_) | Ask::Room(_), None) => {}
        }
    }

    /// What was asked for and not taken before the end is told.
    fn refuse_rest(&mut self) {
        self.asks.asked.close();
        while let Ok(ask) = self.asks.asked.try_recv() {
            if let Ask::Command(command) = ask {
                self.refuse(&command);
            }
        }
    }

    /// Speech that a session which is over does not take. Anything else asked of one is moot.
    fn refuse(&mut self, command: &AvatarCommand) {
        if let AvatarCommand::Say { utterance, .. } | AvatarCommand::Speak { utterance, .. } = command {
            let notice = AvatarNotice::Refused { utterance: *utterance, reason: CommandError::Closed };
            self.outbox.push_back(notice);
        }
    }

    fn on_event(&mut self, live: &mut Live<T>, event: SessionEvent<AvatarEvent>) {
        let event = match event {
            SessionEvent::Protocol(event) => event,
            SessionEvent::Refused(CommandError::Speech { utterance, reason }) => {
                return self.outbox.push_back(AvatarNotice::Refused { utterance, reason: *reason });
            }
            // Nothing else is asked of a machine that is over.
            SessionEvent::Refused(error) => return debug!(%error, "avatar refused a command"),
            SessionEvent::Connected { .. }
            | SessionEvent::Reconnected { .. }
            | SessionEvent::Reconnecting { .. }
            | SessionEvent::Unlinked { .. } => return,
        };
        if let AvatarEvent::Chunk(_) = event {
            self.attempts = 0;
        }
        if let AvatarEvent::Established { .. } = event {
            self.go(SessionState::Ready);
        }
        // A link that was replaced has its successor on the way.
        let recovery = if let AvatarEvent::LinkDown { end, recovery, .. } = &event
            && *end != LinkEnd::Replaced
        {
            Some(*recovery)
        } else {
            None
        };
        self.outbox.push_back(AvatarNotice::Protocol(event));
        if let Some(recovery) = recovery {
            self.recover(live, recovery);
        }
    }

    fn recover(&mut self, live: &mut Live<T>, recovery: Recovery) {
        self.go(SessionState::Reconnecting);
        let Some(place) = live.place.take() else {
            // One is under way; a session that is over cannot be dialled when it is done.
            live.expired |= recovery == Recovery::NewSession;
            return;
        };
        self.outbox.push_back(AvatarNotice::Recovering { recovery });
        let (world, attempts) = (Arc::clone(&self.world), self.attempts);
        // A session that is over takes its avatar along, and what is left of it must not be taken for the new one.
        let watch = self.watch.take_if(|_| recovery == Recovery::NewSession);
        if let Some(watch) = &watch {
            self.former = watch.seen().map(str::to_owned);
        }
        live.recovery = Some(Box::pin(async move {
            if let Some(watch) = watch {
                watch.clear().await;
            }
            world.recover(place, recovery, attempts).await
        }));
    }

    fn on_recovered(&mut self, live: &mut Live<T>, recovered: Recovered<T>) {
        let (link, place, fresh) = match recovered {
            Recovered::Linked { link, place, fresh, attempts } => {
                self.attempts = attempts;
                (link, place, fresh)
            }
            Recovered::Over { place, attempts } => {
                self.attempts = attempts;
                live.place = Some(place);
                return self.recover(live, Recovery::NewSession);
            }
        };
        let session_id = place.paid.id().to_owned();
        if fresh.is_some() {
            self.watch_room(&place);
        }
        live.place = Some(place);
        if std::mem::take(&mut live.expired) && fresh.is_none() {
            return self.recover(live, Recovery::NewSession);
        }
        self.go(SessionState::Connecting);
        if fresh.is_some() {
            self.outbox.push_back(AvatarNotice::Created { session_id });
        }
        live.brought = Some(Brought { session: fresh.map(Box::new), link: Some(link) });
    }

    /// Reads the machine's last words: what became of each utterance.
    async fn drain(&mut self, mut receiver: Receiver<AvatarClient>) {
        while let Some(Ok(event)) = receiver.next().await {
            if let SessionEvent::Protocol(event) = event {
                self.outbox.push_back(AvatarNotice::Protocol(event));
            }
        }
    }

    /// Hands over what is left, if anybody takes it in time.
    async fn flush(&mut self) {
        let all = async { while hand_over(&self.notices, &mut self.outbox).await {} };
        let _ = timeout(LAST_WORDS, all).await;
    }

    fn watch_room(&mut self, place: &Place) {
        let Service { rest, config } = &self.world.service;
        let room = place.room.as_ref().filter(|_| config.watch_room);
        let former = self.former.clone();
        self.watch = room.and_then(|room| RoomWatch::new(rest, config, room, place.is_room_ours(), former));
    }

    fn take_verdicts(&mut self, live: &mut Live<T>) -> Result<(), AvatarError> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let mut is_late = false;
        while let Some(verdict) = watch.poll_verdict() {
            is_late |= matches!(verdict, RoomVerdict::AvatarLate { .. });
            self.outbox.push_back(AvatarNotice::Room(verdict));
        }
        if !is_late {
            return Ok(());
        }
        // An avatar nobody can see is paid for all the same.
        self.absences = if watch.has_stayed() { 1 } else { self.absences + 1 };
        if self.absences > self.world.service.config.room_retries {
            return Err(AvatarError::Away { sessions: self.absences });
        }
        self.recover(live, Recovery::NewSession);
        Ok(())
    }

    fn go(&mut self, to: SessionState) {
        match self.state.advance(to) {
            Ok(state) => {
                self.state = state;
                self.outbox.push_back(AvatarNotice::State(state));
            }
            Err(error) => debug!(%error, "state stays"),
        }
    }
}

impl Service {
    fn client_config(&self, session: AvatarSession) -> AvatarClientConfig {
        let mut config = AvatarClientConfig::new(session).with_rate(self.config.rate);
        config.max_unsent = self.config.max_unsent;
        config
    }
}

/// Hands over the next notice once there is room; false if there is none, or nobody to take it. Cancel-safe.
async fn hand_over(notices: &mpsc::Sender<AvatarNotice>, outbox: &mut VecDeque<AvatarNotice>) -> bool {
    let Ok(room) = notices.reserve().await else { return false };
    let Some(notice) = outbox.pop_front() else { return false };
    room.send(notice);
    true
}

/// Notices that wait for the application before nothing more is read or taken.
const OUTBOX: usize = 64;
/// How long the machine waits for a link. Longer than any recovery, which has its own limits.
const GRACE: Duration = Duration::from_secs(3600);
/// How long an application may take to read an avatar's last notices.
const LAST_WORDS: Duration = Duration::from_secs(1);

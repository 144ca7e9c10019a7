//! One phone call held by a voice agent: the conversation's asynchronous face.

mod actions;
mod avatar;
mod config;
mod ear;
mod events;
mod handle;
mod legs;
mod mouth;
mod record;
mod voice;
mod voices;

use std::fmt;
use std::time::Instant;

use futures::StreamExt;
use tokio::sync::watch;
use voxline_audio::AudioFormat;
use voxline_protocol::plivo::{DegradedLevel, PlivoStream};
use voxline_protocol::slng::{SttClient, TtsClient};
use voxline_transport::RoundTrip;

use crate::avatar::AvatarNext;
use crate::{Avatar, Conversation, ConversationInput, Responder, Session, TrySendError, TurnId};
use avatar::AvatarVoice;
pub use config::{AgentConfig, AgentError, AgentEvent, Leg, LegEvent, Output};
use ear::Ear;
use handle::Asks;
pub use handle::{AgentHandle, NotSaid};
use legs::{
    Degradation, Handles, Reply, Speech, alive, next_avatar, next_level, next_piece, next_speech, now, part,
    sleep_to,
};
pub use record::{StreamEnd, StreamRecord};
use voices::Voices;

/// Holds one call: hears the caller, has each turn answered by a [`Responder`], speaks the answer, and falls silent
/// when the caller takes the floor.
///
/// All decisions are [`Conversation`]'s; this moves audio and carries them out. [`run`](Self::run) ends with the
/// call, and nothing it started outlives it.
pub struct Agent<R> {
    config: AgentConfig,
    conversation: Conversation,
    phone: Handles<PlivoStream>,
    tts: Handles<TtsClient>,
    stt: Handles<SttClient>,
    responder: R,
    reply: Option<(TurnId, Reply)>,
    handle: AgentHandle,
    asks: Asks,
    phone_format: Option<AudioFormat>,
    ear: Option<Ear>,
    voice: Voices,
    avatar: Option<Avatar>,
    record: Option<StreamRecord>,
    degraded: Option<Degradation>,
    round_trip: Option<watch::Receiver<RoundTrip>>,
    spare: Spare,
    observer: Observer,
}

type Spare = Box<dyn FnMut() -> Option<Session<TtsClient>> + Send>;
type Observer = Box<dyn FnMut(Instant, &AgentEvent) + Send>;

impl<R: Responder> Agent<R> {
    /// An agent over three sessions: the call, and speech both ways. They need not be connected yet.
    ///
    /// Give the phone's machine room for all that may be made ahead of the ear, `speech_ahead` and `sentence_limit`: a
    /// [`max_queued`](voxline_protocol::plivo::PlivoConfig::max_queued) of a minute for the defaults.
    pub fn new(
        phone: Session<PlivoStream>,
        tts: Session<TtsClient>,
        stt: Session<SttClient>,
        responder: R,
        config: AgentConfig,
    ) -> Self {
        let (handle, asks) = AgentHandle::new();
        let speech = config.speech;
        Self {
            conversation: Conversation::new(config.conversation.clone()),
            config,
            phone: Handles::new(phone),
            tts: Handles::new(tts),
            stt: Handles::new(stt),
            responder,
            reply: None,
            handle,
            asks,
            phone_format: None,
            ear: None,
            voice: Voices::new(speech),
            avatar: None,
            record: None,
            degraded: None,
            round_trip: None,
            spare: Box::new(|| None),
            observer: Box::new(|_, _| {}),
        }
    }

    /// Speaks through something else than the phone alone.
    #[must_use]
    pub fn with_output(self, output: Output) -> Self {
        let (avatar, is_shared) = match output {
            Output::Avatar(avatar) => (avatar, false),
            Output::Both(avatar) => (avatar, true),
            Output::Phone => return self,
        };
        let mouth = AvatarVoice::new(self.config.speech, avatar.rate(), avatar.last());
        Self { voice: self.voice.with_avatar(mouth, is_shared), avatar: Some(avatar), ..self }
    }

    /// Reads the network's share of the latency from `round_trip`: what the phone's link measures, and after a redial
    /// the link that took its place.
    #[must_use]
    pub fn with_round_trip(self, round_trip: watch::Receiver<RoundTrip>) -> Self {
        Self { round_trip: Some(round_trip), ..self }
    }

    /// Follows the provider's callbacks about a slow link: `level` is the last one told, which shortens how far
    /// ahead of the caller's ear audio is sent.
    #[must_use]
    pub fn with_degradation(self, level: watch::Receiver<Option<DegradedLevel>>) -> Self {
        Self { degraded: Some(level), ..self }
    }

    /// Asks `spare` for another synthesis session when the one there is loses its link: one that is ready takes its place
    /// and makes what was being made again, without a wait for a redial. While there is none, the lost link is redialled.
    #[must_use]
    pub fn with_spare_speech(
        self,
        spare: impl FnMut() -> Option<Session<TtsClient>> + Send + 'static,
    ) -> Self {
        Self { spare: Box::new(spare), ..self }
    }

    /// Calls `observer` with everything that happens, on the agent's own task: it must not block.
    #[must_use]
    pub fn with_observer(self, observer: impl FnMut(Instant, &AgentEvent) + Send + 'static) -> Self {
        Self { observer: Box::new(observer), ..self }
    }

    /// A hand on the call, for whoever has something to say in it.
    #[must_use]
    pub fn handle(&self) -> AgentHandle {
        self.handle.clone()
    }
}

impl<R: Responder> Agent<R> {
    /// Holds the call to its end, which is the caller's or [`AgentHandle::end`].
    ///
    /// An avatar that is lost ends nothing: the call goes on by phone. Dropping the future cancels all sessions, and an
    /// avatar's is ended behind.
    ///
    /// # Errors
    /// A session ended badly. The others are closed all the same.
    pub async fn run(mut self) -> Result<(), AgentError> {
        let outcome = self.hold_call().await;
        self.asks.refuse();
        self.hang_up();
        self.carry_out();
        self.end_record();
        let Self { phone, tts, stt, avatar, config, .. } = self;
        let limit = config.teardown;
        tokio::join!(phone.close(limit), tts.close(limit), stt.close(limit), part(avatar, limit));
        outcome
    }

    async fn hold_call(&mut self) -> Result<(), AgentError> {
        loop {
            // Before the events, so that no backlog of them holds a timer up.
            self.conversation.handle_timeout(now());
            self.carry_out();
            let wake =
                [self.conversation.poll_timeout(), self.voice.poll_timeout()].into_iter().flatten().min();
            let waits = self.voice.waits_for_phone();
            let waits_for_avatar = self.voice.waits_for_avatar();
            let takes_reply = self.conversation.takes_reply();
            let takes_words = self.voice.is_up() && !self.conversation.is_over();
            tokio::select! {
                biased;
                event = self.phone.receiver.next() => match event.transpose() {
                    Ok(Some(event)) => self.on_phone(event),
                    Ok(None) => return Ok(()),
                    Err(source) => return Err(AgentError { leg: Leg::Phone, source }),
                },
                speech = next_speech(&mut self.phone.sender, &mut self.tts.receiver, waits) => match speech {
                    Speech::Event(event) => self.on_tts(alive(Leg::Tts, event)?),
                    Speech::Room => {}
                },
                next = next_avatar(&mut self.avatar, waits_for_avatar) => match next {
                    AvatarNext::Notice(notice) => self.on_avatar(notice),
                    AvatarNext::Room => {}
                },
                event = self.stt.receiver.next() => self.on_stt(alive(Leg::Stt, event)?),
                (turn, piece) = next_piece(&mut self.reply), if takes_reply => self.on_reply(turn, piece),
                () = self.handle.ended(), if self.voice.is_up() => return Ok(()),
                Some(say) = self.asks.next(), if takes_words => self.input(ConversationInput::Say(say)),
                level = next_level(&mut self.degraded) => self.on_degraded(level),
                () = sleep_to(wake) => {}
            }
            self.carry_out();
        }
    }

    /// Nobody is on the phone any more: what was heard is known, and every turn ends.
    fn hang_up(&mut self) {
        self.flush_voice();
        self.input(ConversationInput::HungUp);
    }

    fn input(&mut self, input: ConversationInput) {
        self.conversation.handle_input(now(), input);
    }

    fn tell(&mut self, event: &AgentEvent) {
        (self.observer)(now(), event);
    }

    fn warn(&mut self, leg: Leg, what: &dyn fmt::Display) {
        self.tell(&AgentEvent::Leg { leg, event: LegEvent::Warning(what.to_string()) });
    }

    /// A queue that is full belongs to a driver that has not run for seconds: what does not fit is dropped, and told.
    fn check_sent<C>(&mut self, leg: Leg, sent: &Result<(), TrySendError<C>>) {
        match sent {
            // A session that ended tells so on its own stream.
            Ok(()) | Err(TrySendError::Ended(_)) => {}
            Err(TrySendError::Full(_)) => self.tell(&AgentEvent::Leg { leg, event: LegEvent::Overrun }),
        }
    }
}

impl<R: fmt::Debug> fmt::Debug for Agent<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("conversation", &self.conversation)
            .field("responder", &self.responder)
            .finish_non_exhaustive()
    }
}

//! One phone call held by a voice agent: the conversation's asynchronous face.

mod account;
mod config;
mod ear;
mod mouth;
mod record;

use std::collections::VecDeque;
use std::fmt;
use std::future::{pending, poll_fn};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{SinkExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use voxline_audio::AudioFormat;
use voxline_protocol::plivo::{
    CheckpointName, ClearedBy, DegradedLevel, PlivoCommand, PlivoEvent, PlivoStream, StreamInfo, Track,
};
use voxline_protocol::slng::{SttClient, SttCommand, SttEvent, TtsClient, TtsCommand, TtsEvent};
use voxline_protocol::{Machine, UtteranceId};
use voxline_transport::RoundTrip;

use crate::{
    BargeInPattern, Conversation, ConversationAction, ConversationEvent, ConversationInput, Receiver,
    Responder, ResponderError, Sender, Session, SessionError, SessionEvent, TrySendError, TurnId,
};
use account::Account;
pub use config::{AgentConfig, AgentError, AgentEvent, Leg, LegEvent};
use ear::Ear;
use mouth::Mouth;
pub use record::{StreamEnd, StreamRecord};

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
    voice: Option<(Ear, Mouth)>,
    /// What was sent since the last barge-in.
    account: Account,
    interrupted: VecDeque<Interrupted>,
    record: Option<StreamRecord>,
    degraded: Option<Degradation>,
    round_trip: RoundTrip,
    observer: Observer,
}

type Reply = BoxStream<'static, Result<String, ResponderError>>;
type Degradation = watch::Receiver<Option<DegradedLevel>>;
type Observer = Box<dyn FnMut(Instant, &AgentEvent) + Send>;

impl<R: Responder> Agent<R> {
    /// An agent over three sessions: the call, and speech both ways. They need not be connected yet.
    ///
    /// Give the phone's machine room for all that may be made ahead of the ear, `speech_ahead` and one long sentence:
    /// a [`max_queued`](voxline_protocol::plivo::PlivoConfig::max_queued) of a minute does for the defaults.
    pub fn new(
        phone: Session<PlivoStream>,
        tts: Session<TtsClient>,
        stt: Session<SttClient>,
        responder: R,
        config: AgentConfig,
    ) -> Self {
        Self {
            conversation: Conversation::new(config.conversation.clone()),
            config,
            phone: Handles::new(phone),
            tts: Handles::new(tts),
            stt: Handles::new(stt),
            responder,
            reply: None,
            voice: None,
            account: Account::new(),
            interrupted: VecDeque::new(),
            record: None,
            degraded: None,
            round_trip: RoundTrip::default(),
            observer: Box::new(|_, _| {}),
        }
    }

    /// Reads the network's share of the latency from `round_trip`, as the phone's link measures it.
    #[must_use]
    pub fn with_round_trip(self, round_trip: RoundTrip) -> Self {
        Self { round_trip, ..self }
    }

    /// Follows the provider's callbacks about a slow link: `level` is the last one told, which shortens how far
    /// ahead of the caller's ear audio is sent.
    #[must_use]
    pub fn with_degradation(self, level: watch::Receiver<Option<DegradedLevel>>) -> Self {
        Self { degraded: Some(level), ..self }
    }

    /// Calls `observer` with everything that happens, on the agent's own task: it must not block.
    #[must_use]
    pub fn with_observer(self, observer: impl FnMut(Instant, &AgentEvent) + Send + 'static) -> Self {
        Self { observer: Box::new(observer), ..self }
    }
}

impl<R: Responder> Agent<R> {
    /// Holds the call to its end.
    ///
    /// Dropping the future cancels all three sessions.
    ///
    /// # Errors
    /// A session ended badly. The others are closed all the same.
    pub async fn run(mut self) -> Result<(), AgentError> {
        let outcome = self.hold_call().await;
        self.end_record();
        let Self { phone, tts, stt, config, .. } = self;
        let limit = config.teardown;
        tokio::join!(phone.close(limit), tts.close(limit), stt.close(limit));
        outcome
    }

    async fn hold_call(&mut self) -> Result<(), AgentError> {
        loop {
            // Before the events, so that no backlog of them holds a timer up.
            self.conversation.handle_timeout(now());
            self.carry_out();
            let wake = self.conversation.poll_timeout();
            tokio::select! {
                biased;
                event = self.phone.receiver.next() => match event.transpose() {
                    Ok(Some(event)) => self.on_phone(event),
                    Ok(None) => return Ok(()),
                    Err(source) => return Err(AgentError { leg: Leg::Phone, source }),
                },
                event = next_speech(&mut self.phone.sender, &mut self.tts.receiver) => {
                    self.on_tts(alive(Leg::Tts, event)?);
                }
                event = self.stt.receiver.next() => self.on_stt(alive(Leg::Stt, event)?),
                (turn, piece) = next_piece(&mut self.reply) => self.on_reply(turn, piece),
                level = next_level(&mut self.degraded) => self.on_degraded(level),
                () = sleep_to(wake) => {}
            }
            self.carry_out();
        }
    }

    fn on_phone(&mut self, event: SessionEvent<PlivoEvent>) {
        let Some(event) = self.on_session(Leg::Phone, event) else { return };
        if let Some(record) = StreamRecord::begun_by(now(), &event, self.record.as_ref()) {
            self.end_record();
            self.record = Some(record);
        }
        if let Some(record) = &mut self.record {
            record.handle(&event);
        }
        match event {
            PlivoEvent::Started(info) => self.on_started(info),
            PlivoEvent::Media(media) if media.track == Track::Inbound => self.on_caller_audio(&media.payload),
            PlivoEvent::Dtmf(digit) => self.tell(&AgentEvent::Dtmf(digit)),
            PlivoEvent::Played(name) => {
                if let Some(utterance) = utterance_of(&name) {
                    self.input(ConversationInput::Played { utterance });
                }
            }
            PlivoEvent::Skipped { name, .. } => {
                // No acknowledgement will come: Plivo loses some, others are lost with their link, and the audio
                // before the mark is over. After a barge-in of ours, nobody waits for it.
                if let Some(utterance) = utterance_of(&name) {
                    self.input(ConversationInput::Played { utterance });
                }
            }
            PlivoEvent::Cleared { by: ClearedBy::Us, unheard, .. } => self.on_cleared(&unheard),
            PlivoEvent::ClearSettled { heard, .. } => self.on_clear_settled(heard.played),
            PlivoEvent::LinkLost { .. } => {
                self.tell(&AgentEvent::Leg { leg: Leg::Phone, event: LegEvent::Lost });
            }
            PlivoEvent::Garbled { error } => self.warn(Leg::Phone, &error),
            PlivoEvent::Unexpected { error } => self.warn(Leg::Phone, &error),
            PlivoEvent::PlayFailed { reason, .. } => self.warn(Leg::Phone, &reason),
            PlivoEvent::Unhandled { kind } => {
                self.warn(Leg::Phone, &format_args!("unknown message `{kind}`"));
            }
            PlivoEvent::Media(_)
            | PlivoEvent::Cleared { .. }
            | PlivoEvent::Closed
            | PlivoEvent::Gap { .. }
            | _ => {}
        }
    }

    fn end_record(&mut self) {
        if let Some(record) = self.record.take() {
            self.tell(&AgentEvent::StreamEnded(record.finished(now())));
        }
    }

    fn on_degraded(&mut self, level: Option<DegradedLevel>) {
        if let Some(record) = &mut self.record {
            record.degraded.extend(level);
        }
        let sent = self.phone.sender.try_send(PlivoCommand::Degraded(level));
        self.check_sent(Leg::Phone, &sent);
    }

    fn on_started(&mut self, info: StreamInfo) {
        if self.voice.is_none() {
            let phone = info.format;
            let ear = Ear::new(phone, AudioFormat::linear16(self.config.hearing), self.config.detector);
            self.voice = ear.map(|ear| (ear, Mouth::new(self.config.speech, phone)));
        }
        self.tell(&AgentEvent::Started(info));
    }

    fn on_caller_audio(&mut self, audio: &[u8]) {
        let Some((ear, _)) = &mut self.voice else { return };
        let (conversation, now) = (&mut self.conversation, now());
        let heard = ear.hear(audio, |input| conversation.handle_input(now, input));
        let sent = self.stt.sender.try_send(SttCommand::Audio(heard));
        self.check_sent(Leg::Stt, &sent);
    }

    fn on_tts(&mut self, event: SessionEvent<TtsEvent>) {
        let Some(event) = self.on_session(Leg::Tts, event) else { return };
        match event {
            // What belongs to a sentence that was given up has no effect.
            TtsEvent::Audio { utterance, .. } | TtsEvent::UtteranceEnd { utterance, .. }
                if !self.conversation.is_making(utterance) => {}
            TtsEvent::Audio { utterance, audio } => self.on_speech(utterance, &audio),
            TtsEvent::UtteranceEnd { utterance, .. } => {
                if let Some((_, mouth)) = &mut self.voice {
                    let rest = mouth.end();
                    self.play(utterance, rest);
                }
                self.account.ended(utterance);
                self.input(ConversationInput::SpeechEnded { utterance });
            }
            TtsEvent::Truncated { utterance, .. } => {
                self.input(ConversationInput::SpeechTruncated { utterance });
            }
            TtsEvent::LinkLost(_) => self.tell(&AgentEvent::Leg { leg: Leg::Tts, event: LegEvent::Lost }),
            TtsEvent::Warning { message, .. } => self.warn(Leg::Tts, &message),
            TtsEvent::Garbled { error } => self.warn(Leg::Tts, &error),
            TtsEvent::Unhandled { kind } => self.warn(Leg::Tts, &format_args!("unknown message `{kind}`")),
            TtsEvent::Cleared { .. }
            | TtsEvent::Closed
            | TtsEvent::Ready { .. }
            | TtsEvent::Words { .. }
            | _ => {}
        }
    }

    fn on_speech(&mut self, utterance: UtteranceId, audio: &[u8]) {
        let duration = self.config.speech.duration_of(audio.len());
        self.input(ConversationInput::SpeechMade { utterance, duration });
        let Some((_, mouth)) = &mut self.voice else { return };
        let (sound, first) = mouth.speak(utterance, audio);
        self.play(utterance, sound);
        if first {
            self.input(ConversationInput::SpeechSent { utterance });
        }
    }

    fn on_stt(&mut self, event: SessionEvent<SttEvent>) {
        let Some(event) = self.on_session(Leg::Stt, event) else { return };
        match event {
            SttEvent::Partial(transcript) => {
                self.tell(&AgentEvent::Partial(transcript.text.clone()));
                self.input(ConversationInput::Partial(transcript.text));
            }
            SttEvent::Final(transcript) => self.input(ConversationInput::Final(transcript.text)),
            SttEvent::Finalized { .. } => self.input(ConversationInput::Finalized),
            SttEvent::FinalizeTimedOut { .. } => {
                self.warn(Leg::Stt, &"no final transcript in time");
                self.input(ConversationInput::Finalized);
            }
            SttEvent::Dropped { from, to } => {
                self.warn(Leg::Stt, &format_args!("samples {from} to {to} were given up unheard"));
            }
            SttEvent::LinkLost(_) => self.tell(&AgentEvent::Leg { leg: Leg::Stt, event: LegEvent::Lost }),
            SttEvent::Warning { message, .. } => self.warn(Leg::Stt, &message),
            SttEvent::Garbled { error } => self.warn(Leg::Stt, &error),
            SttEvent::Unhandled { kind } => self.warn(Leg::Stt, &format_args!("unknown message `{kind}`")),
            SttEvent::CaughtUp | SttEvent::Closed | SttEvent::Ready { .. } | _ => {}
        }
    }

    fn on_reply(&mut self, turn: TurnId, piece: Option<Result<String, ResponderError>>) {
        match piece {
            Some(Ok(text)) => self.input(ConversationInput::ReplyText { turn, text }),
            Some(Err(error)) => {
                self.reply = None;
                self.tell(&AgentEvent::ResponderFailed { turn, message: error.message });
                self.input(ConversationInput::ReplyEnded { turn });
            }
            None => {
                self.reply = None;
                self.input(ConversationInput::ReplyEnded { turn });
            }
        }
    }

    /// What every session tells of its links; gives the machine's own event back.
    fn on_session<E>(&mut self, leg: Leg, event: SessionEvent<E>) -> Option<E> {
        let event = match event {
            SessionEvent::Protocol(event) => return Some(event),
            SessionEvent::Connected { after } | SessionEvent::Reconnected { after } => LegEvent::Up { after },
            SessionEvent::Reconnecting { attempt, delay } => LegEvent::Redialling { attempt, delay },
            SessionEvent::Refused(error) => LegEvent::Refused(error),
            SessionEvent::Unlinked { .. } => LegEvent::Lost,
        };
        self.tell(&AgentEvent::Leg { leg, event });
        None
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.conversation.poll_action() {
            match action {
                ConversationAction::Finalize => {
                    let sent = self.stt.sender.try_send(SttCommand::Finalize);
                    self.check_sent(Leg::Stt, &sent);
                }
                ConversationAction::Respond { turn } => {
                    self.reply = Some((turn, self.responder.respond(self.conversation.history())));
                }
                ConversationAction::CancelResponse { .. } => self.reply = None,
                ConversationAction::Speak { utterance, text, skip } => self.speak(utterance, text, skip),
                ConversationAction::Abandon { .. } => {
                    if let Some((_, mouth)) = &mut self.voice {
                        mouth.stop();
                    }
                    // A session that has ended holds nothing.
                    let _ = self.tts.sender.interrupt(TtsCommand::Clear);
                }
                ConversationAction::Mark { utterance } => {
                    let sent = self.phone.sender.try_send(PlivoCommand::Checkpoint(mark_of(utterance)));
                    self.check_sent(Leg::Phone, &sent);
                }
                ConversationAction::Interrupt { turn, pattern } => self.interrupt(turn, pattern),
                ConversationAction::Tell(ConversationEvent::Answering { turn, mut shares }) => {
                    shares.network = self.round_trip.get().unwrap_or_default();
                    self.tell(&AgentEvent::Conversation(ConversationEvent::Answering { turn, shares }));
                }
                ConversationAction::Tell(event) => self.tell(&AgentEvent::Conversation(event)),
            }
        }
    }

    fn speak(&mut self, utterance: UtteranceId, text: String, skip: Duration) {
        if let Some((_, mouth)) = &mut self.voice {
            mouth.expect(skip);
        }
        self.account.begin(self.conversation.turn(), utterance, &text);
        let sent = self.tts.sender.try_send(TtsCommand::Speak { utterance, text });
        self.check_sent(Leg::Tts, &sent);
        let sent = self.tts.sender.try_send(TtsCommand::Flush);
        self.check_sent(Leg::Tts, &sent);
    }

    fn play(&mut self, utterance: UtteranceId, sound: Bytes) {
        let Some((_, mouth)) = &self.voice else { return };
        if sound.is_empty() {
            return;
        }
        self.account.sent(utterance, mouth.phone().duration_of(sound.len()));
        self.send(sound);
    }

    fn interrupt(&mut self, turn: TurnId, pattern: BargeInPattern) {
        if let Some((_, mouth)) = &mut self.voice {
            mouth.stop();
        }
        self.interrupted.push_back(Interrupted { turn, pattern, account: self.account.restart() });
        // A session that has ended has nothing left to clear, and tells of its end on its own stream.
        let _ = self.phone.sender.interrupt(PlivoCommand::Clear);
        let _ = self.tts.sender.interrupt(TtsCommand::Clear);
    }

    fn on_cleared(&mut self, unheard: &[u8]) {
        let fades = self.interrupted.back().is_some_and(|last| last.pattern == BargeInPattern::FadeOut);
        let Some((_, mouth)) = self.voice.as_ref().filter(|_| fades) else { return };
        let tail = mouth.fade(unheard);
        if !tail.is_empty() {
            self.account.sent_wordless(mouth.phone().duration_of(tail.len()));
            self.send(tail);
        }
    }

    fn send(&mut self, sound: Bytes) {
        if let Some(record) = &mut self.record {
            record.bytes_out += sound.len() as u64;
        }
        let sent = self.phone.sender.try_send(PlivoCommand::Play(sound));
        self.check_sent(Leg::Phone, &sent);
    }

    fn on_clear_settled(&mut self, heard: Duration) {
        let Some(Interrupted { turn, account, .. }) = self.interrupted.pop_front() else { return };
        self.input(ConversationInput::Heard { turn, text: account.text_until(heard) });
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

/// Both ends of one session.
struct Handles<M: Machine> {
    sender: Sender<M>,
    receiver: Receiver<M>,
}

impl<M: Machine> Handles<M> {
    fn new(session: Session<M>) -> Self {
        let (sender, receiver) = session.split();
        Self { sender, receiver }
    }

    /// Asks for an orderly end and reads to it, so that the driver is not held up by unread events. What is not over
    /// within `limit` is cut; either way the driver is gone afterwards.
    async fn close(self, limit: Duration) {
        let Self { sender, mut receiver } = self;
        drop(sender);
        // How it ends no longer matters to the call.
        let _ = timeout(limit, async { while receiver.next().await.is_some() {} }).await;
        receiver.cancel().await;
    }
}

/// A barge-in whose extent is not settled yet.
struct Interrupted {
    turn: TurnId,
    pattern: BargeInPattern,
    account: Account,
}

/// The next event of a session that must live as long as the call.
fn alive<E>(
    leg: Leg,
    event: Option<Result<SessionEvent<E>, SessionError>>,
) -> Result<SessionEvent<E>, AgentError> {
    event.unwrap_or(Err(SessionError::Ended)).map_err(|source| AgentError { leg, source })
}

/// What the speech service tells next, once the phone has room for what it may bring.
async fn next_speech(
    phone: &mut Sender<PlivoStream>,
    speech: &mut Receiver<TtsClient>,
) -> Option<Result<SessionEvent<TtsEvent>, SessionError>> {
    // A phone that has ended says so itself; its readiness is only looked at, nothing is reserved.
    let _ = poll_fn(|cx| phone.poll_ready_unpin(cx)).await;
    speech.next().await
}

/// The responder's next words; never, while none is at work.
async fn next_piece(reply: &mut Option<(TurnId, Reply)>) -> (TurnId, Option<Result<String, ResponderError>>) {
    match reply {
        Some((turn, pieces)) => (*turn, pieces.next().await),
        None => pending().await,
    }
}

/// The level that was told since the last look; never, when nobody tells any.
async fn next_level(level: &mut Option<Degradation>) -> Option<DegradedLevel> {
    if let Some(told) = level
        && told.changed().await.is_ok()
    {
        return *told.borrow_and_update();
    }
    *level = None;
    pending().await
}

async fn sleep_to(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// Tokio's clock, so that a paused one stops the agent too.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn mark_of(utterance: UtteranceId) -> CheckpointName {
    CheckpointName::from(utterance.get().to_string())
}

fn utterance_of(name: &CheckpointName) -> Option<UtteranceId> {
    name.as_str().parse().ok().map(UtteranceId::new)
}

//! Carries out what the conversation asks for.

use std::time::Duration;

use voxline_protocol::UtteranceId;
use voxline_protocol::plivo::{HeardUtterance, PlivoCommand};
use voxline_protocol::slng::{SttCommand, TtsCommand};

use super::Agent;
use super::config::{AgentEvent, Leg};
use super::legs::now;
use super::voice::Silence;
use crate::{
    BargeInPattern, ConversationAction, ConversationEvent, ConversationInput, Responder, TrySendError, TurnId,
};

impl<R: Responder> Agent<R> {
    /// Until nothing follows from anything any more.
    pub(super) fn carry_out(&mut self) {
        self.flush_voice();
        while let Some(action) = self.conversation.poll_action() {
            self.act(action);
            self.flush_voice();
        }
    }

    fn act(&mut self, action: ConversationAction) {
        match action {
            ConversationAction::Finalize => {
                let sent = self.stt.sender.try_send(SttCommand::Finalize);
                self.check_sent(Leg::Stt, &sent);
            }
            ConversationAction::Respond { turn } => {
                self.reply = Some((turn, self.responder.respond(self.conversation.history())));
            }
            ConversationAction::CancelResponse { .. } => self.reply = None,
            ConversationAction::Speak { utterance, text, skip, again } => {
                self.speak(utterance, text, skip, again);
            }
            ConversationAction::Abandon { utterance } => {
                self.voice.give_up(now(), utterance);
                // A session that has ended holds nothing.
                let _ = self.tts.sender.interrupt(TtsCommand::Clear);
            }
            ConversationAction::Mark { utterance } => {
                self.voice.finish(now(), utterance);
            }
            ConversationAction::Interrupt { turn, pattern } => self.interrupt(turn, pattern),
            ConversationAction::Pause { turn } => self.voice.pause(turn),
            ConversationAction::Resume { .. } => self.voice.resume(now()),
            ConversationAction::Tell(ConversationEvent::Answering { turn, mut shares }) => {
                let round_trip = self.round_trip.as_ref().and_then(|link| link.borrow().get());
                shares.network = round_trip.unwrap_or_default();
                self.tell(&AgentEvent::Conversation(ConversationEvent::Answering { turn, shares }));
            }
            ConversationAction::Tell(event) => self.tell(&AgentEvent::Conversation(event)),
        }
    }

    fn speak(&mut self, utterance: UtteranceId, text: String, skip: Duration, again: bool) {
        if !self.voice.is_up() {
            // Nobody is on the phone yet.
            let unheard = ConversationInput::Heard { utterance, text: String::new(), complete: false };
            return self.conversation.handle_input(now(), unheard);
        }
        self.voice.begin(utterance, &text, again, skip);
        let sent = self.tts.sender.try_send(TtsCommand::Speak { utterance, text });
        self.check_sent(Leg::Tts, &sent);
        let sent = self.tts.sender.try_send(TtsCommand::Flush);
        self.check_sent(Leg::Tts, &sent);
    }

    fn interrupt(&mut self, turn: TurnId, pattern: BargeInPattern) {
        self.voice.interrupt(turn, pattern);
        // A session that has ended has nothing left to clear, and tells of its end on its own stream.
        let _ = self.tts.sender.interrupt(TtsCommand::Clear);
    }

    /// Gives phone and avatar what the voice has for them, as far as there is room, and the conversation what was
    /// heard.
    pub(super) fn flush_voice(&mut self) {
        self.voice.handle_timeout(now());
        while let Some(heard) = self.voice.poll_heard() {
            self.on_heard(heard);
        }
        while let Some(Silence { turn, tail }) = self.voice.poll_silence() {
            self.conversation.handle_input(now(), ConversationInput::Silent { turn, tail });
        }
        while let Some(command) = self.voice.poll_avatar() {
            let Some(avatar) = &self.avatar else { break };
            if let Err(command) = avatar.try_command(command) {
                self.voice.put_back_avatar(command);
                break;
            }
        }
        while let Some((command, overtakes)) = self.voice.poll_phone() {
            let bytes = if let PlivoCommand::Play(sound) = &command { sound.len() as u64 } else { 0 };
            if overtakes {
                // A session that has ended has nothing left to clear, and tells of its end on its own stream.
                let _ = self.phone.sender.interrupt(command);
            } else if let Err(TrySendError::Full(command)) = self.phone.sender.try_send(command) {
                self.voice.put_back_phone(command);
                return;
            }
            if let Some(record) = &mut self.record {
                record.bytes_out += bytes;
            }
        }
    }

    pub(super) fn on_heard(&mut self, heard: HeardUtterance) {
        let HeardUtterance { utterance, text, complete, .. } = heard;
        self.conversation.handle_input(now(), ConversationInput::Heard { utterance, text, complete });
    }
}

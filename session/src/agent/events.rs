//! What each session of an agent tells, and what follows from it.

use voxline_audio::AudioFormat;
use voxline_protocol::plivo::{DegradedLevel, PlivoCommand, PlivoEvent, StreamInfo, Track};
use voxline_protocol::slng::{SttCommand, SttEvent, TtsEvent};
use voxline_protocol::{CloseFrame, UtteranceId};

use super::Agent;
use super::config::{AgentEvent, Leg, LegEvent};
use super::ear::Ear;
use super::legs::{Handles, now};
use super::record::StreamRecord;
use crate::{AvatarNotice, ConversationInput, Responder, ResponderError, SessionEvent, TurnId};

impl<R: Responder> Agent<R> {
    pub(super) fn on_phone(&mut self, event: SessionEvent<PlivoEvent>) {
        let Some(event) = self.on_session(Leg::Phone, event) else { return };
        if let Some(record) = StreamRecord::begun_by(now(), &event, self.record.as_ref()) {
            self.end_record();
            self.record = Some(record);
        }
        if let Some(record) = &mut self.record {
            record.handle(&event);
        }
        self.voice.on_phone(now(), &event);
        match event {
            PlivoEvent::Started(info) => self.on_started(info),
            PlivoEvent::Media(media) if media.track == Track::Inbound => self.on_caller_audio(&media.payload),
            PlivoEvent::Dtmf(digit) => self.tell(&AgentEvent::Dtmf(digit)),
            // A link that Plivo closes in order is the end of the call, and no loss.
            PlivoEvent::LinkLost { close, .. }
                if close.as_ref().is_none_or(|frame| frame.code != CloseFrame::NORMAL) =>
            {
                self.tell(&AgentEvent::Leg { leg: Leg::Phone, event: LegEvent::Lost });
            }
            PlivoEvent::Closed => self.hang_up(),
            PlivoEvent::Garbled { error } => self.warn(Leg::Phone, &error),
            PlivoEvent::Unexpected { error } => self.warn(Leg::Phone, &error),
            PlivoEvent::PlayFailed { reason, .. } => self.warn(Leg::Phone, &reason),
            PlivoEvent::Unhandled { kind } => {
                self.warn(Leg::Phone, &format_args!("unknown message `{kind}`"));
            }
            PlivoEvent::Media(_)
            | PlivoEvent::Cleared { .. }
            | PlivoEvent::ClearSettled { .. }
            | PlivoEvent::Gap { .. }
            | PlivoEvent::LinkLost { .. }
            | PlivoEvent::Played(_)
            | PlivoEvent::Skipped { .. }
            | _ => {}
        }
    }

    /// What the avatar tells; nothing any more, once it is over. Then the call goes on by phone alone.
    pub(super) fn on_avatar(&mut self, notice: Option<Box<AvatarNotice>>) {
        if let Some(notice) = notice {
            self.voice.on_avatar(now(), &notice);
            return self.tell(&AgentEvent::Avatar(notice));
        }
        self.avatar = None;
        self.warn(Leg::Avatar, &"over; the phone speaks from here on");
        for heard in self.voice.lose_avatar(now()) {
            self.on_heard(heard);
        }
    }

    pub(super) fn end_record(&mut self) {
        if let Some(record) = self.record.take() {
            self.tell(&AgentEvent::StreamEnded(record.finished(now())));
        }
    }

    pub(super) fn on_degraded(&mut self, level: Option<DegradedLevel>) {
        if let Some(record) = &mut self.record {
            record.degraded.extend(level);
        }
        let sent = self.phone.sender.try_send(PlivoCommand::Degraded(level));
        self.check_sent(Leg::Phone, &sent);
    }

    /// A first link, another one, or the same call in another format: then all that was played is over.
    fn on_started(&mut self, info: StreamInfo) {
        if self.phone_format.is_none() {
            self.input(ConversationInput::PickedUp);
        }
        if self.phone_format != Some(info.format) {
            self.flush_voice();
            let recogniser = AudioFormat::linear16(self.config.hearing);
            self.ear = Ear::new(info.format, recogniser, self.config.detector);
            self.voice.start(info.format);
            self.phone_format = Some(info.format);
        }
        self.tell(&AgentEvent::Started(info));
    }

    fn on_caller_audio(&mut self, audio: &[u8]) {
        let Some(ear) = &mut self.ear else { return };
        let (conversation, now) = (&mut self.conversation, now());
        let heard = ear.hear(audio, |input| conversation.handle_input(now, input));
        let sent = self.stt.sender.try_send(SttCommand::Audio(heard));
        self.check_sent(Leg::Stt, &sent);
    }

    pub(super) fn on_tts(&mut self, event: SessionEvent<TtsEvent>) {
        let Some(event) = self.on_session(Leg::Tts, event) else { return };
        match event {
            // What belongs to a sentence that was given up has no effect.
            TtsEvent::Audio { utterance, .. }
            | TtsEvent::UtteranceEnd { utterance, .. }
            | TtsEvent::Words { utterance, .. }
                if !self.conversation.is_making(utterance) => {}
            TtsEvent::Audio { utterance, audio } => self.on_speech(utterance, &audio),
            TtsEvent::Words { utterance, words } => {
                self.voice.words(utterance, &words);
            }
            TtsEvent::UtteranceEnd { utterance, .. } => {
                self.input(ConversationInput::SpeechEnded { utterance });
            }
            TtsEvent::Truncated { utterance, .. } => {
                self.replace_speech();
                self.input(ConversationInput::SpeechTruncated { utterance });
            }
            TtsEvent::LinkLost(_) => self.on_speech_lost(),
            TtsEvent::Warning { message, .. } => self.warn(Leg::Tts, &message),
            TtsEvent::Garbled { error } => self.warn(Leg::Tts, &error),
            TtsEvent::Unhandled { kind } => self.warn(Leg::Tts, &format_args!("unknown message `{kind}`")),
            TtsEvent::Cleared { .. } | TtsEvent::Closed | TtsEvent::Ready { .. } | _ => {}
        }
    }

    /// A link of synthesis ended with nothing half voiced on it.
    fn on_speech_lost(&mut self) {
        if !self.replace_speech() {
            return self.tell(&AgentEvent::Leg { leg: Leg::Tts, event: LegEvent::Lost });
        }
        if let Some(utterance) = self.conversation.making() {
            self.input(ConversationInput::SpeechTruncated { utterance });
        }
    }

    /// Goes on with a session that stands by, if there is one: what the other was given is asked of this one again.
    fn replace_speech(&mut self) -> bool {
        let Some(spare) = (self.spare)() else { return false };
        // It has nothing more to say; dropped, it stops dialling.
        self.tts = Handles::new(spare);
        self.tell(&AgentEvent::Leg { leg: Leg::Tts, event: LegEvent::Lost });
        self.tell(&AgentEvent::Leg { leg: Leg::Tts, event: LegEvent::Replaced });
        true
    }

    fn on_speech(&mut self, utterance: UtteranceId, audio: &[u8]) {
        let duration = self.config.speech.duration_of(audio.len());
        self.input(ConversationInput::SpeechMade { utterance, duration });
        // More of it than a sentence may have is not played.
        if self.conversation.is_making(utterance) && self.voice.speak(now(), utterance, audio) {
            self.input(ConversationInput::SpeechSent { utterance });
        }
    }

    pub(super) fn on_stt(&mut self, event: SessionEvent<SttEvent>) {
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

    pub(super) fn on_reply(&mut self, turn: TurnId, piece: Option<Result<String, ResponderError>>) {
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
            // The stream says itself that its link is lost.
            SessionEvent::Unlinked { .. } => return None,
        };
        self.tell(&AgentEvent::Leg { leg, event });
        None
    }
}

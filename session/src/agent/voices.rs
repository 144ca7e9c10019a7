//! The agent's voice, through the phone, an avatar, or both.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use voxline_audio::AudioFormat;
use voxline_protocol::UtteranceId;
use voxline_protocol::agenthuman::AvatarCommand;
use voxline_protocol::plivo::{HeardUtterance, PlivoCommand, PlivoEvent};
use voxline_protocol::slng::SpokenWord;

use super::avatar::AvatarVoice;
use super::voice::{PhoneVoice, Silence};
use crate::{AvatarNotice, BargeInPattern, TurnId};

/// What is said goes to each mouth there is, and counts as heard as far as both say.
#[derive(Debug)]
pub(super) struct Voices {
    speech: AudioFormat,
    /// Whether the phone speaks too while there is an avatar.
    is_shared: bool,
    phone: Option<PhoneVoice>,
    avatar: Option<AvatarVoice>,
    /// Heard through one mouth; the other has not said yet.
    waiting: BTreeMap<UtteranceId, HeardUtterance>,
    /// The phone's format, once there is one.
    format: Option<AudioFormat>,
}

impl Voices {
    /// Speech is made as `speech`.
    pub(super) const fn new(speech: AudioFormat) -> Self {
        Self { speech, is_shared: false, phone: None, avatar: None, waiting: BTreeMap::new(), format: None }
    }

    /// An avatar speaks; the phone does too if `is_shared`.
    pub(super) fn with_avatar(self, avatar: AvatarVoice, is_shared: bool) -> Self {
        Self { avatar: Some(avatar), is_shared, ..self }
    }

    /// The call is up, in this format. In another one than before, all that was played is over.
    pub(super) fn start(&mut self, format: AudioFormat) {
        self.format = Some(format);
        if self.avatar.is_none() || self.is_shared {
            self.phone = Some(PhoneVoice::new(self.speech, format));
        }
    }

    /// Whether anybody would hear.
    pub(super) const fn is_up(&self) -> bool {
        self.format.is_some()
    }

    /// A sentence is about to be made; again, if `skip` of its audio was already sent.
    pub(super) fn begin(&mut self, utterance: UtteranceId, text: &str, again: bool, skip: Duration) {
        if let Some(phone) = &mut self.phone {
            phone.begin(utterance, text, again, skip);
        }
        if let Some(avatar) = &mut self.avatar {
            avatar.begin(utterance, text, again, skip);
        }
    }

    /// When words of a sentence are spoken.
    pub(super) fn words(&mut self, utterance: UtteranceId, words: &[SpokenWord]) {
        if let Some(phone) = &mut self.phone {
            phone.words(utterance, words);
        }
        if let Some(avatar) = &mut self.avatar {
            avatar.words(utterance, words);
        }
    }

    /// Audio of a sentence was made. True if it is the first there is to say.
    pub(super) fn speak(&mut self, now: Instant, utterance: UtteranceId, audio: &[u8]) -> bool {
        let phone = self.phone.as_mut().is_some_and(|phone| phone.speak(now, utterance, audio));
        let avatar = self.avatar.as_mut().is_some_and(|avatar| avatar.speak(now, utterance, audio));
        phone || avatar
    }

    /// A sentence is made to its end.
    pub(super) fn finish(&mut self, now: Instant, utterance: UtteranceId) {
        if let Some(phone) = &mut self.phone {
            phone.finish(now, utterance);
        }
        if let Some(avatar) = &mut self.avatar {
            avatar.finish(now, utterance);
        }
    }

    /// A sentence will not be made to its end; what there is of it is said.
    pub(super) fn give_up(&mut self, now: Instant, utterance: UtteranceId) {
        if let Some(phone) = &mut self.phone {
            phone.give_up(now, utterance);
        }
        if let Some(avatar) = &mut self.avatar {
            avatar.give_up(utterance);
        }
    }

    /// Falls silent: all that was not heard is void.
    pub(super) fn interrupt(&mut self, turn: TurnId, pattern: BargeInPattern) {
        if let Some(phone) = &mut self.phone {
            phone.interrupt(turn, pattern);
        }
        if let Some(avatar) = &mut self.avatar {
            avatar.interrupt(turn);
        }
    }

    /// Falls silent on the phone, and keeps what was not heard. An avatar cannot be stopped and go on: it speaks until
    /// it is interrupted.
    pub(super) fn pause(&mut self, turn: TurnId) {
        if let Some(phone) = &mut self.phone {
            phone.pause(turn);
        }
    }

    /// Goes on where it paused.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(phone) = &mut self.phone {
            phone.resume(now);
        }
    }

    /// The next time every mouth has fallen silent, by the phone's word where it speaks.
    pub(super) fn poll_silence(&mut self) -> Option<Silence> {
        match &mut self.phone {
            Some(phone) => phone.poll_silence(),
            None => self.avatar.as_mut()?.poll_silence(),
        }
    }

    /// Takes what the phone's stream reports.
    pub(super) fn on_phone(&mut self, now: Instant, event: &PlivoEvent) {
        if let Some(phone) = &mut self.phone {
            phone.handle(now, event);
        }
    }

    /// Takes what the avatar tells.
    pub(super) fn on_avatar(&mut self, now: Instant, notice: &AvatarNotice) {
        if let Some(avatar) = &mut self.avatar {
            avatar.handle(now, notice);
        }
    }

    /// The avatar is over: what is said from here on, the phone says.
    pub(super) fn lose_avatar(&mut self, now: Instant) -> Vec<HeardUtterance> {
        let Some(mut avatar) = self.avatar.take() else { return Vec::new() };
        avatar.end(now);
        let mut over = Vec::new();
        while let Some(heard) = avatar.poll_heard() {
            if self.is_shared {
                over.extend(self.waiting.remove(&heard.utterance).map(|other| lesser(other, heard)));
            } else {
                over.push(heard);
            }
        }
        if let (None, Some(format)) = (&self.phone, self.format) {
            self.phone = Some(PhoneVoice::new(self.speech, format));
        }
        over
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(avatar) = &mut self.avatar {
            avatar.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.avatar.as_ref().and_then(AvatarVoice::poll_timeout)
    }

    /// The next command for the phone's stream, and whether it overtakes those before it.
    pub(super) fn poll_phone(&mut self) -> Option<(PlivoCommand, bool)> {
        self.phone.as_mut()?.poll_command()
    }

    /// The stream had no room for a command: it is the next one again.
    pub(super) fn put_back_phone(&mut self, command: PlivoCommand) {
        if let Some(phone) = &mut self.phone {
            phone.put_back(command);
        }
    }

    /// Whether there is something for the stream.
    pub(super) fn waits_for_phone(&self) -> bool {
        self.phone.as_ref().is_some_and(PhoneVoice::has_command)
    }

    /// The next command for the avatar.
    pub(super) fn poll_avatar(&mut self) -> Option<AvatarCommand> {
        self.avatar.as_mut()?.poll_command()
    }

    /// The avatar had no room for a command: it is the next one again.
    pub(super) fn put_back_avatar(&mut self, command: AvatarCommand) {
        if let Some(avatar) = &mut self.avatar {
            avatar.put_back(command);
        }
    }

    /// Whether there is something for the avatar.
    pub(super) fn waits_for_avatar(&self) -> bool {
        self.avatar.as_ref().is_some_and(AvatarVoice::has_command)
    }

    /// What was heard of the next utterance that is over, through every mouth it was said by.
    pub(super) fn poll_heard(&mut self) -> Option<HeardUtterance> {
        loop {
            let by_phone = self.phone.as_mut().and_then(PhoneVoice::poll_heard);
            let heard = match by_phone {
                Some(heard) => heard,
                None => self.avatar.as_mut()?.poll_heard()?,
            };
            if self.avatar.is_none() || !self.is_shared {
                return Some(heard);
            }
            match self.waiting.remove(&heard.utterance) {
                Some(other) => return Some(lesser(other, heard)),
                None => _ = self.waiting.insert(heard.utterance, heard),
            }
        }
    }
}

/// What both have heard.
fn lesser(one: HeardUtterance, other: HeardUtterance) -> HeardUtterance {
    let complete = one.complete && other.complete;
    let mut least = if one.text.len() <= other.text.len() { one } else { other };
    least.complete = complete;
    least
}

//! The agent's voice in an avatar's mouth: what it is given, and what was heard of it by its own estimate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::AudioFormat;
use voxline_protocol::UtteranceId;
use voxline_protocol::agenthuman::{AvatarCommand, AvatarEvent, Heard, InputRate, SpeechEnd, SpeechReport};
use voxline_protocol::plivo::{HeardLedger, HeardUtterance};
use voxline_protocol::slng::SpokenWord;

use super::mouth::Mouth;
use super::voice::Silence;
use crate::{AvatarNotice, TurnId};

/// Speech on its way to an avatar, as a value: told what to say and what the avatar reports, it says what the avatar is
/// to be asked, and once for each utterance what was heard of it.
///
/// The service confirms what it took, not what it played. So an utterance counts as heard once the avatar must have
/// said it, and an interrupted one up to where the avatar's two estimates meet.
#[derive(Debug)]
pub(super) struct AvatarVoice {
    mouth: Mouth,
    rate: InputRate,
    sentences: VecDeque<Sentence>,
    given: VecDeque<AvatarCommand>,
    heard: VecDeque<HeardUtterance>,
    /// The avatar's number of the last sentence.
    last: UtteranceId,
    /// Barge-ins the avatar has not acknowledged, and those it has.
    silencing: VecDeque<Silence>,
    silent: VecDeque<Silence>,
    /// Since when the link that carried what is being said is gone.
    silent_since: Option<Instant>,
}

/// One sentence about which something can still change.
#[derive(Debug)]
struct Sentence {
    utterance: UtteranceId,
    number: UtteranceId,
    /// Its words and the audio given, and nothing else.
    text: HeardLedger,
    given: Duration,
    /// Pieces that were asked for, and those that were refused.
    asked: u32,
    refused: u32,
    is_finished: bool,
    is_cut: bool,
    /// The avatar has so much of it, and has said it by then.
    plays: Option<(Duration, Instant)>,
}

impl AvatarVoice {
    /// Speech is made as `speech`, for an avatar that takes `rate` and has used the numbers up to `last`.
    pub(super) fn new(speech: AudioFormat, rate: InputRate, last: UtteranceId) -> Self {
        Self {
            mouth: Mouth::new(speech, AudioFormat::linear16(rate.sample_rate())),
            rate,
            sentences: VecDeque::new(),
            given: VecDeque::new(),
            heard: VecDeque::new(),
            last,
            silencing: VecDeque::new(),
            silent: VecDeque::new(),
            silent_since: None,
        }
    }

    pub(super) fn begin(&mut self, utterance: UtteranceId, text: &str, again: bool, skip: Duration) {
        self.mouth.expect(skip);
        if again {
            return;
        }
        self.last = self.last.next();
        let mut ledger = HeardLedger::new(AudioFormat::linear16(self.rate.sample_rate()));
        ledger.text(utterance, text);
        self.sentences.push_back(Sentence {
            utterance,
            number: self.last,
            text: ledger,
            given: Duration::ZERO,
            asked: 0,
            refused: 0,
            is_finished: false,
            is_cut: false,
            plays: None,
        });
    }

    pub(super) fn words(&mut self, utterance: UtteranceId, words: &[SpokenWord]) {
        let Some(sentence) = self.sentence(utterance) else { return };
        for word in words {
            sentence.text.spoken(utterance, word.end, &word.text);
        }
    }

    /// True if it is the first there is to say.
    pub(super) fn speak(&mut self, now: Instant, utterance: UtteranceId, audio: &[u8]) -> bool {
        let (sound, first) = self.mouth.speak(utterance, audio);
        self.give(now, utterance, sound);
        first
    }

    pub(super) fn finish(&mut self, now: Instant, utterance: UtteranceId) {
        let rest = self.mouth.end();
        self.give(now, utterance, rest);
        if let Some(sentence) = self.sentence(utterance) {
            // The mark is for streams.
            let _ = sentence.text.finish(utterance);
        }
        self.close(utterance);
    }

    pub(super) fn give_up(&mut self, utterance: UtteranceId) {
        self.mouth.stop();
        self.close(utterance);
    }

    /// Falls silent at once: an avatar cannot fade.
    pub(super) fn interrupt(&mut self, turn: TurnId) {
        self.mouth.stop();
        self.silencing.push_back(Silence { turn, tail: Duration::ZERO });
        self.given.clear();
        self.given.push_back(AvatarCommand::Interrupt);
        self.sentences.iter_mut().for_each(|sentence| sentence.is_cut = true);
        self.conclude(|sentence| (sentence.asked == 0).then_some(NOTHING));
    }

    /// Takes what the avatar tells.
    pub(super) fn handle(&mut self, now: Instant, notice: &AvatarNotice) {
        match notice {
            AvatarNotice::Protocol(AvatarEvent::Speech(report)) => self.on_report(now, report),
            AvatarNotice::Protocol(AvatarEvent::Interrupted { heard, .. }) => self.on_interrupted(now, heard),
            AvatarNotice::Protocol(AvatarEvent::LinkDown { .. }) => {
                self.silent_since.get_or_insert(now);
            }
            AvatarNotice::Protocol(AvatarEvent::Established { .. }) => self.silent_since = None,
            AvatarNotice::Created { .. } => self.on_new_session(now),
            AvatarNotice::Refused { utterance, .. } => {
                let refused = self.sentences.iter_mut().find(|sentence| sentence.number == *utterance);
                if let Some(sentence) = refused {
                    sentence.refused += 1;
                }
                self.conclude(Sentence::unless_taken);
            }
            AvatarNotice::Ended { .. }
            | AvatarNotice::LeftoverEnded { .. }
            | AvatarNotice::Protocol(_)
            | AvatarNotice::Recovering { .. }
            | AvatarNotice::Room(_)
            | AvatarNotice::State(_) => {}
        }
    }

    /// The avatar is over: what it has not said, it never will.
    pub(super) fn end(&mut self, now: Instant) {
        self.given.clear();
        self.conclude(|sentence| Some(sentence.said_by(now)));
    }

    /// Counts what must have been said by now.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.conclude(|sentence| {
            let (spoken, until) = sentence.plays.filter(|_| !sentence.is_cut)?;
            (until <= now).then_some((spoken, spoken))
        });
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.sentences
            .iter()
            .filter(|sentence| !sentence.is_cut)
            .filter_map(|sentence| Some(sentence.plays?.1))
            .min()
    }

    /// The next command for the avatar.
    pub(super) fn poll_command(&mut self) -> Option<AvatarCommand> {
        let command = self.given.pop_front()?;
        self.count(&command, 1);
        Some(command)
    }

    /// The avatar had no room for a command: it is the next one again.
    pub(super) fn put_back(&mut self, command: AvatarCommand) {
        self.count(&command, -1);
        self.given.push_front(command);
    }

    pub(super) fn has_command(&self) -> bool {
        !self.given.is_empty()
    }

    pub(super) fn poll_heard(&mut self) -> Option<HeardUtterance> {
        self.heard.pop_front()
    }

    /// The next time the avatar has fallen silent.
    pub(super) fn poll_silence(&mut self) -> Option<Silence> {
        self.silent.pop_front()
    }

    fn sentence(&mut self, utterance: UtteranceId) -> Option<&mut Sentence> {
        self.sentences.iter_mut().find(|sentence| sentence.utterance == utterance)
    }

    fn give(&mut self, now: Instant, utterance: UtteranceId, audio: Bytes) {
        let rate = self.rate.sample_rate();
        let Some(sentence) = self.sentence(utterance).filter(|_| !audio.is_empty()) else { return };
        sentence.text.audio(now, utterance, audio.len());
        sentence.given += rate.duration_of(audio.len() as u64 / 2);
        let utterance = sentence.number;
        self.given.push_back(AvatarCommand::Speak { utterance, audio });
    }

    /// No more of a sentence will be given. One of which nothing was is over.
    fn close(&mut self, utterance: UtteranceId) {
        let Some(sentence) = self.sentence(utterance) else { return };
        sentence.is_finished = true;
        let utterance = sentence.number;
        if sentence.given.is_zero() {
            self.conclude(|sentence| (sentence.number == utterance).then_some(NOTHING));
        } else {
            self.given.push_back(AvatarCommand::Finish { utterance });
            self.conclude(Sentence::unless_taken);
        }
    }

    fn count(&mut self, command: &AvatarCommand, by: i32) {
        if let AvatarCommand::Speak { utterance, .. } = command
            && let Some(sentence) = self.sentences.iter_mut().find(|sentence| sentence.number == *utterance)
        {
            sentence.asked = sentence.asked.saturating_add_signed(by);
        }
    }

    fn on_report(&mut self, now: Instant, report: &SpeechReport) {
        let rate = self.rate.sample_rate();
        if report.end == SpeechEnd::Interrupted {
            // Unless it was begun, no account of the interruption will name it.
            let is_its = |sentence: &Sentence| sentence.number == report.utterance && report.chunks == 0;
            return self.conclude(|sentence| is_its(sentence).then_some(NOTHING));
        }
        let Some(sentence) = self.sentences.iter_mut().find(|sentence| sentence.number == report.utterance)
        else {
            return;
        };
        let taken = rate.duration_of(report.confirmed_until);
        sentence.plays = Some((taken, report.plays_until.unwrap_or(now)));
        self.handle_timeout(now);
    }

    fn on_interrupted(&mut self, now: Instant, heard: &[Heard]) {
        // One that came while another was open has no acknowledgement of its own.
        self.silent.append(&mut self.silencing);
        self.conclude(|sentence| {
            if !sentence.is_cut {
                return None;
            }
            let own = heard.iter().find(|heard| heard.utterance == sentence.number);
            Some(own.map_or_else(|| sentence.said_by(now), |heard| (heard.at_least, heard.at_most)))
        });
    }

    /// What the old session had taken and not said is lost with it.
    fn on_new_session(&mut self, now: Instant) {
        let silent = self.silent_since.take().unwrap_or(now);
        self.conclude(|sentence| {
            let (_, until) = sentence.plays?;
            (until > silent).then(|| sentence.said_by(silent))
        });
    }

    /// Ends the sentences for which `heard` says how far they were heard, at least and at most.
    fn conclude(&mut self, heard: impl Fn(&Sentence) -> Option<(Duration, Duration)>) {
        let concluded = &mut self.heard;
        self.sentences.retain(|sentence| {
            let Some((at_least, at_most)) = heard(sentence) else { return true };
            concluded.extend(sentence.text.heard_by(sentence.utterance, at_least..=at_most));
            false
        });
    }
}

impl Sentence {
    /// What of it the avatar has said by `now`, of what it surely has.
    fn said_by(&self, now: Instant) -> (Duration, Duration) {
        let Some((taken, until)) = self.plays else { return NOTHING };
        let said = taken.saturating_sub(until.saturating_duration_since(now));
        (said, said)
    }

    /// Nothing, if all that was asked of it was refused and no more will come.
    fn unless_taken(&self) -> Option<(Duration, Duration)> {
        (self.is_finished && self.asked > 0 && self.asked == self.refused).then_some(NOTHING)
    }
}

const NOTHING: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

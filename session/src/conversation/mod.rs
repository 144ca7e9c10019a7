//! The voice-agent loop as a value: who has the floor, what is being said, and what happens next.

mod bargein;
mod history;
mod responder;
mod sentences;
mod turn;
mod utterances;
mod words;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use voxline_protocol::{TimerKind, Timers, UtteranceId};

pub use bargein::{BargeInPattern, BargeInPolicy};
pub use history::{Entry, History, Speaker};
pub use responder::{Responder, ResponderError};
pub use sentences::FlushPolicy;
use sentences::Sentences;
use turn::Marks;
pub use turn::{Shares, TurnId};
use utterances::{Interrupted, Utterances};
pub use words::{ConversationAction, ConversationConfig, ConversationEvent, ConversationInput};

/// The loop of a voice agent: caller's voice → transcript → end of turn → reply → speech, with barge-in.
///
/// A pure machine like the protocols': it is told what happened and says what to do. Audio never
/// passes through it, so every schedule of voices, transcripts, losses and interruptions can be
/// played in a test without a sound.
///
/// One sentence at a time is with the speech service. That costs nothing, since speech is made
/// faster than it is played, and it keeps the order when a half-made sentence has to be made again.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_session::{Conversation, ConversationAction, ConversationConfig, ConversationInput};
///
/// let start = Instant::now();
/// let mut talk = Conversation::new(ConversationConfig::default());
/// talk.handle_input(start, ConversationInput::VoiceStarted);
/// talk.handle_input(start, ConversationInput::Partial("good morn".into()));
/// talk.handle_input(start, ConversationInput::VoiceEnded { ago: Duration::ZERO });
/// talk.handle_timeout(start + Duration::from_secs(1));
/// assert!(matches!(talk.poll_action(), Some(ConversationAction::Finalize)));
/// ```
#[derive(Debug)]
pub struct Conversation {
    config: ConversationConfig,
    floor: Floor,
    turn: TurnId,
    caller_speaking: bool,
    transcript: Vec<String>,
    partial: String,
    finalizes: u32,
    sentences: Sentences,
    reply_done: bool,
    utterances: Utterances,
    /// Answers that were cut short, oldest first, until it is known what was heard of them.
    interrupted: VecDeque<Interrupted>,
    history: History,
    marks: Marks,
    timers: Timers<Timer>,
    actions: VecDeque<ConversationAction>,
}

/// Who has the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floor {
    /// The caller, or nobody.
    Caller,
    /// The caller seems done; the last words are awaited.
    Closing,
    /// The agent: its answer is being thought of, made or played.
    Agent,
}

#[derive(Debug, Clone, Copy)]
enum Timer {
    /// The caller has spoken over the agent for long enough: barge-in.
    BargeIn,
    /// The caller has been silent for long enough: ask for the last words.
    EndOfTurn,
    /// The responder is too slow: the answer ends where it is.
    Reply,
    /// The speech service is too slow: the sentence is given up.
    Speech,
    /// The last words are too late: what there is counts.
    Transcript,
}

impl TimerKind for Timer {
    const ALL: &'static [Self] =
        &[Self::BargeIn, Self::EndOfTurn, Self::Reply, Self::Speech, Self::Transcript];

    fn index(self) -> usize {
        self as usize
    }
}

impl Conversation {
    /// A conversation in which nobody has spoken yet.
    #[must_use]
    pub fn new(config: ConversationConfig) -> Self {
        Self {
            sentences: Sentences::new(config.flush),
            config,
            floor: Floor::Caller,
            turn: TurnId::default(),
            caller_speaking: false,
            transcript: Vec::new(),
            partial: String::new(),
            finalizes: 0,
            reply_done: false,
            utterances: Utterances::default(),
            interrupted: VecDeque::new(),
            history: History::new(),
            marks: Marks::default(),
            timers: Timers::new(),
            actions: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Instant, input: ConversationInput) {
        match input {
            ConversationInput::VoiceStarted => self.on_voice_started(now),
            ConversationInput::VoiceEnded { ago } => self.on_voice_ended(now, ago),
            ConversationInput::Partial(text) => self.partial = text,
            ConversationInput::Final(text) => {
                self.partial.clear();
                self.transcript.extend(Some(text).filter(|text| !text.trim().is_empty()));
            }
            ConversationInput::Finalized => self.on_finalized(now),
            ConversationInput::ReplyText { turn, text } => self.on_reply_text(now, turn, &text),
            ConversationInput::ReplyEnded { turn } => self.on_reply_ended(now, turn),
            ConversationInput::SpeechMade { utterance, duration } => {
                self.on_speech_made(now, utterance, duration);
            }
            ConversationInput::SpeechSent { utterance } => self.on_speech_sent(now, utterance),
            ConversationInput::SpeechEnded { utterance } => self.on_speech_ended(now, utterance),
            ConversationInput::SpeechTruncated { utterance } => self.on_speech_truncated(now, utterance),
            ConversationInput::Heard { utterance, text, complete } => {
                self.on_heard(now, utterance, text, complete);
            }
        }
    }

    /// Lets every timer that is due fire.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::BargeIn => self.barge_in(),
                Timer::EndOfTurn => self.ask_for_last_words(now),
                Timer::Reply => {
                    let limit = self.config.reply_timeout;
                    self.act(ConversationAction::CancelResponse { turn: self.turn });
                    self.tell(ConversationEvent::ReplyLate { turn: self.turn, limit });
                    self.on_reply_ended(now, self.turn);
                }
                Timer::Speech => self.give_up_sentence(now),
                Timer::Transcript => {
                    let limit = self.config.transcript_timeout;
                    // Answers that have not come by now are not waited for in later turns.
                    self.finalizes = 0;
                    self.tell(ConversationEvent::TranscriptLate { limit });
                    self.transcript
                        .extend(Some(std::mem::take(&mut self.partial)).filter(|text| !text.is_empty()));
                    self.commit(now);
                }
            }
        }
    }

    /// The next thing to do.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<ConversationAction> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What was said so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The turn that is being spoken or answered; before the first, 0.
    #[must_use]
    pub const fn turn(&self) -> TurnId {
        self.turn
    }

    /// Whether the speech service is at work on this utterance. Audio of any other is void.
    #[must_use]
    pub fn is_making(&self, utterance: UtteranceId) -> bool {
        self.utterances.making.as_ref().is_some_and(|making| making.id == utterance)
    }

    /// True while an answer is being thought of, made or played.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.floor == Floor::Agent
    }

    fn on_voice_started(&mut self, now: Instant) {
        self.caller_speaking = true;
        match self.floor {
            Floor::Caller => self.timers.stop(Timer::EndOfTurn),
            Floor::Closing => {
                // Not done after all: the finals of the unanswered request still count for this turn.
                self.timers.stop(Timer::Transcript);
                self.floor = Floor::Caller;
            }
            // At once, not by a timer: a burst of late audio may hold the end of this voice too.
            Floor::Agent if self.config.barge_in.min_speech.is_zero() => self.barge_in(),
            Floor::Agent => self.timers.set(Timer::BargeIn, now + self.config.barge_in.min_speech),
        }
    }

    fn on_voice_ended(&mut self, now: Instant, ago: Duration) {
        self.caller_speaking = false;
        self.timers.stop(Timer::BargeIn);
        let last_word = now.checked_sub(ago).unwrap_or(now);
        match self.floor {
            Floor::Caller => {
                self.marks.last_word(last_word);
                self.timers.set(Timer::EndOfTurn, last_word + self.config.end_of_turn);
            }
            Floor::Closing | Floor::Agent => {}
        }
    }

    fn ask_for_last_words(&mut self, now: Instant) {
        self.floor = Floor::Closing;
        self.marks.turn_over(now);
        self.finalizes += 1;
        self.timers.set(Timer::Transcript, now + self.config.transcript_timeout);
        self.act(ConversationAction::Finalize);
    }

    fn on_finalized(&mut self, now: Instant) {
        self.finalizes = self.finalizes.saturating_sub(1);
        // An answer to a request from before the caller went on ends nothing.
        if self.finalizes == 0 && self.floor == Floor::Closing {
            self.commit(now);
        }
    }

    /// The caller's turn is over: what was understood is answered.
    fn commit(&mut self, now: Instant) {
        self.timers.stop(Timer::Transcript);
        let text = self.transcript.join(" ");
        self.transcript.clear();
        self.partial.clear();
        if text.is_empty() {
            self.floor = Floor::Caller; // a noise, not a turn
            return;
        }
        self.floor = Floor::Agent;
        self.turn = self.turn.next();
        self.marks.transcript(now);
        self.reply_done = false;
        self.utterances.begin_answer();
        self.history.caller_said(&text);
        self.timers.set(Timer::Reply, now + self.config.reply_timeout);
        self.tell(ConversationEvent::CallerSaid { turn: self.turn, text });
        self.act(ConversationAction::Respond { turn: self.turn });
    }

    fn on_reply_text(&mut self, now: Instant, turn: TurnId, text: &str) {
        if !self.answers(turn) {
            return;
        }
        self.timers.set(Timer::Reply, now + self.config.reply_timeout);
        self.marks.first_words(now);
        self.sentences.push(text);
        while let Some(sentence) = self.sentences.next_whole() {
            self.utterances.add(sentence);
        }
        self.speak_next(now);
    }

    fn on_reply_ended(&mut self, now: Instant, turn: TurnId) {
        if !self.answers(turn) {
            return;
        }
        self.timers.stop(Timer::Reply);
        self.reply_done = true;
        if let Some(rest) = self.sentences.take_rest() {
            self.utterances.add(rest);
        }
        self.speak_next(now);
        self.end_turn_if_heard();
    }

    /// Hands the next sentence over once the one before it is made, and not too far ahead of the caller's ear.
    fn speak_next(&mut self, now: Instant) {
        let unheard = self.utterances.unheard();
        if self.utterances.making.is_some() || (!unheard.is_zero() && unheard >= self.config.speech_ahead) {
            return;
        }
        let Some(utterance) = self.utterances.waiting.pop_front() else { return };
        if utterance.tries == 0 {
            self.marks.first_sentence(now);
            self.history.agent_says(self.turn, utterance.id, &utterance.text);
            self.tell(ConversationEvent::AgentSays {
                turn: self.turn,
                utterance: utterance.id,
                text: utterance.text.clone(),
            });
        }
        self.timers.set(Timer::Speech, now + self.config.speech_timeout);
        self.act(ConversationAction::Speak {
            utterance: utterance.id,
            text: utterance.text.clone(),
            skip: utterance.skip,
            again: utterance.tries > 0,
        });
        self.utterances.making = Some(utterance);
    }

    fn on_speech_made(&mut self, now: Instant, id: UtteranceId, duration: Duration) {
        let Some(utterance) = self.utterances.making(id) else { return };
        utterance.made += duration;
        self.marks.first_audio(now);
        self.timers.set(Timer::Speech, now + self.config.speech_timeout);
    }

    fn on_speech_sent(&mut self, now: Instant, id: UtteranceId) {
        if self.utterances.knows(id) && self.marks.first_sent(now) {
            let shares = self.marks.shares();
            self.tell(ConversationEvent::Answering { turn: self.turn, shares });
        }
    }

    fn on_speech_ended(&mut self, now: Instant, id: UtteranceId) {
        if self.utterances.making(id).is_none() {
            return;
        }
        self.timers.stop(Timer::Speech);
        self.utterances.made.extend(self.utterances.making.take());
        self.act(ConversationAction::Mark { utterance: id });
        self.speak_next(now);
    }

    /// Has the sentence made again from its start; what was already sent of it is skipped.
    fn on_speech_truncated(&mut self, now: Instant, id: UtteranceId) {
        if self.utterances.making(id).is_none() {
            return;
        }
        let Some(mut utterance) = self.utterances.making.take() else { return };
        utterance.tries += 1;
        utterance.skip = utterance.skip.max(utterance.made);
        if utterance.tries > SPEECH_TRIES {
            self.utterances.making = Some(utterance);
            self.give_up_sentence(now);
            return;
        }
        utterance.made = Duration::ZERO;
        self.utterances.waiting.push_front(utterance);
        self.speak_next(now);
    }

    /// What was made of the sentence is played, the rest is lost, and the application is told so.
    fn give_up_sentence(&mut self, now: Instant) {
        let Some(utterance) = self.utterances.making.take() else { return };
        self.timers.stop(Timer::Speech);
        self.tell(ConversationEvent::SpeechFailed { turn: self.turn, text: utterance.text.clone() });
        // The speech service may still hold it, and would voice it when nobody expects it any more.
        self.act(ConversationAction::Abandon { utterance: utterance.id });
        self.utterances.made.push_back(utterance);
        self.speak_next(now);
    }

    fn on_heard(&mut self, now: Instant, id: UtteranceId, text: String, complete: bool) {
        if self.utterances.knows(id) {
            if self.is_making(id) {
                // Nothing more of it can be played: the phone lost what it had.
                self.timers.stop(Timer::Speech);
                self.act(ConversationAction::Abandon { utterance: id });
            }
            self.cut_history(id, &text, complete);
            self.utterances.heard(id, text);
            self.speak_next(now);
            self.end_turn_if_heard();
        } else if self.interrupted.iter_mut().any(|answer| answer.heard(id, &text)) {
            self.cut_history(id, &text, complete);
            self.settle_interrupted();
        }
    }

    fn cut_history(&mut self, id: UtteranceId, heard: &str, complete: bool) {
        if !complete {
            self.history.cut_to(id, heard);
        }
    }

    /// Ends the interrupted turns of which all is known, in their order.
    fn settle_interrupted(&mut self) {
        while let Some(heard) = self.interrupted.front().and_then(Interrupted::outcome) {
            let Some(Interrupted { turn, .. }) = self.interrupted.pop_front() else { return };
            self.tell(ConversationEvent::TurnEnded { turn, heard, interrupted: true });
        }
    }

    fn end_turn_if_heard(&mut self) {
        if self.floor != Floor::Agent || !self.reply_done || !self.utterances.all_heard() {
            return;
        }
        self.floor = Floor::Caller;
        self.timers.stop(Timer::BargeIn);
        let heard = self.utterances.take_heard();
        self.tell(ConversationEvent::TurnEnded { turn: self.turn, heard, interrupted: false });
    }

    /// The caller takes the floor: everything said but not heard is void.
    fn barge_in(&mut self) {
        if self.floor != Floor::Agent || !self.caller_speaking {
            return;
        }
        self.floor = Floor::Caller;
        self.timers.stop(Timer::Reply);
        self.timers.stop(Timer::Speech);
        self.sentences.clear();
        if !self.reply_done {
            self.reply_done = true;
            self.act(ConversationAction::CancelResponse { turn: self.turn });
        }
        self.history.interrupt(self.turn);
        self.interrupted.push_back(self.utterances.interrupt(self.turn));
        self.tell(ConversationEvent::BargeIn { turn: self.turn });
        self.act(ConversationAction::Interrupt { turn: self.turn, pattern: self.config.barge_in.pattern });
        self.settle_interrupted();
    }

    fn answers(&self, turn: TurnId) -> bool {
        self.floor == Floor::Agent && turn == self.turn && !self.reply_done
    }

    fn act(&mut self, action: ConversationAction) {
        self.actions.push_back(action);
    }

    fn tell(&mut self, event: ConversationEvent) {
        self.act(ConversationAction::Tell(event));
    }
}

/// How often a sentence is made again after the speech service was lost in the middle of it.
const SPEECH_TRIES: u32 = 3;

#[cfg(test)]
mod tests;

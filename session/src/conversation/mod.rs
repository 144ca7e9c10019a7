//! The voice-agent loop as a value: who has the floor, what is being said, and what happens next.

mod answer;
mod bargein;
mod caller;
mod history;
mod responder;
mod sentences;
mod silence;
mod timer;
mod turn;
mod utterances;
mod words;

use std::collections::VecDeque;
use std::time::Instant;

use voxline_protocol::{Timers, UtteranceId};

pub use bargein::{BackChannels, BargeInPattern, BargeInPolicy};
use caller::Overlap;
pub use history::{Entry, History, Speaker};
pub use responder::{Responder, ResponderError};
pub use sentences::FlushPolicy;
use sentences::Sentences;
pub use silence::Interruption;
use silence::Silences;
use timer::Timer;
use turn::Marks;
pub use turn::{Shares, TurnId};
use utterances::{Interrupted, Utterances};
pub use words::{
    ConversationAction, ConversationConfig, ConversationEvent, ConversationInput, Filler, IdlePrompts, Say,
};

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
/// talk.handle_input(start, ConversationInput::VoiceStarted { ago: Duration::ZERO });
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
    overlap: Overlap,
    /// The agent has stopped to hear whether the caller says something, and goes on by then at the latest.
    paused: Option<Instant>,
    silences: Silences,
    prompts_said: usize,
    sentences: Sentences,
    reply_done: bool,
    /// Whether all that is said in this turn must be heard to its end.
    protected: bool,
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
    /// Nobody: the call is over.
    Over,
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
            overlap: Overlap::default(),
            paused: None,
            silences: Silences::default(),
            prompts_said: 0,
            reply_done: false,
            protected: false,
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
            _ if self.floor == Floor::Over => {}
            ConversationInput::PickedUp => self.on_picked_up(now),
            ConversationInput::VoiceStarted { ago } => self.on_voice_started(now, ago),
            ConversationInput::VoiceEnded { ago } => self.on_voice_ended(now, ago),
            ConversationInput::Partial(text) => self.on_partial(now, text),
            ConversationInput::Final(text) => self.on_final(now, text),
            ConversationInput::Finalized => self.on_finalized(now),
            ConversationInput::HungUp => self.on_hung_up(now),
            ConversationInput::ReplyText { turn, text } => self.on_reply_text(now, turn, &text),
            ConversationInput::ReplyEnded { turn } => self.on_reply_ended(now, turn),
            ConversationInput::Say(say) => self.on_say(now, &say),
            ConversationInput::Silent { turn, tail } => {
                if let Some(latency) = self.silences.settle(now, turn, tail) {
                    self.tell(ConversationEvent::FellSilent { turn, latency });
                }
            }
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
                Timer::BargeIn => self.on_long_voice(now),
                Timer::EndOfTurn => self.ask_for_last_words(now),
                Timer::Filler => self.say_filler(now),
                Timer::Idle => self.say_prompt(now),
                Timer::Reply => {
                    let limit = self.config.reply_timeout;
                    self.act(ConversationAction::CancelResponse { turn: self.turn });
                    self.tell(ConversationEvent::ReplyLate { turn: self.turn, limit });
                    self.on_reply_ended(now, self.turn);
                }
                Timer::Resume => self.resume(),
                Timer::Speech => self.give_up_sentence(now),
                Timer::Transcript => self.on_transcript_late(now),
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

    /// The utterance the speech service is at work on.
    #[must_use]
    pub fn making(&self) -> Option<UtteranceId> {
        self.utterances.making.as_ref().map(|making| making.id)
    }

    /// Whether the speech service is at work on this utterance. Audio of any other is void.
    #[must_use]
    pub fn is_making(&self, utterance: UtteranceId) -> bool {
        self.making() == Some(utterance)
    }

    /// True once the call has ended: nothing is said any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.floor == Floor::Over
    }

    /// True while an answer is being thought of, made or played.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.floor == Floor::Agent
    }

    /// Whether more of the answer is asked for: the responder is to be polled then and at no other time. While as many
    /// sentences wait as may, it is not, and its time does not run.
    #[must_use]
    pub fn takes_reply(&self) -> bool {
        let is_full = self.utterances.waiting.len() >= self.config.reply_ahead.max(1);
        self.floor == Floor::Agent && !self.reply_done && !is_full
    }

    fn act(&mut self, action: ConversationAction) {
        self.actions.push_back(action);
    }

    fn tell(&mut self, event: ConversationEvent) {
        self.act(ConversationAction::Tell(event));
    }
}

#[cfg(test)]
mod tests;

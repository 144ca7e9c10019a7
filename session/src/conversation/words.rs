//! The words of a conversation: its settings, what it is told, what it asks for, what it reports.

use std::time::Duration;

use voxline_protocol::UtteranceId;

use super::{BargeInPattern, BargeInPolicy, FlushPolicy, Interruption, Shares, TurnId};

/// Times and policies of one conversation.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationConfig {
    /// Silence after which the caller's turn is over. 500 ms; shorter cuts people off, longer feels slow.
    pub end_of_turn: Duration,
    /// Longest wait for the last transcript of a turn, lost links and replays included. 30 s; then what there is counts.
    pub transcript_timeout: Duration,
    /// Longest wait for the responder's first or next words, once they are asked for. 20 s; then the answer ends where
    /// it is.
    pub reply_timeout: Duration,
    /// Longest wait for a sentence's next audio, lost links included. 20 s; then it is given up, with an event.
    pub speech_timeout: Duration,
    /// Unheard audio beyond which the next sentence is not yet made. 10 s; more costs memory, and money where a
    /// barge-in voids it, less risks a gap between sentences when the speech service is slow.
    pub speech_ahead: Duration,
    /// The most audio a sentence may have, 50 s: half as much again as the longest one (480 characters) takes to say. Of
    /// more the rest is given up, with an event. With `speech_ahead` it bounds the audio a call can hold, in a pause too.
    pub sentence_limit: Duration,
    /// Sentences that may wait for the speech service, 8; at least 1. While so many do, the responder is not asked for
    /// more ([`Conversation::takes_reply`](super::Conversation::takes_reply)), and what it has said beyond them stays
    /// text. More lets a responder run further ahead of a caller who may interrupt; less risks a gap between sentences
    /// where it pauses.
    pub reply_ahead: usize,
    /// When text goes to the speech service.
    pub flush: FlushPolicy,
    /// When and how the caller interrupts.
    pub barge_in: BargeInPolicy,
    /// What is said when nobody says anything. Nothing by default.
    pub idle: Option<IdlePrompts>,
    /// What is said when the responder takes its time. Nothing by default.
    pub filler: Option<Filler>,
}

impl Default for ConversationConfig {
    fn default() -> Self {
        Self {
            end_of_turn: Duration::from_millis(500),
            transcript_timeout: Duration::from_secs(30),
            reply_timeout: Duration::from_secs(20),
            speech_timeout: Duration::from_secs(20),
            speech_ahead: Duration::from_secs(10),
            sentence_limit: Duration::from_secs(50),
            reply_ahead: 8,
            flush: FlushPolicy::Sentence,
            barge_in: BargeInPolicy::immediate(),
            idle: None,
            filler: None,
        }
    }
}

impl ConversationConfig {
    /// Uses another silence to end a turn.
    #[must_use]
    pub fn with_end_of_turn(self, end_of_turn: Duration) -> Self {
        Self { end_of_turn, ..self }
    }

    /// Lets another number of sentences wait.
    #[must_use]
    pub fn with_reply_ahead(self, sentences: usize) -> Self {
        Self { reply_ahead: sentences, ..self }
    }

    /// Uses another flush policy.
    #[must_use]
    pub fn with_flush(self, flush: FlushPolicy) -> Self {
        Self { flush, ..self }
    }

    /// Uses another barge-in policy.
    #[must_use]
    pub fn with_barge_in(self, barge_in: BargeInPolicy) -> Self {
        Self { barge_in, ..self }
    }

    /// Asks whether the caller is there: `prompts`, one after each silence of `after`, from the moment the caller is on
    /// the line, until the caller speaks or they are all said (N04).
    #[must_use]
    pub fn with_idle_prompts(
        self,
        after: Duration,
        prompts: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let prompts = prompts.into_iter().map(Into::into).collect();
        Self { idle: Some(IdlePrompts { after, prompts }), ..self }
    }

    /// Says `text` when the responder has no word after this long (N05).
    #[must_use]
    pub fn with_filler(self, after: Duration, text: impl Into<String>) -> Self {
        Self { filler: Some(Filler { after, text: text.into() }), ..self }
    }
}

/// What is said when nobody says anything.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdlePrompts {
    /// Silence after the agent's last word.
    pub after: Duration,
    /// One for each silence, in order; starts over once the caller has spoken.
    pub prompts: Vec<String>,
}

/// What is said while the responder thinks.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filler {
    /// From the caller's words understood to the filler.
    pub after: Duration,
    /// The words.
    pub text: String,
}

/// Something to say that answers nobody: a greeting, a notice, a change of mind.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Say {
    /// The words.
    pub text: String,
    /// Whether the caller may not interrupt them.
    pub protected: bool,
}

impl Say {
    /// These words, which the caller may interrupt.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), protected: false }
    }

    /// Not to be interrupted: what the caller says meanwhile is answered afterwards.
    #[must_use]
    pub fn protected(self) -> Self {
        Self { protected: true, ..self }
    }
}

/// What happened.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum ConversationInput {
    /// The caller is on the line. Who says nothing from here on is asked, as after any other silence.
    PickedUp,
    /// The caller began to speak, `ago` before now: detectors need a while to be sure.
    VoiceStarted {
        /// How long ago the first speech was.
        ago: Duration,
    },
    /// The caller fell silent, `ago` before now: detectors need a while to be sure.
    VoiceEnded {
        /// How long ago the last speech was.
        ago: Duration,
    },
    /// What the recogniser makes of the unfinished utterance.
    Partial(String),
    /// Words that will not change any more.
    Final(String),
    /// One [`ConversationAction::Finalize`] was answered, or will never be.
    Finalized,
    /// The call is over; whatever was heard has been told. Nothing is asked for any more, and every turn ends.
    HungUp,
    /// The responder's next words. To be asked for while [`takes_reply`](super::Conversation::takes_reply).
    ReplyText {
        /// The turn they answer.
        turn: TurnId,
        /// The words.
        text: String,
    },
    /// The responder has said all it wants to.
    ReplyEnded {
        /// The turn it answered.
        turn: TurnId,
    },
    /// Say this now, in place of what is being said or thought of (I02). It is a turn of its own.
    Say(Say),
    /// The phone has fallen silent after [`ConversationAction::Interrupt`] or [`ConversationAction::Pause`].
    Silent {
        /// In which turn.
        turn: TurnId,
        /// What is still heard after this: a fade.
        tail: Duration,
    },
    /// Audio of an utterance came from the speech service.
    SpeechMade {
        /// Whose audio.
        utterance: UtteranceId,
        /// How much.
        duration: Duration,
    },
    /// The first audio of an answer left for the phone.
    SpeechSent {
        /// Whose audio.
        utterance: UtteranceId,
    },
    /// An utterance was made to its end.
    SpeechEnded {
        /// Which.
        utterance: UtteranceId,
    },
    /// The speech service was lost in the middle of an utterance.
    SpeechTruncated {
        /// Which.
        utterance: UtteranceId,
    },
    /// What the caller heard of an utterance, for good. One comes for each [`ConversationAction::Speak`], however its
    /// utterance ends: played, interrupted, given up, lost.
    Heard {
        /// Which.
        utterance: UtteranceId,
        /// Its words as far as they were heard.
        text: String,
        /// Whether that is all of it.
        complete: bool,
    },
}

/// What to do.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum ConversationAction {
    /// Ask the recogniser for everything said so far.
    Finalize,
    /// Start the responder on the history.
    Respond {
        /// The turn to answer.
        turn: TurnId,
    },
    /// Stop the responder.
    CancelResponse {
        /// Whose answer is no longer wanted.
        turn: TurnId,
    },
    /// Have a sentence voiced, and drop the first `skip` of its audio, which was already sent. What the caller
    /// hears of it is to be told by [`ConversationInput::Heard`], once.
    Speak {
        /// Under which number.
        utterance: UtteranceId,
        /// The sentence.
        text: String,
        /// What an earlier try already made.
        skip: Duration,
        /// Whether there was an earlier try.
        again: bool,
    },
    /// Make the speech service forget an utterance that was given up. What was made of it is played.
    Abandon {
        /// Which.
        utterance: UtteranceId,
    },
    /// Mark the end of an utterance in what is played, so that [`ConversationInput::Heard`] can follow.
    Mark {
        /// Which utterance ended.
        utterance: UtteranceId,
    },
    /// Drop all speech, at the speech service and on the phone.
    Interrupt {
        /// The turn whose answer was interrupted.
        turn: TurnId,
        /// How to fall silent.
        pattern: BargeInPattern,
    },
    /// Stop playing at once, and keep what was not heard, with all that is made meanwhile.
    Pause {
        /// In which turn.
        turn: TurnId,
    },
    /// Go on where [`Pause`](Self::Pause) stopped.
    Resume {
        /// In which turn.
        turn: TurnId,
    },
    /// Tell the application.
    Tell(ConversationEvent),
}

/// What the application is told.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum ConversationEvent {
    /// The caller's turn is over and understood.
    CallerSaid {
        /// Which turn.
        turn: TurnId,
        /// The words.
        text: String,
    },
    /// The agent says this sentence.
    AgentSays {
        /// Which turn.
        turn: TurnId,
        /// The sentence's number.
        utterance: UtteranceId,
        /// Its text.
        text: String,
    },
    /// The first audio of an answer left for the phone.
    Answering {
        /// Which turn.
        turn: TurnId,
        /// Where the time went.
        shares: Shares,
    },
    /// The caller took the floor.
    BargeIn {
        /// Whose answer was interrupted.
        turn: TurnId,
    },
    /// The agent is silent after the caller's voice: at a barge-in or a pause, whichever came first (I12).
    FellSilent {
        /// In which turn.
        turn: TurnId,
        /// What it took.
        latency: Interruption,
    },
    /// A voice was heard, and the agent stopped to hear whether it says something.
    Paused {
        /// In which turn.
        turn: TurnId,
    },
    /// It said nothing; the agent goes on where it stopped.
    Resumed {
        /// In which turn.
        turn: TurnId,
    },
    /// The answer is over.
    TurnEnded {
        /// Which turn.
        turn: TurnId,
        /// What the caller heard of the answer.
        heard: String,
        /// True if it was cut short: by a barge-in, by something else to say, by the end of the call.
        interrupted: bool,
    },
    /// The last transcript of a turn did not come in time; what there was counts.
    TranscriptLate {
        /// How long was waited.
        limit: Duration,
    },
    /// The responder fell silent; the answer ends where it is.
    ReplyLate {
        /// Which turn.
        turn: TurnId,
        /// How long was waited.
        limit: Duration,
    },
    /// The caller said more than a turn holds, 32 KiB. These words are not answered.
    WordsDropped {
        /// The words.
        text: String,
    },
    /// A sentence could not be voiced to its end: its audio did not come in time, or did not end in time.
    SpeechFailed {
        /// Which turn.
        turn: TurnId,
        /// The sentence.
        text: String,
    },
}

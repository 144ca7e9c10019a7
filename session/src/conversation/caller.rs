//! The caller's side of a conversation: voice and words, turns, and what is said over the agent.

use std::time::{Duration, Instant};

use super::timer::Timer;
use super::turn::Marks;
use super::{BargeInPattern, Conversation, ConversationAction, ConversationEvent, Floor};
use crate::limits::later;

/// What the caller says while the agent has the floor.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    /// When the voice began, and when that was noticed.
    voice: Option<(Instant, Instant)>,
    /// It went on for the minimum.
    long_enough: bool,
    /// When it last fell silent.
    ended: Option<Instant>,
}

impl Conversation {
    pub(super) fn on_picked_up(&mut self, now: Instant) {
        if self.floor == Floor::Caller && !self.caller_speaking && self.said().is_empty() {
            self.watch_silence(now);
        }
    }

    pub(super) fn on_voice_started(&mut self, now: Instant, ago: Duration) {
        self.caller_speaking = true;
        self.timers.stop(Timer::Idle);
        match self.floor {
            Floor::Caller => self.timers.stop(Timer::EndOfTurn),
            Floor::Closing => {
                // Not done after all: the finals of the unanswered request still count for this turn.
                self.timers.stop(Timer::Transcript);
                self.floor = Floor::Caller;
            }
            Floor::Agent => {
                self.overlap.voice = Some((now.checked_sub(ago).unwrap_or(now), now));
                if let Some(latest) = self.paused {
                    self.timers.stop(Timer::EndOfTurn);
                    self.timers.set(Timer::Resume, latest.min(later(now, WORDLESS)));
                }
                // At once, not by a timer: a burst of late audio may hold the end of this voice too.
                if self.config.barge_in.min_speech.is_zero() {
                    self.on_long_voice(now);
                } else {
                    self.timers.after(Timer::BargeIn, now, self.config.barge_in.min_speech);
                }
            }
            Floor::Over => {}
        }
    }

    pub(super) fn on_voice_ended(&mut self, now: Instant, ago: Duration) {
        self.caller_speaking = false;
        self.timers.stop(Timer::BargeIn);
        let last_word = now.checked_sub(ago).unwrap_or(now);
        match self.floor {
            Floor::Caller => self.await_end_of_turn(last_word),
            Floor::Agent => {
                self.overlap.ended = Some(last_word);
                if let (Some(latest), BargeInPattern::Pause { patience }) =
                    (self.paused, self.config.barge_in.pattern)
                {
                    self.timers.set(Timer::Resume, latest.min(later(last_word, patience)));
                    self.timers.after(Timer::EndOfTurn, last_word, self.config.end_of_turn);
                }
            }
            Floor::Closing | Floor::Over => {}
        }
    }

    pub(super) fn on_partial(&mut self, now: Instant, text: String) {
        self.partial = text;
        self.on_words(now);
    }

    pub(super) fn on_final(&mut self, now: Instant, text: String) {
        self.partial.clear();
        let held: usize = self.transcript.iter().map(String::len).sum();
        if held + text.len() > MOST_WORDS {
            return self.tell(ConversationEvent::WordsDropped { text });
        }
        self.transcript.extend(Some(text).filter(|text| !text.trim().is_empty()));
        self.on_words(now);
    }

    fn on_words(&mut self, now: Instant) {
        match self.floor {
            Floor::Agent => self.consider_barge_in(now),
            // Words of a voice that nobody noticed, or that are late: they end by themselves.
            Floor::Caller if !self.caller_speaking && self.timers.get(Timer::EndOfTurn).is_none() => {
                if !self.said().is_empty() && !self.forget_back_channels() {
                    self.await_end_of_turn(now);
                }
            }
            Floor::Caller | Floor::Closing | Floor::Over => {}
        }
    }

    fn await_end_of_turn(&mut self, last_word: Instant) {
        self.timers.stop(Timer::Idle);
        self.marks.last_word(last_word);
        self.timers.after(Timer::EndOfTurn, last_word, self.config.end_of_turn);
    }

    /// The caller's voice `ended` while the agent had the floor.
    fn await_late_end_of_turn(&mut self, now: Instant, ended: Instant) {
        let earliest = now.checked_sub(self.config.end_of_turn).unwrap_or(now);
        self.await_end_of_turn(ended.max(earliest));
    }

    /// The caller has been silent for long enough.
    pub(super) fn ask_for_last_words(&mut self, now: Instant) {
        self.finalizes += 1;
        self.act(ConversationAction::Finalize);
        // While the agent is paused, the words decide whether it goes on; the floor is still its own.
        if self.floor != Floor::Agent {
            self.close_turn(now);
        }
    }

    fn close_turn(&mut self, now: Instant) {
        self.floor = Floor::Closing;
        self.marks.turn_over(now);
        self.timers.after(Timer::Transcript, now, self.config.transcript_timeout);
    }

    pub(super) fn on_finalized(&mut self, now: Instant) {
        self.finalizes = self.finalizes.saturating_sub(1);
        // An answer to a request from before the caller went on ends nothing.
        match self.floor {
            Floor::Closing if self.finalizes == 0 => self.commit(now),
            Floor::Agent if self.finalizes == 0 && self.paused.is_some() && !self.caller_speaking => {
                self.resume();
            }
            Floor::Agent | Floor::Caller | Floor::Closing | Floor::Over => {}
        }
    }

    pub(super) fn on_transcript_late(&mut self, now: Instant) {
        let limit = self.config.transcript_timeout;
        // Answers that have not come by now are not waited for in later turns.
        self.finalizes = 0;
        self.tell(ConversationEvent::TranscriptLate { limit });
        self.transcript.extend(Some(std::mem::take(&mut self.partial)).filter(|text| !text.is_empty()));
        self.commit(now);
    }

    /// The caller's turn is over: what was understood is answered.
    fn commit(&mut self, now: Instant) {
        self.timers.stop(Timer::Transcript);
        let text = self.transcript.join(" ");
        self.forget_words();
        if text.is_empty() {
            self.floor = Floor::Caller; // a noise, not a turn
            self.await_caller(now);
            return;
        }
        self.begin_turn();
        self.prompts_said = 0;
        self.marks.transcript(now);
        self.history.caller_said(&text);
        self.timers.after(Timer::Reply, now, self.config.reply_timeout);
        if let Some(filler) = &self.config.filler {
            self.timers.after(Timer::Filler, now, filler.after);
        }
        self.tell(ConversationEvent::CallerSaid { turn: self.turn, text });
        self.act(ConversationAction::Respond { turn: self.turn });
    }

    /// The floor is the agent's, in a new turn.
    pub(super) fn begin_turn(&mut self) {
        self.floor = Floor::Agent;
        self.turn = self.turn.next();
        self.reply_done = false;
        self.protected = false;
        self.overlap = Overlap::default();
        self.utterances.begin_answer();
    }

    /// The caller has spoken over the agent for the minimum.
    pub(super) fn on_long_voice(&mut self, now: Instant) {
        self.overlap.long_enough = true;
        self.consider_barge_in(now);
    }

    /// Whether what the caller says over the agent is meant to be heard.
    pub(super) fn consider_barge_in(&mut self, now: Instant) {
        if self.floor != Floor::Agent || !self.overlap.long_enough || self.utterances.is_protected() {
            return;
        }
        if self.config.barge_in.takes_the_floor(&self.said()) {
            self.barge_in(now);
        } else if let (BargeInPattern::Pause { patience }, true) =
            (self.config.barge_in.pattern, self.caller_speaking)
        {
            self.pause(now, patience);
        }
    }

    /// The caller takes the floor: everything said but not heard is void.
    fn barge_in(&mut self, now: Instant) {
        self.tell(ConversationEvent::BargeIn { turn: self.turn });
        self.stop_answer(now, self.config.barge_in.pattern);
        self.floor = Floor::Caller;
        match self.overlap.ended.filter(|_| !self.caller_speaking) {
            // The caller's last words were asked for already.
            Some(ended) if self.finalizes > 0 => {
                self.marks.last_word(ended);
                self.close_turn(now);
            }
            Some(ended) => self.await_late_end_of_turn(now, ended),
            None => {}
        }
    }

    /// Ends the answer where it is, and has the agent fall silent.
    pub(super) fn stop_answer(&mut self, now: Instant, pattern: BargeInPattern) {
        for timer in
            [Timer::BargeIn, Timer::EndOfTurn, Timer::Filler, Timer::Reply, Timer::Resume, Timer::Speech]
        {
            self.timers.stop(timer);
        }
        self.sentences.clear();
        if !self.reply_done {
            self.reply_done = true;
            self.act(ConversationAction::CancelResponse { turn: self.turn });
        }
        self.history.interrupt(self.turn);
        let interrupted = self.utterances.interrupt(self.turn);
        self.interrupted.push_back(interrupted);
        if self.paused.take().is_none() {
            self.expect_silence(now);
        }
        self.act(ConversationAction::Interrupt { turn: self.turn, pattern });
        self.settle_interrupted();
    }

    fn pause(&mut self, now: Instant, patience: Duration) {
        if self.paused.is_some() {
            return;
        }
        // However often the noise stops and starts again.
        self.paused = Some(later(now + WORDLESS, patience));
        self.timers.after(Timer::Resume, now, WORDLESS);
        self.expect_silence(now);
        self.act(ConversationAction::Pause { turn: self.turn });
        self.tell(ConversationEvent::Paused { turn: self.turn });
    }

    /// No words followed: what was paused goes on. Too few words to interrupt are answered later.
    pub(super) fn resume(&mut self) {
        if self.paused.take().is_none() {
            return;
        }
        self.timers.stop(Timer::Resume);
        self.timers.stop(Timer::EndOfTurn);
        self.forget_back_channels();
        // Another voice pauses again; this one is done with.
        self.overlap.long_enough = false;
        self.act(ConversationAction::Resume { turn: self.turn });
        self.tell(ConversationEvent::Resumed { turn: self.turn });
    }

    fn expect_silence(&mut self, now: Instant) {
        if let Some((began, noticed)) = self.overlap.voice {
            self.silences.expect(self.turn, began, noticed, now);
        }
    }

    /// The answer was heard to its end: what the caller said over it is answered, unless it only showed that somebody
    /// listens.
    pub(super) fn await_caller(&mut self, now: Instant) {
        if self.caller_speaking {
            return;
        }
        let ended = self.overlap.ended.or_else(|| self.overlap.voice.map(|(began, _)| began));
        let listened = ended.is_some_and(|ended| now.saturating_duration_since(ended) > LISTENING);
        self.overlap = Overlap::default();
        match ended {
            Some(_) if listened && !self.said().is_empty() && self.forget_back_channels() => {}
            Some(ended) => {
                return self.await_late_end_of_turn(now, ended);
            }
            None if self.said().is_empty() => {}
            None => return self.await_end_of_turn(now),
        }
        self.marks = Marks::default();
        self.watch_silence(now);
    }

    /// Asks after a while whether the caller is there.
    fn watch_silence(&mut self, now: Instant) {
        if let Some(idle) = &self.config.idle
            && self.prompts_said < idle.prompts.len()
        {
            self.timers.after(Timer::Idle, now, idle.after);
        }
    }

    /// All words since the last turn that are not answered.
    fn said(&self) -> String {
        let words = self.transcript.iter().chain(Some(&self.partial)).map(String::as_str);
        words.filter(|words| !words.trim().is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Forgets what was said if it only showed that somebody listens: true if nothing is left.
    fn forget_back_channels(&mut self) -> bool {
        let covered = self.config.barge_in.back_channels.covers(&self.said());
        if covered {
            self.forget_words();
        }
        covered
    }

    fn forget_words(&mut self) {
        self.transcript.clear();
        self.partial.clear();
    }
}

/// A voice without a word for this long is a noise.
const WORDLESS: Duration = Duration::from_secs(10);
/// Bytes of what the caller says in one turn: about half an hour without a pause.
const MOST_WORDS: usize = 32 * 1024;
/// Back-channel words nearer than this to the end of an answer may be an answer to it.
const LISTENING: Duration = Duration::from_secs(1);

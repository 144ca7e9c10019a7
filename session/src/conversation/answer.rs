//! The agent's side of a conversation: the reply, its sentences, and what was heard of them.

use std::time::{Duration, Instant};

use voxline_protocol::UtteranceId;

use super::timer::Timer;
use super::turn::Marks;
use super::utterances::{Interrupted, Kind, Utterance};
use super::{BargeInPattern, Conversation, ConversationAction, ConversationEvent, Floor, Say, TurnId};

impl Conversation {
    pub(super) fn on_reply_text(&mut self, now: Instant, turn: TurnId, text: &str) {
        if !self.answers(turn) {
            return;
        }
        // Set anew below, if more is asked for.
        self.timers.stop(Timer::Reply);
        self.timers.stop(Timer::Filler);
        self.marks.first_words(now);
        self.sentences.push(text);
        self.speak_next(now);
    }

    pub(super) fn on_reply_ended(&mut self, now: Instant, turn: TurnId) {
        if !self.answers(turn) {
            return;
        }
        self.timers.stop(Timer::Filler);
        self.reply_done = true;
        self.speak_next(now);
        self.end_turn_if_heard(now);
    }

    /// Says something else, now: what is being said ends here, and what the caller says meanwhile is answered later.
    pub(super) fn on_say(&mut self, now: Instant, say: &Say) {
        match self.floor {
            Floor::Over => return,
            Floor::Agent => {
                let fades = self.config.barge_in.pattern == BargeInPattern::FadeOut;
                let pattern = if fades { BargeInPattern::FadeOut } else { BargeInPattern::Immediate };
                self.stop_answer(now, pattern);
            }
            Floor::Caller | Floor::Closing => {
                for timer in [Timer::EndOfTurn, Timer::Idle, Timer::Transcript] {
                    self.timers.stop(timer);
                }
            }
        }
        self.begin_turn();
        self.marks = Marks::default();
        self.reply_done = true;
        self.protected = say.protected;
        self.sentences.push(&say.text);
        self.speak_next(now);
        self.end_turn_if_heard(now);
    }

    /// The responder takes its time: something is said meanwhile.
    pub(super) fn say_filler(&mut self, now: Instant) {
        if let Some(filler) = &self.config.filler {
            self.utterances.add(filler.text.clone(), Kind::Filler);
            self.speak_next(now);
        }
    }

    /// Nobody has said anything for long.
    pub(super) fn say_prompt(&mut self, now: Instant) {
        let prompt = self.config.idle.as_ref().and_then(|idle| idle.prompts.get(self.prompts_said));
        if let Some(say) = prompt.map(Say::new) {
            self.prompts_said += 1;
            self.on_say(now, &say);
        }
    }

    /// The call is over: so is every turn, as far as is known.
    pub(super) fn on_hung_up(&mut self, now: Instant) {
        if self.floor == Floor::Agent {
            self.stop_answer(now, BargeInPattern::Immediate);
        }
        self.floor = Floor::Over;
        self.timers.stop_all();
        for answer in std::mem::take(&mut self.interrupted) {
            self.end_interrupted(&answer);
        }
    }

    /// Hands the next sentence over once the one before it is made, and not too far ahead of the caller's ear; and
    /// waits for the responder only while its words are taken.
    fn speak_next(&mut self, now: Instant) {
        self.cut_sentences();
        let unheard = self.utterances.unheard();
        let is_ahead = !unheard.is_zero() && unheard >= self.config.speech_ahead;
        if self.utterances.making.is_none()
            && !is_ahead
            && let Some(utterance) = self.utterances.waiting.pop_front()
        {
            self.hand_over(now, utterance);
            self.cut_sentences();
        }
        if !self.takes_reply() {
            self.timers.stop(Timer::Reply);
        } else if self.timers.get(Timer::Reply).is_none() {
            self.timers.after(Timer::Reply, now, self.config.reply_timeout);
        }
    }

    /// Cuts as many sentences from what the responder said as may wait; the rest stays text.
    fn cut_sentences(&mut self) {
        while self.utterances.waiting.len() < self.config.reply_ahead.max(1) {
            let whole = self.sentences.next_whole();
            let rest = || if self.reply_done { self.sentences.take_rest() } else { None };
            let Some(sentence) = whole.or_else(rest) else { return };
            let is_protected = self.protected || self.config.barge_in.protects(&sentence);
            self.utterances.add(sentence, if is_protected { Kind::Protected } else { Kind::Plain });
        }
    }

    fn hand_over(&mut self, now: Instant, utterance: Utterance) {
        if utterance.tries == 0 {
            if utterance.kind != Kind::Filler {
                self.marks.first_sentence(now);
            }
            self.history.agent_says(self.turn, utterance.id, &utterance.text);
            self.tell(ConversationEvent::AgentSays {
                turn: self.turn,
                utterance: utterance.id,
                text: utterance.text.clone(),
            });
        }
        self.timers.after(Timer::Speech, now, self.config.speech_timeout);
        self.act(ConversationAction::Speak {
            utterance: utterance.id,
            text: utterance.text.clone(),
            skip: utterance.skip,
            again: utterance.tries > 0,
        });
        self.utterances.making = Some(utterance);
    }

    pub(super) fn on_speech_made(&mut self, now: Instant, id: UtteranceId, duration: Duration) {
        let Some(utterance) = self.utterances.making(id) else { return };
        let made = utterance.made.saturating_add(duration);
        if made > self.config.sentence_limit {
            return self.give_up_sentence(now);
        }
        utterance.made = made;
        if utterance.kind != Kind::Filler {
            self.marks.first_audio(now);
        }
        self.timers.after(Timer::Speech, now, self.config.speech_timeout);
    }

    pub(super) fn on_speech_sent(&mut self, now: Instant, id: UtteranceId) {
        let answers = self.utterances.get(id).is_some_and(|utterance| utterance.kind != Kind::Filler);
        if answers && self.marks.first_sent(now) {
            let shares = self.marks.shares();
            self.tell(ConversationEvent::Answering { turn: self.turn, shares });
        }
    }

    pub(super) fn on_speech_ended(&mut self, now: Instant, id: UtteranceId) {
        if self.utterances.making(id).is_none() {
            return;
        }
        self.timers.stop(Timer::Speech);
        self.utterances.made.extend(self.utterances.making.take());
        self.act(ConversationAction::Mark { utterance: id });
        self.speak_next(now);
    }

    /// Has the sentence made again from its start; what was already sent of it is skipped.
    pub(super) fn on_speech_truncated(&mut self, now: Instant, id: UtteranceId) {
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
    pub(super) fn give_up_sentence(&mut self, now: Instant) {
        let Some(utterance) = self.utterances.making.take() else { return };
        self.timers.stop(Timer::Speech);
        self.tell(ConversationEvent::SpeechFailed { turn: self.turn, text: utterance.text.clone() });
        // The speech service may still hold it, and would voice it when nobody expects it any more.
        self.act(ConversationAction::Abandon { utterance: utterance.id });
        self.utterances.made.push_back(utterance);
        self.speak_next(now);
    }

    pub(super) fn on_heard(&mut self, now: Instant, id: UtteranceId, text: String, complete: bool) {
        if self.utterances.get(id).is_some() {
            if self.is_making(id) {
                // Nothing more of it can be played: the phone lost what it had.
                self.timers.stop(Timer::Speech);
                self.act(ConversationAction::Abandon { utterance: id });
            }
            self.cut_history(id, &text, complete);
            self.utterances.heard(id, text);
            self.end_turn_if_heard(now);
            // What was said over a protected sentence counts once that is over.
            self.consider_barge_in(now);
            self.speak_next(now);
        } else if self.interrupted.iter_mut().any(|answer| answer.settle(id, &text)) {
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
    pub(super) fn settle_interrupted(&mut self) {
        while self.interrupted.front().is_some_and(Interrupted::is_settled) {
            let Some(answer) = self.interrupted.pop_front() else { return };
            self.end_interrupted(&answer);
        }
    }

    fn end_interrupted(&mut self, answer: &Interrupted) {
        let turn = answer.turn;
        for id in answer.awaited() {
            self.history.cut_to(*id, "");
        }
        self.tell(ConversationEvent::TurnEnded { turn, heard: answer.heard(), interrupted: true });
    }

    fn end_turn_if_heard(&mut self, now: Instant) {
        self.cut_sentences();
        if self.floor != Floor::Agent || !self.reply_done || !self.utterances.all_heard() {
            return;
        }
        self.floor = Floor::Caller;
        for timer in [Timer::BargeIn, Timer::EndOfTurn, Timer::Resume] {
            self.timers.stop(timer);
        }
        if self.paused.take().is_some() {
            self.act(ConversationAction::Resume { turn: self.turn });
        }
        let heard = self.utterances.take_heard();
        self.tell(ConversationEvent::TurnEnded { turn: self.turn, heard, interrupted: false });
        self.await_caller(now);
    }

    fn answers(&self, turn: TurnId) -> bool {
        self.floor == Floor::Agent && turn == self.turn && !self.reply_done
    }
}

/// How often a sentence is made again after the speech service was lost in the middle of it.
const SPEECH_TRIES: u32 = 3;

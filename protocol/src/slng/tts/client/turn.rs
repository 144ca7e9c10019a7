//! What is on the wire for the utterance at the front: whose audio comes, and when it has all come.

use std::time::Duration;

use bytes::Bytes;

use super::{Link, Timer, TtsClient};
use crate::Message;
use crate::slng::tts::text::Run;
use crate::slng::tts::{FlushPolicy, Truncation, TtsConfig, TtsEvent};
use crate::slng::wire::{Terminal, ToTts, encode};
use crate::slng::{SpokenWord, codes, types};

/// The part of the front run that is on the wire.
#[derive(Debug)]
pub(super) struct Turn {
    /// Text messages it took.
    pub(super) messages: u32,
    /// Whether its flush was sent, and whether in a message of its own.
    pub(super) flush: Option<FlushForm>,
    /// Audio heard of it, in bytes.
    pub(super) bytes: u64,
    /// End markers seen, of the kind seen first.
    pub(super) ends: u32,
    pub(super) ended_by: Option<Terminal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlushForm {
    Inline,
    Standalone,
}

/// End markers that do not belong to the turn at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftover {
    /// Whatever a cleared turn was owed.
    Any,
    /// The second of a pair, of another kind than this.
    OtherThan(Terminal),
}

/// How a route ends a turn of several text messages, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terminals {
    PerMessage,
    PerTurn,
    Unknown,
}

impl TtsClient {
    pub(super) fn on_audio(&mut self, audio: Bytes) {
        match &mut self.link {
            Link::Ready => {}
            Link::Clearing { dropped } => {
                *dropped += audio.len() as u64;
                self.stats.dropped_bytes += audio.len() as u64;
                return;
            }
            Link::Quiet => return self.on_stray(&audio),
            Link::AwaitingReady | Link::Closing | Link::Down | Link::Over | Link::Retired => {
                self.stats.dropped_bytes += audio.len() as u64;
                return;
            }
        }
        let Some(turn) = &mut self.turn else { return self.on_stray(&audio) };
        if self.timers.get(Timer::Settle).is_some() {
            // Audio after an end marker of the same turn: this route ends each message by itself.
            self.timers.stop(Timer::Settle);
            self.terminals = Terminals::PerMessage;
        }
        if turn.flush.is_some() {
            self.timers.after(Timer::Terminal, self.now, self.config.terminal_timeout);
        }
        let taken = self.intake.push(audio);
        if let Some(message) = taken.mismatch.filter(|_| !self.mismatch_told) {
            self.mismatch_told = true;
            self.warn(codes::AUDIO_FORMAT, message);
        }
        self.deliver(taken.audio);
    }

    fn deliver(&mut self, audio: Bytes) {
        let (Some(turn), Some(run)) = (&mut self.turn, self.text.front()) else { return };
        if !audio.is_empty() {
            self.useful = true;
            turn.bytes += audio.len() as u64;
            self.stats.audio_bytes += audio.len() as u64;
            self.events.push_back(TtsEvent::Audio { utterance: run.utterance, audio });
        }
    }

    /// Audio that no text is owed: whose it is cannot be told, nor what comes after it.
    pub(super) fn on_stray(&mut self, audio: &Bytes) {
        self.stats.dropped_bytes += audio.len() as u64;
        self.warn(codes::STRAY_AUDIO, format!("{} bytes nobody asked for", audio.len()));
        self.retire(Truncation::LinkLost);
    }

    pub(super) fn on_terminal(&mut self, kind: Terminal) {
        self.marks_ends = true;
        if self.link != Link::Ready {
            return;
        }
        let Some(turn) = &mut self.turn else { return };
        let is_leftover = match self.leftover {
            Some(Leftover::Any) => true,
            Some(Leftover::OtherThan(ended)) => ended != kind,
            None => false,
        };
        // Output is in order: once there is audio of this turn, nothing of an older one follows.
        if is_leftover && turn.bytes == 0 && !self.intake.holds_audio() {
            self.leftover = None;
            return;
        }
        if turn.ended_by.is_some_and(|ended| ended != kind) {
            return;
        }
        turn.ended_by = Some(kind);
        turn.ends += 1;
        if turn.flush.is_none() {
            self.terminals = Terminals::PerMessage;
            return;
        }
        match self.terminals {
            Terminals::PerMessage if turn.ends < turn.messages => {}
            Terminals::Unknown if turn.messages > 1 => self.timers.after(Timer::Settle, self.now, SETTLE),
            Terminals::PerMessage | Terminals::PerTurn | Terminals::Unknown => self.end_turn(kind),
        }
    }

    pub(super) fn on_settled(&mut self) {
        if self.terminals == Terminals::Unknown {
            self.terminals = Terminals::PerTurn;
        }
        if let Some(kind) = self.turn.as_ref().and_then(|turn| turn.ended_by) {
            self.end_turn(kind);
        }
    }

    /// The turn has all its audio.
    pub(super) fn end_turn(&mut self, kind: Terminal) {
        let tail = self.intake.finish();
        self.deliver(tail);
        self.intake.reset();
        self.timers.stop(Timer::Terminal);
        self.timers.stop(Timer::Settle);
        let (Some(turn), Some(run)) = (self.turn.take(), self.text.front_mut()) else { return };
        run.voiced = run.taken;
        run.made += turn.bytes;
        run.attempts = 0;
        self.leftover = Some(Leftover::OtherThan(kind));
    }

    /// The turn will get no more audio on this link.
    pub(super) fn lose_turn(&mut self, reason: Truncation) {
        let Some(turn) = self.turn.take() else { return };
        let Some(run) = self.text.front_mut() else { return };
        run.attempts += 1;
        let unanswered = turn.bytes == 0 && run.attempts >= MAX_ATTEMPTS;
        if turn.bytes == 0 && !unanswered {
            run.taken = run.voiced;
            self.stats.replayed += 1;
            return;
        }
        if let Some(Run { utterance, text, voiced, made, .. }) = self.text.pop() {
            let spoken = duration_of(&self.config, made + turn.bytes);
            let reason = if unanswered { Truncation::Unanswered } else { reason };
            self.events.push_back(TtsEvent::Truncated { utterance, spoken, text, voiced, reason });
        }
    }

    pub(super) fn on_words(&mut self, words: &[(String, f64, f64)]) {
        let (Some(_), Some(run), Link::Ready) = (&self.turn, self.text.front(), self.link) else { return };
        let before = duration_of(&self.config, run.made);
        let at = |seconds: f64| before.saturating_add(types::seconds(seconds));
        let words = words.iter().map(|(text, start, end)| SpokenWord {
            text: text.clone(),
            start: at(*start),
            end: at(*end),
        });
        let event = TtsEvent::Words { utterance: run.utterance, words: words.collect() };
        self.events.push_back(event);
    }

    /// A flushed turn fell silent.
    pub(super) fn on_silence(&mut self) {
        let Some(turn) = &self.turn else { return };
        if let Some(kind) = turn.ended_by {
            // Fewer end markers than messages, but nothing more comes.
            return self.end_turn(kind);
        }
        let limit = self.config.terminal_timeout;
        if turn.flush == Some(FlushForm::Standalone) && !self.inline_only {
            self.inline_only = true;
            self.warn(codes::FLUSH_IGNORED, format!("no answer to a standalone `flush` within {limit:?}"));
        } else {
            self.warn(codes::NO_TERMINAL, format!("no end of the utterance within {limit:?}"));
        }
        self.retire(Truncation::WentSilent);
    }

    /// Ends every run at the front that has nothing left to voice.
    pub(super) fn settle_runs(&mut self) {
        while self.turn.is_none() && self.text.front().is_some_and(|run| run.flushed && !run.has_more()) {
            let Some(run) = self.text.pop() else { return };
            let duration = duration_of(&self.config, run.made);
            self.events.push_back(TtsEvent::UtteranceEnd { utterance: run.utterance, duration });
        }
    }

    fn policy(&self) -> FlushPolicy {
        let asked = self.config.flush_policy;
        if self.inline_only && asked == FlushPolicy::AsGiven { FlushPolicy::Batch } else { asked }
    }

    /// The next text or flush, if one may go out now.
    pub(super) fn next_text(&mut self) -> Option<Message> {
        if self.link != Link::Ready || self.turn.as_ref().is_some_and(|turn| turn.flush.is_some()) {
            return None;
        }
        let policy = self.policy();
        let run = self.text.front_mut()?;
        let (message, flush) = match run.next_piece(policy, self.config.max_text) {
            Some(piece) => {
                run.taken = piece.range.end;
                let text = &run.text[piece.range];
                let text = if piece.flush { text.trim() } else { text };
                let turn = self.turn.get_or_insert_with(Turn::new);
                turn.messages += 1;
                (ToTts::Text { text, flush: piece.flush }, piece.flush.then_some(FlushForm::Inline))
            }
            None if self.turn.is_some() && run.flushed => (ToTts::Flush, Some(FlushForm::Standalone)),
            None => return None,
        };
        let message = Message::Text(encode(&message));
        if let (Some(turn), Some(_)) = (&mut self.turn, flush) {
            turn.flush = flush;
            self.timers.after(Timer::Terminal, self.now, self.config.terminal_timeout);
        }
        Some(message)
    }

    /// Whether a close in good order is the end of `turn` rather than an accident in it.
    pub(super) fn closes_by_ending(&self, turn: &Turn) -> bool {
        let settling = turn.ends > 0 && self.terminals == Terminals::Unknown;
        turn.flush.is_some() && (settling || (turn.bytes > 0 && !self.marks_ends))
    }
}

impl Turn {
    const fn new() -> Self {
        Self { messages: 0, flush: None, bytes: 0, ends: 0, ended_by: None }
    }
}

fn duration_of(config: &TtsConfig, bytes: u64) -> Duration {
    let width = config.format.encoding.bytes_per_sample() as u64;
    config.format.rate.duration_of(bytes / width)
}

/// Links on which a text is tried before it is given up: the vendor's own client stops after as many.
const MAX_ATTEMPTS: u32 = 3;
/// Silence after an end marker that proves it was the turn's last, on a route not yet known.
const SETTLE: Duration = Duration::from_millis(300);

//! One turn's clock: when each step was done, and the shares of the caller's wait that follow from it.

use std::fmt;
use std::time::{Duration, Instant};

/// Which exchange of a call, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TurnId(u32);

impl TurnId {
    /// The turn with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The bare number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn {}", self.0)
    }
}

/// Where the time went between the caller's last word and the agent's first, as seen by the agent.
///
/// They add up to the whole span between first and last of its moments; what lies outside the
/// agent (the network and the provider's buffer) is added by whoever can measure it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shares {
    /// The way to the caller and back. Target 100 ms.
    pub network: Duration,
    /// From the caller's last word to the decision that the turn is over.
    pub end_of_turn: Duration,
    /// From that decision to the final transcript. Target 200 ms.
    pub stt: Duration,
    /// From the transcript to the reply's first words. Target 500 ms.
    pub responder: Duration,
    /// From the first sentence given to the first audio of it. Target 200 ms.
    pub tts: Duration,
    /// Waits of our own: collecting a sentence, conversion, pacing.
    pub queues: Duration,
    /// Audio the provider still held when ours arrived.
    pub provider: Duration,
}

impl Shares {
    /// What speech recognition may take (Plivo, Audio Streaming troubleshooting).
    pub const STT_TARGET: Duration = Duration::from_millis(200);
    /// What the responder may take.
    pub const RESPONDER_TARGET: Duration = Duration::from_millis(500);
    /// What speech synthesis may take.
    pub const TTS_TARGET: Duration = Duration::from_millis(200);
    /// What the network may take, there and back.
    pub const NETWORK_TARGET: Duration = Duration::from_millis(100);

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.named().iter().map(|(_, share, _)| *share).sum()
    }

    /// Each share with its name and its target, in the order in which they happen.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, Duration, Option<Duration>); 7] {
        [
            ("network", self.network, Some(Self::NETWORK_TARGET)),
            ("end_of_turn", self.end_of_turn, None),
            ("stt", self.stt, Some(Self::STT_TARGET)),
            ("responder", self.responder, Some(Self::RESPONDER_TARGET)),
            ("tts", self.tts, Some(Self::TTS_TARGET)),
            ("queues", self.queues, None),
            ("provider", self.provider, None),
        ]
    }
}

/// The moments of one turn, each set once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    last_word: Option<Instant>,
    turn_over: Option<Instant>,
    transcript: Option<Instant>,
    first_words: Option<Instant>,
    first_sentence: Option<Instant>,
    first_audio: Option<Instant>,
    first_sent: Option<Instant>,
}

impl Marks {
    /// The caller fell silent at `at`. Set again whenever the caller goes on after all.
    pub(crate) fn last_word(&mut self, at: Instant) {
        *self = Self { last_word: Some(at), ..Self::default() };
    }

    pub(crate) fn turn_over(&mut self, at: Instant) {
        self.turn_over = Some(at);
    }

    pub(crate) fn transcript(&mut self, at: Instant) {
        self.transcript = Some(at);
    }

    pub(crate) fn first_words(&mut self, at: Instant) {
        self.first_words.get_or_insert(at);
    }

    pub(crate) fn first_sentence(&mut self, at: Instant) {
        self.first_sentence.get_or_insert(at);
    }

    pub(crate) fn first_audio(&mut self, at: Instant) {
        self.first_audio.get_or_insert(at);
    }

    /// The first audio left for the provider. True the first time, if it answers somebody.
    pub(crate) fn first_sent(&mut self, at: Instant) -> bool {
        let first = self.first_sent.is_none() && self.transcript.is_some();
        self.first_sent.get_or_insert(at);
        first
    }

    /// The agent's own shares; a step that never happened took no time.
    pub(crate) fn shares(&self) -> Shares {
        let span = |from: Option<Instant>, to: Option<Instant>| match (from, to) {
            (Some(from), Some(to)) => to.saturating_duration_since(from),
            (None, _) | (_, None) => Duration::ZERO,
        };
        Shares {
            end_of_turn: span(self.last_word, self.turn_over),
            stt: span(self.turn_over, self.transcript),
            responder: span(self.transcript, self.first_words),
            tts: span(self.first_sentence, self.first_audio),
            queues: span(self.first_words, self.first_sentence) + span(self.first_audio, self.first_sent),
            ..Shares::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_span_from_the_last_word_to_the_first_audio_sent() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut marks = Marks::default();
        marks.last_word(at(0));
        marks.turn_over(at(500));
        marks.transcript(at(610));
        marks.first_words(at(900));
        marks.first_sentence(at(950));
        marks.first_audio(at(1_100));
        marks.first_sent(at(1_103));
        marks.first_sent(at(9_999));
        let shares = marks.shares();
        assert_eq!(shares.total(), Duration::from_millis(1_103));
        assert_eq!(shares.queues, Duration::from_millis(53));
    }
}

//! What was said to a speech session, and what must come of it: the rules, checked event by event.

use std::time::{Duration, Instant};

use voxline_protocol::Message;
use voxline_protocol::slng::TtsEvent;

use crate::pair::Received;
use crate::synthesiser::{UNIT_BYTES, UNITS, units};
use crate::tts::TtsPair;

/// Every word given, and how far it came.
#[derive(Debug, Default)]
pub(crate) struct Account {
    words: Vec<Given>,
    /// Clears so far.
    epoch: u32,
    /// Events, and arrivals on the link, accounted for.
    seen: (usize, usize),
    heard: Pieces,
    arrived: Pieces,
    /// The link was given up: what still comes on it is not counted.
    given_up: bool,
    /// The route has shown that it marks ends.
    pub(crate) marks_ends: bool,
    closing: bool,
    /// Events are taken late.
    lazy: bool,
    /// What arrives can be set against what is told.
    tracks: bool,
    /// Since when a clear is unanswered.
    clearing: Option<Instant>,
    pub(crate) heard_units: u64,
    pub(crate) ended: u64,
    pub(crate) truncated: u64,
    pub(crate) clears_answered: u64,
    closed: bool,
}

#[derive(Debug)]
struct Given {
    utterance: u64,
    epoch: u32,
    /// Units heard.
    units: u32,
    /// Units that reached the session before it was settled.
    arrived: u32,
    /// An event said what became of it.
    settled: bool,
}

impl Account {
    /// The text of `count` new words.
    pub(crate) fn give(&mut self, utterance: u64, count: u64, end: &str) -> String {
        let mut text = String::new();
        for index in 0..count {
            let number = self.words.len();
            self.words.push(Given { utterance, epoch: self.epoch, units: 0, arrived: 0, settled: false });
            let mark = if index + 1 == count { end } else { "" };
            text.push_str(&format!("w{number}{mark} "));
        }
        text
    }

    /// Call it before the clear is given.
    pub(crate) fn clear(&mut self, pair: &TtsPair) {
        self.check(pair);
        self.epoch += 1;
        self.heard = Pieces::default();
        self.clearing.get_or_insert(pair.now);
    }

    /// Call it before the close is given.
    pub(crate) fn close(&mut self, pair: &TtsPair) {
        self.check(pair);
        self.closing = true;
    }

    /// Every rule about what arrived and was told since the last check, in the order it happened.
    pub(crate) fn check(&mut self, pair: &TtsPair) {
        self.lazy = pair.lazy;
        self.tracks = pair.keep_received;
        let (events, arrivals) = self.seen;
        let mut arrivals = pair.received[arrivals..].iter().peekable();
        for (index, (at, event)) in pair.told.iter().enumerate().skip(events) {
            while let Some((_, what)) = arrivals.next_if(|(told, _)| *told <= index) {
                self.arrive(what);
            }
            assert!(!self.closed, "after the last event: {event:?}");
            match event {
                TtsEvent::Audio { utterance, audio } => self.hear(utterance.get(), audio),
                TtsEvent::UtteranceEnd { utterance, duration } => self.end(utterance.get(), *duration),
                TtsEvent::Truncated { text, voiced, .. } => self.truncate(text, *voiced),
                TtsEvent::LinkLost(_) => self.heard = Pieces::default(),
                TtsEvent::Cleared { .. } => self.cleared(*at),
                TtsEvent::Closed => self.closed = true,
                _ => {}
            }
        }
        arrivals.for_each(|(_, what)| self.arrive(what));
        self.seen = (pair.told.len(), pair.received.len());
        for (number, word) in self.words.iter().enumerate() {
            let current = word.epoch == self.epoch && !word.settled && self.tracks;
            assert!(!current || word.units == word.arrived, "fresh, and withheld: {word:?}, number {number}");
        }
    }

    fn arrive(&mut self, what: &Received) {
        match what {
            Received::NewLink => self.given_up = false,
            Received::GivenUp => self.given_up = true,
            Received::Message(message) if !self.given_up && !self.closing => self.take(message),
            Received::Message(_) => {}
        }
    }

    fn take(&mut self, message: &Message) {
        let audio = match message {
            Message::Binary(audio) if !audio.starts_with(b"{\"") => audio.clone(),
            Message::Text(text) if text.contains("audio_chunk") => {
                let chunk: serde_json::Value = serde_json::from_str(text).unwrap();
                base64_simd::STANDARD.decode_to_vec(chunk["data"].as_str().unwrap()).unwrap().into()
            }
            Message::Binary(_) | Message::Text(_) | Message::Close(_) => {
                let is_end = |text: &str| text.contains("audio_end") || text.contains("flushed");
                self.marks_ends |= matches!(message, Message::Text(text) if is_end(text));
                return self.arrived = Pieces::default();
            }
        };
        let header = if audio.starts_with(b"RIFF") { RIFF_HEADER } else { 0 };
        for (number, unit) in self.arrived.push(&audio[header..]) {
            // What is late after a clear may begin anywhere; then these numbers mean nothing.
            let word = self.words.get_mut(number as usize);
            if let Some(word) = word.filter(|word| word.epoch == self.epoch && !word.settled)
                && unit == word.arrived
            {
                word.arrived += 1;
            }
        }
    }

    fn hear(&mut self, utterance: u64, audio: &[u8]) {
        assert!(!self.closing || self.lazy, "{} bytes heard after the close", audio.len());
        for (number, unit) in self.heard.push(audio) {
            let word = &mut self.words[number as usize];
            assert_eq!(word.epoch, self.epoch, "stale: {word:?} heard after clear {}", self.epoch);
            assert_eq!(word.utterance, utterance, "word {number} is another utterance's");
            assert_eq!(word.units, unit, "word {number}: units are heard in order, once");
            assert!(!word.settled, "word {number} is heard after the event that ended it");
            word.units += 1;
            self.heard_units += 1;
        }
    }

    fn end(&mut self, utterance: u64, duration: Duration) {
        assert!(self.heard.0.is_empty(), "utterance {utterance} ended in the middle of a unit");
        let open = |word: &&mut Given| word.utterance == utterance && !word.settled;
        let mut made = 0;
        for word in self.words.iter_mut().filter(open) {
            assert_eq!(word.epoch, self.epoch, "utterance {utterance} ended after it was cleared");
            assert_eq!(word.units, UNITS, "utterance {utterance} ended with {word:?} unheard");
            word.settled = true;
            made += UNITS;
        }
        assert!(made > 0, "utterance {utterance} ended twice");
        // Eight bytes a unit, 32 bytes a millisecond.
        assert_eq!(duration, Duration::from_micros(u64::from(made) * 250), "utterance {utterance}");
        self.ended += 1;
    }

    fn truncate(&mut self, text: &str, voiced: usize) {
        self.heard = Pieces::default();
        let mut at = 0;
        for word in text.split_inclusive(' ') {
            at += word.len();
            let number: usize = word.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            let word = &mut self.words[number];
            assert_eq!(word.epoch, self.epoch, "word {number} truncated after it was cleared");
            assert!(!word.settled, "word {number} ended twice");
            assert!(at > voiced || word.units == UNITS, "word {number} is said to be voiced");
            assert!(!self.tracks || word.units == word.arrived, "word {number} was withheld, then truncated");
            word.settled = true;
        }
        self.truncated += 1;
    }

    fn cleared(&mut self, at: Instant) {
        let since = self.clearing.take();
        // A slow listener may find several answers at once.
        assert!(since.is_some() || self.lazy, "a clear is answered that nobody asked for");
        let took = since.map_or(Duration::ZERO, |since| at - since);
        assert!(self.lazy || took <= CLEAR_LIMIT, "a clear was answered after {took:?}");
        self.clears_answered += 1;
        assert!(
            self.clears_answered <= u64::from(self.epoch),
            "more clears are answered than were asked for"
        );
    }

    /// No word of the current epoch vanished, and no clear.
    pub(crate) fn expect_all_ended(&self) {
        assert_eq!(self.clearing, None, "a clear was never answered");
        for (number, word) in self.words.iter().enumerate().filter(|(_, word)| word.epoch == self.epoch) {
            assert!(word.settled, "word {number} vanished: {word:?}");
        }
    }

    /// The session is over, and said so.
    pub(crate) fn expect_closed(&self) {
        assert!(self.closed, "the end of the session was never told");
    }
}

/// Bytes to units, whatever the messages' borders.
#[derive(Debug, Default)]
struct Pieces(Vec<u8>);

impl Pieces {
    fn push(&mut self, audio: &[u8]) -> Vec<(u32, u32)> {
        self.0.extend_from_slice(audio);
        let whole = self.0.len() / UNIT_BYTES * UNIT_BYTES;
        let done = units(&self.0[..whole]).collect();
        self.0.drain(..whole);
        done
    }
}

/// The configured limit, after which the link is replaced.
const CLEAR_LIMIT: Duration = Duration::from_millis(300);
const RIFF_HEADER: usize = 44;

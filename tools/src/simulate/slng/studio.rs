//! The simulated synthesiser: turns of text in, tonetext out, faster than real time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::AudioFormat;
use voxline_protocol::slng::TtsServerCommand;

use crate::simulate::voice::{Block, Encoder};

/// One voice for all links of a gateway: block numbers run over everything it says, so that a listener can tell a
/// repeat from news.
///
/// A text whose link was lost before it was all sent is remembered, and sounds exactly the same when it is asked for
/// again: the gateway has a cache for whole texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Voice(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    next_number: u16,
    /// Texts that were not heard to their end, with their first block's number; the oldest is forgotten.
    unfinished: VecDeque<(String, u16)>,
}

impl Voice {
    /// Divides a text into blocks.
    fn plan(&self, text: &str) -> VecDeque<Block> {
        let mut memory = self.lock();
        let known = memory.unfinished.iter().position(|(unfinished, _)| unfinished == text);
        if let Some((_, number)) = known.and_then(|at| memory.unfinished.remove(at)) {
            return encoder(number).plan(text).into();
        }
        let mut encoder = encoder(memory.next_number);
        let plan = encoder.plan(text);
        memory.next_number = encoder.next_number();
        plan.into()
    }

    fn remember(&self, text: String, first: u16) {
        let mut memory = self.lock();
        if memory.unfinished.len() == UNFINISHED_TEXTS {
            memory.unfinished.pop_front();
        }
        memory.unfinished.push_back((text, first));
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Whole between any two statements that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one link's synthesiser has to say, and when.
#[derive(Debug)]
pub(super) struct Studio {
    voice: Voice,
    pace: Pace,
    format: AudioFormat,
    /// Turns whose text is not complete, or whose audio has not begun.
    waiting: VecDeque<Turn>,
    making: Option<Making>,
    /// The last text that was made whole: on its way, for all that is known here.
    last: Option<(String, u16)>,
}

/// How fast the simulated engine is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// From a turn's flush to its first audio.
    pub(super) first_audio: Duration,
    /// How many times faster than real time audio is made.
    pub(super) speed: f64,
}

#[derive(Debug)]
struct Turn {
    number: u64,
    text: String,
    flushed: Option<Instant>,
}

#[derive(Debug)]
struct Making {
    turn: u64,
    text: String,
    first: u16,
    blocks: VecDeque<Block>,
    due: Instant,
}

impl Studio {
    pub(super) const fn new(voice: Voice, pace: Pace, format: AudioFormat) -> Self {
        Self { voice, pace, format, waiting: VecDeque::new(), making: None, last: None }
    }

    /// More text of a turn.
    pub(super) fn add(&mut self, now: Instant, number: u64, text: &str, flush: bool) {
        if self.waiting.back().is_none_or(|turn| turn.number != number) {
            self.waiting.push_back(Turn { number, text: String::new(), flushed: None });
        }
        let Some(turn) = self.waiting.back_mut() else {
            unreachable!("one was pushed above if there was none")
        };
        turn.text.push_str(text);
        if flush {
            turn.flushed = Some(now);
        }
        self.begin_next();
    }

    /// Turns before this one are void.
    pub(super) fn clear(&mut self, before: u64) {
        self.waiting.retain(|turn| turn.number >= before);
        self.making.take_if(|making| making.turn < before);
        self.last = None;
        self.begin_next();
    }

    /// When there is something to send.
    pub(super) fn due(&self) -> Option<Instant> {
        self.making.as_ref().map(|making| making.due)
    }

    /// The next piece of audio, or the end of a turn, if it is due by `now`.
    pub(super) fn next(&mut self, now: Instant) -> Option<TtsServerCommand> {
        let making = self.making.as_mut().filter(|making| making.due <= now)?;
        let turn = making.turn;
        let Some(block) = making.blocks.pop_front() else {
            let done = self.making.take();
            self.last = done.map(|done| (done.text, done.first));
            self.begin_next();
            return Some(TtsServerCommand::End { turn });
        };
        making.due += block.duration().div_f64(self.pace.speed);
        Some(TtsServerCommand::Audio { turn, audio: sound(&block, self.format) })
    }

    /// The link is gone: what it may have lost will sound the same again.
    pub(super) fn abandon(&mut self) {
        let unfinished = self.making.take().map(|making| (making.text, making.first));
        for (text, first) in unfinished.into_iter().chain(self.last.take()) {
            self.voice.remember(text, first);
        }
    }

    fn begin_next(&mut self) {
        let Some(flushed) = self.waiting.front().and_then(|turn| turn.flushed) else { return };
        if self.making.is_some() {
            return;
        }
        let Some(turn) = self.waiting.pop_front() else { unreachable!("the front was looked at above") };
        let blocks = self.voice.plan(turn.text.trim());
        let first = blocks.front().map_or(0, |block| block.number);
        let due = flushed + self.pace.first_audio;
        self.making =
            Some(Making { turn: turn.number, text: turn.text.trim().to_owned(), first, blocks, due });
    }
}

fn encoder(first_number: u16) -> Encoder {
    // The rate only matters for sound, which is made block by block in the link's own format.
    Encoder::new(voxline_audio::SampleRate::Hz8000).with_speaker(SPEAKER).with_first_number(first_number)
}

fn sound(block: &Block, format: AudioFormat) -> Bytes {
    let samples = Encoder::new(format.rate).voice(block);
    let mut bytes = vec![0; samples.len() * format.encoding.bytes_per_sample()];
    format.encoding.encode(&samples, &mut bytes);
    Bytes::from(bytes)
}

/// The agent's voice, as distinct from any caller's.
const SPEAKER: u8 = 1;
/// A lost link leaves two texts at most; several links may be lost at once.
const UNFINISHED_TEXTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use voxline_audio::SampleRate;

    fn studio(voice: &Voice) -> Studio {
        let pace = Pace { first_audio: Duration::from_millis(100), speed: 4.0 };
        Studio::new(voice.clone(), pace, AudioFormat::linear16(SampleRate::Hz24000))
    }

    fn make(studio: &mut Studio, until: Instant) -> Vec<TtsServerCommand> {
        std::iter::from_fn(|| studio.next(until)).collect()
    }

    #[test]
    fn speech_begins_after_the_flush_and_ends_once() {
        let now = Instant::now();
        let mut studio = studio(&Voice::default());
        studio.add(now, 0, "One two ", false);
        assert_eq!(studio.due(), None, "nothing is flushed");
        studio.add(now, 0, "three.", true);
        assert_eq!(studio.due(), Some(now + Duration::from_millis(100)));
        assert!(make(&mut studio, now).is_empty());
        let made = make(&mut studio, now + Duration::from_secs(10));
        assert!(matches!(made.last(), Some(TtsServerCommand::End { turn: 0 })), "{made:?}");
        assert_eq!(made.iter().filter(|made| matches!(made, TtsServerCommand::End { .. })).count(), 1);
    }

    #[test]
    fn a_text_whose_link_was_lost_sounds_the_same_again() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let voice = Voice::default();
        let mut first = studio(&voice);
        first.add(now, 0, "The very same words.", true);
        let sounded = make(&mut first, later);
        first.abandon();
        let mut second = studio(&voice);
        second.add(now, 0, "The very same words.", true);
        assert_eq!(make(&mut second, later), sounded);
        second.add(now, 1, "The very same words.", true);
        assert_ne!(make(&mut second, later)[0], sounded[0], "said on purpose, it is said again");
    }

    #[test]
    fn a_clear_voids_what_was_not_said() {
        let now = Instant::now();
        let mut studio = studio(&Voice::default());
        studio.add(now, 0, "Old.", true);
        studio.add(now, 1, "Older.", true);
        studio.add(now, 2, "New.", true);
        studio.clear(2);
        let made = make(&mut studio, now + Duration::from_secs(10));
        assert!(
            made.iter().all(|made| !matches!(made, TtsServerCommand::Audio { turn: 0 | 1, .. })),
            "{made:?}"
        );
        assert!(matches!(made.last(), Some(TtsServerCommand::End { turn: 2 })));
    }
}

//! The heard ledger: for every utterance, from the text given to the words the caller heard.

mod stretch;
mod utterance;

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use voxline_audio::AudioFormat;

use super::playout::Heard;
use super::stream::{ClearedBy, PlivoEvent, SkipReason};
use super::types::{CheckpointName, StreamInfo};
use crate::UtteranceId;
use stretch::{Phase, Span, Stretch, Why};
use utterance::Utterance;
pub use utterance::{HeardUtterance, TextBasis};

/// Follows each utterance from its text to the caller's ear, and says once how it ended.
///
/// It stands beside whoever commands a [`PlivoStream`](super::PlivoStream), fed with what is given to
/// the stream and with the stream's events. No utterance is reported twice, and none is forgotten:
/// [`take`](Self::take) yields each exactly once, when nothing about it can change any more.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_audio::AudioFormat;
/// use voxline_protocol::UtteranceId;
/// use voxline_protocol::plivo::{HeardLedger, PlivoEvent};
///
/// let now = Instant::now();
/// let mut ledger = HeardLedger::new(AudioFormat::PHONE);
/// let hello = UtteranceId::FIRST;
/// ledger.text(hello, "Hello there.");
/// ledger.audio(now, hello, 8_000);
/// let mark = ledger.finish(hello); // goes to the stream behind the audio
/// ledger.handle(now + Duration::from_secs(1), &PlivoEvent::Played(mark));
/// let heard = ledger.take().unwrap();
/// assert_eq!((heard.text.as_str(), heard.complete), ("Hello there.", true));
/// assert!(ledger.take().is_none());
/// ```
#[derive(Debug)]
pub struct HeardLedger {
    format: AudioFormat,
    /// Bytes ever given to the stream.
    given: u64,
    /// Stretches between clears, oldest first; the last one is being given.
    stretches: VecDeque<Stretch>,
    utterances: VecDeque<Utterance>,
    marks: VecDeque<Mark>,
    mark_serial: u64,
    link_up: bool,
    /// Characters a second, by the last utterance that was finished.
    rate: f64,
    /// Up to this one all are over for good.
    over: Option<UtteranceId>,
    done: VecDeque<HeardUtterance>,
}

#[derive(Debug)]
struct Mark {
    name: CheckpointName,
    stretch: u64,
    at: u64,
}

impl HeardLedger {
    /// An empty ledger for a stream of `format`.
    #[must_use]
    pub fn new(format: AudioFormat) -> Self {
        Self {
            format,
            given: 0,
            stretches: VecDeque::from([Stretch::new(0, format, 0)]),
            utterances: VecDeque::new(),
            marks: VecDeque::new(),
            mark_serial: 0,
            link_up: true,
            rate: TYPICAL_RATE,
            over: None,
            done: VecDeque::new(),
        }
    }

    /// Adds text to `utterance`: a sentence, usually.
    pub fn text(&mut self, utterance: UtteranceId, text: &str) {
        if let Some(entry) = self.open_entry(utterance) {
            entry.text.push_str(text);
        }
    }

    /// Says that the text up to byte `text_end` is spoken `at` into the utterance's audio.
    pub fn word(&mut self, utterance: UtteranceId, at: Duration, text_end: usize) {
        let audio = self.format.bytes_in(at) as u64;
        if let Some(entry) = self.open_entry(utterance) {
            entry.anchor(audio, text_end, true);
        }
    }

    /// Says that `word`, the next one of the text, is spoken `until` this time in the utterance's audio. One that is
    /// not in the text, or was told before, changes nothing.
    pub fn spoken(&mut self, utterance: UtteranceId, until: Duration, word: &str) {
        let audio = self.format.bytes_in(until) as u64;
        if let Some(entry) = self.open_entry(utterance) {
            entry.spoken(audio, word);
        }
    }

    /// `bytes` of audio of `utterance` were given to the stream.
    pub fn audio(&mut self, now: Instant, utterance: UtteranceId, bytes: usize) {
        let given = self.given;
        if let Some(entry) = self.open_entry(utterance) {
            if entry.audio() == 0 {
                entry.start = given;
            }
            entry.end = given + bytes as u64;
        }
        self.wordless(now, bytes);
    }

    /// `bytes` of sound without words were given to the stream: a fade, a tone.
    pub fn wordless(&mut self, now: Instant, bytes: usize) {
        self.given += bytes as u64;
        if self.link_up {
            self.last().timeline.push(now, bytes);
        }
    }

    /// A mark behind the audio so far, which ends all the text so far: give it to the stream.
    #[must_use]
    pub fn mark(&mut self, utterance: UtteranceId) -> CheckpointName {
        if let Some(entry) = self.open_entry(utterance) {
            entry.anchor(entry.audio(), entry.text.len(), false);
        }
        self.checkpoint(utterance)
    }

    /// No more audio of `utterance` will come, which is all said; its last mark.
    #[must_use]
    pub fn finish(&mut self, utterance: UtteranceId) -> CheckpointName {
        let format = self.format;
        if let Some(entry) = self.open_entry(utterance) {
            entry.anchor(entry.audio(), entry.text.len(), false);
            entry.finished = true;
            entry.whole = true;
            let length = format.duration_of(entry.audio() as usize);
            let characters = entry.text.chars().count();
            if length > SHORT && characters > 0 {
                self.rate = characters as f64 / length.as_secs_f64();
            }
        }
        self.checkpoint(utterance)
    }

    /// No more audio of `utterance` will come, though its text is not all said; its last mark.
    #[must_use]
    pub fn give_up(&mut self, utterance: UtteranceId) -> CheckpointName {
        if let Some(entry) = self.open_entry(utterance) {
            entry.finished = true;
        }
        self.checkpoint(utterance)
    }

    /// A clear is being asked for: what is given from now on belongs to the time after it. After a
    /// [`pause`](Self::pause) the stream needs no other clear.
    pub fn clear(&mut self) {
        for utterance in &mut self.utterances {
            utterance.finished = true;
        }
        let given = self.given;
        let last = self.last();
        let number = last.number;
        match last.phase {
            Phase::Paused => {
                let span = last.settled(last.timeline.format(), &Heard::default());
                self.stretches.pop_back();
                self.marks.retain(|mark| mark.stretch != number);
                self.seal(number, span, |_| true);
            }
            Phase::Confirmed { rest, .. } => last.phase = Phase::Confirmed { why: Why::Clear, rest },
            Phase::Open | Phase::Asked(_) => last.phase = Phase::Asked(Why::Clear),
        }
        self.stretches.push_back(Stretch::new(number + 1, self.format, given));
    }

    /// A clear is being asked for behind all that was given, and what it drops is kept to be
    /// [resumed](Self::resume): no utterance ends. Until then nothing may be given.
    pub fn pause(&mut self) {
        let last = self.last();
        if last.phase == Phase::Open {
            last.phase = Phase::Asked(Why::Pause);
        }
    }

    /// What the clear of a [`pause`](Self::pause) dropped is given to the stream again, all of it: the marks to be
    /// given with it, each behind so many of its bytes. `None` while nothing is paused, or that clear is not settled.
    pub fn resume(&mut self, now: Instant) -> Option<Vec<(usize, CheckpointName)>> {
        let (given, link_up) = (self.given, self.link_up);
        let last = self.last();
        if last.phase != Phase::Paused {
            return None;
        }
        last.phase = Phase::Open;
        let (number, start) = (last.number, last.start);
        if link_up && given > start {
            last.timeline.push(now, (given - start) as usize);
        }
        let marks = self.marks.iter().filter(|mark| mark.stretch == number);
        Some(marks.map(|mark| (mark.at.saturating_sub(start) as usize, mark.name.clone())).collect())
    }

    /// Takes an event of the stream.
    pub fn handle(&mut self, now: Instant, event: &PlivoEvent) {
        match event {
            PlivoEvent::Played(name) => self.on_mark(now, name, true),
            PlivoEvent::Skipped { name, why: SkipReason::LinkLost | SkipReason::TimedOut } => {
                self.on_mark(now, name, false);
            }
            PlivoEvent::Skipped { name, .. } => self.on_mark_dropped(name),
            PlivoEvent::Cleared { by: ClearedBy::Us, unheard, .. } => self.on_cleared(unheard.len()),
            PlivoEvent::Cleared { by: ClearedBy::Peer, unheard, heard, .. } => {
                self.on_peer_clear(now, heard, unheard.len() as u64);
            }
            PlivoEvent::ClearSettled { heard, .. } => self.on_settled(heard),
            PlivoEvent::LinkLost { heard, .. } => {
                self.link_up = false;
                self.on_loss(now, heard, 0);
            }
            PlivoEvent::Started(info) => self.on_started(now, info),
            PlivoEvent::Cleared { by: ClearedBy::Restart, .. }
            | PlivoEvent::Closed
            | PlivoEvent::PlayFailed { .. } => self.on_end(now),
            PlivoEvent::Dtmf(_)
            | PlivoEvent::Garbled { .. }
            | PlivoEvent::Gap { .. }
            | PlivoEvent::Media(_)
            | PlivoEvent::Unexpected { .. }
            | PlivoEvent::Unhandled { .. } => {}
        }
    }

    /// What the caller has heard of `utterance` by `now`. `None` if it is unknown, or already taken.
    #[must_use]
    pub fn heard(&self, now: Instant, utterance: UtteranceId) -> Option<HeardUtterance> {
        let entry = self.utterances.iter().find(|entry| entry.id == utterance)?;
        let stretch = self.stretches.iter().find(|stretch| stretch.number == entry.stretch)?;
        Some(entry.report(self.format, stretch.span(now), self.rate))
    }

    /// What is heard of `utterance` when this much of its audio is, and at most this much: for an outlet beside the
    /// stream that says so itself. The stream's own word is not asked. `None` if it is unknown, or already taken.
    #[must_use]
    pub fn heard_by(
        &self,
        utterance: UtteranceId,
        heard: RangeInclusive<Duration>,
    ) -> Option<HeardUtterance> {
        let entry = self.utterances.iter().find(|entry| entry.id == utterance)?;
        let (at_least, at_most) = heard.into_inner();
        let likely = at_least + at_most.saturating_sub(at_least) / 2;
        let span = [at_least, likely, at_most].map(|time| entry.start + self.format.bytes_in(time) as u64);
        Some(entry.report(self.format, span, self.rate))
    }

    /// The next utterance about which nothing can change any more.
    pub fn take(&mut self) -> Option<HeardUtterance> {
        self.done.pop_front()
    }

    /// The entry of an utterance to which something may be added.
    fn open_entry(&mut self, id: UtteranceId) -> Option<&mut Utterance> {
        if self.over.is_some_and(|over| id <= over) {
            return None;
        }
        let index = self.utterances.iter().position(|entry| entry.id == id).unwrap_or_else(|| {
            let stretch = self.last().number;
            self.utterances.push_back(Utterance::new(id, stretch, self.given));
            self.utterances.len() - 1
        });
        Some(&mut self.utterances[index]).filter(|entry| !entry.finished)
    }

    fn checkpoint(&mut self, utterance: UtteranceId) -> CheckpointName {
        self.mark_serial += 1;
        let name = CheckpointName::from(format!("u{}.{}", utterance.get(), self.mark_serial));
        let stretch = self.last().number;
        self.marks.push_back(Mark { name: name.clone(), stretch, at: self.given });
        name
    }

    fn last(&mut self) -> &mut Stretch {
        let Some(last) = self.stretches.back_mut() else {
            unreachable!("only `clear` and `on_end` take the last, and add another")
        };
        last
    }

    fn stretch(&mut self, number: u64) -> Option<&mut Stretch> {
        self.stretches.iter_mut().find(|stretch| stretch.number == number)
    }

    fn on_mark(&mut self, now: Instant, name: &CheckpointName, acknowledged: bool) {
        let Some(index) = self.marks.iter().position(|mark| mark.name == *name) else { return };
        let Some(Mark { stretch: number, at, .. }) = self.marks.remove(index) else { return };
        let Some(stretch) = self.stretch(number) else { return };
        if acknowledged {
            stretch.acknowledge(at);
        }
        let [low, likely, high] = stretch.span(now);
        // Nobody will say more of a mark that was not acknowledged: the likeliest is that it was heard long ago.
        let span = [low, likely.max(at), high.max(at)];
        self.seal(number, span, |utterance| utterance.finished && utterance.end <= at);
    }

    /// A clear, a failure or the end overtook a mark; one that is paused with its audio is given again with it.
    fn on_mark_dropped(&mut self, name: &CheckpointName) {
        let pausing =
            |number| self.stretches.iter().any(|stretch| stretch.number == number && stretch.is_pausing());
        let dropped = self.marks.iter().position(|mark| mark.name == *name && !pausing(mark.stretch));
        if let Some(index) = dropped {
            self.marks.remove(index);
        }
    }

    fn on_cleared(&mut self, unheard: usize) {
        let rest = self.given.saturating_sub(unheard as u64);
        for stretch in &mut self.stretches {
            if let Phase::Asked(why) = stretch.phase {
                stretch.phase = Phase::Confirmed { why, rest };
                return;
            }
        }
    }

    /// The stream says for good what was heard of the oldest stretch.
    fn on_settled(&mut self, heard: &Heard) {
        let format = self.format;
        let Some(stretch) = self.stretches.front_mut() else { return };
        let Phase::Confirmed { why, rest } = stretch.phase else { return };
        let (number, [low, likely, high]) = (stretch.number, stretch.settled(format, heard));
        match why {
            Why::Clear => {
                self.stretches.pop_front();
                self.seal(number, [low, likely, high], |_| true);
            }
            Why::Pause => {
                // What is not given again counts as heard.
                let span = [low, likely.max(rest), high.max(rest)];
                *stretch = stretch.resumed_at(format, rest, span);
                stretch.phase = Phase::Paused;
                self.marks.retain(|mark| mark.stretch != number || mark.at > rest);
                self.seal(number, span, |utterance| utterance.finished && utterance.end <= rest);
            }
        }
    }

    /// Audio was lost at Plivo: `lost` bytes after the likeliest position, or none where they resume.
    fn on_loss(&mut self, now: Instant, heard: &Heard, lost: u64) -> Option<(u64, Span, u64)> {
        let (format, link_up) = (self.format, self.link_up);
        let stretch = self.stretches.iter_mut().find(|stretch| stretch.is_current())?;
        let resume = stretch.start + format.bytes_in(heard.played) as u64 + lost;
        let end = stretch.timeline.end().max(resume);
        let before = stretch.settled(format, heard);
        *stretch = stretch.resumed_at(format, resume, before);
        if link_up && end > resume {
            stretch.timeline.push(now, (end - resume) as usize);
        }
        Some((stretch.number, before, resume))
    }

    /// Plivo dropped what it held; what ends in there is over, and was not heard.
    fn on_peer_clear(&mut self, now: Instant, heard: &Heard, lost: u64) {
        let Some((number, before, resume)) = self.on_loss(now, heard, lost) else { return };
        self.seal(number, before, |utterance| utterance.finished && utterance.end <= resume);
        let gap = resume - lost..resume;
        for utterance in &mut self.utterances {
            utterance.holed |=
                utterance.stretch == number && utterance.start < gap.end && utterance.end > gap.start;
        }
    }

    fn on_started(&mut self, now: Instant, info: &StreamInfo) {
        if info.format != self.format {
            // All of the other format was dropped before this.
            self.format = info.format;
            let number = self.last().number;
            *self.last() = Stretch::new(number, info.format, self.given);
        }
        if self.link_up {
            return;
        }
        self.link_up = true;
        let given = self.given;
        let last = self.last();
        let waiting = given.saturating_sub(last.timeline.end());
        if waiting > 0 && last.phase != Phase::Paused {
            last.timeline.push(now, waiting as usize);
        }
    }

    /// Nothing given so far will be heard any further.
    fn on_end(&mut self, now: Instant) {
        let newest = self.utterances.iter().map(|utterance| utterance.id).max();
        self.over = self.over.max(newest);
        let number = self.last().number;
        for stretch in std::mem::take(&mut self.stretches) {
            self.seal(stretch.number, stretch.span(now), |_| true);
        }
        self.marks.clear();
        self.stretches.push_back(Stretch::new(number + 1, self.format, self.given));
    }

    fn seal(&mut self, stretch: u64, span: Span, over: impl Fn(&Utterance) -> bool) {
        let (format, rate) = (self.format, self.rate);
        let (done, open): (VecDeque<_>, _) =
            self.utterances.drain(..).partition(|utterance| utterance.stretch == stretch && over(utterance));
        self.utterances = open;
        self.done.extend(done.iter().map(|utterance| utterance.report(format, span, rate)));
    }
}

/// Characters a second of speech takes until the voice has shown its own pace: about 150 words a minute.
const TYPICAL_RATE: f64 = 15.0;
/// Utterances shorter than this say little about the rate.
const SHORT: Duration = Duration::from_millis(500);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]
mod tests;

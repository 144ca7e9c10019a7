//! The heard ledger: for every utterance, from the text given to the words the caller heard.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use voxline_audio::AudioFormat;

use super::playout::Heard;
use super::stream::{ClearedBy, PlivoEvent, SkipReason};
use super::timeline::Timeline;
use super::types::CheckpointName;
use crate::UtteranceId;

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
    /// Stretches between clears and link losses, the open one last.
    stretches: VecDeque<Stretch>,
    utterances: VecDeque<Utterance>,
    marks: VecDeque<Mark>,
    mark_serial: u64,
    link_up: bool,
    done: VecDeque<HeardUtterance>,
}

/// How an utterance ended.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardUtterance {
    /// Which one.
    pub utterance: UtteranceId,
    /// How much of its audio was heard.
    pub heard: Heard,
    /// How much audio of it was given to the stream.
    pub given: Duration,
    /// Its text up to there, in whole words: what belongs in the history.
    pub text: String,
    /// How the text's end was found.
    pub basis: TextBasis,
    /// Whether the caller heard all of it.
    pub complete: bool,
}

/// How a position in audio became a position in text.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextBasis {
    /// All or nothing of it was heard: there is nothing to find.
    Exact,
    /// Proportionally between two known places.
    Proportional,
    /// At an assumed rate of speech, since the end of its audio was not known yet.
    Rate,
    /// By the times of its words.
    Words,
}

#[derive(Debug)]
struct Stretch {
    start: u64,
    timeline: Timeline,
    acked: u64,
    /// What was reached before a loss that this stretch resumes from: least, likeliest, greatest.
    before: [u64; 3],
    /// The application asked for its end.
    cleared: bool,
    /// The stream has confirmed that it dropped the rest.
    confirmed: bool,
}

#[derive(Debug)]
struct Utterance {
    id: UtteranceId,
    text: String,
    /// Places where text and audio are known to meet: bytes of audio, bytes of text.
    anchors: Vec<Anchor>,
    start: u64,
    end: u64,
    finished: bool,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    audio: u64,
    text: usize,
    word: bool,
}

#[derive(Debug)]
struct Mark {
    name: CheckpointName,
    at: u64,
}

impl HeardLedger {
    /// An empty ledger for a stream of `format`.
    #[must_use]
    pub fn new(format: AudioFormat) -> Self {
        Self {
            format,
            given: 0,
            stretches: VecDeque::from([Stretch::new(format, 0)]),
            utterances: VecDeque::new(),
            marks: VecDeque::new(),
            mark_serial: 0,
            link_up: true,
            done: VecDeque::new(),
        }
    }

    /// Adds text to `utterance`: a sentence, usually.
    pub fn text(&mut self, utterance: UtteranceId, text: &str) {
        self.entry(utterance).text.push_str(text);
    }

    /// Says that the text up to byte `text_end` is spoken `at` into the utterance's audio.
    pub fn word(&mut self, utterance: UtteranceId, at: Duration, text_end: usize) {
        let audio = self.format.bytes_in(at) as u64;
        self.entry(utterance).anchor(audio, text_end, true);
    }

    /// `bytes` of audio of `utterance` were given to the stream.
    pub fn audio(&mut self, now: Instant, utterance: UtteranceId, bytes: usize) {
        let given = self.given;
        let entry = self.entry(utterance);
        if entry.end == entry.start {
            entry.start = given;
        }
        entry.end = given + bytes as u64;
        self.given += bytes as u64;
        if self.link_up {
            self.open().timeline.push(now, bytes);
        }
    }

    /// A mark behind the audio so far, which ends all the text so far: give it to the stream.
    #[must_use]
    pub fn mark(&mut self, utterance: UtteranceId) -> CheckpointName {
        let at = self.given;
        let entry = self.entry(utterance);
        entry.anchor(entry.end - entry.start, entry.text.len(), false);
        self.mark_serial += 1;
        let name = CheckpointName::from(format!("u{}.{}", utterance.get(), self.mark_serial));
        self.marks.push_back(Mark { name: name.clone(), at });
        name
    }

    /// No more audio of `utterance` will come; its last mark.
    #[must_use]
    pub fn finish(&mut self, utterance: UtteranceId) -> CheckpointName {
        self.entry(utterance).finished = true;
        self.mark(utterance)
    }

    /// A clear is being asked for: what is given from now on belongs to the time after it.
    pub fn clear(&mut self) {
        self.open().cleared = true;
        for utterance in &mut self.utterances {
            utterance.finished = true;
        }
        self.stretches.push_back(Stretch::new(self.format, self.given));
    }

    /// Takes an event of the stream.
    pub fn handle(&mut self, now: Instant, event: &PlivoEvent) {
        match event {
            PlivoEvent::Played(name) => self.on_mark(now, name, true),
            PlivoEvent::Skipped { name, why: SkipReason::LinkLost | SkipReason::TimedOut } => {
                self.on_mark(now, name, false);
            }
            PlivoEvent::Skipped { name, .. } => self.marks.retain(|mark| mark.name != *name),
            PlivoEvent::Cleared { by: ClearedBy::Us, .. } => {
                let stretch = self.stretches.iter_mut().find(|stretch| !stretch.confirmed);
                if let Some(stretch) = stretch {
                    stretch.confirmed = true;
                }
            }
            PlivoEvent::Cleared { by: ClearedBy::Peer, unheard, heard, .. } => {
                self.on_loss(now, heard, unheard.len() as u64);
            }
            PlivoEvent::ClearSettled { heard, .. } => self.on_settled(heard),
            PlivoEvent::LinkLost { heard, .. } => {
                self.link_up = false;
                self.on_loss(now, heard, 0);
            }
            PlivoEvent::Started(info) => {
                self.format = info.format;
                self.on_started(now);
            }
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
        Some(entry.report(self.format, self.span(now)))
    }

    /// The next utterance about which nothing can change any more.
    pub fn take(&mut self) -> Option<HeardUtterance> {
        self.done.pop_front()
    }

    fn entry(&mut self, id: UtteranceId) -> &mut Utterance {
        let index = self.utterances.iter().position(|entry| entry.id == id).unwrap_or_else(|| {
            self.utterances.push_back(Utterance::new(id, self.given));
            self.utterances.len() - 1
        });
        &mut self.utterances[index]
    }

    fn open(&mut self) -> &mut Stretch {
        if self.stretches.is_empty() {
            self.stretches.push_back(Stretch::new(self.format, self.given));
        }
        let last = self.stretches.len() - 1;
        &mut self.stretches[last]
    }

    /// Least, likeliest and greatest offset heard, over all that was given.
    fn span(&self, now: Instant) -> [u64; 3] {
        let mut span = [0; 3];
        for stretch in &self.stretches {
            let high = stretch.timeline.position(now).max(stretch.acked);
            let likely =
                now.checked_sub(LIKELY_DELAY).map_or(stretch.start, |then| stretch.timeline.position(then));
            let reached = [stretch.acked, likely.max(stretch.acked), high];
            if reached[2] > stretch.start {
                span = furthest(span, reached);
            }
            span = furthest(span, stretch.before);
        }
        span
    }

    fn on_mark(&mut self, now: Instant, name: &CheckpointName, acknowledged: bool) {
        let Some(index) = self.marks.iter().position(|mark| mark.name == *name) else { return };
        let Some(mark) = self.marks.remove(index) else { return };
        if acknowledged {
            let holder = self.stretches.iter_mut().rev().find(|stretch| stretch.start <= mark.at);
            if let Some(stretch) = holder {
                stretch.acked = stretch.acked.max(mark.at);
            }
        }
        let mut span = self.span(now);
        if !acknowledged {
            // Nobody will say more: the likeliest is that it was heard long ago.
            span[1] = span[1].max(mark.at);
        }
        self.seal(span, |utterance| utterance.finished && utterance.end <= mark.at);
    }

    /// The stream says for good what was heard of the oldest stretch.
    fn on_settled(&mut self, heard: &Heard) {
        if !self.stretches.front().is_some_and(|stretch| stretch.cleared) {
            return;
        }
        let Some(stretch) = self.stretches.pop_front() else { return };
        let end = self.stretches.front().map_or(self.given, |next| next.start);
        let span = furthest(offsets(self.format, stretch.start, heard), stretch.before);
        self.seal(span, |utterance| utterance.finished && utterance.end <= end);
    }

    /// Audio was lost at Plivo: `lost` bytes after the likeliest position, or none where they resume.
    fn on_loss(&mut self, now: Instant, heard: &Heard, lost: u64) {
        let Some(index) = self.stretches.iter().position(|stretch| !stretch.confirmed) else { return };
        let format = self.format;
        let stretch = &mut self.stretches[index];
        let resume = stretch.start + format.bytes_in(heard.played) as u64 + lost;
        let end = stretch.timeline.end().max(resume);
        let before = furthest(offsets(format, stretch.start, heard), stretch.before);
        *stretch = Stretch { before, cleared: stretch.cleared, ..Stretch::new(format, resume) };
        if self.link_up && end > resume {
            stretch.timeline.push(now, (end - resume) as usize);
        }
    }

    fn on_started(&mut self, now: Instant) {
        if self.link_up {
            return;
        }
        self.link_up = true;
        let given = self.given;
        let stretch = self.open();
        let waiting = given.saturating_sub(stretch.timeline.end());
        if waiting > 0 {
            stretch.timeline.push(now, waiting as usize);
        }
    }

    /// Nothing given so far will be heard any further.
    fn on_end(&mut self, now: Instant) {
        let span = self.span(now);
        self.seal(span, |_| true);
        self.marks.clear();
        self.stretches = VecDeque::from([Stretch::new(self.format, self.given)]);
    }

    fn seal(&mut self, span: [u64; 3], over: impl Fn(&Utterance) -> bool) {
        let format = self.format;
        let (done, open): (VecDeque<_>, _) = self.utterances.drain(..).partition(|utterance| over(utterance));
        self.utterances = open;
        self.done.extend(done.iter().map(|utterance| utterance.report(format, span)));
    }
}

impl Stretch {
    fn new(format: AudioFormat, start: u64) -> Self {
        Self {
            start,
            timeline: Timeline::new(format, start),
            acked: start,
            before: [0; 3],
            cleared: false,
            confirmed: false,
        }
    }
}

impl Utterance {
    const fn new(id: UtteranceId, start: u64) -> Self {
        Self { id, text: String::new(), anchors: Vec::new(), start, end: start, finished: false }
    }

    fn anchor(&mut self, audio: u64, text: usize, word: bool) {
        let text = text.min(self.text.len());
        let index = self.anchors.partition_point(|anchor| anchor.audio <= audio);
        self.anchors.insert(index, Anchor { audio, text, word });
    }

    fn report(&self, format: AudioFormat, span: [u64; 3]) -> HeardUtterance {
        let own = span.map(|offset| offset.clamp(self.start, self.end) - self.start);
        let [at_least, played, at_most] = own.map(|bytes| format.duration_of(bytes as usize));
        let complete = self.finished && own[1] == self.end - self.start;
        let (text_end, basis) = self.text_at(format, own[1], complete);
        HeardUtterance {
            utterance: self.id,
            heard: Heard { at_least, played, at_most },
            given: format.duration_of((self.end - self.start) as usize),
            text: self.text[..text_end].to_owned(),
            basis,
            complete,
        }
    }

    /// Where the text ends that is spoken by `audio`, as a byte of it at the end of a word.
    fn text_at(&self, format: AudioFormat, audio: u64, complete: bool) -> (usize, TextBasis) {
        if audio == 0 || complete {
            return (if complete { self.text.len() } else { 0 }, TextBasis::Exact);
        }
        let next = self.anchors.iter().find(|anchor| anchor.audio > audio);
        let last = self.anchors.iter().rev().find(|anchor| anchor.audio <= audio);
        let from = last.copied().unwrap_or(Anchor { audio: 0, text: 0, word: false });
        let (end, basis) = match next {
            Some(next) if next.word => return (self.boundary(from.text), TextBasis::Words),
            Some(next) => {
                let share = (audio - from.audio) as f64 / (next.audio - from.audio) as f64;
                let text = next.text.saturating_sub(from.text) as f64;
                (from.text + (text * share) as usize, TextBasis::Proportional)
            }
            None if from.word && from.text == self.text.len() => return (from.text, TextBasis::Words),
            None => {
                let seconds = format.duration_of((audio - from.audio) as usize).as_secs_f64();
                (from.text + (seconds * RATE_OF_SPEECH) as usize, TextBasis::Rate)
            }
        };
        (self.boundary(end), basis)
    }

    /// The end of the last whole word within the first `end` bytes.
    fn boundary(&self, end: usize) -> usize {
        if end >= self.text.len() {
            return self.text.len();
        }
        let ends_word = |at: &usize| {
            self.text.is_char_boundary(*at)
                && self.text[*at..].starts_with(char::is_whitespace)
                && !self.text[..*at].ends_with(char::is_whitespace)
        };
        (0..=end).rev().find(ends_word).unwrap_or(0)
    }
}

fn furthest(one: [u64; 3], other: [u64; 3]) -> [u64; 3] {
    [0, 1, 2].map(|index| one[index].max(other[index]))
}

fn offsets(format: AudioFormat, start: u64, heard: &Heard) -> [u64; 3] {
    [heard.at_least, heard.played, heard.at_most].map(|span| start + format.bytes_in(span) as u64)
}

/// One way to Plivo, until the stream settles what was heard.
const LIKELY_DELAY: Duration = Duration::from_millis(30);
/// Bytes of text a second of speech takes: about 150 words a minute.
const RATE_OF_SPEECH: f64 = 15.0;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin; only differences matter")]
mod tests {
    use super::*;

    const ONE: UtteranceId = UtteranceId::new(1);
    const TWO: UtteranceId = UtteranceId::new(2);

    fn settled(at_least: u64, played: u64, at_most: u64) -> [PlivoEvent; 2] {
        let millis = Duration::from_millis;
        let heard = Heard { at_least: millis(at_least), played: millis(played), at_most: millis(at_most) };
        [
            PlivoEvent::Cleared {
                dropped: Duration::ZERO,
                unheard: bytes::Bytes::new(),
                heard,
                by: ClearedBy::Us,
            },
            PlivoEvent::ClearSettled { heard, acknowledged: true },
        ]
    }

    fn two_sentences(now: Instant) -> (HeardLedger, Vec<CheckpointName>) {
        let mut ledger = HeardLedger::new(AudioFormat::PHONE);
        ledger.text(ONE, "One two three four. ");
        ledger.audio(now, ONE, 16_000);
        let first = ledger.mark(ONE);
        ledger.text(ONE, "Five six seven eight.");
        ledger.audio(now, ONE, 16_000);
        let last = ledger.finish(ONE);
        (ledger, vec![first, last])
    }

    #[test]
    fn an_interrupted_utterance_is_cut_to_whole_words_once() {
        let now = Instant::now();
        for (played, text, basis) in [
            (0, "", TextBasis::Exact),
            (1_000, "One two", TextBasis::Proportional),
            (2_000, "One two three four.", TextBasis::Proportional),
            (3_200, "One two three four. Five six", TextBasis::Proportional),
            (4_000, "One two three four. Five six seven eight.", TextBasis::Exact),
        ] {
            let (mut ledger, _) = two_sentences(now);
            ledger.clear();
            ledger.audio(now, TWO, 160);
            for event in settled(0, played, 4_000) {
                ledger.handle(now, &event);
            }
            let cut = ledger.take().unwrap();
            assert_eq!(
                (cut.text.as_str(), cut.basis, cut.complete),
                (text, basis, played == 4_000),
                "{played}"
            );
            assert_eq!(ledger.take(), None);
            assert!(ledger.heard(now, ONE).is_none());
            assert!(ledger.heard(now, TWO).is_some());
        }
    }

    #[test]
    fn word_times_decide_where_they_are_given() {
        let now = Instant::now();
        let mut ledger = HeardLedger::new(AudioFormat::PHONE);
        ledger.text(ONE, "Wait a minute");
        for (at, end) in [(900, 4), (950, 6), (1_500, 13)] {
            ledger.word(ONE, Duration::from_millis(at), end);
        }
        ledger.audio(now, ONE, 16_000);
        ledger.clear();
        for event in settled(0, 940, 1_000) {
            ledger.handle(now, &event);
        }
        let cut = ledger.take().unwrap();
        assert_eq!((cut.text.as_str(), cut.basis), ("Wait", TextBasis::Words));
    }

    #[test]
    fn an_acknowledged_mark_raises_the_lower_end() {
        let now = Instant::now();
        let (mut ledger, marks) = two_sentences(now);
        let later = now + Duration::from_millis(2_100);
        ledger.handle(later, &PlivoEvent::Played(marks[0].clone()));
        let heard = ledger.heard(later, ONE).unwrap().heard;
        assert_eq!(heard.at_least, Duration::from_secs(2));
        assert_eq!(heard.at_most, Duration::from_millis(2_100));
        ledger.handle(later, &PlivoEvent::Played(marks[1].clone()));
        assert!(ledger.take().unwrap().complete);
    }

    #[test]
    fn an_overdue_mark_still_ends_its_utterance() {
        let now = Instant::now();
        let (mut ledger, marks) = two_sentences(now);
        let name = marks[1].clone();
        let later = now + Duration::from_secs(7);
        ledger.handle(later, &PlivoEvent::Skipped { name, why: SkipReason::TimedOut });
        let heard = ledger.take().unwrap();
        assert!(heard.complete);
        assert_eq!(heard.heard.at_least, Duration::ZERO);
    }
}

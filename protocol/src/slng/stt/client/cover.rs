//! Transcripts, their places, and how much audio they settle.

use std::time::{Duration, Instant};

use super::{Link, SttClient, Timer};
use crate::slng::stt::SttEvent;
use crate::slng::wire::Speech;
use crate::slng::{Transcript, Word};

impl SttClient {
    pub(super) fn on_partial(&mut self, speech: Speech) {
        if self.link != Link::Ready || speech.text.is_empty() {
            return;
        }
        self.partials_seen = true;
        if self.told_end(&speech).is_some_and(|end| end <= self.covered) {
            self.stats.duplicates += 1;
            return;
        }
        let transcript = self.place(speech, self.hold.next());
        self.partial_pending = true;
        self.useful = true;
        self.progress();
        self.events.push_back(SttEvent::Partial(transcript));
    }

    pub(super) fn on_final(&mut self, mut speech: Speech) {
        if self.link != Link::Ready {
            return;
        }
        self.progress();
        if speech.text.is_empty() {
            // It is not about the speech of which we have a partial: that one's final is still to come.
            if !self.partial_pending {
                self.answer_mark();
            }
            return;
        }
        let goes_back = self.told_end(&speech).map(|end| end <= self.covered);
        if self.repeats_last(&speech.text, goes_back) {
            self.stats.duplicates += 1;
            return;
        }
        if goes_back == Some(true) || self.is_beyond(&speech) {
            // Other words in a place already told, or words in a place never sent: these times do not count
            // from the link's first sample.
            speech.words.clear();
            speech.span = None;
        }
        let end = self.end_of(&speech);
        let transcript = self.place(speech, end);
        self.partial_pending = false;
        self.useful = true;
        self.cover(transcript.end);
        self.events.push_back(SttEvent::Final(transcript));
        self.answer_mark();
    }

    /// Where a transcript ends by its own account.
    fn told_end(&self, speech: &Speech) -> Option<u64> {
        let seconds = speech.span.map(|(_, end)| end).or_else(|| speech.words.last().map(|word| word.end))?;
        Some(self.at(seconds))
    }

    /// Whether a transcript ends, by its own account, long after the last sample it can have heard.
    fn is_beyond(&self, speech: &Speech) -> bool {
        let heard = self.hold.next().saturating_add(self.config.rate.samples_in(CLOCK_ERROR));
        self.told_end(speech).is_some_and(|end| end > heard)
    }

    /// Whether a final says the last one again: in the same place or, without times, with nothing sent in between.
    fn repeats_last(&mut self, text: &str, goes_back: Option<bool>) -> bool {
        let sent = self.hold.next();
        let same = self.last_final.as_ref().is_some_and(|(last, _)| last == text);
        let nothing_sent = self.last_final.as_ref().is_some_and(|(_, then)| *then == sent);
        self.last_final = Some((text.to_owned(), sent));
        same && goes_back.unwrap_or(nothing_sent)
    }

    /// How far a final reaches, by the rules in the type's documentation.
    fn end_of(&self, speech: &Speech) -> u64 {
        let end = match (self.told_end(speech), self.marks.front()) {
            (Some(end), _) => end,
            (None, Some(mark)) if mark.sent => mark.position,
            (None, _) => {
                self.now.checked_sub(self.config.transit_margin).map_or(0, |then| self.sent_by(then))
            }
        };
        end.clamp(self.covered, self.hold.next().max(self.covered))
    }

    /// A link's own time as a position.
    fn at(&self, seconds: f64) -> u64 {
        // Saturates: a peer's absurd time is clamped by whoever uses it.
        self.origin.saturating_add((seconds * f64::from(self.config.rate.hz())).round() as u64)
    }

    /// What had been sent on this link by `then`.
    fn sent_by(&self, then: Instant) -> u64 {
        let last = self.sends.iter().rev().find(|(at, _)| *at <= then);
        last.map_or(self.origin, |(_, position)| *position)
    }

    /// Puts speech in its place, without the words that an earlier final has told.
    fn place(&self, speech: Speech, end: u64) -> Transcript {
        let (covered, sent) = (self.covered, self.hold.next());
        let all = speech.words.len();
        let words = speech.words.into_iter().map(|word| Word {
            text: word.text,
            start: self.at(word.start).min(sent),
            end: self.at(word.end).min(sent),
            confidence: word.confidence,
        });
        let words: Vec<_> = words.filter(|word| word.end > covered).collect();
        let text = if words.len() < all {
            words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
        } else {
            speech.text
        };
        let first = words.first().map(|word| word.start).or_else(|| Some(self.at(speech.span?.0)));
        let end = words.last().map_or(end, |word| word.end.max(end));
        let start = first.unwrap_or(covered).clamp(covered.min(end), end);
        Transcript { text, start, end, confidence: speech.confidence, language: speech.language, words }
    }

    fn cover(&mut self, position: u64) {
        self.covered = self.covered.max(position.min(self.hold.next()));
        self.hold.release_to(self.covered);
    }

    /// Where partials come, long silence without one is silence.
    pub(super) fn cover_silence(&mut self) {
        if self.link != Link::Ready || !self.partials_seen || self.partial_pending || !self.marks.is_empty() {
            return;
        }
        if let Some(then) = self.now.checked_sub(self.config.quiet_after) {
            self.cover(self.sent_by(then));
        }
    }

    fn answer_mark(&mut self) {
        if self.marks.front().is_some_and(|mark| mark.sent)
            && let Some(mark) = self.marks.pop_front()
        {
            self.finalized = self.finalized.max(mark.position);
            self.events.push_back(SttEvent::Finalized { position: mark.position });
            self.arm_final();
        }
    }

    /// Waits for the answer to the oldest finalize that was sent.
    pub(super) fn arm_final(&mut self) {
        match self.marks.front() {
            Some(mark) if mark.sent => self.timers.after(Timer::Final, self.now, self.config.final_timeout),
            Some(_) | None => self.timers.stop(Timer::Final),
        }
    }
}

/// How much later than the truth a model may place a word's end: the silence it adds behind a stream's end.
const CLOCK_ERROR: Duration = Duration::from_secs(1);

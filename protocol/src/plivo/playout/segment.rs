//! What was handed over between two clears on one link: how far the caller can be in it, and what is left of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::AudioFormat;

use super::heard::Span;
use super::{Item, audio_bytes};
use crate::plivo::timeline::Timeline;
use crate::plivo::types::CheckpointName;

/// A mark Plivo holds.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) name: CheckpointName,
    pub(super) wire: String,
    pub(super) at: u64,
    pub(super) left_at: Instant,
}

/// What was handed over between two clears on one link.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) timeline: Timeline,
    pub(super) acked: u64,
    pub(super) marks: VecDeque<Mark>,
    /// Audio that may be unheard yet, by offset.
    pub(super) sent: VecDeque<(u64, Bytes)>,
    pub(super) cleared_at: Option<Instant>,
    /// Plivo was told of the clear, and will answer.
    pub(super) told: bool,
}

impl Segment {
    pub(super) fn new(format: AudioFormat, start: u64) -> Self {
        Self {
            timeline: Timeline::new(format, start),
            acked: start,
            marks: VecDeque::new(),
            sent: VecDeque::new(),
            cleared_at: None,
            told: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.timeline.end() == self.timeline.start() && self.marks.is_empty()
    }

    pub(super) fn estimate(&self, now: Instant, lag: Duration) -> u64 {
        // A clear travels as long as audio does: it takes effect at the position of the moment it left.
        let then = now.checked_sub(lag).map(|then| self.cleared_at.map_or(then, |at| then.min(at)));
        then.map_or(self.acked, |then| self.timeline.position(then).max(self.acked))
    }

    /// When the caller can have reached `mark` at the earliest.
    pub(super) fn reached(&self, mark: &Mark) -> Instant {
        // A mark before all audio waits for none, whatever follows it.
        let heard = self.timeline.reached(mark.at).filter(|_| mark.at > self.timeline.start());
        heard.map_or(mark.left_at, |at| at.max(mark.left_at))
    }

    pub(super) fn span(&self, now: Instant, lag: Duration) -> Span {
        let start = self.timeline.start();
        Span {
            low: self.acked - start,
            estimate: self.estimate(now, lag) - start,
            high: self.timeline.position(now).max(self.acked) - start,
        }
    }

    /// The bytes from `offset` on that were handed over.
    pub(super) fn tail(&self, offset: u64) -> impl Iterator<Item = Bytes> {
        self.sent.iter().filter_map(move |(at, bytes)| {
            let skip = offset.saturating_sub(*at) as usize;
            (skip < bytes.len()).then(|| bytes.slice(skip..))
        })
    }

    /// What of this segment goes out again from `resume` on, marks in their places; and the marks that stood
    /// before that, which nobody will acknowledge any more.
    pub(super) fn take_rest(&mut self, resume: u64) -> (Vec<CheckpointName>, VecDeque<Item>) {
        let (mut skipped, mut items) = (Vec::new(), VecDeque::new());
        let mut marks = std::mem::take(&mut self.marks);
        for mut rest in self.tail(resume) {
            let mut at = resume + audio_bytes(&items);
            while let Some(mark) = marks.front().filter(|mark| mark.at < at + rest.len() as u64) {
                let split = mark.at.saturating_sub(at) as usize;
                if split > 0 {
                    items.push_back(Item::Audio(rest.split_to(split)));
                    at += split as u64;
                }
                let Some(mark) = marks.pop_front() else { break };
                if mark.at <= resume {
                    skipped.push(mark.name);
                } else {
                    items.push_back(Item::Mark(mark.name));
                }
            }
            items.push_back(Item::Audio(rest));
        }
        let names = marks.into_iter().map(|mark| mark.name);
        if self.timeline.end() <= resume {
            skipped.extend(names);
        } else {
            items.extend(names.map(Item::Mark));
        }
        (skipped, items)
    }
}

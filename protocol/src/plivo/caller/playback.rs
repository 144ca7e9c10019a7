//! The queue Plivo plays to the caller: audio and marks, in real time, to the sample.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use voxline_audio::AudioFormat;

use super::event::EarFrame;

#[derive(Debug)]
enum Item {
    Audio(Bytes),
    Mark(String),
}

#[derive(Debug)]
pub(super) struct Playback {
    format: AudioFormat,
    since: Instant,
    queue: VecDeque<Item>,
    queued: usize,
    /// Bytes of the ear's time so far, played or silent.
    ear: u64,
    played: u64,
    frame: BytesMut,
    frame_played: usize,
}

impl Playback {
    pub(super) fn new(format: AudioFormat, since: Instant) -> Self {
        Self {
            format,
            since,
            queue: VecDeque::new(),
            queued: 0,
            ear: 0,
            played: 0,
            frame: BytesMut::new(),
            frame_played: 0,
        }
    }

    /// Plays up to `now`; gives every frame completed and every mark reached to `out`.
    pub(super) fn advance(&mut self, now: Instant, mut out: impl FnMut(Heard)) {
        let elapsed = now.saturating_duration_since(self.since);
        let samples = elapsed.as_nanos() * u128::from(self.format.rate.hz()) / 1_000_000_000;
        let until = samples as u64 * self.format.encoding.bytes_per_sample() as u64;
        loop {
            while let Some(Item::Mark(_)) = self.queue.front() {
                if let Some(Item::Mark(name)) = self.queue.pop_front() {
                    out(Heard::Mark(name));
                }
            }
            let room = (self.frame_bytes() - self.frame.len()) as u64;
            let wanted = room.min(until.saturating_sub(self.ear)) as usize;
            if wanted == 0 {
                return;
            }
            self.fill(wanted);
            if self.frame.len() == self.frame_bytes() {
                out(Heard::Frame(self.take_frame()));
            }
        }
    }

    /// The frame that has begun, its rest silent.
    pub(super) fn flush(&mut self) -> Option<EarFrame> {
        if self.frame.is_empty() {
            return None;
        }
        let missing = self.frame_bytes() - self.frame.len();
        self.silence(missing);
        Some(self.take_frame())
    }

    pub(super) fn push(&mut self, audio: Bytes) {
        self.queued += audio.len();
        self.queue.push_back(Item::Audio(audio));
    }

    pub(super) fn mark(&mut self, name: String) {
        self.queue.push_back(Item::Mark(name));
    }

    /// Drops the queue; its marks are returned unreached.
    pub(super) fn clear(&mut self) -> (Duration, Vec<String>) {
        let dropped = self.queued();
        self.queued = 0;
        let marks = self.queue.drain(..).filter_map(|item| match item {
            Item::Mark(name) => Some(name),
            Item::Audio(_) => None,
        });
        (dropped, marks.collect())
    }

    pub(super) fn queued(&self) -> Duration {
        self.format.duration_of(self.queued)
    }

    pub(super) fn played(&self) -> Duration {
        self.format.duration_of(self.played as usize)
    }

    fn frame_bytes(&self) -> usize {
        self.format.bytes_in(FRAME)
    }

    fn fill(&mut self, wanted: usize) {
        match self.queue.front_mut() {
            Some(Item::Audio(audio)) => {
                let part = audio.split_to(wanted.min(audio.len()));
                if audio.is_empty() {
                    self.queue.pop_front();
                }
                self.queued -= part.len();
                self.played += part.len() as u64;
                self.frame_played += part.len();
                self.ear += part.len() as u64;
                self.frame.extend_from_slice(&part);
            }
            Some(Item::Mark(_)) | None => self.silence(wanted),
        }
    }

    fn silence(&mut self, bytes: usize) {
        self.frame.resize(self.frame.len() + bytes, self.format.encoding.silence_byte());
        self.ear += bytes as u64;
    }

    fn take_frame(&mut self) -> EarFrame {
        let audio = self.frame.split().freeze();
        let began = self.ear - audio.len() as u64;
        let played = std::mem::take(&mut self.frame_played);
        EarFrame { at: self.format.duration_of(began as usize), audio, played }
    }
}

/// What playing brought forth.
#[derive(Debug)]
pub(super) enum Heard {
    Frame(EarFrame),
    Mark(String),
}

/// Plivo's frame.
pub(super) const FRAME: Duration = Duration::from_millis(20);

//! What a recogniser heard, in words and in positions.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use voxline_audio::SampleRate;

use super::Recording;
use super::align::{Alignment, Run};
use super::fingerprint::{Fingerprint, HOP};

/// What was heard of the known recordings, so far.
#[derive(Debug, Clone)]
pub struct Heard {
    stretches: Vec<Stretch>,
    unknown: Duration,
}

impl Heard {
    pub(super) fn new(
        recordings: &[Arc<Recording>],
        alignment: &Alignment,
        rate: SampleRate,
        lateness: u64,
    ) -> Self {
        let sample = |frame: usize| {
            let narrow = (frame * HOP + HOP / 2) as u64;
            narrow.saturating_sub(lateness) * u64::from(rate.hz()) / u64::from(SampleRate::Hz8000.hz())
        };
        let mut known = 0;
        let mut stretches: Vec<Stretch> = Vec::new();
        for group in alignment.runs().chunk_by(|one, next| one.recording == next.recording) {
            let Some(recording) = group[0].recording.and_then(|which| recordings.get(which)) else {
                continue;
            };
            let speech: usize = group.iter().map(|run| run.speech).sum();
            if !is_recognised(recording, group, speech) {
                continue;
            }
            known += speech;
            stretches.extend(group.iter().map(|run| Stretch {
                recording: Arc::clone(recording),
                frames: run.played.clone(),
                start: sample(run.first_frame),
                end: sample(run.end_frame),
            }));
        }
        Self { stretches, unknown: time_of(alignment.speech().saturating_sub(known)) }
    }

    /// The words, as far as they were played. Where a recording was not played to its end, its last words are
    /// estimated from how much of it was: to a word or so.
    #[must_use]
    pub fn text(&self) -> String {
        let mut words = Vec::new();
        for group in self.groups() {
            let counts = times_heard(group);
            words.extend(words_heard(&group[0].recording, &counts));
        }
        words.join(" ")
    }

    /// What was played, in the order it was heard.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// How much speech was heard that is in no recording we know.
    #[must_use]
    pub const fn unknown(&self) -> Duration {
        self.unknown
    }

    /// What of the recordings that were heard is missing or doubled, from 80 ms. Empty, with a stretch heard, means:
    /// the whole recording, once. Silence alone is never at fault: it is only longer or shorter.
    #[must_use]
    pub fn faults(&self) -> Vec<RecordingFault> {
        let mut faults = Vec::new();
        for group in self.groups() {
            let recording = &group[0].recording;
            let counts = times_heard(group);
            let spoken = recording.print.spoken();
            let mut at = spoken.start;
            for run in counts[spoken].chunk_by(|one, next| kind_of(*one) == kind_of(*next)) {
                let frames = at..at + run.len();
                at = frames.end;
                let spoken = recording.print.frames[frames.clone()].iter().flatten().count();
                if frames.len() < LEAST_FAULT || spoken < LEAST_SPOKEN {
                    continue;
                }
                let (from, to) = (time_of(frames.start), time_of(frames.end));
                let name = recording.name().to_owned();
                match kind_of(run[0]) {
                    Count::Doubled => faults.push(RecordingFault::Doubled { name, from, to }),
                    Count::Missing => faults.push(RecordingFault::Missing { name, from, to }),
                    Count::Once => {}
                }
            }
        }
        faults
    }

    fn groups(&self) -> impl Iterator<Item = &[Stretch]> {
        self.stretches.chunk_by(|one, next| Arc::ptr_eq(&one.recording, &next.recording))
    }
}

/// A part of one recording, played without a break.
#[derive(Debug, Clone)]
pub struct Stretch {
    recording: Arc<Recording>,
    frames: Range<usize>,
    start: u64,
    end: u64,
}

impl Stretch {
    /// Which recording.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Where in the recording it begins, to 10 ms.
    #[must_use]
    pub fn from(&self) -> Duration {
        time_of(self.frames.start)
    }

    /// Where in the recording it ends, to 10 ms.
    #[must_use]
    pub fn to(&self) -> Duration {
        time_of(self.frames.end)
    }

    /// Its first sample among those heard.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The sample after its last among those heard.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }
}

/// Part of a recording that was not heard exactly once.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingFault {
    /// Heard more than once.
    Doubled {
        /// Name of the recording.
        name: String,
        /// Where it begins.
        from: Duration,
        /// Where it ends.
        to: Duration,
    },
    /// Not heard, or not yet.
    Missing {
        /// Name of the recording.
        name: String,
        /// Where it begins.
        from: Duration,
        /// Where it ends.
        to: Duration,
    },
}

/// Whether it is this recording, and not a few words of another sentence by the same voice.
fn is_recognised(recording: &Recording, runs: &[Run], speech: usize) -> bool {
    let earned: f32 = runs.iter().map(|run| run.earned).sum();
    let extent = runs[runs.len() - 1].spoken.end - runs[0].spoken.start;
    speech >= LEAST_SPEECH.min(recording.print.spoken().len() / 2)
        && earned >= speech as f32 * LEAST_EARNED
        && 2 * speech >= extent
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Doubled,
    Missing,
    Once,
}

const fn kind_of(times: u8) -> Count {
    match times {
        0 => Count::Missing,
        1 => Count::Once,
        _ => Count::Doubled,
    }
}

/// How often each frame of the recording was played; all stretches are of one recording.
fn times_heard(stretches: &[Stretch]) -> Vec<u8> {
    let mut counts = vec![0_u8; stretches[0].recording.print.frames.len()];
    for stretch in stretches {
        for count in &mut counts[stretch.frames.clone()] {
            *count = count.saturating_add(1);
        }
    }
    // A hole this short, between two stretches or at either end, is a consonant the line drowned, not a loss.
    let spoken = stretches[0].recording.print.spoken();
    let starts = stretches.iter().map(|stretch| stretch.frames.start).chain([spoken.end]);
    let ends = [spoken.start].into_iter().chain(stretches.iter().map(|stretch| stretch.frames.end));
    for (end, start) in ends.zip(starts) {
        if start > end && start - end < LEAST_FAULT {
            counts[end..start].fill(1);
        }
    }
    counts
}

/// The words whose greater part was played. A word's place is estimated: letters are spread evenly over the frames
/// in which somebody speaks.
fn words_heard<'a>(recording: &'a Recording, counts: &[u8]) -> Vec<&'a str> {
    let Fingerprint { frames } = &recording.print;
    let played: Vec<bool> =
        frames.iter().zip(counts).filter(|(frame, _)| frame.is_some()).map(|(_, count)| *count > 0).collect();
    let words: Vec<&str> = recording.transcript().split_whitespace().collect();
    let letters = |words: &[&str]| words.iter().map(|word| word.chars().count()).sum::<usize>();
    let all = letters(&words).max(1);
    let place = |letter: usize| letter * played.len() / all;
    let mut before = 0;
    words
        .into_iter()
        .filter(|word| {
            let after = before + letters(&[word]);
            let span = &played[place(before)..place(after)];
            before = after;
            2 * span.iter().filter(|played| **played).count() > span.len()
        })
        .collect()
}

fn time_of(frames: usize) -> Duration {
    SampleRate::Hz8000.duration_of((frames * HOP) as u64)
}

/// 800 ms, or half of a shorter recording: any two sentences may begin with the same words.
const LEAST_SPEECH: usize = 80;
/// What a frame must earn on average: a quarter of what a perfect one does.
const LEAST_EARNED: f32 = 0.75;
/// 80 ms: the edges of a stretch are known to a frame, so 100 ms is never overlooked.
const LEAST_FAULT: usize = 8;
/// 20 ms of the voice itself.
const LEAST_SPOKEN: usize = 2;

//! Which frame of which recording is being played: the best path through all of them.

use std::ops::Range;
use std::sync::Arc;

use super::fingerprint::{Shape, distance};

/// A Viterbi search over one state per known frame and one for “nothing we know”.
///
/// Playing on costs nothing, a jump costs [`JUMP`], and each frame earns as much as it resembles what it should be.
/// So a stretch that is missing shows as a jump forward and a doubled one as a jump back, where the rest of the path
/// makes up for it; chance resemblance to other speech never earns a jump.
#[derive(Clone)]
pub(super) struct Alignment {
    /// The frames of each recording, as states.
    recordings: Vec<Range<usize>>,
    states: Vec<State>,
    frames: usize,
    speech: usize,
    /// Silent frames in a row.
    quiet: usize,
}

impl Alignment {
    /// Of recordings with that many frames.
    pub(super) fn new(lengths: impl Iterator<Item = usize>) -> Self {
        let mut end = UNKNOWN + 1;
        let recordings = lengths.map(|length| {
            end += length;
            end - length..end
        });
        let recordings: Vec<_> = recordings.collect();
        let mut alignment =
            Self { recordings, states: vec![State::default(); end], frames: 0, speech: 0, quiet: 0 };
        alignment.reset();
        alignment
    }

    pub(super) fn reset(&mut self) {
        self.states.fill(State::default());
        self.states[UNKNOWN].score = 0.0;
        (self.frames, self.speech, self.quiet) = (0, 0, 0);
    }

    /// Takes the next frame heard; `known` are the frames of all recordings in a row. `None` is silence.
    pub(super) fn step<'a>(&mut self, heard: Option<&Shape>, known: impl Iterator<Item = Option<&'a Shape>>) {
        self.quiet = if heard.is_some() { 0 } else { self.quiet + 1 };
        if self.quiet > LONGEST_PAUSE {
            self.frames += 1;
            return;
        }
        let best = self.best();
        let ground = self.states[best].score;
        let past = Arc::new(Past { run: self.run_of(best), before: self.states[best].past.clone() });
        let entered = |state: usize, cost: f32| State {
            score: -cost,
            first_state: state,
            first_frame: self.frames,
            first_speech: self.speech,
            past: Some(Arc::clone(&past)),
            ..State::default()
        };
        for state in &mut self.states {
            state.score -= ground;
        }
        if self.states[UNKNOWN].score < -LEAVE {
            self.states[UNKNOWN] = entered(UNKNOWN, LEAVE);
        }
        // Every recording plays on by one frame, and into its first frame nothing does.
        self.states[UNKNOWN + 1..].rotate_right(1);
        for recording in self.recordings.iter().filter(|recording| !recording.is_empty()) {
            self.states[recording.start] = State::default();
        }
        for ((index, state), known) in self.states.iter_mut().enumerate().skip(UNKNOWN + 1).zip(known) {
            if state.score < -JUMP {
                *state = entered(index, JUMP);
            }
            state.earn(heard, known);
        }
        self.frames += 1;
        self.speech += usize::from(heard.is_some());
        if self.quiet == LONGEST_PAUSE {
            self.stop();
        }
    }

    /// The stretches of recordings on the best path so far, in the order they were heard.
    pub(super) fn runs(&self) -> Vec<Run> {
        let best = self.best();
        let mut runs = vec![self.run_of(best)];
        let mut past = self.states[best].past.as_ref();
        while let Some(node) = past {
            runs.push(node.run.clone());
            past = node.before.as_ref();
        }
        runs.retain(|run| run.recording.is_some() && run.earned > 0.0);
        runs.reverse();
        runs
    }

    /// Frames heard with speech in them.
    pub(super) const fn speech(&self) -> usize {
        self.speech
    }

    /// Nothing is being played any more.
    fn stop(&mut self) {
        let best = self.best();
        let past = Past { run: self.run_of(best), before: self.states[best].past.clone() };
        self.states.fill(State::default());
        self.states[UNKNOWN] = State {
            score: 0.0,
            first_frame: self.frames,
            first_speech: self.speech,
            past: Some(Arc::new(past)),
            ..State::default()
        };
    }

    fn best(&self) -> usize {
        let mut best = UNKNOWN;
        for (index, state) in self.states.iter().enumerate() {
            if state.score > self.states[best].score {
                best = index;
            }
        }
        best
    }

    fn run_of(&self, index: usize) -> Run {
        let state = &self.states[index];
        let recording = self.recordings.iter().position(|recording| recording.contains(&index));
        let (first, played) = match recording {
            Some(which) => (state.first_state - self.recordings[which].start, index + 1 - state.first_state),
            None => (0, 0),
        };
        Run {
            recording,
            played: first..first + played,
            first_frame: state.first_frame,
            end_frame: self.frames,
            spoken: state.first_speech..self.speech,
            speech: state.speech,
            earned: state.earned,
        }
    }
}

/// A stretch that was played on without a jump.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// `None` for what is no recording.
    pub(super) recording: Option<usize>,
    /// Frames of the recording.
    pub(super) played: Range<usize>,
    /// Frames heard: the first, and the one after the last.
    pub(super) first_frame: usize,
    pub(super) end_frame: usize,
    /// The same, counting frames with speech in them only.
    pub(super) spoken: Range<usize>,
    /// Frames in which somebody spoke, in the recording and here.
    pub(super) speech: usize,
    /// How well those fitted.
    pub(super) earned: f32,
}

/// One place the search may be at.
#[derive(Clone)]
struct State {
    /// Above or below the best one of the frame before.
    score: f32,
    /// Where the run that leads here began.
    first_state: usize,
    first_frame: usize,
    first_speech: usize,
    speech: usize,
    earned: f32,
    /// What was before that run. Shared: most states come from one.
    past: Option<Arc<Past>>,
}

impl State {
    fn earn(&mut self, heard: Option<&Shape>, known: Option<&Shape>) {
        let earned = match (heard, known) {
            (Some(heard), Some(known)) => {
                self.speech += 1;
                (ALIKE_DB - distance(heard, known)).clamp(-MOST, MOST)
            }
            (None, Some(_)) => -MOST,
            // The line may be noisy where the recording is silent.
            (Some(_), None) => -NOISE,
            (None, None) => 0.0,
        };
        self.earned += earned;
        self.score += earned;
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            score: f32::NEG_INFINITY,
            first_state: 0,
            first_frame: 0,
            first_speech: 0,
            speech: 0,
            earned: 0.0,
            past: None,
        }
    }
}

struct Past {
    run: Run,
    before: Option<Arc<Self>>,
}

/// The state that knows nothing, and neither earns nor loses.
const UNKNOWN: usize = 0;
/// A second of silence settles every path; the rest of it, most of any call, is not searched.
const LONGEST_PAUSE: usize = 100;
/// A frame this far from what it should be might be anything.
const ALIKE_DB: f32 = 4.0;
/// What one frame can earn or lose.
const MOST: f32 = 3.0;
/// What a frame loses where there should be silence.
const NOISE: f32 = 1.0;
/// As much as ten frames earn: 100 ms missing or doubled is worth a jump, a chance likeness is not.
const JUMP: f32 = 25.0;
/// Leaving is cheap, since coming back is not.
const LEAVE: f32 = 5.0;

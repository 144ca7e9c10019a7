//! What a starved line puts into a sound: silence where nothing was lost.

use std::collections::VecDeque;

use voxline_audio::SampleRate;

/// Takes the pauses out of a stream and remembers where they were.
///
/// What is left counts its own samples. A *joint* is a place in it where a pause was taken out.
#[derive(Clone)]
pub(super) struct Pauses {
    least: usize,
    edge: usize,
    slack: u64,
    limit: u64,
    /// One over the samples the level is measured over.
    pace: f32,
    /// Mean power of the sound before the pause.
    level: f32,
    /// Quiet samples that are not passed on yet: the beginning of a pause, or its last few.
    held: VecDeque<f32>,
    /// Samples louder than this are the edge of the sound; `None` outside a pause.
    floor: Option<f32>,
    /// Samples passed on.
    passed: u64,
    removed: u64,
    /// Samples taken out of the pause that is not over yet.
    running: u64,
    joints: VecDeque<Joint>,
    /// Samples taken out before the first joint that is remembered.
    forgotten: u64,
}

impl Pauses {
    pub(super) fn new(rate: SampleRate) -> Self {
        let hz = rate.hz() as usize;
        Self {
            least: hz / LEAST_PER_SECOND,
            edge: hz / EDGE_PER_SECOND,
            slack: rate.hz().div_ceil(SLACK_PER_SECOND).into(),
            limit: u64::from(rate.hz()) * LIMIT_SECONDS,
            pace: LEVEL_PER_SECOND / rate.hz() as f32,
            level: 0.0,
            held: VecDeque::with_capacity(hz / LEAST_PER_SECOND + 1),
            floor: None,
            passed: 0,
            removed: 0,
            running: 0,
            joints: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Adds to `out` what of `samples` is no pause. Quiet ones are held back until that is known.
    pub(super) fn push(&mut self, samples: impl Iterator<Item = f32>, out: &mut Vec<f32>) {
        for sample in samples {
            if sample * sample > self.level * QUIET {
                self.end_quiet(out);
                self.pass(sample, out);
                continue;
            }
            self.held.push_back(sample);
            if self.floor.is_some() {
                while self.held.len() > self.edge {
                    self.held.pop_front();
                    self.remove(1);
                }
            } else if self.held.len() >= self.least {
                self.begin_pause(out);
            }
        }
    }

    /// Passes on what is held back: nothing more will come.
    pub(super) fn flush(&mut self, out: &mut Vec<f32>) {
        if self.floor.is_none() {
            self.end_quiet(out);
        }
    }

    /// Where in the stream a sound began that begins at `position` of what is left: after a pause that is there.
    pub(super) fn start_at(&self, position: u64) -> u64 {
        match self.joint_before(position + self.slack) {
            Some(joint) => position.max(joint.at) + joint.removed,
            None => position + self.forgotten,
        }
    }

    /// Where in the stream a sound ended that ends at `position` of what is left: before a pause that is there.
    pub(super) fn end_at(&self, position: u64) -> u64 {
        let from = position.saturating_sub(self.slack);
        let joint = self.joints.iter().find(|joint| joint.at > from && joint.at <= position);
        joint.map_or(position, |joint| joint.at) + self.removed_before(from)
    }

    /// Samples taken out before `position` of what is left, and at it.
    pub(super) fn removed_before(&self, position: u64) -> u64 {
        self.joint_before(position).map_or(self.forgotten, |joint| joint.removed)
    }

    /// Samples taken out so far, those of a pause that is not over included.
    pub(super) const fn removed(&self) -> u64 {
        self.removed
    }

    /// How many samples may have been taken out in all before a block that begins at `position` has paused too long.
    pub(super) fn limit_from(&self, position: u64) -> u64 {
        self.removed_before(position + self.slack) + self.limit
    }

    /// The joints from `from` to before `to`, as distances from `from`.
    pub(super) fn joints_in(&self, from: u64, to: u64) -> impl Iterator<Item = usize> {
        self.joints
            .iter()
            .map(|joint| joint.at)
            .filter(move |at| (from..to).contains(at))
            .map(move |at| (at - from) as usize)
    }

    /// Nobody will ask for what is before `position`.
    pub(super) fn forget_before(&mut self, position: u64) {
        while let Some(&joint) = self.joints.front()
            && joint.at < position
        {
            self.forgotten = joint.removed;
            self.joints.pop_front();
        }
    }

    fn joint_before(&self, position: u64) -> Option<&Joint> {
        self.joints.iter().rev().find(|joint| joint.at <= position)
    }

    fn begin_pause(&mut self, out: &mut Vec<f32>) {
        let core = self.held.iter().skip(self.edge).fold(0.0_f32, |most, sample| most.max(sample.abs()));
        let floor = (core * ABOVE_CORE).max(self.level.sqrt() * FLOOR);
        self.floor = Some(floor);
        // The sound dies away within the edge; from there on it is the pause.
        let sound = self.held.iter().take(self.edge).rposition(|sample| sample.abs() > floor);
        for _ in 0..sound.map_or(0, |last| last + 1) {
            if let Some(sample) = self.held.pop_front() {
                self.pass(sample, out);
            }
        }
        while self.held.len() > self.edge {
            self.held.pop_front();
            self.remove(1);
        }
    }

    fn end_quiet(&mut self, out: &mut Vec<f32>) {
        if let Some(floor) = self.floor.take() {
            let sound = self.held.iter().position(|sample| sample.abs() > floor).unwrap_or(self.held.len());
            self.held.drain(..sound);
            self.remove(sound as u64);
            self.running = 0;
            self.joints.push_back(Joint { at: self.passed, removed: self.removed });
        }
        while let Some(sample) = self.held.pop_front() {
            self.pass(sample, out);
        }
    }

    fn pass(&mut self, sample: f32, out: &mut Vec<f32>) {
        self.level += (sample * sample - self.level) * self.pace;
        self.passed += 1;
        out.push(sample);
    }

    fn remove(&mut self, samples: u64) {
        self.removed += samples;
        self.running += samples;
        if self.running > self.limit {
            // Whoever speaks next may be fainter.
            self.level = 0.0;
        }
    }
}

/// Where a pause was.
#[derive(Debug, Clone, Copy)]
struct Joint {
    at: u64,
    /// Samples taken out of the stream up to and with this pause.
    removed: u64,
}

/// 2.5 ms. Measured: where an unbroken block rises and falls, it is that quiet for 1.9 ms at the most.
const LEAST_PER_SECOND: usize = 400;
/// 1 ms: what is left of the sound around a pause, after the filters of a resampler.
const EDGE_PER_SECOND: usize = 1_000;
/// 3.75 ms, as much as a symbol may be misplaced: positions are no better known than that.
const SLACK_PER_SECOND: u32 = 267;
/// Power of the loudest sample of a pause: 20 dB below the sound, so that noise 30 dB below it is a pause.
const QUIET: f32 = 0.01;
/// Amplitude, relative to the sound, under which no edge is looked for: −30 dB.
const FLOOR: f32 = 0.03;
/// The pause's own noise may be a little louder near its edges.
const ABOVE_CORE: f32 = 1.5;
/// 20 ms.
const LEVEL_PER_SECOND: f32 = 50.0;
/// A line that starves for longer is dead.
const LIMIT_SECONDS: u64 = 2;

//! Sound that comes in bursts, played on a clock.

use core::time::Duration;
use std::time::Instant;

use crate::pitch::PitchSearch;
use crate::slow_minimum::SlowMinimum;
use crate::{ComfortNoise, Concealer, FrameSpec, fade, level};

use lateness::Lateness;
use queue::Queue;

mod config;
mod lateness;
mod queue;

pub use config::JitterBufferConfig;

/// Plays on a clock what arrives when it likes: waits before it starts, bends time by pitch periods to keep as
/// little waiting as the line allows, and covers what does not come.
///
/// Each [`pull`](Self::pull) fills exactly one frame, whatever arrived. Over a WebSocket nothing is lost or
/// reordered, so [`push`](Self::push) takes sound in its order; what goes wrong are bursts and gaps. How late sound
/// usually comes is learnt over about ten seconds and sets how much should wait. Above that a pitch period is left
/// out, below it one is played twice, at most one in 100 ms, in pauses one a frame.
///
/// Use it where something is played at a fixed rate: a mix, a recording, another leg. Speech recognisers want
/// sound as it comes.
///
/// ```
/// use std::time::{Duration, Instant};
/// use voxline_audio::{FrameSpec, JitterBuffer, JitterBufferConfig, Playout};
///
/// let mut buffer = JitterBuffer::new(FrameSpec::PHONE, JitterBufferConfig::default());
/// let (start, mut frame) = (Instant::now(), [0.0; 160]);
/// buffer.push(start, &[0.1; 1_440]); // 180 ms: not yet enough to start
/// assert_eq!(buffer.pull(start, &mut frame), Playout::Waiting);
/// buffer.push(start, &[0.1; 160]);
/// assert_eq!(buffer.pull(start + Duration::from_millis(20), &mut frame), Playout::Voice);
/// ```
#[derive(Debug, Clone)]
pub struct JitterBuffer {
    spec: FrameSpec,
    config: JitterBufferConfig,
    queue: Queue,
    state: State,
    /// Samples that came together the last time.
    last_push: usize,
    lateness: Lateness,
    /// The least that waited after a pull, over the last seconds.
    slack: SlowMinimum,
    slack_now: usize,
    /// Pulls since the slack was last measured afresh.
    observed: u32,
    since_splice: usize,
    pitch: PitchSearch,
    concealer: Concealer,
    noise: ComfortNoise,
    scratch: Vec<f32>,
    stats: JitterStats,
}

/// What a [`JitterBuffer`] put into a frame.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Playout {
    /// The sound ran out in this frame: its end is made up, or silence after [`JitterBuffer::end`].
    Starved,
    /// Sound that arrived.
    Voice,
    /// Nothing that arrived: the prebuffer fills, or there is nothing to play.
    Waiting,
}

/// Counts of samples since the start or the last [`JitterBuffer::reset`].
///
/// `pushed` is at every moment the sum of `played`, `cleared` and what is
/// [`buffered`](JitterBuffer::buffered), plus `removed`, less `repeated`.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JitterStats {
    /// Taken in.
    pub pushed: u64,
    /// Refused because the buffer was full.
    pub refused: u64,
    /// Played out of the buffer.
    pub played: u64,
    /// Left out to catch up.
    pub removed: u64,
    /// Played twice to slow down.
    pub repeated: u64,
    /// Dropped by a clear.
    pub cleared: u64,
    /// Made up where sound was missing, noise and silence included.
    pub made_up: u64,
    /// Times the sound ran out before its end: not samples.
    pub starves: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing came yet, or all of it was played or cleared.
    Idle,
    /// Sound waits for more; the first of it came at `since`.
    Filling {
        since: Instant,
        ended: bool,
    },
    Playing {
        ended: bool,
    },
}

impl JitterBuffer {
    /// An empty buffer that fills frames of `spec`.
    #[must_use]
    pub fn new(spec: FrameSpec, config: JitterBufferConfig) -> Self {
        let rate = spec.rate();
        let pitch = PitchSearch::new(rate);
        let capacity = samples_in(spec, config.capacity).max(samples_in(spec, config.prebuffer));
        Self {
            spec,
            config,
            queue: Queue::new(capacity.max(spec.samples()), pitch.longest()),
            state: State::Idle,
            last_push: 0,
            lateness: Lateness::new(),
            slack: SlowMinimum::new(slack_pulls(spec)),
            slack_now: 0,
            observed: 0,
            since_splice: 0,
            pitch,
            concealer: Concealer::new(rate),
            noise: ComfortNoise::new(rate, config.seed),
            scratch: vec![0.0; spec.samples()],
            stats: JitterStats::default(),
        }
    }

    /// Takes in sound that arrived at `now`, after what came before, and returns how many samples it took: fewer
    /// than all only when the buffer is full. What it did not take is the caller's to keep or to drop.
    ///
    /// An instant earlier than the last one counts as the last one.
    pub fn push(&mut self, now: Instant, samples: &[f32]) -> usize {
        let taken = self.queue.push(samples);
        self.stats.pushed += taken as u64;
        self.stats.refused += (samples.len() - taken) as u64;
        if taken > 0 {
            self.last_push = taken;
            self.lateness.arrived(now, self.spec.rate().duration_of(taken as u64));
            self.state = match self.state {
                State::Idle => State::Filling { since: now, ended: false },
                State::Filling { since, .. } => State::Filling { since, ended: false },
                State::Playing { .. } => State::Playing { ended: false },
            };
        }
        taken
    }

    /// What was pushed is a whole: play it without waiting for more, and do not take its end for a starve. The next
    /// push begins another.
    pub fn end(&mut self) {
        self.lateness.restart();
        self.state = match self.state {
            State::Idle => State::Idle,
            State::Filling { since, .. } => State::Filling { since, ended: true },
            State::Playing { .. } => State::Playing { ended: true },
        };
    }

    /// Fills one frame.
    ///
    /// # Panics
    ///
    /// Panics unless `frame` has [`FrameSpec::samples`] samples.
    pub fn pull(&mut self, now: Instant, frame: &mut [f32]) -> Playout {
        assert_eq!(frame.len(), self.spec.samples(), "a frame here is {} samples", self.spec.samples());
        if let State::Filling { since, ended } = self.state
            && (ended
                || self.queue.len() >= self.enough_to_start()
                || now.saturating_duration_since(since) >= self.config.max_wait)
        {
            self.state = State::Playing { ended };
            self.slack.reset();
            self.slack_now = self.queue.len();
            self.observed = 0;
            self.since_splice = 0;
        }
        match self.state {
            State::Idle | State::Filling { .. } => {
                self.make_up(frame);
                Playout::Waiting
            }
            State::Playing { ended } => self.play(ended, frame),
        }
    }

    /// Drops all that waits: not one of its samples is played. The next push begins anew.
    ///
    /// Silence begins at once; to let it begin softly, use [`cut`](Self::cut).
    pub fn clear(&mut self) {
        self.stats.cleared += self.queue.len() as u64;
        self.queue.clear();
        self.concealer.reset();
        self.lateness.restart();
        self.state = State::Idle;
    }

    /// As [`clear`](Self::clear), with the very samples that would have come next faded out into `tail`, to be
    /// played in place of them. Silent where nothing was playing. [`fade::CUT`] is a good length.
    pub fn cut(&mut self, tail: &mut [f32]) {
        let upcoming = match self.state {
            State::Playing { .. } => self.queue.as_slice(),
            State::Idle | State::Filling { .. } => &[],
        };
        fade::cut(upcoming, tail);
        self.clear();
    }

    /// As new: what was learnt of the line is forgotten, and the counts start over.
    pub fn reset(&mut self) {
        self.queue.clear();
        self.state = State::Idle;
        self.lateness = Lateness::new();
        self.slack.reset();
        self.slack_now = 0;
        self.observed = 0;
        self.since_splice = 0;
        self.concealer.reset();
        self.noise.reset();
        self.stats = JitterStats::default();
    }

    /// Samples that wait.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.queue.len()
    }

    /// How much is to be kept waiting: what covers 95 % of the lateness of late, between the limits.
    #[must_use]
    pub fn target(&self) -> Duration {
        let JitterBufferConfig { min_target, max_target, .. } = self.config;
        self.lateness.usual().clamp(min_target, max_target.max(min_target))
    }

    /// Whether sound that arrived is playing.
    #[must_use]
    pub const fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing { .. })
    }

    /// What was done so far.
    #[must_use]
    pub const fn stats(&self) -> JitterStats {
        self.stats
    }

    /// The prebuffer, or what leaves the target waiting after each frame until as much comes again as came last.
    fn enough_to_start(&self) -> usize {
        let prebuffer = samples_in(self.spec, self.config.prebuffer);
        let waiting =
            samples_in(self.spec, self.target()) + self.spec.samples() + self.last_push.min(prebuffer);
        prebuffer.max(waiting).min(self.queue.capacity())
    }

    fn play(&mut self, ended: bool, frame: &mut [f32]) -> Playout {
        if !ended || self.queue.len() > samples_in(self.spec, self.target()) {
            self.bend_time();
        }
        let got = self.queue.pop(frame);
        self.stats.played += got as u64;
        let (sounding, missing) = frame.split_at_mut(got);
        self.noise.learn(sounding);
        self.concealer.pass(sounding);
        self.slack_now = self.slack.push(self.queue.len() as f32) as usize;
        self.observed = self.observed.saturating_add(1);
        self.since_splice += got;
        if ended && self.queue.len() == 0 {
            self.state = State::Idle;
            // A voice that ended is not to be continued.
            self.concealer.reset();
        }
        if missing.is_empty() {
            return Playout::Voice;
        }
        if !ended {
            self.stats.starves += 1;
            self.state = State::Idle;
        }
        self.make_up(missing);
        Playout::Starved
    }

    /// Leaves out or repeats one period at the front of the queue, if the level asks for it and the sound allows it.
    fn bend_time(&mut self) {
        let look = self.pitch.span().max(2 * self.pitch.longest());
        let upcoming = self.queue.as_slice();
        if upcoming.len() < look {
            return;
        }
        let target = samples_in(self.spec, self.target());
        let enough = target + self.spec.samples() + self.pitch.longest();
        let ahead = self.slack_now >= enough && self.observed >= slack_pulls(self.spec) / 4;
        let behind = self.slack_now < target / 2;
        if !(ahead || behind) {
            return;
        }
        let quiet = level::rms(&upcoming[..look]) <= (self.noise.level() * 2.0).max(QUIET);
        if !quiet && self.since_splice < samples_in(self.spec, SPLICE_INTERVAL) {
            return;
        }
        let period = self.pitch.at_start(upcoming);
        if !quiet && period.likeness < LIKE_ENOUGH {
            return;
        }
        self.since_splice = 0;
        if ahead {
            self.queue.drop_period(period.samples);
            self.stats.removed += period.samples as u64;
            self.slack.shift(-(period.samples as f32));
        } else {
            self.queue.repeat_period(period.samples);
            self.stats.repeated += period.samples as u64;
            self.slack.shift(period.samples as f32);
        }
    }

    /// Goes on with the voice that broke off, and into the noise of the line.
    fn make_up(&mut self, frame: &mut [f32]) {
        self.stats.made_up += frame.len() as u64;
        let before = self.concealer.gain();
        self.concealer.fill(frame);
        if !self.config.comfort_noise {
            return;
        }
        let after = self.concealer.gain();
        let noise = &mut self.scratch[..frame.len()];
        self.noise.fill(noise);
        let step = (after - before) / frame.len() as f32;
        let mut gain = 1.0 - before;
        for (sample, noise) in frame.iter_mut().zip(noise) {
            *sample += *noise * gain;
            gain -= step;
        }
    }
}

fn samples_in(spec: FrameSpec, duration: Duration) -> usize {
    spec.rate().samples_in(duration.min(LONGEST)) as usize
}

/// Pulls over which the least that waited is taken.
const fn slack_pulls(spec: FrameSpec) -> u32 {
    (SLACK_MEMORY.as_millis() / spec.duration().as_millis()) as u32
}

/// No buffer of a live voice is longer.
const LONGEST: Duration = Duration::from_secs(60);

const SLACK_MEMORY: Duration = Duration::from_secs(2);

/// A spliced voice sounds natural up to about one period in ten.
const SPLICE_INTERVAL: Duration = Duration::from_millis(100);

/// Correlation above which two periods are near enough to be spliced.
const LIKE_ENOUGH: f32 = 0.5;

/// RMS of what may be spliced anywhere: -54 dBFS.
const QUIET: f32 = 0.002;

//! Keeping peaks under a ceiling without hearing it done.

use std::collections::VecDeque;

use crate::level::from_dbfs;
use crate::tame::tame;
use crate::{SampleRate, TruePeak};

/// A look-ahead limiter: the gain is already down when a peak arrives, so nothing is ever clipped.
///
/// The gain each sample needs is known 5 ms before it leaves. The smallest need among the next 5 ms is held,
/// released slowly (a fast release would follow the pitch of a voice and distort it), and averaged over 5 ms, which
/// turns its steps into slopes. An average of needs is never more than the need of the sample in their midst, so
/// no sample passes the ceiling.
///
/// ```
/// use voxline_audio::{Limiter, SampleRate};
///
/// let mut limiter = Limiter::new(SampleRate::Hz8000, -3.0);
/// let mut frame = [1.2; 160];
/// limiter.process(&mut frame);
/// assert!(frame.iter().all(|sample| sample.abs() <= 0.708));
/// assert_eq!(limiter.latency(), 40);
/// ```
#[derive(Debug, Clone)]
pub struct Limiter {
    ceiling: f32,
    /// Sees what stands between the samples, where that is asked for.
    between: Option<TruePeak>,
    /// The samples still to leave, oldest first: as many as the latency.
    delay: VecDeque<f32>,
    /// Needs that a later, smaller one has not made void, smallest first, each with its position.
    needs: VecDeque<(u64, f32)>,
    /// The gains of the averaging window, in [`UNIT`]s, so that the running sum is exact and never drifts.
    gains: VecDeque<u32>,
    gain_sum: u64,
    held: f32,
    release: f32,
    position: u64,
}

impl Limiter {
    /// A limiter that lets nothing past `ceiling_dbfs`. −1 suits wideband; G.711 wants −3, its coarse steps being at
    /// the top. Above 0 it would let the conversion to `i16` clip.
    #[must_use]
    pub fn new(rate: SampleRate, ceiling_dbfs: f32) -> Self {
        Self::with_peaks(rate, ceiling_dbfs, None)
    }

    /// A limiter that lets nothing past `ceiling_dbfs` between the samples either: what a converter makes of them may
    /// stand 3 dB over the highest. A voice keeps to the ceiling within 0.1 dB, and within 0.4 dB where it is driven so
    /// far into it that hiss at the very edge of the band is limited. It is [`latency`](Self::latency) 16 samples later
    /// and costs as much more as a [`TruePeak`].
    #[must_use]
    pub fn with_true_peak(rate: SampleRate, ceiling_dbfs: f32) -> Self {
        Self::with_peaks(rate, ceiling_dbfs, Some(TruePeak::new()))
    }

    fn with_peaks(rate: SampleRate, ceiling_dbfs: f32, between: Option<TruePeak>) -> Self {
        let ahead = rate.hz() as usize / 200;
        let latency = ahead + if between.is_some() { TruePeak::DELAY } else { 0 };
        let mut limiter = Self {
            between,
            ceiling: from_dbfs(ceiling_dbfs),
            delay: VecDeque::with_capacity(latency + 1),
            needs: VecDeque::with_capacity(ahead + 2),
            gains: VecDeque::with_capacity(ahead + 2),
            gain_sum: 0,
            held: 1.0,
            release: 1.0 - (-1.0 / (RELEASE_SECONDS * rate.hz() as f32)).exp(),
            position: 0,
        };
        limiter.fill(latency, ahead + 1);
        limiter
    }

    /// Limits one run in place; what leaves is [`latency`](Self::latency) samples late. NaN counts as silence, and ±8
    /// (18 dB over full scale) is the most that is let in.
    pub fn process(&mut self, frame: &mut [f32]) {
        let window = self.gains.len();
        let full = window as f32 * UNIT;
        for sample in frame {
            let newest = tame(*sample);
            let magnitude =
                self.between.as_mut().map_or_else(|| newest.abs(), |between| between.next(newest));
            let gain = self.next_gain(magnitude, window as u64);
            self.gain_sum += u64::from(gain);
            self.gain_sum -= u64::from(self.gains.pop_front().unwrap_or(0));
            self.gains.push_back(gain);
            self.delay.push_back(newest);
            let oldest = self.delay.pop_front().unwrap_or(0.0);
            // The clamp is for the last bit: a product is rounded.
            *sample = (oldest * (self.gain_sum as f32 / full)).clamp(-self.ceiling, self.ceiling);
        }
    }

    /// The smallest gain the samples of the window need, released slowly, in whole units and never rounded up.
    fn next_gain(&mut self, magnitude: f32, window: u64) -> u32 {
        let need = if magnitude > self.ceiling { self.ceiling / magnitude } else { 1.0 };
        while self.needs.back().is_some_and(|(_, later)| *later >= need) {
            self.needs.pop_back();
        }
        self.needs.push_back((self.position, need));
        if self.needs.front().is_some_and(|(at, _)| at + window <= self.position) {
            self.needs.pop_front();
        }
        self.position += 1;
        let smallest = self.needs.front().map_or(1.0, |(_, need)| *need);
        self.held = (self.held + (1.0 - self.held) * self.release).min(smallest);
        (self.held * UNIT) as u32
    }

    /// By how many samples what leaves is late: 5 ms, and 16 samples for true peaks. Feed that many zeros to have the end out.
    #[must_use]
    pub fn latency(&self) -> usize {
        self.delay.len()
    }

    /// Forgets the past and the samples still inside.
    pub fn reset(&mut self) {
        self.fill(self.latency(), self.gains.len());
        if let Some(between) = &mut self.between {
            between.reset();
        }
    }

    fn fill(&mut self, latency: usize, window: usize) {
        self.delay.clear();
        self.delay.resize(latency, 0.0);
        self.needs.clear();
        self.gains.clear();
        self.gains.resize(window, UNIT as u32);
        self.gain_sum = window as u64 * UNIT as u64;
        self.held = 1.0;
        self.position = 0;
    }
}

/// How fast the gain comes back: by 63 % in this time, some pitch periods of a low voice.
const RELEASE_SECONDS: f32 = 0.08;

/// Steps of a gain of one: every `f32` from ½ to 1 is a whole number of them.
const UNIT: f32 = 16_777_216.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_ceiling_the_samples_only_come_later() {
        let mut limiter = Limiter::new(SampleRate::Hz8000, -1.0);
        let wave: Vec<f32> = (0..400).map(|i| 0.8 * (i as f32 * 0.3).sin()).collect();
        let mut out = wave.clone();
        limiter.process(&mut out);
        assert_eq!(out[..40], [0.0; 40]);
        assert_eq!(out[40..], wave[..360]);
    }

    #[test]
    fn a_true_peak_limiter_sees_between_the_samples() {
        // A sine at a quarter of the rate, sampled 3 dB under its tops.
        let sine: Vec<f32> =
            (0..4_000).map(|n| 0.9 * ((2 * n + 1) as f32 * core::f32::consts::FRAC_PI_4).sin()).collect();
        let peak_of = |mut limiter: Limiter| {
            let mut out = sine.clone();
            limiter.process(&mut out);
            let mut peak = TruePeak::new();
            peak.process(&out[1_000..3_000]);
            peak.dbtp()
        };
        assert!(peak_of(Limiter::new(SampleRate::Hz8000, -3.0)) > -1.1);
        assert!(peak_of(Limiter::with_true_peak(SampleRate::Hz8000, -3.0)) < -2.9);
    }

    #[test]
    fn after_a_reset_it_is_as_new() {
        let mut used = Limiter::new(SampleRate::Hz16000, -3.0);
        used.process(&mut [2.0; 333]);
        used.reset();
        let mut new = Limiter::new(SampleRate::Hz16000, -3.0);
        let (mut a, mut b) = ([0.9; 500], [0.9; 500]);
        used.process(&mut a);
        new.process(&mut b);
        assert_eq!(a, b);
    }

    #[test]
    fn the_gain_moves_in_slopes_and_comes_back() {
        let mut limiter = Limiter::new(SampleRate::Hz8000, -6.0);
        let mut frame = vec![0.4; 8_000];
        frame[1_000] = 4.0;
        limiter.process(&mut frame);
        // But for the peak itself, neighbours differ by what the slope of one sample allows.
        let steepest = frame[40..1_040].windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.4 / 40.0, "{steepest}");
        assert!((frame[7_999] - 0.4).abs() < 1e-3);
    }
}

//! Samples waiting to be played, in one piece so that they can be spliced in place.

use crate::tame::tame;

/// A bounded queue of samples, contiguous, with room in front for a period to be put in.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    samples: Vec<f32>,
    head: usize,
    tail: usize,
    capacity: usize,
    /// Room kept free before the head.
    reserve: usize,
}

impl Queue {
    pub(super) fn new(capacity: usize, reserve: usize) -> Self {
        // Twice the capacity, so that moving the samples to the front costs less than one move a sample.
        Self { samples: vec![0.0; 2 * capacity + reserve], head: reserve, tail: reserve, capacity, reserve }
    }

    /// Appends what fits and returns how much that was.
    pub(super) fn push(&mut self, samples: &[f32]) -> usize {
        let taken = samples.len().min(self.capacity.saturating_sub(self.len()));
        if self.samples.len() - self.tail < taken {
            self.move_to_front();
        }
        // Here once, so that neither a splice nor a cut meets what is no number.
        let space = &mut self.samples[self.tail..self.tail + taken];
        space.iter_mut().zip(samples).for_each(|(to, from)| *to = tame(*from));
        self.tail += taken;
        taken
    }

    /// Moves as much as there is, up to `into`'s length, to its front and returns how much that was.
    pub(super) fn pop(&mut self, into: &mut [f32]) -> usize {
        let taken = into.len().min(self.len());
        into[..taken].copy_from_slice(&self.samples[self.head..self.head + taken]);
        self.head += taken;
        taken
    }

    /// Takes one period off the front, the two it was part of cross-faded into one.
    ///
    /// Needs two `period`s of samples.
    pub(super) fn drop_period(&mut self, period: usize) {
        let (first, second) = self.samples[self.head..self.head + 2 * period].split_at_mut(period);
        cross_fade(first, second);
        self.head += period;
    }

    /// Plays the first period once more, cross-faded so that both joints are smooth.
    ///
    /// Needs two `period`s of samples, of which the queue grows by one.
    pub(super) fn repeat_period(&mut self, period: usize) {
        if self.head < period {
            self.move_to_front();
        }
        // first | second…  becomes  first | second fading into first | second…
        let new_head = self.head - period;
        self.samples.copy_within(self.head..self.head + period, new_head);
        let (first, second) = self.samples[self.head..self.head + 2 * period].split_at_mut(period);
        for (n, (first, &second)) in first.iter_mut().zip(second.iter()).enumerate() {
            let rise = (n + 1) as f32 / (period + 1) as f32;
            *first = second + (*first - second) * rise;
        }
        self.head = new_head;
    }

    pub(super) fn clear(&mut self) {
        self.head = self.reserve;
        self.tail = self.reserve;
    }

    pub(super) fn as_slice(&self) -> &[f32] {
        &self.samples[self.head..self.tail]
    }

    pub(super) const fn len(&self) -> usize {
        self.tail - self.head
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    fn move_to_front(&mut self) {
        self.samples.copy_within(self.head..self.tail, self.reserve);
        self.tail = self.reserve + self.len();
        self.head = self.reserve;
    }
}

/// `to` becomes a fade from `from` to itself; both are of one length.
fn cross_fade(from: &[f32], to: &mut [f32]) {
    let length = from.len();
    for (n, (to, &from)) in to.iter_mut().zip(from).enumerate() {
        let rise = (n + 1) as f32 / (length + 1) as f32;
        *to = from + (*to - from) * rise;
    }
}

#[cfg(test)]
mod tests {
    use core::f32::consts::TAU;

    use super::*;

    fn sine(length: usize, period: f32) -> Vec<f32> {
        (0..length).map(|n| (TAU * n as f32 / period).sin()).collect()
    }

    #[test]
    fn a_sine_stays_a_sine_when_a_period_is_taken_out_or_put_in() {
        let wave = sine(800, 80.0);
        for (splice, length) in
            [(Queue::drop_period as fn(&mut Queue, usize), 720), (Queue::repeat_period, 880)]
        {
            let mut queue = Queue::new(1_000, 120);
            queue.push(&wave);
            splice(&mut queue, 80);
            assert_eq!(queue.len(), length);
            for (got, expected) in queue.as_slice().iter().zip(sine(880, 80.0)) {
                assert!((got - expected).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn samples_leave_in_the_order_they_came_however_they_are_cut() {
        // Within full scale, each exactly a float.
        let numbered = |n: usize| n as f32 / 65_536.0;
        let mut queue = Queue::new(100, 10);
        let (mut given, mut taken) = (0, 0);
        for round in 0..1_000 {
            let run: Vec<f32> = (given..given + round % 90).map(numbered).collect();
            given += queue.push(&run);
            let mut out = vec![0.0; round * 7 % 60];
            let got = queue.pop(&mut out);
            for value in &out[..got] {
                assert_eq!(*value, numbered(taken));
                taken += 1;
            }
            assert!(queue.len() <= 100);
        }
        assert!(taken > 10_000, "{taken}");
    }
}

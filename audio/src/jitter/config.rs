//! How long sound waits.

use core::time::Duration;

/// How a [`JitterBuffer`](crate::JitterBuffer) waits and what it does when nothing comes.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterBufferConfig {
    /// Sound that waits before playing starts, and starts again after a starve. Default 200 ms. Less starts sooner
    /// and starves at the first hiccup; more delays every answer. It is never less
    /// than the [`target`](crate::JitterBuffer::target), a frame and what is pushed at a time.
    pub prebuffer: Duration,
    /// How long the first sound may wait for the prebuffer to fill. Default 400 ms. A short word alone never fills
    /// it, and must be heard all the same.
    pub max_wait: Duration,
    /// The least that is kept waiting, however calm the line. Default 60 ms.
    pub min_target: Duration,
    /// The most that is kept waiting, however late sound comes. Default 200 ms, at least `min_target`.
    pub max_target: Duration,
    /// The most that can wait, up to 60 s: a push takes what fits. Default 2 s. Too little refuses the burst after a stall; the
    /// memory is twice as much.
    pub capacity: Duration,
    /// Whether gaps are filled with the noise of the line. Default true.
    pub comfort_noise: bool,
    /// Seed of that noise. Default 0.
    pub seed: u64,
}

impl JitterBufferConfig {
    /// Sets [`prebuffer`](Self::prebuffer).
    #[must_use]
    pub const fn with_prebuffer(mut self, prebuffer: Duration) -> Self {
        self.prebuffer = prebuffer;
        self
    }

    /// Sets [`max_wait`](Self::max_wait).
    #[must_use]
    pub const fn with_max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// Sets [`min_target`](Self::min_target) and [`max_target`](Self::max_target).
    #[must_use]
    pub const fn with_target(mut self, min: Duration, max: Duration) -> Self {
        self.min_target = min;
        self.max_target = max;
        self
    }

    /// Sets [`capacity`](Self::capacity).
    #[must_use]
    pub const fn with_capacity(mut self, capacity: Duration) -> Self {
        self.capacity = capacity;
        self
    }

    /// Sets [`comfort_noise`](Self::comfort_noise).
    #[must_use]
    pub const fn with_comfort_noise(mut self, comfort_noise: bool) -> Self {
        self.comfort_noise = comfort_noise;
        self
    }
}

impl Default for JitterBufferConfig {
    fn default() -> Self {
        Self {
            prebuffer: Duration::from_millis(200),
            max_wait: Duration::from_millis(400),
            min_target: Duration::from_millis(60),
            max_target: Duration::from_millis(200),
            capacity: Duration::from_secs(2),
            comfort_noise: true,
            seed: 0,
        }
    }
}

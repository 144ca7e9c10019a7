//! How many samples come out for how many that went in.

/// The ratio of two rates, and where a stream stands between its samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) up: usize,
    pub(super) down: usize,
    /// Where the next output lies after the next input, in 1 ⁄ `up` of an input sample; under `down`.
    pub(super) ahead: usize,
}

impl Pace {
    pub(super) fn new(up: usize, down: usize) -> Self {
        Self { up, down, ahead: 0 }
    }

    /// Samples the next `input_len` make.
    pub(super) const fn output_len(&self, input_len: usize) -> usize {
        (input_len * self.up).saturating_sub(self.ahead).div_ceil(self.down)
    }

    /// Counts `input_len` samples, and those they made.
    pub(super) fn advance(&mut self, input_len: usize) {
        self.ahead = self.ahead + self.output_len(input_len) * self.down - input_len * self.up;
    }

    pub(super) fn reset(&mut self) {
        self.ahead = 0;
    }
}

/// The same ratio in its lowest terms.
pub(super) fn reduced(up: usize, down: usize) -> (usize, usize) {
    let divisor = greatest_common_divisor(up, down);
    (up / divisor, down / divisor)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

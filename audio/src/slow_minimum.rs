//! A minimum over the recent past, the usual stand-in for what is there when nobody speaks.

/// The least of the last `memory` values or so, kept as the minima of a few slots of time.
///
/// After R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum statistics"
/// (2001): slots instead of every value, so a push costs two comparisons.
#[derive(Debug, Clone)]
pub(crate) struct SlowMinimum {
    slots: [f32; SLOTS],
    /// The least of the slots.
    past: f32,
    current: f32,
    count: u32,
    per_slot: u32,
}

impl SlowMinimum {
    /// Looks back over `memory` values, rounded up to whole slots.
    pub(crate) const fn new(memory: u32) -> Self {
        let per_slot = memory.div_ceil(SLOTS as u32);
        Self {
            slots: [f32::INFINITY; SLOTS],
            past: f32::INFINITY,
            current: f32::INFINITY,
            count: 0,
            per_slot: if per_slot == 0 { 1 } else { per_slot },
        }
    }

    /// Takes one value in and returns the minimum, that value included.
    pub(crate) fn push(&mut self, value: f32) -> f32 {
        self.current = self.current.min(value);
        let least = self.past.min(self.current);
        self.count += 1;
        if self.count == self.per_slot {
            self.slots.rotate_right(1);
            self.slots[0] = self.current;
            self.past = self.slots.iter().copied().fold(f32::INFINITY, f32::min);
            self.current = f32::INFINITY;
            self.count = 0;
        }
        least
    }

    /// Every value so far is `by` more than it was when it came.
    pub(crate) fn shift(&mut self, by: f32) {
        for slot in &mut self.slots {
            *slot += by;
        }
        self.past += by;
        self.current += by;
    }

    /// Forgets every value.
    pub(crate) fn reset(&mut self) {
        self.slots = [f32::INFINITY; SLOTS];
        self.past = f32::INFINITY;
        self.current = f32::INFINITY;
        self.count = 0;
    }
}

/// More slots forget more evenly; eight keep the span within an eighth of what was asked.
const SLOTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_is_kept_for_its_memory_and_then_forgotten() {
        let mut floor = SlowMinimum::new(80);
        assert_eq!(floor.push(1.0), 1.0);
        assert_eq!(floor.push(0.2), 0.2);
        for _ in 0..75 {
            assert_eq!(floor.push(1.0), 0.2);
        }
        let after: Vec<f32> = (0..20).map(|_| floor.push(1.0)).collect();
        assert_eq!(after.last(), Some(&1.0));
    }
}

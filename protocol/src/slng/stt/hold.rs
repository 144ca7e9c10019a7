//! Audio that no final has covered yet, by position, and how far into it this link is.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// 16-bit samples from `start` to `end`, of which those before `next` were sent on this link.
#[derive(Debug, Default)]
pub(super) struct Hold {
    pieces: VecDeque<Bytes>,
    start: u64,
    next: u64,
    end: u64,
    /// The piece that holds `next`, and the byte in it.
    cursor: (usize, usize),
}

impl Hold {
    /// Position of the oldest sample held.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// Position of the next sample to send.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// One past the newest sample.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Samples not yet sent on this link.
    pub(super) const fn unsent(&self) -> u64 {
        self.end - self.next
    }

    /// Samples held.
    pub(super) const fn len(&self) -> u64 {
        self.end - self.start
    }

    pub(super) fn push(&mut self, audio: Bytes) {
        if !audio.is_empty() {
            self.end += samples(audio.len());
            self.pieces.push_back(audio);
        }
    }

    /// Takes the next `count` samples to send them; fewer if there are fewer.
    pub(super) fn take(&mut self, count: u64) -> Bytes {
        let wanted = bytes(count.min(self.unsent()));
        self.next += samples(wanted);
        let (piece, offset) = self.cursor;
        if let Some(whole) = self.pieces.get(piece)
            && whole.len() >= offset + wanted
        {
            let taken = whole.slice(offset..offset + wanted);
            self.cursor =
                if offset + wanted == whole.len() { (piece + 1, 0) } else { (piece, offset + wanted) };
            return taken;
        }
        let mut joined = BytesMut::with_capacity(wanted);
        while joined.len() < wanted {
            let (piece, offset) = self.cursor;
            let Some(from) = self.pieces.get(piece) else { break };
            let to = from.len().min(offset + wanted - joined.len());
            joined.extend_from_slice(&from[offset..to]);
            self.cursor = if to == from.len() { (piece + 1, 0) } else { (piece, to) };
        }
        joined.freeze()
    }

    /// Lets go of everything before `position`.
    pub(super) fn release_to(&mut self, position: u64) {
        let position = position.clamp(self.start, self.end);
        while self.start < position {
            let Some(front) = self.pieces.front_mut() else { break };
            let length = samples(front.len());
            if self.start + length <= position {
                self.start += length;
                self.pieces.pop_front();
                self.cursor = match self.cursor {
                    (0, _) => (0, 0),
                    (piece, offset) => (piece - 1, offset),
                };
            } else {
                let cut = bytes(position - self.start);
                *front = front.slice(cut..);
                self.start = position;
                if self.cursor.0 == 0 {
                    self.cursor.1 = self.cursor.1.saturating_sub(cut);
                }
            }
        }
        self.next = self.next.max(self.start);
    }

    /// A new link: everything held is to be sent again.
    pub(super) const fn rewind(&mut self) {
        self.next = self.start;
        self.cursor = (0, 0);
    }
}

const fn samples(bytes: usize) -> u64 {
    (bytes / 2) as u64
}

const fn bytes(samples: u64) -> usize {
    samples as usize * 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(u64),
        Take(u64),
        Release(u64),
        Rewind,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..50u64).prop_map(Step::Push),
            (0..80u64).prop_map(Step::Take),
            (0..400u64).prop_map(Step::Release),
            Just(Step::Rewind),
        ]
    }

    proptest! {
        /// Each sample's value is its position, so what is taken says where it comes from.
        #[test]
        fn positions_survive_every_order_of_operations(steps in prop::collection::vec(step(), 1..80)) {
            let mut hold = Hold::default();
            for step in steps {
                match step {
                    Step::Push(count) => {
                        let first = hold.end();
                        let audio = (first..first + count).flat_map(|at| (at as u16).to_le_bytes());
                        hold.push(audio.collect());
                    }
                    Step::Take(count) => {
                        let first = hold.next();
                        let expected = count.min(hold.unsent());
                        let taken = hold.take(count);
                        prop_assert_eq!(taken.len() as u64, 2 * expected);
                        for (index, pair) in taken.chunks_exact(2).enumerate() {
                            prop_assert_eq!(u16::from_le_bytes([pair[0], pair[1]]), first as u16 + index as u16);
                        }
                    }
                    Step::Release(position) => hold.release_to(position),
                    Step::Rewind => hold.rewind(),
                }
                prop_assert!(hold.start() <= hold.next() && hold.next() <= hold.end());
            }
        }
    }
}

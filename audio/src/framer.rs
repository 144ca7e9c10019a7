//! Byte runs of any length become whole frames.

use crate::{Encoding, FrameSpec};

/// Turns byte runs of any length into whole frames: the one place where lengths from outside become
/// lengths every kernel can trust.
///
/// It holds [`Framer::CAPACITY`] frames at most. [`push`](Self::push) says how many bytes it took, so nothing is
/// lost when a message is longer than that:
///
/// ```
/// use voxline_audio::{Encoding, FrameSpec, Framer};
///
/// let mut framer = Framer::new(FrameSpec::PHONE, Encoding::MuLaw);
/// let mut frame = [0_i16; 160];
/// let mut frames = 0;
/// let message = [0xff_u8; 5_000];
/// let mut rest = &message[..];
/// while !rest.is_empty() {
///     rest = &rest[framer.push(rest)..];
///     while framer.pop(&mut frame) {
///         frames += 1;
///     }
/// }
/// assert_eq!((frames, framer.buffered()), (31, 40));
/// ```
#[derive(Debug, Clone)]
pub struct Framer {
    spec: FrameSpec,
    encoding: Encoding,
    /// Bytes in wire encoding, so that half a sample can wait for its other half.
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Framer {
    /// Frames it can hold.
    pub const CAPACITY: usize = 8;

    /// A framer for bytes in `encoding`.
    #[must_use]
    pub fn new(spec: FrameSpec, encoding: Encoding) -> Self {
        let bytes = vec![0; spec.bytes(encoding) * Self::CAPACITY].into_boxed_slice();
        Self { spec, encoding, bytes, start: 0, end: 0 }
    }

    /// Takes as many bytes as fit and returns their number: all of them whenever every whole frame was popped and
    /// `bytes` is shorter than the capacity. Never zero after a `pop` that returned `false`, unless `bytes` is empty.
    #[must_use = "bytes beyond those taken have to be pushed again"]
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        if bytes.len() > self.bytes.len() - self.end {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let taken = bytes.len().min(self.bytes.len() - self.end);
        self.bytes[self.end..self.end + taken].copy_from_slice(&bytes[..taken]);
        self.end += taken;
        taken
    }

    /// Fills `frame` with the next whole frame, or leaves it alone and returns `false`.
    ///
    /// # Panics
    /// Panics unless `frame` has the length of the [`FrameSpec`].
    pub fn pop(&mut self, frame: &mut [i16]) -> bool {
        assert_eq!(frame.len(), self.spec.samples(), "a frame has the length of its spec");
        let size = self.spec.bytes(self.encoding);
        if self.end - self.start < size {
            return false;
        }
        self.encoding.decode(&self.bytes[self.start..self.start + size], frame);
        self.start += size;
        true
    }

    /// Ends the stream: fills `frame` with the next frame, the last one padded with silence, or returns `false` if
    /// nothing was left. Half a sample at the very end is dropped.
    ///
    /// # Panics
    /// Panics unless `frame` has the length of the [`FrameSpec`].
    pub fn flush(&mut self, frame: &mut [i16]) -> bool {
        if self.pop(frame) {
            return true;
        }
        let width = self.encoding.bytes_per_sample();
        let samples = (self.end - self.start) / width;
        let (sounding, silent) = frame.split_at_mut(samples);
        self.encoding.decode(&self.bytes[self.start..self.start + samples * width], sounding);
        silent.fill(0);
        self.reset();
        samples > 0
    }

    /// Forgets what it holds.
    pub const fn reset(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Bytes held and not yet popped.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FrameDuration, SampleRate};

    /// Runs `message` through a framer in pieces of `piece` bytes.
    fn frames(message: &[u8], piece: usize, encoding: Encoding) -> Vec<i16> {
        let spec = FrameSpec::new(SampleRate::Hz8000, FrameDuration::Ms10).unwrap();
        let mut framer = Framer::new(spec, encoding);
        let mut frame = [0; 80];
        let mut out = Vec::new();
        for mut rest in message.chunks(piece) {
            while !rest.is_empty() {
                rest = &rest[framer.push(rest)..];
                while framer.pop(&mut frame) {
                    out.extend_from_slice(&frame);
                }
            }
        }
        while framer.flush(&mut frame) {
            out.extend_from_slice(&frame);
        }
        out
    }

    #[test]
    fn however_the_bytes_are_split_the_samples_are_the_same() {
        let message: Vec<u8> = (0..4_001_u32).map(|i| (i * 7) as u8).collect();
        for encoding in [Encoding::ALaw, Encoding::Linear16Le, Encoding::MuLaw] {
            let samples = message.len() / encoding.bytes_per_sample();
            let mut expected = vec![0; samples];
            encoding.decode(&message[..samples * encoding.bytes_per_sample()], &mut expected);
            expected.resize(samples.next_multiple_of(80), 0);
            for piece in [1, 2, 3, 159, 160, 161, 1_281, 4_001] {
                assert_eq!(frames(&message, piece, encoding), expected, "{encoding} in {piece}");
            }
        }
    }

    #[test]
    fn a_full_framer_takes_no_more_and_loses_nothing() {
        let mut framer = Framer::new(FrameSpec::PHONE, Encoding::MuLaw);
        assert_eq!(framer.push(&[0xff; 10_000]), 1_280);
        assert_eq!(framer.push(&[0xff; 10_000]), 0);
        assert_eq!(framer.buffered(), 1_280);
        assert!(framer.pop(&mut [0; 160]));
        assert_eq!(framer.push(&[0xff; 10_000]), 160);
    }

    #[test]
    fn after_a_reset_nothing_is_left_to_flush() {
        let mut framer = Framer::new(FrameSpec::PHONE, Encoding::Linear16Le);
        assert_eq!(framer.push(&[1; 101]), 101);
        framer.reset();
        assert!(!framer.flush(&mut [0; 160]));
    }

    #[test]
    #[should_panic(expected = "a frame has the length of its spec")]
    fn a_frame_of_another_length_is_the_callers_bug() {
        let _ = Framer::new(FrameSpec::PHONE, Encoding::MuLaw).pop(&mut [0; 80]);
    }
}

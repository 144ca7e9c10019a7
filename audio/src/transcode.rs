//! From one wire format to another, in runs of any length.

use crate::{AudioFormat, Encoding, Resampler};

/// Turns a stream of bytes in one [`AudioFormat`] into bytes in another: decoding, rate conversion, encoding.
///
/// Equal formats pass through untouched. Half a sample at the end of a run waits for its other half. Nothing is
/// allocated after `new` but what the caller's own buffer needs to grow.
///
/// ```
/// use voxline_audio::{AudioFormat, SampleRate, Transcoder};
///
/// // A speech service's 24 kHz audio, for a telephone.
/// let mut to_phone = Transcoder::new(AudioFormat::linear16(SampleRate::Hz24000), AudioFormat::PHONE);
/// let mut wire = Vec::new();
/// to_phone.process(&[0; 960], &mut wire);
/// assert_eq!(wire, [0xFF; 160], "20 ms of silence");
/// ```
#[derive(Debug, Clone)]
pub struct Transcoder {
    from: AudioFormat,
    to: AudioFormat,
    resampler: Resampler,
    half: Option<u8>,
    decoded: Box<[i16]>,
    resampled: Box<[i16]>,
}

impl Transcoder {
    /// A transcoder from `from` to `to`.
    #[must_use]
    pub fn new(from: AudioFormat, to: AudioFormat) -> Self {
        let resampler = Resampler::new(from.rate, to.rate);
        let most = resampler.output_len(BLOCK).max(resampler.latency()) + 1;
        let (decoded, resampled) = (vec![0; BLOCK].into(), vec![0; most].into());
        Self { from, to, resampler, half: None, decoded, resampled }
    }

    /// Converts one run and appends the result to `output`.
    pub fn process(&mut self, mut input: &[u8], output: &mut Vec<u8>) {
        if self.is_passthrough() {
            output.extend_from_slice(input);
            return;
        }
        if let (Some(low), Some((high, rest))) = (self.half, input.split_first()) {
            self.half = None;
            input = rest;
            self.convert(&[low, *high], output);
        }
        let size = self.from.encoding.bytes_per_sample();
        let (whole, half) = input.split_at(input.len() / size * size);
        self.half = self.half.or_else(|| half.first().copied());
        for block in whole.chunks(BLOCK * size) {
            self.convert(block, output);
        }
    }

    /// Ends the stream: appends what the rate conversion still holds, drops half a sample, and starts afresh.
    pub fn flush(&mut self, output: &mut Vec<u8>) {
        let held = self.resampler.latency();
        self.resampler.flush_i16(&mut self.resampled[..held]);
        encode(&self.resampled[..held], self.to.encoding, output);
        self.half = None;
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.resampler.reset();
        self.half = None;
    }

    /// What comes in.
    #[must_use]
    pub const fn input_format(&self) -> AudioFormat {
        self.from
    }

    /// What goes out.
    #[must_use]
    pub const fn output_format(&self) -> AudioFormat {
        self.to
    }

    /// True if the formats are equal and bytes are only handed on.
    #[must_use]
    pub fn is_passthrough(&self) -> bool {
        self.from == self.to
    }

    /// Converts at most a block of whole samples.
    fn convert(&mut self, block: &[u8], output: &mut Vec<u8>) {
        let decoded = &mut self.decoded[..block.len() / self.from.encoding.bytes_per_sample()];
        self.from.encoding.decode(block, decoded);
        let resampled = &mut self.resampled[..self.resampler.output_len(decoded.len())];
        self.resampler.process_i16(decoded, resampled);
        encode(resampled, self.to.encoding, output);
    }
}

/// Appends `samples` as `encoding` writes them.
fn encode(samples: &[i16], encoding: Encoding, output: &mut Vec<u8>) {
    let start = output.len();
    output.resize(start + samples.len() * encoding.bytes_per_sample(), 0);
    encoding.encode(samples, &mut output[start..]);
}

/// Samples converted at a time: 20 ms at 48 kHz.
const BLOCK: usize = 960;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SampleRate;

    fn tone(format: AudioFormat, seconds: f32) -> Vec<u8> {
        let hz = format.rate.hz() as f32;
        let wave = |n: usize| (8_000.0 * (core::f32::consts::TAU * 440.0 * n as f32 / hz).sin()) as i16;
        let samples: Vec<_> = (0..(hz * seconds) as usize).map(wave).collect();
        let mut bytes = Vec::new();
        encode(&samples, format.encoding, &mut bytes);
        bytes
    }

    #[test]
    fn any_cut_of_the_input_gives_the_same_output() {
        let from = AudioFormat::linear16(SampleRate::Hz24000);
        let input = tone(from, 0.3);
        let mut whole = Vec::new();
        Transcoder::new(from, AudioFormat::PHONE).process(&input, &mut whole);
        for size in [1, 3, 7, 160, 1_001, 4_999] {
            let mut cut = Vec::new();
            let mut transcoder = Transcoder::new(from, AudioFormat::PHONE);
            input.chunks(size).for_each(|run| transcoder.process(run, &mut cut));
            assert!(cut == whole, "runs of {size} bytes");
        }
    }

    #[test]
    fn a_flush_gives_back_as_much_time_as_went_in() {
        for (from, to) in [
            (AudioFormat::linear16(SampleRate::Hz24000), AudioFormat::PHONE),
            (AudioFormat::PHONE, AudioFormat::linear16(SampleRate::Hz16000)),
            (AudioFormat::PHONE, AudioFormat::PHONE),
        ] {
            let input = tone(from, 0.5);
            let mut transcoder = Transcoder::new(from, to);
            let mut output = Vec::new();
            transcoder.process(&input, &mut output);
            transcoder.flush(&mut output);
            let latency = to.rate.duration_of(transcoder.resampler.latency() as u64);
            let expected = from.duration_of(input.len()) + latency;
            assert_eq!(to.duration_of(output.len()), expected, "{from} to {to}");
        }
    }
}

//! Audio that says where it comes from, and an ear that reads it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::plivo::{CallerEvent, PlivoCallerConfig};

use crate::pair::Said;

/// Every sample of it tells its utterance (1 to 15) and its millisecond in that (0 to 4095).
pub(crate) const FORMAT: AudioFormat = AudioFormat::linear16(SampleRate::Hz8000);

pub(crate) fn caller() -> PlivoCallerConfig {
    PlivoCallerConfig::new("call", "stream").with_format(FORMAT)
}

/// Milliseconds `from..to` of an utterance.
pub(crate) fn speech(utterance: u16, from: u64, to: u64) -> Bytes {
    let mark = (utterance % 15 + 1) << 12;
    let mut audio = BytesMut::with_capacity((to - from) as usize * 16);
    for at in from..to {
        let sample = (mark | at as u16).to_le_bytes();
        (0..8).for_each(|_| audio.extend_from_slice(&sample));
    }
    audio.freeze()
}

pub(crate) fn mark(utterance: u16) -> u16 {
    utterance % 15 + 1
}

/// A sample as heard: whose utterance, which millisecond. `None` for silence.
pub(crate) fn read(sample: [u8; 2]) -> Option<(u16, u16)> {
    let sample = u16::from_le_bytes(sample);
    (sample != 0).then_some((sample >> 12, sample & 0xfff))
}

/// Everything the caller heard, sample by sample.
pub(crate) fn heard(said: &[(std::time::Instant, Said)]) -> impl Iterator<Item = Option<(u16, u16)>> {
    let frames = said.iter().filter_map(|(_, said)| match said {
        Said::Caller(CallerEvent::Ear(frame)) => Some(frame),
        Said::Caller(_) | Said::Stream(_) => None,
    });
    frames.flat_map(|frame| frame.audio.chunks_exact(2).map(|sample| read([sample[0], sample[1]])))
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

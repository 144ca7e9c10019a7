//! The agent's side of the call: speech in the phone's format, spliced where it was made twice.

use std::time::Duration;

use bytes::Bytes;
use voxline_audio::{AudioFormat, Transcoder, fade, pcm};
use voxline_protocol::UtteranceId;

/// Turns synthesised audio into phone audio.
///
/// A sentence that was half made when its link was lost is made again from its start; the audio that
/// was already sent is skipped here, sample-exactly, so that a deterministic voice joins without a
/// seam and any other at the same place in the sentence.
#[derive(Debug)]
pub(super) struct Mouth {
    speech: AudioFormat,
    transcoder: Transcoder,
    /// Bytes of this try still to be skipped.
    skip: usize,
    /// The utterance whose audio is flowing.
    speaking: Option<UtteranceId>,
}

impl Mouth {
    pub(super) fn new(speech: AudioFormat, phone: AudioFormat) -> Self {
        Self { speech, transcoder: Transcoder::new(speech, phone), skip: 0, speaking: None }
    }

    /// A sentence is about to be made, of which `skip` was already sent.
    pub(super) const fn expect(&mut self, skip: Duration) {
        self.skip = self.speech.bytes_in(skip);
    }

    /// Takes one run of synthesised audio; gives back what there is to play, and whether it is the first of its
    /// utterance.
    pub(super) fn speak(&mut self, utterance: UtteranceId, audio: &[u8]) -> (Bytes, bool) {
        let skipped = self.skip.min(audio.len());
        self.skip -= skipped;
        let mut converted = Vec::with_capacity(audio.len());
        self.transcoder.process(&audio[skipped..], &mut converted);
        let first = !converted.is_empty() && self.speaking.replace(utterance) != Some(utterance);
        (Bytes::from(converted), first)
    }

    /// The utterance has ended: gives back what the rate conversion still holds.
    pub(super) fn end(&mut self) -> Bytes {
        let mut rest = Vec::new();
        if !self.transcoder.is_passthrough() {
            self.transcoder.flush(&mut rest);
        }
        self.speaking = None;
        Bytes::from(rest)
    }

    /// A barge-in: what was on its way is void.
    pub(super) fn stop(&mut self) {
        self.transcoder.reset();
        self.skip = 0;
        self.speaking = None;
    }

    /// The first of `unheard`, phone audio that was cleared, faded to silence: what the caller hears last does not
    /// click.
    pub(super) fn fade(&self, unheard: &[u8]) -> Bytes {
        let phone = self.transcoder.output_format();
        let tail = &unheard[..unheard.len().min(phone.bytes_in(fade::CUT))];
        let mut samples = vec![0; tail.len() / phone.encoding.bytes_per_sample()];
        phone.encoding.decode(tail, &mut samples);
        let mut faded = vec![0; samples.len()];
        fade::cut_i16(&samples, &mut faded);
        let mut wire = vec![0; tail.len()];
        phone.encoding.encode(&faded, &mut wire);
        Bytes::from(wire)
    }

    /// `unheard`, phone audio that goes on after a pause: its beginning rises from silence.
    pub(super) fn rise(&self, unheard: &[u8]) -> Bytes {
        let phone = self.transcoder.output_format();
        let length = unheard.len().min(phone.bytes_in(RISE));
        let mut samples = vec![0; length / phone.encoding.bytes_per_sample()];
        phone.encoding.decode(&unheard[..length], &mut samples);
        let mut wide = vec![0.0; samples.len()];
        pcm::i16_to_f32(&samples, &mut wide);
        fade::fade_in(&mut wide);
        pcm::f32_to_i16(&wide, &mut samples);
        let mut wire = unheard.to_vec();
        phone.encoding.encode(&samples, &mut wire[..length]);
        Bytes::from(wire)
    }
}

/// Long enough to begin without a click, short enough to lose no sound of a word.
const RISE: Duration = Duration::from_millis(10);

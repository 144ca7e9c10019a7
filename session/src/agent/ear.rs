//! The caller's side of an agent: audio for the recogniser, and whether somebody speaks.

use std::time::Duration;

use bytes::Bytes;
use voxline_audio::{
    AudioFormat, FrameDuration, FrameSpec, Framer, Transcoder, VoiceActivity, VoiceDetector,
    VoiceDetectorConfig, pcm,
};

use crate::ConversationInput;

/// Turns caller audio into recogniser audio, and watches it for voice.
#[derive(Debug)]
pub(super) struct Ear {
    transcoder: Transcoder,
    framer: Framer,
    detector: VoiceDetector,
    hang_over: Duration,
    min_speech: Duration,
    linear: Vec<i16>,
    wide: Vec<f32>,
}

impl Ear {
    /// Between the phone's format and the recogniser's. `None` at a rate without a whole 20 ms frame, which no
    /// phone has.
    pub(super) fn new(
        phone: AudioFormat,
        recogniser: AudioFormat,
        config: VoiceDetectorConfig,
    ) -> Option<Self> {
        let spec = FrameSpec::new(phone.rate, FrameDuration::Ms20)?;
        Some(Self {
            transcoder: Transcoder::new(phone, recogniser),
            framer: Framer::new(spec, phone.encoding),
            hang_over: config.hang_over,
            min_speech: config.min_speech,
            detector: VoiceDetector::new(spec, config),
            linear: vec![0; spec.samples()],
            wide: vec![0.0; spec.samples()],
        })
    }

    /// Takes one run of caller audio; gives it back as the recogniser wants it, and tells `tell` of voice.
    pub(super) fn hear(&mut self, audio: &[u8], mut tell: impl FnMut(ConversationInput)) -> Bytes {
        let mut rest = audio;
        while !rest.is_empty() {
            rest = &rest[self.framer.push(rest)..];
            while self.framer.pop(&mut self.linear) {
                pcm::i16_to_f32(&self.linear, &mut self.wide);
                match self.detector.process(&self.wide) {
                    VoiceActivity::SpeechStarted => {
                        tell(ConversationInput::VoiceStarted { ago: self.min_speech });
                    }
                    VoiceActivity::SpeechEnded => tell(ConversationInput::VoiceEnded { ago: self.hang_over }),
                    VoiceActivity::Silence | VoiceActivity::Speech | _ => {}
                }
            }
        }
        let mut converted = Vec::with_capacity(audio.len() * 4);
        self.transcoder.process(audio, &mut converted);
        Bytes::from(converted)
    }
}

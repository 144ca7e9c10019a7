//! The simulated recogniser: audio in, partial and final transcripts out, from what really arrived.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use voxline_audio::{
    Encoding, FrameDuration, FrameSpec, Framer, SampleRate, VoiceActivity, VoiceDetector,
    VoiceDetectorConfig, pcm,
};
use voxline_protocol::slng::{Heard, SttServerCommand};

use crate::simulate::recordings::{Recogniser, Recording};
use crate::simulate::voice::{Decoder, VoiceEvent};

/// One link's recogniser. Tonetext is decoded, known recordings are recognised by ear, and any other speech is
/// reported as [`UNKNOWN_SPEECH`].
#[derive(Debug)]
pub(super) struct Listener {
    /// From the end of speech, or a request, to the transcript.
    delay: Duration,
    framer: Framer,
    frame: Vec<i16>,
    wide: Vec<f32>,
    detector: VoiceDetector,
    speaking: bool,
    /// Speech has been heard that no final covers.
    unheard_speech: bool,
    /// Samples taken since the link began.
    position: u64,
    /// Where the speech since the last final began.
    speech_start: u64,
    decoder: Decoder,
    blocks: Vec<(String, u64, u64)>,
    recogniser: Recogniser,
    since_look: usize,
    partial: String,
    answers: VecDeque<(Instant, SttServerCommand)>,
}

impl Listener {
    /// `None` for a rate at which 20 ms is no whole number of samples.
    pub(super) fn new(rate: SampleRate, recordings: Vec<Arc<Recording>>, delay: Duration) -> Option<Self> {
        let spec = FrameSpec::new(rate, FrameDuration::Ms20)?;
        let config =
            VoiceDetectorConfig::default().with_floor_memory(FLOOR_MEMORY).with_hang_over(END_OF_SPEECH);
        Some(Self {
            delay,
            framer: Framer::new(spec, Encoding::Linear16Le),
            frame: vec![0; spec.samples()],
            wide: vec![0.0; spec.samples()],
            detector: VoiceDetector::new(spec, config),
            speaking: false,
            unheard_speech: false,
            position: 0,
            speech_start: 0,
            decoder: Decoder::new(rate),
            blocks: Vec::new(),
            recogniser: Recogniser::new(recordings, rate),
            since_look: 0,
            partial: String::new(),
            answers: VecDeque::new(),
        })
    }

    /// Takes audio as it arrived.
    pub(super) fn hear(&mut self, now: Instant, mut audio: &[u8]) {
        while !audio.is_empty() {
            audio = &audio[self.framer.push(audio)..];
            while self.framer.pop(&mut self.frame) {
                self.hear_frame(now);
            }
        }
    }

    /// The client wants what there is.
    pub(super) fn finalize(&mut self, now: Instant) {
        self.finish_utterance(now, true);
    }

    /// The client has no more audio.
    pub(super) fn close(&mut self, now: Instant) {
        self.decoder.finish();
        self.take_blocks();
        self.finish_utterance(now, false);
        self.answer(now + self.delay, SttServerCommand::Finish);
    }

    /// When there is something to send.
    pub(super) fn due(&self) -> Option<Instant> {
        self.answers.front().map(|(due, _)| *due)
    }

    /// The next transcript, if it is due by `now`.
    pub(super) fn next(&mut self, now: Instant) -> Option<SttServerCommand> {
        self.due().filter(|due| *due <= now)?;
        self.answers.pop_front().map(|(_, command)| command)
    }

    fn hear_frame(&mut self, now: Instant) {
        self.position += self.frame.len() as u64;
        self.decoder.push(&self.frame);
        self.recogniser.push(&self.frame);
        pcm::i16_to_f32(&self.frame, &mut self.wide);
        let activity = self.detector.process(&self.wide);
        let said_more = self.take_blocks();
        self.speaking = activity.is_speech();
        if activity == VoiceActivity::SpeechStarted && !self.unheard_speech {
            self.unheard_speech = true;
            let lead = self.detector.spec().rate().samples_in(SPEECH_LEAD);
            self.speech_start = self.position.saturating_sub(lead);
        }
        self.since_look += 1;
        if said_more || (self.speaking && self.blocks.is_empty() && self.since_look >= FRAMES_BETWEEN_LOOKS) {
            self.look(now);
        }
        if activity == VoiceActivity::SpeechEnded {
            self.finish_utterance(now, false);
        }
    }

    /// Tells of what has been understood so far.
    fn look(&mut self, now: Instant) {
        self.since_look = 0;
        let text = self.text();
        if !text.is_empty() && text != self.partial && text != UNKNOWN_SPEECH {
            self.partial.clone_from(&text);
            self.answer(now + self.delay, SttServerCommand::Partial(Heard::new(text, self.span())));
        }
    }

    fn finish_utterance(&mut self, now: Instant, asked: bool) {
        // What sounds on for a moment after a final is the end of what that final covers.
        let more = self.position - self.speech_start > self.detector.spec().rate().samples_in(LONGEST_TAIL);
        let heard = (self.unheard_speech && more) || !self.blocks.is_empty();
        if heard {
            let said = Heard::new(self.text(), self.span());
            self.answer(now + self.delay, SttServerCommand::Final(said));
            self.blocks.clear();
            self.recogniser.reset();
            self.partial.clear();
            self.unheard_speech = self.speaking;
            self.speech_start = self.position;
        } else if asked {
            let nothing = Heard::new("", self.position..self.position);
            self.answer(now + self.delay, SttServerCommand::Final(nothing));
        }
    }

    fn text(&self) -> String {
        if !self.blocks.is_empty() {
            let text: String = self.blocks.iter().map(|(text, ..)| text.as_str()).collect();
            return text.trim().to_owned();
        }
        let heard = self.recogniser.heard();
        if heard.text().is_empty() { UNKNOWN_SPEECH.to_owned() } else { heard.text() }
    }

    fn span(&self) -> std::ops::Range<u64> {
        match (self.blocks.first(), self.blocks.last()) {
            (Some((_, start, _)), Some((.., end))) => *start..*end,
            _ => self.speech_start..self.position,
        }
    }

    /// Takes what was decoded; true if there was something.
    fn take_blocks(&mut self) -> bool {
        let mut more = false;
        while let Some(event) = self.decoder.poll() {
            if let VoiceEvent::Block { block, start, end } = event {
                // The next sentence of the same breath is another utterance of the voice.
                let gap = if block.first && !self.blocks.is_empty() { " " } else { "" };
                self.blocks.push((format!("{gap}{}", block.text), start, end));
                more = true;
            }
        }
        more
    }

    fn answer(&mut self, due: Instant, command: SttServerCommand) {
        self.answers.push_back((due, command));
    }
}

/// The transcript of speech nobody knows.
pub const UNKNOWN_SPEECH: &str = "[unknown speech]";
/// Silence that ends an utterance: shorter than an agent's end of turn, so that it finds the final waiting.
const END_OF_SPEECH: Duration = Duration::from_millis(300);
/// The detector's own silence, and a little.
const LONGEST_TAIL: Duration = Duration::from_millis(400);
/// Long sentences without a breath must not be taken for noise.
const FLOOR_MEMORY: Duration = Duration::from_secs(30);
/// How long before the detector says so speech may have begun.
const SPEECH_LEAD: Duration = Duration::from_millis(200);
/// Recognising a recording is looked at every 200 ms.
const FRAMES_BETWEEN_LOOKS: usize = 10;

//! What a phone leg does with a caller's audio: µ-law at 8 kHz from stdin, a line for each thing that is heard.
//!
//! ```sh
//! cargo run -p voxline-audio --example receive_path < call.ulaw
//! ```

use std::io::{self, Read, Write};

use voxline_audio::{
    DtmfDetector, DtmfEvent, Encoding, FrameSpec, Framer, Resampler, SampleRate, VoiceActivity,
    VoiceDetector, VoiceDetectorConfig, level, pcm,
};

fn main() -> io::Result<()> {
    let spec = FrameSpec::PHONE;
    let mut framer = Framer::new(spec, Encoding::MuLaw);
    let mut voice = VoiceDetector::new(spec, VoiceDetectorConfig::default());
    let mut keys = DtmfDetector::new(spec.rate());
    let mut to_wide = Resampler::new(spec.rate(), SampleRate::Hz16000);
    let (mut samples, mut narrow, mut wide) = ([0; 160], [0.0; 160], [0.0; 320]);

    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let (mut message, mut heard, mut loudest) = ([0; 4_096], 0, 0.0_f32);
    loop {
        let read = input.read(&mut message)?;
        if read == 0 {
            return Ok(());
        }
        let mut rest = &message[..read];
        while !rest.is_empty() {
            rest = &rest[framer.push(rest)..];
            while framer.pop(&mut samples) {
                pcm::i16_to_f32(&samples, &mut narrow);
                // `wide` is what a speech recogniser wants.
                to_wide.process(&narrow, &mut wide);
                heard += samples.len() as u64;
                let seconds = spec.rate().duration_of(heard).as_secs_f64();

                loudest = loudest.max(level::rms(&wide));
                match voice.process(&narrow) {
                    VoiceActivity::SpeechStarted => writeln!(output, "{seconds:8.2} s  a voice")?,
                    VoiceActivity::SpeechEnded => {
                        let dbfs = level::to_dbfs(loudest);
                        writeln!(output, "{seconds:8.2} s  it paused, {dbfs:.0} dBFS at its loudest")?;
                        loudest = 0.0;
                    }
                    VoiceActivity::Silence | VoiceActivity::Speech | _ => {}
                }
                let mut pressed = None;
                keys.process(&narrow, |event| {
                    if let DtmfEvent::Started { digit, .. } = event {
                        pressed = Some(digit);
                    }
                });
                if let Some(digit) = pressed {
                    writeln!(output, "{seconds:8.2} s  key {digit}")?;
                }
            }
        }
    }
}

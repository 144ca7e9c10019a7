//! A voice without its noise and as loud as the next one: reads a WAV file and writes another, in bounded memory.
//!
//! ```sh
//! cargo run -p voxline-audio --example clean_wav -- IN.wav OUT.wav
//! ```

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter};

use voxline_audio::{
    FrameDuration, FrameSpec, NoiseReduction, Normaliser, NormaliserConfig, SampleRate, VoiceDetector,
    VoiceDetectorConfig, WavEncoding, WavFormat, WavReader, WavWriter, pcm,
};

fn main() -> Result<(), Box<dyn Error>> {
    let [input, output] = [env::args_os().nth(1), env::args_os().nth(2)];
    let (Some(input), Some(output)) = (input, output) else {
        return Err("usage: clean_wav IN.wav OUT.wav".into());
    };
    let mut reader = WavReader::new(BufReader::new(File::open(input)?))?;
    let rate = SampleRate::try_from(reader.format().hz)?;
    let channels = usize::from(reader.format().channels);
    let format = WavFormat::new(WavEncoding::Linear16, 1, rate);
    let mut writer = WavWriter::new(BufWriter::new(File::create(output)?), format)?;

    let spec = FrameSpec::new(rate, FrameDuration::Ms20).ok_or("no rate lacks frames of 20 ms")?;
    let mut voice = VoiceDetector::new(spec, VoiceDetectorConfig::default());
    let mut reducer = NoiseReduction::Light.reducer(rate);
    let mut normaliser = Normaliser::new(rate, NormaliserConfig::default());
    // What comes out first is only delay; as much silence at the end has the last of the voice out.
    let mut late = reducer.latency() + normaliser.latency();
    let mut owed = late;

    let mut interleaved = vec![0.0; spec.samples() * channels];
    let (mut frame, mut samples) = (vec![0.0; spec.samples()], vec![0; spec.samples()]);
    loop {
        let read = reader.read(&mut interleaved)? / channels;
        let silence = owed.min(spec.samples() - read);
        owed -= silence;
        if read + silence == 0 {
            break;
        }
        frame.fill(0.0);
        for (sample, all) in frame.iter_mut().zip(interleaved.chunks_exact(channels)).take(read) {
            *sample = all.iter().sum::<f32>() / channels as f32;
        }
        // The detector hears the caller's own sound, the normaliser what is left of it.
        let is_speech = voice.process(&frame).is_speech();
        reducer.process(&mut frame);
        normaliser.process(&mut frame, is_speech);
        pcm::f32_to_i16(&frame, &mut samples);
        let skipped = late.min(read + silence);
        late -= skipped;
        writer.write_i16(&samples[skipped..read + silence])?;
    }
    writer.finish()?;
    Ok(())
}

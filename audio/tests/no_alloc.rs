//! No kernel allocates once it is made.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Cursor;
use std::time::{Duration, Instant};

use voxline_audio::{
    AudioFormat, ClipMeter, ComfortNoise, Concealer, DtmfDetector, DtmfGenerator, Encoding, Finding,
    FrameDuration, FrameSpec, Framer, Gain, HighPass, JitterBuffer, JitterBufferConfig, Limiter,
    LoudnessMeter, NoiseReduction, Normaliser, NormaliserConfig, PlaybackRate, PowerSpectrum, Preset,
    Resampler, SampleRate, Transcoder, TruePeak, VoiceDetector, VoiceDetectorConfig, WavEncoding, WavFormat,
    WavReader, WavWriter, fade, g711, level, mix, pcm,
};

/// The system's allocator, counting the calls of each thread.
struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts and passes on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `kernel` a few times and fails if any run, the first one too, allocates.
fn never_allocates(name: &str, mut kernel: impl FnMut()) {
    let before = CALLS.get();
    for _ in 0..5 {
        kernel();
    }
    assert_eq!(CALLS.get() - before, 0, "{name} allocated");
}

/// The count itself works.
#[test]
fn an_allocation_is_counted() {
    let before = CALLS.get();
    drop(std::hint::black_box(vec![0_u8; 10]));
    assert!(CALLS.get() > before);
}

#[test]
fn functions_over_slices_do_not_allocate() {
    let (mut floats, mut samples, mut bytes) = ([0.1_f32; 333], [0_i16; 333], [0_u8; 333]);
    let mut wire = [0_u8; 666];
    never_allocates("pcm", || {
        pcm::f32_to_i16(&floats, &mut samples);
        pcm::i16_to_le_bytes(&samples, &mut wire);
        pcm::le_bytes_to_i16(&wire, &mut samples);
        pcm::i16_to_f32(&samples, &mut floats);
    });
    never_allocates("g711", || {
        g711::encode_alaw(&samples, &mut bytes);
        g711::decode_alaw(&bytes, &mut samples);
        g711::encode_mulaw(&samples, &mut bytes);
        g711::decode_mulaw(&bytes, &mut samples);
    });
    let other = floats;
    never_allocates("level, mix and fade", || {
        assert!(level::to_dbfs(level::rms(&floats).max(level::peak(&floats))) < 6.0);
        mix::add(&mut floats, &other);
        mix::add_scaled(&mut floats, &other, 0.5);
        mix::soft_limit(&mut floats);
        fade::fade_in(&mut floats);
        fade::fade_out(&mut floats);
        fade::cut(&other, &mut floats);
        fade::cut_i16(&[1; 500], &mut samples);
    });
}

#[test]
fn resamplers_do_not_allocate() {
    let (input, narrow) = ([0.1; 960], [1_i16; 960]);
    let (mut output, mut narrow_output) = ([0.0; 6_000], [0_i16; 6_000]);
    for from in SampleRate::ALL {
        for to in SampleRate::ALL {
            for preset in [Preset::Detector, Preset::Strict, Preset::Telephone] {
                let mut resampler = Resampler::with_preset(from, to, preset);
                never_allocates("resampler", || {
                    let length = resampler.output_len(input.len());
                    resampler.process(&input, &mut output[..length]);
                    let length = resampler.output_len(narrow.len());
                    resampler.process_i16(&narrow, &mut narrow_output[..length]);
                    let length = resampler.latency();
                    resampler.flush(&mut output[..length]);
                    resampler.flush_i16(&mut narrow_output[..length]);
                    resampler.reset();
                });
            }
        }
    }
}

#[test]
fn a_transcoder_allocates_nothing_where_its_output_has_room() {
    for from in [AudioFormat::PHONE, AudioFormat::linear16(SampleRate::Hz24000)] {
        for to in [AudioFormat::PHONE, AudioFormat::linear16(SampleRate::Hz44100)] {
            let mut transcoder = Transcoder::new(from, to);
            let mut output = Vec::with_capacity(100_000);
            never_allocates("transcoder", || {
                output.clear();
                transcoder.process(&[7; 3_001], &mut output);
                transcoder.flush(&mut output);
                transcoder.reset();
            });
        }
    }
}

#[test]
fn files_are_read_and_written_block_by_block_without_allocating() {
    let format = WavFormat::new(WavEncoding::MuLaw, 2, SampleRate::Hz8000);
    let mut writer = WavWriter::new(Cursor::new(Vec::with_capacity(100_000)), format).unwrap();
    never_allocates("WAV writer", || writer.write_i16(&[99; 2_000]).unwrap());
    let file = writer.finish().unwrap().into_inner();
    let mut reader = WavReader::new(&file[..]).unwrap();
    let (mut floats, mut samples) = ([0.0; 1_000], [0; 1_000]);
    never_allocates("WAV reader", || {
        assert_eq!(reader.read(&mut floats).unwrap(), 1_000);
        assert_eq!(reader.read_i16(&mut samples).unwrap(), 1_000);
    });
}

#[test]
fn kernels_with_state_do_not_allocate() {
    for rate in SampleRate::ALL {
        let spec = FrameSpec::new(rate, FrameDuration::Ms20).unwrap();
        let (mut floats, mut samples) = (vec![1.5_f32; spec.samples()], vec![0_i16; spec.samples()]);
        let wire = vec![7_u8; 3_001];

        let mut framer = Framer::new(spec, Encoding::Linear16Le);
        never_allocates("framer", || {
            let mut rest = &wire[..];
            while !rest.is_empty() {
                rest = &rest[framer.push(rest)..];
                while framer.pop(&mut samples) {}
            }
            framer.flush(&mut samples);
        });

        let (mut gain, mut filter) = (Gain::new(0.5), HighPass::new(rate, 100.0));
        let mut limiter = Limiter::new(rate, -3.0);
        let mut between = Limiter::with_true_peak(rate, -3.0);
        never_allocates("gain, high-pass and limiters", || {
            gain.set_target(gain.current() + 0.1);
            gain.process(&mut floats);
            filter.process(&mut floats);
            limiter.process(&mut floats);
            between.process(&mut floats);
            limiter.reset();
        });

        let mut dial = DtmfGenerator::new(rate, "159D").unwrap();
        let mut detector = DtmfDetector::new(rate);
        let mut heard = 0;
        never_allocates("key signals", || {
            while dial.fill(&mut floats) > 0 {
                detector.process(&floats, |_| heard += 1);
            }
            dial.reset();
        });
        assert_eq!(heard, 2 * 4 * 5, "each key went down and up, five times over");
    }
}

#[test]
fn kernels_that_listen_do_not_allocate() {
    for rate in SampleRate::ALL {
        let spec = FrameSpec::new(rate, FrameDuration::Ms20).unwrap();
        let mut frame: Vec<f32> = (0..spec.samples()).map(|index| 0.3 * (index as f32 * 0.2).sin()).collect();

        let mut voice = VoiceDetector::new(spec, VoiceDetectorConfig::default());
        let mut normaliser = Normaliser::new(rate, NormaliserConfig::default());
        let (mut loudness, mut peak, mut clips) =
            (LoudnessMeter::new(rate), TruePeak::new(), ClipMeter::new());
        never_allocates("voice activity, meters and normaliser", || {
            for _ in 0..50 {
                let is_speech = voice.process(&frame).is_speech();
                loudness.process(&frame);
                peak.process(&frame);
                clips.process(&frame);
                normaliser.process(&mut frame, is_speech);
            }
        });

        #[cfg(feature = "vad")]
        {
            let source = Box::new(voxline_audio::LearnedScore::new(rate));
            let mut learned = VoiceDetector::with_source(spec, VoiceDetectorConfig::default(), source);
            never_allocates("learned voice activity", || {
                for _ in 0..50 {
                    let _ = learned.process(&frame);
                }
            });
        }

        let mut spectrum = PowerSpectrum::new(256);
        let mut power = vec![0.0; spectrum.bins()];
        let (mut played, start) = (PlaybackRate::new(rate), Instant::now());
        let mut seconds = 0;
        never_allocates("spectrum and playback rate", || {
            spectrum.process(&[0.1; 256], &mut power);
            for _ in 0..30 {
                seconds += 1;
                played.record(start + Duration::from_secs(seconds), seconds * u64::from(rate.hz()));
                assert!(seconds < 3 || played.finding() == Some(Finding::Fine));
            }
        });

        let mut concealer = Concealer::new(rate);
        let mut noise = ComfortNoise::new(rate, 1);
        never_allocates("concealment and comfort noise", || {
            concealer.pass(&mut frame);
            concealer.fill(&mut frame);
            noise.learn(&frame);
            noise.fill(&mut frame);
        });
    }
}

#[test]
fn noise_reduction_does_not_allocate() {
    for rate in SampleRate::ALL {
        let kinds = [
            NoiseReduction::Off,
            NoiseReduction::Light,
            #[cfg(feature = "denoise")]
            NoiseReduction::Strong,
        ];
        for kind in kinds {
            let mut reducer = kind.reducer(rate);
            let mut frame: Vec<f32> = (0..rate.hz() / 50).map(|n| 0.3 * (n as f32 * 0.2).sin()).collect();
            never_allocates("noise reduction", || {
                for _ in 0..10 {
                    reducer.process(&mut frame);
                }
            });
        }
    }
}

#[test]
fn a_jitter_buffer_does_not_allocate() {
    let mut buffer = JitterBuffer::new(FrameSpec::PHONE, JitterBufferConfig::default());
    let (input, mut frame) = ([0.1; 160], [0.0; 160]);
    let mut now = Instant::now();
    never_allocates("jitter buffer", || {
        for tick in 0..100 {
            now += Duration::from_millis(20);
            // A gap in each hundred, for it to conceal and to catch up with.
            if tick < 90 {
                buffer.push(now, &input);
            }
            buffer.pull(now, &mut frame);
        }
        buffer.cut(&mut [0.0; 240]);
        buffer.push(now, &input);
        buffer.clear();
    });
}

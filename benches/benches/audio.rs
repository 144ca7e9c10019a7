//! The audio kernels on one 20 ms frame, beside the libraries one would use otherwise.
//!
//! Each group is one job; its members do it to the same samples. `cargo run -p voxline-benches --bin summary`
//! turns the results into the table of the README.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};
use voxline_audio::SampleRate::{Hz8000, Hz16000, Hz22050, Hz24000, Hz44100, Hz48000};
use voxline_audio::{
    DtmfDetector, DtmfGenerator, FrameDuration, FrameSpec, Gain, HighPass, LearnedScore, Limiter, Preset,
    Resampler, SampleRate, VoiceDetector, VoiceDetectorConfig, fade, g711, level, mix, pcm,
};

criterion_group! {
    name = kernels;
    // Many short samples: each ends before the scheduler takes the core away, and the median ignores the rest.
    config = Criterion::default()
        .sample_size(200)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(150));
    targets = resample, g711_codes, conversions, levels, gains, filters, key_signals, voice_activity, receive_path
}
criterion_main!(kernels);

fn resample(c: &mut Criterion) {
    let pairs = [
        (Hz8000, Hz16000),
        (Hz16000, Hz8000),
        (Hz8000, Hz24000),
        (Hz24000, Hz8000),
        (Hz16000, Hz24000),
        (Hz24000, Hz16000),
        (Hz48000, Hz16000),
        (Hz8000, Hz22050),
        (Hz22050, Hz8000),
        (Hz44100, Hz16000),
    ];
    for (from, to) in pairs {
        let mut group = group(c, &format!("resample {} to {}", from.hz(), to.hz()), from);
        let input = voice(from);
        let mut output = vec![0.0; frame(to)];
        for (name, preset) in [
            ("voxline, telephone", Preset::Telephone),
            ("voxline, strict", Preset::Strict),
            ("voxline, detector", Preset::Detector),
        ] {
            let mut resampler = Resampler::with_preset(from, to, preset);
            group.bench_function(name, |b| {
                b.iter(|| resampler.process(black_box(&input), black_box(&mut output)));
            });
        }

        let (narrow, mut narrow_output) = (narrow(&input), vec![0; frame(to)]);
        let mut resampler = Resampler::new(from, to);
        group.bench_function("voxline, telephone, i16", |b| {
            b.iter(|| resampler.process_i16(black_box(&narrow), black_box(&mut narrow_output)));
        });

        // One transform for the 20 ms: the fastest of its modes that is flat to 0.85 of Nyquist.
        let (rate_in, rate_out) = (from.hz() as usize, to.hz() as usize);
        let window = WindowFunction::BlackmanHarris2;
        let mut fft =
            Fft::<f32>::new_custom(rate_in, rate_out, frame(from), 1, 1, window, FixedSync::Both).unwrap();
        group.bench_function("rubato, FFT", |b| {
            b.iter(|| {
                let input = InterleavedSlice::new(black_box(&input[..]), 1, input.len()).unwrap();
                let frames = output.len();
                let mut output = InterleavedSlice::new_mut(black_box(&mut output[..]), 1, frames).unwrap();
                fft.process_into_buffer(&input, &mut output, None).unwrap()
            });
        });

        let mut speex = speexdsp_resampler::State::new(1, rate_in, rate_out, 5).unwrap();
        group.bench_function("speexdsp-resampler, quality 5", |b| {
            b.iter(|| speex.process_float(0, black_box(&input), black_box(&mut output)).unwrap());
        });
    }
}

fn g711_codes(c: &mut Criterion) {
    use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};
    law(c, "mu-law", (g711::encode_mulaw, g711::decode_mulaw), (encode_ulaw, decode_ulaw));
    law(c, "A-law", (g711::encode_alaw, g711::decode_alaw), (encode_alaw, decode_alaw));
}

/// Generic over the functions, so that a sample's are inlined as any caller of that crate would have them.
fn law(
    c: &mut Criterion,
    name: &str,
    (encode, decode): (impl Fn(&[i16], &mut [u8]), impl Fn(&[u8], &mut [i16])),
    (encode_one, decode_one): (impl Fn(i16) -> u8, impl Fn(u8) -> i16),
) {
    let samples = narrow(&voice(Hz8000));
    let mut codes = vec![0; samples.len()];
    let mut encoding = group(c, &format!("{name} encode"), Hz8000);
    encoding.bench_function("voxline", |b| b.iter(|| encode(black_box(&samples), black_box(&mut codes))));
    encoding.bench_function("audio-codec-algorithms", |b| {
        b.iter(|| each(black_box(&samples), black_box(&mut codes), &encode_one));
    });
    let table: Box<[u8]> = (0..=u16::MAX).map(|sample| encode_one(sample as i16)).collect();
    encoding.bench_function("a table of 64 KiB", |b| {
        b.iter(|| {
            each(black_box(&samples), black_box(&mut codes), |sample| table[usize::from(sample as u16)]);
        });
    });
    encoding.finish();

    let mut decoded = samples;
    let mut decoding = group(c, &format!("{name} decode"), Hz8000);
    decoding.bench_function("voxline", |b| b.iter(|| decode(black_box(&codes), black_box(&mut decoded))));
    decoding.bench_function("audio-codec-algorithms", |b| {
        b.iter(|| each(black_box(&codes), black_box(&mut decoded), &decode_one));
    });
}

fn conversions(c: &mut Criterion) {
    let floats = voice(Hz16000);
    let (mut samples, mut back) = (narrow(&floats), floats.clone());
    let mut to_i16 = group(c, "f32 to i16", Hz16000);
    to_i16.bench_function("voxline", |b| {
        b.iter(|| pcm::f32_to_i16(black_box(&floats), black_box(&mut samples)));
    });
    to_i16.bench_function("round, clamp, cast", |b| {
        let convert = |sample: f32| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
        b.iter(|| each(black_box(&floats), black_box(&mut samples), convert));
    });
    to_i16.finish();

    let mut to_f32 = group(c, "i16 to f32", Hz16000);
    to_f32
        .bench_function("voxline", |b| b.iter(|| pcm::i16_to_f32(black_box(&samples), black_box(&mut back))));
    to_f32.bench_function("a plain loop", |b| {
        b.iter(|| each(black_box(&samples), black_box(&mut back), |sample| f32::from(sample) / 32_768.0));
    });
}

fn levels(c: &mut Criterion) {
    let frame = voice(Hz16000);
    let mut group = group(c, "peak and RMS", Hz16000);
    group.bench_function("voxline", |b| {
        b.iter(|| (level::peak(black_box(&frame)), level::rms(black_box(&frame))));
    });
    group.bench_function("plain folds", |b| {
        b.iter(|| {
            let peak = black_box(&frame).iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            let energy: f32 = black_box(&frame).iter().map(|sample| sample * sample).sum();
            (peak, (energy / frame.len() as f32).sqrt())
        });
    });
}

fn gains(c: &mut Criterion) {
    let other = voice(Hz16000);
    let mut frame = other.clone();
    let mut mixing = group(c, "mix two and limit softly", Hz16000);
    mixing.bench_function("voxline", |b| {
        b.iter(|| {
            mix::add(black_box(&mut frame), black_box(&other));
            mix::soft_limit(black_box(&mut frame));
        });
    });
    mixing.finish();

    let mut gliding = group(c, "gain, gliding", Hz16000);
    let mut gain = Gain::new(1.0);
    gliding.bench_function("voxline", |b| {
        b.iter(|| {
            gain.set_target(if gain.current() < 1.0 { 1.001 } else { 0.999 });
            gain.process(black_box(&mut frame));
        });
    });
    gliding.finish();

    let mut cutting = group(c, "cut, 30 ms", Hz16000);
    let (upcoming, mut tail) = (vec![0.5; 480], vec![0.0; 480]);
    cutting.bench_function("voxline", |b| b.iter(|| fade::cut(black_box(&upcoming), black_box(&mut tail))));
}

fn filters(c: &mut Criterion) {
    for rate in [Hz8000, Hz16000, Hz24000] {
        let frame = voice(rate);
        let mut work = frame.clone();
        let mut group = group(c, &format!("filters at {}", rate.hz()), rate);
        let mut high_pass = HighPass::new(rate, 100.0);
        group.bench_function("voxline, high-pass", |b| {
            b.iter(|| {
                work.copy_from_slice(&frame);
                high_pass.process(black_box(&mut work));
            });
        });
        let mut limiter = Limiter::new(rate, -12.0);
        group.bench_function("voxline, look-ahead limiter", |b| {
            b.iter(|| {
                work.copy_from_slice(&frame);
                limiter.process(black_box(&mut work));
            });
        });
    }
}

fn key_signals(c: &mut Criterion) {
    for rate in [Hz8000, Hz16000] {
        // Keys and pauses by turns, so that every branch is taken.
        let mut sound = vec![0.0; 16 * rate.hz() as usize / 5];
        DtmfGenerator::new(rate, "123A456B789C*0#D").unwrap().fill(&mut sound);
        let mut group = group(c, &format!("key signals at {}", rate.hz()), rate);
        let mut frames = sound.chunks_exact(frame(rate)).cycle();
        let mut detector = DtmfDetector::new(rate);
        group.bench_function("voxline", |b| {
            b.iter(|| detector.process(black_box(frames.next().unwrap()), |event| _ = black_box(event)));
        });
        let mut frames = sound.chunks_exact(frame(rate)).cycle();
        let mut decoder = dtmf::decoder::Decoder::new(rate.hz(), |tone, state| _ = black_box((tone, state)));
        group.bench_function("dtmf", |b| b.iter(|| decoder.process(black_box(frames.next().unwrap()))));
    }
}

fn voice_activity(c: &mut Criterion) {
    let frame = voice(Hz8000);
    let mut group = group(c, "voice activity", Hz8000);
    let mut spectral = VoiceDetector::new(FrameSpec::PHONE, VoiceDetectorConfig::default());
    group.bench_function("voxline, spectral", |b| b.iter(|| spectral.process(black_box(&frame))));
    let source = Box::new(LearnedScore::new(Hz8000));
    let mut learned = VoiceDetector::with_source(FrameSpec::PHONE, VoiceDetectorConfig::default(), source);
    group.bench_function("voxline, learned", |b| b.iter(|| learned.process(black_box(&frame))));
}

/// What a phone leg does with each frame it hears.
fn receive_path(c: &mut Criterion) {
    let mut group = group(c, "receive path", Hz8000);
    let mut codes = vec![0; frame(Hz8000)];
    g711::encode_mulaw(&narrow(&voice(Hz8000)), &mut codes);
    let (mut samples, mut narrow, mut wide) = (vec![0; 160], vec![0.0; 160], vec![0.0; 320]);
    let mut up = Resampler::new(Hz8000, Hz16000);
    let spec = FrameSpec::new(Hz16000, FrameDuration::Ms20).unwrap();
    let mut detector = VoiceDetector::new(spec, VoiceDetectorConfig::default());
    group.bench_function("voxline, decoded, 16 kHz, level", |b| {
        b.iter(|| {
            g711::decode_mulaw(black_box(&codes), &mut samples);
            pcm::i16_to_f32(&samples, &mut narrow);
            up.process(&narrow, &mut wide);
            black_box(level::rms(&wide))
        });
    });
    group.bench_function("voxline, the same and voice activity", |b| {
        b.iter(|| {
            g711::decode_mulaw(black_box(&codes), &mut samples);
            pcm::i16_to_f32(&samples, &mut narrow);
            up.process(&narrow, &mut wide);
            black_box((level::rms(&wide), detector.process(&wide)))
        });
    });
}

fn group<'a>(c: &'a mut Criterion, name: &str, rate: SampleRate) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(frame(rate) as u64));
    group
}

/// Samples of 20 ms.
fn frame(rate: SampleRate) -> usize {
    rate.hz() as usize / 50
}

/// 20 ms of something like a vowel: harmonics of 125 Hz, loud enough for a limiter to work on.
fn voice(rate: SampleRate) -> Vec<f32> {
    let step = std::f32::consts::TAU * 125.0 / rate.hz() as f32;
    let harmonics = |index: usize| (1..16).map(|k| (step * (k * index) as f32).sin() / k as f32).sum::<f32>();
    (0..frame(rate)).map(|index| 0.4 * harmonics(index)).collect()
}

fn narrow(samples: &[f32]) -> Vec<i16> {
    let mut narrow = vec![0; samples.len()];
    pcm::f32_to_i16(samples, &mut narrow);
    narrow
}

fn each<A: Copy, B>(from: &[A], to: &mut [B], convert: impl Fn(A) -> B) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = convert(*from);
    }
}

//! No sample, however bad, harms a kernel that follows a voice: it panics on nothing and recovers.

use std::io::Cursor;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use voxline_audio::{
    AudioFormat, ClipMeter, ComfortNoise, Concealer, Encoding, FrameDuration, FrameSpec, JitterBuffer,
    JitterBufferConfig, LoudnessMeter, NoiseReduction, Normaliser, NormaliserConfig, Recorder,
    RecorderConfig, SampleRate, Side, TruePeak, VoiceDetector, VoiceDetectorConfig, WavHeader, WavReader,
    inspect,
};

/// Ordinary samples, and everything else a float can be.
fn sample() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -1.0_f32..1.0,
        1 => any::<f32>(),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-40, -0.0]),
    ]
}

fn rate() -> impl Strategy<Value = SampleRate> {
    prop::sample::select(SampleRate::ALL.to_vec())
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop::sample::select(vec![Encoding::ALaw, Encoding::Linear16Le, Encoding::MuLaw])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn detectors_and_meters_survive_any_sample_and_forget_it(
        rate in rate(),
        bad in prop::collection::vec(sample(), 1..3_000),
    ) {
        let Some(spec) = FrameSpec::new(rate, FrameDuration::Ms20) else { unreachable!("20 ms fit every rate") };
        let mut detector = VoiceDetector::new(spec, VoiceDetectorConfig::default());
        let (mut meter, mut peak, mut clips) = (LoudnessMeter::new(rate), TruePeak::new(), ClipMeter::new());
        for frame in bad.chunks_exact(spec.samples()) {
            let _ = detector.process(frame);
            prop_assert!((0.0..=1.0).contains(&detector.score()));
        }
        meter.process(&bad);
        peak.process(&bad);
        clips.process(&bad);
        prop_assert!(peak.linear().is_finite());
        prop_assert!(clips.report().clipped <= bad.len() as u64);
        // A second of silence later there is no voice, and loudness is a number or nothing.
        let silence = vec![0.0; spec.samples()];
        for _ in 0..50 {
            let _ = detector.process(&silence);
            meter.process(&silence);
        }
        prop_assert!(!detector.is_speech());
        prop_assert!(meter.momentary().is_none_or(f32::is_finite));
    }

    #[test]
    fn reducers_survive_any_sample_and_forget_it(
        rate in rate(),
        bad in prop::collection::vec(sample(), 1..3_000),
        run in 1_usize..700,
    ) {
        let reductions = [
            NoiseReduction::Light,
            #[cfg(feature = "denoise")]
            NoiseReduction::Strong,
        ];
        for mut reducer in reductions.map(|reduction| reduction.reducer(rate)) {
            bad.clone().chunks_mut(run).for_each(|run| reducer.process(run));
            let mut silence = vec![0.0; rate.hz() as usize / 5];
            reducer.process(&mut silence);
            let late = &silence[silence.len() / 2..];
            prop_assert!(late.iter().all(|x| x.abs() < 0.01), "{reducer:?}");
        }
    }

    #[test]
    fn a_jitter_buffer_survives_any_sample(
        runs in prop::collection::vec((0_u64..60, prop::collection::vec(sample(), 0..600)), 1..20),
    ) {
        let mut buffer = JitterBuffer::new(FrameSpec::PHONE, JitterBufferConfig::default());
        let (mut now, mut frame) = (Instant::now(), [0.0; 160]);
        for (wait, run) in runs {
            now += Duration::from_millis(wait);
            buffer.push(now, &run);
            buffer.pull(now, &mut frame);
            prop_assert!(frame.iter().all(|x| x.is_finite()));
        }
        let mut tail = [0.0; 240];
        buffer.cut(&mut tail);
        prop_assert!(tail.iter().all(|x| x.is_finite()));
    }

    #[cfg(feature = "vad")]
    #[test]
    fn the_learned_score_survives_any_sample_and_forgets_it(
        rate in rate(),
        bad in prop::collection::vec(sample(), 1..3_000),
    ) {
        let Some(spec) = FrameSpec::new(rate, FrameDuration::Ms20) else { unreachable!("20 ms fit every rate") };
        let source = Box::new(voxline_audio::LearnedScore::new(rate));
        let mut detector = VoiceDetector::with_source(spec, VoiceDetectorConfig::default(), source);
        for frame in bad.chunks_exact(spec.samples()) {
            let _ = detector.process(frame);
            prop_assert!((0.0..=1.0).contains(&detector.score()));
        }
        let silence = vec![0.0; spec.samples()];
        for _ in 0..50 {
            let _ = detector.process(&silence);
        }
        prop_assert!(!detector.is_speech());
    }

    #[test]
    fn what_is_played_is_finite_whatever_came(
        rate in rate(),
        runs in prop::collection::vec((any::<bool>(), prop::collection::vec(sample(), 0..600)), 0..20),
        speech in any::<bool>(),
    ) {
        let mut concealer = Concealer::new(rate);
        let mut noise = ComfortNoise::new(rate, 3);
        let config = NormaliserConfig::default().with_initial_gain_db(12.0);
        let mut normaliser = Normaliser::new(rate, config);
        let ceiling = 10_f32.powf(config.ceiling_dbfs / 20.0) + 1e-6;
        for (lost, mut run) in runs {
            let mut levelled = run.clone();
            normaliser.process(&mut levelled, speech);
            prop_assert!(levelled.iter().all(|x| x.abs() <= ceiling));
            noise.learn(&run);
            if lost {
                concealer.fill(&mut run);
            } else {
                concealer.pass(&mut run);
            }
            prop_assert!(run.iter().all(|x| x.abs() <= 40.0));
            noise.fill(&mut run);
            prop_assert!(run.iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..6_000),
        with_header in any::<bool>(),
        at in 12_usize..60,
        rate in rate(),
        encoding in encoding(),
    ) {
        let claimed = AudioFormat::new(encoding, rate);
        let mut file = bytes.clone();
        if with_header {
            // A good header with one byte of it changed.
            file = WavHeader::encode(claimed.into(), bytes.len() as u64).unwrap_or_default();
            file.extend_from_slice(&bytes);
            if let (Some(byte), Some(new)) = (file.get_mut(at), bytes.first()) {
                *byte = *new;
            }
        }
        let verdicts = inspect(&file, claimed);
        prop_assert!(!verdicts.is_empty());
        for verdict in verdicts {
            prop_assert!((0.0..=1.0).contains(&verdict.confidence), "{verdict}");
        }
        if let Ok(mut reader) = WavReader::new(&file[..]) {
            let mut samples = [0.0; 500];
            let mut total = 0;
            while let Ok(got @ 1..) = reader.read(&mut samples) {
                prop_assert!(samples[..got].iter().all(|x| x.is_finite()));
                total += got;
            }
            prop_assert!(total <= file.len());
        }
    }

    #[test]
    fn a_recording_is_what_was_written_and_not_cleared(
        steps in prop::collection::vec((0..4_u8, 0..40_u64, 1..30_usize, any::<bool>()), 0..60),
    ) {
        let recorder = Recorder::new(Cursor::new(Vec::new()), RecorderConfig::new(SampleRate::Hz8000));
        let Ok(mut recorder) = recorder else { unreachable!("memory takes a header") };
        // The same on two plain arrays.
        let (mut model, mut ends, mut settled) = ([[0_i16; 4_000]; 2], [0; 2], 0);
        for (n, (kind, ahead, length, agent)) in steps.into_iter().enumerate() {
            let (side, channel) = if agent { (Side::Agent, 1) } else { (Side::Caller, 0) };
            let at = (settled + ahead).saturating_sub(10);
            match kind {
                0 | 1 => {
                    let value = n as i16 + 1;
                    prop_assert!(recorder.write(side, at, &vec![value; length]).is_ok());
                    let (from, to) = (at.max(settled) as usize, at as usize + length);
                    if from < to {
                        model[channel][from..to].fill(value);
                        ends[channel] = ends[channel].max(to);
                    }
                }
                2 => {
                    recorder.clear_from(side, at);
                    let from = at.max(settled) as usize;
                    model[channel][from..].fill(0);
                    ends[channel] = ends[channel].min(from);
                }
                _ => {
                    settled = settled.max(at);
                    prop_assert!(recorder.advance(at).is_ok());
                }
            }
        }
        let length = ends[0].max(ends[1]).max(settled as usize);
        let Ok(file) = recorder.finish() else { unreachable!("memory takes a file") };
        let mut samples = vec![0; 8_000];
        let got = WavReader::new(&file.get_ref()[..]).and_then(|mut reader| reader.read_i16(&mut samples));
        prop_assert_eq!(got.ok(), Some(length * 2));
        for (n, frame) in samples[..length * 2].as_chunks::<2>().0.iter().enumerate() {
            prop_assert_eq!(*frame, [model[0][n], model[1][n]], "frame {}", n);
        }
    }
}

//! No input of legal length makes a kernel panic, and none poisons what follows it.

use proptest::collection::vec;
use proptest::prelude::*;
use voxline_audio::{
    AudioFormat, Digit, DtmfDetector, DtmfGenerator, Encoding, FrameSpec, Framer, Gain, HighPass, Limiter,
    PowerSpectrum, Preset, Resampler, SampleRate, Transcoder, fade, g711, level, mix, pcm,
};

/// Any float: ordinary ones, and all that arithmetic stumbles over.
fn any_sample() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -1.0_f32..1.0,
        2 => any::<f32>(),
        1 => prop::sample::select(vec![
            f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE, f32::from_bits(1), -0.0, f32::MAX, f32::MIN,
        ]),
    ]
}

fn any_run() -> impl Strategy<Value = Vec<f32>> {
    vec(any_sample(), 0..700)
}

fn any_rate() -> impl Strategy<Value = SampleRate> {
    prop::sample::select(SampleRate::ALL.to_vec())
}

fn any_format() -> impl Strategy<Value = AudioFormat> {
    let encodings = vec![Encoding::ALaw, Encoding::Linear16Le, Encoding::MuLaw];
    (prop::sample::select(encodings), any_rate())
        .prop_map(|(encoding, rate)| AudioFormat::new(encoding, rate))
}

fn any_preset() -> impl Strategy<Value = Preset> {
    prop::sample::select(vec![Preset::Detector, Preset::Strict, Preset::Telephone])
}

/// An ordinary second after whatever came before.
fn afterwards(rate: SampleRate) -> Vec<f32> {
    (0..rate.hz()).map(|index| 0.5 * (index as f32 * 0.1).sin()).collect()
}

/// Of a resampler in output samples: twice the delay where the phase is linear.
fn filter_length(resampler: &Resampler, preset: Preset) -> usize {
    let tenths = if preset == Preset::Strict { 33 } else { 20 };
    resampler.latency() * tenths / 10 + 2
}

/// A NaN was heard for up to seven samples longer than the filter is, through the zeros that pad its phases.
#[test]
fn a_resampler_forgets_a_bad_sample_within_the_length_of_its_filter() {
    for from in SampleRate::ALL {
        for to in SampleRate::ALL {
            for preset in [Preset::Detector, Preset::Strict, Preset::Telephone] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
                    let mut resampler = Resampler::with_preset(from, to, preset);
                    let mut output = vec![0.0; resampler.output_len(100)];
                    resampler.process(&[bad; 100], &mut output);
                    let good = &afterwards(from)[..2_000];
                    let mut output = vec![0.0; resampler.output_len(good.len())];
                    resampler.process(good, &mut output);
                    let late = &output[filter_length(&resampler, preset)..];
                    assert!(
                        late.iter().all(|sample| sample.abs() < 0.6),
                        "{from} to {to}, {preset:?}: {bad} is still heard"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn functions_over_slices_survive_any_samples(mut run in any_run(), other in any_run(), tail in 0_usize..400, gain in any_sample()) {
        let mut samples = vec![0; run.len()];
        pcm::f32_to_i16(&run, &mut samples);
        let _ = (level::peak(&run), level::rms(&run), level::to_dbfs(level::rms(&run)));
        fade::cut(&other, &mut vec![0.0; tail]);
        fade::cut_i16(&samples, &mut vec![0; tail]);
        fade::fade_in(&mut run);
        fade::fade_out(&mut run);
        let shared = run.len().min(other.len());
        mix::add(&mut run[..shared], &other[..shared]);
        mix::add_scaled(&mut run[..shared], &other[..shared], gain);
        mix::soft_limit(&mut run);
        prop_assert!(run.iter().all(|sample| sample.abs() <= 1.0));
    }

    #[test]
    fn a_spectrum_survives_any_samples(samples in vec(any_sample(), 256)) {
        let mut spectrum = PowerSpectrum::new(256);
        let mut power = vec![0.0; spectrum.bins()];
        spectrum.process(&samples, &mut power);
        // Nothing of it is left for the next one.
        spectrum.process(&[0.0; 256], &mut power);
        prop_assert!(power.iter().all(|bin| *bin == 0.0));
    }

    #[test]
    fn any_bytes_in_any_pieces_are_transcoded_alike(
        bytes in vec(any::<u8>(), 0..3_000), cut in 1_usize..700, from in any_format(), to in any_format(),
    ) {
        let transcode = |size: usize| {
            let (mut transcoder, mut output) = (Transcoder::new(from, to), Vec::new());
            bytes.chunks(size).for_each(|piece| transcoder.process(piece, &mut output));
            transcoder.flush(&mut output);
            output
        };
        prop_assert_eq!(transcode(cut), transcode(3_000));
    }

    #[test]
    fn a_sample_changes_by_no_more_than_its_step_through_g711(samples in vec(any::<i16>(), 0..500)) {
        let (mut codes, mut back) = (vec![0; samples.len()], samples.clone());
        g711::encode_mulaw(&samples, &mut codes);
        g711::decode_mulaw(&codes, &mut back);
        for (sample, back) in samples.iter().zip(&back) {
            let (sample, error) = (i32::from(*sample), (i32::from(*sample) - i32::from(*back)).abs());
            // µ-law clips over 32,635; below it the step is a sixteenth of the biased magnitude at the most.
            prop_assert!(error <= (sample.abs() + 132) / 32 + 4 || sample.abs() > 32_635, "{sample}: off by {error}");
        }
    }

    #[test]
    fn bytes_in_any_pieces_make_the_same_samples(bytes in vec(any::<u8>(), 0..3_000), cuts in vec(0_usize..2_000, 1..20)) {
        for encoding in [Encoding::ALaw, Encoding::Linear16Le, Encoding::MuLaw] {
            let whole = bytes.len() / encoding.bytes_per_sample();
            let mut expected = vec![0; whole];
            encoding.decode(&bytes[..whole * encoding.bytes_per_sample()], &mut expected);

            let mut framer = Framer::new(FrameSpec::PHONE, encoding);
            let (mut frame, mut got) = ([0; 160], Vec::new());
            let mut rest = &bytes[..];
            for cut in cuts.iter().chain([&usize::MAX]) {
                let (mut piece, later) = rest.split_at(rest.len().min(*cut));
                while !piece.is_empty() {
                    piece = &piece[framer.push(piece)..];
                    while framer.pop(&mut frame) {
                        got.extend_from_slice(&frame);
                    }
                }
                rest = later;
            }
            while framer.flush(&mut frame) {
                got.extend_from_slice(&frame);
            }
            prop_assert_eq!(got.len(), whole.next_multiple_of(160));
            prop_assert_eq!(&got[..whole], &expected[..]);
        }
    }

    #[test]
    fn a_resampler_gives_the_promised_counts_and_forgets_bad_samples(
        from in any_rate(), to in any_rate(), preset in any_preset(), runs in vec(any_run(), 1..5),
    ) {
        let mut resampler = Resampler::with_preset(from, to, preset);
        let (mut taken, mut made) = (0, 0);
        for run in &runs {
            let mut output = vec![0.0; resampler.output_len(run.len())];
            resampler.process(run, &mut output);
            (taken, made) = (taken + run.len(), made + output.len());
            prop_assert_eq!(made, (taken * to.hz() as usize).div_ceil(from.hz() as usize));
        }
        let good = afterwards(from);
        let mut output = vec![0.0; resampler.output_len(good.len())];
        resampler.process(&good, &mut output);
        let late = &output[filter_length(&resampler, preset)..];
        prop_assert!(late.iter().all(|sample| sample.abs() < 0.6));
    }

    #[test]
    fn kernels_with_state_forget_bad_samples(rate in any_rate(), mut run in any_run(), target in 0.0_f32..4.0) {
        let mut gain = Gain::new(1.0);
        gain.set_target(target);
        gain.process(&mut run);
        let mut whole = [1.0; 10];
        gain.process(&mut whole);
        prop_assert!(whole.iter().all(|sample| (sample - target).abs() < 1e-6 || run.is_empty()));

        let mut limited = run.clone();
        let mut limiter = Limiter::new(rate, -1.0);
        limiter.process(&mut limited);
        prop_assert!(limited.iter().all(|sample| sample.abs() <= level::from_dbfs(-1.0)));
        let mut good = afterwards(rate);
        limiter.process(&mut good);
        prop_assert!(level::peak(&good[good.len() / 2..]) > 0.45);

        let mut filter = HighPass::new(rate, 80.0);
        filter.process(&mut run);
        prop_assert!(run.iter().all(|sample| sample.is_finite()));
        let mut silence = vec![0.0; rate.hz() as usize];
        filter.process(&mut silence);
        prop_assert!(level::peak(&silence[silence.len() / 2..]) < 1e-6);
    }

    #[test]
    fn keys_are_heard_after_any_rubbish(rate in any_rate(), run in any_run(), digits in vec(0_usize..16, 1..4)) {
        let digits: String = digits.into_iter().map(|index| Digit::ALL[index].as_char()).collect();
        let mut detector = DtmfDetector::new(rate);
        detector.process(&run, |_| {});
        let mut sound = vec![0.0; rate.hz() as usize / 5 * (digits.len() + 1)];
        let pause = rate.hz() as usize / 10;
        DtmfGenerator::new(rate, &digits).unwrap().fill(&mut sound[pause..]);
        let mut started = 0;
        detector.process(&sound, |event| started += usize::from(format!("{event:?}").starts_with("Started")));
        prop_assert_eq!(started, digits.len());
    }
}

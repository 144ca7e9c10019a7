//! The sound of the kernels, measured against stated bounds.

#[expect(dead_code, reason = "each test binary uses its part")]
mod speech;

use std::f64::consts::TAU;

use speech::Noise;
use voxline_audio::{Limiter, Preset, Resampler, SampleRate, level, pcm};

fn pairs() -> impl Iterator<Item = (SampleRate, SampleRate)> {
    let all = SampleRate::ALL.into_iter().flat_map(|from| SampleRate::ALL.map(|to| (from, to)));
    all.filter(|(from, to)| from != to)
}

fn sine(rate: SampleRate, hz: f64, amplitude: f64) -> Vec<f32> {
    let step = TAU * hz / f64::from(rate.hz());
    (0..rate.hz() / 5).map(|index| (amplitude * (step * f64::from(index)).sin()) as f32).collect()
}

fn convert(from: SampleRate, to: SampleRate, preset: Preset, input: &[f32]) -> Vec<f32> {
    let mut resampler = Resampler::with_preset(from, to, preset);
    let mut output = vec![0.0; resampler.output_len(input.len())];
    resampler.process(input, &mut output);
    output
}

/// Amplitude and phase of the sine at `hz` that fits best, and the RMS of all the rest.
struct Fit {
    amplitude: f64,
    phase: f64,
    rest: f64,
}

fn fit(samples: &[f32], rate: SampleRate, hz: f64, first: usize) -> Fit {
    let step = TAU * hz / f64::from(rate.hz());
    let wave = |index: usize| (step * (first + index) as f64).sin_cos();
    let (mut ss, mut cc, mut sc, mut sy, mut cy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (index, sample) in samples.iter().enumerate() {
        let ((s, c), y) = (wave(index), f64::from(*sample));
        (ss, cc, sc, sy, cy) = (ss + s * s, cc + c * c, sc + s * c, sy + s * y, cy + c * y);
    }
    let determinant = ss * cc - sc * sc;
    let (a, b) = ((sy * cc - cy * sc) / determinant, (cy * ss - sy * sc) / determinant);
    let rest = samples.iter().enumerate().map(|(index, sample)| {
        let (s, c) = wave(index);
        (f64::from(*sample) - a * s - b * c).powi(2)
    });
    let rest = (rest.sum::<f64>() / samples.len() as f64).sqrt();
    Fit { amplitude: a.hypot(b), phase: b.atan2(a), rest }
}

fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.log10()
}

/// What is left once the filter is full, and where it starts.
fn settled(output: &[f32]) -> (&[f32], usize) {
    (&output[output.len() / 4..], output.len() / 4)
}

#[test]
fn the_pass_band_is_flat_late_by_the_latency_and_free_of_images() {
    let bounds = [
        // Preset, ripple, images.
        (Preset::Detector, 0.01, -60.0),
        (Preset::Strict, 0.001, -100.0),
        (Preset::Telephone, 0.001, -79.0),
    ];
    for (preset, ripple, image) in bounds {
        for (from, to) in pairs() {
            let nyquist = f64::from(from.hz().min(to.hz())) / 2.0;
            let latency = Resampler::with_preset(from, to, preset).latency();
            for step in 0..=8 {
                let hz = 100.0 + (0.85 * nyquist - 100.0) * f64::from(step) / 8.0;
                let output = convert(from, to, preset, &sine(from, hz, 0.89));
                let (output, first) = settled(&output);
                let found = fit(output, to, hz, first - latency);
                let gain = decibels(found.amplitude / 0.89);
                assert!(gain.abs() <= ripple, "{preset:?} {from} to {to}: {gain:.4} dB at {hz:.0} Hz");
                let rest = decibels(found.rest / (found.amplitude / 2_f64.sqrt()));
                assert!(rest <= image, "{preset:?} {from} to {to}: the rest is {rest:.1} dB at {hz:.0} Hz");
                assert!(
                    found.phase.abs() < 1e-3,
                    "{preset:?} {from} to {to}: {} rad at {hz:.0} Hz",
                    found.phase
                );
            }
        }
    }
}

#[test]
fn what_has_no_place_in_the_lower_rate_does_not_alias_into_it() {
    for (preset, stop, bound) in
        [(Preset::Detector, 1.15, -60.0), (Preset::Strict, 1.0, -100.0), (Preset::Telephone, 1.15, -79.0)]
    {
        for (from, to) in pairs().filter(|(from, to)| from > to) {
            let (low, high) = (stop * f64::from(to.hz()) / 2.0, 0.98 * f64::from(from.hz()) / 2.0);
            if low > high {
                // The rates lie so close that the stop band begins where the input ends.
                continue;
            }
            for step in 0..=8 {
                let hz = low + (high - low) * f64::from(step) / 8.0;
                let output = convert(from, to, preset, &sine(from, hz, 0.89));
                let (output, _) = settled(&output);
                let alias = decibels(f64::from(level::rms(output)) * 2_f64.sqrt() / 0.89);
                assert!(alias <= bound, "{preset:?} {from} to {to}: {alias:.1} dB of {hz:.0} Hz");
            }
        }
    }
}

#[test]
fn a_sine_in_16_bits_keeps_90_db_of_signal_to_noise() {
    // Up and down, whole and fractional ratios. Where the period of 1 kHz is a few samples, the error of rounding is no
    // noise but tones, and their sum depends on how they fall.
    for (from, to) in [
        (SampleRate::Hz8000, SampleRate::Hz16000),
        (SampleRate::Hz16000, SampleRate::Hz8000),
        (SampleRate::Hz24000, SampleRate::Hz8000),
        (SampleRate::Hz8000, SampleRate::Hz24000),
        (SampleRate::Hz16000, SampleRate::Hz24000),
        (SampleRate::Hz24000, SampleRate::Hz16000),
        (SampleRate::Hz48000, SampleRate::Hz16000),
        (SampleRate::Hz8000, SampleRate::Hz48000),
        (SampleRate::Hz44100, SampleRate::Hz16000),
        (SampleRate::Hz8000, SampleRate::Hz22050),
        (SampleRate::Hz32000, SampleRate::Hz24000),
    ] {
        let wave = sine(from, 1_000.0, 0.89);
        let mut input = vec![0; wave.len()];
        pcm::f32_to_i16(&wave, &mut input);
        let mut resampler = Resampler::new(from, to);
        let mut narrow = vec![0; resampler.output_len(input.len())];
        resampler.process_i16(&input, &mut narrow);
        let mut output = vec![0.0; narrow.len()];
        pcm::i16_to_f32(&narrow, &mut output);
        let (output, first) = settled(&output);
        let found = fit(output, to, 1_000.0, first);
        let snr = decibels(found.amplitude / 2_f64.sqrt() / found.rest);
        assert!(snr >= 90.0, "{from} to {to}: {snr:.1} dB");
    }
}

#[test]
fn a_telephone_call_is_late_by_no_more_than_2_2_ms() {
    for other in SampleRate::ALL.into_iter().skip(1) {
        for (from, to) in [(SampleRate::Hz8000, other), (other, SampleRate::Hz8000)] {
            let latency = Resampler::new(from, to).latency() as f64 / f64::from(to.hz());
            assert!(latency <= 0.002_2, "{from} to {to}: {latency} s");
        }
    }
}

#[test]
fn the_strict_preset_is_late_by_a_third_of_a_20_ms_transform_at_8_khz_and_by_half_of_that_at_16() {
    // A transform of 20 ms delays by 10.
    for (lower, bound) in [(SampleRate::Hz8000, 0.010 / 3.0), (SampleRate::Hz16000, 0.005 / 3.0)] {
        for other in SampleRate::ALL.into_iter().filter(|other| *other > lower) {
            for (from, to) in [(lower, other), (other, lower)] {
                let resampler = Resampler::with_preset(from, to, Preset::Strict);
                let latency = resampler.latency() as f64 / f64::from(to.hz());
                assert!(latency <= bound, "{from} to {to}: {latency} s");
            }
        }
    }
}

#[test]
fn however_the_input_is_cut_the_output_is_the_same_to_the_bit() {
    let mut noise = Noise::new(7);
    let input: Vec<f32> = (0..6_000).map(|_| noise.white()).collect();
    for (from, to) in pairs() {
        for preset in [Preset::Detector, Preset::Strict, Preset::Telephone] {
            let whole = convert(from, to, preset, &input);
            for pieces in [&[1][..], &[2, 3, 5, 7], &[160], &[441, 1, 0, 3_000], &[959, 961]] {
                let mut resampler = Resampler::with_preset(from, to, preset);
                let mut output = Vec::new();
                let mut rest = &input[..];
                for length in pieces.iter().cycle() {
                    let (now, later) = rest.split_at(rest.len().min(*length));
                    let made = output.len();
                    output.resize(made + resampler.output_len(now.len()), 0.0);
                    resampler.process(now, &mut output[made..]);
                    rest = later;
                    if rest.is_empty() {
                        break;
                    }
                }
                assert!(output == whole, "{from} to {to}, {preset:?} in {pieces:?}");
            }
        }
    }
}

#[test]
fn the_limiter_lets_nothing_past_its_ceiling() {
    for rate in SampleRate::ALL {
        for ceiling_dbfs in [-6.0, -3.0, -1.0] {
            let ceiling = level::from_dbfs(ceiling_dbfs);
            let mut limiter = Limiter::new(rate, ceiling_dbfs);
            let mut noise = Noise::new(u64::from(rate.hz()));
            for burst in 0..200 {
                // Loud and quiet by turns, in runs of any length.
                let gain = [0.1, 0.9, 6.0, 2.0][burst % 4];
                let mut run: Vec<f32> = (0..1 + burst * 7 % 400).map(|_| gain * noise.white()).collect();
                limiter.process(&mut run);
                assert!(level::peak(&run) <= ceiling, "{rate}, {ceiling_dbfs} dBFS");
            }
        }
    }
}

#[test]
fn a_limited_voice_keeps_its_timbre() {
    // 6 dB over a ceiling, a hard clip leaves a few percent of distortion; the limiter only changes the level.
    let rate = SampleRate::Hz16000;
    let mut wave = sine(rate, 150.0, 1.4);
    Limiter::new(rate, -3.0).process(&mut wave);
    let (wave, first) = settled(&wave);
    let found = fit(wave, rate, 150.0, first);
    let distortion = decibels(found.rest / (found.amplitude / 2_f64.sqrt()));
    assert!(distortion < -40.0, "{distortion:.1} dB");
    assert!(found.amplitude > 0.69, "{}", found.amplitude);
}

//! Live levelling reaches its target unheard, never passes its ceiling, and leaves silence alone.

use std::f32::consts::PI;

use voxline_audio::{
    FrameSpec, LoudnessMeter, Normaliser, NormaliserConfig, SampleRate, VoiceDetector, VoiceDetectorConfig,
};

use crate::speech::{self, Noise};

/// Levels a voice as a call does, the detector beside it; the output and the gain after each frame.
fn level(voice: &[f32], config: NormaliserConfig) -> (Vec<f32>, Vec<f32>) {
    let mut detector = VoiceDetector::new(FrameSpec::PHONE, VoiceDetectorConfig::default());
    let mut normaliser = Normaliser::new(SampleRate::Hz8000, config);
    let (mut out, mut gains) = (Vec::new(), Vec::new());
    for frame in voice.chunks_exact(160) {
        let mut frame = frame.to_vec();
        let is_speech = detector.process(&frame).is_speech();
        normaliser.process(&mut frame, is_speech);
        out.extend_from_slice(&frame);
        gains.push(normaliser.gain_db());
    }
    (out, gains)
}

#[expect(clippy::unwrap_used, reason = "speech has a loudness")]
fn at_loudness(lufs: f32, repeats: usize) -> Vec<f32> {
    let voice = speech::telephone().repeat(repeats);
    let mut meter = LoudnessMeter::new(SampleRate::Hz8000);
    meter.process(&voice);
    let gain = 10f32.powf((lufs - meter.integrated().unwrap()) / 20.0);
    voice.iter().map(|x| x * gain).collect()
}

#[test]
fn quiet_and_loud_voices_come_to_the_target() {
    for lufs in [-36.0, -30.0, -20.0, -12.0] {
        let (out, _) = level(&at_loudness(lufs, 4), NormaliserConfig::default());
        let mut meter = LoudnessMeter::new(SampleRate::Hz8000);
        meter.process(&out[80_000..]);
        let got = meter.integrated().unwrap();
        assert!((got + 20.0).abs() < 2.0, "from {lufs} to {got}");
    }
}

/// The highest point between the samples in dB, by a sinc of 128 samples at sixteen points: another meter than ours.
fn true_peak_db(samples: &[f32]) -> f32 {
    const HALF: usize = 64;
    let highest = samples.iter().fold(0.0_f32, |highest, x| highest.max(x.abs()));
    let between: Vec<Vec<f32>> = (1..16)
        .map(|point| {
            let tap = |n: usize| {
                let x = PI * (n as f32 - (HALF - 1) as f32 - point as f32 / 16.0);
                x.sin() / x * (0.5 + 0.5 * (x / (HALF + 1) as f32).cos())
            };
            (0..2 * HALF).map(tap).collect()
        })
        .collect();
    let mut peak = highest;
    for around in samples.windows(2 * HALF) {
        // Only near the highest samples can a higher point be.
        if around[HALF - 1].abs().max(around[HALF].abs()) > 0.6 * highest {
            for taps in &between {
                let point: f32 = taps.iter().zip(around).map(|(tap, x)| tap * x).sum();
                peak = peak.max(point.abs());
            }
        }
    }
    20.0 * peak.log10()
}

#[test]
fn no_true_peak_passes_the_ceiling() {
    for (name, talker) in speech::talkers() {
        let narrow = speech::over_the_telephone(&talker);
        for (voice, rate) in [(&narrow, SampleRate::Hz8000), (&talker, SampleRate::Hz16000)] {
            for (gain_db, ceiling) in [(6.0, -1.0), (18.0, -1.0), (12.0, -3.0), (18.0, -3.0)] {
                let config = NormaliserConfig::default()
                    .with_target_lufs(-8.0)
                    .with_initial_gain_db(gain_db)
                    .with_ceiling_dbfs(ceiling);
                let mut out = voice.clone();
                Normaliser::new(rate, config).process(&mut out, false);
                let peak = true_peak_db(&out);
                assert!(peak <= ceiling + 0.1, "{name}, {rate}, {gain_db} dB up: {peak} dBTP over {ceiling}");
                assert!(peak > ceiling - 1.5, "{name}, {rate}, {gain_db} dB up: {peak} dBTP, room unused");
            }
        }
    }
}

/// As it is heard, whatever the settings and the lengths of the runs.
#[test]
fn the_gain_that_is_heard_moves_by_half_a_db_in_20_ms_at_the_most() {
    let mut config = NormaliserConfig::default();
    (config.rise_db_per_second, config.fall_db_per_second) = (500.0, 500.0);
    // Quiet, louder, and quiet again, by 14 dB, and never so loud that the limiter has a say.
    let tone = |n: usize| [0.02, 0.1, 0.02][n / 32_000] * (std::f32::consts::FRAC_PI_4 * n as f32).sin();
    let said: Vec<f32> = (0..96_000).map(tone).collect();
    for run in [80, 160, 1_600, 16_000] {
        let mut normaliser = Normaliser::new(SampleRate::Hz8000, config);
        let late = normaliser.latency();
        let mut out = said.clone();
        out.chunks_mut(run).for_each(|run| normaliser.process(run, true));
        let level = |samples: &[f32]| 20.0 * speech::rms(samples).log10();
        let gains = said.chunks(160).zip(out[late..].chunks(160)).map(|(from, to)| level(to) - level(from));
        // Whole runs of 20 ms in one level, once the first has come through.
        let gains: Vec<f32> = gains.take(599).collect();
        let mut most = 0.0_f32;
        for (at, pair) in gains.windows(2).enumerate().skip(1) {
            let step = (pair[1] - pair[0]).abs();
            assert!(step <= 0.51, "runs of {run}: {step} dB at {} ms", at * 20);
            most = most.max(step);
        }
        assert!(most > 0.4, "runs of {run}: {most} dB is not what was asked for");
    }
}

#[test]
fn the_gain_moves_by_less_than_half_a_db_a_frame_and_stands_still_in_silence() {
    let mut voice = at_loudness(-36.0, 2);
    let speech_frames = voice.len() / 160;
    let mut noise = Noise::new(3);
    voice.extend((0..80_000).map(|_| noise.white() * 0.002));
    let (out, gains) = level(&voice, NormaliserConfig::default());
    for pair in gains.windows(2) {
        assert!((pair[1] - pair[0]).abs() <= 0.5, "{} dB in one frame", pair[1] - pair[0]);
    }
    // Past the detector's hang-over.
    let pause = &gains[speech_frames + 15..];
    assert!(pause.iter().all(|gain| gain == &pause[0]), "the gain moved in silence");
    assert!(out.iter().all(|x| x.is_finite()));
}

#[test]
fn a_line_without_a_voice_is_never_raised() {
    let mut noise = Noise::new(4);
    let line: Vec<f32> = (0..240_000).map(|_| noise.white() * 0.004).collect();
    let (out, gains) = level(&line, NormaliserConfig::default());
    assert!(gains.iter().all(|gain| *gain == 0.0));
    assert!((speech::rms(&out) / speech::rms(&line) - 1.0).abs() < 0.01);
}

//! Live levelling reaches its target unheard, never passes its ceiling, and leaves silence alone.

use voxline_audio::{
    FrameSpec, LoudnessMeter, Normaliser, NormaliserConfig, SampleRate, TruePeak, VoiceDetector,
    VoiceDetectorConfig,
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

#[test]
fn no_true_peak_passes_the_ceiling() {
    for (lufs, ceiling) in [(-20.0, -1.0), (-6.0, -1.0), (-10.0, -3.0)] {
        let config = NormaliserConfig::default()
            .with_target_lufs(-8.0)
            .with_initial_gain_db(12.0)
            .with_ceiling_dbfs(ceiling);
        let (out, _) = level(&at_loudness(lufs, 2), config);
        let mut peak = TruePeak::new();
        peak.process(&out);
        assert!(peak.dbtp() <= ceiling + 0.1, "{lufs} LUFS: {} dBTP over {ceiling}", peak.dbtp());
        assert!(peak.dbtp() > ceiling - 1.5, "{lufs} LUFS: {} dBTP leaves room unused", peak.dbtp());
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

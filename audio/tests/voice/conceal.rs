//! A gap in a voice is filled without a click, and not for long.

use voxline_audio::{Concealer, SampleRate};

use crate::speech::{self, Noise, bends, percentile};

/// A voice of which one 20 ms frame in twenty did not come, and where that shows.
struct Broken {
    heard: Vec<f32>,
    /// The same with silence where a frame is missing.
    silent: Vec<f32>,
    /// Where a gap begins or ends.
    joints: Vec<usize>,
    /// Whether a frame is missing, or the one before it is: its beginning is cross-faded.
    touched: Vec<bool>,
}

fn broken(voice: &[f32], rate: SampleRate, seed: u64) -> Broken {
    let (mut chance, mut concealer) = (Noise::new(seed), Concealer::new(rate));
    let mut broken =
        Broken { heard: Vec::new(), silent: Vec::new(), joints: Vec::new(), touched: Vec::new() };
    let mut lost_before = false;
    for frame in voice.chunks_exact(rate.hz() as usize / 50) {
        let (mut frame, mut silent) = (frame.to_vec(), frame.to_vec());
        let lost = chance.white() > 0.9;
        if lost {
            concealer.fill(&mut frame);
            silent.fill(0.0);
        } else {
            concealer.pass(&mut frame);
        }
        if lost != lost_before && broken.heard.len() > 2 {
            broken.joints.push(broken.heard.len());
        }
        broken.touched.push(lost || lost_before);
        broken.heard.extend_from_slice(&frame);
        broken.silent.extend_from_slice(&silent);
        lost_before = lost;
    }
    broken
}

/// The two bends where something else begins at `joint`.
fn bend_at(samples: &[f32], joint: usize) -> f32 {
    bends(&samples[joint - 2..joint + 2]).into_iter().fold(0.0, f32::max)
}

fn at_rate(talker: Vec<f32>, rate: SampleRate) -> Vec<f32> {
    if rate == SampleRate::Hz8000 { speech::over_the_telephone(&talker) } else { talker }
}

#[test]
fn five_frames_lost_of_a_hundred_leave_no_click_at_any_joint() {
    let shipped = speech::wideband();
    let (mut joints, mut silent_clicks) = (0, 0);
    for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
        let voice = at_rate(shipped.clone(), rate);
        let limit = percentile(bends(&voice), 0.999);
        for seed in 0..200 {
            let broken = broken(&voice, rate, seed);
            for joint in broken.joints {
                let worst = bend_at(&broken.heard, joint);
                assert!(worst <= limit, "{rate}, seed {seed}, sample {joint}: {worst} over {limit}");
                silent_clicks += usize::from(bend_at(&broken.silent, joint) > limit);
                joints += 1;
            }
        }
    }
    assert!(
        joints > 9_000 && silent_clicks > 50,
        "{silent_clicks} of {joints} joints click in plain silence"
    );
}

#[test]
fn what_is_filled_in_bends_no_more_than_the_talker_does() {
    for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
        for (name, talker) in speech::talkers() {
            let voice = at_rate(talker, rate);
            let limit = percentile(bends(&voice), 0.999);
            let frame = rate.hz() as usize / 50;
            let mut filled_in = Vec::new();
            for seed in 0..100 {
                let Broken { heard, touched, .. } = broken(&voice, rate, seed);
                let bends = bends(&heard);
                filled_in
                    .extend((1..heard.len() - 1).filter(|at| touched[at / frame]).map(|at| bends[at - 1]));
            }
            let worst = percentile(filled_in, 0.999);
            assert!(worst <= limit, "{rate}, {name}: {worst} over {limit}");
        }
    }
}

#[test]
fn a_vowel_goes_on_without_a_seam() {
    let rate = SampleRate::Hz8000;
    for pitch_hz in 70..200 {
        for fading in [0.999_f32, 1.0, 1.0005] {
            // Ten harmonics, softer with each; louder or softer with time.
            let wave = |n: usize| {
                let turn = std::f32::consts::TAU * pitch_hz as f32 / rate.hz() as f32 * n as f32;
                let vowel: f32 = (1..=10).map(|k| (turn * k as f32).sin() / (k * k) as f32).sum();
                vowel * fading.powi(n as i32 - 1_600)
            };
            let vowel: Vec<f32> = (0..1_600).map(wave).collect();
            let own = bends(&vowel[1_400..]).into_iter().fold(0.0, f32::max);
            let mut concealer = Concealer::new(rate);
            concealer.pass(&mut vowel.clone());
            let mut gap = vec![0.0; 320];
            concealer.fill(&mut gap);
            let worst = bends(&[&vowel[1_598..], &gap].concat()).into_iter().fold(0.0, f32::max);
            assert!(worst <= 1.3 * own, "{pitch_hz} Hz, by {fading}: {worst}, the vowel itself {own}");
        }
    }
}

#[test]
fn a_long_gap_fades_to_silence_within_60_ms() {
    let voice = speech::telephone();
    let mut concealer = Concealer::new(SampleRate::Hz8000);
    concealer.pass(&mut voice[8_000..12_000].to_vec());
    let mut gap = vec![0.0; 800];
    concealer.fill(&mut gap);
    assert!(speech::rms(&gap[..80]) > 0.3 * speech::rms(&voice[11_920..12_000]), "the voice goes on");
    assert!(gap[480..].iter().all(|x| *x == 0.0), "and is gone after 60 ms");
}

//! What a jitter buffer plays is exact in length, free of clicks, and never stale.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use voxline_audio::{FrameSpec, JitterBuffer, JitterBufferConfig, Playout};

use crate::speech::{self, Noise, bends, percentile};

const FRAME: Duration = Duration::from_millis(20);

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Pushes 20 ms messages with the given lateness and pulls on the clock; the frames and what they held.
fn play(
    buffer: &mut JitterBuffer,
    voice: &[f32],
    late: impl Fn(usize) -> Duration,
    frames: u32,
) -> (Vec<f32>, Vec<Playout>) {
    let start = Instant::now();
    let mut waiting = voice.chunks(160).enumerate().peekable();
    let (mut heard, mut held) = (Vec::new(), Vec::new());
    // Messages overtake nothing: one that is late holds up those behind it.
    let mut due = start;
    for n in 0..frames {
        let now = start + FRAME * n;
        while let Some((at, message)) = waiting.peek() {
            due = due.max(start + FRAME * *at as u32 + late(*at));
            if due > now {
                break;
            }
            assert_eq!(buffer.push(due, message), message.len());
            waiting.next();
        }
        let mut frame = [f32::NAN; 160];
        held.push(buffer.pull(now, &mut frame));
        heard.extend_from_slice(&frame);
    }
    (heard, held)
}

#[test]
fn a_calm_line_starts_after_the_prebuffer_and_then_waits_less() {
    let voice: Vec<f32> = speech::telephone().repeat(3);
    let mut buffer = JitterBuffer::new(FrameSpec::PHONE, JitterBufferConfig::default());
    let (heard, held) = play(&mut buffer, &voice, |_| Duration::ZERO, 700);
    assert_eq!(held.iter().position(|p| *p == Playout::Voice), Some(9), "200 ms have come after nine frames");
    let stats = buffer.stats();
    assert_eq!((stats.starves, stats.refused, stats.repeated), (0, 0, 0));
    assert!(buffer.buffered() < 160 * 6, "{} samples wait at the end", buffer.buffered());
    assert!(heard.iter().all(|x| x.is_finite()));
}

#[test]
fn catching_up_leaves_no_click_and_the_voice_its_level() {
    let voice: Vec<f32> = speech::telephone().repeat(3);
    let limit = percentile(bends(&voice), 0.999);
    let config = JitterBufferConfig::default().with_prebuffer(millis(1_000)).with_max_wait(millis(2_000));
    let mut buffer = JitterBuffer::new(FrameSpec::PHONE, config.with_comfort_noise(false));
    let (heard, _) = play(&mut buffer, &voice, |_| Duration::ZERO, 750);
    let removed = buffer.stats().removed;
    assert!(removed > 6_000, "only {removed} samples caught up of 7,000");
    let sharp = bends(&heard).into_iter().filter(|bend| *bend > limit).count() as f32 / heard.len() as f32;
    assert!(sharp < 0.0015, "{sharp} of the samples bend more than a thousandth of the voice's do");
    let db = 20.0 * (speech::rms(&heard[8_000..]) / speech::rms(&voice)).log10();
    assert!(db.abs() < 1.0, "{db} dB");
}

#[test]
fn a_line_that_grows_late_is_waited_for() {
    let voice: Vec<f32> = speech::telephone().repeat(6);
    let mut buffer = JitterBuffer::new(FrameSpec::PHONE, JitterBufferConfig::default());
    let late = |n: usize| millis(if n > 300 && n.is_multiple_of(8) { 150 } else { 0 });
    let (_, held) = play(&mut buffer, &voice, late, 1_500);
    let starved: Vec<usize> = (0..held.len()).filter(|n| held[*n] == Playout::Starved).collect();
    assert!(starved.len() <= 3, "starved at {starved:?}");
    assert!(starved.iter().all(|n| *n < 450), "still starving after it had time to learn: {starved:?}");
    assert!(buffer.target() >= millis(100), "{:?}", buffer.target());
}

#[test]
fn after_a_starve_it_waits_for_the_prebuffer_again() {
    let voice = speech::telephone();
    let mut buffer = JitterBuffer::new(FrameSpec::PHONE, JitterBufferConfig::default());
    let late = |n: usize| millis(if n >= 50 { 600 } else { 0 });
    let (_, held) = play(&mut buffer, &voice, late, 200);
    let starve = held.iter().position(|p| *p == Playout::Starved).unwrap();
    let again = starve + held[starve..].iter().position(|p| *p == Playout::Voice).unwrap();
    // Message 50 comes in frame 80; 200 ms of sound are there in frame 89.
    assert!((88..=90).contains(&again), "starved in frame {starve}, playing again in frame {again}");
}

#[test]
fn a_short_word_alone_is_heard_after_the_longest_wait_or_at_its_end() {
    for (ends, first_frame) in [(false, 20), (true, 0)] {
        let mut buffer = JitterBuffer::new(FrameSpec::PHONE, JitterBufferConfig::default());
        let start = Instant::now();
        buffer.push(start, &[0.25; 400]);
        if ends {
            buffer.end();
        }
        let mut frame = [0.0; 160];
        let held: Vec<Playout> = (0..30).map(|n| buffer.pull(start + FRAME * n, &mut frame)).collect();
        assert_eq!(held.iter().position(|p| *p == Playout::Voice), Some(first_frame));
        assert_eq!(buffer.stats().starves, u64::from(!ends), "an end is no starve");
    }
}

#[test]
fn nothing_pushed_before_a_clear_is_heard_after_it() {
    for cut in [false, true] {
        let config = JitterBufferConfig::default().with_comfort_noise(false);
        let mut buffer = JitterBuffer::new(FrameSpec::PHONE, config);
        let start = Instant::now();
        let mut frame = [0.0; 160];
        for n in 0..20 {
            buffer.push(start + FRAME * n, &[0.5; 160]);
            buffer.pull(start + FRAME * n, &mut frame);
        }
        assert!(frame.iter().all(|x| *x == 0.5));
        let mut tail = [0.0; 240];
        if cut {
            buffer.cut(&mut tail);
            assert!(tail[0] > 0.49 && tail[239] < 0.01, "the cut goes on from the very sample");
        } else {
            buffer.clear();
        }
        for n in 20..60 {
            buffer.push(start + FRAME * n, &[-0.25; 160]);
            buffer.pull(start + FRAME * n, &mut frame);
            assert!(frame.iter().all(|x| *x <= 0.0), "stale sound in frame {n}");
        }
        let stats = buffer.stats();
        assert_eq!(stats.pushed - stats.cleared - stats.played - stats.removed, buffer.buffered() as u64);
    }
}

#[test]
fn gaps_sound_like_the_line() {
    let mut noise = Noise::new(11);
    let mut buffer = JitterBuffer::new(FrameSpec::PHONE, JitterBufferConfig::default());
    let line: Vec<f32> = (0..160 * 100).map(|_| noise.white() * 0.01).collect();
    let (heard, held) = play(&mut buffer, &line, |_| Duration::ZERO, 150);
    assert_eq!(held.last(), Some(&Playout::Waiting));
    let db = 20.0 * (speech::rms(&heard[160 * 130..]) / speech::rms(&line)).log10();
    assert!(db.abs() < 3.0, "the gap is {db} dB off the line");
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Push(usize),
    Pull,
    End,
    Clear,
    Cut,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..80u64).prop_map(Step::Wait),
        6 => (0..2_000usize).prop_map(Step::Push),
        8 => Just(Step::Pull),
        1 => Just(Step::End),
        1 => Just(Step::Clear),
        1 => Just(Step::Cut),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever arrives whenever: every frame is filled, and every sample is accounted for.
    #[test]
    fn every_frame_is_filled_and_every_sample_accounted_for(steps in steps(), odd in any::<f32>()) {
        let config = JitterBufferConfig::default().with_capacity(millis(500));
        let mut buffer = JitterBuffer::new(FrameSpec::PHONE, config);
        let mut noise = Noise::new(5);
        let (mut now, mut pulls) = (Instant::now(), 0);
        for step in steps {
            match step {
                Step::Wait(ms) => now += millis(ms),
                Step::Push(length) => {
                    let mut samples: Vec<f32> = (0..length).map(|_| noise.white()).collect();
                    if let Some(sample) = samples.first_mut() {
                        *sample = odd;
                    }
                    prop_assert!(buffer.push(now, &samples) <= length);
                }
                Step::Pull => {
                    let mut frame = [f32::NAN; 160];
                    let _ = buffer.pull(now, &mut frame);
                    prop_assert!(frame.iter().all(|x| x.is_finite()));
                    pulls += 1;
                }
                Step::End => buffer.end(),
                Step::Clear => buffer.clear(),
                Step::Cut => buffer.cut(&mut [0.0; 240]),
            }
            let stats = buffer.stats();
            prop_assert_eq!(stats.played + stats.made_up, pulls * 160);
            let accounted = stats.played + stats.cleared + buffer.buffered() as u64 + stats.removed;
            prop_assert_eq!(stats.pushed + stats.repeated, accounted);
            prop_assert!(buffer.buffered() <= 4_000 + 120);
        }
    }

    /// Lateness that stays under what is kept waiting never starves.
    #[test]
    fn lateness_under_the_target_never_starves(late in prop::collection::vec(0..60u64, 400)) {
        let voice: Vec<f32> = speech::telephone().repeat(2);
        let mut buffer = JitterBuffer::new(FrameSpec::PHONE, JitterBufferConfig::default());
        let _ = play(&mut buffer, &voice[..64_000], |n| millis(late[n]), 400);
        prop_assert_eq!(buffer.stats().starves, 0);
    }
}

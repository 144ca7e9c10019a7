//! What a jitter buffer plays is exact in length, free of clicks, and never stale.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use voxline_audio::{FrameDuration, FrameSpec, JitterBuffer, JitterBufferConfig, Playout, SampleRate};

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

/// What `bent` sounds like beside the vowel it was made of: pitch and level as ratios, and the sharpest bend.
fn beside(bent: &[f32], vowel: &[f32]) -> (f32, f32, f32) {
    let pitch = |sound: &[f32]| {
        // The first harmonic is the loudest: the wave rises through zero once a period.
        let rises = sound.windows(2).filter(|two| two[0] < 0.0 && two[1] >= 0.0).count();
        rises as f32 / sound.len() as f32
    };
    let sharpest = |sound: &[f32]| bends(sound).into_iter().fold(0.0, f32::max);
    (pitch(bent) / pitch(vowel), speech::rms(bent) / speech::rms(vowel), sharpest(bent) / sharpest(vowel))
}

#[test]
fn time_is_bent_and_neither_pitch_nor_level_are() {
    let calm: fn(usize) -> Duration = |_| Duration::ZERO;
    let hiccups: fn(usize) -> Duration = |n| millis(if n % 20 == 19 { 160 } else { 0 });
    let config = JitterBufferConfig::default().with_comfort_noise(false);
    for pitch_hz in [85.3_f32, 137.7, 211.9, 340.1] {
        let wave = |n: usize| {
            let turn = std::f32::consts::TAU * (pitch_hz / 8_000.0 * n as f32).fract();
            0.3 * turn.sin() + 0.15 * (2.0 * turn).sin() + 0.1 * (3.0 * turn + 1.0).sin()
        };
        let vowel: Vec<f32> = (0..80_000).map(wave).collect();
        for (name, config, late) in [
            ("faster", config.with_prebuffer(millis(1_000)).with_max_wait(millis(2_000)), calm),
            ("slower", config.with_target(millis(160), millis(160)), hiccups),
        ] {
            let mut buffer = JitterBuffer::new(FrameSpec::PHONE, config);
            let (heard, held) = play(&mut buffer, &vowel, late, 480);
            let begins = held.iter().position(|p| *p == Playout::Voice).unwrap();
            let stats = buffer.stats();
            let bent = if name == "faster" { stats.removed } else { stats.repeated };
            assert!(bent > 480, "{pitch_hz} Hz: {name} by only {bent} samples, {stats:?}");
            assert_eq!(stats.starves, 0);
            // Its first 10 ms rise out of silence.
            let (pitch, level, bend) = beside(&heard[begins * 160 + 80..], &vowel);
            assert!((pitch - 1.0).abs() < 0.005, "{pitch_hz} Hz: {name}, the pitch became {pitch} of it");
            assert!((level - 1.0).abs() < 0.03, "{pitch_hz} Hz: {name}, the level became {level} of it");
            assert!(bend < 1.2, "{pitch_hz} Hz: {name}, bent {bend} times as sharply");
        }
    }
}

/// In a pause a period can go with every frame. Two went where there was room for one, when messages are longer than
/// frames and what waits goes up and down.
#[test]
fn catching_up_in_a_pause_stops_at_the_target() {
    let spec = FrameSpec::new(SampleRate::Hz8000, FrameDuration::Ms10).unwrap();
    let (start, mut frame) = (Instant::now(), [0.0; 80]);
    // As quiet as a pause is, with as long a period as is found.
    let hum = |from: usize| -> [f32; 160] {
        std::array::from_fn(|n| 0.002 * (std::f32::consts::TAU * ((from + n) as f32 / 119.0).fract()).sin())
    };
    for prebuffer in 200..400 {
        let config = JitterBufferConfig::default().with_prebuffer(millis(prebuffer));
        let mut buffer = JitterBuffer::new(spec, config);
        let mut least = usize::MAX;
        for n in 0..400 {
            let now = start + spec.duration() * n;
            if n % 2 == 0 {
                buffer.push(now, &hum(n as usize * 80));
            }
            buffer.pull(now, &mut frame);
            least = least.min(if n < 100 { usize::MAX } else { buffer.buffered() });
        }
        // What is kept waiting, and a frame; a message and a longest period may be more.
        assert!((560..=560 + 160 + 120).contains(&least), "{prebuffer} ms at first: {least} samples wait");
    }
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
    // Message 50 comes in frame 80 and 200 ms of sound are there in frame 89. Where that much lateness is believed, the
    // target takes the place of the prebuffer, and with it come a frame and a message.
    for (most, expected) in [(60, 89), (200, 91)] {
        let config = JitterBufferConfig::default().with_target(millis(60), millis(most));
        let mut buffer = JitterBuffer::new(FrameSpec::PHONE, config);
        let late = |n: usize| millis(if n >= 50 { 600 } else { 0 });
        let (_, held) = play(&mut buffer, &speech::telephone(), late, 200);
        let starve = held.iter().position(|p| *p == Playout::Starved).unwrap();
        let again = starve + held[starve..].iter().position(|p| *p == Playout::Voice).unwrap();
        assert_eq!(again, expected, "starved in frame {starve}, at most {most} ms kept waiting");
        assert!(held[starve + 1..again].iter().all(|p| *p == Playout::Waiting));
    }
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

/// From nothing to all but a thousandth; either end often.
fn share_up_to_all() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(0.999), 0.0..0.999]
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

    /// Sound before a clear is above zero and sound after it below, or the other way round: whatever came when, no sample
    /// of the wrong sign is played.
    #[test]
    fn nothing_stale_is_heard_after_a_clear(steps in steps()) {
        let config = JitterBufferConfig::default().with_capacity(millis(500)).with_comfort_noise(false);
        let mut buffer = JitterBuffer::new(FrameSpec::PHONE, config);
        let mut noise = Noise::new(6);
        let (mut now, mut sign) = (Instant::now(), 1.0);
        for step in steps {
            match step {
                Step::Wait(ms) => now += millis(ms),
                Step::Push(length) => {
                    let samples: Vec<f32> = (0..length).map(|_| sign * (0.5 + 0.3 * noise.white())).collect();
                    buffer.push(now, &samples);
                }
                Step::Pull => {
                    let mut frame = [f32::NAN; 160];
                    let _ = buffer.pull(now, &mut frame);
                    prop_assert!(frame.iter().all(|x| x * sign >= 0.0), "{:?} where the sign is {}", frame, sign);
                }
                Step::End => buffer.end(),
                Step::Clear => {
                    buffer.clear();
                    sign = -sign;
                }
                Step::Cut => {
                    let mut tail = [0.0; 240];
                    buffer.cut(&mut tail);
                    prop_assert!(tail.iter().all(|x| x * sign >= 0.0));
                    sign = -sign;
                }
            }
        }
    }

    /// Messages of any length, each later than it is due by less than the target: none is missed, whatever the line
    /// seemed to be like before.
    #[test]
    fn lateness_under_the_target_never_starves(
        target in prop_oneof![Just(200), 20..=200_u64],
        duration in prop::sample::select(vec![FrameDuration::Ms10, FrameDuration::Ms20, FrameDuration::Ms40, FrameDuration::Ms60]),
        message in prop::sample::select(vec![80_usize, 160, 320, 480]),
        lateness in prop::collection::vec(share_up_to_all(), 2_000),
        spells in prop::collection::vec(share_up_to_all(), 20),
    ) {
        let Some(spec) = FrameSpec::new(SampleRate::Hz8000, duration) else { unreachable!("8 kHz has every frame") };
        let config = JitterBufferConfig::default().with_target(millis(target), millis(target.max(200)));
        let mut buffer = JitterBuffer::new(spec, config);
        let voice: Vec<f32> = speech::telephone().repeat(4);
        let start = Instant::now();
        let spoken = SampleRate::Hz8000.duration_of(message as u64);
        let late = |n: usize| millis(target).mul_f64(lateness[n % 2_000] * spells[n / 100 % 20]);
        // Messages overtake nothing, and one that is complete is sent at once.
        let arrivals = (0..).scan(start, |due, n| {
            *due = (*due).max(start + spoken * (n as u32 + 1) + late(n));
            Some(*due)
        });
        let mut arrivals = voice.chunks_exact(message).zip(arrivals).peekable();
        let mut frame = vec![0.0; spec.samples()];
        for n in 0..20_000 / duration.millis() {
            let now = start + spec.duration() * n;
            while let Some((message, due)) = arrivals.next_if(|(_, due)| *due <= now) {
                prop_assert_eq!(buffer.push(due, message), message.len());
            }
            let held = buffer.pull(now, &mut frame);
            prop_assert!(held != Playout::Starved, "starved in frame {}", n);
        }
        prop_assert!(buffer.is_playing());
    }
}

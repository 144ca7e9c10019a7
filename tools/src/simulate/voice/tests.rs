//! What tonetext survives, and what its decoder says about what it does not.

use std::f64::consts::PI;

use proptest::prelude::*;
use voxline_audio::{Resampler, SampleRate, g711};

use super::*;

mod pauses;

const TEXT: &str = "I would like to change my appointment to Thursday afternoon, żółć, 日本語 and 👩‍👧 too.";
/// One symbol more or less says nothing about a position; a few milliseconds do.
const NEAR_MS: u64 = 3;

#[test]
fn every_rate_carries_the_text_and_says_where_it_was() {
    for rate in SampleRate::ALL {
        let mut sound = vec![0; rate.hz() as usize / 7];
        let start = sound.len() as u64;
        sound.extend(Encoder::new(rate).encode(TEXT));
        let end = sound.len() as u64;
        sound.extend(vec![0; rate.hz() as usize / 7]);
        let tracker = hear(rate, &sound);
        assert_eq!(tracker.text(), TEXT, "{rate}");
        assert_eq!(tracker.faults(), [], "{rate}");
        let [utterance] = tracker.utterances() else { panic!("{rate}: one utterance") };
        assert!(utterance.is_complete());
        let near = u64::from(rate.hz()) * NEAR_MS / 1_000;
        assert!(utterance.start().abs_diff(start) <= near, "{rate}: {} for {start}", utterance.start());
        assert!(utterance.end().abs_diff(end) <= near, "{rate}: {} for {end}", utterance.end());
    }
}

#[test]
fn sound_is_as_loud_as_speech_lasts_as_promised_and_never_pauses() {
    for rate in SampleRate::ALL {
        let sound = Encoder::new(rate).encode(TEXT);
        assert_eq!(sound.len() as u64, rate.samples_in(duration_of(TEXT)), "{rate}");
        let db = 10.0 * power(&sound).log10();
        assert!((-20.5..-19.5).contains(&db), "{rate}: {db} dBFS");
        let quietest = sound.chunks_exact(rate.hz() as usize / 50).map(power).fold(1.0, f64::min);
        assert!(10.0 * quietest.log10() > -26.0, "{rate}: a 20 ms frame at {} dBFS", 10.0 * quietest.log10());
    }
}

#[test]
fn a_telephone_between_24_and_16_kilohertz_costs_nothing() {
    let narrow =
        convert(&Encoder::new(SampleRate::Hz24000).encode(TEXT), SampleRate::Hz24000, SampleRate::Hz8000);
    let tracker =
        hear(SampleRate::Hz16000, &convert(&over_mulaw(&narrow), SampleRate::Hz8000, SampleRate::Hz16000));
    assert_eq!((tracker.text().as_str(), tracker.faults()), (TEXT, &[][..]));
}

#[test]
fn samples_that_fall_between_those_of_the_encoder_cost_nothing() {
    for delay in [0.0, 0.13, 0.5, 0.77] {
        let sound = Encoder::new(SampleRate::Hz24000).encode(TEXT);
        let narrow = over_mulaw(&resample(&sound, 24_000.0, 8_000.0, delay));
        let tracker = hear(SampleRate::Hz16000, &resample(&narrow, 8_000.0, 16_000.0, delay));
        assert_eq!((tracker.text().as_str(), tracker.faults()), (TEXT, &[][..]), "delay {delay}");
    }
}

#[test]
fn noise_at_20_db_costs_nothing() {
    for seed in 1..=5 {
        let sound = Encoder::new(SampleRate::Hz8000).encode(TEXT);
        let noisy = with_noise(&sound, 20.0, seed);
        let tracker = hear(SampleRate::Hz8000, &noisy);
        assert_eq!((tracker.text().as_str(), tracker.faults()), (TEXT, &[][..]), "seed {seed}");
    }
}

#[test]
fn any_level_and_hard_clipping_cost_nothing() {
    let sound = Encoder::new(SampleRate::Hz16000).encode(TEXT);
    for db in [-40.0, -20.0, 6.0, 14.0, 20.0, 30.0, 40.0] {
        let gain = 10.0_f64.powf(db / 20.0);
        let scaled: Vec<i16> = sound.iter().map(|&sample| (f64::from(sample) * gain) as i16).collect();
        let tracker = hear(SampleRate::Hz16000, &scaled);
        assert_eq!((tracker.text().as_str(), tracker.faults()), (TEXT, &[][..]), "{db} dB");
    }
}

#[test]
fn ten_minutes_lose_nothing() {
    let mut text = String::new();
    for minute in 0.. {
        text.push_str(&format!("This is sentence {minute} of a long report, which nobody will interrupt. "));
        if duration_of(&text).as_secs() >= 600 {
            break;
        }
    }
    let tracker = hear(SampleRate::Hz8000, &Encoder::new(SampleRate::Hz8000).encode(&text));
    assert!(tracker.faults().is_empty(), "{:?}", tracker.faults());
    assert!(tracker.text() == text, "ten minutes differ somewhere");
}

#[test]
fn decoding_may_begin_anywhere() {
    let rate = SampleRate::Hz8000;
    let mut speaker = Encoder::new(rate);
    let plan = speaker.plan(TEXT);
    let ends = ends_of(rate, &plan);
    let sound = voiced(&speaker, &plan);
    for from in (0..sound.len()).step_by(331) {
        let tracker = hear_from(Tracker::new(), rate, &sound[from..]);
        let after: String = plan
            .iter()
            .zip(&ends)
            // A block whose first milliseconds are gone may still be heard.
            .filter(|(block, end)| **end - samples(rate, block) >= from)
            .map(|(block, _)| block.text.as_str())
            .collect();
        assert!(tracker.text().ends_with(&after), "from {from}: {:?} for {after:?}", tracker.text());
        assert!(tracker.text().len() <= after.len() + 24, "from {from}: {:?}", tracker.text());
        assert!(TEXT.ends_with(&tracker.text()), "from {from}: {:?}", tracker.text());
        assert_eq!(tracker.faults(), [], "from {from}");
    }
}

#[test]
fn a_cut_is_noticed_wherever_it_falls() {
    let rate = SampleRate::Hz8000;
    let mut speaker = Encoder::new(rate);
    let plan = speaker.plan(TEXT);
    let ends = ends_of(rate, &plan);
    let sound = voiced(&speaker, &plan);
    // A symbol is heard once a third of its middle was: a block may lack its last 12 ms.
    let near = 96;
    for cut in (0..sound.len()).step_by(173) {
        for tail in [Vec::new(), vec![0; 4_000], noise(4_000, 300.0, cut as u64)] {
            let mut cut_sound = sound[..cut].to_vec();
            cut_sound.extend(&tail);
            let events = events_of(rate, &cut_sound);
            let heard: String = events
                .iter()
                .filter_map(|event| match event {
                    VoiceEvent::Block { block, .. } => Some(block.text.as_str()),
                    VoiceEvent::Damaged { .. } => None,
                })
                .collect();
            let whole = |limit: usize| -> String {
                plan.iter()
                    .zip(&ends)
                    .filter(|(_, end)| **end <= limit)
                    .map(|(block, _)| block.text.as_str())
                    .collect()
            };
            assert!(heard == whole(cut) || heard == whole(cut + near), "cut {cut}: {heard:?}");
            // A block past its preamble is owned up to, with its number once the header was heard.
            let begun = ends.iter().rev().find(|end| **end <= cut).copied().unwrap_or(0);
            if cut - begun > 600 && heard == whole(cut) {
                let Some(VoiceEvent::Damaged { block, end, .. }) = events.last() else {
                    panic!("cut {cut}: {:?}", events.last())
                };
                assert!((*end as usize) <= cut + 160 + near, "cut {cut}: followed to {end}");
                if cut - begun > 8 * 160 + near {
                    let number = plan.iter().zip(&ends).filter(|(_, end)| **end <= cut).count() as u16;
                    assert_eq!(*block, Some((0, number)), "cut {cut}");
                }
            }
        }
    }
}

#[test]
fn a_block_that_follows_a_cut_at_once_is_heard() {
    let rate = SampleRate::Hz16000;
    let mut speaker = Encoder::new(rate);
    let cut = speaker.encode("The offer ends on Sunday and");
    let answer = speaker.encode("Of course.");
    for at in (0..cut.len()).step_by(487) {
        let mut sound = cut[..at].to_vec();
        sound.extend(&answer);
        let tracker = hear(rate, &sound);
        assert!(tracker.text().ends_with("Of course."), "cut at {at}: {:?}", tracker.text());
        assert!(tracker.utterances().last().is_some_and(Utterance::is_complete), "cut at {at}");
    }
}

#[test]
fn what_is_doubled_missing_or_cut_short_is_named() {
    let rate = SampleRate::Hz8000;
    let mut speaker = Encoder::new(rate).with_speaker(9);
    let plan = speaker.plan("One block here, two blocks there, and more.");
    let blocks: Vec<_> = plan.iter().map(|block| speaker.voice(block)).collect();
    let next = speaker.encode("Another.");
    let say = |order: &[usize]| -> Vec<i16> {
        order.iter().flat_map(|&index| blocks[index].clone()).chain(next.clone()).collect()
    };
    let missing = |numbers| VoiceFault::Missing { speaker: 9, numbers };
    for (name, order, faults) in [
        ("in order", &[0, 1, 2, 3, 4, 5][..], vec![]),
        ("one doubled", &[0, 1, 1, 2, 3, 4, 5], vec![VoiceFault::Doubled { speaker: 9, number: 1 }]),
        ("a run doubled", &[0, 1, 2, 1, 2, 3, 4, 5], {
            [1, 2].map(|number| VoiceFault::Doubled { speaker: 9, number }).to_vec()
        }),
        ("two missing", &[0, 1, 4, 5], vec![missing(2..=3)]),
        ("the first missing", &[1, 2, 3, 4, 5], vec![missing(0..=0)]),
        ("swapped", &[0, 2, 1, 3, 4, 5], vec![missing(1..=1), VoiceFault::Late { speaker: 9, number: 1 }]),
        ("cut short", &[0, 1, 2], vec![VoiceFault::CutShort { speaker: 9, numbers: 3..=5 }]),
    ] {
        let tracker = hear(rate, &say(order));
        assert_eq!(tracker.faults(), faults, "{name}");
        assert!(tracker.text().ends_with("Another."), "{name}");
    }
}

#[test]
fn damage_inside_a_block_is_damage_and_the_block_is_missing() {
    let rate = SampleRate::Hz8000;
    let mut speaker = Encoder::new(rate);
    let mut sound = speaker.encode("The second block is spoilt.");
    let block = rate.samples_in(duration_of("The seco")) as usize;
    let spoilt = block + 12 * 160;
    sound.copy_within(spoilt + 160..spoilt + 320, spoilt);
    let tracker = hear(rate, &sound);
    let [VoiceFault::Damaged { block: Some((0, 1)), .. }, VoiceFault::Missing { numbers, .. }] =
        tracker.faults()
    else {
        panic!("{:?}", tracker.faults())
    };
    assert_eq!(*numbers, 1..=1);
    assert_eq!(tracker.text(), "The seco is spoilt.");
}

#[test]
fn a_new_life_of_a_speaker_is_no_repeat() {
    let rate = SampleRate::Hz8000;
    let mut sound = Encoder::new(rate).with_speaker(1).encode("Good morning.");
    sound.extend(Encoder::new(rate).with_speaker(2).encode("Good morning."));
    let tracker = hear(rate, &sound);
    assert_eq!(tracker.faults(), []);
    assert_eq!(tracker.utterances().len(), 2);
}

#[test]
fn other_sounds_are_not_taken_for_text() {
    let rate = SampleRate::Hz8000;
    for seed in 1..=4 {
        assert_eq!(events_of(rate, &noise(80_000, 3_000.0, seed)), [], "noise");
    }
    let chirp: Vec<i16> = (0..80_000)
        .map(|at| (8_000.0 * (2.0 * PI * f64::from(at) * f64::from(at) / 80_000.0 / 4.0).sin()) as i16)
        .collect();
    assert_eq!(events_of(rate, &chirp), [], "a sweep over the whole band");
    assert_eq!(events_of(rate, &vec![0; 80_000]), [], "silence");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_text_comes_through_in_pieces_of_any_length(
        texts in prop::collection::vec(any::<String>(), 1..3),
        first in any::<u16>(),
        piece in 1_usize..3_000,
        gap in 0_usize..2_000,
    ) {
        let rate = SampleRate::Hz8000;
        let mut speaker = Encoder::new(rate).with_first_number(first);
        let mut decoder = Decoder::new(rate);
        let mut tracker = Tracker::new();
        for text in &texts {
            let mut sound = speaker.encode(text);
            sound.extend(vec![0; gap]);
            for part in sound.chunks(piece) {
                decoder.push(part);
            }
        }
        decoder.finish();
        while let Some(event) = decoder.poll() {
            tracker.handle_event(&event);
        }
        prop_assert_eq!(tracker.text(), texts.concat());
        prop_assert!(tracker.faults().is_empty());
    }

    #[test]
    fn any_samples_are_survived(samples in prop::collection::vec(any::<i16>(), 0..6_000), piece in 1_usize..500) {
        let mut decoder = Decoder::new(SampleRate::Hz22050);
        for part in samples.chunks(piece) {
            decoder.push(part);
        }
        decoder.finish();
        prop_assert_eq!(decoder.position(), samples.len() as u64);
    }
}

fn hear(rate: SampleRate, sound: &[i16]) -> Tracker {
    hear_from(Tracker::from_start(), rate, sound)
}

fn hear_from(mut tracker: Tracker, rate: SampleRate, sound: &[i16]) -> Tracker {
    for event in events_of(rate, sound) {
        tracker.handle_event(&event);
    }
    tracker
}

fn events_of(rate: SampleRate, sound: &[i16]) -> Vec<VoiceEvent> {
    let mut decoder = Decoder::new(rate);
    // 20 ms frames, as a stream brings them.
    for frame in sound.chunks(rate.hz() as usize / 50) {
        decoder.push(frame);
    }
    decoder.finish();
    std::iter::from_fn(|| decoder.poll()).collect()
}

fn convert(sound: &[i16], from: SampleRate, to: SampleRate) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to);
    let mut converted = vec![0; resampler.output_len(sound.len())];
    resampler.process_i16(sound, &mut converted);
    let mut tail = vec![0; resampler.latency()];
    resampler.flush_i16(&mut tail);
    converted.extend(tail);
    converted
}

fn samples(rate: SampleRate, block: &Block) -> usize {
    rate.samples_in(block.duration()) as usize
}

fn ends_of(rate: SampleRate, plan: &[Block]) -> Vec<usize> {
    plan.iter()
        .scan(0, |end, block| {
            *end += samples(rate, block);
            Some(*end)
        })
        .collect()
}

fn voiced(speaker: &Encoder, plan: &[Block]) -> Vec<i16> {
    plan.iter().flat_map(|block| speaker.voice(block)).collect()
}

fn over_mulaw(sound: &[i16]) -> Vec<i16> {
    let mut coded = vec![0; sound.len()];
    g711::encode_mulaw(sound, &mut coded);
    let mut line = vec![0; coded.len()];
    g711::decode_mulaw(&coded, &mut line);
    line
}

/// A windowed sinc, which unlike our resampler can begin between two samples.
fn resample(sound: &[i16], from_hz: f64, to_hz: f64, delay: f64) -> Vec<i16> {
    let cutoff = 0.9 * from_hz.min(to_hz) / from_hz;
    let reach = 24.0 / cutoff;
    (0..(sound.len() as f64 * to_hz / from_hz) as usize)
        .map(|at| {
            let centre = at as f64 * from_hz / to_hz - delay;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = ((centre + reach).floor() as usize).min(sound.len() - 1);
            let sum: f64 = (first..=last)
                .map(|tap| {
                    let x = tap as f64 - centre;
                    let sinc = if x == 0.0 { 1.0 } else { (PI * cutoff * x).sin() / (PI * cutoff * x) };
                    f64::from(sound[tap]) * cutoff * sinc * (0.5 + 0.5 * (PI * x / reach).cos())
                })
                .sum();
            sum.round() as i16
        })
        .collect()
}

fn power(sound: &[i16]) -> f64 {
    sound.iter().map(|&sample| (f64::from(sample) / 32_768.0).powi(2)).sum::<f64>() / sound.len() as f64
}

fn with_noise(sound: &[i16], snr_db: f64, seed: u64) -> Vec<i16> {
    let rms = 32_768.0 * power(sound).sqrt() / 10.0_f64.powf(snr_db / 20.0);
    sound
        .iter()
        .zip(noise(sound.len(), rms, seed))
        .map(|(&sample, noise)| sample.saturating_add(noise))
        .collect()
}

/// White noise: a sum of twelve uniform values is as good as normal.
fn noise(length: usize, rms: f64, seed: u64) -> Vec<i16> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..length).map(|_| (rms * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0)) as i16).collect()
}

//! A pause is not a loss: what a starved line does to a block, and what is one all the same.

use super::super::pause::Pauses;
use super::*;

#[test]
fn a_pause_of_any_length_anywhere_is_no_loss() {
    let text = "No, on Friday, please.";
    let sound = over_mulaw(&Encoder::new(SampleRate::Hz8000).encode(text));
    for at in (0..sound.len()).step_by(7 * 8) {
        for ms in [1, 2, 3, 4, 5, 7, 10, 13, 20, 60, 137, 500, 1_900] {
            let broken = with_pauses(&sound, &[(at, 8 * ms)]);
            let tracker = hear(SampleRate::Hz8000, &broken);
            let case = format!("{ms} ms at {at}");
            assert_eq!((tracker.text().as_str(), tracker.faults()), (text, &[][..]), "{case}");
            // A pause in the first or last few milliseconds may as well be before or after the sound.
            if (32..sound.len() - 32).contains(&at) {
                let (start, end) = (tracker.utterances()[0].start(), tracker.utterances()[0].end());
                // One that is too short to be noticed displaces what follows.
                let near = 8 * (NEAR_MS + ms as u64 % 3);
                assert!(start <= near, "{case}: from {start}");
                assert!(end.abs_diff(broken.len() as u64) <= near, "{case}: to {end}");
            }
            let tracker =
                hear(SampleRate::Hz16000, &convert(&broken, SampleRate::Hz8000, SampleRate::Hz16000));
            assert_eq!((tracker.text().as_str(), tracker.faults()), (text, &[][..]), "{case}, at 16 kHz");
        }
    }
}

#[test]
fn two_pauses_in_one_block_are_no_loss() {
    let text = "No, on F";
    let sound = over_mulaw(&Encoder::new(SampleRate::Hz8000).encode(text));
    for first in (0..sound.len()).step_by(173) {
        for second in (first + 1..sound.len()).step_by(211) {
            let broken = with_pauses(&sound, &[(first, 3_000), (second, 470)]);
            for rate in [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000] {
                let tracker = hear(rate, &convert(&broken, SampleRate::Hz8000, rate));
                let heard = (tracker.text(), tracker.faults());
                assert_eq!(heard, (text.to_owned(), &[][..]), "at {first} and {second}, {rate}");
            }
        }
    }
}

#[test]
fn a_line_that_starves_five_times_a_second_loses_nothing() {
    let text = "No, on Friday, please.";
    let sound = over_mulaw(&Encoder::new(SampleRate::Hz8000).encode(text));
    for first in (0..1_600).step_by(37) {
        for samples in [16, 24, 160, 480] {
            let pauses: Vec<_> = (first..sound.len()).step_by(1_600).map(|at| (at, samples)).collect();
            let broken = with_pauses(&sound, &pauses);
            for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
                let tracker = hear(rate, &convert(&broken, SampleRate::Hz8000, rate));
                let heard = (tracker.text(), tracker.faults());
                assert_eq!(heard, (text.to_owned(), &[][..]), "{samples} samples from {first}, {rate}");
            }
        }
    }
}

#[test]
fn silence_before_a_block_is_no_pause_of_it() {
    let rate = SampleRate::Hz8000;
    let sound = Encoder::new(rate).encode("Yes.");
    for silence in [16_100, 80_003, 160_009] {
        for at in (8..sound.len()).step_by(83) {
            // Two utterances of two lives: what the first one leaves behind is silence before the second.
            let mut whole = Encoder::new(rate).with_speaker(1).encode("Well?");
            whole.resize(whole.len() + silence, 0);
            let start = whole.len() as u64;
            whole.extend(with_pauses(&sound, &[(at, 15_000)]));
            let tracker = hear(rate, &whole);
            assert_eq!((tracker.text().as_str(), tracker.faults()), ("Well?Yes.", &[][..]), "{at}");
            let heard = tracker.utterances()[1].start();
            assert!(at < 32 || heard.abs_diff(start) <= 8 * NEAR_MS, "{at}: from {heard}");
        }
    }
}

#[test]
fn a_pause_longer_than_the_limit_is_reported_when_it_is_and_not_before() {
    let rate = SampleRate::Hz8000;
    let sound = Encoder::new(rate).encode("Yes.");
    for cut in (9 * 160..13 * 160).step_by(97) {
        let mut decoder = Decoder::new(rate);
        decoder.push(&sound[..cut]);
        for _ in 0..99 {
            decoder.push(&[0; 160]);
        }
        assert_eq!(decoder.poll(), None, "{cut}: it may still go on");
        for _ in 0..2 {
            decoder.push(&[0; 160]);
        }
        let Some(VoiceEvent::Damaged { block: Some((0, 0)), end, .. }) = decoder.poll() else {
            panic!("{cut}: nothing reported")
        };
        assert!(end.abs_diff(cut as u64) <= 8 * NEAR_MS, "{cut}: followed to {end}");
        // In one piece, or what follows it.
        let late = hear(rate, &[with_pauses(&sound, &[(cut, 16_200)]), sound.clone()].concat());
        assert_eq!(late.text(), "Yes.", "{cut}");
        assert!(matches!(late.faults(), [VoiceFault::Damaged { .. }]), "{cut}: {:?}", late.faults());
    }
}

#[test]
fn a_block_is_reported_with_its_last_symbol_after_a_pause_too() {
    let rate = SampleRate::Hz8000;
    let sound = Encoder::new(rate).encode("Yes.");
    for at in (0..sound.len() - 40).step_by(61) {
        let mut decoder = Decoder::new(rate);
        decoder.push(&with_pauses(&sound, &[(at, 4_000)]));
        assert!(matches!(decoder.poll(), Some(VoiceEvent::Block { .. })), "pause at {at}");
    }
}

#[test]
fn a_new_utterance_after_a_cut_and_a_silence_is_heard_and_the_cut_noticed() {
    for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
        let mut speaker = Encoder::new(rate);
        let plan = speaker.plan("The offer ends on Sunday and");
        let cut_sound = voiced(&speaker, &plan);
        let answer = speaker.encode("Of course.");
        for cut in (0..cut_sound.len()).step_by(rate.hz() as usize * 7 / 1_000) {
            let mut sound = cut_sound[..cut].to_vec();
            sound.resize(cut + rate.hz() as usize / 2, 0);
            let start = sound.len() as u64;
            sound.extend(&answer);
            let tracker = hear(rate, &sound);
            let Some(last) = tracker.utterances().last() else { panic!("cut {cut}, {rate}: nothing heard") };
            assert!(last.is_complete() && last.text() == "Of course.", "cut {cut}, {rate}: {last:?}");
            let near = u64::from(rate.hz()) * NEAR_MS / 1_000;
            assert!(last.start().abs_diff(start) <= near, "cut {cut}, {rate}: from {}", last.start());
            let ends = ends_of(rate, &plan);
            let begun = ends.iter().rev().find(|end| **end <= cut).copied().unwrap_or(0);
            let damaged = tracker.faults().iter().find_map(|fault| match fault {
                VoiceFault::Damaged { end, .. } => Some(*end),
                VoiceFault::CutShort { .. }
                | VoiceFault::Doubled { .. }
                | VoiceFault::Late { .. }
                | VoiceFault::Missing { .. } => None,
            });
            // Within a preamble nothing has begun, and the last milliseconds of a block are not needed.
            let late = ends.iter().any(|end| (cut..cut + rate.hz() as usize / 80).contains(end));
            if cut - begun > rate.hz() as usize * 3 / 40 && !late {
                assert!(
                    damaged.is_some_and(|end| end.abs_diff(cut as u64) <= near),
                    "cut {cut}, {rate}: {damaged:?}"
                );
            }
        }
    }
}

#[test]
fn a_fainter_voice_after_a_cut_is_heard_and_a_very_faint_one_after_the_limit() {
    let rate = SampleRate::Hz8000;
    let mut speaker = Encoder::new(rate);
    let cut = speaker.encode("The offer ends on Sunday and");
    let answer = speaker.encode("It is a long answer, and it takes more than two seconds.");
    for (db, silence, whole) in [(-20.0, 4_000, true), (-40.0, 4_000, false), (-40.0, 16_100, true)] {
        let gain = 10.0_f64.powf(db / 20.0);
        let mut sound = cut[..4_321].to_vec();
        sound.resize(4_321 + silence, 0);
        sound.extend(answer.iter().map(|&sample| (f64::from(sample) * gain) as i16));
        let tracker = hear(rate, &sound);
        let heard = tracker.text();
        assert!(heard.ends_with("two seconds."), "{db} dB after {silence}: {heard:?}");
        assert_eq!(heard.contains("It is a long"), whole, "{db} dB after {silence}: {heard:?}");
    }
}

#[test]
fn an_unbroken_block_has_no_pause() {
    for rate in SampleRate::ALL {
        for seed in 1..=20 {
            let text: String =
                noise(40, 60.0, seed).iter().map(|&value| char::from((value & 0x7F) as u8)).collect();
            let sound = Encoder::new(rate).encode(&text);
            let narrow = over_mulaw(&convert(&sound, rate, SampleRate::Hz8000));
            for sound in [convert(&narrow, SampleRate::Hz8000, rate), with_noise(&sound, 20.0, seed), sound] {
                let edge = rate.hz() as usize / 100;
                let mut pauses = Pauses::new(rate);
                let inside = sound[edge..sound.len() - 2 * edge].iter().map(|&sample| f32::from(sample));
                pauses.push(inside, &mut Vec::new());
                assert_eq!(pauses.removed(), 0, "{rate}, seed {seed}: {text:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_few_pauses_are_no_loss(
        text in "[ -~]{1,30}",
        speaker in any::<u8>(),
        level_db in -24.0..6.0_f64,
        pauses in prop::collection::vec((0.0..1.0_f64, 0.003..0.6_f64), 0..4),
        piece in 1_usize..3_000,
    ) {
        let sound = Encoder::new(SampleRate::Hz24000).with_speaker(speaker).encode(&text);
        let gain = 10.0_f64.powf(level_db / 20.0);
        let sound: Vec<i16> = sound.iter().map(|&sample| (f64::from(sample) * gain) as i16).collect();
        let narrow = over_mulaw(&convert(&sound, SampleRate::Hz24000, SampleRate::Hz8000));
        let mut pauses: Vec<(usize, usize)> = pauses
            .into_iter()
            .map(|(at, seconds)| ((at * narrow.len() as f64) as usize, (seconds * 8_000.0) as usize))
            .collect();
        pauses.sort_unstable();
        let broken = with_pauses(&narrow, &pauses);
        for rate in [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000] {
            let mut decoder = Decoder::new(rate);
            let mut tracker = Tracker::from_start();
            convert(&broken, SampleRate::Hz8000, rate).chunks(piece).for_each(|part| decoder.push(part));
            decoder.finish();
            while let Some(event) = decoder.poll() {
                tracker.handle_event(&event);
            }
            prop_assert_eq!(tracker.text(), text.as_str(), "{}", rate);
            prop_assert_eq!(tracker.faults(), &[], "{}", rate);
        }
    }
}

/// Silence at each place of `sound`, in order, and so long: nothing of the sound is lost.
fn with_pauses(sound: &[i16], pauses: &[(usize, usize)]) -> Vec<i16> {
    let mut broken = Vec::new();
    let mut from = 0;
    for &(at, samples) in pauses {
        broken.extend(&sound[from..at]);
        broken.resize(broken.len() + samples, 0);
        from = at;
    }
    broken.extend(&sound[from..]);
    broken
}

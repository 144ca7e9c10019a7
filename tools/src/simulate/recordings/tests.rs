//! What is recognised after a telephone, what is owned up to, and what is not recognised.

use std::collections::HashSet;

use voxline_audio::g711;

use super::*;
use crate::simulate::voice::Encoder;

#[test]
fn a_recording_is_recognised_at_any_rate_and_level_and_after_any_silence() {
    for recording in library() {
        for rate in SampleRate::ALL {
            for (gain, silence) in [(1.0, 0), (0.1, 3_333), (4.0, 16_001)] {
                let mut sound = vec![0; silence];
                sound.extend(phone(&recording, gain));
                let sound = convert(&sound, SampleRate::Hz8000, rate);
                let heard = hear(rate, &sound);
                let case = format!("{} at {rate}, gain {gain}", recording.name());
                assert_eq!(heard.text(), recording.transcript(), "{case}");
                assert_eq!(heard.faults(), [], "{case}");
                assert!(heard.unknown() < Duration::from_millis(100), "{case}: {:?}", heard.unknown());
                let [stretch] = heard.stretches() else { panic!("{case}: {:?}", heard.stretches()) };
                assert_eq!(stretch.recording().name(), recording.name());
                let began = silence as f64 / 8_000.0 + stretch.from().as_secs_f64();
                let start = stretch.start() as f64 / f64::from(rate.hz());
                assert!((start - began).abs() < 0.02, "{case}: {start} s for {began} s");
            }
        }
    }
}

#[test]
fn debug_output_names_a_recording_and_leaves_its_samples_out() {
    let shown = format!("{:?}", Recording::friday());
    assert!(shown.starts_with("Recording { name: \"friday\", transcript: \"Sorry, I meant"), "{shown}");
    let recogniser = Recogniser::new(library(), SampleRate::Hz8000);
    for shown in [shown, format!("{recogniser:?}"), format!("{:?}", recogniser.heard())] {
        assert!(shown.len() < 1_000, "{} characters", shown.len());
    }
}

#[test]
fn pieces_of_any_length_make_no_difference() {
    let sound = phone(&Recording::friday(), 1.0);
    let whole = format!("{:?}", hear(SampleRate::Hz8000, &sound));
    for length in [1, 159, 160, 1_000] {
        let mut recogniser = Recogniser::new(library(), SampleRate::Hz8000);
        sound.chunks(length).for_each(|piece| recogniser.push(piece));
        assert!(format!("{:?}", recogniser.heard()) == whole, "pieces of {length}");
    }
}

#[test]
fn noise_on_the_line_costs_no_words_before_it_costs_faint_consonants() {
    for recording in library() {
        let sound = phone(&recording, 1.0);
        let rms = (sound.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / sound.len() as f64).sqrt();
        for (snr_db, faultless) in [(30.0, true), (20.0, false)] {
            let noise = noise(sound.len(), rms / 10.0_f64.powf(snr_db / 20.0));
            let noisy: Vec<i16> = sound.iter().zip(noise).map(|(&s, n)| s.saturating_add(n)).collect();
            let heard = hear(SampleRate::Hz8000, &noisy);
            assert_eq!(heard.text(), recording.transcript(), "{snr_db} dB");
            assert!(!faultless || heard.faults().is_empty(), "{snr_db} dB: {:?}", heard.faults());
        }
    }
}

#[test]
fn a_tenth_of_a_second_missing_is_noticed_wherever_it_falls() {
    for_each_tenth(|recording, sound, from| {
        if is_silent(recording, from) {
            return; // a shorter silence is still silence
        }
        let mut cut = sound.to_vec();
        cut.drain(from..from + TENTH);
        let faults = hear(SampleRate::Hz8000, &cut).faults();
        assert!(
            matches!(&faults[..], [RecordingFault::Missing { from: at, .. }] if near(*at, from)),
            "{} at {from}: {faults:?}",
            recording.name()
        );
    });
}

#[test]
fn a_tenth_of_a_second_doubled_is_noticed_wherever_it_falls() {
    for_each_tenth(|recording, sound, from| {
        if is_silent(recording, from) {
            return; // silence said twice is a longer silence
        }
        let doubled = [&sound[..from + TENTH], &sound[from..]].concat();
        let faults = hear(SampleRate::Hz8000, &doubled).faults();
        assert!(
            matches!(&faults[..], [RecordingFault::Doubled { from: at, .. }] if near(*at, from)),
            "{} at {from}: {faults:?}",
            recording.name()
        );
    });
}

#[test]
fn a_pause_in_the_middle_is_neither_missing_nor_doubled() {
    for_each_tenth(|recording, sound, from| {
        for pause in [4_000, 32_000] {
            let paused = [&sound[..from], &vec![0; pause], &sound[from..]].concat();
            let heard = hear(SampleRate::Hz8000, &paused);
            assert_eq!(heard.faults(), [], "{} at {from}, {pause}", recording.name());
            assert_eq!(heard.text(), recording.transcript(), "{} at {from}, {pause}", recording.name());
        }
    });
}

#[test]
fn words_come_one_after_the_other_while_a_recording_is_played() {
    for recording in library() {
        let mut recogniser = Recogniser::new(library(), SampleRate::Hz8000);
        let mut texts = Vec::new();
        for frame in phone(&recording, 1.0).chunks(160) {
            recogniser.push(frame);
            texts.push(recogniser.heard().text());
        }
        assert_eq!(texts.last().map(String::as_str), Some(recording.transcript()));
        for pair in texts.windows(2) {
            assert!(pair[1].starts_with(&pair[0]), "{:?} became {:?}", pair[0], pair[1]);
        }
        let different: HashSet<&String> = texts.iter().collect();
        assert!(different.len() >= 4, "{different:?}");
    }
}

#[test]
fn a_part_is_recognised_as_that_part() {
    let sound = phone(&Recording::appointment(), 1.0);
    let heard = hear(SampleRate::Hz8000, &sound[8_000..20_000]);
    let [stretch] = heard.stretches() else { panic!("{:?}", heard.stretches()) };
    assert!(near(stretch.from(), 8_000) && near(stretch.to(), 20_000), "{stretch:?}");
    assert_eq!(heard.faults().len(), 2, "both ends are missing: {:?}", heard.faults());
    assert_eq!(heard.text(), "my appointment to");
}

#[test]
fn what_we_do_not_know_is_unknown() {
    let rate = SampleRate::Hz8000;
    let mut reversed = phone(&Recording::appointment(), 1.0);
    reversed.reverse();
    for (name, known, sound) in [
        (
            "another sentence of the same voice",
            vec![Recording::friday()],
            phone(&Recording::appointment(), 1.0),
        ),
        ("and the other way round", vec![Recording::appointment()], phone(&Recording::friday(), 1.0)),
        ("the same backwards", library(), reversed),
        ("tonetext", library(), Encoder::new(rate).encode(Recording::appointment().transcript())),
        ("noise", library(), noise(24_000, 2_000.0)),
    ] {
        let mut recogniser = Recogniser::new(known, rate);
        recogniser.push(&sound);
        let heard = recogniser.heard();
        assert_eq!(heard.text(), "", "{name}");
        assert!(heard.stretches().is_empty(), "{name}: {:?}", heard.stretches());
        assert!(heard.unknown() > Duration::from_secs(1), "{name}: {:?}", heard.unknown());
    }
    assert_eq!(hear(rate, &[0; 24_000]).unknown(), Duration::ZERO, "silence is not even unknown speech");
}

#[test]
fn a_reset_separates_two_utterances() {
    let rate = SampleRate::Hz8000;
    let mut recogniser = Recogniser::new(library(), rate);
    for recording in [Recording::friday(), Recording::friday(), Recording::appointment()] {
        recogniser.push(&phone(&recording, 1.0));
        assert_eq!(recogniser.heard().text(), recording.transcript());
        assert_eq!(recogniser.heard().faults(), []);
        recogniser.reset();
    }
}

#[test]
fn without_a_reset_the_second_time_is_a_repeat() {
    let sound = phone(&Recording::friday(), 1.0);
    let faults = hear(SampleRate::Hz8000, &[sound.clone(), sound].concat()).faults();
    assert!(matches!(&faults[..], [RecordingFault::Doubled { .. }]), "{faults:?}");
}

#[test]
fn silence_is_no_recording() {
    let wav = Wav::parse(&silent_wav()[..]).unwrap();
    assert!(matches!(Recording::new("silence", "", wav), Err(WavProblem::Silent)));
}

fn library() -> Vec<Arc<Recording>> {
    vec![Recording::appointment(), Recording::friday()]
}

fn hear(rate: SampleRate, sound: &[i16]) -> Heard {
    let mut recogniser = Recogniser::new(library(), rate);
    recogniser.push(sound);
    recogniser.heard()
}

/// Every place in the spoken part of every recording, with what a telephone makes of it.
fn for_each_tenth(mut check: impl FnMut(&Recording, &[i16], usize)) {
    for recording in library() {
        let sound = phone(&recording, 1.0);
        let spoken = recording.print.spoken();
        for from in (spoken.start * 80 + 2 * TENTH..spoken.end * 80 - 3 * TENTH).step_by(731) {
            check(&recording, &sound, from);
        }
    }
}

fn is_silent(recording: &Recording, tenth: usize) -> bool {
    recording.print.frames[tenth / 80..(tenth + TENTH) / 80].iter().flatten().count() < 3
}

/// Stretches that sound alike on both sides leave the place of a splice open by some frames.
fn near(at: Duration, sample: usize) -> bool {
    (at.as_secs_f64() - sample as f64 / 8_000.0).abs() < 0.06
}

fn phone(recording: &Recording, gain: f32) -> Vec<i16> {
    let louder = |sample: i16| (f32::from(sample) * gain) as i16;
    // A few samples off, so that frames are never those of the recording itself.
    let wide: Vec<i16> = [0; 7].into_iter().chain(recording.sound(SampleRate::Hz16000)).map(louder).collect();
    let mut line = convert(&wide, SampleRate::Hz16000, SampleRate::Hz8000);
    let mut coded = vec![0; line.len()];
    g711::encode_mulaw(&line, &mut coded);
    g711::decode_mulaw(&coded, &mut line);
    line
}

fn convert(sound: &[i16], from: SampleRate, to: SampleRate) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to);
    let mut converted = vec![0; resampler.output_len(sound.len())];
    resampler.process_i16(sound, &mut converted);
    converted
}

fn noise(length: usize, rms: f64) -> Vec<i16> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..length).map(|_| (rms * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0)) as i16).collect()
}

fn silent_wav() -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..8_000).for_each(|_| writer.write_sample(0_i16).unwrap());
    writer.finalize().unwrap();
    bytes.into_inner()
}

/// In samples at 8 kHz.
const TENTH: usize = 800;

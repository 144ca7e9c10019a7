//! What is sent in place of the sound that was promised is named, and what is right is left in peace.

use voxline_audio::{
    AudioFormat, Container, Encoding, Finding, Resampler, SampleRate, WavFormat, WavHeader, g711, inspect,
    pcm,
};

use crate::speech::{self, Noise};

/// Samples at the rate and in the encoding of `format`.
fn encoded(samples: &[f32], encoding: Encoding) -> Vec<u8> {
    let mut linear = vec![0; samples.len()];
    pcm::f32_to_i16(samples, &mut linear);
    let mut bytes = vec![0; samples.len() * encoding.bytes_per_sample()];
    match encoding {
        Encoding::ALaw => g711::encode_alaw(&linear, &mut bytes),
        Encoding::MuLaw => g711::encode_mulaw(&linear, &mut bytes),
        Encoding::Linear16Le | _ => pcm::i16_to_le_bytes(&linear, &mut bytes),
    }
    bytes
}

fn at_rate(rate: SampleRate, samples: &[f32]) -> Vec<f32> {
    let mut resampler = Resampler::new(SampleRate::Hz16000, rate);
    let mut out = vec![0.0; resampler.output_len(samples.len())];
    resampler.process(samples, &mut out);
    out
}

/// Each voice of the shipped speech, as recorded and from a call, loud and clean or quiet and noisy; all of it with
/// `VOXLINE_HEAVY`, else each half of the pairs.
fn voices() -> Vec<(String, Vec<f32>)> {
    let heavy = std::env::var_os("VOXLINE_HEAVY").is_some();
    let speech = speech::wideband();
    let telephone = speech::band_pass(&speech, 16_000.0);
    let mut voices = Vec::new();
    for (band, speech, starts_loud) in [("wide", speech, true), ("telephone", telephone, false)] {
        let (first, second) = speech.split_at(speech::SECOND_SENTENCE);
        for (sentence, voice, swaps) in [("first", first, false), ("second", second, true)] {
            for is_loud in [true, false] {
                if !heavy && is_loud != (starts_loud ^ swaps) {
                    continue;
                }
                let (gain, noise_gain) = if is_loud { (1.0, 0.0) } else { (0.06, 0.000_5) };
                let mut noise = Noise::new(9);
                let voice = voice.iter().map(|x| x * gain + noise.white() * noise_gain).collect();
                voices.push((format!("{band}, {sentence} voice, gain {gain}"), voice));
            }
        }
    }
    voices
}

/// Right and wrong verdicts over a matrix.
#[derive(Default)]
struct Tally {
    right: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn judge(&mut self, what: &str, bytes: &[u8], claimed: AudioFormat, is_right: impl Fn(Finding) -> bool) {
        let verdicts = inspect(bytes, claimed);
        if is_right(verdicts[0].finding) {
            self.right += 1;
        } else {
            self.wrong
                .push(format!("{what} said to be {claimed}: {} ({})", verdicts[0], verdicts[0].confidence));
        }
    }
}

const RATES: [SampleRate; 4] =
    [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000, SampleRate::Hz48000];

fn judge_voice(tally: &mut Tally, name: &str, voice: &[f32], other: &[f32]) {
    for rate in RATES {
        let samples = at_rate(rate, voice);
        let linear = AudioFormat::linear16(rate);
        let bytes = encoded(&samples, Encoding::Linear16Le);
        tally.judge(&format!("{name}: itself"), &bytes, linear, |f| f == Finding::Fine);
        let swapped: Vec<u8> = bytes.as_chunks::<2>().0.iter().flat_map(|b| [b[1], b[0]]).collect();
        tally.judge(&format!("{name}: swapped"), &swapped, linear, |f| f == Finding::SwappedBytes);
        tally.judge(&format!("{name}: shifted"), &bytes[1..], linear, |f| f == Finding::Misaligned);
        let twice: Vec<u8> = bytes.as_chunks::<2>().0.iter().flat_map(|b| [b[0], b[1], b[0], b[1]]).collect();
        tally.judge(&format!("{name}: both channels"), &twice, linear, |f| f == Finding::Stereo);
        let left: Vec<u8> = bytes.as_chunks::<2>().0.iter().flat_map(|b| [b[0], b[1], 0, 0]).collect();
        let right = encoded(&at_rate(rate, other), Encoding::Linear16Le);
        let both: Vec<u8> = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .zip(right.as_chunks::<2>().0)
            .flat_map(|(l, r)| [l[0], l[1], r[0], r[1]])
            .collect();
        tally.judge(&format!("{name}: a voice on each channel"), &both, linear, |f| f == Finding::Stereo);
        tally.judge(&format!("{name}: one channel of two"), &left, linear, |f| f == Finding::Stereo);
        let floats: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
        tally.judge(&format!("{name}: floats"), &floats, linear, |f| f == Finding::Float32);
        let offset: Vec<f32> = samples.iter().map(|x| x + 0.1).collect();
        let offset = encoded(&offset, Encoding::Linear16Le);
        tally.judge(&format!("{name}: offset"), &offset, linear, |f| matches!(f, Finding::DcOffset { .. }));
        let peak = samples.iter().fold(0.0_f32, |peak, x| peak.max(x.abs()));
        let loud: Vec<f32> = samples.iter().map(|x| x * 4.0 / peak).collect();
        let loud = encoded(&loud, Encoding::Linear16Le);
        tally.judge(&format!("{name}: clipped"), &loud, linear, |f| matches!(f, Finding::Clipping { .. }));
        for other in RATES {
            let (low, high) = (rate.hz().min(other.hz()), rate.hz().max(other.hz()));
            // By a factor of 1.5 it may be another person's voice: a doubt is all that can be asked for.
            let is_right = |f| {
                matches!(f, Finding::WrongRate { .. })
                    || matches!(f, Finding::RateUnsure { .. }) && high < 2 * low
            };
            if rate != other {
                tally.judge(&format!("{name}: {rate}"), &bytes, AudioFormat::linear16(other), is_right);
            }
        }
    }
    let phone = at_rate(SampleRate::Hz8000, voice);
    let all = [Encoding::ALaw, Encoding::Linear16Le, Encoding::MuLaw];
    for actual in all {
        let bytes = encoded(&phone, actual);
        for claimed in all {
            let expected = if actual == claimed { Finding::Fine } else { Finding::Codec(actual) };
            let claimed = AudioFormat::new(claimed, SampleRate::Hz8000);
            tally.judge(&format!("{name}: {actual}"), &bytes, claimed, |f| f == expected);
        }
    }
}

#[test]
fn at_least_98_of_100_verdicts_over_the_matrix_are_right() {
    let mut tally = Tally::default();
    for (name, voice) in voices() {
        judge_voice(&mut tally, &name, &voice, &speech::wideband()[speech::SECOND_SENTENCE / 2..]);
    }
    let share = tally.right as f32 / (tally.right + tally.wrong.len()) as f32;
    let list = tally.wrong.join("\n");
    assert!(share >= 0.98, "{:.1} % of {} are right\n{list}", share * 100.0, tally.right + tally.wrong.len());
}

#[test]
fn a_container_is_never_fine() {
    let speech = encoded(&speech::wideband(), Encoding::Linear16Le);
    for rate in SampleRate::ALL {
        for encoding in [Encoding::ALaw, Encoding::Linear16Le, Encoding::MuLaw] {
            let claimed = AudioFormat::new(encoding, rate);
            let mut wav = WavHeader::encode(WavFormat::from(claimed), speech.len() as u64).unwrap();
            wav.extend_from_slice(&speech);
            for length in [12, 44, 500, 40_000] {
                let found = inspect(&wav[..length], claimed)[0].finding;
                assert_eq!(found, Finding::Container(Container::Wav), "{length} bytes, {claimed}");
            }
            for (magic, container) in [
                (&b"OggS\0\x02\0\0"[..], Container::Ogg),
                (b"fLaC\0\0\0\x22", Container::Flac),
                (b"ID3\x04\0\0\0\0", Container::Mp3),
            ] {
                let file = [magic, &speech[20_000..30_000]].concat();
                assert_eq!(inspect(&file, claimed)[0].finding, Finding::Container(container), "{claimed}");
            }
        }
    }
}

#[test]
fn silence_is_silence_in_its_own_encoding_and_betrays_another() {
    for claimed in [Encoding::ALaw, Encoding::Linear16Le, Encoding::MuLaw] {
        let format = AudioFormat::new(claimed, SampleRate::Hz8000);
        let own = vec![claimed.silence_byte(); 8_000];
        assert_eq!(inspect(&own, format)[0].finding, Finding::Silence, "{claimed}");
    }
    let mulaw = inspect(&[0x00; 8_000], AudioFormat::PHONE);
    assert_eq!(mulaw[0].finding, Finding::Codec(Encoding::Linear16Le));
    assert_eq!(inspect(&[], AudioFormat::PHONE)[0].finding, Finding::TooShort);
}

#[test]
fn what_is_no_voice_is_left_in_peace() {
    let mut noise = Noise::new(2);
    let hiss: Vec<f32> = (0..80_000).map(|_| noise.white() * 0.1).collect();
    let hum: Vec<f32> = (0..80_000).map(|n| 0.2 * (n as f32 * 0.02).sin()).collect();
    for samples in [hiss, hum] {
        for encoding in [Encoding::ALaw, Encoding::Linear16Le, Encoding::MuLaw] {
            let format = AudioFormat::new(encoding, SampleRate::Hz8000);
            assert_eq!(inspect(&encoded(&samples, encoding), format)[0].finding, Finding::Fine, "{encoding}");
        }
    }
}

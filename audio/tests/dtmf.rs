//! Key signals within the limits of telephone receivers are heard, and nothing else is.

#[expect(dead_code, reason = "each test binary uses its part")]
mod speech;

use speech::Noise;
use voxline_audio::{Digit, DtmfDetector, DtmfEvent, DtmfGenerator, SampleRate, g711, pcm};

/// One key press.
#[derive(Debug, Clone, Copy)]
struct Press {
    digit: Digit,
    rate: SampleRate,
    milliseconds: u32,
    /// Of the stronger tone.
    dbfs: f32,
    /// High over low.
    twist_db: f32,
    /// Both tones, as a share of their frequency.
    offset: (f32, f32),
}

impl Press {
    fn new(digit: Digit, rate: SampleRate) -> Self {
        Self { digit, rate, milliseconds: 40, dbfs: -12.0, twist_db: 0.0, offset: (0.0, 0.0) }
    }

    fn sound(&self) -> Vec<f32> {
        let (low_hz, high_hz) = self.digit.frequencies_hz();
        let low = 10_f32.powf((self.dbfs - self.twist_db.max(0.0)) / 20.0);
        let high = 10_f32.powf((self.dbfs + self.twist_db.min(0.0)) / 20.0);
        let step = std::f32::consts::TAU / self.rate.hz() as f32;
        (0..self.rate.hz() * self.milliseconds / 1_000)
            .map(|index| {
                let low = low * (step * low_hz * (1.0 + self.offset.0) * index as f32).sin();
                low + high * (step * high_hz * (1.0 + self.offset.1) * index as f32 + 1.0).sin()
            })
            .collect()
    }
}

/// `sounds` with silences of `gap_ms` around them, `shift` samples off the detector's grid, through µ-law.
fn over_the_line(
    sounds: &[Vec<f32>],
    rate: SampleRate,
    gap_ms: u32,
    shift: usize,
    noise_rms: f32,
) -> Vec<f32> {
    let gap = vec![0.0; (rate.hz() * gap_ms / 1_000) as usize];
    let mut line = vec![0.0; shift + rate.hz() as usize / 20];
    for sound in sounds {
        line.extend_from_slice(sound);
        line.extend_from_slice(&gap);
    }
    line.resize(line.len() + rate.hz() as usize / 20, 0.0);
    let mut noise = Noise::new(shift as u64 + 1);
    for sample in &mut line {
        // White noise within ±1 has an RMS of 1 ⁄ √3.
        *sample += noise_rms * 3_f32.sqrt() * noise.white();
    }
    let mut samples = vec![0; line.len()];
    let mut codes = vec![0; line.len()];
    pcm::f32_to_i16(&line, &mut samples);
    g711::encode_mulaw(&samples, &mut codes);
    g711::decode_mulaw(&codes, &mut samples);
    pcm::i16_to_f32(&samples, &mut line);
    line
}

fn heard(line: &[f32], rate: SampleRate) -> String {
    let mut digits = String::new();
    let mut detector = DtmfDetector::new(rate);
    for frame in line.chunks(rate.hz() as usize / 50) {
        detector.process(frame, |event| {
            if let DtmfEvent::Started { digit, .. } = event {
                digits.push(digit.as_char());
            }
        });
    }
    digits
}

/// Q.24 bounds: from 0 to -25 dBm a tone, a full-scale sine being 3.14 dBm0; the high tone at most 4 dB over the low
/// one and 8 dB under it; each within 1.5 % and 2 Hz of its frequency; 40 ms of tone and of pause.
#[test]
fn every_key_is_heard_at_every_level_twist_and_offset_within_the_limits() {
    let mut shift = 0;
    for rate in SampleRate::ALL {
        for digit in Digit::ALL {
            let (low_hz, high_hz) = digit.frequencies_hz();
            let off = (0.015 + 2.0 / low_hz, 0.015 + 2.0 / high_hz);
            for dbfs in [-3.1, -6.0, -15.0, -28.14] {
                for twist_db in [-8.0, -4.0, 0.0, 4.0] {
                    for (low, high) in [(0.0, 0.0), (1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)] {
                        // A few of all the ways the tone can lie to the detector's windows.
                        for _ in 0..4 {
                            shift = (shift + rate.hz() as usize / 780) % (rate.hz() as usize / 100);
                            let offset = (low * off.0, high * off.1);
                            let press = Press { dbfs, twist_db, offset, ..Press::new(digit, rate) };
                            let line = over_the_line(&[press.sound()], rate, 40, shift, 0.0);
                            assert_eq!(
                                heard(&line, rate),
                                digit.to_string(),
                                "{press:?}, shifted by {shift}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn keys_are_heard_through_noise_15_db_below_them() {
    for rate in SampleRate::ALL {
        for digit in Digit::ALL {
            for shift in 0..8 {
                let offset = [(0.0, 0.0), (0.015, -0.015), (-0.015, -0.015)][shift % 3];
                let press = Press { milliseconds: 50, dbfs: -15.0, offset, ..Press::new(digit, rate) };
                // Two tones of −15 dBFS have an RMS of −15 dBFS together.
                let line = over_the_line(&[press.sound()], rate, 40, shift * 11, 10_f32.powf(-30.0 / 20.0));
                assert_eq!(heard(&line, rate), digit.to_string(), "{press:?}, shifted by {}", shift * 11);
            }
        }
    }
}

#[test]
fn the_same_key_twice_is_two_keys_and_a_short_gap_is_none() {
    for rate in SampleRate::ALL {
        for digit in Digit::ALL {
            for shift in 0..10 {
                let shift = shift * rate.hz() as usize / 1_000;
                let sound = Press::new(digit, rate).sound();
                let twice = over_the_line(&[sound.clone(), sound.clone()], rate, 40, shift, 0.0);
                assert_eq!(heard(&twice, rate), format!("{digit}{digit}"), "{rate}, shifted by {shift}");
                let broken = over_the_line(&[sound.clone(), sound], rate, 10, shift, 0.0);
                assert_eq!(heard(&broken, rate), digit.to_string(), "{rate}, shifted by {shift}");
            }
        }
    }
}

#[test]
fn what_is_too_short_off_frequency_or_twisted_is_no_key() {
    for rate in SampleRate::ALL {
        for digit in Digit::ALL {
            for shift in 0..10 {
                let shift = shift * rate.hz() as usize / 1_000;
                let press = Press::new(digit, rate);
                for wrong in [
                    Press { milliseconds: 20, ..press },
                    Press { milliseconds: 100, offset: (0.035, 0.0), ..press },
                    Press { milliseconds: 100, offset: (-0.035, 0.0), ..press },
                    Press { milliseconds: 100, offset: (0.0, 0.035), ..press },
                    Press { milliseconds: 100, offset: (0.0, -0.035), ..press },
                    Press { milliseconds: 100, offset: (0.035, 0.035), ..press },
                    Press { milliseconds: 100, offset: (-0.035, 0.035), ..press },
                    Press { milliseconds: 100, offset: (0.05, -0.05), ..press },
                    Press { milliseconds: 100, offset: (-0.05, 0.0), ..press },
                    Press { milliseconds: 100, twist_db: 9.0, ..press },
                    Press { milliseconds: 100, twist_db: -14.0, ..press },
                    Press { milliseconds: 100, dbfs: -55.0, ..press },
                ] {
                    let line = over_the_line(&[wrong.sound()], rate, 40, shift, 0.0);
                    assert_eq!(heard(&line, rate), "", "{wrong:?}, shifted by {shift}");
                }
            }
        }
    }
}

/// Half an hour of talkers from half to nearly twice the size of the shipped ones, at three levels and both rates: their
/// formants pass where the tones lie.
#[test]
fn speech_holds_no_keys() {
    let shipped = speech::wideband();
    let mut seconds = 0.0;
    for step in 0..60 {
        let speed = 0.6 + 0.02 * step as f32;
        let wide = speech::played_at(&shipped, speed);
        let narrow = speech::over_the_telephone(&wide);
        for gain in [0.1, 1.0, 4.0] {
            for (voice, rate) in [(&wide, SampleRate::Hz16000), (&narrow, SampleRate::Hz8000)] {
                let voice: Vec<f32> = voice.iter().map(|sample| sample * gain).collect();
                assert_eq!(heard(&voice, rate), "", "{rate}, at {speed} and {gain}");
                seconds += voice.len() as f32 / rate.hz() as f32;
            }
        }
    }
    assert!(seconds > 1_600.0, "only {seconds} s");
}

#[test]
fn noise_holds_no_keys() {
    let mut noise = Noise::new(5);
    for gain in [0.05, 0.5, 2.0] {
        let white: Vec<f32> = (0..60 * 8_000).map(|_| gain * noise.white()).collect();
        assert_eq!(heard(&white, SampleRate::Hz8000), "");
        let pink: Vec<f32> = noise.pink(60 * 8_000).into_iter().map(|sample| gain * sample).collect();
        assert_eq!(heard(&pink, SampleRate::Hz8000), "");
    }
}

#[test]
fn what_is_dialled_is_heard_with_its_times() {
    for rate in SampleRate::ALL {
        let mut sound = vec![0.0; 16 * rate.hz() as usize / 5];
        let made = DtmfGenerator::new(rate, "123A456B789C*0#D").unwrap().fill(&mut sound);
        assert_eq!(made, sound.len());
        let mut detector = DtmfDetector::new(rate);
        let mut events = Vec::new();
        // In odd runs, for the runs must not matter.
        for run in sound.chunks(77) {
            detector.process(run, |event| events.push(event));
        }
        assert_eq!(events.len(), 32, "{rate}");
        for (index, pair) in events.chunks(2).enumerate() {
            let [DtmfEvent::Started { digit, at: from }, DtmfEvent::Ended { digit: same, at: to }] = pair
            else {
                panic!("{pair:?}");
            };
            assert_eq!((*digit, *same), (Digit::ALL[index], Digit::ALL[index]), "{rate}");
            let seconds = |at: u64| at as f64 / f64::from(rate.hz()) - 0.2 * index as f64;
            assert!(seconds(*from).abs() < 0.011, "{rate} {digit}: began at {}", seconds(*from));
            assert!((seconds(*to) - 0.1).abs() < 0.011, "{rate} {digit}: ended at {}", seconds(*to));
        }
    }
}

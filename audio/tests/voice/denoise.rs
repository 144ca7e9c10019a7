//! Noise reduction takes noise out, leaves the voice, and is as late as it says.

use voxline_audio::{Denoise, NoiseReduction, Resampler, SampleRate};

use crate::speech::{self, Noise};

/// The level in dB by which `reducer` changes 4 s of hiss, after some seconds to learn it.
fn change_of_hiss(mut reducer: Box<dyn Denoise>, rate: SampleRate, learning: usize) -> f32 {
    let hz = rate.hz() as usize;
    let mut noise = Noise::new(6);
    let hiss: Vec<f32> = (0..hz * (learning + 4)).map(|_| noise.white() * 0.02).collect();
    let mut out = hiss.clone();
    out.chunks_mut(hz / 50).for_each(|frame| reducer.process(frame));
    20.0 * (speech::rms(&out[hz * learning..]) / speech::rms(&hiss[hz * learning..])).log10()
}

/// Signal to distortion in dB once the stated latency is taken out and the gain is the best one.
fn likeness(mut reducer: Box<dyn Denoise>, voice: &[f32], heard: &[f32], frame: usize) -> f32 {
    let mut out = heard.to_vec();
    out.extend(std::iter::repeat_n(0.0, reducer.latency()));
    out.chunks_mut(frame).for_each(|frame| reducer.process(frame));
    let out = &out[reducer.latency()..];
    let cross: f32 = voice.iter().zip(out).map(|(a, b)| a * b).sum();
    let gain = cross / out.iter().map(|b| b * b).sum::<f32>();
    let error: f32 = voice.iter().zip(out).map(|(a, b)| (a - gain * b).powi(2)).sum();
    10.0 * (voice.iter().map(|a| a * a).sum::<f32>() / error).log10()
}

#[test]
fn light_takes_ten_db_of_hiss_at_every_rate() {
    for rate in SampleRate::ALL {
        let change = change_of_hiss(NoiseReduction::Light.reducer(rate), rate, 4);
        assert!((-12.5..-8.0).contains(&change), "{rate}: {change} dB");
    }
}

#[test]
fn light_leaves_clean_speech_and_is_as_late_as_it_says() {
    let voice = speech::telephone();
    for frame in [7, 160, 1_000] {
        let sdr = likeness(NoiseReduction::Light.reducer(SampleRate::Hz8000), &voice, &voice, frame);
        assert!(sdr > 20.0, "frames of {frame}: {sdr} dB");
    }
}

#[test]
fn light_brings_noisy_speech_nearer_to_the_clean() {
    // Pauses, so that there is noise alone to learn from.
    let mut voice = vec![0.0; 16_000];
    for _ in 0..3 {
        voice.extend_from_slice(&speech::telephone());
        voice.extend_from_slice(&[0.0; 8_000]);
    }
    for snr_db in [5.0, 10.0] {
        let mut heard = voice.clone();
        let noise = speech::band_pass(&Noise::new(8).pink(heard.len()), 8_000.0);
        let gain = speech::rms(&speech::telephone()) / speech::rms(&noise) / 10f32.powf(snr_db / 20.0);
        heard.iter_mut().zip(&noise).for_each(|(x, n)| *x += n * gain);
        let before = likeness(NoiseReduction::Off.reducer(SampleRate::Hz8000), &voice, &heard, 160);
        let after = likeness(NoiseReduction::Light.reducer(SampleRate::Hz8000), &voice, &heard, 160);
        assert!(after > before + 1.0, "{snr_db} dB: {before} became {after}");
    }
}

#[test]
fn no_sample_harms_it() {
    let mut reducer = NoiseReduction::Light.reducer(SampleRate::Hz16000);
    reducer.process(&mut [f32::NAN; 1_000]);
    reducer.process(&mut [f32::INFINITY; 1_000]);
    let mut after = [0.0; 4_000];
    reducer.process(&mut after);
    assert!(after.iter().all(|x| x.is_finite()) && after[2_000..].iter().all(|x| x.abs() < 1e-3));
}

#[cfg(feature = "denoise")]
#[test]
fn strong_takes_more_and_is_as_late_as_it_says() {
    for rate in SampleRate::ALL {
        // At 44.1 kHz the network takes white noise for something else for seven seconds.
        let change = change_of_hiss(NoiseReduction::Strong.reducer(rate), rate, 10);
        assert!(change < -15.0, "{rate}: {change} dB");
    }
    let voice = speech::wideband();
    for frame in [7, 320, 1_000] {
        let sdr = likeness(NoiseReduction::Strong.reducer(SampleRate::Hz16000), &voice, &voice, frame);
        assert!(sdr > 8.0, "frames of {frame}: {sdr} dB");
    }
}

#[test]
fn every_reducer_is_as_late_as_it_says_at_every_rate() {
    for rate in SampleRate::ALL {
        let mut resampler = Resampler::new(SampleRate::Hz16000, rate);
        let said = &speech::wideband()[..24_000];
        let mut voice = vec![0.0; resampler.output_len(said.len())];
        resampler.process(said, &mut voice);
        let reductions = [
            NoiseReduction::Off,
            NoiseReduction::Light,
            #[cfg(feature = "denoise")]
            NoiseReduction::Strong,
        ];
        for reduction in reductions {
            let mut reducer = reduction.reducer(rate);
            let stated = reducer.latency();
            let furthest = rate.hz() as usize / 20;
            let mut out = voice.clone();
            out.resize(voice.len() + furthest, 0.0);
            reducer.process(&mut out);
            let likeness = |lag: usize| voice.iter().zip(&out[lag..]).map(|(a, b)| a * b).sum::<f32>();
            let measured = (0..furthest).max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).unwrap();
            // Where the ratio to the network's rate is not whole, the delay is no whole number either.
            let grain = if reduction == NoiseReduction::Light { 0 } else { 1 };
            assert!(measured.abs_diff(stated) <= grain, "{rate}, {reduction:?}: {measured}, says {stated}");
            if reduction == NoiseReduction::Off {
                assert_eq!(out[..voice.len()], voice, "{rate}: off changes nothing");
            }
        }
    }
}

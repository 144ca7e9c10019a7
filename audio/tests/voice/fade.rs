//! A voice that is cut off fades out without a click.

use voxline_audio::{FrameSpec, JitterBuffer, JitterBufferConfig, Playout, SampleRate, fade, pcm};

use crate::speech::{self, Noise, bends, percentile};

/// A click is a bend that the voice itself would not have had at that very sample: its own consonants are as sharp as
/// clicks and are none. How sharp they are, as the 99.9th percentile of all its bends, is what the bound is made of.
fn click(heard: &[f32], meant: &[f32]) -> f32 {
    bends(heard).into_iter().zip(bends(meant)).map(|(heard, meant)| heard - meant).fold(0.0, f32::max)
}

/// Cuts per talker.
const CUTS: usize = 10_000;

/// What a fade may add to the bends of a voice, as a share of their 99.9th percentile.
const UNHEARD: f32 = 0.01;

#[test]
fn ten_thousand_cuts_of_each_talker_leave_no_click() {
    for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
        let length = rate.samples_in(fade::CUT) as usize;
        for (seed, (name, talker)) in (0..).zip(speech::talkers()) {
            let voice = if rate == SampleRate::Hz8000 { speech::over_the_telephone(&talker) } else { talker };
            let bound = UNHEARD * percentile(bends(&voice), 0.999);
            let mut samples = vec![0; voice.len()];
            pcm::f32_to_i16(&voice, &mut samples);
            let mut chance = Noise::new(seed);
            let (mut tail, mut narrow) = (vec![0.0; length], vec![0; length]);
            let mut hard = 0;
            for _ in 0..CUTS {
                let at = 2 + chance.below(voice.len() - length - 4);
                let (said, meant) = (&voice[at - 2..at], &voice[at - 2..at + length + 2]);
                fade::cut(&voice[at..at + length], &mut tail);
                let heard = click(&[said, &tail, &[0.0; 2]].concat(), meant);
                assert!(heard <= bound, "{rate}, {name}, cut at {at}: {heard} over {bound}");

                fade::cut_i16(&samples[at..at + length], &mut narrow);
                pcm::i16_to_f32(&narrow, &mut tail);
                let heard = click(&[said, &tail, &[0.0; 2]].concat(), meant);
                assert!(heard <= bound, "{rate}, {name}, 16 bits, cut at {at}: {heard} over {bound}");

                hard += usize::from(click(&[said, &[0.0; 2]].concat(), meant) > bound);
            }
            assert!(hard > CUTS / 3, "{rate}, {name}: only {hard} cuts without a fade are heard as a click");
        }
    }
}

#[test]
fn a_buffer_that_is_cut_fades_out_what_would_have_come_next() {
    let voice = speech::telephone();
    let config = JitterBufferConfig::default().with_comfort_noise(false);
    let bound = UNHEARD * percentile(bends(&voice), 0.999);
    let mut chance = Noise::new(9);
    let start = std::time::Instant::now();
    for _ in 0..500 {
        let at = chance.below(voice.len() - 4_000);
        let meant = &voice[at..at + 4_000];
        let mut buffer = JitterBuffer::new(FrameSpec::PHONE, config);
        buffer.push(start, meant);
        let mut heard = Vec::new();
        for n in 0..1 + chance.below(10) {
            let mut frame = [0.0; 160];
            assert_eq!(
                buffer.pull(start + FrameSpec::PHONE.duration() * n as u32, &mut frame),
                Playout::Voice
            );
            heard.extend_from_slice(&frame);
        }
        let mut tail = [0.0; 240];
        buffer.cut(&mut tail);
        heard.extend_from_slice(&tail);
        let click = click(&heard, meant);
        assert!(click <= bound, "cut at {at}: {click} over {bound}");
    }
}

//! Z08: a barge-in that fades out leaves no click at the caller's ear, and hardly any more talk.

use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::{AudioFormat, SampleRate, fade};
use voxline_protocol::plivo::{CallerEvent, PlivoCallerConfig, PlivoCommand, PlivoConfig, PlivoEvent};

use crate::ear::millis;
use crate::pair::{Network, Pair, Random, Said};

#[test]
fn a_fade_out_clicks_no_more_than_the_voice_it_ends() {
    let voice = voice();
    let mut usual: Vec<u32> = bends(&voice).collect();
    usual.sort_unstable();
    let usual = usual[usual.len() * 999 / 1_000];
    let (mut hard, mut longest) = (0, 0);
    cuts(&voice, millis(1), |line, number, cut| {
        let own = sharpest(&voice[cut.from - 2..cut.from + TAIL + 2]);
        // Where the voice itself is sharper than usual, so is its end.
        let bound = usual.max(own + own / 100);
        let click = sharpest(&cut.heard);
        assert!(click <= bound, "line {line}, cut {number}: {click} over {bound}");
        assert!(cut.talked <= TALK, "line {line}, cut {number}: {} samples more of talk", cut.talked);
        longest = longest.max(cut.talked);
        hard += u64::from(sharpest(&[&cut.heard[..2], &[0, 0]].concat()) > bound);
    });
    println!("{CUTS} cuts; {hard} would click without a fade; at most {longest} samples more of talk");
    assert!(hard > CUTS / 100, "the measure hears a cut without a fade: {hard}");
}

/// Whoever interrupts does so between two samples; which of them was heard last cannot be known here.
#[test]
fn a_tail_continues_within_a_sample_of_where_the_ear_was_cut() {
    let voice = voice();
    cuts(&voice, Duration::from_micros(1), |line, number, cut| {
        let begins = |at: usize| cut.heard[2..2 + TAIL] == *faded(&voice[at..at + TAIL]);
        assert!(begins(cut.from) || begins(cut.from + 1), "line {line}, cut {number}");
    });
}

/// Interrupts a voice at multiples of `grain` and fades it out, [`CUTS`] times on lines of any length.
fn cuts(voice: &[i16], grain: Duration, mut check: impl FnMut(u64, u64, Cut)) {
    for line in 0..CUTS / CUTS_A_LINE {
        let mut random = Random(line);
        // A steady network: jitter between audio and clear would be a leap in the sound that no arithmetic can know.
        let (there, back) = (random.within(1..150), random.within(1..150));
        let network = Network { to_plivo: there..there, to_us: back..back };
        let config = PlivoCallerConfig::new("call", "stream").with_format(FORMAT);
        let mut pair = Pair::new(PlivoConfig::default(), config, network, line);
        let mut ear = Ear::default();
        for number in 0..CUTS_A_LINE {
            // Long enough to begin to sound, and not to the end.
            let after = millis(160) + random.millis(0..700);
            let after = after.div_duration_f64(grain).floor();
            check(line, number, cut(&mut pair, &mut ear, voice, grain.mul_f64(after), &mut random));
        }
    }
}

/// The end of a voice at the caller's ear, from two samples before the clear took effect to two after the last sound.
struct Cut {
    heard: Vec<i16>,
    /// Where in the voice the clear took effect.
    from: usize,
    /// Samples of voice heard after the clear.
    talked: usize,
}

fn cut(pair: &mut Pair, ear: &mut Ear, voice: &[i16], after: Duration, random: &mut Random) -> Cut {
    let from = random.within(0..(voice.len() - SECOND - TAIL) as u64) as usize;
    let said: Bytes = voice[from..from + SECOND].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    pair.ask(PlivoCommand::Play(said));
    pair.run(after);
    let before = pair.said.len();
    pair.ask(PlivoCommand::Clear);
    let unheard = pair.said[before..].iter().find_map(|(_, said)| match said {
        Said::Stream(PlivoEvent::Cleared { unheard, .. }) => Some(unheard.clone()),
        Said::Stream(_) | Said::Caller(_) => None,
    });
    let upcoming: Vec<i16> = samples(&unheard.unwrap()).take(TAIL).collect();
    pair.ask(PlivoCommand::Play(faded(&upcoming).iter().flat_map(|sample| sample.to_le_bytes()).collect()));
    pair.run(millis(400));
    let Stretch { began, cleared, voiced } = ear.listen(pair);
    Cut {
        heard: ear.sound[cleared - 2..cleared + TAIL + 2].to_vec(),
        from: from + cleared - began,
        talked: voiced - (cleared - began),
    }
}

/// What an agent does to fade out with the first of what will not be heard.
fn faded(upcoming: &[i16]) -> Vec<i16> {
    let mut tail = vec![0; upcoming.len()];
    fade::cut_i16(upcoming, &mut tail);
    tail
}

fn samples(bytes: &[u8]) -> impl Iterator<Item = i16> {
    bytes.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
}

/// Everything heard on one line.
#[derive(Default)]
struct Ear {
    began: Option<Instant>,
    sound: Vec<i16>,
}

/// Places in the sound, and the samples of voice between silences.
#[derive(Default)]
struct Stretch {
    began: usize,
    cleared: usize,
    voiced: usize,
}

impl Ear {
    /// Takes what was said since the last time: one utterance and its end.
    fn listen(&mut self, pair: &mut Pair) -> Stretch {
        let mut stretch = Stretch::default();
        for (at, said) in pair.said.drain(..) {
            let began = *self.began.get_or_insert(at);
            match said {
                Said::Caller(CallerEvent::Ear(frame)) => {
                    self.sound.extend(samples(&frame.audio));
                    if stretch.voiced == 0 {
                        stretch.began = self.sound.len() - frame.played / 2;
                    }
                    stretch.voiced += frame.played / 2;
                }
                Said::Caller(CallerEvent::Cleared { .. }) => {
                    let nanos = (at - began).as_nanos() as usize;
                    stretch.cleared = nanos * SECOND / 1_000_000_000;
                }
                Said::Caller(_) | Said::Stream(_) => {}
            }
        }
        stretch
    }
}

/// How sharply a waveform bends at each sample: what an edge does, and a wave hardly.
fn bends(samples: &[i16]) -> impl Iterator<Item = u32> {
    let wide = |sample: i16| i32::from(sample);
    samples.windows(3).map(move |three| (wide(three[0]) - 2 * wide(three[1]) + wide(three[2])).unsigned_abs())
}

fn sharpest(samples: &[i16]) -> u32 {
    bends(samples).max().unwrap_or(0)
}

/// Recorded speech.
fn voice() -> Vec<i16> {
    let file = include_bytes!("../../../audio/tests/data/speech_16k.wav");
    samples(&file[44..]).collect()
}

const CUTS: u64 = 10_000;
const CUTS_A_LINE: u64 = 100;
const FORMAT: AudioFormat = AudioFormat::linear16(SampleRate::Hz16000);
const SECOND: usize = 16_000;
/// [`fade::CUT`] in samples.
const TAIL: usize = 480;
/// 40 ms.
const TALK: usize = 640;

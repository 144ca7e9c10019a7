//! The phone's voice against both sides of a stream, in virtual time: what it says of the caller's ear is compared with
//! the ear, sample by sample.

use std::ops::Range;

use voxline_audio::SampleRate;
use voxline_protocol::plivo::{CallerEvent, PlivoCaller, PlivoCallerConfig, PlivoConfig, PlivoStream};
use voxline_protocol::{Dice, Input, Machine, Message};

use super::*;

const FORMAT: AudioFormat = AudioFormat::linear16(SampleRate::Hz8000);
const TURN: TurnId = TurnId::new(1);
/// Messages arrive at its next tick.
const CLOCK: Duration = Duration::from_millis(1);

/// A voice, the stream it speaks to, and the caller at the far end of a network with one steady delay: a clock of whole
/// milliseconds, on which every position is exact.
struct Line {
    now: Instant,
    delay: Duration,
    voice: PhoneVoice,
    stream: PlivoStream,
    caller: PlivoCaller,
    to_plivo: VecDeque<(Instant, Message)>,
    to_us: VecDeque<(Instant, Message)>,
    ear: Vec<i16>,
    heard: Vec<HeardUtterance>,
    silences: Vec<(Instant, Silence)>,
}

impl Line {
    fn new(delay: u64) -> Self {
        let now = Instant::now();
        let caller = PlivoCallerConfig::new("call", "stream").with_format(FORMAT);
        let mut line = Self {
            now,
            delay: Duration::from_millis(delay),
            voice: PhoneVoice::new(FORMAT, FORMAT),
            stream: PlivoStream::new(PlivoConfig::default(), now),
            caller: PlivoCaller::new(caller, now),
            to_plivo: VecDeque::new(),
            to_us: VecDeque::new(),
            ear: Vec::new(),
            heard: Vec::new(),
            silences: Vec::new(),
        };
        line.stream.handle_input(now, Input::Opened).unwrap();
        line.caller.handle_input(now, Input::Opened).unwrap();
        line.run(delay + 20);
        line
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.drain();
            self.now += CLOCK;
            while let Some(Message::Text(text)) = arrived(&mut self.to_plivo, self.now) {
                self.caller.handle_input(self.now, Input::Text(&text)).unwrap();
            }
            self.caller.handle_timeout(self.now).unwrap();
            while let Some(Message::Text(text)) = arrived(&mut self.to_us, self.now) {
                self.stream.handle_input(self.now, Input::Text(&text)).unwrap();
            }
            self.stream.handle_timeout(self.now).unwrap();
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            while let Some(event) = self.stream.poll_event() {
                self.voice.handle(self.now, &event);
            }
            let Some((command, _)) = self.voice.poll_command() else { break };
            self.stream.handle_command(self.now, command).unwrap();
        }
        self.heard.extend(std::iter::from_fn(|| self.voice.poll_heard()));
        self.silences
            .extend(std::iter::from_fn(|| self.voice.poll_silence()).map(|silence| (self.now, silence)));
        let at = self.now + self.delay;
        self.to_plivo.extend(std::iter::from_fn(|| self.stream.poll_transmit()).map(|message| (at, message)));
        self.to_us.extend(std::iter::from_fn(|| self.caller.poll_transmit()).map(|message| (at, message)));
        while let Some(event) = self.caller.poll_event() {
            if let CallerEvent::Ear(frame) = event {
                self.ear.extend(frame.audio.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])));
            }
        }
    }

    /// Says milliseconds `span` of the speech, in pieces as a service makes them.
    fn say(&mut self, utterance: u64, span: Range<u64>) {
        let id = UtteranceId::new(utterance);
        self.voice.begin(id, "one two three four five six", false, Duration::ZERO);
        let bytes: Vec<u8> = speech(span).iter().flat_map(|sample| sample.to_le_bytes()).collect();
        for piece in bytes.chunks(1_234) {
            self.voice.speak(self.now, id, piece);
        }
        self.voice.finish(self.now, id);
    }

    /// How much of the first `length` milliseconds of speech the ear heard, each sample once and in order. Speech that
    /// goes on after a silence may rise.
    fn heard_of(&self, length: u64) -> usize {
        let expected = speech(0..length);
        let (mut at, mut ear) = (0, self.ear.as_slice());
        while let Some(sample) = ear.first() {
            let rest = &expected[at..];
            let risen = risen(rest);
            if *sample == 0 && !ear.starts_with(&risen) || rest.is_empty() {
                assert_eq!(*sample, 0, "sound after {at} samples");
                ear = &ear[1..];
            } else if rest[0] == *sample {
                (at, ear) = (at + 1, &ear[1..]);
            } else {
                assert!(ear.starts_with(&risen), "after {at} samples: {:?}", &ear[..ear.len().min(100)]);
                (at, ear) = (at + risen.len(), &ear[risen.len()..]);
            }
        }
        at
    }
}

fn arrived(link: &mut VecDeque<(Instant, Message)>, now: Instant) -> Option<Message> {
    link.front().filter(|(at, _)| *at <= now)?;
    link.pop_front().map(|(_, message)| message)
}

/// Speech that knows its place.
fn speech(span: Range<u64>) -> Vec<i16> {
    (span.start * 8..span.end * 8).map(|sample| 2_000 + (sample % 29_000) as i16).collect()
}

/// How speech that goes on after a pause begins.
fn risen(rest: &[i16]) -> Vec<i16> {
    let rest: Vec<u8> = rest.iter().take(80).flat_map(|sample| sample.to_le_bytes()).collect();
    let risen = Mouth::new(FORMAT, FORMAT).rise(&rest);
    risen.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}

#[test]
fn a_pause_loses_and_doubles_no_sample() {
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let mut line = Line::new(dice.within(0..150));
        let lengths = [dice.within(100..2_500), dice.within(100..2_500)];
        let [one, two] = [lengths[0], lengths[0] + lengths[1]];
        line.say(1, 0..one);
        let second_at = dice.within(0..4);
        // A sound that was paused while it rose would rise twice.
        let settles = 2 * line.delay.as_millis() as u64 + 2;
        let mut unsettled = false;
        for pause in 0..4 {
            if pause == second_at {
                line.say(2, one..two);
            }
            let again = unsettled && dice.once_in(2);
            line.run(if again { 0 } else { settles + dice.within(10..700) });
            line.voice.pause(TURN);
            let length = dice.within(0..600);
            unsettled = length + 2 < settles && !again;
            line.run(length);
            line.voice.resume(line.now);
        }
        line.run(two + 1_500);
        assert_eq!(line.heard_of(two), two as usize * 8, "seed {seed}: heard to the end");
        let reports: Vec<_> =
            line.heard.iter().map(|heard| (heard.utterance.get(), heard.complete)).collect();
        assert_eq!(reports, [(1, true), (2, true)], "seed {seed}");
        assert!(line.silences.len() <= 4, "seed {seed}");
    }
}

#[test]
fn a_barge_in_after_a_pause_ends_where_the_pause_began() {
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let mut line = Line::new(dice.within(0..150));
        let length = dice.within(500..3_000);
        line.say(1, 0..length);
        line.run(dice.within(0..length));
        line.voice.pause(TURN);
        line.run(dice.within(0..500));
        line.say(2, length..length + 100);
        line.voice.interrupt(TURN, BargeInPattern::Immediate);
        line.run(1_000);
        let heard = line.heard_of(length);
        let [first, second] = line.heard.as_slice() else { panic!("seed {seed}: {:?}", line.heard) };
        assert_eq!(first.heard.played, FORMAT.rate.duration_of(heard as u64), "seed {seed}: {first:?}");
        assert_eq!((second.text.as_str(), second.complete), ("", false), "seed {seed}");
        assert_eq!(line.silences.len(), 1, "seed {seed}: {:?}", line.silences);
    }
}

#[test]
fn new_words_follow_a_barge_in_at_once_and_nothing_old_follows_them() {
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let mut line = Line::new(dice.within(0..150));
        let fades = dice.once_in(2);
        let pattern = if fades { BargeInPattern::FadeOut } else { BargeInPattern::Immediate };
        line.say(1, 0..2_000);
        line.run(dice.within(300..1_500));
        let asked = line.now;
        let before = line.ear.len();
        line.voice.interrupt(TURN, pattern);
        if dice.once_in(2) {
            // And something else instead, before the stream has confirmed anything.
            line.say(2, 0..100);
            line.voice.interrupt(TURN, pattern);
        }
        line.say(3, 3_000..3_500);
        line.run(1_500);
        let fresh = speech(3_000..3_500);
        let began = line.ear.windows(80).position(|run| run == &fresh[..80]);
        let began = began.unwrap_or_else(|| panic!("seed {seed}: nothing new is heard"));
        assert_eq!(line.ear[began..began + fresh.len()], fresh, "seed {seed}: all of it, in one piece");
        let silent = (began - before) as u64 * 1_000 / 8_000;
        let limit = line.delay.as_millis() as u64 + 60;
        assert!(silent <= limit, "seed {seed}: {silent} ms until the new words, {limit} allowed");
        let last = line.heard.iter().find(|heard| heard.utterance == UtteranceId::new(3));
        assert!(last.is_some_and(|heard| heard.complete), "seed {seed}: {:?}", line.heard);
        let (at, silence) = line.silences[0];
        assert_eq!(silence.tail.is_zero(), !fades, "seed {seed}");
        let late = (at - asked).checked_sub(2 * line.delay);
        assert!(late.is_some_and(|late| late <= CLOCK * 2), "seed {seed}: known {late:?} after it can be");
    }
}

#[test]
fn a_fade_goes_on_where_the_ear_was_cut_and_ends_in_silence() {
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let mut line = Line::new(dice.within(0..150));
        line.say(1, 0..3_000);
        line.run(dice.within(300..2_000));
        line.voice.interrupt(TURN, BargeInPattern::FadeOut);
        line.run(500);
        let sound: Vec<i16> = line.ear.iter().copied().skip_while(|sample| *sample == 0).collect();
        let speech = speech(0..3_000);
        let whole = sound.iter().zip(&speech).take_while(|(heard, said)| heard == said).count();
        let tail: Vec<i16> = sound[whole..].iter().copied().take_while(|sample| *sample != 0).collect();
        assert!((150..=240).contains(&tail.len()), "seed {seed}: {} samples of fade", tail.len());
        assert!(tail.iter().zip(&speech[whole..]).all(|(heard, said)| heard <= said), "seed {seed}");
        let steps = sound[whole - 1..=whole + tail.len()].windows(2).map(|two| two[0].abs_diff(two[1]));
        // A cosine over 240 samples falls by at most π ⁄ 480 of its height in one.
        assert!(steps.max() <= Some(speech[whole] as u16 / 150 + 2), "seed {seed}: no edge");
        assert!(sound[whole + tail.len()..].iter().all(|sample| *sample == 0), "seed {seed}: then silence");
        let heard = line.heard[0].heard.played;
        let fade = FORMAT.rate.duration_of(whole as u64) - heard;
        assert!(fade < Duration::from_millis(1), "seed {seed}: {fade:?} of the fade count as words");
    }
}

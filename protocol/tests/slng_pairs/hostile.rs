//! Peers that say anything at any moment: no machine panics, babbles without end, or stops its clock.

use std::time::{Duration, Instant};

use bytes::Bytes;
use voxline_audio::{AudioFormat, SampleRate};
use voxline_protocol::slng::{
    Heard, SlngQuirk, SttClient, SttCommand, SttConfig, SttServer, SttServerCommand, SttServerConfig,
    TtsClient, TtsCommand, TtsConfig, TtsServer, TtsServerCommand, TtsServerConfig,
};
use voxline_protocol::{CloseFrame, Input, Machine, UtteranceId};

use crate::pair::{Random, start};
use crate::{for_each_seed, rounds};

/// Every message either side knows, and values at the edges of what numbers can be.
const MESSAGES: [&str; 34] = [
    r#"{"type":"ready","session_id":"s"}"#,
    r#"{"type":"ready","session_id":7}"#,
    r#"{"type":"audio_chunk","data":"AAEC"}"#,
    r#"{"type":"audio_chunk","data":{"audio":"AAEC"}}"#,
    r#"{"audio":"AAEC","isFinal":1}"#,
    r#"{"type":"audio_end","duration":-1e308}"#,
    r#"{"type":"flushed"}"#,
    r#"{"type":"cleared"}"#,
    r#"{"type":"error","code":"provider_error","message":"m"}"#,
    r#"{"type":"error","data":{"status_code":99999}}"#,
    r#"{"type":"timestamps","word_timestamps":{"words":["a"],"start":[1e19],"end":[1e300]}}"#,
    r#"{"type":"timestamps","word_timestamps":{"words":["a"],"start":[-1],"end":[]}}"#,
    r#"{"type":"partial_transcript","transcript":"hi","confidence":"NaN"}"#,
    r#"{"type":"final_transcript","transcript":"hi"}"#,
    r#"{"type":"final_transcript","transcript":""}"#,
    r#"{"type":"final_transcript","transcript":"hi","words":[{"word":"hi","start":0,"end":1e300}]}"#,
    r#"{"type":"final_transcript","transcript":"hi","words":[{"word":"hi","start":0.001,"end":0.002}]}"#,
    r#"{"type":"Results","is_final":"1","start":1e18,"duration":1e18,"channel":{"alternatives":[{"transcript":"x"}]}}"#,
    r#"{"type":"Results","is_final":true,"start":0,"duration":0,"channel":{"alternatives":[{"transcript":"x"}]}}"#,
    r#"{"type":"waltz"}"#,
    r#"{"type":null}"#,
    r#"{"type":["error"]}"#,
    r#"{"type":"init","voice":"v","config":{"encoding":"linear16","sample_rate":16000}}"#,
    r#"{"type":"init","config":{"sample_rate":99999999999999999999}}"#,
    r#"{"type":"init","config":[]}"#,
    r#"{"type":"text","text":"Hi. \ud83d\ude00","flush":"true"}"#,
    r#"{"type":"text","text":""}"#,
    r#"{"type":"flush"}"#,
    r#"{"type":"clear"}"#,
    r#"{"type":"finalize"}"#,
    r#"{"type":"keepalive"}"#,
    r#"{"type":"close"}"#,
    r#"{"type":"audio","data":"AAE"}"#,
    "",
];

/// A known message, often with a few characters deleted, doubled or replaced.
fn message(random: &mut Random) -> String {
    let mut text: Vec<char> = MESSAGES[random.within(0..MESSAGES.len() as u64) as usize].chars().collect();
    if random.within(0..3) == 0 {
        for _ in 0..random.within(1..4) {
            let at = random.within(0..text.len() as u64 + 1) as usize;
            match random.within(0..3) {
                0 if at < text.len() => drop(text.remove(at)),
                1 if at < text.len() => text.insert(at, text[at]),
                _ => text.insert(at, ['"', '{', '}', '9', '\\', 'é', '\0'][random.within(0..7) as usize]),
            }
        }
    }
    text.into_iter().collect()
}

fn binary(random: &mut Random) -> Bytes {
    let length = random.within(0..400) as usize;
    let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    let head: &[u8] = match random.within(0..4) {
        0 => b"RIFF\0\0\0\0WAVEfmt \xff\xff\0\0",
        1 => b"RIFF\0\0\0\0WAVEdata",
        2 => br#"{"error":"no"}"#,
        _ => b"",
    };
    bytes.splice(0..0, head.iter().copied());
    bytes.into()
}

/// Plays `steps` random steps against one machine.
fn play<M: Machine>(mut machine: M, random: &mut Random, command: fn(&mut Random) -> M::Command) {
    let mut now = start();
    let mut failed = false;
    for _ in 0..random.within(1..60) {
        if failed {
            break;
        }
        match random.within(0..10) {
            0 => failed = machine.handle_input(now, Input::Opened).is_err(),
            1 => {
                let code = [1000, 1006, 1008, 4000][random.within(0..4) as usize];
                let frame = (random.within(0..2) == 0).then(|| CloseFrame::new(code, "bye"));
                failed = machine.handle_input(now, Input::Closed(frame)).is_err();
            }
            2..6 => failed = machine.handle_input(now, Input::Text(&message(random))).is_err(),
            6 => failed = machine.handle_input(now, Input::Binary(binary(random))).is_err(),
            7 | 8 => drop(machine.handle_command(now, command(random))),
            _ => {
                now += random.millis(0..8_000);
                failed = pass(&mut machine, now);
            }
        }
        drain(&mut machine);
    }
}

/// Lets everything due by `now` fire; a machine that asks for the past again and again has stopped its clock.
fn pass<M: Machine>(machine: &mut M, now: Instant) -> bool {
    for _ in 0..1_000 {
        if machine.poll_timeout().is_none_or(|at| at > now) {
            return false;
        }
        if machine.handle_timeout(now).is_err() {
            return true;
        }
        drain(machine);
    }
    panic!("the clock stands still: {machine:?}");
}

fn drain<M: Machine>(machine: &mut M) {
    let mut said = 0;
    while machine.poll_transmit().is_some() || machine.poll_event().is_some() {
        said += 1;
        assert!(said < 10_000, "it never stops talking: {machine:?}");
    }
}

fn speak(random: &mut Random) -> TtsCommand {
    match random.within(0..8) {
        0 => TtsCommand::Clear,
        1 => TtsCommand::Flush,
        2 if random.within(0..8) == 0 => TtsCommand::Close,
        _ => {
            let text = ["", "a", "Hi. ", "日本。", " ", "42", "…"][random.within(0..7) as usize].to_owned();
            TtsCommand::Speak { utterance: UtteranceId::new(random.within(0..4)), text }
        }
    }
}

fn listen(random: &mut Random) -> SttCommand {
    match random.within(0..8) {
        0 | 1 => SttCommand::Finalize,
        2 if random.within(0..8) == 0 => SttCommand::Close,
        _ => SttCommand::Audio(vec![0; random.within(0..9_000) as usize].into()),
    }
}

fn serve_speech(random: &mut Random) -> TtsServerCommand {
    let turn = random.within(0..4);
    match random.within(0..6) {
        0 => TtsServerCommand::End { turn },
        1 => TtsServerCommand::Error { code: "provider_error".to_owned(), message: "m".to_owned() },
        _ => TtsServerCommand::Audio { turn, audio: vec![0; random.within(0..9_000) as usize].into() },
    }
}

fn serve_text(random: &mut Random) -> SttServerCommand {
    let heard = Heard::new("a b", random.next()..random.next());
    match random.within(0..6) {
        0 => SttServerCommand::Finish,
        1 | 2 => SttServerCommand::Partial(heard),
        _ => SttServerCommand::Final(heard),
    }
}

#[test]
fn no_peer_and_no_order_of_operations_brings_a_machine_down() {
    let format = AudioFormat::linear16(SampleRate::Hz16000);
    for_each_seed(rounds(20_000, 2_000_000), |seed| {
        let random = &mut Random(seed);
        let quirk = SlngQuirk::ALL[random.within(0..SlngQuirk::ALL.len() as u64) as usize];
        let quirks = [quirk].into_iter().collect();
        match seed % 4 {
            0 => play(TtsClient::new(TtsConfig::new(format, "ada"), start()), random, speak),
            1 => {
                let config = SttConfig::new(format).unwrap().with_max_held(Duration::from_secs(1));
                play(SttClient::new(config, start()), random, listen);
            }
            2 => {
                let config = TtsServerConfig::default().with_quirks(quirks).with_chunk(Duration::ZERO);
                play(TtsServer::new(config, start()), random, serve_speech);
            }
            _ => {
                let config = SttServerConfig::default().with_quirks(quirks);
                play(SttServer::new(config, start()), random, serve_text);
            }
        }
    });
}

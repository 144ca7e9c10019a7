//! The command as a person meets it: its output, its files, its exit codes, and its one clear line when something is
//! wrong.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be unwrapped is a failure")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The command, without the keys of whoever runs the test.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxline"));
    for key in KEYS {
        command.env_remove(key);
    }
    command.args(arguments);
    command
}

fn voxline(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    path
}

/// The one line a refused command prints; anything else fails the test.
fn refusal(arguments: &[&str], code: i32) -> String {
    refusal_of(&mut command(arguments), code)
}

fn refusal_of(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let arguments = command.get_args();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed a result");
    assert!(!words.contains("panicked"), "{words}");
    assert_eq!(words.trim_end().lines().count(), 1, "{words}");
    assert!(!words.contains("canary"), "{words}");
    words
}

/// Speech that an avatar can say.
const FRIDAY_16K: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/friday.wav");

/// Every variable that a key is read from.
const KEYS: [&str; 7] = [
    "AGENTHUMAN_API_KEY",
    "AGENTHUMAN_AVATAR",
    "DAILY_API_KEY",
    "PLIVO_AUTH_ID",
    "PLIVO_AUTH_TOKEN",
    "SLNG_API_KEY",
    "VOXLINE_AVATAR_TOKEN",
];

#[test]
fn no_key_is_told_to_another_machine_in_clear() {
    let serve = ["serve", "--simulate", "--listen", "127.0.0.1:0", "--insecure-loopback"];
    let with = |more: &[&'static str]| [&serve[..], more].concat();
    let room = ["--room-url", "https://a.daily.co/r", "--room-token", "t", FRIDAY_16K];
    let avatar = |more: &[&'static str]| [&["avatar"], &room[..], more].concat();
    for (arguments, option) in [
        (vec!["speak", "Hello.", "-o", "never.wav", "--slng", "ws://api.example.com"], "base URL"),
        (vec!["serve", "--slng", "http://api.example.com"], "base URL"),
        (with(&["--plivo-api", "http://api.example.com"]), "--plivo-api"),
        (avatar(&["--avatar-api", "http://api.example.com"]), "--avatar-api"),
        (avatar(&["--daily-api", "http://api.example.com"]), "--daily-api"),
        (avatar(&["--socket", "ws://api.example.com"]), "--socket"),
    ] {
        let mut command = command(&arguments);
        command.envs(KEYS.map(|key| (key, "canary-key-of-some-length")));
        command.env("XDG_STATE_HOME", folder("state"));
        let words = refusal_of(&mut command, 2);
        assert!(words.contains(option) && words.contains("in clear"), "{arguments:?}: {words}");
        assert!(words.contains("api.example.com`"), "{arguments:?}: {words}");
    }
}

#[test]
fn the_quick_demo_writes_its_files_and_says_what_was_heard() {
    let out = folder("demo");
    let output = voxline(&["demo", "--quick", "--seed", "3", "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("5 of 5 turns heard as said"), "{table}");

    let turns: Vec<Value> = serde_json::from_slice(&fs::read(out.join("turns.json")).unwrap()).unwrap();
    assert!(turns.len() >= 4);
    for turn in &turns {
        let text = |key: &str| turn[key].as_str().unwrap_or_else(|| panic!("{key} in {turn}")).to_owned();
        assert_eq!(text("stt_text"), text("caller_said"));
        assert!(text("agent_text").starts_with(&text("agent_heard")) && !text("agent_heard").is_empty());
        assert!(turn["interrupted"].as_bool().unwrap() || text("agent_text") == text("agent_heard"));
        assert!(turn["link_cuts"].is_u64() && turn["turn"].is_u64() && turn["silence_ms"].is_u64(), "{turn}");
        let shares = turn["shares_ms"].as_object().unwrap();
        let known: u64 = shares.values().map(|share| share.as_u64().unwrap()).sum();
        let silence = turn["silence_ms"].as_u64().unwrap();
        assert!(silence.abs_diff(known) <= 25, "shares of {known} ms explain {silence} ms of silence");
    }
    assert!(
        turns.iter().any(|turn| turn["interrupted"] == true && turn["agent_heard"] != turn["agent_text"])
    );
    assert!(turns.iter().any(|turn| turn["link_cuts"] == 3), "both speech links and the avatar's");

    let wav = fs::read(out.join("call.wav")).unwrap();
    assert_eq!((&wav[..4], &wav[8..12], wav[22]), (&b"RIFF"[..], &b"WAVE"[..], 2), "two channels");
    assert!(fs::read_to_string(out.join("timeline.svg")).unwrap().trim_end().ends_with("</svg>"));
    for line in fs::read_to_string(out.join("events.jsonl")).unwrap().lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap()["t_ms"].is_number(), "{line}");
    }
    let parts = fs::read_dir(&out).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "part")
    });
    assert_eq!(parts.count(), 0, "no half-written file stays");
}

#[test]
fn json_prints_one_record_a_turn_and_nothing_else() {
    let out = folder("json");
    let output = voxline(&["demo", "--quick", "--json", "--out", out.to_str().unwrap()]);
    assert!(output.status.success());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let records: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let whole: Vec<Value> = serde_json::from_slice(&fs::read(out.join("turns.json")).unwrap()).unwrap();
    assert_eq!(records, whole);
}

#[test]
fn another_recording_can_be_the_caller() {
    let out = folder("caller");
    let friday = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/friday.wav");
    let words = "Sorry, I meant Friday morning.";
    let arguments =
        ["demo", "--quick", "--caller", friday, "--transcript", words, "--out", out.to_str().unwrap()];
    let output = voxline(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8(output.stdout).unwrap().contains(words));
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let scratch = folder("scratch");
    fs::create_dir_all(&scratch).unwrap();
    let text = scratch.join("words.wav");
    fs::write(&text, "these are words, not sound").unwrap();
    let text = text.to_str().unwrap();
    let out = scratch.join("out");
    let out = out.to_str().unwrap();

    let words = refusal(&["demo", "--quick", "--caller", text, "--out", out], 2);
    assert!(words.contains("words.wav") && words.contains("WAV"), "{words}");
    let words = refusal(&["demo", "--quick", "--out", &format!("{text}/below")], 2);
    assert!(words.contains("cannot write") && words.contains("--out"), "{words}");
    let words = refusal(&["call", "ftp://127.0.0.1/stream"], 2);
    assert!(words.contains("ftp") && words.contains("ws, wss, http or https"), "{words}");
    let gopher = ["serve", "--slng", "gopher://nowhere"];
    let words = refusal_of(command(&gopher).env("SLNG_API_KEY", "k"), 2);
    assert!(words.contains("`gopher://nowhere`") && words.contains("wss://"), "{words}");
    let words = refusal(&["avatar", FRIDAY_16K], 2);
    assert!(words.contains("--avatar") && words.contains("AGENTHUMAN_AVATAR"), "{words}");
    for open in [&["echo"][..], &["serve", "--simulate"]] {
        let arguments = [open, &["--listen", "0.0.0.0:0"]].concat();
        let words = refusal(&arguments, 2);
        assert!(words.contains("PLIVO_AUTH_TOKEN") && words.contains("127.0.0.1"), "{words}");
        let arguments = [open, &["--listen", "0.0.0.0:0", "--insecure-loopback"]].concat();
        let words = refusal(&arguments, 2);
        assert!(words.contains("--insecure-loopback"), "{words}");
    }

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = refusal(&["echo", "--listen", &address], 1);
    assert!(words.contains(&address) && words.contains("choose a free port"), "{words}");
    assert!(!Path::new(out).join("turns.json").exists());
}

/// A command that serves, on a port the system chose; ended when dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts `voxline` and reads from its first line where it listens.
    fn start(arguments: &[&str]) -> Self {
        let mut process = command(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut words = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(words.read_line(&mut line).unwrap(), 0, "{arguments:?} ended without an address");
            if let Some((_, rest)) = line.split_once("ws://") {
                break rest.split(['/', ' ', ',', '\n']).next().unwrap().to_owned();
            }
        };
        // Read on, or the server would stop at a full pipe.
        std::thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
        Self { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_call_to_the_echo_hears_itself() {
    let server = Server::start(&["echo", "--listen", "127.0.0.1:0"]);
    let out = folder("echo").with_extension("wav");
    let url = format!("ws://{}/stream", server.address);
    let output = voxline(&["call", &url, "--say", "Is the line good?", "--out", out.to_str().unwrap()]);
    let heard = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(heard.contains("words     Is the line good?"), "{heard}");
    let wav = hound::WavReader::open(&out).unwrap();
    assert_eq!((wav.spec().channels, wav.spec().sample_rate), (2, 8_000));
}

#[test]
fn a_call_to_the_agent_is_answered() {
    let server = Server::start(&["serve", "--simulate", "--listen", "127.0.0.1:0"]);
    let url = format!("ws://{}/stream", server.address);
    let output = voxline(&["call", &url, "--say", "Good evening."]);
    let heard = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(heard.contains("words     You said: Good evening."), "{heard}");
}

#[test]
fn an_echo_with_a_token_takes_signed_calls_only() {
    let server = Server::start(&["echo", "--listen", "127.0.0.1:0", "--auth-token", "a-token"]);
    let answer = format!("http://{}/answer", server.address);
    let signed = ["call", &answer, "--auth-token", "a-token", "--say", "Is the line good?"];
    let output = voxline(&signed);
    let heard = String::from_utf8_lossy(&output.stdout);
    assert!(
        heard.contains("words     Is the line good?"),
        "{heard}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for url in [answer, format!("ws://{}/stream", server.address)] {
        let output = voxline(&["call", &url, "--say", "Hello?"]);
        assert_eq!(output.status.code(), Some(1), "{url}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("403"), "{url}");
    }
}

#[test]
fn a_caller_is_greeted() {
    let serve = ["serve", "--simulate", "--listen", "127.0.0.1:0", "--greeting", "Good morning."];
    let server = Server::start(&serve);
    let output = voxline(&["call", &format!("ws://{}/stream", server.address)]);
    let heard = String::from_utf8_lossy(&output.stdout);
    assert!(heard.contains("words     Good morning."), "{heard}");
}

#[test]
fn a_call_that_hears_nothing_is_a_no() {
    let gateway = Server::start(&["simulate", "slng", "--quirk", "no-ready", "--listen", "127.0.0.1:0"]);
    let slng = format!("ws://{}", gateway.address);
    let serve = ["serve", "--slng", &slng, "--listen", "127.0.0.1:0", "--calls", "1"];
    let mut serving =
        command(&serve).env("SLNG_API_KEY", "simulated").stderr(Stdio::piped()).spawn().unwrap();
    let mut words = BufReader::new(serving.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = words.find(|line| line.contains("/stream")).unwrap();
    let address = first.split_once("ws://").unwrap().1.split('/').next().unwrap();
    let url = format!("ws://{address}/stream");
    let output = voxline(&["call", &url, "--say", "Hello?", "--wait", "7"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let told: Vec<String> = words.collect();
    assert!(told.iter().any(|line| line.contains("ready")), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("call 1  ended after")), "{told:#?}");
    assert!(serving.wait().unwrap().success());
}

#[test]
fn a_typing_mistake_is_exit_code_2() {
    let avatar_without_a_voice = ["avatar", "--text", "Hello.", "--avatar", "avat_1"];
    for arguments in [
        &["demo", "--sed", "1"][..],
        &["serve"],
        &["serve", "--simulate", "--avatar-api", "https://avatars.example.com"],
        &avatar_without_a_voice,
        &["call"],
        &["sing"],
    ] {
        assert_eq!(voxline(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn an_unsupported_rate_is_named() {
    let scratch = folder("rate");
    fs::create_dir_all(&scratch).unwrap();
    let path = scratch.join("fast.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 96_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    (0..960).for_each(|_| writer.write_sample(0_i16).unwrap());
    writer.finalize().unwrap();
    let out = scratch.join("out");
    let words =
        refusal(&["demo", "--quick", "--caller", path.to_str().unwrap(), "--out", out.to_str().unwrap()], 2);
    assert!(words.contains("96000") && words.contains("48000"), "{words}");
}

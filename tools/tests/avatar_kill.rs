//! A process killed while its avatar speaks leaves a session that costs money; the next start ends it (S05).
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be unwrapped is a failure")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use voxline::simulate::agenthuman::{AvatarSimulator, AvatarSimulatorConfig};
use voxline_protocol::agenthuman::AvatarServerEvent;
use voxline_transport::WebSocketListener;

/// Each run ends what the one before left, and is killed in mid-speech itself, up to the last.
#[test]
fn whatever_a_kill_leaves_running_the_next_start_ends() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(WebSocketListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_address();
    let speech = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&speech);
    // One place: a session that is forgotten refuses the next start.
    let mut config = AvatarSimulatorConfig::default().with_max_sessions(1);
    config.try_again = 0;
    config.calls_per_minute = u32::MAX;
    let service =
        AvatarSimulator::with_observer(&format!("ws://{address}"), config, move |session, event| {
            if let (Some(session), AvatarServerEvent::Speech { .. }) = (session, event) {
                heard.lock().unwrap().push(session.to_owned());
            }
        });
    let listener = listener.with_config(AvatarSimulator::listener_config());
    let server = service.clone();
    runtime.spawn(async move { server.serve(listener).await });

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("avatar-kill");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let (long, short) = (wav(&folder, "long", 40), wav(&folder, "short", 1));
    let url = format!("http://{address}");
    let mut moment = 17_u64;
    let mut seen = Vec::new();
    for seed in 0..KILLS {
        let mut speaking = start(&url, &folder, &long);
        let speaks = || speech.lock().unwrap().last().filter(|session| !seen.contains(*session)).cloned();
        wait("speech", || speaks().is_some());
        seen.extend(speaks());
        moment = moment * 48_271 % 2_147_483_647;
        thread::sleep(Duration::from_millis(moment % 120));
        // On Unix this is SIGKILL: no handler, no destructor.
        speaking.kill().unwrap();
        speaking.wait().unwrap();
        let left: Vec<_> = seen.last().into_iter().cloned().collect();
        assert_eq!(service.running(), left, "seed {seed}: the kill ends nothing, the start all before it");
        let noted = fs::read_dir(folder.join("journal")).unwrap().count();
        assert_eq!(noted, 1, "seed {seed}: the journal holds what is open");
    }
    assert_eq!(seen.len(), KILLS, "each run had a session of its own: {seen:?}");
    let mut last = start(&url, &folder, &short);
    assert!(last.wait().unwrap().success());
    assert!(service.running().is_empty(), "{:?} was left running", service.running());
    assert_eq!(fs::read_dir(folder.join("journal")).unwrap().count(), 0);
}

#[test]
fn bad_input_is_refused_before_anything_is_sent_in_the_services_own_words() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("avatar-input");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let good = wav(&folder, "good", 1);
    let empty = wav(&folder, "empty", 0);
    let file = |name: &str, spec| {
        let path = folder.join(name).with_extension("wav");
        hound::WavWriter::create(&path, spec).unwrap().finalize().unwrap();
        path
    };
    let stereo = file("stereo", hound::WavSpec { channels: 2, ..SPEC });
    let cd = file("cd", hound::WavSpec { sample_rate: 44_100, ..SPEC });
    let float = hound::WavSpec { bits_per_sample: 32, sample_format: hound::SampleFormat::Float, ..SPEC };
    let float = file("float", float);
    let huge = wav(&folder, "huge", 0);
    let mut header = fs::read(&huge).unwrap();
    let (riff, data) = (header.len() as u32 + 101_000_000 - 8, header.len() - 4);
    header[4..8].copy_from_slice(&riff.to_le_bytes());
    header[data..].copy_from_slice(&101_000_000_u32.to_le_bytes());
    fs::write(&huge, &header).unwrap();
    fs::File::options().write(true).open(&huge).unwrap().set_len(header.len() as u64 + 101_000_000).unwrap();

    let room = ["--room-url", "https://mine.daily.co/demo-room", "--room-token", EXPIRED];
    let other_room = ["--room-url", "https://mine.daily.co/another-room", "--room-token", LASTING];
    let own_room = ["--room-url", "https://mine.daily.co/demo-room", "--room-token", LASTING];
    for (name, file, options, words) in [
        ("stereo", &stereo, &[][..], "Failed to process audio"),
        ("float", &float, &[], "Failed to process audio"),
        ("44.1 kHz", &cd, &[], "Failed to process audio"),
        ("nothing", &empty, &[], "No audio data provided"),
        ("101 MB", &huge, &[], "agenthuman/message-too-large"),
        ("0×720", &good, &["--video", "0x720"], "Invalid video dimensions"),
        ("17:9", &good, &["--video", "1700x900"], "Invalid aspect ratio"),
        ("zoom", &good, &[&room[..], &["--room-platform", "zoom"]].concat(), "Invalid room platform"),
        ("an expired token", &good, &room, "daily/token-expired"),
        ("a token for another room", &good, &other_room, "daily/token-wrong-room"),
    ] {
        let (code, said) = send_nowhere(&folder, file, options);
        assert_eq!(code, Some(2), "{name}: {said}");
        assert!(said.contains(words) && said.trim_end().lines().count() == 1, "{name}: {said}");
    }
    // What is good does go out, and finds nobody.
    let (code, said) = send_nowhere(&folder, &good, &own_room);
    assert_eq!(code, Some(1), "{said}");
}

/// Has an avatar say a file at an address where nobody listens: anything sent fails with exit code 1.
fn send_nowhere(folder: &Path, file: &Path, options: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_voxline"))
        .args(["avatar", "--avatar-api", "http://127.0.0.1:9", "--avatar", "avat_demo", "--journal"])
        .arg(folder.join("journal"))
        .arg(file)
        .args(options)
        .env("AGENTHUMAN_API_KEY", AvatarSimulatorConfig::KEY)
        .output()
        .unwrap();
    (run.status.code(), String::from_utf8(run.stderr).unwrap())
}

fn start(url: &str, folder: &Path, file: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_voxline"))
        .args(["avatar", "--avatar-api", url, "--avatar", "avat_demo", "--journal"])
        .arg(folder.join("journal"))
        .arg(file)
        .env("AGENTHUMAN_API_KEY", AvatarSimulatorConfig::KEY)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wav(folder: &Path, name: &str, seconds: u32) -> PathBuf {
    let path = folder.join(name).with_extension("wav");
    let mut writer = hound::WavWriter::create(&path, SPEC).unwrap();
    (0..seconds * 16_000).for_each(|sample| writer.write_sample((sample % 100) as i16).unwrap());
    writer.finalize().unwrap();
    path
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "no {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Moments at which a process is killed.
const KILLS: usize = 50;
const SPEC: hound::WavSpec = hound::WavSpec {
    channels: 1,
    sample_rate: 16_000,
    bits_per_sample: 16,
    sample_format: hound::SampleFormat::Int,
};
/// Daily's form, for room `demo-room`, until November 2023.
const EXPIRED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoiZGVtby1yb29tIiwiZCI6IjAwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMCIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjoxNzAwMDAzNjAwLCJ1IjoiQUkgQXZhdGFyIChBSCkifQ.7X129K6-49PQAt0QnTlORyMjeYr44VFkXJxmnF33tYE";
/// The same room, until the year 2100.
const LASTING: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyIjoiZGVtby1yb29tIiwiZXhwIjo0MTAyNDQ0ODAwfQ.dW5zaWduZWQ";

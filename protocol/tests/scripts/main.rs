//! Conversations as call logs: every `*.script` beside this file, run against the machine it names.
//!
//! A script opens with the machine and its options, then reads like a call's log:
//!
//! ```text
//! machine slng-tts voice=ada      which machine, with options as key=value
//! open                            the link opens
//! > {"type":"init", …}            we send; `…` matches anything, else JSON compares by value
//! > audio 640                     we send a binary message of 640 bytes
//! > close 1000                    we close the link
//! < {"type":"ready"}              the peer sends text
//! < audio 640                     the peer sends 640 zero bytes; `audio 640 ff` repeats another byte
//! = ready s-1                     the application is told
//! ! speak 1 "one two"             the application asks
//! x session is closing …          …and was refused, in these words
//! + 15ms                          time passes; timers fire at their own moments
//! close 1000 bye                  the link ends; bare `close` is a loss without a close frame
//! fail no `ready` within 5s       the session ended with this error; must be the last line
//! finished                        the machine says that it is over
//! ```
//!
//! Whatever a machine says must be expected before the next thing happens to it: an output nobody
//! expected fails the script, as does one that did not come. `< ready` style inputs need no reply.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a failed test is a failed test")]

mod agenthuman;
mod plivo;
mod runner;
mod slng;

use std::fs;
use std::path::Path;

#[test]
fn every_script_plays_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut failures = Vec::new();
    let mut played = 0;
    for path in scripts_below(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        played += 1;
        if let Err(failure) = play(&text) {
            failures.push(format!("{name}:{failure}"));
        }
    }
    println!("{played} scripts played");
    assert!(
        failures.is_empty(),
        "{} of {played} scripts failed:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// Plays one script against the machine that its first line names.
fn play(text: &str) -> Result<(), String> {
    let script = runner::Script::parse(text)?;
    match script.machine.as_str() {
        "plivo-caller" => script.play::<plivo::Caller>(),
        "plivo-stream" => script.play::<plivo::Stream>(),
        "agenthuman-client" => script.play::<agenthuman::Client>(),
        "agenthuman-server" => script.play::<agenthuman::Server>(),
        "slng-stt" => script.play::<slng::Stt>(),
        "slng-stt-server" => script.play::<slng::SttGateway>(),
        "slng-tts" => script.play::<slng::Tts>(),
        "slng-tts-server" => script.play::<slng::TtsGateway>(),
        other => Err(format!("1: no machine is called `{other}`")),
    }
}

fn scripts_below(root: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "script") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

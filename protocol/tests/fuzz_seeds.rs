//! What is fuzzed survives its seeds, the scripts, and some thousands of mutations of both, without libFuzzer.
//!
//! `VOXLINE_HEAVY=1` multiplies the mutations. A failure names the target and prints what it was given.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a failed test is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use voxline_protocol::Dice;

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public in the library of the fuzz targets")]
#[expect(clippy::wildcard_enum_match_arm, reason = "each check picks out the events it is about")]
mod fuzz;

/// A name, what it runs, and the folder of scripts it takes besides its own seeds.
type Target = (&'static str, fn(&[u8]), Option<&'static str>);

const TARGETS: [Target; 16] = [
    ("audio_files", fuzz::audio_files, None),
    ("avatar_client", fuzz::avatar_client, Some("agenthuman")),
    ("avatar_rest", fuzz::avatar_rest, None),
    ("avatar_server", fuzz::avatar_server, Some("agenthuman")),
    ("avatar_wire", fuzz::avatar_wire, None),
    ("daily", fuzz::daily, None),
    ("plivo_caller", fuzz::plivo_caller, Some("plivo")),
    ("plivo_http", fuzz::plivo_http, None),
    ("plivo_signature", fuzz::plivo_signature, None),
    ("plivo_stream", fuzz::plivo_stream, Some("plivo")),
    ("plivo_wire", fuzz::plivo_wire, None),
    ("slng_endpoint", fuzz::slng_endpoint, None),
    ("slng_servers", fuzz::slng_servers, Some("slng")),
    ("slng_stt", fuzz::slng_stt, Some("slng")),
    ("slng_tts", fuzz::slng_tts, Some("slng")),
    ("slng_wire", fuzz::slng_wire, None),
];

#[test]
fn every_target_survives_its_seeds_and_their_mutations() {
    let mutations = if std::env::var_os("VOXLINE_HEAVY").is_some() { 100_000 } else { 2_000 };
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for (name, target, scripts) in TARGETS.iter().skip(half).step_by(2) {
                    survives(name, *target, &seeds(name, *scripts), mutations);
                }
            });
        }
    });
}

/// A target that is not built, or not fed, finds nothing.
#[test]
fn every_target_has_a_binary_and_seeds() {
    let names: BTreeSet<_> = TARGETS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let manifest = fs::read_to_string(folder("fuzz/Cargo.toml")).unwrap();
    let declared = manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/"));
    assert_eq!(declared.map(|line| line.replace(".rs\"", "")).collect::<BTreeSet<_>>(), names);
    for path in ["fuzz/targets", "fuzz/seeds"] {
        let entries = fs::read_dir(folder(path)).unwrap();
        let found = entries.map(|entry| entry.unwrap().path().file_stem().unwrap().display().to_string());
        assert_eq!(found.collect::<BTreeSet<_>>(), names, "{path}");
    }
}

fn survives(name: &str, target: fn(&[u8]), seeds: &[(String, Vec<u8>)], mutations: u64) {
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for (file, seed) in seeds {
        assert!(catch_unwind(|| target(seed)).is_ok(), "{name} does not survive {file}");
    }
    for number in 0..mutations {
        let mut dice = Dice::new(number);
        let data = mutated(seeds, &mut dice);
        if catch_unwind(|| target(&data)).is_err() {
            let shown = data.escape_ascii();
            panic!("{name} does not survive mutation {number}, \"{shown}\"");
        }
    }
    println!("{name}: {} seeds, {mutations} mutations", seeds.len());
}

/// One seed, hurt in one to four places.
fn mutated(seeds: &[(String, Vec<u8>)], dice: &mut Dice) -> Vec<u8> {
    let mut data = drawn(seeds, dice).clone();
    for _ in 0..dice.within(1..5) {
        let from = dice.within(0..data.len() as u64) as usize;
        let most = 1 << dice.within(0..7);
        let to = data.len().min(from + dice.within(0..most) as usize);
        let (new, over) = match dice.within(0..7) {
            // Some bytes are lost, come twice, or are any.
            0 => (Vec::new(), to),
            1 => (data[from..to].repeat(2), to),
            2 => ((from..to).map(|_| dice.roll() as u8).collect(), to),
            3 => (vec![dice.roll() as u8], data.len().min(from + 1)),
            4 => (WORDS[dice.within(0..WORDS.len() as u64) as usize].as_bytes().to_vec(), to),
            // A piece of another seed, in between or in place.
            kind => {
                let other = drawn(seeds, dice);
                let start = dice.within(0..other.len() as u64) as usize;
                let end = other.len().min(start + 1 + dice.within(0..120) as usize);
                (other[start..end].to_vec(), if kind == 5 { from } else { to })
            }
        };
        data.splice(from..over, new);
    }
    data
}

fn drawn<'a>(seeds: &'a [(String, Vec<u8>)], dice: &mut Dice) -> &'a Vec<u8> {
    &seeds[dice.within(0..seeds.len() as u64) as usize].1
}

/// Each file with its name, in the order of the names.
fn seeds(name: &str, scripts: Option<&str>) -> Vec<(String, Vec<u8>)> {
    let scripts = scripts.map(|protocol| folder("tests/scripts").join(protocol));
    let mut files: Vec<PathBuf> = std::iter::once(folder("fuzz/seeds").join(name))
        .chain(scripts)
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    files.sort();
    files.into_iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What parsers and machines stumble over.
const WORDS: [&str; 16] = [
    "null",
    "-1",
    "0",
    "18446744073709551616",
    "1e999",
    "\"\"",
    "[]",
    "{}",
    "\\u0000",
    "\u{fffd}",
    "\n",
    "open\n",
    "close\n",
    "late 20s\n",
    "+ 10s\n",
    "back 5s\n",
];

//! Writes what criterion measured last as a table into `benches/README.md`.
//!
//! Run it after `cargo bench`. A figure is the tenth percentile of a benchmark's samples: what the work takes while it
//! has the core to itself, on a machine that may be busy with other things as well.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;

/// Times in nanoseconds, by group, each in the order of its members' names.
type Groups = BTreeMap<String, Vec<(String, f64)>>;

/// What criterion keeps of one benchmark.
#[derive(Debug, Deserialize)]
struct Sample {
    /// Iterations of each sample.
    iters: Vec<f64>,
    /// How long they took, in nanoseconds.
    times: Vec<f64>,
}

impl Sample {
    /// The tenth percentile of the time an iteration took.
    fn undisturbed(&self) -> Option<f64> {
        let mut nanos: Vec<f64> =
            self.times.iter().zip(&self.iters).map(|(time, iters)| time / iters).collect();
        nanos.sort_by(f64::total_cmp);
        nanos.get(nanos.len() / 10).copied()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| manifest.join("../target"), PathBuf::from);
    let mut groups = Groups::new();
    collect(&target.join("criterion"), &mut groups)?;

    let readme = manifest.join("README.md");
    let text = fs::read_to_string(&readme)?;
    let (Some((before, _)), Some((_, after))) = (text.split_once(BEGIN), text.split_once(END)) else {
        return Err(format!("{} has no line {BEGIN:?} or {END:?}", readme.display()).into());
    };
    fs::write(&readme, format!("{before}{BEGIN}\n{}{END}{after}", table(&groups)))?;
    Ok(())
}

/// Reads every `new/` folder below `folder`.
fn collect(folder: &Path, groups: &mut Groups) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let measured = path.join("benchmark.json");
        if path.file_name().is_some_and(|name| name == "new") && measured.exists() {
            let id: Value = serde_json::from_str(&fs::read_to_string(measured)?)?;
            let sample: Sample = serde_json::from_str(&fs::read_to_string(path.join("sample.json"))?)?;
            let (Some(group), Some(nanos)) = (id["group_id"].as_str(), sample.undisturbed()) else {
                return Err(format!("{} is not what criterion writes", path.display()).into());
            };
            let member = id["function_id"].as_str().unwrap_or(group);
            groups.entry(group.to_owned()).or_default().push((member.to_owned(), nanos));
        } else if path.is_dir() {
            collect(&path, groups)?;
        }
    }
    Ok(())
}

fn table(groups: &Groups) -> String {
    let mut text = format!("\n{}; {}.\n\n", machine(), today());
    text.push_str(
        "| job, 20 ms of sound | done by | time | of real time | beside ours |\n|---|---|--:|--:|--:|\n",
    );
    for (group, members) in groups {
        let mut members = members.clone();
        members.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        let ours = members.first().map_or(1.0, |(_, nanos)| *nanos);
        for (index, (member, nanos)) in members.iter().enumerate() {
            let job = if index == 0 { group } else { "" };
            let times = if index == 0 { String::new() } else { format!("{:.2} ×", nanos / ours) };
            let share = nanos / 20e6 * 100.0;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {job} | {member} | {} | {share:.4} % | {times} |", time(*nanos));
        }
    }
    text.push_str(&strict_beside_rubato(groups));
    if let Some(members) = groups.get(RECEIVE_PATH) {
        text.push_str("\nHow many calls one core can hear by these times, doing nothing else:\n\n");
        for (member, nanos) in members {
            let _ = writeln!(text, "- {member}: {:.0}", 20e6 / nanos);
        }
    }
    text.push('\n');
    text
}

/// The resampler that is asked the most of, beside the one it has to match.
fn strict_beside_rubato(groups: &Groups) -> String {
    let mut text = String::from(
        "\nThe strict preset beside rubato:\n\n| job | voxline, strict | rubato, FFT | beside ours |\n|---|--:|--:|--:|\n",
    );
    for (group, members) in groups {
        let find = |wanted| members.iter().find_map(|(member, nanos)| (member == wanted).then_some(*nanos));
        if let (Some(strict), Some(rubato)) = (find("voxline, strict"), find("rubato, FFT")) {
            let (ours, theirs) = (time(strict), time(rubato));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {group} | {ours} | {theirs} | {:.2} × |", rubato / strict);
        }
    }
    text
}

/// Ours first, what it ships with by default before its variants.
fn rank(member: &str) -> u8 {
    match member {
        "voxline" | "voxline, telephone" => 0,
        ours if ours.starts_with("voxline") => 1,
        _ => 2,
    }
}

fn time(nanos: f64) -> String {
    if nanos < 10_000.0 { format!("{nanos:.0} ns") } else { format!("{:.1} µs", nanos / 1_000.0) }
}

fn machine() -> String {
    let described = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = described.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.map_or(std::env::consts::ARCH, |(_, name)| name))
}

/// The date in UTC, by Howard Hinnant's algorithm for the civil calendar.
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

/// The group that is all a call needs done to each frame it hears.
const RECEIVE_PATH: &str = "receive path";

const BEGIN: &str = "<!-- measured -->";
const END: &str = "<!-- end of measured -->";

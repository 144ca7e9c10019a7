//! Every error code in the sources has a page, and a person who is paged with one finds it (D08).
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be unwrapped is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn codes(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_voxline")).arg("codes").args(arguments).output().unwrap()
}

fn listed() -> Vec<Value> {
    let output = codes(&["--json"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_code_in_the_sources_is_listed_once() {
    let pages = listed();
    let names: Vec<_> = pages.iter().map(|page| page["code"].as_str().unwrap()).collect();
    let unique: BTreeSet<_> = names.iter().copied().collect();
    assert_eq!(names, unique.iter().copied().collect::<Vec<_>>(), "in order, each once");

    let parts: BTreeSet<_> = names.iter().map(|name| name.split_once('/').unwrap().0).collect();
    let mut written = BTreeMap::new();
    for crate_name in ["protocol", "transport", "session", "tools"] {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(crate_name).join("src");
        each_source(&sources, &mut |path, text| {
            for word in literals(text).filter(|word| is_code(word, &parts)) {
                written.entry(word.to_owned()).or_insert_with(|| path.to_owned());
            }
        });
    }
    assert!(written.len() > 100, "{} codes in the sources", written.len());
    for (code, path) in &written {
        assert!(unique.contains(code.as_str()), "{code} of {} has no page", path.display());
    }
    for code in unique {
        assert!(written.contains_key(code), "{code} is listed and in no source");
    }
}

/// What stands between quotes, outside comments and tests.
fn literals(text: &str) -> impl Iterator<Item = &str> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2))
}

fn is_code(word: &str, parts: &BTreeSet<&str>) -> bool {
    word.split_once('/').is_some_and(|(part, name)| {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // One that ends in a hyphen is the beginning of several.
        parts.contains(part) && !name.is_empty() && !name.ends_with('-') && name.chars().all(is_name)
    })
}

fn each_source(folder: &Path, look: &mut dyn FnMut(&PathBuf, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_source(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            look(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn a_code_is_explained_with_what_to_do() {
    let text = |arguments: &[&str]| {
        let output = codes(arguments);
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for page in listed() {
        let field = |name: &str| page[name].as_str().unwrap();
        let shown = text(&[field("code")]);
        for part in ["code", "meaning", "remedy", "plain"] {
            assert!(shown.contains(field(part)), "{part} is not in {shown}");
        }
        assert_eq!(shown.contains("Trying again can help."), page["retryable"] == true, "{shown}");
    }
    let vendor = text(&["slng"]);
    assert!(vendor.lines().count() > 10 && vendor.lines().all(|line| line.starts_with("slng/")), "{vendor}");

    let unknown = codes(&["slng/no-such-thing"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("`voxline codes` lists them"));
}

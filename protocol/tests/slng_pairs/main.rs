//! Both sides of the SLNG gateway against each other, in virtual time, over links that delay, break
//! and come back, with every quirk: no speech is lost, doubled or stale, and no wait is endless.
//!
//! `VOXLINE_HEAVY=1` multiplies the counts. A failure names its seed.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a failed test is a failed test")]
#![expect(clippy::wildcard_enum_match_arm, reason = "each check picks out the events it is about")]

mod account;
mod hostile;
mod matrix;
mod outcomes;
mod pair;
mod quirks;
mod recogniser;
mod stt;
mod synthesiser;
mod tts;

/// How often a property is tried: `light` times, or `heavy` times on demand.
fn rounds(light: u64, heavy: u64) -> u64 {
    if std::env::var_os("VOXLINE_HEAVY").is_some() { heavy } else { light }
}

/// Tries `property` on every seed below `count`, on both halves at once.
fn for_each_seed(count: u64, property: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            let property = &property;
            scope.spawn(move || (half..count).step_by(2).for_each(property));
        }
    });
}

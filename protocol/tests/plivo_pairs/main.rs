//! Both sides of a Plivo stream against each other, in virtual time, over a network that delays,
//! with stalled schedulers, broken links and every quirk: what is claimed about the caller's ear
//! is compared with the caller's ear.
//!
//! `VOXLINE_HEAVY=1` multiplies the counts. A failure names its seed.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a failed test is a failed test")]

mod ear;
mod fade;
mod heard;
mod ledger;
mod pair;
mod quirks;
mod rubbish;
mod silence;
mod stale;
mod stalls;

/// How often a property is tried: `light` times, or `heavy` times on demand.
fn rounds(light: u64, heavy: u64) -> u64 {
    if std::env::var_os("VOXLINE_HEAVY").is_some() { heavy } else { light }
}

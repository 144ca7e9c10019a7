//! The AgentHuman client and server against each other, over a link and a clock that are values.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is a failed test, and looks for some events among many"
)]

mod checklist;
mod errors;
mod pair;
mod rest;

mod room;
mod schedules;

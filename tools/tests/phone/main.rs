//! Whole calls over the phone leg: every layer, in memory, under a paused clock.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot set itself up has nothing to say"
)]

mod bargein;
mod fade;
mod failover;
mod flags;
mod redial;
mod shutdown;
mod standby;
mod world;

//! Proves on whole calls, in memory and on a paused clock, that what is said is heard, once, whatever happens to the links
//! of the speech services, and that whoever waits is answered.
#![expect(clippy::unwrap_used, reason = "a world that cannot be set up has nothing to say")]

mod black_hole;
mod handle;
mod lost;
mod reply;
mod speech;
mod words;
mod world;

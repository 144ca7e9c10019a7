//! What is fuzzed: one plain function a target, each of which must survive any bytes.
//!
//! `cargo fuzz run NAME` feeds them from libFuzzer, and `protocol/tests/fuzz_seeds.rs`, which includes
//! this file, from the seeds and their mutations: a regression shows in an ordinary test run.
//!
//! | target | takes |
//! |---|---|
//! | `…_wire` | one message of a peer, given to both sides in every state |
//! | a machine's name | a call log (see `play`): messages, commands, time and lost links in any order |
//! | the others | one request, answer, document or file, whose first lines choose how it is read |

mod agenthuman;
mod audio;
mod daily;
mod play;
mod plivo;
mod plivo_http;
mod slng;

pub use agenthuman::{avatar_client, avatar_rest, avatar_server, avatar_wire};
pub use audio::audio_files;
pub use daily::daily;
pub use plivo::{plivo_caller, plivo_stream, plivo_wire};
pub use plivo_http::{plivo_http, plivo_signature};
pub use slng::{slng_endpoint, slng_servers, slng_stt, slng_tts, slng_wire};

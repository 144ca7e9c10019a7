//! Plivo Audio Streaming: a phone call as a WebSocket that Plivo dials.

mod caller;
mod codes;
mod headers;
mod ledger;
mod playout;
mod quirk;
mod stream;
mod timeline;
mod types;
mod wire;

pub use caller::{
    CallerCommand, CallerEvent, DropReason, EarFrame, PlivoCaller, PlivoCallerConfig, StreamStatus,
};
pub(crate) use codes::PLIVO;
pub use ledger::{HeardLedger, HeardUtterance, TextBasis};
pub use playout::Heard;
pub use quirk::{PlivoQuirk, UnknownQuirk};
pub use stream::{
    ClearedBy, LossCause, PlivoCommand, PlivoConfig, PlivoEvent, PlivoStats, PlivoStream, SkipReason,
};
pub use types::{
    CallId, CheckpointName, DegradedLevel, Digit, FORMATS, Media, StartError, StreamId, StreamInfo, Track,
};

//! Plivo Audio Streaming: a phone call as a WebSocket that Plivo dials.

mod caller;
mod codes;
mod form;
mod headers;
mod ledger;
mod playout;
mod quirk;
mod rest;
mod signature;
mod stream;
mod timeline;
mod token;
mod types;
mod webhook;
mod wire;
mod xml;

pub use caller::{
    CallerCommand, CallerEvent, DropReason, EarFrame, PlivoCaller, PlivoCallerConfig, StreamStatus,
};
pub(crate) use codes::PLIVO;
pub use form::Params;
pub use ledger::{HeardLedger, HeardUtterance, TextBasis};
pub use playout::Heard;
pub use quirk::{PlivoQuirk, UnknownQuirk};
pub use rest::{
    ApiAccepted, CallRequest, PlivoApi, PlivoApiError, StreamRecord, StreamRequest, StreamStarted,
};
pub use signature::{NonceGuard, PlivoSigner, PlivoVerifier, SignatureError, SignedScheme, UpgradeForm};
pub use stream::{
    ClearedBy, LossCause, PlivoCommand, PlivoConfig, PlivoEvent, PlivoStats, PlivoStream, SkipReason,
};
pub use token::{StreamTokens, TokenError};
pub use types::{
    CallId, CheckpointName, DegradedLevel, Digit, FORMATS, Media, StartError, StreamId, StreamInfo, Track,
};
pub use webhook::{CallDirection, CallState, CallWebhook, NamingScheme, StreamCallback, StreamNotice};
pub use xml::{StreamTracks, StreamXml, XmlError};

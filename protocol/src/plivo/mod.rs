//! Plivo Audio Streaming: a phone call as a WebSocket that Plivo dials.
//!
//! In the order in which a call meets them:
//!
//! 1. A call comes in, and Plivo asks for instructions: [`PlivoVerifier`] checks who asks, [`CallWebhook`] reads
//!    it, [`StreamXml`] answers. [`PlivoApi`] places calls and starts streams from our side instead.
//! 2. Plivo dials: [`PlivoVerifier::verify_upgrade`] or a one-time token of [`StreamTokens`] lets it in.
//! 3. [`PlivoStream`] is the call from then on: audio in, paced audio out, marks, barge-in, redials.
//!    [`HeardLedger`] tells which words the caller heard.
//! 4. [`StreamCallback`] reads what Plivo reports of the stream meanwhile.
//!
//! [`PlivoCaller`] is Plivo and the caller in one: it hears in real time, redials, and has each [`PlivoQuirk`]
//! seen in the field.

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

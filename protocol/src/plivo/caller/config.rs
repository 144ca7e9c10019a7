//! Who calls, in which format, and how Plivo misbehaves meanwhile.

use std::time::Duration;

use voxline_audio::AudioFormat;

use super::super::quirk::PlivoQuirk;
use super::super::types::{CallId, StreamId};

/// What a [`PlivoCaller`](super::PlivoCaller) is told before it dials.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlivoCallerConfig {
    /// The call's id.
    pub call_id: CallId,
    /// The stream's id, kept over redials.
    pub stream_id: StreamId,
    /// The account's id; `MASIMULATED000000000` unless set.
    pub account_id: String,
    /// What both directions carry; µ-law at 8 kHz unless set.
    pub format: AudioFormat,
    /// Sent with every message. None unless set.
    pub extra_headers: Vec<(String, String)>,
    /// Whether the stream may play to the caller. True unless set.
    pub bidirectional: bool,
    /// Audio the playback queue takes, 60 s.
    pub playback_capacity: Duration,
    /// Caller audio that may wait for a slow reader, 40 s; then the link is cut.
    pub egress_capacity: Duration,
    /// Between a lost link and the next dial, 1 s.
    pub redial_delay: Duration,
    /// Timestamp of the first media message, as time since 1970.
    pub epoch: Duration,
    /// Ways to differ from the documents.
    pub quirks: Vec<PlivoQuirk>,
    /// Decides when random quirks strike.
    pub seed: u64,
}

impl PlivoCallerConfig {
    /// A two-way µ-law call without quirks.
    pub fn new(call_id: impl Into<CallId>, stream_id: impl Into<StreamId>) -> Self {
        Self {
            call_id: call_id.into(),
            stream_id: stream_id.into(),
            account_id: "MASIMULATED000000000".to_owned(),
            format: AudioFormat::PHONE,
            extra_headers: Vec::new(),
            bidirectional: true,
            playback_capacity: Duration::from_secs(60),
            egress_capacity: Duration::from_secs(40),
            redial_delay: Duration::from_secs(1),
            epoch: Duration::from_millis(1_768_473_000_000),
            quirks: Vec::new(),
            seed: 0,
        }
    }

    /// Sets the audio format.
    #[must_use]
    pub fn with_format(self, format: AudioFormat) -> Self {
        Self { format, ..self }
    }

    /// Adds an extra header.
    #[must_use]
    pub fn with_header(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra_headers.push((key.into(), value.into()));
        self
    }

    /// Switches a quirk on.
    #[must_use]
    pub fn with_quirk(mut self, quirk: PlivoQuirk) -> Self {
        self.quirks.push(quirk);
        self
    }

    /// Sets the seed of random quirks.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Makes the stream one-way: what the server plays is refused.
    #[must_use]
    pub fn one_way(self) -> Self {
        Self { bidirectional: false, ..self }
    }
}

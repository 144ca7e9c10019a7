//! How one phone stream behaves: limits, lead, patience.

use std::time::Duration;

/// Limits and patience of a [`PlivoStream`](super::PlivoStream).
///
/// ```
/// use std::time::Duration;
/// use voxline_protocol::plivo::PlivoConfig;
///
/// let config = PlivoConfig::default().with_lead(Duration::from_millis(250)).with_frame(Duration::from_millis(60));
/// assert_eq!(config.lead, Duration::from_millis(250));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlivoConfig {
    /// 10 s from an open link to `start`. Shorter refuses slow edges; longer keeps strangers connected.
    pub start_timeout: Duration,
    /// 1.5 s without `media` and the link is dead: 50 messages a second are its pulse.
    pub media_timeout: Duration,
    /// 400 ms of audio ahead of the caller's ear. Less starves on a slow link, more answers a barge-in later, and
    /// beyond 30 s Plivo's own queue may overflow: so much is the most.
    pub lead: Duration,
    /// 30 s of audio that may wait here; `Play` refuses beyond it.
    pub max_queued: Duration,
    /// 20 ms a message, up to 200 ms. Longer saves work and adds delay.
    pub frame: Duration,
    /// 3 s after a mark is due before it is given up.
    pub checkpoint_timeout: Duration,
    /// 2 s for `clearedAudio` before the clear counts as done.
    pub clear_timeout: Duration,
    /// 10 s for Plivo to dial again after a lost link, before the call counts as over.
    pub redial_timeout: Duration,
    /// How often Plivo dials one stream again, 2. With the loss after that the call counts as over; a stream
    /// that is started anew, under another id, counts from 0.
    pub redials: u32,
    /// 2 s for the peer's part of a close.
    pub close_timeout: Duration,
}

impl Default for PlivoConfig {
    fn default() -> Self {
        Self {
            start_timeout: Duration::from_secs(10),
            media_timeout: Duration::from_millis(1_500),
            lead: Duration::from_millis(400),
            max_queued: Duration::from_secs(30),
            frame: Duration::from_millis(20),
            checkpoint_timeout: Duration::from_secs(3),
            clear_timeout: Duration::from_secs(2),
            redial_timeout: Duration::from_secs(10),
            redials: 2,
            close_timeout: Duration::from_secs(2),
        }
    }
}

impl PlivoConfig {
    /// Sets the lead; anything under one frame counts as one frame.
    #[must_use]
    pub fn with_lead(self, lead: Duration) -> Self {
        Self { lead, ..self }.within_bounds()
    }

    /// Sets the length of a message out, held within 20 to 200 ms.
    #[must_use]
    pub fn with_frame(self, frame: Duration) -> Self {
        Self { frame, ..self }.within_bounds()
    }

    /// Sets how much audio may wait here.
    #[must_use]
    pub fn with_max_queued(self, max_queued: Duration) -> Self {
        Self { max_queued, ..self }
    }

    /// Sets how long silence of media may last.
    #[must_use]
    pub fn with_media_timeout(self, limit: Duration) -> Self {
        Self { media_timeout: limit, ..self }
    }

    /// Sets how long a lost link may take to come back.
    #[must_use]
    pub fn with_redial_timeout(self, limit: Duration) -> Self {
        Self { redial_timeout: limit, ..self }
    }

    /// With what Plivo could not take brought to the nearest that it can.
    pub(super) fn within_bounds(self) -> Self {
        Self { frame: self.frame.clamp(MIN_FRAME, MAX_FRAME), lead: self.lead.min(MAX_LEAD), ..self }
    }

    /// Sets how often a stream is dialled again.
    #[must_use]
    pub fn with_redials(self, redials: u32) -> Self {
        Self { redials, ..self }
    }
}

/// One telephone frame.
const MIN_FRAME: Duration = Duration::from_millis(20);
/// Plivo's documents name 40 s and 60 s for what its queue holds.
const MAX_LEAD: Duration = Duration::from_secs(30);
/// 200 ms of 24 kHz linear audio is 12,800 characters of base64: within the 16 KB Plivo recommends.
const MAX_FRAME: Duration = Duration::from_millis(200);

//! Reading what arrives: message kinds, and holes in the caller's audio.

use std::time::Duration;

/// The messages Plivo is known to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Cleared,
    Dtmf,
    Error,
    Media,
    PlayFailed,
    Played,
    Start,
    Stop,
    Unknown,
}

impl Kind {
    pub(super) fn parse(event: &str) -> Self {
        let known = |same: fn(&str, &str) -> bool| {
            NAMES.iter().find(|(name, _)| same(name, event)).map(|(_, kind)| *kind)
        };
        known(|name, event| name == event)
            .or_else(|| known(str::eq_ignore_ascii_case))
            .unwrap_or(Self::Unknown)
    }

    /// The name on the wire.
    pub(super) fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("unknown", |(name, _)| name)
    }
}

const NAMES: [(&str, Kind); 10] = [
    ("media", Kind::Media),
    ("playedStream", Kind::Played),
    ("clearedAudio", Kind::Cleared),
    ("dtmf", Kind::Dtmf),
    ("start", Kind::Start),
    ("stop", Kind::Stop),
    ("played", Kind::Played),
    ("playFailed", Kind::PlayFailed),
    ("incorrectPayload", Kind::PlayFailed),
    ("error", Kind::Error),
];

/// What one media message says about those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    Backwards,
    Hole { messages: Option<u64>, span: Duration },
    Seamless,
}

/// Follows one track's chunk numbers and timestamps on one link.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TrackClock {
    chunk: Option<u64>,
    due: Option<Duration>,
}

impl TrackClock {
    /// Takes the next message, whose audio lasts `length`.
    pub(super) fn observe(
        &mut self,
        chunk: Option<u64>,
        timestamp: Option<Duration>,
        length: Duration,
    ) -> Continuity {
        let last = self.chunk;
        let due = std::mem::replace(&mut self.due, timestamp.map(|at| at.saturating_add(length)));
        self.chunk = chunk.or(last);
        let by_count = |missing| length.saturating_mul(u32::try_from(missing).unwrap_or(u32::MAX));
        let missing = match (last, chunk) {
            (Some(last), Some(chunk)) if chunk <= last => return Continuity::Backwards,
            // A leap of the peer's count says nothing about audio either.
            (Some(last), Some(chunk)) => {
                Some(chunk - last - 1).filter(|missing| by_count(*missing) < CLOCK_STEP)
            }
            _ => None,
        };
        let by_clock = match (due, timestamp) {
            // A leap of the peer's clock says nothing about audio.
            (Some(due), Some(at)) => Some(at.saturating_sub(due)).filter(|span| *span < CLOCK_STEP),
            _ => None,
        };
        let span = by_clock.unwrap_or_else(|| by_count(missing.unwrap_or(0)));
        if missing.is_some_and(|missing| missing > 0) || span > length / 2 {
            Continuity::Hole { messages: missing, span }
        } else {
            Continuity::Seamless
        }
    }
}

/// A jump of the peer's timestamps or count beyond this is one being set, not a minute of lost audio.
const CLOCK_STEP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found_by_clock_and_by_count() {
        let millis = Duration::from_millis;
        let at = |at: u64| Some(millis(at));
        let hole = |messages, span| Continuity::Hole { messages, span: millis(span) };
        for (name, second, expected) in [
            ("in order", (Some(2), at(1_020)), Continuity::Seamless),
            ("jitter of the clock", (Some(2), at(1_028)), Continuity::Seamless),
            ("one lost", (Some(3), at(1_040)), hole(Some(1), 20)),
            ("counted without a clock", (Some(5), None), hole(Some(3), 60)),
            ("clocked without a count", (None, at(1_120)), hole(None, 100)),
            ("a clock set forward", (Some(2), at(9_999_999)), Continuity::Seamless),
            ("a clock set back", (Some(2), at(3)), Continuity::Seamless),
            ("a message twice", (Some(1), at(1_000)), Continuity::Backwards),
            ("a count at the end of numbers", (Some(u64::MAX), None), Continuity::Seamless),
            ("a count set forward, and a hole by the clock", (Some(u64::MAX), at(1_060)), hole(None, 40)),
        ] {
            let mut clock = TrackClock::default();
            assert_eq!(clock.observe(Some(1), at(1_000), millis(20)), Continuity::Seamless);
            assert_eq!(clock.observe(second.0, second.1, millis(20)), expected, "{name}");
        }
    }
}

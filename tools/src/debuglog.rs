//! One JSON line for each stream, with the fields of the provider's console.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use voxline_session::{StreamEnd, StreamRecord};

use crate::error::ToolError;
use crate::output;

/// Where the records of streams go: to a file, or to stderr.
#[derive(Debug, Default)]
pub(crate) struct DebugLog(Option<Mutex<File>>);

impl DebugLog {
    /// Appends to the file at `path`.
    pub(crate) fn to_file(path: &Path) -> Result<Self, ToolError> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
            ToolError::Usage(format!("cannot write `{}`: {error}; give a file", path.display()))
        })?;
        Ok(Self(Some(Mutex::new(file))))
    }

    /// Writes one record, of a stream that ended at `now`.
    pub(crate) fn write(&self, now: Instant, record: &StreamRecord) {
        let line = line(SystemTime::now(), now, record);
        let Some(file) = &self.0 else { return output::note(line) };
        // A file is as whole after a panic as before it.
        let written = writeln!(file.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
        if let Err(error) = written {
            tracing::warn!(%error, "the debug log cannot be written");
        }
    }
}

fn line(wall: SystemTime, now: Instant, record: &StreamRecord) -> String {
    let started = wall.checked_sub(now.saturating_duration_since(record.started)).unwrap_or(wall);
    let reason = match record.end {
        StreamEnd::HungUp => "Call hangup",
        StreamEnd::Lost => "Connection error",
        StreamEnd::Agent | _ => "Closed by server",
    };
    let levels: Vec<_> = record.degraded.iter().map(|level| level.percent()).collect();
    json!({
        "stream_id": record.stream_id.as_str(),
        "call_id": record.call_id.as_str(),
        "start": utc(started),
        "end": utc(started + record.duration),
        "duration_s": record.duration.as_secs_f64(),
        "billed_s": record.duration.as_secs().max(1).next_multiple_of(60),
        "reason": reason,
        "links": record.links,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "gaps": record.gaps,
        "missing_ms": u64::try_from(record.missing.as_millis()).unwrap_or(u64::MAX),
        "clears": record.clears,
        "degraded_percent": levels,
    })
    .to_string()
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
pub(crate) fn utc(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_826_332, "2000-02-29T12:12:12.000Z"),
            (1_768_473_005, "2026-01-15T10:30:05.000Z"),
            (4_102_444_799, "2099-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}

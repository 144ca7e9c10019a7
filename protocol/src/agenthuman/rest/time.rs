//! The service's timestamps: ISO 8601 in UTC, to a second or finer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads `2024-01-15T10:30:00Z`, with or without a fraction; other zones are not used by the service.
pub(super) fn parse_utc(text: &str) -> Option<SystemTime> {
    let (date, time) = text.trim().strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let hour: u64 = time.next()?.parse().ok()?;
    let minute: u64 = time.next()?.parse().ok()?;
    let second: f64 = time.next()?.parse().ok()?;
    let is_valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && (0.0..61.0).contains(&second);
    if !is_valid {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60;
    Some(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_secs_f64(second))
}

/// Writes a time the way the service does, to the second.
pub(super) fn format_utc(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut year, mut left) = (1970, seconds / 86_400);
    while left >= year_days(year) {
        left -= year_days(year);
        year += 1;
    }
    let mut month = 1;
    while left >= month_days(year, month) {
        left -= month_days(year, month);
        month += 1;
    }
    let (day, clock) = (left + 1, seconds % 86_400);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year).map(year_days).sum();
    let months: u64 = (1..month).map(|month| month_days(year, month)).sum();
    years + months + day - 1
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn year_days(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_round_trip() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2024-01-15T10:30:00Z", 1_705_314_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse_utc(text), Some(at), "{text}");
            assert_eq!(format_utc(at), text);
        }
        let fine = parse_utc("2024-01-15T10:30:00.500Z").unwrap();
        assert_eq!(fine, UNIX_EPOCH + Duration::from_millis(1_705_314_600_500));
        for bad in
            ["", "2024-01-15", "2024-13-01T00:00:00Z", "2024-01-15T10:30:00+02:00", "2024-01-15T25:00:00Z"]
        {
            assert_eq!(parse_utc(bad), None, "{bad}");
        }
    }
}

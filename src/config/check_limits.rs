//! Limits of `backup check`: an age such as `26h` or `7d`, a size such as `80%` or `10m`.
//!
//! Promise: `m` of an age means minutes, as in the other time limits; months are `mo`.

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::calendar_duration::CalendarDuration;
use super::duration;
use super::value_type::{shown_size, size};

/// Greatest age that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgeLimit {
    /// Of hours, minutes and seconds.
    Elapsed(Duration),
    /// Of days and more.
    Calendar(CalendarDuration),
}

impl AgeLimit {
    /// Reads a limit.
    ///
    /// # Errors
    /// Phrase that names the fault of the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let limit = match duration::parse(text) {
            Ok(elapsed) => Self::Elapsed(elapsed),
            Err(_) => CalendarDuration::parse(text).map(Self::Calendar).map_err(|_| {
                format!("`{}` is no age such as `26h`, `90m`, `7d` or `1mo`", text.escape_debug())
            })?,
        };
        match limit {
            Self::Elapsed(Duration::ZERO) => Err("every backup is older than that".to_owned()),
            Self::Calendar(calendar) if calendar.is_zero() => {
                Err("every backup is older than that".to_owned())
            }
            limit => Ok(limit),
        }
    }

    /// Returns the moment that has just reached this age. A day has 24 hours.
    pub(crate) fn before(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Elapsed(elapsed) => SignedDuration::try_from(*elapsed)
                .ok()
                .and_then(|elapsed| now.checked_sub(elapsed).ok())
                .unwrap_or(Timestamp::MIN),
            Self::Calendar(calendar) => calendar.before(now, &TimeZone::UTC),
        }
    }
}

impl fmt::Display for AgeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elapsed(elapsed) => f.write_str(&duration::format(*elapsed)),
            Self::Calendar(calendar) => calendar.fmt(f),
        }
    }
}

/// Smallest size that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SizeLimit {
    /// Percent of the backup before, 1 to 100.
    Percent(u8),
    Bytes(u64),
}

impl SizeLimit {
    /// Reads a limit.
    ///
    /// # Errors
    /// Phrase that names the fault of the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(percent) = text.trim().strip_suffix('%') else { return size(text).map(Self::Bytes) };
        match percent.trim().parse() {
            Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
            _ => Err(format!("`{}` is no share from `1%` to `100%`", text.escape_debug())),
        }
    }
}

impl fmt::Display for SizeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => f.write_str(&shown_size(*bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_and_shown() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (text, shown, before) in [
            ("26h", "26h", "2026-02-28T10:00:00Z"),
            ("90m", "1h 30m", "2026-03-01T10:30:00Z"),
            ("7d", "7d", "2026-02-22T12:00:00Z"),
            ("1mo", "1mo", "2026-02-01T12:00:00Z"),
        ] {
            let limit = AgeLimit::parse(text).unwrap();
            assert_eq!((limit.to_string().as_str(), limit.before(now)), (shown, before.parse().unwrap()));
        }
        for text in ["", "0", "0d", "-1h", "soon", "26 parsecs"] {
            assert!(AgeLimit::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shares_or_bytes() {
        assert_eq!(SizeLimit::parse("80%"), Ok(SizeLimit::Percent(80)));
        assert_eq!(SizeLimit::parse("10m"), Ok(SizeLimit::Bytes(10 << 20)));
        assert_eq!(SizeLimit::Bytes(10 << 20).to_string(), "10m");
        for text in ["0%", "101%", "%", "-1%", "much"] {
            assert!(SizeLimit::parse(text).is_err(), "{text}");
        }
    }
}

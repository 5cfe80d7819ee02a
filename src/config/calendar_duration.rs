//! Durations of the calendar: `12h`, `14d`, `8w`, `6mo`, `1y 6mo`.
//!
//! Promises: [`CalendarDuration::parse`] reads whatever `Display` writes, to the same value; `m` is refused, because it
//! means months to restic and minutes to envctl's other options.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{Span, SpanFieldwise, Timestamp};

/// A span of years, months, weeks, days and hours, none of them negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CalendarDuration(SpanFieldwise);

impl CalendarDuration {
    /// Reads a duration; `0` is none at all.
    ///
    /// # Errors
    /// Phrase that names the fault of the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let shown = text.escape_debug();
        if text == "0" {
            return Ok(Self(Span::new().fieldwise()));
        }
        let wrong = || format!("`{shown}` is not a duration such as `12h`, `14d`, `8w`, `6mo` or `1y`");
        let span: Span = text.parse().map_err(|_| wrong())?;
        if span.is_negative() {
            return Err(wrong());
        }
        let calendar = Span::new()
            .try_years(span.get_years())
            .and_then(|new| new.try_months(span.get_months()))
            .and_then(|new| new.try_weeks(span.get_weeks()))
            .and_then(|new| new.try_days(span.get_days()))
            .and_then(|new| new.try_hours(span.get_hours()))
            .map_err(|_| wrong())?;
        if calendar.fieldwise() != span.fieldwise() {
            return Err(format!("`{shown}` is shorter than hours; write `6mo` for months, `12h` for hours"));
        }
        Ok(Self(calendar.fieldwise()))
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.0.is_zero()
    }

    /// Returns the moment that lies this long before `at` on the calendar of the zone. A span longer than the calendar
    /// ends at its beginning.
    pub(crate) fn before(&self, at: Timestamp, zone: &TimeZone) -> Timestamp {
        at.to_zoned(zone.clone()).checked_sub(self.0.0).map_or(Timestamp::MIN, |zoned| zoned.timestamp())
    }
}

impl fmt::Display for CalendarDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() { f.write_str("0") } else { write!(f, "{:#}", self.0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_of_the_calendar_are_read() {
        for (text, shown) in [
            ("12h", "12h"),
            ("14d", "14d"),
            ("8w", "8w"),
            ("6mo", "6mo"),
            ("1y6mo", "1y 6mo"),
            ("1 year 2 days", "1y 2d"),
            ("P1Y", "1y"),
            ("0", "0"),
            ("0d", "0"),
        ] {
            assert_eq!(CalendarDuration::parse(text).map(|read| read.to_string()), Ok(shown.to_owned()));
        }
        let error = CalendarDuration::parse("6m").unwrap_err();
        assert!(error.contains("6mo"), "{error}");
        for text in ["", "7", "-7d", "7d ago", "10s", "1.5d", "7 parsecs", "99999999y"] {
            assert!(CalendarDuration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_is_one_of_the_calendar() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let at: Timestamp = "2026-03-29T10:00:00Z".parse().unwrap();
        let before = CalendarDuration::parse("1d").unwrap().before(at, &zone);
        assert_eq!(before.to_string(), "2026-03-28T11:00:00Z", "the day of the switch has 23 hours");
        let all = CalendarDuration::parse("19998y").unwrap();
        assert_eq!(all.before(at, &zone), Timestamp::MIN);
    }

    proptest! {
        #[test]
        fn round_trip(years in 0..100, months in 0..100, weeks in 0..100, days in 0..1000, hours in 0..1000) {
            let span = Span::new().years(years).months(months).weeks(weeks).days(days).hours(hours);
            let duration = CalendarDuration(span.fieldwise());
            prop_assert_eq!(CalendarDuration::parse(&duration.to_string()), Ok(duration));
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = CalendarDuration::parse(&text);
        }
    }
}

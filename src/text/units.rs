//! Numbers as people read them: sizes, rates, durations, ages, counts.
//!
//! Promises: decimal units with one spelling everywhere (`143.4 MB`), never two numbers for one thing,
//! and no surprise from clocks that disagree: what lies ahead is said to lie ahead.

use std::time::Duration;

use jiff::Timestamp;

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// A size in decimal units: `512 B`, `1.2 kB`, `143.4 MB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    // 999.95 would be rounded to 1000.0 by the one decimal.
    while value >= if unit == 0 { 1000.0 } else { 999.95 } && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Bytes per second over a time; nothing can be said of no time at all.
pub(crate) fn rate(count: u64, took: Duration) -> Option<String> {
    let seconds = took.as_secs_f64();
    (seconds > 0.0).then(|| format!("{}/s", bytes((count as f64 / seconds) as u64)))
}

/// A duration: `340 ms`, `3.4 s`, `2 min 05 s`, `1 h 02 min`, `3 d 04 h`.
pub(crate) fn duration(took: Duration) -> String {
    let milliseconds = took.as_millis();
    // 59.95 s would be rounded to 60.0 s by the one decimal.
    if milliseconds < 1000 {
        return format!("{milliseconds} ms");
    }
    if milliseconds < 59_950 {
        return format!("{:.1} s", took.as_secs_f64());
    }
    let seconds = took.as_secs() + u64::from(took.subsec_millis() >= 500);
    match seconds {
        0..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Formats the time from `then` to `now`: `just now`, `3 h ago`, `12 d ago`.
/// A later date (another machine's clock) is `3 h in the future`.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    let span = match seconds.unsigned_abs() {
        0..5 => return "just now".to_owned(),
        s @ 5..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..172_800 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    };
    if seconds < 0 { format!("{span} in the future") } else { format!("{span} ago") }
}

/// A moment as a person reads it: `2026-11-22 17:33:04 UTC`.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Formats an RFC 3339 time like [`moment`]; any other text is returned unchanged.
pub(crate) fn moment_of(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), moment)
}

/// A count with its digits in groups of three, kept together by narrow no-break spaces: `1 234 567`.
/// Numbers of up to four digits stay as they are.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    if digits.len() <= 4 {
        return digits;
    }
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count and its noun: `1 row`, `3 rows`.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal() {
        for (n, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (143_400_000, "143.4 MB"),
            (1_200_000_000, "1.2 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(n), shown);
        }
        assert_eq!(rate(96_200_000, Duration::from_secs(2)).unwrap(), "48.1 MB/s");
        assert_eq!(rate(1, Duration::ZERO), None);
    }

    #[test]
    fn durations_roll_over() {
        for (ms, shown) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (3400, "3.4 s"),
            (59_949, "59.9 s"),
            (59_960, "1 min 00 s"),
            (125_000, "2 min 05 s"),
            (3_599_600, "1 h 00 min"),
            (3_720_000, "1 h 02 min"),
            (273_600_000, "3 d 04 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), shown, "{ms}");
        }
    }

    #[test]
    fn ages_know_the_future() {
        let now: Timestamp = "2026-07-29T12:00:00Z".parse().unwrap();
        for (then, shown) in [
            ("2026-07-29T11:59:58Z", "just now"),
            ("2026-07-29T12:00:02Z", "just now"),
            ("2026-07-29T11:59:18Z", "42 s ago"),
            ("2026-07-29T11:00:01Z", "59 min ago"),
            ("2026-07-29T09:00:00Z", "3 h ago"),
            ("2026-07-27T13:00:00Z", "47 h ago"),
            ("2026-07-27T12:00:00Z", "2 d ago"),
            ("2025-07-29T12:00:00Z", "365 d ago"),
            ("2026-07-29T15:00:00Z", "3 h in the future"),
        ] {
            assert_eq!(age(then.parse().unwrap(), now), shown, "{then}");
        }
    }

    #[test]
    fn counts_are_grouped() {
        for (n, shown) in [
            (0, "0"),
            (1234, "1234"),
            (12_345, "12\u{202f}345"),
            (123_456, "123\u{202f}456"),
            (1_234_567, "1\u{202f}234\u{202f}567"),
        ] {
            assert_eq!(count(n), shown);
        }
        assert_eq!(counted(1, "row", "rows"), "1 row");
        assert_eq!(counted(0, "row", "rows"), "0 rows");
    }
}

//! Durations as people write them: `10s`, `2m`, `1h 30m`, or a plain number of seconds.
//!
//! Promise: [`parse`] reads whatever [`format()`] writes, to the same value.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads a duration: a whole number of seconds, or numbers with units from `ms` to `h`.
///
/// # Errors
/// Phrase that names the fault of the text.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let wrong =
        || format!("`{}` is not a duration; write `10s`, `2m` or a number of seconds", text.escape_debug());
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

/// Reads a duration that may be written in days or weeks too: `26h`, `7d`, `2w`. A day has 24 hours.
///
/// # Errors
/// Phrase that names the fault of the text.
pub(crate) fn parse_days(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let days = |number: &str, hours: u64| number.parse::<u64>().ok()?.checked_mul(hours * 3600);
    let long = text.strip_suffix('d').map(|number| days(number, 24));
    match long.or_else(|| text.strip_suffix('w').map(|number| days(number, 24 * 7))) {
        Some(Some(seconds)) => Ok(Duration::from_secs(seconds)),
        Some(None) => Err(format!("`{}` is not a duration; write `26h`, `7d` or `2w`", text.escape_debug())),
        None => parse(text),
    }
}

/// Writes a duration in its short form: `1m 30s`.
pub(crate) fn format(duration: Duration) -> String {
    // Longer than jiff can hold is longer than anybody waits.
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    format!("{duration:#}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        let cases = [
            ("10s", 10_000),
            ("2m", 120_000),
            ("90", 90_000),
            (" 5s ", 5_000),
            ("0", 0),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "s", "-1", "-10s", "10s ago", "ten", "10 parsecs", "1e9", "99999999999999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(milliseconds in 0u64..10_000_000_000) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}

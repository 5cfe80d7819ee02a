//! Cron expressions: five fields, as crontab(5) has them, or a nickname such as `@daily`.
//!
//! Promises: a time that the clocks skip in spring comes right after the gap, and one that they repeat in autumn comes
//! once; every expression that is read also has a form for systemd, so extensions such as `L`, `W` and `#` are refused.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A cron expression.
#[derive(Clone, Debug)]
pub(crate) struct CronSchedule {
    /// The expression as it was written.
    text: String,
    // Behind a pointer: settings are copied, and lie in many futures.
    cron: Arc<Cron>,
    times: Arc<CronTimes>,
}

/// Values that each field allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CronTimes {
    pub(crate) minutes: BTreeSet<u8>,
    pub(crate) hours: BTreeSet<u8>,
    pub(crate) days: BTreeSet<u8>,
    pub(crate) months: BTreeSet<u8>,
    /// Days of the week; Sunday is 0.
    pub(crate) weekdays: BTreeSet<u8>,
    /// True where one of both day fields is enough, as in `0 0 13 * 5`.
    pub(crate) either_day: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Runs that are looked at to learn the longest time between two of them.
const RUNS_LOOKED_AT: usize = 400;

impl CronSchedule {
    /// Reads an expression.
    ///
    /// # Errors
    /// Phrase that names the fault of the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = text.escape_debug();
        let nickname = NICKNAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        let expression = nickname.map_or(text.as_str(), |(_, expression)| expression);
        let fields: Vec<&str> = expression.split(' ').collect();
        let &[minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!(
                "`{shown}` is no cron expression; write minute, hour, day, month and weekday: `30 1 * * *`"
            ));
        };
        let wrong = |fault: String| format!("`{shown}` is no cron expression: {fault}");
        let values = |name: &str, field: &str, range: RangeInclusive<u8>, names: &[&str]| {
            values(field, &range, names).map_err(|fault| wrong(format!("{name} `{field}`: {fault}")))
        };
        let mut times = CronTimes {
            minutes: values("minute", minutes, 0..=59, &[])?,
            hours: values("hour", hours, 0..=23, &[])?,
            days: values("day", days, 1..=31, &[])?,
            months: values("month", months, 1..=12, &MONTHS)?,
            weekdays: values("weekday", weekdays, 0..=7, &WEEKDAYS)?,
            // As Vixie's cron: a field that begins with a star restricts the other one.
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        if times.weekdays.remove(&7) {
            times.weekdays.insert(0);
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .dom_and_dow(!times.either_day)
            .build();
        let cron = parser.parse(expression).map_err(|cause| wrong(cause.to_string()))?;
        let schedule = Self { text: text.clone(), cron: Arc::new(cron), times: Arc::new(times) };
        if schedule.next_after(Timestamp::UNIX_EPOCH, &TimeZone::UTC).is_none() {
            return Err(wrong("no day has this date".to_owned()));
        }
        Ok(schedule)
    }

    /// Returns the first time after a moment; `None` where the calendar ends before it.
    pub(crate) fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&after.to_zoned(zone.clone()), false).ok()?;
        Some(next.timestamp())
    }

    /// Returns the longest time between two runs of the year after a moment.
    pub(crate) fn longest_gap(&self, from: Timestamp, zone: &TimeZone) -> SignedDuration {
        let next = |at: &Timestamp| self.next_after(*at, zone);
        let runs = std::iter::successors(next(&from), next).take(RUNS_LOOKED_AT);
        let runs: Vec<Timestamp> = runs.collect();
        let gaps = runs.windows(2).map(|pair| pair[1].duration_since(pair[0]));
        gaps.max().unwrap_or(SignedDuration::from_hours(24 * 366))
    }

    /// Returns the values of each field.
    pub(crate) fn times(&self) -> &CronTimes {
        &self.times
    }
}

impl PartialEq for CronSchedule {
    fn eq(&self, other: &Self) -> bool {
        self.times == other.times
    }
}

impl Eq for CronSchedule {}

impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns the values of a field.
fn values(field: &str, range: &RangeInclusive<u8>, names: &[&str]) -> Result<BTreeSet<u8>, String> {
    let (least, most) = (*range.start(), *range.end());
    let value = |text: &str| -> Result<u8, String> {
        if let Some(at) = names.iter().position(|name| text.eq_ignore_ascii_case(name)) {
            return Ok(least + at as u8);
        }
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("expected a number from {least} to {most}, a range, a list or `*`"))
    };
    let mut values = BTreeSet::new();
    for item in field.split(',') {
        let (part, step) = match item.split_once('/') {
            None => (item, None),
            Some((part, step)) => {
                let step = step.parse::<u8>().ok().filter(|step| *step > 0);
                (part, Some(step.ok_or("the step behind `/` is a number from 1")?))
            }
        };
        let (first, last) = match part.split_once('-') {
            // Of weekdays 7 is Sunday again.
            None if part == "*" => (least, if most == 7 { 6 } else { most }),
            None if step.is_some() => (value(part)?, if most == 7 { 6 } else { most }),
            None => (value(part)?, value(part)?),
            Some((first, last)) => (value(first)?, value(last)?),
        };
        if first > last {
            return Err(format!("{first} is behind {last}"));
        }
        values.extend((first..=last).step_by(step.unwrap_or(1).into()));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = CronSchedule::parse(expression).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let next = |at: &Timestamp| schedule.next_after(*at, &zone);
        let first = next(&after.parse().unwrap());
        std::iter::successors(first, next).take(count).map(|at| at.to_string()).collect()
    }

    #[test]
    fn the_next_run_follows_the_expression() {
        for (expression, after, next) in [
            ("30 1 * * *", "2026-05-01T01:29:59Z", "2026-05-01T01:30:00Z"),
            ("30 1 * * *", "2026-05-01T01:30:00Z", "2026-05-02T01:30:00Z"),
            ("*/15 * * * *", "2026-05-01T23:50:00Z", "2026-05-02T00:00:00Z"),
            ("0 4 * * mon-fri", "2026-05-01T05:00:00Z", "2026-05-04T04:00:00Z"),
            ("0 0 29 2 *", "2026-05-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("@weekly", "2026-05-01T00:00:00Z", "2026-05-03T00:00:00Z"),
            ("0 0 13 * 5", "2026-05-02T00:00:00Z", "2026-05-08T00:00:00Z"),
            ("0 0 */13 * 5", "2026-05-02T00:00:00Z", "2026-08-14T00:00:00Z"),
            ("0 0 1 jan 7", "2026-12-28T00:00:00Z", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(runs(expression, "UTC", after, 1), [next], "{expression}");
        }
    }

    #[test]
    fn a_time_that_the_clocks_skip_comes_after_the_gap_and_one_that_they_repeat_comes_once() {
        // 02:00 becomes 03:00 on 29 March, and 03:00 becomes 02:00 on 25 October.
        let spring = runs("30 2 * * *", "Europe/Berlin", "2026-03-28T02:00:00Z", 3);
        assert_eq!(spring, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]);
        let autumn = runs("30 2 * * *", "Europe/Berlin", "2026-10-24T02:00:00Z", 2);
        assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        // One that comes every hour goes on every hour.
        let hourly = runs("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4);
        assert_eq!(
            hourly,
            ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"]
        );
        let skipped = runs("0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", 3);
        assert_eq!(skipped, ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]);
    }

    #[test]
    fn the_longest_time_between_two_runs_is_known() {
        let gap = |expression: &str| {
            let from = "2026-01-01T00:00:00Z".parse().unwrap();
            CronSchedule::parse(expression).unwrap().longest_gap(from, &TimeZone::UTC).as_hours()
        };
        assert_eq!((gap("30 1 * * *"), gap("@hourly"), gap("0 4 * * mon-fri")), (24, 1, 72));
    }

    #[test]
    fn what_is_no_expression_is_refused_with_its_fault() {
        for (text, fault) in [
            ("", "minute, hour, day, month and weekday"),
            ("30 1 * *", "minute, hour, day, month and weekday"),
            ("0 30 1 * * *", "minute, hour, day, month and weekday"),
            ("@reboot", "minute, hour, day, month and weekday"),
            ("60 * * * *", "minute `60`: expected a number from 0 to 59"),
            ("0 0 L * *", "day `L`"),
            ("0 0 * * 5#2", "weekday `5#2`"),
            ("0 0 * * fri-mon", "5 is behind 1"),
            ("*/0 * * * *", "the step"),
            ("0 0 31 2 *", "no day has this date"),
        ] {
            let error = CronSchedule::parse(text).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }

    #[test]
    fn the_values_of_a_field_are_those_that_the_expression_allows() {
        let schedule = CronSchedule::parse("5,10-20/5 */6 1 feb,12 sat-7").unwrap();
        let times = schedule.times();
        let list = |set: &BTreeSet<u8>| set.iter().copied().collect::<Vec<_>>();
        assert_eq!(list(&times.minutes), [5, 10, 15, 20]);
        assert_eq!(list(&times.hours), [0, 6, 12, 18]);
        assert_eq!(list(&times.months), [2, 12]);
        assert_eq!(list(&times.weekdays), [0, 6]);
        assert!(times.either_day);
    }
}

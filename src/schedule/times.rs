//! Times of the runs of a schedule.
//!
//! Promises: a run that was missed is made up once, however many were missed; a clock that was set back stops nothing.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config::cron_schedule::CronSchedule;

/// Times at which the runs of a schedule begin.
#[derive(Clone, Debug)]
pub(crate) struct RunTimes {
    pub(crate) cron: CronSchedule,
    pub(crate) zone: TimeZone,
    /// Longest delay of a run.
    pub(crate) jitter: Duration,
}

/// Delay from which a run that has not begun is overdue.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// Delay from which a run is told as one that is made up.
const MISSED_AFTER: SignedDuration = SignedDuration::from_mins(1);

impl RunTimes {
    /// Returns the moment after `after` for which the next run is due, which may be over; `None` where the calendar ends before it.
    pub(crate) fn next_run(&self, after: Timestamp) -> Option<Timestamp> {
        self.cron.next_after(after, &self.zone)
    }

    /// Reports whether a run that is due now was missed: the machine or the service was off at its time.
    pub(crate) fn is_missed(&self, due: Timestamp, now: Timestamp) -> bool {
        now.duration_since(due) > self.jitter() + MISSED_AFTER
    }

    /// Reports whether the next run has not begun although its time is over.
    pub(crate) fn is_overdue(&self, after: Timestamp, now: Timestamp) -> bool {
        let next = self.next_run(after);
        next.is_some_and(|next| now.duration_since(next) > self.jitter() + OVERDUE_AFTER)
    }

    /// Returns the age of the newest backup from which something is wrong: the longest time between two runs, a twelfth
    /// of it, from one hour to one day, and the delay.
    pub(crate) fn max_age(&self, now: Timestamp) -> Duration {
        let gap = self.cron.longest_gap(now, &self.zone).unsigned_abs();
        let slack = (gap / 12).clamp(Duration::from_hours(1), Duration::from_hours(24));
        let minutes = (gap + slack + self.jitter).as_secs().div_ceil(60);
        // Hours where nothing is lost: `26h`.
        let minutes = if minutes > 180 { minutes.div_ceil(60) * 60 } else { minutes };
        Duration::from_mins(minutes)
    }

    fn jitter(&self) -> SignedDuration {
        SignedDuration::try_from(self.jitter).unwrap_or(SignedDuration::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::state::{ScheduleSelection, ScheduleState};
    use super::*;

    fn times(cron: &str, zone: &str) -> RunTimes {
        let (cron, zone) = (CronSchedule::parse(cron).unwrap(), TimeZone::get(zone).unwrap());
        RunTimes { cron, zone, jitter: Duration::ZERO }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// State of a schedule whose last run began at this moment.
    fn ran(started: Timestamp) -> ScheduleState {
        let mut state = ScheduleState::new(ScheduleSelection::default(), at("2026-01-01T00:00:00Z"));
        state.begin(started);
        state
    }

    #[test]
    fn the_next_run_comes_after_the_last_one() {
        let nightly = times("30 1 * * *", "UTC");
        let next = nightly.next_run(ran(at("2026-05-01T01:30:04Z")).after);
        assert_eq!(next, Some(at("2026-05-02T01:30:00Z")));
        let new = ScheduleState::new(ScheduleSelection::default(), at("2026-05-01T12:00:00Z"));
        assert_eq!(nightly.next_run(new.after), next, "nothing is made up at first");
    }

    #[test]
    fn a_run_that_was_missed_is_made_up_once() {
        let nightly = times("30 1 * * *", "UTC");
        let now = at("2026-05-09T08:00:00Z");
        let mut state = ran(at("2026-05-01T01:30:00Z"));
        let due = nightly.next_run(state.after).unwrap();
        assert!(due < now && nightly.is_missed(due, now), "{due}");
        state.begin(now);
        assert_eq!(nightly.next_run(state.after), Some(at("2026-05-10T01:30:00Z")));
        assert!(!nightly.is_missed(at("2026-05-09T07:59:30Z"), now));
    }

    #[test]
    fn a_run_that_a_signal_ended_is_made_anew_and_one_that_failed_is_not() {
        let nightly = times("30 1 * * *", "UTC");
        for (code, next) in [(143, "2026-05-02T01:30:00Z"), (7, "2026-05-03T01:30:00Z")] {
            let mut state = ran(at("2026-05-01T01:30:00Z"));
            state.begin(at("2026-05-02T01:30:00Z"));
            state.end(at("2026-05-02T01:31:00Z"), code, None);
            assert_eq!(nightly.next_run(state.after), Some(at(next)), "{code}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nothing() {
        let nightly = times("30 1 * * *", "UTC");
        // The clock said 2030 while the last run was made.
        let now = at("2026-05-01T00:00:00Z");
        let state = ran(at("2030-01-01T01:30:00Z")).corrected(now).unwrap();
        assert_eq!(nightly.next_run(state.after), Some(at("2026-05-01T01:30:00Z")));
        // One that is a minute off does not run twice.
        let state = ran(at("2026-05-01T01:30:00Z"));
        assert_eq!(state.corrected(at("2026-05-01T01:29:00Z")), None);
    }

    #[test]
    fn a_run_that_does_not_begin_is_overdue() {
        let nightly = RunTimes { jitter: Duration::from_mins(10), ..times("30 1 * * *", "UTC") };
        let state = ran(at("2026-05-01T01:30:00Z"));
        for (now, overdue) in [
            ("2026-05-01T23:00:00Z", false),
            ("2026-05-02T01:54:00Z", false),
            ("2026-05-02T01:56:00Z", true),
            ("2026-05-12T00:00:00Z", true),
        ] {
            assert_eq!(nightly.is_overdue(state.after, at(now)), overdue, "{now}");
        }
    }

    #[test]
    fn the_age_of_a_check_leaves_time_for_a_run() {
        let now = at("2026-01-01T00:00:00Z");
        for (cron, zone, age) in [
            ("30 1 * * *", "UTC", "26h"),
            ("@hourly", "UTC", "2h"),
            ("* * * * *", "UTC", "1h 1m"),
            ("0 4 * * mon-fri", "UTC", "78h"),
            // The night in October has 25 hours.
            ("30 1 * * *", "Europe/Berlin", "28h"),
        ] {
            assert_eq!(crate::config::duration::format(times(cron, zone).max_age(now)), age, "{cron} {zone}");
        }
    }

    proptest! {
        #[test]
        fn every_run_moves_the_next_one_on(
            last in 1_700_000_000i64..1_900_000_000,
            now in 1_700_000_000i64..1_900_000_000,
            cron in prop::sample::select(vec!["30 2 * * *", "*/7 * * * *", "0 0 29 2 *", "15 3 1 * 1"]),
        ) {
            let times = times(cron, "Europe/Berlin");
            let now = Timestamp::from_second(now).unwrap();
            let state = ran(Timestamp::from_second(last).unwrap());
            let state = state.corrected(now).unwrap_or(state);
            let began = times.next_run(state.after).unwrap().max(now);
            prop_assert!(times.next_run(ran(began).after).unwrap() > began);
        }
    }
}

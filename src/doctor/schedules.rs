//! Schedules of backups: whether their runs begin and succeed.
//!
//! Promise: what is judged is the state that a run writes, beside the backups; the service itself is not asked.

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::CheckFinding;
use crate::error::Result;
use crate::schedule::state::{ScheduleFile, ScheduleSelection, ScheduleState};
use crate::text::shell_word::shell_word;
use crate::text::units::{age, duration};

const CHECK: &str = "schedule";

/// A schedule whose state was found.
#[derive(Debug)]
pub(crate) struct ScheduleReport {
    pub(crate) path: PathBuf,
    /// The state, or the reason why it cannot be read.
    pub(crate) state: Result<ScheduleState>,
    /// True while a run is at work.
    pub(crate) running: bool,
}

/// Condition of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScheduleCondition {
    /// No run has begun yet.
    New,
    Running,
    Succeeded,
    /// A signal ended the last run, which is made anew.
    Cancelled,
    Failed,
    /// The last run was killed.
    Killed,
    /// The next run should have begun.
    Overdue,
}

impl ScheduleReport {
    /// Returns the condition of a schedule with this state.
    pub(crate) fn condition(
        &self,
        state: &ScheduleState,
        now: Timestamp,
        local: &TimeZone,
    ) -> ScheduleCondition {
        if self.running {
            return ScheduleCondition::Running;
        }
        if state.times(local).is_some_and(|times| times.is_overdue(state.after, now)) {
            return ScheduleCondition::Overdue;
        }
        match &state.last {
            None => ScheduleCondition::New,
            Some(last) if last.is_cancelled() => ScheduleCondition::Cancelled,
            Some(last) => match last.exit_code {
                None => ScheduleCondition::Killed,
                Some(0) => ScheduleCondition::Succeeded,
                Some(_) => ScheduleCondition::Failed,
            },
        }
    }
}

/// Finds the schedules whose states lie in these directories of backups.
pub(crate) fn look(directories: &[PathBuf]) -> Vec<ScheduleReport> {
    let files = directories.iter().flat_map(|directory| ScheduleFile::all(directory));
    let report = |file: ScheduleFile| {
        let state = match file.load() {
            Ok(Some(state)) => Ok(state),
            Ok(None) => return None,
            Err(error) => Err(error),
        };
        Some(ScheduleReport { running: file.is_running(), path: file.path, state })
    };
    files.filter_map(report).collect()
}

/// Judges each schedule.
pub(crate) fn judge(reports: &[ScheduleReport], now: Timestamp, local: &TimeZone) -> Vec<CheckFinding> {
    reports.iter().map(|report| judge_one(report, now, local)).collect()
}

fn judge_one(report: &ScheduleReport, now: Timestamp, local: &TimeZone) -> CheckFinding {
    let state = match &report.state {
        Ok(state) => state,
        Err(error) => return CheckFinding::warning(CHECK, error.full_message()).explained_by(error),
    };
    let what = |condition: &str| format!("{}: {condition}", state.selection.shown());
    let again = || format!("make a run now: `envctl backup schedule run --once{}`", flags(&state.selection));
    match report.condition(state, now, local) {
        ScheduleCondition::Overdue => {
            let due = state.times(local).and_then(|times| times.next_run(state.after)).unwrap_or(now);
            CheckFinding::problem(
                CHECK,
                what(&format!("its run was due {} and has not begun", age(due, now))),
            )
            .next("look at what starts it: `systemctl list-timers`, `docker ps`, `crontab -l`")
        }
        ScheduleCondition::Failed => {
            let last = state.last.as_ref();
            let when = last.map(|last| age(last.started, now)).unwrap_or_default();
            let error = last.and_then(|last| last.error.clone()).unwrap_or_default();
            let mut finding =
                CheckFinding::problem(CHECK, what(&format!("its last run, {when}, failed: {error}")))
                    .next(again());
            let errors = last.iter().flat_map(|last| &last.backups);
            let errors =
                errors.filter_map(|backup| Some(format!("{}: {}", backup.stack, backup.error.as_ref()?)));
            finding.notes.extend(errors);
            finding
        }
        ScheduleCondition::Killed => {
            CheckFinding::problem(CHECK, what("its last run was killed before its end")).next(again())
        }
        ScheduleCondition::Running => CheckFinding::ok(CHECK, what("a run is at work")),
        ScheduleCondition::New | ScheduleCondition::Succeeded | ScheduleCondition::Cancelled => {
            CheckFinding::ok(CHECK, summary(report, state, now, local))
        }
    }
}

/// Describes a schedule in one line.
pub(crate) fn summary(
    report: &ScheduleReport,
    state: &ScheduleState,
    now: Timestamp,
    local: &TimeZone,
) -> String {
    let last = match (report.condition(state, now, local), &state.last) {
        (ScheduleCondition::Running, _) => "a run is at work".to_owned(),
        (_, None) => "no run yet".to_owned(),
        (condition, Some(last)) => {
            let end = match (condition, last.exit_code) {
                (ScheduleCondition::Killed, _) | (_, None) => "killed",
                (_, Some(0)) => "done",
                (ScheduleCondition::Cancelled, _) => "cancelled",
                (_, Some(_)) => "failed",
            };
            format!("last run {}, {end}", age(last.started, now))
        }
    };
    let next = state.times(local).and_then(|times| times.next_run(state.after)).map(|next| {
        if next > now {
            format!(", next in {}", duration(next.duration_since(now).unsigned_abs()))
        } else {
            format!(", the next was due {}", age(next, now))
        }
    });
    format!("{}: {last}{}", state.selection.shown(), next.unwrap_or_default())
}

/// Options that mean the backups of a schedule.
fn flags(selection: &ScheduleSelection) -> String {
    let mut flags = if selection.all_stacks { " --all-stacks".to_owned() } else { String::new() };
    flags.extend(selection.stacks.iter().map(|stack| format!(" -s {}", shell_word(stack))));
    match selection.profile.as_deref() {
        Some(name @ ("prod" | "dev")) => flags.push_str(&format!(" --{name}")),
        Some(name) => flags.push_str(&format!(" --profile {}", shell_word(name))),
        None => {}
    }
    flags.extend(selection.database.iter().map(|name| format!(" -d {}", shell_word(name))));
    if selection.all_databases {
        flags.push_str(" --all-databases");
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;
    use crate::config::cron_schedule::CronSchedule;
    use crate::schedule::times::RunTimes;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn nightly() -> ScheduleState {
        let selection = ScheduleSelection {
            stacks: vec!["shop".into()],
            profile: Some("prod".into()),
            ..ScheduleSelection::default()
        };
        ScheduleState::new(selection, at("2026-05-01T00:00:00Z")).with_times(&RunTimes {
            cron: CronSchedule::parse("30 1 * * *").unwrap(),
            zone: TimeZone::UTC,
            jitter: std::time::Duration::ZERO,
        })
    }

    fn judged(state: ScheduleState, now: &str) -> CheckFinding {
        let report =
            ScheduleReport { path: "/b/.schedule/shop.prod.json".into(), state: Ok(state), running: false };
        judge(&[report], at(now), &TimeZone::UTC).remove(0)
    }

    #[test]
    fn a_schedule_that_works_is_told_with_its_next_run() {
        let finding = judged(nightly(), "2026-05-01T00:30:00Z");
        assert_eq!(finding.severity, Severity::Ok);
        assert_eq!(finding.what, "shop prod: no run yet, next in 1 h 00 min");
        let mut state = nightly();
        state.begin(at("2026-05-01T01:30:00Z"));
        state.end(at("2026-05-01T01:31:00Z"), 0, None);
        let finding = judged(state, "2026-05-01T10:30:00Z");
        assert_eq!(finding.what, "shop prod: last run 9 h ago, done, next in 15 h 00 min");
    }

    #[test]
    fn a_run_that_failed_was_killed_or_is_overdue_is_a_problem() {
        let mut state = nightly();
        let finding = judged(state.clone(), "2026-05-01T04:30:00Z");
        assert_eq!(finding.severity, Severity::Problem);
        assert_eq!(finding.what, "shop prod: its run was due 3 h ago and has not begun");
        state.begin(at("2026-05-01T01:30:00Z"));
        let killed = judged(state.clone(), "2026-05-01T04:30:00Z");
        assert_eq!(killed.what, "shop prod: its last run was killed before its end");
        state.end(at("2026-05-01T01:31:00Z"), 7, Some("pg_dump failed".into()));
        let failed = judged(state.clone(), "2026-05-01T04:30:00Z");
        assert_eq!(failed.severity, Severity::Problem);
        assert_eq!(failed.what, "shop prod: its last run, 3 h ago, failed: pg_dump failed");
        assert_eq!(failed.next, ["make a run now: `envctl backup schedule run --once -s shop --prod`"]);
        state.end(at("2026-05-01T01:31:00Z"), 143, Some("cancelled".into()));
        assert_eq!(judged(state, "2026-05-01T01:32:00Z").severity, Severity::Ok);
    }
}

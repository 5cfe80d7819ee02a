//! State of a schedule: which stacks it is for, when its runs begin, and what became of the last one.
//!
//! Promises: a file beside the backups, replaced as a whole; one run at a time has its lock, which ends with the
//! process; a file that cannot be understood is an error and no new schedule.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::times::RunTimes;
use crate::config::cron_schedule::CronSchedule;
use crate::error::{self, Result};
use crate::fsutil::atomic_file::AtomicFile;
use crate::fsutil::read_lock::SoleLock;
use crate::random::nonce;

/// Directory of the states, in the directory of backups.
const DIRECTORY: &str = ".schedule";
const EXTENSION: &str = "json";

/// Version of the file's form.
const SCHEMA: u32 = 1;

/// Difference between clocks that is no sign of a clock that was set back.
const CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_mins(5);

/// Backups that a schedule makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduleSelection {
    /// Names and globs; empty is the stack of the directory.
    pub(crate) stacks: Vec<String>,
    pub(crate) all_stacks: bool,
    pub(crate) profile: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) all_databases: bool,
}

impl ScheduleSelection {
    /// Returns the selection as a name of a file: `shop.prod`.
    pub(crate) fn file_name(&self) -> String {
        let stacks = match self.stacks.as_slice() {
            _ if self.all_stacks => "all".to_owned(),
            [] => "here".to_owned(),
            stacks => stacks.join("+"),
        };
        let parts = [Some(stacks), self.profile.clone(), self.database.clone()];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(".");
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.+".contains(c) { c } else { '_' };
        name.chars().map(plain).collect()
    }

    /// Returns the selection as a person reads it: `shop prod`.
    pub(crate) fn shown(&self) -> String {
        let stacks = match self.stacks.as_slice() {
            _ if self.all_stacks => "all stacks".to_owned(),
            [] => "the stack of the directory".to_owned(),
            stacks => stacks.join(", "),
        };
        let profile = self.profile.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let database = self.database.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        format!("{stacks}{profile}{database}")
    }
}

/// State of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduleState {
    schema: u32,
    #[serde(flatten)]
    pub(crate) selection: ScheduleSelection,
    /// Cron expression; `None` where a timer outside of envctl starts the runs.
    pub(crate) cron: Option<String>,
    /// Name of the time zone; `None` is the machine's.
    pub(crate) time_zone: Option<String>,
    pub(crate) jitter_ms: u64,
    /// Moment after which the next run comes: begin of the last run, or of the schedule.
    pub(crate) after: Timestamp,
    pub(crate) last: Option<LastScheduledRun>,
    pub(crate) last_success: Option<Timestamp>,
}

/// One run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastScheduledRun {
    pub(crate) started: Timestamp,
    /// `None` while it runs, and where it was killed.
    pub(crate) ended: Option<Timestamp>,
    pub(crate) exit_code: Option<u8>,
    pub(crate) error: Option<String>,
    pub(crate) backups: Vec<ScheduledBackup>,
    /// [`ScheduleState::after`] of before, which counts again where a signal ends the run: it is made anew.
    previous: Timestamp,
}

/// Backup of one database service in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduledBackup {
    pub(crate) stack: String,
    pub(crate) profile: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) path: Option<String>,
    /// Addresses of the copies in stores.
    pub(crate) copies: Vec<String>,
    /// Level of its verification; `None` where it was not verified.
    pub(crate) verified: Option<String>,
    /// Number of backups that were removed; `None` where none were to be.
    pub(crate) removed: Option<u64>,
    pub(crate) error: Option<String>,
}

impl ScheduleState {
    /// Returns the state of a schedule that has not run.
    pub(crate) fn new(selection: ScheduleSelection, after: Timestamp) -> Self {
        Self {
            schema: SCHEMA,
            selection,
            cron: None,
            time_zone: None,
            jitter_ms: 0,
            after,
            last: None,
            last_success: None,
        }
    }

    /// Returns the state with the times of its runs.
    pub(crate) fn with_times(self, times: &RunTimes) -> Self {
        Self {
            cron: Some(times.cron.to_string()),
            time_zone: times.zone.iana_name().map(str::to_owned),
            jitter_ms: u64::try_from(times.jitter.as_millis()).unwrap_or(u64::MAX),
            ..self
        }
    }

    /// Returns the times of the runs; `None` where they are not known.
    pub(crate) fn times(&self, local: &TimeZone) -> Option<RunTimes> {
        Some(RunTimes {
            cron: CronSchedule::parse(self.cron.as_ref()?).ok()?,
            zone: self.time_zone.as_ref().map_or(Some(local.clone()), |name| TimeZone::get(name).ok())?,
            jitter: Duration::from_millis(self.jitter_ms),
        })
    }

    /// Reports whether the other one makes the same backups at the same times.
    pub(crate) fn is_same_schedule(&self, other: &Self) -> bool {
        self.selection == other.selection && self.cron == other.cron && self.time_zone == other.time_zone
    }

    /// Returns the state of a schedule that replaces this one: what was done stays.
    pub(crate) fn changed_to(self, new: Self) -> Self {
        Self { last: self.last, last_success: self.last_success, ..new }
    }

    /// Returns the state with which a schedule goes on after the clock was set back; `None` where it was not. Else no
    /// run would come until the clock is where it was.
    pub(crate) fn corrected(&self, now: Timestamp) -> Option<Self> {
        let is_wrong = self.after.duration_since(now) > CLOCK_DIFFERENCE;
        is_wrong.then(|| Self { after: now, ..self.clone() })
    }

    /// Notes the begin of a run.
    pub(crate) fn begin(&mut self, at: Timestamp) {
        self.last = Some(LastScheduledRun::begun(at, self.after));
        self.after = at;
    }

    /// Notes the end of the run that began last.
    pub(crate) fn end(&mut self, at: Timestamp, exit_code: u8, error: Option<String>) {
        if let Some(last) = &mut self.last {
            last.ended = Some(at);
            last.exit_code = Some(exit_code);
            last.error = error;
            if exit_code == 0 {
                self.last_success = Some(at);
            }
            if last.is_cancelled() {
                self.after = last.previous;
            }
        }
    }
}

impl LastScheduledRun {
    /// Returns a run that has just begun.
    fn begun(started: Timestamp, previous: Timestamp) -> Self {
        Self { started, ended: None, exit_code: None, error: None, backups: Vec::new(), previous }
    }

    /// Reports whether a signal ended the run.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self.exit_code, Some(129 | 130 | 143))
    }
}

/// One run, as an answer shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScheduledRunRow {
    started: Timestamp,
    ended: Option<Timestamp>,
    exit_code: Option<u8>,
    error: Option<String>,
    pub(crate) backups: Vec<ScheduledBackup>,
}

impl From<&LastScheduledRun> for ScheduledRunRow {
    fn from(run: &LastScheduledRun) -> Self {
        Self {
            started: run.started,
            ended: run.ended,
            exit_code: run.exit_code,
            error: run.error.clone(),
            backups: run.backups.clone(),
        }
    }
}

/// File of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScheduleFile {
    pub(crate) path: PathBuf,
}

impl ScheduleFile {
    /// Returns the file of a selection in a directory of backups.
    pub(crate) fn new(backups: &Path, selection: &ScheduleSelection) -> Self {
        let name = format!("{}.{EXTENSION}", selection.file_name());
        Self { path: backups.join(DIRECTORY).join(name) }
    }

    /// Lists the files in a directory of backups, by name.
    pub(crate) fn all(backups: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(backups.join(DIRECTORY)).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let is_ours = |path: &PathBuf| {
            path.extension().is_some_and(|extension| extension == EXTENSION)
                && !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
        };
        let mut files: Vec<Self> = paths.filter(is_ours).map(|path| Self { path }).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// Reads the state; `None` where there is no file.
    ///
    /// # Errors
    /// Kind `Failed`: the file cannot be read or understood.
    pub(crate) fn load(&self) -> Result<Option<ScheduleState>> {
        let shown = self.path.display();
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(error::failed(format!("cannot read {shown}")).because(cause)),
        };
        match serde_json::from_str::<ScheduleState>(&text) {
            Ok(state) if state.schema <= SCHEMA => Ok(Some(state)),
            Ok(_) => Err(error::failed(format!("{shown} was written by a newer envctl"))),
            Err(cause) => Err(error::failed(format!("{shown} cannot be understood"))
                .because(cause)
                .hint("remove it: the schedule then begins anew")),
        }
    }

    /// Writes the state.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub(crate) fn save(&self, state: &ScheduleState) -> Result<()> {
        use std::io::Write as _;
        let text = serde_json::to_string_pretty(state)
            .map_err(|cause| error::failed("the state of the schedule cannot be written").because(cause))?;
        let mut file = AtomicFile::create(&self.path, &nonce()[..8])?;
        let written = file.writer()?.write_all(format!("{text}\n").as_bytes());
        written
            .map_err(|cause| error::failed(format!("cannot write {}", self.path.display())).because(cause))?;
        file.publish(true)
    }

    /// Takes the lock of a run; `None` where another run has it.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub(crate) fn try_lock(&self) -> Result<Option<SoleLock>> {
        let path = self.lock_path();
        let failed = |cause| error::failed(format!("cannot write {}", path.display())).because(cause);
        if let Some(directory) = path.parent() {
            use std::os::unix::fs::DirBuilderExt as _;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        Ok(SoleLock::try_take(&path))
    }

    /// Reports whether a run is at work.
    pub(crate) fn is_running(&self) -> bool {
        SoleLock::try_take(&self.lock_path()).is_none()
    }

    fn lock_path(&self) -> PathBuf {
        self.path.with_extension("lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(stacks: &[&str], profile: Option<&str>) -> ScheduleSelection {
        ScheduleSelection {
            stacks: stacks.iter().map(|&stack| stack.to_owned()).collect(),
            profile: profile.map(str::to_owned),
            ..ScheduleSelection::default()
        }
    }

    #[test]
    fn the_name_of_the_file_leads_nowhere_else() {
        for (stacks, profile, name) in [
            (&["shop"][..], Some("prod"), "shop.prod"),
            (&["shop*", "blog"], None, "shop_+blog"),
            (&["../../etc"], None, ".._.._etc"),
            (&[], Some("dev"), "here.dev"),
        ] {
            assert_eq!(selection(stacks, profile).file_name(), name);
        }
        let all = ScheduleSelection { all_stacks: true, ..ScheduleSelection::default() };
        assert_eq!((all.file_name(), all.shown()), ("all".to_owned(), "all stacks".to_owned()));
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let home = tempfile::tempdir().unwrap();
        let selection = selection(&["shop"], Some("prod"));
        let file = ScheduleFile::new(home.path(), &selection);
        assert_eq!(file.load().unwrap(), None);
        let mut state = ScheduleState::new(selection, "2026-05-01T00:00:00Z".parse().unwrap());
        file.save(&state).unwrap();
        state.begin("2026-05-01T01:30:00Z".parse().unwrap());
        state.end("2026-05-01T01:31:00Z".parse().unwrap(), 0, None);
        file.save(&state).unwrap();
        assert_eq!(file.load().unwrap().as_ref(), Some(&state));
        assert_eq!(state.last_success, state.last.as_ref().and_then(|last| last.ended));
        assert_eq!(ScheduleFile::all(home.path()), std::slice::from_ref(&file));
        std::fs::write(&file.path, "{").unwrap();
        assert!(file.load().unwrap_err().full_message().contains("cannot be understood"));
    }

    #[test]
    fn one_run_has_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let file = ScheduleFile::new(home.path(), &ScheduleSelection::default());
        assert!(!file.is_running());
        let lock = file.try_lock().unwrap();
        assert!(lock.is_some() && file.is_running() && file.try_lock().unwrap().is_none());
        drop(lock);
        assert!(!file.is_running());
    }
}

//! Options of `backup schedule` and of its `run`, over the keys of `[backup.schedule]`.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::app::App;
use crate::config::Settings;
use crate::config::cron_schedule::CronSchedule;
use crate::config::duration;
use crate::config::origin::Origin;
use crate::config::value_type::zone;
use crate::error::{self, Result};
use crate::schedule::state::{ScheduleFile, ScheduleSelection};
use crate::schedule::times::RunTimes;

/// Arguments of `backup schedule run`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ScheduleRunArgs {
    #[command(flatten)]
    pub(super) options: ScheduleOptions,
    /// Make one run now, and end
    #[arg(long)]
    pub(super) once: bool,
    /// This process is a run of a service
    #[arg(long, hide = true, requires = "once")]
    pub(super) supervised: bool,
}

/// Options of a schedule, over the keys of `[backup.schedule]`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ScheduleOptions {
    /// Minute, hour, day, month and weekday, as in a crontab: "30 1 * * *"
    #[arg(long, value_name = "CRON", value_parser = CronSchedule::parse)]
    pub(super) cron: Option<CronSchedule>,
    /// Time zone of the cron expression: Europe/Berlin
    #[arg(long, value_name = "NAME", value_parser = zone)]
    pub(super) time_zone: Option<TimeZone>,
    /// Begin each run later, by up to this time: 10m
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(super) jitter: Option<Duration>,
    /// Verification of each backup: off, quick, structure or restore
    #[arg(long, value_name = "DEPTH", value_parser = ["off", "quick", "structure", "restore"])]
    pub(super) verify: Option<String>,
    /// Every database and the roles, in one tar of plain dumps
    #[arg(long)]
    pub(super) all_databases: bool,
    /// Do not encrypt, although there are recipients or a store is a remote one
    #[arg(long)]
    pub(super) plain: bool,
}

impl ScheduleOptions {
    /// Returns the times of the runs: each option, else its key.
    ///
    /// # Errors
    /// Kind `Usage`: there is no such time zone.
    pub(super) fn times(&self, settings: &Settings, app: &App) -> Result<RunTimes> {
        let keys = &settings.backup.schedule;
        let named = match (&self.time_zone, &keys.time_zone) {
            (Some(zone), _) => Some(zone.clone()),
            (None, Some(name)) => Some(zone(name).map_err(error::usage)?),
            (None, None) => None,
        };
        Ok(RunTimes {
            cron: self.cron.clone().unwrap_or_else(|| keys.cron.clone()),
            zone: named.unwrap_or_else(|| app.time_zone()),
            jitter: self.jitter.unwrap_or(keys.jitter),
        })
    }

    /// Reports whether an option, a variable or a file says when a run begins.
    pub(super) fn says_when(&self, settings: &Settings) -> bool {
        self.cron.is_some() || *settings.origin("backup.schedule.cron") != Origin::Default
    }

    /// Returns the backups that are made.
    pub(super) fn selection(&self, settings: &Settings) -> ScheduleSelection {
        let target = &settings.target;
        let mut stacks = target.stacks.clone();
        if stacks.is_empty() && !target.all_stacks {
            stacks.extend(target.rules.stack.clone());
        }
        let typed = matches!(settings.origin("database.name"), Origin::Flag { .. } | Origin::Env { .. });
        ScheduleSelection {
            stacks,
            all_stacks: target.all_stacks,
            profile: target.profile.clone(),
            database: settings.database(None).name.clone().filter(|_| typed),
            all_databases: self.all_databases,
        }
    }

    /// Returns the file of the schedule's state.
    pub(super) fn file(&self, settings: &Settings) -> ScheduleFile {
        ScheduleFile::new(&settings.backup.root, &self.selection(settings))
    }
}

/// Returns a moment in the time zone of a schedule, as a person reads it.
pub(super) fn shown(at: Timestamp, times: &RunTimes) -> String {
    let zoned = at.to_zoned(times.zone.clone());
    let zone = times.zone.iana_name().unwrap_or("local time");
    format!("{} {zone}", zoned.strftime("%Y-%m-%d %H:%M"))
}

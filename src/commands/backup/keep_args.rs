//! Options that say which backups `backup prune` keeps, over the keys of `[backup.keep]`.

use jiff::tz::TimeZone;

use crate::app::App;
use crate::config::Settings;
use crate::config::calendar_duration::CalendarDuration;
use crate::config::value_type::{keep_count, shown_count, zone};
use crate::error::{self, Result};
use crate::repository::retention::{Period, RetentionPolicy};
use crate::text::shell_word::shell_word;

/// Arguments that make a retention policy.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct KeepArgs {
    /// The N newest backups; `all` here and below keeps every one
    #[arg(long, value_name = "N", help_heading = "Keep", value_parser = keep_count)]
    keep_last: Option<u32>,
    /// The newest backup of each of the last N hours that have one
    #[arg(long, value_name = "N", help_heading = "Keep", value_parser = keep_count)]
    keep_hourly: Option<u32>,
    /// The newest backup of each of the last N days that have one
    #[arg(long, value_name = "N", help_heading = "Keep", value_parser = keep_count)]
    keep_daily: Option<u32>,
    /// The newest backup of each of the last N weeks that have one
    #[arg(long, value_name = "N", help_heading = "Keep", value_parser = keep_count)]
    keep_weekly: Option<u32>,
    /// The newest backup of each of the last N months that have one
    #[arg(long, value_name = "N", help_heading = "Keep", value_parser = keep_count)]
    keep_monthly: Option<u32>,
    /// The newest backup of each of the last N years that have one
    #[arg(long, value_name = "N", help_heading = "Keep", value_parser = keep_count)]
    keep_yearly: Option<u32>,
    /// Every backup that is not older than the newest by more than this: 12h, 14d, 8w, 6mo, 1y
    #[arg(long, value_name = "TIME", help_heading = "Keep", value_parser = CalendarDuration::parse)]
    keep_within: Option<CalendarDuration>,
    /// The newest backup of each hour within this time
    #[arg(long, value_name = "TIME", help_heading = "Keep", value_parser = CalendarDuration::parse)]
    keep_within_hourly: Option<CalendarDuration>,
    /// The newest backup of each day within this time
    #[arg(long, value_name = "TIME", help_heading = "Keep", value_parser = CalendarDuration::parse)]
    keep_within_daily: Option<CalendarDuration>,
    /// The newest backup of each week within this time
    #[arg(long, value_name = "TIME", help_heading = "Keep", value_parser = CalendarDuration::parse)]
    keep_within_weekly: Option<CalendarDuration>,
    /// The newest backup of each month within this time
    #[arg(long, value_name = "TIME", help_heading = "Keep", value_parser = CalendarDuration::parse)]
    keep_within_monthly: Option<CalendarDuration>,
    /// The newest backup of each year within this time
    #[arg(long, value_name = "TIME", help_heading = "Keep", value_parser = CalendarDuration::parse)]
    keep_within_yearly: Option<CalendarDuration>,
    /// Safety backups that are not older than the newest backup by more than this
    #[arg(long, value_name = "TIME", help_heading = "Keep", value_parser = CalendarDuration::parse)]
    keep_safety: Option<CalendarDuration>,
    /// Time zone of hours, days and longer periods: Europe/Berlin
    #[arg(long, value_name = "NAME", help_heading = "Keep", value_parser = zone)]
    time_zone: Option<TimeZone>,
}

impl KeepArgs {
    fn counts(&self) -> [Option<u32>; 6] {
        [
            self.keep_last,
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ]
    }

    fn within(&self) -> [Option<CalendarDuration>; 6] {
        [
            self.keep_within,
            self.keep_within_hourly,
            self.keep_within_daily,
            self.keep_within_weekly,
            self.keep_within_monthly,
            self.keep_within_yearly,
        ]
    }

    /// Returns the policy: each option, else its key. Stores have keys of their own: rules for a small disk would empty
    /// them.
    ///
    /// # Errors
    /// Kind `Usage`: no rule keeps anything.
    pub(super) fn policy(&self, settings: &Settings, in_store: bool) -> Result<RetentionPolicy> {
        let backup = &settings.backup;
        let (keep, table) =
            if in_store { (&backup.keep_in_stores, "keep_in_stores") } else { (&backup.keep, "keep") };
        let (counts, within) = (self.counts(), self.within());
        let policy = RetentionPolicy {
            counts: std::array::from_fn(|n| counts[n].or(keep.counts[n]).unwrap_or(0)),
            within: std::array::from_fn(|n| within[n].or(keep.within[n])),
            safety: self.keep_safety.unwrap_or(keep.safety),
        };
        if policy.is_empty() {
            return Err(error::usage("cannot prune: no rule says which backups to keep")
                .hint("give a rule, see what it would remove: `envctl backup prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12`")
                .note(format!("rules for every run belong into envctl.toml, `[backup.{table}]`")));
        }
        Ok(policy)
    }

    /// Returns the time zone: the option, else the key, else the machine's.
    ///
    /// # Errors
    /// Kind `Usage`: there is no such time zone.
    pub(super) fn zone(&self, settings: &Settings, app: &App) -> Result<TimeZone> {
        if let Some(zone) = &self.time_zone {
            return Ok(zone.clone());
        }
        let key = settings.backup.keep.time_zone.as_deref();
        key.map_or_else(|| Ok(app.time_zone()), |name| zone(name).map_err(error::usage))
    }

    /// Returns the options as they were typed.
    pub(super) fn typed(&self) -> String {
        let counts = self.counts().map(|number| number.map(shown_count));
        let within = self.within().map(|duration| duration.map(|duration| duration.to_string()));
        let name = |prefix: &str, period: Period| format!(" --keep-{prefix}{}", period.keyword());
        let mut typed = String::new();
        for (period, number) in Period::EACH.into_iter().zip(counts) {
            typed.extend(number.map(|number| format!("{} {number}", name("", period))));
        }
        for (period, duration) in Period::EACH.into_iter().zip(within) {
            let option =
                if period == Period::Last { " --keep-within".to_owned() } else { name("within-", period) };
            typed.extend(duration.map(|duration| format!("{option} {}", shell_word(&duration))));
        }
        typed.extend(self.keep_safety.map(|age| format!(" --keep-safety {}", shell_word(&age.to_string()))));
        let zone = self.time_zone.as_ref().and_then(TimeZone::iana_name);
        typed.extend(zone.map(|zone| format!(" --time-zone {}", shell_word(zone))));
        typed
    }
}

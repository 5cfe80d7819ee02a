//! A schedule that is to be installed: the command that is run, and everything about it that its host has to know.

use std::path::PathBuf;
use std::time::Duration;

use super::times::RunTimes;

/// A schedule for a target such as systemd.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    /// Name of the unit or the service: `envctl-backup-shop.prod`.
    pub(crate) name: String,
    /// Backups that are made, for a person: `shop prod`.
    pub(crate) about: String,
    /// Absolute path of envctl.
    pub(crate) program: String,
    /// Options of the target, of the place and of the run.
    pub(crate) arguments: Vec<String>,
    /// Options of `backup check`.
    pub(crate) check_arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) times: RunTimes,
    /// Age of the newest backup from which the health check fails.
    pub(crate) max_age: Duration,
    /// Name of the time zone where it is not the machine's.
    pub(crate) time_zone: Option<String>,
    /// User and group that run it.
    pub(crate) user: InstallationUser,
}

/// User and group of the process that prints the schedule.
#[derive(Clone, Debug)]
pub(crate) struct InstallationUser {
    pub(crate) name: Option<String>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Part of a schedule that lies outside of a container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerParts {
    pub(crate) image: String,
    /// Directories and files that have the same path in the container; true where they are written.
    pub(crate) mounts: Vec<(PathBuf, bool)>,
    /// Socket of the Docker engine, and its group.
    pub(crate) socket: Option<(PathBuf, u32)>,
}

impl Installation {
    /// Returns the command line behind the program.
    pub(crate) fn run_once(&self) -> Vec<String> {
        let mut command: Vec<String> = ["backup", "schedule", "run", "--once"].map(str::to_owned).into();
        command.extend(self.arguments.iter().cloned());
        command
    }
}

#[cfg(test)]
impl Installation {
    /// A nightly schedule whose arguments need quoting.
    pub(crate) fn sample(cron: &str) -> Self {
        use crate::config::cron_schedule::CronSchedule;

        let arguments = ["-s", "shop", "--prod", "-C", "/srv/my shop/100% \"a\\b\" $HOME"];
        Self {
            name: "envctl-backup-shop.prod".into(),
            about: "shop prod".into(),
            program: "/usr/local/bin/envctl".into(),
            arguments: arguments.map(str::to_owned).into(),
            check_arguments: ["-s", "shop", "--prod", "--max-age", "26h"].map(str::to_owned).into(),
            environment: vec![("ENVCTL_BACKUP_DIR".into(), "/srv/back ups/50%".into())],
            times: RunTimes {
                cron: CronSchedule::parse(cron).unwrap(),
                zone: jiff::tz::TimeZone::UTC,
                jitter: Duration::ZERO,
            },
            max_age: Duration::from_hours(26),
            time_zone: None,
            user: InstallationUser { name: Some("ana".into()), uid: 1000, gid: 1000 },
        }
    }
}

//! Scheduled backups: when the next run comes, the state that outlives a run, and the text that installs a schedule.
//!
//! Promise: nothing here waits or reads a clock; the time is a parameter.

pub(crate) mod compose;
pub(crate) mod crontab;
pub(crate) mod installation;
pub(crate) mod state;
pub(crate) mod systemd;
pub(crate) mod times;

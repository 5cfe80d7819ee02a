//! Settings: from flags, `ENVCTL_…` variables and files to one value with every question answered.
//!
//! The way of a setting: [`parsed_file`] (as written) → [`resolve`] (precedence, origins) → [`settings`] (decided).
//! [`keys`] has a row for every key; the checks, the layers, the messages and the manual follow from it. A new key is
//! one row there, and the field of [`settings`] that takes its value.
//!
//! Promises: a setting remembers where it came from; an unknown key is an error with a suggestion; what
//! lifts a guard (`--yes`, `--confirm`, `--force`, `--allow-prod`, `--untested`, `--no-backup`) is never
//! read from a variable or a file; no secret is held in a form that prints.

pub(crate) mod backup_dir;
pub(crate) mod calendar_duration;
pub(crate) mod check_limits;
pub(crate) mod color;
pub(crate) mod cron_schedule;
pub(crate) mod duration;
pub(crate) mod generate;
pub(crate) mod inputs;
pub(crate) mod keys;
pub(crate) mod origin;
pub(crate) mod parsed_file;
pub(crate) mod ping_url;
pub(crate) mod project;
pub(crate) mod resolve;
pub(crate) mod secret;
pub(crate) mod settings;
pub(crate) mod stack;
pub(crate) mod store_url;
#[cfg(test)]
mod tests;
pub(crate) mod value_type;
pub(crate) mod write_new;

pub(crate) use crate::config::inputs::Flags;
pub(crate) use crate::config::inputs::Inputs;
pub(crate) use origin::Sourced;
pub(crate) use resolve::resolve;
pub(crate) use settings::{SettingRow, Settings};
pub(crate) use value_type::{cpus, memory};

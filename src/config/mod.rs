//! Settings: from flags, `ENVCTL_…` variables and files to one value with every question answered.
//!
//! The way of a setting: [`file`] (as written, read by [`crate::config::parsed_file`]) → [`resolve`] (precedence, origins) → [`settings`]
//! (decided). [`keys`] lists every key once; the checks, the messages and the manual read it from there.
//!
//! Promises: a setting remembers where it came from; an unknown key is an error with a suggestion; what
//! lifts a guard (`--yes`, `--confirm`, `--force`, `--allow-prod`, `--untested`, `--no-backup`) is never
//! read from a variable or a file; no secret is held in a form that prints.

pub(crate) mod backup_dir;
pub(crate) mod duration;
pub(crate) mod file;
pub(crate) mod generate;
pub(crate) mod keys;
pub(crate) mod origin;
pub(crate) mod parsed_file;
pub(crate) mod project;
pub(crate) mod resolve;
pub(crate) mod secret;
pub(crate) mod settings;
pub(crate) mod stack;
#[cfg(test)]
mod tests;
pub(crate) mod write_new;

pub(crate) use origin::Sourced;
pub(crate) use resolve::{Flags, Inputs, cpus, memory, resolve};
pub(crate) use settings::{SettingRow, Settings};

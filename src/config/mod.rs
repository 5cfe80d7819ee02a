//! Settings: from flags, `ENVCTL_…` variables and files to one value with every question answered.
//!
//! The way of a setting: [`file`] (as written, read by [`loaded`]) → [`resolve`] (precedence, origins) → [`settings`]
//! (decided). [`keys`] lists every key once; the checks, the messages and the manual read it from there.
//!
//! Promises: a setting remembers where it came from; an unknown key is an error with a suggestion; what
//! lifts a guard (`--yes`, `--confirm`, `--force`, `--allow-prod`, `--untested`, `--no-backup`) is never
//! read from a variable or a file; no secret is held in a form that prints.

mod backups;
pub mod create;
pub mod draft;
pub mod duration;
pub mod file;
pub mod keys;
pub mod loaded;
pub mod origin;
pub mod project;
pub mod resolve;
pub mod secret;
pub mod settings;
pub mod stack;
#[cfg(test)]
mod tests;

pub use origin::{Given, Origin};
pub use resolve::{Flags, Inputs, cpus, memory, resolve};
pub use secret::SecretSource;
pub use settings::{SettingRow, Settings};

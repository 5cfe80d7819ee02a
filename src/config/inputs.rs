//! Inputs of the settings: flags, environment, files and the project's directory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::color::Color;
use super::origin::Sourced;

/// Everything that settings are made from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    /// The command line.
    pub(crate) flags: Flags,
    /// The environment variables (those that are not Unicode left out).
    pub(crate) env: BTreeMap<String, String>,
    /// The working directory, absolute.
    pub(crate) cwd: PathBuf,
    /// The home directory.
    pub(crate) home: Option<PathBuf>,
    /// The user's number, to know whose file was found; `None` where there are none.
    pub(crate) uid: Option<u32>,
}

/// Options of the command line; `None` where an option was not given. An option that clap filled from its variable is
/// given as [`Sourced::env`]. A variable that clap was not told about is read here, to the same effect.
/// No option that lifts a guard has a field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// `-s/--stack`, repeatable.
    pub(crate) stacks: Option<Sourced<Vec<String>>>,
    /// `--all-stacks`.
    pub(crate) all_stacks: Option<Sourced<bool>>,
    /// `--dev`, `--prod`, `--profile NAME`.
    pub(crate) profile: Option<Sourced<String>>,
    /// `--container`.
    pub(crate) container: Option<Sourced<String>>,
    /// `--index`.
    pub(crate) index: Option<Sourced<u32>>,
    /// `-d/--database`.
    pub(crate) database: Option<Sourced<String>>,
    /// `-C/--project-dir`.
    pub(crate) project_dir: Option<Sourced<PathBuf>>,
    /// `--config`.
    pub(crate) config: Option<Sourced<PathBuf>>,
    /// `--context`.
    pub(crate) context: Option<Sourced<String>>,
    /// `-H/--host`.
    pub(crate) host: Option<Sourced<String>>,
    /// `--lock-timeout`.
    pub(crate) lock_timeout: Option<Sourced<Duration>>,
    /// `--stall-timeout`.
    pub(crate) stall_timeout: Option<Sourced<Duration>>,
    /// `--timeout`.
    pub(crate) timeout: Option<Sourced<Duration>>,
    /// `--color`.
    pub(crate) color: Option<Sourced<Color>>,
}

/// Inputs of the settings. `Debug` prints no value, since variables may hold secrets.
#[derive(Clone)]
pub(crate) struct Remembered(pub(super) Arc<Inputs>);

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}

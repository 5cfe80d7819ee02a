//! Origin of a value, for `envctl config` and for messages.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Origin of a value, strongest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub(crate) enum Origin {
    /// An option on the command line.
    Flag {
        /// Option as typed in full: `--stack`.
        name: String,
    },
    /// An environment variable.
    Env {
        /// Name of the variable: `ENVCTL_STACK`.
        name: String,
    },
    /// A configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: Option<usize>,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag { name } | Self::Env { name } => f.write_str(name),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value that somebody gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sourced<T> {
    /// Value that was given.
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

impl<T> Sourced<T> {
    /// A value from the command line; `name` as typed in full (`--stack`).
    pub(crate) fn flag(name: &str, value: T) -> Self {
        Self { value, origin: Origin::Flag { name: name.to_owned() } }
    }

    /// A value from an environment variable.
    pub(crate) fn env(name: &str, value: T) -> Self {
        Self { value, origin: Origin::Env { name: name.to_owned() } }
    }

    /// Replaces the value; the origin stays.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced { value: change(self.value), origin: self.origin }
    }
}

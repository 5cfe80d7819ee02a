//! A configuration file as written: nothing decided, nothing filled in.
//!
//! Promise: the fields here and the keys of `keys.rs` are the same; a test says so. Reading is in `loaded.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::duration;
use super::settings::Color;

/// Content of a configuration file. `keys.rs` documents each field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub(crate) struct ConfigFile {
    pub(crate) stack: Option<String>,
    pub(crate) timeout: Option<DurationText>,
    pub(crate) lock_timeout: Option<DurationText>,
    pub(crate) stall_timeout: Option<DurationText>,
    pub(crate) profiles: BTreeMap<String, ProfileTable>,
    pub(crate) database: DatabaseTable,
    pub(crate) docker: DockerTable,
    pub(crate) backup: BackupTable,
    pub(crate) restore: RestoreTable,
    pub(crate) migrations: MigrationsTable,
    pub(crate) output: OutputTable,
}

/// `[profiles.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub(crate) struct ProfileTable {
    pub(crate) project: Option<String>,
    pub(crate) backend: Option<String>,
    pub(crate) db: Option<String>,
    pub(crate) protected: Option<bool>,
    pub(crate) context: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) database: DatabaseTable,
}

/// `[database]` and `[profiles.NAME.database]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub(crate) struct DatabaseTable {
    pub(crate) name: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) os_user: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) password_command: Option<CommandWords>,
}

/// `[docker]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub(crate) struct DockerTable {
    pub(crate) context: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) transport: Option<String>,
    pub(crate) worker_min_size: Option<SizeText>,
    pub(crate) worker_memory: Option<SizeText>,
    pub(crate) worker_cpus: Option<SizeText>,
}

/// `[backup]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub(crate) struct BackupTable {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) format: Option<String>,
    pub(crate) compress: Option<String>,
    pub(crate) jobs: Option<u32>,
    pub(crate) exclude_table_data: Option<Vec<String>>,
    pub(crate) manifest_key_file: Option<PathBuf>,
    pub(crate) manifest_key_command: Option<CommandWords>,
}

/// `[restore]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub(crate) struct RestoreTable {
    pub(crate) jobs: Option<JobCount>,
}

/// `[migrations]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub(crate) struct MigrationsTable {
    pub(crate) driver: Option<String>,
    pub(crate) dir: Option<String>,
    pub(crate) layout: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) preset: Option<String>,
    pub(crate) commands: CommandsTable,
    pub(crate) backup_age: Option<DurationText>,
    pub(crate) studio: Option<String>,
    pub(crate) studio_image: Option<String>,
}

/// `[migrations.commands]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub(crate) struct CommandsTable {
    pub(crate) status: Option<CommandWords>,
    pub(crate) apply: Option<CommandWords>,
    pub(crate) create: Option<CommandWords>,
    pub(crate) reset: Option<CommandWords>,
    pub(crate) seed: Option<CommandWords>,
}

/// `[output]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub(crate) struct OutputTable {
    pub(crate) color: Option<Color>,
}

/// A number of sessions; `None`: `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct JobCount(pub(crate) Option<u32>);

impl std::str::FromStr for JobCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        match text.parse() {
            Ok(0) => Err("at least 1".to_owned()),
            Ok(number) => Ok(Self(Some(number))),
            Err(_) => Err(format!("`{}` is neither `auto` nor a whole number", text.escape_debug())),
        }
    }
}

impl<'de> Deserialize<'de> for JobCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected `auto` or a number of sessions")]
        enum Written {
            Number(u32),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A duration, as text or as a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct DurationText(pub(crate) Duration);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a duration such as \"10s\" or a number of seconds")]
        enum Written {
            Seconds(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => Ok(Self(Duration::from_secs(seconds))),
            Written::Text(text) => duration::parse(&text).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// An amount, as text with a unit or as a number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct SizeText(pub(crate) String);

impl<'de> Deserialize<'de> for SizeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a number, or a text such as \"512m\"")]
        enum Written {
            Whole(u64),
            Number(f64),
            Text(String),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Whole(number) => number.to_string(),
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        }))
    }
}

/// A command: the program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct CommandWords(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for CommandWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own message for a wrong type quotes the text, which may hold a token.
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a list of words such as [\"pass\", \"show\", \"db\"]")]
        enum Written {
            Words(Vec<String>),
        }
        let Written::Words(words) = Written::deserialize(deserializer)?;
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Self(words)),
            _ => Err(serde::de::Error::custom("the command is empty")),
        }
    }
}

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
pub struct ConfigFile {
    pub stack: Option<String>,
    pub timeout: Option<Limit>,
    pub lock_timeout: Option<Limit>,
    pub stall_timeout: Option<Limit>,
    pub profiles: BTreeMap<String, ProfileTable>,
    pub database: DatabaseTable,
    pub docker: DockerTable,
    pub backup: BackupTable,
    pub restore: RestoreTable,
    pub migrations: MigrationsTable,
    pub output: OutputTable,
}

/// `[profiles.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ProfileTable {
    pub project: Option<String>,
    pub backend: Option<String>,
    pub db: Option<String>,
    pub protected: Option<bool>,
    pub context: Option<String>,
    pub host: Option<String>,
    pub database: DatabaseTable,
}

/// `[database]` and `[profiles.NAME.database]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct DatabaseTable {
    pub name: Option<String>,
    pub user: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub os_user: Option<String>,
    pub password_file: Option<PathBuf>,
    pub password_command: Option<Argv>,
}

/// `[docker]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct DockerTable {
    pub context: Option<String>,
    pub host: Option<String>,
    pub transport: Option<String>,
    pub worker_memory: Option<Amount>,
    pub worker_cpus: Option<Amount>,
}

/// `[backup]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct BackupTable {
    pub dir: Option<PathBuf>,
    pub format: Option<String>,
    pub compress: Option<String>,
    pub jobs: Option<u32>,
    pub exclude_table_data: Option<Vec<String>>,
    pub manifest_key_file: Option<PathBuf>,
    pub manifest_key_command: Option<Argv>,
}

/// `[restore]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RestoreTable {
    pub jobs: Option<Sessions>,
}

/// `[migrations]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct MigrationsTable {
    pub driver: Option<String>,
    pub dir: Option<String>,
    pub layout: Option<String>,
    pub schema: Option<String>,
    pub preset: Option<String>,
    pub commands: CommandsTable,
    pub backup_age: Option<Limit>,
    pub studio: Option<String>,
    pub studio_image: Option<String>,
}

/// `[migrations.commands]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct CommandsTable {
    pub status: Option<Argv>,
    pub apply: Option<Argv>,
    pub create: Option<Argv>,
    pub reset: Option<Argv>,
    pub seed: Option<Argv>,
}

/// `[output]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct OutputTable {
    pub color: Option<Color>,
}

/// A number of sessions; `None`: `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Sessions(pub Option<u32>);

impl std::str::FromStr for Sessions {
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

impl<'de> Deserialize<'de> for Sessions {
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
pub struct Limit(pub Duration);

impl<'de> Deserialize<'de> for Limit {
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
pub struct Amount(pub String);

impl<'de> Deserialize<'de> for Amount {
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
pub struct Argv(pub Vec<String>);

impl<'de> Deserialize<'de> for Argv {
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

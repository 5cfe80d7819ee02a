//! Settings: every question answered. What is still `None` here is an answer too, and says which.
//!
//! Promise: made only by [`super::resolve()`]; below it nobody asks a flag, a variable or a file again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{Given, Origin};
use super::secret::SecretSource;
use super::stack::Remembered;
use crate::environment::request::TargetRequest;

/// Every setting, decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Target that the user asks for, with the project directory and the file's rules.
    pub target: TargetRequest,
    /// The project's file that was read; `None` where there is none.
    pub project_file: Option<PathBuf>,
    /// Transport of dump bytes, and limits of workers.
    pub workers: WorkerSettings,
    /// Settings of backups, with their place.
    pub backup: BackupSettings,
    /// Settings of restores.
    pub restore: RestoreSettings,
    /// Settings of migrations, with their tool and place.
    pub migrations: MigrationSettings,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Use of colour in the output.
    pub color: Color,
    pub(super) home: Option<PathBuf>,
    /// For the settings of another project.
    pub(super) inputs: Remembered,
    pub(super) databases: PerProfile<Database>,
    pub(super) daemons: PerProfile<DaemonWish>,
    pub(super) rows: Vec<SettingRow>,
}

impl Settings {
    /// Returns the database settings of a profile. The profile's own table overrides the general one, a flag overrides
    /// both. A profile without a table has the general one.
    pub fn database(&self, profile: Option<&str>) -> &Database {
        self.databases.of(profile)
    }

    /// Which daemon was asked for, for a profile; `None` is what holds for all.
    pub fn daemon(&self, profile: Option<&str>) -> &DaemonWish {
        self.daemons.of(profile)
    }

    /// Every setting with its origin, for `envctl config`. No value is a secret.
    pub fn table(&self) -> &[SettingRow] {
        &self.rows
    }

    /// Returns the origin of a setting.
    pub fn origin(&self, key: &str) -> &Origin {
        self.rows.iter().find(|row| row.key == key).map_or(&Origin::Default, |row| &row.origin)
    }
}

/// One line of `envctl config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingRow {
    /// The key as in `envctl.toml`, or the option's name where it has no key.
    pub key: String,
    /// The value, safe to print; `None` means that nothing is set and envctl finds out by itself.
    pub value: Option<String>,
    /// Origin of the value.
    pub origin: Origin,
}

/// A value that profiles may have their own of.
#[derive(Clone, Debug, Default)]
pub(super) struct PerProfile<T> {
    pub(super) general: T,
    pub(super) own: BTreeMap<String, T>,
}

impl<T> PerProfile<T> {
    fn of(&self, profile: Option<&str>) -> &T {
        profile.and_then(|name| self.own.get(name)).unwrap_or(&self.general)
    }
}

/// Connection settings of a database. `None` means: as the container itself was set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// The database's name.
    pub name: Option<String>,
    /// The role to connect as.
    pub user: Option<String>,
    /// The user in the container that runs the tools.
    pub os_user: Option<String>,
    /// Address at which the server listens in its container.
    pub host: Option<String>,
    /// The port there.
    pub port: Option<u16>,
    /// Source of the password.
    pub password: Option<SecretSource>,
}

/// The daemon that was asked for; both `None` means: as the docker CLI would choose. Both set means that
/// one command line named both, which `docker::context` refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonWish {
    /// A context's name.
    pub context: Option<Given<String>>,
    /// A host URL; may hold a password, so it is shown through `docker::context` only.
    pub host: Option<Given<String>>,
}

impl DaemonWish {
    pub(super) fn is_empty(&self) -> bool {
        self.context.is_none() && self.host.is_none()
    }
}

/// Settings of `[docker]`: the transport of dump bytes, and the limits of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSettings {
    /// `auto`, `worker` or `exec`.
    pub transport: String,
    /// Bytes of memory a worker may use.
    pub memory: Option<u64>,
    /// Processors a worker may use.
    pub cpus: Option<f64>,
}

/// `[backup]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSettings {
    /// The folder that holds `<stack>/<profile>/…`.
    pub root: PathBuf,
    /// `plain`, `custom` or `directory`.
    pub format: String,
    /// `gzip`, `zstd` or `none`, perhaps with `:LEVEL`.
    pub compress: String,
    /// Number of tables that a dump in directory format takes at once, at least 1.
    pub jobs: u32,
    /// Patterns of tables whose rows are left out.
    pub exclude_table_data: Vec<String>,
    /// Source of the keys that authenticate manifests; `None` is this user's own key.
    pub manifest_key: Option<SecretSource>,
}

/// `[restore]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreSettings {
    /// Sessions a restore loads over, at least 1; `None`: as the dump is worth it.
    pub jobs: Option<u32>,
}

/// `[migrations]`. `None` is found by looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationSettings {
    /// `auto`, `prisma`, `sql` or `command`.
    pub driver: String,
    /// The folder, as written.
    pub dir: Option<String>,
    /// The layout's word.
    pub layout: Option<String>,
    /// The schema's place in the container.
    pub schema: Option<String>,
    /// The Prisma CLI whose Studio is taken, in the backend's container.
    pub studio: Option<String>,
    /// The image for Studio beside the database.
    pub studio_image: Option<String>,
    /// The tool's word.
    pub preset: Option<String>,
    /// Command lines instead of the preset's.
    pub commands: MigrationCommands,
    /// Greatest age of the last backup of production; `None` asks for no backup.
    pub backup_age: Option<Duration>,
}

/// `[migrations.commands]`: program and arguments of each. `None` is the preset's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the verbs")]
pub struct MigrationCommands {
    pub status: Option<Vec<String>>,
    pub apply: Option<Vec<String>>,
    pub create: Option<Vec<String>>,
    pub reset: Option<Vec<String>>,
    pub seed: Option<Vec<String>>,
}

/// Time limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Longest wait for a lock; zero does not wait.
    pub lock: Duration,
    /// Longest time that a stream may stand still; `None` is for ever.
    pub stall: Option<Duration>,
    /// The whole command; `None` is without limit.
    pub overall: Option<Duration>,
}

/// Use of colour in the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(try_from = "String")]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// The word in options and files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

impl TryFrom<String> for Color {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        word.parse()
    }
}

impl FromStr for Color {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Auto, Self::Always, Self::Never]
            .into_iter()
            .find(|color| color.word() == word)
            .ok_or_else(|| format!("`{}` is not one of auto, always, never", word.escape_debug()))
    }
}

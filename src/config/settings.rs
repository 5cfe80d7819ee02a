//! Settings: every question answered. What is still `None` here is an answer too, and says which.
//!
//! Promise: made only by [`super::resolve()`]; below it nobody asks a flag, a variable or a file again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::origin::{Origin, Sourced};
use super::secret::SecretSource;
use crate::config::calendar_duration::CalendarDuration;
use crate::config::color::Color;
use crate::config::cron_schedule::CronSchedule;
use crate::config::inputs::Remembered;
use crate::config::ping_url::PingUrl;
use crate::config::store_url::StoreUrl;
use crate::environment::selector::TargetRequest;

/// Every setting, decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Target that the user asks for, with the project directory and the file's rules.
    pub(crate) target: TargetRequest,
    /// The project's file that was read; `None` where there is none.
    pub(crate) project_file: Option<PathBuf>,
    /// Transport of dump bytes, and limits of workers.
    pub(crate) workers: TransportSettings,
    /// Settings of backups, with their place.
    pub(crate) backup: BackupSettings,
    pub(crate) hooks: HookSettings,
    pub(crate) restore: RestoreSettings,
    pub(crate) verify: VerifySettings,
    /// Settings of migrations, with their tool and place.
    pub(crate) migrations: MigrationSettings,
    /// Time limits.
    pub(crate) timeouts: Timeouts,
    /// Use of colour in the output.
    pub(crate) color: Color,
    pub(crate) home: Option<PathBuf>,
    /// For the settings of another project.
    pub(crate) inputs: Remembered,
    pub(crate) databases: PerProfile<Database>,
    pub(crate) daemons: PerProfile<EndpointSettings>,
    pub(crate) rows: Vec<SettingRow>,
}

impl Settings {
    /// Returns the database settings of a profile. The profile's own table overrides the general one, a flag overrides
    /// both. A profile without a table has the general one.
    pub(crate) fn database(&self, profile: Option<&str>) -> &Database {
        self.databases.of(profile)
    }

    /// Which daemon was asked for, for a profile; `None` is what holds for all.
    pub(crate) fn daemon(&self, profile: Option<&str>) -> &EndpointSettings {
        self.daemons.of(profile)
    }

    /// Every setting with its origin, for `envctl config`. No value is a secret.
    pub(crate) fn table(&self) -> &[SettingRow] {
        &self.rows
    }

    /// Returns the origin of a setting.
    pub(crate) fn origin(&self, key: &str) -> &Origin {
        self.rows.iter().find(|row| row.key == key).map_or(&Origin::Default, |row| &row.origin)
    }
}

/// One line of `envctl config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SettingRow {
    /// The key as in `envctl.toml`, or the option's name where it has no key.
    pub(crate) key: String,
    /// The value, safe to print; `None` means that nothing is set and envctl finds out by itself.
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
}

/// A value that profiles may have their own of.
#[derive(Clone, Debug, Default)]
pub(crate) struct PerProfile<T> {
    pub(crate) general: T,
    pub(crate) own: BTreeMap<String, T>,
}

impl<T> PerProfile<T> {
    fn of(&self, profile: Option<&str>) -> &T {
        profile.and_then(|name| self.own.get(name)).unwrap_or(&self.general)
    }
}

/// Connection settings of a database. `None` means: as the container itself was set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) name: Option<String>,
    /// The role to connect as.
    pub(crate) user: Option<String>,
    /// The user in the container that runs the tools.
    pub(crate) os_user: Option<String>,
    /// Address at which the server listens in its container.
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) password: Option<SecretSource>,
}

/// The daemon that was asked for; both `None` means: as the docker CLI would choose. Both set means that
/// one command line named both, which `docker::context` refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndpointSettings {
    pub(crate) context: Option<Sourced<String>>,
    /// A host URL; may hold a password, so it is shown through `docker::context` only.
    pub(crate) host: Option<Sourced<String>>,
}

impl EndpointSettings {
    pub(crate) fn is_empty(&self) -> bool {
        self.context.is_none() && self.host.is_none()
    }
}

/// Settings of `[docker]`: the transport of dump bytes, and the limits of a worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TransportSettings {
    /// `auto`, `worker` or `exec`.
    pub(crate) transport: String,
    /// Bytes of a database from which `auto` uses a worker.
    pub(crate) min_size: u64,
    /// Bytes of memory a worker may use.
    pub(crate) memory: Option<u64>,
    /// Processors a worker may use.
    pub(crate) cpus: Option<f64>,
}

/// `[backup]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupSettings {
    /// The folder that holds `<stack>/<profile>/…`.
    pub(crate) root: PathBuf,
    /// `plain`, `custom` or `directory`.
    pub(crate) format: String,
    /// `gzip`, `zstd` or `none`, perhaps with `:LEVEL`.
    pub(crate) compress: String,
    /// Number of tables that a dump in directory format takes at once, at least 1.
    pub(crate) jobs: u32,
    /// Patterns of tables whose rows are left out.
    pub(crate) exclude_table_data: Vec<String>,
    pub(crate) keep: KeepSettings,
    /// Rules for the backups in stores. Their time zone is that of `keep`.
    pub(crate) keep_in_stores: KeepSettings,
    /// True where a backup stays until every store has a confirmed copy.
    pub(crate) keep_until_copied: bool,
    pub(crate) schedule: ScheduleSettings,
    /// Source of the keys that authenticate manifests; `None` is this user's own key.
    pub(crate) manifest_key: Option<SecretSource>,
    /// Address of the pings before and after a backup.
    pub(crate) ping: Option<PingUrl>,
    /// Stores that get copies.
    pub(crate) stores: Vec<StoreUrl>,
    pub(crate) s3: S3Settings,
    pub(crate) encryption: EncryptionSettings,
}

/// `[backup.encryption]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EncryptionSettings {
    /// No backup is made that is not encrypted.
    pub(crate) required: bool,
    /// Public keys.
    pub(crate) recipients: Vec<String>,
    /// File with more of them.
    pub(crate) recipients_file: Option<PathBuf>,
    /// Source of the private keys.
    pub(crate) identity: Option<SecretSource>,
}

/// `[hooks]`: program and arguments of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HookSettings {
    pub(crate) on_success: Option<Vec<String>>,
    pub(crate) on_failure: Option<Vec<String>>,
}

/// Server behind `s3://`. `None`: as the environment variables of AWS say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "stores"), allow(dead_code, reason = "the light build has no S3"))]
pub(crate) struct S3Settings {
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    /// True where the bucket stands in the path of an address.
    pub(crate) path_style: Option<bool>,
}

/// `[backup.keep]` and `[backup.keep_in_stores]`: the rules of `backup prune`. `None` is no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeepSettings {
    /// Numbers of backups, hours, days, weeks, months and years.
    pub(crate) counts: [Option<u32>; 6],
    /// Ages up to which each backup, and that of each hour, day, week, month and year is kept.
    pub(crate) within: [Option<CalendarDuration>; 6],
    /// Age up to which safety backups are kept.
    pub(crate) safety: CalendarDuration,
    /// Name of the time zone; `None` is the machine's.
    pub(crate) time_zone: Option<String>,
}

/// `[backup.schedule]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScheduleSettings {
    pub(crate) cron: CronSchedule,
    /// Name of the time zone; `None` is the machine's.
    pub(crate) time_zone: Option<String>,
    /// Longest delay of a run.
    pub(crate) jitter: Duration,
    /// `off`, `quick`, `structure` or `restore`.
    pub(crate) verify: String,
    /// True where backups are removed by the rules of `[backup.keep]`.
    pub(crate) prune: bool,
}

/// `[restore]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RestoreSettings {
    /// Sessions a restore loads over, at least 1; `None`: as the dump is worth it.
    pub(crate) jobs: Option<u32>,
}

/// `[verify]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifySettings {
    /// Queries that have to answer true.
    pub(crate) checks: Vec<String>,
    /// Longest time that a restore may take.
    pub(crate) rto: Option<Duration>,
}

/// `[migrations]`. `None` is found by looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MigrationSettings {
    /// `auto`, `prisma`, `sql` or `command`.
    pub(crate) driver: String,
    /// The folder, as written.
    pub(crate) dir: Option<String>,
    /// The layout's word.
    pub(crate) layout: Option<String>,
    /// The schema's place in the container.
    pub(crate) schema: Option<String>,
    /// The Prisma CLI whose Studio is taken, in the backend's container.
    pub(crate) studio: Option<String>,
    /// The image for Studio beside the database.
    pub(crate) studio_image: Option<String>,
    /// The tool's word.
    pub(crate) preset: Option<String>,
    /// Command lines instead of the preset's.
    pub(crate) commands: MigrationCommands,
    /// Greatest age of the last backup of production; `None` asks for no backup.
    pub(crate) backup_age: Option<Duration>,
}

/// `[migrations.commands]`: program and arguments of each. `None` is the preset's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the verbs")]
pub(crate) struct MigrationCommands {
    pub(crate) status: Option<Vec<String>>,
    pub(crate) apply: Option<Vec<String>>,
    pub(crate) create: Option<Vec<String>>,
    pub(crate) reset: Option<Vec<String>>,
    pub(crate) seed: Option<Vec<String>>,
}

/// Time limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// Longest wait for a lock; zero does not wait.
    pub(crate) lock: Duration,
    /// Longest time that a stream may stand still; `None` is for ever.
    pub(crate) stall: Option<Duration>,
    /// The whole command; `None` is without limit.
    pub(crate) overall: Option<Duration>,
}

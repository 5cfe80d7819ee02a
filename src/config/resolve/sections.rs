//! The plain sections of the settings: each field names its key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layers::Resolver;
use crate::config::keys::{self, Setting};
use crate::config::origin::{Origin, Sourced};
use crate::config::parsed_file::ParsedFile;
use crate::config::ping_url::PingUrl;
use crate::config::secret::SecretSource;
use crate::config::settings::{
    BackupSettings, EncryptionSettings, HookSettings, KeepSettings, MigrationCommands, MigrationSettings,
    RestoreSettings, S3Settings, ScheduleSettings, Timeouts, TransportSettings, VerifySettings,
};
use crate::config::value_type::{
    CommandLine, FilePath, HttpUrl, PingAddress, RecipientKeys, StoreUrls, Switch, Text, ValueType,
};
use crate::environment::selector::{ProfileRule, ProjectRules};
use crate::error::Result;

/// The project's rules for discovery, each as a row.
pub(crate) fn rules(layers: &mut Resolver<'_>) -> ProjectRules {
    let Some(file) = layers.project else {
        layers.row("stack", None, Origin::Default);
        return ProjectRules::default();
    };
    let stack = layers.read_file::<Text>(file, "stack");
    let stack = layers.note::<Text>("stack", stack);
    let rule = |name: &String| {
        let path = |field: &str| format!("profiles.{name}.{field}");
        let rule = ProfileRule {
            project: layers.take::<Text>(file, &path("project")),
            backend: layers.take::<Text>(file, &path("backend")),
            db: layers.take::<Text>(file, &path("db")),
            protected: layers.take::<Switch>(file, &path("protected")),
        };
        (name.clone(), rule)
    };
    ProjectRules { stack, profiles: file.profiles.iter().map(rule).collect() }
}

/// `[docker]`, except for the endpoint.
pub(crate) fn workers(layers: &mut Resolver<'_>) -> Result<TransportSettings> {
    Ok(TransportSettings {
        transport: layers.decided(&keys::DOCKER_TRANSPORT, None)?,
        min_size: layers.decided(&keys::DOCKER_WORKER_MIN_SIZE, None)?,
        memory: layers.optional(&keys::DOCKER_WORKER_MEMORY, None)?,
        cpus: layers.optional(&keys::DOCKER_WORKER_CPUS, None)?,
    })
}

/// `[backup]`; `project` is the project's folder.
pub(crate) fn backup(layers: &mut Resolver<'_>, project: Option<&Path>) -> Result<BackupSettings> {
    let dir = backup_dir(layers, project);
    Ok(BackupSettings {
        root: layers.decided_or(&keys::BACKUP_DIR, None, dir)?,
        format: layers.decided(&keys::BACKUP_FORMAT, None)?,
        compress: layers.decided(&keys::BACKUP_COMPRESS, None)?,
        jobs: layers.decided(&keys::BACKUP_JOBS, None)?,
        exclude_table_data: layers.decided_or(&keys::BACKUP_EXCLUDE_TABLE_DATA, None, Vec::new())?,
        keep: keep(layers)?,
        keep_in_stores: keep_in_stores(layers)?,
        keep_until_copied: layers.decided(&keys::KEEP_UNTIL_COPIED, None)?,
        schedule: schedule(layers)?,
        manifest_key: manifest_key(layers)?,
        ping: ping(layers)?,
        stores: {
            trusted_place(layers)?;
            layers.decided_or(&keys::BACKUP_STORES, None, Vec::new())?
        },
        s3: S3Settings {
            endpoint: layers.optional(&keys::BACKUP_S3_ENDPOINT, None)?,
            region: layers.optional(&keys::BACKUP_S3_REGION, None)?,
            path_style: layers.optional(&keys::BACKUP_S3_PATH_STYLE, None)?,
        },
        encryption: encryption(layers)?,
    })
}

/// `[backup.encryption]`.
fn encryption(layers: &mut Resolver<'_>) -> Result<EncryptionSettings> {
    trusted_encryption(layers)?;
    Ok(EncryptionSettings {
        required: encryption_is_required(layers)?,
        recipients: layers.decided_or(&keys::RECIPIENTS, None, Vec::new())?,
        recipients_file: layers.optional(&keys::RECIPIENTS_FILE, None)?,
        identity: secret(
            layers,
            &keys::IDENTITY_FILE,
            "backup.encryption.identity",
            "its identity is not used",
        )?,
    })
}

/// `required` of any layer holds: what one file demands another one does not lift.
fn encryption_is_required(layers: &mut Resolver<'_>) -> Result<bool> {
    let setting = &keys::ENCRYPT;
    let of_files = layers.files().filter_map(|file| layers.read_file::<Text>(file, setting.key.path));
    let given: Vec<Sourced<String>> = layers.read_variable(setting)?.into_iter().chain(of_files).collect();
    let demand = given.iter().find(|given| given.value == REQUIRED);
    let default = || Sourced { value: setting.key.default.to_owned(), origin: Origin::Default };
    let chosen = demand.or(given.first()).cloned().unwrap_or_else(default);
    layers.row(setting.key.path, Some(chosen.value.clone()), chosen.origin);
    Ok(chosen.value == REQUIRED)
}

/// Value that makes encryption a condition of every backup.
const REQUIRED: &str = "required";

/// Refuses the word of another user's file on encryption: it could switch it off, or name recipients of its own.
fn trusted_encryption(layers: &Resolver<'_>) -> Result<()> {
    fn says<F: ValueType>(layers: &Resolver<'_>, file: &ParsedFile, setting: &Setting<F>) -> bool {
        let overridden = setting.key.variable.is_some_and(|name| layers.variable(name).is_some());
        !overridden && file.get::<F>(setting.key.path, None).is_some()
    }
    let Some(file) = layers.project.filter(|file| !file.trusted) else { return Ok(()) };
    for (said, key) in [
        (says::<Text>(layers, file, &keys::ENCRYPT), &keys::ENCRYPT.key),
        (says::<RecipientKeys>(layers, file, &keys::RECIPIENTS), &keys::RECIPIENTS.key),
        (says::<FilePath>(layers, file, &keys::RECIPIENTS_FILE), &keys::RECIPIENTS_FILE.key),
    ] {
        if said {
            return Err(file.refuse_untrusted(key.path, "it does not decide who can open a backup"));
        }
    }
    Ok(())
}

/// `[backup.keep]`.
fn keep(layers: &mut Resolver<'_>) -> Result<KeepSettings> {
    Ok(KeepSettings {
        counts: [
            layers.optional(&keys::KEEP_LAST, None)?,
            layers.optional(&keys::KEEP_HOURLY, None)?,
            layers.optional(&keys::KEEP_DAILY, None)?,
            layers.optional(&keys::KEEP_WEEKLY, None)?,
            layers.optional(&keys::KEEP_MONTHLY, None)?,
            layers.optional(&keys::KEEP_YEARLY, None)?,
        ],
        within: [
            layers.optional(&keys::KEEP_WITHIN, None)?,
            layers.optional(&keys::KEEP_WITHIN_HOURLY, None)?,
            layers.optional(&keys::KEEP_WITHIN_DAILY, None)?,
            layers.optional(&keys::KEEP_WITHIN_WEEKLY, None)?,
            layers.optional(&keys::KEEP_WITHIN_MONTHLY, None)?,
            layers.optional(&keys::KEEP_WITHIN_YEARLY, None)?,
        ],
        safety: layers.decided(&keys::KEEP_SAFETY, None)?,
        time_zone: layers.optional(&keys::KEEP_TIME_ZONE, None)?,
    })
}

/// `[backup.keep_in_stores]`.
fn keep_in_stores(layers: &mut Resolver<'_>) -> Result<KeepSettings> {
    Ok(KeepSettings {
        counts: [
            layers.optional(&keys::STORE_KEEP_LAST, None)?,
            layers.optional(&keys::STORE_KEEP_HOURLY, None)?,
            layers.optional(&keys::STORE_KEEP_DAILY, None)?,
            layers.optional(&keys::STORE_KEEP_WEEKLY, None)?,
            layers.optional(&keys::STORE_KEEP_MONTHLY, None)?,
            layers.optional(&keys::STORE_KEEP_YEARLY, None)?,
        ],
        within: [
            layers.optional(&keys::STORE_KEEP_WITHIN, None)?,
            layers.optional(&keys::STORE_KEEP_WITHIN_HOURLY, None)?,
            layers.optional(&keys::STORE_KEEP_WITHIN_DAILY, None)?,
            layers.optional(&keys::STORE_KEEP_WITHIN_WEEKLY, None)?,
            layers.optional(&keys::STORE_KEEP_WITHIN_MONTHLY, None)?,
            layers.optional(&keys::STORE_KEEP_WITHIN_YEARLY, None)?,
        ],
        safety: layers.decided(&keys::STORE_KEEP_SAFETY, None)?,
        time_zone: None,
    })
}

/// `[backup.schedule]`.
fn schedule(layers: &mut Resolver<'_>) -> Result<ScheduleSettings> {
    if let Some(file) = layers.project.filter(|file| !file.trusted)
        && file.get::<Switch>("backup.schedule.prune", None) == Some(true)
    {
        return Err(file.refuse_untrusted("backup.schedule.prune", "no backup is removed for it"));
    }
    Ok(ScheduleSettings {
        cron: layers.decided(&keys::SCHEDULE_CRON, None)?,
        time_zone: layers.optional(&keys::SCHEDULE_TIME_ZONE, None)?,
        jitter: layers.decided(&keys::SCHEDULE_JITTER, None)?,
        verify: layers.decided(&keys::SCHEDULE_VERIFY, None)?,
        prune: layers.decided(&keys::SCHEDULE_PRUNE, None)?,
    })
}

/// `backup.ping`.
fn ping(layers: &mut Resolver<'_>) -> Result<Option<PingUrl>> {
    let setting = &keys::BACKUP_PING;
    let found = layers.find(setting, None)?;
    let is_of_file = found.as_ref().is_some_and(|found| matches!(found.origin, Origin::File { .. }));
    if let Some(file) = layers.project.filter(|file| !file.trusted && is_of_file)
        && file.get::<PingAddress>(setting.key.path, None).is_some()
    {
        return Err(file.refuse_untrusted(setting.key.path, "its address is not asked"));
    }
    Ok(layers.note::<PingAddress>(setting.key.path, found))
}

/// `[hooks]`. Neither a variable nor an option names a command.
pub(crate) fn hooks(layers: &mut Resolver<'_>) -> Result<HookSettings> {
    Ok(HookSettings {
        on_success: hook(layers, "hooks.on_success")?,
        on_failure: hook(layers, "hooks.on_failure")?,
    })
}

fn hook(layers: &mut Resolver<'_>, key: &str) -> Result<Option<Vec<String>>> {
    let found = layers.files().find_map(|file| file.get::<CommandLine>(key, None).map(|argv| (file, argv)));
    let Some((file, argv)) = found else {
        layers.row(key, None, Origin::Default);
        return Ok(None);
    };
    if !file.trusted {
        return Err(file.refuse_untrusted(key, "its command is not run"));
    }
    // The arguments may hold a token.
    layers.row(key, Some(SecretSource::Command(argv.clone()).to_string()), file.origin(key));
    Ok(Some(argv))
}

/// Refuses a place for backups that another user's file names: a whole database would go there.
fn trusted_place(layers: &Resolver<'_>) -> Result<()> {
    let Some(file) = layers.project.filter(|file| !file.trusted) else { return Ok(()) };
    for (key, variable, named) in [
        ("backup.stores", "ENVCTL_BACKUP_STORES", file.get::<StoreUrls>("backup.stores", None).is_some()),
        (
            "backup.s3_endpoint",
            "ENVCTL_STORE_ENDPOINT",
            file.get::<HttpUrl>("backup.s3_endpoint", None).is_some(),
        ),
    ] {
        if named && layers.variable(variable).is_none() {
            return Err(file.refuse_untrusted(key, "no backup is sent there"));
        }
    }
    Ok(())
}

fn backup_dir(layers: &Resolver<'_>, project: Option<&Path>) -> PathBuf {
    match project {
        Some(folder) => folder.join("backups"),
        None => layers
            .base_directory("XDG_DATA_HOME", ".local/share")
            .map_or_else(|| layers.inputs.cwd.join("backups"), |data| data.join("envctl/backups")),
    }
}

/// `backup.manifest_key_file` and `_command`.
fn manifest_key(layers: &mut Resolver<'_>) -> Result<Option<SecretSource>> {
    secret(layers, &keys::BACKUP_MANIFEST_KEY_FILE, "backup.manifest_key", "its key is not used")
}

/// `PREFIX_file` and `PREFIX_command`, one question in two forms; `consequence` is that of another user's file.
fn secret(
    layers: &mut Resolver<'_>,
    setting: &Setting<FilePath>,
    prefix: &str,
    consequence: &str,
) -> Result<Option<SecretSource>> {
    if let Some(Sourced { value, origin }) = layers.read_variable(setting)? {
        let source = SecretSource::File(value);
        layers.row(setting.key.path, Some(source.to_string()), origin);
        return Ok(Some(source));
    }
    let home = layers.inputs.home.as_deref();
    let found = layers.files().find_map(|file| file.secret(prefix, home).map(|found| (file, found)));
    let Some((file, (key, source))) = found else {
        layers.row(setting.key.path, None, Origin::Default);
        return Ok(None);
    };
    if !file.trusted {
        return Err(file.refuse_untrusted(&key, consequence));
    }
    layers.row(&key, Some(source.to_string()), file.origin(&key));
    Ok(Some(source))
}

/// `[restore]`.
pub(crate) fn restore(layers: &mut Resolver<'_>) -> Result<RestoreSettings> {
    Ok(RestoreSettings { jobs: layers.decided(&keys::RESTORE_JOBS, None)? })
}

/// `[verify]`.
pub(crate) fn verify(layers: &mut Resolver<'_>) -> Result<VerifySettings> {
    Ok(VerifySettings {
        checks: layers.decided_or(&keys::VERIFY_CHECKS, None, Vec::new())?,
        rto: layers.optional(&keys::VERIFY_RTO, None)?.and_then(limit),
    })
}

/// `[migrations]`.
pub(crate) fn migrations(layers: &mut Resolver<'_>) -> Result<MigrationSettings> {
    Ok(MigrationSettings {
        driver: layers.decided(&keys::MIGRATIONS_DRIVER, None)?,
        dir: layers.optional(&keys::MIGRATIONS_DIR, None)?,
        layout: layers.optional(&keys::MIGRATIONS_LAYOUT, None)?,
        schema: layers.optional(&keys::MIGRATIONS_SCHEMA, None)?,
        studio: layers.optional(&keys::MIGRATIONS_STUDIO, None)?,
        studio_image: layers.optional(&keys::MIGRATIONS_STUDIO_IMAGE, None)?,
        preset: layers.optional(&keys::MIGRATIONS_PRESET, None)?,
        commands: MigrationCommands {
            status: layers.optional(&keys::MIGRATIONS_COMMANDS_STATUS, None)?,
            apply: layers.optional(&keys::MIGRATIONS_COMMANDS_APPLY, None)?,
            create: layers.optional(&keys::MIGRATIONS_COMMANDS_CREATE, None)?,
            reset: layers.optional(&keys::MIGRATIONS_COMMANDS_RESET, None)?,
            seed: layers.optional(&keys::MIGRATIONS_COMMANDS_SEED, None)?,
        },
        backup_age: limit(layers.decided(&keys::MIGRATIONS_BACKUP_AGE, None)?),
    })
}

/// The three limits.
pub(crate) fn timeouts(layers: &mut Resolver<'_>) -> Result<Timeouts> {
    let flags = &layers.inputs.flags;
    Ok(Timeouts {
        lock: layers.decided(&keys::LOCK_TIMEOUT, flags.lock_timeout.as_ref())?,
        stall: limit(layers.decided(&keys::STALL_TIMEOUT, flags.stall_timeout.as_ref())?),
        overall: limit(layers.decided(&keys::TIMEOUT, flags.timeout.as_ref())?),
    })
}

/// A limit of zero is none.
fn limit(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

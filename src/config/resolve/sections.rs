//! The plain sections of the settings, each decided through the same layers.
//!
//! Promise: a value that is not allowed is an error that names who gave it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layers::{Resolver, SettingSpec};
use super::{Flags, Inputs, xdg};
use crate::config::duration;
use crate::config::file::{CommandWords, CommandsTable, DurationText, JobCount};
use crate::config::origin::{Origin, Sourced};
use crate::config::parsed_file::ParsedFile;
use crate::config::secret::SecretSource;
use crate::config::settings::{
    BackupSettings, Color, MigrationCommands, MigrationSettings, RestoreSettings, Timeouts,
};
use crate::environment::selector::ProjectRules;
use crate::error::{self, Result};

/// A whole number from a variable.
pub(crate) fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{}` is not a whole number", text.escape_debug()))
}

/// Yes or no from a variable.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("`{}` is neither true nor false", text.escape_debug())),
    }
}

/// The project's rules for discovery, each as a row.
pub(crate) fn rules(layers: &mut Resolver<'_>) -> ProjectRules {
    let Some(loaded) = layers.project else {
        layers.row("stack", None, Origin::Default);
        return ProjectRules::default();
    };
    let rules = ProjectRules::from(loaded);
    let origin = rules.stack.as_ref().map_or(Origin::Default, |_| loaded.origin("stack"));
    layers.row("stack", rules.stack.clone(), origin);
    for (name, rule) in &rules.profiles {
        let fields = [
            ("project", rule.project.clone()),
            ("backend", rule.backend.clone()),
            ("db", rule.db.clone()),
            ("protected", rule.protected.map(|yes| yes.to_string())),
        ];
        for (field, value) in fields {
            let key = format!("profiles.{name}.{field}");
            if value.is_some() {
                layers.row(&key, value, loaded.origin(&key));
            }
        }
    }
    rules
}

/// `[backup]`; `project` is the project's folder.
pub(crate) fn backup(
    inputs: &Inputs,
    layers: &mut Resolver<'_>,
    project: Option<&Path>,
) -> Result<BackupSettings> {
    let root = backup_root(inputs, layers, project)?;
    let format =
        word(layers, "backup.format", "ENVCTL_FORMAT", "plain", &["plain", "custom", "directory"], |l| {
            l.file.backup.format.clone()
        })?;
    let compress =
        word(layers, "backup.compress", "ENVCTL_COMPRESS", "gzip", &["gzip", "zstd", "none"], |l| {
            l.file.backup.compress.clone()
        })?;
    let jobs = layers.decided(
        &SettingSpec {
            key: "backup.jobs",
            flag: None,
            variable: Some("ENVCTL_BACKUP_JOBS"),
            parse: &number,
            file: &|loaded| loaded.file.backup.jobs,
        },
        1,
        |jobs: &u32| if *jobs == 0 { Err("at least 1".to_owned()) } else { Ok(()) },
        u32::to_string,
    )?;
    let exclude_table_data = layers.decided(
        &SettingSpec {
            key: "backup.exclude_table_data",
            flag: None,
            variable: None,
            parse: &|_| Ok(Vec::new()),
            file: &|loaded| loaded.file.backup.exclude_table_data.clone(),
        },
        Vec::new(),
        |_| Ok(()),
        |patterns| patterns.join(", "),
    )?;
    let manifest_key = manifest_key(inputs, layers)?;
    Ok(BackupSettings { root, format, compress, jobs, exclude_table_data, manifest_key })
}

/// `backup.manifest_key_file` and `_command`, one question in two forms.
fn manifest_key(inputs: &Inputs, layers: &mut Resolver<'_>) -> Result<Option<SecretSource>> {
    const FILE: &str = "backup.manifest_key_file";
    const COMMAND: &str = "backup.manifest_key_command";
    let home = layers.home;
    let files = [layers.project, layers.user];
    let named = layers.variable("ENVCTL_MANIFEST_KEY_FILE").map(|text| inputs.cwd.join(text));
    let found = match named {
        Some(path) => {
            let origin = Origin::Env { name: "ENVCTL_MANIFEST_KEY_FILE".to_owned() };
            Some((FILE, SecretSource::File(path), origin))
        }
        None => files.into_iter().flatten().find_map(|loaded| {
            let table = &loaded.file.backup;
            let file = table
                .manifest_key_file
                .as_ref()
                .map(|path| (FILE, SecretSource::File(loaded.locate(path, home)), loaded.origin(FILE)));
            let command = table
                .manifest_key_command
                .as_ref()
                .map(|argv| (COMMAND, SecretSource::Command(argv.0.clone()), loaded.origin(COMMAND)));
            file.or(command)
        }),
    };
    let Some((key, source, origin)) = found else {
        layers.row(FILE, None, Origin::Default);
        return Ok(None);
    };
    let untrusted = layers.project.filter(|loaded| !loaded.trusted && loaded.origin(key) == origin);
    if let Some(loaded) = untrusted {
        let message = format!("{origin}: this file belongs to another user, so its key vouches for nothing");
        let hint = format!("look at the file, then name it: `--config {}`", loaded.path.display());
        return Err(error::usage(message).hint(hint));
    }
    layers.row(key, Some(source.to_string()), origin);
    Ok(Some(source))
}

fn backup_root(inputs: &Inputs, layers: &mut Resolver<'_>, project: Option<&Path>) -> Result<PathBuf> {
    let home = layers.home;
    let default = match project {
        Some(folder) => folder.join("backups"),
        None => xdg(layers, "XDG_DATA_HOME", home, ".local/share")
            .map_or_else(|| inputs.cwd.join("backups"), |data| data.join("envctl/backups")),
    };
    layers.decided(
        &SettingSpec {
            key: "backup.dir",
            flag: None,
            variable: Some("ENVCTL_BACKUP_DIR"),
            parse: &|text| Ok(inputs.cwd.join(text)),
            file: &|loaded| Some(loaded.locate(loaded.file.backup.dir.as_deref()?, home)),
        },
        default,
        |_| Ok(()),
        |path| path.display().to_string(),
    )
}

pub(crate) fn word(
    layers: &mut Resolver<'_>,
    key: &str,
    variable: &str,
    default: &str,
    allowed: &[&str],
    file: impl Fn(&ParsedFile) -> Option<String>,
) -> Result<String> {
    let check = |word: &String| {
        let first =
            word.split_once(':').filter(|_| key == "backup.compress").map_or(word.as_str(), |(name, _)| name);
        let known = allowed.contains(&first);
        if known {
            Ok(())
        } else {
            Err(format!("`{}` is not one of {}", word.escape_debug(), allowed.join(", ")))
        }
    };
    let lookup = SettingSpec {
        key,
        flag: None,
        variable: Some(variable),
        parse: &|text| Ok(text.to_owned()),
        file: &file,
    };
    layers.decided(&lookup, default.to_owned(), check, Clone::clone)
}

/// `[restore]`.
pub(crate) fn restore(layers: &mut Resolver<'_>) -> Result<RestoreSettings> {
    let lookup = SettingSpec {
        key: "restore.jobs",
        flag: None,
        variable: Some("ENVCTL_RESTORE_JOBS"),
        parse: &str::parse::<JobCount>,
        file: &|loaded| loaded.file.restore.jobs,
    };
    let shown = |jobs: &JobCount| jobs.0.map_or_else(|| "auto".to_owned(), |jobs| jobs.to_string());
    let JobCount(jobs) = layers.decided(&lookup, JobCount(None), |_| Ok(()), shown)?;
    Ok(RestoreSettings { jobs })
}

/// `[migrations]`.
pub(crate) fn migrations(layers: &mut Resolver<'_>) -> Result<MigrationSettings> {
    let drivers = ["auto", "prisma", "sql", "command"];
    let driver = word(layers, "migrations.driver", "ENVCTL_MIGRATIONS_DRIVER", "auto", &drivers, |l| {
        l.file.migrations.driver.clone()
    })?;
    let mut text = |key: &str, variable: Option<&str>, file: fn(&ParsedFile) -> Option<String>| {
        let parse = &|text: &str| Ok(text.to_owned());
        let lookup = SettingSpec { key, flag: None, variable, parse, file: &file };
        layers.optional(&lookup, Clone::clone).map(|given| given.map(|given| given.value))
    };
    let dir = text("migrations.dir", Some("ENVCTL_MIGRATIONS_DIR"), |l| l.file.migrations.dir.clone())?;
    let layout = text("migrations.layout", None, |l| l.file.migrations.layout.clone())?;
    let schema = text("migrations.schema", None, |l| l.file.migrations.schema.clone())?;
    let studio = text("migrations.studio", None, |l| l.file.migrations.studio.clone())?;
    let studio_image = text("migrations.studio_image", None, |l| l.file.migrations.studio_image.clone())?;
    let preset =
        text("migrations.preset", Some("ENVCTL_MIGRATIONS_PRESET"), |l| l.file.migrations.preset.clone())?;
    let commands = commands(layers)?;
    let age = layers.decided(
        &SettingSpec {
            key: "migrations.backup_age",
            flag: None,
            variable: None,
            parse: &duration::parse,
            file: &|loaded| loaded.file.migrations.backup_age.map(|limit| limit.0),
        },
        Duration::from_hours(24),
        |_| Ok(()),
        |age| duration::format(*age),
    )?;
    Ok(MigrationSettings {
        driver,
        dir,
        layout,
        schema,
        studio,
        studio_image,
        preset,
        commands,
        backup_age: Some(age).filter(|age| !age.is_zero()),
    })
}

/// `[migrations.commands]`; lists of words have no variables.
fn commands(layers: &mut Resolver<'_>) -> Result<MigrationCommands> {
    let mut words = |key: &str, file: fn(&CommandsTable) -> &Option<CommandWords>| {
        let lookup = SettingSpec {
            key,
            flag: None,
            variable: None,
            parse: &|_| Ok(Vec::new()),
            file: &|loaded| file(&loaded.file.migrations.commands).clone().map(|argv| argv.0),
        };
        layers.optional(&lookup, |words| words.join(" ")).map(|given| given.map(|given| given.value))
    };
    Ok(MigrationCommands {
        status: words("migrations.commands.status", |table| &table.status)?,
        apply: words("migrations.commands.apply", |table| &table.apply)?,
        create: words("migrations.commands.create", |table| &table.create)?,
        reset: words("migrations.commands.reset", |table| &table.reset)?,
        seed: words("migrations.commands.seed", |table| &table.seed)?,
    })
}

/// The three limits.
pub(crate) fn timeouts(flags: &Flags, layers: &mut Resolver<'_>) -> Result<Timeouts> {
    let limit = |duration: Duration| Some(duration).filter(|duration| !duration.is_zero());
    let mut decide = |key: &str,
                      flag: &Option<Sourced<Duration>>,
                      default: u64,
                      file: fn(&ParsedFile) -> Option<DurationText>| {
        let variable = format!("ENVCTL_{}", key.to_uppercase());
        let lookup = SettingSpec {
            key,
            flag: flag.as_ref(),
            variable: Some(&variable),
            parse: &duration::parse,
            file: &|loaded| file(loaded).map(|limit| limit.0),
        };
        layers.decided(&lookup, Duration::from_secs(default), |_| Ok(()), |limit| duration::format(*limit))
    };
    Ok(Timeouts {
        lock: decide("lock_timeout", &flags.lock_timeout, 10, |loaded| loaded.file.lock_timeout)?,
        stall: limit(decide("stall_timeout", &flags.stall_timeout, 120, |loaded| loaded.file.stall_timeout)?),
        overall: limit(decide("timeout", &flags.timeout, 0, |loaded| loaded.file.timeout)?),
    })
}

/// `output.color`.
pub(crate) fn color(flags: &Flags, layers: &mut Resolver<'_>) -> Result<Color> {
    let lookup = SettingSpec {
        key: "output.color",
        flag: flags.color.as_ref(),
        variable: Some("ENVCTL_COLOR"),
        parse: &|word| word.parse(),
        file: &|loaded| loaded.file.output.color,
    };
    layers.decided(&lookup, Color::Auto, |_| Ok(()), |color| color.word().to_owned())
}

//! From what was given to what is decided: pure precedence, with origins.
//!
//! Promises: flags > `ENVCTL_…` > the project's file > the user's file > defaults; a file that was named
//! and is missing is an error; nothing here reads the process's environment, clock or terminal.

mod database;
pub(crate) mod endpoint;
mod layers;
mod sections;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use layers::Resolver;

use super::keys;
use super::origin::{Origin, Sourced};
use super::project::{self, Project};
use super::settings::{SettingRow, Settings};
use super::value_type::{NameList, Text, check_name};
use crate::config::inputs::{Flags, Inputs, Remembered};
use crate::config::parsed_file::{FileTrust, ParsedFile};
use crate::environment::selector::TargetRequest;
use crate::error::{self, Result};

/// Decides every setting. Reads the configuration files, nothing else.
///
/// # Errors
/// Usage, each naming the flag, variable or file and line: a named file or folder that is missing, a file
/// that cannot be understood, a value that cannot be read, options that exclude each other.
pub(crate) fn resolve(inputs: &Inputs) -> Result<Settings> {
    let mut layers = Resolver { inputs, project: None, user: None, rows: Vec::new() };
    let place = place(inputs, &mut layers)?;
    decide(inputs, layers.rows, place)
}

/// Resolves the same inputs in another project's folder. Options and variables that name the place are ignored.
///
/// # Errors
/// See [`resolve`].
pub(crate) fn resolve_at(inputs: &Inputs, folder: Option<PathBuf>, found: &Project) -> Result<Settings> {
    let loaded = load(None, found, inputs.uid)?;
    let row = |key: &str, value: Option<&Path>| SettingRow {
        key: key.to_owned(),
        value: value.map(shown),
        origin: Origin::Default,
    };
    let rows = vec![
        row("project_dir", folder.as_deref()),
        row("config", loaded.as_ref().map(|loaded| loaded.path.as_path())),
    ];
    decide(inputs, rows, ProjectPlace { folder, loaded })
}

fn decide(inputs: &Inputs, rows: Vec<SettingRow>, place: ProjectPlace) -> Result<Settings> {
    let mut layers = Resolver { inputs, project: None, user: None, rows };
    let user = user_file(&layers)?;
    layers.project = place.loaded.as_ref();
    layers.user = user.as_ref();

    let target = target(&mut layers, &place)?;
    let databases = database::databases(&mut layers)?;
    let daemons = endpoint::daemons(&mut layers)?;
    let workers = sections::workers(&mut layers)?;
    let backup = sections::backup(&mut layers, place.folder.as_deref())?;
    let hooks = sections::hooks(&mut layers)?;
    let restore = sections::restore(&mut layers)?;
    let verify = sections::verify(&mut layers)?;
    let migrations = sections::migrations(&mut layers)?;
    let timeouts = sections::timeouts(&mut layers)?;
    let color = layers.decided(&keys::OUTPUT_COLOR, inputs.flags.color.as_ref())?;
    let Resolver { rows, .. } = layers;
    Ok(Settings {
        target,
        project_file: place.loaded.map(|loaded| loaded.path),
        workers,
        backup,
        hooks,
        restore,
        verify,
        migrations,
        timeouts,
        color,
        home: inputs.home.clone(),
        inputs: Remembered(Arc::new(inputs.clone())),
        databases,
        daemons,
        rows,
    })
}

/// The project: its folder and its file.
struct ProjectPlace {
    folder: Option<PathBuf>,
    loaded: Option<ParsedFile>,
}

fn place(inputs: &Inputs, layers: &mut Resolver<'_>) -> Result<ProjectPlace> {
    let asked = layers.find(&keys::PROJECT_DIR, inputs.flags.project_dir.as_ref())?;
    let start = match &asked {
        Some(asked) => existing_folder(&inputs.cwd, asked)?,
        None => inputs.cwd.clone(),
    };
    let found = project::find(&start);
    let named = layers.find(&keys::CONFIG, inputs.flags.config.as_ref())?;
    let named = named.map(|given| given.map(|file| inputs.cwd.join(file)));

    let loaded = load(named.as_ref(), &found, inputs.uid)?;
    let beside_named = named.as_ref().and_then(|given| given.value.parent().map(Path::to_owned));
    // A folder that was named stays meant, even when nothing marks it as a project.
    let folder = match &asked {
        Some(_) => found.folder.or(Some(start)),
        None => beside_named.or(found.folder),
    };
    let default = Origin::Default;
    let origin = asked.map_or(default.clone(), |given| given.origin);
    layers.row("project_dir", folder.as_deref().map(shown), origin);
    let origin = named.map_or(default, |given| given.origin);
    layers.row("config", loaded.as_ref().map(|loaded| shown(&loaded.path)), origin);
    Ok(ProjectPlace { folder, loaded })
}

fn existing_folder(cwd: &Path, asked: &Sourced<PathBuf>) -> Result<PathBuf> {
    let folder = cwd.join(&asked.value);
    if folder.is_dir() {
        // `..` has to be resolved before looking upwards.
        return Ok(std::fs::canonicalize(&folder).unwrap_or(folder));
    }
    Err(error::usage(format!("{}: {} is not a directory", asked.origin, folder.display())))
}

fn load(named: Option<&Sourced<PathBuf>>, found: &Project, uid: Option<u32>) -> Result<Option<ParsedFile>> {
    if let Some(named) = named {
        let loaded =
            ParsedFile::read(&named.value, FileTrust::Project).map_err(|e| e.context(&named.origin))?;
        return Ok(Some(loaded));
    }
    let Some(file) = &found.file else { return Ok(None) };
    let loaded = ParsedFile::read(file, FileTrust::Project)?;
    Ok(Some(loaded.found(project::is_trusted(file, uid))))
}

/// `$XDG_CONFIG_HOME/envctl/config.toml`, where it exists.
fn user_file(layers: &Resolver<'_>) -> Result<Option<ParsedFile>> {
    let folder = layers.base_directory("XDG_CONFIG_HOME", ".config");
    let Some(file) = folder.map(|folder| folder.join("envctl/config.toml")).filter(|file| file.is_file())
    else {
        return Ok(None);
    };
    ParsedFile::read(&file, FileTrust::User).map(Some)
}

fn target(layers: &mut Resolver<'_>, place: &ProjectPlace) -> Result<TargetRequest> {
    let flags = &layers.inputs.flags;
    let (stacks, all_stacks) = stacks(flags, layers)?;
    let profile = layers.find(&keys::PROFILE, flags.profile.as_ref())?;
    if let Some(given) = &profile {
        check_name(&given.value).map_err(|reason| error::usage(format!("{}: {reason}", given.origin)))?;
    }
    Ok(TargetRequest {
        stacks,
        all_stacks,
        profile: layers.note::<Text>("profile", profile),
        container: layers.optional(&keys::CONTAINER, flags.container.as_ref())?,
        index: layers.optional(&keys::INDEX, flags.index.as_ref())?,
        project_dir: place.folder.clone(),
        rules: sections::rules(layers),
    })
}

/// `--stack` and `--all-stacks` exclude each other when both were said in one way; else the stronger holds.
fn stacks(flags: &Flags, layers: &mut Resolver<'_>) -> Result<(Vec<String>, bool)> {
    let typed = flags.stacks.as_ref().filter(|given| !given.value.is_empty());
    let some = layers.find(&keys::STACKS, typed)?;
    let all = layers.find(&keys::ALL_STACKS, flags.all_stacks.as_ref())?;
    let is_flag = |origin: &Origin| matches!(origin, Origin::Flag { .. });
    let (some, all) = match (some, all.filter(|given| given.value)) {
        (Some(some), Some(all)) if is_flag(&some.origin) == is_flag(&all.origin) => {
            return Err(error::usage(format!("{} and {} exclude each other", some.origin, all.origin)));
        }
        (Some(_), Some(all)) if is_flag(&all.origin) => (None, Some(all)),
        (Some(some), Some(_)) => (Some(some), None),
        pair => pair,
    };
    let all_origin = all.as_ref().map_or(Origin::Default, |given| given.origin.clone());
    let stacks = layers.note::<NameList>("stacks", some).unwrap_or_default();
    layers.row("all_stacks", Some(all.is_some().to_string()), all_origin);
    Ok((stacks, all.is_some()))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

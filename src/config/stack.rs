//! The settings of one stack, from wherever the command is typed.
//!
//! Promise: a project's file holds for the stacks of that project and for no other. A stack that is named from elsewhere
//! has the settings that it has in its own project's directory, and those of options, variables and the user's file.

use std::path::{Path, PathBuf};

use super::origin::Origin;
use super::project;
use super::resolve::resolve_at;
use super::settings::Settings;
use crate::environment::{Environment, Target};
use crate::error::Result;

/// A stack, as discovery saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenStack<'a> {
    pub(crate) stack: &'a str,
    /// The compose project.
    pub(crate) project: Option<&'a str>,
    /// The directory in which the project was started; it may be of another machine.
    pub(crate) directory: Option<&'a str>,
}

impl<'a> From<&'a Environment> for SeenStack<'a> {
    fn from(environment: &'a Environment) -> Self {
        Self {
            stack: &environment.stack,
            project: environment.project.as_deref(),
            directory: environment.directory.as_deref(),
        }
    }
}

impl<'a> From<&'a Target> for SeenStack<'a> {
    fn from(target: &'a Target) -> Self {
        Self {
            stack: &target.stack,
            project: target.project.as_deref(),
            directory: target.directory.as_deref(),
        }
    }
}

impl SeenStack<'_> {
    fn here(&self) -> Option<&Path> {
        self.directory.map(Path::new).filter(|path| path.is_absolute() && path.is_dir())
    }
}

impl Settings {
    /// The settings that hold for a stack: these, where they are about it, else those of its own project.
    ///
    /// # Errors
    /// Usage: that project's own `envctl.toml` cannot be understood.
    pub(crate) fn for_stack<'a>(&self, seen: impl Into<SeenStack<'a>>) -> Result<Self> {
        let seen = &seen.into();
        if self.holds_for(seen) {
            return Ok(self.clone());
        }
        let found = seen.here().map(project::find).unwrap_or_default();
        let folder = found.folder.clone().or_else(|| seen.here().map(Path::to_owned));
        let mut own = resolve_at(&self.inputs.0, folder, &found)?;
        own.backup.root = self.backups_of(seen.stack, seen.directory)?;
        Ok(own)
    }

    /// Reports whether the project that we stand in is the stack's.
    pub(crate) fn holds_for(&self, seen: &SeenStack<'_>) -> bool {
        let rules = &self.target.rules;
        if let Some(own) = &rules.stack {
            return own == seen.stack;
        }
        if rules
            .profiles
            .values()
            .any(|rule| rule.project.is_some() && rule.project.as_deref() == seen.project)
        {
            return true;
        }
        let Some(here) = &self.target.project_dir else { return false };
        let target = &self.target;
        let chosen_by_name = !target.stacks.is_empty() || target.all_stacks || target.container.is_some();
        if self.is_project_named() && !target.names_several() {
            return true;
        }
        if let Some(directory) = seen.directory {
            return is_of_project(here, Path::new(directory), self.project_file.as_deref());
        }
        // Without a directory of its own a stack is this project's where nothing else was meant, or by its name.
        let name = here.file_name().and_then(|name| name.to_str());
        !chosen_by_name || name.is_some_and(|name| name == seen.stack || Some(name) == seen.project)
    }

    /// Reports whether an option or a variable names the project's directory or its file.
    pub(crate) fn is_project_named(&self) -> bool {
        ["project_dir", "config"].iter().any(|key| *self.origin(key) != Origin::Default)
    }

    /// The directory of the file that says a key; `None`: no file does.
    pub(crate) fn directory_of(&self, key: &str) -> Option<&Path> {
        match self.origin(key) {
            Origin::File { path, .. } => path.parent(),
            Origin::Flag { .. } | Origin::Env { .. } | Origin::Default => None,
        }
    }
}

/// Reports whether what was started in `directory` belongs to the project of `here`.
fn is_of_project(here: &Path, directory: &Path, file: Option<&Path>) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (here, directory): (PathBuf, PathBuf) = (real(here), real(directory));
    if here == directory {
        return true;
    }
    let nearest = project::find(&directory).file.map(|file| real(&file));
    if directory.starts_with(&here) {
        // A directory below with a file of its own is a project of its own.
        return nearest == file.map(real);
    }
    // Compose was started further up; but a directory with a compose file of its own is another stack's.
    here.starts_with(&directory) && nearest.is_none() && !project::holds_compose_file(&here)
}

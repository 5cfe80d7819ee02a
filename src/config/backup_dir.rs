//! Location of a stack's backups, from whichever directory the command is typed in.
//!
//! Promises: looks only; a place that somebody named holds for every stack, and otherwise each stack has its own in its own
//! project's directory, so that a backup made there is found from elsewhere and the other way round.

use std::path::{Path, PathBuf};

use super::origin::Origin;
use super::project;
use super::settings::Settings;
use super::value_type::FilePath;
use crate::config::parsed_file::{FileTrust, ParsedFile};
use crate::error::Result;

impl Settings {
    /// The folder that holds `<stack>/<profile>/…` for this stack. `directory` is where its project was started, as
    /// the engine tells; it may be of another machine, and then it is not there.
    ///
    /// # Errors
    /// Usage: that project's own `envctl.toml` cannot be understood.
    pub(crate) fn backups_of(&self, stack: &str, directory: Option<&str>) -> Result<PathBuf> {
        let here = || self.backup.root.clone();
        if self.has_one_backup_place() || self.is_about(stack) {
            return Ok(here());
        }
        let Some(directory) = directory.map(Path::new).filter(|path| path.is_absolute() && path.is_dir())
        else {
            // Another project's `backup.dir` is not this stack's; what lies there already is found.
            let theirs = self.target.rules.stack.is_some()
                && matches!(self.origin("backup.dir"), Origin::File { .. })
                && !self.backup.root.join(stack).is_dir();
            return Ok(match &self.target.project_dir {
                Some(project) if theirs => project.join("backups"),
                _ => here(),
            });
        };
        let there = project::find(directory);
        if there.folder.is_some() && there.folder == self.target.project_dir {
            return Ok(here());
        }
        if let Some(file) = &there.file {
            let loaded = ParsedFile::read(file, FileTrust::Project)?;
            if let Some(dir) = loaded.get::<FilePath>("backup.dir", self.home.as_deref()) {
                return Ok(dir);
            }
        }
        Ok(there.folder.as_deref().unwrap_or(directory).join("backups"))
    }

    /// Returns true where a variable or the user's own file names one place for the backups of all stacks.
    /// The project of a stack is not needed then to know the place.
    pub(crate) fn has_one_backup_place(&self) -> bool {
        match self.origin("backup.dir") {
            Origin::Default => false,
            Origin::File { path, .. } => self.project_file.as_ref() != Some(path),
            Origin::Flag { .. } | Origin::Env { .. } => true,
        }
    }

    /// Reports whether the file of the project that we stand in is about this stack.
    pub(crate) fn is_about(&self, stack: &str) -> bool {
        self.target.rules.stack.as_deref() == Some(stack)
    }
}

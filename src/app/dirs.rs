//! Directories of envctl on this machine: resume files, and the private directories of workers.
//!
//! Promise: only what the environment says decides; nothing is made here.

use std::path::PathBuf;

use super::App;
use crate::error::{self, Result};

impl App {
    /// Directory for the resume files of multi-stack operations: `$XDG_STATE_HOME/envctl/runs`.
    ///
    /// # Errors
    /// Kind `Usage`: neither that variable nor `HOME` names a directory.
    pub(crate) fn resume_dir(&self) -> Result<PathBuf> {
        let state = self.state().ok_or_else(|| {
            error::usage("there is no directory for the resume file of this run")
                .hint("set XDG_STATE_HOME or HOME")
        })?;
        Ok(state.join("runs"))
    }

    /// Returns the directory of what outlives a run, `$XDG_STATE_HOME/envctl`; `None` where no variable names a place.
    pub(crate) fn state(&self) -> Option<PathBuf> {
        let state =
            self.environment.get("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        Some(state.or_else(|| Some(self.home()?.join(".local/state")))?.join("envctl"))
    }

    /// Directory in which the private directories of workers are made.
    ///
    /// `XDG_RUNTIME_DIR`, `/run` for root, else the temporary directory. The daemon has to see this directory, and a
    /// password may lie in it for a moment.
    pub(crate) fn private_dirs(&self) -> PathBuf {
        let set =
            |name: &str| self.environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let run = PathBuf::from("/run");
        set("XDG_RUNTIME_DIR")
            .filter(|path| path.is_dir())
            .or_else(|| (rustix::process::getuid().is_root() && run.is_dir()).then_some(run))
            .or_else(|| set("TMPDIR"))
            .unwrap_or_else(|| PathBuf::from("/tmp"))
    }

    /// Every place where a run of this user may have had its private directories, [`App::private_dirs`] first: a job
    /// of cron has other variables than a shell.
    pub(crate) fn all_private_dirs(&self) -> Vec<PathBuf> {
        let user = rustix::process::getuid();
        let set = |name: &str| self.environment.get(name).map(PathBuf::from);
        let usual = [
            Some(self.private_dirs()),
            set("XDG_RUNTIME_DIR"),
            Some(format!("/run/user/{}", user.as_raw()).into()),
            user.is_root().then(|| "/run".into()),
            set("TMPDIR"),
            Some("/var/tmp".into()),
            Some("/tmp".into()),
        ];
        let mut places: Vec<PathBuf> = Vec::new();
        for place in usual.into_iter().flatten().filter(|place| place.is_absolute() && place.is_dir()) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }
}

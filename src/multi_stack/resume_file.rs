//! Resume file: what the last multi-stack operation has done, for `--resume`.
//!
//! Promises: one small file for each verb and Docker context below `$XDG_STATE_HOME/envctl/runs`, replaced as a whole
//! so that a killed run leaves one that reads; written before the first stack is begun and after each that ends, so
//! what it calls done is done; no secret and no message is in it. A run holds its lock: a second one is `Busy`.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::{self, Error, Result};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StackRecord {
    pub(crate) stack: String,
    /// The profile, as it is called; `unknown` where it is not known.
    pub(crate) profile: String,
    /// True where the stack is done. A stack under way when the run was killed is not.
    pub(crate) done: bool,
}

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResumeRecord {
    schema: u32,
    /// The verb, as it is typed.
    pub(crate) verb: String,
    /// The Docker context.
    pub(crate) context: String,
    /// Start of the run, RFC 3339.
    pub(crate) started: String,
    /// Every stack of the run.
    pub(crate) stacks: Vec<StackRecord>,
}

impl ResumeRecord {
    /// Of these environments, none of them done.
    pub(crate) fn new<'a>(
        verb: &str,
        context: &str,
        started: String,
        environments: impl IntoIterator<Item = &'a Environment>,
    ) -> Self {
        let line = |environment: &Environment| StackRecord {
            stack: environment.stack.clone(),
            profile: environment.profile.keyword().to_owned(),
            done: false,
        };
        Self {
            schema: 1,
            verb: verb.to_owned(),
            context: context.to_owned(),
            started,
            stacks: environments.into_iter().map(line).collect(),
        }
    }

    /// Returns the stacks that are not done.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = &StackRecord> {
        self.stacks.iter().filter(|line| !line.done)
    }

    /// A run that takes this one up: what it did not select stays as it was, what it selected is open again.
    #[must_use]
    pub(crate) fn taken_up(mut self, again: Self) -> Self {
        for line in again.stacks {
            match self.stacks.iter_mut().find(|old| old.stack == line.stack && old.profile == line.profile) {
                Some(old) => *old = line,
                None => self.stacks.push(line),
            }
        }
        self
    }
}

impl StackRecord {
    /// Reports whether the line is about this environment.
    pub(crate) fn is(&self, environment: &Environment) -> bool {
        self.stack == environment.stack && self.profile == environment.profile.keyword()
    }
}

/// The resume file of a run that goes on.
#[derive(Debug)]
pub(crate) struct ResumeFile {
    path: PathBuf,
    run: ResumeRecord,
    /// Held until the run ends; the system lets go of it when the process dies.
    _lock: File,
}

impl ResumeFile {
    /// Begins a resume file and writes it.
    ///
    /// # Errors
    /// Kind `Busy`: another run of this verb goes on. `Failed`: it cannot be written.
    pub(crate) fn begin(directory: &Path, run: ResumeRecord) -> Result<Self> {
        let path = path(directory, &run.verb, &run.context);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|e| unwritable(directory, e))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.with_extension("lock"))
            .map_err(|e| unwritable(&path, e))?;
        if lock.try_lock().is_err() {
            return Err(error::busy(format!("another `{}` over several stacks goes on", run.verb))
                .hint("wait for its end; stacks it does not touch can be worked on one by one"));
        }
        let resume_file = Self { path, run, _lock: lock };
        resume_file.write()?;
        Ok(resume_file)
    }

    /// This stack is done.
    ///
    /// # Errors
    /// Kind `Failed`: it cannot be written; the work itself is not concerned.
    pub(crate) fn done(&mut self, environment_stack: &str, profile: &str) -> Result<()> {
        for line in &mut self.run.stacks {
            if line.stack == environment_stack && line.profile == profile {
                line.done = true;
            }
        }
        self.write()
    }

    fn write(&self) -> Result<()> {
        let beside = self.path.with_extension("new");
        let text = serde_json::to_string_pretty(&self.run)
            .map_err(|e| error::failed("the resume file cannot be written").because(e))?;
        let written = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_data()))
            .and_then(|()| std::fs::rename(&beside, &self.path));
        written.map_err(|e| unwritable(&self.path, e))
    }
}

/// The last run of this verb.
///
/// # Errors
/// Kind `Usage`: there is none. `Failed`: it cannot be read.
pub(crate) fn last(directory: &Path, verb: &str, context: &str) -> Result<ResumeRecord> {
    let path = path(directory, verb, context);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(error::usage(format!(
                "no `{verb}` over several stacks was begun in Docker context {context}: there is nothing to resume"
            ))
            .hint(format!("begin one: `envctl {verb} --all-stacks`, or `-s GLOB`")));
        }
        Err(e) => return Err(error::failed(format!("{} cannot be read", path.display())).because(e)),
    };
    serde_json::from_str(&text).map_err(|e| {
        error::failed(format!("{} is not a resume file of envctl", path.display()))
            .because(e)
            .hint("remove it, and name the stacks with `-s`")
    })
}

/// `migrate_reset@default.json`. Context names hold what file systems do not take, so those bytes are spelled.
fn path(directory: &Path, verb: &str, context: &str) -> PathBuf {
    let spelled: String = context
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect();
    directory.join(format!("{}@{spelled}.json", verb.replace(' ', "_")))
}

fn unwritable(path: &Path, e: std::io::Error) -> Error {
    error::failed(format!("the resume file {} cannot be written", path.display()))
        .because(e)
        .hint("name another place: XDG_STATE_HOME")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn run(stacks: &[(&str, bool)]) -> ResumeRecord {
        let line = |(stack, done): &(&str, bool)| StackRecord {
            stack: (*stack).to_owned(),
            profile: "dev".to_owned(),
            done: *done,
        };
        ResumeRecord {
            schema: 1,
            verb: "migrate reset".to_owned(),
            context: "ssh://a/b".to_owned(),
            started: "2026-07-29T12:00:00Z".to_owned(),
            stacks: stacks.iter().map(line).collect(),
        }
    }

    #[test]
    fn what_is_done_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let mut resume_file =
            ResumeFile::begin(directory.path(), run(&[("a", false), ("b", false)])).unwrap();
        resume_file.done("a", "dev").unwrap();
        drop(resume_file);
        let last = last(directory.path(), "migrate reset", "ssh://a/b").unwrap();
        assert_eq!(last.unfinished().map(|line| line.stack.as_str()).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_second_run_is_busy_until_the_first_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let first = ResumeFile::begin(directory.path(), run(&[("a", false)])).unwrap();
        let second = ResumeFile::begin(directory.path(), run(&[("b", false)])).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Busy);
        drop(first);
        ResumeFile::begin(directory.path(), run(&[("b", false)])).unwrap();
    }

    #[test]
    fn without_a_run_there_is_nothing_to_resume() {
        let directory = tempfile::tempdir().unwrap();
        let error = last(directory.path(), "backup", "default").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        std::fs::write(path(directory.path(), "backup", "default"), "not json").unwrap();
        assert_eq!(last(directory.path(), "backup", "default").unwrap_err().kind(), ErrorKind::Failed);
    }

    #[test]
    fn verbs_and_contexts_have_files_of_their_own() {
        let directory = Path::new("/state");
        let paths = [("backup", "default"), ("migrate", "default"), ("backup", "a/../b"), ("backup", "a%2f")]
            .map(|(verb, context)| path(directory, verb, context));
        assert_eq!(paths[2].parent(), Some(directory), "no name leaves the directory");
        let names: std::collections::BTreeSet<_> = paths.iter().collect();
        assert_eq!(names.len(), paths.len());
    }

    #[test]
    fn a_resumed_run_keeps_what_it_does_not_select() {
        let again = run(&[("b", false)]);
        let taken = run(&[("a", true), ("b", false), ("c", false)]).taken_up(again);
        assert_eq!(taken, run(&[("a", true), ("b", false), ("c", false)]));
    }
}

//! A configuration file, read and understood, with the lines on which things stand.
//!
//! Promises: every fault names the file and the line; a key that does not exist is an error that says
//! which one was probably meant; no message quotes a line of the file, which may hold a secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::file::{ConfigFile, DatabaseTable};
use super::keys::{GUARDS, KEYS, words_after};
use super::origin::Origin;
use crate::error::{self, Error, Result};

/// Which file this is, as far as its rights go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileTrust {
    /// `envctl.toml` of a project.
    Project,
    /// The user's own, for all projects.
    User,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParsedFile {
    /// Path of the file.
    pub(crate) path: PathBuf,
    /// Content of the file.
    pub(crate) file: ConfigFile,
    /// True where the file's commands may be run: the file was named, or belongs to the user or to root.
    pub(crate) trusted: bool,
    lines: BTreeMap<String, usize>,
}

impl ParsedFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Usage: it cannot be read, or says what [`ParsedFile::parse`] refuses.
    pub(crate) fn read(path: &Path, kind: FileTrust) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| error::usage(format!("cannot read {}", path.display())).because(e))?;
        Self::parse(path, &text, kind)
    }

    /// Understands a file's text; `path` is for messages and for what is relative in it.
    ///
    /// # Errors
    /// Usage: not TOML, an unknown key, a value of the wrong kind, a project's key in the user's file.
    pub(crate) fn parse(path: &Path, text: &str, kind: FileTrust) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let at = |error: &toml::de::Error| {
            let line = error.span().map(|span| line_of(text, span.start));
            let origin = Origin::File { path: path.to_owned(), line };
            error::usage(format!("{origin}: {}", error.message().replace('\n', ", ")))
        };
        let tree = DeTable::parse(text).map_err(|e| at(&e))?;
        let mut walk = Walk { path, text, kind, lines: BTreeMap::new() };
        walk.table(tree.get_ref(), &mut Vec::new())?;
        let file: ConfigFile = toml::from_str(text).map_err(|e| at(&e))?;
        let loaded = Self { path: path.to_owned(), file, trusted: true, lines: walk.lines };
        loaded.check()?;
        if kind == FileTrust::User {
            loaded.check_user_wide()?;
        }
        Ok(loaded)
    }

    /// Marks the file as found rather than named. `trusted` tells whether the file's commands may be run.
    #[must_use]
    pub(crate) fn found(self, trusted: bool) -> Self {
        Self { trusted, ..self }
    }

    /// Returns the origin of a key: this file, with the key's line.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        Origin::File { path: self.path.clone(), line: self.lines.get(key).copied() }
    }

    /// The path meant by one that is written in this file: relative to it, or below home after `~/`.
    pub(crate) fn locate(&self, written: &Path, home: Option<&Path>) -> PathBuf {
        match (written.strip_prefix("~"), home) {
            (Ok(below), Some(home)) => home.join(below),
            _ => self.path.parent().unwrap_or(Path::new("")).join(written),
        }
    }

    /// Rejects what serde cannot know: keys that exclude each other, names that become folders.
    fn check(&self) -> Result<()> {
        if let Some(stack) = &self.file.stack {
            check_name(stack).map_err(|reason| self.fault("stack", &reason))?;
        }
        let file = &self.file;
        exclusive(
            self,
            "docker",
            ("context", file.docker.context.is_some()),
            ("host", file.docker.host.is_some()),
        )?;
        exclusive(
            self,
            "backup",
            ("manifest_key_file", file.backup.manifest_key_file.is_some()),
            ("manifest_key_command", file.backup.manifest_key_command.is_some()),
        )?;
        exclusive_password(self, "database", &file.database)?;
        for (name, profile) in &file.profiles {
            let table = format!("profiles.{name}");
            check_name(name).map_err(|reason| self.fault(&table, &reason))?;
            exclusive(
                self,
                &table,
                ("context", profile.context.is_some()),
                ("host", profile.host.is_some()),
            )?;
            exclusive_password(self, &format!("{table}.database"), &profile.database)?;
        }
        Ok(())
    }

    /// Relative to a folder of settings is never where backups are meant to lie.
    fn check_user_wide(&self) -> Result<()> {
        match &self.file.backup.dir {
            Some(dir) if dir.is_relative() && !dir.starts_with("~") => Err(self
                .fault("backup.dir", "a directory for all projects has to be absolute or begin with `~/`")),
            _ => Ok(()),
        }
    }

    fn fault(&self, key: &str, reason: &str) -> Error {
        error::usage(format!("{}: {reason}", self.origin(key)))
    }
}

fn exclusive_password(loaded: &ParsedFile, table: &str, database: &DatabaseTable) -> Result<()> {
    let file = ("password_file", database.password_file.is_some());
    exclusive(loaded, table, file, ("password_command", database.password_command.is_some()))
}

fn exclusive(loaded: &ParsedFile, table: &str, one: (&str, bool), other: (&str, bool)) -> Result<()> {
    if one.1 && other.1 {
        let reason = format!("`{}` and `{}` exclude each other", one.0, other.0);
        return Err(loaded.fault(&format!("{table}.{}", other.0), &reason));
    }
    Ok(())
}

/// Stack and profile names become folders of backups, so they must not lead anywhere else.
///
/// # Errors
/// Phrase that names the fault of the name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let inner = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.starts_with(char::is_alphanumeric) && name.chars().all(inner) {
        return Ok(());
    }
    let name = name.escape_debug();
    Err(format!("`{name}` is not a name: use letters, digits, `-`, `_` and `.`, a letter or digit first"))
}

/// Goes through the keys before serde does: it knows the lines and what was probably meant.
struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    kind: FileTrust,
    lines: BTreeMap<String, usize>,
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable<'_>, prefix: &mut Vec<String>) -> Result<()> {
        for (key, value) in table {
            let line = line_of(self.text, key.span().start);
            let words: Vec<&str> = prefix.iter().map(String::as_str).collect();
            let known = words_after(&words);
            let word = key.get_ref().as_ref();
            if !known.contains(&word) && !known.contains(&"*") {
                return Err(self.unknown(&words, word, &known, line));
            }
            prefix.push(word.to_owned());
            self.user_wide(prefix, line)?;
            self.lines.insert(prefix.join("."), line);
            if let DeValue::Table(below) = value.get_ref() {
                self.table(below, prefix)?;
            }
            prefix.pop();
        }
        Ok(())
    }

    fn user_wide(&self, path: &[String], line: usize) -> Result<()> {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let forbidden = KEYS.iter().any(|key| key.matches(&words) && !key.user_wide);
        if self.kind == FileTrust::Project || !forbidden {
            return Ok(());
        }
        Err(self
            .fault(line, &format!("`{}` describes one project", path.join(".")))
            .hint("move it into the project's envctl.toml"))
    }

    fn unknown(&self, prefix: &[&str], word: &str, known: &[&'static str], line: usize) -> Error {
        let shown = [prefix, &[word]].concat().join(".");
        let shown = shown.escape_debug();
        if GUARDS.contains(&word.replace('-', "_").as_str()) {
            let reason = format!("`{shown}` lifts a guard and is never read from a file");
            return self.fault(line, &reason).hint("give it on the command line, each time");
        }
        if word == "password" {
            return self
                .fault(line, "a password must not stand in a configuration file")
                .hint("use `password_file` or `password_command`");
        }
        let error = self.fault(line, &format!("unknown key `{shown}`"));
        match meant(prefix, word, known) {
            Some(meant) => error.hint(format!("did you mean `{meant}`?")),
            None => error.note(format!("known here: {}", known.join(", "))),
        }
    }

    fn fault(&self, line: usize, reason: &str) -> Error {
        let origin = Origin::File { path: self.path.to_owned(), line: Some(line) };
        error::usage(format!("{origin}: {reason}"))
    }
}

/// The key that was probably meant: one that is spelt alike, or the same word in another table.
fn meant(prefix: &[&str], word: &str, known: &[&'static str]) -> Option<String> {
    let likeness = |known: &&str| strsim::normalized_damerau_levenshtein(word, known);
    let alike = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    if likeness(&alike) >= 0.6 {
        return Some([prefix, &[alike]].concat().join("."));
    }
    let elsewhere = KEYS.iter().find(|key| key.path.rsplit('.').next() == Some(word))?;
    Some(elsewhere.path.replace('*', "NAME"))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

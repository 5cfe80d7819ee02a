//! A configuration file, read and understood, with the lines on which things stand.
//!
//! Promises: every fault names the file and the line; a key that does not exist is an error that says
//! which one was probably meant; no message quotes a line of the file, which may hold a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::keys::{GUARDS, KEYS, Key, names_below};
use super::origin::Origin;
use super::secret::SecretSource;
use super::value_type::{CommandLine, FilePath, RawValue, ValueType, check_name};
use crate::error::{self, Error, Result};

/// Which file this is, as far as its rights go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileTrust {
    /// `envctl.toml` of a project.
    Project,
    /// The user's own, for all projects.
    User,
}

/// A file that was read: the values of its keys, each of the form that its key has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ParsedFile {
    pub(crate) path: PathBuf,
    /// Names of the profiles that have a table.
    pub(crate) profiles: BTreeSet<String>,
    /// True where the file's commands may be run: the file was named, or belongs to the user or to root.
    pub(crate) trusted: bool,
    /// Values with their lines, by path: `profiles.dev.project`.
    values: BTreeMap<String, (Value, usize)>,
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
        let values: toml::Table = toml::from_str(text).map_err(|e| at(&e))?;
        let file =
            Self { path: path.to_owned(), profiles: BTreeSet::new(), trusted: true, values: BTreeMap::new() };
        let mut walk = Walk { text, kind, file };
        walk.table(tree.get_ref(), &values, &mut Vec::new())?;
        Ok(walk.file)
    }

    /// Marks the file as found rather than named. `trusted` tells whether the file's commands may be run.
    #[must_use]
    pub(crate) fn found(self, trusted: bool) -> Self {
        Self { trusted, ..self }
    }

    /// Returns the origin of a key: this file, with the key's line.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        Origin::File { path: self.path.clone(), line: self.values.get(key).map(|(_, line)| *line) }
    }

    pub(crate) fn get<F: ValueType>(&self, key: &str, home: Option<&Path>) -> Option<F::Value> {
        let (value, _) = self.values.get(key)?;
        F::read(&self.written(value, home), &[]).ok()
    }

    /// Returns the source of a secret, from `PREFIX_file` or `PREFIX_command`, with its key.
    pub(crate) fn secret(&self, prefix: &str, home: Option<&Path>) -> Option<(String, SecretSource)> {
        let [file, command] = ["file", "command"].map(|form| format!("{prefix}_{form}"));
        match self.get::<FilePath>(&file, home) {
            Some(path) => Some((file, SecretSource::File(path))),
            None => Some((command.clone(), SecretSource::Command(self.get::<CommandLine>(&command, home)?))),
        }
    }

    /// The error of a key that another user's file may not have.
    pub(crate) fn refuse_untrusted(&self, key: &str, consequence: &str) -> Error {
        let origin = self.origin(key);
        error::usage(format!("{origin}: this file belongs to another user, so {consequence}"))
            .hint(format!("look at the file, then name it: `--config {}`", self.path.display()))
    }

    fn written<'a>(&'a self, value: &'a Value, home: Option<&'a Path>) -> RawValue<'a> {
        RawValue::File { value, dir: self.path.parent().unwrap_or(Path::new("")), home }
    }
}

/// Goes through the keys with their lines, and tells what was probably meant.
struct Walk<'a> {
    text: &'a str,
    kind: FileTrust,
    file: ParsedFile,
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable<'_>, values: &toml::Table, prefix: &mut Vec<String>) -> Result<()> {
        for key in table.keys() {
            let line = line_of(self.text, key.span().start);
            let name = key.get_ref().as_ref();
            let above: Vec<&str> = prefix.iter().map(String::as_str).collect();
            let known = names_below(&above);
            if !known.contains(&name) && !known.contains(&"*") {
                return Err(self.unknown(&above, name, &known, line));
            }
            if known.contains(&"*") {
                check_name(name).map_err(|reason| self.fault(line, &reason))?;
                self.file.profiles.insert(name.to_owned());
            }
            let path = [&above, &[name][..]].concat();
            match (KEYS.iter().find(|key| key.matches(&path)), table.get(name), values.get(name)) {
                (Some(row), _, Some(value)) => {
                    self.check(row, &path.join("."), value, line)?;
                    if let Some(other) = row.excludes.filter(|other| values.contains_key(*other)) {
                        return Err(self.fault(line, &format!("`{other}` and `{name}` exclude each other")));
                    }
                    self.file.values.insert(path.join("."), (value.clone(), line));
                }
                (None, Some(tree), Some(Value::Table(values))) => {
                    let DeValue::Table(tree) = tree.get_ref() else { continue };
                    prefix.push(name.to_owned());
                    self.table(tree, values, prefix)?;
                    prefix.pop();
                }
                _ => return Err(self.fault(line, &format!("`{}`: expected a table", path.join(".")))),
            }
        }
        Ok(())
    }

    fn check(&self, row: &Key, path: &str, value: &Value, line: usize) -> Result<()> {
        if self.kind == FileTrust::User && !row.user_wide {
            return Err(self
                .fault(line, &format!("`{path}` describes one project"))
                .hint("move it into the project's envctl.toml"));
        }
        (row.check)(&self.file.written(value, None), row.allowed)
            .map_err(|reason| self.fault(line, &format!("`{path}`: {reason}")))?;
        // Relative to a folder of settings is never where backups are meant to lie.
        let dir = value.as_str().map(Path::new).filter(|dir| dir.is_relative() && !dir.starts_with("~"));
        if self.kind == FileTrust::User && path == "backup.dir" && dir.is_some() {
            return Err(
                self.fault(line, "a directory for all projects has to be absolute or begin with `~/`")
            );
        }
        Ok(())
    }

    fn unknown(&self, prefix: &[&str], name: &str, known: &[&'static str], line: usize) -> Error {
        let shown = [prefix, &[name]].concat().join(".");
        let shown = shown.escape_debug();
        if GUARDS.contains(&name.replace('-', "_").as_str()) {
            let reason = format!("`{shown}` lifts a guard and is never read from a file");
            return self.fault(line, &reason).hint("give it on the command line, each time");
        }
        if name == "password" {
            return self
                .fault(line, "a password must not stand in a configuration file")
                .hint("use `password_file` or `password_command`");
        }
        let error = self.fault(line, &format!("unknown key `{shown}`"));
        match nearest_name(prefix, name, known) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None => error.note(format!("known here: {}", known.join(", "))),
        }
    }

    fn fault(&self, line: usize, reason: &str) -> Error {
        let origin = Origin::File { path: self.file.path.clone(), line: Some(line) };
        error::usage(format!("{origin}: {reason}"))
    }
}

/// The key that was probably meant: one that is spelt alike, or the same word in another table.
fn nearest_name(prefix: &[&str], name: &str, known: &[&'static str]) -> Option<String> {
    let likeness = |known: &&str| strsim::normalized_damerau_levenshtein(name, known);
    let alike = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    if likeness(&alike) >= 0.6 {
        return Some([prefix, &[alike]].concat().join("."));
    }
    let elsewhere = KEYS.iter().find(|key| key.path.rsplit('.').next() == Some(name))?;
    Some(elsewhere.path.replace('*', "NAME"))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

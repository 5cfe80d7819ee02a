//! Precedence: flag > variable > project file > user file, written once for all settings.
//!
//! Promise: what is found carries its origin, and what is decided leaves a row for `envctl config`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::origin::{Origin, Sourced};
use crate::config::parsed_file::ParsedFile;
use crate::config::settings::SettingRow;
use crate::error::{self, Result};

/// Sources of a setting below the command line, and the rows of the decided settings.
pub(crate) struct Resolver<'a> {
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) home: Option<&'a Path>,
    pub(crate) project: Option<&'a ParsedFile>,
    pub(crate) user: Option<&'a ParsedFile>,
    pub(crate) rows: Vec<SettingRow>,
}

/// Sources of one setting.
pub(crate) struct SettingSpec<'a, T> {
    /// The key in files and in `envctl config`.
    pub(crate) key: &'a str,
    /// Value from the command line.
    pub(crate) flag: Option<&'a Sourced<T>>,
    /// The environment variable.
    pub(crate) variable: Option<&'a str>,
    /// Reads the variable's text.
    pub(crate) parse: &'a dyn Fn(&str) -> Result<T, String>,
    /// Takes the value out of a file.
    pub(crate) file: &'a dyn Fn(&ParsedFile) -> Option<T>,
}

impl<'a> Resolver<'a> {
    /// A variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&'a str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The strongest of what was given.
    pub(crate) fn find<T: Clone>(&self, lookup: &SettingSpec<'_, T>) -> Result<Option<Sourced<T>>> {
        if let Some(flag) = lookup.flag {
            return Ok(Some(flag.clone()));
        }
        if let Some((name, text)) = lookup.variable.and_then(|name| Some((name, self.variable(name)?))) {
            let value = (lookup.parse)(text).map_err(|reason| error::usage(format!("{name}: {reason}")))?;
            return Ok(Some(Sourced::env(name, value)));
        }
        let files = [self.project, self.user];
        Ok(files.into_iter().flatten().find_map(|loaded| {
            Some(Sourced { value: (lookup.file)(loaded)?, origin: loaded.origin(lookup.key) })
        }))
    }

    /// The strongest of what was given, with a row, or nothing, with a row that says so.
    pub(crate) fn optional<T: Clone>(
        &mut self,
        lookup: &SettingSpec<'_, T>,
        show: impl Fn(&T) -> String,
    ) -> Result<Option<Sourced<T>>> {
        let found = self.find(lookup)?;
        let (value, origin) = match &found {
            Some(given) => (Some(show(&given.value)), given.origin.clone()),
            None => (None, Origin::Default),
        };
        self.row(lookup.key, value, origin);
        Ok(found)
    }

    /// The strongest of what was given, checked, or the default; with a row.
    pub(crate) fn decided<T: Clone>(
        &mut self,
        lookup: &SettingSpec<'_, T>,
        default: T,
        check: impl Fn(&T) -> Result<(), String>,
        show: impl Fn(&T) -> String,
    ) -> Result<T> {
        let given = self.find(lookup)?.unwrap_or(Sourced { value: default, origin: Origin::Default });
        check(&given.value)
            .map_err(|reason| error::usage(format!("{}: `{}`: {reason}", given.origin, lookup.key)))?;
        self.row(lookup.key, Some(show(&given.value)), given.origin);
        Ok(given.value)
    }

    /// Notes a decision.
    pub(crate) fn row(&mut self, key: &str, value: Option<String>, origin: Origin) {
        self.rows.push(SettingRow { key: key.to_owned(), value, origin });
    }
}

//! Precedence: flag > variable > project file > user file, written once for all settings.
//!
//! Promise: what is found carries its origin, and what is decided leaves a row for `envctl config`.

use std::path::PathBuf;

use crate::config::inputs::Inputs;
use crate::config::keys::Setting;
use crate::config::origin::{Origin, Sourced};
use crate::config::parsed_file::ParsedFile;
use crate::config::settings::SettingRow;
use crate::config::value_type::{RawValue, ValueType};
use crate::error::{self, Result};

/// Sources of a setting below the command line, and the rows of the decided settings.
pub(crate) struct Resolver<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) project: Option<&'a ParsedFile>,
    pub(crate) user: Option<&'a ParsedFile>,
    pub(crate) rows: Vec<SettingRow>,
}

impl<'a> Resolver<'a> {
    /// A variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&'a str> {
        self.inputs.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns a base directory of the XDG specification, which says to ignore one that is not absolute.
    pub(crate) fn base_directory(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let set = self.variable(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        set.or_else(|| self.inputs.home.as_ref().map(|home| home.join(below_home)))
    }

    /// The files, strongest first.
    pub(crate) fn files(&self) -> impl Iterator<Item = &'a ParsedFile> + use<'a> {
        [self.project, self.user].into_iter().flatten()
    }

    /// Returns the value of the key's variable.
    pub(crate) fn read_variable<F: ValueType>(
        &self,
        setting: &Setting<F>,
    ) -> Result<Option<Sourced<F::Value>>> {
        let key = &setting.key;
        let Some((name, text)) = key.variable.and_then(|name| Some((name, self.variable(name)?))) else {
            return Ok(None);
        };
        let value = F::read(&self.typed(text), key.allowed);
        value
            .map(|value| Some(Sourced::env(name, value)))
            .map_err(|reason| error::usage(format!("{name}: {reason}")))
    }

    /// Returns the value of a key in a file, with its line.
    pub(crate) fn read_file<F: ValueType>(&self, file: &ParsedFile, path: &str) -> Option<Sourced<F::Value>> {
        let value = file.get::<F>(path, self.inputs.home.as_deref())?;
        Some(Sourced { value, origin: file.origin(path) })
    }

    /// The strongest of what was given.
    pub(crate) fn find<F: ValueType>(
        &self,
        setting: &Setting<F>,
        flag: Option<&Sourced<F::Value>>,
    ) -> Result<Option<Sourced<F::Value>>> {
        if let Some(flag) = flag {
            return Ok(Some(flag.clone()));
        }
        let variable = self.read_variable(setting)?;
        Ok(variable.or_else(|| self.files().find_map(|file| self.read_file::<F>(file, setting.key.path))))
    }

    /// The strongest of what was given, with a row, or nothing, with a row that says so.
    pub(crate) fn optional<F: ValueType>(
        &mut self,
        setting: &Setting<F>,
        flag: Option<&Sourced<F::Value>>,
    ) -> Result<Option<F::Value>> {
        let found = self.find(setting, flag)?;
        Ok(self.note::<F>(setting.key.path, found))
    }

    /// The strongest of what was given, or the default of the key; with a row.
    pub(crate) fn decided<F: ValueType>(
        &mut self,
        setting: &Setting<F>,
        flag: Option<&Sourced<F::Value>>,
    ) -> Result<F::Value> {
        let key = &setting.key;
        let default = F::read(&self.typed(key.default), key.allowed)
            .map_err(|reason| error::failed(format!("default of `{}`: {reason}", key.path)))?;
        self.decided_or(setting, flag, default)
    }

    /// The strongest of what was given, or `default`; with a row.
    pub(crate) fn decided_or<F: ValueType>(
        &mut self,
        setting: &Setting<F>,
        flag: Option<&Sourced<F::Value>>,
        default: F::Value,
    ) -> Result<F::Value> {
        let given = self.find(setting, flag)?.unwrap_or(Sourced { value: default, origin: Origin::Default });
        self.row(setting.key.path, Some(F::show(&given.value)), given.origin);
        Ok(given.value)
    }

    /// Notes what was found under a key, or that nothing was.
    pub(crate) fn note<F: ValueType>(
        &mut self,
        path: &str,
        found: Option<Sourced<F::Value>>,
    ) -> Option<F::Value> {
        let shown = found.as_ref().map(|given| F::show(&given.value));
        let origin = found.as_ref().map_or(Origin::Default, |given| given.origin.clone());
        self.row(path, shown, origin);
        found.map(|given| given.value)
    }

    /// Takes the value of a key out of a file, with a row where the file has the key.
    pub(crate) fn take<F: ValueType>(&mut self, file: &ParsedFile, path: &str) -> Option<F::Value> {
        let found = self.read_file::<F>(file, path)?;
        self.note::<F>(path, Some(found))
    }

    /// Notes a decision.
    pub(crate) fn row(&mut self, key: &str, value: Option<String>, origin: Origin) {
        self.rows.push(SettingRow { key: key.to_owned(), value, origin });
    }

    fn typed(&self, text: &'a str) -> RawValue<'a> {
        RawValue::Variable { text, cwd: &self.inputs.cwd }
    }
}

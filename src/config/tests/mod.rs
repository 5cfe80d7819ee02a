//! Settings against real folders.

mod files;
mod manual;
mod precedence;
mod stack;

use std::path::{Path, PathBuf};

use super::*;

/// A folder with a home and a project in it, and what settings are made from there.
struct Machine {
    folder: tempfile::TempDir,
    inputs: Inputs,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(folder.path()).unwrap();
        std::fs::create_dir_all(root.join("home")).unwrap();
        std::fs::create_dir_all(root.join("project/deep/er")).unwrap();
        let inputs = Inputs { cwd: root.join("project"), home: Some(root.join("home")), ..Inputs::default() };
        Self { folder, inputs }
    }

    fn path(&self, below: &str) -> PathBuf {
        std::fs::canonicalize(self.folder.path()).unwrap().join(below)
    }

    fn write(&self, below: &str, text: &str) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn project(self, text: &str) -> Self {
        self.write("project/envctl.toml", text);
        self
    }

    fn user(self, text: &str) -> Self {
        self.write("home/.config/envctl/config.toml", text);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.inputs.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn flags(mut self, set: impl FnOnce(&mut Flags)) -> Self {
        set(&mut self.inputs.flags);
        self
    }

    fn settings(&self) -> Settings {
        resolve(&self.inputs).unwrap()
    }

    fn refusal(&self) -> crate::error::Error {
        let error = resolve(&self.inputs).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
        error
    }
}

fn row<'a>(settings: &'a Settings, key: &str) -> &'a SettingRow {
    settings.table().iter().find(|row| row.key == key).unwrap_or_else(|| panic!("no row {key}"))
}

/// Value and origin of a setting, as `envctl config` shows them; the folder of the file left out.
fn told(settings: &Settings, key: &str) -> String {
    let row = row(settings, key);
    let origin = row.origin.to_string();
    let origin = Path::new(&origin).file_name().map_or(origin.clone(), |name| name.to_string_lossy().into());
    format!("{} [{origin}]", row.value.as_deref().unwrap_or("-"))
}

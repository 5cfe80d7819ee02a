//! The backups there are: `<root>/<stack>/<profile>/backup_….sql.gz`, each with its manifest.
//!
//! Promises: files of others are passed over; a backup whose manifest is missing or damaged is listed
//! with that reason and never counts as proven; no name leads out of the root.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::label::Label;
use super::manifest::{Level, Manifest, Purpose};
use crate::error::{self, Result};

/// One stack's and profile's backups.
#[derive(Clone, Debug)]
pub struct Catalog {
    directory: PathBuf,
}

/// One backup on disk.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its file.
    pub path: PathBuf,
    /// Its name's meaning.
    pub label: Label,
    /// The file's size, in bytes.
    pub stored_bytes: u64,
    /// Its manifest, or why there is none to believe.
    pub manifest: std::result::Result<Manifest, String>,
}

impl Backup {
    /// How far it is proven, as far as can be told without reading it.
    pub fn proof(&self) -> Level {
        self.manifest.as_ref().map_or(Level::None, |manifest| manifest.verified.level)
    }
}

impl Catalog {
    /// The catalog of a stack and profile; nothing is read or made yet.
    pub fn new(root: &Path, stack: &str, profile: Option<&str>) -> Self {
        Self { directory: root.join(folder(stack)).join(folder(profile.unwrap_or("unknown"))) }
    }

    /// Where its files lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Every backup, newest first.
    ///
    /// # Errors
    /// The directory is there and cannot be read.
    pub fn list(&self) -> Result<Vec<Backup>> {
        let unreadable = |e| error::failed(format!("cannot read {}", self.directory.display())).because(e);
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(unreadable(cause)),
        };
        let mut backups = Vec::new();
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            let label = entry.file_name().to_str().and_then(Label::of_file);
            let (Some(label), Ok(meta)) = (label, entry.metadata()) else { continue };
            if meta.is_file() {
                backups.push(look(entry.path(), label, meta.len()));
            }
        }
        backups.sort_by(|a, b| b.label.cmp(&a.label).then_with(|| b.path.cmp(&a.path)));
        Ok(backups)
    }

    /// When the newest proven and whole one of this database was begun, whoever asked for it.
    ///
    /// # Errors
    /// As [`Catalog::list`].
    pub fn last_proven(&self, database: &str) -> Result<Option<jiff::Timestamp>> {
        let proven = self.list()?.into_iter().filter_map(|backup| backup.manifest.ok()).filter(|manifest| {
            manifest.verified.level >= Level::Trailer && manifest.whole && manifest.database == database
        });
        Ok(proven.map(|manifest| manifest.started).max())
    }

    /// The newest proven and whole one that somebody asked for, of this database where one is named. A backup of all
    /// databases is never meant.
    ///
    /// # Errors
    /// Kind `Target`: there is none; says what there is instead.
    pub fn latest(&self, database: Option<&str>) -> Result<Backup> {
        let backups = self.list()?;
        let fits = |backup: &&Backup| {
            backup.manifest.as_ref().is_ok_and(|manifest| {
                manifest.verified.level >= Level::Trailer
                    && manifest.whole
                    && !manifest.is_of_all()
                    && manifest.purpose == Purpose::Backup
                    && database.is_none_or(|name| name == manifest.database)
            })
        };
        if let Some(found) = backups.iter().find(fits) {
            return Ok(found.clone());
        }
        if let Some((backup, problem)) = backups.iter().find_map(|b| Some((b, b.manifest.as_ref().err()?))) {
            return Err(error::integrity(format!(
                "no backup is complete and proven; {}: {problem}",
                backup.path.display()
            ))
            .hint("a file can be restored by its name, checked by its own structure: `envctl restore FILE`")
            .hint("see them all: `envctl backup list`"));
        }
        let there = match backups.len() {
            0 => "there are no backups".to_owned(),
            n => format!("none of the {n} backups is complete and proven"),
        };
        Err(error::target(format!("{there} in {}", self.directory.display()))
            .hint("see them all: `envctl backup list`")
            .hint("make one: `envctl backup`"))
    }

    /// The newer backups that [`Catalog::latest`] passed over because they cannot be trusted, with the reason.
    ///
    /// # Errors
    /// As [`Catalog::list`].
    pub fn passed_over(&self, latest: &Backup) -> Result<Vec<(PathBuf, String)>> {
        let newer = self.list()?.into_iter().take_while(|backup| backup.label > latest.label);
        Ok(newer.filter_map(|backup| Some((backup.path, backup.manifest.err()?))).collect())
    }

    /// A name of our pattern that is free, also for the manifest.
    pub fn free_name(&self, mut label: Label, extension: &str) -> PathBuf {
        loop {
            let path = self.directory.join(label.file_name(extension));
            let manifest = super::manifest::path_for(&path);
            if !super::stored::occupied(&path) && !super::stored::occupied(&manifest) {
                return path;
            }
            label = label.next();
        }
    }
}

fn look(path: PathBuf, label: Label, stored_bytes: u64) -> Backup {
    let manifest = match Manifest::of(&path) {
        Ok(Some(manifest)) if manifest.stored_bytes != stored_bytes => {
            Err(format!("{stored_bytes} bytes where the manifest says {}", manifest.stored_bytes))
        }
        Ok(Some(manifest)) => Ok(manifest),
        Ok(None) => Err("no manifest".to_owned()),
        Err(error) => Err(error.full_message()),
    };
    Backup { path, label, stored_bytes, manifest }
}

/// A name as one folder's name: what could lead elsewhere or hide is percent-encoded, so that two names
/// never share a folder.
pub fn folder(name: &str) -> String {
    let mut folder = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        let plain = c.is_alphanumeric() || "-_+@=,".contains(c) || (c == '.' && at > 0);
        if plain {
            folder.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(folder, "%{byte:02X}");
            }
        }
    }
    if folder.is_empty() { "%".to_owned() } else { folder }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backups::manifest::{path_for, tests::sample};

    #[test]
    fn latest_is_the_newest_that_is_proven_whole_and_of_the_database() {
        let home = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(home.path(), "acme", Some("prod"));
        std::fs::create_dir_all(catalog.directory()).unwrap();
        let add = |name: &str, change: &dyn Fn(&mut Manifest)| {
            let path = catalog.directory().join(name);
            std::fs::write(&path, "0123456789").unwrap();
            let mut manifest = sample();
            change(&mut manifest);
            std::fs::write(path_for(&path), manifest.to_json()).unwrap();
        };
        add("backup_20260101_000000.sql.gz", &|_| ());
        add("backup_20260102_000000.sql.gz", &|m| m.database = "other".into());
        add("backup_20260103_000000.sql.gz", &|m| m.verified.level = Level::None);
        add("backup_20260104_000000.sql.gz", &|m| m.whole = false);
        add("backup_20260105_000000.sql.gz", &|m| m.stored_bytes = 11);
        add("backup_20260107_000000.sql.gz", &|m| m.purpose = Purpose::Safety);
        add("backup_20260108_000000.tar", &|m| m.format = super::super::manifest::CLUSTER.into());
        std::fs::write(catalog.directory().join("backup_20260106_000000.sql.gz"), "x").unwrap();
        std::fs::write(catalog.directory().join("notes.txt"), "x").unwrap();
        assert_eq!(catalog.list().unwrap().len(), 8);
        let name = |b: Backup| b.path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(name(catalog.latest(Some("acme")).unwrap()), "backup_20260101_000000.sql.gz");
        assert_eq!(name(catalog.latest(None).unwrap()), "backup_20260102_000000.sql.gz");
        assert!(catalog.last_proven("acme").unwrap().is_some());
        assert_eq!(catalog.last_proven("none").unwrap(), None);
        let error = catalog.latest(Some("none")).unwrap_err();
        assert!(error.message().contains("backup_20260106_000000.sql.gz: no manifest"), "{error}");
        let passed = catalog.passed_over(&catalog.latest(None).unwrap()).unwrap();
        assert_eq!(passed.len(), 2, "the one without a manifest and the one of another size");
    }

    proptest! {
        #[test]
        fn no_name_leads_out_and_none_share_a_folder(a in ".{0,12}", b in ".{0,12}") {
            let (x, y) = (folder(&a), folder(&b));
            prop_assert!(!x.is_empty() && !x.contains('/') && !x.starts_with('.') && !x.contains('\0'));
            prop_assert_eq!(a == b, x == y);
        }
    }
}

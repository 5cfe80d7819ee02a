//! The backups there are: `<root>/<stack>/<profile>/backup_….sql.gz`, each with its manifest; where a project has
//! several database services, `<root>/<stack>/<profile>/<service>/…`.
//!
//! Promises: files of others are passed over; a backup whose manifest is missing or damaged is listed
//! with that reason and never counts as verified; no name leads out of the root.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::identity::{Identity, service_of};
use super::manifest::{self, Manifest, Purpose, VerificationLevel};
use super::pin::{self, BackupPin};
use crate::error::{self, Error, Result};
use crate::repository::name::Label;
use crate::text::percent::encode_except;
use crate::text::shell_word::shell_word;
use crate::text::units::counted;

/// One stack's and profile's backups.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    /// Directory of the stack and profile: every backup lies here or one level below.
    home: PathBuf,
    /// Directory of new backups.
    directory: PathBuf,
}

/// One backup on disk.
#[derive(Clone, Debug)]
pub(crate) struct Backup {
    /// Path of the dump file.
    pub(crate) path: PathBuf,
    /// Label parsed from the file name.
    pub(crate) label: Label,
    /// The file's size, in bytes.
    pub(crate) stored_bytes: u64,
    /// Manifest, or the reason why no manifest can be trusted.
    pub(crate) manifest: std::result::Result<Manifest, String>,
    /// Pin that keeps `backup prune` from removing it.
    pub(crate) pin: Option<BackupPin>,
}

/// Everything in a catalog.
#[derive(Debug, Default)]
pub(crate) struct CatalogListing {
    /// Every backup, newest first.
    pub(crate) backups: Vec<Backup>,
    /// Manifests whose backup is not there, by name. A backup in the making has one for a moment.
    pub(crate) lone_manifests: Vec<PathBuf>,
}

impl Backup {
    /// Returns the verification level that the manifest records; the dump itself is not read.
    pub(crate) fn verification(&self) -> VerificationLevel {
        self.manifest.as_ref().map_or(VerificationLevel::None, |manifest| manifest.verified.level)
    }
}

impl Catalog {
    /// The catalog of a stack and profile; nothing is read or made yet.
    pub(crate) fn new(root: &Path, stack: &str, profile: Option<&str>) -> Self {
        let home = root.join(folder(stack)).join(folder(profile.unwrap_or("unknown")));
        Self { directory: home.clone(), home }
    }

    /// Returns the same catalog, with a separate directory for the new backups of one database service.
    #[must_use]
    pub(crate) fn of_service(self, service: &str) -> Self {
        Self { directory: self.home.join(folder(service)), ..self }
    }

    /// Returns the directory of the stack and profile.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the directory for new backups.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns every directory of this catalog: that of the stack and profile, and those of its services.
    ///
    /// # Errors
    /// The directory is there and cannot be read.
    pub(crate) fn directories(&self) -> Result<Vec<PathBuf>> {
        let unreadable = |e| error::failed(format!("cannot read {}", self.home.display())).because(e);
        let entries = match std::fs::read_dir(&self.home) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(vec![self.home.clone()]),
            Err(cause) => return Err(unreadable(cause)),
        };
        let mut directories = vec![self.home.clone()];
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            // A link may lead anywhere.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                directories.push(entry.path());
            }
        }
        directories[1..].sort();
        Ok(directories)
    }

    /// Every backup, newest first.
    ///
    /// # Errors
    /// The directory is there and cannot be read.
    pub(crate) fn list(&self) -> Result<Vec<Backup>> {
        self.listing().map(|listing| listing.backups)
    }

    /// Every backup, and the manifests without one.
    ///
    /// # Errors
    /// The directory is there and cannot be read.
    pub(crate) fn listing(&self) -> Result<CatalogListing> {
        let (mut files, mut lone_manifests) = (Vec::new(), Vec::new());
        for directory in self.directories()? {
            let unreadable = |e| error::failed(format!("cannot read {}", directory.display())).because(e);
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
                Err(cause) => return Err(unreadable(cause)),
            };
            let (mut names, mut manifests, mut pins) = (HashSet::new(), Vec::new(), HashSet::new());
            for entry in entries {
                let entry = entry.map_err(unreadable)?;
                let file_name = entry.file_name();
                let Some(name) = file_name.to_str() else { continue };
                if let Some(pinned) = name.strip_suffix(pin::EXTENSION) {
                    pins.insert(pinned.to_owned());
                }
                if let Some(described) =
                    name.strip_suffix(".json").filter(|name| Label::of_file(name).is_some())
                {
                    manifests.push(described.to_owned());
                }
                let (Some(label), Ok(meta)) = (Label::of_file(name), entry.metadata()) else { continue };
                names.insert(name.to_owned());
                if meta.is_file() {
                    files.push(BackupFile {
                        path: entry.path(),
                        label,
                        stored_bytes: meta.len(),
                        pinned: false,
                    });
                }
            }
            for file in files.iter_mut().filter(|file| file.path.parent() == Some(&directory)) {
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                file.pinned = pins.contains(name.as_ref());
            }
            manifests.retain(|described| !names.contains(described));
            lone_manifests.extend(manifests.iter().map(|name| manifest::path_for(&directory.join(name))));
        }
        lone_manifests.sort();
        files.sort_by(|a, b| b.label.cmp(&a.label).then_with(|| b.path.cmp(&a.path)));
        Ok(CatalogListing { backups: look_at_each(files), lone_manifests })
    }

    /// Returns the name of a backup as [`Catalog::find`] takes it: with its service's directory, where it lies in one.
    pub(crate) fn name_of(&self, backup: &Backup) -> String {
        backup.path.strip_prefix(&self.home).unwrap_or(&backup.path).display().to_string()
    }

    /// Returns the path of a backup by the name that a list shows; the directory of new backups comes first.
    pub(crate) fn find(&self, name: &Path) -> PathBuf {
        let places = [self.directory.join(name), self.home.join(name)];
        let [own, _] = &places;
        let found = places.iter().find(|path| path.exists());
        found.unwrap_or(own).clone()
    }

    /// Returns the start of the newest verified one of this target on this host, whoever asked for it.
    pub(crate) fn last_verified(&self, target: &Identity) -> Result<Option<jiff::Timestamp>> {
        let verified =
            self.list()?.into_iter().filter_map(|backup| backup.manifest.ok()).filter(|manifest| {
                manifest.verified.level >= VerificationLevel::Complete
                && manifest.whole
                && !manifest.is_of_all()
                // A stack of the same name on another host keeps its backups here too, and they save nothing of this
                // one.
                && target.differences(manifest).is_empty()
            });
        Ok(verified.map(|manifest| manifest.started).max())
    }

    /// The newest verified one that somebody asked for, of this target and of no other. A backup of all
    /// databases is never meant.
    ///
    /// # Errors
    /// Kind `Target`: there is none, and it is said what there is instead; or the target's database or service is not
    /// known, and there are backups of several.
    pub(crate) fn latest(&self, target: &Identity) -> Result<Backup> {
        self.latest_of(&self.list()?, target)
    }

    /// Chooses like [`Catalog::latest`] among backups that were listed, newest first.
    ///
    /// # Errors
    /// Errors of [`Catalog::latest`].
    pub(crate) fn latest_of(&self, backups: &[Backup], target: &Identity) -> Result<Backup> {
        let verified: Vec<(&Backup, &Manifest)> = backups
            .iter()
            .filter_map(|backup| Some((backup, backup.manifest.as_ref().ok()?)))
            .filter(|(_, manifest)| {
                manifest.verified.level >= VerificationLevel::Complete
                    && manifest.whole
                    && !manifest.is_of_all()
                    && manifest.purpose == Purpose::Backup
            })
            .collect();
        let of_target: Vec<_> = verified.iter().filter(|(_, manifest)| target.covers(manifest)).collect();
        // Another host's stack of the same name keeps its backups in the same directory: those of this host come first.
        let of_host: Vec<_> = of_target
            .iter()
            .copied()
            .filter(|(_, manifest)| target.differences(manifest).is_empty())
            .collect();
        let fitting = if of_host.is_empty() { of_target } else { of_host };
        if let Some((newest, _)) = fitting.first() {
            self.unambiguous(target, &fitting.iter().map(|(_, manifest)| *manifest))?;
            return Ok((*newest).clone());
        }
        if let Some((newest, manifest)) = verified.first() {
            return Err(self.of_others(target, newest, manifest, verified.len()));
        }
        if let Some((backup, problem)) = backups.iter().find_map(|b| Some((b, b.manifest.as_ref().err()?))) {
            return Err(error::integrity(format!(
                "no backup is verified; {}: {problem}",
                backup.path.display()
            ))
            .hint("restore a file by its name, checked by its own structure: `envctl restore FILE`")
            .hint("list all of them: `envctl backup list`"));
        }
        let there = if backups.is_empty() {
            "there are no backups".to_owned()
        } else {
            format!("there is no backup {}", besides(backups))
        };
        Err(error::target(format!("{there} in {}", self.home.display()))
            .hint("list all of them: `envctl backup list`")
            .hint("make one: `envctl backup`"))
    }

    /// Refuses to choose where the target leaves open which database or service is meant.
    fn unambiguous<'a>(
        &self,
        target: &Identity,
        fitting: &(impl Iterator<Item = &'a Manifest> + Clone),
    ) -> Result<()> {
        let names = |of: fn(&Manifest) -> &str| -> BTreeSet<&str> { fitting.clone().map(of).collect() };
        let databases = names(|manifest| &manifest.database);
        if target.database.is_none() && databases.len() > 1 {
            let databases: Vec<&str> = databases.into_iter().collect();
            let error = error::target(format!(
                "the backups in {} are of several databases: {}",
                self.home.display(),
                databases.join(", ")
            ));
            return Err(databases.iter().fold(error, |error, name| {
                error.hint(format!("name the database: `-d {}`", shell_word(name)))
            }));
        }
        let services = names(service_of);
        if target.container.is_none() && services.len() > 1 {
            return Err(error::target(format!(
                "the backups in {} are of several database services: {}",
                self.home.display(),
                services.into_iter().collect::<Vec<_>>().join(", ")
            ))
            .hint("name the container with `--container NAME`, or the file: `envctl backup list`"));
        }
        Ok(())
    }

    /// Error for backups that are all of something else.
    fn of_others(&self, target: &Identity, newest: &Backup, manifest: &Manifest, count: usize) -> Error {
        let why: Vec<String> = target.differences(manifest).iter().map(ToString::to_string).collect();
        let what = match &target.database {
            Some(database) => format!("database {database}"),
            None => target.stack.clone(),
        };
        error::target(format!(
            "no verified backup in {} is of {what}; there are {count} of others, the newest {}: {}",
            self.home.display(),
            self.name_of(newest),
            why.join("; ")
        ))
        .hint(format!("restore that one by its name: `envctl restore {}`", shell_word(&self.name_of(newest))))
        .hint("list all of them: `envctl backup list`")
    }

    /// The newer backups that [`Catalog::latest`] passed over because they cannot be trusted, with the reason.
    pub(crate) fn passed_over(&self, latest: &Backup) -> Result<Vec<(PathBuf, String)>> {
        let newer = self.list()?.into_iter().take_while(|backup| backup.label > latest.label);
        Ok(newer.filter_map(|backup| Some((backup.path, backup.manifest.err()?))).collect())
    }

    /// A name of our pattern that is free, also for the manifest.
    pub(crate) fn free_name(&self, mut label: Label, extension: &str) -> PathBuf {
        loop {
            let path = self.directory.join(label.file_name(extension));
            let manifest = super::manifest::path_for(&path);
            if !crate::fsutil::atomic_file::occupied(&path)
                && !crate::fsutil::atomic_file::occupied(&manifest)
            {
                return path;
            }
            label = label.next();
        }
    }
}

/// Says which backups there are, if none of them is what `latest` means: safety backups, partial ones.
pub(crate) fn besides(backups: &[Backup]) -> String {
    let kinds = ["unverified", "safety", "partial"];
    let kind_of = |backup: &Backup| match &backup.manifest {
        Ok(manifest) if manifest.verified.level < VerificationLevel::Complete => kinds[0],
        Ok(manifest) if manifest.purpose == Purpose::PreRestore => kinds[1],
        Ok(manifest) if !manifest.whole => kinds[2],
        Ok(_) => "other",
        Err(_) => kinds[0],
    };
    let counts: Vec<String> = kinds
        .into_iter()
        .chain(["other"])
        .map(|kind| (kind, backups.iter().filter(|backup| kind_of(backup) == kind).count() as u64))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| counted(count, &format!("{kind} backup"), &format!("{kind} backups")))
        .collect();
    format!("besides {}", counts.join(", "))
}

/// A file with the name of a backup.
struct BackupFile {
    path: PathBuf,
    label: Label,
    stored_bytes: u64,
    pinned: bool,
}

/// Files for which another thread pays.
const FILES_PER_THREAD: usize = 64;

/// Reads the manifest of each file, on several cores where there are many.
fn look_at_each(files: Vec<BackupFile>) -> Vec<Backup> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(8).min(files.len() / FILES_PER_THREAD);
    if threads < 2 {
        return files.into_iter().map(look).collect();
    }
    let mut parts: Vec<Vec<BackupFile>> = Vec::new();
    let size = files.len().div_ceil(threads);
    let mut files = files.into_iter();
    for _ in 0..threads {
        parts.push(files.by_ref().take(size).collect());
    }
    std::thread::scope(|scope| {
        let looking: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(|| part.into_iter().map(look).collect::<Vec<_>>()))
            .collect();
        looking
            .into_iter()
            .flat_map(|thread| thread.join().expect("reading a manifest does not panic"))
            .collect()
    })
}

fn look(file: BackupFile) -> Backup {
    let BackupFile { path, label, stored_bytes, pinned } = file;
    let manifest = match Manifest::of(&path) {
        Ok(Some(manifest)) if manifest.stored_bytes != stored_bytes => {
            Err(format!("{stored_bytes} bytes where the manifest says {}", manifest.stored_bytes))
        }
        Ok(Some(manifest)) => match label.problem(manifest.started) {
            Some(problem) => Err(problem),
            None => Ok(manifest),
        },
        Ok(None) => Err("no manifest".to_owned()),
        Err(error) => Err(error.full_message()),
    };
    let pin = if pinned { pin::read(&path) } else { None };
    Backup { path, label, stored_bytes, manifest, pin }
}

/// A name as one folder's name: what could lead elsewhere or hide is percent-encoded, so that two names
/// never share a folder.
pub(crate) fn folder(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_+@=,".contains(c);
    let (hidden, rest) = name.strip_prefix('.').map_or(("", name), |rest| ("%2E", rest));
    let folder = format!("{hidden}{}", encode_except(rest, |c| plain(c) || c == '.'));
    if folder.is_empty() { "%".to_owned() } else { folder }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;
    use crate::repository::manifest::path_for;
    use crate::repository::manifest::tests::sample;

    #[test]
    fn latest_is_the_newest_verified_backup_of_the_database() {
        let home = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(home.path(), "acme", Some("prod"));
        std::fs::create_dir_all(catalog.directory()).unwrap();
        let add = |name: &str, change: &dyn Fn(&mut Manifest)| {
            let path = catalog.directory().join(name);
            std::fs::write(&path, "0123456789").unwrap();
            let mut manifest = sample();
            manifest.started = Label::of_file(name).unwrap().timestamp();
            change(&mut manifest);
            std::fs::write(path_for(&path), manifest.to_json()).unwrap();
        };
        add("backup_20260101_000000.sql.gz", &|_| ());
        add("backup_20260102_000000.sql.gz", &|m| m.database = "other".into());
        add("backup_20260103_000000.sql.gz", &|m| m.verified.level = VerificationLevel::None);
        add("backup_20260104_000000.sql.gz", &|m| m.whole = false);
        add("backup_20260105_000000.sql.gz", &|m| m.stored_bytes = 11);
        add("backup_20260107_000000.sql.gz", &|m| m.purpose = Purpose::PreRestore);
        add("backup_20260108_000000.tar", &|m| m.format = super::super::manifest::CLUSTER.into());
        // That of another moment, under a newer name.
        add("backup_20260109_000000.sql.gz", &|m| {
            m.started = Label::of_file("backup_20260101_000000.sql.gz").unwrap().timestamp();
        });
        std::fs::write(catalog.directory().join("backup_20260106_000000.sql.gz"), "x").unwrap();
        std::fs::write(catalog.directory().join("notes.txt"), "x").unwrap();
        assert_eq!(catalog.list().unwrap().len(), 9);
        let put_in_place = catalog.list().unwrap()[0].manifest.clone().unwrap_err();
        assert_eq!(put_in_place, "its manifest is that of backup_20260101_000000");
        let name = |b: Backup| b.path.file_name().unwrap().to_str().unwrap().to_owned();
        let of = |database: Option<&str>| Identity {
            stack: "acme".into(),
            profile: Some("prod".into()),
            database: database.map(str::to_owned),
            ..Identity::default()
        };
        assert_eq!(name(catalog.latest(&of(Some("acme"))).unwrap()), "backup_20260101_000000.sql.gz");
        assert_eq!(name(catalog.latest(&of(Some("other"))).unwrap()), "backup_20260102_000000.sql.gz");
        let several = catalog.latest(&of(None)).unwrap_err();
        assert_eq!(several.kind(), ErrorKind::Target);
        assert!(several.message().contains("several databases: acme, other"), "{several}");
        assert!(
            several.hints().contains(&"name the database: `-d other`".to_owned()),
            "{:?}",
            several.hints()
        );
        assert!(catalog.last_verified(&of(Some("acme"))).unwrap().is_some());
        assert_eq!(catalog.last_verified(&of(Some("none"))).unwrap(), None);
        let error = catalog.latest(&of(Some("none"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
        assert!(error.message().contains("the backup is of database other, this is none"), "{error}");
        let passed = catalog.passed_over(&catalog.latest(&of(Some("acme"))).unwrap()).unwrap();
        assert_eq!(passed.len(), 3, "without a manifest, of another size, of another moment");
    }

    #[test]
    fn two_services_are_kept_apart_and_old_backups_are_found() {
        let home = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(home.path(), "acme", Some("prod"));
        let add = |catalog: &Catalog, name: &str, change: &dyn Fn(&mut Manifest)| {
            std::fs::create_dir_all(catalog.directory()).unwrap();
            let path = catalog.directory().join(name);
            std::fs::write(&path, "0123456789").unwrap();
            let mut manifest = sample();
            manifest.started = Label::of_file(name).unwrap().timestamp();
            change(&mut manifest);
            std::fs::write(path_for(&path), manifest.to_json()).unwrap();
        };
        let container = |name: &'static str| move |m: &mut Manifest| m.source.container = name.into();
        // As older versions wrote them: no service, one directory for both.
        add(&catalog, "backup_20260101_000000.sql.gz", &container("acme-first-1"));
        add(&catalog, "backup_20260102_000000.sql.gz", &container("acme-second-1"));
        let of = |service: &str| Identity {
            stack: "acme".into(),
            profile: Some("prod".into()),
            service: Some(service.to_owned()),
            container: Some((format!("acme-{service}-1"), String::from("c9"))),
            database: Some("acme".into()),
            ..Identity::default()
        };
        let latest = |service: &str| {
            let catalog = catalog.clone().of_service(service);
            catalog.latest(&of(service)).map(|backup| catalog.name_of(&backup))
        };
        assert_eq!(latest("first").unwrap(), "backup_20260101_000000.sql.gz");
        assert_eq!(latest("second").unwrap(), "backup_20260102_000000.sql.gz");
        assert_eq!(latest("third").unwrap_err().kind(), ErrorKind::Target);
        let service = |name: &'static str| move |m: &mut Manifest| m.source.service = Some(name.into());
        for name in ["first", "second"] {
            add(&catalog.clone().of_service(name), "backup_20260103_000000.sql.gz", &service(name));
        }
        assert_eq!(latest("first").unwrap(), "first/backup_20260103_000000.sql.gz");
        assert_eq!(latest("second").unwrap(), "second/backup_20260103_000000.sql.gz");
        assert_eq!(catalog.list().unwrap().len(), 4, "and one list has them all");
        for backup in catalog.list().unwrap() {
            assert_eq!(catalog.find(Path::new(&catalog.name_of(&backup))), backup.path);
        }
        let first = catalog.clone().of_service("first");
        let short = first.find(Path::new("backup_20260103_000000.sql.gz"));
        assert_eq!(short, first.directory().join("backup_20260103_000000.sql.gz"), "the own one");
        let vague = Identity { service: None, container: None, ..of("first") };
        assert!(catalog.latest(&vague).unwrap_err().message().contains("several database services"));
    }

    #[test]
    fn the_last_backup_before_a_migration_is_of_this_host() {
        let home = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(home.path(), "acme", Some("prod"));
        std::fs::create_dir_all(catalog.directory()).unwrap();
        let add = |name: &str, context: &str, started: &str| {
            let path = catalog.directory().join(name);
            std::fs::write(&path, "0123456789").unwrap();
            let mut manifest = sample();
            manifest.source.context = context.into();
            manifest.started = started.parse().unwrap();
            std::fs::write(path_for(&path), manifest.to_json()).unwrap();
        };
        let target = Identity {
            stack: "acme".into(),
            profile: Some("prod".into()),
            database: Some("acme".into()),
            context: Some("here".into()),
            ..Identity::default()
        };
        add("backup_20260103_000000.sql.gz", "elsewhere", "2026-01-03T00:00:00Z");
        assert_eq!(catalog.last_verified(&target).unwrap(), None, "another host's saves nothing here");
        add("backup_20260101_000000.sql.gz", "here", "2026-01-01T00:00:00Z");
        let last = catalog.last_verified(&target).unwrap();
        assert_eq!(last, Some("2026-01-01T00:00:00Z".parse().unwrap()), "though another host's is newer");
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

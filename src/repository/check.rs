//! Judgment of the backups of one stack and profile, for monitoring: age, files, size, restore tests.
//!
//! Promises: [`judge`] is a pure function of manifests and sizes of files, never of a log; each database is judged by
//! itself; a backup that cannot be relied on hides no older one, and a backup dated in the future counts for nothing.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use super::authenticity::ManifestKeys;
use super::catalog::{Backup, Catalog};
use super::identity::service_of;
use super::manifest::{Manifest, Purpose, VerificationLevel};
use super::prune::is_altered;
use super::remote_backups::RemoteBackup;
use crate::config::check_limits::{AgeLimit, SizeLimit};
use crate::error::Result;
use crate::text::units::{age, bytes, counted};

/// Clocks of two machines may differ so much.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Limits that a check applies.
#[derive(Clone, Debug)]
pub(crate) struct CheckLimits {
    pub(crate) max_age: AgeLimit,
    pub(crate) min_size: Option<SizeLimit>,
    pub(crate) verified_within: Option<AgeLimit>,
}

/// Facts about one backup, from its manifest and from the size of its file.
#[derive(Clone, Debug)]
pub(crate) struct CheckItem {
    /// Name as `backup list` shows it.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) started: Timestamp,
    pub(crate) duration_ms: u64,
    pub(crate) service: String,
    /// `None` for a backup of all databases.
    pub(crate) database: Option<String>,
    /// Databases of a backup of all.
    pub(crate) databases: Vec<String>,
    /// Format and compression: sizes of two kinds are not compared.
    pub(crate) kind: String,
    /// Whole, and no safety backup.
    pub(crate) counts: bool,
    pub(crate) verified: VerificationLevel,
    pub(crate) verified_at: Timestamp,
    pub(crate) rows: Option<u64>,
    /// Size as the manifest says.
    pub(crate) stored_bytes: u64,
    /// Size of the file; `None` where it is not there.
    pub(crate) file_bytes: Option<u64>,
    /// The manifest was changed after it was written.
    pub(crate) altered: bool,
}

/// Judgment of one database.
#[derive(Clone, Debug)]
pub(crate) struct CheckedDatabase {
    /// `None` for a backup of all databases, and where there is no backup at all.
    pub(crate) database: Option<String>,
    pub(crate) service: Option<String>,
    /// The newest backup that can be relied on.
    pub(crate) newest: Option<CheckItem>,
    /// Time of the newest restore test.
    pub(crate) restored_at: Option<Timestamp>,
    pub(crate) problems: Vec<BackupProblem>,
    pub(crate) notes: Vec<String>,
}

/// Reason why a check fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BackupProblem {
    /// No backup can be relied on; the text says what is there instead.
    NoBackup(String),
    Old {
        name: String,
        started: Timestamp,
        now: Timestamp,
        limit: AgeLimit,
    },
    /// The file of the newest backup is not there.
    Missing {
        name: String,
    },
    /// The file of the newest backup has another size than its manifest says.
    WrongSize {
        name: String,
        file_bytes: u64,
        stored_bytes: u64,
    },
    Small {
        name: String,
        stored_bytes: u64,
        before: Option<u64>,
        limit: SizeLimit,
    },
    NotRestored {
        tested: Option<(Timestamp, Timestamp)>,
        limit: AgeLimit,
    },
}

impl BackupProblem {
    /// Returns the problem in one word, for documents.
    pub(crate) fn keyword(&self) -> &'static str {
        match self {
            Self::NoBackup(_) => "no_backup",
            Self::Old { .. } => "old",
            Self::Missing { .. } => "missing",
            Self::WrongSize { .. } => "wrong_size",
            Self::Small { .. } => "small",
            Self::NotRestored { .. } => "not_restored",
        }
    }
}

impl fmt::Display for BackupProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBackup(besides) => write!(f, "there is no verified backup{besides}"),
            Self::Old { name, started, now, limit } => {
                write!(f, "the newest backup, {name}, was made {}; the limit is {limit}", age(*started, *now))
            }
            Self::Missing { name } => write!(f, "the file of {name} is gone, its manifest is there"),
            Self::WrongSize { name, file_bytes, stored_bytes } => {
                write!(f, "{name} has {file_bytes} bytes where its manifest says {stored_bytes}")
            }
            Self::Small { name, stored_bytes, before: Some(before), limit } => write!(
                f,
                "{name} has {}, less than {limit} of the {} of the backup before",
                bytes(*stored_bytes),
                bytes(*before)
            ),
            Self::Small { name, stored_bytes, before: None, limit } => {
                write!(f, "{name} has {}, less than {limit}", bytes(*stored_bytes))
            }
            Self::NotRestored { tested: None, .. } => f.write_str("no backup was ever restored in a test"),
            Self::NotRestored { tested: Some((at, now)), limit } => {
                write!(f, "the last restore test was {}; the limit is {limit}", age(*at, *now))
            }
        }
    }
}

impl CheckItem {
    /// Returns the facts about one backup.
    fn new(name: String, path: PathBuf, manifest: &Manifest, file_bytes: Option<u64>, altered: bool) -> Self {
        Self {
            name,
            path,
            started: manifest.started,
            duration_ms: manifest.duration_ms,
            service: service_of(manifest).to_owned(),
            database: (!manifest.is_of_all()).then(|| manifest.database.clone()),
            databases: manifest.databases.iter().map(|database| database.name.clone()).collect(),
            kind: format!("{} {}", manifest.format, manifest.compression),
            counts: manifest.whole && manifest.purpose == Purpose::Backup,
            verified: manifest.verified.level,
            verified_at: manifest.verified.at,
            rows: manifest.known_rows(),
            stored_bytes: manifest.stored_bytes,
            file_bytes,
            altered,
        }
    }

    fn covers(&self, service: &str, database: Option<&str>) -> bool {
        let is_of = match (database, &self.database) {
            (Some(wanted), None) => self.databases.iter().any(|name| name == wanted),
            (wanted, own) => wanted == own.as_deref(),
        };
        is_of && self.service == service
    }

    fn is_verified(&self) -> bool {
        self.verified >= VerificationLevel::Complete && !self.altered
    }

    fn is_good(&self) -> bool {
        self.is_verified() && self.file_bytes == Some(self.stored_bytes)
    }
}

/// Backups of one catalog.
#[derive(Debug, Default)]
pub(crate) struct CheckInput {
    pub(crate) items: Vec<CheckItem>,
    /// Files with the name of a backup and without a manifest that can be read: name and reason.
    pub(crate) unreadable: Vec<(String, String)>,
    /// Manifests whose backup is not there. A backup in the making has one for a moment.
    pub(crate) lone_manifests: usize,
}

/// A backup that was found, before its service is known.
struct FoundBackup {
    name: String,
    path: PathBuf,
    manifest: Manifest,
    file_bytes: Option<u64>,
    altered: bool,
}

/// Reads the manifests of a catalog and the sizes of its files. Backups of another stack or profile are left out.
///
/// # Errors
/// The directory is there and cannot be read.
pub(crate) fn read(
    catalog: &Catalog,
    stack: &str,
    profile: Option<&str>,
    keys: &ManifestKeys,
) -> Result<CheckInput> {
    let listing = catalog.listing()?;
    let mut input = CheckInput { lone_manifests: listing.lone_manifests.len(), ..CheckInput::default() };
    let mut found: Vec<FoundBackup> = Vec::new();
    let mut add = |name, path: PathBuf, manifest, file_bytes| {
        let altered = is_altered(&path, keys);
        found.push(FoundBackup { name, path, manifest, file_bytes, altered });
    };
    for backup in listing.backups {
        let name = catalog.name_of(&backup);
        match backup.manifest {
            Ok(manifest) => add(name, backup.path, manifest, Some(backup.stored_bytes)),
            Err(problem) => match Manifest::of(&backup.path) {
                // Of another size than its file.
                Ok(Some(manifest)) if backup.label.problem(manifest.started).is_none() => {
                    add(name, backup.path, manifest, Some(backup.stored_bytes));
                }
                _ => input.unreadable.push((name, problem)),
            },
        }
    }
    for manifest in &listing.lone_manifests {
        let path = manifest.with_extension("");
        let name = path.strip_prefix(catalog.home()).unwrap_or(&path).display().to_string();
        match Manifest::of(&path) {
            Ok(Some(manifest)) => {
                let file_bytes = path.metadata().ok().map(|meta| meta.len());
                add(name, path, manifest, file_bytes);
            }
            Ok(None) => {}
            Err(error) => input.unreadable.push((name, error.full_message())),
        }
    }
    input.items = items(found, stack, profile);
    Ok(input)
}

/// Takes the manifests and the sizes of the objects of a store that were listed with the keys.
pub(crate) fn read_store(
    catalog: &Catalog,
    listed: Vec<RemoteBackup>,
    stack: &str,
    profile: Option<&str>,
) -> CheckInput {
    let mut input = CheckInput::default();
    let mut found = Vec::new();
    for remote in listed {
        let name = catalog.name_of(&remote.backup);
        let (file_bytes, altered) = (remote.dump_bytes(), remote.altered);
        let Backup { path, label, manifest, .. } = remote.backup;
        let lone = remote.lone_manifest.filter(|manifest| label.problem(manifest.started).is_none());
        match (manifest, lone) {
            (Ok(manifest), _) => found.push(FoundBackup { name, path, manifest, file_bytes, altered }),
            (Err(_), Some(manifest)) => {
                input.lone_manifests += usize::from(file_bytes.is_none());
                found.push(FoundBackup { name, path, manifest: *manifest, file_bytes, altered });
            }
            (Err(problem), None) => input.unreadable.push((name, problem)),
        }
    }
    input.items = items(found, stack, profile);
    input
}

fn items(mut found: Vec<FoundBackup>, stack: &str, profile: Option<&str>) -> Vec<CheckItem> {
    found.retain(|found| {
        let source = &found.manifest.source;
        source.stack == stack && source.profile.as_deref().is_none_or(|own| profile.is_none_or(|p| p == own))
    });
    // Manifests of older versions name the container and no service.
    let services: HashMap<String, String> = found
        .iter()
        .filter_map(|found| {
            let source = &found.manifest.source;
            Some((source.container.clone(), source.service.clone()?))
        })
        .collect();
    let items = found.into_iter().map(|found| {
        let FoundBackup { name, path, manifest, file_bytes, altered } = found;
        let mut item = CheckItem::new(name, path, &manifest, file_bytes, altered);
        if let Some(service) = services.get(&item.service) {
            service.clone_into(&mut item.service);
        }
        item
    });
    items.collect()
}

/// Judges each database that has a backup; `database` restricts it to one. There is always at least one judgment.
pub(crate) fn judge(
    items: &[CheckItem],
    database: Option<&str>,
    limits: &CheckLimits,
    now: Timestamp,
) -> Vec<CheckedDatabase> {
    let counting: Vec<&CheckItem> = items.iter().filter(|item| item.counts).collect();
    let mut groups: BTreeSet<(&str, Option<&str>)> = BTreeSet::new();
    for item in &counting {
        match database {
            Some(_) if item.covers(&item.service, database) => drop(groups.insert((&item.service, database))),
            Some(_) => {}
            None => drop(groups.insert((&item.service, item.database.as_deref()))),
        }
    }
    groups.retain(|(service, of)| of.is_some() || !is_superseded(service, &counting));
    if groups.is_empty() {
        let others = items.len() - counting.len();
        let besides = match others as u64 {
            0 => String::new(),
            count => {
                format!(" besides {}", counted(count, "safety or partial one", "safety or partial ones"))
            }
        };
        return vec![CheckedDatabase {
            database: database.map(str::to_owned),
            service: None,
            newest: None,
            restored_at: None,
            problems: vec![BackupProblem::NoBackup(besides)],
            notes: Vec::new(),
        }];
    }
    groups
        .into_iter()
        .map(|(service, of)| {
            let mut own: Vec<&CheckItem> =
                counting.iter().copied().filter(|item| item.covers(service, of)).collect();
            own.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| b.name.cmp(&a.name)));
            let judged = judge_one(&own, limits, now);
            CheckedDatabase { database: of.map(str::to_owned), service: Some(service.to_owned()), ..judged }
        })
        .collect()
}

/// Reports whether each database of the newest backup of all has a newer backup of its own: those are judged then.
fn is_superseded(service: &str, items: &[&CheckItem]) -> bool {
    let good = || items.iter().filter(|item| item.service == service && item.is_good());
    let newest = |of: Option<&str>| {
        good().filter(|item| item.database.as_deref() == of).max_by_key(|item| item.started)
    };
    let Some(all) = newest(None) else { return false };
    !all.databases.is_empty()
        && all.databases.iter().all(|name| newest(Some(name)).is_some_and(|own| own.started > all.started))
}

/// Judges the backups of one database, newest first.
fn judge_one(items: &[&CheckItem], limits: &CheckLimits, now: Timestamp) -> CheckedDatabase {
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    let ahead = now.checked_add(CLOCK_SKEW).unwrap_or(Timestamp::MAX);
    let (future, items): (Vec<&CheckItem>, Vec<&CheckItem>) =
        items.iter().copied().partition(|item| item.started > ahead);
    for item in future {
        notes.push(format!("{} is dated {} and does not count", item.name, age(item.started, now)));
    }
    let newest = items.iter().copied().find(|item| item.is_good());
    for item in items.iter().copied().take_while(|item| !item.is_good()) {
        let name = item.name.clone();
        if item.altered {
            notes.push(format!("{name} does not count: its manifest was changed after it was written"));
        } else if !item.is_verified() {
            notes.push(format!("{name} does not count: it is not verified"));
        } else {
            problems.push(match item.file_bytes {
                None => BackupProblem::Missing { name },
                Some(file_bytes) => {
                    BackupProblem::WrongSize { name, file_bytes, stored_bytes: item.stored_bytes }
                }
            });
        }
    }
    // One that is there already tells why it cannot be relied on.
    problems.truncate(1);
    match newest {
        None => problems.push(BackupProblem::NoBackup(String::new())),
        Some(newest) => {
            if newest.started < limits.max_age.before(now) {
                let (name, limit) = (newest.name.clone(), limits.max_age.clone());
                problems.push(BackupProblem::Old { name, started: newest.started, now, limit });
            }
            problems.extend(limits.min_size.and_then(|limit| too_small(newest, &items, limit)));
        }
    }
    let tests = items.iter().filter(|item| {
        item.is_good() && item.verified >= VerificationLevel::Restored && item.verified_at <= ahead
    });
    let restored_at = tests.map(|item| item.verified_at).max();
    if let Some(limit) = &limits.verified_within
        && restored_at.is_none_or(|at| at < limit.before(now))
    {
        let tested = restored_at.map(|at| (at, now));
        problems.push(BackupProblem::NotRestored { tested, limit: limit.clone() });
    }
    CheckedDatabase { database: None, service: None, newest: newest.cloned(), restored_at, problems, notes }
}

/// Compares the newest backup with the limit, or with the one before of the same kind.
fn too_small(newest: &CheckItem, items: &[&CheckItem], limit: SizeLimit) -> Option<BackupProblem> {
    let before = match limit {
        SizeLimit::Bytes(_) => None,
        SizeLimit::Percent(_) => {
            let older = items.iter().skip_while(|item| item.path != newest.path).skip(1);
            let before = older.copied().find(|item| item.is_good() && item.kind == newest.kind)?;
            Some(before.stored_bytes)
        }
    };
    let least = match (limit, before) {
        (SizeLimit::Percent(percent), Some(before)) => u128::from(before) * u128::from(percent) / 100,
        (SizeLimit::Bytes(bytes), _) => bytes.into(),
        (SizeLimit::Percent(_), None) => return None,
    };
    (u128::from(newest.stored_bytes) < least).then(|| BackupProblem::Small {
        name: newest.name.clone(),
        stored_bytes: newest.stored_bytes,
        before,
        limit,
    })
}

/// Keeps of the files without a manifest those that are newer than every backup that can be relied on.
pub(crate) fn newer_unreadable<'a>(
    input: &'a CheckInput,
    targets: &'a [CheckedDatabase],
) -> impl Iterator<Item = &'a (String, String)> {
    let newest = targets.iter().filter_map(|target| target.newest.as_ref()).max_by_key(|item| item.started);
    let file = |name: &str| Path::new(name).file_name().unwrap_or_default().to_owned();
    let newest = newest.map(|item| file(&item.name));
    input.unreadable.iter().filter(move |(name, _)| newest.as_ref().is_none_or(|newest| file(name) > *newest))
}

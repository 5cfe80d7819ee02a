//! A stack's backups: how old the last one is, what cannot be trusted, what killed runs left, whether the next one
//! fits.
//!
//! Promise: only files of ours are looked at, and none is opened but its manifest.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::{CheckFinding, StackPlace};
use crate::error::Result;
use crate::fsutil::atomic_file;
use crate::repository::catalog::{Backup, Catalog, besides};
use crate::repository::identity::Identity;
use crate::repository::manifest::{Manifest, Purpose, VerificationLevel};
use crate::text::shell_word::shell_word;
use crate::text::units::{age, bytes};

/// Observed state of one backup directory.
#[derive(Clone, Debug)]
pub(crate) struct BackupReport {
    pub(crate) directory: PathBuf,
    /// Every backup, newest first.
    pub(crate) backups: Vec<Backup>,
    /// The target whose last backup matters.
    pub(crate) target: Identity,
    /// The target's database, as far as it was asked.
    pub(crate) about: DatabaseStorage,
    /// Unfinished files of killed runs: removed, or only seen.
    pub(crate) partial: Vec<PathBuf>,
    /// True where the unfinished files were to be removed.
    pub(crate) removed: bool,
    /// Bytes that can still be written there; `None` where that is not known.
    pub(crate) free: Option<u64>,
    /// Number of the device that the directory lies on.
    pub(crate) device: Option<u64>,
}

/// Facts about a database that its backups are judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DatabaseStorage {
    /// True where the database holds something.
    pub(crate) holds: bool,
    /// Number of the device that the data lies on, where that is one of this host.
    pub(crate) device: Option<u64>,
    /// True where stores get a copy of every backup.
    pub(crate) has_stores: bool,
}

/// Looks; removes unfinished files that nobody writes any more, unless it may only look.
///
/// # Errors
/// The directory is there and cannot be read.
pub(crate) fn look(catalog: &Catalog, target: Identity, only_look: bool) -> Result<BackupReport> {
    let directory = catalog.directory();
    let backups = catalog.list()?;
    let directories = catalog.directories()?;
    let partial = directories.iter().flat_map(|directory| atomic_file::left(directory)).collect();
    if !only_look {
        for directory in &directories {
            atomic_file::sweep(directory);
        }
    }
    let free = atomic_file::free_space(&directory.join("any"));
    Ok(BackupReport {
        directory: directory.to_owned(),
        backups,
        target,
        about: DatabaseStorage::default(),
        partial,
        removed: !only_look,
        free,
        device: directory.metadata().ok().map(|metadata| metadata.dev()),
    })
}

/// So many untrusted files are named.
const NAMED: usize = 3;

/// Returns the findings about a backup directory. `limit` is the greatest age of the last production backup.
pub(crate) fn judge(
    seen: &BackupReport,
    place: &StackPlace,
    has_database: bool,
    limit: Option<Duration>,
    now: Timestamp,
) -> Vec<CheckFinding> {
    let mut findings: Vec<CheckFinding> = seen.partial.iter().map(|path| unfinished(seen, path)).collect();
    findings.extend(untrusted(seen, place));
    if has_database {
        let last = seen.backups.iter().find(|backup| is_good(backup, &seen.target));
        findings.push(match last {
            Some(last) => aged(last, place, limit, now),
            None => none(seen, place),
        });
        findings.extend(last.and_then(|last| of_nothing(last, seen.about.holds, place)));
        findings.extend(last.and_then(|last| opened(last, seen, place, now)));
        findings.extend(private_dir(seen, last));
        findings.extend(last.and_then(|_| same_disk(seen, place)));
    }
    findings.into_iter().map(|finding| finding.at(place)).collect()
}

/// Of this target, verified, and made because somebody asked for a backup. One of all databases counts too.
pub(crate) fn is_good(backup: &Backup, target: &Identity) -> bool {
    backup.manifest.as_ref().is_ok_and(|manifest| {
        manifest.verified.level >= VerificationLevel::Complete
            && manifest.whole
            && manifest.purpose == Purpose::Backup
            && target.covers(manifest)
    })
}

fn unfinished(seen: &BackupReport, path: &std::path::Path) -> CheckFinding {
    let shown = path.display();
    if seen.removed && path.symlink_metadata().is_err() {
        return CheckFinding::note("orphans", format!("removed {shown}, orphan of a backup that was killed"));
    }
    let next = if seen.removed { "it could not be removed" } else { "remove it" };
    let command = if seen.removed {
        format!("rm {}", shell_word(&shown.to_string()))
    } else {
        "envctl doctor".to_owned()
    };
    CheckFinding::warning("orphans", format!("{shown} is an orphan of a backup that was killed"))
        .next(format!("{next}: `{command}`"))
}

/// Files with a backup's name and without a manifest to believe.
fn untrusted(seen: &BackupReport, place: &StackPlace) -> Option<CheckFinding> {
    let bad: Vec<(&Backup, &String)> =
        seen.backups.iter().filter_map(|backup| Some((backup, backup.manifest.as_ref().err()?))).collect();
    let (first, _) = bad.first()?;
    let mut names: Vec<String> = bad
        .iter()
        .take(NAMED)
        .map(|(backup, why)| {
            let name = backup.path.file_name().unwrap_or_default().to_string_lossy();
            format!("{name}: {why}")
        })
        .collect();
    if bad.len() > NAMED {
        names.push(format!("and {} more", bad.len() - NAMED));
    }
    Some(
        CheckFinding::warning("backups", format!("not to be trusted by its name: {}", names.join("; ")))
            .next(format!(
                "look at it: `envctl backup show {} {}`",
                shell_word(&first.path.display().to_string()),
                place.flags
            ))
            .next("remove it, or restore it by its name: that reads and verifies the whole file first"),
    )
}

fn none(seen: &BackupReport, place: &StackPlace) -> CheckFinding {
    let directory = seen.directory.display();
    let what = match (&seen.backups[..], &seen.target.database) {
        ([], _) => format!("there is no backup in {directory}"),
        (others, Some(name)) => {
            format!("there is no backup of database {name} {} in {directory}", besides(others))
        }
        (others, None) => format!("there is no backup {} in {directory}", besides(others)),
    };
    CheckFinding::problem_in_production(place, "backups", what)
        .next(format!("make one: `envctl backup {}`", place.flags))
}

fn aged(last: &Backup, place: &StackPlace, limit: Option<Duration>, now: Timestamp) -> CheckFinding {
    let began = last.label.timestamp();
    let passed = now.duration_since(began);
    let old = place.prod
        && limit.is_some_and(|limit| passed.as_secs() > i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
    let what = format!("the last backup was made {}", age(began, now));
    if old {
        return CheckFinding::warning("backups", format!("{what}; `migrations.backup_age` wants it newer"))
            .next(format!("make one: `envctl backup {}`", place.flags));
    }
    CheckFinding::ok("backups", format!("{what} ({})", bytes(last.stored_bytes)))
}

/// Finds a newest backup that holds nothing while the database does.
fn of_nothing(last: &Backup, holds: bool, place: &StackPlace) -> Option<CheckFinding> {
    let empty = last.manifest.as_ref().is_ok_and(Manifest::is_empty);
    if !empty || !holds {
        return None;
    }
    let name = last.path.file_name().unwrap_or_default().to_string_lossy();
    let what = format!("the last backup, {name}, is empty, and the database is not");
    Some(
        CheckFinding::problem_in_production(place, "backups", what)
            .next(format!("make one: `envctl backup {}`", place.flags)),
    )
}

/// Days after which an opening says little: people and keys go.
const OPENED_RECENTLY: i64 = 31;

/// Tells when an identity last opened an encrypted backup of the target.
fn opened(last: &Backup, seen: &BackupReport, place: &StackPlace, now: Timestamp) -> Option<CheckFinding> {
    let encryption = last.manifest.as_ref().ok()?.encryption.as_ref()?;
    let good = seen.backups.iter().filter(|backup| is_good(backup, &seen.target));
    // An opening says nothing about other recipients than those of the last backup.
    let openings = good.filter_map(|backup| {
        let manifest = backup.manifest.as_ref().ok()?;
        let same = manifest.encryption.as_ref()?.recipients == encryption.recipients;
        manifest.verified.opened_at.filter(|_| same)
    });
    let open_one = format!(
        "open one where the private key is: `envctl backup verify latest --identity FILE {}`",
        place.flags
    );
    let to = encryption.recipients.join(", ");
    Some(match openings.max() {
        None => {
            CheckFinding::warning("encryption", format!("nobody has yet opened a backup encrypted to {to}"))
                .next(open_one)
        }
        Some(at) if now.duration_since(at).as_hours() > 24 * OPENED_RECENTLY => CheckFinding::warning(
            "encryption",
            format!("a backup was last opened {}; the last one is encrypted to {to}", age(at, now)),
        )
        .next(open_one),
        Some(at) => CheckFinding::ok(
            "encryption",
            format!("the backups are encrypted; one was last opened {}", age(at, now)),
        ),
    })
}

/// Checks that the free space is at least twice the size of the last backup.
fn private_dir(seen: &BackupReport, last: Option<&Backup>) -> Option<CheckFinding> {
    let (free, last) = (seen.free?, last?);
    if free / 2 >= last.stored_bytes {
        return None;
    }
    let directory = seen.directory.display();
    let what = format!(
        "{} are free in {directory}, and the last backup took {}",
        bytes(free),
        bytes(last.stored_bytes)
    );
    let finding = if free < last.stored_bytes {
        CheckFinding::problem("backups", what)
    } else {
        CheckFinding::warning("backups", what)
    };
    Some(finding.next(format!("see what fills the disk: `df -h {}`", shell_word(&directory.to_string()))))
}

/// Finds production's backups on the disk that the data lies on: one failure takes both.
fn same_disk(seen: &BackupReport, place: &StackPlace) -> Option<CheckFinding> {
    let is_same = seen.device.is_some() && seen.device == seen.about.device;
    if !is_same || !place.prod || seen.about.has_stores {
        return None;
    }
    let directory = seen.directory.display();
    Some(
        CheckFinding::warning(
            "backups",
            format!("the backups in {directory} lie on the same disk as the data: one failure takes both"),
        )
        .next("write the directory of another disk in envctl.toml: `backup.dir = \"/mnt/other/backups\"`")
        .next("add a store there, which gets a copy of every backup: `backup.stores = [\"s3://BUCKET/PREFIX\"]`"),
    )
}

#[cfg(test)]
#[path = "backups_tests.rs"]
mod tests;

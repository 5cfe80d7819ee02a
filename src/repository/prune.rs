//! Prune: applies retention to a catalog, and removes backups.
//!
//! Promises: only a backup with a manifest of envctl's is removed, and only after another look at both; one that cannot be
//! removed keeps its manifest, is named, and does not stop the others; nothing is written, because a full disk is a
//! reason to prune.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::attempt;
use super::authenticity::{Authenticity, Doubt, ManifestKeys};
use super::catalog::{Backup, Catalog};
use super::identity::service_of;
use super::manifest::{self, Manifest, Purpose, VerificationLevel};
use super::pin;
use super::remote_backups::RemoteBackup;
use super::retention::{
    KeepReason, RetentionDecision, RetentionGroup, RetentionItem, RetentionPolicy, RetentionState,
    VerifiedBackup, decide,
};
use crate::cancel::CancelToken;
use crate::codec::Digest;
use crate::config::store_url::StoreUrl;
use crate::consent::{Confirmed, Guard, Plan};
use crate::error::{self, Error, ErrorKind, Result};
use crate::fsutil::read_lock::SoleLock;
use crate::operation::OperationId;
use crate::text::units::{age, bytes, counted};

/// Facts that decide about the backups of one catalog.
pub(crate) struct PruneRequest<'a> {
    pub(crate) policy: &'a RetentionPolicy,
    pub(crate) keys: &'a ManifestKeys,
    /// Stores that have to hold a confirmed copy before a backup of a directory goes.
    pub(crate) copies: &'a [StoreCopies],
    pub(crate) now: Timestamp,
    pub(crate) zone: &'a TimeZone,
}

/// Copies that a store has confirmed, by operation: the hash of their bytes.
pub(crate) type ConfirmedCopies = HashMap<OperationId, Digest>;

/// A store that has to hold a copy of a backup before the backup of a directory goes.
pub(crate) struct StoreCopies {
    pub(crate) url: StoreUrl,
    /// `None` where the store cannot be asked.
    pub(crate) confirmed: Option<ConfirmedCopies>,
}

impl StoreCopies {
    /// Returns the reason why the store has no confirmed copy of a backup.
    fn missing(&self, manifest: &Manifest) -> Option<String> {
        let Some(confirmed) = &self.confirmed else {
            return Some(format!("no copy confirmed in {}", self.url));
        };
        let is_there = confirmed.get(&manifest.operation) == Some(&manifest.stored_sha256);
        (!is_there).then(|| format!("no copy in {}", self.url))
    }
}

/// One backup with its decision.
#[derive(Debug)]
pub(crate) struct PlannedBackupRemoval {
    /// Name as `backup list` shows it.
    pub(crate) name: String,
    pub(crate) backup: Backup,
    pub(crate) decision: RetentionDecision,
}

/// Every backup of a catalog with its decision, newest first.
#[derive(Debug)]
pub(crate) struct PrunePlan {
    pub(crate) backups: Vec<PlannedBackupRemoval>,
    /// Manifests whose backup is gone: of a run that was killed in between, or moved away by somebody.
    pub(crate) lone_manifests: Vec<PathBuf>,
    now: Timestamp,
    /// Lock of the run that carries the plan out.
    _lock: Option<SoleLock>,
}

/// Result of a run: the places of [`PrunePlan::backups`] that are gone, and those that could not be removed.
#[derive(Debug, Default)]
pub(crate) struct PrunedBackups {
    pub(crate) removed: Vec<usize>,
    pub(crate) failed: Vec<(usize, Error)>,
    /// The bucket keeps versions: what was removed takes its space until a rule of the bucket removes them.
    pub(crate) versions_kept: bool,
}

impl PlannedBackupRemoval {
    /// Reports whether the backup does not count because of its rows.
    pub(crate) fn has_fallen(&self) -> bool {
        let RetentionDecision::Keep(reasons) = &self.decision else { return false };
        reasons.iter().any(|reason| matches!(reason, KeepReason::Fallen { .. } | KeepReason::Shrunk { .. }))
    }
}

impl PrunePlan {
    /// Decides about every backup of the catalog.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub(crate) fn new(catalog: &Catalog, request: &PruneRequest<'_>) -> Result<Self> {
        let listing = catalog.listing()?;
        let looked_at = listing.backups.into_iter().map(|backup| {
            let altered = backup.manifest.is_ok() && is_altered(&backup.path, request.keys);
            let manifest = backup.manifest.as_ref().ok();
            let missing = manifest.map(|manifest| {
                request.copies.iter().filter_map(|store| store.missing(manifest)).collect::<Vec<_>>()
            });
            let uncopied = missing.filter(|missing| !missing.is_empty()).map(|missing| missing.join(", "));
            let item = RetentionItem { uncopied, ..item(catalog.name_of(&backup), &backup, altered) };
            (backup, item)
        });
        Ok(Self::decide(looked_at, listing.lone_manifests, request))
    }

    /// Decides about every backup of a store.
    pub(crate) fn of_store(catalog: &Catalog, listed: Vec<RemoteBackup>, request: &PruneRequest<'_>) -> Self {
        let is_lone =
            |remote: &&RemoteBackup| remote.lone_manifest.is_some() && remote.dump_bytes().is_none();
        let lone = listed.iter().filter(is_lone).map(|remote| manifest::path_for(&remote.backup.path));
        let lone = lone.collect();
        let looked_at = listed.into_iter().map(|remote| {
            let item = item(catalog.name_of(&remote.backup), &remote.backup, remote.altered);
            (remote.backup, item)
        });
        Self::decide(looked_at, lone, request)
    }

    fn decide(
        looked_at: impl Iterator<Item = (Backup, RetentionItem)>,
        lone_manifests: Vec<PathBuf>,
        request: &PruneRequest<'_>,
    ) -> Self {
        let (backups, items): (Vec<Backup>, Vec<RetentionItem>) = looked_at.unzip();
        let decisions = decide(&items, request.policy, request.now, request.zone);
        let planned = backups.into_iter().zip(items).zip(decisions);
        let planned = planned.map(|((backup, RetentionItem { name, .. }), decision)| PlannedBackupRemoval {
            name,
            backup,
            decision,
        });
        Self { backups: planned.collect(), lone_manifests, now: request.now, _lock: None }
    }

    /// Takes the lock of the catalog into the plan, to be held until the plan is carried out.
    #[must_use]
    pub(crate) fn locked(self, lock: SoleLock) -> Self {
        Self { _lock: Some(lock), ..self }
    }

    /// Returns what would be removed, with its place in the plan.
    pub(crate) fn removals(&self) -> impl Iterator<Item = (usize, &PlannedBackupRemoval)> {
        self.backups.iter().enumerate().filter(|(_, planned)| !planned.decision.is_keep())
    }

    /// Returns the bytes of what would be removed.
    pub(crate) fn freed_bytes(&self) -> u64 {
        self.removals().map(|(_, planned)| planned.backup.stored_bytes).sum()
    }

    /// Describes the plan in one line.
    pub(crate) fn summary(&self) -> String {
        let removals = self.removals().count();
        let of = counted(self.backups.len() as u64, "backup", "backups");
        if removals == 0 {
            return format!("remove none of {of}");
        }
        format!("remove {removals} of {of}, {}", bytes(self.freed_bytes()))
    }
}

impl Plan for PrunePlan {
    fn guard(&self) -> Guard {
        if self.removals().next().is_some() { Guard::Destroy } else { Guard::Read }
    }
}

impl fmt::Display for PrunePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        for (_, planned) in self.removals() {
            let PlannedBackupRemoval { name, backup, decision } = planned;
            let age = age(backup.label.timestamp(), self.now);
            let reason = decision.reasons().join(", ");
            write!(f, "\n  {name}, {age}, {}: {reason}", bytes(backup.stored_bytes))?;
        }
        Ok(())
    }
}

/// Takes the lock of a catalog, of which one run prunes at a time; `None` where another one does.
pub(crate) fn try_lock(catalog: &Catalog) -> Option<SoleLock> {
    SoleLock::try_take(catalog.home())
}

/// Returns a backup as retention looks at it; `altered` tells that its manifest's MAC does not verify.
fn item(name: String, backup: &Backup, altered: bool) -> RetentionItem {
    let (at, state) = match &backup.manifest {
        Err(problem) => (backup.label.timestamp(), RetentionState::Untouched(problem.clone())),
        Ok(manifest) if manifest.verified.level < VerificationLevel::Complete => {
            (manifest.started, RetentionState::Untouched("not verified".to_owned()))
        }
        Ok(manifest) if altered => {
            let reason = "its manifest was changed after it was written".to_owned();
            (manifest.started, RetentionState::Untouched(reason))
        }
        Ok(manifest) => {
            let accepted = backup.pin.as_ref().is_some_and(|pin| pin.accept_rows);
            (manifest.started, RetentionState::Verified(verified(manifest, accepted)))
        }
    };
    RetentionItem { name, at, pinned: backup.pin.is_some(), uncopied: None, state }
}

/// Reports whether the manifest's MAC does not verify with the key that made it: such a manifest could push others out.
pub(crate) fn is_altered(backup: &Path, keys: &ManifestKeys) -> bool {
    let authenticity = Manifest::authenticated_of(backup, keys).map(|(_, authenticity)| authenticity);
    matches!(authenticity, Ok(Authenticity::Unauthenticated(Doubt::Altered)))
}

fn verified(manifest: &Manifest, rows_accepted: bool) -> VerifiedBackup {
    let group = RetentionGroup {
        context: manifest.source.context.clone(),
        stack: manifest.source.stack.clone(),
        profile: manifest.source.profile.clone(),
        service: service_of(manifest).to_owned(),
        database: (!manifest.is_of_all()).then(|| manifest.database.clone()),
        whole: manifest.whole,
    };
    // The rows of an archive with lz4 are not counted.
    let counted = manifest.is_of_all()
        || !manifest.tables.is_empty()
        || !manifest.entries.iter().any(|entry| entry.data);
    VerifiedBackup {
        group,
        safety: manifest.purpose == Purpose::PreRestore,
        empty: manifest.is_empty(),
        rows: manifest.known_rows().filter(|_| counted),
        size: (counted || manifest.is_sealed()).then(|| (manifest.format.clone(), manifest.plain_bytes)),
        rows_accepted,
    }
}

/// Removes what the plan says, oldest first. A backup that cannot be removed does not stop the others; a cancelled run
/// stops between two backups.
pub(crate) fn prune(plan: &Confirmed<PrunePlan>, cancel: &CancelToken) -> PrunedBackups {
    let mut done = PrunedBackups::default();
    let removals: Vec<_> = plan.plan().removals().collect();
    for (at, planned) in removals.into_iter().rev() {
        if cancel.signal().is_some() {
            break;
        }
        match remove_backup(&planned.backup, |path| std::fs::remove_file(path)) {
            Ok(()) => done.removed.push(at),
            Err(error) => done.failed.push((at, error)),
        }
    }
    done
}

/// Removes a backup, then its manifest.
///
/// The manifest goes last. A crash in between leaves a manifest without its backup, which nobody takes for a backup. The
/// other order would leave a backup without its manifest, which takes the space, is in every list, and which no prune
/// ever touches. Backups are made in the same way: the manifest's name appears first.
///
/// # Errors
/// Kind `Busy`: the backup is being read. `Refused`: it is not the one that was looked at. `Failed`: it cannot be
/// removed, or its manifest cannot. `remove` removes one file.
fn remove_backup(backup: &Backup, remove: impl Fn(&Path) -> io::Result<()>) -> Result<()> {
    let path = &backup.path;
    let shown = path.display();
    let Some(_alone) = SoleLock::try_take(path) else {
        return Err(Error::new(ErrorKind::Busy, format!("{shown} is being read")));
    };
    if pin::read(path).is_some() {
        return Err(error::refused(format!("{shown} was pinned meanwhile")));
    }
    let manifest = Manifest::of(path)?.map(|manifest| manifest.operation);
    let planned = backup.manifest.as_ref().ok().map(|manifest| &manifest.operation);
    let meta = path.symlink_metadata();
    let same = meta.is_ok_and(|meta| meta.is_file() && meta.len() == backup.stored_bytes);
    if !same || manifest.as_ref() != planned || planned.is_none() {
        return Err(error::refused(format!("{shown} has changed meanwhile")));
    }
    let cannot = |path: &Path, cause: io::Error| {
        error::failed(format!("cannot remove {}", path.display())).because(cause)
    };
    remove(path).map_err(|cause| cannot(path, cause))?;
    let attempt = attempt::path_for(path);
    if attempt.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        let _ = remove(&attempt);
    }
    let manifest = manifest::path_for(path);
    match remove(&manifest) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(cannot(&manifest, cause).context("the backup is removed, its manifest is left"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::manifest::tests::sample;

    fn one_backup(home: &Path) -> Backup {
        let catalog = Catalog::new(home, "acme", Some("prod"));
        std::fs::create_dir_all(catalog.directory()).unwrap();
        let path = catalog.directory().join("backup_20231114_221320.sql.gz");
        std::fs::write(&path, "0123456789").unwrap();
        std::fs::write(manifest::path_for(&path), sample().to_json()).unwrap();
        catalog.list().unwrap().remove(0)
    }

    #[test]
    fn a_backup_that_cannot_be_removed_keeps_its_manifest() {
        let home = tempfile::tempdir().unwrap();
        let backup = one_backup(home.path());
        let full = |_: &Path| Err(io::ErrorKind::StorageFull.into());
        let error = remove_backup(&backup, full).unwrap_err();
        assert!(
            error.message().contains("cannot remove") && error.message().ends_with(".sql.gz"),
            "{error:?}"
        );
        assert!(backup.path.exists() && manifest::path_for(&backup.path).exists());
        // Between the two files the backup is gone, and what is left is no backup.
        let only_dumps = |path: &Path| match path.extension() {
            Some(extension) if extension == "json" => Err(io::ErrorKind::PermissionDenied.into()),
            _ => std::fs::remove_file(path),
        };
        let error = remove_backup(&backup, only_dumps).unwrap_err();
        assert!(error.message().contains("its manifest is left"), "{error:?}");
        let listing = Catalog::new(home.path(), "acme", Some("prod")).listing().unwrap();
        assert_eq!((listing.backups.len(), listing.lone_manifests.len()), (0, 1));
    }

    #[test]
    fn a_backup_that_has_changed_since_it_was_looked_at_stays() {
        let home = tempfile::tempdir().unwrap();
        let backup = one_backup(home.path());
        let never = |path: &Path| panic!("{} was to be removed", path.display());
        let kind = |backup: &Backup| remove_backup(backup, never).unwrap_err().kind();
        std::fs::write(pin::path_for(&backup.path), "").unwrap();
        assert_eq!(kind(&backup), ErrorKind::Refused);
        std::fs::remove_file(pin::path_for(&backup.path)).unwrap();
        let other = Manifest { operation: "fedcba9876543210".into(), ..sample() };
        std::fs::write(manifest::path_for(&backup.path), other.to_json()).unwrap();
        assert_eq!(kind(&backup), ErrorKind::Refused);
        std::fs::write(manifest::path_for(&backup.path), sample().to_json()).unwrap();
        std::fs::write(&backup.path, "another size").unwrap();
        assert_eq!(kind(&backup), ErrorKind::Refused);
        std::fs::write(&backup.path, "0123456789").unwrap();
        let reading = crate::fsutil::read_lock::ReadLock::take(&backup.path).unwrap();
        assert_eq!(kind(&backup), ErrorKind::Busy);
        drop(reading);
        attempt::write(&backup.path, Timestamp::UNIX_EPOCH).unwrap();
        remove_backup(&backup, |path| std::fs::remove_file(path)).unwrap();
        assert_eq!(std::fs::read_dir(backup.path.parent().unwrap()).unwrap().count(), 0);
    }
}

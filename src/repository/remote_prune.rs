//! Pins and removals of backups in stores.
//!
//! Promises: a backup is looked at again right before it is removed; the dump goes first and the manifest last, as in a
//! directory; what Object Lock or a missing right keeps stays with its manifest, is named, and does not stop the others.

use bytes::Bytes;
use jiff::Timestamp;

use super::authenticity::ManifestKeys;
use super::catalog::Backup;
use super::manifest::{Manifest, VerificationLevel};
use super::pin::{self, BackupPin};
use super::prune::{ConfirmedCopies, PrunePlan, PrunedBackups};
use super::remote_backups::{Objects, RemoteBackup, RemoteBackups};
use super::store::{ExistingObject, ObjectHold};
use crate::cancel::CancelToken;
use crate::consent::Confirmed;
use crate::error::{self, ErrorKind, Result};
use crate::operation::Operation;
use crate::text::shell_word::shell_word;
use crate::text::units::moment;

impl RemoteBackups {
    /// Reads the pin of a backup, where the listing has one. What has the name of a pin is one.
    pub(super) async fn pin(&self, key: &str, objects: &Objects) -> Result<Option<BackupPin>> {
        if !objects.is_pinned(key) {
            return Ok(None);
        }
        match self.bytes_of(&pin_key(key), pin::LARGEST).await {
            Ok(text) => Ok(Some(pin::parse(&text))),
            // Removed since it was listed.
            Err(error) if error.kind() == ErrorKind::Target => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pins a backup, and replaces an earlier pin of it.
    ///
    /// # Errors
    /// Kind `Target`: the backup was removed meanwhile. Otherwise errors of the store.
    pub(crate) async fn set_pin(
        &self,
        remote: &RemoteBackup,
        reason: Option<String>,
        accept_rows: bool,
        operation: &Operation,
    ) -> Result<BackupPin> {
        let key = self.key(&remote.backup.path)?;
        let pin = BackupPin::new(reason, accept_rows, operation);
        let text = Bytes::from(pin.to_json());
        self.store.put(&pin_key(&key), text, ExistingObject::Replace).await?;
        let address = remote.backup.path.display();
        // A prune that has not seen this pin may have been faster.
        match self.find(&remote.backup.path).await {
            Ok(found) if found.dump_bytes().is_some() => return Ok(pin),
            Err(error) if error.kind() != ErrorKind::Target => {
                return Err(
                    error.context(format!("the pin of {address} is written, and the backup was not seen"))
                );
            }
            _ => {}
        }
        let _ = self.store.delete(&pin_key(&key)).await;
        Err(error::target(format!("{address} was removed meanwhile")).hint(self.list_hint()))
    }

    /// Removes the pin of a backup; returns false where there is none.
    ///
    /// # Errors
    /// Errors of the store.
    pub(crate) async fn clear_pin(&self, remote: &RemoteBackup) -> Result<bool> {
        let key = pin_key(&self.key(&remote.backup.path)?);
        if self.store.stat(&key).await?.is_none() {
            return Ok(false);
        }
        self.store.delete(&key).await?;
        Ok(true)
    }

    /// Removes what the plan says, oldest first. A backup that cannot be removed does not stop the others; a cancelled
    /// run stops between two requests.
    pub(crate) async fn prune(
        &self,
        plan: &Confirmed<PrunePlan>,
        now: Timestamp,
        cancel: &CancelToken,
    ) -> PrunedBackups {
        let mut done = PrunedBackups::default();
        let removals: Vec<_> = plan.plan().removals().collect();
        for (at, planned) in removals.into_iter().rev() {
            match cancel.run_until_cancelled(self.remove(&planned.backup, now)).await {
                Err(_cancelled) => break,
                Ok(Ok(hold)) => {
                    done.versions_kept |= hold.is_hidden;
                    done.removed.push(at);
                }
                Ok(Err(error)) => done.failed.push((at, error)),
            }
        }
        done
    }

    /// Removes a backup; returns what the bucket keeps of it.
    ///
    /// # Errors
    /// Kind `Refused`: it is pinned, locked or not the one that was looked at. Otherwise errors of the store.
    async fn remove(&self, backup: &Backup, now: Timestamp) -> Result<ObjectHold> {
        let (key, address) = (self.key(&backup.path)?, backup.path.display());
        let changed = || error::refused(format!("{address} has changed meanwhile"));
        let planned = backup.manifest.as_ref().map_err(|_| changed())?;
        let manifest = match self.text(&key).await {
            Ok(text) => Manifest::parse(&text).map_err(|_| changed())?,
            // Another prune was faster; its dump went first.
            Err(error) if error.kind() == ErrorKind::Target => return Ok(ObjectHold::default()),
            Err(error) => return Err(error),
        };
        let is_same =
            manifest.operation == planned.operation && manifest.stored_sha256 == planned.stored_sha256;
        let dump = self.dump_of(&key, backup.label, &manifest, &Objects::new(Vec::new())).await?;
        if !is_same || dump.as_ref().is_some_and(|dump| dump.size != backup.stored_bytes) {
            return Err(changed());
        }
        let manifest_key = format!("{key}.json");
        for key in dump.iter().map(|dump| &dump.key).chain([&manifest_key]) {
            let hold = self.store.hold(key).await?;
            if let Some(reason) = locked(hold, now) {
                return Err(error::refused(format!("{address} is locked {reason} (Object Lock)")));
            }
        }
        // Looked for last: a store has no locks, so each request between this one and the removal is one in which a pin
        // comes too late.
        if self.store.stat(&pin_key(&key)).await?.is_some() {
            return Err(error::refused(format!("{address} was pinned meanwhile")));
        }
        let mut hold = ObjectHold::default();
        if let Some(dump) = dump {
            self.store.delete(&dump.key).await?;
            // The dump is gone: an error of this question must not leave its manifest.
            hold = self.store.hold(&dump.key).await.unwrap_or_default();
        }
        self.store
            .delete(&manifest_key)
            .await
            .map_err(|error| error.context("the backup is removed, its manifest is left"))?;
        Ok(hold)
    }

    /// Lists the backups that are confirmed: a manifest is stored last, once the store has confirmed the dump.
    ///
    /// # Errors
    /// Errors of the store.
    pub(crate) async fn confirmed(&self, keys: &ManifestKeys) -> Result<ConfirmedCopies> {
        let listing = self.listing(keys).await?;
        let of = |remote: RemoteBackup| {
            let manifest = remote.backup.manifest.ok().filter(|_| !remote.altered)?;
            let verified = manifest.verified.level >= VerificationLevel::Complete;
            verified.then_some((manifest.operation, manifest.stored_sha256))
        };
        Ok(listing.backups.into_iter().filter_map(of).collect())
    }

    pub(crate) fn list_hint(&self) -> String {
        format!(
            "list all of them: `envctl backup list --store {}`",
            shell_word(&self.store.url().to_string())
        )
    }
}

fn pin_key(key: &str) -> String {
    format!("{key}{}", pin::EXTENSION)
}

/// Tells until when a lock keeps an object.
fn locked(hold: ObjectHold, now: Timestamp) -> Option<String> {
    if hold.legal_hold {
        return Some("by a legal hold".to_owned());
    }
    hold.retained_until.filter(|until| *until > now).map(|until| format!("until {}", moment(until)))
}

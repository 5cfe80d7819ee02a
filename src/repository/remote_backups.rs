//! Backups in a store: `<store>/<stack>/<profile>/backup_….sql.gz.json` is the manifest, as beside a file. The dump has
//! the same name with the operation's id behind it, which nobody can guess: an upload replaces what has its key.
//!
//! Promises: the manifest comes last, and only if none is there; a dump without one is no backup. What could not be
//! confirmed is deleted again.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::authenticity::{Authenticity, Doubt, ManifestKeys};
use super::catalog::{Backup, Catalog};
use super::identity::Identity;
use super::manifest::{LARGEST, Manifest, path_for};
use super::name::Label;
use super::pin;
use super::store::part_size::part_size;
use super::store::upload::{self, Upload, UploadTasks, UploadedObject};
use super::store::{ExistingObject, PutResult, Store, StoredObject, verify_upload};
use crate::cancel::CancelToken;
use crate::error::{self, Error, ErrorKind, Result};
use crate::operation::OperationId;
use crate::text::shell_word::shell_word;

/// Manifests that are read at a time.
const READ_AT_ONCE: usize = 16;
/// Names of one second that are tried for a dump that is not listed.
const MOST_NUMBERS: usize = 8;
/// Time limit for taking back what was not confirmed.
const TAKE_BACK_LIMIT: Duration = Duration::from_secs(10);

/// Backups of one stack and profile in a store.
#[derive(Clone)]
pub(crate) struct RemoteBackups {
    pub(super) store: Arc<dyn Store>,
    /// Address of the store, as the root of the catalog.
    root: PathBuf,
    catalog: Catalog,
    tasks: UploadTasks,
}

impl fmt::Debug for RemoteBackups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteBackups").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

/// A backup in a store, with the place of its dump.
#[derive(Clone, Debug)]
pub(crate) struct RemoteBackup {
    /// The path is an address: `s3://bucket/shop/prod/backup_….sql.gz`.
    pub(crate) backup: Backup,
    dump: Option<StoredObject>,
    /// Manifest whose dump is not there or is another; `backup` has the reason then.
    pub(super) lone_manifest: Option<Box<Manifest>>,
    /// The manifest's MAC does not verify with the key that made it.
    pub(super) altered: bool,
}

/// Everything of one stack and profile in a store.
#[derive(Debug, Default)]
pub(crate) struct RemoteListing {
    /// Every backup, newest first.
    pub(crate) backups: Vec<RemoteBackup>,
    /// Dumps without a manifest: of a run that goes on, or that was killed.
    pub(crate) lone_dumps: Vec<StoredObject>,
}

impl RemoteBackup {
    #[cfg(test)]
    pub(crate) fn of(backup: Backup) -> Self {
        Self { backup, dump: None, lone_manifest: None, altered: false }
    }

    /// Returns the size of the dump; `None` where it is not there.
    pub(crate) fn dump_bytes(&self) -> Option<u64> {
        self.dump.as_ref().map(|dump| dump.size)
    }
}

impl RemoteBackups {
    /// The backups in a store; `catalog` makes the catalog for the address as root. Nothing is read yet.
    pub(crate) fn new(store: Arc<dyn Store>, catalog: impl FnOnce(&Path) -> Catalog) -> Self {
        let root = PathBuf::from(store.url().to_string());
        let catalog = catalog(&root);
        Self { store, root, catalog, tasks: UploadTasks::default() }
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Returns the address of a new backup.
    pub(crate) fn address(&self, label: Label, extension: &str) -> PathBuf {
        self.catalog.directory().join(label.file_name(extension))
    }

    pub(super) fn key(&self, path: &Path) -> Result<String> {
        let below = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
        below.map(str::to_owned).ok_or_else(|| {
            error::usage(format!("{} is no backup in {}", path.display(), self.root.display()))
        })
    }

    /// Every backup, newest first.
    ///
    /// # Errors
    /// Errors of the store.
    pub(crate) async fn list(&self) -> Result<Vec<RemoteBackup>> {
        Ok(self.listing(&ManifestKeys::default()).await?.backups)
    }

    /// Every backup, whose manifests are verified with these keys, and what else is there.
    ///
    /// # Errors
    /// Errors of the store.
    pub(crate) async fn listing(&self, keys: &ManifestKeys) -> Result<RemoteListing> {
        let home = self.key(self.catalog.home())?;
        let objects = Objects::new(self.store.list(&home).await?);
        let is_near = |key: &str| {
            // Here, or in the directory of a service.
            key.strip_prefix(&home).is_some_and(|below| below.matches('/').count() <= 2)
        };
        let manifests = objects.all.iter().filter_map(|object| {
            let key = object.key.strip_suffix(".json").filter(|key| is_near(key))?;
            let label = Label::of_file(key.rsplit('/').next()?)?;
            Some((key, label, object.size))
        });
        let read = futures::stream::iter(manifests.collect::<Vec<_>>()).map(async |(key, label, size)| {
            let manifest = self.manifest(key, size, keys).await?;
            self.described(key, label, manifest, &objects).await
        });
        let mut backups: Vec<_> = read.buffered(READ_AT_ONCE).try_collect().await?;
        backups.sort_by(|a: &RemoteBackup, b: &RemoteBackup| {
            let (a, b) = (&a.backup, &b.backup);
            b.label.cmp(&a.label).then_with(|| b.path.cmp(&a.path))
        });
        let described: HashSet<&str> =
            backups.iter().filter_map(|remote| Some(remote.dump.as_ref()?.key.as_str())).collect();
        let is_lone = |object: &&StoredObject| {
            is_dump(&object.key) && is_near(&object.key) && !described.contains(object.key.as_str())
        };
        let lone_dumps = objects.all.iter().filter(is_lone).cloned().collect();
        Ok(RemoteListing { backups, lone_dumps })
    }

    /// Reads a manifest; the inner error is the reason why it cannot be trusted.
    async fn manifest(&self, key: &str, size: u64, keys: &ManifestKeys) -> Result<ReadManifest> {
        if size > LARGEST {
            return Ok(Err("too large for a manifest".to_owned()));
        }
        match self.text(key).await {
            Ok(text) => Ok(Manifest::authenticate(&text, keys).map_err(|error| error.full_message())),
            // Deleted since it was listed, or not text.
            Err(error) if matches!(error.kind(), ErrorKind::Target | ErrorKind::Integrity) => {
                Ok(Err(error.full_message()))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn text(&self, key: &str) -> Result<String> {
        let key = format!("{key}.json");
        String::from_utf8(self.bytes_of(&key, LARGEST).await?)
            .map_err(|_| error::integrity(format!("{}/{key} is no manifest", self.root.display())))
    }

    /// Reads an object, and stops behind so many bytes.
    pub(super) async fn bytes_of(&self, key: &str, limit: u64) -> Result<Vec<u8>> {
        let mut read = Vec::new();
        let mut bytes = self.store.open(key, None).await?;
        while let Some(block) = bytes.next().await {
            read.extend_from_slice(&block?);
            if read.len() as u64 > limit {
                break;
            }
        }
        Ok(read)
    }

    async fn described(
        &self,
        key: &str,
        label: Label,
        read: ReadManifest,
        objects: &Objects,
    ) -> Result<RemoteBackup> {
        let backup = |stored_bytes, manifest, pin| Backup {
            path: self.root.join(key),
            label,
            stored_bytes,
            manifest,
            pin,
        };
        let pin = self.pin(key, objects).await?;
        let (manifest, authenticity) = match read {
            Ok(read) => read,
            Err(problem) => {
                let backup = backup(0, Err(problem), pin);
                return Ok(RemoteBackup { backup, dump: None, lone_manifest: None, altered: false });
            }
        };
        let dump = self.dump_of(key, label, &manifest, objects).await?;
        let problem = match &dump {
            None => Some("its dump is not there".to_owned()),
            Some(dump) if dump.size != manifest.stored_bytes => {
                Some(format!("{} bytes where the manifest says {}", dump.size, manifest.stored_bytes))
            }
            Some(_) => label.problem(manifest.started),
        };
        let stored_bytes = dump.as_ref().map_or(0, |dump| dump.size);
        let altered = authenticity == Authenticity::Unauthenticated(Doubt::Altered);
        let (manifest, lone_manifest) = match problem {
            None => (Ok(manifest), None),
            Some(problem) => (Err(problem), Some(Box::new(manifest))),
        };
        Ok(RemoteBackup { backup: backup(stored_bytes, manifest, pin), dump, lone_manifest, altered })
    }

    /// Finds the dump of a manifest: the object of the same directory that bears the operation's id. A store may list
    /// late: it is asked for the object itself before the dump counts as missing.
    pub(super) async fn dump_of(
        &self,
        key: &str,
        label: Label,
        manifest: &Manifest,
        objects: &Objects,
    ) -> Result<Option<StoredObject>> {
        if let Some(listed) = objects.dump_of(key, manifest) {
            return Ok(Some(listed.clone()));
        }
        let (directory, name) = key.rsplit_once('/').unwrap_or(("", key));
        let Some((_, extension)) = Label::split(name) else { return Ok(None) };
        // The manifest of the later of two backups in one second has the next name.
        for number in (1..=label.number).rev().take(MOST_NUMBERS) {
            let name = Label { number, ..label }.file_name(extension);
            let key = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if let Some(found) = self.store.stat(&dump_key(&key, &manifest.operation)).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Finds a backup by the name that a list shows, or by its address.
    ///
    /// # Errors
    /// Kind `Target`: there is no such backup. Otherwise errors of the store.
    pub(crate) async fn find(&self, name: &Path) -> Result<RemoteBackup> {
        let missing = || {
            error::target(format!(
                "there is no backup {} in {}",
                name.display(),
                self.catalog.home().display()
            ))
            .hint(self.list_hint())
        };
        let places = if name.starts_with(&self.root) {
            vec![name.to_owned()]
        } else {
            vec![self.catalog.directory().join(name), self.catalog.home().join(name)]
        };
        for place in places {
            let Some(label) = place.file_name().and_then(|name| name.to_str()).and_then(Label::of_file)
            else {
                return Err(missing());
            };
            let key = self.key(&place)?;
            let Some(found) = self.store.stat(&format!("{key}.json")).await? else { continue };
            let manifest = self.manifest(&key, found.size, &ManifestKeys::default()).await?;
            let directory = key.rsplit_once('/').map_or("", |(directory, _)| directory);
            let objects = Objects::new(self.store.list(directory).await?);
            return self.described(&key, label, manifest, &objects).await;
        }
        Err(missing())
    }

    /// Chooses the newest verified backup of a target.
    ///
    /// # Errors
    /// Errors of [`Catalog::latest`].
    pub(crate) fn latest_of(&self, backups: &[RemoteBackup], target: &Identity) -> Result<RemoteBackup> {
        let plain: Vec<Backup> = backups.iter().map(|remote| remote.backup.clone()).collect();
        let latest = self.catalog.latest_of(&plain, target).map_err(|error| self.in_store(error))?;
        let found = backups.iter().find(|remote| remote.backup.path == latest.path);
        found.cloned().ok_or_else(|| error::target("the backup is gone"))
    }

    /// Adds the store to the commands in hints.
    fn in_store(&self, error: Error) -> Error {
        let store = format!(" --store {}`", shell_word(&self.store.url().to_string()));
        error.map_hints(|hint| {
            let commands = ["`envctl backup list", "`envctl backup", "`envctl restore"];
            match (hint.strip_suffix('`'), commands.iter().any(|command| hint.contains(command))) {
                (Some(hint), true) => format!("{hint}{store}"),
                _ => hint.to_owned(),
            }
        })
    }

    /// Reads the text of a backup's manifest.
    ///
    /// # Errors
    /// Errors of the store.
    pub(crate) async fn manifest_text(&self, remote: &RemoteBackup) -> Result<String> {
        self.text(&self.key(&remote.backup.path)?).await
    }

    /// Opens the dump of a backup; also its size.
    ///
    /// # Errors
    /// Kind `Integrity`: the dump is not there or has another size. Otherwise errors of the store.
    pub(crate) async fn open_dump(&self, remote: &RemoteBackup) -> Result<(super::store::ObjectBytes, u64)> {
        let path = remote.backup.path.display();
        if let Err(problem) = &remote.backup.manifest {
            return Err(error::integrity(format!("{path}: {problem}")).hint(self.list_hint()));
        }
        let dump = remote.dump.as_ref();
        let dump = dump.ok_or_else(|| error::integrity(format!("{path}: its dump is not there")))?;
        Ok((self.store.open(&dump.key, None).await?, dump.size))
    }

    /// Begins the dump of a new backup of about so many bytes.
    ///
    /// # Errors
    /// Kind `Usage`: the name cannot be a key.
    pub(crate) fn begin(
        &self,
        label: Label,
        extension: &str,
        operation: &OperationId,
        expected: u64,
        cancel: &CancelToken,
    ) -> Result<Upload> {
        let key = dump_key(&self.key(&self.address(label, extension))?, operation);
        Ok(upload::begin(self.store.clone(), key, part_size(expected), cancel.clone(), &self.tasks))
    }

    /// Makes a backup of a dump that was written: completes and confirms the upload, then stores the manifest. Returns
    /// the address of the backup.
    ///
    /// # Errors
    /// Kind `Integrity`: the store holds something else. Otherwise errors of the store. No backup is there then.
    pub(crate) async fn publish(
        &self,
        upload: Upload,
        (label, extension): (Label, &str),
        manifest: &Manifest,
        cancel: &CancelToken,
    ) -> Result<PathBuf> {
        let sent = upload.complete().await?;
        let published = self.confirm_and_publish(&sent, (label, extension), manifest, cancel).await;
        if published.is_err() {
            let _ = tokio::time::timeout(TAKE_BACK_LIMIT, self.store.delete(&sent.key)).await;
        }
        published
    }

    async fn confirm_and_publish(
        &self,
        sent: &UploadedObject,
        (mut label, extension): (Label, &str),
        manifest: &Manifest,
        cancel: &CancelToken,
    ) -> Result<PathBuf> {
        let confirming = verify_upload::confirm(self.store.as_ref(), sent, &manifest.stored_sha256);
        cancel.run_until_cancelled(confirming).await??;
        let text = Bytes::from(manifest.to_json());
        loop {
            let address = self.address(label, extension);
            let key = self.key(&path_for(&address))?;
            match self.store.put(&key, text.clone(), ExistingObject::Keep).await? {
                PutResult::Stored => return Ok(address),
                // Another backup of the same second was faster.
                PutResult::Taken => label = label.next(),
            }
        }
    }

    /// Waits until uploads that failed have been aborted.
    pub(crate) async fn settle(&self) {
        self.tasks.settle().await;
    }
}

/// A manifest with its authenticity, or the reason why it cannot be trusted.
type ReadManifest = std::result::Result<(Manifest, Authenticity), String>;

/// Objects of a listing, found by the ids that their names end in.
pub(super) struct Objects {
    all: Vec<StoredObject>,
    /// Places in `all` of what has the name of a dump, by directory and id.
    dumps: HashMap<(String, String), usize>,
    pins: HashSet<String>,
}

impl Objects {
    pub(super) fn new(all: Vec<StoredObject>) -> Self {
        let (mut dumps, mut pins) = (HashMap::new(), HashSet::new());
        for (place, object) in all.iter().enumerate() {
            if let Some(pinned) = object.key.strip_suffix(pin::EXTENSION) {
                pins.insert(pinned.to_owned());
            } else if let Some((key, id)) = object.key.rsplit_once('.').filter(|_| is_dump(&object.key)) {
                dumps.insert((directory_of(key).to_owned(), id.to_owned()), place);
            }
        }
        Self { all, dumps, pins }
    }

    pub(super) fn is_pinned(&self, key: &str) -> bool {
        self.pins.contains(key)
    }

    fn dump_of(&self, key: &str, manifest: &Manifest) -> Option<&StoredObject> {
        let place = (directory_of(key).to_owned(), manifest.operation.to_string());
        self.dumps.get(&place).map(|place| &self.all[*place])
    }
}

fn directory_of(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn dump_key(key: &str, operation: &OperationId) -> String {
    format!("{key}.{operation}")
}

/// Reports whether a key is that of a dump: the name of a backup with the operation's id behind it.
fn is_dump(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.rsplit_once('.').is_some_and(|(name, id)| {
        Label::of_file(name).is_some() && !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

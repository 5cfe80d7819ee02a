//! Checks what the credentials may do in a store, on a probe of its own.

use bytes::Bytes;
use futures::TryStreamExt as _;

use super::{ExistingObject, PutResult, Store};
use crate::config::store_url::StoreKind;
use crate::error::{self, Error, Result};
use crate::random::nonce;

/// One thing that a store has to allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StorePermission {
    Write,
    /// An object that is there is not replaced: manifests rely on that.
    KeepExisting,
    Parts,
    Read,
    List,
    Delete,
}

/// Result of trying one right.
pub(crate) struct TriedRight {
    pub(crate) right: StorePermission,
    pub(crate) failure: Option<Error>,
}

impl StorePermission {
    /// Name of the step.
    pub(crate) fn step(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::KeepExisting => "create if absent",
            Self::Parts => "write in parts",
            Self::Read => "read",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }

    /// Permission that a kind of store asks for it.
    pub(crate) fn permission(self, kind: StoreKind) -> &'static str {
        match (kind, self) {
            (StoreKind::S3, Self::Write | Self::KeepExisting) => "s3:PutObject",
            (StoreKind::S3, Self::Parts) => "s3:PutObject, s3:AbortMultipartUpload",
            (StoreKind::S3, Self::Read) => "s3:GetObject",
            (StoreKind::S3, Self::List) => "s3:ListBucket",
            (StoreKind::S3, Self::Delete) => "s3:DeleteObject",
            (StoreKind::Google, Self::Write | Self::KeepExisting) => "storage.objects.create",
            (StoreKind::Google, Self::Parts) => "storage.objects.create, storage.multipartUploads.abort",
            (StoreKind::Google, Self::Read) => "storage.objects.get",
            (StoreKind::Google, Self::List) => "storage.objects.list",
            (StoreKind::Google, Self::Delete) => "storage.objects.delete",
            (StoreKind::Azure, Self::Write | Self::KeepExisting | Self::Parts) => "blobs/write",
            (StoreKind::Azure, Self::Read | Self::List) => "blobs/read",
            (StoreKind::Azure, Self::Delete) => "blobs/delete",
            (StoreKind::File, Self::Read | Self::List) => "read the directory",
            (StoreKind::File, _) => "write into the directory",
        }
    }

    /// Reports whether backups and restores need it. Who only deletes what nobody needs may do without.
    pub(crate) fn is_needed(self) -> bool {
        self != Self::Delete
    }
}

const PROBE: &[u8] = b"written by `envctl store check`; it may be deleted\n";

/// Tries every right; a right that depends on one that is missing is tried all the same.
pub(crate) async fn try_rights(store: &dyn Store) -> Vec<TriedRight> {
    let key = format!("envctl-probe-{}", nonce());
    let mut tried = Vec::new();
    let mut note = |right, result: Result<()>| tried.push(TriedRight { right, failure: result.err() });
    let write = store.put(&key, Bytes::from_static(PROBE), ExistingObject::Keep).await;
    let written = write.is_ok();
    note(StorePermission::Write, write.map(drop));
    if written {
        note(StorePermission::KeepExisting, keeps(store, &key).await);
    }
    note(StorePermission::Parts, in_parts(store, &format!("{key}-parts")).await);
    if written {
        note(StorePermission::Read, reads(store, &key).await);
    }
    note(StorePermission::List, lists(store, &key, written).await);
    if written {
        note(StorePermission::Delete, deletes(store, &key).await);
    }
    tried
}

async fn keeps(store: &dyn Store, key: &str) -> Result<()> {
    match store.put(key, Bytes::from_static(b"another"), ExistingObject::Keep).await? {
        PutResult::Taken => Ok(()),
        PutResult::Stored => Err(error::failed("an object that was there has been replaced")),
    }
}

/// Stores a part and takes it back: nothing stays.
async fn in_parts(store: &dyn Store, key: &str) -> Result<()> {
    let mut upload = store.begin(key).await?;
    let stored = upload.part(Bytes::from_static(PROBE)).await;
    let aborted = upload.abort().await;
    stored.and(aborted)
}

async fn reads(store: &dyn Store, key: &str) -> Result<()> {
    let blocks: Vec<Bytes> = store.open(key, None).await?.try_collect().await?;
    if blocks.concat() == PROBE { Ok(()) } else { Err(error::integrity("other bytes came back")) }
}

async fn lists(store: &dyn Store, key: &str, written: bool) -> Result<()> {
    let listed = store.list("").await?;
    if !written || listed.iter().any(|object| object.key == key) {
        Ok(())
    } else {
        Err(error::failed("the list does not hold what was just written"))
    }
}

async fn deletes(store: &dyn Store, key: &str) -> Result<()> {
    store.delete(key).await?;
    match store.stat(key).await? {
        None => Ok(()),
        Some(_) => Err(error::failed("it is still there after it was deleted")),
    }
}

//! Stores: places for backups beyond the directory of backups, reached through one trait.
//!
//! Promises: a key never leads out of the address of its store; what is put appears under its key whole or not at all;
//! an error names the store and the key and holds no credentials.

#[cfg(feature = "stores")]
mod aws_profile;
pub(crate) mod local;
#[cfg(feature = "stores")]
mod object;
#[cfg(feature = "stores")]
mod object_failure;
#[cfg(feature = "stores")]
mod object_http;
#[cfg(feature = "stores")]
mod object_open;
mod open;
pub(crate) mod part_size;
pub(crate) mod permissions;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod upload;
pub(crate) mod verify_upload;

use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::config::store_url::StoreUrl;
use crate::error::Result;

pub(crate) use open::{Patience, StoreOptions, open};

/// A place for objects under keys such as `shop/prod/backup_20241201_143022.sql.gz.json`.
pub(crate) trait Store: Send + Sync {
    /// Address of the store.
    fn url(&self) -> &StoreUrl;

    /// Stores a small object.
    ///
    /// # Errors
    /// Kind `Failed`: the store does not answer or refuses. A taken key is no error, see [`PutResult`].
    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        existing: ExistingObject,
    ) -> BoxFuture<'a, Result<PutResult>>;

    /// Begins an object that is stored in parts. It replaces what has the key.
    ///
    /// # Errors
    /// Kind `Failed`: the store does not answer or refuses.
    fn begin<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Box<dyn PartUpload>>>;

    /// Opens an object, or a range of its bytes.
    ///
    /// # Errors
    /// Kind `Target`: there is no such object. `Failed`: the store does not answer or refuses.
    fn open<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<ObjectBytes>>;

    /// Lists the objects below a directory, at any depth.
    ///
    /// # Errors
    /// Kind `Failed`: the store does not answer or refuses.
    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<StoredObject>>>;

    /// Describes an object; `None` where there is none.
    ///
    /// # Errors
    /// Kind `Failed`: the store does not answer or refuses.
    fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StoredObject>>>;

    /// Deletes an object.
    ///
    /// # Errors
    /// Kind `Failed`: the store does not answer or refuses.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Tells what holds an object although it was or would be deleted. A store that knows no such thing holds nothing.
    ///
    /// # Errors
    /// Kind `Failed`: the store does not answer or refuses.
    fn hold<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ObjectHold>> {
        let _ = key;
        Box::pin(async { Ok(ObjectHold::default()) })
    }
}

/// Rules of a bucket that keep an object: Object Lock, versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectHold {
    /// Time until which no version can be removed.
    pub(crate) retained_until: Option<Timestamp>,
    pub(crate) legal_hold: bool,
    /// The object was deleted, and the bucket keeps the version before.
    pub(crate) is_hidden: bool,
}

/// Bytes of an object as they arrive.
pub(crate) type ObjectBytes = BoxStream<'static, Result<Bytes>>;

/// An object that is being stored in parts; it is there when it is completed.
pub(crate) trait PartUpload: Send {
    /// Stores the next part. Parts may be stored at the same time; their order is that of the calls.
    fn part(&mut self, bytes: Bytes) -> BoxFuture<'static, Result<()>>;

    /// Makes the object appear under its key.
    fn complete(&mut self) -> BoxFuture<'_, Result<()>>;

    /// Removes the parts.
    fn abort(&mut self) -> BoxFuture<'_, Result<()>>;
}

/// Action where a key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExistingObject {
    Replace,
    Keep,
}

/// Result of storing a small object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutResult {
    Stored,
    /// The key was taken, and its object is as before.
    Taken,
}

/// One object of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredObject {
    /// Key below the address of the store.
    pub(crate) key: String,
    pub(crate) size: u64,
    /// The store's own tag of the content, without quotes.
    pub(crate) etag: Option<String>,
}

//! Confirms that a store holds what was sent: by its size and the tag of its content, else by reading it back.
//!
//! The tag is a hash of the content in S3 only, and there not with every kind of encryption.

use futures::StreamExt as _;

use super::Store;
use super::upload::UploadedObject;
use crate::codec::{Digest, Hasher};
use crate::error::{self, Result};

/// Evidence that an object is what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadVerification {
    /// Size and tag are those that were computed here.
    Tag,
    /// The object was read back and has the hash of what was sent.
    ReadBack,
}

/// Confirms an object.
///
/// # Errors
/// Kind `Integrity`: it is not there, or is another. Otherwise errors of the store.
pub(crate) async fn confirm(
    store: &dyn Store,
    sent: &UploadedObject,
    sha256: &Digest,
) -> Result<UploadVerification> {
    let place = || format!("{}/{}", store.url(), sent.key);
    let found = store.stat(&sent.key).await?;
    let found =
        found.ok_or_else(|| error::integrity(format!("{} is not there after the upload", place())))?;
    if found.size != sent.size {
        return Err(error::integrity(format!(
            "{} has {} bytes after the upload of {}",
            place(),
            found.size,
            sent.size
        )));
    }
    if found.etag.as_ref() == Some(&sent.etag) {
        return Ok(UploadVerification::Tag);
    }
    let mut hasher = Hasher::default();
    let mut bytes = store.open(&sent.key, None).await?;
    while let Some(block) = bytes.next().await {
        hasher.update(&block?);
    }
    if hasher.finish() == *sha256 {
        Ok(UploadVerification::ReadBack)
    } else {
        Err(error::integrity(format!("{} is not what was sent: its SHA-256 is another", place())))
    }
}

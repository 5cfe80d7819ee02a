//! A directory as a store: another disk, or a file system of the network.
//!
//! Promises: files of 0600 in directories of 0700, synced before they have their name; a key leads nowhere else.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;

use super::{ExistingObject, ObjectBytes, PartUpload, PutResult, Store, StoredObject};
use crate::config::store_url::StoreUrl;
use crate::error::{self, ErrorKind, Result};
use crate::fsutil::atomic_file::{self, AtomicFile};
use crate::random::nonce;

/// A directory as a store.
#[derive(Clone, Debug)]
pub(crate) struct LocalStore {
    url: StoreUrl,
    root: PathBuf,
}

impl LocalStore {
    pub(crate) fn new(url: StoreUrl) -> Self {
        let root = PathBuf::from(if url.prefix.is_empty() { "/" } else { &url.prefix });
        Self { url, root }
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        if key.split('/').any(|part| part == ".." || part == ".") || key.starts_with('/') {
            return Err(error::usage(format!("{key:?} cannot be a key of {}", self.url)));
        }
        Ok(self.root.join(key))
    }

    fn create(&self, key: &str) -> Result<AtomicFile> {
        AtomicFile::create(&self.path(key)?, &nonce()[..8])
    }
}

/// Runs work that waits for a disk on a thread of its own.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(error::failed("a thread failed")))
}

fn unreadable(path: &Path, cause: io::Error) -> error::Error {
    let kind = if cause.kind() == io::ErrorKind::NotFound { ErrorKind::Target } else { ErrorKind::Failed };
    error::Error::new(kind, format!("cannot read {}", path.display())).because(cause)
}

impl Store for LocalStore {
    fn url(&self) -> &StoreUrl {
        &self.url
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        existing: ExistingObject,
    ) -> BoxFuture<'a, Result<PutResult>> {
        let (store, key) = (self.clone(), key.to_owned());
        Box::pin(on_a_thread(move || {
            let path = store.path(&key)?;
            let is_same = || fs::read(&path).is_ok_and(|there| there == bytes);
            if existing == ExistingObject::Keep && atomic_file::occupied(&path) {
                return Ok(if is_same() { PutResult::Stored } else { PutResult::Taken });
            }
            let mut file = store.create(&key)?;
            file.write_all(&bytes).map_err(|e| atomic_file::write_failure(&path, e))?;
            match file.publish(existing == ExistingObject::Replace) {
                Ok(()) => Ok(PutResult::Stored),
                Err(error) if error.kind() == ErrorKind::Refused => Ok(PutResult::Taken),
                Err(error) => Err(error),
            }
        }))
    }

    fn begin<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Box<dyn PartUpload>>> {
        let (store, key) = (self.clone(), key.to_owned());
        Box::pin(on_a_thread(move || {
            let file = store.create(&key)?;
            let writer = Arc::new(file.writer()?);
            let path = file.target().to_owned();
            Ok(Box::new(LocalUpload { file: Some(file), writer, path, bytes: 0 }) as Box<dyn PartUpload>)
        }))
    }

    fn open<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, Result<ObjectBytes>> {
        let (store, key) = (self.clone(), key.to_owned());
        Box::pin(async move {
            let path = store.path(&key)?;
            let opened = path.clone();
            let (file, left) = on_a_thread(move || {
                let mut file = File::open(&opened).map_err(|e| unreadable(&opened, e))?;
                let range = range.unwrap_or(0..u64::MAX);
                file.seek(SeekFrom::Start(range.start)).map_err(|e| unreadable(&opened, e))?;
                Ok((file, range.end - range.start))
            })
            .await?;
            Ok(futures::stream::try_unfold((file, left), move |(mut file, left)| {
                let path = path.clone();
                on_a_thread(move || {
                    let mut block = Vec::new();
                    let read = (&mut file).take(left.min(1 << 20)).read_to_end(&mut block);
                    let read = read.map_err(|e| unreadable(&path, e))? as u64;
                    Ok((read > 0).then(|| (Bytes::from(block), (file, left - read))))
                })
            })
            .boxed())
        })
    }

    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<StoredObject>>> {
        let (store, directory) = (self.clone(), directory.to_owned());
        Box::pin(on_a_thread(move || {
            let mut found = Vec::new();
            let mut directories = vec![store.path(&directory)?];
            while let Some(directory) = directories.pop() {
                let entries = match fs::read_dir(&directory) {
                    Ok(entries) => entries,
                    Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
                    Err(cause) => return Err(unreadable(&directory, cause)),
                };
                for entry in entries {
                    let entry = entry.map_err(|e| unreadable(&directory, e))?;
                    let Ok(meta) = entry.metadata() else { continue };
                    let path = entry.path();
                    if meta.is_dir() {
                        directories.push(path);
                    } else if let Some(object) = store.described(&path, &meta) {
                        found.push(object);
                    }
                }
            }
            found.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(found)
        }))
    }

    fn stat<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<StoredObject>>> {
        let (store, key) = (self.clone(), key.to_owned());
        Box::pin(on_a_thread(move || {
            let path = store.path(&key)?;
            match fs::metadata(&path) {
                Ok(meta) => Ok(store.described(&path, &meta)),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(cause) => Err(unreadable(&path, cause)),
            }
        }))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        let (store, key) = (self.clone(), key.to_owned());
        Box::pin(on_a_thread(move || {
            let path = store.path(&key)?;
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    Err(error::failed(format!("cannot delete {}", path.display())).because(cause))
                }
                _ => Ok(()),
            }
        }))
    }
}

impl LocalStore {
    /// Returns a file as an object; unfinished and hidden files are none.
    fn described(&self, path: &Path, meta: &fs::Metadata) -> Option<StoredObject> {
        let key = path.strip_prefix(&self.root).ok()?.to_str()?;
        let hidden = path.file_name()?.to_str()?.starts_with('.');
        (meta.is_file() && !hidden).then(|| StoredObject {
            key: key.to_owned(),
            size: meta.len(),
            etag: None,
        })
    }
}

/// A file that is written in parts.
struct LocalUpload {
    file: Option<AtomicFile>,
    writer: Arc<File>,
    path: PathBuf,
    bytes: u64,
}

impl PartUpload for LocalUpload {
    fn part(&mut self, bytes: Bytes) -> BoxFuture<'static, Result<()>> {
        let (writer, path, at) = (self.writer.clone(), self.path.clone(), self.bytes);
        self.bytes += bytes.len() as u64;
        Box::pin(on_a_thread(move || {
            writer.write_all_at(&bytes, at).map_err(|e| atomic_file::write_failure(&path, e))
        }))
    }

    fn complete(&mut self) -> BoxFuture<'_, Result<()>> {
        let file = self.file.take();
        Box::pin(on_a_thread(move || match file {
            Some(mut file) => file.publish(true),
            None => Err(error::failed("the upload was given up")),
        }))
    }

    fn abort(&mut self) -> BoxFuture<'_, Result<()>> {
        self.file = None;
        Box::pin(async { Ok(()) })
    }
}

//! An upload: bytes from a thread, requests on the runtime, so that parts go on while the dump pauses.
//!
//! Promises: constant memory; nothing appears in the store before [`Upload::complete`]; an upload that is dropped, fails
//! or is cancelled is aborted, and [`UploadTasks::settle`] waits for that.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use md5::{Digest as _, Md5};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::part_size::{MOST_PARTS, parts_in_flight};
use super::{ExistingObject, PartUpload, Store};
use crate::cancel::{CancelToken, cancelled};
use crate::error::{self, Error, Result};
use crate::sync::lock;

/// Time limit for aborting an upload.
const ABORT_LIMIT: Duration = Duration::from_secs(10);
/// Time limit for [`UploadTasks::settle`].
const SETTLE_LIMIT: Duration = Duration::from_secs(15);

/// MD5 of a part.
type PartHash = [u8; 16];

/// A stored object, as the sender knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UploadedObject {
    pub(crate) key: String,
    pub(crate) size: u64,
    /// Tag that S3 gives an object of these parts.
    pub(crate) etag: String,
}

/// Uploads of one command.
#[derive(Clone, Debug, Default)]
pub(crate) struct UploadTasks(Arc<Mutex<Vec<JoinHandle<()>>>>);

impl UploadTasks {
    /// Waits until each upload is completed or aborted.
    pub(crate) async fn settle(&self) {
        let tasks = std::mem::take(&mut *lock(&self.0));
        let all = async {
            for task in tasks {
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(SETTLE_LIMIT, all).await;
    }
}

/// An upload that is going on.
pub(crate) struct Upload {
    buffer: Arc<Mutex<PartBuffer>>,
    finish: oneshot::Sender<()>,
    done: oneshot::Receiver<Option<UploadedObject>>,
    failure: Failure,
}

/// Error of an upload, for the thread that writes into it.
type Failure = Arc<Mutex<Option<Error>>>;

/// Begins an upload on the runtime that it is called on.
pub(crate) fn begin(
    store: Arc<dyn Store>,
    key: String,
    part_size: u64,
    cancel: CancelToken,
    tasks: &UploadTasks,
) -> Upload {
    let (sender, receiver) = mpsc::channel(1);
    let (finish, finished) = oneshot::channel();
    let (told, done) = oneshot::channel();
    let failure = Failure::default();
    let failed = failure.clone();
    let limit = parts_in_flight(part_size);
    let task = tokio::spawn(async move {
        let sending = Sending { store: store.as_ref(), key: &key, cancel: &cancel, limit };
        let mut parts = receiver;
        let result = sending.run(&mut parts, finished).await;
        let object = result.map_err(|error| *lock(&failed) = Some(error)).ok();
        // The writer learns of a failure by its closed channel, and asks for the reason then.
        drop(parts);
        let _ = told.send(object);
    });
    lock(&tasks.0).push(task);
    let size = usize::try_from(part_size).unwrap_or(usize::MAX);
    let buffer = PartBuffer { bytes: Vec::new(), size, parts: 0, sender: Some(sender) };
    Upload { buffer: Arc::new(Mutex::new(buffer)), finish, done, failure }
}

impl Upload {
    /// Returns the writer for the thread that has the bytes.
    pub(crate) fn writer(&self) -> PartWriter {
        PartWriter(self.buffer.clone())
    }

    /// Returns the reason why the upload failed, once.
    pub(crate) fn failure(&self) -> Option<Error> {
        lock(&self.failure).take()
    }

    /// Makes the object appear under its key.
    ///
    /// # Errors
    /// Errors of the store; kind `Cancelled`.
    pub(crate) async fn complete(self) -> Result<UploadedObject> {
        let Self { finish, done, failure, .. } = self;
        let _ = finish.send(());
        let object = done.await.ok().flatten();
        object.ok_or_else(|| lock(&failure).take().unwrap_or_else(ended))
    }
}

/// Writer into an upload, for a thread that may block.
#[derive(Clone)]
pub(crate) struct PartWriter(Arc<Mutex<PartBuffer>>);

impl PartWriter {
    /// Sends what is left; the last part may be smaller than the others.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let mut buffer = lock(&self.0);
        if !buffer.bytes.is_empty() || buffer.parts == 0 {
            buffer.send()?;
        }
        buffer.sender = None;
        Ok(())
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The part that is being filled.
struct PartBuffer {
    bytes: Vec<u8>,
    size: usize,
    parts: u64,
    sender: Option<mpsc::Sender<(Bytes, PartHash)>>,
}

impl PartBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(self.size);
        }
        let taken = bytes.len().min(self.size - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        if self.bytes.len() == self.size {
            self.send()?;
        }
        Ok(taken)
    }

    fn send(&mut self) -> io::Result<()> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(io::Error::other(too_large(self.size)));
        }
        let bytes = std::mem::take(&mut self.bytes);
        let hash = Md5::digest(&bytes).into();
        let sender = self.sender.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        sender.blocking_send((Bytes::from(bytes), hash)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn too_large(part: usize) -> Error {
    error::failed(format!(
        "the backup is larger than {MOST_PARTS} parts of {} MiB: much more than the database made expect",
        part >> 20
    ))
    .hint("leave `--store` out and set `backup.stores`: the size of a file is known before it is copied")
}

struct Sending<'a> {
    store: &'a dyn Store,
    key: &'a str,
    cancel: &'a CancelToken,
    limit: usize,
}

impl Sending<'_> {
    async fn run(
        &self,
        parts: &mut mpsc::Receiver<(Bytes, PartHash)>,
        finished: oneshot::Receiver<()>,
    ) -> Result<UploadedObject> {
        let first = self.cancel.run_until_cancelled(parts.recv()).await?;
        let (first, hash) = first.ok_or_else(ended)?;
        let second = self.cancel.run_until_cancelled(parts.recv()).await?;
        let mut tag = ETag::default();
        tag.add(first.len(), hash);
        let Some((second, hash)) = second else {
            self.finished(finished).await?;
            let putting = self.store.put(self.key, first, ExistingObject::Replace);
            if let Err(error) = self.cancel.run_until_cancelled(putting).await.flatten() {
                // Nobody knows whether it arrived.
                let _ = tokio::time::timeout(ABORT_LIMIT, self.store.delete(self.key)).await;
                return Err(error);
            }
            return Ok(tag.object(self.key));
        };
        tag.add(second.len(), hash);
        let mut upload = self.cancel.run_until_cancelled(self.store.begin(self.key)).await??;
        let completing = &mut false;
        let result = async {
            self.feed(upload.as_mut(), [first, second], parts, &mut tag).await?;
            self.finished(finished).await?;
            *completing = true;
            self.cancel.run_until_cancelled(upload.complete()).await.flatten()
        }
        .await;
        if let Err(error) = result {
            let aborted = tokio::time::timeout(ABORT_LIMIT, upload.abort()).await;
            if *completing {
                // The answer may have been lost, and not the request.
                let _ = tokio::time::timeout(ABORT_LIMIT, self.store.delete(self.key)).await;
            }
            return Err(match aborted {
                Ok(Ok(())) => error,
                _ => error.note(format!(
                    "the parts of {} in {} could not be removed; a lifecycle rule for incomplete uploads removes them",
                    self.key,
                    self.store.url()
                )),
            });
        }
        Ok(tag.object(self.key))
    }

    /// Stores the parts as they come, a few at a time.
    async fn feed(
        &self,
        upload: &mut dyn PartUpload,
        begun: [Bytes; 2],
        parts: &mut mpsc::Receiver<(Bytes, PartHash)>,
        tag: &mut ETag,
    ) -> Result<()> {
        let mut in_flight = FuturesUnordered::new();
        for bytes in begun {
            if in_flight.len() >= self.limit
                && let Some(done) = self.cancel.run_until_cancelled(in_flight.next()).await?
            {
                done?;
            }
            in_flight.push(upload.part(bytes));
        }
        let mut ended = false;
        loop {
            tokio::select! {
                biased;
                signal = self.cancel.wait() => return Err(cancelled(signal)),
                Some(done) = in_flight.next(), if !in_flight.is_empty() => done?,
                part = parts.recv(), if !ended && in_flight.len() < self.limit => match part {
                    Some((bytes, hash)) => {
                        tag.add(bytes.len(), hash);
                        in_flight.push(upload.part(bytes));
                    }
                    None => ended = true,
                },
            }
            if ended && in_flight.is_empty() {
                return Ok(());
            }
        }
    }

    /// Waits for the word that all bytes are good.
    async fn finished(&self, finished: oneshot::Receiver<()>) -> Result<()> {
        self.cancel.run_until_cancelled(finished).await?.map_err(|_| ended())
    }
}

fn ended() -> Error {
    error::failed("the upload was given up")
}

/// Computes the tag that S3 gives an object: MD5 of its bytes, or of the hashes of its parts.
#[derive(Default)]
pub(crate) struct ETag {
    size: u64,
    hashes: Vec<PartHash>,
}

impl ETag {
    /// Adds a part.
    pub(crate) fn add(&mut self, bytes: usize, hash: PartHash) {
        self.size += bytes as u64;
        self.hashes.push(hash);
    }

    fn tag(&self) -> String {
        let hex = |hash: &[u8]| hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        match self.hashes.as_slice() {
            [only] => hex(only),
            parts => format!("{}-{}", hex(&Md5::digest(parts.concat())), parts.len()),
        }
    }

    fn object(&self, key: &str) -> UploadedObject {
        UploadedObject { key: key.to_owned(), size: self.size, etag: self.tag() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_the_one_that_s3_computes() {
        let mut tag = ETag::default();
        tag.add(5, Md5::digest("hello").into());
        assert_eq!(tag.tag(), "5d41402abc4b2a76b9719d911017c592");
        tag.add(5, Md5::digest("hello").into());
        assert_eq!((tag.size, tag.tag().as_str()), (10, "616b22817b80eed9f65c3aa38cd29054-2"));
    }
}

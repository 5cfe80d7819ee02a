//! The receiving end of a backup: scanner and compressor over a file, a store or stdout.
//!
//! Promises: a file is written beside its final name and gets that only with its manifest ([`BackupSink::publish`]);
//! dropped before, nothing is left of it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::backup::request::{BackupRequest, BackupTarget, OnExisting, StoreTarget};
use crate::cancel::CancelToken;
use crate::codec::age::{AgeRecipients, EncryptingThread};
use crate::codec::{Compression, Stored, StreamCompressor};
use crate::dump::format::Format;
use crate::dump::scanner::AnyScanner;
use crate::dump::sql::Summary;
use crate::error::{self, Error, ErrorKind, Result};
use crate::fsutil::atomic_file;
use crate::fsutil::atomic_file::AtomicFile;
use crate::operation::Operation;
use crate::postgres::database_info::DatabaseInfo;
use crate::progress::{Event, Progress};
use crate::repository::manifest::{Manifest, path_for};
use crate::repository::name::Label;
use crate::repository::store::upload::Upload;

/// The receiving end: scanner and compressor over a file or stdout.
pub(crate) enum BackupSink {
    File { file: AtomicFile, manifest: AtomicFile, taken: OnExisting },
    Store { upload: Upload, target: StoreTarget, cancel: CancelToken },
    Stdout(Box<dyn Write + Send>),
}

/// Result of writing a dump to its output.
pub(crate) struct WrittenBackup {
    /// BackupOutput that holds the dump.
    pub(crate) output: BackupSink,
    /// Sizes and hashes of the dump.
    pub(crate) stored: Stored,
    /// Summary of the dump's content.
    pub(crate) summary: Summary,
    /// Beginning of the encrypted stream, which an identity can be tried on; `None` for one that is not encrypted.
    pub(crate) head: Option<Vec<u8>>,
}

impl BackupSink {
    /// Opens it, before anything is asked of the server that would be in vain.
    ///
    /// # Errors
    /// Kind `Refused`: the name is taken. `Failed`: the disk.
    pub(crate) fn open(
        request: &BackupRequest,
        stdout: Option<Box<dyn Write + Send>>,
        facts: &DatabaseInfo,
    ) -> Result<Self> {
        let (path, taken) = match (&request.destination, stdout) {
            (BackupTarget::Stdout, Some(stdout)) => return Ok(Self::Stdout(stdout)),
            (BackupTarget::Stdout, None) => return Err(error::failed("there is no stdout to write to")),
            (BackupTarget::Store(target), _) => {
                let Operation { id, cancel, .. } = &request.operation;
                let StoreTarget { backups, label, extension } = target;
                let expected = expected_size(facts.table_bytes, request.compression == Compression::None);
                let upload = backups.begin(*label, extension, id, expected, cancel)?;
                return Ok(Self::Store { upload, target: target.clone(), cancel: cancel.clone() });
            }
            (BackupTarget::File { path, taken }, _) => (path, *taken),
        };
        // A manifest that was left alone counts too: it would be found in the way when all is done.
        let in_the_way = [path.clone(), path_for(path)].into_iter().find(|path| atomic_file::occupied(path));
        if let Some(occupied) = in_the_way.filter(|_| taken == OnExisting::Refuse) {
            return Err(atomic_file::taken(&occupied));
        }
        // A device, a pipe or a link that is replaced by a file is never what was meant.
        if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) {
            return Err(error::refused(format!(
                "{} is not a regular file and is not replaced",
                path.display()
            ))
            .hint("name a file with `-o`, or stream with `-o -`"));
        }
        let file = AtomicFile::create(path, request.operation.id.short())?;
        let manifest = AtomicFile::create(&path_for(path), request.operation.id.short())?;
        if let Some(free) = atomic_file::free_space(path).filter(|free| *free < facts.table_bytes / 5) {
            request.operation.progress.on(Event::Warning(format!(
                "only {free} bytes are free for the backup of {} bytes of tables; it may not fit",
                facts.table_bytes
            )));
        }
        Ok(Self::File { file, manifest, taken })
    }

    /// Starts the thread that scans and packs what comes.
    pub(crate) fn pack(
        self,
        receiver: mpsc::Receiver<Vec<u8>>,
        request: &BackupRequest,
        expected: u64,
    ) -> JoinHandle<Result<WrittenBackup>> {
        let writer = DumpWriter {
            format: request.dump.format,
            compression: request.compression,
            threads: request.threads,
            expected,
            progress: request.operation.progress.clone(),
        };
        let recipients = request.recipients.clone();
        std::thread::spawn(move || self.fill(recipients.as_ref(), |out| writer.write(receiver, out)))
    }

    /// Writes into the file or stdout, as `write` does with it; encrypted where there are recipients.
    ///
    /// # Errors
    /// Errors of `write`; a disk error names the file.
    pub(crate) fn fill(
        self,
        recipients: Option<&AgeRecipients>,
        write: impl FnOnce(BackupOutput) -> Result<(Stored, Summary, BackupOutput)>,
    ) -> Result<WrittenBackup> {
        let write = |out: BackupOutput| match recipients {
            None => write(out).map(|(stored, summary, out)| (stored, summary, None, out)),
            Some(recipients) => encrypted(recipients, out, write),
        };
        match self {
            Self::File { file, manifest, taken } => {
                let target = file.target().to_owned();
                let writer = Box::new(file.writer()?);
                let (stored, summary, head, _) = write(writer).map_err(|e| name_the_disk(e, &target))?;
                Ok(WrittenBackup { output: Self::File { file, manifest, taken }, stored, summary, head })
            }
            Self::Store { upload, target, cancel } => {
                let writer = upload.writer();
                let written = write(Box::new(writer.clone())).and_then(|(stored, summary, head, _)| {
                    let unsent =
                        |e| error::failed(format!("cannot send {}", target.address().display())).because(e);
                    writer.finish().map_err(unsent)?;
                    Ok((stored, summary, head))
                });
                // The upload's own error is the cause of a closed pipe.
                let (stored, summary, head) = written.map_err(|error| upload.failure().unwrap_or(error))?;
                Ok(WrittenBackup { output: Self::Store { upload, target, cancel }, stored, summary, head })
            }
            Self::Stdout(stdout) => {
                let (stored, summary, head, stdout) = write(stdout).map_err(of_stdout)?;
                Ok(WrittenBackup { output: Self::Stdout(stdout), stored, summary, head })
            }
        }
    }

    /// Gives the file its name, with the manifest beside it.
    ///
    /// # Errors
    /// Errors of stdout, of the store, or of [`crate::fsutil::atomic_file::publish_pair`].
    pub(crate) async fn publish(self, json: &Manifest) -> Result<Option<PathBuf>> {
        match self {
            Self::Store { upload, target, cancel } => {
                let named = (target.label, target.extension.as_str());
                target.backups.publish(upload, named, json, &cancel).await.map(Some)
            }
            Self::Stdout(mut stdout) => {
                stdout
                    .flush()
                    .map_err(|e| of_stdout(error::failed("stdout cannot be written").because(e)))?;
                Ok(None)
            }
            Self::File { mut file, mut manifest, taken } => {
                let target = manifest.target().to_owned();
                manifest
                    .write_all(json.to_json().as_bytes())
                    .map_err(|e| atomic_file::write_failure(&target, e))?;
                loop {
                    match atomic_file::publish_pair(&mut file, &mut manifest, taken == OnExisting::Replace) {
                        Err(e) if taken == OnExisting::Next && e.kind() == ErrorKind::Refused => {
                            let next = next_name(file.target()).ok_or(e)?;
                            manifest.rename_target(path_for(&next));
                            file.rename_target(next);
                        }
                        other => return other.map(Some),
                    }
                }
            }
        }
    }
}

/// Destination of the bytes.
type BackupOutput = Box<dyn Write + Send>;

/// Sizes and hashes of what was written, its content, the beginning of an encrypted stream, and its destination.
type WrittenParts = (Stored, Summary, Option<Vec<u8>>, BackupOutput);

/// Encrypts what `write` writes. Size and hash are those of the encrypted stream.
fn encrypted(
    recipients: &AgeRecipients,
    out: BackupOutput,
    write: impl FnOnce(BackupOutput) -> Result<(Stored, Summary, BackupOutput)>,
) -> Result<WrittenParts> {
    let (writer, thread) = EncryptingThread::start(recipients, out)?;
    let (written, writer) = match write(Box::new(writer)) {
        Ok((stored, summary, writer)) => (Ok((stored, summary)), Some(writer)),
        Err(cause) => (Err(cause), None),
    };
    let ended = thread.end(writer).map_err(|cause| {
        cause
            .downcast::<Error>()
            .unwrap_or_else(|cause| error::failed("cannot write the backup").because(cause))
    });
    match (written, ended) {
        // An output that fails closes the pipe: its own error is the cause.
        (_, Err(cause)) | (Err(cause), Ok(_)) => Err(cause),
        (Ok(_), Ok(None)) => Err(error::failed("the backup is not being encrypted any more")),
        (Ok((stored, summary)), Ok(Some((stream, out)))) => {
            let stored = Stored { bytes: stream.bytes, sha256: stream.sha256, ..stored };
            Ok((stored, summary, Some(stream.head), out))
        }
    }
}

/// Bytes that a dump may have in a store: a compressed one is seldom larger than the tables on their disk.
fn expected_size(table_bytes: u64, uncompressed: bool) -> u64 {
    if uncompressed { table_bytes.saturating_mul(3) } else { table_bytes.saturating_add(table_bytes / 2) }
}

/// The name after this one: another backup of the same second was faster.
fn next_name(path: &Path) -> Option<PathBuf> {
    let (label, extension) = Label::split(path.file_name()?.to_str()?)?;
    Some(path.with_file_name(label.next().file_name(extension)))
}

/// The compressor knows that writing failed; where, it does not.
fn name_the_disk(error: Error, path: &Path) -> Error {
    match io_of(&error) {
        Some(io) => {
            let copy = io.raw_os_error().map_or_else(|| io.kind().into(), std::io::Error::from_raw_os_error);
            atomic_file::write_failure(path, copy)
        }
        None => error,
    }
}

/// Explains a write error of stdout. A broken pipe, as with `| head`, becomes exit status 141, as after SIGPIPE.
fn of_stdout(error: Error) -> Error {
    match io_of(&error).map(std::io::Error::kind) {
        Some(std::io::ErrorKind::BrokenPipe) => {
            Error::new(ErrorKind::Child(141), "the reader of the backup closed the pipe")
        }
        Some(_) => error
            .note("stdout cannot be written")
            .hint("free space at its destination, or name a file with `-o`"),
        None => error,
    }
}

fn io_of(error: &Error) -> Option<&std::io::Error> {
    let mut sources = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    sources.find_map(|cause| cause.downcast_ref())
}

/// Scans and packs the blocks of a dump.
struct DumpWriter {
    format: Format,
    compression: Compression,
    threads: usize,
    /// Plain bytes that are expected.
    expected: u64,
    progress: Arc<dyn Progress>,
}

impl DumpWriter {
    fn write<W: Write + Send + 'static>(
        &self,
        mut blocks: mpsc::Receiver<Vec<u8>>,
        out: W,
    ) -> Result<(Stored, Summary, W)> {
        let Self { format, compression, threads, expected, ref progress } = *self;
        let mut scanner = AnyScanner::new(format);
        let mut compressor = StreamCompressor::new(compression, threads, out)?;
        let mut table: Option<String> = None;
        while let Some(block) = blocks.blocking_recv() {
            scanner.feed(&block);
            if let Some(name) = scanner.current_table().filter(|name| table.as_deref() != Some(*name)) {
                table = Some(name.to_owned());
                progress.on(Event::Table(name.to_owned()));
            }
            compressor.write_block(block)?;
            let done = scanner.bytes();
            progress.on(Event::Bytes { done, total: (expected > done).then_some(expected) });
        }
        let (stored, out) = compressor.finish()?;
        Ok((stored, scanner.finish(), out))
    }
}

#[cfg(test)]
#[cfg(feature = "encryption")]
mod tests {
    use super::*;
    use crate::codec::age::tests::{RECIPIENT, recipients};

    /// A disk that is full after some bytes.
    struct FullDisk(usize);

    impl Write for FullDisk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::Error::from_raw_os_error(28))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_error_of_the_disk_comes_through_the_encryption() {
        for space in [0, 100, 500_000] {
            let failed = encrypted(&recipients(&[RECIPIENT]), Box::new(FullDisk(space)), |mut out| {
                for _ in 0..800 {
                    out.write_all(&[7; 8192]).map_err(|e| error::failed("a closed pipe").because(e))?;
                }
                Err(error::failed("the end is not reached"))
            });
            let error = failed.err().unwrap();
            assert_eq!(io_of(&error).and_then(std::io::Error::raw_os_error), Some(28), "{space}: {error:?}");
        }
    }

    #[test]
    fn the_error_of_the_dump_stays_what_it_is() {
        let refused = encrypted(&recipients(&[RECIPIENT]), Box::new(std::io::sink()), |mut out| {
            out.write_all(b"half").map_err(|e| error::failed("a closed pipe").because(e))?;
            Err(error::tool("pg_dump failed"))
        });
        assert_eq!(refused.err().unwrap().kind(), ErrorKind::Tool);
    }
}

//! A dump in directory format, several tables at once: pg_dump's own parallel dump onto the target's disk, then one
//! tar.
//!
//! Promises: what is tarred has been read back whole first, table by table, with its rows counted; plain `tar -xf` and
//! `pg_restore dump` read the file as well as envctl does. While it is made it takes its own size of disk twice.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::sync::Arc;

use crate::backup::dump_result::{dump_failed, judge};
use crate::backup::request::BackupRequest;
use crate::backup::sink::{BackupSink, WrittenBackup};
use crate::cancel::{CancelToken, CancellableIo};
use crate::codec::{BLOCK, Hasher, Hashing, Stored};
use crate::docker::exec::verified_stream::VerifiedExit;
use crate::dump::archive::CustomStream;
use crate::dump::format::Format;
use crate::dump::scanner::AnyScanner;
use crate::dump::sql::Summary;
use crate::error::{self, Error, ErrorKind, Result};
use crate::operation::Operation;
use crate::postgres::tools::dump_runner::{DIRECTORY, DumpRunner};
use crate::postgres::tools::runner::TransportUsed;
use crate::progress::{Event, Progress};

/// Dumps, then checks and tars what was dumped.
///
/// # Errors
/// Errors of a streamed backup, see [`super::create::create`].
pub(crate) async fn gather(
    dumping: &DumpRunner<'_>,
    output: BackupSink,
    request: &BackupRequest,
) -> Result<(WrittenBackup, VerifiedExit, TransportUsed)> {
    let Operation { cancel, progress, .. } = &request.operation;
    let seen = |done| progress.on(Event::Bytes { done, total: None });
    let (end, worker, directory) =
        dumping.dump_into_directory(request.transport_options.disk.as_deref(), seen).await?;
    if end.exit_code != 0 {
        return Err(dump_failed(&end, request));
    }
    progress.step("checking and gathering what was dumped");
    let (telling, stop, recipients) = (progress.clone(), cancel.clone(), request.recipients.clone());
    let gathering = move || {
        // Before anything is written: what cannot be read is no fault of the target's.
        let (plain, summary) = read(&directory, &telling, &stop).map_err(incomplete)?;
        let write = |out| tar(&directory, out, &stop).map(|(stored, out)| (of(stored, plain), summary, out));
        output.fill(recipients.as_ref(), write)
    };
    let packed = cancel.blocking(gathering).await;
    // Its private directory goes with it, with all files.
    drop(worker);
    judge(Ok((end, TransportUsed { transport: "worker", why: None })), packed, request)
}

/// pg_dump said that it is done, and what it wrote cannot be read to its end.
fn incomplete(cause: Error) -> Error {
    match cause.kind() {
        ErrorKind::Cancelled(_) => cause,
        _ => error::integrity("pg_dump ended with exit code 0, but its output is incomplete")
            .because(cause)
            .note("nothing was kept")
            .hint("run it again with `-v`"),
    }
}

/// Returns `stored` with the plain size and hash from `plain`.
fn of(stored: Stored, plain: Hasher) -> Stored {
    Stored { plain_bytes: plain.bytes(), plain_sha256: plain.finish(), ..stored }
}

fn tar<W: Write>(directory: &Path, out: W, cancel: &CancelToken) -> Result<(Stored, W)> {
    let failed = |e: io::Error| error::failed("the tar cannot be written").because(e);
    let mut tar = ::tar::Builder::new(Hashing::new(cancel.cancellable(out)));
    // The list first, as pg_dump's own tar has it.
    let mut names = names(directory).map_err(failed)?;
    names.sort_by_key(|name| (name != "toc.dat", name.clone()));
    for name in names {
        add(&mut tar, &Path::new(DIRECTORY).join(&name), &directory.join(&name)).map_err(failed)?;
    }
    close(tar).map_err(failed)
}

/// Ends a tar; it is its own plain form.
pub(crate) fn close<W: Write>(tar: ::tar::Builder<Hashing<CancellableIo<W>>>) -> io::Result<(Stored, W)> {
    let mut output = tar.into_inner()?;
    output.flush()?;
    let (out, hasher) = output.into_parts();
    let (bytes, sha256) = (hasher.bytes(), hasher.finish());
    Ok((Stored { bytes, sha256, plain_bytes: bytes, plain_sha256: sha256 }, out.into_inner()))
}

/// The names in a directory, every one.
///
/// # Errors
/// The disk's: a name that cannot be read is a file that would be missing.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Moves a file into a tar, under this name.
pub(crate) fn add<W: Write>(tar: &mut ::tar::Builder<W>, name: &Path, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut header = ::tar::Header::new_gnu();
    header.set_mode(0o600);
    header.set_size(file.metadata()?.len());
    tar.append_data(&mut header, name, &mut file)?;
    // It is in the tar now; the disk may need the space.
    fs::remove_file(path)
}

/// Reads the directory as a restore would; returns the hash and the summary.
fn read(directory: &Path, progress: &Arc<dyn Progress>, cancel: &CancelToken) -> Result<(Hasher, Summary)> {
    let mut stream = cancel.cancellable(CustomStream::open(directory)?);
    let mut contents = AnyScanner::new(Format::Directory);
    let mut hasher = Hasher::default();
    let mut block = vec![0; BLOCK];
    loop {
        let len = match stream.read(&mut block) {
            Ok(0) => return Ok((hasher, contents.finish())),
            Ok(len) => len,
            Err(cause) => return Err(crate::codec::DecompressReader::failure(cause)),
        };
        hasher.update(&block[..len]);
        contents.feed(&block[..len]);
        progress.on(Event::Bytes { done: hasher.bytes(), total: None });
    }
}

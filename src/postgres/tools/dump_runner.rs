//! `pg_dump` as a stream of blocks, or into a directory.
//!
//! Promise: the dump is verified alike in a worker, in a remote worker and by exec.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::cancel::CancelToken;
use crate::docker::ExecSpec;
use crate::docker::exec::verified_stream;
use crate::docker::exec::verified_stream::{VerifiedExit, VerifiedStream};
use crate::docker::worker::{Worker, WorkerError, file_io, remote, stdout_fifo};
use crate::error::{self, ErrorKind, Result};
use crate::fsutil::private_dir;
use crate::postgres::Access;
use crate::postgres::tools::pg_dump::{DumpOptions, WireCompression};
use crate::postgres::tools::runner::{ToolRunner, TransportUsed, WorkerRunner};
use crate::postgres::tools::{decompress, pg_dump};
use crate::sync::join;

/// A dump of the database of `access`.
pub(crate) struct DumpRunner<'a> {
    pub(crate) runner: &'a ToolRunner,
    pub(crate) access: &'a Access,
    pub(crate) options: &'a DumpOptions,
    /// Compression by pg_dump for a stream that passes through the daemon.
    pub(crate) compression: Option<WireCompression>,
    /// Application name of the session.
    pub(crate) application: &'a str,
    /// Longest silence of the stream before the container is inspected.
    pub(crate) stall_limit: Duration,
    pub(crate) cancel: &'a CancelToken,
}

impl DumpRunner<'_> {
    /// Dumps to `blocks`.
    ///
    /// # Errors
    /// Errors of [`crate::docker::exec::verified_stream::run`] and [`crate::docker::worker::stdout_fifo::run`].
    /// A process in a worker has ended by then; an exec is the caller's to end.
    pub(crate) async fn run(&self, blocks: mpsc::Sender<Vec<u8>>) -> Result<(VerifiedExit, TransportUsed)> {
        let Self { stall_limit, cancel, .. } = *self;
        let spec = pg_dump::to_stdout(self.access, self.options, self.application);
        let in_worker = async |workers: WorkerRunner| {
            if workers.is_remote() {
                let run = async |spec: &ExecSpec, blocks| self.in_remote_worker(&workers, spec, blocks).await;
                return self.packed_or_not(&spec, &blocks, run).await;
            }
            let spec = pg_dump::to_file(spec.clone(), &stdout_fifo::path());
            let run = async |worker: Worker| {
                let ran = stdout_fifo::run(&worker, blocks.clone(), stall_limit, cancel).await;
                worker.end().await;
                ran
            };
            workers.run(self.access, spec, run).await
        };
        let by_exec = async || {
            let run = async |spec: &ExecSpec, blocks| {
                let dumping = verified_stream::run(&self.runner.container, spec, blocks, stall_limit);
                Ok(cancel.run_until_cancelled(dumping).await??)
            };
            Ok(self.packed_or_not(&spec, &blocks, run).await?)
        };
        self.runner.run(in_worker, by_exec).await
    }

    async fn in_remote_worker(
        &self,
        workers: &WorkerRunner,
        spec: &ExecSpec,
        blocks: mpsc::Sender<Vec<u8>>,
    ) -> Result<VerifiedExit, WorkerError> {
        let stream = VerifiedStream::new(&self.runner.container, spec, self.stall_limit);
        let run = async |worker: Worker| {
            let ran = remote::run(&worker, &stream, blocks.clone(), self.cancel).await;
            worker.end().await;
            ran
        };
        workers.run(self.access, stream.wrapped(), run).await
    }

    /// Runs with what passes the daemon packed, where pg_dump can; else as it is.
    async fn packed_or_not(
        &self,
        spec: &ExecSpec,
        blocks: &mpsc::Sender<Vec<u8>>,
        run: impl AsyncFn(&ExecSpec, mpsc::Sender<Vec<u8>>) -> Result<VerifiedExit, WorkerError>,
    ) -> Result<VerifiedExit, WorkerError> {
        let Some(compression) = self.compression else { return run(spec, blocks.clone()).await };
        let (sender, unpacking) = decompress::unpack(blocks.clone());
        let end = run(&pg_dump::packed(spec.clone(), compression), sender).await;
        let unpacked = join(unpacking).await;
        match (end, unpacked) {
            // It has said so before its first byte.
            (Ok(end), _) if end.exit_code != 0 && !end.begun && WireCompression::is_unknown(&end.stderr) => {
                run(spec, blocks.clone()).await
            }
            (Ok(end), unpacked) if end.exit_code == 0 => {
                unpacked?;
                Ok(end)
            }
            // Who knows what became of the tool knows why the stream is cut.
            (Err(WorkerError::Failed(error)), _) if error.kind() == ErrorKind::Tool => Err(error.into()),
            // A stream that cannot be unpacked is why its writer was stopped.
            (Err(_), Err(damage)) if damage.kind() == ErrorKind::Integrity => Err(damage.into()),
            (end, _) => end,
        }
    }

    /// Dumps into a directory in the private directory of a worker on `disk`. Returns the ended worker, whose private
    /// directory holds the dump, and the directory. `seen` gets the number of bytes that lie there.
    ///
    /// # Errors
    /// Errors of [`DumpRunner::run`]; also fails if no worker can be used.
    pub(crate) async fn dump_into_directory(
        &self,
        disk: Option<&Path>,
        seen: impl Fn(u64),
    ) -> Result<(VerifiedExit, Worker, PathBuf)> {
        let spec = pg_dump::to_stdout(self.access, self.options, self.application);
        let spec = pg_dump::to_file(spec, &private_dir::inside(DIRECTORY));
        let run = async |worker: Worker| {
            let directory = worker.private_dir.path().join(DIRECTORY);
            let look = || {
                let bytes = size_of(&directory);
                seen(bytes);
                bytes
            };
            let ran = file_io::run(&worker, look, self.stall_limit, self.cancel).await;
            worker.end().await;
            Ok((ran?, worker, directory))
        };
        let dumping = async {
            let workers = self.runner.workers()?;
            let workers = match disk {
                Some(disk) => workers.in_private_dirs(disk),
                None => workers,
            };
            workers.run(self.access, spec, run).await
        };
        dumping.await.map_err(|failure| match failure {
            WorkerError::Failed(error) => error,
            WorkerError::Unfit(unfit) => {
                let needed = "the directory format is written by a worker, and none can be used";
                error::failed(format!("{needed}: {unfit}")).hint(
                    "use `--format custom`, which needs none and is restored by pg_restore just as well",
                )
            }
        })
    }
}

/// Name of a directory-format dump, in its private directory and in the tar made from the dump.
pub(crate) const DIRECTORY: &str = "dump";

/// Bytes of the files in a directory.
fn size_of(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

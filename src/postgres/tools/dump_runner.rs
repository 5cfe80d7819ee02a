//! Which way the bytes of a dump take: a worker beside the database, or an exec through the daemon.
//!
//! Promises: the proof is the same on both ways; where `auto` falls back, not a byte had come, and it is said why
//! (`-v`, the manifest); what a killed run left is removed first.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::cancel::CancelToken;
use crate::docker::exec::verified_stream;
use crate::docker::exec::verified_stream::{VerifiedExit, VerifiedStream};
use crate::docker::worker::types::Limits;
use crate::docker::worker::{Unfit, Worker, WorkerError, WorkerFactory, remote, run_to_end, stdout_fifo};
use crate::docker::{Container, ExecSpec, worker};
use crate::error::{self, Error, ErrorKind, Result};
use crate::fsutil::private_dir;
use crate::operation::Operation;
use crate::postgres::tools::pg_dump::{DumpOptions, WireCompression};
use crate::postgres::tools::worker_access::ListenAddress;
use crate::postgres::tools::{decompress, pg_dump, worker_access};
use crate::postgres::{Access, Session};
use crate::progress::Event;
use crate::sync::join;

/// Requested transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A worker where it can serve and is worth its start.
    #[default]
    Auto,
    /// A worker, or nothing.
    Worker,
    /// Through the daemon.
    Exec,
}

impl FromStr for Transport {
    type Err = Error;

    fn from_str(transport: &str) -> Result<Self> {
        match transport {
            "auto" => Ok(Self::Auto),
            "worker" => Ok(Self::Worker),
            "exec" => Ok(Self::Exec),
            other => {
                Err(error::usage(format!("unknown transport `{other}`"))
                    .hint("use `auto`, `worker` or `exec`"))
            }
        }
    }
}

/// The ways there are for one operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TransportOptions {
    /// Requested transport.
    pub(crate) transport: Transport,
    /// Parent of the private directories of workers.
    pub(crate) private_dirs: PathBuf,
    /// Parents in which other runs may have made private directories.
    pub(crate) elsewhere: Vec<PathBuf>,
    /// Parent of private directories for much data, beside the backup.
    pub(crate) disk: Option<PathBuf>,
    /// Bytes of a database from which `auto` uses a worker.
    pub(crate) worker_min_size: u64,
    /// Resource limits of a worker.
    pub(crate) limits: Limits,
}

/// The way that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransportUsed {
    /// `worker` or `exec`.
    pub(crate) transport: &'static str,
    /// Reason why `auto` used no worker.
    pub(crate) why: Option<String>,
}

/// A way, chosen.
pub(crate) enum TransportChoice {
    /// A worker, and where it reaches the server.
    Worker(WorkerFactory, ListenAddress),
    /// A worker on another machine, where the daemon is.
    Remote(WorkerFactory, ListenAddress),
    /// An exec; why, where it was not asked for.
    Exec(Option<String>),
}

/// Kind of data to transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpKind {
    Stream,
    /// Files, or a dump to be loaded: both have to lie where the worker is.
    Files,
}

impl TransportOptions {
    /// Chooses for so many bytes, and removes what killed runs left.
    ///
    /// # Errors
    /// A worker was asked for and cannot serve; the session is lost; `Cancelled`.
    pub(crate) async fn choose(
        &self,
        session: &mut Session,
        operation: &Operation,
        (work, bytes): (DumpKind, u64),
    ) -> Result<TransportChoice> {
        let engine = session.container().engine().clone();
        let elsewhere = self.elsewhere.iter().map(PathBuf::as_path);
        let homes: Vec<&Path> =
            std::iter::once(&*self.private_dirs).chain(self.disk.as_deref()).chain(elsewhere).collect();
        for left in operation.cancel.run_until_cancelled(worker::reap(&engine, &homes)).await? {
            operation.progress.on(Event::Warning(format!(
                "removed the worker of envctl/{}, orphan of an envctl that was killed",
                left.operation.short()
            )));
        }
        match self.transport {
            Transport::Exec => return Ok(TransportChoice::Exec(None)),
            Transport::Auto if bytes < self.worker_min_size => {
                return Ok(TransportChoice::Exec(Some("the database is small".to_owned())));
            }
            Transport::Auto | Transport::Worker => {}
        }
        let port = ListenAddress::of(session).await?;
        if let (Ok(port), DumpKind::Stream, false) = (&port, work, engine.is_local()) {
            return Ok(TransportChoice::Remote(
                WorkerFactory::remote(&operation.id, &self.private_dirs, self.limits),
                port.clone(),
            ));
        }
        let opened = async {
            let port = port?;
            Ok((WorkerFactory::open(&engine, &operation.id, &self.private_dirs, self.limits).await?, port))
        };
        match opened.await {
            Ok((worker_factory, port)) => Ok(TransportChoice::Worker(worker_factory, port)),
            Err(unfit) => self.fall_back(unfit),
        }
    }

    /// The other way, where that was left open.
    ///
    /// # Errors
    /// Returns `unfit` if a worker was requested.
    pub(crate) fn fall_back(&self, unfit: Unfit) -> Result<TransportChoice> {
        match self.transport {
            Transport::Worker => Err(unfit.into()),
            _ => Ok(TransportChoice::Exec(Some(unfit.to_string()))),
        }
    }
}

/// A dump on its way to `blocks`.
pub(crate) struct DumpRunner<'a> {
    /// The engine.
    pub(crate) container: &'a Container,
    pub(crate) options: &'a DumpOptions,
    /// Compression by pg_dump for a stream that passes through the daemon.
    pub(crate) compression: Option<WireCompression>,
    /// Application name of the session.
    pub(crate) application: &'a str,
    /// Longest silence of the stream before the container is inspected.
    pub(crate) stall_limit: Duration,
    /// The cancel token.
    pub(crate) cancel: &'a CancelToken,
}

impl DumpRunner<'_> {
    /// Dumps what `session` is connected to.
    ///
    /// # Errors
    /// Errors of [`crate::docker::exec::verified_stream::run`] and [`crate::docker::worker::stdout_fifo::run`].
    /// A process in a worker has ended by then; an exec is the caller's to end.
    pub(crate) async fn run(
        &self,
        chosen: TransportChoice,
        ways: &TransportOptions,
        access: &Access,
        blocks: mpsc::Sender<Vec<u8>>,
    ) -> Result<(VerifiedExit, TransportUsed)> {
        let attempted = match &chosen {
            TransportChoice::Exec(_) => None,
            TransportChoice::Worker(worker_factory, port) => {
                Some(self.by_worker(worker_factory, port, access, &blocks).await)
            }
            TransportChoice::Remote(worker_factory, port) => {
                Some(self.by_remote_worker(worker_factory, port, access, &blocks).await)
            }
        };
        let why = match (attempted, chosen) {
            (Some(Ok(end)), _) => return Ok((end, TransportUsed { transport: "worker", why: None })),
            (Some(Err(WorkerError::Failed(error))), _) => return Err(error),
            (Some(Err(WorkerError::Unfit(unfit))), _) => match ways.fall_back(unfit)? {
                TransportChoice::Exec(why) => why,
                TransportChoice::Worker(..) | TransportChoice::Remote(..) => None,
            },
            (None, TransportChoice::Exec(why)) => why,
            (None, _) => None,
        };
        let spec = pg_dump::to_stdout(access, self.options, self.application);
        let run = async |spec: &ExecSpec, blocks| {
            let dumping = verified_stream::run(self.container, spec, blocks, self.stall_limit);
            Ok(self.cancel.run_until_cancelled(dumping).await??)
        };
        match self.packed_or_not(&spec, &blocks, run).await {
            Ok(end) => Ok((end, TransportUsed { transport: "exec", why })),
            Err(WorkerError::Failed(error)) => Err(error),
            Err(WorkerError::Unfit(unfit)) => Err(unfit.into()),
        }
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

    async fn by_remote_worker(
        &self,
        worker_factory: &WorkerFactory,
        port: &ListenAddress,
        access: &Access,
        blocks: &mpsc::Sender<Vec<u8>>,
    ) -> Result<VerifiedExit, WorkerError> {
        let spec = pg_dump::to_stdout(access, self.options, self.application);
        let spec = worker_access::over_tcp(spec, port);
        let run = async |spec: &ExecSpec, blocks| {
            let stream = VerifiedStream::new(self.container, spec, self.stall_limit);
            let worker =
                worker_factory.worker(self.container, worker_factory.private_dir()?, &stream.wrapped());
            let ran = remote::run(&worker, &stream, blocks, self.cancel).await;
            worker.end().await;
            ran
        };
        self.packed_or_not(&spec, blocks, run).await
    }

    /// Dumps into a directory in a worker's private directory on `disk`; gives the worker, ended, whose private
    /// directory holds it, and the directory. `seen` hears how many bytes lie there.
    ///
    /// # Errors
    /// Errors of [`DumpRunner::run`]; also fails if no worker can be used.
    pub(crate) async fn dump_into_directory(
        &self,
        chosen: TransportChoice,
        ways: &TransportOptions,
        access: &Access,
        seen: impl Fn(u64),
    ) -> Result<(VerifiedExit, Worker, PathBuf)> {
        let needed = |why: &dyn std::fmt::Display| {
            error::failed(format!("the directory format is written by a worker, and none can be used: {why}"))
                .hint("use `--format custom`, which needs none and is restored by pg_restore just as well")
        };
        let (worker_factory, port) = match chosen {
            TransportChoice::Worker(worker_factory, port) => (worker_factory, port),
            TransportChoice::Remote(..) => return Err(needed(&Unfit::Remote)),
            TransportChoice::Exec(why) => {
                return Err(needed(&why.as_deref().unwrap_or("`--transport exec`")));
            }
        };
        let home = ways.disk.clone().unwrap_or_else(|| ways.private_dirs.clone());
        let worker_factory = WorkerFactory { private_dirs: home, ..worker_factory };
        let spec = pg_dump::to_file(access, self.options, self.application, &private_dir::inside(DIRECTORY));
        let spec = worker_access::over_tcp(spec, &port);
        let mut made = self.attempt_directory(&worker_factory, &spec, None, &seen).await;
        if let Err(WorkerError::Unfit(Unfit::NotConnected(text))) = &made
            && worker_access::wants_password(text)
        {
            let spec = worker_access::with_passfile(spec);
            made = self.attempt_directory(&worker_factory, &spec, Some(access), &seen).await;
        }
        made.map_err(|failure| match failure {
            WorkerError::Failed(error) => error,
            WorkerError::Unfit(unfit) => needed(&unfit),
        })
    }

    async fn attempt_directory(
        &self,
        worker_factory: &WorkerFactory,
        spec: &ExecSpec,
        password_of: Option<&Access>,
        seen: &impl Fn(u64),
    ) -> Result<(VerifiedExit, Worker, PathBuf), WorkerError> {
        let worker = self.worker(worker_factory, spec, password_of).await?;
        let directory = worker.private_dir.path().join(DIRECTORY);
        let look = || {
            let bytes = size_of(&directory);
            seen(bytes);
            bytes
        };
        let ran = run_to_end::run(&worker, look, self.stall_limit, self.cancel).await;
        worker.end().await;
        Ok((ran?, worker, directory))
    }

    async fn by_worker(
        &self,
        worker_factory: &WorkerFactory,
        port: &ListenAddress,
        access: &Access,
        blocks: &mpsc::Sender<Vec<u8>>,
    ) -> Result<VerifiedExit, WorkerError> {
        let spec = pg_dump::to_file(access, self.options, self.application, &stdout_fifo::path());
        let spec = worker_access::over_tcp(spec, port);
        match self.attempt(worker_factory, &spec, None, blocks).await {
            Err(WorkerError::Unfit(Unfit::NotConnected(text))) if worker_access::wants_password(&text) => {
                let spec = worker_access::with_passfile(spec);
                self.attempt(worker_factory, &spec, Some(access), blocks).await
            }
            other => other,
        }
    }

    async fn attempt(
        &self,
        worker_factory: &WorkerFactory,
        spec: &ExecSpec,
        password_of: Option<&Access>,
        blocks: &mpsc::Sender<Vec<u8>>,
    ) -> Result<VerifiedExit, WorkerError> {
        let worker = self.worker(worker_factory, spec, password_of).await?;
        let ran = stdout_fifo::run(&worker, blocks.clone(), self.stall_limit, self.cancel).await;
        worker.end().await;
        ran
    }

    /// A worker whose private directory holds what its tool needs.
    async fn worker(
        &self,
        worker_factory: &WorkerFactory,
        spec: &ExecSpec,
        password_of: Option<&Access>,
    ) -> Result<Worker, WorkerError> {
        let private_dir = worker_factory.private_dir()?;
        if let Some(access) = password_of
            && !worker_access::leave_password(self.container, access, &private_dir).await??
        {
            return Err(worker_access::no_password().into());
        }
        Ok(worker_factory.worker(self.container, private_dir, spec))
    }
}

/// Name of a directory-format dump, in its private directory and in the tar made from the dump.
pub(crate) const DIRECTORY: &str = "dump";

/// Bytes of the files in a directory.
fn size_of(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn only_auto_falls_back_and_says_why() {
        let ways = |transport| TransportOptions {
            transport,
            private_dirs: "/run".into(),
            elsewhere: Vec::new(),
            disk: None,
            worker_min_size: 0,
            limits: Limits::default(),
        };
        match ways(Transport::Auto).fall_back(Unfit::Remote) {
            Ok(TransportChoice::Exec(Some(why))) => assert!(why.contains("not on this host"), "{why}"),
            _ => panic!("no fall-back"),
        }
        let error = ways(Transport::Worker).fall_back(Unfit::Desktop).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.message().contains("Docker Desktop"), "{error}");
        assert!("tcp".parse::<Transport>().is_err());
    }
}

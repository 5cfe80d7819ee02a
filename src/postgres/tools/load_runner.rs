//! The `psql` and `pg_restore` processes that load a dump.
//!
//! Promises: a `psql` that is handed out by a worker has connected, opened its input and answered, and nothing was sent
//! to it; no worker outlives [`LoadRunner::end`], however the load ended.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::docker::exec::verified_stream::VerifiedExit;
use crate::docker::worker::{ARCHIVE, NOT_RUN, Unfit, Worker, WorkerError, file_io, stdin_fifo};
use crate::docker::{Container, Exec};
use crate::error::Result;
use crate::fsutil::private_dir;
use crate::operation::{Operation, SessionRole};
use crate::postgres::Access;
use crate::postgres::tools::load_settings::LoadSettings;
use crate::postgres::tools::psql_output::PsqlOutput;
use crate::postgres::tools::runner::{ToolRunner, Transport, WorkerRunner};
use crate::postgres::tools::{pg_restore, psql};
use crate::progress::Event;
use crate::random::nonce;
use crate::sync::lock;

/// Name of the list of entries in a worker's private directory.
const LIST: &str = "list";

/// Longest silence of a tool before its container is inspected.
const LOOK_AGAIN: Duration = Duration::from_mins(2);

/// Starter of load processes.
pub(crate) struct LoadRunner<'a> {
    runner: ToolRunner,
    operation: &'a Operation,
    /// Application name of the load sessions.
    application: String,
    loading: LoadSettings,
    workers: Mutex<Vec<Arc<Worker>>>,
    /// True once the user has been told why the load goes by exec.
    told: AtomicBool,
}

/// An archive of this host, as `pg_restore` loads it.
#[derive(Clone, Copy)]
pub(crate) struct ArchiveLoad<'a> {
    /// File or directory.
    pub(crate) path: &'a Path,
    /// List of the entries that are restored; `None` where every entry is.
    pub(crate) list: Option<&'a str>,
    /// Options of `pg_restore` that go with the list.
    pub(crate) options: &'a [&'a str],
    /// Number of sessions.
    pub(crate) jobs: u8,
}

impl<'a> LoadRunner<'a> {
    /// Loads through `runner`, and tells how.
    pub(crate) fn new(runner: ToolRunner, operation: &'a Operation, loading: LoadSettings) -> Self {
        let application = operation.application_name(SessionRole::Load);
        let used = runner.transport();
        let (workers, told) = (Mutex::default(), AtomicBool::new(false));
        let this = Self { runner, operation, application, loading, workers, told };
        if used.transport == "worker" {
            operation.progress.on(Event::Detail("loading by a worker beside the database".to_owned()));
        }
        this.tell(used.why);
        this
    }

    fn tell(&self, why: Option<String>) {
        if let Some(why) = why.filter(|_| !self.told.swap(true, Ordering::Relaxed)) {
            self.operation.progress.on(Event::Detail(format!("loading by exec: {why}")));
        }
    }

    /// Returns the settings of the load sessions.
    pub(crate) fn loading(&self) -> LoadSettings {
        self.loading
    }

    /// Returns the container of the server.
    pub(crate) fn container(&self) -> &Container {
        &self.runner.container
    }

    /// Returns the operation that loads.
    pub(crate) fn operation(&self) -> &'a Operation {
        self.operation
    }

    /// Returns the application name of the load sessions.
    pub(crate) fn application(&self) -> &str {
        &self.application
    }

    /// Reports whether a worker was requested.
    pub(crate) fn needs_worker(&self) -> bool {
        self.runner.requested == Transport::Worker
    }

    /// Starts a `psql`, one of so many sessions, that reads SQL into `access.database` and stops at the first error.
    ///
    /// # Errors
    /// Errors of [`Container::exec`]; also fails if a worker was requested and cannot
    /// serve.
    pub(crate) async fn psql(&self, access: &Access, sessions: usize) -> Result<Exec> {
        let spec = |input: &str| psql::for_restore(access, &self.application, input, self.loading, sessions);
        let in_worker = async |workers: WorkerRunner| {
            let greeting = format!("ENVCTL-READY-{}", nonce());
            let run = async |worker| {
                let worker = self.keep(worker);
                let exec = stdin_fifo::start(&worker, &format!("\\echo {greeting}\n")).await?;
                Ok(greeted(exec, &greeting).await?)
            };
            workers.run(access, spec(&stdin_fifo::path()), run).await
        };
        let by_exec = async || self.runner.container.exec(&spec("-")).await;
        let (exec, used) = self.runner.run(in_worker, by_exec).await?;
        self.tell(used.why);
        Ok(exec)
    }

    /// Runs `pg_restore` on an archive of this host to its end.
    ///
    /// # Errors
    /// [`Unfit`]: no worker can run it. Errors of [`file_io::run`].
    pub(crate) async fn pg_restore(
        &self,
        access: &Access,
        archive: ArchiveLoad<'_>,
    ) -> Result<VerifiedExit, WorkerError> {
        let ArchiveLoad { path, list, options, jobs } = archive;
        let spec = pg_restore::from_path(access, &self.application, ARCHIVE, self.loading, jobs);
        let spec = match list {
            Some(_) => pg_restore::with(pg_restore::of_list(spec, &private_dir::inside(LIST)), options),
            None => spec,
        };
        let run = async |worker: Worker| {
            if let Some(list) = list {
                let written = worker.private_dir.secret(LIST, list.as_bytes());
                written.map_err(|e| Unfit::NoPrivateDir(e.to_string()))?;
            }
            let worker = self.keep(worker.reading(path));
            // What it has done nobody sees before its end.
            file_io::run(&worker, || 0, LOOK_AGAIN, &self.operation.cancel).await
        };
        self.runner.workers()?.run(access, spec, run).await
    }

    /// Notes a worker before it starts: whoever stops the load in between still removes the worker.
    fn keep(&self, worker: Worker) -> Arc<Worker> {
        let worker = Arc::new(worker);
        lock(&self.workers).push(worker.clone());
        worker
    }

    /// Removes the workers that there are.
    pub(crate) async fn end(self) {
        let workers = std::mem::take(&mut *lock(&self.workers));
        futures::future::join_all(workers.iter().map(|worker| worker.end())).await;
    }
}

/// Waits until a `psql` has printed our token, so has connected: until then nothing is sent that cannot be sent again.
async fn greeted(mut exec: Exec, token: &str) -> Result<Exec, Unfit> {
    let mut received = PsqlOutput::default();
    if received.until(token, &mut exec.output).await {
        return Ok(exec);
    }
    Err(match received.text() {
        text if text.is_empty() => Unfit::NotConnected("psql ended without output".to_owned()),
        text if text.contains(NOT_RUN) => Unfit::NoTool(text),
        text if text.contains("connection to server") => Unfit::NotConnected(text),
        text => Unfit::Closed(text),
    })
}

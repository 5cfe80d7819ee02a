//! The `psql` and `pg_restore` processes that load a dump, and where they run: in workers beside the database, or as
//! execs in it.
//!
//! Promises: a `psql` that is handed out by a worker has connected, opened its input and answered; where `auto`
//! falls back nothing had been sent, and it is said why; no worker outlives [`LoadRunner::end`], however the load
//! ended.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cancel::CancelToken;
use crate::docker::exec::verified_stream::VerifiedExit;
use crate::docker::worker::{
    ARCHIVE, NOT_RUN, Unfit, Worker, WorkerError, WorkerFactory, run_to_end, stdin_fifo,
};
use crate::docker::{Container, Exec, ExecSpec};
use crate::error::Result;
use crate::fsutil::private_dir;
use crate::postgres::Access;
use crate::postgres::tools::dump_runner::{Transport, TransportChoice};
use crate::postgres::tools::load_settings::LoadSettings;
use crate::postgres::tools::psql_output::PsqlOutput;
use crate::postgres::tools::worker_access;
use crate::postgres::tools::worker_access::ListenAddress;
use crate::postgres::tools::{pg_restore, psql};
use crate::progress::{Event, Progress};
use crate::random::nonce;
use crate::sync::lock;

/// Name of the list of entries in a worker's private directory.
const LIST: &str = "list";

/// Longest silence of a tool before its container is inspected.
const LOOK_AGAIN: Duration = Duration::from_mins(2);

/// Starter of load processes, in workers or by exec.
pub(crate) struct LoadRunner<'a> {
    container: &'a Container,
    chosen: TransportChoice,
    asked: Transport,
    loading: LoadSettings,
    progress: &'a Arc<dyn Progress>,
    workers: Mutex<Vec<Arc<Worker>>>,
    /// Reason why workers were abandoned.
    given_up: Mutex<Option<Unfit>>,
}

impl<'a> LoadRunner<'a> {
    /// By the way that was chosen.
    pub(crate) fn new(
        container: &'a Container,
        chosen: TransportChoice,
        asked: Transport,
        loading: LoadSettings,
        progress: &'a Arc<dyn Progress>,
    ) -> Self {
        match &chosen {
            TransportChoice::Exec(Some(why)) => progress.on(Event::Detail(format!("loading by exec: {why}"))),
            TransportChoice::Exec(None) => {}
            TransportChoice::Worker(..) | TransportChoice::Remote(..) => {
                progress.on(Event::Detail("loading by a worker beside the database".to_owned()));
            }
        }
        let (workers, given_up) = (Mutex::default(), Mutex::default());
        Self { container, chosen, asked, loading, progress, workers, given_up }
    }

    /// The settings of those that load.
    pub(crate) fn loading(&self) -> LoadSettings {
        self.loading
    }

    /// Reports whether a worker was requested.
    pub(crate) fn needs_worker(&self) -> bool {
        self.asked == Transport::Worker
    }

    /// A `psql`, one of so many sessions, that reads SQL into `access.database` and stops at the first error.
    ///
    /// # Errors
    /// Errors of [`Container::exec`]; also fails if a worker was requested and cannot serve.
    pub(crate) async fn psql(&self, access: &Access, application: &str, sessions: usize) -> Result<Exec> {
        if let TransportChoice::Worker(worker_factory, port) = &self.chosen {
            let given_up = lock(&self.given_up).clone();
            let unfit = match given_up {
                Some(unfit) => unfit,
                None => match self.in_worker(worker_factory, port, access, (application, sessions)).await? {
                    Ok(exec) => return Ok(exec),
                    Err(unfit) => unfit,
                },
            };
            if self.needs_worker() {
                return Err(unfit.into());
            }
            if lock(&self.given_up).replace(unfit.clone()).is_none() {
                self.progress.on(Event::Detail(format!("loading by exec: {unfit}")));
            }
        }
        let spec = psql::for_restore(access, application, "-", self.loading, sessions);
        self.container.exec(&spec).await
    }

    async fn in_worker(
        &self,
        worker_factory: &WorkerFactory,
        port: &ListenAddress,
        access: &Access,
        (application, sessions): (&str, usize),
    ) -> Result<Result<Exec, Unfit>> {
        let greeting = format!("ENVCTL-READY-{}", nonce());
        let spec = psql::for_restore(access, application, &stdin_fifo::path(), self.loading, sessions);
        let spec = worker_access::over_tcp(spec, port);
        match self.attempt(worker_factory, &spec, &greeting, None).await? {
            Err(Unfit::NotConnected(text)) if worker_access::wants_password(&text) => {
                self.attempt(worker_factory, &worker_access::with_passfile(spec), &greeting, Some(access))
                    .await
            }
            other => Ok(other),
        }
    }

    async fn attempt(
        &self,
        worker_factory: &WorkerFactory,
        spec: &ExecSpec,
        greeting: &str,
        password_of: Option<&Access>,
    ) -> Result<Result<Exec, Unfit>> {
        let worker = match self.worker(worker_factory, spec, password_of, None).await? {
            Ok(worker) => worker,
            Err(unfit) => return Ok(Err(unfit)),
        };
        Ok(match stdin_fifo::start(&worker, &format!("\\echo {greeting}\n")).await {
            Ok(exec) => greeted(exec, greeting).await,
            Err(unfit) => Err(unfit),
        })
    }

    /// Runs `pg_restore` on a file or directory of this host, over `jobs` sessions, to its end; why not, where no
    /// worker can.
    pub(crate) async fn pg_restore(
        &self,
        access: &Access,
        application: &str,
        (archive, list, options): (&Path, Option<&str>, &[&str]),
        jobs: u8,
        cancel: &CancelToken,
    ) -> Result<Result<VerifiedExit, Unfit>> {
        let (worker_factory, port) = match &self.chosen {
            TransportChoice::Worker(worker_factory, port) => (worker_factory, port),
            TransportChoice::Remote(..) => return Ok(Err(Unfit::Remote)),
            TransportChoice::Exec(why) => {
                let why = why.clone().unwrap_or_else(|| "`--transport exec` was asked for".to_owned());
                return Ok(Err(Unfit::Refused(why)));
            }
        };
        let spec = pg_restore::from_path(access, application, ARCHIVE, self.loading, jobs);
        let spec = match list {
            Some(_) => pg_restore::with(pg_restore::of_list(spec, &private_dir::inside(LIST)), options),
            None => spec,
        };
        let spec = worker_access::over_tcp(spec, port);
        let archive = (archive, list);
        match self.to_its_end(worker_factory, &spec, archive, None, cancel).await? {
            Err(Unfit::NotConnected(text)) if worker_access::wants_password(&text) => {
                let spec = worker_access::with_passfile(spec);
                self.to_its_end(worker_factory, &spec, archive, Some(access), cancel).await
            }
            other => Ok(other),
        }
    }

    async fn to_its_end(
        &self,
        worker_factory: &WorkerFactory,
        spec: &ExecSpec,
        archive: (&Path, Option<&str>),
        password_of: Option<&Access>,
        cancel: &CancelToken,
    ) -> Result<Result<VerifiedExit, Unfit>> {
        let worker = match self.worker(worker_factory, spec, password_of, Some(archive)).await? {
            Ok(worker) => worker,
            Err(unfit) => return Ok(Err(unfit)),
        };
        // What it has done nobody sees before its end.
        let ran = run_to_end::run(&worker, || 0, LOOK_AGAIN, cancel).await;
        match ran {
            Ok(end) => Ok(Ok(end)),
            Err(WorkerError::Unfit(unfit)) => Ok(Err(unfit)),
            Err(WorkerError::Failed(error)) => Err(error),
        }
    }

    /// A worker whose private directory holds what its tool needs, and that is removed with the others.
    async fn worker(
        &self,
        worker_factory: &WorkerFactory,
        spec: &ExecSpec,
        password_of: Option<&Access>,
        archive: Option<(&Path, Option<&str>)>,
    ) -> Result<Result<Arc<Worker>, Unfit>> {
        let private_dir = match worker_factory.private_dir() {
            Ok(private_dir) => private_dir,
            Err(unfit) => return Ok(Err(unfit)),
        };
        if let Some(access) = password_of {
            match worker_access::leave_password(self.container, access, &private_dir).await? {
                Ok(true) => {}
                Ok(false) => return Ok(Err(worker_access::no_password())),
                Err(unfit) => return Ok(Err(unfit)),
            }
        }
        if let Some((_, Some(list))) = archive
            && let Err(error) = private_dir.secret(LIST, list.as_bytes())
        {
            return Ok(Err(Unfit::NoPrivateDir(error.to_string())));
        }
        let worker = worker_factory.worker(self.container, private_dir, spec);
        let worker = Arc::new(match archive {
            Some((path, _)) => worker.reading(path),
            None => worker,
        });
        // Known before it starts: whoever stops us in between still removes it.
        lock(&self.workers).push(worker.clone());
        Ok(Ok(worker))
    }

    /// Removes what workers there are.
    pub(crate) async fn end(self) {
        let workers = std::mem::take(&mut *lock(&self.workers));
        futures::future::join_all(workers.iter().map(|worker| worker.end())).await;
    }
}

/// A `psql` that says a word of ours has connected: until then nothing is sent that cannot be sent again.
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

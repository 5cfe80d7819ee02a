//! The one place that decides where a tool runs: by exec in the database's container, in a worker beside it, or in a
//! remote worker.
//!
//! Promises: where `auto` falls back, not a byte had come, and the reason is told (`-v`, the manifest); orphan workers
//! are removed first; a worker gets a password only after the server has asked for one.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Mutex;

use crate::docker::worker::worker_spec::ResourceLimits;
use crate::docker::worker::{self, Unfit, Worker, WorkerError, WorkerFactory};
use crate::docker::{Container, ExecSpec};
use crate::error::{self, Error, Result};
use crate::operation::{Operation, OperationId};
use crate::postgres::tools::worker_access::{self, ListenAddress};
use crate::postgres::{Access, Session};
use crate::progress::Event;
use crate::sync::lock;

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

/// Requested transport and the settings of workers.
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
    pub(crate) limits: ResourceLimits,
}

/// Kind of data to transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpKind {
    Stream,
    /// Files, or a dump to be loaded: both have to lie where the worker is.
    Files,
}

impl TransportOptions {
    /// Chooses where the tools that transport so many bytes run, and removes orphan workers.
    ///
    /// # Errors
    /// A worker was requested and cannot serve; the session is lost; `Cancelled`.
    pub(crate) async fn choose(
        &self,
        session: &mut Session,
        operation: &Operation,
        kind: DumpKind,
        bytes: u64,
    ) -> Result<ToolRunner> {
        let container = session.container().clone();
        self.remove_orphans(&container, operation).await?;
        let choice = match self.transport {
            Transport::Exec => TransportChoice::Exec(None),
            Transport::Auto if bytes < self.worker_min_size => {
                TransportChoice::Exec(Some("the database is small".to_owned()))
            }
            Transport::Auto | Transport::Worker => {
                let server = ListenAddress::of(session).await?;
                match self.workers(&container, &operation.id, server, kind).await {
                    Ok(workers) => TransportChoice::Worker(workers),
                    Err(unfit) => TransportChoice::Exec(Some(self.transport.fall_back(unfit)?)),
                }
            }
        };
        Ok(ToolRunner { container, requested: self.transport, choice: Mutex::new(choice) })
    }

    /// Removes the workers of killed runs from the container's engine.
    ///
    /// # Errors
    /// Kind `Cancelled`.
    pub(crate) async fn remove_orphans(&self, container: &Container, operation: &Operation) -> Result<()> {
        let elsewhere = self.elsewhere.iter().map(PathBuf::as_path);
        let homes: Vec<&Path> =
            std::iter::once(&*self.private_dirs).chain(self.disk.as_deref()).chain(elsewhere).collect();
        for left in operation.cancel.run_until_cancelled(worker::reap(container.engine(), &homes)).await? {
            operation.progress.on(Event::Warning(format!(
                "removed the worker of envctl/{}, orphan of an envctl that was killed",
                left.operation.short()
            )));
        }
        Ok(())
    }

    /// Asks the engine for workers beside `database`, which listens at `server`.
    ///
    /// # Errors
    /// [`Unfit`]: the reason for which workers cannot be used.
    pub(crate) async fn workers(
        &self,
        database: &Container,
        operation: &OperationId,
        server: Result<ListenAddress, Unfit>,
        kind: DumpKind,
    ) -> Result<WorkerRunner, Unfit> {
        let (engine, server) = (database.engine(), server?);
        let factory = if kind == DumpKind::Stream && !engine.is_local() {
            WorkerFactory::remote(operation, &self.private_dirs, self.limits)
        } else {
            WorkerFactory::open(engine, operation, &self.private_dirs, self.limits).await?
        };
        Ok(WorkerRunner { database: database.clone(), factory, server })
    }
}

impl Transport {
    /// Returns the reason for an exec where a worker is unfit.
    ///
    /// # Errors
    /// Returns `unfit` if a worker was requested.
    fn fall_back(self, unfit: Unfit) -> Result<String> {
        match self {
            Self::Worker => Err(unfit.into()),
            Self::Auto | Self::Exec => Ok(unfit.to_string()),
        }
    }
}

/// Transport that a tool took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransportUsed {
    /// `worker` or `exec`.
    pub(crate) transport: &'static str,
    /// Reason why `auto` used no worker.
    pub(crate) why: Option<String>,
}

/// Chosen transport.
#[derive(Clone)]
enum TransportChoice {
    /// In a worker.
    Worker(WorkerRunner),
    /// By exec; the reason, where exec was not requested.
    Exec(Option<String>),
}

/// Runs the tools of one operation on one server.
pub(crate) struct ToolRunner {
    /// Container of the server.
    pub(crate) container: Container,
    /// Requested transport.
    pub(crate) requested: Transport,
    choice: Mutex<TransportChoice>,
}

impl ToolRunner {
    /// Runs a tool in a worker, and by exec where that was chosen or no worker can serve. A worker that cannot serve is
    /// not tried again.
    ///
    /// # Errors
    /// Errors of `in_worker` and `by_exec`; also fails if a worker was requested and cannot serve.
    pub(crate) async fn run<T>(
        &self,
        in_worker: impl AsyncFnOnce(WorkerRunner) -> Result<T, WorkerError>,
        by_exec: impl AsyncFnOnce() -> Result<T>,
    ) -> Result<(T, TransportUsed)> {
        let choice = lock(&self.choice).clone();
        let why = match choice {
            TransportChoice::Exec(why) => why,
            TransportChoice::Worker(workers) => match in_worker(workers).await {
                Ok(ran) => return Ok((ran, TransportUsed { transport: "worker", why: None })),
                Err(WorkerError::Failed(error)) => return Err(error),
                Err(WorkerError::Unfit(unfit)) => {
                    let why = Some(self.requested.fall_back(unfit)?);
                    *lock(&self.choice) = TransportChoice::Exec(why.clone());
                    why
                }
            },
        };
        Ok((by_exec().await?, TransportUsed { transport: "exec", why }))
    }

    /// Returns the workers on this host, for a tool that nothing else can run.
    ///
    /// # Errors
    /// [`Unfit`]: the reason for which no worker was chosen.
    pub(crate) fn workers(&self) -> Result<WorkerRunner, Unfit> {
        match &*lock(&self.choice) {
            TransportChoice::Worker(workers) if workers.is_remote() => Err(Unfit::Remote),
            TransportChoice::Worker(workers) => Ok(workers.clone()),
            TransportChoice::Exec(why) => {
                Err(Unfit::NotChosen(why.clone().unwrap_or_else(|| "`--transport exec`".to_owned())))
            }
        }
    }

    /// Returns the transport that the next tool will take.
    pub(crate) fn transport(&self) -> TransportUsed {
        match &*lock(&self.choice) {
            TransportChoice::Worker(_) => TransportUsed { transport: "worker", why: None },
            TransportChoice::Exec(why) => TransportUsed { transport: "exec", why: why.clone() },
        }
    }
}

/// Runs tools in workers beside one server.
#[derive(Clone)]
pub(crate) struct WorkerRunner {
    database: Container,
    factory: WorkerFactory,
    server: ListenAddress,
}

impl WorkerRunner {
    /// Makes a worker for `tool` and hands it to `run`, which starts and ends it. Does so once more, with a password
    /// file, where the server asks for a password.
    ///
    /// # Errors
    /// [`Unfit`]: no worker can be made, or no password is known. Errors of `run`.
    pub(crate) async fn run<T>(
        &self,
        access: &Access,
        tool: ExecSpec,
        run: impl AsyncFn(Worker) -> Result<T, WorkerError>,
    ) -> Result<T, WorkerError> {
        let tool = worker_access::over_tcp(tool, &self.server);
        let ran = run(self.worker(&tool)?).await;
        match &ran {
            // A remote worker cannot read a file of this host.
            Err(WorkerError::Unfit(Unfit::NotConnected(text)))
                if worker_access::wants_password(text) && !self.is_remote() => {}
            _ => return ran,
        }
        let worker = self.worker(&worker_access::with_passfile(tool))?;
        worker_access::leave_password(&self.database, access, &worker.private_dir).await?;
        run(worker).await
    }

    /// Makes a worker for `tool`, which is not started yet.
    ///
    /// # Errors
    /// [`Unfit`]: there is no private directory.
    pub(crate) fn worker(&self, tool: &ExecSpec) -> Result<Worker, Unfit> {
        Ok(self.factory.worker(&self.database, self.factory.private_dir()?, tool))
    }

    /// Returns the same with private directories in `home`, for much data.
    pub(crate) fn in_private_dirs(self, home: &Path) -> Self {
        let factory = WorkerFactory { private_dirs: home.to_owned(), ..self.factory };
        Self { factory, ..self }
    }

    /// Reports whether the workers share no directory with this host.
    pub(crate) fn is_remote(&self) -> bool {
        self.factory.remote
    }

    /// Returns the address of the server, seen from a worker.
    pub(crate) fn server(&self) -> &ListenAddress {
        &self.server
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn only_auto_falls_back_and_says_why() {
        let why = Transport::Auto.fall_back(Unfit::Remote).unwrap();
        assert!(why.contains("not on this host"), "{why}");
        let error = Transport::Worker.fall_back(Unfit::Desktop).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.message().contains("Docker Desktop"), "{error}");
        assert!("tcp".parse::<Transport>().is_err());
    }
}

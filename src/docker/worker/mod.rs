//! A worker: a short-lived container beside the database, from its own image and in its network, that reads or
//! writes a private directory of this host. No byte of a dump goes through the daemon, which costs twice what
//! `pg_dump` costs; and unlike an exec it can be limited, killed and removed through the API.
//!
//! A program of another image can run there too ([`Worker::of_image`]): Studio, beside a database whose project has
//! none.
//!
//! Promises: never anything but a tool that was asked for, as the caller's own user, unable to do more (`api`);
//! what a killed envctl leaves, the next run knows by its private directory's lock and removes ([`reap`]). Where a
//! worker cannot serve, [`Unfit`] says why, before a byte has come.

pub(crate) mod container_spec;
pub(crate) mod exit_status;
pub(crate) mod file_io;
pub(crate) mod labels;
pub(crate) mod late_removals;
pub(crate) mod machine_id;
pub(crate) mod orphans;
pub(crate) mod remote;
pub(crate) mod stdin_fifo;
pub(crate) mod stdout_fifo;
pub(crate) mod worker_spec;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::docker::worker::worker_spec::{ContainerExit, ResourceLimits, WorkerSpec};

pub(crate) use crate::docker::worker::machine_id::this_machine;
pub(crate) use crate::docker::worker::worker_spec::OrphanWorker;
use crate::fsutil::private_dir::PrivateDir;
use crate::operation::OperationId;
pub(crate) use exit_status::{NOT_RUN, starved};
pub(crate) use orphans::reap;

use super::container::Container;
use super::engine::Engine;
use super::exec::Exec;
use crate::docker::exec::spec::ExecSpec;
use crate::error::{self, Error};

/// Reason for which a worker cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The daemon is on another machine.
    Remote,
    /// The daemon is in a virtual machine.
    Desktop,
    /// The daemon maps users.
    UserNamespaces,
    /// The engine cannot be asked what it is like, or refuses: its words.
    Refused(String),
    /// There is no private directory on this host: the reason.
    NoPrivateDir(String),
    /// The worker cannot open its private directory: its words.
    Closed(String),
    /// PostgreSQL does not listen on TCP.
    NoPort,
    /// The worker cannot connect: its words.
    NotConnected(String),
    /// The tool is not in the image, or cannot be run by this user: the engine's words.
    NoTool(String),
    /// No worker was chosen: the reason.
    NotChosen(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote => f.write_str("the Docker daemon is not on this host"),
            Self::Desktop => f.write_str("Docker Desktop runs containers in a virtual machine"),
            Self::UserNamespaces => f.write_str("the Docker daemon maps users (userns-remap)"),
            Self::Refused(text) => write!(f, "Docker refused to create the worker container: {text}"),
            Self::NoPrivateDir(why) => write!(f, "no private directory can be made for a worker: {why}"),
            Self::Closed(text) => write!(f, "the worker cannot open its directory: {text}"),
            Self::NoPort => f.write_str("PostgreSQL listens on no TCP port"),
            Self::NotConnected(text) => write!(f, "the worker cannot connect: {text}"),
            Self::NoTool(text) => write!(f, "the worker cannot run its tool: {text}"),
            Self::NotChosen(why) => f.write_str(why),
        }
    }
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        error::failed(format!("no worker can be used: {unfit}"))
            .hint("go through the daemon with `--transport exec`, or let `--transport auto` choose")
    }
}

#[derive(Debug)]
pub(crate) enum WorkerError {
    /// The worker cannot be used, and nothing was done.
    Unfit(Unfit),
    /// The worker ran, and failed.
    Failed(Error),
}

impl From<Unfit> for WorkerError {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl From<WorkerError> for Error {
    fn from(failure: WorkerError) -> Self {
        match failure {
            WorkerError::Unfit(unfit) => unfit.into(),
            WorkerError::Failed(error) => error,
        }
    }
}

impl From<Error> for WorkerError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Settings for all workers of one operation.
#[derive(Clone, Debug)]
pub(crate) struct WorkerFactory {
    /// The operation's id.
    pub(crate) operation: OperationId,
    /// Directory in which the workers' private directories are made.
    pub(crate) private_dirs: PathBuf,
    /// Resource limits of each worker.
    pub(crate) limits: ResourceLimits,
    /// `UID:GID` of the caller, as the daemon's containers see it.
    pub(crate) user: String,
    /// The daemon is on another machine.
    pub(crate) remote: bool,
}

impl WorkerFactory {
    /// Asks the engine whether workers can serve.
    ///
    /// # Errors
    /// [`Unfit`]: the reason for which workers cannot be used.
    pub(crate) async fn open(
        engine: &Arc<dyn Engine>,
        operation: &OperationId,
        private_dirs: &Path,
        limits: ResourceLimits,
    ) -> Result<Self, Unfit> {
        if !engine.is_local() {
            return Err(Unfit::Remote);
        }
        let nature = engine.nature().await.map_err(|e| Unfit::Refused(e.message().to_owned()))?;
        if nature.desktop {
            return Err(Unfit::Desktop);
        }
        if nature.user_namespaces {
            return Err(Unfit::UserNamespaces);
        }
        // The user whose daemon it is is root in its containers.
        let user = if nature.rootless {
            "0:0".to_owned()
        } else {
            format!("{}:{}", rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
        };
        Ok(Self { user, remote: false, ..Self::remote(operation, private_dirs, limits) })
    }

    /// For workers on the daemon's own machine, which is another one. They are nobody there.
    pub(crate) fn remote(operation: &OperationId, private_dirs: &Path, limits: ResourceLimits) -> Self {
        let user = "65534:65534".to_owned();
        Self {
            operation: operation.clone(),
            private_dirs: private_dirs.to_owned(),
            limits,
            user,
            remote: true,
        }
    }

    /// A private directory for one worker.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn private_dir(&self) -> Result<PrivateDir, Unfit> {
        PrivateDir::make(&self.private_dirs)
            .map_err(|e| Unfit::NoPrivateDir(format!("{}: {e}", self.private_dirs.display())))
    }

    /// A worker that will run `tool` beside `database`; nothing is started yet.
    pub(crate) fn worker(&self, database: &Container, private_dir: PrivateDir, tool: &ExecSpec) -> Worker {
        let name = format!(
            "envctl-{}-{}",
            self.operation.short(),
            private_dir
                .path()
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
                .rsplit('-')
                .next()
                .unwrap_or_default(),
        );
        let mut env = tool.env.clone();
        // The tools' own words are recognised; there is no home in there.
        let home = if self.remote { "/" } else { crate::fsutil::private_dir::INSIDE };
        env.extend([("LC_ALL", "C"), ("HOME", home)].map(|(n, v)| (n.to_owned(), v.to_owned())));
        let spec = WorkerSpec {
            operation: self.operation.clone(),
            name,
            image: database.image_id.clone(),
            attach_stdin: self.remote,
            foreign_image: false,
            network_of: database.id.clone(),
            argv: tool.argv.clone(),
            env,
            user: self.user.clone(),
            private_dir: private_dir.path().to_owned(),
            machine: this_machine().to_owned(),
            remote: self.remote,
            archive: None,
            limits: self.limits,
        };
        Worker { database: database.clone(), spec, private_dir, creation: Mutex::default() }
    }
}

/// One worker. [`Worker::end`] has to be called, whatever became of it; where nobody can any more, [`reap`] does.
pub(crate) struct Worker {
    /// Container beside which the worker runs, on the same engine.
    pub(crate) database: Container,
    spec: WorkerSpec,
    /// Private directory of the worker.
    pub(crate) private_dir: PrivateDir,
    /// The request that makes it. Once it is on its way nobody calls it back: who stops waiting for the worker leaves
    /// it to [`Worker::end`], or the engine would make one that has been removed already.
    creation: Mutex<Option<JoinHandle<error::Result<()>>>>,
}

/// Path inside a worker of the archive that the worker may read.
pub(crate) const ARCHIVE: &str = "/envctl-archive";

/// Time for which an operation waits for the creation of a worker that is not needed any more. Longer ones the end of
/// the command waits for.
const CREATION: Duration = Duration::from_secs(10);

impl Worker {
    fn engine(&self) -> &Arc<dyn Engine> {
        self.database.engine()
    }

    /// The tool's name, for messages.
    pub(crate) fn program(&self) -> &str {
        self.spec.argv.first().map_or("", String::as_str)
    }

    /// Returns the worker with a file or directory of this host to read.
    #[must_use]
    pub(crate) fn reading(mut self, archive: &Path) -> Self {
        self.spec.archive = Some(archive.to_owned());
        self
    }

    /// Returns the worker with another image, for a program that runs until its stdin ends.
    #[must_use]
    pub(crate) fn of_image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.spec.image);
        self.spec.attach_stdin = true;
        self.spec.foreign_image = true;
        self
    }

    /// Returns the worker as a container, once the worker runs.
    ///
    /// # Errors
    /// Kind `Docker`: the connection was lost; `Integrity`: somebody removed it.
    pub(crate) async fn container(&self) -> error::Result<Container> {
        let info = self.engine().inspect(&self.spec.name).await?.ok_or_else(|| self.removed())?;
        Ok(Container::new(self.engine(), info))
    }

    /// Creates and starts it; what it says comes as from an exec.
    ///
    /// # Errors
    /// The engine makes none.
    pub(crate) async fn start(&self) -> Result<Exec, Unfit> {
        let refused = |e: Error| Unfit::Refused(e.message().to_owned());
        let (engine, spec) = (self.engine().clone(), self.spec.clone());
        let mut creation = self.creation.lock().await;
        let creating = creation.insert(tokio::spawn(async move { engine.worker_create(&spec).await }));
        creating
            .await
            .unwrap_or_else(|e| Err(error::docker("creating a worker").because(e)))
            .map_err(refused)?;
        drop(creation);
        let stream =
            self.engine().worker_start(&self.spec.name, self.spec.attach_stdin).await.map_err(|e| {
                if e.message().contains("executable file not found")
                    || e.message().contains("permission denied")
                {
                    Unfit::NoTool(e.message().to_owned())
                } else {
                    Unfit::Refused(e.message().to_owned())
                }
            })?;
        Ok(Exec::of_worker(self.engine().clone(), self.spec.name.clone(), stream))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Kind `Docker`: the connection was lost; `Integrity`: somebody removed it.
    pub(crate) async fn ended(&self) -> error::Result<ContainerExit> {
        self.engine().worker_end(&self.spec.name).await?.ok_or_else(|| self.removed())
    }

    fn removed(&self) -> Error {
        error::integrity(format!("the worker {} was removed while it ran", self.spec.name))
    }

    /// Kills it if it runs, and removes it with what it left. One that the engine is still creating is removed once it
    /// is there, at the latest at the end of the command ([`late_removals::finish`]).
    pub(crate) async fn end(&self) {
        self.end_within(CREATION).await;
    }

    async fn end_within(&self, limit: Duration) {
        let started = tokio::time::Instant::now();
        // A start that goes on holds it, and reports a worker that is removed under it.
        let creation = tokio::time::timeout(limit, self.creation.lock()).await;
        let creation = creation.map(|mut creation| creation.take());
        if let Ok(None) = creation {
            return;
        }
        if let Ok(Some(mut creating)) = creation
            && !creating.is_finished()
            && tokio::time::timeout_at(started + limit, &mut creating).await.is_err()
        {
            late_removals::add(self.engine().clone(), self.spec.name.clone(), creating);
            return;
        }
        // Whether it was refused or we did not hear of it: there may be one.
        late_removals::remove(&**self.engine(), &self.spec.name).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::fake_engine::{Scripted, container};

    #[tokio::test]
    async fn a_worker_whose_creation_takes_long_is_removed_at_the_end_of_the_command() {
        let home = tempfile::tempdir().unwrap();
        let script = Scripted::new([]);
        script.creates_workers_after(Duration::from_millis(300));
        let database = script.container(container("db"));
        let factory = WorkerFactory {
            operation: OperationId::from("0123456789abcdef"),
            private_dirs: home.path().to_owned(),
            limits: ResourceLimits::default(),
            user: "0:0".to_owned(),
            remote: false,
        };
        let make = || factory.worker(&database, factory.private_dir().unwrap(), &ExecSpec::new(["true"]));
        let worker = make();
        // Nobody waits for it any more.
        assert!(tokio::time::timeout(Duration::from_millis(20), worker.start()).await.is_err());
        worker.end_within(Duration::from_millis(20)).await;
        assert!(script.removed_workers().is_empty(), "there is none yet");
        let mut told = Vec::new();
        late_removals::finish(Duration::from_secs(20), |text| told.push(text)).await;
        assert_eq!(script.removed_workers(), [worker.spec.name.as_str()]);
        assert!(told.iter().any(|text| text.contains(&worker.spec.name)), "{told:?}");
        // One that is there is removed at once; one that was never asked for leaves nothing to do.
        let quick = make();
        let _ = quick.start().await;
        quick.end_within(Duration::from_millis(20)).await;
        make().end().await;
        assert_eq!(script.removed_workers(), [worker.spec.name.as_str(), quick.spec.name.as_str()]);
        // The limit holds.
        script.creates_workers_after(Duration::from_mins(1));
        let never = make();
        assert!(tokio::time::timeout(Duration::from_millis(20), never.start()).await.is_err());
        never.end_within(Duration::ZERO).await;
        let mut told = Vec::new();
        late_removals::finish(Duration::from_millis(50), |text| told.push(text)).await;
        assert!(told.iter().any(|text| text.contains("the next command removes it")), "{told:?}");
    }
}

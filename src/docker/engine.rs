//! Interface of a container engine, with only the requests that envctl makes.
//!
//! Promise: this trait is the whole surface. The real client, a recording and the scripted engine of
//! the tests are interchangeable behind it.

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::AsyncRead;

use super::container_info::{ContainerInfo, ImageConfig};
use crate::docker::client::transport::BoxIo;
use crate::docker::container_summary::ContainerSummary;
use crate::docker::exec::interpreter_cache::InterpreterCache;
use crate::docker::exec::spec::ExecSpec;
use crate::docker::throwaway::spec::ThrowawaySpec;
use crate::docker::worker::worker_spec::{ContainerExit, EngineFeatures, OrphanWorker, WorkerSpec};
use crate::error::Result;

/// Version of an engine, as reported by the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EngineVersion {
    /// Version of the engine, `20.10.24`.
    pub(crate) version: String,
    /// The newest API it speaks.
    pub(crate) api: String,
    /// `linux`, `windows`.
    pub(crate) os: String,
}

/// State of an exec that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecState {
    /// True while the exec runs. Podman reports exit code 0 for a running exec, so this field is read first.
    pub(crate) running: bool,
    /// The exit code, once it has ended.
    pub(crate) exit_code: Option<i64>,
    /// Process id on the engine's machine; 0 where no process was started, `None` where the engine does not tell.
    pub(crate) pid: Option<i64>,
}

/// A started exec: bytes the daemon already sent, then the stream both ways.
pub(crate) struct ExecStream {
    /// Bytes that arrived with the answer.
    pub(crate) early: Bytes,
    /// The connection; framed unless the exec has a terminal.
    pub(crate) io: BoxIo,
}

/// Which log lines are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogsRequest {
    /// Keep on reading as lines come.
    pub(crate) follow: bool,
    /// Only the last so many lines.
    pub(crate) tail: Option<u64>,
    /// Seconds since the epoch, or none for all.
    pub(crate) since: Option<i64>,
    /// Put the time in front of each line.
    pub(crate) timestamps: bool,
}

/// A log stream and whether it is framed (a container with a terminal has one raw stream).
pub(crate) struct LogStream {
    /// The bytes.
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    /// True where the bytes are frames.
    pub(crate) framed: bool,
}

/// A container engine.
pub(crate) trait Engine: Send + Sync {
    /// The address it was reached at, for messages.
    fn address(&self) -> String;

    /// Interpreters for the reaper, as far as they are known.
    fn reapers(&self) -> &InterpreterCache;

    /// `GET /version`.
    fn version(&self) -> BoxFuture<'_, Result<EngineVersion>>;

    /// All containers, in the engine's order (newest first).
    fn list(&self) -> BoxFuture<'_, Result<Vec<ContainerSummary>>>;

    /// One container; `None` when it does not exist.
    fn inspect<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<ContainerInfo>>>;

    /// Command lines of the processes that run in a container now.
    fn top<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<Vec<String>>>;

    /// An image's own configuration; `None` when it was deleted meanwhile.
    fn image<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<ImageConfig>>>;

    /// Creates an exec and gives its id.
    fn exec_create<'a>(&'a self, container: &'a str, spec: &'a ExecSpec) -> BoxFuture<'a, Result<String>>;

    fn exec_start<'a>(&'a self, exec: &'a str, tty: bool) -> BoxFuture<'a, Result<ExecStream>>;

    /// Returns the state of an exec; `None` where the engine has forgotten the exec.
    fn exec_inspect<'a>(&'a self, exec: &'a str) -> BoxFuture<'a, Result<Option<ExecState>>>;

    /// Tells its terminal the size, in characters.
    fn exec_resize<'a>(&'a self, exec: &'a str, rows: u16, columns: u16) -> BoxFuture<'a, Result<()>>;

    /// Reports whether the engine was reached through a socket of this host.
    /// Only then may the engine's containers see our directories.
    fn is_local(&self) -> bool;

    /// Returns the engine's properties that decide whether workers can be used.
    fn nature(&self) -> BoxFuture<'_, Result<EngineFeatures>>;

    /// Creates a throwaway container, under the name that its spec gives it.
    fn throwaway_create<'a>(&'a self, spec: &'a ThrowawaySpec) -> BoxFuture<'a, Result<()>>;

    /// Starts a created container.
    fn container_start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Creates a worker, under the name that its spec gives it.
    fn worker_create<'a>(&'a self, spec: &'a WorkerSpec) -> BoxFuture<'a, Result<()>>;

    /// Listens to a created worker and starts it: not a word of it is missed. One that is `attach_stdin` hears us, too.
    fn worker_start<'a>(&'a self, name: &'a str, attach_stdin: bool) -> BoxFuture<'a, Result<ExecStream>>;

    /// Waits until it has ended, and says how; `None` when it is gone.
    fn worker_end<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<ContainerExit>>>;

    /// Kills it where it runs, and removes it with its volumes. Done already is done.
    fn worker_remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// The workers there are, of whomever.
    fn workers(&self) -> BoxFuture<'_, Result<Vec<OrphanWorker>>>;

    fn logs<'a>(&'a self, container: &'a str, request: &'a LogsRequest) -> BoxFuture<'a, Result<LogStream>>;
}

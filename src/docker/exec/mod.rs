//! One command in a container: what to run as a value, the running thing as two streams.
//!
//! Promises: an argv is data and never shell text; output is read through the strict demultiplexer; a
//! process that could not be started at all is told apart from one that failed (engines report both as
//! output of the process, reliability finding 7).

pub(crate) mod demux;
pub(crate) mod end_marker;
pub(crate) mod interactive;
pub(crate) mod interpreter_cache;
pub(crate) mod kill_tree;
pub(crate) mod run_command;
pub(crate) mod spec;
pub(crate) mod spill_buffer;
pub(crate) mod start_failure;
pub(crate) mod stderr_tail;
pub(crate) mod subreaper;
pub(crate) mod tty;
pub(crate) mod verified_stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use demux::{Demuxer, Output, ProtocolError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::unix::pipe;

use super::container::Container;
use super::container_info::ContainerInfo;
use super::engine::{Engine, ExecStream};
use crate::docker::client::transport::BoxIo;
use crate::docker::exec::spec::ExecSpec;
use crate::error::{self, Error, Result};

/// A started command.
pub(crate) struct Exec {
    /// Stdout and stderr of the command.
    pub(crate) output: ExecOutput,
    /// Stdin of the command.
    pub(crate) input: ExecInput,
    /// The thing itself.
    pub(crate) handle: ExecHandle,
}

impl Container {
    /// Creates and starts `spec` in the container, below a reaper where process 1 is a postmaster.
    ///
    /// # Errors
    /// Kind `Docker` or `Target`: the engine refused, e.g. because the container is paused.
    pub(crate) async fn exec(&self, spec: &ExecSpec) -> Result<Exec> {
        let (id, stream) = subreaper::start(self, spec).await.map_err(|e| in_container(e, self))?;
        let (reader, writer) = tokio::io::split(stream.io);
        Ok(Exec {
            output: ExecOutput::new(reader, stream.early, (!spec.tty).then(Demuxer::default)),
            input: ExecInput::Stream(writer),
            handle: ExecHandle { engine: self.engine().clone(), process: Process::Exec(id) },
        })
    }

    /// Runs a short command to its end, with `stdin` as its input.
    ///
    /// # Errors
    /// Kind `Docker`, `Target` or `Integrity` as for [`Container::exec`] and [`ExecOutput::read`]; a non-zero
    /// exit code is an answer and not an error.
    pub(crate) async fn capture(&self, spec: &ExecSpec, stdin: Option<&[u8]>) -> Result<CommandOutput> {
        let spec = ExecSpec { stdin: stdin.is_some(), ..spec.clone() };
        let Exec { mut output, mut input, handle } = self.exec(&spec).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let write = async {
            if let Some(bytes) = stdin {
                // A process that does not read its input ends by itself; its output tells why.
                let _ = input.write(bytes).await;
                let _ = input.close().await;
            }
        };
        let read = async {
            let mut sink = |which, bytes: &[u8]| {
                let captured = if which == Output::Stdout { &mut stdout } else { &mut stderr };
                let remaining = CAPTURE_LIMIT.saturating_sub(captured.len());
                captured.extend_from_slice(&bytes[..bytes.len().min(remaining)]);
            };
            while output.read(&mut sink).await? {}
            Ok::<_, Error>(())
        };
        let ((), result) = tokio::join!(write, read);
        result?;
        let exit_code = handle.exit_code().await?.ok_or_else(|| {
            error::unknown(format!("Docker does not say how `{}` in {} ended", spec.program(), self.name))
        })?;
        Ok(CommandOutput { stdout, stderr, exit_code })
    }
}

impl Exec {
    /// A worker that was started, in the shape of an exec. Its input is nobody's.
    pub(crate) fn of_worker(engine: Arc<dyn Engine>, name: String, stream: ExecStream) -> Self {
        let (reader, writer) = tokio::io::split(stream.io);
        Self {
            output: ExecOutput::new(reader, stream.early, Some(Demuxer::default())),
            input: ExecInput::Stream(writer),
            handle: ExecHandle { engine, process: Process::Worker(name) },
        }
    }
}

fn in_container(error: Error, container: &ContainerInfo) -> Error {
    error.context(format!("in container {}", container.name))
}

/// The daemon writes frames of up to 32 KiB; several fit, so a burst costs one system call.
const READ_SIZE: usize = 256 << 10;

/// The reading half.
pub(crate) struct ExecOutput {
    reader: ReadHalf<BoxIo>,
    early: Bytes,
    buffer: Vec<u8>,
    /// `None` for a terminal: its bytes come unframed.
    demuxer: Option<Demuxer>,
}

impl ExecOutput {
    fn new(reader: ReadHalf<BoxIo>, early: Bytes, demuxer: Option<Demuxer>) -> Self {
        Self { reader, early, buffer: vec![0; READ_SIZE], demuxer }
    }

    /// Reads what there is and hands it to `sink`; `false` when the stream has ended whole.
    /// Dropping the future between two reads loses nothing.
    ///
    /// # Errors
    /// Kind `Integrity`: the stream broke the protocol or was cut.
    pub(crate) async fn read(&mut self, sink: &mut impl FnMut(Output, &[u8])) -> Result<bool> {
        let early = std::mem::take(&mut self.early);
        let bytes = if early.is_empty() {
            let len = self
                .reader
                .read(&mut self.buffer)
                .await
                .map_err(|cause| error::integrity("the stream from Docker broke off").because(cause))?;
            if len == 0 {
                return match &self.demuxer {
                    Some(demuxer) => demuxer.finish().map(|()| false).map_err(protocol),
                    None => Ok(false),
                };
            }
            &self.buffer[..len]
        } else {
            &early[..]
        };
        match &mut self.demuxer {
            Some(demuxer) => demuxer.feed(bytes, sink).map_err(protocol)?,
            None => sink(Output::Stdout, bytes),
        }
        Ok(true)
    }
}

fn protocol(cause: ProtocolError) -> Error {
    error::integrity("the stream from Docker is damaged").because(cause).note(
        "the daemon may have been restarted, or a proxy between cut the connection; what came before is incomplete",
    )
}

/// The writing half.
pub(crate) enum ExecInput {
    Stream(WriteHalf<BoxIo>),
    /// A FIFO that the process reads; `None` once it is closed.
    Fifo(Option<pipe::Sender>),
}

impl ExecInput {
    /// Writes and flushes.
    ///
    /// # Errors
    /// The connection is gone, or the process closed its stdin.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Stream(writer) => {
                writer.write_all(bytes).await?;
                writer.flush().await
            }
            Self::Fifo(Some(fifo)) => fifo.write_all(bytes).await,
            Self::Fifo(None) => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Half-close: the process reads an end of file, its output goes on. Not for terminals, where the
    /// daemon closes the output too (moby `attach.go`). A FIFO has to have been opened by then: one that nobody has
    /// open forgets what is in it, and who opens it later waits for a writer for ever.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) async fn close(&mut self) -> std::io::Result<()> {
        match self {
            Self::Stream(writer) => writer.shutdown().await,
            Self::Fifo(fifo) => {
                drop(fifo.take());
                Ok(())
            }
        }
    }
}

/// Handle of a started command, for its exit code and the size of its terminal.
#[derive(Clone)]
pub(crate) struct ExecHandle {
    engine: Arc<dyn Engine>,
    process: Process,
}

/// Exec or worker behind a handle.
#[derive(Clone)]
enum Process {
    /// An exec, by its id.
    Exec(String),
    /// A container of its own, by its name.
    Worker(String),
}

/// Pauses in milliseconds before each request for the exit code, after the stream of an exec has ended.
/// Docker without a terminal reports the end at once; Podman and terminals lag.
const EXIT_POLLS: &[u64] = &[0, 5, 10, 20, 50, 100, 200, 400, 800, 1500, 2000];

/// Time limit for the end of a worker, which the engine reports by itself.
const WORKER_EXIT: Duration = Duration::from_secs(5);

impl ExecHandle {
    /// The exit code after the stream has ended; `None` when the engine cannot tell any more.
    ///
    /// # Errors
    /// Kind `Docker`: the engine could not be asked.
    pub(crate) async fn exit_code(&self) -> Result<Option<i64>> {
        let id = match &self.process {
            Process::Exec(id) => id,
            Process::Worker(name) => {
                let ending = tokio::time::timeout(WORKER_EXIT, self.engine.worker_end(name)).await;
                return Ok(ending.unwrap_or(Ok(None))?.map(|end| end.exit_code));
            }
        };
        let mut last = None;
        for wait in EXIT_POLLS {
            tokio::time::sleep(Duration::from_millis(*wait)).await;
            match self.engine.exec_inspect(id).await {
                Ok(Some(state)) if !state.running => return Ok(state.exit_code),
                Ok(Some(_)) => last = None,
                Ok(None) => return Ok(None),
                Err(error) => last = Some(error),
            }
        }
        last.map_or(Ok(None), Err)
    }

    /// Reports whether the kernel has killed a worker for lack of memory. Always false for an exec.
    pub(crate) async fn ran_out_of_memory(&self) -> bool {
        let Process::Worker(name) = &self.process else { return false };
        let ending = tokio::time::timeout(WORKER_EXIT, self.engine.worker_end(name)).await;
        matches!(ending, Ok(Ok(Some(end))) if end.out_of_memory)
    }

    /// Tells the terminal its size.
    ///
    /// # Errors
    /// Kind `Docker`: the exec is not started yet or has ended.
    pub(crate) async fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        match &self.process {
            Process::Exec(id) => self.engine.exec_resize(id, rows, columns).await,
            // A worker has no terminal.
            Process::Worker(_) => Ok(()),
        }
    }
}

/// Output and exit code of a short command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandOutput {
    /// Stdout of the command, up to [`CAPTURE_LIMIT`].
    pub(crate) stdout: Vec<u8>,
    /// Stderr of the command, up to [`CAPTURE_LIMIT`].
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit_code: i64,
}

impl CommandOutput {
    /// stdout as text, line ends trimmed.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// stderr as text, trimmed; when it is empty, stdout (engines put start failures there).
    pub(crate) fn complaint(&self) -> String {
        let bytes = if self.stderr.is_empty() { &self.stdout } else { &self.stderr };
        String::from_utf8_lossy(bytes).trim().to_owned()
    }
}

/// Bound on what is kept of a short command's output.
pub(crate) const CAPTURE_LIMIT: usize = 8 << 20;

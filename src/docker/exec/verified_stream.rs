//! A tool's output as a stream that is verified at its end: what a backup is made of.
//!
//! Promises: the bytes come in blocks, in order, with back-pressure; the end is only a good end when the
//! trailer arrived (see `completeness`); silence is noticed and explained.

use std::time::Duration;

use tokio::sync::mpsc;

use super::demux::Output;
use crate::docker::container::Container;
use crate::docker::container_info::ContainerState;
use crate::docker::exec::end_marker::EndMarkerParser;
use crate::docker::exec::spec::ExecSpec;
use crate::docker::exec::start_failure::start_failure;
use crate::docker::exec::stderr_tail::StderrTail;
use crate::docker::exec::{Exec, end_marker};
use crate::error::{self, Error, Result};

/// Size in bytes of a block that goes to the next stage.
pub(crate) const BLOCK: usize = 1 << 20;
/// Pause between two reads of a running stream, in which the socket fills.
const BREATH: Duration = Duration::from_millis(1);
/// Time limit for stderr of a failed tool that arrives after the end marker.
const LATE_MESSAGES: Duration = Duration::from_secs(2);

/// End of a complete stream: the tool ran to its end and every byte of its output was handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifiedExit {
    /// The tool's own exit code.
    pub(crate) exit_code: u8,
    /// The last of its stderr.
    pub(crate) stderr: String,
    /// True where the tool has produced a byte of output or a file. Such a tool cannot be run again elsewhere.
    pub(crate) begun: bool,
}

/// Runs the tool of `spec` with an end marker and sends its stdout to `blocks`.
///
/// `stall_limit` is how long the stream may be silent before the container is looked at.
///
/// # Errors
/// `Integrity`: the stream was cut or ended without its trailer. `Tool`: the tool could not be started.
/// `Docker`, `Target`: as for any exec. `Failed`: the receiver of the blocks went away.
pub(crate) async fn run(
    container: &Container,
    spec: &ExecSpec,
    blocks: mpsc::Sender<Vec<u8>>,
    stall_limit: Duration,
) -> Result<VerifiedExit> {
    let stream = VerifiedStream::new(container, spec, stall_limit);
    let exec = container.exec(&stream.wrapped()).await?;
    stream.follow(exec, blocks).await
}

/// A tool beside or in a container whose output is read to its end marker.
pub(crate) struct VerifiedStream<'a> {
    container: &'a Container,
    spec: &'a ExecSpec,
    nonce: String,
    stall_limit: Duration,
}

impl<'a> VerifiedStream<'a> {
    /// Gives the tool of `spec` an end marker.
    pub(crate) fn new(container: &'a Container, spec: &'a ExecSpec, stall_limit: Duration) -> Self {
        Self { container, spec, nonce: crate::random::nonce(), stall_limit }
    }

    /// Returns the command that runs the tool and prints the end marker.
    pub(crate) fn wrapped(&self) -> ExecSpec {
        let spec = self.spec.clone();
        ExecSpec { argv: end_marker::wrap(&self.nonce, &spec.argv), stdin: true, tty: false, ..spec }
    }

    /// Returns the tool's name, for messages.
    pub(crate) fn program(&self) -> &str {
        self.spec.program()
    }

    /// Follows the command that [`VerifiedStream::wrapped`] returns, once it runs, to its verified end.
    pub(crate) async fn follow(&self, exec: Exec, blocks: mpsc::Sender<Vec<u8>>) -> Result<VerifiedExit> {
        let Self { container, spec, ref nonce, stall_limit } = *self;
        let Exec { mut output, mut input, handle } = exec;
        let mut stream = Stream {
            splitter: EndMarkerParser::new(nonce),
            block: Vec::with_capacity(BLOCK),
            full: Vec::new(),
            stderr: StderrTail::default(),
            broken: None,
            started: false,
        };
        loop {
            let more = {
                let mut sink = |which, bytes: &[u8]| stream.take(which, bytes);
                if let Ok(result) = tokio::time::timeout(stall_limit, output.read(&mut sink)).await {
                    result.map_err(|cause| stream.explain(cause, spec))?
                } else {
                    silent(container, spec.program(), stall_limit).await?;
                    continue;
                }
            };
            if let Some(broken) = stream.broken.take() {
                return Err(
                    error::integrity(format!("the output of {} is damaged", spec.program())).because(broken)
                );
            }
            stream.send_full(&blocks).await?;
            if stream.started {
                // The daemon hands out 8 KiB at a time. Letting its socket fill for a moment (it holds 200 KiB)
                // makes one read of what were seven; measured: half of the client's CPU, no time lost.
                tokio::time::sleep(BREATH).await;
            }
            if let Some(exit_code) = stream.splitter.exit_code() {
                let begun = stream.started || !stream.block.is_empty();
                stream.send_rest(&blocks).await?;
                // Everything is in hand; the tool may go. Whether it hears us changes nothing any more.
                let _ = input.write(end_marker::ACKNOWLEDGEMENT).await;
                if exit_code != 0 {
                    // The daemon copies stdout and stderr each by itself: the reason may come behind the end mark.
                    let mut sink = |which, bytes: &[u8]| stream.take_keywords(which, bytes);
                    let rest = async { while let Ok(true) = output.read(&mut sink).await {} };
                    let _ = tokio::time::timeout(LATE_MESSAGES, rest).await;
                }
                return Ok(VerifiedExit { exit_code, stderr: stream.stderr_tail(), begun });
            }
            if !more {
                let code = handle.exit_code().await.unwrap_or(None);
                return Err(stream.unproven(spec, container, code).await);
            }
        }
    }
}

struct Stream {
    splitter: EndMarkerParser,
    block: Vec<u8>,
    full: Vec<Vec<u8>>,
    stderr: StderrTail,
    broken: Option<end_marker::EndMarkerError>,
    /// A whole block has come.
    started: bool,
}

impl Stream {
    fn take(&mut self, which: Output, bytes: &[u8]) {
        if which == Output::Stderr {
            self.stderr.push(bytes);
            return;
        }
        let Self { splitter, block, full, .. } = self;
        let result = splitter.feed(bytes, &mut |mut bytes: &[u8]| {
            while !bytes.is_empty() {
                let (now, later) = bytes.split_at(bytes.len().min(BLOCK - block.len()));
                block.extend_from_slice(now);
                bytes = later;
                if block.len() == BLOCK {
                    full.push(std::mem::replace(block, Vec::with_capacity(BLOCK)));
                }
            }
        });
        self.started |= !full.is_empty();
        if let Err(cause) = result {
            self.broken.get_or_insert(cause);
        }
    }

    /// Takes the bytes behind the end marker, where only stderr counts.
    fn take_keywords(&mut self, which: Output, bytes: &[u8]) {
        if which == Output::Stderr {
            self.stderr.push(bytes);
        }
    }

    async fn send_full(&mut self, blocks: &mpsc::Sender<Vec<u8>>) -> Result<()> {
        for block in self.full.drain(..) {
            // The receiver knows best why it stopped; its own error is the one that is told.
            blocks.send(block).await.map_err(|_| error::failed("the backup cannot be written"))?;
        }
        Ok(())
    }

    async fn send_rest(&mut self, blocks: &mpsc::Sender<Vec<u8>>) -> Result<()> {
        self.full.push(std::mem::take(&mut self.block));
        self.send_full(blocks).await
    }

    fn stderr_tail(&self) -> String {
        self.stderr.text()
    }

    fn explain(&self, cause: Error, spec: &ExecSpec) -> Error {
        let cause = cause.context(format!("reading the output of {}", spec.program()));
        match self.stderr_tail() {
            text if text.is_empty() => cause,
            text => cause.note(format!("last output: {text}")),
        }
    }

    /// The stream ended without its trailer: who is to blame?
    async fn unproven(self, spec: &ExecSpec, container: &Container, code: Option<i64>) -> Error {
        let text = self.stderr_tail();
        let mut start = self.block;
        start.extend(self.splitter.into_rest());
        let program = spec.program();
        if let Some(complaint) = (!self.started).then(|| start_failure(&start, code.unwrap_or(126))).flatten()
        {
            return error::tool(format!(
                "`{program}` cannot be started in container {}: {complaint}",
                container.name
            ))
            .note("the image needs a shell (`sh`)")
            .hint("use `--transport worker` for an image without one");
        }
        let mut error =
            error::integrity(format!("the output of {program} ended early: its end marker is missing"));
        if let Some(now) = whereabouts(container).await {
            error = error.hint(now);
        }
        if let Some(code) = code.filter(|code| *code != 0) {
            error = error.note(format!("the command ended with exit code {code}"));
        }
        if !text.is_empty() {
            error = error.note(format!("last output: {text}"));
        }
        error
    }
}

/// Pause and number of repeated inspections of a container whose process has died. The engine notices the end of
/// the process sooner than the end of the container.
const SOON: (Duration, u32) = (Duration::from_millis(100), 10);

/// Describes how a container changed whose stream has just broken off, and waits a moment for such a change.
pub(crate) async fn whereabouts_soon(container: &Container) -> Option<String> {
    for _ in 0..SOON.1 {
        let now = whereabouts(container).await;
        if now.is_some() {
            return now;
        }
        tokio::time::sleep(SOON.0).await;
    }
    None
}

/// Describes how the container has changed, the reason behind most cut streams; `None` where nothing changed.
pub(crate) async fn whereabouts(container: &Container) -> Option<String> {
    match container.inspect().await {
        Ok(Some(now)) if now.is_running() && now.started == container.started => None,
        Ok(Some(now)) if now.is_running() => {
            Some(format!("container {} was restarted meanwhile", container.name))
        }
        Ok(Some(now)) => Some(format!("container {} is {} now", container.name, now.state)),
        Ok(None) => Some(format!("container {} was removed meanwhile", container.name)),
        Err(_) => Some("Docker cannot be reached any more".to_owned()),
    }
}

/// Checks a container whose tool has sent no data for `limit`. A running container is no error, since the tool
/// may wait for a lock.
pub(crate) async fn silent(container: &Container, program: &str, limit: Duration) -> Result<()> {
    let seconds = limit.as_secs();
    match container.inspect().await? {
        Some(now) if now.is_running() => Ok(()),
        Some(now) if now.state == ContainerState::Paused => Err(error::integrity(format!(
            "no data from {program} for {seconds} s: container {} is paused",
            container.name
        ))
        .hint(format!("resume it with `docker unpause {}` and run the same command again", container.name))),
        Some(now) => Err(error::integrity(format!("container {} is {} now", container.name, now.state))),
        None => Err(error::integrity(format!("container {} was removed meanwhile", container.name))),
    }
}
/// Prefix of an error that says only that the connection to psql was lost.
pub(crate) const LOST: &str = "the connection to psql was lost";

/// Messages of a tool, in the C locale, after its server went away.
const GONE: [&str; 3] =
    ["terminating connection due to", "server closed the connection", "connection to server was lost"];

/// Adds to an error of a tool that the database's container was restarted or removed, which a tool cannot know.
///
/// A server that goes away is reported in many ways: a tool that connects meanwhile may be told that its encoding is
/// invalid. So every failure of a tool is looked at, and one that names a lost connection is given time.
pub(crate) async fn with_whereabouts(container: &Container, error: Error) -> Error {
    let message = error.message();
    let now = if message.starts_with(LOST) || GONE.iter().any(|gone| message.contains(gone)) {
        whereabouts_soon(container).await
    } else if error.kind() == error::ErrorKind::Tool {
        whereabouts(container).await
    } else {
        None
    };
    now.into_iter().fold(error, Error::hint)
}

//! A person, or a pipe, on one end and a command in a container on the other.
//!
//! Promises: bytes pass unchanged both ways at once; the daemon's stream is always drained; the end of
//! our input reaches the command as an end of file; the command's own exit code comes back; a cancel token
//! stop ends the command in the container too; a terminal is given back as it was.

use std::cell::Cell;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::demux::Output;
use super::tty::{self, RawMode};
use crate::cancel::{CancelToken, cancelled};
use crate::docker::container::Container;
use crate::docker::exec::spec::ExecSpec;
use crate::docker::exec::spill_buffer::{SpillWriter, WriteOutcome};
use crate::docker::exec::start_failure::start_failure;
use crate::docker::exec::{Exec, ExecHandle, ExecInput, ExecOutput, kill_tree};
use crate::error::{self, Error, ErrorKind, Result};
use crate::random::nonce;

/// Outcome of an attached command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The command ended with this code.
    Exited(u8),
    /// The engine could not start it: its words, and the code it gave (126, 127).
    NotStarted {
        /// 126 or 127.
        code: u8,
        /// The engine's words.
        text: String,
    },
    /// Whoever read our output has left (`| head`); the command was ended, but for this.
    ReaderGone(Option<kill_tree::SurvivingProcesses>),
}

/// Runs `spec` with our stdin, stdout and stderr. `spec.tty` asks for a terminal at both ends,
/// `spec.stdin` for our input.
///
/// # Errors
/// Kind `Docker`, `Target`: it cannot be started. `Integrity`: the stream broke. `Cancelled`: the user
/// stopped it. `Failed`: our own output cannot be written.
pub(crate) async fn converse(
    container: &Container,
    spec: &ExecSpec,
    cancel: &CancelToken,
) -> Result<Outcome> {
    let value = nonce();
    let spec = spec.clone().env(kill_tree::TAG, value.clone());
    let Exec { output, input, handle } = container.exec(&spec).await?;
    let raw = if spec.tty {
        Some(
            RawMode::enter()
                .map_err(|e| error::failed("the terminal cannot be put into raw mode").because(e))?,
        )
    } else {
        None
    };
    let sizes = spec.tty.then(|| tokio::spawn(follow_size(handle.clone())));
    let feeding = spec.stdin.then(|| tokio::spawn(feed_stdin(input, spec.tty)));
    let mut outlets = Some(Outlets::open()?);
    let result = {
        let talk = pass_output(output, &handle, &mut outlets);
        tokio::pin!(talk);
        tokio::select! {
        biased;
        signal = cancel.wait() => {
            // Keep on draining while the command is being ended: the end of its output is worth having.
            let ending = kill_tree::end_marked(container, spec.user.as_deref(), &value);
            tokio::pin!(ending);
            let (ended, talking) = tokio::select! {
                ended = &mut ending => (ended, true),
                _ = &mut talk => (ending.await, false),
            };
            let stopped = cancelled(signal);
            Err(match ended {
                Ok(()) => {
                    if talking {
                        let _ = tokio::time::timeout(STDERR_TAIL, &mut talk).await;
                    }
                    stopped
                }
                Err(left) => stopped.hint(left.to_string()),
            })
        }
        result = &mut talk => result,
        }
    };
    if let Some(task) = sizes {
        task.abort();
    }
    if let Some(task) = feeding {
        task.abort();
    }
    drop(raw);
    match result {
        Ok(Outcome::ReaderGone(_)) => {
            let ended = kill_tree::end_marked(container, spec.user.as_deref(), &value).await;
            Ok(Outcome::ReaderGone(ended.err()))
        }
        // Nobody takes its output any more.
        Err(error) if error.kind() == ErrorKind::Failed => {
            let ended = kill_tree::end_marked(container, spec.user.as_deref(), &value).await;
            // What came before is the reader's all the same, however long that one takes.
            if let Some(outlets) = outlets.take() {
                let _ = tokio::task::spawn_blocking(move || outlets.finish()).await;
            }
            match ended {
                Ok(()) => Err(error),
                Err(left) => Err(error.hint(left.to_string())),
            }
        }
        other => other,
    }
}

impl PartialEq for Error {
    /// Errors are equal when a user could not tell them apart; lets results be compared in tests.
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.message() == other.message()
    }
}

/// Time limit for the last output of a command that has been ended.
const STDERR_TAIL: Duration = Duration::from_secs(2);

/// Limit in bytes of the beginning of stdout, kept to recognise an engine's "could not start".
const OPENING: usize = 8192;

/// Takes the outlets when they have got everything; leaves them where it fails before.
async fn pass_output(
    mut output: ExecOutput,
    handle: &ExecHandle,
    place: &mut Option<Outlets>,
) -> Result<Outcome> {
    let Some(outlets) = place.as_ref() else { return Err(error::failed("our own output is closed")) };
    // An engine that could not start the command says so on the command's stdout: hold the first bytes
    // back just long enough to see whether they open like that.
    let mut opening = Some(Vec::new());
    let (failed, mut failure) = (Cell::new(false), None);
    let mut sink = |which: Output, bytes: &[u8]| {
        let result = match (&mut opening, which) {
            (Some(held), Output::Stdout) => {
                held.extend_from_slice(bytes);
                if held.len() < OPENING && start_failure(held, 126).is_some() {
                    Ok(())
                } else {
                    let held = opening.take().unwrap_or_default();
                    outlets.accept(Output::Stdout, &held)
                }
            }
            _ => outlets.accept(which, bytes),
        };
        if let Err(cause) = result {
            failed.set(true);
            failure.get_or_insert(cause);
        }
    };
    while output.read(&mut sink).await? {
        if outlets.reader_gone() {
            // It left, or what it writes to is full.
            return finished(place.take()).await.map(|_| Outcome::ReaderGone(None));
        }
        if failed.get() {
            break;
        }
    }
    if let Some(cause) = failure {
        return Err(error::failed(
            "output waits for its reader and the temporary file for it cannot be written; the command was ended",
        )
        .because(cause)
        .hint("set a larger directory: `TMPDIR=/a/larger/disk envctl …`, or use a reader that keeps up"));
    }
    let code = handle.exit_code().await?.ok_or_else(|| {
        error::unknown("Docker does not say how the command ended").note("its output above is complete")
    })?;
    let held = opening.unwrap_or_default();
    if let Some(text) = start_failure(&held, code) {
        return Ok(Outcome::NotStarted { code: code.clamp(126, 127) as u8, text });
    }
    if !held.is_empty() {
        outlets.accept(Output::Stdout, &held).map_err(|e| error::failed("cannot write").because(e))?;
    }
    match finished(place.take()).await? {
        WriteOutcome::Written => Ok(Outcome::Exited(u8::try_from(code).unwrap_or(255))),
        WriteOutcome::ReaderGone => Ok(Outcome::ReaderGone(None)),
    }
}

async fn finished(outlets: Option<Outlets>) -> Result<WriteOutcome> {
    let Some(outlets) = outlets else { return Ok(WriteOutcome::Written) };
    match tokio::task::spawn_blocking(move || outlets.finish()).await {
        Ok(Ok(ending)) => Ok(ending),
        Ok(Err(cause)) => Err(error::failed("cannot write the command's output").because(cause)),
        Err(_) => Err(error::failed("the thread that writes output failed")),
    }
}

/// Our stdout and stderr; one queue when both are the same file, so that lines keep their order.
struct Outlets {
    stdout: SpillWriter,
    stderr: Option<SpillWriter>,
}

impl Outlets {
    fn open() -> Result<Self> {
        let clone = |fd: std::os::fd::BorrowedFd<'_>| {
            fd.try_clone_to_owned()
                .map(std::fs::File::from)
                .map_err(|e| error::failed("cannot open our own output").because(e))
        };
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let same = match (rustix::fs::fstat(stdout.as_fd()), rustix::fs::fstat(stderr.as_fd())) {
            (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            _ => false,
        };
        let second = if same { None } else { Some(SpillWriter::new(clone(stderr.as_fd())?)) };
        Ok(Self { stdout: SpillWriter::new(clone(stdout.as_fd())?), stderr: second })
    }

    fn accept(&self, which: Output, bytes: &[u8]) -> std::io::Result<()> {
        match (which, &self.stderr) {
            (Output::Stderr, Some(stderr)) => stderr.accept(bytes),
            _ => self.stdout.accept(bytes),
        }
    }

    fn reader_gone(&self) -> bool {
        self.stdout.reader_gone()
    }

    fn finish(self) -> std::io::Result<WriteOutcome> {
        let ending = self.stdout.finish();
        if let Some(stderr) = self.stderr {
            stderr.finish()?;
        }
        ending
    }
}

/// Reads our stdin on a thread (a terminal's read cannot be cancelled; the thread ends with the
/// process) and writes it to the command. The end of a pipe closes the command's stdin; with a terminal
/// it does not, because the daemon would close its output too.
async fn feed_stdin(mut input: ExecInput, tty: bool) {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(4);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(len) = stdin.read(&mut buffer) {
            if len == 0 || sender.blocking_send(buffer[..len].to_vec()).is_err() {
                return;
            }
        }
    });
    while let Some(bytes) = receiver.recv().await {
        if input.write(&bytes).await.is_err() {
            return;
        }
    }
    if !tty {
        let _ = input.close().await;
    }
    // Dropping our half would not end the stream, but keep it until the conversation is over.
    std::future::pending::<()>().await;
}

/// Tells the container's terminal our size, now and at every change. The exec may not be ready for it
/// at once (the docker CLI retries in the same way).
async fn follow_size(handle: ExecHandle) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    let mut last = None;
    for attempt in 0u64.. {
        let now = tty::size();
        if let Some((rows, columns)) = now.filter(|_| now != last) {
            if handle.resize(rows, columns).await.is_ok() {
                last = now;
            } else if attempt < 10 {
                tokio::time::sleep(Duration::from_millis(10 * (attempt + 1))).await;
                continue;
            }
        }
        changes.recv().await;
    }
}

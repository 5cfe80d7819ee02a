//! A tool's output through a FIFO, verified at its end.
//!
//! Promises: the bytes come in blocks, in order, with back-pressure, and not one is missing: what a process wrote
//! into a FIFO stays there until it is read. An end of file proves nothing, since it comes just as well when the
//! writer was killed; so we hold the FIFO open ourselves, and the end is what the engine says of the container:
//! its exit code.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::sync::{mpsc, oneshot};

use super::{Unfit, Worker, WorkerError};
use crate::cancel::CancelToken;
use crate::docker::exec::demux::Output;
use crate::docker::exec::stderr_tail::StderrTail;
use crate::docker::exec::verified_stream::{BLOCK, VerifiedExit, silent};
use crate::docker::worker::exit_status::judge;
use crate::error::{self, Error, Result};
use crate::fsutil::private_dir;

/// The FIFO's name in the private directory.
const FIFO: &str = "out";
/// Capacity of the FIFO in bytes, the most that an ordinary user may have.
const CAPACITY: usize = 1 << 20;
/// `pg_dump` writes 4 KiB at a time. Letting the FIFO fill for a moment makes one read of many.
const BREATH: Duration = Duration::from_millis(1);
/// Time limit for reading the rest of the FIFO once the tool has ended.
const LAST_BYTES: Duration = Duration::from_mins(10);

/// The path a tool has to write to.
pub(crate) fn path() -> String {
    private_dir::inside(FIFO)
}

/// Runs the worker and sends what its tool writes into the FIFO to `blocks`. The caller ends the worker.
///
/// # Errors
/// [`Unfit`]: it cannot serve, and not one byte came. Otherwise as for an exec: `Integrity`, `Tool`, `Docker`,
/// `Cancelled`, or `Failed`: the receiver of the blocks went away.
pub(crate) async fn run(
    worker: &Worker,
    blocks: mpsc::Sender<Vec<u8>>,
    stall_limit: Duration,
    cancel: &CancelToken,
) -> Result<VerifiedExit, WorkerError> {
    let fifo = Fifo::open(worker).map_err(|e| Unfit::NoPrivateDir(e.to_string()))?;
    let Fifo { reader, keeper } = fifo;
    let taken = Arc::new(AtomicU64::new(0));
    let (sender, mut read) = oneshot::channel();
    let count = taken.clone();
    // The thread may wait in a read for as long as the tool is silent, also after this function has failed. Its sender
    // is a weak one, so that the receiver of the blocks sees their end when this function returns.
    let weak = blocks.downgrade();
    std::thread::spawn(move || sender.send(pour(reader, &weak, &count)));

    let mut exec = cancel.run_until_cancelled(worker.start()).await??;
    let mut text = StderrTail::default();
    let end = {
        let listening = async {
            let mut sink = |_: Output, bytes: &[u8]| text.push(bytes);
            // Where this breaks off the end that we wait for comes all the same, or the wait fails.
            while exec.output.read(&mut sink).await.unwrap_or(false) {}
            worker.ended().await
        };
        tokio::pin!(listening);
        let mut before = u64::MAX;
        loop {
            let patience = tokio::time::sleep(stall_limit);
            tokio::select! {
                end = cancel.run_until_cancelled(&mut listening) => break end??,
                gone = &mut read => return Err(unread(gone).into()),
                () = patience => {
                    let now = taken.load(Ordering::Relaxed);
                    if now == before {
                        silent(&worker.database, worker.program(), stall_limit).await?;
                    }
                    before = now;
                }
            }
        }
    };
    // Nobody writes any more: now, and only now, the reader may see an end.
    drop(keeper);
    let rest = tokio::time::timeout(LAST_BYTES, cancel.run_until_cancelled(read)).await;
    match rest {
        Ok(Ok(Ok(Ok(())))) => {}
        Ok(Err(stopped)) => return Err(stopped.into()),
        Ok(Ok(gone)) => return Err(unread(gone).into()),
        Err(_) => return Err(error::integrity("something holds the worker's FIFO open").into()),
    }
    let text = text.text();
    judge(worker, end, text, taken.load(Ordering::Relaxed) > 0).await
}

fn unread(gone: Result<io::Result<()>, oneshot::error::RecvError>) -> Error {
    match gone {
        Ok(Err(cause)) if cause.kind() != io::ErrorKind::BrokenPipe => {
            error::failed("the worker's FIFO cannot be read").because(cause)
        }
        // The receiver knows best why it stopped; its own error is the one that is told.
        _ => error::failed("the backup cannot be written"),
    }
}

/// Both ends: we are reader, and a writer that keeps it open.
struct Fifo {
    reader: File,
    keeper: File,
}

impl Fifo {
    fn open(worker: &Worker) -> io::Result<Self> {
        let path = worker.private_dir.fifo(FIFO)?;
        let reader = open(&path, OFlags::RDONLY)?;
        let keeper = open(&path, OFlags::WRONLY)?;
        // Reads wait from here on.
        rustix::fs::fcntl_setfl(&reader, OFlags::RDONLY)?;
        // A smaller buffer is slower, and no failure.
        let _ = rustix::pipe::fcntl_setpipe_size(&reader, CAPACITY);
        Ok(Self { reader, keeper })
    }
}

/// Opens a FIFO's end without waiting for the other.
fn open(path: &Path, side: OFlags) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC).bits();
    let mut options = OpenOptions::new();
    if side == OFlags::WRONLY {
        options.write(true)
    } else {
        options.read(true)
    };
    options.custom_flags(i32::try_from(flags).unwrap_or_default()).open(path)
}

/// Reads to the end, in whole blocks. `BrokenPipe`: nobody takes them any more.
fn pour(mut fifo: File, blocks: &mpsc::WeakSender<Vec<u8>>, taken: &AtomicU64) -> io::Result<()> {
    loop {
        let mut block = vec![0; BLOCK];
        let mut len = 0;
        while len < BLOCK {
            match fifo.read(&mut block[len..]) {
                Ok(0) => break,
                Ok(read) => {
                    len += read;
                    taken.fetch_add(read as u64, Ordering::Relaxed);
                    if len < BLOCK && read < BLOCK / 4 {
                        std::thread::sleep(BREATH);
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        let whole = len == BLOCK;
        block.truncate(len);
        let received = len == 0 || blocks.upgrade().is_some_and(|blocks| blocks.blocking_send(block).is_ok());
        if !received {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !whole {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_before_the_end_is_read_to_its_last_byte() {
        use std::io::Write as _;
        let home = tempfile::tempdir().unwrap();
        let private_dir = crate::fsutil::private_dir::PrivateDir::make(home.path()).unwrap();
        let path = private_dir.fifo(FIFO).unwrap();
        let reader = open(&path, OFlags::RDONLY).unwrap();
        let mut keeper = open(&path, OFlags::WRONLY).unwrap();
        rustix::fs::fcntl_setfl(&reader, OFlags::RDONLY).unwrap();
        let (sender, mut receiver) = mpsc::channel(4);
        let taken = Arc::new(AtomicU64::new(0));
        let count = taken.clone();
        let reading = std::thread::spawn(move || pour(reader, &sender.downgrade(), &count));
        let writing = std::thread::spawn(move || {
            rustix::fs::fcntl_setfl(&keeper, OFlags::WRONLY).unwrap();
            for _ in 0..700 {
                keeper.write_all(&[7; 4096]).unwrap();
            }
        });
        let mut blocks = Vec::new();
        while let Some(block) = receiver.blocking_recv() {
            blocks.push(block.len());
        }
        writing.join().unwrap();
        reading.join().unwrap().unwrap();
        assert_eq!(blocks, [BLOCK, BLOCK, 700 * 4096 - 2 * BLOCK]);
        assert_eq!(taken.load(Ordering::Relaxed), 700 * 4096);
    }
    /// A tool that waits for a lock writes nothing and ends only when somebody lets it go.
    #[test]
    fn the_receiver_sees_the_end_while_the_tool_is_silent() {
        let home = tempfile::tempdir().unwrap();
        let private_dir = crate::fsutil::private_dir::PrivateDir::make(home.path()).unwrap();
        let path = private_dir.fifo(FIFO).unwrap();
        let reader = open(&path, OFlags::RDONLY).unwrap();
        let silent_tool = open(&path, OFlags::WRONLY).unwrap();
        rustix::fs::fcntl_setfl(&reader, OFlags::RDONLY).unwrap();
        let (sender, mut receiver) = mpsc::channel(4);
        let weak = sender.downgrade();
        let reading = std::thread::spawn(move || pour(reader, &weak, &AtomicU64::new(0)));
        drop(sender);
        assert_eq!(receiver.blocking_recv(), None);
        drop(silent_tool);
        reading.join().unwrap().unwrap();
    }
}

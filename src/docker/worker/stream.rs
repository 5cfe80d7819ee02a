//! A tool's output through a FIFO, proven at its end.
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

use super::{Failure, Unfit, Worker, WorkerEnd, room};
use crate::docker::container::Container;
use crate::docker::demux::Output;
use crate::docker::engine::Engine;
use crate::docker::proven::{BLOCK, LastWords, ProvenEnd, silent, whereabouts};
use crate::error::{self, Error, Result};
use crate::interrupt::Interrupt;

/// The FIFO's name in the room.
const FIFO: &str = "out";
/// As much as an ordinary user may have in a FIFO.
const CAPACITY: usize = 1 << 20;
/// `pg_dump` writes 4 KiB at a time. Letting the FIFO fill for a moment makes one read of many.
const BREATH: Duration = Duration::from_millis(1);
/// How long what was written may take to be read once the tool has ended.
const LAST_BYTES: Duration = Duration::from_mins(10);

/// The path a tool has to write to.
pub fn path() -> String {
    room::inside(FIFO)
}

/// Runs the worker and sends what its tool writes into the FIFO to `blocks`. The caller ends the worker.
///
/// # Errors
/// [`Unfit`]: it cannot serve, and not one byte came. Otherwise as for an exec: `Integrity`, `Tool`, `Docker`,
/// `Interrupted`, or `Failed`: the receiver of the blocks went away.
pub async fn run(
    engine: &Arc<dyn Engine>,
    database: &Container,
    worker: &Worker,
    blocks: mpsc::Sender<Vec<u8>>,
    stall_limit: Duration,
    interrupt: &Interrupt,
) -> Result<ProvenEnd, Failure> {
    let fifo = Fifo::open(worker).map_err(|e| Unfit::NoRoom(e.to_string()))?;
    let Fifo { reader, keeper } = fifo;
    let taken = Arc::new(AtomicU64::new(0));
    let (sender, mut read) = oneshot::channel();
    let count = taken.clone();
    std::thread::spawn(move || sender.send(pour(reader, &blocks, &count)));

    let mut exec = interrupt.or(worker.start()).await??;
    let mut words = LastWords::default();
    let end = {
        let listening = async {
            let mut sink = |_: Output, bytes: &[u8]| words.hear(bytes);
            // Where this breaks off the end that we wait for comes all the same, or the wait fails.
            while exec.output.read(&mut sink).await.unwrap_or(false) {}
            worker.ended().await
        };
        tokio::pin!(listening);
        let mut before = u64::MAX;
        loop {
            let patience = tokio::time::sleep(stall_limit);
            tokio::select! {
                end = interrupt.or(&mut listening) => break end??,
                gone = &mut read => return Err(unread(gone).into()),
                () = patience => {
                    let now = taken.load(Ordering::Relaxed);
                    if now == before {
                        silent(engine, database, worker.program(), stall_limit).await?;
                    }
                    before = now;
                }
            }
        }
    };
    // Nobody writes any more: now, and only now, the reader may see an end.
    drop(keeper);
    let rest = tokio::time::timeout(LAST_BYTES, interrupt.or(read)).await;
    match rest {
        Ok(Ok(Ok(Ok(())))) => {}
        Ok(Err(stopped)) => return Err(stopped.into()),
        Ok(Ok(gone)) => return Err(unread(gone).into()),
        Err(_) => return Err(error::integrity("something holds the worker's FIFO open").into()),
    }
    let words = words.text();
    judge(engine, database, worker, end, words, taken.load(Ordering::Relaxed)).await
}

/// What the end means.
async fn judge(
    engine: &Arc<dyn Engine>,
    database: &Container,
    worker: &Worker,
    end: WorkerEnd,
    words: String,
    taken: u64,
) -> Result<ProvenEnd, Failure> {
    let program = worker.program();
    if end.out_of_memory {
        let limit = worker.limits().memory.map_or(String::new(), |bytes| format!(" of {bytes} bytes"));
        return Err(error::tool(format!(
            "{program} was killed in its worker: it needed more memory than its limit{limit}"
        ))
        .hint("give it more with `--worker-memory`, or use `--transport exec`")
        .into());
    }
    if let (true, Some(unfit)) = (taken == 0 && end.exit_code != 0, unfit(&words)) {
        return Err(unfit.into());
    }
    let Ok(exit_code @ 0..=127) = u8::try_from(end.exit_code) else {
        let mut error = error::integrity(format!(
            "{program} was killed in its worker (exit code {}): its output is not whole",
            end.exit_code
        ));
        if let Some(now) = whereabouts(engine, database).await {
            error = error.hint(now);
        }
        return Err(error.into());
    };
    Ok(ProvenEnd { exit_code, stderr: words })
}

/// Words of a tool that never came to its work, in the C locale.
fn unfit(words: &str) -> Option<Unfit> {
    let line = |found: &&str| found.contains("could not open") || found.contains("connection to server");
    let said = words.lines().find(line)?.trim();
    // A role or a database that is not there is no fault of the way.
    if said.contains("does not exist") && said.contains("FATAL") {
        return None;
    }
    let said = said.to_owned();
    Some(if said.contains("could not open") { Unfit::Closed(said) } else { Unfit::NotConnected(said) })
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
        let path = worker.room.fifo(FIFO)?;
        let reader = open(&path, OFlags::RDONLY)?;
        let keeper = open(&path, OFlags::WRONLY)?;
        // Reads wait from here on.
        rustix::fs::fcntl_setfl(&reader, OFlags::RDONLY)?;
        // Less room is slower, and no failure.
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
fn pour(mut fifo: File, blocks: &mpsc::Sender<Vec<u8>>, taken: &AtomicU64) -> io::Result<()> {
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
        if len > 0 && blocks.blocking_send(block).is_err() {
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
    fn a_tool_that_never_came_to_its_work_is_known_by_its_words() {
        let closed = "pg_dump: error: could not open output file \"/envctl/out\": Permission denied";
        assert_eq!(unfit(closed), Some(Unfit::Closed(closed.to_owned())));
        let refused =
            "pg_dump: error: connection to server at \"127.0.0.1\", port 5432 failed: Connection refused";
        assert!(matches!(unfit(refused), Some(Unfit::NotConnected(_))));
        let gone = "pg_dump: error: connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  database \"x\" does not exist";
        assert_eq!(unfit(gone), None);
        assert_eq!(unfit("pg_dump: error: query failed: ERROR:  permission denied for table secret"), None);
    }

    #[test]
    fn what_was_written_before_the_end_is_read_to_its_last_byte() {
        use std::io::Write as _;
        let home = tempfile::tempdir().unwrap();
        let room = super::super::Room::make(home.path()).unwrap();
        let path = room.fifo(FIFO).unwrap();
        let reader = open(&path, OFlags::RDONLY).unwrap();
        let mut keeper = open(&path, OFlags::WRONLY).unwrap();
        rustix::fs::fcntl_setfl(&reader, OFlags::RDONLY).unwrap();
        let (sender, mut receiver) = mpsc::channel(4);
        let taken = Arc::new(AtomicU64::new(0));
        let count = taken.clone();
        let reading = std::thread::spawn(move || pour(reader, &sender, &count));
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
}

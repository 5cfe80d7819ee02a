//! A tool that reads a FIFO which we write.
//!
//! Promise: nothing proves that the tool took what was written but its own word, not even that it could open its
//! input: so the first line asks it to greet, and until it has nothing that counts is sent. Closing the input is what
//! it reads as the end, so an envctl that dies ends it, as it ends one that is fed through the daemon.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use tokio::net::unix::pipe;

use super::{Unfit, Worker};
use crate::docker::exec::{Exec, ExecInput};
use crate::fsutil::private_dir;

/// The FIFO's name in the private directory.
const FIFO: &str = "in";
/// Capacity of the FIFO in bytes, the most that an ordinary user may have.
const CAPACITY: usize = 1 << 20;

/// The path a tool has to read.
pub(crate) fn path() -> String {
    private_dir::inside(FIFO)
}

/// Starts the worker, its input the FIFO; `greeting`, a line, is in it before the tool opens it.
///
/// # Errors
/// [`Unfit`]: the worker cannot be used.
pub(crate) async fn start(worker: &Worker, greeting: &str) -> Result<Exec, Unfit> {
    let no_private_dir = |e: io::Error| Unfit::NoPrivateDir(e.to_string());
    let sender = worker.private_dir.fifo(FIFO).and_then(|path| open(&path)).map_err(no_private_dir)?;
    let mut input = ExecInput::Fifo(Some(sender));
    input.write(greeting.as_bytes()).await.map_err(no_private_dir)?;
    let exec = worker.start().await?;
    Ok(Exec { input, ..exec })
}

fn open(path: &Path) -> io::Result<pipe::Sender> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC).bits();
    // For reading too: alone, the writing end cannot be opened before somebody reads.
    let fifo = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(i32::try_from(flags).unwrap_or_default())
        .open(path)?;
    let _ = rustix::pipe::fcntl_setpipe_size(&fifo, CAPACITY);
    pipe::Sender::from_file(fifo)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Duration;

    use super::*;
    use crate::docker::exec::ExecInput;

    /// Imitates psql, which opens its input late, prints what the first line asks for, and reads on.
    #[tokio::test]
    async fn a_tool_that_has_greeted_reads_all_that_was_written_before_the_close() {
        let home = tempfile::tempdir().unwrap();
        let private_dir = private_dir::PrivateDir::make(home.path()).unwrap();
        let path = private_dir.fifo(FIFO).unwrap();
        let mut input = ExecInput::Fifo(Some(open(&path).unwrap()));
        input.write(b"hello\n").await.unwrap();
        let (greeting, greeted) = tokio::sync::oneshot::channel();
        let (sender, read) = tokio::sync::oneshot::channel();
        let (may_read, wait) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let mut fifo = std::fs::File::open(path).unwrap();
            fifo.read_exact(&mut [0; 6]).unwrap();
            greeting.send(()).unwrap();
            wait.recv().unwrap();
            let mut all = String::new();
            fifo.read_to_string(&mut all).unwrap();
            sender.send(all)
        });
        greeted.await.unwrap();
        input.write(b"select 1;\n").await.unwrap();
        input.close().await.unwrap();
        assert!(input.write(b"x").await.is_err());
        may_read.send(()).unwrap();
        let read = tokio::time::timeout(Duration::from_secs(20), read).await;
        assert_eq!(read.expect("the reader waits for a writer that has gone").unwrap(), "select 1;\n");
    }
}

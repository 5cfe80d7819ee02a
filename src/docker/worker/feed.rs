//! A tool that reads a FIFO which we write.
//!
//! Promise: nothing proves that the tool took what was written but its own word; closing the input is what it reads
//! as the end, so an envctl that dies ends it, as it ends one that is fed through the daemon.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use tokio::net::unix::pipe;

use super::{Unfit, Worker, room};
use crate::docker::exec::{Exec, ExecInput};

/// The FIFO's name in the room.
const FIFO: &str = "in";
/// As much as an ordinary user may have in a FIFO.
const CAPACITY: usize = 1 << 20;

/// The path a tool has to read.
pub fn path() -> String {
    room::inside(FIFO)
}

/// Starts the worker, its input the FIFO.
///
/// # Errors
/// It cannot serve.
pub async fn start(worker: &Worker) -> Result<Exec, Unfit> {
    let sender =
        worker.room.fifo(FIFO).and_then(|path| open(&path)).map_err(|e| Unfit::NoRoom(e.to_string()))?;
    let exec = worker.start().await?;
    Ok(Exec { input: ExecInput::Fifo(Some(sender)), ..exec })
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

    #[tokio::test]
    async fn a_tool_that_opens_its_input_late_still_reads_all_of_it() {
        let home = tempfile::tempdir().unwrap();
        let room = room::Room::make(home.path()).unwrap();
        let path = room.fifo(FIFO).unwrap();
        let mut input = ExecInput::Fifo(Some(open(&path).unwrap()));
        let (sender, read) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            let mut all = String::new();
            std::fs::File::open(path).unwrap().read_to_string(&mut all).unwrap();
            sender.send(all)
        });
        input.write(b"select 1;\n").await.unwrap();
        input.close().await.unwrap();
        assert!(input.write(b"x").await.is_err());
        let read = tokio::time::timeout(Duration::from_secs(20), read).await;
        assert_eq!(read.expect("the reader waits for a writer that has gone").unwrap(), "select 1;\n");
    }
}

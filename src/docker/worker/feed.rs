//! A tool that reads a FIFO which we write.
//!
//! Promise: nothing proves that the tool took what was written but its own word; closing the input is what it reads
//! as the end, so an envctl that dies ends it, as it ends one that is fed through the daemon.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

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
    let sender = open(worker).map_err(|e| Unfit::NoRoom(e.to_string()))?;
    let exec = worker.start().await?;
    Ok(Exec { input: ExecInput::Fifo(Some(sender)), ..exec })
}

fn open(worker: &Worker) -> io::Result<pipe::Sender> {
    let path = worker.room.fifo(FIFO)?;
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

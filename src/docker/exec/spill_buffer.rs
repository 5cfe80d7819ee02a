//! An outlet that always accepts: a bounded queue in memory, beyond it an unlinked file.
//!
//! Reason: the daemon's stream has to be drained at all times. When the process behind it ends while we
//! are held up by a slow reader of our own stdout, the daemon throws the undelivered rest away two
//! seconds later. So reading never waits for writing; what does not fit in memory goes to a file that
//! has no name and vanishes with us.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::sync::lock;
use rustix::event::{PollFd, PollFlags, poll};

/// Limit in bytes of the queue in memory, beyond which the file is used.
const MEMORY_LIMIT: usize = 8 << 20;
/// Size in bytes of one read from the file.
const FILE_CHUNK: usize = 256 << 10;

/// Result of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// Everything was written.
    Written,
    /// The reader of our output went away (`| head`); not an error of ours.
    ReaderGone,
}

#[derive(Default)]
struct Queue {
    memory: VecDeque<Vec<u8>>,
    memory_bytes: usize,
    file: Option<File>,
    file_read: u64,
    file_written: u64,
    closed: bool,
    failed: Option<io::Error>,
    reader_gone: bool,
    /// The file could not take something: what comes behind it would be out of place.
    full: bool,
}

#[derive(Default)]
struct SpillState {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl SpillState {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A writer that panicked has written what it had; the queue itself is whole at every unlock.
        lock(&self.queue)
    }
}

/// The accepting side. Its thread writes in the background until [`SpillWriter::finish`].
pub(crate) struct SpillWriter {
    shared: Arc<SpillState>,
    writer: Option<JoinHandle<()>>,
}

impl SpillWriter {
    /// Writes to `target` on a thread of its own.
    pub(crate) fn new(target: impl Write + AsFd + Send + 'static) -> Self {
        let shared = Arc::new(SpillState::default());
        let for_thread = shared.clone();
        let writer = std::thread::spawn(move || drain(&for_thread, target));
        Self { shared, writer: Some(writer) }
    }

    /// Takes bytes; never waits for the target.
    ///
    /// # Errors
    /// The spill file cannot be made or written (disk full). What was accepted before is written all the same; nothing
    /// is accepted any more.
    pub(crate) fn accept(&self, bytes: &[u8]) -> io::Result<()> {
        let mut queue = self.shared.lock();
        if queue.reader_gone || bytes.is_empty() {
            return Ok(());
        }
        if queue.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let spilling = queue.file_written > queue.file_read;
        if spilling || queue.memory_bytes + bytes.len() > MEMORY_LIMIT {
            queue.spill(bytes).inspect_err(|_| queue.full = true)?;
        } else {
            queue.memory_bytes += bytes.len();
            queue.memory.push_back(bytes.to_vec());
        }
        drop(queue);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Reports whether the reader of our output has gone away.
    pub(crate) fn reader_gone(&self) -> bool {
        self.shared.lock().reader_gone
    }

    /// Waits until everything is written. Blocks: call it from a thread that may.
    ///
    /// # Errors
    /// The target failed.
    pub(crate) fn finish(mut self) -> io::Result<WriteOutcome> {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        let mut queue = self.shared.lock();
        match queue.failed.take() {
            Some(error) => Err(error),
            None if queue.reader_gone => Ok(WriteOutcome::ReaderGone),
            None => Ok(WriteOutcome::Written),
        }
    }
}

impl Queue {
    fn spill(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        if let Some(file) = &self.file {
            file.write_all_at(bytes, self.file_written)?;
            self.file_written += bytes.len() as u64;
        }
        Ok(())
    }

    /// The next bytes in order: memory is older than the file by construction.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(bytes) = self.memory.pop_front() {
            self.memory_bytes -= bytes.len();
            return Ok(Some(bytes));
        }
        let left = self.file_written - self.file_read;
        let Some(file) = self.file.as_ref().filter(|_| left > 0) else { return Ok(None) };
        let mut bytes = vec![0; FILE_CHUNK.min(usize::try_from(left).unwrap_or(FILE_CHUNK))];
        file.read_exact_at(&mut bytes, self.file_read)?;
        self.file_read += bytes.len() as u64;
        if self.file_read == self.file_written {
            // All read: give the space back before the next burst.
            file.set_len(0)?;
            (self.file_read, self.file_written) = (0, 0);
        }
        Ok(Some(bytes))
    }
}

fn drain(shared: &SpillState, mut target: impl Write + AsFd) {
    loop {
        let mut queue = shared.lock();
        let next = loop {
            match queue.next() {
                Ok(Some(bytes)) => break Ok(bytes),
                Ok(None) if queue.closed => return,
                Ok(None) => queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Err(error) => break Err(error),
            }
        };
        drop(queue);
        let result = next.and_then(|bytes| write_all(&mut target, &bytes));
        if let Err(error) = result {
            let mut queue = shared.lock();
            queue.reader_gone = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                queue.failed = Some(error);
            }
            return;
        }
    }
}

/// `write_all` that waits where the target is non-blocking (a terminal shared with another program may be).
fn write_all(target: &mut (impl Write + AsFd), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match target.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(target, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error),
        }
    }
    target.flush()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_stalled_reader_stops_nothing_and_loses_nothing() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        let outlet = SpillWriter::new(std::fs::File::from(std::os::fd::OwnedFd::from(writer)));
        // Nobody reads yet: 24 MiB have to be accepted, three times the bound in memory.
        let chunk: Vec<u8> = (0..64 * 1024).map(|i| (i % 251) as u8).collect();
        for _ in 0..384 {
            outlet.accept(&chunk).unwrap();
        }
        assert!(outlet.shared.lock().memory_bytes <= MEMORY_LIMIT);
        assert!(outlet.shared.lock().file_written > 0, "the rest is in the file");
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        assert_eq!(outlet.finish().unwrap(), WriteOutcome::Written);
        let all = reading.join().unwrap();
        assert_eq!(all.len(), 384 * chunk.len());
        assert!(all.chunks(chunk.len()).all(|part| part == chunk));
    }

    #[test]
    fn what_was_accepted_before_the_disk_was_full_is_written_and_nothing_behind_it() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        let outlet = SpillWriter::new(std::fs::File::from(std::os::fd::OwnedFd::from(writer)));
        // A file that takes nothing, in the place of one on a full disk.
        outlet.shared.lock().file = Some(File::open("/dev/null").unwrap());
        let block = vec![7; 1 << 20];
        let accepted = (0..64).take_while(|_| outlet.accept(&block).is_ok()).count();
        assert!((8..64).contains(&accepted), "{accepted}");
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all.len()
        });
        // There is space again when the reader has taken some; it must not be used.
        while outlet.shared.lock().memory_bytes > 0 {
            std::thread::yield_now();
        }
        assert!(outlet.accept(b"out of place").is_err());
        assert_eq!(outlet.finish().unwrap(), WriteOutcome::Written);
        assert_eq!(reading.join().unwrap(), accepted * block.len());
    }

    #[test]
    fn a_reader_that_leaves_is_no_error() {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let outlet = SpillWriter::new(std::fs::File::from(std::os::fd::OwnedFd::from(writer)));
        outlet.accept(b"x").unwrap();
        assert_eq!(outlet.finish().unwrap(), WriteOutcome::ReaderGone);
    }
}

//! stdout, stderr and stdin as envctl uses them: written whole, remembered when they fail.
//!
//! Promises: a reader that went away (`envctl logs | head`) is noted and never a panic; a stream that
//! somebody made non-blocking is waited for; nothing is lost without a trace.

use crate::sync::lock;
use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The three streams; tests hand in their own.
pub(crate) struct Streams {
    /// The answer.
    pub(crate) out: Box<dyn Write + Send>,
    /// Talk.
    pub(crate) err: Box<dyn Write + Send>,
    /// Input from which answers to questions are read.
    pub(crate) input: Box<dyn BufRead + Send>,
}

impl Streams {
    /// The process's own.
    pub(crate) fn standard() -> Self {
        Self {
            out: Box::new(Descriptor(rustix::stdio::stdout)),
            err: Box::new(Descriptor(rustix::stdio::stderr)),
            input: Box::new(io::BufReader::new(io::stdin())),
        }
    }
}

/// A descriptor written without std's buffer, which loses its place when a write would block.
struct Descriptor(fn() -> rustix::fd::BorrowedFd<'static>);

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write((self.0)(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reason why a stream could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputFailure {
    /// The reader went away: end as quietly as SIGPIPE would.
    BrokenPipe,
    /// Anything else, in the system's words: a full disk, an input/output error.
    Other(String),
}

/// One stream for writing, shared by everybody who writes to it.
#[derive(Clone)]
pub(crate) struct Sink {
    inner: Arc<Mutex<StreamState>>,
}

struct StreamState {
    writer: Box<dyn Write + Send>,
    failure: Option<OutputFailure>,
}

impl Sink {
    pub(crate) fn new(writer: Box<dyn Write + Send>) -> Self {
        Self { inner: Arc::new(Mutex::new(StreamState { writer, failure: None })) }
    }

    /// Writes everything, or remembers why not. After a failure nothing more is tried.
    ///
    /// # Errors
    /// The system's, or `BrokenPipe` for a stream that failed before.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.failure.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        write_all(&mut *inner.writer, bytes).inspect_err(|error| {
            inner.failure = Some(match error.kind() {
                io::ErrorKind::BrokenPipe => OutputFailure::BrokenPipe,
                _ => OutputFailure::Other(error.to_string()),
            });
        })
    }

    pub(crate) fn failure(&self) -> Option<OutputFailure> {
        self.lock().failure.clone()
    }

    fn lock(&self) -> MutexGuard<'_, StreamState> {
        lock(&self.inner)
    }
}

/// Writes all bytes like `Write::write_all`, waits if a write would block, and flushes.
fn write_all(writer: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error),
        }
    }
    writer.flush()
}

/// A stream for bytes that are passed on untouched: `exec`, `logs`, `backup -o -`.
#[derive(Clone)]
pub(crate) struct RawStream {
    sink: Sink,
}

impl RawStream {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink }
    }
}

impl Write for RawStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each write from a script, then accepts everything.
    struct Scripted(Vec<io::Result<usize>>, Arc<Mutex<Vec<u8>>>);

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let answer = if self.0.is_empty() { Ok(bytes.len()) } else { self.0.remove(0) };
            let taken = answer?.min(bytes.len());
            self.1.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sink(script: Vec<io::Result<usize>>) -> (Sink, Arc<Mutex<Vec<u8>>>) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        (Sink::new(Box::new(Scripted(script, Arc::clone(&taken)))), taken)
    }

    #[test]
    fn a_stream_that_would_block_loses_nothing() {
        let blocked = || Err(io::ErrorKind::WouldBlock.into());
        let (sink, taken) =
            sink(vec![blocked(), Ok(3), blocked(), Err(io::ErrorKind::Interrupted.into()), Ok(1)]);
        sink.write(b"one answer\n").unwrap();
        assert_eq!(*taken.lock().unwrap(), b"one answer\n");
        assert_eq!(sink.failure(), None);
    }

    #[test]
    fn a_failure_is_remembered_and_ends_the_writing() {
        let (broken, taken) = sink(vec![Err(io::ErrorKind::BrokenPipe.into())]);
        assert!(broken.write(b"x").is_err());
        assert!(broken.write(b"y").is_err());
        assert_eq!(broken.failure(), Some(OutputFailure::BrokenPipe));
        assert!(taken.lock().unwrap().is_empty());
        let (full, _) = sink(vec![Err(io::ErrorKind::StorageFull.into())]);
        assert!(full.write(b"x").is_err());
        assert!(matches!(full.failure(), Some(OutputFailure::Other(_))));
    }
}

//! Cancellation: a token that is set by Ctrl-C, a signal or a timeout, and that work can wait for.
//!
//! Promises: the first SIGINT, SIGTERM or SIGHUP is told to whoever waits, so that what runs in a
//! container is ended and nothing half-made is left; the second one ends the process at once.

use std::io::{self, Read, Write};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Error, ErrorKind};

/// Resolves when the command is cancelled. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct CancelToken {
    signal: watch::Receiver<Option<u8>>,
}

/// The side that cancels.
#[derive(Debug)]
pub(crate) struct CancelSource {
    signal: watch::Sender<Option<u8>>,
}

/// A connected pair.
pub(crate) fn pair() -> (CancelSource, CancelToken) {
    let (sender, receiver) = watch::channel(None);
    (CancelSource { signal: sender }, CancelToken { signal: receiver })
}

impl CancelSource {
    /// Tells everyone who waits that this signal came (its number: 2, 15, 1).
    /// Gives `false` when one had come before.
    pub(crate) fn fire(&self, signal: u8) -> bool {
        self.signal.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(signal);
            first
        })
    }
}

impl CancelToken {
    /// One that is never cancelled: for tests.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        pair().1
    }

    /// Waits for the signal and gives its number.
    pub(crate) async fn wait(&self) -> u8 {
        let mut signal = self.signal.clone();
        let came = signal.wait_for(Option::is_some).await.ok().and_then(|value| *value);
        match came {
            Some(signal) => signal,
            // The source is gone: nothing can cancel any more.
            None => std::future::pending().await,
        }
    }

    /// The signal, if it has come.
    pub(crate) fn signal(&self) -> Option<u8> {
        *self.signal.borrow()
    }

    /// Runs `work` until it ends or the command is cancelled; dropping `work` must be safe.
    pub(crate) async fn run_until_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            signal = self.wait() => Err(cancelled(signal)),
            value = work => Ok(value),
        }
    }
}

/// Time limit for cancelled work on a thread to end and to clean up.
const CLEANUP_LIMIT: Duration = Duration::from_secs(5);

impl CancelToken {
    /// Does work that blocks on a thread of its own, so that cancellation is noticed meanwhile. What `work` reads or
    /// writes at length goes through [`CancelToken::cancellable`]: then it ends by itself, and what it made goes with it.
    ///
    /// # Errors
    /// Kind `Cancelled`, whatever `work` came to; else its own.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let mut working = tokio::task::spawn_blocking(work);
        let done = tokio::select! {
            biased;
            done = &mut working => done,
            signal = self.wait() => {
                let _ = tokio::time::timeout(CLEANUP_LIMIT, working).await;
                return Err(cancelled(signal));
            }
        };
        match (done, self.signal()) {
            (Ok(Ok(value)), _) => Ok(value),
            (_, Some(signal)) => Err(cancelled(signal)),
            (Ok(Err(error)), None) => Err(error),
            (Err(_), None) => Err(Error::new(ErrorKind::Failed, "a thread of envctl failed")),
        }
    }

    /// Input or output that fails once the command is cancelled.
    pub(crate) fn cancellable<T>(&self, inner: T) -> CancellableIo<T> {
        CancellableIo { inner, cancel: self.clone() }
    }
}

/// See [`CancelToken::cancellable`].
#[derive(Debug)]
pub(crate) struct CancellableIo<T> {
    inner: T,
    cancel: CancelToken,
}

impl<T> CancellableIo<T> {
    /// Returns the wrapped reader or writer.
    pub(crate) fn into_inner(self) -> T {
        self.inner
    }

    fn check(&self) -> io::Result<()> {
        match self.cancel.signal() {
            // Not of kind `Interrupted`: readers try again on that.
            Some(_) => Err(io::Error::other("cancelled")),
            None => Ok(()),
        }
    }
}

impl<T: Read> Read for CancellableIo<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(buffer)
    }
}

impl<T: Write> Write for CancellableIo<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The error of a run that the user ended.
pub(crate) fn cancelled(signal: u8) -> Error {
    Error::new(ErrorKind::Cancelled(signal), "cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_on_a_thread_notices_cancellation_and_cleans_up_first() {
        let (source, cancel) = pair();
        let home = tempfile::tempdir().unwrap();
        let made = home.path().join("made");
        let (endless, file) = (cancel.cancellable(io::repeat(7)), made.clone());
        let copying = cancel.blocking(move || {
            let mut endless = endless;
            std::fs::write(&file, "x").unwrap();
            let copied = io::copy(&mut endless, &mut io::sink());
            std::fs::remove_file(file).unwrap();
            copied.map_err(|e| crate::error::failed("copying").because(e))
        });
        let stopping = async {
            while !made.exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            source.fire(2)
        };
        let (copied, first) = tokio::join!(copying, stopping);
        assert!(first);
        assert_eq!(copied.unwrap_err().kind(), ErrorKind::Cancelled(2));
        assert!(!made.exists());
    }

    #[tokio::test]
    async fn what_work_on_a_thread_came_to_is_told() {
        let cancel = CancelToken::never();
        assert_eq!(cancel.blocking(|| Ok(7)).await.unwrap(), 7);
        let failed = cancel.blocking(|| Err::<(), _>(crate::error::busy("locked"))).await;
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Busy);
        let panicked = cancel.blocking(|| -> Result<(), Error> { panic!("as if") }).await;
        assert_eq!(panicked.unwrap_err().kind(), ErrorKind::Failed);
    }
}

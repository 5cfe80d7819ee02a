//! The user's wish to stop, as a value that work can wait for.
//!
//! Promises: the first SIGINT, SIGTERM or SIGHUP is told to whoever waits, so that what runs in a
//! container is ended and nothing half-made is left; the second one ends the process at once.

use tokio::sync::watch;

use crate::error::{Error, ErrorKind};

/// Resolves when the user wants to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Interrupt {
    signal: watch::Receiver<Option<u8>>,
}

/// The side that knows of signals.
#[derive(Debug)]
pub struct Trigger {
    signal: watch::Sender<Option<u8>>,
}

/// A connected pair.
pub fn pair() -> (Trigger, Interrupt) {
    let (sender, receiver) = watch::channel(None);
    (Trigger { signal: sender }, Interrupt { signal: receiver })
}

impl Trigger {
    /// Tells everyone who waits that this signal came (its number: 2, 15, 1).
    /// Gives `false` when one had come before.
    pub fn fire(&self, signal: u8) -> bool {
        self.signal.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(signal);
            first
        })
    }
}

impl Interrupt {
    /// One that never comes: for tests.
    pub fn never() -> Self {
        pair().1
    }

    /// Waits for the signal and gives its number.
    pub async fn wait(&self) -> u8 {
        let mut signal = self.signal.clone();
        let came = signal.wait_for(Option::is_some).await.ok().and_then(|value| *value);
        match came {
            Some(signal) => signal,
            // The trigger is gone, so nothing can come any more.
            None => std::future::pending().await,
        }
    }

    /// The signal, if it has come.
    pub fn came(&self) -> Option<u8> {
        *self.signal.borrow()
    }

    /// Runs `work` unless the user wants to stop first; dropping `work` must be safe.
    ///
    /// # Errors
    /// Kind `Interrupted`.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            signal = self.wait() => Err(interrupted(signal)),
            value = work => Ok(value),
        }
    }
}

/// The error of a run that the user ended.
pub fn interrupted(signal: u8) -> Error {
    Error::new(ErrorKind::Interrupted(signal), "interrupted")
}

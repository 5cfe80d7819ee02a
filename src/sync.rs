//! Threads and mutexes, as the crate uses them.
//!
//! A panic ends the program in a release, so a poisoned mutex is seen in tests alone; what it guards is taken as it is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, ErrorKind, Result};

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a thread without blocking the runtime, and returns its result.
///
/// # Errors
/// Errors of the thread. Kind `Failed`: it panicked.
pub(crate) async fn join<T: Send + 'static>(thread: JoinHandle<Result<T>>) -> Result<T> {
    match tokio::task::spawn_blocking(move || thread.join()).await {
        Ok(Ok(result)) => result,
        _ => Err(Error::new(ErrorKind::Failed, "a thread failed")),
    }
}

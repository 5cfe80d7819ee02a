//! A worker beside a database on another machine: it has no private directory there, and is read through the engine.
//!
//! Promise: the proof is that of an exec (see [`crate::docker::exec::verified_stream`]): an end marker with the
//! tool's exit code, and the tool's place held until we have answered. Unlike an exec it can be limited, and whatever
//! becomes of us it goes.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Worker, WorkerError};
use crate::cancel::CancelToken;
use crate::docker::exec::verified_stream::{VerifiedExit, VerifiedStream};
use crate::docker::worker::exit_status;
use crate::docker::worker::exit_status::unfit;

/// Time limit for the engine's report of a worker's end, after the worker's stream has ended.
const ITS_END: Duration = Duration::from_secs(2);

/// A shell's exit code for what SIGKILL has ended.
const KILLED: u8 = 128 + 9;

/// Runs the worker, made for the wrapped command of `stream`, and sends its tool's stdout to `blocks`. The caller ends
/// the worker.
///
/// # Errors
/// [`super::Unfit`]: it cannot serve. Otherwise as [`crate::docker::exec::verified_stream::run`].
pub(crate) async fn run(
    worker: &Worker,
    stream: &VerifiedStream<'_>,
    blocks: mpsc::Sender<Vec<u8>>,
    cancel: &CancelToken,
) -> Result<VerifiedExit, WorkerError> {
    let ran = async {
        let followed = stream.follow(worker.start().await?, blocks).await;
        // Where the shell outlives its tool it reports 137; where both were killed the stream breaks off.
        if followed.as_ref().map_or(true, |end| end.exit_code == KILLED) {
            let ended = tokio::time::timeout(ITS_END, worker.ended()).await;
            if matches!(ended, Ok(Ok(end)) if end.out_of_memory) {
                return Err(WorkerError::Failed(exit_status::starved(stream.program())));
            }
        }
        followed.map_err(WorkerError::Failed)
    };
    let end = cancel.run_until_cancelled(ran).await??;
    match unfit(&end.stderr).filter(|_| end.exit_code != 0 && !end.begun) {
        Some(unfit) => Err(unfit.into()),
        None => Ok(end),
    }
}

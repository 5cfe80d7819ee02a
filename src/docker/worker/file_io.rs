//! A tool that reads or writes files of its own, to its end.
//!
//! Promise: the proof is the exit code that the engine reports; files alone prove nothing, since a tool that was killed
//! leaves files too.

use std::time::Duration;

use super::{Worker, WorkerError};
use crate::cancel::CancelToken;
use crate::docker::exec::demux::Output;
use crate::docker::exec::stderr_tail::StderrTail;
use crate::docker::exec::verified_stream::{VerifiedExit, silent};
use crate::docker::worker::exit_status::judge;
use crate::error::Result;

/// Interval between two checks of the worker's progress.
const LOOK: Duration = Duration::from_millis(250);

/// Runs the worker. `done` says how far its work has come, in whatever unit, and is asked four times a second. The
/// caller ends the worker.
///
/// # Errors
/// [`super::Unfit`]: it cannot serve, and did nothing. Otherwise as for [`crate::docker::worker::stdout_fifo::run`].
pub(crate) async fn run(
    worker: &Worker,
    mut done: impl FnMut() -> u64,
    stall_limit: Duration,
    cancel: &CancelToken,
) -> Result<VerifiedExit, WorkerError> {
    let mut exec = cancel.run_until_cancelled(worker.start()).await??;
    let mut text = StderrTail::default();
    let (mut before, mut since) = (0, tokio::time::Instant::now());
    let end = {
        let listening = async {
            let mut sink = |_: Output, bytes: &[u8]| text.push(bytes);
            // Where this breaks off the end that we wait for comes all the same, or the wait fails.
            while exec.output.read(&mut sink).await.unwrap_or(false) {}
            worker.ended().await
        };
        tokio::pin!(listening);
        loop {
            tokio::select! {
                end = cancel.run_until_cancelled(&mut listening) => break end??,
                () = tokio::time::sleep(LOOK) => {
                    let now = done();
                    if now != before {
                        (before, since) = (now, tokio::time::Instant::now());
                    } else if since.elapsed() >= stall_limit {
                        silent(&worker.database, worker.program(), stall_limit).await?;
                        since = tokio::time::Instant::now();
                    }
                }
            }
        }
    };
    let begun = before > 0 || done() > 0;
    judge(worker, end, text.text(), begun).await
}

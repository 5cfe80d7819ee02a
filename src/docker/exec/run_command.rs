//! A tool in a container, run to its end with its words kept: no terminal, nothing to answer its questions.
//!
//! Promise: whoever stops envctl stops the tool too, its children first (see [`crate::docker::exec::kill_tree`]).

use crate::cancel::CancelToken;
use crate::docker::container::Container;
use crate::docker::exec::kill_tree::TAG;
use crate::docker::exec::spec::ExecSpec;
use crate::docker::exec::start_failure::start_failure;
use crate::docker::exec::{CommandOutput, kill_tree};
use crate::error::{self, Result};
use crate::random::nonce;

/// Runs it. Its stdin is at its end from the beginning.
///
/// # Errors
/// Kind `Tool`: it cannot be started. `Cancelled`. Otherwise as [`Container::capture`]; a non-zero exit code is an answer.
pub(crate) async fn run(
    container: &Container,
    spec: &ExecSpec,
    cancel: &CancelToken,
) -> Result<CommandOutput> {
    let value = nonce();
    let spec = spec.clone().env(TAG, value.clone());
    let running = container.capture(&spec, Some(b""));
    let captured = match cancel.run_until_cancelled(running).await {
        Ok(captured) => captured?,
        Err(stopped) => {
            let ended = kill_tree::end_marked(container, spec.user.as_deref(), &value).await;
            return Err(match ended {
                Ok(()) => stopped,
                Err(left) => stopped.hint(left.to_string()),
            });
        }
    };
    match start_failure(&captured.stdout, captured.exit_code) {
        Some(text) => Err(error::tool(format!(
            "`{}` cannot be started in container {}: {text}",
            spec.program(),
            container.name
        ))),
        None => Ok(captured),
    }
}

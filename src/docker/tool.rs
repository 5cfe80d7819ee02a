//! A tool in a container, run to its end with its words kept: no terminal, nothing to answer its questions.
//!
//! Promise: whoever stops envctl stops the tool too, its children first (see [`super::end`]).

use std::sync::Arc;

use super::container::Container;
use super::end::{self, TAG};
use super::engine::Engine;
use super::exec::{Captured, ExecSpec, capture, start_failure};
use super::proof::nonce;
use crate::error::{self, Result};
use crate::interrupt::Interrupt;

/// Runs it. Its stdin is at its end from the beginning.
///
/// # Errors
/// Kind `Tool`: it cannot be started. `Interrupted`. Otherwise as [`capture`]; a non-zero exit code is an answer.
pub async fn run(
    engine: &Arc<dyn Engine>,
    container: &Container,
    spec: &ExecSpec,
    interrupt: &Interrupt,
) -> Result<Captured> {
    let word = nonce();
    let spec = spec.clone().env(TAG, word.clone());
    let running = capture(engine, container, &spec, Some(b""));
    let captured = match interrupt.or(running).await {
        Ok(captured) => captured?,
        Err(stopped) => {
            let ended = end::end_marked(engine, container, spec.user.as_deref(), &word).await;
            return Err(match ended {
                Ok(()) => stopped,
                Err(left) => stopped.hint(left.to_string()),
            });
        }
    };
    match start_failure(&captured.stdout, captured.exit_code) {
        Some(words) => Err(error::tool(format!(
            "`{}` cannot be started in container {}: {words}",
            spec.program(),
            container.name
        ))),
        None => Ok(captured),
    }
}

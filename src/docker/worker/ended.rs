//! What a worker's end means: its exit code is the engine's word, its own words say the rest.

use std::sync::Arc;

use super::{Failure, Unfit, Worker, WorkerEnd};
use crate::docker::container::Container;
use crate::docker::engine::Engine;
use crate::docker::proven::{ProvenEnd, whereabouts};
use crate::error;

/// Judges; `begun` says whether its work was seen.
///
/// # Errors
/// [`Unfit`]: it could not begin. `Tool`, `Integrity`: it was killed.
pub(super) async fn judge(
    engine: &Arc<dyn Engine>,
    database: &Container,
    worker: &Worker,
    end: WorkerEnd,
    words: String,
    begun: bool,
) -> Result<ProvenEnd, Failure> {
    let program = worker.program();
    if end.out_of_memory {
        let limit = worker.limits().memory.map_or(String::new(), |bytes| format!(" of {bytes} bytes"));
        return Err(error::tool(format!(
            "{program} was killed in its worker: it needed more memory than its limit{limit}"
        ))
        .hint("give it more with `--worker-memory`, or use `--transport exec`")
        .into());
    }
    if let (true, Some(unfit)) = (!begun && end.exit_code != 0, unfit(&words)) {
        return Err(unfit.into());
    }
    let Ok(exit_code @ 0..=127) = u8::try_from(end.exit_code) else {
        let mut error = error::integrity(format!(
            "{program} was killed in its worker (exit code {}): its output is not whole",
            end.exit_code
        ));
        if let Some(now) = whereabouts(engine, database).await {
            error = error.hint(now);
        }
        return Err(error.into());
    };
    Ok(ProvenEnd { exit_code, stderr: words, begun })
}

/// Words of a tool that never came to its work, in the C locale.
pub(super) fn unfit(words: &str) -> Option<Unfit> {
    let line = |found: &&str| found.contains("could not open") || found.contains("connection to server");
    let said = words.lines().find(line)?.trim();
    // A role or a database that is not there is no fault of the way.
    if said.contains("does not exist") && said.contains("FATAL") {
        return None;
    }
    let said = said.to_owned();
    Some(if said.contains("could not open") { Unfit::Closed(said) } else { Unfit::NotConnected(said) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_never_came_to_its_work_is_known_by_its_words() {
        let closed = "pg_dump: error: could not open output file \"/envctl/out\": Permission denied";
        assert_eq!(unfit(closed), Some(Unfit::Closed(closed.to_owned())));
        let refused =
            "pg_dump: error: connection to server at \"127.0.0.1\", port 5432 failed: Connection refused";
        assert!(matches!(unfit(refused), Some(Unfit::NotConnected(_))));
        let gone = "pg_dump: error: connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  database \"x\" does not exist";
        assert_eq!(unfit(gone), None);
        assert_eq!(unfit("pg_dump: error: query failed: ERROR:  permission denied for table secret"), None);
    }
}

//! Result of a worker: the exit code comes from the engine, the reason from the tool's stderr.

use super::{Unfit, Worker, WorkerError};
use crate::docker::exec::verified_stream::{VerifiedExit, whereabouts};
use crate::docker::worker::worker_spec::ContainerExit;
use crate::error::{self, Error};

/// Judges; `begun` says whether its work was seen.
///
/// # Errors
/// [`Unfit`]: it could not begin. `Tool`, `Integrity`: it was killed.
pub(crate) async fn judge(
    worker: &Worker,
    end: ContainerExit,
    text: String,
    begun: bool,
) -> Result<VerifiedExit, WorkerError> {
    let program = worker.program();
    if end.out_of_memory {
        return Err(starved(program).into());
    }
    if let (true, Some(unfit)) = (!begun && end.exit_code != 0, unfit(&text)) {
        return Err(unfit.into());
    }
    let Ok(exit_code @ 0..=127) = u8::try_from(end.exit_code) else {
        let mut error = error::integrity(format!(
            "{program} was killed in its worker (exit code {}): its output is not whole",
            end.exit_code
        ));
        if let Some(now) = whereabouts(&worker.database).await {
            error = error.hint(now);
        }
        return Err(error.into());
    };
    Ok(VerifiedExit { exit_code, stderr: text, begun })
}

/// Beginning of the message with which the engine's init reports a program that it could not run.
pub(crate) const NOT_RUN: &str = "[FATAL tini";

/// The kernel ended it for want of memory.
pub(crate) fn starved(program: &str) -> Error {
    error::tool(format!("{program} was killed in its worker: it needed more memory than its limit"))
        .hint("give it more with `--worker-memory`, or use `--transport exec`")
}

/// Words of a tool that never came to its work, in the C locale.
pub(crate) fn unfit(text: &str) -> Option<Unfit> {
    // The server has files too, and says of them that it "could not open file" or "relation".
    const CLOSED: [&str; 3] =
        ["could not open output file", "could not open input file", "could not create directory"];
    if let Some(said) = text.lines().find(|line| line.contains(NOT_RUN)) {
        return Some(Unfit::NoTool(said.trim().to_owned()));
    }
    let closed = |line: &str| CLOSED.iter().any(|text| line.contains(text));
    let said = text.lines().find(|line| closed(line) || line.contains("connection to server"))?.trim();
    // A role or a database that is not there is no fault of the way.
    if said.contains("does not exist") && said.contains("FATAL") {
        return None;
    }
    let text = said.to_owned();
    Some(if closed(said) { Unfit::Closed(text) } else { Unfit::NotConnected(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_never_started_is_known_by_its_message() {
        let closed = "pg_dump: error: could not open output file \"/envctl/out\": Permission denied";
        assert_eq!(unfit(closed), Some(Unfit::Closed(closed.to_owned())));
        let refused =
            "pg_dump: error: connection to server at \"127.0.0.1\", port 5432 failed: Connection refused";
        assert!(matches!(unfit(refused), Some(Unfit::NotConnected(_))));
        let gone = "pg_dump: error: connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  database \"x\" does not exist";
        assert_eq!(unfit(gone), None);
        for of_the_server in [
            "pg_dump: error: query failed: ERROR:  permission denied for table secret",
            "pg_dump: error: Dumping the contents of table \"t\" failed: ERROR:  could not open file \"base/5/16384\": No such file or directory",
            "pg_dump: error: query failed: ERROR:  could not open relation with OID 16384",
        ] {
            assert_eq!(unfit(of_the_server), None, "{of_the_server}");
        }
        let not_run = "[FATAL tini (7)] exec pg_dump failed: Permission denied";
        assert_eq!(unfit(not_run), Some(Unfit::NoTool(not_run.to_owned())));
        let no_private_dir = "pg_dump: error: could not create directory \"/envctl/dump\": Permission denied";
        assert_eq!(unfit(no_private_dir), Some(Unfit::Closed(no_private_dir.to_owned())));
    }
}

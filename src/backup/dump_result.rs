//! Verifies a finished dump by pg_dump's exit code and the dump trailer.

use crate::backup::request::BackupRequest;
use crate::backup::sink::WrittenBackup;
use crate::docker::exec::verified_stream::VerifiedExit;
use crate::dump::sql::Completeness;
use crate::error::{self, Error, Result};
use crate::postgres::tools::runner::TransportUsed;

/// Which of the two sides failed first, and whether what arrived is whole.
///
/// # Errors
/// The failure that was the cause.
pub(crate) fn judge(
    dumped: Result<(VerifiedExit, TransportUsed)>,
    packed: Result<WrittenBackup>,
    request: &BackupRequest,
) -> Result<(WrittenBackup, VerifiedExit, TransportUsed)> {
    let (end, way) = match (dumped, &packed) {
        // The compressor stopped taking bytes: its own error is the cause, not the broken pipe.
        (Err(dump_error), Err(_)) if dump_error.kind() == error::ErrorKind::Failed => {
            return Err(packed.err().unwrap_or(dump_error));
        }
        (Err(dump_error), _) => return Err(dump_error),
        (Ok(both), _) => both,
    };
    if end.exit_code != 0 {
        return Err(dump_failed(&end, request));
    }
    let packed = packed?;
    match packed.summary.completeness() {
        Completeness::Trailer => Ok((packed, end, way)),
        Completeness::Missing(why) => Err(error::integrity(format!(
            "pg_dump ended with exit code 0, but its output is incomplete: {why}"
        ))
        .note("nothing was kept")
        .hint("run it again with `-v`")),
    }
}

/// pg_dump's own complaint, with the cure where it is known.
pub(crate) fn dump_failed(end: &VerifiedExit, request: &BackupRequest) -> Error {
    let stderr = end.stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let first: Vec<&str> = stderr.take(6).collect();
    let text = first.join("; ");
    let container = &request.source.container;
    if end.exit_code == 127 || end.exit_code == 126 {
        return error::tool(format!("pg_dump cannot be run in container {container}: {text}"))
            .hint("name the database container: `--container NAME`");
    }
    let error =
        error::tool(format!("pg_dump in container {container} failed (exit code {}): {text}", end.exit_code));
    if text.contains("row-level security") {
        error
            .note("the role does not see every row; envctl never dumps half a table")
            .hint("dump as the owner or a role with BYPASSRLS")
    } else if text.contains("permission denied") {
        error
            .note("the role may not read everything")
            .hint("name another one in envctl.toml: `[database] user`")
    } else if text.contains("lock timeout") || (text.contains("LOCK TABLE") && text.contains("timeout")) {
        error
            .with_kind(error::ErrorKind::Busy)
            .note("another session holds a lock on a table")
            .hint("wait longer with `--lock-timeout 5m`")
    } else {
        error
    }
}

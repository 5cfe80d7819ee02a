//! The exit codes, an API that scripts rely on: one table, shown by `envctl help exit-codes`.
//!
//! Promise: every [`ErrorKind`] maps to exactly one row and the numbers never change meaning.

use crate::error::ErrorKind;

/// One row of the table: the code and what it means.
pub(crate) const TABLE: &[(u8, &str)] = &[
    (0, "done"),
    (1, "failed"),
    (2, "usage or configuration"),
    (3, "target not found or ambiguous"),
    (4, "Docker unreachable or refused"),
    (5, "busy: a lock is held elsewhere, try again"),
    (6, "refused by a guard, nothing changed"),
    (7, "a tool failed in the container"),
    (8, "integrity: truncated, checksum, verification"),
    (9, "outcome unknown or a decision needed"),
    (10, "some of several stacks failed"),
    (11, "pending or drift (--exit-code)"),
    (12, "a verification could not be made: neither passed nor failed"),
    (124, "timeout"),
    (125, "shell, exec, psql: envctl itself failed (the message names the kind)"),
    (126, "shell, exec, psql: the command cannot be invoked"),
    (127, "shell, exec, psql: the command was not found"),
    (130, "cancelled (143: terminated)"),
];

/// The exit code of a class of failure.
pub(crate) fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Failed => 1,
        ErrorKind::Usage => 2,
        ErrorKind::Target => 3,
        ErrorKind::Docker => 4,
        ErrorKind::Busy => 5,
        ErrorKind::Refused => 6,
        ErrorKind::Tool => 7,
        ErrorKind::Integrity => 8,
        ErrorKind::Unknown | ErrorKind::Found => 9,
        ErrorKind::Partial => 10,
        ErrorKind::Pending => 11,
        ErrorKind::Unverified => 12,
        ErrorKind::Timeout => 124,
        ErrorKind::Cancelled(signal) => 128 + signal,
        ErrorKind::Child(code) | ErrorKind::NotStarted(code) => code,
    }
}

/// The exit code where the child's own codes own the low numbers (`shell`, `exec`, `psql`):
/// envctl's failures are 125 as with `docker exec`; signals keep their own codes.
pub(crate) fn code_beside_a_child(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Child(code) | ErrorKind::NotStarted(code) => code,
        ErrorKind::Cancelled(signal) => 128 + signal,
        ErrorKind::Timeout => 124,
        _ => 125,
    }
}

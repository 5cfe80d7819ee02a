//! Output of a loading psql: the row count of each COPY, the end marker, and the error messages.

use crate::docker::exec::demux::Output;
use crate::docker::exec::stderr_tail::StderrTail;
use crate::docker::exec::verified_stream::LOST;
use crate::docker::exec::{ExecHandle, ExecOutput};
use crate::docker::worker::starved;
use crate::error::{self, Error};
use crate::postgres::tools::statement_error::{Complaint, LoadFailure};
use crate::text::mask;

/// Counts of COPY that are kept.
const MOST_COPIES: usize = 5_000_000;

/// The C library's word for a full disk, as a server without translations passes it on.
const NO_SPACE: &str = "No space left";

/// Output of psql so far.
#[derive(Debug, Default)]
pub(crate) struct PsqlOutput {
    token: String,
    line: Vec<u8>,
    stderr: StderrTail,
    /// True once the end marker has arrived.
    pub(crate) verified: bool,
    /// The rows of each `COPY n`, in order.
    pub(crate) copies: Vec<u64>,
    /// Lines of ours before the first of the dump.
    before: u64,
    /// Error that broke off the stream, if any. If a client still sends, the daemon resets the connection
    /// behind psql's last output.
    broken: Option<Error>,
}

impl PsqlOutput {
    /// Before the first word; `token` alone on a line is the proof.
    pub(crate) fn new(token: &str) -> Self {
        Self { token: token.to_owned(), ..Self::default() }
    }

    /// Sets the number of lines that envctl sent before the dump.
    pub(crate) fn behind(mut self, lines: u64) -> Self {
        self.before = lines;
        self
    }

    /// Listens until the stream ends.
    pub(crate) async fn until_its_end(&mut self, output: &mut ExecOutput) {
        while self.more(output).await {}
    }

    /// Listens until `token` comes; false where the stream ended before it.
    pub(crate) async fn until(&mut self, token: &str, output: &mut ExecOutput) -> bool {
        token.clone_into(&mut self.token);
        self.verified = false;
        while !self.verified {
            if !self.more(output).await {
                break;
            }
        }
        self.verified
    }

    /// Returns psql's error messages so far.
    pub(crate) fn text(&self) -> String {
        self.stderr.text()
    }

    async fn more(&mut self, output: &mut ExecOutput) -> bool {
        match output.read(&mut |which, bytes: &[u8]| self.hear(which, bytes)).await {
            Ok(more) => more,
            Err(cause) => {
                self.broken = Some(cause);
                false
            }
        }
    }

    fn hear(&mut self, which: Output, bytes: &[u8]) {
        if which == Output::Stderr {
            return self.stderr.push(bytes);
        }
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            // No line of interest is long; a result of a foreign dump may be.
            if self.line.len() < 4096 {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                let text = String::from_utf8_lossy(&self.line);
                let text = text.trim_end();
                if text == self.token {
                    self.verified = true;
                } else if let Some(rows) = text.strip_prefix("COPY ").and_then(|n| n.parse().ok()) {
                    // A foreign program may count for ever; no file has so many tables.
                    if self.copies.len() < MOST_COPIES {
                        self.copies.push(rows);
                    }
                }
                self.line.clear();
            }
        }
    }

    /// The failure of a psql that ended without the token: its own complaint, with the line of the dump.
    pub(crate) async fn stopped(self, handle: &ExecHandle, name: &str) -> LoadFailure {
        let code = handle.exit_code().await.unwrap_or(None);
        if handle.ran_out_of_memory().await {
            return starved("psql").note("the database is as it was; nothing was swapped in").into();
        }
        let text = self.stderr.text();
        let refused = code == Some(3) && !text.contains(NO_SPACE);
        let text = mask(&text);
        let complaint = Complaint::behind(&text, self.before);
        let error = self.told(code, &text, &complaint, name);
        LoadFailure { error, complaint: refused.then_some(complaint) }
    }

    fn told(self, code: Option<i64>, text: &str, complaint: &Complaint, name: &str) -> Error {
        if text.trim().is_empty() {
            let lost = self.broken.unwrap_or_else(|| {
                let how = code.map_or(String::new(), |code| format!(" (exit code {code})"));
                error::tool(format!("{LOST} while loading {name}: it ended without output{how}"))
            });
            return lost
                .note("the database is as it was; nothing was swapped in")
                .hint("run the same command again; if it stays so: `envctl doctor`, `envctl logs db`");
        }
        let (first, told) = (complaint.first(), complaint.told());
        let error = match code {
            Some(3) => error::tool(format!("PostgreSQL refused a statement of {name}: {told}")),
            Some(code) => {
                error::tool(format!("psql ended with exit code {code} while loading {name}: {told}"))
            }
            None => error::tool(format!("the connection to psql was lost while loading {name}: {told}")),
        };
        let error = if first.contains("role") && first.contains("does not exist") {
            error.hint("create the role first: `envctl psql -c 'CREATE ROLE name'`")
        } else if first.contains("invalid command") {
            error.note("the dump holds a psql command that this psql does not know; `\\restrict` needs 17.6, 16.10, 15.14, 14.19, 13.22 or later")
        } else if first.contains(NO_SPACE) {
            error
                .note("the server's disk is full")
                .hint("free some space there and run the same command again")
        } else {
            error
        };
        error.note("the database is as it was; nothing was swapped in")
    }
}

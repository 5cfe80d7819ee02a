//! Loading an archive into the staging database: one `pg_restore`, fed over its stdin.
//!
//! Promises: nothing is sent before the list has been judged; success is pg_restore's own exit code behind
//! an end marker in its output, and then what the server answers: every relation of the list is there, and
//! every table has at least the rows that streamed by.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::codec::{DecompressReader, Digest};
use crate::docker::exec::demux::Output;
use crate::docker::exec::end_marker::{EndMarkerParser, wrap_with_stdin};
use crate::docker::exec::stderr_tail::StderrTail;
use crate::docker::exec::{ExecInput, ExecOutput};
use crate::docker::{Container, Exec, ExecSpec};
use crate::dump::archive::scanner::shown;
use crate::dump::format::Format;
use crate::dump::scanner::AnyScanner;
use crate::dump::sql::{LeftOut, Summary};
use crate::error::{self, Result};
use crate::postgres::tools::pg_restore;
use crate::postgres::tools::statement_error::{Complaint, LoadFailure};
use crate::postgres::{Access, Session};
use crate::progress::{Event, Progress};
use crate::random::nonce;
use crate::repository::authenticity::allowed;
use crate::restore::examine::{changed, permitted, whole};
use crate::restore::filtered_dump::FilteredDump;
use crate::restore::load::request::{LoadRequest, LoadedDump};
use crate::restore::row_counts;
use crate::restore::row_counts::{Expected, compare};
use crate::sync::join;
use crate::text::mask;
use crate::text::sql_quote::literal;

/// Number of relations in one query.
const AT_ONCE: usize = 500;

/// Loads the archive that `decompressor` gives into `access.database`.
///
/// # Errors
/// Errors of a load of a plain dump, see [`crate::restore::load::sql::load`].
pub(crate) async fn load(
    container: &Container,
    access: &Access,
    request: &LoadRequest,
    decompressor: DecompressReader,
    progress: &Arc<dyn Progress>,
) -> Result<LoadedDump, LoadFailure> {
    let nonce = nonce();
    let spec = pg_restore::from_stdin(access, &request.application, request.loading);
    let without = pg_restore::WITHOUT_OWNERS_AND_RIGHTS;
    let spec = if request.rules.apart.is_some() { pg_restore::with(spec, without) } else { spec };
    let spec = if request.one_transaction { pg_restore::in_one_transaction(spec) } else { spec };
    let spec = ExecSpec { argv: wrap_with_stdin(&nonce, &spec.argv), ..spec };
    let Exec { output, input, .. } = container.exec(&spec).await?;
    let (sender, receiver) = mpsc::channel(4);
    let reading = {
        let (request, progress) = (request.clone(), progress.clone());
        std::thread::spawn(move || read(&request, decompressor, &sender, &progress))
    };
    let listening = listen(output, &nonce);
    tokio::pin!(listening);
    let feeding = feed(input, receiver);
    tokio::pin!(feeding);
    let (received, feed_result) = tokio::select! {
        biased;
        feed_result = &mut feeding => (None, feed_result),
        // It may be done before we are: with the last byte of the last entry.
        received = &mut listening => match received? {
            received if received.exit_code == Some(0) => (Some(received), feeding.await),
            received => return Err(stopped(&received, request)),
        },
    };
    // Judged before its input ends; where it stopped taking input, its own words matter more.
    if received.is_none() && feed_result.is_none() {
        return Err(stopped(&listening.await?, request));
    }
    let result = join(reading).await?;
    judge(&result, request)?;
    let received = match (received, feed_result) {
        (None, Some(mut input)) => {
            let _ = input.close().await;
            listening.await?
        }
        (Some(received), _) => received,
        (None, None) => return Err(error::failed("pg_restore ended").into()),
    };
    if received.exit_code != Some(0) {
        return Err(stopped(&received, request));
    }
    let (summary, _, left_out) = result;
    progress.step("counting what was loaded");
    let notes = check(container, access, &request.application, &summary).await?;
    Ok(LoadedDump { summary, notes, left_out })
}

type ReadDump = (Summary, Digest, LeftOut);

fn judge((summary, sha256, _): &ReadDump, request: &LoadRequest) -> Result<()> {
    let name = request.source.name();
    whole(summary, &request.authenticity, &name)?;
    permitted(summary, &request.authenticity, request.trust, &name)?;
    if request.sha256.is_some_and(|expected| expected != *sha256) {
        return Err(changed(&name));
    }
    Ok(())
}

/// Gives the input back, still open, where everything was taken.
async fn feed(mut input: ExecInput, mut receiver: mpsc::Receiver<Vec<u8>>) -> Option<ExecInput> {
    while let Some(bytes) = receiver.recv().await {
        if input.write(&bytes).await.is_err() {
            return None;
        }
    }
    Some(input)
}

/// Reads, scans, and lets through only what has been judged.
fn read(
    request: &LoadRequest,
    decompressor: DecompressReader,
    sender: &mpsc::Sender<Vec<u8>>,
    progress: &Arc<dyn Progress>,
) -> Result<ReadDump> {
    let mut contents = AnyScanner::new(Format::Custom);
    let mut dump = FilteredDump::new(decompressor, Format::Custom, &request.rules);
    let mut held: Vec<u8> = Vec::new();
    let mut table = String::new();
    while let Some(block) = dump.next_block()? {
        contents.feed(&block);
        if contents.findings().iter().any(|f| !allowed(f.kind, &request.authenticity, request.trust)) {
            break;
        }
        held.extend_from_slice(&block);
        dump.recycle(block);
        if contents.is_judged() && sender.blocking_send(std::mem::take(&mut held)).is_err() {
            return Err(error::failed("pg_restore ended"));
        }
        if let Some(name) = contents.current_table().filter(|name| *name != table) {
            name.clone_into(&mut table);
            progress.on(Event::Table(table.clone()));
        }
        progress.on(Event::Bytes { done: dump.bytes(), total: request.expected });
    }
    let (sha256, left_out) = dump.finish();
    let read = (contents.finish(), sha256, left_out);
    // A long list of entries with few data behind it may be judged only at the end.
    if !held.is_empty() && judge(&read, request).is_ok() {
        let _ = sender.blocking_send(held);
    }
    Ok(read)
}

/// Exit code and stderr of pg_restore.
struct PgRestoreOutput {
    exit_code: Option<u8>,
    stderr: StderrTail,
}

async fn listen(mut output: ExecOutput, nonce: &str) -> Result<PgRestoreOutput> {
    let mut splitter = EndMarkerParser::new(nonce);
    let mut stderr = StderrTail::default();
    let mut damaged = None;
    let mut sink = |which, bytes: &[u8]| match which {
        Output::Stderr => stderr.push(bytes),
        Output::Stdout => damaged = splitter.feed(bytes, &mut |_| ()).err().or(damaged.take()),
    };
    // A stream that breaks off has no end mark, and that is what counts.
    while matches!(output.read(&mut sink).await, Ok(true)) {}
    match damaged {
        Some(cause) => Err(error::integrity("the output of pg_restore is damaged").because(cause)),
        None => Ok(PgRestoreOutput { exit_code: splitter.exit_code(), stderr }),
    }
}

/// pg_restore's own complaint, with the cure where it is known.
fn stopped(received: &PgRestoreOutput, request: &LoadRequest) -> LoadFailure {
    refused(&received.stderr.text(), received.exit_code, &request.source.name())
}

/// Returns the error for the stderr and exit code of any pg_restore, with a hint where the cause is known.
pub(crate) fn refused(text: &str, exit_code: Option<u8>, name: &str) -> LoadFailure {
    let text = &mask(text);
    let complaint = Complaint::of(text);
    let told = complaint.told();
    let first = if told.is_empty() { "it gave no reason" } else { told.as_str() };
    let error = match exit_code {
        Some(126 | 127) => error::tool(format!("pg_restore cannot be run in the container: {first}"))
            .hint("use a plain dump, which psql restores"),
        Some(_) => error::tool(format!("pg_restore refused {name}: {first}")),
        None => error::tool(format!("the connection to pg_restore was lost while loading {name}: {first}")),
    };
    let error = if first.contains("unsupported version") {
        error.note("it was made by a newer pg_dump").hint("restore it into a server of that version")
    } else if first.contains("No space left") {
        error.note("the server's disk is full").hint("free some space there and run the same command again")
    } else {
        error
    };
    let error = error.note("the database is as it was; nothing was swapped in");
    let refused = exit_code == Some(1) && first.contains("ERROR:") && !first.contains("No space left");
    LoadFailure { error, complaint: refused.then_some(complaint) }
}

/// Compares the server with the list and with the rows that passed by; returns a note for each table with more rows.
pub(crate) async fn check(
    container: &Container,
    access: &Access,
    application: &str,
    summary: &Summary,
) -> Result<Vec<String>> {
    let mut session = Session::open(container, access, application).await?;
    let forced = row_counts::lift_policies(&mut session).await?;
    let listed = summary.entries.iter().filter(|entry| RELATIONS.contains(&entry.kind.as_str()));
    let names: Vec<String> = listed
        .filter_map(|e| Some(format!("({}, {})", literal(e.schema.as_deref()?), literal(&e.name))))
        .collect();
    for names in names.chunks(AT_ONCE) {
        let sql = format!(
            "select n.s || '.' || n.r from (values {}) n(s, r) where not exists (select from pg_catalog.pg_class c \
             join pg_catalog.pg_namespace k on k.oid = c.relnamespace where k.nspname = n.s and c.relname = n.r) limit 1",
            names.join(", ")
        );
        if let Some(lost) = session.value(&sql).await? {
            return Err(error::integrity(format!("{lost} is in the archive and was not restored"))
                .note("nothing was swapped in"));
        }
    }
    let data = summary.entries.iter().filter(|entry| entry.data);
    let names: HashMap<String, (&str, &str)> = data
        .filter_map(|e| {
            let schema = e.schema.as_deref()?;
            Some((shown(schema, &e.name), (schema, e.name.as_str())))
        })
        .collect();
    let expected: Vec<Expected> = summary
        .copies
        .iter()
        .filter_map(|block| {
            let (schema, name) = names.get(&block.table)?;
            let (schema, name) = ((*schema).to_owned(), (*name).to_owned());
            Some(Expected { shown: block.table.clone(), schema, name, rows: block.rows })
        })
        .collect();
    let notes = compare(&mut session, &expected).await?;
    row_counts::restore_policies(&mut session, &forced).await?;
    session.close().await;
    Ok(notes)
}

/// Kinds whose name is that of a row in `pg_class`.
const RELATIONS: &[&str] = &["TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "FOREIGN TABLE", "INDEX"];

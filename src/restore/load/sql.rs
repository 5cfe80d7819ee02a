//! Loading a dump into the staging database: one psql, fed through a gate; its echo of a token tells success.
//!
//! The end marker is needed because psql takes the end of input for the end of a COPY and the script.
//! psql then exits with 0. The daemon turns a dead client into exactly that end (reliability findings 1 and 2).
//! A load has succeeded only if psql prints the end marker on reaching envctl's last command.
//! envctl sends that command once the dump is verified.
//! No transaction surrounds the load: the database is new, and nobody sees the database before the swap.
//! One transaction over a dump with very many objects runs out of lock memory.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::codec::{DecompressReader, Digest};
use crate::docker::exec::{ExecInput, ExecOutput};
use crate::docker::worker::Unfit;
use crate::docker::{Container, Exec};
use crate::dump::format::Format;
use crate::dump::sql::{DumpScanner, LeftOut, Summary};
use crate::error::{self, Error, Result};
use crate::postgres::Access;
use crate::postgres::tools::load_runner::LoadRunner;
use crate::postgres::tools::psql_output::PsqlOutput;
use crate::postgres::tools::statement_error::LoadFailure;
use crate::progress::{Event, Progress};
use crate::random::nonce;
use crate::repository::authenticity::allowed;
use crate::restore::filtered_dump::FilteredDump;
use crate::restore::load::request::{LoadRequest, LoadedDump};
use crate::sync::join;
use crate::text::units::counted;

/// Loads into `access.database`.
///
/// # Errors
/// `Integrity`: the dump is not whole, or is not what was looked at, or rows are missing. `Refused`: it
/// holds what nobody vouches for. `Tool`: PostgreSQL refused a statement, named with its line. In every case the
/// staging database is worth nothing and the caller drops it.
pub(crate) async fn load(
    container: &Container,
    access: &Access,
    loaders: &LoadRunner<'_>,
    request: &LoadRequest,
    progress: &Arc<dyn Progress>,
) -> Result<LoadedDump, LoadFailure> {
    let (format, decompressor) = open(request).await?;
    if format != Format::Plain {
        if loaders.needs_worker() {
            let why = "an archive that is no file and no directory goes through the daemon".to_owned();
            return Err(Error::from(Unfit::Refused(why)).into());
        }
        return Box::pin(super::archive::load(container, access, request, decompressor, progress)).await;
    }
    let Exec { mut output, mut input, handle } = loaders.psql(access, 1).await?;
    let lock = request.rules.restricted.then(nonce);
    if let Some(key) = &lock {
        // Where this fails psql has gone, and its own message comes with the first block.
        let _ = input.write(format!("\\restrict {key}\n").as_bytes()).await;
    }
    if request.one_transaction {
        let _ = input.write(b"BEGIN;\n").await;
    }
    let (sender, receiver) = mpsc::channel(4);
    let reading = {
        let (request, progress) = (request.clone(), progress.clone());
        std::thread::spawn(move || read(&request, decompressor, &sender, &progress))
    };
    let token = format!("ENVCTL-LOADED-{}", nonce());
    let unlock = lock.as_ref().map_or(String::new(), |key| format!("\\unrestrict {key}\n"));
    let quit = if request.one_transaction { "" } else { "\\q\n" };
    let end = format!("\n{unlock}\\echo {token}\n{quit}");
    let feeding = feed(&mut input, receiver, reading, request, &end);
    let ours = u64::from(lock.is_some()) + u64::from(request.one_transaction);
    let listening = async {
        let mut received = PsqlOutput::new(&token).behind(ours);
        if request.one_transaction {
            received.until(&token, &mut output).await;
        } else {
            received.until_its_end(&mut output).await;
        }
        (received, output)
    };
    let mut listening = Box::pin(listening);
    // psql may die first (an SQL error); then its words matter more than our broken pipe.
    let feed_result = tokio::select! {
        biased;
        feed_result = feeding => feed_result?,
        (received, _) = &mut listening => return Err(received.stopped(&handle, &request.source.name()).await),
    };
    let (mut received, mut output) = listening.await;
    let FeedResult::Whole(summary, left_out) = feed_result else {
        return Err(received.stopped(&handle, &request.source.name()).await);
    };
    if !received.verified {
        return Err(received.stopped(&handle, &request.source.name()).await);
    }
    compare(&summary, &received.copies)?;
    if request.one_transaction {
        commit(&mut input, &mut received, &mut output).await?;
    }
    Ok(LoadedDump { summary: *summary, notes: Vec::new(), left_out })
}

/// Commits what was loaded.
///
/// # Errors
/// Kind `Unknown`: the connection was lost meanwhile.
async fn commit(input: &mut ExecInput, received: &mut PsqlOutput, output: &mut ExecOutput) -> Result<()> {
    let token = format!("ENVCTL-COMMITTED-{}", nonce());
    let _ = input.write(format!("COMMIT;\n\\echo {token}\n\\q\n").as_bytes()).await;
    let _ = input.close().await;
    if received.until(&token, output).await {
        return Ok(());
    }
    let text = received.text();
    if text.contains("ERROR:") {
        return Err(error::tool(format!("PostgreSQL refused to commit what was loaded: {}", text.trim()))
            .note("the database is as it was, empty"));
    }
    Err(error::unknown(
        "the connection was lost while the restore was committed: all of it is there, or nothing",
    )
    .hint("look which: `envctl psql -c '\\dt'`"))
}

/// Opens the source on a thread of its own: a pipe may keep its first byte for long.
async fn open(request: &LoadRequest) -> Result<(Format, DecompressReader)> {
    let (sender, opened) = tokio::sync::oneshot::channel();
    let (source, threads, rules) = (request.source.clone(), request.threads, request.rules.clone());
    let keyring = request.keyring.clone();
    std::thread::spawn(move || sender.send(source.open(threads, &rules, &keyring)));
    opened.await.map_err(|_| error::failed("the reading thread failed"))?
}

enum FeedResult {
    /// Everything and the token were sent.
    Whole(Box<Summary>, LeftOut),
    /// psql stopped taking input.
    Refused,
}

async fn feed(
    input: &mut ExecInput,
    mut receiver: mpsc::Receiver<Vec<u8>>,
    reading: std::thread::JoinHandle<Result<(Summary, Digest, LeftOut)>>,
    request: &LoadRequest,
    end: &str,
) -> Result<FeedResult> {
    while let Some(bytes) = receiver.recv().await {
        if input.write(&bytes).await.is_err() {
            return Ok(FeedResult::Refused);
        }
    }
    let (summary, sha256, left_out) = join(reading).await?;
    let name = request.source.name();
    crate::restore::examine::whole(&summary, &request.authenticity, &name)?;
    if request.sha256.is_some_and(|expected| expected != sha256) {
        return Err(crate::restore::examine::changed(&name));
    }
    let sent = input.write(end.as_bytes()).await.is_ok();
    // It may be gone by then, with all that was asked of it done: its own word counts.
    if !request.one_transaction {
        let _ = input.close().await;
    }
    Ok(if sent { FeedResult::Whole(Box::new(summary), left_out) } else { FeedResult::Refused })
}

/// Reads, scans, and lets through only what has been judged.
fn read(
    request: &LoadRequest,
    decompressor: DecompressReader,
    sender: &mpsc::Sender<Vec<u8>>,
    progress: &Arc<dyn Progress>,
) -> Result<(Summary, Digest, LeftOut)> {
    let mut scanner = if request.doubtful { DumpScanner::doubtful() } else { DumpScanner::new() };
    let mut dump = FilteredDump::new(decompressor, Format::Plain, &request.rules);
    let mut held: Vec<u8> = Vec::new();
    let mut sent = 0u64;
    let mut table = String::new();
    while let Some(block) = dump.next_block()? {
        scanner.feed(&block);
        if held.is_empty() {
            held = block;
        } else {
            held.extend_from_slice(&block);
            dump.recycle(block);
        }
        let barred =
            scanner.findings().iter().any(|f| !allowed(f.kind, &request.authenticity, request.trust));
        let trusted = request.trust || request.authenticity.is_authenticated();
        let until = if trusted && !barred { scanner.bytes() } else { scanner.clean_until() };
        let len = usize::try_from(until.saturating_sub(sent)).unwrap_or(held.len()).min(held.len());
        if !held.is_empty() && len > 0 {
            let rest = held.split_off(len);
            let bytes = std::mem::replace(&mut held, rest);
            let bytes = if sent == 0 { without_mark(bytes) } else { bytes };
            sent += len as u64;
            if sender.blocking_send(bytes).is_err() {
                return Err(error::failed("psql ended"));
            }
        }
        if barred {
            break;
        }
        if let Some((name, _)) = scanner.current_table().filter(|(name, _)| *name != table) {
            name.clone_into(&mut table);
            progress.on(Event::Table(table.clone()));
        }
        progress.on(Event::Bytes { done: dump.bytes(), total: request.expected });
    }
    let mut summary = scanner.finish();
    if request.rules.script {
        summary.completeness = summary.script.clone();
    }
    if request.source.path().is_none() && summary.leads_to_databases() {
        return Err(error::refused("the dump by pipe is of several databases or of roles")
            .note("it was made with `pg_dump -C` or `pg_dumpall`; one database is taken out of a file of that kind")
            .hint(crate::restore::examine::from_a_file(&request.command)));
    }
    crate::restore::examine::permitted(
        &summary,
        &request.authenticity,
        request.trust,
        &request.source.name(),
    )?;
    if !held.is_empty() {
        let bytes = if sent == 0 { without_mark(held) } else { held };
        // Verified first: behind the last judged byte there may be half a statement.
        crate::restore::examine::whole(&summary, &request.authenticity, &request.source.name())?;
        let _ = sender.blocking_send(bytes);
    }
    let (sha256, left_out) = dump.finish();
    Ok((summary, sha256, left_out))
}

/// A byte order mark would be a syntax error to the server.
fn without_mark(bytes: Vec<u8>) -> Vec<u8> {
    match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => rest.to_vec(),
        None => bytes,
    }
}

/// psql's word on every COPY against what streamed by.
fn compare(summary: &Summary, copies: &[u64]) -> Result<()> {
    let expected: Vec<u64> = summary.copies.iter().map(|block| block.rows).collect();
    if expected == copies || summary.overflow {
        return Ok(());
    }
    let at =
        expected.iter().zip(copies).position(|(a, b)| a != b).unwrap_or(expected.len().min(copies.len()));
    let table = summary.copies.get(at).map_or("a table", |block| block.table.as_str());
    Err(error::integrity(format!(
        "rows are missing: {table} has {} in the dump and PostgreSQL took {}",
        counted(expected.get(at).copied().unwrap_or(0), "row", "rows"),
        copies.get(at).copied().unwrap_or(0)
    ))
    .note("nothing was swapped in"))
}

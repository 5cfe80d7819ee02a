//! Loading a dump over several sessions: rows of different tables side by side, and indexes as soon as their rows are in.
//!
//! Promises: the same proof as [`load`](super::load), part by part: psql echoes a random word behind each,
//! and its `COPY n` is compared with the rows of the dump. The parts are read from the file that was examined, which
//! is hashed again at the end. Memory is bounded by the number of sessions. Nothing here is visible before the swap.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tokio::sync::{mpsc, oneshot};

use crate::codec::age::{EncryptedFor, Keyring};
use crate::codec::{Digest, RandomAccessReader};
use crate::docker::Exec;
use crate::docker::exec::{ExecHandle, ExecInput, ExecOutput};
use crate::dump::format::Format;
use crate::dump::sql::{DumpScanner, Entry};
use crate::error::{self, Error, Result};
use crate::postgres::Access;
use crate::postgres::tools::load_runner::LoadRunner;
use crate::postgres::tools::psql_output::PsqlOutput;
use crate::postgres::tools::statement_error::LoadFailure;
use crate::progress::{Event, Progress};
use crate::random::nonce;
use crate::repository::authenticity::Authenticity;
use crate::repository::authenticity::allowed;
use crate::restore::examine::{ExaminedDump, changed, open_file, permitted};
use crate::restore::load::plan;
use crate::restore::load::plan::{LONGEST_PRELUDE, LoadPlan, LoadTask, Stage, settings};
use crate::restore::load::scheduler::TaskScheduler;
use crate::sync::{join, lock};
use crate::text::encoding::{decode, of_bytes};
use crate::text::units::counted;

/// The most sessions: each holds a few blocks of 1 MiB, and envctl promises 48 MiB in all.
pub(crate) const MOST_JOBS: u8 = 6;

/// An examined dump, open, and how it is shared out.
#[derive(Debug)]
pub(crate) struct ParallelSql {
    name: String,
    jobs: usize,
    pieces: Arc<RandomAccessReader>,
    prelude: Vec<u8>,
    layout: LoadPlan,
    stored: Digest,
}

impl ParallelSql {
    /// Returns the number of sessions that load the dump.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs
    }

    /// Returns the numbers of rows, tables and bytes.
    pub(crate) fn holds(&self) -> (u64, usize, u64) {
        let copies = || self.layout.parts().flat_map(|part| &part.copies);
        (copies().sum(), copies().count(), self.pieces.plain_bytes())
    }
}

/// Shares an examined dump out over `jobs` sessions, or says why one has to do.
///
/// # Errors
/// The file cannot be read any more.
pub(crate) fn share_out(
    path: &Path,
    examined: &ExaminedDump,
    jobs: u8,
    keyring: &Keyring,
) -> Result<std::result::Result<ParallelSql, &'static str>> {
    let Some(manifest) = examined.manifest.as_ref().filter(|_| examined.authenticity.is_authenticated())
    else {
        return Ok(Err("it has no authenticated manifest of envctl"));
    };
    if examined.format != Format::Plain {
        return Ok(Err("it is an archive, which is loaded in one session"));
    }
    let recipients = manifest.encryption.iter().flat_map(|encryption| encryption.recipients.clone());
    let what = EncryptedFor { name: path.display().to_string(), recipients: recipients.collect() };
    let Some(pieces) = RandomAccessReader::open(open_file(path)?, keyring, &what)? else {
        return Ok(Err("its compression can only be read from its start"));
    };
    if pieces.plain_bytes() != examined.summary.bytes {
        return Ok(Err("its compression does not name its sizes"));
    }
    let first = examined.summary.entries.first().map_or(0, |entry| entry.offset);
    if first > LONGEST_PRELUDE {
        return Ok(Err("it begins with more than settings"));
    }
    let prelude = text(&pieces, 0..first)?;
    let end = end(&pieces)?;
    let encoding = examined.summary.encoding.as_deref().unwrap_or("UTF8");
    let tables = tables(&pieces, &examined.summary.entries, end, encoding)?;
    Ok(LoadPlan::of(&examined.summary, &prelude, end, &tables).map(|layout| ParallelSql {
        name: path.display().to_string(),
        jobs: usize::from(jobs.clamp(1, MOST_JOBS)),
        pieces: Arc::new(pieces),
        prelude: settings(&prelude),
        layout,
        stored: manifest.stored_sha256,
    }))
}

/// Returns the offset of the `\unrestrict` behind the last statement, or the end of the dump.
fn end(pieces: &RandomAccessReader) -> Result<u64> {
    let bytes = pieces.plain_bytes();
    let from = bytes.saturating_sub(512);
    let tail = text(pieces, from..bytes)?;
    Ok(memchr::memmem::rfind(&tail, b"\n\\unrestrict ").map_or(bytes, |at| from + at as u64 + 1))
}

/// More text of indexes and keys is not read for the names of their tables.
const LONGEST_BUILDS: u64 = 4 << 20;

/// The tables of indexes and keys, by where their entries begin.
fn tables(
    pieces: &RandomAccessReader,
    entries: &[Entry],
    end: u64,
    encoding: &str,
) -> Result<HashMap<u64, String>> {
    let builds = || entries.iter().enumerate().filter(|(_, entry)| plan::builds(entry));
    let to = |at: usize| entries.get(at + 1).map_or(end, |next| next.offset);
    let (Some((_, first)), Some((last, _))) = (builds().next(), builds().next_back()) else {
        return Ok(HashMap::new());
    };
    let from = first.offset;
    if to(last).saturating_sub(from) > LONGEST_BUILDS {
        return Ok(HashMap::new());
    }
    let text = text(pieces, from..to(last))?;
    let table = |(at, entry): (usize, &Entry)| {
        let range = usize::try_from(entry.offset - from).ok()?..usize::try_from(to(at) - from).ok()?;
        let text = decode(&of_bytes(text.get(range)?), encoding);
        Some((entry.offset, crate::restore::load::indexed_table::indexed_table(&text)?.to_owned()))
    };
    Ok(builds().filter_map(table).collect())
}

fn text(pieces: &RandomAccessReader, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    pieces.read(range, |block| {
        all.extend(block);
        true
    })?;
    Ok(all)
}

/// Loads into `access.database`.
///
/// # Errors
/// Errors of [`load`](super::load::load).
pub(crate) async fn load(
    loaders: &LoadRunner<'_>,
    access: &Access,
    shared: &ParallelSql,
) -> Result<(), LoadFailure> {
    let meter = ByteCounter {
        done: AtomicU64::new(0),
        total: shared.pieces.plain_bytes(),
        progress: loaders.operation().progress.clone(),
    };
    let meter = Arc::new(meter);
    let (last_look, hashed) = FinalHash::new(shared);
    let opening = (0..shared.jobs).map(|_| LoadSession::open(loaders, access, shared, &meter, &last_look));
    let mut load_sessions = try_join_all(opening).await?;
    for stage in &shared.layout.stages {
        match stage {
            Stage::Alone(part) => load_sessions[0].run(part).await?,
            Stage::Together(parts) => {
                let scheduler = TaskScheduler::new(parts);
                try_join_all(load_sessions.iter_mut().map(|load_session| load_session.serve(&scheduler)))
                    .await?;
            }
        }
    }
    join_all(load_sessions.into_iter().map(LoadSession::close)).await;
    let stored = hashed.await.map_err(|_| error::failed("the reading thread failed"))??;
    if stored == shared.stored { Ok(()) } else { Err(changed(&shared.name).into()) }
}

/// Hashes the file once more when its last part has been read, while the server still builds from it.
struct FinalHash {
    pieces: Arc<RandomAccessReader>,
    unread: AtomicUsize,
    answer: Mutex<Option<oneshot::Sender<Result<Digest>>>>,
}

impl FinalHash {
    fn new(shared: &ParallelSql) -> (Self, oneshot::Receiver<Result<Digest>>) {
        let (sender, receiver) = oneshot::channel();
        let unread = AtomicUsize::new(shared.layout.parts().count());
        (Self { pieces: shared.pieces.clone(), unread, answer: Mutex::new(Some(sender)) }, receiver)
    }

    fn part_was_read(&self) {
        if self.unread.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        if let Some(answer) = lock(&self.answer).take() {
            let pieces = self.pieces.clone();
            std::thread::spawn(move || answer.send(pieces.stored_sha256()));
        }
    }
}

/// Progress of all sessions together.
struct ByteCounter {
    done: AtomicU64,
    total: u64,
    progress: Arc<dyn Progress>,
}

impl ByteCounter {
    fn passed(&self, bytes: usize) {
        let done = self.done.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.progress.on(Event::Bytes { done, total: Some(self.total) });
    }
}

/// One psql and what it says.
struct LoadSession<'a> {
    input: ExecInput,
    output: ExecOutput,
    handle: ExecHandle,
    received: PsqlOutput,
    shared: &'a ParallelSql,
    meter: Arc<ByteCounter>,
    last_look: &'a FinalHash,
}

impl<'a> LoadSession<'a> {
    async fn open(
        loaders: &LoadRunner<'_>,
        access: &Access,
        shared: &'a ParallelSql,
        meter: &Arc<ByteCounter>,
        last_look: &'a FinalHash,
    ) -> Result<Self, LoadFailure> {
        let Exec { mut output, mut input, handle } = loaders.psql(access, shared.jobs).await?;
        // A broken pipe here is told by the first part, in psql's words. The dump sets the tablespace in the first
        // session only; a role's own setting must not show in the others.
        let _ = input.write(&shared.prelude).await;
        let _ = input.write(b"\nSET default_tablespace = '';\n").await;
        // Connected, all of them, before rows move: one that came later could come into a database made anew.
        let token = format!("ENVCTL-OPEN-{}", nonce());
        let _ = input.write(format!("\\echo {token}\n").as_bytes()).await;
        let mut received = PsqlOutput::default();
        if !received.until(&token, &mut output).await {
            return Err(received.stopped(&handle, &shared.name).await);
        }
        Ok(Self {
            input,
            output,
            handle,
            received: PsqlOutput::default(),
            shared,
            meter: meter.clone(),
            last_look,
        })
    }

    async fn serve(&mut self, scheduler: &TaskScheduler<'_>) -> Result<(), LoadFailure> {
        while let Some((at, part)) = scheduler.next().await {
            self.run(part).await?;
            scheduler.done(at);
        }
        Ok(())
    }

    /// Sends a part and waits until psql has done all of it.
    async fn run(&mut self, part: &LoadTask) -> Result<(), LoadFailure> {
        self.meter.progress.on(Event::Table(part.name.clone()));
        let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(1);
        let (pieces, range) = (self.shared.pieces.clone(), part.range.clone());
        let name = self.shared.name.clone();
        let reading = std::thread::spawn(move || read(&pieces, range, &sender, &name));
        let token = format!("ENVCTL-LOADED-{}", nonce());
        let Self { input, output, received, meter, last_look, .. } = self;
        received.copies.clear();
        let feeding = async {
            while let Some(bytes) = receiver.recv().await {
                if input.write(&bytes).await.is_err() {
                    return Ok(());
                }
                meter.passed(bytes.len());
            }
            join(reading).await?;
            last_look.part_was_read();
            // Where this fails psql has gone, and says why.
            let _ = input.write(format!("\n\\echo {token}\n").as_bytes()).await;
            Ok::<_, Error>(())
        };
        let verified = {
            let listening = received.until(&token, output);
            tokio::pin!(listening);
            // psql may die first (an SQL error); then its words matter more than our broken pipe.
            tokio::select! {
                biased;
                feed_result = feeding => { feed_result?; listening.await }
                verified = &mut listening => verified,
            }
        };
        if !verified {
            return Err(std::mem::take(received).stopped(&self.handle, &self.shared.name).await);
        }
        Ok(compare(part, &received.copies)?)
    }

    async fn close(mut self) {
        let ending = async {
            let _ = self.input.close().await;
            self.received.until_its_end(&mut self.output).await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), ending).await;
    }
}

/// Reads a part and lets through only what has been judged: a manifest says where parts lie, not what is in them.
fn read(
    pieces: &RandomAccessReader,
    range: Range<u64>,
    sender: &mpsc::Sender<Vec<u8>>,
    name: &str,
) -> Result<()> {
    let mut scanner = DumpScanner::new();
    let barred = |scanner: &DumpScanner| {
        scanner.findings().iter().any(|f| !allowed(f.kind, &Authenticity::Authenticated, false))
    };
    pieces.read(range, |block| {
        scanner.feed(&block);
        !barred(&scanner) && sender.blocking_send(block).is_ok()
    })?;
    if barred(&scanner) {
        permitted(&scanner.finish(), &Authenticity::Authenticated, false, name)
    } else {
        Ok(())
    }
}

/// psql's word on every COPY against the dump's rows.
fn compare(part: &LoadTask, copies: &[u64]) -> Result<()> {
    if part.copies == copies {
        return Ok(());
    }
    let rows = |counts: &[u64]| counts.iter().sum::<u64>();
    Err(error::integrity(format!(
        "rows are missing: {} has {} in the dump and PostgreSQL took {}",
        part.name,
        counted(rows(&part.copies), "row", "rows"),
        rows(copies)
    ))
    .note("nothing was swapped in"))
}

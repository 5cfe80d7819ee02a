//! Making a backup: pg_dump in the container, proven whole, packed on all cores, named when it is safe.
//!
//! The way of a byte: worker → FIFO, or daemon → demultiplexer → proof (see [`super::transport`]); then blocks of
//! 1 MiB, bounded → scanner → packer → temporary file. Memory is constant. The file gets its name only after pg_dump's own exit code, the
//! dump's own trailer, the packed stream's end and the disk's word; otherwise nothing is left of it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::compression::{Compression, Packer, Stored};
use super::contents::Contents;
use super::label::Label;
use super::manifest::{Entry, Level, Manifest, Purpose, SCHEMA, Source, Table, Verified, path_for};
use super::scan::{Proof, Summary};
use super::stored::{self, NewFile};
use super::transport::{Dumping, Way, Ways};
use crate::docker::proven::ProvenEnd;
use crate::docker::{Container, Engine};
use crate::error::{self, Error, Result};
use crate::interrupt::Interrupt;
use crate::postgres::dump::{DumpOptions, Format};
use crate::postgres::facts::Facts;
use crate::postgres::lock::{self, Mode};
use crate::postgres::quote::literal;
use crate::postgres::{Access, Session, orphans};
use crate::progress::{Event, Progress};

/// Where the bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file, and its manifest beside it.
    File {
        /// Its name.
        path: PathBuf,
        /// What happens where the name is taken.
        taken: IfTaken,
    },
    /// Our stdout; no manifest, the exit code is the proof.
    Stdout,
}

/// What happens where a name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfTaken {
    /// The backup is refused.
    Refuse,
    /// The old one is replaced, once the new one is proven.
    Replace,
    /// The next name of the catalog's pattern is taken.
    Next,
}

/// A backup, decided.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    /// The operation's id.
    pub operation: String,
    /// Who asks, for `pg_stat_activity`: `user@host`.
    pub who: String,
    /// What it is made for.
    pub purpose: Purpose,
    /// What is backed up.
    pub source: Source,
    /// How to connect.
    pub access: Access,
    /// What is left out.
    pub dump: DumpOptions,
    /// How it is packed.
    pub compression: Compression,
    /// How many threads pack.
    pub threads: usize,
    /// Where it goes.
    pub destination: Destination,
    /// When it began.
    pub started: Timestamp,
    /// How long to wait for our own lock.
    pub lock_limit: Duration,
    /// How long the stream may be silent before the container is looked at.
    pub stall_limit: Duration,
    /// The ways the bytes may take.
    pub ways: Ways,
}

impl BackupRequest {
    /// Method and level, as in the manifest: ours around a plain dump, pg_dump's own inside an archive.
    pub fn packing(&self) -> String {
        match self.dump.compress.as_deref() {
            None => self.compression.to_string(),
            Some("0") => "none".to_owned(),
            Some(zstd) if zstd.starts_with("zstd") => zstd.to_owned(),
            Some(level) => format!("gzip:{level}"),
        }
    }
}

/// A finished backup.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its file; `None` when it went to stdout.
    pub path: Option<PathBuf>,
    /// Its manifest.
    pub manifest: Manifest,
}

/// Makes a backup.
///
/// # Errors
/// `Busy`: a restore or migration holds the lock. `Tool`: pg_dump failed. `Integrity`: what arrived is not
/// whole. `Refused`: the name is taken. `Failed`: the disk. `Interrupted`. In every case nothing of it is left.
pub async fn create(
    engine: &Arc<dyn Engine>,
    container: &Container,
    request: &BackupRequest,
    stdout: Option<Box<dyn Write + Send>>,
    progress: &Arc<dyn Progress>,
    interrupt: &Interrupt,
) -> Result<Created> {
    let begun = Instant::now();
    let name = format!("envctl/{} backup {}", &request.operation[..8], request.who);
    let holding = lock::hold(engine, container, &request.access, &name, Mode::Shared, request.lock_limit);
    let mut session = interrupt.or(holding).await??;
    for orphan in orphans::end(&mut session).await.unwrap_or_default() {
        progress.on(Event::Warning(format!("ended {orphan}, left behind by an envctl that was killed")));
    }
    let facts = Facts::read(&mut session).await.map_err(Error::from)?;
    let output = Output::open(request, stdout, &facts, progress)?;

    progress.step(&format!("dumping {}", facts.database));
    let dumper = format!("envctl/{} dump", &request.operation[..8]);
    let operation = &request.operation;
    let chosen = request.ways.choose(engine, &mut session, operation, facts.table_bytes, progress).await?;
    let (blocks, receiver) = mpsc::channel(4);
    let packing = output.pack(receiver, request, facts.table_bytes, progress);
    let dumping = Dumping {
        engine,
        container,
        options: &request.dump,
        application: &dumper,
        stall_limit: request.stall_limit,
        interrupt,
    };
    let dumped = dumping.run(chosen, &request.ways, session.access(), blocks).await;
    // The sender is gone by now, so the packing thread has seen the end of its input.
    let packed = tokio::task::spawn_blocking(move || packing.join()).await;
    let packed = packed
        .map_err(|_| error::failed("the packing thread was cancelled"))
        .and_then(|joined| joined.map_err(|_| error::failed("the packing thread failed")))
        .and_then(|result| result);
    let outcome = judge(dumped, packed, request);
    let (packed, end, way) = match outcome {
        Ok(both) => both,
        Err(error) => {
            // A dump that nobody reads goes on holding its locks and its snapshot: end it.
            end_dump(engine, container, request, session, &dumper).await;
            return Err(error);
        }
    };
    session.close().await;
    for line in end.stderr.lines().take(20) {
        progress.on(Event::Warning(format!("pg_dump: {line}")));
    }
    if let Some(why) = &way.why {
        progress.on(Event::Detail(format!("dumped by exec: {why}")));
    }
    progress.step("naming the file");
    let manifest = manifest(request, &facts, &packed, way, begun.elapsed());
    let path = packed.output.publish(request, &manifest)?;
    progress.on(Event::Done);
    Ok(Created { path, manifest })
}

/// Which of the two sides failed first, and whether what arrived is whole.
fn judge(
    dumped: Result<(ProvenEnd, Way)>,
    packed: Result<Packed>,
    request: &BackupRequest,
) -> Result<(Packed, ProvenEnd, Way)> {
    let (end, way) = match (dumped, &packed) {
        // The packing side stopped taking bytes: its own error is the cause, not the broken pipe.
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
    match packed.summary.proof() {
        Proof::Trailer => Ok((packed, end, way)),
        Proof::Missing(why) => Err(error::integrity(format!(
            "pg_dump ended with exit code 0, but its output is incomplete: {why}"
        ))
        .hint("nothing was kept; run it again with `-v`")),
    }
}

/// pg_dump's own complaint, with the cure where it is known.
fn dump_failed(end: &ProvenEnd, request: &BackupRequest) -> Error {
    let words = end.stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let first: Vec<&str> = words.take(6).collect();
    let text = first.join("; ");
    let container = &request.source.container;
    if end.exit_code == 127 || end.exit_code == 126 {
        return error::tool(format!("pg_dump cannot be run in container {container}: {text}"))
            .hint("is it the database container? name it with `--container NAME`");
    }
    let error =
        error::tool(format!("pg_dump in container {container} failed (exit code {}): {text}", end.exit_code));
    if text.contains("row-level security") {
        error.hint("the role does not see every row: dump as the owner or a role with BYPASSRLS; envctl never dumps half a table")
    } else if text.contains("permission denied") {
        error.hint("the role may not read everything: `[database] user` in envctl.toml names another")
    } else if text.contains("lock timeout") || (text.contains("LOCK TABLE") && text.contains("timeout")) {
        error
            .with_kind(error::ErrorKind::Busy)
            .hint("another session holds a lock on a table; wait longer with `--lock-timeout 5m`")
    } else {
        error
    }
}

async fn end_dump(
    engine: &Arc<dyn Engine>,
    container: &Container,
    request: &BackupRequest,
    mut session: Session,
    dumper: &str,
) {
    let sql = format!(
        "select count(pg_catalog.pg_terminate_backend(pid)) from pg_catalog.pg_stat_activity \
         where application_name = {} and pid <> pg_catalog.pg_backend_pid()",
        literal(dumper)
    );
    let ending = async {
        if session.query(&sql).await.is_err() {
            // That session went the way of the dump; a new one may still get through.
            let mut again = Session::open(engine, container, &request.access, "envctl cleanup").await.ok()?;
            again.query(&sql).await.ok()?;
            again.close().await;
        } else {
            session.close().await;
        }
        Some(())
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), ending).await;
}

/// The receiving end: scanner and packer over a file or stdout.
enum Output {
    File { file: NewFile, manifest: NewFile },
    Stdout(Box<dyn Write + Send>),
}

struct Packed {
    output: Output,
    stored: Stored,
    summary: Summary,
}

impl Output {
    fn open(
        request: &BackupRequest,
        stdout: Option<Box<dyn Write + Send>>,
        facts: &Facts,
        progress: &Arc<dyn Progress>,
    ) -> Result<Self> {
        let (path, taken) = match (&request.destination, stdout) {
            (Destination::Stdout, Some(stdout)) => return Ok(Self::Stdout(stdout)),
            (Destination::Stdout, None) => return Err(error::failed("there is no stdout to write to")),
            (Destination::File { path, taken }, _) => (path, *taken),
        };
        if taken == IfTaken::Refuse && stored::occupied(path) {
            return Err(stored::taken(path));
        }
        // A device, a pipe or a link that is replaced by a file is never what was meant.
        if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) {
            return Err(error::refused(format!("{} is no plain file and is left as it is", path.display()))
                .hint("name a file with `-o`, or stream with `-o -`"));
        }
        let file = NewFile::create(path, &request.operation)?;
        let manifest = NewFile::create(&path_for(path), &request.operation)?;
        if let Some(free) = stored::free_space(path).filter(|free| *free < facts.table_bytes / 5) {
            progress.on(Event::Warning(format!(
                "only {free} bytes are free for the backup of {} bytes of tables; it may not fit",
                facts.table_bytes
            )));
        }
        Ok(Self::File { file, manifest })
    }

    /// Starts the thread that scans and packs what comes.
    fn pack(
        self,
        receiver: mpsc::Receiver<Vec<u8>>,
        request: &BackupRequest,
        expected: u64,
        progress: &Arc<dyn Progress>,
    ) -> std::thread::JoinHandle<Result<Packed>> {
        let (format, compression, threads) = (request.dump.format, request.compression, request.threads);
        let progress = progress.clone();
        std::thread::spawn(move || match self {
            Self::File { file, manifest } => {
                let target = file.target().to_owned();
                let writer = file.writer()?;
                let (stored, summary, _) =
                    pump(receiver, format, compression, threads, writer, expected, &progress)
                        .map_err(|e| name_the_disk(e, &target))?;
                Ok(Packed { output: Self::File { file, manifest }, stored, summary })
            }
            Self::Stdout(stdout) => {
                let (stored, summary, stdout) =
                    pump(receiver, format, compression, threads, stdout, expected, &progress)?;
                Ok(Packed { output: Self::Stdout(stdout), stored, summary })
            }
        })
    }

    fn publish(self, request: &BackupRequest, json: &Manifest) -> Result<Option<PathBuf>> {
        match self {
            Self::Stdout(mut stdout) => {
                stdout.flush().map_err(|e| error::failed("stdout cannot be written").because(e))?;
                Ok(None)
            }
            Self::File { mut file, mut manifest } => {
                let Destination::File { taken, .. } = request.destination else { return Ok(None) };
                let target = manifest.target().to_owned();
                manifest
                    .write_all(json.to_json().as_bytes())
                    .map_err(|e| stored::write_failure(&target, e))?;
                loop {
                    match stored::publish_pair(&mut file, &mut manifest, taken == IfTaken::Replace) {
                        Err(e) if taken == IfTaken::Next && e.kind() == error::ErrorKind::Refused => {
                            let next = next_name(file.target()).ok_or(e)?;
                            manifest.rename_target(path_for(&next));
                            file.rename_target(next);
                        }
                        other => return other.map(Some),
                    }
                }
            }
        }
    }
}

/// The name after this one: another backup of the same second was faster.
fn next_name(path: &Path) -> Option<PathBuf> {
    let (label, extension) = Label::split(path.file_name()?.to_str()?)?;
    Some(path.with_file_name(label.next().file_name(extension)))
}

/// The packer knows that writing failed; where, it does not.
fn name_the_disk(error: Error, path: &Path) -> Error {
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            let copy = io.raw_os_error().map_or_else(|| io.kind().into(), std::io::Error::from_raw_os_error);
            return stored::write_failure(path, copy);
        }
        source = cause.source();
    }
    error
}

fn pump<W: Write + Send + 'static>(
    mut blocks: mpsc::Receiver<Vec<u8>>,
    format: Format,
    compression: Compression,
    threads: usize,
    out: W,
    expected: u64,
    progress: &Arc<dyn Progress>,
) -> Result<(Stored, Summary, W)> {
    let mut scanner = Contents::new(format);
    let mut packer = Packer::new(compression, threads, out)?;
    let mut table: Option<String> = None;
    while let Some(block) = blocks.blocking_recv() {
        scanner.feed(&block);
        if let Some(name) = scanner.current_table().filter(|name| table.as_deref() != Some(*name)) {
            table = Some(name.to_owned());
            progress.on(Event::Table(name.to_owned()));
        }
        packer.write_block(block)?;
        let done = scanner.bytes();
        progress.on(Event::Bytes { done, total: (expected > done).then_some(expected) });
    }
    let (stored, out) = packer.finish()?;
    Ok((stored, scanner.finish(), out))
}

fn manifest(request: &BackupRequest, facts: &Facts, packed: &Packed, way: Way, took: Duration) -> Manifest {
    let (stored, summary) = (&packed.stored, &packed.summary);
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Manifest {
        schema: SCHEMA,
        envctl: env!("CARGO_PKG_VERSION").to_owned(),
        operation: request.operation.clone(),
        purpose: request.purpose,
        source: request.source.clone(),
        database: facts.database.clone(),
        server_version: facts.version.to_string(),
        pg_dump_version: summary.pg_dump_version.clone(),
        format: request.dump.format.word().to_owned(),
        compression: request.packing(),
        transport: way.word.to_owned(),
        transport_why: way.why,
        whole: request.dump.is_whole(),
        started: request.started,
        duration_ms,
        plain_bytes: stored.plain_bytes,
        plain_sha256: stored.plain_sha256,
        stored_bytes: stored.bytes,
        stored_sha256: stored.sha256,
        tables: summary.copies.iter().map(|c| Table { name: c.table.clone(), rows: c.rows }).collect(),
        entries: summary
            .entries
            .iter()
            .map(|e| Entry { name: e.name.clone(), kind: e.kind.clone(), offset: e.offset })
            .collect(),
        extensions: summary.extensions.clone(),
        roles: summary.roles.clone(),
        last_migration: facts.migrations.as_ref().and_then(|m| m.last.clone()),
        verified: Verified {
            level: Level::Trailer,
            at: request.started.checked_add(took).unwrap_or(request.started),
        },
    }
}

//! Making a backup: pg_dump in the container, verified, compressed on all cores, named when it is safe.
//!
//! The way of a byte: worker → FIFO, or daemon → demultiplexer → end marker (see
//! [`crate::postgres::tools::runner`]); then blocks of
//! 1 MiB, bounded → scanner → compressor → temporary file. Memory is constant. The file gets its name only after
//! pg_dump's own exit code, the dump's own trailer, the packed stream's end and the disk's word; otherwise nothing is
//! left of it.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::backup::directory_format;
use crate::backup::dump_result::judge;
use crate::backup::request::BackupRequest;
use crate::backup::sealing::seal;
use crate::backup::sink::{BackupSink, WrittenBackup};
use crate::docker::Container;
use crate::docker::exec::verified_stream::{VerifiedExit, with_whereabouts};
use crate::dump::format::Format;
use crate::dump::sql::Summary;
use crate::error::Result;
use crate::operation::{Operation, SessionRole};
use crate::postgres::database_info::DatabaseInfo;
use crate::postgres::lock::{self, LockMode};
use crate::postgres::preload;
use crate::postgres::privileges::MAY_END;
use crate::postgres::search_path::SearchPath;
use crate::postgres::search_path_dependents::SearchPathDependent;
use crate::postgres::tools::dump_runner::DumpRunner;
use crate::postgres::tools::pg_dump::WireCompression as FileEncoding;
use crate::postgres::tools::runner::{DumpKind, TransportUsed};
use crate::postgres::{Session, orphan_sessions};
use crate::progress::Event;
use crate::repository::authenticity::{Authenticity, allowed};
use crate::repository::manifest::{Manifest, RestoreHints, SCHEMA, Verification, VerificationLevel};
use crate::sync::join;
use crate::text::sql_quote::literal;

/// A finished backup.
#[derive(Clone, Debug)]
pub(crate) struct Created {
    /// File of the backup; `None` for a backup to stdout.
    pub(crate) path: Option<PathBuf>,
    /// Manifest of the backup.
    pub(crate) manifest: Manifest,
}

/// Makes a backup; `open` is a session in its database, where there is one already.
///
/// # Errors
/// `Busy`: a restore or migration holds the lock. `Tool`: pg_dump failed. `Integrity`: what arrived is not
/// whole. `Refused`: the name is taken. `Failed`: the disk. `Cancelled`. In every case nothing of it is left.
pub(crate) async fn create(
    container: &Container,
    request: &BackupRequest,
    open: Option<Session>,
    stdout: Option<Box<dyn Write + Send>>,
) -> Result<Created> {
    let begun = Instant::now();
    let operation = &request.operation;
    let Operation { cancel, progress, .. } = operation;
    let name = operation.application_name(SessionRole::Backup);
    let holding = async {
        let limit = request.lock_limit;
        match open {
            Some(open) => lock::hold_in(open, &name, LockMode::Shared, limit).await,
            None => lock::hold(container, &request.access, &name, LockMode::Shared, limit).await,
        }
    };
    let mut session = cancel.run_until_cancelled(holding).await??;
    for orphan in orphan_sessions::end(&mut session).await.unwrap_or_default() {
        progress
            .on(Event::Warning(format!("ended the session {orphan}, orphan of an envctl that was killed")));
    }
    let facts = DatabaseInfo::read(&mut session).await?;
    let search_path = SearchPath::of_role(&mut session).await?;
    let preload_libraries = preload::read(&mut session).await?;
    for reliance in SearchPathDependent::find(&mut session).await.unwrap_or_default() {
        progress.on(Event::Warning(format!("{}; repair it: `{}`", reliance.told(), reliance.cure())));
    }
    let output = BackupSink::open(request, stdout, &facts)?;

    progress.step(&format!("dumping {}", facts.database));
    let dumper = operation.application_name(SessionRole::Dump);
    let plain = request.dump.format == Format::Plain;
    let (kind, bytes) = match request.dump.format {
        Format::Plain | Format::Custom => (DumpKind::Stream, facts.table_bytes),
        // Nothing but a worker writes it.
        Format::Directory => (DumpKind::Files, u64::MAX),
    };
    let runner = request.transport_options.choose(&mut session, operation, kind, bytes).await?;
    let dumping = DumpRunner {
        runner: &runner,
        access: session.access(),
        options: &request.dump,
        // An archive is packed as it is.
        compression: plain
            .then(|| FileEncoding::on_the_way(&facts.version, !container.engine().is_local()))
            .flatten(),
        application: &dumper,
        stall_limit: request.stall_limit,
        cancel,
    };
    let outcome = match request.dump.format {
        Format::Plain | Format::Custom => streamed(&dumping, output, request, &facts).await,
        Format::Directory => directory_format::gather(&dumping, output, request).await,
    };
    let (packed, end, way) = match outcome {
        Ok(both) => both,
        Err(error) => {
            // A dump that nobody reads goes on holding its locks and its snapshot: end it.
            end_dump(session, &dumper).await;
            return Err(with_whereabouts(container, error).await);
        }
    };
    session.close().await;
    for line in end.stderr.lines().take(20) {
        progress.on(Event::Warning(format!("pg_dump: {line}")));
    }
    progress.on(Event::Detail(match (&way.why, way.transport) {
        (Some(why), _) => format!("dumped by exec: {why}"),
        (None, "worker") => "dumped by a worker beside the database".to_owned(),
        (None, transport) => format!("dumped by {transport}"),
    }));
    progress.step("naming the file");
    let mut manifest = manifest(request, &facts, &packed, way, begun.elapsed());
    manifest.search_path = search_path.schemas().to_vec();
    manifest.preload_libraries = preload_libraries;
    manifest.empty = manifest.is_empty();
    seal(request, &mut manifest, packed.head).await?;
    let path = Box::pin(packed.output.publish(&manifest)).await?;
    progress.on(Event::Done);
    Ok(Created { path, manifest })
}

async fn end_dump(mut session: Session, dumper: &str) {
    let sql = format!(
        "select count(pg_catalog.pg_terminate_backend(a.pid)) from pg_catalog.pg_stat_activity a \
         where a.application_name = {} and a.pid <> pg_catalog.pg_backend_pid() and {MAY_END}",
        literal(dumper)
    );
    let ending = async {
        if session.query(&sql).await.is_err() {
            // That session went the way of the dump; a new one may still get through.
            let mut again = session.open_another("envctl cleanup").await.ok()?;
            again.query(&sql).await.ok()?;
            again.close().await;
        } else {
            session.close().await;
        }
        Some(())
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), ending).await;
}

/// Dumps and packs side by side.
async fn streamed(
    dumping: &DumpRunner<'_>,
    output: BackupSink,
    request: &BackupRequest,
    facts: &DatabaseInfo,
) -> Result<(WrittenBackup, VerifiedExit, TransportUsed)> {
    let (blocks, receiver) = mpsc::channel(4);
    let compression = output.pack(receiver, request, facts.table_bytes);
    let dumped = dumping.run(blocks).await;
    // The sender is gone by now, so the compression thread has seen the end of its input.
    judge(dumped, join(compression).await, request)
}

fn manifest(
    request: &BackupRequest,
    facts: &DatabaseInfo,
    packed: &WrittenBackup,
    way: TransportUsed,
    took: Duration,
) -> Manifest {
    let (stored, summary) = (&packed.stored, &packed.summary);
    let started = request.operation.started;
    let plain = request.dump.format == Format::Plain;
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Manifest {
        schema: SCHEMA,
        envctl: env!("CARGO_PKG_VERSION").to_owned(),
        operation: request.operation.id.clone(),
        purpose: request.purpose,
        source: request.source.clone(),
        database: facts.database.clone(),
        databases: Vec::new(),
        server_version: facts.version.to_string(),
        pg_dump_version: summary.pg_dump_version.clone(),
        format: request.dump.format.keyword().to_owned(),
        compression: request.compression(),
        transport: way.transport.to_owned(),
        transport_reason: way.why,
        whole: request.dump.is_whole(),
        started,
        duration_ms,
        plain_bytes: stored.plain_bytes,
        plain_sha256: stored.plain_sha256,
        stored_bytes: stored.bytes,
        stored_sha256: stored.sha256,
        tables: summary.copies.clone(),
        entries: summary.entries.clone(),
        restore_hints: plain.then(|| restore_hints(summary)).flatten(),
        extensions: summary.extensions.clone(),
        roles: summary.roles.clone(),
        search_path: Vec::new(),
        preload_libraries: Vec::new(),
        last_migration: facts.migrations.as_ref().and_then(|m| m.last.clone()),
        verified: Verification {
            level: VerificationLevel::Complete,
            at: started.checked_add(took).unwrap_or(started),
            by: Some(request.operation.actor.clone()),
            restored_in_ms: None,
            tested_at: None,
            opened_at: None,
        },
        encryption: None,
        empty: false,
        mac: None,
    }
}

/// Only of a dump about which everything was learned, and nothing that a restore would have to ask about.
fn restore_hints(summary: &Summary) -> Option<RestoreHints> {
    let usual = !summary.overflow && !summary.bom && !summary.cluster;
    let permitted =
        summary.findings.iter().all(|finding| allowed(finding.kind, &Authenticity::Authenticated, false));
    (usual && permitted && summary.findings_left_out == 0).then(|| RestoreHints {
        restrict: summary.restrict_key.is_some(),
        tablespaces: summary.tablespaces.clone(),
        encoding: summary.encoding.clone(),
        text: Some(summary.text),
    })
}

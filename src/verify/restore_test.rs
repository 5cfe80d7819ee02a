//! A restore test: the backup restored into a throwaway server, dumped again to nowhere, and compared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::consent::Confirmed;
use crate::docker::engine::Engine;
use crate::docker::worker::worker_spec::ResourceLimits;
use crate::dump::format::Format;
use crate::dump::scanner::AnyScanner;
use crate::dump::sql::Summary;
use crate::error::{self, Error, ErrorKind, Result};
use crate::operation::{Operation, SessionRole};
use crate::postgres::database_info::DatabaseInfo;
use crate::postgres::preload;
use crate::postgres::search_path::SearchPath;
use crate::postgres::tools::dump_runner::DumpRunner;
use crate::postgres::tools::pg_dump::DumpOptions;
use crate::postgres::tools::runner::{DumpKind, Transport, TransportOptions};
use crate::postgres::{Access, Session};
use crate::repository::manifest::Manifest;
use crate::repository::manifest_comparison::{ManifestComparison, compare};
use crate::restore::all_databases::Roles;
use crate::restore::examine::{DumpSource, InputOptions, examine};
use crate::restore::load_workarounds::LoadWorkarounds;
use crate::restore::planner::{RestoreInput, RestoreOptions, plan};
use crate::restore::run::run;
use crate::sync::join;
use crate::text::units::counted;
use crate::verify::assertions::Assertions;
use crate::verify::server::ThrowawayServer;

/// Request of a restore test.
pub(crate) struct RestoreTest {
    pub(crate) operation: Operation,
    /// The backup: a file, or a copy of one in a store.
    pub(crate) source: DumpSource,
    pub(crate) manifest: Manifest,
    /// True where the manifest is authenticated.
    pub(crate) trusted: bool,
    /// Options by which the file is read: keys and what is trusted.
    pub(crate) input: InputOptions,
    /// Name or id of the image.
    pub(crate) image: String,
    /// Limits of the throwaway server.
    pub(crate) limits: ResourceLimits,
    /// Number of decompression threads.
    pub(crate) threads: usize,
    /// Number of load sessions; `None`: as the dump is worth it.
    pub(crate) jobs: Option<u8>,
    pub(crate) transport_options: TransportOptions,
    pub(crate) assertions: Assertions,
    /// Roles of a backup of all databases.
    pub(crate) globals: Roles,
    /// Longest silence of a stream.
    pub(crate) stall_limit: Duration,
}

/// A restore test that was passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestoreTestResult {
    /// Time from the first byte of the backup to a database that can be used.
    pub(crate) restored_in: Duration,
    /// Tables compared.
    pub(crate) tables: usize,
    /// Rows compared.
    pub(crate) rows: u64,
    /// Reports that the contents were compared, not only the numbers of rows.
    pub(crate) by_contents: bool,
    /// Assertions that held.
    pub(crate) assertions: usize,
    pub(crate) notes: Vec<String>,
}

impl RestoreTest {
    /// Makes the test.
    ///
    /// # Errors
    /// `Integrity`: the backup does not restore, or not to what it was made from. `Unverified`: the test could not be
    /// made. `Cancelled`. In every case nothing of the server is left.
    pub(crate) async fn run(&self, engine: &Arc<dyn Engine>) -> Result<RestoreTestResult> {
        let Operation { cancel, progress, .. } = &self.operation;
        if !self.manifest.whole {
            return Err(error::unverified(format!(
                "{} holds only a part of its database",
                self.source.name()
            ))
            .note("it cannot be restored alone; `backup verify` without --restore reads it to its end"));
        }
        progress.step("starting a throwaway server");
        let home = &self.transport_options.private_dirs;
        let arguments = preload::arguments(&self.manifest.preload_libraries, &self.database());
        let starting =
            ThrowawayServer::start(engine, &self.operation, &self.image, self.limits, arguments, home);
        let server = Box::pin(starting).await.map_err(not_made)?;
        let tested = match cancel.run_until_cancelled(Box::pin(self.run_on(&server))).await {
            Ok(tested) => tested,
            Err(cancelled) => Err(cancelled),
        };
        let ended = tested.is_err() && server.has_ended().await;
        let library = if ended { server.missing_library().await } else { None };
        progress.step("removing the throwaway server");
        let removed = server.remove().await;
        if let Some(library) = library {
            return Err(error::unverified(format!(
                "could not verify: the image has not the library {library}, which the server of the backup preloads"
            ))
            .note(format!("the image is {}", self.image))
            .hint(format!("get the image that the backup was made from: `docker pull {}`", self.manifest.source.image)));
        }
        match tested {
            Err(cause) if ended && !matches!(cause.kind(), ErrorKind::Cancelled(_)) => Err(not_made(cause)
                .note("the throwaway server ended by itself: its memory may be too small")
                .hint("give it more memory: `--memory 4g`")),
            Err(cause) => Err(cause),
            Ok(passed) => removed.map(|()| passed),
        }
    }

    /// Name of the database that the backup is restored into.
    fn database(&self) -> String {
        format!("verify_{}", self.operation.id.short())
    }

    async fn run_on(&self, server: &ThrowawayServer) -> Result<RestoreTestResult> {
        let progress = &self.operation.progress;
        let prepared = server.prepare(&self.manifest, self.trusted, &self.globals, &self.operation).await;
        let refused = prepared.map_err(|cause| match cause.kind() {
            ErrorKind::Integrity => cause,
            _ => not_made(cause),
        })?;
        let database = self.restore(server);
        let (access, restored_in) = Box::pin(database).await?;
        progress.step("comparing contents");
        let summary = Box::pin(self.dump(server, &access)).await.map_err(not_made)?;
        let ManifestComparison { differences, mut notes, by_contents, tables, rows } =
            compare(&self.manifest, &summary);
        let name = self.operation.application_name(SessionRole::Restore);
        let mut session = Session::open(server.container(), &access, &name).await.map_err(not_made)?;
        let mut failures = differences;
        failures.extend(self.migration(&mut session).await.map_err(not_made)?);
        failures.extend(invalid_indexes(&mut session).await.map_err(not_made)?);
        if !failures.is_empty() {
            return Err(self
                .failed("does not give back what was backed up", &failures)
                .hint("make a new backup: `envctl backup`"));
        }
        progress.step("running assertions");
        session.query(&self.search_path()).await.map_err(Error::from).map_err(not_made)?;
        let failures = self.assertions.run(&mut session).await.map_err(not_made)?;
        session.close().await;
        if !failures.is_empty() {
            return Err(self
                .failed("does not meet what is asserted of it", &failures)
                .hint("run the same query on the live database: `envctl psql -c 'QUERY'`"));
        }
        notes.sort();
        notes.extend(
            refused.into_iter().map(|cause| format!("a membership of roles was not granted: {cause}")),
        );
        Ok(RestoreTestResult {
            restored_in,
            tables,
            rows,
            by_contents,
            assertions: self.assertions.count(),
            notes,
        })
    }

    /// Restores the backup; gives the access to the database, and the time it took.
    async fn restore(&self, server: &ThrowawayServer) -> Result<(Access, Duration)> {
        let Operation { cancel, progress, .. } = &self.operation;
        let began = Instant::now();
        let reading = examine(&self.source, &self.input, self.threads, progress, cancel);
        let examined = reading.await?;
        // No worker can reach a server without network but by its own loopback.
        let transport_options =
            TransportOptions { transport: Transport::Exec, ..self.transport_options.clone() };
        let database = self.database();
        let options = RestoreOptions {
            operation: self.operation.clone(),
            threads: self.threads,
            jobs: self.jobs,
            transport_options,
            lock_limit: Duration::from_secs(5),
            trust: self.input.trust,
            no_backup: true,
            // Nobody queries it.
            analyze: false,
            aids: LoadWorkarounds::default(),
        };
        let input = RestoreInput {
            source: self.source.clone(),
            examined: Some(&examined),
            asked: self.input.clone(),
            roles: Roles::default(),
            database: database.clone(),
            encoding: examined.summary.encoding.as_deref(),
        };
        let planned = plan(server.container(), server.access(), input, &options).await;
        let (planned, _) = planned.map_err(not_made)?;
        let confirmed = Confirmed::on_disposable(planned, server.disposable());
        let restored = Box::pin(run(server.container(), confirmed)).await;
        restored.map_err(|cause| self.not_restored(cause))?;
        Ok((server.access().to(&database), began.elapsed()))
    }

    /// Dumps the restored database to nowhere.
    async fn dump(&self, server: &ThrowawayServer, access: &Access) -> Result<Summary> {
        let plain = self.manifest.format == Format::Plain.keyword();
        let format = if plain { Format::Plain } else { Format::Custom };
        let options = DumpOptions {
            format,
            // Nobody keeps it.
            compress: (!plain).then(|| "0".to_owned()),
            jobs: 1,
            schema_only: false,
            data_only: false,
            exclude_table_data: Vec::new(),
            lock_wait_ms: 5_000,
        };
        let application = self.operation.application_name(SessionRole::Dump);
        let mut session = Session::open(server.container(), access, &application).await?;
        let transport_options =
            TransportOptions { transport: Transport::Exec, ..self.transport_options.clone() };
        let runner = transport_options.choose(&mut session, &self.operation, DumpKind::Stream, 0).await?;
        session.close().await;
        let dumping = DumpRunner {
            runner: &runner,
            access,
            options: &options,
            compression: None,
            application: &application,
            stall_limit: self.stall_limit,
            cancel: &self.operation.cancel,
        };
        let (blocks, mut receiver) = mpsc::channel::<Vec<u8>>(4);
        let scanning = std::thread::spawn(move || {
            let mut scanner = AnyScanner::new(format);
            while let Some(block) = receiver.blocking_recv() {
                scanner.feed(&block);
            }
            Ok(scanner.finish())
        });
        let dumped = dumping.run(blocks).await;
        let summary = join(scanning).await?;
        let (end, _) = dumped?;
        if end.exit_code != 0 {
            return Err(error::tool(format!(
                "pg_dump of the restored database failed: {}",
                end.stderr.trim()
            )));
        }
        Ok(summary)
    }

    /// Compares the last migration.
    async fn migration(&self, session: &mut Session) -> Result<Option<String>> {
        let Some(expected) = &self.manifest.last_migration else { return Ok(None) };
        let last = DatabaseInfo::read(session).await?.migrations.and_then(|history| history.last);
        Ok((last.as_ref() != Some(expected)).then(|| {
            format!("the last migration is {} and not {expected}", last.as_deref().unwrap_or("missing"))
        }))
    }

    /// Sets the search path that the database had: the team writes its assertions as for the application.
    fn search_path(&self) -> String {
        let path = SearchPath::of(self.manifest.search_path.clone());
        if path.is_empty() {
            "reset search_path".to_owned()
        } else {
            format!("set search_path = {}", path.sql())
        }
    }

    /// A failure of the backup, with what does not hold.
    fn failed(&self, what: &str, failures: &[String]) -> Error {
        const SHOWN: usize = 10;
        let mut error = error::integrity(format!(
            "{} {what}: {}",
            self.source.name(),
            counted(failures.len() as u64, "failure", "failures")
        ));
        for failure in failures.iter().take(SHOWN) {
            error = error.note(failure);
        }
        if failures.len() > SHOWN {
            error = error.note(format!("and {} more", failures.len() - SHOWN));
        }
        error
    }

    /// Tells a backup that does not restore from a restore that could not be made.
    fn not_restored(&self, cause: Error) -> Error {
        match cause.kind() {
            ErrorKind::Tool | ErrorKind::Integrity if !is_of_the_server(&cause) => cause
                .with_kind(ErrorKind::Integrity)
                .context(format!("{} does not restore", self.source.name())),
            _ => not_made(cause),
        }
    }
}

/// Reports that the throwaway server could not do the work: no disk or memory, a session that was lost, a library that
/// the image does not preload.
fn is_of_the_server(cause: &Error) -> bool {
    const COMPLAINTS: [&str; 12] = [
        "No space left on device",
        "could not extend file",
        "could not resize shared memory",
        "out of memory",
        "out of shared memory",
        "server closed the connection",
        "connection to server was lost",
        "terminating connection",
        "in recovery mode",
        "shared_preload_libraries",
        "53100",
        "53200",
    ];
    let text = format!("{} {}", cause.full_message(), cause.notes().join(" "));
    COMPLAINTS.iter().any(|part| text.contains(part))
}

/// Turns a failure that says nothing about the backup into `Unverified`.
fn not_made(cause: Error) -> Error {
    match cause.kind() {
        ErrorKind::Cancelled(_) | ErrorKind::Timeout | ErrorKind::Unverified => cause,
        _ => cause.with_kind(ErrorKind::Unverified).context("could not verify"),
    }
}

/// Names indexes that a failed build has left invalid.
async fn invalid_indexes(session: &mut Session) -> Result<Vec<String>> {
    let ask = "select pg_catalog.format('index %I.%I is not valid', n.nspname, c.relname) \
               from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid \
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace where not i.indisvalid order by 1";
    let rows = session.query(ask).await?;
    Ok(rows.into_iter().flatten().collect())
}

impl RestoreTestResult {
    /// Joins the tests of two databases of one backup.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.restored_in += other.restored_in;
        self.tables += other.tables;
        self.rows += other.rows;
        self.by_contents &= other.by_contents;
        self.assertions += other.assertions;
        self.notes.extend(other.notes);
        self
    }
}

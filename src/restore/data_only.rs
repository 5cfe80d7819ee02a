//! Restoring a dump that holds rows and no tables (`pg_dump --data-only`).
//!
//! The staging database takes its tables, and the rows of all other tables, from the live database; then come the rows of the
//! file, then indexes, keys and triggers of the live database.
//!
//! Promises: no row that somebody writes into the live database meanwhile is lost, since its tables are locked against
//! writers until the swap; all that is read of it is of one snapshot; only the rows come from the file, and only they are
//! loaded by the role of a file that nobody vouches for.

use crate::docker::Container;
use crate::dump::sql::Summary;
use crate::error::{self, Error, Result};
use crate::operation::{Operation, SessionRole};
use crate::postgres::session::Refusal;
use crate::postgres::tools::copy_database;
use crate::postgres::tools::copy_database::Sections;
use crate::postgres::tools::load_settings::LoadSettings;
use crate::postgres::tools::statement_error::Complaint;
use crate::postgres::{Access, Session};
use crate::random::nonce;
use crate::text::mask;
use crate::text::sql_quote::{ident, literal};
use std::time::{Duration, Instant};

/// Tables that a dump of rows alone fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataOnly {
    /// Tables as SQL, each with its schema.
    tables: Vec<String>,
    /// Reports that the dump holds large objects.
    large_objects: bool,
}

/// Kinds of entries that hold rows, values of sequences or large objects, and what stands in front of them.
const DATA: &[&str] = &[
    "TABLE DATA",
    "SEQUENCE SET",
    "BLOB",
    "BLOBS",
    "BLOB COMMENTS",
    "BLOB METADATA",
    "ENCODING",
    "STDSTRINGS",
    "SEARCHPATH",
];

impl DataOnly {
    /// Returns the tables of a dump that holds rows and nothing that makes a table.
    pub(crate) fn of(summary: &Summary, is_archive: bool) -> Option<Self> {
        let rows = &summary.notes.rows;
        let is_data = |kind: &str, name: &str| {
            DATA.contains(&kind)
                || (matches!(kind, "COMMENT" | "ACL" | "SECURITY LABEL") && name.starts_with("LARGE OBJECT"))
        };
        if rows.others > 0 || !summary.entries.iter().all(|entry| is_data(&entry.kind, &entry.name)) {
            return None;
        }
        let mut tables: Vec<String> = rows.tables.iter().cloned().collect();
        let entries = summary.entries.iter().filter(|entry| entry.kind == "TABLE DATA");
        if is_archive {
            let names = entries.map(|e| Some(format!("{}.{}", ident(e.schema.as_deref()?), ident(&e.name))));
            tables.extend(names.collect::<Option<Vec<_>>>()?);
        } else if tables.is_empty() && entries.count() >= summary.copies.len() {
            // A manifest tells the tables of a dump that was not read again.
            tables.extend(summary.copies.iter().map(|copy| copy.table.clone()));
        }
        tables.sort();
        tables.dedup();
        let large_objects = rows.large_objects || summary.entries.iter().any(|e| e.kind.starts_with("BLOB"));
        (!tables.is_empty()).then_some(Self { tables, large_objects })
    }

    /// Looks the tables up in their database.
    ///
    /// # Errors
    /// Kind `Refused`: a table is not there, or is none.
    pub(crate) async fn decide(&self, session: &mut Session, source: &str) -> Result<DataOnlyPlan> {
        let names: Vec<String> = self.tables.iter().map(|name| format!("({})", literal(name))).collect();
        let named = format!(
            "named(name, oid) as (select v.name, pg_catalog.to_regclass(v.name)::pg_catalog.oid from (values {}) v(name))",
            names.join(", ")
        );
        let database = session.access().database.clone();
        let missing = format!("with {named} select name from named where oid is null order by 1");
        let missing = session.column(&missing).await?;
        if !missing.is_empty() {
            return Err(error::refused(format!(
                "{source} holds rows and no tables, and database {database:?} has no {}",
                list("table", &missing)
            ))
            .hint("make the tables first: `envctl migrate`, or restore a dump that holds them, too"));
        }
        let others = format!(
            "with {named} select name from named join pg_catalog.pg_class c using (oid) \
             where c.relkind not in ('r', 'p') order by 1"
        );
        let others = session.column(&others).await?;
        if !others.is_empty() {
            let which = if others.len() == 1 { "which is no table" } else { "which are no tables" };
            return Err(error::refused(format!("{source} has rows for {}, {which}", others.join(", ")))
                .hint("leave it out of the dump: `pg_dump --data-only --exclude-table=NAME`"));
        }
        let of_extension = "exists (select from pg_catalog.pg_depend d \
             where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')";
        let filled = "filled(oid) as (select oid from named union \
             select i.inhrelid from filled f join pg_catalog.pg_class c on c.oid = f.oid and c.relkind = 'p' \
             join pg_catalog.pg_inherits i on i.inhparent = f.oid)";
        let tables = format!(
            "with recursive {named}, {filled} select n.nspname, c.relname, {of_extension} \
             from filled join pg_catalog.pg_class c using (oid) \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace order by 1, 2"
        );
        let rows = session.query(&tables).await?;
        let tables = rows.into_iter().filter_map(|row| <[String; 3]>::try_from(row).ok());
        let tables = tables.map(|[schema, name, ext]| DataTable { schema, name, of_extension: ext == "t" });
        let tables: Vec<DataTable> = tables.collect();
        let kept = format!(
            "with recursive {named}, {filled} select count(*) from pg_catalog.pg_class c \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace where {OWN} and not {of_extension} \
             and c.oid not in (select oid from filled)"
        );
        let kept = session.value(&kept).await?;
        Ok(DataOnlyPlan {
            tables,
            named: self.tables.len(),
            kept: kept.and_then(|kept| kept.parse().ok()).unwrap_or(0),
            large_objects: self.large_objects,
        })
    }
}

/// Condition on `pg_class c` and `pg_namespace n`: an ordinary table of a user's.
const OWN: &str = "c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' \
     and n.nspname <> 'information_schema'";

fn list(noun: &str, names: &[String]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{noun}{plural} {}", names.join(", "))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct DataTable {
    schema: String,
    name: String,
    /// An extension may fill it when it is created.
    of_extension: bool,
}

impl DataTable {
    fn sql(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }
}

/// Plan of a data-only restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataOnlyPlan {
    /// Tables that are filled by the file alone; those of a partitioned table, too.
    tables: Vec<DataTable>,
    /// Count of the tables that the file names.
    named: usize,
    /// Count of the tables that keep their rows.
    kept: u64,
    /// Large objects come from the file alone.
    large_objects: bool,
}

impl std::fmt::Display for DataOnlyPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tables = if self.named == 1 { "table" } else { "tables" };
        write!(f, "replaces the rows of {} {tables}; ", self.named)?;
        match self.kept {
            0 => f.write_str("no other table has rows to keep")?,
            1 => f.write_str("1 other keeps its rows")?,
            kept => write!(f, "{kept} others keep theirs")?,
        }
        if self.large_objects {
            f.write_str("; replaces all large objects")?;
        }
        Ok(())
    }
}

/// The live database while a restore of rows reads it.
pub(crate) struct LiveDatabase<'a> {
    container: &'a Container,
    plan: &'a DataOnlyPlan,
    access: Access,
    loading: LoadSettings,
    snapshot: String,
    /// Name of the sessions that copy.
    loader: String,
    limit: Duration,
    /// Holds the locks for as long as it lives.
    _blocking: Session,
}

/// Tables that one statement locks or asks for.
const AT_ONCE: usize = 200;
/// Time of one try to lock: whoever waits for a lock makes others wait.
const TRY: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);

impl<'a> LiveDatabase<'a> {
    /// Locks every table of the live database against writers, and exports a snapshot.
    ///
    /// # Errors
    /// Kind `Busy`: a table is in use for longer than `limit`. The server refuses.
    pub(crate) async fn hold(
        container: &'a Container,
        plan: &'a DataOnlyPlan,
        access: &Access,
        operation: &Operation,
        limit: Duration,
    ) -> Result<Self> {
        let application = operation.application_name(SessionRole::Restore);
        let mut blocking = Session::open(container, access, &application).await?;
        let loading = LoadSettings::of(&mut blocking).await?;
        let started = Instant::now();
        let snapshot = loop {
            let refusal = match lock(&mut blocking).await {
                Ok(snapshot) => break snapshot,
                Err(refusal) => refusal,
            };
            // lock_not_available
            if refusal.state() != Some("55P03") {
                return Err(Error::from(refusal).context("the tables cannot be locked against writers"));
            }
            blocking.query("ROLLBACK").await?;
            if started.elapsed() >= limit {
                return Err(error::busy(format!(
                    "a table of database {:?} is written to or changed for too long: the other tables keep their rows, \
                     so nobody may write until the swap",
                    access.database
                ))
                .hint("wait longer with `--lock-timeout 5m`, or stop the application first"));
            }
            tokio::time::sleep(PAUSE).await;
        };
        let access = blocking.access().clone();
        let loader = operation.application_name(SessionRole::Load);
        Ok(Self { container, plan, access, loading, snapshot, loader, limit, _blocking: blocking })
    }

    /// Fills an empty staging database with the tables of the live one and the rows of those that keep theirs.
    ///
    /// # Errors
    /// Kind `Tool`: the live database cannot be dumped or its schema does not load. `Integrity`: a table of the file is not
    /// empty.
    pub(crate) async fn prepare(&self, staging: &str) -> Result<()> {
        let tables = self.plan.tables.iter().map(|table| (table.schema.as_str(), table.name.as_str()));
        let what =
            Sections { names: &["pre-data", "data"], without_rows_of: tables.collect(), ..self.sections() };
        self.copy(staging, &what).await.map_err(|text| {
            error::tool(format!("database {:?} cannot be copied: {text}", self.access.database))
        })?;
        let mut session = self.inside(staging).await?;
        for tables in self.plan.tables.chunks(AT_ONCE) {
            let tables = tables.iter().filter(|table| !table.of_extension);
            let asks: Vec<String> = tables
                .map(|table| {
                    format!(
                        "select {} where exists (select from only {})",
                        literal(&table.sql()),
                        table.sql()
                    )
                })
                .collect();
            if asks.is_empty() {
                continue;
            }
            if let Some(table) = session.value(&asks.join(" union all ")).await? {
                return Err(error::integrity(format!("{table} was to be empty before the rows of the file"))
                    .note("nothing was swapped in"));
            }
        }
        session.close().await;
        Ok(())
    }

    /// Lets a role of its own load the rows.
    pub(crate) async fn admit(&self, staging: &str, role: &str) -> Result<()> {
        let role = ident(role);
        let mut session = self.inside(staging).await?;
        let of_sequences = "select distinct n.nspname from pg_catalog.pg_class c \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where c.relkind = 'S' and n.nspname !~ '^pg_'";
        let mut schemas = session.column(of_sequences).await?;
        schemas.extend(self.plan.tables.iter().map(|table| table.schema.clone()));
        schemas.sort();
        schemas.dedup();
        for schema in schemas {
            let grant = format!("GRANT USAGE ON SCHEMA {} TO {role}", ident(&schema));
            session.query(&grant).await?;
        }
        for tables in self.plan.tables.chunks(AT_ONCE) {
            let tables: Vec<String> = tables.iter().map(DataTable::sql).collect();
            let grant = format!("GRANT SELECT, INSERT ON TABLE {} TO {role}", tables.join(", "));
            session.query(&grant).await?;
        }
        let sequences = format!(
            "select pg_catalog.format('GRANT USAGE, SELECT, UPDATE ON SEQUENCE %s TO %s; ', c.oid::pg_catalog.regclass, {role}) \
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where c.relkind = 'S' and n.nspname !~ '^pg_'",
            role = literal(&role)
        );
        for grant in session.column(&sequences).await? {
            session.query(grant.trim_end_matches("; ")).await?;
        }
        session.close().await;
        Ok(())
    }

    /// Adds the indexes, keys and triggers of the live database.
    ///
    /// # Errors
    /// Kind `Tool`: the rows of the file do not fit, in the server's words.
    pub(crate) async fn finish(&self, staging: &str, source: &str) -> Result<()> {
        let what = Sections { names: &["post-data"], ..self.sections() };
        self.copy(staging, &what).await.map_err(|text| {
            error::tool(format!(
                "the rows of {source} do not fit database {:?}: {text}",
                self.access.database
            ))
            .note("the database is as it was; nothing was swapped in")
        })
    }

    /// Counts the rows of the tables that the file fills, and the tables that have some.
    pub(crate) async fn count(&self, staging: &str) -> Result<(u64, usize)> {
        let mut session = self.inside(staging).await?;
        let (mut rows, mut tables) = (0, 0);
        for chunk in self.plan.tables.chunks(AT_ONCE) {
            let counts: Vec<String> =
                chunk.iter().map(|table| format!("select count(*) from only {}", table.sql())).collect();
            for count in session.column(&counts.join(" union all ")).await? {
                let count = count.parse::<u64>().unwrap_or(0);
                rows += count;
                tables += usize::from(count > 0);
            }
        }
        session.close().await;
        Ok((rows, tables))
    }

    fn sections(&self) -> Sections<'_> {
        Sections {
            without_large_objects: self.plan.large_objects,
            snapshot: &self.snapshot,
            lock_wait_ms: u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX).max(1),
            ..Sections::default()
        }
    }

    /// Copies sections; the tools' words where that fails.
    async fn copy(&self, staging: &str, what: &Sections<'_>) -> std::result::Result<(), String> {
        let mark = format!("ENVCTL-COPIED-{}", nonce());
        let to = self.access.to(staging);
        let spec = copy_database::sections(&self.access, &to, what, (&self.loader, &mark), self.loading);
        let ended = self.container.capture(&spec, None).await.map_err(|e| e.full_message())?;
        if ended.exit_code == 0 && ended.text().lines().any(|line| line == mark) {
            return Ok(());
        }
        let text = Complaint::of(&mask(&ended.complaint())).told();
        Err(if text.is_empty() { "the tools gave no reason".to_owned() } else { text })
    }

    async fn inside(&self, staging: &str) -> Result<Session> {
        Session::open(self.container, &self.access.to(staging), &self.loader).await
    }
}

/// Locks the tables in a transaction that stays open, and returns its snapshot.
async fn lock(blocking: &mut Session) -> std::result::Result<String, Refusal> {
    blocking.query("BEGIN").await?;
    blocking.query(&format!("SET LOCAL lock_timeout = '{}ms'", TRY.as_millis())).await?;
    let ask = format!(
        "select pg_catalog.format('ONLY %I.%I', n.nspname, c.relname) from pg_catalog.pg_class c \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace where {OWN} order by 1"
    );
    let mut locked = Vec::new();
    loop {
        let tables = blocking.query(&ask).await?;
        if tables == locked {
            break;
        }
        // One may have been made while the lock of another was waited for.
        locked = tables;
        for tables in locked.chunks(AT_ONCE) {
            let tables: Vec<&str> = tables.iter().flatten().map(String::as_str).collect();
            blocking.query(&format!("LOCK TABLE {} IN SHARE MODE", tables.join(", "))).await?;
        }
    }
    Ok(blocking.value("select pg_catalog.pg_export_snapshot()").await?.unwrap_or_default())
}

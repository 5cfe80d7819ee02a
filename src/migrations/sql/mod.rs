//! envctl's own runner: files of this machine, one psql session, the tool's own table.
//!
//! Promises: what Prisma's, dbmate's, sqlx's or golang-migrate's own command would do next is what happens, and
//! that tool finds its table as if it had done it itself; a file runs as one query; the plan is compared with the
//! database again under the lock, before the first file runs; a failure says what stays and what to type.

pub(crate) mod history_table;
pub(crate) mod lock_wait;
pub(crate) mod psql_script;
mod reset;
mod resolve;
mod run;
pub(crate) mod statements;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use history_table::PRISMA_LOCK;
pub(crate) use history_table::{HistoryRow, HistoryTable};
pub(crate) use lock_wait::{blocking_session, is_tools_lock, migrated_elsewhere, tools_lock, waited_in_vain};
pub(crate) use reset::drop_schema;
pub(crate) use resolve::{Resolution, ResolvePlan};
pub(crate) use statements::Character;

/// Returns the number of statements in a text.
pub(crate) fn statements(sql: &str) -> usize {
    crate::migrations::sql::statements::statements(sql).len()
}

use super::history::{History, Migration, MigrationState};
use super::layout::{Layout, Script};
use super::plan::{MigrationPlan, PlannedMigration};
use super::{risk, unsupported_statements};
use crate::docker::Container;
use crate::error::{self, Result};
use crate::migrations::directory;
use crate::operation::{Operation, SessionRole};
use crate::postgres::search_path::SearchPath;
use crate::postgres::session::Refusal;
use crate::postgres::{Access, Session};
use crate::text::sql_quote::literal;

/// Runner of SQL migrations on one database.
#[derive(Clone)]
pub(crate) struct SqlDriver {
    /// The database's container.
    pub(crate) container: Container,
    /// User, database and password of the connection.
    pub(crate) access: Access,
    /// Layout of the files.
    pub(crate) layout: Layout,
    /// The files.
    pub(crate) folder: PathBuf,
    /// The project's directory, for short paths.
    pub(crate) project: Option<PathBuf>,
    pub(crate) operation: Operation,
    /// Longest wait for a lock: the tool's, envctl's, and those of tables.
    pub(crate) lock_limit: Duration,
}

/// The database's side of a comparison.
struct RecordedHistory {
    history_table: HistoryTable,
    exists: bool,
    records: Vec<HistoryRow>,
    /// Other tables in the schema, where the table is not there yet.
    strangers: Vec<String>,
}

impl RecordedHistory {
    /// Returns the migration that was begun and has not ended.
    fn unfinished(&self) -> Option<&str> {
        let begun = self.records.iter().find(|record| record.unfinished.as_deref() == Some(""));
        begun.map(|record| record.key.as_str())
    }
}

impl SqlDriver {
    /// Returns the driver's name, as plans show it.
    pub(crate) fn name(&self) -> String {
        format!("sql ({} files)", self.layout.keyword())
    }

    pub(crate) fn application(&self) -> String {
        self.operation.application_name(SessionRole::Migrate)
    }

    async fn session(&self) -> Result<Session> {
        let opening = Session::open(&self.container, &self.access, "envctl");
        self.operation.cancel.run_until_cancelled(opening).await?
    }

    /// Compares files and database.
    ///
    /// # Errors
    /// Errors of [`Layout::read`] and [`Session::query`].
    pub(crate) async fn history(&self) -> Result<History> {
        let mut session = self.session().await?;
        let history = self.history_in(&mut session).await?;
        session.close().await;
        Ok(history)
    }

    /// Returns the state of each migration, through an open session. Over many stacks each further session costs time.
    pub(crate) async fn history_in(&self, session: &mut Session) -> Result<History> {
        let scripts = self.layout.read(&self.folder)?;
        let kept = self.operation.cancel.run_until_cancelled(self.look(session)).await??;
        let mut history = self.compare(&scripts, &kept)?;
        if let Some(unfinished) = kept.unfinished()
            && let Some(blocking) = tools_lock(session, kept.history_table.lock()).await?
        {
            history.remarks.push(format!("{unfinished} runs now, by {blocking}"));
        }
        Ok(history)
    }

    /// Returns the plan of applying the pending migrations, with the risks of each statement.
    ///
    /// # Errors
    /// Kind `Refused`: edited, failed or unknown history. Errors of [`SqlDriver::history`].
    pub(crate) async fn plan(&self, session: &mut Session) -> Result<MigrationPlan> {
        let (plan, alone) = self.plan_of(session).await?;
        match alone {
            Some(alone) => Err(alone),
            None => Ok(plan),
        }
    }

    /// Plans, and finds the first file that cannot run as one query; other tools than this driver may send it in pieces.
    pub(crate) async fn plan_of(
        &self,
        session: &mut Session,
    ) -> Result<(MigrationPlan, Option<error::Error>)> {
        let scripts = self.layout.read(&self.folder)?;
        let kept = self.operation.cancel.run_until_cancelled(self.look_settled(session)).await??;
        let history = self.compare(&scripts, &kept)?;
        Self::refuse_unsettled(&history, &kept)?;
        let pending = Self::pending(&scripts, &history);
        for script in &pending {
            unsupported_statements::check(script, self.project.as_deref())?;
        }
        let sizes = risk::sizes(session).await?;
        let planned = pending.iter().map(|script| {
            let weighed = risk::weigh(&script.sql, script.transaction, &sizes);
            PlannedMigration {
                name: script.name.clone(),
                statements: weighed.statements,
                risks: weighed.risks,
            }
        });
        let plan = MigrationPlan {
            driver: self.name(),
            database: history.database.clone(),
            folder: history.folder.clone(),
            pending: planned.collect(),
            out_of_order: out_of_order(&history.migrations),
            remarks: history.remarks,
        };
        Ok((plan, pending.iter().find_map(|script| self.not_alone(script))))
    }

    /// Refusal of a file in which a statement has to run alone and does not.
    fn not_alone(&self, script: &Script) -> Option<error::Error> {
        let all = crate::migrations::sql::statements::statements(&script.sql);
        if all.len() == 1 && !script.transaction {
            return None;
        }
        let (line, name) = all.iter().find_map(|one| Some((one.line, one.outside()?)))?;
        let place = place(script, self.project.as_deref());
        if all.len() > 1 {
            return Some(
                error::refused(format!(
                    "{place}:{line}: {name} cannot run in a transaction, and the statements of a file run in one"
                ))
                .hint(format!("put {name} into a migration of its own, one such statement to a file")),
            );
        }
        let error = error::refused(format!(
            "{place}:{line}: {name} cannot run in a transaction, and this file runs in one"
        ));
        Some(match self.layout {
            Layout::Sqlx => error.hint("write `-- no-transaction` into the first line of the file"),
            _ => error.hint("write `-- migrate:up transaction:false` as its mark"),
        })
    }

    /// The files' text, for questions about what has not run anywhere yet.
    pub(crate) fn scripts(&self) -> Result<Vec<Script>> {
        self.layout.read(&self.folder)
    }

    fn pending<'a>(scripts: &'a [Script], history: &History) -> Vec<&'a Script> {
        let waits = |script: &&Script| {
            history
                .migrations
                .iter()
                .any(|one| one.name == script.name && one.state == MigrationState::Pending)
        };
        scripts.iter().filter(waits).collect()
    }

    /// A row that was begun and has not ended is of a migration that runs, or of one that died: the tool's lock alone
    /// tells. Whoever runs is waited for.
    async fn look_settled(&self, session: &mut Session) -> Result<RecordedHistory> {
        let kept = self.look(session).await?;
        if kept.unfinished().is_none() {
            return Ok(kept);
        }
        self.wait_for_tools_lock(session, kept.history_table.lock()).await?;
        self.look(session).await
    }

    /// Returns the schema in which a tool creates its history table.
    /// For Prisma that is the schema of the URL, `public` unless the URL names another.
    async fn usual_schema(&self, session: &mut Session) -> Result<String> {
        match self.layout {
            Layout::Prisma => Ok("public".to_owned()),
            _ => Ok(SearchPath::of_role(session).await?.first().to_owned()),
        }
    }

    /// Finds the table: where it is, else where it would be made.
    async fn look(&self, session: &mut Session) -> Result<RecordedHistory> {
        let seen = self.look_once(session).await?;
        let table = HistoryTable::table_name(self.layout);
        // Made between the two questions, by a migrate that runs at the same time: it stands in the answer to the second.
        if !seen.exists && seen.strangers.iter().any(|name| name == table) {
            return self.look_once(session).await;
        }
        Ok(seen)
    }

    async fn look_once(&self, session: &mut Session) -> Result<RecordedHistory> {
        let name = literal(HistoryTable::table_name(self.layout));
        let usual = self.usual_schema(session).await?;
        let rows = session
            .query(&format!(
                "SELECT n.nspname, current_database(), \
                        (SELECT count(*) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'dirty') \
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relname = {name} AND c.relkind IN ('r', 'p') \
                 ORDER BY n.nspname <> {}, n.nspname",
                literal(&usual)
            ))
            .await?;
        match rows.into_iter().next().map(<[String; 3]>::try_from) {
            Some(Ok([schema, database, dirty])) => {
                let go = dirty != "0";
                if matches!(self.layout, Layout::Dbmate | Layout::GolangMigrate)
                    && go != (self.layout == Layout::GolangMigrate)
                {
                    return Err(error::refused(format!(
                        "the table schema_migrations of database {database:?} is not of {}",
                        self.layout.keyword()
                    ))
                    .note("another tool keeps its history there")
                    .hint("name that tool's layout: `[migrations] layout = \"…\"`"));
                }
                let history_table = HistoryTable { layout: self.layout, schema, database };
                let rows = session.query(&history_table.read()).await?;
                let records = rows.into_iter().filter_map(HistoryTable::record).collect();
                Ok(RecordedHistory { history_table, exists: true, records, strangers: Vec::new() })
            }
            _ => self.absent(session, usual).await,
        }
    }

    async fn absent(&self, session: &mut Session, schema: String) -> Result<RecordedHistory> {
        let rows = session
            .query(
                &format!("SELECT pg_catalog.current_database(), \
                        coalesce((SELECT pg_catalog.string_agg(relname, ',' ORDER BY relname) FROM pg_catalog.pg_class \
                         WHERE relkind = 'r' AND relnamespace = \
                               (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {})), '')", literal(&schema)),
            )
            .await?;
        let [database, tables] =
            <[String; 2]>::try_from(rows.into_iter().next().unwrap_or_default()).unwrap_or_default();
        let strangers = tables.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let history_table = HistoryTable { layout: self.layout, schema, database };
        Ok(RecordedHistory { history_table, exists: false, records: Vec::new(), strangers })
    }

    fn compare(&self, scripts: &[Script], kept: &RecordedHistory) -> Result<History> {
        let mut migrations = compare(scripts, kept);
        let mut remarks = Vec::new();
        remarks.extend(out_of_order(&migrations));
        if self.layout == Layout::Prisma {
            let bytes = scripts.windows(2).find(|pair| pair[0].name > pair[1].name);
            if let Some([before, after]) = bytes {
                remarks.push(format!(
                    "Prisma sorts {} before {}, byte order would not; the order is Prisma's",
                    before.name, after.name
                ));
            }
        }
        remarks.extend(self.layout.remarks(&self.folder, scripts)?);
        let missing: Vec<&str> = migrations
            .iter()
            .filter(|one| one.state == MigrationState::FileMissing)
            .map(|one| one.name.as_str())
            .collect();
        if self.layout == Layout::Sqlx {
            remarks.extend(other_line_ends(scripts, kept));
        }
        if !missing.is_empty() {
            remarks.push(format!("applied, but without a file here: {}", missing.join(", ")));
        }
        if !kept.exists && migrations.is_empty() {
            migrations.clear();
        }
        Ok(History {
            driver: self.name(),
            database: kept.history_table.database.clone(),
            folder: directory::shown(&self.folder, self.project.as_deref()),
            migrations,
            remarks,
        })
    }

    /// Rejects a history that a person has to settle before anything is applied.
    fn refuse_unsettled(history: &History, kept: &RecordedHistory) -> Result<()> {
        if let Some(failed) = history.failed().first() {
            return Err(failed_before(failed));
        }
        if let Some(edited) = history.edited().first() {
            return Err(error::refused(format!("{} was edited after it was applied", edited.name)).hint(
                "put the old file back (`git log -p` shows it), and say the change in a new migration: `envctl migrate create NAME`",
            ));
        }
        // Prisma's P3005. The other tools begin wherever they are.
        if !kept.exists && kept.history_table.keeps_failures() && !kept.strangers.is_empty() {
            let first = history.migrations.first().map_or("NAME", |one| one.name.as_str());
            return Err(error::refused(format!(
                "the database schema is not empty, and nothing says which migrations are in it ({})",
                some(&kept.strangers)
            ))
            .hint(format!(
                "say so for each of the first ones that are there already: `envctl migrate resolve {first} --applied`"
            )));
        }
        Ok(())
    }
}

/// Returns the error for a migration that failed before, Prisma's P3009. Only a person can decide on such a migration.
fn failed_before(failed: &Migration) -> error::Error {
    let MigrationState::Failed { logs } = &failed.state else { return error::refused("nothing failed") };
    let why = match logs.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {}", line.trim()),
        None => ": it was begun and did not end, or it runs now".to_owned(),
    };
    error::Error::new(error::ErrorKind::Unknown, format!("{} failed before{why}", failed.name))
        .hint(format!(
            "say so where nothing of it is in the database, or you have taken it back: `envctl migrate resolve {} --rolled-back`",
            failed.name
        ))
        .hint(format!("say so where all of it is there: `envctl migrate resolve {} --applied`", failed.name))
}

/// Files first, in their order; then what only the database knows.
fn compare(scripts: &[Script], kept: &RecordedHistory) -> Vec<Migration> {
    let history_table = &kept.history_table;
    let upto = (history_table.layout == Layout::GolangMigrate)
        .then(|| kept.records.first().and_then(|record| record.key.parse::<u64>().ok()))
        .flatten();
    let of = |script: &Script| {
        let record = kept.records.iter().find(|record| record.key == script.key);
        let below = upto.is_some_and(|upto| script.key.parse::<u64>().is_ok_and(|version| version < upto));
        let state = match record {
            Some(HistoryRow { unfinished: Some(logs), .. }) => MigrationState::Failed { logs: logs.clone() },
            Some(HistoryRow { checksum: Some(kept), .. }) if !history_table.matches(kept, script) => {
                MigrationState::Edited
            }
            Some(_) => MigrationState::Applied,
            None if below => MigrationState::Applied,
            None => MigrationState::Pending,
        };
        let at = record.and_then(|record| record.finished.clone()).filter(|at| at != "yes");
        Migration { name: script.name.clone(), state, applied_at: at }
    };
    let mut all: Vec<Migration> = scripts.iter().map(of).collect();
    let known = |record: &&HistoryRow| !scripts.iter().any(|script| script.key == record.key);
    all.extend(kept.records.iter().filter(known).map(|record| Migration {
        name: record.key.clone(),
        state: match &record.unfinished {
            Some(logs) => MigrationState::Failed { logs: logs.clone() },
            None => MigrationState::FileMissing,
        },
        applied_at: record.finished.clone().filter(|at| at != "yes"),
    }));
    all
}

/// A remark on applied files whose line ends alone differ: sqlx itself refuses them.
fn other_line_ends(scripts: &[Script], kept: &RecordedHistory) -> Option<String> {
    let differs = |script: &&Script| {
        let record = kept.records.iter().find(|record| record.key == script.key);
        let checksum = record.and_then(|record| record.checksum.as_deref());
        checksum.is_some_and(|checksum| {
            kept.history_table.checksum(script) != checksum && kept.history_table.matches(checksum, script)
        })
    };
    let names: Vec<&str> = scripts.iter().filter(differs).map(|script| script.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "applied with other line ends, which sqlx itself refuses: {}; keep them in git with `* -text` in .gitattributes",
            names.join(", ")
        )
    })
}

/// The first pair of a pending migration and a later one that is applied.
fn out_of_order(migrations: &[Migration]) -> Option<String> {
    let pending = migrations.iter().position(|one| one.state == MigrationState::Pending)?;
    let later = migrations[pending..]
        .iter()
        .find(|one| matches!(one.state, MigrationState::Applied | MigrationState::Edited))?;
    Some(format!("{} is older than {}, which is applied already", migrations[pending].name, later.name))
}

fn some(names: &[String]) -> String {
    match names {
        [a, b, c, _, ..] => format!("{a}, {b}, {c} and {} more", names.len() - 3),
        few => few.join(", "),
    }
}

/// A random id as Prisma's rows have: a UUID of version 4.
fn row_id() -> String {
    let mut bytes: Vec<char> =
        crate::random::nonce().chars().filter(char::is_ascii_hexdigit).take(32).collect();
    bytes.resize(32, '0');
    bytes[12] = '4';
    bytes[16] = 'a';
    let text: String = bytes.into_iter().collect();
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// A refusal where only a lost session matters.
fn lost(refusal: Refusal) -> error::Error {
    refusal.into()
}

/// The folder of one migration, for messages.
fn place<'a>(script: &'a Script, project: Option<&'a Path>) -> String {
    directory::shown(&script.path, project)
}

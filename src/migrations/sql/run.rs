//! Applying: under both locks, each file one query, its row before and after.

use std::time::{Duration, Instant};

use super::program::{Ended, Program, Stage};
use super::words::Character;
use super::{Kept, SqlDriver, lost, place, row_id};
use crate::error::{self, Error, ErrorKind, Result};
use crate::migrations::layout::Script;
use crate::migrations::plan::{Applied, MigrationPlan};
use crate::postgres::Session;
use crate::postgres::lock::{self, Mode};
use crate::postgres::quote::{ident, literal};
use crate::postgres::session::Refusal;
use crate::progress::Event;
use crate::ui::Confirmed;

/// How often a deadlock of CREATE INDEX CONCURRENTLY with somebody else is tried again.
const TRIES: u32 = 3;

impl SqlDriver {
    /// Applies what was agreed to.
    ///
    /// # Errors
    /// `Busy`: a lock is held, or a pg_dump runs. `Refused`: the database is not as planned. `Tool`: a file failed;
    /// `Unknown`: contact was lost inside of one. What was applied before it stays.
    pub async fn apply(&self, plan: &Confirmed<MigrationPlan>) -> Result<Applied> {
        let application = self.application();
        let holding = lock::hold(
            &self.engine,
            &self.container,
            &self.access,
            &application,
            Mode::Exclusive,
            self.lock_limit,
        );
        let mut session = self.interrupt.or(holding).await??;
        let ran = self.interrupt.or(self.apply_in(&mut session, plan.plan())).await;
        match ran {
            Ok(result) => {
                session.close().await;
                result
            }
            Err(stopped) => {
                self.stop().await;
                Err(stopped.hint(
                    "a file that was running was taken back; `envctl migrate status` shows where it stands",
                ))
            }
        }
    }

    pub(super) async fn apply_in(&self, session: &mut Session, plan: &MigrationPlan) -> Result<Applied> {
        let scripts = self.layout.read(&self.folder)?;
        let kept = self.look(session).await?;
        self.take_tools_lock(session, kept.ledger.lock()).await?;
        self.wait_for_dumps(session).await?;
        // Somebody may have been faster: what counts is what the table says now.
        let kept = self.look(session).await?;
        let history = self.compare(&scripts, &kept);
        Self::refuse_unsettled(&history, &kept)?;
        if !kept.exists {
            session.query(&kept.ledger.create()).await?;
        }
        let mut done =
            Applied { driver: self.name(), database: history.database.clone(), ..Applied::default() };
        let agreed = |script: &&Script| plan.pending.iter().any(|planned| planned.name == script.name);
        for script in Self::pending(&scripts, &history).into_iter().filter(agreed) {
            self.progress.step(&format!("applying {}", script.name));
            self.one(session, &kept, script, &done).await?;
            done.applied.push(script.name.clone());
        }
        self.progress.on(Event::Done);
        let invalid = invalid_indexes(session).await?;
        if !invalid.is_empty() {
            done.remarks.push(format!(
                "left INVALID and not used by any query: {}; drop it and build it again",
                invalid.join(", ")
            ));
        }
        Ok(done)
    }

    /// Asks again and again: a waiting `pg_advisory_lock` holds a snapshot, which deadlocks with CREATE INDEX
    /// CONCURRENTLY (flyway#1654). Prisma waits for the same key and sees us.
    pub(super) async fn take_tools_lock(&self, session: &mut Session, key: i64) -> Result<()> {
        let started = Instant::now();
        loop {
            let ask = format!("SELECT pg_catalog.pg_try_advisory_lock({key})");
            if session.value(&ask).await?.as_deref() == Some("t") {
                return Ok(());
            }
            if started.elapsed() >= self.lock_limit {
                let holder = holder(session, key).await?;
                return Err(error::busy(format!("another migration runs on this database: {holder}"))
                    .hint("wait longer with `--lock-timeout 5m`, or try again later"));
            }
            self.progress.step("waiting for another migration");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A dump holds every table: the first ALTER TABLE would queue behind it, and the application behind that.
    async fn wait_for_dumps(&self, session: &mut Session) -> Result<()> {
        let started = Instant::now();
        loop {
            let rows = session
                .query(
                    "SELECT application_name, pid, usename, \
                            round(extract(epoch FROM clock_timestamp() - backend_start)) \
                     FROM pg_catalog.pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid() \
                       AND (application_name ~ '^pg_dump' OR application_name ~ '^envctl/[0-9a-f]{8} dump') LIMIT 1",
                )
                .await?;
            let Some([name, pid, user, seconds]) = rows.first().map(Vec::as_slice) else { return Ok(()) };
            if started.elapsed() >= self.lock_limit {
                return Err(error::busy(format!(
                    "a dump of this database runs: {name} (pid {pid}, role {user}, for {seconds} s)"
                ))
                .hint("a migration beside it would make the application wait; let it end, or wait with `--lock-timeout 30m`"));
            }
            self.progress.step(&format!("waiting for {name} (pid {pid}) to end"));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn one(&self, session: &mut Session, kept: &Kept, script: &Script, done: &Applied) -> Result<()> {
        let character = Character::of(&script.sql);
        for attempt in 1.. {
            let id = row_id();
            let before = if character.outside { invalid_indexes(session).await? } else { Vec::new() };
            let ended = match self.send(session, kept, script, &id, character).await {
                Ok(ended) => ended,
                Err(refusal) => return Err(self.contact_lost(kept, script, refusal.into()).await),
            };
            let Ended::At { stage, state, message } = ended else { return Ok(()) };
            let words = complaint(session, &message).await;
            // The script may have begun a transaction of its own; outside of one this is a warning.
            session.query("ROLLBACK").await.map_err(lost)?;
            let deadlock = state == "40P01" && character.outside && attempt < TRIES;
            if deadlock {
                let after = invalid_indexes(session).await?;
                for index in after.iter().filter(|index| !before.contains(index)) {
                    session.query(&format!("DROP INDEX CONCURRENTLY IF EXISTS {index}")).await?;
                }
                note(session, kept.ledger.take_back(&id)).await?;
                self.progress.on(Event::Warning(format!(
                    "{}: deadlock with another session; trying again",
                    script.name
                )));
                continue;
            }
            return Err(self.failed(session, kept, script, &id, (stage, &state, &words), done).await);
        }
        Ok(())
    }

    async fn send(
        &self,
        session: &mut Session,
        kept: &Kept,
        script: &Script,
        id: &str,
        character: Character,
    ) -> std::result::Result<Ended, Refusal> {
        // What a file before this one has SET is undone; a build that locks nobody out may wait.
        let wait = if character.outside { 0 } else { self.lock_limit.as_millis() };
        let before = format!(
            "RESET SESSION AUTHORIZATION\\; RESET ALL\\; SET lock_timeout = {wait}\\; {}",
            kept.ledger.begin(script, id)
        );
        let after = kept.ledger.finish(script, id);
        let program =
            Program { before: &before, file: &script.sql, in_transaction: script.transaction, after: &after };
        Ok(Ended::read(&session.program(|word| program.lines(word)).await?))
    }

    /// The failure in words, and what its row says from now on.
    async fn failed(
        &self,
        session: &mut Session,
        kept: &Kept,
        script: &Script,
        id: &str,
        (stage, state, words): (Stage, &str, &str),
        done: &Applied,
    ) -> Error {
        let character = Character::of(&script.sql);
        let whole = character.whole_or_nothing() || script.transaction;
        let waited = state == "55P03";
        // Whoever waited in vain and left nothing needs no decision by anybody.
        let note_down = if (waited && whole) || stage == Stage::Before {
            kept.ledger.take_back(id)
        } else {
            kept.ledger.fail(id, words)
        };
        let noted = note(session, note_down).await;
        let mut error = error::tool(format!("{} failed: {words} ({state})", script.name));
        if waited {
            error = error
                .with_kind(ErrorKind::Busy)
                .hint("another session holds a table; who: `envctl psql -c \"select pid, state, query from pg_stat_activity where state <> 'idle'\"`")
                .hint("nothing of the file was applied; wait longer with `--lock-timeout 2m`, or try again later");
        } else if whole {
            error = error.hint("nothing of this file was applied");
            error = if kept.ledger.keeps_failures() {
                error.hint(format!(
                    "mend {}, then `envctl migrate resolve {} --rolled-back` and `envctl migrate`",
                    place(script, self.project.as_deref()),
                    script.name
                ))
            } else {
                error.hint(format!("mend {}, then `envctl migrate`", place(script, self.project.as_deref())))
            };
        } else {
            let why =
                if character.own_transaction { "commits by itself" } else { "cannot run in a transaction" };
            error =
                error.hint(format!("the file {why}: what it did before the failure stays")).hint(format!(
                    "look at the database; then `envctl migrate resolve {} --applied` or `--rolled-back`",
                    script.name
                ));
        }
        if !done.applied.is_empty() {
            error = error.hint(format!("applied before it, and staying: {}", done.applied.join(", ")));
        }
        match noted {
            Ok(()) => error,
            Err(cause) => {
                error.hint(format!("the failure could not be noted in {}: {cause}", kept.ledger.table()))
            }
        }
    }

    /// The session broke inside of a file: looks again, and says what is known.
    async fn contact_lost(&self, kept: &Kept, script: &Script, cause: Error) -> Error {
        let name = &script.name;
        let looking = async {
            let mut session =
                Session::open(&self.engine, &self.container, &self.access, "envctl").await.ok()?;
            let kept = self.look(&mut session).await.ok();
            session.close().await;
            kept
        };
        let now = tokio::time::timeout(Duration::from_secs(5), looking).await.unwrap_or(None);
        let record = now.as_ref().map(|kept| kept.records.iter().find(|record| record.key == script.key));
        let unknown = |message: String| {
            Error::new(ErrorKind::Unknown, message)
                .because(cause)
                .hint(format!("its container: `docker logs --tail 50 {}`", self.container.name))
        };
        match record {
            Some(Some(record)) if record.unfinished.is_none() => {
                unknown(format!("contact was lost, but {name} was applied whole")).hint("`envctl migrate` goes on with the rest")
            }
            Some(None) if !kept.ledger.keeps_failures() => {
                unknown(format!("contact was lost during {name}; nothing of it was applied")).hint("`envctl migrate` begins it again")
            }
            _ => unknown(format!("contact with PostgreSQL was lost while {name} was being applied"))
                .hint("PostgreSQL takes back what was not committed; when it answers again, look: `envctl migrate status`")
                .hint(format!(
                    "then `envctl migrate resolve {name} --rolled-back` (nothing of it is there) or `--applied`"
                )),
        }
    }

    /// Ends what a stopped run has left running, and takes its row back where nothing stays.
    async fn stop(&self) {
        let ending = async {
            let mut session =
                Session::open(&self.engine, &self.container, &self.access, "envctl cleanup").await.ok()?;
            let ours = literal(&self.application());
            let end = format!(
                "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
                 WHERE application_name = {ours} AND pid <> pg_catalog.pg_backend_pid()"
            );
            session.query(&end).await.ok()?;
            let left =
                format!("SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name = {ours}");
            for _ in 0..40 {
                if session.value(&left).await.ok()?.as_deref() == Some("0") {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let kept = self.look(&mut session).await.ok()?;
            for script in self.layout.read(&self.folder).ok()? {
                let begun = kept
                    .records
                    .iter()
                    .any(|one| one.key == script.key && one.unfinished.as_deref() == Some(""));
                if begun && Character::of(&script.sql).whole_or_nothing() && kept.ledger.keeps_failures() {
                    session.query(&kept.ledger.resolve_rolled_back(&script.name, None)).await.ok()?;
                }
            }
            session.close().await;
            Some(())
        };
        let _ = tokio::time::timeout(Duration::from_secs(8), ending).await;
    }
}

async fn note(session: &mut Session, sql: Option<String>) -> Result<()> {
    if let Some(sql) = sql {
        session.query(&sql).await?;
    }
    Ok(())
}

/// The server's words with their line, once they have arrived: stderr is a stream of its own.
async fn complaint(session: &mut Session, message: &str) -> String {
    // Not a query: in an aborted transaction it would be refused and say something else.
    let _ = session.program(|word| format!("\\echo {word} -\n\\echo {word}.\n")).await;
    let words = session.complaint();
    let from = words.find("ERROR:  ").map_or(0, |at| at + "ERROR:  ".len());
    if words[from..].starts_with(message.lines().next().unwrap_or("\0")) {
        words[from..].trim().to_owned()
    } else {
        message.to_owned()
    }
}

/// Indexes of a build that failed: the planner ignores them, every write still pays for them.
async fn invalid_indexes(session: &mut Session) -> Result<Vec<String>> {
    let rows = session
        .query(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE NOT i.indisvalid AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2",
        )
        .await?;
    let named = rows.into_iter().filter_map(|row| <[String; 2]>::try_from(row).ok());
    Ok(named.map(|[schema, name]| format!("{}.{}", ident(&schema), ident(&name))).collect())
}

/// Who holds a tool's lock, in words.
async fn holder(session: &mut Session, key: i64) -> Result<String> {
    let (high, low) = (key >> 32 & 0xffff_ffff, key & 0xffff_ffff);
    let rows = session
        .query(&format!(
            "SELECT a.application_name, a.pid, a.usename, \
                    round(extract(epoch FROM clock_timestamp() - a.backend_start)) \
             FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid) \
             WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = {high} AND l.objid::bigint = {low} \
               AND l.objsubid = 1 AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
             LIMIT 1"
        ))
        .await?;
    Ok(match rows.first().map(Vec::as_slice) {
        Some([name, pid, user, seconds]) => {
            let name = if name.is_empty() { "a session without a name" } else { name };
            format!("{name} (pid {pid}, role {user}, for {seconds} s)")
        }
        _ => "a session that has just ended".to_owned(),
    })
}

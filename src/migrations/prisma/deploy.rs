//! `prisma migrate deploy` and `reset`, beside our own lock: whoever is in the way is waited for and named, and the
//! CLI is believed only when the database says the same.
//!
//! Promises: the CLI is not started while another migration or a dump runs; a statement of its that waits for a
//! table longer than `--lock-timeout` is cancelled, since the application queues behind it; a CLI or a container
//! that dies half-way is an outcome that is looked at in the database.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::PrismaDriver;
use crate::consent::Confirmed;
use crate::docker::exec::CommandOutput;
use crate::docker::exec::run_command;
use crate::error::{self, Error, ErrorKind, Result};
use crate::migrations::history::{Migration, MigrationState};
use crate::migrations::layout::Script;
use crate::migrations::plan::{Applied, MigrationPlan};
use crate::migrations::prisma::output;
use crate::migrations::reset::ResetPlan;
use crate::migrations::sql::{
    Character, PRISMA_LOCK, blocking_session, is_tools_lock, migrated_elsewhere, statements, tools_lock,
    waited_in_vain,
};
use crate::postgres::session::Refusal;
use crate::postgres::{BlockingSession, Session};
use crate::text::sql_quote::literal;

/// Interval at which the sessions of the CLI are checked.
const LOOK: Duration = Duration::from_millis(200);

/// A statement of Prisma's that was cancelled, because it waited too long.
struct Cancelled {
    /// Text of the statement, as far as the server keeps it.
    query: String,
    /// Blocking session for which the statement waited.
    blocking: Option<BlockingSession>,
}

impl PrismaDriver {
    /// `prisma migrate deploy`.
    ///
    /// # Errors
    /// Prisma's states as ours. `Busy`: a lock, a dump. `Unknown`: the CLI's end is not known, or it says it has
    /// applied what the database does not know.
    pub(crate) async fn apply(&self, plan: &Confirmed<MigrationPlan>) -> Result<Applied> {
        let (ran, cancelled) = self.beside_locks(&["migrate", "deploy"]).await?;
        let captured = match ran {
            Ok(captured) => captured,
            Err(error) => return Err(self.ended_early(error).await),
        };
        if captured.exit_code != 0 {
            return Err(match cancelled {
                Some(cancelled) => self.gave_way(&cancelled).await,
                None => self.deploy_failed(&captured).await,
            });
        }
        let after = self.history().await?;
        let wanted = plan.plan().pending.iter().map(|planned| planned.name.clone());
        let (applied, missing): (Vec<String>, Vec<String>) = wanted.partition(|name| {
            after.migrations.iter().any(|one| one.name == *name && one.state == MigrationState::Applied)
        });
        if !missing.is_empty() {
            return Err(error::unknown(format!(
                "Prisma ended well, but database {:?} does not have {}",
                after.database,
                missing.join(", ")
            ))
            .hint("compare DATABASE_URL with the target line: the backend may use another database"));
        }
        Ok(Applied { driver: self.name(), database: after.database, applied, remarks: Vec::new() })
    }

    /// `prisma migrate reset --force`; Prisma's own guard hears that a person has agreed.
    ///
    /// # Errors
    /// Prisma's states as ours.
    pub(crate) async fn reset(&self, plan: &Confirmed<ResetPlan>) -> Result<()> {
        let mut arguments = vec!["migrate", "reset", "--force", "--skip-generate"];
        if !plan.plan().seed {
            arguments.push("--skip-seed");
        }
        let (ran, cancelled) = self.beside_locks(&arguments).await?;
        let captured = match ran {
            Ok(captured) => captured,
            Err(error) => return Err(self.ended_early(error).await),
        };
        if captured.exit_code != 0 {
            return Err(match cancelled {
                Some(cancelled) => waited_in_vain("the reset", cancelled.blocking.as_ref())
                    .note("what it has dropped is dropped")
                    .hint("run it again"),
                None => output::failure("migrate reset", &captured, &self.backend.name),
            });
        }
        let history = self.history().await?;
        if history.is_settled() {
            return Ok(());
        }
        Err(error::unknown(format!("Prisma ended well, but in database {:?}: {history}", history.database))
            .hint("look at it: `envctl migrate status`"))
    }

    /// Runs `prisma WORDS` while nobody else works on the database, and what it had to be cancelled for.
    async fn beside_locks(&self, arguments: &[&str]) -> Result<(Result<CommandOutput>, Option<Cancelled>)> {
        let mut session = self.sql.hold().await?;
        let free = async {
            self.sql.wait_for_tools_lock(&mut session, PRISMA_LOCK).await?;
            self.sql.wait_for_dumps(&mut session).await
        };
        self.sql.operation.cancel.run_until_cancelled(free).await??;
        let began = session.value("SELECT pg_catalog.clock_timestamp()").await?.unwrap_or_default();
        self.sql.operation.progress.step(&format!("prisma {}", arguments[..2].join(" ")));
        // node-postgres calls itself so in `pg_stat_activity`; the native engine has no name there.
        let spec = self.cli.spec(arguments, &self.guard).env("PGAPPNAME", self.sql.application());
        let running = run_command::run(&self.backend, &spec, &self.sql.operation.cancel);
        let cancelled = RefCell::new(None);
        let ran = tokio::select! {
            biased;
            ran = running => ran,
            // Without the look there is only no limit to its waiting.
            _ = self.mind_locks(&mut session, &began, &cancelled) => unreachable!("it looks until the CLI ends"),
        };
        session.close().await;
        Ok((ran, cancelled.into_inner()))
    }

    /// Never ends. Prisma sets no `lock_timeout`, and cannot be told to in every way that it connects.
    async fn mind_locks(
        &self,
        session: &mut Session,
        began: &str,
        cancelled: &RefCell<Option<Cancelled>>,
    ) -> Result<(), Refusal> {
        let mut since: Option<(String, Instant)> = None;
        // A line for each blocking session, not for each look at it.
        let mut told: Option<String> = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let Ok(Some([pid, query])) = self.waiting(session, began).await else {
                since = None;
                continue;
            };
            let Ok(blocking) = blocking_session(session, &pid).await else { continue };
            if let Some(blocking) = &blocking
                && told.replace(blocking.pid.clone()).as_ref() != Some(&blocking.pid)
            {
                self.sql.operation.progress.step(&format!("Prisma waits for {blocking}"));
            }
            let first = since.as_ref().filter(|(known, _)| *known == pid).map(|(_, at)| *at);
            let at = first.unwrap_or_else(Instant::now);
            since = Some((pid.clone(), at));
            if at.elapsed() >= self.sql.lock_limit {
                let cancel = format!("SELECT pg_catalog.pg_cancel_backend({pid})");
                let _ = session.query(&cancel).await;
                cancelled.borrow_mut().get_or_insert(Cancelled { query, blocking });
                since = None;
            }
        }
    }

    /// A session of this CLI's that waits for a table: it has our name, or holds Prisma's lock and is younger than
    /// our call while nobody queues for that lock. A build that locks nobody out may wait.
    async fn waiting(&self, session: &mut Session, began: &str) -> Result<Option<[String; 2]>, Refusal> {
        let rows = session
            .query(&format!(
                "SELECT a.pid, pg_catalog.left(a.query, 1000) FROM pg_catalog.pg_stat_activity a \
                 WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() \
                   AND a.backend_start >= {}::timestamptz \
                   AND EXISTS (SELECT FROM pg_catalog.pg_locks w WHERE w.pid = a.pid AND NOT w.granted \
                               AND w.locktype NOT IN ('virtualxid', 'advisory') AND w.mode <> 'ShareUpdateExclusiveLock') \
                   AND (a.application_name = {} \
                        OR EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND {}) \
                           AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks q WHERE NOT q.granted \
                                           AND q.locktype = 'advisory' AND q.objid::bigint = {PRISMA_LOCK})) LIMIT 1",
                literal(began),
                literal(&self.sql.application()),
                is_tools_lock(PRISMA_LOCK),
            ))
            .await?;
        Ok(rows.into_iter().next().and_then(|row| <[String; 2]>::try_from(row).ok()))
    }

    /// Returns the error for a statement of Prisma's that envctl cancelled.
    /// A file sent as one query left nothing in the database, so its history row is marked as rolled back.
    async fn gave_way(&self, cancelled: &Cancelled) -> Error {
        let Ok(Some((failed, script))) = self.unfinished().await else {
            return waited_in_vain("Prisma", cancelled.blocking.as_ref());
        };
        let name = &failed.name;
        let error = waited_in_vain(name, cancelled.blocking.as_ref());
        if was_sent_whole(&cancelled.query, &script) && self.sql.take_back(name).await.is_ok() {
            return error.note("nothing of the file was applied");
        }
        Error::new(ErrorKind::Unknown, error.message().to_owned())
            .hint("look whether statements of the file before that one are in the database")
            .hint(format!(
                "run then `envctl migrate resolve {name} --rolled-back` (nothing of it is there) or `--applied`"
            ))
    }

    /// The migration that was begun and has not ended, with its file.
    async fn unfinished(&self) -> Result<Option<(Migration, Script)>> {
        let history = self.history().await?;
        let Some(failed) = history.failed().first().copied().cloned() else { return Ok(None) };
        let script = self.sql.scripts()?.into_iter().find(|script| script.name == failed.name);
        Ok(script.map(|script| (failed, script)))
    }

    /// The call was broken off, by the user or because the container died under it.
    async fn ended_early(&self, cause: Error) -> Error {
        match cause.kind() {
            ErrorKind::Cancelled(_) | ErrorKind::Timeout => {
                // node-postgres may have sent a file in pieces: only one statement is whole beyond doubt.
                let whole = |script: &Script| {
                    statements(&script.sql) <= 1 && Character::of(&script.sql).whole_or_nothing()
                };
                self.sql.stop(whole).await;
                cause.hint("see where it stands: `envctl migrate status`")
            }
            // It never began.
            ErrorKind::Tool | ErrorKind::Target | ErrorKind::NotStarted(_) => cause,
            _ => self.lost(Some(cause)).await,
        }
    }

    /// Prisma ended without a word of its own: what the database knows of it.
    async fn lost(&self, cause: Option<Error>) -> Error {
        let backend = &self.backend.name;
        let error = error::unknown(format!("Prisma in {backend} ended in the middle of its work"));
        let error = match cause {
            Some(cause) => error.because(cause),
            None => error,
        };
        let error = error.hint(format!("see its container: `docker logs --tail 50 {backend}`"));
        let history = tokio::time::timeout(Duration::from_secs(5), self.history()).await;
        let Ok(Ok(history)) = history else {
            return error
                .note("the database does not answer now")
                .hint("look when it does: `envctl migrate status`");
        };
        match history.failed().first() {
            Some(Migration { name, .. }) => error
                .note(format!("it was at {name}; PostgreSQL takes back what was not committed"))
                .hint(format!(
                    "look, then type `envctl migrate resolve {name} --rolled-back` (nothing of it is there) or `--applied`"
                )),
            // Known after all: nothing is half done.
            None => error
                .with_kind(ErrorKind::Tool)
                .hint(format!("go on from there, nothing is half done in the database ({history}): `envctl migrate`")),
        }
    }

    /// Which migration it was is in the database whatever the CLI prints: its JavaScript engine gives no code.
    async fn deploy_failed(&self, captured: &CommandOutput) -> Error {
        // A shell's way to say that a signal ended it.
        if captured.exit_code > 128 {
            return self.lost(Some(output::failure("migrate deploy", captured, &self.backend.name))).await;
        }
        let told = output::failure("migrate deploy", captured, &self.backend.name);
        if told.kind() == ErrorKind::Busy {
            return self.locked_out().await.unwrap_or(told);
        }
        let known = matches!(told.kind(), ErrorKind::Unknown | ErrorKind::Refused | ErrorKind::Usage);
        if known {
            return told;
        }
        let Ok(history) = self.history().await else { return self.lost(Some(told)).await };
        let Some(failed) = history.failed().first().copied().cloned() else { return told };
        let MigrationState::Failed { logs } = &failed.state else { return told };
        if logs.is_empty() {
            return self.lost(Some(told)).await;
        }
        let name = failed.name;
        let why = output::database_error(logs).or_else(|| output::database_error(&output::said(captured)));
        let silent = why.is_none();
        let why = why.unwrap_or_else(|| told.message().to_owned());
        let error = error::tool(format!("{name} failed: {why}")).hint(format!(
            "repair its file, then `envctl migrate resolve {name} --rolled-back` and `envctl migrate`"
        ));
        if !silent {
            return error;
        }
        // Prisma's JavaScript engine keeps PostgreSQL's message to itself (seen with 6.19.3).
        error.hint(format!(
            "read PostgreSQL's own message in its log: `docker logs --tail 50 {}`",
            self.sql.container.name
        ))
    }

    /// Somebody was faster between our look and Prisma's (P1002): who.
    async fn locked_out(&self) -> Option<Error> {
        let mut session = self.sql.hold().await.ok()?;
        let blocking = tools_lock(&mut session, PRISMA_LOCK).await.ok()?;
        session.close().await;
        Some(migrated_elsewhere(Some(&blocking?)))
    }
}

/// Reports whether the cancelled statement was the whole file. Prisma's adapters send some files in pieces.
fn was_sent_whole(query: &str, script: &Script) -> bool {
    let (query, file) = (query.trim(), script.sql.trim());
    // The server keeps the beginning of a long one.
    let kept_all = query.chars().count() >= 900 || query.len() == file.len();
    Character::of(file).whole_or_nothing() && file.starts_with(query) && kept_all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_file_is_not_the_file() {
        let script = |sql: &str| Script {
            name: "1_a".into(),
            key: "1_a".into(),
            path: "1_a".into(),
            text: sql.into(),
            sql: sql.into(),
            transaction: false,
        };
        let two = script("alter table a add x int;\nalter table b add y int;\n");
        assert!(was_sent_whole("alter table a add x int;\nalter table b add y int;", &two));
        assert!(!was_sent_whole("alter table a add x int", &two));
        assert!(!was_sent_whole("alter table b add y int;", &two));
        let long = script(&format!("select '{}';\nalter table a add x int;", "x".repeat(3000)));
        assert!(was_sent_whole(&long.sql[..1000], &long));
        let commits = script("commit; alter table a add x int;");
        assert!(!was_sent_whole(&commits.sql, &commits));
    }
}

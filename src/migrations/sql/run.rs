//! Applying: under both locks, each file one query, its row before and after.

use std::time::Duration;

use super::{RecordedHistory, SqlDriver, lost, place, row_id};
use crate::consent::Confirmed;
use crate::error::{self, Error, ErrorKind, Result};
use crate::migrations::layout::Script;
use crate::migrations::plan::{Applied, MigrationPlan};
use crate::migrations::sql::lock_wait::{WAITED, waited_in_vain};
use crate::migrations::sql::psql_script::{Program, ScriptOutcome, ScriptStage};
use crate::migrations::sql::statements::Character;
use crate::postgres::access::SET_OWN_PATH;
use crate::postgres::search_path;
use crate::postgres::session::Refusal;
use crate::postgres::{Access, ServerError, Session};
use crate::progress::Event;
use crate::text::sql_quote::{ident, literal};

/// Number of tries of a CREATE INDEX CONCURRENTLY that ends in a deadlock with another session.
const TRIES: u32 = 3;

/// One file of a run.
struct RunStep<'a> {
    kept: &'a RecordedHistory,
    script: &'a Script,
    character: Character,
    /// True where other files follow.
    more: bool,
    /// The version before it, which golang-migrate's one row goes back to.
    before: Option<&'a str>,
    /// Migrations that this run has applied so far.
    done: &'a Applied,
}

/// Part of a failed file that is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remains {
    Nothing,
    /// Part before the failure, or before the last COMMIT of the file.
    Part,
    /// The whole file; its row in the history is missing.
    All,
}

impl RunStep<'_> {
    /// Returns the part of the file that a failure at this stage leaves in the database.
    fn remains(&self, stage: ScriptStage) -> Remains {
        remains(stage, self.character, self.script.transaction)
    }
}

fn remains(stage: ScriptStage, character: Character, in_transaction: bool) -> Remains {
    // In a query of several statements the server refuses such a statement and rolls the rest back.
    let alone = character.outside && character.statements == 1 && !in_transaction;
    match stage {
        ScriptStage::File if character.commits_midway || alone => Remains::Part,
        ScriptStage::Open if character.commits => Remains::Part,
        ScriptStage::Unlocked | ScriptStage::Before | ScriptStage::File | ScriptStage::Open => {
            Remains::Nothing
        }
        ScriptStage::After if in_transaction && !character.commits => Remains::Nothing,
        ScriptStage::After => Remains::All,
    }
}

impl SqlDriver {
    /// Applies what was agreed to.
    ///
    /// # Errors
    /// `Busy`: a lock is held, or a pg_dump runs. `Refused`: the database is not as planned. `Tool`: a file failed;
    /// `Unknown`: the connection was lost inside of one. What was applied before it stays.
    pub(crate) async fn apply(&self, plan: &Confirmed<MigrationPlan>) -> Result<Applied> {
        let mut session = self.hold().await?;
        let ran = self
            .operation
            .cancel
            .run_until_cancelled(Box::pin(self.apply_in(&mut session, plan.plan())))
            .await;
        match ran {
            Ok(result) => {
                session.close().await;
                result
            }
            Err(stopped) => {
                self.stop(|script| Character::of(&script.sql).whole_or_nothing()).await;
                Err(stopped
                    .note("a file that was running was taken back")
                    .hint("see where it stands: `envctl migrate status`"))
            }
        }
    }

    pub(crate) async fn apply_in(&self, session: &mut Session, plan: &MigrationPlan) -> Result<Applied> {
        let scripts = self.layout.read(&self.folder)?;
        let kept = self.look(session).await?;
        self.take_tools_lock(session, kept.history_table.lock()).await?;
        self.wait_for_dumps(session).await?;
        // Somebody may have been faster: what counts is what the table says now.
        let kept = self.look(session).await?;
        let history = self.compare(&scripts, &kept)?;
        Self::refuse_unsettled(&history, &kept)?;
        if !kept.exists {
            search_path::query_as_role(session, &kept.history_table.create()).await?;
        }
        let pid = session.value("SELECT pg_catalog.pg_backend_pid()").await?.unwrap_or_default();
        let mut done =
            Applied { driver: self.name(), database: history.database.clone(), ..Applied::default() };
        let mut before = kept.records.first().map(|record| record.key.as_str());
        let agreed = |script: &&Script| plan.pending.iter().any(|planned| planned.name == script.name);
        let mut files = Self::pending(&scripts, &history).into_iter().filter(agreed).peekable();
        while let Some(script) = files.next() {
            self.operation.progress.step(&format!("applying {}", script.name));
            let character = Character::of(&script.sql);
            let more = files.peek().is_some();
            let step = RunStep { kept: &kept, script, character, more, before, done: &done };
            self.one(session, &pid, &step).await?;
            done.applied.push(script.name.clone());
            before = Some(&script.key);
        }
        self.operation.progress.on(Event::Done);
        let invalid = invalid_indexes(session).await?;
        if !invalid.is_empty() {
            done.remarks.push(format!(
                "left INVALID and not used by any query: {}; drop it and build it again",
                invalid.join(", ")
            ));
        }
        Ok(done)
    }

    async fn one(&self, session: &mut Session, pid: &str, step: &RunStep<'_>) -> Result<()> {
        let RunStep { kept, script, character, .. } = step;
        for attempt in 1.. {
            let id = row_id();
            let before = if character.outside {
                self.wait_for_queue(session, kept.history_table.lock()).await?;
                invalid_indexes(session).await?
            } else {
                Vec::new()
            };
            let (sent, blocking) = self.watched(pid, self.send(session, step, &id)).await;
            let ended = match sent {
                Ok(ended) => ended,
                Err(refusal) => return Err(self.contact_lost(step, refusal.into()).await),
            };
            let ScriptOutcome::At(stage) = ended else { return Ok(()) };
            if stage == ScriptStage::Unlocked {
                // `pg_advisory_unlock_all` in the file before. Nobody else has been let in between two attempts.
                self.lock_again(session, kept.history_table.lock()).await?;
                continue;
            }
            let why = match self.why(session, stage).await {
                Ok(why) => why,
                Err(refusal) => return Err(self.contact_lost(step, refusal.into()).await),
            };
            // The script may have begun a transaction of its own; outside of one this is a warning.
            session.query("ROLLBACK").await.map_err(lost)?;
            session.query(&self.session_reset(session.access(), true)).await.map_err(lost)?;
            let deadlock = why.state == "40P01" && character.outside && attempt < TRIES;
            if deadlock {
                let after = invalid_indexes(session).await?;
                for index in after.iter().filter(|index| !before.contains(index)) {
                    session.query(&format!("DROP INDEX CONCURRENTLY IF EXISTS {index}")).await?;
                }
                note(session, kept.history_table.take_back(&id, step.before)).await?;
                self.operation.progress.on(Event::Warning(format!(
                    "{}: deadlock with another session; trying again",
                    script.name
                )));
                continue;
            }
            if why.state == WAITED && step.remains(stage) == Remains::Nothing {
                // Whoever waited in vain and left nothing needs no decision by anybody.
                note(session, kept.history_table.take_back(&id, step.before)).await?;
                let error = waited_in_vain(&script.name, blocking.as_ref());
                return Err(step.and_before(error.note("nothing of the file was applied")));
            }
            return Err(self.failed(session, step, &id, (stage, &why)).await);
        }
        Ok(())
    }

    async fn send(
        &self,
        session: &mut Session,
        step: &RunStep<'_>,
        id: &str,
    ) -> std::result::Result<ScriptOutcome, Refusal> {
        let RunStep { kept, script, character, .. } = step;
        // A build that locks nobody out may wait.
        let (reset, locked) = (
            self.settings_reset(session.access(), !character.outside),
            Self::locked(kept.history_table.lock()),
        );
        // Everything that DISCARD ALL takes back, but for the locks that this session holds.
        let discard = format!(
            "{reset}\\; {SET_OWN_PATH}\\; CLOSE ALL\\; DEALLOCATE ALL\\; UNLISTEN *\\; DISCARD TEMP\\; DISCARD SEQUENCES"
        );
        let before =
            format!("{}\\; {}", kept.history_table.begin(script, id), kept.history_table.search_path());
        let finish = kept.history_table.finish(script, id, step.more);
        // Triggers that the file has deferred run at the COMMIT of `finish`, and find their names by the role's path.
        let after = if script.transaction {
            format!("{finish}\\; {SET_OWN_PATH}")
        } else {
            format!("{SET_OWN_PATH}\\; {finish}")
        };
        let program = Program {
            locked: &locked,
            discard: &discard,
            reset: &reset,
            before: &before,
            file: &script.sql,
            in_transaction: script.transaction,
            after: &after,
            after_looks: kept.history_table.keeps_failures(),
        };
        Ok(ScriptOutcome::read(&session.program(|token| program.lines(token)).await?))
    }

    /// Statements that give the session the role, the settings and the search path back that it was opened with.
    fn session_reset(&self, access: &Access, limited: bool) -> String {
        format!("{}\\; {SET_OWN_PATH}", self.settings_reset(access, limited))
    }

    /// Statements like those of [`SqlDriver::session_reset`], with the search path of the role.
    fn settings_reset(&self, access: &Access, limited: bool) -> String {
        let wait = if limited { self.lock_limit.as_millis() } else { 0 };
        format!(
            "RESET SESSION AUTHORIZATION\\; RESET ROLE\\; RESET ALL\\; SET lock_timeout = {wait}{}",
            access.after_reset()
        )
    }

    /// Error of a part that failed.
    async fn why(
        &self,
        session: &mut Session,
        stage: ScriptStage,
    ) -> std::result::Result<ServerError, Refusal> {
        if stage == ScriptStage::Open {
            let message = "the file leaves a transaction open, which was rolled back".to_owned();
            return Ok(ServerError { message, ..ServerError::default() });
        }
        session.server_error(ServerError::default()).await
    }

    /// The failure in words, and what its row says from now on.
    async fn failed(
        &self,
        session: &mut Session,
        step: &RunStep<'_>,
        id: &str,
        (stage, why): (ScriptStage, &ServerError),
    ) -> Error {
        let RunStep { kept, script, character, .. } = step;
        let remains = step.remains(stage);
        let note_down = if stage == ScriptStage::Before {
            kept.history_table.take_back(id, step.before)
        } else {
            kept.history_table.fail(id, &why.log())
        };
        let noted = note(session, note_down).await;
        let mut error = error::tool(format!("{} failed: {why}", script.name));
        let place = place(script, self.project.as_deref());
        let name = &script.name;
        let marked = kept.history_table.keeps_failures() || kept.history_table.is_dirty_after_failure();
        error = match remains {
            Remains::Nothing => {
                let settle = if marked && stage != ScriptStage::Before {
                    format!(
                        "repair {place}, then `envctl migrate resolve {name} --rolled-back` and `envctl migrate`"
                    )
                } else {
                    format!("repair {place}, then `envctl migrate`")
                };
                error.note("nothing of this file was applied").hint(settle)
            }
            Remains::Part => {
                let why = if character.commits {
                    "the file commits by itself: what it did before that stays"
                } else {
                    "the statement cannot run in a transaction: what it did before the failure stays, such as an INVALID index"
                };
                let again = if marked {
                    "`--rolled-back` once nothing of it is there".to_owned()
                } else {
                    "take back what is there and run `envctl migrate` again".to_owned()
                };
                error.hint(why).hint(format!(
                    "look at the database; then `envctl migrate resolve {name} --applied` where all of it is there, or {again}"
                ))
            }
            Remains::All => error
                .note("the file itself was applied; its row in the history could not be written")
                .hint(format!(
                    "write the row once the cause is gone: `envctl migrate resolve {name} --applied`"
                )),
        };
        error = match why.state.as_str() {
            "25001" if character.statements > 1 => {
                error.hint(format!("put the statement that cannot run in a transaction into a migration of its own, out of {place}"))
            }
            "55P04" => error.hint("put the statements that use the new value into a migration of their own, behind this one"),
            _ => error,
        };
        error = step.and_before(error);
        match noted {
            Ok(()) => error,
            Err(cause) => error
                .note(format!("the failure could not be noted in {}: {cause}", kept.history_table.table())),
        }
    }

    /// The session broke inside of a file: looks again, and says what is known.
    async fn contact_lost(&self, step: &RunStep<'_>, cause: Error) -> Error {
        let RunStep { script, .. } = step;
        let name = &script.name;
        let looking = async {
            let mut session = Session::open(&self.container, &self.access, "envctl").await.ok()?;
            let kept = self.look(&mut session).await.ok();
            session.close().await;
            kept
        };
        let now = tokio::time::timeout(Duration::from_secs(5), looking).await.unwrap_or(None);
        let record = now.as_ref().map(|kept| kept.records.iter().find(|record| record.key == script.key));
        let unknown = |message: String| {
            let error = Error::new(ErrorKind::Unknown, message)
                .because(cause)
                .hint(format!("see its container: `docker logs --tail 50 {}`", self.container.name));
            step.and_before(error)
        };
        match record {
            Some(Some(record)) if record.unfinished.is_none() => {
                unknown(format!("the connection was lost, but {name} was applied whole")).note("`envctl migrate` goes on with the rest")
            }
            Some(None) if !step.kept.history_table.keeps_failures() => {
                unknown(format!("the connection was lost during {name}; nothing of it was applied")).note("`envctl migrate` begins it again")
            }
            _ => unknown(format!("the connection to PostgreSQL was lost while {name} was being applied"))
                .note("PostgreSQL takes back what was not committed").hint("look when it answers again: `envctl migrate status`")
                .hint(format!(
                    "run then `envctl migrate resolve {name} --rolled-back` (nothing of it is there) or `--applied`"
                )),
        }
    }

    /// Ends what a stopped run has left running, and takes its row back where `nothing_stays` of the file.
    pub(crate) async fn stop(&self, nothing_stays: impl Fn(&Script) -> bool) {
        let ending = async {
            let mut session = Session::open(&self.container, &self.access, "envctl cleanup").await.ok()?;
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
            // Whoever still holds the tool's lock is still at it, under a name of its own.
            let free = format!("SELECT pg_catalog.pg_try_advisory_lock({})", kept.history_table.lock());
            if session.value(&free).await.ok()?.as_deref() != Some("t") {
                return None;
            }
            for script in self.layout.read(&self.folder).ok()? {
                let begun = kept
                    .records
                    .iter()
                    .any(|one| one.key == script.key && one.unfinished.as_deref() == Some(""));
                if begun && nothing_stays(&script) && kept.history_table.keeps_failures() {
                    session.query(&kept.history_table.resolve_rolled_back(&script.name, None)).await.ok()?;
                }
            }
            session.close().await;
            Some(())
        };
        let _ = tokio::time::timeout(Duration::from_secs(8), ending).await;
    }
}

impl RunStep<'_> {
    fn and_before(&self, error: Error) -> Error {
        match self.done.applied.as_slice() {
            [] => error,
            applied => error.note(format!("applied before it, and staying: {}", applied.join(", "))),
        }
    }
}

async fn note(session: &mut Session, sql: Option<String>) -> Result<()> {
    if let Some(sql) = sql {
        session.query(&sql).await?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failure_leaves_is_known() {
        for (sql, in_transaction, stage, left) in [
            ("create table a (); select 1/0", false, ScriptStage::File, Remains::Nothing),
            ("create table a (); commit; select 1/0", false, ScriptStage::File, Remains::Part),
            ("create table a (); commit; select 1/0", true, ScriptStage::File, Remains::Part),
            ("begin; create table a (); commit;", false, ScriptStage::File, Remains::Nothing),
            ("begin; create table a ();", false, ScriptStage::Open, Remains::Nothing),
            ("commit; begin; create table a ();", false, ScriptStage::Open, Remains::Part),
            (
                "create table a (); create index concurrently i on a (x)",
                false,
                ScriptStage::File,
                Remains::Nothing,
            ),
            ("create index concurrently i on a (x)", false, ScriptStage::File, Remains::Part),
            ("create index concurrently i on a (x)", true, ScriptStage::File, Remains::Nothing),
            ("create table a ();", false, ScriptStage::Before, Remains::Nothing),
            ("create table a ();", false, ScriptStage::After, Remains::All),
            ("create table a ();", true, ScriptStage::After, Remains::Nothing),
            ("create table a (); commit;", true, ScriptStage::After, Remains::All),
        ] {
            assert_eq!(remains(stage, Character::of(sql), in_transaction), left, "{sql} {stage:?}");
        }
    }
}

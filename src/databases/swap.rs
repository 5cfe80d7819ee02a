//! The swap: one database takes another's name, in one transaction, or nothing has happened.
//!
//! Order, and why: the transaction's first act is `ALTER DATABASE live RENAME`, which takes the
//! database's own lock before it waits for the others to leave; only then are the others' sessions
//! ended, from a second session. New connections wait at the lock instead of slipping in between
//! (0.6 s under a reconnect storm, reliability §3.2), and no ALLOW_CONNECTIONS window can be left
//! behind by a crash. Killed before COMMIT, everything is as it was.

use std::time::Duration;

use crate::databases::properties::Properties;
use crate::docker::Container;
use crate::error::{self, Error, Result};
use crate::operation::{self, Operation, OperationId, SessionRole};
use crate::postgres::privileges::MAY_END;
use crate::postgres::session::Refusal;
use crate::postgres::version::ServerVersion;
use crate::postgres::{Access, Session, maintenance_database};
use crate::text::sql_quote::{ident, literal};

/// Databases and properties for a swap.
#[derive(Clone, Debug)]
pub(crate) struct SwapPlan {
    /// The name that stays.
    pub(crate) live: String,
    /// True if the live database existed when the user agreed. If false, nobody agreed to replace a database.
    pub(crate) exists: bool,
    /// The loaded database that takes it.
    pub(crate) incoming: String,
    /// The name the replaced database is kept under.
    pub(crate) kept: String,
    pub(crate) operation: Operation,
    /// Properties that `live` gets if it does not exist yet.
    pub(crate) given: Option<Properties>,
}

/// Note that envctl stores in the comment of a previous database.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PreviousDatabaseNote {
    /// Always `kept`; tells our comment from a user's.
    pub(crate) envctl: String,
    /// The name it had.
    pub(crate) replaced: String,
    /// The operation that replaced it.
    pub(crate) operation: OperationId,
    /// Time of the replacement, RFC 3339.
    pub(crate) at: String,
}

/// Name of the staging database a restore loads into.
pub(crate) fn staging_name(operation: &OperationId, database: &str) -> String {
    bounded(&format!("envctl_new_{}_{database}", operation.short()))
}

/// Name under which the replaced database is kept.
pub(crate) fn kept_name(operation: &OperationId, database: &str) -> String {
    bounded(&format!("envctl_old_{}_{database}", operation.short()))
}

/// PostgreSQL silently cuts names at 63 bytes; we cut them first, at a character.
fn bounded(name: &str) -> String {
    let mut end = name.len().min(63);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

/// Number of attempts to get connected sessions to leave. Each attempt may take 5 s, the server's own limit.
const TRIES: u32 = 3;

/// Swaps. `live` may not exist yet: then the incoming one just takes the name. Gives the statements that would copy
/// more of what `live` was and that this role may not run, without the values that they set.
///
/// # Errors
/// `Busy`: somebody does not leave; nothing changed. `Refused`: `live` has appeared or gone since the
/// plan; nothing changed. `Unknown`: the connection was lost at COMMIT and the server could not be asked.
/// Anything else: nothing changed.
pub(crate) async fn swap(
    container: &Container,
    access: &Access,
    version: &ServerVersion,
    plan: &SwapPlan,
) -> Result<Vec<String>> {
    let name = plan.operation.application_name(SessionRole::Swap);
    let open = || maintenance_database::outside(container, access, Some(&plan.live), &name);
    let (mut actor, mut terminator) = tokio::try_join!(open(), open())?;
    let place = actor.access().clone();
    let properties = Properties::read(&mut terminator, version, &plan.live).await?;
    if properties.is_some() != plan.exists {
        let what = if plan.exists { "was dropped" } else { "appeared" };
        return Err(error::refused(format!("database {:?} {what} while it was being restored", plan.live))
            .note("nothing was swapped in")
            .hint("run the same command again: its plan says what is there now"));
    }
    let statements = statements(plan, properties.as_ref());
    let mut last = None;
    for _ in 0..TRIES {
        match attempt(&mut actor, &mut terminator, plan, &statements).await {
            Ok(left_out) => {
                actor.close().await;
                terminator.close().await;
                return Ok(left_out);
            }
            Err(SwapError::AtCommit(cause)) => {
                return settled(container, &place, &name, plan, cause).await.map(|()| Vec::new());
            }
            Err(SwapError::InUse(text)) => last = Some(text),
            Err(SwapError::Refused(error)) => return Err(error),
        }
    }
    let who = occupants(&mut terminator, &plan.live).await.unwrap_or_default();
    let error =
        error::busy(format!("database {:?} is still in use: {}", plan.live, last.unwrap_or_default()))
            .note(format!("these sessions do not leave: {who}"));
    let error = match stay(&mut terminator, &plan.live).await.unwrap_or_default() {
        0 => error,
        _ => error.hint(may_end(&place.user)),
    };
    Err(error.note("nothing was changed").hint("stop the application and run the same command again"))
}

enum SwapError {
    InUse(String),
    Refused(Error),
    AtCommit(Error),
}

impl From<Refusal> for SwapError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            // object_in_use
            Refusal::Sql(error) if error.state == "55006" => Self::InUse(error.message),
            other => Self::Refused(Error::from(other).context("the swap was rolled back, nothing changed")),
        }
    }
}

/// Number of [`statements`] that must succeed: the rename and the comment. The rest copies settings of the database.
const REQUIRED: usize = 2;

/// The transaction after its first statement, in order.
fn statements(plan: &SwapPlan, properties: Option<&Properties>) -> Vec<String> {
    let mut statements =
        vec![format!("ALTER DATABASE {} RENAME TO {}", ident(&plan.incoming), ident(&plan.live))];
    if let Some(properties) = properties {
        let note = PreviousDatabaseNote {
            envctl: "previous".to_owned(),
            replaced: plan.live.clone(),
            operation: plan.operation.id.clone(),
            at: plan.operation.started.to_string(),
        };
        // An empty comment would hide the database from undo.
        let note = serde_json::to_string(&note).expect("four strings always serialise");
        statements.push(format!("COMMENT ON DATABASE {} IS {}", ident(&plan.kept), literal(&note)));
        statements.extend(properties.alter(&plan.live));
    } else {
        statements.push(format!("COMMENT ON DATABASE {} IS NULL", ident(&plan.live)));
        statements.extend(plan.given.iter().flat_map(|given| given.alter(&plan.live)));
    }
    statements
}

async fn attempt(
    actor: &mut Session,
    terminator: &mut Session,
    plan: &SwapPlan,
    statements: &[String],
) -> Result<Vec<String>, SwapError> {
    let pid = actor.value("select pg_backend_pid()").await?.unwrap_or_default();
    actor.query("BEGIN").await?;
    actor.query(LIMITS).await?;
    let left_out = match rename_in_transaction(actor, terminator, plan, statements, &pid).await {
        Ok(left_out) => left_out,
        Err(failure) => {
            // A refused statement leaves the transaction open and aborted.
            let _ = actor.query("ROLLBACK").await;
            return Err(failure);
        }
    };
    match tokio::time::timeout(COMMIT_LIMIT, actor.query("COMMIT")).await {
        Ok(Ok(_)) => Ok(left_out),
        Ok(Err(Refusal::Lost(cause))) => Err(SwapError::AtCommit(cause)),
        Ok(Err(refused)) => Err(refused.into()),
        Err(_) => {
            // Its lock on the database must not stay.
            let _ = terminator.query(&format!("select pg_catalog.pg_terminate_backend({pid})")).await;
            let seconds = COMMIT_LIMIT.as_secs();
            Err(SwapError::AtCommit(error::tool(format!(
                "PostgreSQL did not end the COMMIT within {seconds} s"
            ))))
        }
    }
}

/// Bounds the swap's transaction, which locks the database: a daemon that dies under it leaves psql without an end of
/// its input. A standby that is gone would make COMMIT wait with the lock held; the renames reach it in their order.
const LIMITS: &str = "select pg_catalog.set_config('idle_in_transaction_session_timeout', '15s', true), \
                      pg_catalog.set_config('statement_timeout', '60s', true), \
                      pg_catalog.set_config('synchronous_commit', 'local', true), \
                      (select pg_catalog.set_config(s.name, '180s', true) from pg_catalog.pg_settings s \
                       where s.name = 'transaction_timeout')";

/// Time that COMMIT may take: no limit of the server's holds there.
const COMMIT_LIMIT: Duration = Duration::from_mins(1);

async fn rename_in_transaction(
    actor: &mut Session,
    terminator: &mut Session,
    plan: &SwapPlan,
    statements: &[String],
    pid: &str,
) -> Result<Vec<String>, SwapError> {
    if plan.exists {
        let rename = format!("ALTER DATABASE {} RENAME TO {}", ident(&plan.live), ident(&plan.kept));
        alone(actor.query(&rename), terminator, &plan.live, pid).await?;
    }
    let (first, rest) = statements.split_first().expect("there is always the second rename");
    alone(actor.query(first), terminator, &plan.incoming, pid).await?;
    let (required, copied) = rest.split_at(rest.len().min(REQUIRED - 1));
    for statement in required {
        actor.query(statement).await?;
    }
    let mut left_out = Vec::new();
    for statement in copied {
        actor.query("SAVEPOINT envctl").await?;
        match actor.query(statement).await {
            Ok(_) => actor.query("RELEASE SAVEPOINT envctl").await?,
            // insufficient_privilege
            Err(Refusal::Sql(error)) if error.state == "42501" => {
                left_out.push(without_value(statement).to_owned());
                actor.query("ROLLBACK TO SAVEPOINT envctl").await?
            }
            Err(refusal) => return Err(refusal.into()),
        };
    }
    Ok(left_out)
}

/// The beginning of a statement of [`Properties::alter`], without the value that it sets: that may be a secret.
fn without_value(statement: &str) -> &str {
    let Some(set) = statement.find(" SET ") else { return statement };
    statement[set..].find(" TO ").map_or(statement, |to| &statement[..set + to])
}

/// Says that a statement of [`swap`]'s was left out.
pub(crate) fn not_copied(statement: &str) -> String {
    let value = if statement.contains(" SET ") { " TO …" } else { "" };
    format!("not copied to the new database, since the role may not: `{statement}{value}`; a superuser may")
}

/// Sessions in a database that this role may not end; autovacuum leaves by itself.
async fn stay(session: &mut Session, database: &str) -> Result<u64, Refusal> {
    let sql = format!(
        "select count(*) from pg_catalog.pg_stat_activity a where a.datname = {} and a.usesysid is not null \
         and a.pid <> pg_catalog.pg_backend_pid() and not {MAY_END}",
        literal(database)
    );
    Ok(session.value(&sql).await?.and_then(|count| count.parse().ok()).unwrap_or(0))
}

/// The hint where sessions stay that this role may not end.
fn may_end(role: &str) -> String {
    format!(
        "let a superuser allow the role to end the sessions of others: `GRANT pg_signal_backend TO {}`; those of \
         superusers have to be ended by one",
        ident(role)
    )
}

/// Runs a rename while the terminator ends all other sessions, once the rename holds the database's lock.
async fn alone<T>(
    rename: impl Future<Output = Result<T, Refusal>>,
    terminator: &mut Session,
    database: &str,
    pid: &str,
) -> Result<T, SwapError> {
    let name = literal(database);
    // The lock of the database as an object, held by the renaming session. Ours leave last: one of them may keep
    // writers waiting, who must not write into what is replaced.
    let see_out = format!(
        "select count(pg_terminate_backend(s.pid)) from (select a.pid from pg_catalog.pg_stat_activity a \
         where a.datname = {name} and a.pid not in (pg_backend_pid(), {pid}) and {MAY_END} and exists ( \
           select from pg_catalog.pg_locks l join pg_catalog.pg_database d on d.oid = l.objid \
           where l.locktype = 'object' and l.classid = 'pg_catalog.pg_database'::regclass \
             and d.datname = {name} and l.granted and l.mode = 'AccessExclusiveLock' and l.pid = {pid}) \
         order by {} offset 0) s",
        operation::is_session_of_any()
    );
    tokio::pin!(rename);
    loop {
        tokio::select! {
            biased;
            result = &mut rename => return Ok(result?),
            () = tokio::time::sleep(Duration::from_millis(20)) => { terminator.query(&see_out).await?; }
        }
    }
}

/// Lists the sessions and prepared transactions of a database, for a message.
async fn occupants(session: &mut Session, database: &str) -> Result<String, Refusal> {
    let sql = format!(
        "select string_agg(who, ', ') from ( \
           select pg_catalog.format('pid %s (%s, %s)', pid, usename, coalesce(nullif(application_name, ''), state)) \
           from pg_catalog.pg_stat_activity where datname = {0} \
           union all select pg_catalog.format('prepared transaction %L', gid) \
           from pg_catalog.pg_prepared_xacts where database = {0}) s (who)",
        literal(database)
    );
    Ok(session.value(&sql).await?.unwrap_or_default())
}

/// The answer to COMMIT was lost: which of the two is it? The kept name exists only if it took place.
async fn settled(
    container: &Container,
    place: &Access,
    name: &str,
    plan: &SwapPlan,
    cause: Error,
) -> Result<()> {
    let witness = if plan.exists { &plan.kept } else { &plan.live };
    let asking = async {
        let mut session = Session::open(container, place, name).await.ok()?;
        gone(&mut session, name).await?;
        let ask = format!("select count(*) from pg_catalog.pg_database where datname = {}", literal(witness));
        session.value(&ask).await.ok().flatten()
    };
    match asking.await.as_deref() {
        Some("1") => Ok(()),
        Some(_) => Err(cause
            .context("the connection was lost at the swap; it was rolled back, nothing changed")
            .hint("run the same command again; if it stays so: `envctl doctor`, `envctl logs db`")),
        None => Err(error::unknown("the connection to PostgreSQL was lost at the very end of the swap")
            .because(cause)
            .hint(format!(
                "look whether there is a database {witness:?}: then the restore is complete, otherwise nothing changed: \
                 `envctl restore previous`"
            ))),
    }
}

/// Times that the server is asked, a tenth of a second apart, whether the session that committed is gone.
const LOOKS: u32 = 50;

/// Waits until the sessions of the swap but this one are gone: while the one that commits is there, it still may.
/// `None` where one stays, or nobody can be asked.
async fn gone(session: &mut Session, name: &str) -> Option<()> {
    let end = format!(
        "select count(pg_catalog.pg_terminate_backend(a.pid)) from pg_catalog.pg_stat_activity a \
         where a.application_name = {} and a.pid <> pg_catalog.pg_backend_pid() and {MAY_END}",
        literal(name)
    );
    for _ in 0..LOOKS {
        if session.value(&end).await.ok()?? == "0" {
            return Some(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_postgres_and_are_cut_at_characters() {
        assert_eq!(kept_name(&"0123456789ab".into(), "app"), "envctl_old_01234567_app");
        let long = staging_name(&"0123456789ab".into(), &"é".repeat(40));
        assert!(long.len() <= 63 && long.ends_with('é'));
    }

    #[test]
    fn a_statement_is_shown_without_the_value_that_it_sets() {
        for (statement, shown) in [
            (r#"ALTER DATABASE "a" SET "app.key" TO 'secret'"#, r#"ALTER DATABASE "a" SET "app.key""#),
            (r#"ALTER ROLE b IN DATABASE "a" SET x TO 'y TO z'"#, r#"ALTER ROLE b IN DATABASE "a" SET x"#),
            (r#"ALTER DATABASE "a" OWNER TO "b""#, r#"ALTER DATABASE "a" OWNER TO "b""#),
        ] {
            assert_eq!(without_value(statement), shown);
        }
    }

    #[test]
    fn the_note_of_a_previous_database_reads_back() {
        let plan = SwapPlan {
            live: "a'b".into(),
            exists: true,
            incoming: "n".into(),
            kept: "k".into(),
            operation: Operation::for_test("op"),
            given: None,
        };
        let all = statements(&plan, Some(&Properties::default()));
        assert_eq!(all[0], r#"ALTER DATABASE "n" RENAME TO "a'b""#);
        assert!(all[1].starts_with(r#"COMMENT ON DATABASE "k" IS '{"envctl":"previous","replaced":"a''b""#));
    }
}

//! The one lock per database over backup (shared), migrate and restore (exclusive).
//!
//! An advisory lock in the target database itself, taken by asking again and again and never by
//! waiting inside a statement: a waiting `pg_advisory_lock` holds a snapshot, which deadlocks with
//! CREATE INDEX CONCURRENTLY (flyway#1654). It ends with its session, so a killed envctl leaves none.

use std::time::{Duration, Instant};

use super::access::Access;
use super::session::{Refusal, Session};
use crate::docker::Container;
use crate::error::{self, Error, Result};
use crate::postgres::blocking_session::BlockingSession;
use crate::text::sql_quote::literal;

/// "envc" and 1: two numbers nobody else uses for advisory locks.
const KEY: (i32, i32) = (0x656e_7663, 1);

/// Condition on `pg_locks l`: a granted lock of ours on this database.
pub(crate) fn is_ours() -> String {
    format!(
        "l.locktype = 'advisory' and l.granted and l.classid = {} and l.objid = {} and l.objsubid = 2 \
         and l.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())",
        KEY.0, KEY.1
    )
}

/// With whom the lock can be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockMode {
    /// Readers: several backups at once.
    Shared,
    /// Writers: nobody else.
    Exclusive,
}

/// Opens a session in the target database that holds the lock for as long as it lives.
///
/// A swap ends every session of the database it renames, waiting ones too; they connect again to
/// whatever has the name now and look again.
///
/// # Errors
/// Kind `Busy` after `limit`, naming who holds it; otherwise as [`Session::open`].
pub(crate) async fn hold(
    container: &Container,
    access: &Access,
    application: &str,
    mode: LockMode,
    limit: Duration,
) -> Result<Session> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let lost = match Session::open(container, access, application).await {
            Ok(mut session) => {
                match take(&mut session, mode, limit.saturating_sub(started.elapsed())).await {
                    Ok(()) => return Ok(session),
                    Err(Lost::Session(cause)) => cause,
                    Err(Lost::Lock(error)) => return Err(error),
                }
            }
            // The sentence PostgreSQL gives to those that arrive during a rename.
            Err(error) if error.message().contains("just been dropped or renamed") => error,
            Err(error) => return Err(error),
        };
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(never_held(lost));
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Pause before the next session, where one was lost; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The error of a lock whose sessions were lost until the time was over.
fn never_held(lost: Error) -> Error {
    let swaps = ["due to administrator command", "just been dropped or renamed"];
    if swaps.iter().any(|text| lost.message().contains(text)) {
        return error::busy(format!("the database is being swapped by another restore: {}", lost.message()))
            .hint("wait longer with `--lock-timeout 5m`, or try again later");
    }
    lost.context("the sessions that wait for the lock of the database end again and again")
        .hint("look why in the server's log: `envctl logs db`")
}

/// Takes the lock in a session that is open already. The session gets the application name `application`.
pub(crate) async fn hold_in(
    mut open: Session,
    application: &str,
    mode: LockMode,
    limit: Duration,
) -> Result<Session> {
    let (container, access) = (open.container().clone(), open.access().clone());
    let name = format!("select pg_catalog.set_config('application_name', {}, false)", literal(application));
    if open.query(&name).await.is_ok() {
        match take(&mut open, mode, limit).await {
            Ok(()) => return Ok(open),
            Err(Lost::Lock(error)) => return Err(error),
            // The one that follows says why.
            Err(Lost::Session(_)) => {}
        }
    }
    hold(&container, &access, application, mode, limit).await
}

/// Takes the exclusive lock in a session that has lost it.
///
/// # Errors
/// Kind `Busy` after `limit`; `Tool`: the session is gone.
pub(crate) async fn take_again(session: &mut Session, limit: Duration) -> Result<()> {
    take(session, LockMode::Exclusive, limit).await.map_err(|lost| match lost {
        Lost::Lock(error) => error,
        Lost::Session(cause) => cause.context("the session that held the lock of the database ended"),
    })
}

/// Cause of a lock that was not taken.
enum Lost {
    Session(Error),
    Lock(Error),
}

impl From<Refusal> for Lost {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Lost(cause) => Self::Session(cause),
            sql @ Refusal::Sql(_) => Self::Lock(sql.into()),
        }
    }
}

async fn take(session: &mut Session, mode: LockMode, limit: Duration) -> Result<(), Lost> {
    let function = match mode {
        LockMode::Shared => "pg_try_advisory_lock_shared",
        LockMode::Exclusive => "pg_try_advisory_lock",
    };
    let ask = format!("select pg_catalog.{function}({}, {})", KEY.0, KEY.1);
    let started = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        if session.value(&ask).await?.as_deref() == Some("t") {
            return Ok(());
        }
        if started.elapsed() >= limit {
            let blocking = blocking(session).await?;
            let error = error::busy(format!(
                "another envctl works on this database: {}",
                BlockingSession::name(blocking.as_ref())
            ))
            .hint("wait longer with `--lock-timeout 5m`, or try again later");
            return Err(Lost::Lock(match blocking {
                // An engine that was killed leaves what it has started, and the next one has never heard of it.
                // The pid is the server's word, and goes into a command that somebody may type.
                Some(BlockingSession { pid, .. }) if pid.bytes().all(|b| b.is_ascii_digit()) => error.hint(format!(
                    "end its session if that envctl is gone: `envctl psql -c 'select pg_terminate_backend({pid})'`"
                )),
                _ => error,
            }));
        }
        tokio::time::sleep(pause.min(limit.saturating_sub(started.elapsed()))).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Returns the session that holds the lock.
async fn blocking(session: &mut Session) -> std::result::Result<Option<BlockingSession>, Refusal> {
    let rest = format!(
        "join pg_catalog.pg_locks l using (pid) where {} and l.pid <> pg_catalog.pg_backend_pid() order by a.backend_start",
        is_ours()
    );
    BlockingSession::find(session, &rest).await
}

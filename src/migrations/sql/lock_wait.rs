//! Waiting for whoever is in the way, and naming them: a tool's lock, a dump, a session that holds a table.
//!
//! Promises: nobody is waited for longer than `--lock-timeout`; who it was is told with its process, its name and
//! since when; nobody's session is ended.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::SqlDriver;
use crate::error::{self, Error, Result};
use crate::operation::{self, SessionRole};
use crate::postgres::lock::{self, LockMode};
use crate::postgres::session::Refusal;
use crate::postgres::{BlockingSession, Session};

/// SQLSTATE `lock_not_available`: `lock_timeout` has ended the waiting.
pub(crate) const WAITED: &str = "55P03";

/// Longer than Prisma waits for its lock.
const QUEUE_LIMIT: Duration = Duration::from_secs(12);

impl SqlDriver {
    /// A session that holds envctl's own lock on the database.
    pub(crate) async fn hold(&self) -> Result<Session> {
        let application = self.application();
        let holding =
            lock::hold(&self.container, &self.access, &application, LockMode::Exclusive, self.lock_limit);
        self.operation.cancel.run_until_cancelled(holding).await?
    }

    /// Condition that this session holds envctl's lock and the tool's.
    pub(crate) fn locked(key: i64) -> String {
        format!(
            "SELECT count(DISTINCT l.objsubid) = 2 FROM pg_catalog.pg_locks l \
             WHERE l.pid = pg_catalog.pg_backend_pid() AND (({}) OR ({}))",
            lock::is_ours(),
            is_tools_lock(key)
        )
    }

    /// Takes both locks again, which a file has given up.
    pub(crate) async fn lock_again(&self, session: &mut Session, key: i64) -> Result<()> {
        lock::take_again(session, self.lock_limit).await?;
        self.take_tools_lock(session, key).await
    }

    /// Asks again and again: a waiting `pg_advisory_lock` holds a snapshot, which deadlocks with CREATE INDEX
    /// CONCURRENTLY (flyway#1654). Prisma waits for the same key and sees us.
    pub(crate) async fn take_tools_lock(&self, session: &mut Session, key: i64) -> Result<()> {
        let started = Instant::now();
        let ask = format!("SELECT pg_catalog.pg_try_advisory_lock({key})");
        while session.value(&ask).await?.as_deref() != Some("t") {
            if started.elapsed() >= self.lock_limit {
                return Err(migrated_elsewhere(tools_lock(session, key).await?.as_ref()));
            }
            self.operation.progress.step("waiting for another migration");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Waits until nobody holds a tool's lock, without taking it: the tool itself is going to.
    pub(crate) async fn wait_for_tools_lock(&self, session: &mut Session, key: i64) -> Result<()> {
        let started = Instant::now();
        while let Some(blocking) = tools_lock(session, key).await? {
            if started.elapsed() >= self.lock_limit {
                return Err(migrated_elsewhere(Some(&blocking)));
            }
            self.operation.progress.step(&format!("waiting for another migration: {blocking}"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// A dump holds every table: the first ALTER TABLE would queue behind it, and the application behind that.
    pub(crate) async fn wait_for_dumps(&self, session: &mut Session) -> Result<()> {
        let dump = operation::pattern(&[SessionRole::Dump]);
        let dumps = format!(
            "WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() \
             AND (a.application_name ~ '^pg_dump' OR a.application_name ~ '{dump}') \
             ORDER BY a.backend_start"
        );
        let started = Instant::now();
        while let Some(dump) = BlockingSession::find(session, &dumps).await? {
            if started.elapsed() >= self.lock_limit {
                return Err(error::busy(format!("a dump of this database runs: {dump}"))
                    .note("a migration beside it would make the application wait")
                    .hint("let it end, or wait with `--lock-timeout 30m`"));
            }
            self.operation.progress.step(&format!("waiting for {dump} to end"));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    /// Lets those go that queue for the lock that we hold: each holds a snapshot meanwhile, and a build that does not
    /// lock anybody out would wait for that. Prisma gives up after 10 s; for who never does the build has its tries.
    pub(crate) async fn wait_for_queue(&self, session: &mut Session, key: i64) -> Result<()> {
        let waits = is_tools_lock(key).replace("l.granted", "NOT l.granted");
        let started = Instant::now();
        while let Some(waiting) =
            BlockingSession::find(session, &format!("JOIN pg_catalog.pg_locks l USING (pid) WHERE {waits}"))
                .await?
        {
            if started.elapsed() >= QUEUE_LIMIT {
                break;
            }
            self.operation.progress.step(&format!("waiting for {waiting} to give up waiting for us"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Does `work` in the session `pid`, and looks from another one who holds it up: once `lock_timeout` has struck
    /// nobody can tell any more. What is done soon costs no second session.
    pub(crate) async fn watched<T>(
        &self,
        pid: &str,
        work: impl Future<Output = T>,
    ) -> (T, Option<BlockingSession>) {
        let seen = RefCell::new(None);
        let looking = async {
            tokio::time::sleep((self.lock_limit / 4).min(Duration::from_secs(1))).await;
            if let Ok(mut session) = self.session().await {
                while let Ok(blocking) = blocking_session(&mut session, pid).await {
                    if let Some(blocking) = blocking {
                        self.operation.progress.step(&format!("waiting for {blocking}"));
                        seen.replace(Some(blocking));
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            std::future::pending::<()>().await;
        };
        let done = tokio::select! {
            biased;
            done = work => done,
            () = looking => unreachable!("it looks for as long as there is work"),
        };
        (done, seen.into_inner())
    }
}

/// Returns the session that holds a tool's lock on this database.
pub(crate) async fn tools_lock(session: &mut Session, key: i64) -> Result<Option<BlockingSession>, Refusal> {
    let holding = format!("JOIN pg_catalog.pg_locks l USING (pid) WHERE {}", is_tools_lock(key));
    BlockingSession::find(session, &holding).await
}

/// The condition on `pg_locks l`.
pub(crate) fn is_tools_lock(key: i64) -> String {
    let (high, low) = (key >> 32 & 0xffff_ffff, key & 0xffff_ffff);
    format!(
        "l.locktype = 'advisory' AND l.granted AND l.classid::bigint = {high} AND l.objid::bigint = {low} \
         AND l.objsubid = 1 \
         AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
    )
}

/// Whom a session waits for.
pub(crate) async fn blocking_session(
    session: &mut Session,
    pid: &str,
) -> Result<Option<BlockingSession>, Refusal> {
    let blocks = format!(
        "WHERE a.pid = ANY (pg_catalog.pg_blocking_pids({pid})) ORDER BY coalesce(a.xact_start, a.backend_start)"
    );
    BlockingSession::find(session, &blocks).await
}

/// Error for another migration that runs on this database, Prisma's P1002.
pub(crate) fn migrated_elsewhere(blocking: Option<&BlockingSession>) -> Error {
    error::busy(format!("another migration runs on this database: {}", BlockingSession::name(blocking)))
        .hint("wait longer with `--lock-timeout 5m`, or try again later")
}

/// Error for a wait that ended without result, because another session holds a table.
pub(crate) fn waited_in_vain(what: &str, blocking: Option<&BlockingSession>) -> Error {
    let error = match blocking {
        Some(blocking) => {
            error::busy(format!("{what} waited in vain for a table that {blocking} holds: {}", blocking.doing))
                .hint(format!(
                    "let it end, or end it: `envctl psql -c \"select pg_terminate_backend({})\"`",
                    blocking.pid
                ))
        }
        None => error::busy(format!("{what} waited in vain for a table that another session holds")).hint(
            "see who: `envctl psql -c \"select pid, state, query from pg_stat_activity where state <> 'idle'\"`",
        ),
    };
    error.hint("run the same command again then, or wait longer with `--lock-timeout 2m`")
}

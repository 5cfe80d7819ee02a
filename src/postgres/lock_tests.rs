//! The lock over the scripted engine: taken, waited for, refused by name, and carried over a swap.

use std::sync::Arc;
use std::time::Duration;

use crate::docker::fake_engine::{ExecPeer, Scripted, ScriptedExec, container};
use crate::error::{ErrorKind, Result};

use super::access::{Access, ConnectionOverrides};
use super::lock::{LockMode, hold};
use super::session::Session;

async fn taken(script: &Arc<Scripted>, mode: LockMode, limit: Duration) -> Result<Session> {
    let db = script.container(container("db"));
    let access = Access::discover(&db, &ConnectionOverrides::default()).await?;
    hold(&db, &access, "envctl test", mode, limit).await
}

/// A psql that answers `select 1`, then each question for the lock with the next word.
fn answering(locks: &'static [&'static str]) -> ScriptedExec {
    ScriptedExec::new("psql", move |mut peer| async move {
        let (_, token) = peer.question().await?;
        peer.rows(&token, "1\n").await;
        for answer in locks {
            let (sql, token) = peer.question().await?;
            assert!(sql.starts_with("select pg_catalog.pg_try_advisory_lock"), "{sql}");
            peer.rows(&token, &format!("{answer}\n")).await;
        }
        rest(peer).await
    })
}

/// Answers what else is asked: who holds the lock.
async fn rest(mut peer: ExecPeer) -> Option<i64> {
    while let Some((sql, token)) = peer.question().await {
        if sql.contains("pg_locks") {
            peer.rows(&token, "envctl restore,77,ada,12,idle,\n").await;
        } else {
            peer.rows(&token, "f\n").await;
        }
    }
    Some(0)
}

#[tokio::test]
async fn a_free_lock_is_taken_at_once() {
    let script = Scripted::new([answering(&["t"])]);
    assert!(taken(&script, LockMode::Exclusive, Duration::ZERO).await.is_ok());
}

#[tokio::test]
async fn readers_share_and_writers_do_not() {
    for (mode, function) in
        [(LockMode::Shared, "pg_try_advisory_lock_shared("), (LockMode::Exclusive, "pg_try_advisory_lock(")]
    {
        let script = Scripted::new([ScriptedExec::new("psql", move |mut peer| async move {
            let (_, token) = peer.question().await?;
            peer.rows(&token, "1\n").await;
            let (sql, token) = peer.question().await?;
            assert!(sql.contains(function), "{sql}");
            peer.rows(&token, "t\n").await;
            rest(peer).await
        })]);
        taken(&script, mode, Duration::ZERO).await.unwrap().close().await;
        script.is_over().await;
    }
}

#[tokio::test]
async fn a_lock_that_becomes_free_is_had() {
    let script = Scripted::new([answering(&["f", "f", "t"])]);
    assert!(taken(&script, LockMode::Exclusive, Duration::from_secs(20)).await.is_ok());
}

#[tokio::test]
async fn a_lock_that_stays_held_is_busy_and_names_the_blocking_session() {
    for limit in [Duration::ZERO, Duration::from_millis(120)] {
        let script = Scripted::new([answering(&["f"])]);
        let error = taken(&script, LockMode::Exclusive, limit).await.err().expect("it is held");
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.message().contains("envctl restore (pid 77, role ada, for 12 s)"), "{error}");
        assert!(error.hints().iter().any(|hint| hint.contains("--lock-timeout")), "{:?}", error.hints());
    }
}

#[tokio::test]
async fn a_waiter_whose_database_is_swapped_looks_again() {
    let script = Scripted::new([
        // The swap ends every session of the database that it renames.
        ScriptedExec::new("psql", |mut peer| async move {
            let (_, token) = peer.question().await?;
            peer.rows(&token, "1\n").await;
            peer.question().await?;
            peer.err("FATAL:  terminating connection due to administrator command\n").await;
            Some(2)
        }),
        // A session that connects in the middle of it is disconnected.
        ScriptedExec::new("psql", |mut peer| async move {
            peer.err("psql: error: FATAL:  database \"acme\" has just been dropped or renamed\n").await;
            Some(2)
        }),
        answering(&["t"]),
    ]);
    assert!(taken(&script, LockMode::Shared, Duration::from_secs(20)).await.is_ok());
    script.is_over().await;
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_not_waited_for() {
    let refused = || {
        ScriptedExec::new("psql", |mut peer| async move {
            peer.err("psql: error: FATAL:  database \"nosuch\" does not exist\n").await;
            Some(2)
        })
    };
    let script = Scripted::new([refused(), ScriptedExec::prints("sh", "", 1), refused()]);
    let error = taken(&script, LockMode::Shared, Duration::from_secs(20)).await.err().expect("there is none");
    assert_eq!(error.kind(), ErrorKind::Target);
}

#[tokio::test]
async fn a_session_that_is_lost_again_and_again_is_no_swap_and_is_not_asked_for_without_a_pause() {
    let lost = || {
        ScriptedExec::new("psql", |mut peer| async move {
            let (_, token) = peer.question().await?;
            peer.rows(&token, "1\n").await;
            peer.question().await?;
            peer.err("out of memory\n").await;
            Some(1)
        })
    };
    let script = Scripted::new(std::iter::repeat_with(lost).take(50));
    let error = taken(&script, LockMode::Exclusive, Duration::from_millis(300)).await.err().expect("no lock");
    assert_eq!(error.kind(), ErrorKind::Tool, "{error}");
    assert!(error.full_message().contains("out of memory"), "{}", error.full_message());
    assert!(error.full_message().contains("end again and again"), "{}", error.full_message());
    assert!(script.asked().len() <= 5, "{} sessions in 300 ms", script.asked().len());
}

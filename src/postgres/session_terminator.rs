//! A second session that ends the first one, whatever that one waits for.
//!
//! The second session is opened beforehand. A session that waits for a lock on `pg_database` may wait behind one that
//! keeps every new session out. psql reads its input, and so the end of its input, only after the statement that
//! waits.

use std::time::Duration;

use super::session::Session;
use crate::text::sql_quote::literal;

/// Pause between two checks that the other session is gone, then the time limit of all checks.
const PAUSE: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(5);

/// Ends one other session.
pub(crate) struct SessionTerminator {
    session: Session,
    pid: String,
}

impl SessionTerminator {
    /// Opens a session in the same database as `other`; `None` where the server has no connection left: then nothing can be
    /// ended, and everything else works.
    pub(crate) async fn of(other: &mut Session, application: &str) -> Option<Self> {
        let (container, access) = (other.container().clone(), other.access().clone());
        let asking = other.value("select pg_catalog.pg_backend_pid()");
        let (session, pid) = tokio::join!(Box::pin(Session::open(&container, &access, application)), asking);
        Some(Self { session: session.ok()?, pid: pid.ok()?? })
    }

    /// Ends the other session with its statement and returns this one, which takes its place.
    pub(crate) async fn end(mut self) -> Session {
        // The functions and not the views, which read pg_database.
        let end = format!("select pg_catalog.pg_terminate_backend({}::int)", literal(&self.pid));
        let there =
            format!("select count(*) from pg_catalog.pg_stat_get_activity({}::int)", literal(&self.pid));
        let ending = async {
            let _ = self.session.query(&end).await;
            while self.session.value(&there).await.ok().flatten().is_some_and(|count| count != "0") {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let _ = tokio::time::timeout(LIMIT, ending).await;
        self.session
    }

    /// Ends this session.
    pub(crate) async fn close(self) {
        self.session.close().await;
    }
}

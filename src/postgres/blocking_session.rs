//! A session that stands in somebody's way, as it is named to a person: application, pid, role, since when.

use std::fmt;

use super::session::{Refusal, Session};

/// A session of `pg_stat_activity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockingSession {
    pub(crate) application: String,
    /// Process id of the session.
    pub(crate) pid: String,
    pub(crate) role: String,
    /// Age of the transaction, else of the session, in seconds.
    pub(crate) seconds: String,
    /// Current statement of the session, or the state with the last statement.
    pub(crate) doing: String,
}

impl BlockingSession {
    /// The first session `a` of `pg_stat_activity` that `rest` (joins, conditions, order) leaves.
    pub(crate) async fn find(session: &mut Session, rest: &str) -> Result<Option<Self>, Refusal> {
        let sql = format!(
            "select a.application_name, a.pid, a.usename, \
                    pg_catalog.round(extract(epoch from pg_catalog.clock_timestamp() - coalesce(a.xact_start, a.backend_start))), \
                    a.state, pg_catalog.regexp_replace(pg_catalog.left(a.query, 60), '\\s+', ' ', 'g') \
             from pg_catalog.pg_stat_activity a {rest} limit 1"
        );
        Ok(session.query(&sql).await?.into_iter().next().and_then(Self::read))
    }

    fn read(row: Vec<String>) -> Option<Self> {
        let [application, pid, role, seconds, state, query] = <[String; 6]>::try_from(row).ok()?;
        // Whoever is idle did it with what it ran last.
        let doing = match (state.as_str(), query.trim()) {
            (_, "") => state,
            ("active", query) => query.to_owned(),
            (state, query) => format!("{state} after {query}"),
        };
        Some(Self { application, pid, role, seconds, doing })
    }

    /// Describes the blocking session; `None` stands for a session that has ended.
    pub(crate) fn name(blocking: Option<&Self>) -> String {
        blocking.map_or_else(|| "a session that has just ended".to_owned(), Self::to_string)
    }
}

impl fmt::Display for BlockingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { application, pid, role, seconds, .. } = self;
        let application = if application.is_empty() { "a session without a name" } else { application };
        write!(f, "{application} (pid {pid}, role {role}, for {seconds} s)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocking(application: &str, state: &str, query: &str) -> BlockingSession {
        BlockingSession::read([application, "7", "app", "12", state, query].map(str::to_owned).into())
            .unwrap()
    }

    #[test]
    fn a_blocking_session_is_named_by_what_is_known_of_it() {
        let idle = blocking("web", "idle in transaction", "select 1");
        assert_eq!(idle.to_string(), "web (pid 7, role app, for 12 s)");
        assert_eq!(idle.doing, "idle in transaction after select 1");
        assert_eq!(blocking("", "active", "vacuum t").doing, "vacuum t");
        assert!(blocking("", "active", "").to_string().starts_with("a session without a name (pid 7"));
        assert_eq!(BlockingSession::name(None), "a session that has just ended");
    }
}

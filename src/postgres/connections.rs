//! Connected sessions of a database, described for a person before the sessions are disconnected.
//!
//! Promises: envctl's own sessions are not among them; what the role may not see (another role's address) is left out, and
//! the session is counted all the same.

use std::fmt;

use serde::Serialize;

use super::session::{Session, fields};
use crate::error::{self, Result};
use crate::operation;
use crate::text::sql_quote::literal;

/// Sessions of one role, by one application, from one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ConnectionGroup {
    /// Number of sessions.
    pub(crate) count: u64,
    /// Role of the sessions.
    pub(crate) role: String,
    /// Application name of the sessions; `None` where they set none.
    pub(crate) application: Option<String>,
    /// Address of the sessions, or `local socket`; `None` where the role may not see the address.
    pub(crate) from: Option<String>,
    /// Start of the oldest session, `2026-11-22 17:20:11 UTC`; `None` where the role may not see the time.
    pub(crate) since: Option<String>,
    /// Number of sessions that are in a transaction now.
    pub(crate) in_transaction: u64,
}

impl ConnectionGroup {
    /// Everybody who is connected to `database`, the largest group first.
    pub(crate) async fn of(session: &mut Session, database: &str) -> Result<Vec<Self>> {
        // backend_type and all that follows is null for sessions of roles that we may not look at.
        let rows = session
            .query(&format!(
                "select count(*), coalesce(usename, 'unknown'), coalesce(application_name, ''), \
                        coalesce(pg_catalog.host(client_addr), case client_port when -1 then 'local socket' end, ''), \
                        coalesce(to_char(min(backend_start) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"'), ''), \
                        count(xact_start) \
                 from pg_catalog.pg_stat_activity a \
                 where datname = {} and pid <> pg_catalog.pg_backend_pid() \
                   and coalesce(backend_type, 'client backend') = 'client backend' \
                   and not {} \
                 group by 2, 3, 4 order by 1 desc, 2, 3, 4",
                literal(database),
                operation::IS_OURS
            ))
            .await?;
        rows.into_iter().map(Self::from_row).collect()
    }

    fn from_row(row: Vec<String>) -> Result<Self> {
        let [count, role, application, from, since, in_transaction] = fields(row)?;
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        let count = count
            .parse()
            .map_err(|_| error::tool("PostgreSQL did not answer with a number of connected sessions"))?;
        Ok(Self {
            count,
            role,
            application: said(application),
            from: said(from),
            since: said(since),
            in_transaction: in_transaction.parse().unwrap_or(0),
        })
    }
}

impl fmt::Display for ConnectionGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of role {}", self.count, self.role)?;
        match &self.application {
            Some(application) => write!(f, ", {application}")?,
            None => write!(f, ", no application name")?,
        }
        if let Some(from) = &self.from {
            write!(f, ", from {from}")?;
        }
        if let Some(since) = &self.since {
            write!(f, ", since {since}")?;
        }
        match self.in_transaction {
            0 => Ok(()),
            1 => f.write_str(", 1 in a transaction"),
            n => write!(f, ", {n} in transactions"),
        }
    }
}

/// Groups of sessions that are named one by one.
const NAMED: usize = 6;

/// Describes the connected sessions and what the swap means for them: a line, then one for each group. Returns no
/// line where no session is connected.
pub(crate) fn disconnected_sessions(groups: &[ConnectionGroup]) -> Vec<String> {
    let count: u64 = groups.iter().map(|group| group.count).sum();
    let first = match count {
        0 => return Vec::new(),
        1 => "1 session at the swap; it has to connect again, and loses what it has not committed".to_owned(),
        _ => format!(
            "{count} sessions at the swap; they have to connect again, and lose what they have not committed"
        ),
    };
    let mut lines = vec![first];
    lines.extend(groups.iter().take(NAMED).map(ToString::to_string));
    let rest: u64 = groups.iter().skip(NAMED).map(|group| group.count).sum();
    if rest > 0 {
        lines.push(format!("and {rest} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(row: [&str; 6]) -> ConnectionGroup {
        ConnectionGroup::from_row(row.map(str::to_owned).to_vec()).unwrap()
    }

    #[test]
    fn what_is_known_is_said_and_the_rest_left_out() {
        let all = of(["3", "acme", "api", "172.18.0.3", "2026-11-22 17:20:11 UTC", "1"]);
        assert_eq!(
            all.to_string(),
            "3 of role acme, api, from 172.18.0.3, since 2026-11-22 17:20:11 UTC, 1 in a transaction"
        );
        let little = of(["1", "acme", "", "", "", "0"]);
        assert_eq!(little.to_string(), "1 of role acme, no application name");
        assert_eq!((little.application, little.from, little.since), (None, None, None));
    }

    #[test]
    fn many_groups_are_counted_and_the_first_are_named() {
        assert_eq!(disconnected_sessions(&[]), Vec::<String>::new());
        let groups: Vec<ConnectionGroup> =
            (0..9).map(|number| of(["2", "acme", &format!("pool {number}"), "", "", "0"])).collect();
        let lines = disconnected_sessions(&groups);
        assert!(lines[0].starts_with("18 sessions at the swap; they have to connect again"), "{lines:?}");
        assert_eq!((lines.len(), lines[7].as_str()), (8, "and 6 more"));
    }

    #[test]
    fn a_row_that_is_none_is_passed_over() {
        assert!(
            ConnectionGroup::from_row(vec!["many".into()]).is_err(),
            "a session left out is one that is ended unsaid"
        );
    }
}

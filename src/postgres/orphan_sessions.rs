//! Sessions whose envctl is gone: a dump or a load goes on when its envctl was killed (nothing in the
//! engine's API ends it), holding locks and a snapshot that nobody wants any more.
//!
//! Every dump and load runs beside a session of its envctl that holds the lock and ends at once with it:
//! psql reads an end of file. So a dump whose companion is missing is an orphan, wherever it was started.
//!
//! A swap ends its own companion with the other sessions of the database, so a swap is known by its time: it has limits
//! inside its transaction, and nothing of a swap that is alive lasts longer.

use super::privileges::MAY_END;
use super::session::{Refusal, Session};
use crate::operation::{self, ApplicationName, SessionRole};

/// The condition of a dump or a load without its companion, and of a swap that is over.
fn orphaned() -> String {
    let tools = operation::pattern(&[SessionRole::Dump, SessionRole::Load]);
    let companions = operation::alternatives(&[SessionRole::Backup, SessionRole::Restore]);
    let swap = operation::pattern(&[SessionRole::Swap]);
    format!(
        "a.pid <> pg_catalog.pg_backend_pid() and case \
    when a.application_name ~ '{tools}$' then \
        not exists (select from pg_catalog.pg_stat_activity companion \
                    where companion.application_name ~ \
                          ('^' || split_part(a.application_name, ' ', 1) || ' {companions} ')) \
    when a.application_name ~ '{swap}$' then \
        pg_catalog.clock_timestamp() - a.state_change > \
            case when a.state like 'idle in transaction%' then interval '20 s' else interval '10 min' end \
    else false end"
    )
}

/// Ends those that this role may end, and gives their names: `envctl/1a2b3c4d dump`.
pub(crate) async fn end(session: &mut Session) -> Result<Vec<ApplicationName>, Refusal> {
    names(session, "a.application_name, pg_catalog.pg_terminate_backend(a.pid)", MAY_END).await
}

/// Their names, and nothing is done to them.
pub(crate) async fn list(session: &mut Session) -> Result<Vec<ApplicationName>, Refusal> {
    names(session, "a.application_name", "true").await
}

async fn names(session: &mut Session, what: &str, which: &str) -> Result<Vec<ApplicationName>, Refusal> {
    let sql = format!("select {what} from pg_catalog.pg_stat_activity a where {} and {which}", orphaned());
    let rows = session.query(&sql).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next()?.parse().ok()).collect())
}

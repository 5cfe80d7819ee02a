//! The databases that restores have replaced: each is kept whole under a name of its own until somebody drops it.
//!
//! Promises: one is known by the note that the swap left on it, so that no database of somebody else's is taken for one;
//! one is dropped by its name and only after a person has agreed to that name.

use std::fmt;

use super::swap::PreviousDatabaseNote;
use crate::cancel::CancelToken;
use crate::consent::{Confirmed, Guard, Plan};
use crate::docker::Container;
use crate::error::{self, Error, Result};
use crate::postgres::privileges::MAY_MEASURE;
use crate::postgres::session::{Refusal, fields};
use crate::postgres::session_terminator::SessionTerminator;
use crate::postgres::{Access, Session, maintenance_database};
use crate::text::sql_quote::ident;
use crate::text::units::{bytes, moment_of};

/// A database that an earlier restore replaced and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PreviousDatabase {
    /// Current name of the database.
    pub(crate) name: String,
    /// Note in the comment of the database.
    pub(crate) note: PreviousDatabaseNote,
    /// Size of the database in bytes; 0 if the role may not measure the database.
    pub(crate) size: u64,
}

/// Lists the previous databases of `database`, newest first.
pub(crate) async fn kept(session: &mut Session, database: &str) -> Result<Vec<PreviousDatabase>> {
    let mut kept = all(session).await?;
    kept.retain(|kept| kept.note.replaced == database);
    Ok(kept)
}

/// Lists the previous databases of all databases on the server, newest first.
pub(crate) async fn all(session: &mut Session) -> Result<Vec<PreviousDatabase>> {
    let rows = session
        .query(&format!(
            "select d.datname, shobj_description(d.oid, 'pg_database'), \
                    case when {MAY_MEASURE} then pg_catalog.pg_database_size(d.oid) else 0 end \
             from pg_catalog.pg_database d where d.datname like 'envctl\\_old\\_%'"
        ))
        .await?;
    let mut kept: Vec<PreviousDatabase> = rows
        .into_iter()
        .map(|row| {
            let [name, note, size] = fields(row)?;
            // A comment of somebody else's is no note of ours.
            let note = serde_json::from_str::<PreviousDatabaseNote>(&note)
                .ok()
                .filter(|note| ["previous", "kept"].contains(&note.envctl.as_str()));
            Ok(note.map(|note| PreviousDatabase { name, note, size: size.parse().unwrap_or(0) }))
        })
        .filter_map(Result::transpose)
        .collect::<Result<_>>()?;
    kept.sort_by(|a, b| b.note.at.cmp(&a.note.at).then_with(|| b.name.cmp(&a.name)));
    Ok(kept)
}

/// Dropping some of them, decided. Its `Display` is what a person agrees to.
#[derive(Clone, Debug)]
pub(crate) struct DropPreviousPlan {
    /// Which.
    pub(crate) kept: Vec<PreviousDatabase>,
    /// Access to the server.
    pub(crate) access: Access,
}

impl Plan for DropPreviousPlan {
    fn guard(&self) -> Guard {
        Guard::Destroy
    }
}

impl fmt::Display for DropPreviousPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.kept.len() == 1 { "database" } else { "databases" };
        writeln!(f, "drop {} previous {noun}", self.kept.len())?;
        for kept in &self.kept {
            let PreviousDatabase { name, note, size } = kept;
            writeln!(
                f,
                "  {name:?}, which was {:?} until {} ({})",
                note.replaced,
                moment_of(&note.at),
                bytes(*size)
            )?;
        }
        writeln!(f, "  `restore undo` cannot bring them back then")
    }
}

/// Carries it out; gives the names of those that are gone.
///
/// # Errors
/// Kind `Busy`: somebody is connected to one. `Tool`: the server refuses. Says what has been dropped before.
pub(crate) async fn drop_kept(
    container: &Container,
    plan: Confirmed<DropPreviousPlan>,
    cancel: &CancelToken,
) -> Result<Vec<String>> {
    let plan = plan.into_plan();
    let live = Some(plan.access.database.as_str());
    let opening = async {
        let mut session = maintenance_database::outside(container, &plan.access, live, "envctl drop").await?;
        let canceller = SessionTerminator::of(&mut session, "envctl drop").await;
        Ok::<_, Error>((session, canceller))
    };
    let (mut session, mut canceller) = cancel.run_until_cancelled(opening).await??;
    let mut dropped = Vec::new();
    for kept in &plan.kept {
        // Without FORCE: it would end whoever looks something up there, and drop a replication slot silently.
        let statement = format!("DROP DATABASE {}", ident(&kept.name));
        match cancel.run_until_cancelled(session.query(&statement)).await {
            Ok(Ok(_)) => dropped.push(kept.name.clone()),
            Ok(Err(refusal)) => return Err(refused(&kept.name, refusal, &dropped)),
            Err(cancelled) => {
                if let Some(canceller) = canceller.take() {
                    canceller.end().await.close().await;
                }
                return Err(before(cancelled, &dropped));
            }
        }
    }
    session.close().await;
    if let Some(canceller) = canceller {
        canceller.close().await;
    }
    Ok(dropped)
}

fn refused(name: &str, refusal: Refusal, dropped: &[String]) -> Error {
    let error = match refusal {
        // object_in_use
        Refusal::Sql(in_use) if in_use.state == "55006" => {
            error::busy(format!("database {name:?} is in use and stays: {in_use}"))
                .hint("end who is connected to it, or wait, and run the same command again")
        }
        other => Error::from(other).context(format!("database {name:?} stays")),
    };
    before(error, dropped)
}

fn before(error: Error, dropped: &[String]) -> Error {
    match dropped {
        [] => error,
        gone => error.note(format!("dropped before that: {}", gone.join(", "))),
    }
}

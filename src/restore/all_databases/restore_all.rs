//! Restoring all databases: the missing roles, then each database by its own staging database and swap.
//!
//! Promises: who confirmed the whole has confirmed each part, and nobody else can start one; roles that are there
//! stay as they are; a database whose restore fails is as it was, and it is said which are done.

use std::fmt;

use super::{Roles, UnpackedCluster};
use crate::consent::{Confirmed, Guard, Parts, Plan};
use crate::docker::Container;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::Operation;
use crate::postgres::session::Refusal;
use crate::postgres::{Access, Session};
use crate::progress::Event;
use crate::restore::plan::RestorePlan;
use crate::restore::run;
use crate::restore::run::Restored;

/// A restore of all databases, decided. Its `Display` is what a person agrees to.
#[derive(Clone, Debug)]
pub(crate) struct ClusterPlan {
    pub(crate) operation: Operation,
    /// The file.
    pub(crate) name: String,
    /// Time and source of the backup, as text.
    pub(crate) origin: String,
    /// Roles to create and roles to leave unchanged.
    pub(crate) roles: Roles,
    /// Access to an existing database of the server.
    pub(crate) access: Access,
    /// Notes about database properties that are not restored.
    pub(crate) notes: Vec<String>,
    /// The databases, each with its own plan.
    pub(crate) databases: Vec<RestorePlan>,
}

impl Plan for ClusterPlan {
    fn guard(&self) -> Guard {
        Guard::Destroy
    }
}

impl fmt::Display for ClusterPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restore {} from {}", several(self.databases.len()), self.name)?;
        writeln!(f, "  from     {}", self.origin)?;
        if !self.roles.missing.is_empty() {
            writeln!(f, "  creates  {}", roles(&self.roles.missing))?;
        }
        if !self.roles.present.is_empty() {
            writeln!(f, "  leaves   {} as on the server", roles(&self.roles.present))?;
        }
        for note in &self.notes {
            writeln!(f, "  note     {note}")?;
        }
        for plan in &self.databases {
            writeln!(f, "database {:?}", plan.database)?;
            // Its first line names a file that is gone afterwards.
            for line in plan.to_string().lines().skip(1) {
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }
}

fn several(databases: usize) -> String {
    if databases == 1 { "1 database".to_owned() } else { format!("{databases} databases") }
}

fn roles(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("{} {}", if names.len() == 1 { "role" } else { "roles" }, names.join(", "))
}

impl Parts for ClusterPlan {
    type Key = String;
    type Part = RestorePlan;

    fn parts(self) -> Vec<(String, RestorePlan)> {
        self.databases.into_iter().map(|plan| (plan.database.clone(), plan)).collect()
    }
}

/// Result of a restore of all databases.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct RestoredAll {
    /// The roles that were made.
    pub(crate) roles: Vec<String>,
    /// The databases, in the order of their restores.
    pub(crate) databases: Vec<Restored>,
}

/// Returns which roles of the backup to create on this server.
pub(crate) async fn missing_roles(session: &mut Session, unpacked: &UnpackedCluster) -> Result<Roles> {
    let existing = session.column("select rolname from pg_catalog.pg_roles").await?;
    Ok(unpacked.roles(&existing))
}

/// Carries a plan out; the files it was made of have to live as long.
///
/// # Errors
/// Error of [`crate::restore::run::run`] for the first database that fails, with notes on restored and unchanged
/// databases.
pub(crate) async fn run(container: &Container, plan: Confirmed<ClusterPlan>) -> Result<RestoredAll> {
    let ClusterPlan { operation, roles, access, .. } = plan.plan().clone();
    let Operation { cancel, progress, .. } = operation;
    if !roles.statements.is_empty() {
        progress.step("creating roles");
        cancel.run_until_cancelled(create(container, &access, &roles)).await??;
    }
    let mut done: Vec<Restored> = Vec::new();
    let mut parts = plan.each().into_iter();
    while let Some((database, part)) = parts.next() {
        progress.on(Event::Detail(format!("restoring database {database:?}")));
        match Box::pin(run::run(container, part)).await {
            Ok(restored) => done.push(restored),
            Err(error) => {
                let rest: Vec<String> = parts.map(|(database, _)| database).collect();
                return Err(apart(error, &database, &done, &rest, &roles));
            }
        }
    }
    Ok(RestoredAll { roles: roles.missing, databases: done })
}

/// All of them or none.
pub(crate) async fn create(container: &Container, access: &Access, roles: &Roles) -> Result<()> {
    let mut session = Session::open(container, access, "envctl restore roles").await?;
    let refused = |refusal: Refusal| {
        // Never the statement: a password's hash may be in it.
        let error = Error::from(refusal).context("the missing roles cannot be created; nothing was changed");
        error
            .note("creating roles takes a superuser")
            .hint("name another role in envctl.toml: `[database] user`")
    };
    session.query("BEGIN").await.map_err(refused)?;
    for statement in &roles.statements {
        session.query(statement).await.map_err(refused)?;
    }
    session.query("COMMIT").await.map_err(refused)?;
    session.close().await;
    Ok(())
}

/// The failure of one, with where that leaves the others.
fn apart(error: Error, failed: &str, done: &[Restored], rest: &[String], roles: &Roles) -> Error {
    let list = |names: Vec<&str>| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let unknown = error.kind() == ErrorKind::Unknown;
    let mut error = error.context(format!("database {failed:?}"));
    if done.is_empty() {
        error = error.note("no database was restored before it");
    } else {
        error = error.note(format!(
            "restored and in place: {}; each is taken back by `envctl restore undo -d NAME`",
            list(done.iter().map(|one| one.database.as_str()).collect())
        ));
    }
    let mut untouched: Vec<&str> = rest.iter().map(String::as_str).collect();
    if !unknown {
        untouched.insert(0, failed);
    }
    if !untouched.is_empty() {
        error = error.note(format!("as they were: {}", list(untouched)));
    }
    if !roles.missing.is_empty() {
        error = error.note(format!("created, and still there: {}", self::roles(&roles.missing)));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;

    #[test]
    fn a_failure_says_what_is_done_and_what_is_as_it_was() {
        let done = [Restored {
            database: "a".into(),
            rows: 1,
            tables: 1,
            bytes: 1,
            previous_database: None,
            analyzed_in_ms: None,
            notes: Vec::new(),
        }];
        let told = |error| apart(error, "b", &done, &["c".to_owned()], &Roles::default());
        let error = told(error::integrity("rows are missing"));
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(error.notes()[0].contains("in place: \"a\";"), "{:?}", error.notes());
        assert_eq!(error.notes()[1], "as they were: \"b\", \"c\"");
        let error = told(error::unknown("the connection was lost"));
        assert_eq!(error.notes()[1], "as they were: \"c\"", "of \"b\" nobody knows");
    }
}

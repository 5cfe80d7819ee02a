//! The database that a restore writes: one that answers, or one that is named and not there yet.
//!
//! Promise: a name that the server does not know becomes a new database only where the dump is of that database, or
//! `--into` names it. A typing error makes none.

use crate::commands::shared::context::StackContext;
use crate::commands::shared::database::ConnectedDatabase;
use crate::error::{self, Error, ErrorKind, Result};
use crate::postgres::find_primary::FirstSession;
use crate::text::shell_word::shell_word;
use crate::text::sql_quote::literal;

/// Server of a restore.
pub(super) struct RestoreTarget {
    /// A connection to the database that is restored, or to another one of its server.
    pub(super) found: ConnectedDatabase,
    /// Name of the database in `-d` or the configuration, if the server has none of that name.
    pub(super) missing: Option<String>,
}

impl RestoreTarget {
    /// Returns the database that is meant, which may not exist.
    pub(super) fn meant(&self) -> ConnectedDatabase {
        self.found.in_database(self.missing.as_deref().unwrap_or(&self.found.facts.database))
    }

    /// Returns the name of the database to restore. `of`: the database that the dump is of, where that is known.
    ///
    /// # Errors
    /// Kind `Target`: a database would be made that nothing but `-d` or the configuration names.
    pub(super) fn database(&self, into: Option<&str>, of: Option<&str>, command: &str) -> Result<String> {
        let (name, missing) = match (into, &self.missing) {
            (Some(into), _) => return Ok(into.to_owned()),
            (None, Some(missing)) => (missing, true),
            (None, None) => (&self.found.facts.database, false),
        };
        if missing && of != Some(name) {
            let container = &self.found.target.container.name;
            return Err(error::target(format!("database {name:?} does not exist (container {container})"))
                .hint(format!("make it: `{command} --into {}`", shell_word(name)))
                .hint("see the databases of this server: `envctl psql -c '\\l'`"));
        }
        Ok(name.clone())
    }
}

/// Reaches the database that is restored. A default one that is empty may be new, and waits for its backup: where
/// several could be meant, the one that the backup is of is one of them.
pub(super) async fn reach(stack: &StackContext, made_of: Option<&str>) -> Result<RestoreTarget> {
    let reached = stack.server_with_session(FirstSession::ToWrite).await;
    let name = stack.settings.database(stack.environment.profile.name.as_deref()).name.as_deref();
    let (found, session) = match (reached, made_of, name) {
        (Err(error), _, Some(name)) if error.kind() == ErrorKind::Target => {
            return without(stack, name, error).await;
        }
        (Err(error), Some(made_of), None) if error.kind() == ErrorKind::Target => {
            // The container's own database, where the backup is of that.
            let (found, session) = stack.server_with_session(FirstSession::Default).await?;
            if found.facts.database != made_of {
                session.close().await;
                return Err(error);
            }
            (found, session)
        }
        (reached, ..) => reached?,
    };
    session.close().await;
    Ok(RestoreTarget { found, missing: None })
}

/// Reaches the server of a database that does not exist; with any other reason `refusal` stands.
async fn without(stack: &StackContext, name: &str, refusal: Error) -> Result<RestoreTarget> {
    let (found, mut session) = match stack.server_by_any_database(Some(name)).await {
        Ok(connected) => connected,
        Err(error) if error.kind() != ErrorKind::Target => return Err(error),
        Err(_) => return Err(refusal),
    };
    let exists = format!("select 1 from pg_catalog.pg_database where datname = {}", literal(name));
    let rows = stack.cancel.run_until_cancelled(session.query(&exists)).await?;
    session.close().await;
    if rows?.is_empty() {
        return Ok(RestoreTarget { found, missing: Some(name.to_owned()) });
    }
    Err(refusal)
}

//! Everything of a database's own goes, so that a tool can make it anew: the tools keep their tables in schemas of
//! their own choosing (Drizzle in `drizzle`), so no schema stays.

use std::time::Duration;

use crate::error::Result;
use crate::migrations::sql::drop_schema;
use crate::postgres::Session;
use crate::postgres::search_path::{self, SearchPath};
use crate::text::sql_quote::ident;

/// Drops every schema of the user's, and makes the one that connections use again, with its owner and rights.
pub(crate) async fn empty(session: &mut Session, lock_limit: Duration) -> Result<()> {
    let current = SearchPath::of_role(session).await?.first().to_owned();
    let names = session
        .column(
            "SELECT n.nspname FROM pg_catalog.pg_namespace n \
             WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
               AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
                               WHERE d.classid = 'pg_catalog.pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')",
        )
        .await?;
    for schema in names {
        if schema != current {
            session.query(&format!("SET lock_timeout = {}", lock_limit.as_millis())).await?;
            let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", ident(&schema));
            search_path::query_as_role(session, &drop).await?;
        }
    }
    Ok(drop_schema(session, &current, lock_limit.as_millis()).await?)
}

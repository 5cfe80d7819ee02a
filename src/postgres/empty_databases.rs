//! Databases that hold nothing: an application may have made its own one beside the image's default database.
//!
//! Promises: what an extension brought does not count; a database that cannot be looked into counts as empty, because no
//! dump could be taken of it either; no more is asked than is needed.

use super::session::{Refusal, Session};
use crate::error::Result;

/// More databases are not looked into.
const MOST: usize = 50;

/// Asks whether the session's database holds nothing of a user's: no relation, routine, schema or large object.
pub(crate) async fn is_empty(session: &mut Session) -> Result<bool, Refusal> {
    let own = |class: &str, oid: &str| {
        format!(
            "not exists (select from pg_catalog.pg_depend d \
             where d.classid = 'pg_catalog.{class}'::pg_catalog.regclass and d.objid = {oid} and d.deptype = 'e')"
        )
    };
    let schema = "n.nspname <> 'information_schema' and n.nspname !~ '^pg_'";
    let sql = format!(
        "select not exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and {schema} and {}) \
         and not exists (select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace \
                where {schema} and {}) \
         and not exists (select from pg_catalog.pg_namespace n where {schema} and n.nspname <> 'public' and {}) \
         and not exists (select from pg_catalog.pg_largeobject_metadata)",
        own("pg_class", "c.oid"),
        own("pg_proc", "p.oid"),
        own("pg_namespace", "n.oid")
    );
    Ok(session.value(&sql).await?.as_deref() == Some("t"))
}

/// Returns the names of the other databases of the server that hold something.
///
/// # Errors
/// The server cannot be asked which there are.
pub(crate) async fn others_with_content(session: &mut Session) -> Result<Vec<String>> {
    let names = session
        .column(&format!(
            "select datname from pg_catalog.pg_database \
             where datallowconn and not datistemplate and datname <> pg_catalog.current_database() \
               and datname not like 'envctl\\_%' and pg_catalog.has_database_privilege(oid, 'connect') \
             order by 1 limit {MOST}"
        ))
        .await?;
    let mut found = Vec::new();
    for name in names {
        let there = session.access().to(&name);
        let opening = Session::open(session.container(), &there, "envctl");
        let Ok(mut other) = Box::pin(opening).await else { continue };
        if matches!(is_empty(&mut other).await, Ok(false)) {
            found.push(name);
        }
        other.close().await;
    }
    Ok(found)
}

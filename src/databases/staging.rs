//! The database that a restore loads into before anybody sees it.
//!
//! Promises: it bears a note of whose it is; one whose restore is gone is dropped by the next, one
//! whose restore still works never.

use crate::databases::properties::{Properties, USUAL_TABLESPACE};
use crate::error::{Error, Result};
use crate::operation::{self, OperationId};
use crate::postgres::Session;
use crate::postgres::privileges::MAY_END;
use crate::postgres::session::Refusal;
use crate::text::sql_quote::{ident, literal};

/// Makes it, with these properties, for the restore with this id.
pub(crate) async fn create(
    admin: &mut Session,
    staging: &str,
    properties: &Properties,
    operation: &OperationId,
) -> Result<()> {
    let admin_role = admin.access().user.clone();
    let usual = admin.value(USUAL_TABLESPACE).await?.unwrap_or_default();
    admin.query(&properties.create(staging, &usual)).await.map_err(|refusal| {
        // insufficient_privilege
        let denied = refusal.state() == Some("42501") && properties.tablespace != usual;
        let error = Error::from(refusal).context("the staging database cannot be created");
        if !denied {
            return error;
        }
        error.hint(format!(
            "let a superuser run `GRANT CREATE ON TABLESPACE {} TO {}`",
            ident(&properties.tablespace),
            ident(&admin_role)
        ))
    })?;
    let note = format!(
        "envctl: being loaded by restore {operation}; the next restore removes it if that one is gone"
    );
    admin.query(&format!("COMMENT ON DATABASE {} IS {}", ident(staging), literal(&note))).await?;
    Ok(())
}

/// Makes it again, empty, once who loads it is out.
pub(crate) async fn again(
    admin: &mut Session,
    staging: &str,
    loader: &str,
    properties: &Properties,
    operation: &OperationId,
) -> Result<()> {
    admin.query(&end(loader)).await?;
    drop_database(admin, staging)
        .await
        .map_err(|e| Error::from(e).context("the staging database cannot be emptied"))?;
    create(admin, staging, properties, operation).await
}

/// The statement that ends those who load.
fn end(loader: &str) -> String {
    format!(
        "select count(pg_catalog.pg_terminate_backend(a.pid)) from pg_catalog.pg_stat_activity a \
         where a.application_name = {} and {MAY_END}",
        literal(loader)
    )
}

/// Ends the loading session and drops the staging database and the role that loads; gives whether both are gone.
pub(crate) async fn clean_up(mut admin: Session, staging: &str, role: &str, loader: &str) -> bool {
    // The loader first: at the end of its input psql would run what it has collected so far.
    let end = end(loader);
    if admin.query(&end).await.is_err() {
        match admin.open_another("envctl cleanup").await {
            Ok(session) => admin = session,
            Err(_) => return false,
        }
        let _ = admin.query(&end).await;
    }
    // What kept the restore waiting, a lock or a standby that is gone, must not keep this waiting.
    let _ = admin.query("SET lock_timeout = '5s'").await;
    let _ = admin.query("SET synchronous_commit = local").await;
    let there = format!("select count(*) from pg_catalog.pg_database where datname = {}", literal(staging));
    let there = admin.value(&there).await.ok().flatten();
    let dropped = (there.as_deref() == Some("0") || drop_database(&mut admin, staging).await.is_ok())
        && drop_role(&mut admin, role).await.is_ok();
    admin.close().await;
    dropped
}

/// Drops a role that owns nothing any more.
pub(crate) async fn drop_role(admin: &mut Session, name: &str) -> std::result::Result<(), Refusal> {
    let ask = format!("select 1 from pg_catalog.pg_roles where rolname = {}", literal(name));
    if admin.query(&ask).await?.is_empty() {
        return Ok(());
    }
    // Rights on tablespaces and databases.
    admin.query(&format!("DROP OWNED BY {}", ident(name))).await?;
    admin.query(&format!("DROP ROLE {}", ident(name))).await.map(|_| ())
}

async fn drop_database(session: &mut Session, name: &str) -> std::result::Result<(), Refusal> {
    session.query(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(name))).await.map(|_| ())
}

/// Drops staging databases whose restore is gone: nobody is connected on its behalf any more. One that was killed
/// behind its first statement has not left a note; without one only what is as empty as it was made is taken for
/// ours.
pub(crate) async fn sweep(session: &mut Session) -> Result<Vec<String>> {
    let alive = operation::is_session_of("pg_catalog.substr(d.datname::text, 12, 8)");
    let names = session
        .column(&format!(
            "select d.datname from pg_catalog.pg_database d \
             cross join lateral (select pg_catalog.shobj_description(d.oid, 'pg_database')) n (note) \
             where d.datname ~ '^envctl_new_[0-9a-f]{{8}}_' \
               and case when note is not null then note like 'envctl: being loaded%' \
                        when pg_catalog.has_database_privilege(d.oid, 'connect') \
                        then pg_catalog.pg_database_size(d.oid) <= pg_catalog.pg_database_size('template0') \
                        else false end \
               and not exists (select from pg_catalog.pg_stat_activity a \
                               where {alive})"
        ))
        .await?;
    let mut swept = Vec::new();
    for name in names {
        if drop_database(session, &name).await.is_ok() {
            swept.push(name);
        }
    }
    Ok(swept)
}

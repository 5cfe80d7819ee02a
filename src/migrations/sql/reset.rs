//! `migrate reset` without the Prisma CLI: the schema goes, and every migration runs again.

use super::{SqlDriver, statements};
use crate::consent::Confirmed;
use crate::error::Result;
use crate::migrations::plan::{MigrationPlan, PlannedMigration};
use crate::migrations::reset::ResetPlan;
use crate::migrations::sql::lock_wait::{WAITED, waited_in_vain};
use crate::migrations::unsupported_statements;
use crate::postgres::session::Refusal;
use crate::postgres::{Session, search_path};
use crate::text::sql_quote::{ident, literal};

impl SqlDriver {
    /// Drops the schema that holds the tool's table, makes it again with the same owner and rights, and applies
    /// everything.
    pub(crate) async fn reset(&self, _plan: &Confirmed<ResetPlan>) -> Result<()> {
        let scripts = self.layout.read(&self.folder)?;
        // What cannot be applied is found before anything is dropped.
        for script in &scripts {
            unsupported_statements::check(script, self.project.as_deref())?;
            self.not_alone(script).map_or(Ok(()), Err)?;
        }
        let mut session = self.hold().await?;
        let kept = self.look(&mut session).await?;
        self.take_tools_lock(&mut session, kept.history_table.lock()).await?;
        self.wait_for_dumps(&mut session).await?;
        self.operation.progress.step("dropping what is there");
        let pid = session.value("SELECT pg_catalog.pg_backend_pid()").await?.unwrap_or_default();
        let dropping = drop_schema(&mut session, &kept.history_table.schema, self.lock_limit.as_millis());
        let (dropped, blocking) = self.watched(&pid, dropping).await;
        dropped.map_err(|refusal| match refusal.state() {
            Some(WAITED) => waited_in_vain("the reset", blocking.as_ref()).note("nothing was dropped"),
            _ => refusal.into(),
        })?;
        let planned = scripts.iter().map(|script| PlannedMigration {
            name: script.name.clone(),
            statements: Some(statements(&script.sql)),
            risks: Vec::new(),
        });
        let plan = MigrationPlan {
            driver: self.name(),
            database: kept.history_table.database.clone(),
            folder: String::new(),
            pending: planned.collect(),
            remarks: Vec::new(),
            out_of_order: None,
        };
        let applied = self.apply_in(&mut session, &plan).await;
        session.close().await;
        applied.map(|_| ())
    }
}

/// Drops a schema with all that is in it, and makes it again with its owner and rights.
pub(crate) async fn drop_schema(session: &mut Session, schema: &str, wait: u128) -> Result<(), Refusal> {
    let rows = session
        .query(&format!(
            "SELECT pg_catalog.pg_get_userbyid(nspowner), coalesce(nspacl::text, '') \
             FROM pg_catalog.pg_namespace WHERE nspname = {}",
            literal(schema)
        ))
        .await?;
    let row = rows.into_iter().next().map(<[String; 2]>::try_from);
    let name = ident(schema);
    session.query("BEGIN").await?;
    session.query(&format!("SET LOCAL lock_timeout = {wait}")).await?;
    search_path::query_as_role(session, &format!("DROP SCHEMA IF EXISTS {name} CASCADE")).await?;
    search_path::query_as_role(session, &format!("CREATE SCHEMA {name}")).await?;
    if let Some(Ok([owner, acl])) = row {
        session.query(&format!("ALTER SCHEMA {name} OWNER TO {}", ident(&owner))).await?;
        // `{owner=UC/owner,=U/owner}`: an empty grantee is PUBLIC. Each is granted again by its letters.
        let rights = format!(
            "SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END, \
                    a.privilege_type, a.is_grantable FROM pg_catalog.aclexplode({}::aclitem[]) a",
            literal(if acl.is_empty() { "{}" } else { &acl })
        );
        for right in session.query(&rights).await? {
            let Ok([grantee, privilege, grantable]) = <[String; 3]>::try_from(right) else { continue };
            let option = if grantable == "t" { " WITH GRANT OPTION" } else { "" };
            session.query(&format!("GRANT {privilege} ON SCHEMA {name} TO {grantee}{option}")).await?;
        }
    }
    session.query("COMMIT").await?;
    Ok(())
}

//! Aids in the staging database for dumps that do not load as they are: a search path for functions that rely on one, and
//! CHECKs that are added at the end.
//!
//! An event trigger sees each function and each table as the dump makes it: it gives functions the search path, which reaches
//! into CREATE INDEX and REFRESH too, where PostgreSQL 17 sets a path of its own, and takes off CHECKs that call functions.
//!
//! Promises: [`LoadWorkarounds::remove`] gives back what the dump had, so that the database dumps as if there had been no aid; every format
//! and any number of sessions is served, since nothing in the dump is rewritten.

use crate::error::{self, Error, Result};
use crate::postgres::Session;
use crate::postgres::search_path::SearchPath;
use crate::postgres::session::Refusal;
use crate::text::sql_quote::literal;

/// Aids that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoadWorkarounds {
    /// `--search-path`; empty for none.
    pub(crate) search_path: SearchPath,
    /// `--defer-checks`.
    pub(crate) defer_checks: bool,
}

/// The schema of the aids; the dump knows none of that name.
const SCHEMA: &str = "envctl_load_aids";

impl LoadWorkarounds {
    /// True where none was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.search_path.is_empty() && !self.defer_checks
    }

    /// The options that ask for them.
    fn options(&self) -> &'static str {
        match (self.search_path.is_empty(), self.defer_checks) {
            (false, true) => "--search-path and --defer-checks",
            (false, false) => "--search-path",
            (true, _) => "--defer-checks",
        }
    }

    /// Puts them into an empty staging database.
    ///
    /// # Errors
    /// Kind `Refused`: the role is no superuser. The server refuses.
    pub(crate) async fn install(&self, session: &mut Session) -> Result<()> {
        for statement in self.statements() {
            session.query(&statement).await.map_err(|refusal| self.refused(refusal))?;
        }
        Ok(())
    }

    fn refused(&self, refusal: Refusal) -> Error {
        let options = self.options();
        match refusal.state() {
            Some("42501") => {
                error::refused(format!("only a superuser can use {options}, which makes an event trigger"))
                    .hint("name a superuser in envctl.toml: `[database] user = \"…\"`")
            }
            _ => Error::from(refusal).context(format!("the event trigger of {options} cannot be created")),
        }
    }

    fn statements(&self) -> Vec<String> {
        let mut all = vec![format!("CREATE SCHEMA {SCHEMA}")];
        if !self.search_path.is_empty() {
            all.push(format!("CREATE TABLE {SCHEMA}.functions (id oid PRIMARY KEY)"));
            all.push(format!(
                "CREATE FUNCTION {SCHEMA}.give_path() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER \
                 SET search_path = pg_catalog, pg_temp AS $aid$
                 DECLARE made oid;
                 BEGIN
                   FOR made IN
                     SELECT DISTINCT p.oid FROM pg_event_trigger_ddl_commands() c
                       JOIN pg_proc p ON p.oid = c.objid JOIN pg_language l ON l.oid = p.prolang
                      WHERE c.classid = 'pg_proc'::regclass AND p.prokind IN ('f', 'p') AND l.lanname NOT IN ('internal', 'c')
                        AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search\\_path=%')
                   LOOP
                     EXECUTE format('ALTER ROUTINE %s SET search_path TO ', made::regprocedure) || {path};
                     INSERT INTO {SCHEMA}.functions VALUES (made) ON CONFLICT DO NOTHING;
                   END LOOP;
                 END $aid$",
                path = literal(&self.search_path.sql()),
            ));
            all.push(format!(
                "CREATE EVENT TRIGGER {SCHEMA}_path ON ddl_command_end \
                 WHEN TAG IN ('CREATE FUNCTION', 'CREATE PROCEDURE', 'CREATE EXTENSION') \
                 EXECUTE FUNCTION {SCHEMA}.give_path()"
            ));
        }
        if self.defer_checks {
            all.push(format!(
                "CREATE TABLE {SCHEMA}.checks (n int GENERATED ALWAYS AS IDENTITY, tab oid, name text, definition text)"
            ));
            // Of a constraint that is inherited the parent's goes, and comes back, with all its children's.
            all.push(format!(
                "CREATE FUNCTION {SCHEMA}.put_off() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER \
                 SET search_path = pg_catalog, pg_temp AS $aid$
                 DECLARE made record;
                 BEGIN
                   FOR made IN
                     SELECT k.conrelid, k.conname, pg_get_constraintdef(k.oid) AS definition
                       FROM pg_event_trigger_ddl_commands() c JOIN pg_constraint k ON k.conrelid = c.objid
                      WHERE c.classid = 'pg_class'::regclass AND NOT c.in_extension AND k.contype = 'c' AND k.coninhcount = 0
                        AND EXISTS (SELECT FROM pg_depend d JOIN pg_proc p ON p.oid = d.refobjid
                                     WHERE d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
                                       AND d.refclassid = 'pg_proc'::regclass)
                      ORDER BY k.conname
                   LOOP
                     INSERT INTO {SCHEMA}.checks (tab, name, definition) VALUES (made.conrelid, made.conname, made.definition);
                     EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', made.conrelid::regclass, made.conname);
                   END LOOP;
                 END $aid$"
            ));
            all.push(format!(
                "CREATE EVENT TRIGGER {SCHEMA}_checks ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE FOREIGN TABLE') \
                 EXECUTE FUNCTION {SCHEMA}.put_off()"
            ));
        }
        all
    }

    /// Takes them out of the loaded database, which then has what the dump had.
    ///
    /// # Errors
    /// Kind `Tool`: a CHECK that was put off refuses the rows. The server refuses.
    pub(crate) async fn remove(&self, session: &mut Session) -> Result<()> {
        // Event triggers of the dump do not fire for what is done here; those that are always enabled only where the
        // server has the second setting, 17 and later.
        session.query("SET session_replication_role = replica").await?;
        session
            .query(
                "select pg_catalog.set_config(name, 'off', false) from pg_catalog.pg_settings where name = 'event_triggers'",
            )
            .await?;
        session.query("SET search_path = pg_catalog").await?;
        if !self.search_path.is_empty() {
            session.query(&format!("DROP EVENT TRIGGER {SCHEMA}_path")).await?;
            session
                .query(&format!(
                    "DO $aid$ DECLARE made oid; BEGIN \
                       FOR made IN SELECT f.id FROM {SCHEMA}.functions f JOIN pg_proc p ON p.oid = f.id LOOP \
                         EXECUTE format('ALTER ROUTINE %s RESET search_path', made::regprocedure); \
                       END LOOP; END $aid$"
                ))
                .await?;
        }
        if self.defer_checks {
            session.query(&format!("DROP EVENT TRIGGER {SCHEMA}_checks")).await?;
            let ask = format!(
                "select format('ALTER TABLE %s ADD CONSTRAINT %I %s', tab::regclass, name, definition) \
                 from {SCHEMA}.checks order by n"
            );
            for row in session.query(&ask).await? {
                for statement in row {
                    session.query(&statement).await.map_err(|refusal| {
                        Error::from(refusal)
                            .context(format!("a CHECK that was put off refuses the rows: {statement}"))
                            .note("the database is as it was; nothing was swapped in")
                    })?;
                }
            }
        }
        session.query(&format!("DROP SCHEMA {SCHEMA} CASCADE")).await?;
        Ok(())
    }
}

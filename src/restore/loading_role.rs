//! The role that loads a dump which nobody vouches for: no superuser, made for one restore and gone with it.
//!
//! Promises: whatever code a foreign dump brings runs as this role and no other, so it can neither run programs nor reach
//! files; the role logs in as itself, since a `SET ROLE` of a superuser's session can be undone from inside a function.
//! A superuser makes the extensions before the load, in an empty database, and sets owners and rights after it; it reads
//! no table of the dump, and owns none for which the server runs code of the dump by itself. A role whose restore was killed is dropped by the next restore.

use std::collections::BTreeSet;

use crate::databases::staging::drop_role;
use crate::docker::Container;
use crate::dump::sql::finding::TRUST;
use crate::dump::sql::{Apart, ExtensionPlace};
use crate::error::{self, Error, ErrorKind, Result};
use crate::operation::{self, OperationId};
use crate::postgres::session::Refusal;
use crate::postgres::{Access, Session};
use crate::random::nonce;
use crate::restore::plan::RestorePlan;
use crate::restore::untrusted_expressions;
use crate::restore::untrusted_expressions::{EvaluatedTable, reaches_out};
use crate::secret::Secret;
use crate::text::mask;
use crate::text::sql_quote::{ident, literal};

/// Extensions that neither reach files nor run programs nor connect anywhere, nor let a table do so. Those that the
/// server itself calls trusted need no place here. PostGIS's raster part is none: it reads files of the server.
const HARMLESS: &[&str] = &[
    "address_standardizer",
    "address_standardizer_data_us",
    "amcheck",
    "autoinc",
    "bloom",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "fuzzystrmatch",
    "h3",
    "hll",
    "hstore",
    "hypopg",
    "insert_username",
    "intagg",
    "intarray",
    "ip4r",
    "isn",
    "lo",
    "ltree",
    "moddatetime",
    "pg_hashids",
    "pg_stat_statements",
    "pg_trgm",
    "pg_uuidv7",
    "pgcrypto",
    "pgrouting",
    "pgrowlocks",
    "pgstattuple",
    "plpgsql",
    "postgis",
    "postgis_sfcgal",
    "postgis_tiger_geocoder",
    "postgis_topology",
    "prefix",
    "rum",
    "seg",
    "semver",
    "sslinfo",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// A role that exists until [`LoadingRole::finish`] or [`drop_role`].
pub(crate) struct LoadingRole {
    name: String,
    password: Secret,
}

/// The staging database of a restore, as the connecting role reaches it.
#[derive(Clone, Copy)]
pub(crate) struct StagingTarget<'a> {
    pub(crate) container: &'a Container,
    pub(crate) plan: &'a RestorePlan,
    /// Name of the staging database.
    pub(crate) staging: &'a str,
    /// Application name of the sessions.
    pub(crate) application: &'a str,
}

/// A loaded staging database whose objects are still the loading role's.
pub(crate) struct UnfinishedRole {
    pub(crate) prepared: PreparedStaging,
    /// Owners and rights that are still to be set.
    pub(crate) deferred: Vec<String>,
}

/// A staging database in which the role may work.
pub(crate) struct PreparedStaging {
    /// The role's own access to the database.
    pub(crate) access: Access,
    /// Statements of the dump that the role may not run, by what is there already.
    pub(crate) apart: Apart,
    /// Object id and owner of the schema `public` before it was the role's.
    public: Option<(String, String)>,
}

/// Name of the role of this operation.
pub(crate) fn name_of(operation: &OperationId) -> String {
    format!("envctl_load_{}", operation.short())
}

impl LoadingRole {
    /// Makes the role, where the connecting role is a superuser. Where it is none and has no way to become one, it loads
    /// the dump itself.
    ///
    /// # Errors
    /// Kind `Refused`: the connecting role is no superuser and can still run programs or reach files.
    pub(crate) async fn make(admin: &mut Session, plan: &RestorePlan) -> Result<Option<Self>> {
        if !is_superuser(admin, plan.version.major()).await? {
            return Ok(None);
        }
        let name = name_of(&plan.operation.id);
        let password = Secret::new(nonce());
        let note = format!(
            "envctl: loads for restore {}; the next restore removes it if that one is gone",
            plan.operation.id
        );
        let role = ident(&name);
        let statements = [
            "BEGIN".to_owned(),
            // The server's log is no place for a password, even for one that is gone soon.
            "SET LOCAL log_statement = 'none'".to_owned(),
            "SET LOCAL log_min_duration_statement = -1".to_owned(),
            "SET LOCAL log_min_error_statement = 'panic'".to_owned(),
            format!(
                "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS PASSWORD {}",
                literal(password.expose())
            ),
            format!("COMMENT ON ROLE {role} IS {}", literal(&note)),
            "COMMIT".to_owned(),
        ];
        for statement in statements {
            if let Err(refusal) = admin.query(&statement).await {
                let _ = admin.query("ROLLBACK").await;
                return Err(Error::from(refusal).context("the role that loads the dump cannot be created"));
            }
        }
        Ok(Some(Self { name, password }))
    }

    /// Makes an empty staging database one in which the role may create everything, with the extensions of the dump.
    ///
    /// # Errors
    /// Kind `Refused`: an extension that can reach outside of the database; the server does not let the role in.
    pub(crate) async fn prepare(
        &self,
        target: StagingTarget<'_>,
        admin: &mut Session,
    ) -> Result<PreparedStaging> {
        let StagingTarget { container, plan, staging, application } = target;
        let role = ident(&self.name);
        let database = format!("GRANT CREATE, CONNECT, TEMPORARY ON DATABASE {} TO {role}", ident(staging));
        admin.query(&database).await?;
        for tablespace in &plan.tablespaces {
            let grant = format!("GRANT CREATE ON TABLESPACE {} TO {role}", ident(tablespace));
            admin.query(&grant).await?;
        }
        let mut session = target.session().await?;
        let asked = "select oid, pg_catalog.pg_get_userbyid(nspowner) from pg_catalog.pg_namespace where nspname = 'public'";
        let public = session.query(asked).await?;
        let public = public.into_iter().next().and_then(|row| <[String; 2]>::try_from(row).ok());
        let mut schemas = BTreeSet::new();
        let missing = Self::missing(&mut session, plan).await?;
        for extension in &missing {
            create(&mut session, extension, &mut schemas).await?;
        }
        for schema in &schemas {
            let give = format!("ALTER SCHEMA {} OWNER TO {role}", ident(schema));
            session.query(&give).await?;
        }
        if public.is_some() {
            session.query(&format!("ALTER SCHEMA public OWNER TO {role}")).await?;
        }
        self.fill_extensions(&mut session).await?;
        session.close().await;
        let access = plan.access.to(staging).as_role(&self.name, self.password.clone());
        let access = match Session::open(container, &access, application).await {
            Ok(session) => {
                let access = session.access().clone();
                session.close().await;
                access
            }
            Err(error) if error.kind() == ErrorKind::Tool => {
                return Err(error::refused(format!(
                    "a file of unknown origin is loaded by a role of its own, and the server does not let that in: {}",
                    error.message()
                ))
                .hint("let roles named `envctl_load_…` in by a password, in the server's pg_hba.conf")
                .hint(TRUST));
            }
            Err(error) => return Err(error),
        };
        let extensions = plan.extensions.iter().map(|extension| extension.name.clone()).collect();
        Ok(PreparedStaging {
            access,
            apart: Apart { extensions, schemas },
            public: public.map(|[oid, owner]| (oid, owner)),
        })
    }

    /// The extensions that are not there yet, each of them known to be harmless.
    async fn missing<'n>(session: &mut Session, plan: &'n RestorePlan) -> Result<Vec<&'n ExtensionPlace>> {
        let wanted = &plan.extensions;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = wanted.iter().map(|extension| literal(&extension.name)).collect();
        let trusted = if plan.version.major() >= 13 {
            "exists (select from pg_catalog.pg_available_extension_versions v \
             where v.name = e.name and v.version = e.default_version and v.trusted)"
        } else {
            "false"
        };
        let ask = format!(
            "select e.name, e.default_version, {trusted} or false, e.installed_version is not null \
             from pg_catalog.pg_available_extensions e where e.name in ({})",
            names.join(", ")
        );
        let rows = session.query(&ask).await?;
        let known: Vec<[String; 4]> = rows.into_iter().filter_map(|row| row.try_into().ok()).collect();
        let there = |name: &str| known.iter().any(|[known, _, _, there]| known == name && there == "t");
        let harmless = |name: &str| {
            known.iter().any(|[known, version, trusted, _]| {
                known == name && (trusted == "t" || is_harmless(name, version))
            })
        };
        let (missing, refused): (Vec<_>, Vec<_>) =
            wanted.iter().filter(|one| !there(&one.name)).partition(|one| harmless(&one.name));
        if refused.is_empty() {
            return Ok(missing);
        }
        let names: Vec<String> = refused.iter().map(|one| format!("{:?}", one.name)).collect();
        let which = if names.len() == 1 { "an extension" } else { "extensions" };
        Err(error::refused(format!(
            "{} creates {which} that may reach outside of the database: {}",
            plan.source.name(),
            names.join(", ")
        ))
        .hint(TRUST))
    }

    /// Lets the role fill the tables that extensions have for a database's own settings.
    async fn fill_extensions(&self, session: &mut Session) -> Result<()> {
        let ask = format!(
            "select distinct pg_catalog.format(case c.relkind when 'S' then 'GRANT SELECT, UPDATE ON SEQUENCE %s TO %I' \
                      else 'GRANT SELECT, INSERT, UPDATE ON TABLE %s TO %I' end, c.oid::pg_catalog.regclass, {role}) \
             from pg_catalog.pg_extension e cross join lateral pg_catalog.unnest(e.extconfig) x(oid) \
             join pg_catalog.pg_class c on c.oid = x.oid \
             union select pg_catalog.format('GRANT USAGE ON SCHEMA %s TO %I', c.relnamespace::pg_catalog.regnamespace, {role}) \
             from pg_catalog.pg_extension e cross join lateral pg_catalog.unnest(e.extconfig) x(oid) \
             join pg_catalog.pg_class c on c.oid = x.oid",
            role = literal(&self.name)
        );
        let grants = session.query(&ask).await?;
        for grant in grants.into_iter().flatten() {
            session.query(&grant).await?;
        }
        Ok(())
    }

    /// Gives every object its owner and its rights, and drops the role. `owner` owns the database that is restored.
    ///
    /// # Errors
    /// Kind `Tool`: the server refuses an owner or a right, which is named.
    pub(crate) async fn finish(
        &self,
        target: StagingTarget<'_>,
        admin: &mut Session,
        unfinished: UnfinishedRole,
        owner: &str,
    ) -> Result<()> {
        let (plan, UnfinishedRole { prepared, deferred }) = (target.plan, unfinished);
        let role = ident(&self.name);
        admin.query(&format!("ALTER ROLE {role} NOLOGIN")).await?;
        let end = format!(
            "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity where usename = {}",
            literal(&self.name)
        );
        admin.query(&end).await?;
        let mut session = target.session().await?;
        if let Some((oid, owner)) = &prepared.public {
            let still = format!(
                "select 1 from pg_catalog.pg_namespace where oid = {oid} and nspname = 'public' \
                 and nspowner = {}::pg_catalog.regrole",
                literal(&role)
            );
            if !session.query(&still).await?.is_empty() {
                let back = format!("ALTER SCHEMA public OWNER TO {}", ident(owner));
                session.query(&back).await?;
            }
        }
        let heir = heir(&mut session, plan, owner).await?;
        let handover = Handover { plan, role: &role, heir: &heir, deferred: &deferred };
        let evaluated = untrusted_expressions::find(&mut session, plan.version.major(), &self.name).await?;
        if evaluated.is_empty() {
            let later = apply(&mut session, &deferred).await?;
            apply_each(&mut session, &later).await?;
            handover.reassign(&mut session).await?;
        } else {
            let mut guard = target.session().await?;
            handover.give_checked(&mut session, &mut guard, &evaluated).await?;
            guard.close().await;
        }
        let left = format!(
            "select count(*) from pg_catalog.pg_shdepend d where d.refobjid = {}::pg_catalog.regrole and d.deptype = 'o'",
            literal(&role)
        );
        let left = session.value(&left).await?;
        if left.as_deref() != Some("0") {
            // DROP OWNED would drop them.
            return Err(error::failed(format!("objects of role {:?} have no owner to go to", self.name)));
        }
        session.query(&format!("DROP OWNED BY {role}")).await?;
        session.close().await;
        drop_role(admin, &self.name).await.map_err(Error::from)
    }
}

/// Creates an extension, and its schema where that is not there.
///
/// The schema is the superuser's meanwhile: PostgreSQL remembers the rights that an extension's script grants
/// (`pg_init_privs`), and would remember the role by a number when that is gone.
async fn create(
    session: &mut Session,
    extension: &ExtensionPlace,
    schemas: &mut BTreeSet<String>,
) -> Result<()> {
    let mut statement = format!("CREATE EXTENSION IF NOT EXISTS {}", ident(&extension.name));
    if let Some(schema) = &extension.schema {
        let ask = format!("select 1 from pg_catalog.pg_namespace where nspname = {}", literal(schema));
        if session.query(&ask).await?.is_empty() {
            let made = format!("CREATE SCHEMA {}", ident(schema));
            session.query(&made).await?;
            schemas.insert(schema.clone());
        }
        statement.push_str(&format!(" WITH SCHEMA {}", ident(schema)));
    }
    statement.push_str(" CASCADE");
    let refused = |refusal: Refusal| {
        Error::from(refusal).context(format!("extension {:?} cannot be created", extension.name))
    };
    session.query(&statement).await.map(|_| ()).map_err(refused)
}

/// Returns the role, as it is written in SQL, that owns what the dump gives no owner: the one that owns the database,
/// unless that can reach out of the database; else the connecting one, or the role that is named in its place.
async fn heir(session: &mut Session, plan: &RestorePlan, owner: &str) -> Result<String> {
    let ask = format!(
        "select r.rolname from pg_catalog.pg_roles r where r.rolname = {} and not {}",
        literal(owner),
        reaches_out(plan.version.major())
    );
    let found = session.value(&ask).await?;
    let mapped = || plan.rules.roles.get(&session.access().user).cloned();
    Ok(found.or_else(mapped).map_or_else(|| "CURRENT_USER".to_owned(), |name| ident(&name)))
}

/// Objects of the loading role that get their owners and rights.
struct Handover<'a> {
    plan: &'a RestorePlan,
    /// The loading role, as SQL.
    role: &'a str,
    /// The role that gets what the dump gives no owner, as SQL.
    heir: &'a str,
    /// Statements of the dump that set owners and rights.
    deferred: &'a [String],
}

impl Handover<'_> {
    async fn reassign(&self, session: &mut Session) -> Result<()> {
        let reassign = format!("REASSIGN OWNED BY {} TO {}", self.role, self.heir);
        session.query(&reassign).await.map(|_| ()).map_err(|refusal| refused(refusal, &reassign))
    }

    /// Gives everything its owner and its rights where the server runs code of the dump by itself. `guard` keeps the
    /// tables locked, and its transaction ends well only where no owner of them can reach out. The others are set by
    /// `session`, each for itself: one transaction over very many objects runs out of lock memory.
    async fn give_checked(
        &self,
        session: &mut Session,
        guard: &mut Session,
        evaluated: &[EvaluatedTable],
    ) -> Result<()> {
        let is_locked = |one: &String| evaluated.iter().any(|held| one.contains(&held.table));
        let (locked, free): (Vec<String>, Vec<String>) = self.deferred.iter().cloned().partition(is_locked);
        guard.query("BEGIN").await?;
        untrusted_expressions::lock(guard, evaluated, self.heir).await?;
        session.query("SET lock_timeout = '30s'").await?;
        let later = apply(session, &free).await?;
        apply_each(guard, &locked).await?;
        self.reassign(guard).await?;
        untrusted_expressions::check(guard, self.plan, evaluated, self.deferred).await?;
        guard.query("COMMIT").await?;
        apply_each(session, &later).await
    }
}

/// Reports whether the connecting role is a superuser.
///
/// # Errors
/// Kind `Refused`: it is none, and can do what a superuser can.
async fn is_superuser(admin: &mut Session, major: u32) -> Result<bool> {
    let ask = "select r.rolsuper, r.rolcreaterole, coalesce((select pg_catalog.string_agg(p.rolname, ', ' order by p.rolname) \
               from pg_catalog.pg_roles p where pg_catalog.pg_has_role(r.oid, p.oid, 'member') and (p.rolsuper or p.rolname in \
               ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))), '') \
               from pg_catalog.pg_roles r where r.rolname = current_user";
    let rows = admin.query(ask).await?;
    is_trusted_with_programs(rows, &admin.access().user, major)
}

/// Reports whether the connecting role is a superuser, by the server's answer about its rights.
///
/// # Errors
/// Kind `Refused`: it is none, and can do what a superuser can. `Tool`: the server does not tell.
fn is_trusted_with_programs(rows: Vec<Vec<String>>, user: &str, major: u32) -> Result<bool> {
    // Rights that are not known are not taken for none.
    let row = rows.into_iter().next().and_then(|row| <[String; 3]>::try_from(row).ok());
    let Some([superuser, creates, dangerous]) = row else {
        return Err(error::tool("the server does not say which rights the connecting role has"));
    };
    if superuser == "t" {
        return Ok(true);
    }
    if !dangerous.is_empty() {
        return Err(error::refused(format!(
            "role {user} would load a file of unknown origin and is a member of {dangerous}"
        ))
        .hint("name a role without such rights, or a superuser: `[database] user` in envctl.toml")
        .hint(TRUST));
    }
    // Until PostgreSQL 15 such a role gives itself any role but a superuser.
    if creates == "t" && major < 16 {
        return Err(error::refused(format!(
            "role {user} would load a file of unknown origin and may make itself a member of pg_execute_server_program (CREATEROLE)"
        ))
        .hint("name a role without CREATEROLE, or a superuser: `[database] user` in envctl.toml")
        .hint(TRUST));
    }
    Ok(false)
}

/// Before PostGIS 3 its raster part, which reads files, was in the same extension.
fn is_harmless(name: &str, version: &str) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
    HARMLESS.contains(&name) && (name != "postgis" || major >= 3)
}

/// Adds the reason to an error of the role that loads, where it may be that the role is no superuser.
pub(crate) fn explain(error: Error) -> Error {
    const REFUSED: [&str; 5] = [
        "permission denied",
        "must be superuser",
        "must be owner",
        "must be member of",
        "must be able to SET ROLE",
    ];
    let message = error.message().to_lowercase();
    if error.kind() == ErrorKind::Tool && REFUSED.iter().any(|text| message.contains(&text.to_lowercase())) {
        return error.note("a file of unknown origin is loaded by a role that is no superuser").hint(TRUST);
    }
    error
}

impl StagingTarget<'_> {
    /// Opens a session of the connecting role in the staging database, in which no name of the dump stands for one of the
    /// server.
    async fn session(&self) -> Result<Session> {
        let mut session =
            Session::open(self.container, &self.plan.access.to(self.staging), self.application).await?;
        let path = "select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false)";
        session.query(path).await?;
        Ok(session)
    }
}

/// feature_not_supported: a sequence of a table has the table's owner, which may come later.
const LATER: &str = "0A000";

/// Runs statements and returns those that have to be run once more, behind the others.
async fn apply(session: &mut Session, deferred: &[String]) -> Result<Vec<String>> {
    let mut later = Vec::new();
    for statement in deferred {
        match session.query(statement).await {
            Ok(_) => {}
            Err(refusal) if refusal.state() == Some(LATER) => later.push(statement.clone()),
            Err(refusal) => return Err(refused(refusal, statement)),
        }
    }
    Ok(later)
}

async fn apply_each(session: &mut Session, statements: &[String]) -> Result<()> {
    for statement in statements {
        session.query(statement).await.map_err(|refusal| refused(refusal, statement))?;
    }
    Ok(())
}

fn refused(refusal: Refusal, statement: &str) -> Error {
    let missing = refusal.state() == Some("42704");
    let error = Error::from(refusal).context(format!("{} was refused", mask(statement)));
    let error = if missing {
        error.hint("create the role first: `envctl psql -c 'CREATE ROLE name'`")
    } else {
        error
    };
    error.note("the database is as it was; nothing was swapped in")
}

/// Drops roles whose restore is gone, and returns their names.
pub(crate) async fn sweep(admin: &mut Session) -> Result<Vec<String>> {
    let ask = format!(
        "select r.rolname from pg_catalog.pg_roles r \
               where r.rolname ~ '^envctl_load_[0-9a-f]{{8}}$' \
                 and pg_catalog.shobj_description(r.oid, 'pg_authid') like 'envctl: loads for restore%' \
                 and not exists (select from pg_catalog.pg_stat_activity a \
                                 where {})",
        operation::is_session_of("pg_catalog.substr(r.rolname::text, 13, 8)")
    );
    let rows = admin.query(&ask).await?;
    let mut swept = Vec::new();
    for name in rows.into_iter().flatten() {
        if drop_role(admin, &name).await.is_ok() {
            swept.push(name);
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_harmless_by_name_and_version() {
        for (name, version, harmless) in [
            ("pgcrypto", "1.3", true),
            ("postgis", "3.3.2", true),
            ("postgis", "2.5.1", false),
            ("postgis_raster", "3.3.2", false),
            ("file_fdw", "1.0", false),
            ("dblink", "1.2", false),
            ("postgres_fdw", "1.1", false),
            ("adminpack", "2.1", false),
            ("plpython3u", "1.0", false),
            ("pg_cron", "1.6", false),
            ("timescaledb", "2.1", false),
        ] {
            assert_eq!(is_harmless(name, version), harmless, "{name} {version}");
        }
    }

    #[test]
    fn a_role_whose_rights_the_server_does_not_tell_loads_nothing() {
        let ask = |row: &[&str], major| {
            let rows =
                if row.is_empty() { Vec::new() } else { vec![row.iter().map(ToString::to_string).collect()] };
            is_trusted_with_programs(rows, "app", major)
        };
        assert!(ask(&["t", "t", "pg_read_server_files"], 15).unwrap(), "a superuser makes the loading role");
        assert!(!ask(&["f", "f", ""], 15).unwrap() && !ask(&["f", "t", ""], 16).unwrap());
        for row in [&[][..], &["f"], &["t", "f"], &["f", "f", "", ""]] {
            let error = ask(row, 17).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Tool, "{row:?}");
            assert!(error.message().contains("does not say which rights"), "{error}");
        }
        // What is neither yes nor no is no superuser.
        assert!(!ask(&["", "", ""], 15).unwrap());
        for (row, major, reason) in [
            (
                ["f", "f", "pg_execute_server_program, pg_read_server_files"],
                17,
                "is a member of pg_execute_server_program, pg_read",
            ),
            (["f", "t", ""], 15, "CREATEROLE"),
        ] {
            let error = ask(&row, major).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(
                error.message().contains(reason) && error.hints().iter().any(|hint| hint.contains("--trust")),
                "{error}"
            );
        }
    }

    #[test]
    fn the_name_is_that_of_the_operation() {
        assert_eq!(name_of(&"0123456789abcdef".into()), "envctl_load_01234567");
    }
}

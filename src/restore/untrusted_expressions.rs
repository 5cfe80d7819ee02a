//! Code of a file that the server runs by itself: autovacuum and ANALYZE evaluate index expressions, statistics and the
//! difference functions of range types, with the rights of the table's owner.
//!
//! Promises: what nobody vouches for never comes to be run by the server as a superuser. The tables with such code are
//! locked while owners are set, so that autovacuum sees the checked state alone.

use crate::error::{self, Error, Result};
use crate::postgres::Session;
use crate::restore::plan::RestorePlan;
use crate::text::shell_word::quoted;
use crate::text::sql_quote::{ident, literal};

/// Extensions whose functions run SQL that their arguments name; they count as functions of the file.
const RUNS_SQL: &str =
    "'address_standardizer', 'pgrouting', 'postgis_tiger_geocoder', 'postgis_topology', 'tablefunc'";

/// Returns the common table expression of the functions that a file brings, by this condition on `p`, and of [`RUNS_SQL`].
fn brought(condition: &str) -> String {
    format!(
        "brought(oid) as materialized (select p.oid from pg_catalog.pg_proc p where {condition} or exists ( \
           select from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid \
           where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e' \
             and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and e.extname in ({RUNS_SQL})))"
    )
}

/// Condition on a function `p`: it is neither the server's nor an extension's.
const OF_NOBODY_ELSE: &str = "(p.oid >= 16384 and not exists (select from pg_catalog.pg_depend d \
     where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e'))";

/// Returns a condition on a role `r`: it is a superuser, or can run programs or reach files of the server.
pub(crate) fn reaches_out(major: u32) -> String {
    // Until PostgreSQL 15 a role with CREATEROLE gives itself any role but a superuser.
    let creates = if major < 16 { " or r.rolcreaterole" } else { "" };
    format!(
        "(r.rolsuper{creates} or exists (select from pg_catalog.pg_roles p where pg_catalog.pg_has_role(r.oid, p.oid, 'member') \
           and (p.rolsuper or p.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))))"
    )
}

/// A table for which the server runs code of the file.
#[derive(Debug)]
pub(crate) struct EvaluatedTable {
    oid: String,
    /// Name as it is written in SQL.
    pub(crate) table: String,
    /// Index, statistics or type that calls the function.
    place: String,
    function: String,
}

/// Finds the tables for which the server runs code of the file by itself, before owners are set: what `role`, which has
/// loaded the file, owns is the file's.
///
/// An expression that calls a function, directly or by an operator or type, depends on it in the catalog. Functions of the
/// server leave no trace there; statistics, unlike indexes, may call any of them, and are read for those.
pub(crate) async fn find(session: &mut Session, major: u32, role: &str) -> Result<Vec<EvaluatedTable>> {
    let role = format!("{}::pg_catalog.regrole", literal(&ident(role)));
    let of_server = if major >= 14 {
        format!(
            "union all \
         select s.stxrelid, 'statistics ' || pg_catalog.quote_ident(s.stxname), p.oid from pg_catalog.pg_statistic_ext s \
           cross join lateral pg_catalog.regexp_matches(s.stxexprs::text, ':(?:funcid|opfuncid) ([0-9]+)', 'g') m(id) \
           join pg_catalog.pg_proc p on p.oid = m.id[1]::oid where p.provolatile <> 'i' and s.stxowner = {role}"
        )
    } else {
        String::new()
    };
    let ask = format!(
        "with recursive {brought}, \
         reached(relation, place, class, object) as ( \
           select i.indrelid, 'index ' || i.indexrelid::pg_catalog.regclass::text, \
                  'pg_catalog.pg_class'::pg_catalog.regclass::oid, i.indexrelid \
             from pg_catalog.pg_index i where i.indexprs is not null or i.indpred is not null \
           union all \
           select s.stxrelid, 'statistics ' || pg_catalog.quote_ident(s.stxname), \
                  'pg_catalog.pg_statistic_ext'::pg_catalog.regclass::oid, s.oid from pg_catalog.pg_statistic_ext s \
           union \
           select r.relation, r.place, n.class, n.object from reached r cross join lateral ( \
             select d.refclassid, d.refobjid from pg_catalog.pg_depend d \
              where d.classid = r.class and d.objid = r.object and d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, \
                    'pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass) \
             union all \
             select 'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid from pg_catalog.pg_constraint c \
              where r.class = 'pg_catalog.pg_type'::pg_catalog.regclass and c.contypid = r.object) n(class, object) \
            where r.class <> 'pg_catalog.pg_proc'::pg_catalog.regclass), \
         typed(relation, type) as ( \
           select a.attrelid, a.atttypid from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid \
            where c.relkind in ('r', 'p', 'm') and a.atttypid >= 16384 and not a.attisdropped \
           union \
           select t.relation, d.refobjid from typed t join pg_catalog.pg_depend d on d.objid = t.type \
             and d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass \
             and d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass), \
         found(relation, place, routine) as ( \
           select r.relation, r.place, b.oid from reached r join brought b on b.oid = r.object \
            where r.class = 'pg_catalog.pg_proc'::pg_catalog.regclass \
           union all \
           select t.relation, 'type ' || pg_catalog.format_type(t.type, null), b.oid from typed t \
             join pg_catalog.pg_range g on g.rngtypid = t.type join brought b on b.oid = g.rngsubdiff \
           {of_server}) \
         select distinct on (f.relation) f.relation, n.nspname, c.relname, f.place, f.routine::pg_catalog.regprocedure \
           from found f join pg_catalog.pg_class c on c.oid = f.relation \
           join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
          where n.nspname <> 'pg_catalog' order by f.relation, f.place, f.routine",
        brought = brought(&format!("p.proowner = {role}")),
    );
    let rows = session.query(&ask).await?;
    let evaluated = rows.into_iter().filter_map(|row| {
        let [oid, schema, name, place, function] = <[String; 5]>::try_from(row).ok()?;
        Some(EvaluatedTable { oid, table: format!("{}.{}", ident(&schema), ident(&name)), place, function })
    });
    Ok(evaluated.collect())
}

/// Locks the tables until the transaction ends; autovacuum passes over what is locked. LOCK TABLE takes no materialized
/// view: the change to the owner `heir`, which it has unless the file names another, takes the lock.
pub(crate) async fn lock(session: &mut Session, tables: &[EvaluatedTable], heir: &str) -> Result<()> {
    for EvaluatedTable { oid, table, .. } in tables {
        let matview = format!("select 1 from pg_catalog.pg_class where oid = {oid} and relkind = 'm'");
        let statement = if session.query(&matview).await?.is_empty() {
            format!("LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE")
        } else {
            format!("ALTER MATERIALIZED VIEW {table} OWNER TO {heir}")
        };
        session.query(&statement).await?;
    }
    Ok(())
}

/// Checks that no role which can reach out of the database owns the tables, nor anything through which their code would get
/// at such a role's rights: SECURITY DEFINER functions, and foreign keys that change rows as the owner of their table.
///
/// # Errors
/// Kind `Refused`: one does, which is named, with the command that restores the file.
pub(crate) async fn check(
    session: &mut Session,
    plan: &RestorePlan,
    tables: &[EvaluatedTable],
    named: &[String],
) -> Result<()> {
    let Some(first) = tables.first() else { return Ok(()) };
    let major = plan.version.major();
    let oids: Vec<&str> = tables.iter().map(|one| one.oid.as_str()).collect();
    let ask = format!(
        "with {brought} select o.oid, o.shown, r.rolname from ( \
           select 1 as rank, c.oid, '' as shown, c.relowner from pg_catalog.pg_class c where c.oid in ({oids}) \
           union all \
           select 2, p.oid, 'the SECURITY DEFINER function ' || p.oid::pg_catalog.regprocedure::text, p.proowner \
             from pg_catalog.pg_proc p join brought b on b.oid = p.oid where p.prosecdef \
           union all \
           select 3, c.oid, 'the foreign key ' || pg_catalog.quote_ident(f.conname) || ' of table ' \
                  || c.oid::pg_catalog.regclass::text, c.relowner \
             from pg_catalog.pg_constraint f join pg_catalog.pg_class c on c.oid = f.conrelid \
            where f.contype = 'f' and (f.confupdtype in ('c', 'n', 'd') or f.confdeltype in ('c', 'n', 'd')) \
              and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                              and d.objid = c.oid and d.deptype = 'e')) o \
         join pg_catalog.pg_roles r on r.oid = o.relowner where {reaches} order by o.rank, o.oid",
        brought = brought(OF_NOBODY_ELSE),
        oids = oids.join(", "),
        reaches = reaches_out(major),
    );
    let rows = session.query(&ask).await?;
    let owned: Vec<[String; 3]> = rows.into_iter().filter_map(|row| row.try_into().ok()).collect();
    let Some([oid, shown, owner]) = owned.first() else { return Ok(()) };
    let at = tables.iter().find(|one| one.oid == *oid && shown.is_empty()).unwrap_or(first);
    let EvaluatedTable { table, place, function, .. } = at;
    let by = if shown.is_empty() { String::new() } else { format!(", and through {shown},") };
    let owners: Vec<&str> = owned.iter().map(|[_, _, owner]| owner.as_str()).collect();
    let error = error::refused(format!(
        "{place} of table {table} calls the function {function}, which the server would run{by} with \
         the rights of {owner} whenever it analyzes the table, and {} is untrusted",
        plan.source.name()
    ));
    Err(ways_out(session, plan, error, &owners, named).await?)
}

/// Adds the commands that restore the file all the same.
async fn ways_out(
    session: &mut Session,
    plan: &RestorePlan,
    error: Error,
    owners: &[&str],
    named: &[String],
) -> Result<Error> {
    let command = &plan.command;
    let ask = format!(
        "select r.rolname, r.oid = d.datdba from pg_catalog.pg_roles r \
         left join pg_catalog.pg_database d on d.datname = {} \
         where not {} and r.rolname !~ '^(pg_|envctl_load_)' and (r.rolcanlogin or r.oid = d.datdba) order by 2 desc nulls last, 1 limit 2",
        literal(&plan.database),
        reaches_out(plan.version.major())
    );
    let rows = session.query(&ask).await?;
    let roles: Vec<[String; 2]> = rows.into_iter().filter_map(|row| row.try_into().ok()).collect();
    let role = match roles.as_slice() {
        [[role, owns], ..] if owns == "t" => Some(role.clone()),
        [[role, _]] => Some(role.clone()),
        _ => None,
    };
    let mut by_name: Vec<&str> = owners.to_vec();
    by_name.sort_unstable();
    by_name.dedup();
    let user = session.access().user.clone();
    let is_named =
        |owner: &&str| named.iter().any(|one| one.ends_with(&format!(" OWNER TO {}", ident(owner))));
    let is_mapped = |owner: &&str| {
        plan.rules.roles.contains_key(*owner) || plan.rules.roles.values().any(|other| other == owner)
    };
    // The connecting role owns what has no owner, and is written in its place.
    let can_map = |owner: &&str| (is_named(owner) || **owner == user) && !is_mapped(owner);
    let error = match role {
        Some(role) if plan.exists && !by_name.iter().all(is_named) => error.hint(format!(
            "give the database an owner without superuser, `envctl psql -c {}`, who then owns it, and repeat: `{command}`",
            quoted(&format!("ALTER DATABASE {} OWNER TO {}", ident(&plan.database), ident(&role)))
        )),
        role if by_name.iter().all(can_map) => {
            let other = role.clone().unwrap_or_else(|| format!("{}_owner", plan.database));
            let maps: Vec<String> = by_name
                .iter()
                .map(|owner| format!(" --role-map {}", quoted(&format!("{owner}={other}"))))
                .collect();
            let mapped = format!("`{command}{}`", maps.concat());
            match role {
                Some(_) => error.hint(format!("let a role without superuser own it: {mapped}")),
                None => error.hint(format!(
                    "make a role without superuser, `envctl psql -c {}`, and let it own it: {mapped}",
                    quoted(&format!("CREATE ROLE {}", ident(&other)))
                )),
            }
        }
        _ => error,
    };
    Ok(error.hint(format!("restore it as it is, if you know where the file comes from: `{command} --trust`")))
}

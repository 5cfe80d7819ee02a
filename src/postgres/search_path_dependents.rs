//! Functions that rely on the search path, and that the server calls while a dump is loaded.
//!
//! pg_dump sets an empty search path, so that such a function fails in a restore of a backup that is complete.
//!
//! Found: functions of SQL and of procedural languages without a search path of their own, called directly or through others
//! by generated columns, indexes, CHECKs, domains and materialized views, whose text names a function behind which a
//! parenthesis follows, a relation behind FROM, JOIN, INTO or UPDATE, or a type behind `::`, without a schema. Not found: what a
//! function puts together as text, operators, casts, extensions' own functions, and quoted names with unusual characters.

use super::search_path::SearchPath;
use super::session::{Refusal, Session};

/// A function that relies on the search path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SearchPathDependent {
    /// The function with its argument types, as SQL takes it.
    pub(crate) function: String,
    /// Kind and name of what calls it: `index public.cust_key`.
    pub(crate) caller: String,
    /// The first name without a schema.
    pub(crate) names: String,
    /// The schema in which that is found.
    pub(crate) schema: String,
}

/// Functions that are told; a database with more has one cause for all.
const MOST: usize = 20;

const LOOK: &str = r#"
with recursive spaces as (
  select oid, nspname from pg_catalog.pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
), texts as (
  select p.oid, pg_catalog.regexp_replace(p.prosrc, '--[^\n]*', '', 'g') as text
    from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
   where l.lanname not in ('internal', 'c') and p.pronamespace in (select oid from spaces)
     and not exists (select from pg_catalog.unnest(p.proconfig) s where s like 'search\_path=%')
     and not exists (select from pg_catalog.pg_depend d
                      where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e')
), used as (
  select t.oid,
         case d.classid when 'pg_catalog.pg_rewrite'::pg_catalog.regclass
                        then (select 'materialized view ' || c.oid::pg_catalog.regclass from pg_catalog.pg_rewrite r
                                join pg_catalog.pg_class c on c.oid = r.ev_class where r.oid = d.objid and c.relkind = 'm')
                        when 'pg_catalog.pg_class'::pg_catalog.regclass
                        then (select case when c.relkind in ('i', 'I') then 'index ' else 'table ' end || c.oid::pg_catalog.regclass
                                from pg_catalog.pg_class c where c.oid = d.objid)
                        when 'pg_catalog.pg_constraint'::pg_catalog.regclass
                        then (select pg_catalog.format('CHECK %I of %s', k.conname, case when k.conrelid <> 0
                                       then k.conrelid::pg_catalog.regclass::text else k.contypid::pg_catalog.regtype::text end)
                                from pg_catalog.pg_constraint k where k.oid = d.objid and k.contype = 'c')
                        when 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                        then (select pg_catalog.format('generated column %I of %s', a.attname, a.attrelid::pg_catalog.regclass)
                                from pg_catalog.pg_attrdef f join pg_catalog.pg_attribute a
                                  on a.attrelid = f.adrelid and a.attnum = f.adnum
                               where f.oid = d.objid and a.attgenerated <> '')
         end as caller
    from texts t join pg_catalog.pg_depend d
      on d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.refobjid = t.oid
), called as (
  select oid, min(caller) as caller, 0 as depth from used where caller is not null group by oid
  union
  select q.oid, c.caller, 1
    from called c join texts t on t.oid = c.oid
   cross join lateral pg_catalog.regexp_matches(t.text, '([a-z_][a-z0-9_]*)"?\s*\(', 'gi') m
    join pg_catalog.pg_proc q on q.proname = pg_catalog.lower(m[1])
    join texts x on x.oid = q.oid
), named as (
  select c.oid, c.caller, c.depth, pg_catalog.lower(m[1]) as name, 'f' as kind
    from called c join texts t on t.oid = c.oid
   cross join lateral pg_catalog.regexp_matches(t.text, '(?:^|[^.a-z0-9_"$])"?([a-z_][a-z0-9_]*)"?(?=\s*\()', 'gi') m
  union
  select c.oid, c.caller, c.depth, pg_catalog.lower(m[1]), 'r'
    from called c join texts t on t.oid = c.oid
   cross join lateral pg_catalog.regexp_matches(t.text, '\m(?:from|join|into|update)\s+(?:only\s+)?"?([a-z_][a-z0-9_]*)"?(?![a-z0-9_]*"?\s*[.(])', 'gi') m
  union
  select c.oid, c.caller, c.depth, pg_catalog.lower(m[1]), 't'
    from called c join texts t on t.oid = c.oid
   cross join lateral pg_catalog.regexp_matches(t.text, '::\s*"?([a-z_][a-z0-9_]*)"?(?![a-z0-9_]*"?\s*\.)', 'gi') m
), found as (
  select n.oid, n.caller, n.depth, n.name, p.pronamespace as space from named n join pg_catalog.pg_proc p on p.proname = n.name
   where n.kind = 'f' and not exists (select from pg_catalog.pg_proc b
                                       where b.proname = n.name and b.pronamespace = 'pg_catalog'::pg_catalog.regnamespace)
  union all
  select n.oid, n.caller, n.depth, n.name, r.relnamespace from named n join pg_catalog.pg_class r on r.relname = n.name
   where n.kind = 'r' and r.relkind in ('r', 'p', 'v', 'm', 'f')
     and not exists (select from pg_catalog.pg_class b
                      where b.relname = n.name and b.relnamespace = 'pg_catalog'::pg_catalog.regnamespace)
  union all
  select n.oid, n.caller, n.depth, n.name, y.typnamespace from named n join pg_catalog.pg_type y on y.typname = n.name
   where n.kind = 't' and not exists (select from pg_catalog.pg_type b
                                       where b.typname = n.name and b.typnamespace = 'pg_catalog'::pg_catalog.regnamespace)
)
select distinct on (f.oid) f.oid::pg_catalog.regprocedure::text, f.caller, f.name, s.nspname
  from found f join spaces s on s.oid = f.space order by f.oid, f.depth, f.name, s.nspname"#;

impl SearchPathDependent {
    /// Looks into the catalog; reads no table of the user's.
    pub(crate) async fn find(session: &mut Session) -> Result<Vec<Self>, Refusal> {
        let found = session.query(LOOK).await?.into_iter().filter_map(|row| {
            let [function, caller, names, schema] = <[String; 4]>::try_from(row).ok()?;
            Some(Self { function, caller, names, schema })
        });
        Ok(found.take(MOST).collect())
    }

    /// Describes the problem in one sentence.
    pub(crate) fn told(&self) -> String {
        let Self { function, caller, names, schema } = self;
        format!(
            "function {function}, which {caller} calls, names {names} of schema {schema} without the schema: \
             a dump is loaded with an empty search path, so a restore fails there"
        )
    }

    /// The statement after which backups can be restored as they are.
    pub(crate) fn cure(&self) -> String {
        format!(
            "ALTER FUNCTION {} SET search_path = {}",
            self.function,
            SearchPath::of([self.schema.clone()])
        )
    }
}

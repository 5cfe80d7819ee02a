//! Causes of a refused statement that the staging database can tell, and the way through.
//!
//! Promise: a cause is named only where the catalog of the staging database bears it out.

use crate::error::{Error, Result};
use crate::postgres::Session;
use crate::postgres::search_path::SearchPath;
use crate::postgres::tools::statement_error::{Complaint, Missing, MissingKind};
use crate::text::sql_quote::{ident, literal};

/// A cause that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FailureCause {
    /// A function names something without its schema, and these schemas have it.
    SearchPath { schemas: Vec<String> },
    /// A CHECK calls a function, which may read rows that come later.
    Check { table: String, constraint: String, definition: String, function: String },
}

/// Looks for the cause; `session` is in the staging database, as the failure has left it.
pub(crate) async fn find_cause(session: &mut Session, complaint: &Complaint) -> Result<Option<FailureCause>> {
    if let Some(missing) = complaint.missing() {
        let schemas = session.column(&having(&missing)).await?;
        return Ok((!schemas.is_empty()).then_some(FailureCause::SearchPath { schemas }));
    }
    let Some((table, constraint)) = complaint.violated_check() else { return Ok(None) };
    let ask = format!(
        "select k.conrelid::pg_catalog.regclass::text, pg_catalog.pg_get_constraintdef(k.oid), \
                min(d.refobjid::pg_catalog.regprocedure::text) \
         from pg_catalog.pg_constraint k join pg_catalog.pg_class c on c.oid = k.conrelid \
         join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and d.objid = k.oid \
          and d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass \
         where k.contype = 'c' and c.relname = {} and k.conname = {} group by k.oid, k.conrelid limit 1",
        literal(&table),
        literal(&constraint)
    );
    let rows = session.query(&ask).await?;
    let Some(Ok([table, definition, function])) = rows.into_iter().next().map(<[String; 3]>::try_from) else {
        return Ok(None);
    };
    Ok(Some(FailureCause::Check { table, constraint, definition, function }))
}

/// The question which schemas have something of this name.
fn having(missing: &Missing) -> String {
    let name = literal(&missing.name);
    let found = match missing.kind {
        MissingKind::Function => {
            format!("select pronamespace as space from pg_catalog.pg_proc where proname = {name}")
        }
        MissingKind::Relation => {
            format!("select relnamespace as space from pg_catalog.pg_class where relname = {name}")
        }
        MissingKind::Type => {
            format!("select typnamespace as space from pg_catalog.pg_type where typname = {name}")
        }
        MissingKind::Operator => {
            format!("select oprnamespace as space from pg_catalog.pg_operator where oprname = {name}")
        }
        MissingKind::TextSearch => format!(
            "select cfgnamespace as space from pg_catalog.pg_ts_config where cfgname = {name} \
             union all select dictnamespace from pg_catalog.pg_ts_dict where dictname = {name}"
        ),
    };
    format!(
        "select distinct n.nspname from ({found}) f join pg_catalog.pg_namespace n on n.oid = f.space \
         where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1"
    )
}

impl FailureCause {
    /// Tells the cause in front of the error and the way through behind it. `source` is the search path of the database that
    /// was dumped, `given` the one that the load had.
    pub(crate) fn tell(
        &self,
        error: Error,
        complaint: &Complaint,
        source: &SearchPath,
        given: &SearchPath,
    ) -> Error {
        match self {
            Self::SearchPath { schemas } => {
                let function = complaint.function();
                let who = function
                    .as_deref()
                    .map_or("a function of it".to_owned(), |name| format!("function {name}"));
                let what = complaint.missing().map(|missing| missing.name).unwrap_or_default();
                let path = if given.is_empty() {
                    "an empty search path".to_owned()
                } else {
                    format!("the search path {given}")
                };
                let noun = if schemas.len() == 1 { "schema" } else { "schemas" };
                let mut wanted = if given.is_empty() { source.clone() } else { given.clone() };
                for schema in schemas {
                    wanted.add(schema.clone());
                }
                let error = error
                    .context(format!("{who} relies on the search path: it names {what}, which is in {noun} {}, and a dump is loaded with {path}", schemas.join(", ")))
                    .hint(format!("give functions the search path of their source while the dump is loaded: the same command with `--search-path {}`", wanted.typed()));
                match function.as_deref().filter(|name| !name.contains(char::is_whitespace)) {
                    Some(name) => error.hint(format!(
                        "mend it at the source for later backups: `envctl psql -c 'ALTER FUNCTION {name} SET search_path = {}'`",
                        schemas.iter().map(|schema| SearchPath::of([schema.clone()]).to_string()).collect::<Vec<_>>().join(", ")
                    )),
                    None => error,
                }
            }
            Self::Check { table, constraint, definition, function } => {
                let constraint = ident(constraint);
                error
                    .context(format!("CHECK {constraint} of {table} calls {function}, which may read rows that the dump loads later"))
                    .hint("add such CHECKs at the end, when all rows are in: the same command with `--defer-checks`")
                    .hint(format!(
                        "make it NOT VALID at the source, so that pg_dump writes it behind the rows of later backups: \
                         `ALTER TABLE {table} DROP CONSTRAINT {constraint}, ADD CONSTRAINT {constraint} {definition} NOT VALID`"
                    ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;

    #[test]
    fn the_hint_has_the_search_path_of_the_source_and_the_schema_of_the_missing_name() {
        let complaint = Complaint::of(
            "psql:<stdin>:4: ERROR:  function b(text) does not exist\nCONTEXT:  PL/pgSQL function public.a(text) line 1 at RETURN\n",
        );
        let cause = FailureCause::SearchPath { schemas: vec!["ext".into()] };
        let (source, none) = ("public".parse().unwrap(), SearchPath::default());
        let error = cause.tell(error::tool("no"), &complaint, &source, &none);
        assert_eq!(
            error.message(),
            "function public.a(text) relies on the search path: it names b, which is in schema ext, and a dump is loaded with an empty search path: no"
        );
        assert!(error.hints()[0].ends_with("`--search-path public,ext`"), "{:?}", error.hints());
        assert!(
            error.hints()[1].contains("ALTER FUNCTION public.a(text) SET search_path = ext"),
            "{:?}",
            error.hints()
        );
        let given: SearchPath = "other".parse().unwrap();
        let error = cause.tell(error::tool("no"), &complaint, &source, &given);
        assert!(error.hints()[0].ends_with("`--search-path other,ext`"), "{:?}", error.hints());
    }
}

//! Counts of the rows that a restore has loaded, as the server answers.
//!
//! Promises: fewer rows than the dump has are a failure; more rows are no loss, and the notes tell what wrote them as far as
//! the catalog tells it.

use crate::dump::sql::Summary;
use crate::error::{self, Result};
use crate::postgres::Session;
use crate::text::sql_quote::{ident, literal};
use crate::text::units::counted as number;

/// A table of the dump, and the rows that the dump has for it.
pub(crate) struct Expected {
    /// Name for messages.
    pub(crate) shown: String,
    /// Schema, without quotes.
    pub(crate) schema: String,
    /// Name, without quotes.
    pub(crate) name: String,
    /// Rows in the dump.
    pub(crate) rows: u64,
}

impl Expected {
    fn sql(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }
}

/// Compares the server's tables with the dump's; returns a note for each table with more rows.
///
/// # Errors
/// Kind `Integrity`: a table has fewer rows than the dump. The server cannot be asked.
pub(crate) async fn compare(session: &mut Session, tables: &[Expected]) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for table in tables {
        let ask = format!("select count(*) from only {}", table.sql());
        let counted = session.value(&ask).await?;
        let rows = counted.and_then(|rows| rows.parse::<u64>().ok()).unwrap_or(0);
        if rows < table.rows {
            return Err(error::integrity(format!(
                "rows are missing: {} has {} in the dump and {rows} on the server",
                table.shown,
                number(table.rows, "row", "rows")
            ))
            .note("nothing was swapped in"));
        }
        if rows > table.rows {
            let cause = cause(session, table).await?;
            notes.push(format!("{} has {}: {cause}", table.shown, more(table.rows, rows)));
        }
    }
    Ok(notes)
}

/// Lifts row-level security from the tables that would hide rows from their own owner, and returns these tables. It binds no
/// superuser, so that there are none then.
pub(crate) async fn lift_policies(session: &mut Session) -> Result<Vec<String>> {
    let ask = "select pg_catalog.format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class c \
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
               where c.relforcerowsecurity and pg_catalog.row_security_active(c.oid) \
                 and pg_catalog.pg_has_role(c.relowner, 'usage')";
    let rows = session.query(ask).await?;
    let tables: Vec<String> = rows.into_iter().flatten().collect();
    for table in &tables {
        let lift = format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY");
        session.query(&lift).await?;
    }
    Ok(tables)
}

/// Puts row-level security back in force for these tables.
pub(crate) async fn restore_policies(session: &mut Session, tables: &[String]) -> Result<()> {
    for table in tables {
        let force = format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY");
        session.query(&force).await?;
    }
    Ok(())
}

fn more(dump: u64, server: u64) -> String {
    let more = server - dump;
    let rows = if more == 1 { "row" } else { "rows" };
    format!("{more} {rows} more than in the dump ({server} instead of {dump})")
}

/// Names what wrote rows of its own into a table: the extension that owns it, or an event trigger.
async fn cause(session: &mut Session, table: &Expected) -> Result<String> {
    let ask = format!(
        "select coalesce((select e.extname from pg_catalog.pg_depend d \
                            join pg_catalog.pg_extension e on e.oid = d.refobjid \
                           where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype = 'e' \
                             and d.objid = {table}::pg_catalog.regclass \
                             and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass limit 1), ''), \
                coalesce(string_agg(t.evtname, ', ' order by t.evtname) \
                           filter (where pg_catalog.strpos(lower(p.prosrc), lower({name})) > 0), ''), \
                coalesce(string_agg(t.evtname, ', ' order by t.evtname), '') \
         from pg_catalog.pg_event_trigger t join pg_catalog.pg_proc p on p.oid = t.evtfoid \
         where t.evtenabled in ('O', 'A')",
        table = literal(&table.sql()),
        name = literal(&table.name),
    );
    let rows = session.query(&ask).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let [extension, naming, triggers] = <[String; 3]>::try_from(row).unwrap_or_default();
    Ok(if !extension.is_empty() {
        format!("CREATE EXTENSION {extension} fills it")
    } else if !naming.is_empty() {
        format!("written by {}", event_triggers(&naming))
    } else if !triggers.is_empty() {
        format!("probably written by {}", event_triggers(&triggers))
    } else {
        "written by something that ran while the dump was loaded".to_owned()
    })
}

fn event_triggers(names: &str) -> String {
    if names.contains(", ") {
        format!("the event triggers {names}")
    } else {
        format!("the event trigger {names}")
    }
}

/// True where the dump does not tell the rows of all its tables: rows written as INSERTs, or packed so that they cannot be
/// counted.
pub(crate) fn is_uncounted(summary: &Summary) -> bool {
    summary.copies.is_empty() || rows_of_tables(summary) > summary.copies.len()
}

fn rows_of_tables(summary: &Summary) -> usize {
    summary.entries.iter().filter(|entry| entry.data && entry.kind == "TABLE DATA").count()
}

/// Tables that one query counts.
const AT_ONCE: usize = 100;

/// Counts the rows of all ordinary tables that no extension owns; returns the rows and the tables that have some, of which
/// there are at least as many as the dump has data for.
pub(crate) async fn all(session: &mut Session, summary: &Summary) -> Result<(u64, usize)> {
    let list = "select pg_catalog.format('%I.%I', n.nspname, c.relname) \
                from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
                  and not exists (select from pg_catalog.pg_depend d \
                                   where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                                     and d.objid = c.oid and d.deptype = 'e') \
                order by 1";
    let names = session.column(list).await?;
    let (mut rows, mut tables) = (0u64, 0usize);
    for names in names.chunks(AT_ONCE) {
        let counts: Vec<String> =
            names.iter().map(|name| format!("select count(*) as n from only {name}")).collect();
        let ask = format!(
            "select coalesce(sum(n), 0), count(*) filter (where n > 0) from ({}) c",
            counts.join(" union all ")
        );
        let answer = session.query(&ask).await?;
        if let [more, with_rows] = answer.first().map_or(&[][..], Vec::as_slice) {
            rows += more.parse::<u64>().unwrap_or(0);
            tables += with_rows.parse::<usize>().unwrap_or(0);
        }
    }
    Ok((rows, tables.max(rows_of_tables(summary))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::sql::DumpScanner;

    fn summary(dump: &str) -> Summary {
        let mut scanner = DumpScanner::new();
        scanner.feed(dump.as_bytes());
        scanner.finish()
    }

    #[test]
    fn a_dump_by_inserts_is_uncounted_and_one_by_copy_is_not() {
        let data = "--\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: x\n--\n\n";
        let copy = "COPY public.t (a) FROM stdin;\n1\n\\.\n\n";
        assert!(!is_uncounted(&summary(&format!("{data}{copy}"))));
        assert!(is_uncounted(&summary(&format!("{data}INSERT INTO public.t VALUES (1);\n\n"))));
        assert!(is_uncounted(&summary(&format!("{data}{copy}{data}INSERT INTO public.t VALUES (1);\n\n"))));
        assert!(is_uncounted(&summary("INSERT INTO t VALUES (1);\n")));
    }

    #[test]
    fn more_rows_are_told_with_both_numbers() {
        assert_eq!(more(1, 2), "1 row more than in the dump (2 instead of 1)");
        assert_eq!(more(0, 8500), "8500 rows more than in the dump (8500 instead of 0)");
    }
}

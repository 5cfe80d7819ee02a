//! Tables that a migration has rewritten: their files are others, and the planner knows nothing of the new columns.

use std::collections::BTreeMap;

use super::sql::SqlDriver;
use crate::postgres::Session;
use crate::text::shell_word::shell_word;
use crate::text::units::counted;

/// Number of the file of each table with rows, and the table's quoted name, by object id.
pub(super) struct TableFiles(BTreeMap<String, (String, String)>);

/// So many tables are named in the message.
const NAMED: usize = 3;

impl TableFiles {
    /// Reads them. `None` where the server does not answer: nothing depends on it.
    pub(super) async fn read(driver: &SqlDriver) -> Option<Self> {
        // The size of a table that somebody has locked is not waited for.
        let sql = "select c.oid, c.relfilenode, pg_catalog.quote_ident(n.nspname) || '.' || \
            pg_catalog.quote_ident(c.relname) from pg_catalog.pg_class c \
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
            where c.relkind in ('r', 'm') and c.relpersistence <> 't' \
            and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_' \
            and pg_catalog.pg_relation_size(c.oid) > 0";
        let reading = async {
            let mut session =
                Session::open(&driver.container, &driver.access, "envctl migrate tables").await.ok()?;
            session.query("set lock_timeout = '500ms'").await.ok()?;
            let rows = session.query(sql).await.ok();
            session.close().await;
            rows
        };
        let rows = driver.operation.cancel.run_until_cancelled(reading).await.ok()??;
        let files = rows.into_iter().filter_map(|row| {
            let [oid, file, name] = <[String; 3]>::try_from(row).ok()?;
            Some((oid, (file, name)))
        });
        Some(Self(files.collect()))
    }

    /// Returns the remark about tables that have other files now; `None` where there is none.
    pub(super) fn remark(&self, now: &Self) -> Option<String> {
        let is_rewritten =
            |oid: &String, file: &String| self.0.get(oid).is_some_and(|(before, _)| before != file);
        let mut tables: Vec<&str> = now
            .0
            .iter()
            .filter(|(oid, (file, _))| is_rewritten(oid, file))
            .map(|(_, (_, name))| name.as_str())
            .collect();
        if tables.is_empty() {
            return None;
        }
        tables.sort_unstable();
        let (was, its) = if tables.len() == 1 { ("was", "its") } else { ("were", "their") };
        let mut named = tables.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        if tables.len() > NAMED {
            named.push_str(&format!(" and {} more", tables.len() - NAMED));
        }
        let command = shell_word(&format!("ANALYZE {}", tables.join(", ")));
        Some(format!(
            "{} {was} rewritten ({named}): the planner has no statistics of {its} new columns; take them: `envctl psql \
             -c {command}`",
            counted(tables.len() as u64, "table", "tables")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[(&str, &str, &str)]) -> TableFiles {
        let file = |(oid, file, name): &(&str, &str, &str)| {
            ((*oid).to_owned(), ((*file).to_owned(), (*name).to_owned()))
        };
        TableFiles(of.iter().map(file).collect())
    }

    #[test]
    fn a_table_with_another_file_is_told_and_a_new_or_untouched_one_is_not() {
        let before = files(&[("1", "1", "public.users"), ("2", "2", "public.\"Order\"")]);
        assert_eq!(before.remark(&before), None);
        let after =
            files(&[("1", "9", "public.users"), ("2", "2", "public.\"Order\""), ("3", "3", "public.made")]);
        let told = before.remark(&after).unwrap();
        assert!(told.starts_with("1 table was rewritten (public.users): "), "{told}");
        assert!(told.ends_with("`envctl psql -c 'ANALYZE public.users'`"), "{told}");
        let after = files(&[("1", "9", "public.users"), ("2", "8", "public.\"Order\"")]);
        let told = before.remark(&after).unwrap();
        assert!(
            told.contains("2 tables were rewritten")
                && told.contains("ANALYZE public.\"Order\", public.users")
        );
    }
}

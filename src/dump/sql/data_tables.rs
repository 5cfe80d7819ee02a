//! Tables that a dump has rows for, and whether it holds anything besides rows.

use std::collections::BTreeSet;

use super::statement_head::Head;
use super::statement_state::{KeptToken, MOST_NAMES};
use crate::text::sql_quote::ident;

/// Rows of a text as its statements pass by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DataTables {
    /// Tables of COPY and INSERT statements, as SQL, each with its schema.
    pub(crate) tables: BTreeSet<String>,
    /// Statements besides rows, large objects, values of sequences and settings.
    pub(crate) others: u64,
    /// ALTER TABLE … DISABLE TRIGGER and ENABLE TRIGGER (`--disable-triggers`).
    pub(crate) triggers: u64,
    /// Reports that large objects are in it.
    pub(crate) large_objects: bool,
    /// First schema of the search path that the text has set.
    schema: Option<String>,
}

impl DataTables {
    /// Takes note of a statement that has ended.
    pub(crate) fn statement(&mut self, head: &[KeptToken]) {
        let keywords = Head(head);
        if keywords.are(0, &["set"]) && keywords.are(1, &["search_path"]) {
            self.schema = head.get(3).and_then(written).filter(|name| name != "\"\"");
        } else if keywords.are(0, &["select"]) {
            self.select(head);
        } else if keywords.are(0, &["copy"]) {
            self.table(head.get(1..).unwrap_or_default());
        } else if keywords.are(0, &["insert", "into"]) {
            self.table(head.get(2..).unwrap_or_default());
        } else if keywords.switches_triggers() {
            self.triggers += 1;
        } else if head.windows(2).any(|two| Head(two).are(0, &["large", "object"])) {
            self.large_objects = true;
        } else if !is_neutral(&keywords) && !head.is_empty() {
            self.others += 1;
        }
    }

    /// Adds the rows of another part.
    pub(crate) fn merge(&mut self, other: Self) {
        self.tables.extend(other.tables);
        self.others += other.others;
        self.triggers += other.triggers;
        self.large_objects |= other.large_objects;
    }

    fn select(&mut self, head: &[KeptToken]) {
        for piece in head {
            match piece {
                KeptToken::Word(keyword) if keyword.starts_with("lo_") || keyword == "lowrite" => {
                    self.large_objects = true;
                }
                KeptToken::Word(keyword) if keyword == "set_config" => self.schema = None,
                _ => {}
            }
        }
    }

    fn table(&mut self, pieces: &[KeptToken]) {
        let first = pieces.first().and_then(written);
        let second = match pieces.get(1) {
            Some(KeptToken::Other(b'.')) => pieces.get(2).and_then(written),
            _ => None,
        };
        let name = match (first, second) {
            (Some(schema), Some(table)) => format!("{schema}.{table}"),
            (Some(table), None) => format!("{}.{table}", self.schema.as_deref().unwrap_or("public")),
            (None, _) => return self.others += 1,
        };
        if self.tables.len() < MOST_NAMES {
            self.tables.insert(name);
        } else if !self.tables.contains(&name) {
            self.others += 1;
        }
    }
}

fn is_neutral(keywords: &Head<'_>) -> bool {
    ["set", "reset", "begin", "start", "commit", "end"].iter().any(|keyword| keywords.are(0, &[keyword]))
}

/// A name as SQL.
fn written(piece: &KeptToken) -> Option<String> {
    match piece {
        KeptToken::Word(name) | KeptToken::Name(name) | KeptToken::Text(name) => Some(ident(name)),
        KeptToken::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::dump::sql::{DumpScanner, SpecialStatements};

    fn notes(text: &str) -> SpecialStatements {
        let mut scanner = DumpScanner::new();
        scanner.feed(text.as_bytes());
        scanner.finish().notes
    }

    #[test]
    fn tables_of_copy_and_insert_are_told_with_their_schema() {
        let rows = notes(
            "SET x = 1;\nSELECT pg_catalog.set_config('search_path', '', false);\n\
             ALTER TABLE a.b DISABLE TRIGGER ALL;\nCOPY a.b (c) FROM stdin;\n1\n\\.\n\
             INSERT INTO \"odd \"\"x\".t VALUES (1);\nINSERT INTO bare VALUES (1);\n\
             SET search_path = shop, pg_catalog;\nCOPY item (id) FROM stdin;\n\\.\n\
             SELECT pg_catalog.setval('a.s', 4, true);\n",
        )
        .rows;
        let tables: Vec<&str> = rows.tables.iter().map(String::as_str).collect();
        assert_eq!(tables, ["\"a\".\"b\"", "\"odd \"\"x\".\"t\"", "\"shop\".\"item\"", "public.\"bare\""]);
        assert_eq!((rows.others, rows.triggers, rows.large_objects), (0, 1, false));
    }

    #[test]
    fn a_statement_besides_rows_is_counted() {
        for text in ["CREATE TABLE t (a int);", "DELETE FROM t;", "ALTER TABLE t ADD b int;", "TRUNCATE t;"] {
            assert_eq!(notes(&format!("INSERT INTO t VALUES (1);\n{text}\n")).rows.others, 1, "{text}");
        }
        let rows =
            notes("SELECT pg_catalog.lo_create('16401');\nALTER LARGE OBJECT 16401 OWNER TO x;\n").rows;
        assert_eq!((rows.others, rows.large_objects), (0, true));
    }
}

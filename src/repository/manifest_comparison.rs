//! Comparison of a dump with the manifest of a backup: of the backup's own file, or of the database it was restored into.
//!
//! Of a restored database rows, values of sequences and large objects have to be equal. A definition may come out in other words: the server
//! writes expressions in its own way, and a second dump of `a IN ('x')` can differ from the first. That is a note.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::Manifest;
use crate::dump::fingerprint::Fingerprint;
use crate::dump::sql::{CopyBlock, Entry, Summary};
use crate::text::units::counted;

/// Result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ManifestComparison {
    /// Differences in contents: the backup does not give back what was in the database.
    pub(crate) differences: Vec<String>,
    /// Differences that change no contents.
    pub(crate) notes: Vec<String>,
    /// Reports that every table had a fingerprint to compare.
    pub(crate) by_contents: bool,
    /// Tables compared.
    pub(crate) tables: usize,
    /// Rows in them.
    pub(crate) rows: u64,
}

/// Compares the manifest of a backup with a dump.
pub(crate) fn compare(manifest: &Manifest, restored: &Summary) -> ManifestComparison {
    let mut found = ManifestComparison { by_contents: true, ..ManifestComparison::default() };
    let moved = moved_columns(&manifest.entries, &restored.entries);
    tables(&manifest.tables, &restored.copies, &moved, &mut found);
    entries(&manifest.entries, &restored.entries, manifest.whole, &mut found);
    let missing = manifest.extensions.iter().filter(|name| !restored.extensions.contains(name));
    found.differences.extend(missing.map(|name| format!("extension {name} is missing")));
    // Rows that could not be unpacked are in no table of the manifest.
    let with_rows = manifest.entries.iter().filter(|entry| entry.kind == "TABLE DATA" && entry.data).count();
    found.by_contents &= manifest.tables.len() >= with_rows;
    found
}

/// Names of tables whose COPY statement is another: a child table gets the columns of its parents first when it is
/// restored, and its rows are other bytes then.
fn moved_columns<'a>(expected: &'a [Entry], restored: &'a [Entry]) -> BTreeSet<&'a str> {
    let of_rows = |entries: &'a [Entry]| by_name(entries.iter().filter(|entry| entry.kind == "TABLE DATA"));
    let there = of_rows(restored);
    let moved = of_rows(expected).into_iter().filter(|(name, contents)| {
        contents.iter().all(Option::is_some) && there.get(name).is_some_and(|is| is != contents)
    });
    moved.map(|((_, name), _)| name).collect()
}

/// The name of a table without its schema and quotes.
fn bare_name(table: &str) -> String {
    match table.strip_suffix('"') {
        Some(quoted) => {
            quoted.rsplit(".\"").next().unwrap_or(quoted).trim_start_matches('"').replace("\"\"", "\"")
        }
        None => table.rsplit('.').next().unwrap_or(table).to_owned(),
    }
}

fn tables(
    expected: &[CopyBlock],
    restored: &[CopyBlock],
    moved: &BTreeSet<&str>,
    found: &mut ManifestComparison,
) {
    let mut there: BTreeMap<&str, &CopyBlock> =
        restored.iter().map(|block| (block.table.as_str(), block)).collect();
    for table in expected {
        let name = &table.table;
        found.tables += 1;
        found.rows += table.rows;
        let Some(block) = there.remove(name.as_str()) else {
            found.differences.push(format!("table {name} is missing"));
            continue;
        };
        found.by_contents &= table.contents.is_some() && block.contents.is_some();
        if block.rows < table.rows {
            let rows = counted(table.rows, "row", "rows");
            found.differences.push(format!("{name} has {rows} in the backup and {} restored", block.rows));
        } else if block.rows > table.rows {
            // As in a restore: an extension or an event trigger may write rows of its own.
            found.by_contents = false;
            let more = counted(block.rows - table.rows, "row", "rows");
            found.notes.push(format!("{name} has {more} more than the backup, written while it was loaded"));
        } else if moved.contains(bare_name(name).as_str()) {
            found.by_contents = false;
            found.notes.push(format!("{name} has its columns in another order: its rows were counted only"));
        } else if matches!((table.contents, block.contents), (Some(of), Some(is)) if of != is) {
            found.differences.push(format!("{name}: the rows are not those of the backup"));
        }
    }
    let more = there.into_iter().filter(|(_, block)| block.rows > 0);
    found.notes.extend(more.map(|(name, block)| {
        format!("{name} has {} that are not in the backup", counted(block.rows, "row", "rows"))
    }));
}

/// Key of entries that have the same name: they differ by schema, which the manifest does not have.
type ItemName<'a> = (&'a str, &'a str);

fn entries(expected: &[Entry], restored: &[Entry], whole: bool, found: &mut ManifestComparison) {
    let is_rows = |entry: &&Entry| entry.kind == "TABLE DATA";
    let of_rows = expected.iter().filter(is_rows).count();
    let mut there = by_name(restored.iter());
    let expected = by_name(expected.iter().filter(|entry| whole || !is_rows(entry)));
    for ((kind, name), of) in expected {
        let is = there.remove(&(kind, name)).unwrap_or_default();
        if is.len() < of.len() {
            found.differences.push(format!("{} {name} is missing", kind.to_lowercase()));
        } else if is != of && of.iter().all(Option::is_some) {
            let kind_in_words = kind.to_lowercase();
            // Rows of a COPY are compared as a table.
            let copied = kind == "TABLE DATA" && of_rows == found.tables;
            if copied {
                continue;
            }
            if holds_data(kind) {
                found.differences.push(format!("{kind_in_words} {name} is not that of the backup"));
            } else {
                found.notes.push(format!("{kind_in_words} {name} is written in other words by the server"));
            }
        }
    }
}

/// Reports whether the statements of an entry of this kind are contents, not a definition.
fn holds_data(kind: &str) -> bool {
    kind == "SEQUENCE SET" || kind == "TABLE DATA" || kind.starts_with("BLOB")
}

fn by_name<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<ItemName<'a>, Vec<Option<Fingerprint>>> {
    let mut names: BTreeMap<ItemName<'a>, Vec<Option<Fingerprint>>> = BTreeMap::new();
    for entry in entries {
        names.entry((&entry.kind, &entry.name)).or_default().push(entry.contents);
    }
    for contents in names.values_mut() {
        contents.sort();
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::sql::DumpScanner;
    use crate::repository::manifest::tests::sample;

    const DUMP: &str = "-- Name: v; Type: VIEW; Schema: a; Owner: x\n\nCREATE VIEW a.v AS SELECT 1;\n\n\
        -- Name: v; Type: VIEW; Schema: b; Owner: x\n\nCREATE VIEW b.v AS SELECT 2;\n\n\
        -- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: x\n\nCOPY public.t (a) FROM stdin;\n1\n2\n\\.\n\n\
        -- Data for Name: u; Type: TABLE DATA; Schema: public; Owner: x\n\nCOPY public.u (a) FROM stdin;\n3\n\\.\n\n\
        -- Name: s; Type: SEQUENCE SET; Schema: public; Owner: x\n\nSELECT pg_catalog.setval('public.s', 4, true);\n\n";

    fn summary(text: &str) -> Summary {
        let mut scanner = DumpScanner::new();
        scanner.feed(text.as_bytes());
        scanner.finish()
    }

    fn manifest() -> Manifest {
        let summary = summary(DUMP);
        Manifest { tables: summary.copies, entries: summary.entries, ..sample() }
    }

    fn against(text: &str) -> ManifestComparison {
        compare(&manifest(), &summary(text))
    }

    #[test]
    fn the_same_contents_in_another_order_are_the_same() {
        let same = against(&DUMP.replace("1\n2\n", "2\n1\n"));
        assert_eq!((same.differences.len(), same.notes.len(), same.by_contents), (0, 0, true));
        assert_eq!((same.tables, same.rows), (2, 3));
    }

    #[test]
    fn a_byte_rows_of_another_table_a_sequence_and_what_is_missing_are_named() {
        for (from, to, message) in [
            ("\n1\n2\n", "\n1\n7\n", "public.t: the rows are not those of the backup"),
            ("\n1\n2\n", "\n1\n", "public.t has 2 rows in the backup and 1 restored"),
            ("4, true", "5, true", "sequence set s is not that of the backup"),
            ("CREATE VIEW b.v AS SELECT 2;", "", ""),
            ("-- Name: v; Type: VIEW; Schema: b; Owner: x", "--", "view v is missing"),
        ] {
            let found = against(&DUMP.replacen(from, to, 1));
            let told = found.differences.join("; ");
            assert_eq!(told, message, "{from} -> {to}");
        }
        let swapped = DUMP.replace("\n3\n", "\n_\n").replace("\n1\n", "\n3\n").replace("\n_\n", "\n1\n");
        assert_eq!(against(&swapped).differences.len(), 2);
    }

    #[test]
    fn a_definition_in_other_words_is_a_note() {
        let found = against(&DUMP.replace("AS SELECT 2", "AS  SELECT 2"));
        assert_eq!(found.differences, [""; 0]);
        assert_eq!(found.notes, ["view v is written in other words by the server"]);
    }

    #[test]
    fn without_fingerprints_the_rows_are_counted() {
        let mut older = manifest();
        older.tables.iter_mut().for_each(|table| table.contents = None);
        older.entries.iter_mut().for_each(|entry| entry.contents = None);
        let found = compare(&older, &summary(&DUMP.replace("\n1\n2\n", "\n1\n7\n")));
        assert_eq!((found.by_contents, found.differences.len()), (false, 0));
        assert_eq!(compare(&older, &summary(&DUMP.replace("\n1\n2\n", "\n1\n"))).differences.len(), 1);
    }
}

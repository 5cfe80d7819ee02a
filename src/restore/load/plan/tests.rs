//! Tests which entries are loaded in parallel, which are loaded alone, and which dumps have no load plan.

use proptest::prelude::*;

use super::*;
use crate::dump::sql::DumpScanner;

const TOP: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped from database version 17.6\n\
                   -- Dumped by pg_dump version 17.6\n\nSET statement_timeout = 0;\n\
                   SELECT pg_catalog.set_config('search_path', '', false);\nSET row_security = off;\n\n";
const BOTTOM: &str = "--\n-- PostgreSQL database dump complete\n--\n\n";

/// One entry as pg_dump writes it.
fn entry(kind: &str, name: &str, rows: usize) -> String {
    let (data, body) = match kind {
        "TABLE DATA" => {
            ("Data for ", format!("COPY public.{name} (id) FROM stdin;\n{}\\.\n", "1\n".repeat(rows)))
        }
        "INDEX" => ("", format!("CREATE INDEX {name} ON public.t USING btree (id);\n")),
        "CONSTRAINT" | "FK CONSTRAINT" => {
            ("", format!("ALTER TABLE ONLY public.t\n    ADD CONSTRAINT {name} CHECK (true);\n"))
        }
        _ => ("", format!("CREATE TABLE public.{name} (id integer);\n")),
    };
    format!("--\n-- {data}Name: {name}; Type: {kind}; Schema: public; Owner: -\n--\n\n{body}\n\n")
}

fn dump(entries: &[(&str, usize)]) -> String {
    let body: String =
        entries.iter().enumerate().map(|(at, (kind, rows))| entry(kind, &format!("n{at}"), *rows)).collect();
    format!("{TOP}{body}{BOTTOM}\\unrestrict abc\n\n")
}

fn layout(text: &str) -> Result<LoadPlan, &'static str> {
    let mut scanner = DumpScanner::new();
    scanner.feed(text.as_bytes());
    let summary = scanner.finish();
    let start = summary.entries.first().map_or(0, |entry| entry.offset) as usize;
    let end = text.find("\n\\unrestrict").unwrap_or(text.len());
    let entries = summary.entries.iter().enumerate().filter(|(_, entry)| builds(entry));
    let tables = entries.filter_map(|(at, entry)| {
        let to = summary.entries.get(at + 1).map_or(end, |next| next.offset as usize);
        Some((
            entry.offset,
            crate::restore::load::indexed_table::indexed_table(&text[entry.offset as usize..to])?.to_owned(),
        ))
    });
    LoadPlan::of(&summary, &text.as_bytes()[..start], end as u64, &tables.collect())
}

const KINDS: &[&str] =
    &["TABLE", "TABLE DATA", "INDEX", "CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "SEQUENCE SET"];

proptest! {
    #[test]
    fn every_byte_is_in_one_part_and_nothing_passes_what_goes_alone(
        entries in prop::collection::vec((0..KINDS.len(), 0usize..5), 1..40)
    ) {
        let entries: Vec<_> = entries.into_iter().map(|(kind, rows)| (KINDS[kind], rows)).collect();
        let text = dump(&entries);
        let Ok(layout) = layout(&text) else { return Ok(()) };
        let mut at = layout.prelude.end;
        for stage in &layout.stages {
            let mut parts = match stage {
                Stage::Alone(part) => vec![part.clone()],
                Stage::Together(parts) => parts.clone(),
            };
            parts.sort_by_key(|part| part.range.start);
            for part in &parts {
                prop_assert_eq!(part.range.start, at);
                at = part.range.end;
                let text = &text[part.range.start as usize..part.range.end as usize];
                if matches!(stage, Stage::Together(_)) {
                    let entries = text.matches("-- Name:").count() + text.matches("-- Data for Name:").count();
                    prop_assert!(entries == 1 || part.class == TaskKind::Sequences);
                    let kinds = ["Type: TABLE DATA;", "Type: INDEX;", "Type: CONSTRAINT;", "Type: SEQUENCE SET;"];
                    prop_assert!(kinds.iter().any(|k| text.contains(k)));
                }
            }
        }
        prop_assert_eq!(at as usize, text.find("\n\\unrestrict").unwrap());
        let mut rows: Vec<u64> = layout.parts().flat_map(|part| part.copies.iter().copied()).collect();
        let mut expected: Vec<u64> =
            entries.iter().filter(|(kind, _)| *kind == "TABLE DATA").map(|(_, rows)| *rows as u64).collect();
        rows.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(rows, expected);
    }
}

#[test]
fn foreign_keys_wait_and_go_alone_and_the_largest_table_goes_first() {
    let text = dump(&[
        ("TABLE", 0),
        ("TABLE DATA", 1),
        ("TABLE DATA", 4),
        ("CONSTRAINT", 0),
        ("INDEX", 0),
        ("FK CONSTRAINT", 0),
        ("INDEX", 0),
    ]);
    let expected =
        ["alone n0", "n2 | n1 | n3 after all rows | n4 after all rows", "alone n5", "n6 after all rows"];
    assert_eq!(shape(&text), expected);
}

fn shape(text: &str) -> Vec<String> {
    let layout = layout(text).unwrap();
    let stage = |stage: &Stage| match stage {
        Stage::Alone(part) => format!("alone {}", part.name),
        Stage::Together(parts) => {
            let part = |part: &LoadTask| match &part.after {
                After::Nothing => part.name.clone(),
                After::Rows => format!("{} after all rows", part.name),
                After::Parts(places) => {
                    let names: Vec<&str> = places.iter().map(|at| parts[*at].name.as_str()).collect();
                    format!("{} after {}", part.name, names.join("+"))
                }
            };
            parts.iter().map(part).collect::<Vec<_>>().join(" | ")
        }
    };
    layout.stages.iter().map(stage).collect()
}

#[test]
fn an_index_waits_for_the_rows_of_its_own_table_and_sequences_for_nothing() {
    let mut text = dump(&[
        ("TABLE", 0),
        ("TABLE DATA", 9),
        ("TABLE DATA", 99),
        ("SEQUENCE SET", 0),
        ("SEQUENCE SET", 0),
        ("CONSTRAINT", 0),
        ("INDEX", 0),
        ("INDEX", 0),
    ]);
    for (name, table) in [("n5", "public.n1"), ("n6", "ONLY public.n2"), ("n7", "public.parent")] {
        text = text.replace(&format!("INDEX {name} ON public.t "), &format!("INDEX {name} ON {table} "));
        let key = |table| format!("ALTER TABLE ONLY {table}\n    ADD CONSTRAINT {name} ");
        text = text.replace(&key("public.t"), &key(table));
    }
    let together = "n2 | n1 | n6 after n2 | n5 after n1 | n3 | n7 after all rows";
    assert_eq!(shape(&text), ["alone n0", together]);
}

#[test]
fn rows_behind_an_index_begin_a_stage_and_large_objects_stand_alone() {
    let text = dump(&[
        ("TABLE DATA", 1),
        ("TABLE DATA", 1),
        ("BLOBS", 0),
        ("INDEX", 0),
        ("INDEX", 0),
        ("TABLE DATA", 1),
    ]);
    let expected = ["n0 | n1", "alone n2", "n3 after all rows | n4 after all rows", "n5"];
    assert_eq!(shape(&text), expected);
}

#[test]
fn what_is_not_recognised_beyond_doubt_has_no_layout() {
    let two = &[("TABLE", 0), ("TABLE DATA", 1), ("TABLE DATA", 1)];
    let text = dump(two);
    assert!(layout(&text).is_ok());
    for (from, to) in [
        ("SET row_security = off;", "SELECT hello();"),
        ("SET row_security = off;", "SET row_security = off; SELECT 1;"),
        ("\n\n--\n-- Data for Name: n2", "\n\nSET default_tablespace = fast;\n\n--\n-- Data for Name: n2"),
        ("\n\n--\n-- Data for Name: n2", "\n\n\\echo hello\n\n--\n-- Data for Name: n2"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert!(layout(&changed).is_err(), "{to}");
    }
    assert!(layout(&dump(&[("TABLE", 0), ("TABLE DATA", 1)])).is_err());
}

#[test]
fn the_settings_are_left_and_the_restriction_is_not() {
    let settings = String::from_utf8(settings(TOP.as_bytes())).unwrap();
    assert!(settings.contains("SET row_security = off;\n") && !settings.contains("restrict"));
}

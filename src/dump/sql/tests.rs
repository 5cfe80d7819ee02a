//! The scanner on whole dumps, cut dumps and hostile ones.

use proptest::prelude::*;

use super::*;
use crate::dump::sql::token::HELD;

/// A dump in the very form `pg_dump` 15.18 writes, with data and bodies that look like its frame.
const DUMP: &str = r#"--
-- PostgreSQL database dump
--

\restrict 6hFf0ulsvJOth28nX3zb

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: we;ird "s; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA "we;ird ""s";


ALTER SCHEMA "we;ird ""s" OWNER TO postgres;

--
-- Name: pg_trgm; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.f() RETURNS text
    LANGUAGE plpgsql
    AS $_$ begin
-- PostgreSQL database dump complete
--
-- Name: fake; Type: TABLE; Schema: public; Owner: nobody
return $$ \! rm -rf / 'unclosed $$; end $_$;


CREATE FUNCTION public.g(a integer) RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT 1;
 SELECT
         CASE
             WHEN (a > 1) THEN 2
             ELSE 3
         END AS "case";
END;

SET default_tablespace = fast;

COMMENT ON TABLE public.users IS 'it''s \ a "comment";
--
-- PostgreSQL database dump complete
--
\! echo
';

CREATE VIEW public.v AS
 SELECT E'a\\b\';' AS x, /* nested /* ; \! */ ' */ U&'\0041' AS y, a[1:2] AS z;

--
-- Data for Name: users; Type: TABLE DATA; Schema: public; Owner: app_owner
--

COPY public.users (id, note) FROM stdin;
1	line\n\\.\n-- PostgreSQL database dump complete
2	'unclosed $$ /* "
--
-- PostgreSQL database dump complete
--
\.x
\\.
\.

--
-- Data for Name: t; Type: TABLE DATA; Schema: we;ird "s; Owner: postgres
--

COPY "we;ird ""s"."t\a;b'c" FROM stdin;


\.

ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA public GRANT SELECT ON TABLES  TO reader, "Odd Role";
GRANT SELECT ON TABLE public.users TO PUBLIC;
ALTER TABLE public.users OWNER TO app_owner;

--
-- PostgreSQL database dump complete
--

\unrestrict 6hFf0ulsvJOth28nX3zb

"#;

fn scan(text: impl AsRef<[u8]>) -> Summary {
    let mut scanner = DumpScanner::new();
    scanner.feed(text.as_ref());
    scanner.finish()
}

fn missing(text: impl AsRef<[u8]>) -> String {
    match scan(text).completeness() {
        Completeness::Missing(reason) => reason,
        Completeness::Trailer => panic!("taken for complete"),
    }
}

/// The kinds found in a few statements.
fn kinds(text: &str) -> Vec<FindingKind> {
    scan(text).findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn everything_in_a_whole_dump_is_seen() {
    let summary = scan(DUMP);
    assert_eq!(summary.completeness(), Completeness::Trailer);
    assert_eq!(summary.refusals().collect::<Vec<_>>(), Vec::<&Finding>::new());
    assert_eq!(summary.server_version.as_deref(), Some("15.18 (Debian 15.18-0+deb12u1)"));
    assert_eq!(summary.server_major(), Some(15));
    assert_eq!(summary.pg_dump_version, summary.server_version);
    assert_eq!(summary.restrict_key.as_deref(), Some("6hFf0ulsvJOth28nX3zb"));
    assert_eq!(summary.encoding.as_deref(), Some("UTF8"));
    assert_eq!(summary.extensions, ["pg_trgm"]);
    assert_eq!(summary.tablespaces, ["fast"]);
    assert_eq!(summary.roles, ["Odd Role", "app_owner", "postgres", "reader"]);
    assert_eq!((summary.bytes, summary.statements), (DUMP.len() as u64, 17));
    let blocks: Vec<_> = summary.copies.iter().map(|block| (block.table.as_str(), block.rows)).collect();
    assert_eq!(blocks, [("public.users", 7), (r#""we;ird ""s"."t\a;b'c""#, 2)]);
    let users = &summary.copies[0];
    let place = users.data.unwrap();
    let data = &DUMP[place.offset as usize..][..place.bytes as usize];
    assert!(data.starts_with("1\tline") && data.ends_with("\\\\.\n"));
    let entries: Vec<_> =
        summary.entries.iter().map(|e| (e.name.as_str(), e.kind.as_str(), e.data)).collect();
    assert_eq!(
        entries,
        [
            ("we;ird \"s", "SCHEMA", false),
            ("pg_trgm", "EXTENSION", false),
            ("f()", "FUNCTION", false),
            ("users", "TABLE DATA", true),
            ("t", "TABLE DATA", true),
        ]
    );
    for entry in &summary.entries {
        let block = &DUMP[entry.offset as usize..];
        assert!(
            block.starts_with("--\n-- ") && block[..200.min(block.len())].contains(&entry.name),
            "{block}"
        );
    }
}

#[test]
fn every_cut_is_noticed() {
    let end = DUMP.trim_end().len() + 1;
    for cut in 0..end {
        assert!(!scan(&DUMP.as_bytes()[..cut]).completeness().is_complete(), "cut at {cut}");
    }
    // Nothing is lost with the blank line at the very end.
    assert!(scan(&DUMP[..end]).completeness().is_complete());
}

#[test]
fn a_dump_from_before_restrict_keys_is_whole_too() {
    let old: String = DUMP
        .lines()
        .filter(|line| !line.contains("restrict "))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(scan(&old).completeness(), Completeness::Trailer);
    assert_eq!(scan(old.replace('\n', "\r\n")).completeness(), Completeness::Trailer);
    assert!(scan(old.replace('\n', "\r\n")).copies.iter().all(|block| block.rows == 7 || block.rows == 2));
}

#[test]
fn reasons_are_told() {
    let at = |needle: &str| DUMP.find(needle).unwrap() + needle.len();
    assert_eq!(missing(""), "the file is empty");
    assert_eq!(missing(&DUMP[..at("1\tline")]), "it ends inside the COPY of public.users");
    assert_eq!(
        missing(&DUMP[..at("COPY public.users (id, note) FROM stdin;")]),
        "it ends inside the COPY of public.users"
    );
    assert_eq!(missing(&DUMP[..at("rm -rf")]), "it ends inside a quoted string or name");
    assert_eq!(missing(&DUMP[..at("CREATE VIEW")]), "it ends inside a statement");
    assert_eq!(missing(&DUMP[..at("\n\n\\.\n")]), "no trailer (`PostgreSQL database dump complete`)");
    assert_eq!(
        missing(&DUMP[..DUMP.rfind("\\unrestrict").unwrap()]),
        "the closing `\\unrestrict` is not there"
    );
    assert_eq!(
        missing(DUMP.replace("\\unrestrict 6", "\\unrestrict 7")),
        "the `\\unrestrict` key differs from the `\\restrict` key"
    );
    // Between the trailer and its `\\unrestrict` nothing stands.
    let unrestrict = DUMP.rfind("\\unrestrict").unwrap();
    let inserted = format!("{}SELECT 1;\n{}", &DUMP[..unrestrict], &DUMP[unrestrict..]);
    assert_eq!(missing(inserted), "data after the trailer");
    // What was appended has to end as a statement ends, and a second dump as a dump.
    for (appended, behind) in
        [("SET search_path TO public;\nINSERT INTO t VALUES\n('1'),\n('2');\n", 2), ("-- a word\n", 0)]
    {
        let summary = scan(format!("{DUMP}{appended}"));
        assert_eq!(
            (summary.completeness(), summary.notes.behind),
            (Completeness::Trailer, behind),
            "{appended}"
        );
    }
    assert_eq!(
        missing(format!("{DUMP}SET x = 1;\nINSERT INTO t VALUES ('1'),")),
        "it ends inside a statement"
    );
    assert_eq!(missing(format!("{DUMP}x")), "it ends inside a statement");
    assert_eq!(missing(format!("{DUMP}-- a wo")), "it ends inside a comment");
    let twice = format!("{DUMP}{}", DUMP.replace("6hFf", "7hFf"));
    assert_eq!(scan(&twice).completeness(), Completeness::Trailer);
    assert!(!kinds(&twice).contains(&FindingKind::Metacommand));
    for cut in [DUMP.len() + 60, DUMP.len() + 400, twice.len() - 40] {
        missing(&twice[..cut]);
    }
    assert_eq!(missing(format!("{DUMP}/*")), "it ends inside a comment");
}

#[test]
fn a_dump_of_9_0_without_standard_conforming_strings_is_read_as_psql_reads_it() {
    let head = "SET standard_conforming_strings = off;\nSET escape_string_warning = off;\n";
    let summary =
        scan(format!("{head}COMMENT ON TABLE t IS 'it\\'s; \\\\';\nINSERT INTO t VALUES ('\\\\');\n"));
    assert_eq!((summary.statements, summary.findings.len()), (4, 0), "{:?}", summary.findings);
    // Switched on again, a backslash is a backslash.
    let summary =
        scan(format!("{head}SET standard_conforming_strings = on;\nINSERT INTO t VALUES ('C:\\');\n"));
    assert_eq!((summary.statements, summary.findings.len()), (4, 0), "{:?}", summary.findings);
    // Behind code that may have switched it, the same text can be read in two ways.
    let code = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'x';\n";
    assert_eq!(
        kinds(&format!("{head}{code}INSERT INTO t VALUES ('it\\'s');\n")),
        [FindingKind::BackslashQuote]
    );
}

#[test]
fn a_script_is_whole_where_it_ends_behind_a_statement_and_no_transaction() {
    let script = |text: &str| scan(text).script;
    for whole in [
        "CREATE TABLE t ();\n",
        "BEGIN;\nINSERT INTO t VALUES (1);\nCOMMIT;\n-- end",
        "COPY t FROM stdin;\n1\n\\.\n",
    ] {
        let whole = whole.replace("-- end", "-- end\n");
        assert_eq!(script(&whole), Completeness::Trailer, "{whole}");
        assert_ne!(scan(&whole).completeness(), Completeness::Trailer, "{whole}");
    }
    for cut in [
        "CREATE TABLE t (",
        "BEGIN;\nINSERT INTO t VALUES (1);\n",
        "COPY t FROM stdin;\n1\n",
        "INSERT INTO t VALUES ('",
        "SELECT 1 /* x",
    ] {
        assert_ne!(script(cut), Completeness::Trailer, "{cut}");
    }
}

#[test]
fn what_would_do_more_than_fill_a_database_is_found() {
    use FindingKind as K;
    let table: &[(&str, &[K])] = &[
        ("\\! touch x\n", &[K::Metacommand]),
        ("SELECT 1 \\g |sh\n", &[K::Metacommand]),
        ("\\connect other\n", &[K::Connect]),
        ("  \\restrict abc\n", &[K::Metacommand]),
        ("\\restrict abc \\! id\n", &[K::Metacommand]),
        ("\\restrict `id`\n", &[K::Metacommand]),
        ("\\unrestrict abc\n", &[K::Metacommand]),
        ("-- a\r\\! id\n", &[K::Metacommand]),
        ("-- a\n/* /* */ */ \\! id\n", &[K::Metacommand]),
        ("\\! id", &[K::Metacommand]),
        ("CREATE VIEW v AS SELECT ':a', \"::b\", a::text, 'x' := 1;", &[]),
        ("SELECT :'HOME';", &[K::Variable]),
        ("CREATE DATABASE x;", &[K::OtherDatabase]),
        ("drop /* */ database x;", &[K::OtherDatabase]),
        ("CREATE ROLE x; CREATE USER y;", &[K::ClusterWide, K::ClusterWide]),
        ("CREATE USER MAPPING FOR bob SERVER s;", &[]),
        ("COPY t FROM PROGRAM 'id';", &[K::Program]),
        ("copy (select ';', stdin from t) to /* stdin */ program 'id';", &[K::Program]),
        ("COPY t TO '/etc/passwd';", &[K::ServerFile]),
        ("COPY t TO stdout;", &[]),
        ("CREATE FUNCTION f() RETURNS int AS 'x', 'y' LANGUAGE c;", &[K::UntrustedLanguage]),
        (
            "CREATE OR REPLACE PROCEDURE f(language text) LANGUAGE 'PLpython3u' AS $$ $$;",
            &[K::UntrustedLanguage],
        ),
        ("CREATE FUNCTION f(language c) RETURNS int LANGUAGE SQL AS 'x';", &[]),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE U&\"\\0063\" AS 'x';",
            &[K::HiddenName, K::UntrustedLanguage],
        ),
        ("DO $$ LANGUAGE c $$;", &[K::RunsCode]),
        ("DO LANGUAGE plperlu $$ $$;", &[K::RunsCode, K::UntrustedLanguage]),
        ("CREATE OR REPLACE PROCEDURAL LANGUAGE plperl;", &[]),
        ("CREATE TRUSTED LANGUAGE plevil HANDLER x;", &[K::UntrustedLanguage]),
        ("CREATE EXTENSION IF NOT EXISTS plpython3u;", &[K::UntrustedExtension]),
        ("LOAD 'x';", &[K::Load]),
        ("SELECT lo_export(1, '/x');", &[K::Query, K::ServerFile]),
        ("SELECT \"pg_read_file\" ('/x');", &[K::Query, K::ServerFile]),
        ("SELECT 'lo_export(1)';", &[]),
        ("ALTER SYSTEM SET x = 1;", &[K::AlterSystem]),
        ("CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f();", &[K::EventTrigger]),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p;", &[K::Subscription]),
        ("SET ROLE x; RESET ROLE; SET SESSION AUTHORIZATION DEFAULT;", &[K::ChangesRole; 3]),
        ("SET LOCAL role = x;", &[K::ChangesRole]),
        ("SELECT set_config('role', 'x', false);", &[K::ChangesRole]),
        ("BEGIN; COMMIT;", &[K::Transaction; 2]),
        ("UPDATE pg_catalog.pg_proc SET prolang = 13;", &[K::CatalogWrite]),
        ("CREATE FOREIGN TABLE t (a int) SERVER s OPTIONS (program 'id');", &[K::Program]),
        ("CREATE TABLE t (); SET standard_conforming_strings = off;", &[K::Ambiguous]),
        ("SET standard_conforming_strings = off; COMMENT ON TABLE t IS 'a';\n", &[K::Ambiguous]),
        ("SET client_encoding = 'SJIS';", &[K::Ambiguous]),
        ("COPY t FROM stdin; SELECT 1;\n\\.\n", &[K::Ambiguous]),
        ("COPY t FROM stdin WITH (FORMAT csv);\n\\.\n", &[K::Ambiguous]),
        ("SELECT E'a'\n'b\\';", &[K::Ambiguous]),
        ("SELECT 1a$x$;", &[K::Ambiguous, K::Query]),
        ("INSERT INTO t VALUES ('C:\\');", &[]),
        ("DO $$ $$; INSERT INTO t VALUES ('C:\\');", &[K::RunsCode, K::BackslashQuote]),
        ("CREATE FUNCTION f() RETURNS begin LANGUAGE sql AS 'x'; SELECT 1;", &[K::Ambiguous]),
    ];
    for (text, expected) in table {
        assert_eq!(kinds(text), *expected, "{text}");
    }
}

#[test]
fn what_pg_dump_never_writes_is_found() {
    use FindingKind as K;
    for text in [
        "SELECT pg_catalog.setval('public.s', 12, true);",
        "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence('t', 'id'), 1, false);",
        "SELECT pg_catalog.lo_create('16389'); SELECT pg_catalog.lo_open('16389', 131072);",
        "SELECT pg_catalog.lowrite(0, '\\x00'); SELECT pg_catalog.lo_close(0); SELECT pg_catalog.lo_unlink(7);",
        "SELECT pg_catalog.set_config('search_path', '', false);",
        "SELECT * FROM pg_catalog.pg_restore_attribute_stats('version', '180000'::integer, 'inherited', 'f'::boolean, \
         'most_common_freqs', '{0.5}'::real[]);",
        "INSERT INTO public.t (a, b) VALUES (-1, 'x'), (NULL, DEFAULT);",
        "INSERT INTO public.t OVERRIDING SYSTEM VALUE VALUES (1) ON CONFLICT DO NOTHING;",
        "GRANT SELECT(a) ON TABLE public.t TO reader;",
        "CREATE VIEW v AS SELECT u & \"U\", pg_read_file('x');",
    ] {
        let found: Vec<_> = kinds(text).into_iter().filter(|kind| *kind != K::ServerFile).collect();
        assert_eq!(found, [], "{text}");
    }
    for (text, expected) in [
        ("DO $$ $$;", K::RunsCode),
        ("CALL p();", K::RunsCode),
        ("SELECT f();", K::Query),
        ("SELECT public.setval('s', 1);", K::Query),
        ("SELECT setval('s', f());", K::Query),
        ("SELECT setval('s', 1) FROM f();", K::Query),
        ("SELECT setval('s', 1::d);", K::Query),
        ("SELECT pg_catalog.lo_creat(a.b) FROM a;", K::Query),
        ("SELECT \"set_config\"('standard_conforming_strings', 'off', false);", K::Query),
        ("SELECT 'x'::d;", K::Query),
        ("SELECT * FROM v;", K::Query),
        ("(SELECT f());", K::Query),
        ("((TABLE v));", K::Query),
        ("WITH x AS (UPDATE pg_proc SET prolang = 13 RETURNING 1) SELECT 1;", K::Query),
        ("EXPLAIN ANALYZE SELECT f();", K::Query),
        ("PREPARE x AS SELECT f();", K::Query),
        ("EXECUTE x;", K::Query),
        ("DECLARE c CURSOR FOR SELECT f();", K::Query),
        ("VALUES (f());", K::Query),
        ("MERGE INTO t USING v ON true WHEN MATCHED THEN DELETE;", K::Query),
        ("INSERT INTO t VALUES (1, f());", K::Query),
        ("INSERT INTO t SELECT f();", K::Query),
        ("INSERT INTO t (a) TABLE v;", K::Query),
        ("SELECT U&\"\\0066\"();", K::HiddenName),
        ("CREATE TABLE u&\"x\" (a int);", K::HiddenName),
        ("UPDATE ONLY (pg_proc) SET prolang = 13;", K::CatalogWrite),
        ("GRANT pg_execute_server_program TO app;", K::ClusterWide),
        ("GRANT SET ON PARAMETER session_preload_libraries TO app;", K::ClusterWide),
        ("SET session_preload_libraries = 'x';", K::Load),
        ("SET local_preload_libraries TO x;", K::Load),
    ] {
        assert!(kinds(text).contains(&expected), "{text}: {:?}", kinds(text));
    }
}

#[test]
fn excerpts_hold_no_secrets() {
    for text in [
        "CREATE ROLE a PASSWORD 'hunter2';",
        "ALTER ROLE a WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:hunter2",
        "\\connect postgresql://u:hunter2@h/db\n",
        "CREATE SUBSCRIPTION s CONNECTION 'host=h password=hunter2' PUBLICATION p;",
        "CREATE FOREIGN TABLE t (a int) SERVER s OPTIONS (program 'id', password 'hunter2');",
    ] {
        let findings = scan(text).findings;
        assert!(!findings.is_empty() && !format!("{findings:?}").contains("hunter2"), "{text}: {findings:?}");
    }
}

#[test]
fn padding_hides_nothing() {
    let arguments = "a int, ".repeat(5000);
    let text = format!(
        "CREATE FUNCTION f({arguments} b int) RETURNS int {} LANGUAGE c AS 'x';",
        "COST 1 ".repeat(200)
    );
    assert_eq!(kinds(&text), [FindingKind::UntrustedLanguage]);
    let columns = vec!["\"a long column, with (parentheses\""; 1600].join(", ");
    let summary = scan(format!("COPY public.wide ({columns}) FROM stdin;\n1\n\\.\nSELECT 1;"));
    assert_eq!((summary.rows(), summary.statements, summary.findings.len()), (1, 2, 0));
}

#[test]
fn data_begin_only_where_psql_takes_data() {
    // A semicolon in parentheses or in a BEGIN ATOMIC body sends nothing, so no data can follow.
    for frame in [
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; ",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; ",
    ] {
        let text = format!("{frame}COPY t FROM stdin;\n\\! id\n\\.\n");
        assert!(kinds(&text).contains(&FindingKind::Metacommand), "{text}");
    }
    // The grammar takes STDOUT for STDIN.
    assert_eq!(scan("COPY t FROM stdout;\n1\n2\n\\.\n").rows(), 2);
}

#[test]
fn foreign_files_are_recognised() {
    let all = "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict a\nCREATE ROLE x;\n\\unrestrict a\n\
               --\n-- PostgreSQL database dump complete\n--\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n";
    let summary = scan(all);
    assert!(summary.cluster && summary.completeness().is_complete());
    assert_eq!(kinds(all), [FindingKind::ClusterWide]);
    let marked = format!("\u{feff}{DUMP}");
    assert!(scan(&marked).bom && scan(&marked).completeness().is_complete());
    assert_eq!(scan("\u{feff}").bytes, 3);
    assert_eq!(scan([0xef, 0xbb]).bytes, 2);
}

#[test]
fn a_gate_lets_nothing_bad_through() {
    let mut scanner = DumpScanner::new();
    scanner.feed(b"SELECT 1; SELECT");
    assert_eq!(scanner.clean_until(), 9);
    scanner.feed(b" 2;\nCOPY t FROM stdin;\nabc");
    assert_eq!(scanner.clean_until(), 42);
    scanner.feed(b"\n\\.\nSELECT 3; COPY t TO PROGRAM 'id'");
    assert_eq!(scanner.clean_until(), 55);
    scanner.feed(b"; SELECT 4;");
    assert_eq!(scanner.clean_until(), 55);
    assert_eq!(scanner.finish().findings[0].kind, FindingKind::Program);
}

#[test]
fn a_gate_never_goes_back_and_needs_little_memory() {
    let long = format!("INSERT INTO t VALUES ('{}');SELECT 1;\\! id\n", "x".repeat(1 << 20));
    for step in [1000, 65536] {
        let mut scanner = DumpScanner::new();
        let mut clean = 0;
        for chunk in long.as_bytes().chunks(step) {
            scanner.feed(chunk);
            assert!(scanner.clean_until() >= clean);
            clean = scanner.clean_until();
            assert!(scanner.bytes() - clean <= HELD + step as u64 || scanner.findings().len() == 1);
        }
        assert_eq!(clean as usize, long.find("\\!").unwrap());
    }
}

fn shape(summary: &Summary) -> String {
    format!("{summary:?}")
}

proptest! {
    #[test]
    fn chunks_change_nothing(cuts in prop::collection::vec(0..DUMP.len(), 0..40)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut scanner = DumpScanner::new();
        let mut from = 0;
        for cut in cuts {
            scanner.feed(&DUMP.as_bytes()[from..cut]);
            from = cut;
        }
        scanner.feed(&DUMP.as_bytes()[from..]);
        prop_assert_eq!(shape(&scanner.finish()), shape(&scan(DUMP)));
    }

    #[test]
    fn chunks_change_nothing_in_any_soup(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "'", "\"", "$", "$a$", "$$", "E'", "\\", "\\.", "\n", "\r", " ", ";", "--", "/*", "*/", "(", ")", "COPY t FROM stdin;",
            "COPY", "x", "1", "begin", "create", "function", "end", "\\restrict a\n", "--\n", ":", "\u{feff}",
            "-- PostgreSQL database dump complete\n", "language", "é",
        ]), 0..60),
        size in 1usize..5,
    ) {
        let text = pieces.concat();
        let mut scanner = DumpScanner::new();
        let mut clean = 0;
        for chunk in text.as_bytes().chunks(size) {
            scanner.feed(chunk);
            prop_assert!(scanner.clean_until() >= clean && scanner.clean_until() <= scanner.bytes());
            clean = scanner.clean_until();
        }
        prop_assert_eq!(scanner.bytes(), text.len() as u64);
        prop_assert_eq!(shape(&scanner.finish()), shape(&scan(&text)));
    }

    #[test]
    fn rows_are_counted_as_lines(rows in prop::collection::vec("[^\n\r]{0,30}", 0..50)) {
        let rows: Vec<_> = rows.into_iter().filter(|row| row != "\\.").collect();
        let data = rows.iter().fold(String::new(), |data, row| data + row + "\n");
        let summary = scan(format!("COPY t FROM stdin;\n{data}\\.\nSELECT 1;"));
        prop_assert_eq!(summary.rows(), rows.len() as u64);
        prop_assert_eq!(summary.copies[0].data.unwrap().bytes, data.len() as u64);
        prop_assert_eq!(summary.lines, rows.len() as u64 + 3);
    }
}

const CONTENTS: &str = "-- Name: t; Type: TABLE; Schema: public; Owner: x\n\nCREATE TABLE public.t (a int);\n\n\
    ALTER TABLE public.t OWNER TO x;\n\nSET default_tablespace = '';\n\n\
    -- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: x\n\nCOPY public.t (a) FROM stdin;\n1\n2\n\\.\n\n\
    -- Name: s; Type: SEQUENCE SET; Schema: public; Owner: x\n\nSELECT pg_catalog.setval('public.s', 4, true);\n\n\
    -- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -\n\nSELECT pg_catalog.lo_open('1', 131072);\n\
    SELECT pg_catalog.lowrite(0, '\\x61');\nSELECT pg_catalog.lowrite(0, '\\x62');\n\n";

/// The fingerprints of a text: those of its entries, and those of its tables.
fn fingerprints(text: &str) -> Vec<String> {
    let summary = scan(text);
    let of = |contents: &Option<crate::dump::fingerprint::Fingerprint>| {
        contents.map_or(String::new(), |sum| sum.to_string())
    };
    let entries = summary.entries.iter().map(|entry| of(&entry.contents));
    entries.chain(summary.copies.iter().map(|block| of(&block.contents))).collect()
}

#[test]
fn what_changes_in_a_dump_changes_the_fingerprint_of_its_entry_alone() {
    let whole = fingerprints(CONTENTS);
    assert!(whole.len() == 5 && whole.iter().all(|print| print.len() == 32), "{whole:?}");
    let changes = [
        ("CREATE TABLE public.t (a int)", "CREATE TABLE public.t (a bigint)", 0),
        ("OWNER TO x", "OWNER TO y", 0),
        ("public.t (a) FROM", "public.t (b) FROM", 1),
        ("4, true", "5, true", 2),
        (
            "'\\x61');\nSELECT pg_catalog.lowrite(0, '\\x62')",
            "'\\x62');\nSELECT pg_catalog.lowrite(0, '\\x61')",
            3,
        ),
        ("\n1\n2\n", "\n1\n3\n", 4),
        ("\n1\n2\n", "\n1\n", 4),
    ];
    for (from, to, at) in changes {
        let changed = fingerprints(&CONTENTS.replacen(from, to, 1));
        for (entry, (before, after)) in whole.iter().zip(&changed).enumerate() {
            assert_eq!(before != after, entry == at, "{from} -> {to}: {entry}");
        }
    }
}

#[test]
fn order_of_rows_settings_and_comments_change_no_fingerprint() {
    for (from, to) in [
        ("\n1\n2\n", "\n2\n1\n"),
        ("SET default_tablespace = '';", ""),
        ("SET default_tablespace = '';", "SET default_table_access_method = heap;\n-- a word\n"),
    ] {
        assert_eq!(fingerprints(&CONTENTS.replacen(from, to, 1)), fingerprints(CONTENTS), "{from} -> {to}");
    }
}

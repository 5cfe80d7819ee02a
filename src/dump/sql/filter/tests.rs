//! The filter on whole dumps, in chunks of every size.

use proptest::prelude::*;

use super::*;

/// Filters a text that comes in chunks of this size.
fn filtered(text: &str, rules: &Rules, size: usize) -> (String, String) {
    let mut filter = StatementFilter::new(rules.clone());
    let mut out = Vec::new();
    for chunk in text.as_bytes().chunks(size) {
        out.extend(filter.feed(chunk.to_vec()));
    }
    let (rest, left_out) = filter.finish();
    out.extend(rest);
    (String::from_utf8(out).unwrap(), left_out.to_string())
}

/// Filters it in chunks of every size up to its own; the result is always the same.
fn always(text: &str, rules: &Rules) -> (String, String) {
    let whole = filtered(text, rules, text.len().max(1));
    for size in [1, 2, 3, 5, 7, 11, 64] {
        assert_eq!(filtered(text, rules, size), whole, "in chunks of {size}");
    }
    whole
}

const DUMP: &str = r#"--
-- PostgreSQL database dump
--

\restrict abc

SET transaction_timeout = 0;
SET client_encoding = 'UTF8';

CREATE EXTENSION IF NOT EXISTS pg_cron WITH SCHEMA pg_catalog;
COMMENT ON EXTENSION pg_cron IS 'jobs';

CREATE FUNCTION public.f() RETURNS text
    LANGUAGE plpgsql
    AS $$
BEGIN
  ALTER TABLE x OWNER TO y;
END $$;


ALTER FUNCTION public.f(a integer, b text) OWNER TO "Odd;Role";
ALTER TABLE public.owner OWNER TO
    app;

COPY public.t (a) FROM stdin;
ALTER TABLE x OWNER TO y;
GRANT ALL ON TABLE x TO y;
\.

CREATE EVENT TRIGGER e ON ddl_command_end
   EXECUTE FUNCTION public.f();
ALTER EVENT TRIGGER e OWNER TO app;

CREATE POLICY p ON public.t TO app, "Odd;Role";
REVOKE ALL ON TABLE public.t FROM PUBLIC;
GRANT SELECT ON TABLE public.t TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public GRANT SELECT ON TABLES  TO reader;
ALTER TABLE public.t ALTER COLUMN owner SET DEFAULT 'x OWNER TO y';

--
-- PostgreSQL database dump complete
--

\unrestrict abc
"#;

fn rules(change: impl FnOnce(&mut Rules)) -> Rules {
    let mut rules = Rules::default();
    change(&mut rules);
    rules
}

/// The lines that a rule took out, those left blank aside.
fn gone(rules: &Rules) -> (Vec<String>, String) {
    let (text, left_out) = always(DUMP, rules);
    assert_eq!(text.lines().count(), DUMP.lines().count(), "lines keep their numbers");
    let pairs = DUMP.lines().zip(text.lines());
    let lines = pairs.filter(|(before, after)| before != after).map(|(before, _)| before.to_owned());
    (lines.collect(), left_out)
}

#[test]
fn without_rules_every_byte_passes() {
    let (text, left_out) = always(DUMP, &Rules::default());
    assert_eq!(text, DUMP);
    assert_eq!(left_out, "");
    assert!(Rules::default().is_empty());
}

#[test]
fn no_owner_leaves_out_owners_and_nothing_else() {
    let (gone, left_out) = gone(&rules(|rules| rules.no_owner = true));
    assert_eq!(
        gone,
        [
            "ALTER FUNCTION public.f(a integer, b text) OWNER TO \"Odd;Role\";",
            "ALTER TABLE public.owner OWNER TO",
            "    app;",
            "ALTER EVENT TRIGGER e OWNER TO app;",
        ]
    );
    assert_eq!(left_out, "3 OWNER statements");
}

#[test]
fn no_owner_leaves_out_the_session_roles_of_old_dumps() {
    let rules = rules(|rules| rules.no_owner = true);
    let (text, left_out) = always(
        "SET SESSION AUTHORIZATION 'a';\nCREATE TABLE t ();\nRESET SESSION AUTHORIZATION;\nSET x = 1;\n",
        &rules,
    );
    assert_eq!(text, "\nCREATE TABLE t ();\n\nSET x = 1;\n");
    assert_eq!(left_out, "2 OWNER statements");
}

#[test]
fn no_privileges_leaves_out_grants_and_nothing_else() {
    let (gone, left_out) = gone(&rules(|rules| rules.no_privileges = true));
    assert_eq!(gone.len(), 3, "{gone:?}");
    assert!(
        gone.iter()
            .all(|line| ["REVOKE", "GRANT", "ALTER DEFAULT"].iter().any(|keyword| line.starts_with(keyword)))
    );
    assert_eq!(left_out, "3 GRANT and REVOKE statements");
}

#[test]
fn an_extension_an_event_trigger_and_a_setting_are_left_out_by_name() {
    let rules = rules(|rules| {
        rules.extensions.insert("pg_cron".into());
        rules.event_triggers = true;
        rules.settings.insert("transaction_timeout".into());
    });
    let (gone, left_out) = gone(&rules);
    assert_eq!(
        gone,
        [
            "SET transaction_timeout = 0;",
            "CREATE EXTENSION IF NOT EXISTS pg_cron WITH SCHEMA pg_catalog;",
            "COMMENT ON EXTENSION pg_cron IS 'jobs';",
            "CREATE EVENT TRIGGER e ON ddl_command_end",
            "   EXECUTE FUNCTION public.f();",
            "ALTER EVENT TRIGGER e OWNER TO app;",
        ]
    );
    assert_eq!(
        left_out,
        "2 statements on event triggers, extension \"pg_cron\", SET transaction_timeout (not known to the server)"
    );
}

#[test]
fn a_role_is_written_otherwise_wherever_it_is_named() {
    let rules = rules(|rules| {
        rules.roles.insert("app".into(), "New Role".into());
        rules.roles.insert("Odd;Role".into(), "plain".into());
    });
    let (text, left_out) = always(DUMP, &rules);
    let expected = DUMP
        .replace("    app;", "    \"New Role\";")
        .replace("OWNER TO \"Odd;Role\";", "OWNER TO \"plain\";")
        .replace("TRIGGER e OWNER TO app;", "TRIGGER e OWNER TO \"New Role\";")
        .replace("TO app, \"Odd;Role\";", "TO \"New Role\", \"plain\";")
        .replace("TO app;", "TO \"New Role\";")
        .replace("FOR ROLE app IN", "FOR ROLE \"New Role\" IN");
    assert_eq!(text.replace('"', ""), expected.replace('"', ""));
    assert_eq!(left_out, "");
    let (text, _) = always("SET SESSION AUTHORIZATION E'app';\nSET SESSION AUTHORIZATION 'app';\n", &rules);
    assert_eq!(text, "SET SESSION AUTHORIZATION \"New Role\";\nSET SESSION AUTHORIZATION 'New Role';\n");
}

#[test]
fn a_statement_that_does_not_end_passes_for_the_scanner_to_see() {
    let rules = rules(|rules| rules.no_owner = true);
    let (text, _) = always("SET x = 1;\nALTER TABLE t OWNER TO a", &rules);
    assert_eq!(text, "SET x = 1;\nALTER TABLE t OWNER TO a");
}

#[test]
fn a_statement_without_end_is_not_held() {
    let mut filter = StatementFilter::new(rules(|rules| rules.no_owner = true));
    let mut passed = filter.feed(b"INSERT INTO t VALUES ('".to_vec()).len();
    for _ in 0..64 {
        passed += filter.feed(vec![b'x'; 64 * 1024]).len();
        assert!(filter.held.len() as u64 <= HELD + 64 * 1024);
    }
    passed += filter.feed(b"');\nALTER TABLE t OWNER TO a;\n".to_vec()).len();
    let (rest, left_out) = filter.finish();
    assert_eq!(passed + rest.len(), 23 + 64 * 64 * 1024 + 4 + 1);
    assert_eq!(left_out.to_string(), "1 OWNER statement");
}

#[test]
fn a_byte_order_mark_passes() {
    let rules = rules(|rules| rules.no_owner = true);
    let (text, _) = always("\u{feff}ALTER TABLE t OWNER TO a;\nSELECT 1;\n", &rules);
    assert_eq!(text, "\u{feff}\nSELECT 1;\n");
}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_the_chunks(text in r"[-a-z '\x22$\\;\n/*.(){}0]{0,200}", size in 1..20usize) {
        let rules = rules(|rules| { rules.no_owner = true; rules.no_privileges = true; });
        let whole = filtered(&text, &rules, text.len().max(1));
        prop_assert_eq!(&filtered(&text, &rules, size), &whole);
        prop_assert_eq!(filtered(&text, &Rules::default(), size).0, text);
    }
}

/// Two databases and a role, as pg_dumpall of 11 and later writes them, and of 10 and earlier.
fn clusters() -> [String; 2] {
    let body = |name: &str| {
        format!(
            "SET x = 1;\n\nALTER DATABASE {name} SET work_mem TO '1MB';\nCREATE TABLE {name} ();\nCOPY {name} FROM stdin;\n-- PostgreSQL database dump complete\n\\connect other\n\\.\n"
        )
    };
    let trailer = "--\n-- PostgreSQL database dump complete\n--\n\n";
    let head = "--\n-- PostgreSQL database dump\n--\n\n";
    let roles = "CREATE ROLE r;\nALTER ROLE r WITH SUPERUSER PASSWORD 'secret;';\n";
    let new = |name: &str| {
        format!(
            "--\n-- Database \"{name}\" dump\n--\n\n{head}\\restrict k{name}\n\nSET x = 1;\nCREATE DATABASE {name};\n\\unrestrict k{name}\n\\connect {name}\n\\restrict k{name}\n\n{}\\unrestrict k{name}\n\\connect {name}\n\\restrict k{name}\nCREATE TABLE more_{name} ();\n{trailer}\\unrestrict k{name}\n\n",
            body(name)
        )
    };
    let old = |name: &str| {
        format!(
            "\\connect {name}\n\nSET y = 1;\n\n{head}{}CREATE TABLE more_{name} ();\n{trailer}",
            body(name)
        )
    };
    let cluster = "--\n-- PostgreSQL database cluster dump\n--\n\n";
    let end = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";
    [
        format!("{cluster}\\restrict g\n{roles}\\unrestrict g\n{}{}{end}", new("a"), new("b")),
        format!(
            "{cluster}\\connect postgres\n{roles}CREATE DATABASE a;\nCREATE DATABASE b;\n{}{}{end}",
            old("a"),
            old("b")
        ),
    ]
}

#[test]
fn one_database_is_taken_out_of_the_output_of_pg_dumpall() {
    for (at, cluster) in clusters().iter().enumerate() {
        for name in ["a", "b"] {
            let rules = rules(|rules| rules.database = Some(name.into()));
            let (text, left_out) = always(cluster, &rules);
            let other = if name == "a" { "b" } else { "a" };
            assert!(text.contains(&format!("CREATE TABLE {name} ();")), "{text}");
            assert!(text.contains(&format!("CREATE TABLE more_{name} ();")), "{text}");
            for no in [
                format!("TABLE {other}"),
                "DATABASE a".into(),
                "DATABASE b".into(),
                "ROLE".into(),
                format!("connect {name}"),
            ] {
                assert!(!text.contains(&no), "{no}: {text}");
            }
            assert_eq!(left_out, "1 statement on the database itself");
            let mut scanner = crate::dump::sql::DumpScanner::new();
            scanner.feed(text.as_bytes());
            let summary = scanner.finish();
            assert_eq!(
                summary.completeness(),
                crate::dump::sql::Completeness::Trailer,
                "{at} {name}: {text}"
            );
            assert_eq!(summary.refusals().count(), 0, "{:?}", summary.findings);
            assert_eq!((summary.copies.len(), summary.rows()), (1, 2));
            let mut filter = StatementFilter::new(rules);
            filter.feed(cluster.clone().into_bytes());
            filter.finish();
            assert_eq!(
                filter.take_globals().as_deref(),
                Some("CREATE ROLE r;\nALTER ROLE r WITH SUPERUSER PASSWORD 'secret;';\n")
            );
        }
    }
}

#[test]
fn roles_that_are_too_many_to_be_kept_are_told_and_not_dropped() {
    let [cluster, _] = clusters();
    let many = (0..200_000).fold(String::new(), |many, n| many + &format!("CREATE ROLE many_{n};\n"));
    let cluster = cluster.replacen("CREATE ROLE r;", &many, 1);
    let globals = |rules: Rules| {
        let mut filter = StatementFilter::new(rules);
        filter.feed(cluster.clone().into_bytes());
        filter.finish();
        filter.take_globals()
    };
    assert_eq!(globals(rules(|rules| rules.database = Some("a".into()))), None);
    let without = globals(rules(|rules| {
        rules.database = Some("a".into());
        (rules.no_owner, rules.no_privileges) = (true, true);
    }));
    assert_eq!(without.as_deref(), Some(""), "no role is needed then");
}

#[test]
fn a_cut_anywhere_in_the_output_of_pg_dumpall_is_noticed() {
    for cluster in clusters() {
        for cut in 1..cluster.len() - 1 {
            let mut scanner = crate::dump::sql::DumpScanner::new();
            scanner.feed(&cluster.as_bytes()[..cut]);
            let complete = scanner.finish().completeness().is_complete();
            assert!(!complete || cut >= cluster.trim_end().len(), "cut at {cut}");
        }
    }
}

//! Findings about a database, one problem at a time.

use super::*;
use crate::databases::swap::PreviousDatabaseNote;
use crate::doctor::Severity;
use crate::postgres::database_info::PrismaHistory;
use crate::postgres::health::StagingDatabase;
use crate::postgres::version::ServerVersion;

fn well() -> DatabaseReport {
    DatabaseReport {
        facts: DatabaseInfo {
            database: "acme".into(),
            version: ServerVersion::new(150_018, "15.18"),
            size: 12_345_678,
            table_bytes: 1,
            migrations: None,
        },
        health: Ok(ServerHealth {
            pg_dump: Some(ClientTool::Version(ServerVersion::new(150_018, "15.18"))),
            oldest: Some(("acme".into(), 1000)),
            ..ServerHealth::default()
        }),
        kept: Ok(Vec::new()),
        orphans: Ok(Vec::new()),
        ended: true,
        deaf: false,
        holds: Some(true),
    }
}

/// Everything but the line that says what answered.
fn findings(change: impl Fn(&mut DatabaseReport)) -> Vec<CheckFinding> {
    let mut seen = well();
    change(&mut seen);
    let mut findings = judge(&seen, &StackPlace::sample(true));
    assert_eq!(findings.remove(0).what, "acme, PostgreSQL 15.18, 12.3 MB");
    findings
}

#[track_caller]
fn one(severity: Severity, text: &str, command: &str, change: impl Fn(&mut DatabaseReport)) {
    let found = findings(change);
    let [one] = &found[..] else { panic!("{text}: {found:?}") };
    assert_eq!(one.severity, severity, "{one:?}");
    assert!(one.what.contains(text), "{text}: {one:?}");
    let said = one.next.join("\n");
    assert!(said.contains(command), "{command}: {said}");
}

fn ailing(change: impl Fn(&mut ServerHealth)) -> impl Fn(&mut DatabaseReport) {
    move |seen| {
        if let Ok(health) = &mut seen.health {
            change(health);
        }
    }
}

#[test]
fn a_healthy_database_is_one_line() {
    assert_eq!(findings(|_| ()), []);
}

#[test]
fn an_invalid_index_is_built_again_or_dropped() {
    let index = |name: &str| Index { schema: "public".into(), name: name.into(), table: "item".into() };
    let by_words = index("Item_words");
    one(
        Severity::Warning,
        "index public.Item_words on item is INVALID",
        r#"`envctl psql -s acme --prod -d acme -c 'reindex index concurrently "public"."Item_words"'`"#,
        ailing(|health| health.invalid.push(by_words.clone())),
    );
    let copy = index("item_words_ccnew1");
    let found = findings(ailing(|health| health.invalid.push(copy.clone())));
    assert_eq!(found[0].next.len(), 1, "{found:?}");
    assert!(found[0].next[0].contains("drop index concurrently"), "{found:?}");
}

#[test]
fn a_session_that_does_nothing_in_a_transaction_is_told_from_five_minutes_on() {
    let idle = |seconds| IdleInTransaction {
        pid: "42".into(),
        role: "app".into(),
        application: String::new(),
        database: "acme".into(),
        seconds,
    };
    assert_eq!(findings(ailing(|health| health.idle.push(idle(299)))), []);
    one(
        Severity::Warning,
        "session 42 of app (no application name) in acme has done nothing for 5 min",
        "-d acme -c 'select pg_terminate_backend(42)'",
        ailing(|health| health.idle.push(idle(300))),
    );
}

#[test]
fn orphans_of_a_killed_restore_are_reported_unless_it_goes_on() {
    let staging =
        |alive| StagingDatabase { name: "envctl_new_0123abcd_acme".into(), size: Some(7_654_321), alive };
    assert_eq!(findings(ailing(|health| health.staging_databases.push(staging(true)))), []);
    one(
        Severity::Warning,
        "envctl_new_0123abcd_acme (7.7 MB)",
        r#"'drop database "envctl_new_0123abcd_acme"'"#,
        ailing(|health| health.staging_databases.push(staging(false))),
    );
}

#[test]
fn databases_that_are_shut_or_half_dropped() {
    one(
        Severity::Warning,
        "may connect to the database shut",
        "allow_connections true",
        ailing(|h| h.closed.push("shut".into())),
    );
    one(
        Severity::Warning,
        "broke off half-way",
        r#"drop database "half""#,
        ailing(|h| h.broken.push("half".into())),
    );
}

#[test]
fn old_transaction_ids_are_a_warning_and_then_a_problem() {
    assert_eq!(findings(ailing(|health| health.oldest = Some(("acme".into(), OLD - 1)))), []);
    for (age, severity) in [(OLD, Severity::Warning), (TOO_OLD, Severity::Problem)] {
        one(
            severity,
            "transaction ids of database shop",
            "-d shop -c 'vacuum (freeze, verbose)'",
            move |seen| {
                ailing(|health| health.oldest = Some(("shop".into(), age)))(seen);
            },
        );
    }
}

#[test]
fn another_collation_version_says_what_to_build_again() {
    one(
        Severity::Warning,
        "collation version 2.31, the image has 2.36",
        r#"'reindex database concurrently "acme"'"#,
        ailing(|health| health.collation = Some(("2.31".into(), "2.36".into()))),
    );
}

#[test]
fn a_migration_that_failed_is_a_problem_and_one_that_runs_is_not() {
    let begun = |migrating: bool| {
        move |seen: &mut DatabaseReport| {
            seen.facts.migrations = Some(PrismaHistory { applied: 1, unfinished: 1, last: None });
            ailing(|health| {
                health.unfinished = vec!["20250102_add".into()];
                health.migrating = migrating;
            })(seen);
        }
    };
    one(
        Severity::Problem,
        "failed, or ended half-way: 20250102_add",
        "`envctl migrate resolve 20250102_add -s acme --prod --rolled-back`",
        begun(false),
    );
    one(Severity::Note, "being applied now: 20250102_add", "", begun(true));
}

#[test]
fn pg_dump_has_to_be_as_new_as_the_server() {
    let version = |num, text| Some(ClientTool::Version(ServerVersion::new(num, text)));
    one(
        Severity::Problem,
        "pg_dump in the container is 14.1",
        "image",
        ailing(|h| h.pg_dump = version(140_001, "14.1")),
    );
    one(Severity::Problem, "no pg_dump", "image", ailing(|h| h.pg_dump = Some(ClientTool::Missing)));
    one(Severity::Note, "newer than the server", "", ailing(|h| h.pg_dump = version(170_001, "17.1")));
    assert_eq!(findings(ailing(|h| h.pg_dump = None)), []);
}

#[test]
fn previous_databases_are_a_note_with_their_size() {
    let kept = |name: &str| PreviousDatabase {
        name: name.into(),
        note: serde_json::from_str::<PreviousDatabaseNote>(
            r#"{"envctl":"kept","replaced":"acme","operation":"0","at":"2026-01-02T03:04:05Z"}"#,
        )
        .unwrap(),
        size: 1_000_000,
    };
    one(Severity::Note, "envctl_old_b (1.0 MB)", "`envctl restore previous -s acme --prod`", |seen| {
        seen.kept = Ok(vec![kept("envctl_old_b")]);
    });
    one(
        Severity::Note,
        "2 previous databases of restores (2.0 MB), the newest envctl_old_b",
        "restore previous",
        |seen| {
            seen.kept = Ok(vec![kept("envctl_old_b"), kept("envctl_old_a")]);
        },
    );
}

#[test]
fn sessions_of_killed_runs_are_told_as_ended_or_as_going_on() {
    one(Severity::Note, "ended the session envctl/0123abcd dump", "", |seen| {
        seen.orphans = Ok(vec!["envctl/0123abcd dump".parse().unwrap()]);
    });
    one(Severity::Warning, "envctl/0123abcd dump goes on", "`envctl doctor`", |seen| {
        seen.orphans = Ok(vec!["envctl/0123abcd dump".parse().unwrap()]);
        seen.ended = false;
    });
}

#[test]
fn what_cannot_be_looked_into_is_told() {
    one(Severity::Note, "permission denied", "", |seen| seen.health = Err("permission denied".into()));
    one(Severity::Note, "no right", "", |seen| seen.kept = Err("no right".into()));
    one(Severity::Note, "no right", "", |seen| seen.orphans = Err("no right".into()));
    one(Severity::Note, "no TCP port", "listen_addresses", |seen| seen.deaf = true);
}

//! `--json` on every command: one document on stdout with `"schema": 1`, whether it answers or fails.

use serde_json::Value;

use crate::container::stack;
use crate::dumps::{DUMP, pg_dump};
use crate::postgres::Server;
use crate::stage::{Ran, Stage};

fn acme() -> Stage {
    let stage = Stage::with(stack("acme-dev"));
    let note = r#""{""envctl"":""kept"",""replaced"":""acme"",""operation"":""0b5c"",""at"":""2026-01-02T03:04:05Z""}""#;
    let server = Server::new()
        .answer("rolcreatedb", "150018,15.18,t,16384,12345678,f,\n")
        .answer("shobj_description", &format!("envctl_old_0b5c_acme,{note},7654321\n"))
        .answer("min(backend_start)", "2,acme,api,172.18.0.3,2026-01-02 03:04:05 UTC,1\n");
    stage.engine.install("*", "psql", server.psql());
    stage.engine.install("*", "pg_dump", pg_dump(DUMP));
    stage.write("dump.sql", DUMP);
    stage
}

/// The one document that stdout holds.
#[track_caller]
fn document(arguments: &[&str], ran: &Ran) -> Value {
    let value: Value = serde_json::from_slice(&ran.stdout)
        .unwrap_or_else(|e| panic!("{arguments:?}: {e}: {:?} {}", ran.out(), ran.err()));
    assert_eq!(value["schema"], 1, "{arguments:?}: {value}");
    assert!(ran.out().starts_with("{\"schema\":1"), "{arguments:?}: {value}");
    value
}

#[test]
fn every_command_that_answers_answers_with_a_document() {
    let stage = acme();
    let cases: &[(&[&str], &str)] = &[
        (&["status"], "stacks"),
        (&["config"], "settings"),
        (&["help", "exit-codes"], "exit_codes"),
        (&["backup", "--dry-run"], "plan"),
        (&["backup"], "manifest"),
        (&["backup", "create", "-o", "other.sql.gz"], "manifest"),
        (&["backup", "list"], "backups"),
        (&["backup", "show"], "verified"),
        (&["backup", "prune", "--keep-last", "9"], "backups"),
        (&["backup", "pin", "latest", "--dry-run"], "plan"),
        (&["backup", "pin", "latest"], "pin"),
        (&["backup", "unpin", "latest"], "path"),
        (&["backup", "--all-stacks", "--dry-run"], "stacks"),
        (&["restore", "latest", "--dry-run"], "plan"),
        (&["restore", "dump.sql", "--dry-run"], "sessions"),
        (&["restore", "undo", "--dry-run"], "plan"),
        (&["restore", "previous"], "previous"),
        (&["restore", "previous", "--drop", "all", "--dry-run"], "plan"),
        (&["restore", "previous", "--drop", "envctl_old_0b5c_acme", "--yes"], "dropped"),
        (&["init", "--dry-run"], "written"),
    ];
    for (arguments, field) in cases {
        let ran = stage.run(["--json"].iter().chain(*arguments));
        let answer = document(arguments, &ran);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {answer} {}", ran.err());
        assert!(!answer[field].is_null() && answer["error"].is_null(), "{arguments:?}: {answer}");
    }
}

#[test]
fn every_command_that_fails_fails_with_a_document() {
    let commands: &[&[&str]] = &[
        &["status"],
        &["shell"],
        &["exec", "db", "--", "true"],
        &["psql", "-c", "select 1"],
        &["logs"],
        &["migrate"],
        &["migrate", "status"],
        &["migrate", "create", "add_table"],
        &["migrate", "resolve", "a_name", "--applied"],
        &["migrate", "reset"],
        &["generate"],
        &["push"],
        &["pull"],
        &["seed"],
        &["studio"],
        &["forward", "db", "5432"],
        &["backup"],
        &["backup", "create"],
        &["backup", "list"],
        &["backup", "show"],
        &["backup", "prune", "--keep-last", "9"],
        &["backup", "prune", "--all-stacks", "--keep-last", "9"],
        &["backup", "pin", "latest"],
        &["backup", "--all-stacks"],
        &["restore", "latest"],
        &["restore", "undo"],
        &["restore", "previous"],
        &["init"],
    ];
    let stage = acme();
    let nowhere = format!("unix://{}", stage.path("nowhere.sock").display());
    for arguments in commands {
        let ran = stage.envctl(["--json"].iter().chain(*arguments)).env("DOCKER_HOST", &nowhere).run();
        let answer = document(arguments, &ran);
        assert_eq!(answer["error"]["code"], "docker", "{arguments:?}: {answer}");
        assert!(answer["error"]["hint"].is_string(), "{arguments:?}: {answer}");
    }
    for arguments in [&["config"][..], &["status"], &["backup"], &["restore"], &["migrate"], &["man"]] {
        let ran = stage.run(arguments.iter().chain(&["--no-such-option", "--json"]));
        assert_eq!(document(arguments, &ran)["error"]["code"], "usage", "{arguments:?}");
        assert_eq!(ran.code, Some(2), "{arguments:?}");
    }
}

#[test]
fn the_plan_of_a_restore_has_its_parts_as_fields() {
    let ran = acme().run(["restore", "dump.sql", "--dry-run", "--json"]);
    let plan = document(&["restore"], &ran);
    assert_eq!((&plan["dry_run"], &plan["database"]), (&true.into(), &"acme".into()));
    assert_eq!(
        (&plan["exists"], &plan["size"], &plan["rows"]),
        (&true.into(), &12_345_678.into(), &2.into())
    );
    assert_eq!((&plan["backup_first"], &plan["jobs"]), (&true.into(), &1.into()));
    assert_eq!(
        plan["sessions"],
        serde_json::json!([{
            "count": 2, "role": "acme", "application": "api", "from": "172.18.0.3",
            "since": "2026-01-02 03:04:05 UTC", "in_transaction": 1,
        }])
    );
    assert!(plan["previous_database"].as_str().unwrap().starts_with("envctl_old_"), "{plan}");
    assert!(plan["plan"].as_array().unwrap().len() > 3, "{plan}");
}

#[test]
fn the_plan_of_a_backup_names_its_file() {
    let stage = acme();
    let ran = stage.run(["backup", "--dry-run", "--json"]);
    let plan = document(&["backup"], &ran);
    let path = plan["path"].as_str().unwrap();
    assert!(path.contains("/acme/dev/backup_") && !std::path::Path::new(path).exists(), "{plan}");
    assert_eq!((&plan["database"], &plan["size"]), (&"acme".into(), &12_345_678.into()));
    let piped = stage.run(["backup", "-o", "-", "--dry-run", "--json"]);
    assert!(document(&["backup", "-o", "-"], &piped)["path"].is_null());
}

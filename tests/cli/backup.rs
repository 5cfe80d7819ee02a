//! `envctl backup`: a file appears only when it is verified, and what is said when it does not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use snapbox::str;

use crate::container::{db, stack};
use crate::daemon::Manner;
use crate::dumps::{DUMP, failing_pg_dump, pg_dump};
use crate::postgres::Server;
use crate::stage::{Ran, Stage};

pub(crate) fn acme() -> Stage {
    let stage = Stage::with(stack("acme-dev"));
    stage.engine.install("acme-dev-db-1", "psql", Server::new().psql());
    stage.engine.install("acme-dev-db-1", "pg_dump", pg_dump(DUMP));
    stage
}

/// Every file below the backups of acme dev.
fn files(stage: &Stage) -> Vec<PathBuf> {
    let directory = stage.path(".local/share/envctl/backups/acme/dev");
    let mut files: Vec<PathBuf> = match std::fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    files.sort();
    files
}

/// That it failed with this code and left nothing.
#[track_caller]
fn left_nothing(stage: &Stage, ran: &Ran, code: i32) {
    assert_eq!(ran.code, Some(code), "{}", ran.err());
    assert_eq!(files(stage), Vec::<PathBuf>::new());
    assert!(ran.err().contains("error: "), "{}", ran.err());
}

#[test]
fn a_backup_and_its_manifest_are_ours_alone() {
    let stage = acme();
    let ran = stage.run(["backup"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.err().contains("1 table, 2 rows"), "{}", ran.err());
    let files = files(&stage);
    assert_eq!(files.len(), 2, "{files:?}");
    for file in &files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    let folder = files[0].parent().unwrap();
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(ran.out().trim().ends_with(".sql.gz"), "the answer is the file: {}", ran.out());
}

#[test]
fn as_json_it_is_the_manifest() {
    let stage = acme();
    let ran = stage.run(["backup", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let answer: serde_json::Value = serde_json::from_str(&ran.out()).expect("one JSON document");
    assert_eq!(answer["schema"], 1);
    let manifest = &answer["manifest"];
    let table = &manifest["tables"][0];
    assert_eq!((&table["name"], &table["rows"]), (&"public.users".into(), &2.into()));
    let data = table["data"]["offset"].as_u64().unwrap() as usize;
    assert!(DUMP[..data].ends_with("FROM stdin;\n"), "where its rows begin");
    assert_eq!(manifest["plain_bytes"], DUMP.len());
    assert_eq!(manifest["whole"], true);
    assert!(std::path::Path::new(answer["path"].as_str().unwrap()).exists());
}

#[test]
fn to_a_pipe_it_is_the_dump() {
    let stage = acme();
    let ran = stage.run(["backup", "-o", "-", "--compress", "none"]);
    assert_eq!((ran.code, ran.out().as_str()), (Some(0), DUMP), "{}", ran.err());
    assert_eq!(files(&stage), Vec::<PathBuf>::new());
}

#[test]
fn a_file_that_is_there_stays() {
    let stage = acme();
    stage.write("mine.sql.gz", "precious");
    let ran = stage.run(["backup", "-o", "mine.sql.gz"]);
    assert!(ran.err().contains("--force"), "{}", ran.err());
    assert_eq!(std::fs::read_to_string(stage.path("mine.sql.gz")).unwrap(), "precious");
    ran.is(str![[r#"
exit 6
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)
! error: mine.sql.gz exists and is not replaced
! hint: choose another name with `-o`, or replace it with `--force`

"#]]);
    let ran = stage.run(["backup", "-o", "mine.sql.gz", "--force"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_ne!(std::fs::read(stage.path("mine.sql.gz")).unwrap(), b"precious");
}

#[test]
fn a_manifest_that_lost_its_backup_is_in_the_way_before_anything_is_dumped() {
    let stage = acme();
    stage.write("mine.sql.gz.json", "precious");
    let ran = stage.run(["backup", "-v", "-o", "mine.sql.gz"]);
    assert_eq!(ran.code, Some(6), "{}", ran.err());
    assert!(ran.err().contains("mine.sql.gz.json exists and is not replaced"), "{}", ran.err());
    assert!(!ran.err().contains("dumping"), "{}", ran.err());
    assert_eq!(std::fs::read_to_string(stage.path("mine.sql.gz.json")).unwrap(), "precious");
    assert!(!stage.path("mine.sql.gz").exists());
}

#[test]
fn a_dump_that_fails_leaves_nothing() {
    let stage = acme();
    stage.engine.install(
        "acme-dev-db-1",
        "pg_dump",
        failing_pg_dump("query failed: ERROR:  permission denied for table users"),
    );
    let ran = stage.run(["backup"]);
    left_nothing(&stage, &ran, 7);
    ran.is(str![[r#"
exit 7
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)
! dumping acme
! error: pg_dump in container acme-dev-db-1 failed (exit code 1): pg_dump: error: query failed: ERROR:  permission denied for table users
! note: the role may not read everything
! hint: name another one in envctl.toml: `[database] user`

"#]]);
}

#[test]
fn a_dump_without_its_end_leaves_nothing() {
    let stage = acme();
    stage.engine.install("acme-dev-db-1", "pg_dump", pg_dump(&DUMP[..DUMP.len() - 60]));
    let ran = stage.run(["backup"]);
    left_nothing(&stage, &ran, 8);
    ran.is(str![[r#"
exit 8
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)
! dumping acme
! error: pg_dump ended with exit code 0, but its output is incomplete: it ends inside the COPY of public.users
! note: nothing was kept
! hint: run it again with `-v`

"#]]);
}

#[test]
fn an_image_without_sh_or_pg_dump_says_so() {
    for missing in ["sh", "pg_dump"] {
        let stage = Stage::with([db("acme-dev").without(missing)]);
        stage.engine.install("*", "psql", Server::new().psql());
        stage.engine.install("*", "pg_dump", pg_dump(DUMP));
        let ran = stage.run(["backup"]);
        left_nothing(&stage, &ran, 7);
        assert!(
            ran.err().contains("pg_dump") && ran.err().contains("acme-dev-db-1"),
            "{missing}: {}",
            ran.err()
        );
        assert!(ran.err().contains("\nhint: "), "{missing}: {}", ran.err());
    }
}

#[test]
fn a_stream_that_is_cut_leaves_nothing() {
    let stage = acme();
    stage.engine.behave(Manner::CuttingStreams);
    let ran = stage.run(["backup"]);
    assert_eq!(ran.code, Some(7), "{}", ran.err());
    // The end of a connection arrives as such, or as a reset where something was still on its way there.
    let told = ["the stream from Docker is damaged", "the stream from Docker broke off"];
    assert!(told.iter().any(|words| ran.err().contains(words)), "{}", ran.err());
    assert_eq!(files(&stage), Vec::<PathBuf>::new());
}

#[test]
fn a_lock_that_is_held_is_busy_and_names_its_holder() {
    let stage = acme();
    let server = Server::new()
        .answer("pg_try_advisory_lock", "f\n")
        .answer("pg_locks", "envctl restore,77,ada,12,idle,\n");
    stage.engine.install("acme-dev-db-1", "psql", server.psql());
    let ran = stage.run(["backup", "--lock-timeout", "0s"]);
    left_nothing(&stage, &ran, 5);
    ran.is(str![[r#"
exit 5
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)
! error: another envctl works on this database: envctl restore (pid 77, role ada, for 12 s)
! hint: wait longer with `--lock-timeout 5m`, or try again later
! hint: end its session if that envctl is gone: `envctl psql -c 'select pg_terminate_backend(77)' --dev`

"#]]);
}

#[test]
fn a_dry_run_makes_nothing() {
    let stage = acme();
    let ran = stage.run(["backup", "--dry-run", "-o", "here.sql.gz"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(!stage.path("here.sql.gz").exists());
    assert!(ran.err().contains("would back up acme to "), "{}", ran.err());
}

#[test]
fn without_any_backup_the_list_is_empty_and_latest_an_error() {
    let stage = acme();
    stage.run(["backup", "list"]).is(str![[r#"
exit 0
! no backups in [DIR]/.local/share/envctl/backups/acme/dev yet; make one: `envctl backup --dev`

"#]]);
    stage.run(["backup", "list", "--json"]).is(str![[r#"
exit 0
{"schema":1,"directory":"[DIR]/.local/share/envctl/backups/acme/dev","backups":[]}
! no backups in [DIR]/.local/share/envctl/backups/acme/dev yet; make one: `envctl backup --dev`

"#]]);
    stage.run(["backup", "show"]).is(str![[r#"
exit 3
! error: there are no backups in [DIR]/.local/share/envctl/backups/acme/dev
! hint: list all of them: `envctl backup list --dev`
! hint: make one: `envctl backup --dev`

"#]]);
}

#[test]
fn a_backup_directory_that_cannot_be_read_is_an_error_with_its_path_and_not_an_empty_one() {
    let stage = acme();
    // Root reads every directory, and nobody lists a file.
    stage.write(".local/share/envctl/backups/acme/dev", "not a directory");
    for args in [
        &["backup", "list"][..],
        &["backup", "list", "--json"],
        &["backup", "show"],
        &["backup", "show", "latest"],
        &["restore", "latest", "--yes"],
        &["doctor"],
    ] {
        let ran = stage.run(args);
        let said = format!("{}{}", ran.out(), ran.err());
        assert!(ran.code != Some(0), "{args:?}: {said}");
        assert!(said.contains("cannot read ") && said.contains("backups/acme/dev"), "{args:?}: {said}");
        for untrue in ["no backups in", "there are no backups", "there is no backup"] {
            assert!(!said.contains(untrue), "{args:?}: {said}");
        }
    }
}

#[test]
fn a_missing_directory_of_an_output_file_is_named_and_not_made() {
    let stage = acme();
    let ran = stage.run(["backup", "-o", "typo/deep/x.sql.gz"]);
    left_nothing(&stage, &ran, 2);
    assert!(ran.err().contains("typo/deep"), "{}", ran.err());
    assert!(!stage.path("typo").exists());
}

#[test]
fn the_list_shows_what_is_proven_and_what_is_not() {
    let stage = acme();
    assert_eq!(stage.run(["backup"]).code, Some(0));
    stage.write(".local/share/envctl/backups/acme/dev/backup_20200101_000000.sql.gz", "not mine");
    let ran = stage.run(["backup", "list"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let out = ran.out();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.out());
    assert!(lines[1].contains("acme") && lines[1].contains("complete"), "{}", ran.out());
    assert!(
        lines[2].starts_with("backup_20200101_000000") && lines[2].contains("no manifest"),
        "{}",
        ran.out()
    );
}

#[test]
fn a_compression_nobody_knows() {
    acme().run(["backup", "--compress", "rar"]).is(str![[r#"
exit 2
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)
! error: unknown compression `rar`
! hint: use `gzip`, `zstd` or `none`, with `:LEVEL` where wanted

"#]]);
    acme().run(["backup", "--schema-only", "--data-only"]).is(str![[r#"
exit 2
! error: the argument '--schema-only' cannot be used with '--data-only'
!
! Usage: envctl backup --schema-only
!
! For more information, try '--help'.

"#]]);
}

#[test]
fn the_backups_of_a_stack_are_listed_without_docker() {
    let stage = acme();
    assert_eq!(stage.run(["backup"]).code, Some(0));
    let ran = stage
        .envctl(["backup", "list", "-s", "acme", "--dev"])
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .run();
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!(ran.out().lines().count(), 2, "{}", ran.out());
}

//! `_sqlx_migrations` against sqlx itself (`tests/sqlx`): each goes on where the other has stopped, neither takes what the
//! other wrote for an edit, and both refuse the same one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::migrations::foreign_on;
use crate::support::Project;
use crate::support::project::ENVCTL;
use crate::support::rig::{CANARY, Wanted, docker};

fn folder(project: &Project) -> PathBuf {
    project.path().join("db/migrations")
}

/// Program of `tests/sqlx`, built here: sqlx takes a minute to build, and no other test needs it.
static SQLX: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(ENVCTL).parent().unwrap().join("sqlx");
    let built = Command::new("cargo")
        .current_dir(root)
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg("tests/sqlx/Cargo.toml")
        .arg("--target-dir")
        .arg(&target)
        .status();
    assert!(built.unwrap().success(), "tests/sqlx does not build");
    target.join("debug/sqlx-migrate")
});

/// Runs `sqlx migrate run`; fails with its stderr.
fn by_sqlx(project: &Project) -> Result<(), String> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker(&["inspect", "--format", format, &project.server.container]);
    let output = Command::new(&*SQLX)
        .arg(folder(project))
        .envs([("PGHOST", &*address), ("PGUSER", "postgres"), ("PGPASSWORD", CANARY)])
        .env("PGDATABASE", &project.database)
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn add(project: &Project, name: &str, sql: &str) {
    fs::write(folder(project).join(name), sql).unwrap();
}

const ROWS: &str =
    "select version, description, success, encode(checksum, 'hex') from _sqlx_migrations order by 1";

#[test]
fn sqlx_and_the_runner_go_on_with_each_others_history() {
    let files = [("1_first_one.up.sql", "create table a ();"), ("1_first_one.down.sql", "drop table a;")];
    // sqlx comes over the network, which the others do without.
    let server = Wanted::postgres(15, "sqlx").start().ready();
    docker(&["network", "disconnect", "none", &server.container]);
    docker(&["network", "connect", "bridge", &server.container]);
    let ours = foreign_on(&server, "sqlx_ours", "sqlx", &files);
    ours.run(&["migrate"]).code(0).says("1 migration applied");
    by_sqlx(&ours).expect("sqlx finds nothing to do");
    let theirs = foreign_on(&server, "sqlx_theirs", "sqlx", &files);
    by_sqlx(&theirs).unwrap();
    theirs.run(&["migrate", "status", "--exit-code"]).code(0).says("1 applied");
    assert_eq!(ours.sql(ROWS), theirs.sql(ROWS));

    for project in [&ours, &theirs] {
        add(project, "2_second.sql", "create table b (id int);\r\ninsert into b values (1);\r\n");
        add(project, "3_index.sql", "-- no-transaction\ncreate index concurrently b_id on b (id);");
    }
    by_sqlx(&ours).unwrap();
    ours.run(&["migrate", "status", "--exit-code"]).code(0).says("3 applied");
    theirs.run(&["migrate"]).code(0).says("2 migrations applied");
    by_sqlx(&theirs).expect("sqlx finds nothing to do");
    assert_eq!(ours.sql(ROWS), theirs.sql(ROWS));

    // An edit is one to both.
    add(&ours, "2_second.sql", "create table c ();");
    assert_eq!(by_sqlx(&ours).unwrap_err().trim(), "Error: VersionMismatch(2)");
    ours.run(&["migrate"]).code(6).says("2_second was edited after it was applied");
}

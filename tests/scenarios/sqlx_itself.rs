//! `_sqlx_migrations` against sqlx itself, from its crate: each goes on where the other has stopped, neither takes what the
//! other wrote for an edit, and both refuse the same one.

use std::fs;
use std::path::PathBuf;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::migrations::foreign_on;
use crate::support::Project;
use crate::support::rig::{CANARY, Wanted, docker};

fn folder(project: &Project) -> PathBuf {
    project.path().join("db/migrations")
}

/// What `sqlx migrate run` does.
fn by_sqlx(project: &Project) -> Result<(), MigrateError> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker(&["inspect", "--format", format, &project.server.container]);
    let options = PgConnectOptions::new()
        .host(&address)
        .username("postgres")
        .password(CANARY)
        .database(&project.database);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let done = Migrator::new(folder(project).as_path()).await.unwrap().run(&pool).await;
        pool.close().await;
        done
    })
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
    assert!(matches!(by_sqlx(&ours), Err(MigrateError::VersionMismatch(2))));
    ours.run(&["migrate"]).code(6).says("2_second was edited after it was applied");
}

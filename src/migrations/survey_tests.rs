//! Tests of the migrations found in projects as people have them, and of the message instead of "none".

use std::fs;

use crate::error::{Error, ErrorKind};
use crate::migrations::driver::{DriverChoice, choose};
use crate::migrations::driver_inputs::DriverInputs;
use crate::migrations::layout::Layout;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

#[track_caller]
fn finds(files: &[(&str, &str)], layout: Layout, folder: &str) {
    let dir = project(files);
    let evidence = DriverInputs { driver: "auto", project: Some(dir.path()), ..DriverInputs::default() };
    assert_eq!(
        choose(&evidence).unwrap(),
        DriverChoice::Sql { layout, folder: dir.path().join(folder) },
        "{files:?}"
    );
}

fn error(files: &[(&str, &str)]) -> Error {
    let dir = project(files);
    choose(&DriverInputs { driver: "auto", project: Some(dir.path()), ..DriverInputs::default() })
        .unwrap_err()
}

/// Refused in the tool's name, with its file and what to type.
#[track_caller]
fn theirs(files: &[(&str, &str)], tool: &str, file: &str, hint: &str) {
    let error = error(files);
    assert_eq!(error.kind(), ErrorKind::Refused, "{files:?}: {error}");
    assert!(error.message().contains(&format!("are of {tool} ({file}")), "{error}");
    assert!([error.notes(), error.hints()].concat().join("\n").contains(hint), "{:?}", error.hints());
}

const UP_DOWN: &str = "-- +goose Up\nselect 1;\n-- +goose Down\nselect 2;\n";

#[test]
fn a_stray_file_beside_another_tools_folders_is_not_run() {
    theirs(
        &[
            ("migrations/2017-01-01-000000_users/up.sql", "create table users ();"),
            ("migrations/2017-01-01-000000_users/down.sql", "drop table users;"),
            ("migrations/data_2020_fix.sql", "update users set a = 1;"),
        ],
        "Diesel",
        "migrations/2017-01-01-000000_users/up.sql",
        "preset = \"diesel\"",
    );
    theirs(
        &[
            ("src/main/resources/db/migration/V1__a.sql", ""),
            ("src/main/resources/db/migration/V10__b.sql", ""),
        ],
        "Flyway",
        "src/main/resources/db/migration/V10__b.sql",
        "preset = \"flyway\"",
    );
    theirs(
        &[
            ("migrations/afterReset.sql", "select 1;"),
            ("migrations/committed/000001.sql", "--! Previous: -\nselect 1;"),
        ],
        "Graphile Migrate",
        "migrations/committed",
        "graphile-migrate",
    );
    theirs(
        &[
            ("supabase/config.toml", "project_id=\"x\""),
            ("supabase/migrations/20240101000000_users.sql", "create table users(id int);"),
        ],
        "Supabase",
        "supabase/migrations/20240101000000_users.sql",
        "layout = \"flat\"",
    );
    theirs(
        &[
            ("migrations/default/1700000000000_init/up.sql", "create table users(id int);"),
            ("migrations/default/1700000000000_init/down.sql", "drop table users;"),
        ],
        "Hasura",
        "migrations/default/1700000000000_init/up.sql",
        "hasura",
    );
    // Prisma passes over files beside its folders, and so does envctl.
    finds(
        &[("prisma/migrations/1_a/migration.sql", ""), ("prisma/migrations/0_stray.sql", "")],
        Layout::Prisma,
        "prisma/migrations",
    );
}

#[test]
fn a_file_called_migration_sql_in_some_folder_makes_no_prisma_of_the_project() {
    let dbmate = ("db/migrations/1_a.sql", "-- migrate:up\n");
    finds(&[("scripts/migration.sql", "select 1;"), dbmate], Layout::Dbmate, "db/migrations");
    // A directory of that name is no migration, wherever it lies.
    finds(&[("migration.sql/a.txt", ""), dbmate], Layout::Dbmate, "db/migrations");
    finds(&[("1_a/migration.sql/a.txt", ""), dbmate], Layout::Dbmate, "db/migrations");
    // Prisma's folders may have names without a number where the folder around them is called so.
    finds(&[("prisma/migrations/baseline/migration.sql", "")], Layout::Prisma, "prisma/migrations");
    finds(&[("db/20240101000000_init/migration.sql", "")], Layout::Prisma, "db");
}

#[test]
fn migrations_that_lie_there_are_named_with_what_to_type() {
    theirs(&[("migrations/00001_a.sql", UP_DOWN)], "Goose", "migrations/00001_a.sql", "preset = \"goose\"");
    theirs(
        &[("internal/assets/00001_a.sql", UP_DOWN)],
        "Goose",
        "internal/assets/00001_a.sql",
        "preset = \"goose\"",
    );
    theirs(
        &[(
            "migrations/20240101-users.sql",
            "-- +migrate Up\ncreate table u ();\n-- +migrate Down\ndrop table u;\n",
        )],
        "sql-migrate",
        "migrations/20240101-users.sql",
        "apply = [\"sql-migrate\", \"up\"]",
    );
    theirs(
        &[(
            "migrations/1700000000000_users.sql",
            "-- Up Migration\ncreate table u ();\n-- Down Migration\ndrop table u;\n",
        )],
        "node-pg-migrate",
        "migrations/1700000000000_users.sql",
        "node-pg-migrate",
    );
    theirs(
        &[
            ("drizzle.config.ts", "export default {dialect:\"postgresql\"}"),
            ("drizzle/0000_a.sql", "create table users ();"),
            ("drizzle/meta/_journal.json", "{}"),
        ],
        "Drizzle",
        "drizzle.config.ts, drizzle/meta/_journal.json",
        "preset = \"drizzle\"",
    );
    theirs(
        &[("shop/migrations/0001_initial.py", "")],
        "Django",
        "shop/migrations/0001_initial.py",
        "preset = \"django\"",
    );
    theirs(
        &[("db/migrate/20240101000000_a.rb", "")],
        "Rails",
        "db/migrate/20240101000000_a.rb",
        "preset = \"rails\"",
    );
    theirs(&[("alembic.ini", "[alembic]")], "Alembic", "alembic.ini", "preset = \"alembic\"");
    let numbered = error(&[("sql/0001_a.sql", "select 1;"), ("seeds/0001_a.sql", "")]);
    assert!(numbered.hints()[0].contains("dir = \"sql\""), "{:?}", numbered.hints());
}

#[test]
fn folders_for_other_databases_do_not_count_and_are_named_where_they_are_all_there_is() {
    let clickhouse = ("db/clickhouse/migrations/01_init.sql", "create table t () engine = MergeTree;");
    finds(
        &[
            clickhouse,
            ("prisma/schema.prisma", "provider = \"postgresql\""),
            ("prisma/migrations/1_a/migration.sql", ""),
        ],
        Layout::Prisma,
        "prisma/migrations",
    );
    finds(
        &[
            ("migrations/mysql/0001_a.sql", ""),
            ("migrations/postgres/0001_a.sql", ""),
            ("migrations/sqlite3/0001_a.sql", ""),
        ],
        Layout::Flat,
        "migrations/postgres",
    );
    finds(
        &[("go.mod", "module x"), ("migrations/mysql/1_a.up.sql", ""), ("migrations/pg/1_a.up.sql", "")],
        Layout::GolangMigrate,
        "migrations/pg",
    );
    let mysql = ("legacy/prisma/migrations/migration_lock.toml", "provider = \"mysql\"\n");
    finds(
        &[mysql, ("legacy/prisma/migrations/1_a/migration.sql", ""), ("db/migrations/0001_a.sql", "")],
        Layout::Flat,
        "db/migrations",
    );
    let only = error(&[clickhouse]);
    assert!(only.message().contains("db/clickhouse/migrations are for another database"), "{only}");
}

#[test]
fn a_tools_own_files_beat_files_that_only_end_in_sql() {
    finds(
        &[("db/migrations/1_a.sql", "-- migrate:up\n"), ("old/migrations/0001_a.sql", "")],
        Layout::Dbmate,
        "db/migrations",
    );
    finds(
        &[("api/Cargo.toml", "sqlx = \"0.8\""), ("api/migrations/1_a.sql", "")],
        Layout::Sqlx,
        "api/migrations",
    );
    theirs(
        &[("diesel.toml", ""), ("migrations/0001_a.sql", "select 1;")],
        "Diesel",
        "diesel.toml",
        "name the folder of another layout: `[migrations] dir = \"migrations\"`",
    );
    // Of another database's, and of tests.
    finds(
        &[("drizzle.config.ts", "dialect: \"sqlite\""), ("migrations/0001_a.sql", "")],
        Layout::Flat,
        "migrations",
    );
    finds(
        &[("tests/fixtures/migrations/0001_a.sql", ""), ("migrations/0001_a.sql", "")],
        Layout::Flat,
        "migrations",
    );
    finds(
        &[("migrations/0001_a.sql", ""), ("queries/current.sql", "-- depends: x\nselect 1;")],
        Layout::Flat,
        "migrations",
    );
}

#[test]
fn a_layout_that_is_asked_for_takes_what_can_be_read_so() {
    let supabase =
        [("supabase/config.toml", "project_id=\"x\""), ("supabase/migrations/20240101000000_users.sql", "")];
    let dir = project(&supabase);
    let evidence = DriverInputs {
        driver: "auto",
        project: Some(dir.path()),
        layout: Some("flat"),
        ..DriverInputs::default()
    };
    let folder = dir.path().join("supabase/migrations");
    assert_eq!(choose(&evidence).unwrap(), DriverChoice::Sql { layout: Layout::Flat, folder });
    let goose = project(&[("migrations/00001_a.sql", UP_DOWN)]);
    let asked = DriverInputs { project: Some(goose.path()), ..evidence };
    assert!(choose(&asked).unwrap_err().message().contains("are of Goose"));
    let named = DriverInputs { dir: Some("migrations"), layout: None, ..asked };
    assert!(choose(&named).unwrap_err().message().contains("are of Goose"));
}

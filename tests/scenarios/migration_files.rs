//! Which files are migrations, whose they are, and which are refused before anything is applied (X11, X12, Z1, Z2, Z6,
//! Z8, Z9, W16, W21, Y7). Each input is a small copy of a public report's.

use std::fs;
use std::path::Path;

use crate::support::rig::Wanted;
use crate::support::run::Running;
use crate::support::{Project, Server};

/// Names and texts of files.
type Files<'a> = &'a [(&'a str, &'a str)];
/// Files, and what is said about them.
type Case<'a> = (Files<'a>, &'a [&'a str]);

/// Writes files below a directory.
fn write(root: &Path, files: Files<'_>) {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Tables, views and history tables of a database's schema `public`.
fn relations(project: &Project) -> String {
    project.sql("select coalesce(string_agg(relname, ' ' order by relname), '') from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')")
}

/// Tries each set of files in a project of its own over one empty database: `migrate` and its dry run exit with `code`,
/// say the words, and change nothing.
#[track_caller]
fn refused(name: &str, code: i32, cases: &[Case<'_>]) {
    let database = Server::shared(15).database(name);
    for (files, words) in cases {
        let project = Project::of(Server::shared(15), &database);
        let toml = project.path().join("envctl.toml");
        let stack = fs::read_to_string(&toml).unwrap();
        write(project.path(), files);
        let own = fs::read_to_string(&toml).unwrap();
        if own != stack {
            fs::write(&toml, stack + &own).unwrap();
        }
        for args in [&["migrate"][..], &["migrate", "--dry-run"]] {
            let mut ran = project.run(args).code(code);
            for word in *words {
                ran = ran.says(word);
            }
        }
        assert_eq!(relations(&project), "", "{files:?}");
    }
}

#[test]
fn what_only_psql_understands_and_an_open_transaction_are_found_in_the_plan() {
    refused(
        "files_psql",
        6,
        &[
            (
                &[
                    ("db/migrations/1_first.sql", "-- migrate:up\ncreate table first ();\n"),
                    (
                        "db/migrations/2_dump.sql",
                        "-- migrate:up\n--\n-- PostgreSQL database dump\n--\n\n\\restrict IBbt5mEM90w\n\nSET lock_timeout = 0;\n",
                    ),
                ],
                &["db/migrations/2_dump.sql:6: `\\restrict` is a command of psql", "remove the lines"],
            ),
            (
                &[("migrations/001_meta.sql", "\\set x 1\nCREATE TABLE b (x int);\n\\i other.sql\n")],
                &["migrations/001_meta.sql:1: `\\set` is a command of psql", "envctl psql -f FILE"],
            ),
            (
                &[
                    (
                        "prisma/migrations/20240101000000_open/migration.sql",
                        "BEGIN;\nCREATE TABLE half (a int);\n",
                    ),
                    ("prisma/migrations/20240102000000_n/migration.sql", "CREATE TABLE full_ (a int);\n"),
                ],
                &["20240101000000_open/migration.sql:1: `BEGIN` begins a transaction", "COMMIT;"],
            ),
        ],
    );
}

#[test]
fn a_dbmate_file_of_which_a_part_would_be_left_out_is_refused() {
    refused(
        "files_sections",
        6,
        &[
            (
                &[(
                    "db/migrations/20240101000000_two.sql",
                    "-- migrate:up\nCREATE TABLE t1 (a text);\n-- migrate:down\nDROP TABLE t1;\n-- migrate:up\nCREATE TABLE t2 (b text);\n-- migrate:down\nDROP TABLE t2;\n",
                )],
                &["20240101000000_two.sql:5: a second `-- migrate:up`"],
            ),
            (
                &[(
                    "db/migrations/1_a.sql",
                    "CREATE TYPE e AS ENUM ('A');\n-- migrate:up\nCREATE TABLE t (a e);\n",
                )],
                &["1_a.sql:1: a statement before `-- migrate:up`"],
            ),
            (
                &[(
                    "db/migrations/1_a.sql",
                    "-- migrate:up\nCREATE TABLE t (a int);\n-- migrate: down\nDROP TABLE t;\n",
                )],
                &["1_a.sql:3: `-- migrate: down` is not a marker of dbmate"],
            ),
        ],
    );
    let lines = Project::new(Server::shared(15), "files_lines");
    let file = "db/migrations/1_a.sql";
    write(
        lines.path(),
        &[(
            file,
            "-- by Ann\n-- migrate:up\ncreate table a ();\n-- migrate:up\ncreate table b ();\n-- migrate:down\ndrop table a;\n",
        )],
    );
    lines.run(&["migrate"]).code(0).says("1 migration applied");
    assert_eq!(relations(&lines), "a b schema_migrations");
}

#[test]
fn the_way_back_is_never_run_as_the_way_forward() {
    refused(
        "files_back",
        6,
        &[
            (
                &[(
                    "migrations/00001_a.sql",
                    "-- +goose Up\nCREATE TABLE users(id int);\n-- +goose Down\nDROP TABLE users;\n",
                )],
                &["are of Goose (migrations/00001_a.sql)", "preset = \"goose\""],
            ),
            (
                &[(
                    "migrations/20240101000000-users.sql",
                    "-- +migrate Up\nCREATE TABLE users (id serial PRIMARY KEY);\n-- +migrate Down\nDROP TABLE users;\n",
                )],
                &["are of sql-migrate", "apply = [\"sql-migrate\", \"up\"]"],
            ),
            (
                &[(
                    "migrations/1700000000000_create-users.sql",
                    "-- Up Migration\nCREATE TABLE users (id serial PRIMARY KEY);\n-- Down Migration\nDROP TABLE users;\n",
                )],
                &["are of node-pg-migrate"],
            ),
            (
                &[
                    ("migrations/V1__users.sql", "CREATE TABLE users (id serial PRIMARY KEY);\n"),
                    ("migrations/U1__users.sql", "DROP TABLE IF EXISTS users;\n"),
                    ("migrations/R__view.sql", "CREATE OR REPLACE VIEW v AS SELECT 1;\n"),
                ],
                &["are of Flyway", "preset = \"flyway\""],
            ),
            (
                &[
                    (
                        "migrations/20240101000000_users_up.sql",
                        "CREATE TABLE users (id serial PRIMARY KEY);\n",
                    ),
                    ("migrations/20240101000000_users_down.sql", "DROP TABLE IF EXISTS users;\n"),
                ],
                &["20240101000000_users_down.sql is a down migration by its name"],
            ),
            (
                &[("migrations/0001_a.sql", "CREATE TABLE a ();\n-- ROLLBACK\nDROP TABLE a;\n")],
                &["0001_a.sql:2: the statements after `-- ROLLBACK` would run too"],
            ),
            (
                // Also where the layout is said.
                &[
                    ("envctl.toml", "[migrations]\nlayout = \"flat\"\ndir = \"sql\"\n"),
                    (
                        "sql/001_t.sql",
                        "create table t ();\n---- create above / drop below ----\ndrop table t;\n",
                    ),
                ],
                &["001_t.sql:2: `---- create above / drop below ----` is a marker of tern"],
            ),
        ],
    );
}

#[test]
fn an_order_that_cannot_be_told_is_refused_by_name() {
    refused(
        "files_order",
        6,
        &[
            (
                &[
                    ("migrations/1_t.sql", "CREATE TABLE t1(x int);"),
                    ("migrations/2_t.sql", "CREATE TABLE t2(x int);"),
                    ("migrations/10_t.sql", "CREATE TABLE t10(x int);"),
                ],
                &["the order of 1_t.sql and 10_t.sql cannot be told", "mv 1_t.sql 01_t.sql"],
            ),
            (
                &[
                    ("migrations/V1__t.sql", "CREATE TABLE t1(x int);"),
                    ("migrations/V2__t.sql", "CREATE TABLE t2(x int);"),
                    ("migrations/V10__t.sql", "CREATE TABLE t10(x int);"),
                ],
                &["are of Flyway"],
            ),
            (
                &[("migrations/00010-b.sql", "select 1;"), ("migrations/0002-a.sql", "select 1;")],
                &["the order of 00010-b.sql and 0002-a.sql cannot be told"],
            ),
        ],
    );
}

#[test]
fn another_tools_migrations_are_named_and_not_run() {
    refused(
        "files_theirs",
        6,
        &[
            (
                &[
                    ("migrations/2017-01-01-000000_users/up.sql", "create table users ();"),
                    ("migrations/2017-01-01-000000_users/down.sql", "drop table users;"),
                    ("migrations/data_2020_fix.sql", "create table stray ();"),
                ],
                &["are of Diesel", "preset = \"diesel\""],
            ),
            (
                &[
                    ("migrations/afterReset.sql", "create table hook ();"),
                    ("migrations/current.sql", "create table draft ();"),
                    ("migrations/committed/000001.sql", "--! Previous: -\ncreate table c ();"),
                ],
                &["are of Graphile Migrate"],
            ),
            (
                &[
                    ("supabase/config.toml", "project_id=\"x\"\n"),
                    ("supabase/migrations/20240101000000_users.sql", "CREATE TABLE users(id int);\n"),
                ],
                &["are of Supabase", "layout = \"flat\""],
            ),
            (
                &[
                    ("migrations/default/1700000000000_init/up.sql", "CREATE TABLE users(id int);\n"),
                    ("migrations/default/1700000000000_init/down.sql", "DROP TABLE users;\n"),
                ],
                &["are of Hasura"],
            ),
            (
                &[
                    ("drizzle.config.ts", "export default {dialect:\"postgresql\"}\n"),
                    (
                        "drizzle/0000_a.sql",
                        "CREATE TABLE \"users\" (\"id\" serial PRIMARY KEY);\n--> statement-breakpoint\nCREATE INDEX i ON users(id);\n",
                    ),
                    (
                        "drizzle/meta/_journal.json",
                        "{\"version\":\"7\",\"dialect\":\"postgresql\",\"entries\":[]}",
                    ),
                ],
                &["are of Drizzle", "preset = \"drizzle\""],
            ),
        ],
    );
}

#[test]
fn flat_files_of_one_shape_run_in_their_order_and_a_new_one_comes_last() {
    let project = Project::new(Server::shared(15), "files_flat");
    write(
        project.path(),
        &[
            ("db/clickhouse/migrations/01_init.sql", "create table c () engine = MergeTree;"),
            ("migrations/0002_b.sql", "alter table a add y int;"),
            ("migrations/0001_a.sql", "create table a (x int); -- the way down:\n-- drop table a;\n"),
            ("migrations/README.md", "numbers first"),
        ],
    );
    project.run(&["migrate"]).code(0).says("2 migrations applied");
    let made = project.run(&["migrate", "create", "add_z"]).code(0).out();
    assert!(made.trim().ends_with("/migrations/0003_add_z.sql"), "{made}");
    fs::write(project.path().join("migrations/0003_add_z.sql"), "alter table a add z int;").unwrap();
    assert_eq!(project.run(&["migrate"]).code(0).out(), "0003_add_z\n");
    let supabase = Project::new(Server::shared(15), "files_whole");
    write(
        supabase.path(),
        &[
            (
                "envctl.toml",
                &format!("stack = \"{}\"\n[migrations]\nlayout = \"flat\"\n", supabase.server.stack),
            ),
            ("supabase/config.toml", "project_id=\"x\"\n"),
            ("supabase/migrations/20240101000000_users.sql", "CREATE TABLE users(id int);\n"),
        ],
    );
    supabase.run(&["migrate"]).code(0).says("1 migration applied");
}

#[test]
fn the_files_are_those_of_the_directory_that_the_configuration_means() {
    let root = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(root.path()).unwrap();
    let [first, second, other, empty] =
        ["checkout1", "checkout2", "other", "empty"].map(|name| root.join(name));
    fs::create_dir_all(&empty).unwrap();
    let label = format!("--label=com.docker.compose.project.working_dir={}", first.display());
    let server = Wanted::postgres(15, "place").arg(&label).start().ready();
    let stack = server.stack.clone();
    let run = |at: &Path, database: &str, args: &[&str]| {
        let project = Project::of(&server, database);
        let mut command = project.command(args);
        command.current_dir(at);
        Running::start(command, None).finish()
    };
    let tables = |database: &str| relations(&Project::of(&server, database));
    write(
        &first,
        &[
            (
                "envctl.toml",
                "[migrations]\ndriver = \"sql\"\ndir = \"good\"\n[profiles.dev]\nprotected = true\n",
            ),
            ("good/0001_good.sql", "CREATE TABLE good(x int);"),
            ("migrations/0001_bad.sql", "CREATE TABLE bad(x int);"),
        ],
    );
    let toml = format!("stack = \"{stack}\"\n[migrations]\ndir = \"db/migrations\"\nlayout=\"dbmate\"\n");
    write(
        &second,
        &[
            ("envctl.toml", &toml),
            ("compose.yml", "services: {}\n"),
            ("db/migrations/20250101000000_right.sql", "-- migrate:up\nCREATE TABLE right_one (a int);\n"),
        ],
    );
    write(
        &other,
        &[
            ("envctl.toml", "[migrations]\ndriver = \"sql\"\n[database]\nuser = \"nobody_here\"\n"),
            ("migrations/0001_other.sql", "create table other(x int);"),
        ],
    );

    // The checkout that we stand in says which files: the label's folder is named in the plan, and not read.
    let here = server.database("place_here");
    let note = format!(
        "the stack was started from {}, and these files are in {}",
        first.display(),
        second.display()
    );
    let plan = run(&second, &here, &["migrate", "--dry-run"]).code(0);
    assert!(plan.out().contains(&note) || plan.err().contains(&note), "{}{}", plan.out(), plan.err());
    run(&second, &here, &["migrate"]).code(0).says("1 migration applied");
    assert_eq!(tables(&here), "right_one schema_migrations");
    let made = run(&second, &here, &["migrate", "create", "more"]).code(0).out();
    assert!(made.starts_with(&second.join("db/migrations").display().to_string()), "{made}");
    run(&empty, &here, &["migrate", "status", "-C", second.to_str().unwrap()])
        .code(0)
        .says("20250101000000_right|1 applied");

    // Named from another project's directory and from nowhere, the stack has its own project's settings.
    for (name, at) in [("place_other", &other), ("place_empty", &empty)] {
        let database = server.database(name);
        run(at, &database, &["migrate", "-s", &stack]).code(0).says("1 migration applied");
        assert_eq!(tables(&database), "envctl_migrations good", "{name}");
        run(at, &database, &["migrate", "reset", "--yes", "-s", &stack]).code(6).says("protected");
    }
    let theirs = server.database("place_theirs");
    write(&other, &[("envctl.toml", "stack = \"theirs\"\n")]);
    run(&empty, &theirs, &["migrate", "-s", &stack, "-C", other.to_str().unwrap()])
        .code(2)
        .says("is of stack `theirs`")
        .says(&stack);
    assert_eq!(tables(&theirs), "");

    // Of a stack whose directory nothing says, the missing option is named.
    let shared = Server::shared(15);
    let unplaced = Project::of(shared, &shared.database("place_unknown"));
    let mut command = unplaced.command(&["migrate", "-s", &shared.stack]);
    command.current_dir(&other);
    Running::start(command, None)
        .finish()
        .code(2)
        .says("of which nothing says where it was started")
        .says("-C DIR");
}

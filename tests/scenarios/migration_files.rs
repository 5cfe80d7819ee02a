//! Which files are migrations, whose they are, and which are refused before anything is applied (X11, X12, Z1, Z2, Z6,
//! Z8, Z9, W16, W21, Y7). Each input is a small copy of a public report's.

use std::fs;
use std::path::Path;

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
        write(project.path(), files);
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
fn w16_w21_what_only_psql_understands_and_an_open_transaction_are_found_in_the_plan() {
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
fn x12_a_dbmate_file_of_which_a_part_would_be_left_out_is_refused() {
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
                &["1_a.sql:3: `-- migrate: down` is no mark of dbmate"],
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

//! R1 by workers: the fixture is so small that `auto` sends none, and every way of theirs is its own.

use crate::round_trip::{assert_same, contents, dump, properties};
use crate::support::rig::Wanted;
use crate::support::{Finished, Project, Running, Server};

const FIXTURE: &str = include_str!("r1.sql");

/// Asks about the database that plain `pg_dump | psql` makes of one: its own round trip is not the identity either.
pub(crate) fn in_control<T>(server: &Server, database: &str, ask: impl FnOnce(&str) -> T) -> T {
    let control = format!("{database}_control");
    server.sql("postgres", &format!("create database {control} template template0"));
    server.sh(&format!(
        "pg_dump -U postgres -d {database} | psql -XqU postgres -v ON_ERROR_STOP=1 -d {control} >/dev/null"
    ));
    let answer = ask(&control);
    server.sql("postgres", &format!("drop database {control}"));
    answer
}

fn control(server: &Server, database: &str) -> String {
    in_control(server, database, |control| dump(server, control).replace(control, database))
}

fn round_trip(major: u8) {
    let server = Server::shared(major);
    let project = Project::new(server, "w1");
    let database = &project.database;
    server.sql(database, &format!("\\set db {database}\n{FIXTURE}"));
    let (expected_dump, expected_contents) = (control(server, database), contents(server, database));
    let expected_properties = properties(server, database);

    // As a variable, which a person would set for good.
    let by_worker = |args: &[&str]| -> Finished {
        let mut command = project.command(args);
        command.env("ENVCTL_TRANSPORT", "worker");
        Running::start(command, None).finish().code(0)
    };
    for (file, format) in [("w1.sql.gz", "plain"), ("w1.dump", "custom")] {
        by_worker(&["backup", "--format", format, "-o", file]);
        let json = std::fs::read(project.path().join(format!("{file}.json"))).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(manifest["transport"], "worker", "{file}");
        for jobs in ["1", "2"] {
            server
                .sql(database, "drop schema first cascade; drop table typed cascade; truncate bytes, texts");
            let restored = by_worker(&["restore", file, "-j", jobs, "-v", "--yes", "--no-backup"]);
            let what = format!("{file} by {jobs}");
            let said = format!("{}{}", restored.out(), restored.err());
            assert_eq!(said.contains("over 2 sessions"), jobs == "2", "{what}: {said}");
            assert!(!said.contains("ignoring -j") && !said.contains("by exec"), "{what}: {said}");
            assert_same(&dump(server, database), &expected_dump, &format!("the dumps of {what}"));
            assert_same(&contents(server, database), &expected_contents, &format!("the contents of {what}"));
            assert_same(
                &properties(server, database),
                &expected_properties,
                &format!("properties of {what}"),
            );
            project.drop_siblings();
        }
    }
    server.sql("postgres", &format!("drop database {database} with (force)"));
}

#[test]
fn a_database_with_one_of_everything_comes_back_by_workers_as_it_was_15() {
    round_trip(15);
}

#[test]
fn a_database_with_one_of_everything_comes_back_by_workers_as_it_was_17() {
    round_trip(17);
}

#[test]
fn a_database_with_one_of_everything_comes_back_among_all_others() {
    let server = Wanted::postgres(15, "allr1").start().ready();
    server.sql("postgres", "create database r1");
    server.sql("r1", &format!("\\set db r1\n{FIXTURE}"));
    let project = Project::of(&server, "postgres");
    let (expected_dump, expected_contents) = (control(&server, "r1"), contents(&server, "r1"));
    let expected_properties = properties(&server, "r1");
    for transport in ["auto", "worker"] {
        project
            .run(&["backup", "--all-databases", "-o", "all.tar", "--force", "--transport", transport])
            .code(0);
        server.sql("postgres", "drop database r1");
        server.sql("postgres", "drop role \"r1 owner\"; drop role r1_reader");
        project.run(&["restore", "all.tar", "--yes", "--no-backup", "--transport", transport]).code(0);
        assert_same(&dump(&server, "r1"), &expected_dump, &format!("the dumps by {transport}"));
        assert_same(&contents(&server, "r1"), &expected_contents, &format!("the contents by {transport}"));
        assert_same(
            &properties(&server, "r1"),
            &expected_properties,
            &format!("the properties by {transport}"),
        );
        project.drop_siblings();
    }
}

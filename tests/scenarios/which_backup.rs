//! Choice of the backup and of the database: `latest` is of the target itself, and an empty default database is not meant.

use serde_json::Value;

use crate::support::rig::{Server, Wanted};
use crate::support::{Finished, Project, Running};

/// Runs envctl without a database in its surroundings: what is meant is found out.
fn bare(project: &Project, args: &[&str]) -> Finished {
    let mut command = project.bare();
    command.args(args);
    Running::start(command, None).finish()
}

fn holds(server: &Server, database: &str) -> String {
    server.sql(
        database,
        "select string_agg(tablename, ',' order by 1) from pg_tables where schemaname = 'public'",
    )
}

#[test]
fn latest_is_of_this_database_and_what_differs_has_to_be_named() {
    let server = Wanted::postgres(15, "latest").arg("--env=POSTGRES_DB=app").start().ready();
    server.sql("postgres", "create database h1");
    server.sql("app", "create table own (a int); insert into own values (1)");
    server.sql("h1", "create table others (a int)");
    let project = Project::of(&server, "app");
    bare(&project, &["backup"]).code(0);
    let other = bare(&project, &["backup", "-d", "h1", "-q"]).code(0).out();
    let other = other.trim();
    assert!(bare(&project, &["backup", "show"]).code(0).out().contains("database app"));
    let list = bare(&project, &["backup", "list"]).code(0).out();
    assert!(list.contains("h1") && list.contains("app"), "{list}");

    bare(&project, &["restore", "latest", "--yes", "--no-backup"]).code(0);
    assert_eq!(holds(&server, "app"), "own");

    let refused = bare(&project, &["restore", other, "--yes", "--no-backup"]).code(6);
    refused.says("the backup is of database h1, this is app").says(&format!("--confirm {}", server.stack));
    assert_eq!(holds(&server, "app"), "own", "nothing was changed");
    bare(&project, &["restore", other, "--into", "copy", "--yes", "--no-backup"]).code(0);
    assert_eq!(holds(&server, "copy"), "others");
    bare(&project, &["restore", other, "-d", "h1", "--yes", "--no-backup"]).code(0);
    bare(&project, &["restore", other, "--confirm", &server.stack, "--no-backup"]).code(0);
    assert_eq!(holds(&server, "app"), "others", "it was named");

    // Without one of this database none is taken.
    bare(&project, &["restore", "latest", "-d", "postgres", "--yes"])
        .code(3)
        .says("is of database h1, this is postgres");
}

/// The new server after a disaster: its own database is not there yet.
#[test]
fn a_database_that_is_gone_is_made_again_by_the_restore_of_its_backup() {
    for server in Server::each() {
        let project = Project::new(server, "gone");
        project.sql("create table own (a int); insert into own values (1)");
        let made = project.run(&["backup", "-q"]).code(0).out();
        let gone = || server.sql("postgres", &format!("drop database {}", project.database));
        gone();
        let planned = project.run(&["restore", "latest", "--dry-run"]).code(0);
        assert!(planned.out().contains("creates"), "{}", planned.out());
        let line = format!("database {}, PostgreSQL", project.database);
        let said = planned.err().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&line), "the target line names what is restored: {said}");
        for source in ["latest", made.trim()] {
            project.run(&["restore", source, "--yes"]).code(0).says("creates");
            assert_eq!(project.sql("select a from own"), "1", "{source}");
            gone();
        }
        // A name that the backup does not have may be a typing error.
        let wrong = format!("{}_x", project.database);
        project.run(&["restore", "latest", "-d", &wrong, "--yes"]).code(3).says("is of database");
        let plain = project.path().join("plain.sql");
        let text = "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.t (a integer);\n\n--\n-- PostgreSQL database dump complete\n--\n\n";
        std::fs::write(&plain, text).unwrap();
        for source in [made.trim(), "plain.sql"] {
            let refused = project.run(&["restore", source, "-d", &wrong, "--yes"]).code(3);
            let refused = refused.says("does not exist").says(&format!("--into {wrong}"));
            assert!(!refused.err().contains("creates"), "{}", refused.err());
        }
        let named = ["restore", made.trim(), "-d", &wrong, "--into", &project.database, "--yes"];
        project.run(&named).code(0).says("creates");
        assert_eq!(project.sql("select a from own"), "1");
    }
}

/// A typed name says where the data goes, and not that it is of something else.
#[test]
fn into_production_a_backup_of_something_else_goes_only_where_the_command_names_it() {
    let wanted = Wanted { profile: "prod".to_owned(), ..Wanted::postgres(17, "unlike") };
    let server = wanted.start().ready();
    server.sql("postgres", "create database app");
    server.sql("postgres", "create database h1");
    server.sql("app", "create table own (a int)");
    server.sql("h1", "create table others (a int)");
    let project = Project::of(&server, "app");
    let made = bare(&project, &["backup", "-d", "h1", "-q"]).code(0).out();
    let other = made.trim();
    let confirmed = ["restore", other, "-d", "app", "--no-backup", "--confirm", &server.stack];
    let refused = bare(&project, &confirmed).code(6);
    let refused = refused.says("the backup is of database h1, this is app").says("of something else");
    assert_eq!(holds(&server, "app"), "own", "nothing was changed");
    let err = refused.err().split_whitespace().collect::<Vec<_>>().join(" ");
    let printed = err.split('`').find(|part| part.starts_with("envctl restore ")).unwrap();
    assert!(printed.contains("--into app") && printed.contains("--confirm"), "{printed}");
    let words: Vec<&str> = printed.split(' ').skip(1).collect();
    bare(&project, &words).code(0);
    assert_eq!(holds(&server, "app"), "others", "it was named");
    let dry = bare(&project, &[&confirmed[..], &["--dry-run"]].concat()).code(0);
    dry.says("without `--dry-run` this would be refused");
    // The name of the stack is asked for all the same.
    bare(&project, &["restore", other, "-d", "app", "--into", "app", "--no-backup", "--yes"])
        .code(6)
        .says("--confirm");
}

#[test]
fn two_database_services_have_their_own_backups_and_are_asked_each() {
    let of = |service: &str| Wanted { service: service.to_owned(), ..Wanted::postgres(17, "twodb") };
    let (first, second) = (of("first").start().ready(), of("second").start().ready());
    for (server, table) in [(&first, "one"), (&second, "two")] {
        server.sql("postgres", &format!("create table {table} (a int)"));
    }
    let project = Project::of(&first, "postgres");
    let mut files = Vec::new();
    for server in [&first, &second] {
        let made = bare(&project, &["backup", "-q", "--container", &server.container]).code(0).out();
        files.push(made.trim().to_owned());
    }
    assert!(files[0].contains("/first/backup_") && files[1].contains("/second/backup_"), "{files:?}");
    let latest = ["restore", "latest", "--yes", "--no-backup", "--container"];
    bare(&project, &[&latest[..], &[&first.container]].concat()).code(0);
    assert_eq!(holds(&first, "postgres"), "one");
    let other = ["restore", &files[1], "--yes", "--no-backup", "--container", &first.container];
    bare(&project, &other).code(6).says("the backup is of database service second, this is first");
    let list = bare(&project, &["backup", "list", "--dev", "-s", &first.stack]).code(0).out();
    assert!(list.contains("SERVICE") && list.contains("second/backup_"), "{list}");

    let status = bare(&project, &["status", "--json", "-s", &first.stack]).code(0).out();
    let answer: Value = serde_json::from_str(&status).unwrap();
    let row = &answer["stacks"][0];
    let databases = row["databases"].as_array().unwrap();
    assert_eq!(databases.len(), 2, "{status}");
    for (database, file) in databases.iter().zip(&files) {
        assert_eq!((&database["name"], &database["problem"]), (&Value::from("postgres"), &Value::Null));
        assert_eq!(database["last_backup"]["path"], file.as_str());
    }
    assert_eq!(row["database"], Value::Null, "there is no only one");

    // As an older version wrote them: one directory, no service, no MAC.
    for (file, day) in files.iter().zip(["01", "02"]) {
        let old = project.backup_dir().join(format!("backup_202001{day}_000000.sql.gz"));
        std::fs::rename(file, &old).unwrap();
        let text = std::fs::read_to_string(format!("{file}.json")).unwrap();
        let mut manifest: Value = serde_json::from_str(&text).unwrap();
        manifest.as_object_mut().unwrap().remove("mac");
        manifest["source"].as_object_mut().unwrap().remove("service");
        manifest["started"] = format!("2020-01-{day}T00:00:00Z").into();
        std::fs::write(format!("{}.json", old.display()), manifest.to_string()).unwrap();
        std::fs::remove_file(format!("{file}.json")).unwrap();
    }
    let told = bare(&project, &[&latest[..], &[&first.container]].concat()).code(0);
    told.says("backup_20200101_000000").says("not authenticated");
    assert_eq!(holds(&first, "postgres"), "one");
}

#[test]
fn an_empty_default_database_is_not_meant_where_another_one_holds_everything() {
    for major in [15, 17] {
        let server = Wanted::postgres(major, &format!("empty{major}")).start().ready();
        let project = Project::of(&server, "postgres");
        let nothing = bare(&project, &["backup"]).code(0);
        nothing.says("is EMPTY");
        server.sql("postgres", "create database masto; create database spare");
        server.sql("masto", "create table toots (a int); insert into toots values (1)");
        let made = bare(&project, &["backup"]).code(0);
        made.says("masto in").says("the only database that is not empty");
        let status = bare(&project, &["status", "--json", "-s", &server.stack]).code(0).out();
        let answer: Value = serde_json::from_str(&status).unwrap();
        assert_eq!(answer["stacks"][0]["database"]["name"], "masto", "{status}");
        server.sql("masto", "delete from toots");
        bare(&project, &["restore", "latest", "--yes", "--no-backup"]).code(0);
        assert_eq!(server.sql("masto", "select count(*) from toots"), "1");

        server.sql(
            "spare",
            "create schema app; create function app.f() returns int language sql as 'select 1'",
        );
        let several = bare(&project, &["backup"]).code(3);
        several.says("which database is meant? postgres").says("`-d masto`").says("`-d spare`");
        bare(&project, &["backup", "-d", "postgres"]).code(0).says("is EMPTY");

        // A default that a variable names may be new: what writes asks.
        server.sql("postgres", "drop database spare");
    }
    let server = Wanted::postgres(17, "named").arg("--env=POSTGRES_DB=app").start().ready();
    server.sql("postgres", "create database keycloak");
    server.sql("keycloak", "create table realm (a int)");
    let project = Project::of(&server, "app");
    std::fs::create_dir(project.path().join("migrations")).unwrap();
    std::fs::write(project.path().join("migrations/0001_a.sql"), "create table a (b int);\n").unwrap();
    bare(&project, &["migrate", "--dev"]).code(3).says("`-d keycloak`").says("`-d app`");
    bare(&project, &["migrate", "--dev", "-d", "app"]).code(0);
    assert_eq!(holds(&server, "keycloak"), "realm");
    // It is not empty any more, and nothing is asked.
    bare(&project, &["migrate", "--dev"]).code(0);
}

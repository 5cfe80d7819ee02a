//! `envctl psql`: the target line names the database and its version, then psql's own words and exit code.

use snapbox::str;

use crate::container::{db, stack};
use crate::postgres::Server;
use crate::stage::Stage;

fn acme(server: Server) -> Stage {
    let stage = Stage::with(stack("acme-dev"));
    stage.engine.install("acme-dev-db-1", "psql", server.psql());
    stage
}

#[test]
fn one_command() {
    let server = Server::new().answer("count(*)", " users \n-------\n    42\n(1 row)\n\n");
    acme(server).run(["psql", "-c", "select count(*) as users from users"]).is(str![[r#"
exit 0
 users 
-------
    42
(1 row)

! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)

"#]]);
}

#[test]
fn sql_from_a_pipe_or_a_file() {
    let stage = acme(Server::new());
    stage.envctl(["psql"]).stdin("select 'from the pipe'").run().is(str![[r#"
exit 0
psql was asked: select 'from the pipe'
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)

"#]]);
    stage.write("query.sql", "select 'from the file'");
    stage.run(["psql", "-q", "-f", "query.sql"]).is(str![[r#"
exit 0
psql was asked: select 'from the file'

"#]]);
    stage.run(["psql", "-f", "nosuch.sql"]).is(str![[r#"
exit 125
! error (usage): cannot read nosuch.sql: No such file or directory (os error 2)

"#]]);
}

#[test]
fn an_sql_error_is_psqls_own() {
    let server = Server::new().error("from nosuch", "42P01", "relation \"nosuch\" does not exist");
    acme(server).run(["psql", "-c", "select * from nosuch"]).is(str![[r#"
exit 3
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)
! psql:<stdin>:1: ERROR:  relation "nosuch" does not exist

"#]]);
}

#[test]
fn the_variables_of_the_image_say_as_whom() {
    let stage = Stage::with([db("acme-dev").env("POSTGRES_USER=shop").env("POSTGRES_DB=o'shop")]);
    stage.engine.install("*", "psql", Server::new().psql());
    assert_eq!(stage.run(["psql", "-c", "select 1"]).code, Some(0));
    for argv in stage.engine.commands() {
        assert!(argv.contains(&r"--dbname=dbname='o\'shop' user='shop'".to_owned()), "{argv:?}");
    }
}

#[test]
fn a_password_is_sent_only_when_asked_for_and_never_on_a_command_line() {
    let stage = Stage::with([db("acme-dev").env("POSTGRES_PASSWORD=hunter2")]);
    stage.engine.install("*", "psql", |process| {
        if process.variable("PGPASSWORD") == Some("hunter2") {
            return Server::new().psql()(process);
        }
        Server::refusing("connection to server failed: fe_sendauth: no password supplied").psql()(process)
    });
    let ran = stage.run(["psql", "-vv", "-c", "select 1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(!ran.err().contains("hunter2"), "{}", ran.err());
    assert!(stage.engine.commands().iter().flatten().all(|word| !word.contains("hunter2")));
}

#[test]
fn a_password_that_is_wanted_and_unknown() {
    acme(Server::refusing("connection to server failed: fe_sendauth: no password supplied"))
        .run(["psql", "-c", "select 1"])
        .is(str![[r#"
exit 125
! error (tool): PostgreSQL in acme-dev-db-1 wants a password for role postgres
! hint: give it in envctl.toml: `[database] password_file = "…"` or `password_command = ["…"]`

"#]]);
}

#[test]
fn a_database_or_a_role_that_does_not_exist() {
    acme(Server::refusing(
        "connection to server on socket \"/var/run/postgresql/.s.PGSQL.5432\" failed: \
         FATAL:  database \"shop\" does not exist",
    ))
    .run(["psql", "-d", "shop", "-c", "select 1"])
    .is(str![[r#"
exit 125
! error (target): database "shop" does not exist (container acme-dev-db-1, tried "shop")
! hint: name another with `-d NAME`

"#]]);
    acme(Server::refusing(
        "connection to server on socket \"/var/run/postgresql/.s.PGSQL.5432\" failed: \
         FATAL:  role \"postgres\" does not exist",
    ))
    .run(["psql", "-c", "select 1"])
    .is(str![[r#"
exit 125
! error (tool): role "postgres" does not exist (container acme-dev-db-1)
! hint: name the role in envctl.toml: `[database] user = "…"`

"#]]);
}

#[test]
fn an_image_without_psql() {
    let stage = Stage::with([db("acme-dev").without("psql")]);
    stage.run(["psql", "-c", "select 1"]).is(str![[r#"
exit 125
! error (tool): container acme-dev-db-1 has no psql
! hint: name the database: `--container NAME`, or `[profiles.NAME] db = "…"` in envctl.toml

"#]]);
    stage.run(["psql", "--json", "-c", "select 1"]).is(str![[r#"
exit 125
{"schema":1,"error":{"code":"tool","message":"container acme-dev-db-1 has no psql","hint":"name the database: `--container NAME`, or `[profiles.NAME] db = \"…\"` in envctl.toml"}}

"#]]);
}

#[test]
fn a_replica_that_does_not_answer_is_passed_over_and_told() {
    let second = db("acme-dev").named("acme-dev-db-2").label("com.docker.compose.container-number", "2");
    let stage = Stage::with([db("acme-dev"), second]);
    stage.engine.install("acme-dev-db-1", "psql", |process| {
        process.err("psql: error: connection to server on socket failed: No such file or directory\n");
        2
    });
    stage.engine.install("acme-dev-db-2", "psql", Server::new().psql());
    let ran = stage.run(["psql", "-c", "select 1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    for words in ["db acme-dev-db-2", "a replica of the database was passed over: container acme-dev-db-1"] {
        assert!(ran.err().contains(words), "{}", ran.err());
    }
}

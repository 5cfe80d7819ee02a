//! Several containers of one database service: the one that takes writes is meant, whatever its number.

use snapbox::str;

use crate::container::{Container, db};
use crate::dumps::{DUMP, pg_dump};
use crate::postgres::Server;
use crate::stage::{Ran, Stage};

/// Replica `number` of the service.
fn replica(number: usize) -> Container {
    db("acme-dev")
        .named(&format!("acme-dev-db-{number}"))
        .label("com.docker.compose.container-number", &number.to_string())
}

/// One replica for each word: `standby` or `primary`.
fn cluster(words: &[&str]) -> Stage {
    let stage = Stage::with((1..=words.len()).map(replica));
    for (at, word) in words.iter().enumerate() {
        let standby = if *word == "standby" { "t\n" } else { "f\n" };
        let name = format!("acme-dev-db-{}", at + 1);
        stage.engine.install(
            &name,
            "psql",
            Server::new().answer("select pg_is_in_recovery()", standby).psql(),
        );
        // Each dumps something else.
        stage.engine.install(&name, "pg_dump", pg_dump(&DUMP.replace("ada", &name)));
    }
    stage
}

/// Backs up to stdout.
fn backup(stage: &Stage, more: &[&str]) -> Ran {
    stage.run([&["backup", "-o", "-", "--compress", "none"], more].concat())
}

/// That this replica was dumped.
#[track_caller]
fn dumped(ran: &Ran, name: &str) {
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.out().contains(name), "another one was dumped: {}", ran.out());
    assert!(ran.err().contains(&format!("db {name} ")), "another one was named: {}", ran.err());
}

#[test]
fn the_primary_is_found_behind_standbys() {
    dumped(&backup(&cluster(&["standby", "primary"]), &[]), "acme-dev-db-2");
    dumped(&backup(&cluster(&["standby", "standby", "primary"]), &[]), "acme-dev-db-3");
    dumped(&backup(&cluster(&["primary", "standby"]), &[]), "acme-dev-db-1");
}

#[test]
fn a_number_outweighs_the_question() {
    dumped(&backup(&cluster(&["standby", "primary"]), &["--index", "1"]), "acme-dev-db-1");
    dumped(&backup(&cluster(&["primary", "primary"]), &["--index", "2"]), "acme-dev-db-2");
}

#[test]
fn a_replica_that_does_not_run_is_not_asked() {
    let stage = Stage::with([replica(1).exited(137), replica(2)]);
    stage.engine.install("*", "psql", Server::new().psql());
    stage.engine.install("*", "pg_dump", pg_dump(&DUMP.replace("ada", "acme-dev-db-2")));
    dumped(&backup(&stage, &[]), "acme-dev-db-2");
}

#[test]
fn two_that_take_writes_are_a_question() {
    let stage = cluster(&["primary", "standby", "primary"]);
    backup(&stage, &[]).is(str![[r#"
exit 3
! error: 2 replicas of the database each take writes; which one is meant?
! hint: pick one with `--index N`

"#]]);
    assert!(stage.engine.commands().iter().all(|argv| argv[0] == "psql"), "something was dumped");
}

#[test]
fn none_that_takes_writes_is_told() {
    let stage = cluster(&["standby", "standby"]);
    backup(&stage, &[]).is(str![[r#"
exit 3
! error: no replica of the database takes writes
! hint: pick one with `--index N`

"#]]);
    stage.run(["psql", "-c", "select 1"]).is(str![[r#"
exit 125
! error (target): no replica of the database takes writes
! hint: pick one with `--index N`

"#]]);
}

//! A server that asks even on its loopback: the password lies in the worker's private directory, and nowhere else.

use std::time::Duration;

use rustix::process::Signal;

use crate::place::{MANY, Place};
use crate::support::Server;
use crate::support::rig::{CANARY, Wanted, docker, eventually};
use crate::worker::falls_back;

/// A server that wants a password on its loopback, too. `tail` makes the password awkward.
fn wary(name: &str, tail: &str) -> Server {
    let mut wanted = Wanted::postgres(15, name);
    for arg in &mut wanted.docker_args {
        if arg.starts_with("--env=POSTGRES_PASSWORD=") {
            arg.push_str(tail);
        }
    }
    let server = wanted.start().ready();
    server.sh(
        r#"cd "$PGDATA" && printf 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n' >pg_hba.conf"#,
    );
    server.sql("postgres", "select pg_reload_conf()");
    server
}

/// A worker in its midst holds the password in its private directory and shows it nobody.
#[track_caller]
fn assert_secretive(worker: &str, tool: &str) {
    let shown = docker(&["inspect", worker]);
    assert!(!shown.contains(CANARY), "the password is in the container's configuration:\n{shown}");
    assert!(shown.contains("PGPASSFILE=/envctl/pgpass"), "{shown}");
    let top = docker(&["top", worker, "-eo", "pid,args"]);
    assert!(top.contains(tool) && !top.contains(CANARY), "{top}");
}

#[test]
fn a_password_lies_in_the_workers_room_and_nowhere_else() {
    let server = wary("wary", "");
    let place = Place::with_gate(&server, "wary");
    let held = place.hold_dumps();
    let running = place.start(&["backup", "--transport", "worker", "-o", "b.sql.gz"]);
    assert!(place.wait_for_bytes(1));
    assert_secretive(&place.worker(), "pg_dump");
    drop(held);
    running.finish().code(0);
    place.assert_swept();
    place.project.assert_verified(&place.project.path().join("b.sql.gz"));

    place.run(&["restore", "b.sql.gz", "--yes", "--no-backup", "--transport", "worker"]).code(0);
    place.assert_swept();

    server.sql("postgres", "alter role postgres password 'another'");
    falls_back(&place, "password authentication failed", |args| place.run(args));
}

#[test]
fn a_password_with_colons_and_backslashes_is_known_to_every_kind_of_worker() {
    let server = wary("odd", r":b\c:\\");
    let place = Place::with_gate(&server, "odd");
    place
        .project
        .sql("create table other as select * from item where id % 100 = 0; create index on other (id)");
    let digest = place.project.digest();
    let worker = ["--transport", "worker"];
    let with = |args: &[&str]| place.run(&[args, &worker].concat()).code(0);
    with(&["backup", "-o", "b.sql.gz"]);
    with(&["backup", "--format", "custom", "-o", "b.dump"]);
    with(&["backup", "--format", "directory", "-j", "2", "-o", "b.tar"]);
    place.assert_swept();
    for (file, jobs) in [("b.sql.gz", "1"), ("b.sql.gz", "2"), ("b.dump", "2"), ("b.tar", "2")] {
        place.project.sql("delete from item where id > 10; drop table other");
        let restored = with(&["restore", file, "-j", jobs, "-v", "--yes", "--no-backup"]);
        assert!(!restored.err().contains("one session loads it"), "{file}: {}", restored.err());
        assert_eq!(place.project.digest(), digest, "{file} by {jobs}");
        assert_eq!(place.project.sql("select count(*) from other"), (MANY / 100).to_string());
        place.assert_swept();
        place.project.drop_siblings();
    }

    place.hold_loads();
    let restore = ["restore", "b.dump", "-j", "2", "--yes", "--no-backup"];
    let running = place.start(&[&restore[..], &worker].concat());
    place.wait_for_load();
    running.signal(Signal::STOP);
    // The one that had no password to send has ended, and goes with this one.
    let runs = |worker: &String| docker(&["inspect", "--format", "{{.State.Running}}", worker]) == "true";
    let mut workers = Vec::new();
    eventually(Duration::from_secs(30), "one worker runs", || {
        workers = place.workers().into_iter().filter(runs).collect();
        workers.len() == 1
    });
    assert_secretive(&workers[0], "pg_restore");
    running.signal(Signal::CONT);
    running.signal(Signal::INT);
    running.finish().code(130);
    place.let_loads_go();
    place.project.assert_untouched(&digest);
    place.assert_swept();
}

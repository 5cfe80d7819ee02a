//! Restores that wait in the server for somebody else, and are ended: nothing of theirs runs on.

use std::io::Write as _;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::rig::{Wanted, eventually};
use crate::support::{Project, Server};

/// An end in good time: the limit that was asked for, the longest that cleaning up may take, and a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Conflicts with CREATE DATABASE and DROP DATABASE, and with no new session.
const SHARE: &str = "begin; lock pg_database in share mode";

fn waits(server: &Server, statement: &str) {
    let words = format!("{statement} waiting");
    eventually(Duration::from_secs(20), &words, || !server.processes(&words).is_empty());
}

/// Nobody of envctl's waits, and there is no staging database.
fn nothing_runs_on(server: &Server, database: &str) {
    eventually(Duration::from_secs(10), "no session of envctl is left", || server.sessions("").is_empty());
    assert!(server.siblings(database).is_empty(), "{:?}", server.siblings(database));
}

#[test]
fn a_restore_that_waits_for_a_lock_or_a_standby_ends_when_it_is_told_to() {
    let server = Wanted::postgres(15, "waits").start().ready();
    let project = Project::new(&server, "waits");
    project.fill(100);
    project.run(&["backup", "-o", "w.sql.gz"]).code(0);
    let (database, other) = (&project.database, format!("{}_other", project.database));
    let into = ["restore", "w.sql.gz", "--into", &other, "--yes", "--no-backup"];
    let limited = [&into[..], &["--timeout", "3s"]].concat();

    // CREATE DATABASE waits for a lock; `--timeout` ends it, and Ctrl-C.
    let held = server.session("postgres", SHARE);
    project.start(&limited).finish_within(SOON).code(124).says("not done within 3s");
    let running = project.start(&into);
    waits(&server, "CREATE DATABASE");
    running.signal(Signal::INT);
    running.finish_within(SOON).code(130);
    assert!(server.processes("CREATE DATABASE waiting").is_empty());

    // The same where behind that lock another one waits, which keeps every new session out.
    let running = project.start(&into);
    waits(&server, "CREATE DATABASE");
    let mut shutting = server.psql("postgres").spawn().unwrap();
    let mut stdin = shutting.stdin.take().unwrap();
    stdin.write_all(b"begin; lock pg_database in access exclusive mode;\n").unwrap();
    waits(&server, "LOCK TABLE");
    running.signal(Signal::INT);
    running.finish_within(SOON).code(130);
    assert!(server.processes("CREATE DATABASE waiting").is_empty());
    // Nobody is let in at all.
    project.start(&limited).finish_within(SOON).code(124);
    drop(held);
    let _ = shutting.kill();
    let _ = shutting.wait();
    drop(stdin);
    server.sql("postgres", "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like 'lock pg_database%' and pid <> pg_backend_pid()");
    nothing_runs_on(&server, database);

    // A database that was replaced is dropped, and that waits.
    project.run(&["restore", "w.sql.gz", "--yes", "--no-backup"]).code(0);
    let kept = server.siblings(database);
    let held = server.session("postgres", SHARE);
    let drop_it = ["restore", "previous", "--drop", "all", "--yes", "--timeout", "3s"];
    project.start(&drop_it).finish_within(SOON).code(124);
    assert!(server.processes("DROP DATABASE waiting").is_empty());
    drop(held);
    eventually(Duration::from_secs(10), "the lock is gone", || {
        server.sql(
            "postgres",
            "select count(*) from pg_locks where relation = 'pg_database'::regclass and mode = 'ShareLock'",
        ) == "0"
    });
    assert_eq!(server.siblings(database), kept);
    project.run(&drop_it).code(0);
    nothing_runs_on(&server, database);

    // A standby that has to confirm, and is not there.
    server.sql("postgres", "alter role postgres set synchronous_commit = on");
    server.sql("postgres", "alter system set synchronous_standby_names = 'nobody'");
    server.sql("postgres", "select pg_reload_conf()");
    let running = project.start(&limited);
    running.finish_within(SOON).code(124);
    assert!(server.processes("waiting for").is_empty(), "{:?}", server.processes("waiting for"));
    nothing_runs_on(&server, database);
    server.sql("postgres", "alter system reset synchronous_standby_names");
    server.sql("postgres", "select pg_reload_conf()");
    project.run(&into).code(0);
    assert_eq!(server.sql(&other, "select count(*) from item"), "100");
}

//! Backups in directory format, and archives that pg_restore loads side by side: both need a worker.

use rustix::process::Signal;
use std::time::Duration;

use crate::place::{MANY, Place};
use crate::support::rig::docker;
use crate::support::{Fault, On, Proxy, Server};

const DIRECTORY: [&str; 6] = ["backup", "--format", "directory", "-j", "2", "-o"];

fn dump<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&DIRECTORY[..], &[file], more].concat()
}

#[test]
fn a_directory_is_dumped_by_a_worker_or_not_at_all() {
    let place = Place::new(Server::shared(15), "dir", 500);
    place.run(&dump("b.tar", &[])).code(0);
    assert_eq!(place.manifest("b.tar")["format"], "directory");
    let other = format!("{}_other", place.project.database);
    place.run(&["restore", "b.tar", "--into", &other, "--yes"]).code(0);
    assert_eq!(place.project.server.sql(&other, "select count(*) from item"), "500");
    place.assert_swept();
    let exec = place.run(&dump("c.tar", &["--transport", "exec"])).code(1);
    assert!(exec.err().contains("`--transport exec`") && exec.err().contains("--format custom"));
    let proxy = Proxy::with(On::Request("/containers/create"), Fault::Answer(403, "{\"message\": \"no\"}"));
    place.through(&proxy, &dump("c.tar", &[])).code(1).says("--format custom");
    place.run(&["backup", "-j", "2", "-o", "c.sql.gz"]).code(2).says("--format directory");
    place.run(&dump("-", &[])).code(2).says("-o FILE.tar");
    assert!(!place.project.path().join("c.tar").exists());
    place.project.assert_no_partials(place.project.path());
    place.assert_swept();
}

#[test]
fn a_killed_directory_dump_leaves_nothing_that_the_next_does_not_clean() {
    let place = Place::with_gate(Server::shared(15), "dirkill");
    let held = place.hold_dumps();
    let running = place.start(&dump("b.tar", &[]));
    docker(&["kill", &place.worker()]);
    let finished = running.finish();
    assert!([7, 8].contains(&finished.code), "{}: {}", finished.code, finished.err());
    place.assert_swept();
    let running = place.start(&dump("b.tar", &[]));
    place.worker();
    running.signal(Signal::INT);
    running.finish_within(Duration::from_secs(20)).code(130);
    place.assert_swept();
    let running = place.start(&dump("b.tar", &[]));
    place.worker();
    running.signal(Signal::KILL);
    running.finish().code(137);
    drop(held);
    assert!(!place.project.path().join("b.tar").exists(), "a name without a proof");
    // Whatever is made there next sweeps, not only a directory.
    place.run(&["backup", "-o", "next.sql.gz"]).code(0).says("orphan of");
    place.project.assert_no_partials(place.project.path());
    place.assert_swept();
    place.project.assert_no_sessions();
}

#[test]
fn an_archive_loaded_side_by_side_is_whole_or_not_there() {
    let place = Place::with_gate(Server::shared(15), "pgr");
    place.run(&["backup", "--format", "custom", "-o", "b.dump"]).code(0);
    place.run(&dump("b.tar", &[])).code(0);
    place.project.sql("delete from item where id > 100");
    let digest = place.project.digest();
    for file in ["b.dump", "b.tar"] {
        let args = ["restore", file, "--yes", "--no-backup", "-j", "2"];
        place.hold_loads();
        let running = place.start(&args);
        docker(&["kill", &place.worker()]);
        let finished = running.finish();
        assert!([7, 8].contains(&finished.code), "{}: {}", finished.code, finished.err());
        place.project.assert_untouched(&digest);
        place.assert_swept();
        let running = place.start(&args);
        place.worker();
        running.signal(Signal::KILL);
        running.finish().code(137);
        place.let_loads_go();
        assert_eq!(place.project.digest(), digest);
        // Where no worker can be made, one session does it all the same.
        let proxy =
            Proxy::with(On::Request("/containers/create"), Fault::Answer(403, "{\"message\": \"no\"}"));
        let args = ["restore", file, "--yes", "--no-backup", "-j", "2", "-v"];
        place.through(&proxy, &args).code(0).says("one session loads it");
        assert_eq!(place.project.sql("select count(*) from item"), MANY.to_string());
        place.run(&args).code(0).says("by pg_restore over 2 sessions");
        place.assert_swept();
        assert_eq!(place.project.sql("select count(*) from item"), MANY.to_string());
        place.project.drop_siblings();
        place.project.sql("delete from item where id > 100");
    }
}

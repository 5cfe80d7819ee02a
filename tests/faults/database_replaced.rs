//! The database's container is restarted, or removed and made again under its name, while a worker works beside it.

use std::time::Duration;

use rustix::process::Signal;

use crate::place::{MANY, Place};
use crate::support::rig::{Wanted, docker, eventually};
use crate::support::{Running, Server};
use crate::worker_far::{NEVER, Wire};

/// A server whose data outlives its container, as with Compose: another container holds the volume.
struct Kept {
    wanted: Wanted,
    server: Server,
}

impl Kept {
    fn new(name: &str) -> Self {
        let mut holder = Wanted::postgres(15, name).arg("--volume=/var/lib/postgresql/data");
        holder.docker_args.retain(|arg| !arg.starts_with("--tmpfs"));
        let mut wanted = holder.clone();
        holder.stack.push_str("holder");
        holder.docker_args.push("--entrypoint=sleep".to_owned());
        holder.command = vec!["infinity".to_owned()];
        let holder = holder.start();
        wanted.docker_args.retain(|arg| !arg.starts_with("--volume"));
        let wanted = wanted.arg(&format!("--volumes-from={}", holder.container));
        let server = wanted.clone().start().ready();
        Self { wanted, server }
    }

    fn end(&self, how: How) {
        match how {
            How::Restarted => drop(docker(&["restart", "--time", "0", &self.server.container])),
            How::MadeAgain => {
                docker(&["rm", "--force", &self.server.container]);
                self.wanted.clone().start();
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum How {
    Restarted,
    MadeAgain,
}

/// What runs while it happens.
const WORKS: [&[&str]; 5] = [
    &["backup", "-o", "b.sql.gz"],
    &["backup", "--format", "directory", "-j", "2", "-o", "b.tar"],
    &["restore", "whole.sql.gz", "--yes", "--no-backup"],
    &["restore", "whole.dump", "-j", "2", "--yes", "--no-backup"],
    &["backup", "-o", "far.sql.gz"],
];

fn happens(how: How, words: &str) {
    let kept = Kept::new(&format!("again{}", how as u8));
    let place = Place::with_gate(&kept.server, "again");
    place.run(&["backup", "-o", "whole.sql.gz"]).code(0);
    place.run(&["backup", "--format", "custom", "-o", "whole.dump"]).code(0);
    place.project.sql(&format!("delete from item where id > {}", MANY - 100));
    let digest = place.project.digest();
    let wire = Wire::open(NEVER);
    for work in WORKS {
        let args = [work, &["--transport", "worker"]].concat();
        let far = work.contains(&"far.sql.gz");
        place.hold_loads();
        let held = place.hold_dumps();
        let running = if far { wire.start(&place, &args) } else { place.start(&args) };
        if work[0] == "backup" {
            wait_for_dump(&place)
        } else {
            place.wait_for_load()
        }
        running.signal(Signal::STOP);
        kept.end(how);
        drop(held);
        place.let_loads_go();
        running.signal(Signal::CONT);
        ended(&place, &kept, running, &format!("{how:?} {work:?}"), words);
        assert_eq!(place.project.digest(), digest, "{how:?} {work:?}");
    }
    // And all of it goes as ever afterwards.
    for work in WORKS {
        place.run(&[work, &["--transport", "worker"]].concat()).code(0);
        place.assert_swept();
    }
}

/// Waits until pg_dump has dumped all other rows and waits for those of `waits`.
fn wait_for_dump(place: &Place) {
    let server = &place.project.server;
    let waiting = format!(
        "select count(*) from pg_stat_activity where datname = '{}' and wait_event_type = 'Lock' \
         and query like 'COPY%'",
        place.project.database
    );
    eventually(Duration::from_secs(60), "rows are dumped", || server.sql("postgres", &waiting) != "0");
}

fn ended(place: &Place, kept: &Kept, running: Running, what: &str, words: &str) {
    let finished = running.finish();
    assert!([4, 7, 8].contains(&finished.code), "{what}: {}: {}", finished.code, finished.err());
    let said = finished.err().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(words), "{what}: {said}");
    place.assert_swept();
    let left: Vec<_> =
        std::fs::read_dir(place.project.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    for name in ["b.sql.gz", "b.tar", "far.sql.gz"] {
        assert!(!left.iter().any(|left| left.to_string_lossy().starts_with(name)), "{what}: {left:?}");
    }
    place.project.assert_no_partials(place.project.path());
    kept.server.clone().ready();
    eventually(Duration::from_secs(30), "the server is back", || {
        kept.server.try_sql("postgres", "select 1").is_ok()
    });
    place.project.assert_no_sessions();
}

#[test]
fn a_database_that_restarts_under_a_worker_keeps_what_it_has() {
    happens(How::Restarted, "was restarted meanwhile");
}

#[test]
fn a_database_that_is_made_again_under_a_worker_keeps_what_it_has() {
    happens(How::MadeAgain, "was removed meanwhile");
}

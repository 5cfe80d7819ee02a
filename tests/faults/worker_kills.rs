//! kill -9 at many points of a directory dump and of a load by a worker: what is left, and that the next run sweeps it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::place::Place;
use crate::support::rig::poll;
use crate::support::{Fault, Gate, On, Proxy, Running, Server, Up};

const LIMIT: Duration = Duration::from_secs(90);

/// Bytes of the files below a private directory that lies beside the backup.
fn room_bytes(project: &Path) -> u64 {
    fn below(path: &Path) -> u64 {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .map(|entry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => below(&entry.path()),
                Ok(meta) => meta.len(),
                Err(_) => 0,
            })
            .sum()
    }
    rooms(project).iter().map(|room| below(room)).sum()
}

fn rooms(project: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(project).unwrap().flatten().map(|entry| entry.path());
    paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("envctl-worker-")).collect()
}

/// What a killed run has left, in words; empty where nothing is.
fn left(place: &Place) -> Vec<String> {
    let beside = std::fs::read_dir(place.project.path()).unwrap().flatten();
    let names = beside.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let rooms = std::fs::read_dir(place.rooms()).unwrap().flatten().map(|e| e.path().display().to_string());
    names
        .filter(|name| name.contains(".partial") || name.starts_with("envctl-worker-"))
        .chain(rooms)
        .chain(place.workers())
        .chain(place.project.server.siblings(&place.project.database))
        .collect()
}

/// Where a directory dump of some megabytes is.
#[derive(Clone, Copy, Debug)]
enum Dumped {
    Room,
    Worker,
    Files(u64),
    Tar(u64),
}

#[test]
fn f87_whatever_a_killed_directory_dump_leaves_the_next_one_sweeps() {
    let place = Place::with_gate(Server::shared(15), "dswept");
    place.project.sql("create table other as select * from item");
    let files = [1, 400_000, 1_000_000, 2_000_000, 3_000_000].map(Dumped::Files);
    let tars = [1, 1_000_000, 3_000_000].map(Dumped::Tar);
    let mut traces = 0;
    for moment in [Dumped::Room, Dumped::Worker].into_iter().chain(files).chain(tars) {
        let args = ["backup", "--format", "directory", "-j", "2", "--transport", "worker", "-o", "b.tar"];
        // The tar is written behind the dump.
        let held = (!matches!(moment, Dumped::Tar(_))).then(|| place.hold_dumps());
        let running = place.start(&args);
        let path = place.project.path();
        let reached = poll(LIMIT, || match moment {
            Dumped::Room => !rooms(path).is_empty(),
            Dumped::Worker => !place.workers().is_empty(),
            Dumped::Files(bytes) => room_bytes(path) >= bytes,
            Dumped::Tar(bytes) => {
                place.partial().is_some_and(|len| len >= bytes) || path.join("b.tar").exists()
            }
        });
        assert!(reached, "{moment:?}");
        running.signal(Signal::KILL);
        running.finish();
        drop(held);
        let traces_now = left(&place);
        traces += usize::from(!traces_now.is_empty());
        if path.join("b.tar").exists() {
            // It was done before the signal came: then it is whole.
            place.run(&["backup", "verify", "b.tar"]).code(0);
            std::fs::remove_file(path.join("b.tar")).unwrap();
            std::fs::remove_file(path.join("b.tar.json")).unwrap();
        }
        place.run(&["backup", "--transport", "worker", "-o", "next.sql.gz", "--force"]).code(0);
        place.project.assert_verified(&path.join("next.sql.gz"));
        place.project.assert_no_partials(path);
        place.assert_swept();
        place.project.assert_no_sessions();
    }
    assert!(traces >= 6, "only {traces} of ten kills left anything: the others came too late");
}

/// Bytes that a load has brought in so far, committed or not, into a database that is younger than `oldest`.
fn loaded(place: &Place, oldest: &str) -> i64 {
    let bytes = format!(
        "select coalesce(sum(pg_database_size(oid) - pg_database_size('template0')), 0) from pg_database \
         where datname like 'envctl\\_new%{}' and oid > {oldest}",
        place.project.database
    );
    // The staging database may be gone before it is measured.
    place.project.server.try_sql("postgres", &bytes).ok().and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

#[test]
fn f28_whatever_a_killed_load_by_a_worker_leaves_the_next_one_sweeps() {
    // A restore cleans up after every killed one of its server: nobody else may do so here.
    let server = crate::support::rig::Wanted::postgres(15, "lswept").start().ready();
    let place = Place::with_gate(&server, "lswept");
    place.project.sql("create table other as select * from item where id % 5 = 0");
    place.run(&["backup", "--transport", "worker", "-o", "b.sql.gz"]).code(0);
    let whole = place.project.digest();
    place.project.sql("delete from item where id > 100");
    let part = place.project.digest();
    let restore = ["restore", "b.sql.gz", "--yes", "--no-backup", "--transport", "worker"];
    let mut traces = 0;
    for (jobs, bytes) in [1, 1_500_000, 4_000_000].into_iter().flat_map(|bytes| [("1", bytes), ("2", bytes)])
    {
        place.hold_loads();
        // Killed ones left theirs.
        let oldest = server.sql("postgres", "select max(oid) from pg_database");
        let running = place.start(&[&restore[..], &["-j", jobs]].concat());
        assert!(poll(LIMIT, || loaded(&place, &oldest) >= bytes), "{bytes} bytes by {jobs}");
        running.signal(Signal::KILL);
        running.finish().code(137);
        place.let_loads_go();
        traces += usize::from(!left(&place).is_empty());
        assert_eq!(place.project.digest(), part, "{bytes} bytes by {jobs}");
        place.run(&["backup", "--transport", "worker", "-o", "next.sql.gz", "--force"]).code(0);
        place.assert_swept();
        place.project.assert_no_sessions_within(Duration::from_secs(60));
    }
    // In the swap: its first statement, or its last before COMMIT, has not been sent.
    for words in [&b"RENAME TO \"envctl_old"[..], b"COMMENT ON DATABASE \"envctl_old"] {
        let gate = Gate::default();
        let hold = Fault::Up(Up::HoldBefore { words, gate: gate.clone() });
        let proxy = Proxy::with(On::ExecStart("psql"), hold);
        let mut command = place.command(&restore);
        command.env("DOCKER_HOST", proxy.host());
        let running = Running::start(command, None);
        gate.wait();
        running.signal(Signal::KILL);
        running.finish().code(137);
        gate.open();
        traces += usize::from(!left(&place).is_empty());
        assert!(
            poll(Duration::from_secs(30), || server.try_sql(&place.project.database, "select 1").is_ok()),
            "the old name answers"
        );
        assert_eq!(place.project.digest(), part);
        place.project.assert_no_sessions_within(Duration::from_secs(60));
    }
    assert!(traces >= 6, "only {traces} of eight kills left anything");
    place.run(&restore).code(0).says("orphan of");
    assert_eq!(place.project.digest(), whole);
    place.assert_swept();
    let siblings = server.siblings(&place.project.database);
    assert!(siblings.iter().all(|name| name.starts_with("envctl_old_")), "{siblings:?}");
}

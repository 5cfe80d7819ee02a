//! Dumps and loads in workers: what falls back and says why, what is killed, starved, cut and swept.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::place::{Place, ROWS, without_restrict};
use crate::support::rig::{Wanted, docker, poll};
use crate::support::{Down, Fault, Finished, On, Proxy, Rule, Running, Server, Snapshot};
use crate::worker_far::{NEVER, Wire};

#[test]
fn a_worker_makes_the_same_backup_and_leaves_nothing() {
    for major in [15, 17] {
        let place = Place::new(Server::shared(major), "same", 2000);
        place.run(&["backup", "--transport", "worker", "-o", "worker.sql.gz"]).code(0);
        place.run(&["backup", "--transport", "exec", "-o", "exec.sql.gz"]).code(0);
        let plain = |file: &str| place.project.plain(&place.project.path().join(file));
        assert_eq!(without_restrict(&plain("worker.sql.gz")), without_restrict(&plain("exec.sql.gz")));
        place.project.assert_verified(&place.project.path().join("worker.sql.gz"));
        assert_eq!(place.manifest("worker.sql.gz")["transport"], "worker");
        assert_eq!(place.manifest("exec.sql.gz")["transport"], "exec");
        assert!(place.manifest("exec.sql.gz").get("transport_reason").is_none(), "it was asked for");
        place.assert_swept();
        place.run(&["backup", "--transport", "worker", "--format", "custom", "-o", "a.dump"]).code(0);
        place.assert_swept();
    }
}

#[test]
fn a_small_database_takes_an_exec_and_a_large_one_a_worker() {
    let place = Place::new(Server::shared(15), "size", 10);
    let backup = |min: &str| {
        let mut command = place.command(&["backup", "-v", "-o", "b.sql.gz", "--force"]);
        command.env("ENVCTL_WORKER_MIN_SIZE", min);
        Running::start(command, None).finish().code(0)
    };
    backup("10m").says("dumped by exec: the database is small");
    assert_eq!(place.manifest("b.sql.gz")["transport_reason"], "the database is small");
    backup("1m").says("dumped by a worker");
    assert_eq!(place.manifest("b.sql.gz")["transport"], "worker");
    place.assert_swept();
}

/// `auto` falls back with these words, the worker that was asked for fails with them, and nothing is left.
pub(crate) fn falls_back(place: &Place, words: &str, run: impl Fn(&[&str]) -> Finished) {
    let file = format!("{}.sql.gz", words.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    run(&["backup", "-v", "-o", &file]).code(0).says("dumped by exec").says(words);
    let manifest = place.manifest(&file);
    assert_eq!(manifest["transport"], "exec");
    assert!(manifest["transport_reason"].as_str().unwrap().contains(words), "{manifest}");
    place.project.assert_verified(&place.project.path().join(&file));
    run(&["backup", "--transport", "worker", "-o", "never.sql.gz"])
        .code(1)
        .says(words)
        .says("--transport exec");
    assert!(!place.project.path().join("never.sql.gz").exists());
    place.project.assert_no_partials(place.project.path());
    place.project.assert_no_sessions();
    place.assert_swept();
}

#[test]
fn where_the_worker_has_no_room_or_no_way_in_an_exec_serves_and_says_why() {
    let place = Place::new(Server::shared(15), "room", ROWS);
    falls_back(&place, "no private directory", |args| {
        let mut command = place.command(args);
        command.env("XDG_RUNTIME_DIR", "/proc");
        Running::start(command, None).finish()
    });
    let deaf = Wanted::postgres(15, "deaf");
    let deaf = Wanted {
        command: [&deaf.command[..], &["-c", "listen_addresses="].map(str::to_owned)].concat(),
        ..deaf
    };
    let place = Place::new(&deaf.start().ready(), "deaf", ROWS);
    falls_back(&place, "listens on no TCP port", |args| place.run(args));
}

#[test]
fn a_worker_that_is_killed_makes_no_backup() {
    let place = Place::with_gate(Server::shared(15), "killed");
    place.project.run(&["backup", "--transport", "exec"]).code(0);
    let before = Snapshot::of(&place.project);
    // A tool that hears TERM says so itself.
    for (signal, code, words) in [("KILL", 8, "killed"), ("TERM", 7, "terminated by user")] {
        let _held = place.hold_dumps();
        let running = place.start(&["backup", "--transport", "worker", "-o", "b.sql.gz"]);
        assert!(place.wait_for_bytes(1));
        docker(&["kill", "--signal", signal, &place.worker()]);
        running.finish().code(code).says(words);
        place.project.assert_nothing_but(&before);
        place.project.assert_no_partials(place.project.path());
        place.assert_swept();
    }
}

#[test]
fn a_worker_that_needs_more_memory_than_it_may_have_is_told_as_such() {
    let place = Place::new(Server::shared(15), "starved", 10);
    // One row of 100 MB, which pg_dump has to hold; before it rows that are on their way by then.
    place.project.sql("create table before as select md5(n::text) from generate_series(1, 200000) n");
    place
        .project
        .sql("create table wide as select string_agg(md5(n::text), '') w from generate_series(1, 3200000) n");
    let args = ["backup", "--transport", "worker", "--worker-memory", "32m", "-o", "b.sql.gz"];
    let far = Wire::open(NEVER);
    let runs: [&dyn Fn() -> Finished; 2] = [&|| place.run(&args), &|| far.run(&place, &args)];
    for run in runs {
        run().code(7).says("memory").says("--worker-memory");
        place.project.assert_no_partials(place.project.path());
        place.assert_swept();
    }
}

#[test]
fn a_database_that_restarts_or_is_removed_under_its_dump_makes_no_backup() {
    for (name, end) in [("again", &["restart", "--time", "0"][..]), ("gone", &["rm", "--force", "--volumes"])]
    {
        let server = Wanted::postgres(15, name).start().ready();
        let place = Place::with_gate(&server, name);
        let _held = place.hold_dumps();
        let running = place.start(&["backup", "--transport", "worker", "-o", "b.sql.gz"]);
        assert!(place.wait_for_bytes(1));
        running.signal(Signal::STOP);
        docker(&[end, &[&*server.container]].concat());
        running.signal(Signal::CONT);
        let finished = running.finish();
        assert!([4, 7, 8].contains(&finished.code), "{name}: {}: {}", finished.code, finished.err());
        place.project.assert_no_partials(place.project.path());
        assert!(!place.project.path().join("b.sql.gz").exists());
        place.assert_swept();
    }
}

#[test]
fn f17_a_stopped_envctl_takes_its_worker_with_it() {
    let place = Place::with_gate(Server::shared(15), "stopped");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let held = place.hold_dumps();
        let running = place.start(&["backup", "--transport", "worker", "-o", "b.sql.gz"]);
        assert!(place.wait_for_bytes(1));
        running.signal(signal);
        running.finish_within(Duration::from_secs(15)).code(code);
        place.project.assert_no_partials(place.project.path());
        place.assert_swept();
        drop(held);
        place.project.assert_no_sessions();
    }
}

/// When to kill: where a backup of some megabytes is.
enum Moment {
    Room,
    Created,
    Running,
    Bytes(u64),
}

#[test]
fn f87_whatever_a_killed_backup_leaves_the_next_one_sweeps() {
    let place = Place::with_gate(Server::shared(15), "swept");
    let moments = [Moment::Room, Moment::Created, Moment::Running].into_iter();
    let bytes = [1, 400_000, 800_000, 1_200_000, 1_600_000, 2_000_000, 2_400_000].map(Moment::Bytes);
    for moment in moments.chain(bytes) {
        let held = place.hold_dumps();
        let running = place.start(&["backup", "--transport", "worker", "-o", "b.sql.gz"]);
        let reached = match moment {
            Moment::Room => {
                poll(Duration::from_secs(30), || std::fs::read_dir(place.rooms()).unwrap().next().is_some())
            }
            Moment::Created => poll(Duration::from_secs(30), || !place.workers().is_empty()),
            Moment::Running => !place.worker().is_empty(),
            Moment::Bytes(bytes) => place.wait_for_bytes(bytes),
        };
        assert!(reached);
        running.signal(Signal::KILL);
        assert_eq!(running.finish().code, 137);
        drop(held);
        assert!(!place.project.path().join("b.sql.gz").exists(), "a name without a proof");
        place.run(&["backup", "--transport", "worker", "-o", "next.sql.gz", "--force"]).code(0);
        place.project.assert_verified(&place.project.path().join("next.sql.gz"));
        place.project.assert_no_partials(place.project.path());
        place.assert_swept();
        place.project.assert_no_sessions();
    }
}

#[test]
fn a_question_that_breaks_off_does_not_end_a_good_backup() {
    let place = Place::new(Server::shared(15), "asked", 20_000);
    let proxy = Proxy::start(vec![Rule::new(On::Request("/wait"), Fault::Silence).times(2)]);
    place.through(&proxy, &["backup", "--transport", "worker", "-o", "b.sql.gz"]).code(0);
    place.project.assert_verified(&place.project.path().join("b.sql.gz"));
    place.assert_swept();
    // What it said may be lost; the proof is the engine's word on its end.
    let proxy = Proxy::with(On::Request("/attach?"), Fault::Down(Down::CutAt(0)));
    place.through(&proxy, &["backup", "--transport", "worker", "-o", "c.sql.gz"]).code(0);
    place.project.assert_verified(&place.project.path().join("c.sql.gz"));
    place.assert_swept();
}

#[test]
fn f16_a_full_disk_ends_the_worker_too() {
    let place = Place::new(Server::shared(15), "full", 10 * ROWS);
    std::fs::create_dir(place.project.path().join("full")).unwrap();
    let script = "mount -t tmpfs -o size=1m none full && \"$@\"; code=$?; ls -A full >&2; exit $code";
    let mut command = Command::new("unshare");
    command.arg(if rustix::process::getuid().is_root() { "-m" } else { "-rm" }).arg("sh");
    let inner = place.command(&["backup", "--transport", "worker", "-o", "full/b.sql", "--compress", "none"]);
    command.args(["-c", script, "sh"]).arg(inner.get_program()).args(inner.get_args()).env_clear();
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.current_dir(place.project.path());
    let finished = Running::start(command, None).finish().code(1).says("no space left").says("hint:");
    assert!(!finished.err().contains(".partial"), "something is left:\n{}", finished.err());
    place.assert_swept();
    place.project.assert_no_sessions();
}

#[test]
fn a_restore_by_workers_is_the_same_and_leaves_nothing() {
    for major in [15, 17] {
        let place = Place::new(Server::shared(major), "load", ROWS);
        place.run(&["backup", "--transport", "worker", "-o", "b.sql.gz"]).code(0);
        let digest = place.project.digest();
        for jobs in ["1", "2"] {
            place.project.sql("delete from item where id > 100");
            let args = ["restore", "b.sql.gz", "--yes", "--no-backup", "--transport", "worker", "-j", jobs];
            place.run(&args).code(0);
            assert_eq!(place.project.digest(), digest);
            place.assert_swept();
            place.project.drop_siblings();
        }
        let bytes = std::fs::read(place.project.path().join("b.sql.gz")).unwrap();
        let args = ["restore", "-", "--yes", "--no-backup", "--transport", "worker"];
        Running::start(place.command(&args), Some(bytes)).finish().code(0);
        assert_eq!(place.project.digest(), digest);
        place.assert_swept();
        place.project.drop_siblings();
    }
}

#[test]
fn a_statement_that_fails_in_a_worker_is_named_with_its_line() {
    let place = Place::new(Server::shared(15), "line", 10);
    let digest = place.project.digest();
    place.run(&["backup", "-o", "b.sql", "--compress", "none"]).code(0);
    let path = place.project.path().join("b.sql");
    let text = std::fs::read_to_string(&path).unwrap();
    let broken = text.replacen("CREATE TABLE public.item", "CREATE TABEL public.item", 1);
    // psql names the line in which the statement ends.
    let begins = broken.lines().position(|line| line.contains("TABEL")).unwrap() + 1;
    let line = begins + broken.lines().skip(begins).position(|line| line.ends_with(';')).unwrap() + 1;
    std::fs::write(place.project.path().join("broken.sql"), broken).unwrap();
    let args = ["restore", "broken.sql", "--yes", "--no-backup", "--transport", "worker"];
    place.run(&args).code(7).says(&format!("line {line}"));
    place.project.assert_untouched(&digest);
    place.assert_swept();
}

#[test]
fn f28_a_restore_that_loses_its_worker_or_itself_changes_nothing() {
    let place = Place::with_gate(Server::shared(15), "loss");
    place.run(&["backup", "-o", "b.sql.gz"]).code(0);
    place.project.sql("delete from item where id > 100");
    let digest = place.project.digest();
    for jobs in ["1", "2"] {
        let args = ["restore", "b.sql.gz", "--yes", "--no-backup", "--transport", "worker", "-j", jobs];
        place.hold_loads();
        let running = place.start(&args);
        place.wait_for_load();
        running.signal(Signal::STOP);
        docker(&["kill", &place.worker()]);
        running.signal(Signal::CONT);
        let finished = running.finish();
        assert!([7, 8].contains(&finished.code), "{}: {}", finished.code, finished.err());
        place.project.assert_untouched(&digest);
        place.assert_swept();

        let running = place.start(&args);
        place.wait_for_load();
        running.signal(Signal::INT);
        running.finish_within(Duration::from_secs(20)).code(130);
        place.project.assert_untouched(&digest);
        place.assert_swept();

        let running = place.start(&args);
        place.wait_for_load();
        running.signal(Signal::KILL);
        assert_eq!(running.finish().code, 137);
        assert_eq!(place.project.digest(), digest);
        place.let_loads_go();
        place.project.assert_no_sessions_within(Duration::from_secs(60));
        // The next restore sweeps its staging database, the worker and the private directory.
        place.run(&["restore", "b.sql.gz", "--yes", "--no-backup", "--transport", "worker"]).code(0);
        place.assert_swept();
        assert!(Path::new(&place.rooms()).exists());
        place.project.drop_siblings();
        place.project.sql("delete from item where id > 100");
    }
}

//! The daemon itself is killed under a worker and started again (reliability F13, F14).

use std::time::Duration;

use rustix::process::Signal;

use crate::own_daemon::Case;
use crate::place::MANY;
use crate::support::rig::eventually;
use crate::support::{Finished, Running};

impl Case {
    /// No file has its name without its proof, and the next backup is whole and leaves nothing.
    fn assert_mended(&self, finished: &Finished) {
        let path = self.place.project.path();
        assert!([4, 7, 8].contains(&finished.code), "{}: {}", finished.code, finished.err());
        assert!(!path.join("b.sql.gz").exists(), "a name without a proof");
        self.run(&["backup", "--transport", "worker", "-o", "next.sql.gz", "--force"]).code(0);
        self.place.project.assert_verified(&path.join("next.sql.gz"));
        self.assert_swept();
    }

    fn restart_the_daemon(&mut self) {
        self.daemon.kill();
        self.daemon.again();
        // Without `--live-restore` a daemon ends what its predecessor has left running.
        self.daemon.docker(&["start", &self.container]);
        self.wait_for_the_server();
    }
}

const BACKUP: [&str; 5] = ["backup", "--transport", "worker", "-o", "b.sql.gz"];

#[test]
fn f14_a_daemon_that_is_killed_under_a_worker_makes_no_backup_and_no_restore() {
    let mut case = Case::new(&[]);
    // Back before envctl has noticed: the worker is another daemon's by then.
    case.hold_dumps();
    let running = Running::start(case.command(&BACKUP), None);
    case.wait_for_the_held_dump();
    running.signal(Signal::STOP);
    case.restart_the_daemon();
    case.let_go();
    running.signal(Signal::CONT);
    case.assert_mended(&running.finish());
    case.assert_no_sessions();

    // Nobody answers any more.
    case.hold_dumps();
    let running = Running::start(case.command(&BACKUP), None);
    case.wait_for_the_held_dump();
    case.daemon.kill();
    // pg_dump is silent to the end of the test: envctl does not wait for what it has to say.
    let finished = running.finish();
    case.let_go();
    case.daemon.again();
    case.daemon.docker(&["start", &case.container]);
    case.wait_for_the_server();
    case.assert_mended(&finished);

    case.sql("delete from item where id > 100");
    let digest = case.digest();
    let restore = ["restore", "next.sql.gz", "--yes", "--no-backup", "--transport", "worker"];
    case.hold_loads();
    let running = Running::start(case.command(&restore), None);
    eventually(Duration::from_secs(120), "rows are loaded", || {
        let loading =
            "select count(*) from pg_stat_activity where datname like 'envctl_new%' and query like 'COPY%'";
        case.sql(loading) != "0"
    });
    case.daemon.kill();
    case.let_go();
    let finished = running.finish();
    assert!([4, 7, 8].contains(&finished.code), "{}: {}", finished.code, finished.err());
    case.daemon.again();
    case.daemon.docker(&["start", &case.container]);
    case.wait_for_the_server();
    assert_eq!(case.digest(), digest);
    case.run(&restore).code(0);
    assert_eq!(case.sql("select count(*) from item"), MANY.to_string());
    case.assert_swept();
    case.assert_no_sessions();
}

#[test]
fn f13_a_daemon_that_comes_back_to_a_living_worker_leaves_a_whole_backup_or_none() {
    let mut case = Case::new(&["--live-restore"]);
    case.hold_dumps();
    let running = Running::start(case.command(&BACKUP), None);
    case.wait_for_the_held_dump();
    running.signal(Signal::STOP);
    case.daemon.kill();
    case.daemon.again();
    assert_ne!(case.workers(), "", "the test means the worker to have outlived its daemon");
    running.signal(Signal::CONT);
    case.let_go();
    let finished = running.finish();
    let path = case.place.project.path().join("b.sql.gz");
    assert_eq!(path.exists(), finished.code == 0, "{}: {}", finished.code, finished.err());
    if finished.code == 0 {
        case.place.project.assert_verified(&path);
        case.assert_swept();
        std::fs::remove_file(&path).unwrap();
    } else {
        case.assert_mended(&finished);
    }

    // With the daemon gone for good the worker cannot be removed: the next run does that.
    case.hold_dumps();
    let running = Running::start(case.command(&[&BACKUP[..], &["--force"]].concat()), None);
    case.wait_for_the_held_dump();
    case.daemon.kill();
    case.let_go();
    let finished = running.finish();
    case.daemon.again();
    case.assert_mended(&finished);
}

#[test]
fn f13_what_a_killed_daemon_leaves_running_in_the_database_is_told_with_the_way_out() {
    let mut case = Case::new(&["--live-restore"]);
    case.run(&["backup", "-o", "whole.sql.gz"]).code(0);
    case.hold_dumps();
    let running = Running::start(case.command(&BACKUP), None);
    case.wait_for_the_held_dump();
    case.daemon.kill();
    case.let_go();
    running.finish();
    case.daemon.again();
    // What runs in a container outlives its daemon, and the next one has never heard of it: only a person knows.
    let restore = ["restore", "whole.sql.gz", "--yes", "--no-backup", "--lock-timeout", "2s"];
    let busy = case.run(&restore).code(5).says("another envctl works on this database: envctl/");
    let said = busy.err();
    let way_out = said.split("envctl psql -c '").nth(1).and_then(|rest| rest.split('\'').next());
    case.run(&["psql", "-c", way_out.expect("the way out")]).code(0);
    case.run(&restore).code(0);
    case.assert_swept();
    case.assert_no_sessions();
}

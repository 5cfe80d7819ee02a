//! The daemon itself is killed under a worker and started again (reliability F13, F14).

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::place::{Place, ROWS};
use crate::second_daemon::SecondDaemon;
use crate::support::rig::{CANARY, Wanted, eventually, poll};
use crate::support::{Finished, Project, Running, Server};

const DATABASE: &str = "postgres";

/// A database of a daemon that may be killed.
struct Case {
    daemon: SecondDaemon,
    container: String,
    place: Place,
}

impl Case {
    fn new(options: &[&str]) -> Self {
        let daemon = SecondDaemon::start(options);
        let wanted = Wanted::postgres(15, "daemon");
        daemon.take(&wanted.image);
        let container = format!("{}-dev-db-1", wanted.stack);
        let project = format!("com.docker.compose.project={}-dev", wanted.stack);
        let password = format!("POSTGRES_PASSWORD={CANARY}");
        // Its data lies in the image's own volume: it outlives the container's processes.
        let run = ["run", "--detach", "--network=none", "--init", "--env", &*password, "--label", &*project];
        let labels = [
            "--label=com.docker.compose.service=db",
            "--label=com.docker.compose.container-number=1",
            "--label=com.docker.compose.oneoff=False",
        ];
        let name = ["--name", &*container, &*wanted.image, "-c", "fsync=off"];
        daemon.docker(&[&run[..], &labels, &name].concat());
        let server = Server {
            container: container.clone(),
            stack: wanted.stack,
            profile: wanted.profile,
            user: "postgres".to_owned(),
        };
        let place = Place { project: Project::of(&server, DATABASE) };
        std::fs::create_dir(place.rooms()).unwrap();
        let case = Self { daemon, container, place };
        case.wait_for_the_server();
        case.sql(&format!(
            "create table item as select n as id, md5(n::text) || md5((n * 7)::text) as words \
             from generate_series(1, {ROWS}) n"
        ));
        case
    }

    fn wait_for_the_server(&self) {
        let ask = ["exec", &*self.container, "psql", "-h", "127.0.0.1", "-U", "postgres", "-c", "select 1"];
        eventually(Duration::from_secs(60), "the server is up", || {
            self.daemon.try_docker(&ask).status.success()
        });
    }

    fn sql(&self, script: &str) -> String {
        self.daemon.docker(&["exec", &self.container, "psql", "-XqAt", "-U", "postgres", "-c", script])
    }

    fn digest(&self) -> String {
        self.sql("select count(*) || md5(string_agg(i::text, ',' order by id)) from item i")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.command(args);
        command.env("DOCKER_HOST", self.daemon.host());
        command
    }

    fn run(&self, args: &[&str]) -> Finished {
        Running::start(self.command(args), None).finish()
    }

    fn workers(&self) -> String {
        self.daemon.docker(&["ps", "--quiet", "--filter", "label=envctl.worker"])
    }

    /// Nothing of what ran is left, running or not.
    fn assert_swept(&self) {
        let all = self.daemon.docker(&["ps", "--all", "--quiet", "--filter", "label=envctl.worker"]);
        assert_eq!(all, "", "workers are left");
        let rooms: Vec<_> = std::fs::read_dir(self.place.rooms()).unwrap().flatten().collect();
        assert!(rooms.is_empty(), "rooms are left: {rooms:?}");
        self.place.project.assert_no_partials(self.place.project.path());
    }

    fn assert_no_sessions(&self) {
        let mut left = String::new();
        let gone = poll(Duration::from_secs(15), || {
            left = self.sql("select application_name, state, query from pg_stat_activity where application_name like 'envctl%'");
            left.is_empty()
        });
        assert!(gone, "envctl is still in the server: {left}");
    }

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

const SLOW: [&str; 7] = ["backup", "--transport", "worker", "--worker-cpus", "0.2", "-o", "b.sql.gz"];

#[test]
fn f14_a_daemon_that_is_killed_under_a_worker_makes_no_backup_and_no_restore() {
    let mut case = Case::new(&[]);
    // Back before envctl has noticed: the worker is another daemon's by then.
    let running = Running::start(case.command(&SLOW), None);
    assert!(case.place.wait_for_bytes(1));
    running.signal(Signal::STOP);
    case.restart_the_daemon();
    running.signal(Signal::CONT);
    case.assert_mended(&running.finish());
    case.assert_no_sessions();

    // Nobody answers any more.
    let running = Running::start(case.command(&SLOW), None);
    assert!(case.place.wait_for_bytes(1));
    case.daemon.kill();
    let finished = running.finish();
    case.daemon.again();
    case.daemon.docker(&["start", &case.container]);
    case.wait_for_the_server();
    case.assert_mended(&finished);

    case.sql("delete from item where id > 100");
    let digest = case.digest();
    let restore = ["restore", "next.sql.gz", "--yes", "--no-backup", "--transport", "worker"];
    let running = Running::start(case.command(&[&restore[..], &["--worker-cpus", "0.05"]].concat()), None);
    eventually(Duration::from_secs(120), "rows are loaded", || {
        let loading =
            "select count(*) from pg_stat_activity where datname like 'envctl_new%' and query like 'COPY%'";
        case.sql(loading) != "0"
    });
    case.daemon.kill();
    let finished = running.finish();
    assert!([4, 7, 8].contains(&finished.code), "{}: {}", finished.code, finished.err());
    case.daemon.again();
    case.daemon.docker(&["start", &case.container]);
    case.wait_for_the_server();
    assert_eq!(case.digest(), digest);
    case.run(&restore).code(0);
    assert_eq!(case.sql("select count(*) from item"), ROWS.to_string());
    case.assert_swept();
    case.assert_no_sessions();
}

#[test]
fn f13_a_daemon_that_comes_back_to_a_living_worker_leaves_a_whole_backup_or_none() {
    let mut case = Case::new(&["--live-restore"]);
    let running = Running::start(case.command(&SLOW), None);
    assert!(case.place.wait_for_bytes(1));
    running.signal(Signal::STOP);
    case.daemon.kill();
    case.daemon.again();
    assert_ne!(case.workers(), "", "the test means the worker to have outlived its daemon");
    running.signal(Signal::CONT);
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
    let running = Running::start(case.command(&[&SLOW[..], &["--force"]].concat()), None);
    assert!(case.place.wait_for_bytes(1));
    case.daemon.kill();
    let finished = running.finish();
    case.daemon.again();
    case.assert_mended(&finished);
}

#[test]
fn f13_what_a_killed_daemon_leaves_running_in_the_database_is_told_with_the_way_out() {
    let mut case = Case::new(&["--live-restore"]);
    case.run(&["backup", "-o", "whole.sql.gz"]).code(0);
    let running = Running::start(case.command(&SLOW), None);
    assert!(case.place.wait_for_bytes(1));
    case.daemon.kill();
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

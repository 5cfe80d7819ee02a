//! A database in a daemon of its own, for what cannot be done to the machine's.

use std::process::Command;
use std::time::Duration;

use crate::place::{MANY, Place, gate, gate_index};
use crate::second_daemon::SecondDaemon;
use crate::support::rig::{READY, Wanted, eventually, poll};
use crate::support::{Finished, Project, Running, Server};

const DATABASE: &str = "postgres";

/// A database of [`MANY`] rows with a gate behind them, and the daemon it runs under.
pub(crate) struct Case {
    pub(crate) daemon: SecondDaemon,
    pub(crate) container: String,
    pub(crate) place: Place,
    /// Who runs envctl.
    user: Option<u32>,
}

impl Case {
    pub(crate) fn new(options: &[&str]) -> Self {
        Self::under(SecondDaemon::start(options), None)
    }

    /// Under the daemon of this user, who runs envctl too.
    pub(crate) fn rootless(user: u32) -> Self {
        Self::under(SecondDaemon::rootless(user), Some(user))
    }

    fn under(daemon: SecondDaemon, user: Option<u32>) -> Self {
        let wanted = Wanted::postgres(15, "daemon");
        daemon.take(&wanted.image);
        let container = format!("{}-dev-db-1", wanted.stack);
        let project = format!("com.docker.compose.project={}-dev", wanted.stack);
        let server = Server {
            container: container.clone(),
            stack: wanted.stack,
            profile: wanted.profile,
            user: "postgres".to_owned(),
        };
        let place = Place { project: Project::of(&server, DATABASE) };
        std::fs::create_dir(place.rooms()).unwrap();
        let gate_directory = place.project.path().join("gate");
        std::fs::create_dir(&gate_directory).unwrap();
        if let Some(user) = user {
            place.hand_over(user, user);
        }
        let variables: Vec<String> = READY.lines().map(|variable| format!("--env={variable}")).collect();
        let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
        // Its data lies in the image's own volume: it outlives the container's processes.
        let run = ["run", "--detach", "--network=none", "--init", "--label", &*project];
        let labels = [
            "--label=com.docker.compose.service=db",
            "--label=com.docker.compose.container-number=1",
            "--label=com.docker.compose.oneoff=False",
        ];
        // The gate is opened from outside, with or without a daemon.
        let volume = format!("--volume={}:/gate:ro", gate_directory.display());
        let name = [&*volume, "--name", &*container, &*wanted.image, "-c", "fsync=off"];
        daemon.docker(&[&run[..], &labels, &variables, &name].concat());
        let case = Self { daemon, container, place, user };
        case.wait_for_the_server();
        case.sql(&format!(
            "create table item as select n as id, md5(n::text) || md5((n * 7)::text) as words \
             from generate_series(1, {MANY}) n"
        ));
        case.sql(&gate("/gate/shut"));
        case
    }

    pub(crate) fn wait_for_the_server(&self) {
        let ask = ["exec", &*self.container, "psql", "-h", "127.0.0.1", "-U", "postgres", "-c", "select 1"];
        eventually(Duration::from_secs(60), "the server is up", || {
            self.daemon.try_docker(&ask).status.success()
        });
    }

    pub(crate) fn sql(&self, script: &str) -> String {
        self.daemon.docker(&["exec", &self.container, "psql", "-XqAt", "-U", "postgres", "-c", script])
    }

    /// Lets no dump end before [`Case::let_go`], or before the container's end.
    pub(crate) fn hold_dumps(&self) {
        self.hold_loads();
        let hold = format!("begin; reindex index {}; select is_open()", self.sql(gate_index()));
        self.daemon.docker(&["exec", "-d", &self.container, "psql", "-U", "postgres", "-c", &hold]);
        let holding = "select count(*) from pg_stat_activity where query like 'begin; reindex%' and wait_event = 'PgSleep'";
        eventually(Duration::from_secs(30), "dumps are held", || self.sql(holding) == "1");
    }

    /// Waits until a dump has come to the gate, and its first bytes to the disk.
    pub(crate) fn wait_for_the_held_dump(&self) {
        let held =
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'COPY%'";
        eventually(Duration::from_secs(30), "a dump is held", || self.sql(held) == "1");
        assert!(self.place.wait_for_bytes(1));
    }

    /// Lets no load end before [`Case::let_go`].
    pub(crate) fn hold_loads(&self) {
        std::fs::write(self.place.project.path().join("gate/shut"), "").unwrap();
    }

    /// Lets dumps and loads go. Needs no daemon.
    pub(crate) fn let_go(&self) {
        std::fs::remove_file(self.place.project.path().join("gate/shut")).unwrap();
    }

    pub(crate) fn digest(&self) -> String {
        self.sql("select count(*) || md5(string_agg(i::text, ',' order by id)) from item i")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = match self.user {
            Some(user) => self.place.command_of(user, user, args),
            None => self.place.command(args),
        };
        command.env("DOCKER_HOST", self.daemon.host());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        Running::start(self.command(args), None).finish()
    }

    pub(crate) fn workers(&self) -> String {
        self.daemon.docker(&["ps", "--quiet", "--filter", "label=envctl.worker"])
    }

    /// Nothing of what ran is left, running or not.
    pub(crate) fn assert_swept(&self) {
        let all = self.daemon.docker(&["ps", "--all", "--quiet", "--filter", "label=envctl.worker"]);
        assert_eq!(all, "", "workers are left");
        let rooms: Vec<_> = std::fs::read_dir(self.place.rooms()).unwrap().flatten().collect();
        assert!(rooms.is_empty(), "rooms are left: {rooms:?}");
        self.place.project.assert_no_partials(self.place.project.path());
    }

    pub(crate) fn assert_no_sessions(&self) {
        let mut left = String::new();
        let gone = poll(Duration::from_secs(15), || {
            left = self.sql("select application_name, state, query from pg_stat_activity where application_name like 'envctl%'");
            left.is_empty()
        });
        assert!(gone, "envctl is still in the server: {left}");
    }
}

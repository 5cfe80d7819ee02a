//! A project whose workers have private directories of their own, so that what is left of them is seen.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::{getgid, getuid};

use crate::support::project::ENVCTL;
use crate::support::rig::{HeldSession, docker, eventually, poll, try_docker};
use crate::support::{Finished, Project, Proxy, Running, Server};

/// Rows of a table that is dumped in no time.
pub(crate) const ROWS: u32 = 5_000;

/// Rows of a table whose dump has several megabytes.
pub(crate) const MANY: u32 = 60_000;

/// A project whose private directories are its own. Its database is large enough for a worker, however small it is.
pub(crate) struct Place {
    pub(crate) project: Project,
}

impl Place {
    pub(crate) fn new(server: &Server, name: &str, rows: u32) -> Self {
        let project = Project::new(server, name);
        project.fill(rows);
        let place = Self { project };
        std::fs::create_dir(place.rooms()).unwrap();
        place
    }

    /// A project with [`MANY`] rows in `item` and one in `waits`, behind them: dumps and loads can be held there.
    pub(crate) fn with_gate(server: &Server, name: &str) -> Self {
        let place = Self::new(server, name, MANY);
        place.project.sql(&gate(&gate_file(&place.project.database)));
        place
    }

    /// Lets no dump end before the session does: it holds the index of what is stored outside the row in `waits`.
    pub(crate) fn hold_dumps(&self) -> HeldSession {
        let hold = format!("begin; reindex index {}", self.project.sql(gate_index()));
        self.project.server.session(&self.project.database, &hold)
    }

    /// Lets no load end before [`Place::let_loads_go`].
    pub(crate) fn hold_loads(&self) {
        self.project.server.sh(&format!("touch {}", gate_file(&self.project.database)));
    }

    pub(crate) fn let_loads_go(&self) {
        self.project.server.sh(&format!("rm -f {}", gate_file(&self.project.database)));
    }

    pub(crate) fn rooms(&self) -> PathBuf {
        self.project.path().join("rooms")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.project.command(args);
        command.env("XDG_RUNTIME_DIR", self.rooms()).env("ENVCTL_WORKER_MIN_SIZE", "0");
        command
    }

    /// Gives it to a user of this host, with an envctl that he may run: the tests' own may lie where only its owner
    /// gets to.
    pub(crate) fn hand_over(&self, uid: u32, gid: u32) {
        let project = self.project.path();
        for path in [project.to_owned(), self.rooms(), project.join("home"), project.join("envctl.toml")] {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
        let binary = project.join("envctl");
        std::fs::copy(ENVCTL, &binary).unwrap();
        std::fs::set_permissions(&binary, Permissions::from_mode(0o755)).unwrap();
    }

    /// That envctl, run by that user.
    pub(crate) fn command_of(&self, uid: u32, gid: u32, args: &[&str]) -> Command {
        let inner = self.command(args);
        let mut command = self.project.bare_at(&self.project.path().join("envctl"));
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.args(inner.get_args());
        if (uid, gid) != (getuid().as_raw(), getgid().as_raw()) {
            command.uid(uid).gid(gid);
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        Running::start(self.command(args), None).finish()
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args), None)
    }

    pub(crate) fn through(&self, proxy: &Proxy, args: &[&str]) -> Finished {
        let mut command = self.command(args);
        command.env("DOCKER_HOST", proxy.host());
        Running::start(command, None).finish()
    }

    /// Its workers, running or not.
    pub(crate) fn workers(&self) -> Vec<String> {
        let format = r#"{{.Names}} {{.Label "envctl.worker.dir"}}"#;
        let all = docker(&["ps", "--all", "--filter", "label=envctl.worker", "--format", format]);
        let own = self.project.path().display().to_string();
        all.lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(_, room)| room.starts_with(&own))
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// The one that runs, once it does.
    pub(crate) fn worker(&self) -> String {
        let mut running = String::new();
        eventually(Duration::from_secs(30), "a worker runs", || {
            running = self.workers().first().cloned().unwrap_or_default();
            !running.is_empty()
                && try_docker(&["inspect", "--format", "{{.State.Running}}", &running])
                    .stdout
                    .starts_with(b"true")
        });
        running
    }

    /// Waits until rows are on their way into the staging database.
    pub(crate) fn wait_for_load(&self) {
        let name = &self.project.database;
        let copying = format!(
            "select count(*) from pg_stat_activity where datname like 'envctl\\_new%{name}' and query like 'COPY%'"
        );
        // A worker that may use little begins slowly on a busy machine.
        eventually(Duration::from_secs(120), "rows are loaded", || {
            self.project.server.sql("postgres", &copying) != "0"
        });
    }

    #[track_caller]
    pub(crate) fn assert_swept(&self) {
        assert_eq!(self.workers(), Vec::<String>::new(), "workers are left");
        let rooms: Vec<_> = std::fs::read_dir(self.rooms()).unwrap().flatten().map(|e| e.path()).collect();
        assert!(rooms.is_empty(), "rooms are left: {rooms:?}");
        let beside = std::fs::read_dir(self.project.path()).unwrap().flatten().map(|e| e.file_name());
        let beside: Vec<_> =
            beside.filter(|name| name.to_string_lossy().starts_with("envctl-worker-")).collect();
        assert!(beside.is_empty(), "rooms are left beside the backups: {beside:?}");
    }

    pub(crate) fn manifest(&self, file: &str) -> serde_json::Value {
        let path = self.project.path().join(format!("{file}.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Waits until so many bytes of a backup are on the disk.
    pub(crate) fn wait_for_bytes(&self, bytes: u64) -> bool {
        poll(Duration::from_secs(30), || self.partial().is_some_and(|len| len >= bytes))
    }

    pub(crate) fn partial(&self) -> Option<u64> {
        let sizes = std::fs::read_dir(self.project.path()).ok()?.flatten().filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name.ends_with(".partial") && !name.contains(".json.")).then(|| entry.metadata().ok()).flatten()
        });
        sizes.map(|meta| meta.len()).max()
    }
}

fn gate_file(database: &str) -> String {
    format!("/tmp/gate-{database}")
}

/// SQL that names the index without which nobody reads the row of the table `waits`.
pub(crate) fn gate_index() -> &'static str {
    "select indexrelid::regclass from pg_index i join pg_class c on c.reltoastrelid = i.indrelid \
     where c.oid = 'waits'::regclass"
}

/// SQL of the table `waits`: whoever loads its row waits until this file is gone.
pub(crate) fn gate(file: &str) -> String {
    format!(
        "create function public.is_open() returns bool language plpgsql as $$ begin \
           while (pg_stat_file('{file}', true)).size is not null loop perform pg_sleep(0.02); end loop; \
           return true; end $$; \
         create table waits (words text not null check (public.is_open())); \
         alter table waits alter words set storage external; \
         insert into waits select string_agg(md5(n::text), '') from generate_series(1, 100) n"
    )
}

pub(crate) fn without_restrict(sql: &[u8]) -> String {
    let text = String::from_utf8_lossy(sql);
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

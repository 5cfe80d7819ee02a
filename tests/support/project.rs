//! A project directory with a stack: where envctl is run.
//!
//! Promise: a run sees nothing of the machine's own configuration (HOME, variables, contexts), and its
//! backups lie in a directory that is gone with the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::proxy::Proxy;
use super::rig::Server;
use super::run::{Finished, Running};

/// The binary under test.
pub const ENVCTL: &str = env!("CARGO_BIN_EXE_envctl");

/// A project directory and the database that its commands mean.
pub struct Project {
    dir: TempDir,
    pub server: Server,
    pub database: String,
    host: String,
}

impl Project {
    /// For a fresh database of this server.
    pub fn new(server: &Server, name: &str) -> Self {
        let database = server.database(name);
        Self::of(server, &database)
    }

    /// For a database there is.
    pub fn of(server: &Server, database: &str) -> Self {
        let dir = TempDir::with_prefix("envctl-rig-").expect("a directory");
        std::fs::create_dir(dir.path().join("home")).expect("a home");
        std::fs::write(dir.path().join("envctl.toml"), format!("stack = \"{}\"\n", server.stack))
            .expect("written");
        let host = "unix:///var/run/docker.sock".to_owned();
        Self { dir, server: server.clone(), database: database.to_owned(), host }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where the backups of this stack and profile lie.
    pub fn backup_dir(&self) -> PathBuf {
        self.path().join("backups").join(&self.server.stack).join(&self.server.profile)
    }

    /// envctl as a command, in the project, for the stack, its words not yet given.
    pub fn bare(&self) -> Command {
        self.bare_at(ENVCTL.as_ref())
    }

    /// The same with another copy of the binary.
    pub fn bare_at(&self, binary: &Path) -> Command {
        let mut command = Command::new(binary);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path().join("home"))
            .env("DOCKER_HOST", &self.host)
            .env("LANG", "C.UTF-8")
            .env("RUST_BACKTRACE", "1")
            .current_dir(self.path());
        command
    }

    /// envctl with these words, about this project's database.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare();
        command.env("ENVCTL_DATABASE", &self.database).args(args);
        command
    }

    /// The same, with the daemon behind a proxy.
    pub fn command_through(&self, proxy: &Proxy, args: &[&str]) -> Command {
        let mut command = self.command(args);
        command.env("DOCKER_HOST", proxy.host());
        command
    }

    #[track_caller]
    /// Has `command`, a shell, run `script` with envctl's own command line as `"$@"`.
    pub fn wrap(&self, command: &mut Command, script: &str, args: &[&str]) {
        let inner = self.command(args);
        command.args(["-c", script, "sh"]).arg(inner.get_program()).args(inner.get_args()).env_clear();
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.current_dir(self.path());
    }

    pub fn run(&self, args: &[&str]) -> Finished {
        Running::start(self.command(args), None).finish()
    }

    #[track_caller]
    pub fn run_with(&self, stdin: &[u8], args: &[&str]) -> Finished {
        Running::start(self.command(args), Some(stdin.to_vec())).finish()
    }

    #[track_caller]
    pub fn through(&self, proxy: &Proxy, args: &[&str]) -> Finished {
        Running::start(self.command_through(proxy, args), None).finish()
    }

    pub fn start_through(&self, proxy: &Proxy, args: &[&str]) -> Running {
        Running::start(self.command_through(proxy, args), None)
    }

    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args), None)
    }

    /// SQL in this project's database, past envctl.
    #[track_caller]
    pub fn sql(&self, script: &str) -> String {
        self.server.sql(&self.database, script)
    }

    /// A table `item` of so many rows, each about a hundred bytes that do not compress away.
    pub fn fill(&self, rows: u32) {
        self.sql(&format!(
            "create table item (id int primary key, words text not null); \
             insert into item select n, md5(n::text) || md5((n * 7)::text) || md5((n * 13)::text) \
             from generate_series(1, {rows}) n"
        ));
    }

    /// A word about everything in `item`: to tell an old state from a new one.
    pub fn digest(&self) -> String {
        self.sql(
            "select count(*) || ' ' || coalesce(md5(string_agg(i::text, ',' order by id)), '') from item i",
        )
    }
}

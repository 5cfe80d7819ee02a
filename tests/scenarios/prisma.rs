//! The real Prisma CLI in a backend's container, and the same migrations by envctl's own runner, in turns.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::rig::{docker, try_docker};
use crate::support::timing::is_long;
use crate::support::{Finished, Project, Running, Server};

/// A backend beside a database container, in its network, with a source tree of its own.
pub(super) struct Backend {
    pub(super) project: Project,
    pub(super) container: String,
    pub(super) source: PathBuf,
}

impl Backend {
    pub(super) fn new(name: &str, bind: bool) -> Self {
        Self::on(Server::shared(15), name, bind)
    }

    /// Beside this server.
    pub(super) fn on(server: &Server, name: &str, bind: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let project = Project::new(server, name);
        let source = project.path().join("backend/src");
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose/techmage/backend/src");
        fs::create_dir_all(source.parent().unwrap()).unwrap();
        assert!(Command::new("cp").arg("-r").args([&demo, &source]).status().unwrap().success());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let container = format!("{}-{}-backend{number}-1", server.stack, server.profile);
        let label = |name: &str, value: &str| format!("--label=com.docker.compose.{name}={value}");
        let mut args = vec![
            "run".to_owned(),
            "--detach".to_owned(),
            "--rm".to_owned(),
            format!("--name={container}"),
            format!("--network=container:{}", server.container),
            "--user=root".to_owned(),
            label("project", &format!("{}-{}", server.stack, server.profile)),
            label("service", &format!("backend{number}")),
            label("container-number", "1"),
            label("oneoff", "False"),
            format!("--label=rig.run={}", std::process::id()),
            format!(
                "--env=DATABASE_URL=postgresql://postgres:{}@127.0.0.1:5432/{}",
                crate::support::rig::CANARY,
                project.database
            ),
        ];
        if server.profile != "dev" {
            // No configuration names it there.
            args.push("--label=envctl.role=backend".to_owned());
        }
        if bind {
            args.push(format!("--volume={}:/app/src", source.display()));
        }
        args.extend(["envctl-backend:20", "sleep", "1000"].map(str::to_owned));
        docker(&args);
        let toml = format!(
            "stack = \"{}\"\n[profiles.dev]\nbackend = \"backend{number}\"\ndb = \"db\"\n",
            server.stack
        );
        fs::write(project.path().join("envctl.toml"), toml).unwrap();
        Self { project, container, source }
    }

    #[track_caller]
    pub(super) fn run(&self, args: &[&str]) -> Finished {
        self.project.run(args)
    }

    /// By our own runner, from the source tree.
    #[track_caller]
    pub(super) fn by_sql(&self, args: &[&str]) -> Running {
        let mut command = self.project.command(args);
        command.env("ENVCTL_MIGRATIONS_DRIVER", "sql");
        Running::start(command, None)
    }

    pub(super) fn prisma(&self, args: &[&str]) -> std::process::Output {
        let exec = ["exec", &self.container, "node_modules/.bin/prisma"];
        try_docker(&[&exec[..], args].concat())
    }

    pub(super) fn migration(&self, name: &str, sql: &str) {
        let at = self.source.join("database/prisma/migrations").join(name);
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("migration.sql"), sql).unwrap();
    }

    pub(super) fn schema(&self, more: &str) {
        let at = self.source.join("database/prisma/schema.prisma");
        let text = fs::read_to_string(&at).unwrap();
        fs::write(&at, format!("{text}\n{more}\n")).unwrap();
    }

    /// What pg_dump says of the schema, and the rows of the history without ids and times.
    fn state(&self) -> (String, String) {
        let server = &self.project.server;
        let dump = docker(&[
            "exec",
            &server.container,
            "pg_dump",
            "-U",
            "postgres",
            "--schema-only",
            "--restrict-key=x",
            "--exclude-table=_prisma_migrations",
            &self.project.database,
        ]);
        let rows = self.project.sql(
            "select migration_name, checksum, applied_steps_count, finished_at is not null, rolled_back_at is not null, logs \
             from _prisma_migrations order by started_at, migration_name",
        );
        (dump, rows)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "-f", &self.container]);
    }
}

#[test]
fn prisma_and_the_runner_leave_the_same_behind_and_accept_each_other() {
    let by_prisma = Backend::new("pri_a", true);
    by_prisma.run(&["migrate"]).code(0).says("3 migrations applied");
    let by_runner = Backend::new("pri_b", true);
    by_runner.by_sql(&["migrate"]).finish().code(0).says("3 migrations applied");
    assert_eq!(by_prisma.state(), by_runner.state());
    // Each finds what the other did whole, and goes on from there.
    for (backend, first) in [(&by_prisma, "runner"), (&by_runner, "prisma")] {
        backend.migration("20260101000000_more", "create table more (id int);");
        if first == "runner" {
            backend.by_sql(&["migrate"]).finish().code(0).says("1 migration applied");
        } else {
            backend.run(&["migrate"]).code(0).says("1 migration applied");
        }
        let status = backend.prisma(&["migrate", "status"]);
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
        backend.run(&["migrate", "status", "--exit-code"]).code(0);
        backend.by_sql(&["migrate", "status", "--exit-code"]).finish().code(0);
    }
    assert_eq!(by_prisma.state(), by_runner.state());
}

/// Two tables and an index built CONCURRENTLY, some times over: names and SQL.
fn rounds() -> impl Iterator<Item = [(String, String); 3]> {
    (0..if is_long() { 40 } else { 5 }).map(|round| {
        [
            (format!("2026010100{round:02}00_t"), format!("create table t{round} (id int);")),
            (
                format!("2026010100{round:02}01_i"),
                format!("create index concurrently i{round} on t{round} (id);"),
            ),
            (
                format!("2026010100{round:02}02_u"),
                format!("create table u{round} (id int); comment on table u{round} is 'u';"),
            ),
        ]
    })
}

/// Dump and history without rows that were taken back.
fn settled(backend: &Backend) -> (String, String) {
    let counted = "select string_agg(concat_ws(' ', migration_name, checksum, applied_steps_count, finished_at is not null, logs), ',' order by migration_name) \
                   from _prisma_migrations where rolled_back_at is null";
    (backend.state().0, backend.project.sql(counted))
}

#[test]
fn f58_both_at_once_apply_each_migration_once() {
    let backend = Backend::new("pri_two", true);
    backend.run(&["migrate"]).code(0);
    for round in rounds() {
        for (name, sql) in &round {
            backend.migration(name, sql);
        }
        let ours = backend.by_sql(&["migrate", "--lock-timeout", "30s"]);
        let theirs = backend.prisma(&["migrate", "deploy"]);
        let ours = ours.finish();
        let words = String::from_utf8_lossy(&theirs.stderr).into_owned();
        assert!(theirs.status.success() || words.contains("P1002") || words.contains("40P01"), "{words}");
        assert!(matches!(ours.code, 0 | 5), "{}", ours.err());
        backend.by_sql(&["migrate", "--lock-timeout", "30s"]).finish().code(0);
        let twice = "select count(*) - count(distinct migration_name) from _prisma_migrations where rolled_back_at is null";
        assert_eq!(backend.project.sql(twice), "0");
    }
    assert_eq!(backend.project.sql("select count(*) from pg_index where not indisvalid"), "0");
    let control = Backend::new("pri_control", true);
    for (name, sql) in rounds().flatten() {
        control.migration(&name, &sql);
    }
    assert!(control.prisma(&["migrate", "deploy"]).status.success());
    assert_eq!(settled(&backend), settled(&control), "as Prisma alone leaves it");
}

#[test]
fn a_migration_is_written_from_the_schema_without_a_terminal_and_without_touching_the_database() {
    let backend = Backend::new("pri_new", true);
    // Nothing is applied yet: `migrate dev --create-only` would apply everything first.
    backend.run(&["migrate", "create", "nothing"]).code(6).says("the schema says nothing");
    backend.schema("model Gadget {\n  id Int @id\n}");
    backend.run(&["migrate", "create", "add user table"]).code(2).says("`add_user_table`");
    let path = backend.run(&["migrate", "create", "add_gadget"]).code(0).out();
    let sql = fs::read_to_string(path.trim()).unwrap();
    assert!(
        path.trim().ends_with("_add_gadget/migration.sql") && sql.contains("CREATE TABLE \"Gadget\""),
        "{path}{sql}"
    );
    assert_eq!(
        backend.project.sql("select count(*) from pg_class where relname = '_prisma_migrations'"),
        "0"
    );
    backend.run(&["migrate"]).code(0).says("4 migrations applied");
    assert_eq!(backend.project.sql("select to_regclass('\"Gadget\"')"), "\"Gadget\"");
}

#[test]
fn without_a_bind_mount_the_new_migration_is_on_this_machine_too() {
    let backend = Backend::new("pri_copy", false);
    let path = backend.run(&["migrate", "create", "by_hand", "--empty"]).code(0).out();
    let path = Path::new(path.trim());
    assert!(path.starts_with(&backend.source) && path.is_file(), "{}", path.display());
    backend.run(&["migrate", "status"]).code(0).says("4 pending");
}

#[test]
fn a_failure_of_prismas_is_words_and_a_next_command() {
    for server in Server::each() {
        let backend = Backend::on(server, "pri_bad", true);
        backend.migration("20260101000000_bad", "create table b (); select 1/0;");
        backend
            .run(&["migrate"])
            .code(7)
            .says("20260101000000_bad failed")
            .says("resolve 20260101000000_bad --rolled-back");
        backend.run(&["migrate"]).code(9).says("20260101000000_bad failed before");
        backend.run(&["migrate", "resolve", "20260101000000_bad", "--rolled-back"]).code(0);
        backend.migration("20260101000000_bad", "create table b ();");
        backend.run(&["migrate"]).code(0);
        backend.project.server.sql(
            "postgres",
            &format!(
                "alter database {} rename to {}_gone",
                backend.project.database, backend.project.database
            ),
        );
        backend.run(&["migrate"]).code(3);
    }
}

#[test]
fn reset_seed_generate_push_and_pull() {
    let backend = Backend::new("pri_rest", true);
    backend.run(&["migrate"]).code(0);
    backend.run(&["generate"]).code(0);
    backend.run(&["seed"]).code(0);
    backend.project.sql("create table stray ()");
    backend.run(&["migrate", "reset"]).code(6);
    backend.run(&["migrate", "reset", "--yes"]).code(0).says("backed up in").says("3 migrations applied");
    assert_eq!(backend.project.sql("select to_regclass('stray')"), "");
    let schema = backend.run(&["pull", "--print"]).code(0).out();
    assert!(schema.contains("model "), "{schema}");
    backend.schema("model Gadget {\n  id Int @id\n  name String?\n}");
    backend.run(&["push"]).code(0);
    backend.project.sql("insert into \"Gadget\" values (1, 'x')");
    let at = backend.source.join("database/prisma/schema.prisma");
    fs::write(&at, fs::read_to_string(&at).unwrap().replace("  name String?\n", "")).unwrap();
    backend.run(&["push"]).code(6).says("losing data");
    assert_eq!(backend.project.sql("select name from \"Gadget\""), "x");
    backend.run(&["push", "--yes"]).code(0);
    assert_eq!(backend.project.sql("select count(*) from \"Gadget\""), "1");
}

//! What can go wrong with the real Prisma CLI: each state of its in words, an exit code and a next command, whoever is
//! in the way by name, and what is known after a crash (reliability F56, F64, F67, F69; P1001, P1002, P3005, P3009,
//! P3015, P3018).

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::prisma::Backend;
use crate::support::Server;
use crate::support::pty::Pty;
use crate::support::rig::{Wanted, docker, eventually};

const LAST: &str = "20260101000000_last";

/// Everything of the demo is applied, and this waits.
fn with_last(name: &str, sql: &str) -> Backend {
    with_last_on(Server::shared(15), name, sql)
}

fn with_last_on(server: &Server, name: &str, sql: &str) -> Backend {
    let backend = Backend::on(server, name, true);
    backend.run(&["migrate"]).code(0);
    backend.migration(LAST, sql);
    backend
}

fn row(backend: &Backend) -> String {
    backend.project.sql(&format!(
        "select string_agg(concat_ws(' ', finished_at is not null, rolled_back_at is not null), ',' order by started_at) \
         from _prisma_migrations where migration_name = '{LAST}'"
    ))
}

/// Waits until a statement with these words runs.
fn until_it_runs(backend: &Backend, words: &str) {
    let active = format!(
        "select count(*) from pg_stat_activity where state = 'active' and query like '%{words}%' and pid <> pg_backend_pid()"
    );
    // The CLI takes its time to start on a busy machine.
    eventually(Duration::from_secs(80), words, || backend.project.sql(&active) != "0");
}

#[test]
fn f56_whoever_is_in_prismas_way_is_named_and_left_alone() {
    for server in Server::each() {
        let backend = with_last_on(server, "prf_lock", "alter table users add column x int;");
        let database = &backend.project.database;
        let server = &backend.project.server;
        for (script, says) in [
            ("select pg_advisory_lock(72707369)", "another migration runs on this database: rig (pid "),
            ("set application_name = 'pg_dump'", "a dump of this database runs: pg_dump (pid "),
            ("select pg_advisory_lock(1701738083, 1)", "another envctl works on this database: rig (pid "),
        ] {
            let held = server.session(database, script);
            backend.run(&["migrate", "--lock-timeout", "300ms"]).code(5).says(says);
            let reset = ["migrate", "reset", "--yes", "--no-backup", "--lock-timeout", "300ms"];
            backend.run(&reset).code(5).says(says);
            assert_eq!(server.sql(database, "select count(*) from pg_stat_activity where application_name in ('rig', 'pg_dump') and pid <> pg_backend_pid() and datname = current_database()"), "1");
            drop(held);
        }
        assert_eq!(row(&backend), "", "Prisma was never started");
        // A table held by the application: Prisma itself would wait for ever, and everybody else behind it.
        let held = server.session(database, "begin; select * from users");
        let refused = backend.run(&["migrate", "--lock-timeout", "5s"]).code(5);
        let refused = refused.says(&format!("{LAST} waited in vain for a table that rig (pid "));
        refused.says("idle in transaction").says("nothing of the file was applied");
        assert_eq!(row(&backend), "f t");
        drop(held);
        // Nobody has to resolve what only waited.
        backend.run(&["migrate"]).code(0).says("1 migration applied");
    }
}

#[test]
fn what_waited_behind_another_statement_of_its_file_is_a_decision() {
    for server in Server::each() {
        let backend = with_last_on(
            server,
            "prf_half",
            "create table half (); commit; alter table users add column x int;",
        );
        let held = backend.project.server.session(&backend.project.database, "begin; select * from users");
        let refused = backend.run(&["migrate", "--lock-timeout", "5s"]).code(9);
        refused.says("are in the database").says(&format!("resolve {LAST} --rolled-back"));
        drop(held);
        assert_eq!(
            (row(&backend), backend.project.sql("select to_regclass('half')")),
            ("f f".into(), "half".into())
        );
    }
}

#[test]
fn a_cli_that_crashes_is_told_with_what_the_database_knows() {
    let backend = with_last("prf_crash", "select 1;");
    let cli = "/app/node_modules/.bin/prisma";
    docker(&[
        "exec",
        &backend.container,
        "sh",
        "-c",
        &format!("mv {cli} {cli}.real && printf '#!/bin/sh\\nkill -SEGV $$\\n' >{cli} && chmod 755 {cli}"),
    ]);
    let crashed = backend.run(&["migrate"]).code(7).says("ended in the middle of its work").says("139");
    crashed.says("nothing is half done").says(&format!("docker logs --tail 50 {}", backend.container));
    assert_eq!(row(&backend), "");
    // Words of its own are passed on.
    docker(&[
        "exec",
        &backend.container,
        "sh",
        "-c",
        &format!("printf '#!/bin/sh\\necho the schema engine is on fire >&2; exit 3\\n' >{cli}"),
    ]);
    backend.run(&["migrate"]).code(7).says("ended with 3: the schema engine is on fire");
    backend.run(&["generate"]).code(7);
    docker(&["exec", &backend.container, "sh", "-c", &format!("mv {cli}.real {cli}")]);
    backend.run(&["migrate"]).code(0);
}

#[test]
fn a_backend_that_dies_half_way_is_an_outcome_to_look_at() {
    let backend = with_last("prf_die", "create table b (); select pg_sleep(4.5);");
    let running = backend.project.start(&["migrate"]);
    until_it_runs(&backend, "pg_sleep(4.5)");
    docker(&["kill", &backend.container]);
    let ended =
        running.finish_within(Duration::from_secs(30)).code(9).says("ended in the middle of its work");
    ended.says(&format!("it was at {LAST}")).says(&format!("resolve {LAST} --rolled-back"));
}

#[test]
fn a_database_that_dies_half_way_is_an_outcome_to_look_at() {
    for major in [15, 17] {
        let server = Wanted::postgres(major, &format!("prfdb{major}")).start().ready();
        let backend = Backend::on(&server, "prf_db", true);
        backend.run(&["migrate"]).code(0);
        backend.migration(LAST, "create table b (); select pg_sleep(62);");
        let running = backend.project.start(&["migrate"]);
        until_it_runs(&backend, "pg_sleep(62)");
        docker(&["kill", &server.container]);
        let ended = running.finish_within(Duration::from_secs(40)).code(9);
        ended.says("the database does not answer now").says("envctl migrate status");
        docker(&["rm", "-fv", &server.container]);
    }
}

#[test]
fn ctrl_c_ends_prisma_and_its_statement() {
    for server in Server::each() {
        let backend = with_last_on(server, "prf_stop", "select pg_sleep(63);");
        let running = backend.project.start(&["migrate"]);
        until_it_runs(&backend, "pg_sleep(63)");
        running.signal(Signal::INT);
        running.finish_within(Duration::from_secs(20)).code(130).says("envctl migrate status");
        let active = "select count(*) from pg_stat_activity where query like '%pg_sleep(63)%' and pid <> pg_backend_pid()";
        assert_eq!(backend.project.sql(active), "0");
        assert_eq!(row(&backend), "f t", "one statement, taken back");
        backend.migration(LAST, "select 1;");
        backend.run(&["migrate"]).code(0);
    }
}

#[test]
fn prismas_other_states_are_told_before_it_is_started() {
    let backend = Backend::new("prf_states", true);
    let first = "20241201_143022_add_user_table";
    // P3005: tables, and no history.
    backend.project.sql("create table stranger ()");
    backend.run(&["migrate"]).code(6).says("schema is not empty").says(&format!("resolve {first} --applied"));
    backend.project.sql("drop table stranger");
    backend.run(&["migrate"]).code(0);
    // Edited after it was applied: Prisma itself would not say a word.
    let at = backend.source.join("database/prisma/migrations").join(first).join("migration.sql");
    let text = fs::read_to_string(&at).unwrap();
    fs::write(&at, format!("{text}\n-- another\n")).unwrap();
    backend.migration(LAST, "select 1;");
    backend
        .run(&["migrate"])
        .code(6)
        .says(&format!("{first} was edited after it was applied"))
        .says("git log -p");
    backend.run(&["migrate", "status", "--exit-code"]).code(11).says("1 edited since");
    fs::write(&at, &text).unwrap();
    // P3015: a folder without its file. Prisma would apply those before it first.
    fs::create_dir(backend.source.join("database/prisma/migrations/20260102000000_empty")).unwrap();
    backend.run(&["migrate"]).code(6).says("20260102000000_empty holds no migration.sql");
    assert_eq!(row(&backend), "");
    fs::remove_dir(backend.source.join("database/prisma/migrations/20260102000000_empty")).unwrap();
    // P1001: the backend does not reach what envctl reaches.
    let connection = backend.source.join("database/connection.cjs");
    let text = fs::read_to_string(&connection).unwrap();
    fs::write(&connection, text.replace("Number(url.port || 5432)", "1")).unwrap();
    let unreached = backend.run(&["migrate"]).code(7);
    let unreached = unreached.says("ECONNREFUSED|reach the database|does not reach");
    unreached.says("DATABASE_URL|see for yourself");
    fs::write(&connection, text).unwrap();
    backend.run(&["migrate"]).code(0).says("1 migration applied");
}

#[test]
fn a_migration_is_written_while_the_database_is_out_of_step() {
    let backend = with_last("prf_drift", "create table late (id int); select 1/0;");
    backend.run(&["migrate"]).code(7);
    // A failed one, a table nobody migrated, a column that was dropped by hand: `migrate dev` would offer a reset.
    backend.project.sql(
        "create table drifted (id int); insert into drifted values (1); alter table users drop column name",
    );
    backend.migration(LAST, "create table late (id int);");
    backend.schema("model Gadget {\n  id Int @id\n}");
    let path = backend.run(&["migrate", "create", "add_gadget"]).code(0).out();
    let sql = fs::read_to_string(path.trim()).unwrap();
    assert!(sql.contains("CREATE TABLE \"Gadget\"") && !sql.contains("drifted"), "{sql}");
    assert_eq!(backend.project.sql("select count(*) from drifted"), "1");
}

/// Takes the same containers for production.
fn in_production(backend: &Backend) -> String {
    let server = &backend.project.server;
    let service = backend.container.rsplit('-').nth(1).unwrap();
    let toml = format!(
        "stack = \"{}\"\n[profiles.prod]\nproject = \"{}-{}\"\nbackend = \"{service}\"\ndb = \"db\"\n",
        server.stack, server.stack, server.profile
    );
    fs::write(backend.project.path().join("envctl.toml"), toml).unwrap();
    server.stack.clone()
}

/// A push of the schema would lose a column with a value in it.
fn losing(name: &str) -> Backend {
    let backend = Backend::new(name, true);
    backend.schema("model Gadget {\n  id Int @id\n  name String?\n}");
    backend.run(&["push"]).code(0);
    backend.project.sql("insert into \"Gadget\" values (1, 'x')");
    let at = backend.source.join("database/prisma/schema.prisma");
    fs::write(&at, fs::read_to_string(&at).unwrap().replace("  name String?\n", "")).unwrap();
    backend
}

fn kept(backend: &Backend) -> bool {
    backend.project.sql("select count(*) from information_schema.columns where table_name = 'Gadget' and column_name = 'name'") == "1"
}

#[test]
fn a_push_that_loses_data_is_asked_for_with_the_tools_own_words() {
    let backend = losing("prf_push");
    // No terminal: the refusal is shown, nothing is changed.
    let refused = backend.run(&["push"]).code(6).says("losing data").says("there is no terminal to ask at");
    refused.says("column `name` on the `Gadget` table");
    assert!(kept(&backend));
    // At a terminal: the same words, then a question.
    let mut terminal = Pty::start(&backend.project.command(&["push"]));
    let shown = terminal.expect("[y/N] ");
    assert!(shown.contains("--accept-data-loss") && shown.contains("Gadget"), "{shown}");
    terminal.type_in("n\n");
    assert_eq!(terminal.finish(), 6);
    assert!(kept(&backend));
    let mut terminal = Pty::start(&backend.project.command(&["push"]));
    terminal.expect("[y/N] ");
    terminal.type_in("y\n");
    assert_eq!(terminal.finish(), 0);
    assert!(!kept(&backend));
}

#[test]
fn a_push_into_production_takes_the_stacks_name_where_data_goes() {
    let backend = losing("prf_pushprod");
    let stack = in_production(&backend);
    backend.run(&["push"]).code(6).says("--allow-prod");
    backend.run(&["push", "--allow-prod"]).code(6).says("--yes");
    backend.run(&["push", "--allow-prod", "--yes"]).code(6).says("losing data").says("`--yes` is not enough");
    assert!(kept(&backend));
    let mut terminal = Pty::start(&backend.project.command(&["push", "--allow-prod"]));
    terminal.expect("[y/N] ");
    terminal.type_in("y\n");
    terminal.expect("Type the stack's name to go on: ");
    terminal.type_in("another\n");
    assert_eq!(terminal.finish(), 6);
    assert!(kept(&backend));
    backend.run(&["push", "--allow-prod", "--yes", "--confirm", &stack]).code(0);
    assert!(!kept(&backend));
}

#[test]
fn a_migration_of_production_offers_a_backup_when_there_is_none_of_late() {
    let backend = Backend::new("prf_offer", true);
    in_production(&backend);
    let dumps = || walk(&backend.project.path().join("backups"));
    let mut terminal = Pty::start(&backend.project.command(&["migrate", "--untested"]));
    terminal.expect("there is no backup yet");
    terminal.expect("[y/N] ");
    terminal.type_in("y\n");
    terminal.expect("Make a backup first? [y/N] ");
    terminal.type_in("y\n");
    terminal.expect("is backed up in");
    assert_eq!(terminal.finish(), 0);
    assert_eq!(dumps(), 1);
    // It is of late: nothing is offered.
    backend.migration(LAST, "select 1;");
    let mut terminal = Pty::start(&backend.project.command(&["migrate", "--untested"]));
    terminal.expect("[y/N] ");
    terminal.type_in("y\n");
    terminal.expect("1 migration applied");
    assert_eq!(terminal.finish(), 0);
    assert_eq!(dumps(), 1);
    // By flags alone nothing is asked, and the plan says how old the last one is.
    backend.migration("20260102000000_more", "select 1;");
    let toml = backend.project.path().join("envctl.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, format!("{text}\n[migrations]\nbackup_age = \"1s\"\n")).unwrap();
    let offered = || {
        backend.run(&["migrate", "--untested", "--dry-run"]).code(0).out().contains("the last backup is of")
    };
    eventually(Duration::from_secs(30), "the backup gets old", offered);
    backend.run(&["migrate", "--untested", "--yes"]).code(0).says("the last backup is of");
    assert_eq!(dumps(), 1);
}

/// How many dumps lie below.
fn walk(at: &std::path::Path) -> usize {
    let Ok(entries) = fs::read_dir(at) else { return 0 };
    let count = |path: std::path::PathBuf| {
        if path.is_dir() { walk(&path) } else { usize::from(path.to_string_lossy().ends_with(".sql.gz")) }
    };
    entries.map(|entry| count(entry.unwrap().path())).sum()
}

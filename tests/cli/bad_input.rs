//! What goes wrong before anything runs: each case one clear message, a next step, its exit code, and nothing lost.
//!
//! A full disk and a database's name with quotes and spaces need a real server: `f16_…` in `tests/faults`,
//! `hostile_database_names_survive_backup_and_restore` in `tests/scenarios`.

use crate::container::{Container, db, service, stack};
use crate::dumps::{DUMP, pg_dump};
use crate::postgres::Server;
use crate::stage::Stage;

/// One case: what is typed, where, and what has to be said.
struct Case {
    name: &'static str,
    containers: Vec<Container>,
    arguments: &'static [&'static str],
    code: i32,
    /// What failed, with which thing.
    message: &'static str,
    /// What to type next.
    hint: &'static str,
}

fn case(
    name: &'static str,
    containers: Vec<Container>,
    arguments: &'static [&'static str],
    (code, message, hint): (i32, &'static str, &'static str),
) -> Case {
    Case { name, containers, arguments, code, message, hint }
}

/// As `dump.sql`, `cut.sql` and so on in the directory of the stage.
fn files(stage: &Stage) {
    let with = |line: &str| DUMP.replace("COPY public.users (id", &format!("{line}\nCOPY public.users (id"));
    stage.write("dump.sql", DUMP);
    stage.write("cut.sql", &DUMP[..DUMP.len() - 60]);
    stage.write("empty.sql", "");
    stage.write("foreign.txt", "these are my notes, and no dump at all\n");
    stage.write("shell.sql", &with("\\! touch /tmp/owned"));
    stage.write("connect.sql", &with("\\connect other"));
    stage.write("program.sql", &with("COPY public.users FROM PROGRAM 'id';"));
    stage.write("taken.sql.gz", "precious");
}

fn both() -> Vec<Container> {
    let mut both = stack("acme-dev");
    both.extend(stack("shop-dev"));
    both
}

fn in_state(word: &str) -> Vec<Container> {
    stack("acme-dev").into_iter().map(|container| container.state(word)).collect()
}

fn cases() -> Vec<Case> {
    let acme = || stack("acme-dev");
    vec![
        case(
            "no daemon",
            acme(),
            &["backup", "-H", "unix:///no/such.sock"],
            (4, "/no/such.sock", "systemctl start docker"),
        ),
        case("no such context", acme(), &["backup", "--context", "gone"], (4, "gone", "docker context ls")),
        case("no container", vec![], &["backup"], (3, "no containers", "docker compose up -d")),
        case("no database", vec![service("acme-dev", "backend")], &["backup"], (3, "no database", "")),
        case("two candidates", both(), &["backup"], (3, "shop", "--stack")),
        case("stopped", in_state("exited"), &["backup"], (3, "acme-dev-db-1", "docker")),
        case("paused", in_state("paused"), &["backup"], (3, "paused", "docker unpause acme-dev-db-1")),
        case(
            "restarting",
            in_state("restarting"),
            &["backup"],
            (3, "restarting", "docker logs --tail 50 acme-dev-db-1"),
        ),
        case("no sh", vec![db("acme-dev").without("sh")], &["backup"], (7, "acme-dev-db-1", "")),
        case("no pg_dump", vec![db("acme-dev").without("pg_dump")], &["backup"], (7, "pg_dump", "")),
        case("no psql", vec![db("acme-dev").without("psql")], &["backup"], (7, "psql", "")),
        case(
            "no shell",
            vec![service("acme-dev", "backend").without("sh")],
            &["shell"],
            (127, "sh", "envctl exec"),
        ),
        case(
            "unknown user",
            acme(),
            &["exec", "db", "-u", "nosuch", "--", "true"],
            (126, "nosuch", "/etc/passwd"),
        ),
        case(
            "unknown directory",
            acme(),
            &["exec", "db", "-w", "/nosuch", "--", "true"],
            (127, "/nosuch", "-w"),
        ),
        case(
            "a name that is taken",
            acme(),
            &["backup", "-o", "taken.sql.gz"],
            (6, "taken.sql.gz", "--force"),
        ),
        case(
            "no such file",
            acme(),
            &["restore", "gone.sql", "--yes"],
            (2, "gone.sql", "envctl backup list"),
        ),
        case("cut", acme(), &["restore", "cut.sql", "--yes"], (8, "cut.sql is incomplete", "")),
        case(
            "empty",
            acme(),
            &["restore", "empty.sql", "--yes"],
            (8, "empty.sql is empty", "envctl backup list"),
        ),
        case("no dump", acme(), &["restore", "foreign.txt", "--yes"], (8, "foreign.txt", "")),
        case("a command of psql's", acme(), &["restore", "shell.sql", "--yes"], (6, "\\!", "--trust")),
        case("another database", acme(), &["restore", "connect.sql", "--yes"], (6, "\\connect", "")),
        case("a program", acme(), &["restore", "program.sql", "--yes"], (6, "PROGRAM", "--trust")),
    ]
}

/// How many files there are, however deep.
fn left(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { left(&entry.path()) } else { 1 }).sum()
}

#[test]
fn each_is_one_message_with_a_next_step_and_nothing_is_lost() {
    let mut faults = Vec::new();
    for Case { name, containers, arguments, code, message, hint } in cases() {
        let stage = Stage::with(containers);
        let server = Server::new().answer("rolcreatedb", "150018,15.18,t,16384,12345678,f,\n");
        stage.engine.install("*", "psql", server.psql());
        stage.engine.install("*", "pg_dump", pg_dump(DUMP));
        files(&stage);
        let ran = stage.run(arguments);
        let said = ran.err();
        let mut check = |fine: bool, what: &str| {
            if !fine {
                faults.push(format!("{name}: {what}, exit {:?}\n{said}", ran.code));
            }
        };
        check(ran.code == Some(code), &format!("not exit {code}"));
        check(said.lines().filter(|line| line.starts_with("error")).count() == 1, "not one message");
        check(said.contains(message), &format!("does not name {message:?}"));
        let hints = said.split_once("\nhint: ").map_or("", |(_, hints)| hints);
        check(!hints.is_empty() && hints.contains(hint), &format!("no next step {hint:?}"));
        check(left(&stage.path(".local/share/envctl/backups")) == 0, "something is left behind");
        check(std::fs::read_to_string(stage.path("taken.sql.gz")).unwrap() == "precious", "a file is lost");
        check(
            !stage.engine.commands().iter().flatten().any(|word| word.contains("CREATE DATABASE")),
            "the server was changed",
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

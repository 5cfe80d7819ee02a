//! The guards, verb by verb, without a terminal: what runs, what is refused, and that a refusal changed nothing.

use std::fs;

use super::prisma::Backend;
use crate::support::pty::Pty;
use crate::support::rig::{Wanted, docker};

/// What the same containers are taken for.
fn is(backend: &Backend, profile: &str, more: &str) {
    let server = &backend.project.server;
    let service = backend.container.rsplit('-').nth(1).unwrap();
    let toml = format!(
        "stack = \"{}\"\n[profiles.{profile}]\nproject = \"{}-{}\"\nbackend = \"{service}\"\ndb = \"db\"\n{more}",
        server.stack, server.stack, server.profile
    );
    fs::write(backend.project.path().join("envctl.toml"), toml).unwrap();
}

/// Everything that a refused verb could have changed.
fn state(backend: &Backend) -> String {
    backend.project.sql(
        "select string_agg(relname || ' ' || reltuples, ',' order by relname) from pg_class where relnamespace = 'public'::regnamespace \
         union all select coalesce((select string_agg(datname, ',' order by datname) from pg_database where datname like 'envctl%' || current_database()), '-')",
    )
}

#[test]
fn development_runs_what_changes_and_asks_for_what_destroys() {
    let backend = Backend::new("guard_dev", true);
    is(&backend, "dev", "");
    for (args, code) in [
        (&["migrate"][..], 0),
        (&["migrate", "status"], 0),
        (&["seed"], 0),
        (&["generate"], 0),
        (&["push"], 0),
        (&["pull", "--print"], 0),
        (&["backup"], 0),
    ] {
        backend.run(args).code(code);
    }
    let before = state(&backend);
    for args in [&["migrate", "reset"][..], &["restore", "latest"]] {
        let refused = backend.run(args).code(6);
        assert!(refused.err().contains("--yes"), "{args:?}: {}", refused.err());
    }
    assert_eq!(state(&backend), before);
    is(&backend, "dev", "protected = true\n");
    for args in [&["migrate", "reset", "--yes"][..], &["restore", "latest", "--yes"]] {
        backend.run(args).code(6).says("protected");
    }
    assert_eq!(state(&backend), before);
    is(&backend, "dev", "");
    backend.run(&["migrate", "reset", "--yes", "--no-backup"]).code(0);
}

#[test]
fn production_asks_for_what_changes_and_for_the_name_where_data_may_go() {
    let backend = Backend::new("guard_prod", true);
    is(&backend, "prod", "");
    let stack = backend.project.server.stack.clone();
    let before = state(&backend);
    for (args, says) in [
        (&["migrate"][..], "--untested"),
        (&["migrate", "--untested"], "--yes"),
        (&["migrate", "create", "x", "--empty"], "--allow-prod"),
        (&["migrate", "reset", "--yes"], "--allow-prod"),
        (&["migrate", "reset", "--allow-prod"], "--confirm"),
        (&["migrate", "reset", "--allow-prod", "--yes"], "`--yes` is not enough"),
        (&["migrate", "reset", "--allow-prod", "--confirm", "another"], "but the target is"),
        (&["migrate", "resolve", "20241201_143022_add_user_table", "--applied"], "--yes"),
        (&["push"], "--allow-prod"),
        (&["push", "--allow-prod"], "--yes"),
        (&["seed"], "--yes"),
        (&["generate"], "--yes"),
        (&["pull"], "--yes"),
        (&["studio", "--no-open", "--port", "0"], "--confirm"),
        (&["studio", "--no-open", "--port", "0", "--yes"], "`--yes` is not enough"),
    ] {
        let refused = backend.run(args).code(6);
        assert!(refused.err().contains(says), "{args:?}: {}", refused.err());
        assert!(refused.out().is_empty(), "{args:?}: {}", refused.out());
    }
    assert_eq!(state(&backend), before);
    for args in [
        &["migrate", "status"][..],
        &["backup"],
        &["migrate", "--untested", "--yes"],
        &["pull", "--print"],
        &["seed", "--yes"],
    ] {
        backend.run(args).code(0);
    }
    // The environment lifts no guard.
    let mut command = backend.project.command(&["migrate", "reset", "--allow-prod"]);
    command.env("ENVCTL_YES", "1").env("ENVCTL_CONFIRM", &stack);
    crate::support::Running::start(command, None).finish().code(6);
    let confirmed = ["migrate", "reset", "--allow-prod", "--confirm", &stack];
    is(&backend, "prod", "protected = true\n");
    backend.run(&confirmed).code(6).says("protected");
    is(&backend, "prod", "");
    backend.run(&confirmed).code(0).says("backed up in");
}

/// A person at a terminal is asked this, and the answer to silence is no.
#[track_caller]
fn is_asked(backend: &Backend, args: &[&str], question: &str) {
    let mut terminal = Pty::start(&backend.project.command(args));
    terminal.expect(question);
    terminal.type_in("\n");
    assert_eq!(terminal.finish(), 6, "{args:?}");
}

const YES: &str = "[y/N] ";
const NAME: &str = "Type the stack's name to go on: ";

#[test]
fn at_a_terminal_each_act_is_asked_for_in_its_own_way() {
    let backend = Backend::new("guard_tty", true);
    backend.run(&["backup"]).code(0);
    is(&backend, "dev", "");
    let before = state(&backend);
    for args in [&["migrate", "reset"][..], &["restore", "latest"]] {
        is_asked(&backend, args, YES);
    }
    is(&backend, "prod", "");
    for (args, question) in [
        (&["migrate", "--untested"][..], YES),
        (&["migrate", "resolve", "20241201_143022_add_user_table", "--applied"], YES),
        (&["seed"], YES),
        (&["generate"], YES),
        (&["pull"], YES),
        (&["push", "--allow-prod"], YES),
        (&["migrate", "reset", "--allow-prod"], NAME),
        (&["restore", "latest", "--from", "dev", "--to", "prod"], NAME),
        (&["studio", "--no-open", "--port", "0"], NAME),
    ] {
        is_asked(&backend, args, question);
    }
    assert_eq!(state(&backend), before);
}

#[test]
fn a_profile_that_nobody_knows_is_guarded_like_production() {
    let wanted = Wanted { profile: "blue".to_owned(), ..Wanted::postgres(15, "unk") };
    let server = wanted.start().ready();
    let backend = Backend::on(&server, "guard_unknown", true);
    // Nothing says what it is: neither the project's name nor a configuration.
    fs::remove_file(backend.project.path().join("envctl.toml")).unwrap();
    let stack = format!("{}-blue", server.stack);
    let service = backend.container.rsplit('-').nth(1).unwrap().to_owned();
    let before = state(&backend);
    for (args, says) in [
        (&["migrate"][..], "--untested"),
        (&["migrate", "--untested"], "--yes"),
        (&["migrate", "reset"], "--confirm"),
        (&["migrate", "reset", "--yes"], "`--yes` is not enough"),
        (&["push"], "--yes"),
        (&["seed"], "--yes"),
        (&["generate"], "--yes"),
        (&["pull"], "--yes"),
        (&["studio", "--no-open", "--port", "0", "--yes"], "`--yes` is not enough"),
    ] {
        let args = [args, &["-s", &stack]].concat();
        let refused = backend.run(&args).code(6);
        assert!(
            refused.err().contains(says) && refused.err().contains("unknown"),
            "{args:?}: {}",
            refused.err()
        );
    }
    is_asked(&backend, &["migrate", "--untested", "-s", &stack], YES);
    is_asked(&backend, &["migrate", "reset", "-s", &stack], NAME);
    assert_eq!(state(&backend), before);
    backend.run(&["migrate", "status", "-s", &stack]).code(0);
    backend.run(&["exec", &service, "-s", &stack, "--", "true"]).code(0);
    backend.run(&["migrate", "reset", "-s", &stack, "--confirm", &stack]).code(0).says("backed up in");
    docker(&["rm", "-fv", &backend.container, &server.container]);
}

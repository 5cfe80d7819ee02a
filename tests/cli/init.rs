//! `envctl init`: what it writes, what it leaves alone, and the Makefile as make reads it.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use snapbox::{IntoData as _, str};

use crate::container::{service, stack};
use crate::stage::{Ran, Stage};

/// Development and production of acme, started from where the test is.
fn acme() -> Stage {
    let mut all = stack("acme-dev");
    all.extend(stack("acme-prod"));
    all.push(service("acme-prod", "worker"));
    Stage::with(all)
}

/// make with these words, in the test's directory; `envctl` is a program that shows its arguments.
fn make(stage: &Stage, words: &[&str]) -> Ran {
    let recorder = stage.path("recorder");
    std::fs::write(&recorder, "#!/bin/sh\nfor word; do printf '<%s>' \"$word\"; done\necho\n").unwrap();
    std::fs::set_permissions(&recorder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("make");
    command.args(["-s", "ENVCTL=./recorder"]).args(words);
    stage.prepare(command).run()
}

#[test]
fn what_runs_is_written_down_and_the_rest_is_comments() {
    let stage = acme();
    stage.run(["init"]).is(str![[r#"
exit 0
./envctl.toml

"#]]);
    let text = std::fs::read_to_string(stage.path("envctl.toml")).unwrap();
    snapbox::assert_data_eq!(
        text,
        str![[r##"
# envctl.toml: what envctl cannot find out by itself, or shall not have to guess. Every key is optional;
# `envctl config` shows every setting and where it comes from.

# The name of this project's stack.
stack = "acme"

[profiles.dev]
# The compose project.
project = "acme-dev"
backend = "backend"
db = "db"

[profiles.prod]
# The compose project.
project = "acme-prod"
backend = "backend"
db = "db"
# Refuse to destroy anything here, whatever the options.
#protected = true
# The Docker context in which it runs, where that is another machine.
#context = "…"

# How to reach the database, where the container's own settings (POSTGRES_DB, POSTGRES_USER) do not tell.
#[database]
#name = "…"
#user = "…"
#password_file = "secrets/database"

#[backup]
# Where backups lie, as STACK/PROFILE/backup_….sql.gz; relative to this file.
#dir = "backups"
#compress = "zstd"
#exclude_table_data = ["public.sessions"]

"##]]
        .raw()
    );
    let ran = stage.run(["config"]);
    assert_eq!(ran.code, Some(0), "envctl reads what it wrote: {}", ran.err());
}

#[test]
fn what_is_there_stays() {
    let stage = acme();
    stage.write("envctl.toml", "stack = \"mine\"\n");
    stage.run(["init"]).is(str![[r#"
exit 6
! error: [DIR]/envctl.toml exists and is not replaced
! hint: replace it with `--force`, or write another file with `-o FILE`

"#]]);
    assert_eq!(std::fs::read_to_string(stage.path("envctl.toml")).unwrap(), "stack = \"mine\"\n");
    std::fs::write(stage.path("envctl.toml"), "stack = \"acme\"\n").unwrap();
    assert_eq!(stage.run(["init", "--force"]).code, Some(0));
    assert!(std::fs::read_to_string(stage.path("envctl.toml")).unwrap().contains("acme-prod"));
}

#[test]
fn a_dry_run_and_stdout_write_nothing() {
    let stage = acme();
    let shown = stage.run(["init", "--dry-run"]);
    assert_eq!(shown.code, Some(0), "{}", shown.err());
    let streamed = stage.run(["init", "-o", "-"]);
    assert_eq!(shown.out(), streamed.out());
    assert!(shown.out().contains("stack = \"acme\""), "{}", shown.out());
    assert!(!stage.path("envctl.toml").exists());
}

#[test]
fn without_a_stack_there_is_nothing_to_write_down_but_the_makefile() {
    let stage = Stage::with([]);
    let ran = stage.run(["init"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err());
    assert!(ran.err().contains("docker compose up -d"), "{}", ran.err());
    let ran = stage.run(["init", "--makefile"]);
    assert_eq!((ran.code, ran.out().contains("Makefile")), (Some(0), true), "{}", ran.err());
    assert!(!stage.path("envctl.toml").exists());
}

#[test]
fn a_makefile_that_is_there_stays_under_any_of_its_names() {
    for name in ["Makefile", "makefile", "GNUmakefile"] {
        let stage = acme();
        stage.write(name, "mine:\n");
        let ran = stage.run(["init", "--makefile"]);
        assert_eq!(ran.code, Some(6), "{name}: {}", ran.err());
        assert!(ran.err().contains("include envctl.mk"), "{}", ran.err());
        assert_eq!(std::fs::read_to_string(stage.path(name)).unwrap(), "mine:\n");
        assert!(!stage.path("envctl.toml").exists(), "all or nothing");
    }
}

#[test]
fn beside_a_makefile_it_is_included_and_keeps_out_of_its_way() {
    let stage = acme();
    stage.write("Makefile", "include envctl.mk\nall:\n\t@echo mine\nhelp:\n\t@echo my help\n");
    let ran = stage.run(["init", "--makefile", "-o", "envctl.mk"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!(make(&stage, &[]).out(), "mine\n");
    assert_eq!(make(&stage, &["help"]).out(), "my help\n");
    assert_eq!(make(&stage, &["db-backup"]).out(), "<backup>\n");
    assert!(make(&stage, &["envctl-help"]).out().contains("db-migrate-create"));
}

/// The file that the repository's own Makefile includes.
const INCLUDED: &str = include_str!("../../src/commands/init.mk");

/// Runs make in the repository's root, with a program in place of envctl.
fn make_at_the_root(stage: &Stage, envctl: &str, words: &[&str]) -> Ran {
    let mut command = Command::new("make");
    command.args(["-s", "-C", env!("CARGO_MANIFEST_DIR"), "--no-print-directory"]);
    command.arg(format!("ENVCTL={envctl}")).args(words);
    stage.prepare(command).run()
}

#[test]
fn make_at_the_root_means_the_demo_stack_whatever_else_runs() {
    let stage = acme();
    let stack = "printenv ENVCTL_STACK #";
    for (target, _) in TARGETS {
        let values = [*target, "MIGRATION_NAME=a", "BACKUP_FILE=b"];
        let ran = make_at_the_root(&stage, stack, &values);
        assert_eq!((ran.code, ran.out()), (Some(0), "techmage\n".to_owned()), "{target}: {}", ran.err());
    }
    let other = make_at_the_root(&stage, stack, &["db-backup", "ENVCTL_STACK=shop"]);
    assert_eq!(other.out(), "shop\n");
    let help = make_at_the_root(&stage, stack, &[]).out();
    assert_eq!(help, make(&with_makefile(), &[]).out(), "make alone is help");
}

/// The table of the old manual.
const TARGETS: &[(&str, &str)] = &[
    ("db-migrate", "<migrate>"),
    ("db-migrate-dev", "<migrate><--dev>"),
    ("db-migrate-prod", "<migrate><--prod>"),
    ("db-migrate-create", "<migrate><create><--><add user>"),
    ("db-migrate-status", "<migrate><status>"),
    ("db-migrate-reset", "<migrate><reset>"),
    ("db-generate", "<generate>"),
    ("db-push", "<push>"),
    ("db-pull", "<pull>"),
    ("db-studio", "<studio>"),
    ("db-studio-prod", "<studio><--prod>"),
    ("db-seed", "<seed>"),
    ("db-backup", "<backup>"),
    ("db-restore", "<restore><--><backup 1.sql>"),
    ("dev-shell", "<shell><backend>"),
    ("dev-shell-prod", "<shell><backend><--prod>"),
    ("dev-shell-db", "<psql>"),
];

fn with_makefile() -> Stage {
    let stage = acme();
    let ran = stage.run(["init", "--makefile"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    stage
}

#[test]
fn every_target_is_one_line_onto_envctl_and_in_the_help() {
    let stage = with_makefile();
    let help = make(&stage, &[]).out();
    assert_eq!(help, make(&stage, &["help"]).out(), "make alone is help");
    assert_eq!(std::fs::read_to_string(stage.path("Makefile")).unwrap(), INCLUDED);
    for (target, words) in TARGETS {
        let ran = make(&stage, &[target, "MIGRATION_NAME=add user", "BACKUP_FILE=backup 1.sql"]);
        assert_eq!((ran.code, ran.out()), (Some(0), format!("{words}\n")), "{target}: {}", ran.err());
        let line = help.lines().position(|line| line.split_whitespace().next() == Some(target));
        let russian = help.lines().nth(line.unwrap_or_else(|| panic!("{target} is in the help")) + 1);
        assert!(russian.unwrap().chars().any(|c| ('а'..='я').contains(&c)), "{target}: {russian:?}");
    }
    assert_eq!(help.lines().count(), 2 * TARGETS.len(), "and nothing else");
}

#[test]
fn a_value_reaches_envctl_as_it_is() {
    let stage = with_makefile();
    for value in [
        "it's \"b\" c",
        "$(shell touch gone)",
        "`touch gone`",
        "$HOME $$x",
        "; touch gone",
        "--force",
        "a\\ b",
        "größe #1",
    ] {
        let ran = make(&stage, &["db-restore", &format!("BACKUP_FILE={value}")]);
        assert_eq!(ran.out(), format!("<restore><--><{value}>\n"), "{}", ran.err());
        let mut command = Command::new("make");
        command.args(["-s", "ENVCTL=./recorder", "db-migrate-create"]);
        let ran = stage.prepare(command).env("MIGRATION_NAME", value).run();
        assert_eq!(ran.out(), format!("<migrate><create><--><{value}>\n"), "{}", ran.err());
    }
    assert!(!stage.path("gone").exists());
    let ran = make(&stage, &["db-backup", "ARGS=--prod --compress zstd"]);
    assert_eq!(ran.out(), "<backup><--prod><--compress><zstd>\n");
}

#[test]
fn a_missing_value_is_one_clear_message() {
    let stage = with_makefile();
    make(&stage, &["db-migrate-create"]).is(str![[r#"
exit 2
! Makefile:36: *** MIGRATION_NAME is missing / не указано: make db-migrate-create MIGRATION_NAME=add_user_table.  Stop.

"#]]);
    make(&stage, &["db-restore", "BACKUP_FILE="]).is(str![[r#"
exit 2
! Makefile:66: *** BACKUP_FILE is missing / не указано: make db-restore BACKUP_FILE=backup_20241201_143022.sql.  Stop.

"#]]);
}

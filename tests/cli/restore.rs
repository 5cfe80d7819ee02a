//! `envctl restore` up to the point where a person agrees: what is checked, refused and shown before.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use snapbox::str;

use crate::backup::acme;
use crate::container::{Container, db, stack};
use crate::dumps::{DUMP, pg_dump};
use crate::postgres::Server;
use crate::stage::{Stage, finish};

/// A server that may be restored into.
fn server() -> Server {
    Server::new().answer("rolcreatedb", "150018,15.18,t,16384,12345678,f,\n")
}

fn with(containers: Vec<Container>, server: Server) -> Stage {
    let stage = Stage::with(containers);
    stage.engine.install("*", "psql", server.psql());
    stage.engine.install("*", "pg_dump", pg_dump(DUMP));
    stage
}

/// That nothing in the container was asked for but questions.
#[track_caller]
fn nothing_changed(stage: &Stage) {
    for argv in stage.engine.commands() {
        assert!(argv.contains(&"--csv".to_owned()), "{argv:?}");
    }
}

#[test]
fn nothing_named_and_nothing_there() {
    acme().run(["restore"]).is(str![[r#"
exit 2
! error: what shall be restored?
! hint: name it: `envctl restore latest`, or a file of `envctl backup list`

"#]]);
    acme().run(["restore", "latest"]).is(str![[r#"
exit 3
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)
! error: there are no backups in [DIR]/.local/share/envctl/backups/acme/dev
! hint: list all of them: `envctl backup list --dev`
! hint: make one: `envctl backup --dev`

"#]]);
    acme().run(["restore", "nosuch.sql.gz"]).is(str![[r#"
exit 2
! checking nosuch.sql.gz
! error: cannot read nosuch.sql.gz: No such file or directory (os error 2)
! hint: see those that are there: `envctl backup list --dev`

"#]]);
}

#[test]
fn ctrl_c_is_heard_while_a_large_file_is_checked() {
    let stage = with(stack("acme-dev"), server());
    stage.write("large.sql", DUMP);
    // Hours of reading, and no private directory on the disk.
    File::options().write(true).open(stage.path("large.sql")).unwrap().set_len(1 << 40).unwrap();
    let mut child = stage.envctl(["restore", "large.sql", "--yes"]).start();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("checking large.sql"), "{line}");
    let cancelled = Instant::now();
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ran = finish(child, stage.path(""), cancelled);
    assert_eq!(ran.code, Some(130));
    assert!(ran.took < Duration::from_secs(4), "{:?}", ran.took);
}

#[test]
fn without_a_terminal_and_a_word_nothing_happens() {
    let stage = with(stack("acme-dev"), server());
    stage.write("dump.sql", DUMP);
    let ran = stage.run(["restore", "dump.sql"]);
    assert_eq!(ran.code, Some(6), "{}", ran.err());
    assert!(ran.err().contains("--yes"), "{}", ran.err());
    nothing_changed(&stage);
}

#[test]
fn in_production_yes_is_not_enough_and_the_name_has_to_be_right() {
    for (arguments, hint) in [
        (&["restore", "dump.sql", "--prod", "--yes"][..], "--confirm acme"),
        (&["restore", "dump.sql", "--prod", "--confirm", "shop"], "--confirm acme"),
    ] {
        let stage = with(stack("acme-prod"), server());
        stage.write("dump.sql", DUMP);
        let ran = stage.run(arguments);
        assert_eq!(ran.code, Some(6), "{arguments:?}: {}", ran.err());
        assert!(ran.err().contains(hint), "{arguments:?}: {}", ran.err());
        nothing_changed(&stage);
    }
}

#[test]
fn a_protected_database_is_refused_whatever_the_flags() {
    let stage = with(vec![db("acme-prod").label("envctl.protected", "true")], server());
    stage.write("dump.sql", DUMP);
    let ran = stage.run(["restore", "dump.sql", "--prod", "--confirm", "acme", "--yes"]);
    assert_eq!(ran.code, Some(6), "{}", ran.err());
    assert!(ran.err().contains("protected"), "{}", ran.err());
    nothing_changed(&stage);
}

#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let stage = with(stack("acme-dev"), server());
    stage.write("dump.sql", DUMP);
    let ran = stage.run(["restore", "dump.sql", "--dry-run", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let said = ran.out() + &ran.err();
    for words in ["restore dump.sql", "2 rows", "replaces database \"acme\"", "backed up first"] {
        assert!(said.contains(words), "no {words:?} in: {said}");
    }
    nothing_changed(&stage);
}

#[test]
fn a_dump_that_is_cut_never_meets_the_server() {
    let stage = with(stack("acme-dev"), server());
    stage.write("cut.sql", &DUMP[..DUMP.len() - 60]);
    stage.run(["restore", "cut.sql", "--yes"]).is(str![[r#"
exit 8
! checking cut.sql
! error: cut.sql is incomplete: it ends inside the COPY of public.users
! note: a plain dump ends with `-- PostgreSQL database dump complete`, an archive with the data of its last table
! note: nothing was swapped in
! hint: take another copy of the file, or make the dump again

"#]]);
    stage.write("empty.sql", "");
    stage.run(["restore", "empty.sql", "--yes"]).is(str![[r#"
exit 8
! checking empty.sql
! error: empty.sql is empty
! hint: see the others: `envctl backup list --dev`

"#]]);
    assert!(stage.engine.commands().is_empty(), "{:?}", stage.engine.commands());
}

#[test]
fn what_only_looks_like_an_archive_is_told_as_damaged() {
    let stage = with(stack("acme-dev"), server());
    stage.write("dump.custom", "PGDMP\u{1}\u{e}\u{0}and more");
    stage.run(["restore", "dump.custom", "--yes"]).is(str![[r#"
exit 8
! checking dump.custom
! error: dump.custom is incomplete: its numbers have 97 and 110 bytes, not 4 and 8
! note: a plain dump ends with `-- PostgreSQL database dump complete`, an archive with the data of its last table
! note: nothing was swapped in
! hint: take another copy of the file, or make the dump again

"#]]);
    std::fs::create_dir(stage.path("directory")).unwrap();
    stage.run(["restore", "directory", "--yes"]).is(str![[r#"
exit 8
! checking directory
! error: directory: it holds no toc.dat, which every archive of pg_dump has
! hint: look what is in it: is it something else than an archive of pg_dump?

"#]]);
}

#[test]
fn a_foreign_dump_that_would_run_code_is_refused() {
    for (number, code) in ["\\! rm -rf /\n", "COPY public.users FROM PROGRAM 'id';\n"].iter().enumerate() {
        let stage = with(stack("acme-dev"), server());
        stage.write(
            "foreign.sql",
            &DUMP.replace("COPY public.users (id", &format!("{code}COPY public.users (id")),
        );
        let ran = stage.run(["restore", "foreign.sql", "--yes"]);
        assert_eq!(ran.code, Some(6), "{number}: {}", ran.err());
        assert!(ran.err().contains("--trust"), "{number}: {}", ran.err());
        assert!(stage.engine.commands().is_empty());
    }
}

#[test]
fn a_backup_that_was_changed_is_not_restored() {
    let stage = with(stack("acme-dev"), server());
    let ran = stage.run(["backup", "-o", "mine.sql", "--compress", "none"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    stage.write("mine.sql", &DUMP.replace("ada", "eve"));
    let ran = stage.run(["restore", "mine.sql", "--yes"]);
    assert_eq!(ran.code, Some(8), "{}", ran.err());
    assert!(ran.err().contains("manifest"), "{}", ran.err());
}

#[test]
fn a_role_that_may_not_create_databases_is_told_before() {
    let server = Server::new().answer("rolcreatedb", "150018,15.18,f,16384,12345678,f,\n");
    let stage = with(stack("acme-dev"), server);
    stage.write("dump.sql", DUMP);
    stage.run(["restore", "dump.sql", "--yes"]).is(str![[r#"
exit 6
! checking dump.sql
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)
! error: the role postgres may not create databases, and a restore loads into a new one and swaps
! hint: let a superuser run `ALTER ROLE "postgres" CREATEDB`, or name another role in envctl.toml: `[database] user = "…"`
! hint: restore into an empty database that belongs to the role, which needs no such right: `--into NAME`

"#]]);
}

#[test]
fn from_development_up_into_production_both_ends_are_named() {
    let mut both = stack("acme-dev");
    both.extend(stack("acme-prod"));
    let stage = with(both, server());
    let ran = stage.run(["backup", "--dev", "-o", "dev.sql", "--compress", "none"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let before = stage.engine.commands().len();
    stage.run(["restore", "dev.sql", "--prod", "--confirm", "acme"]).is(str![[r#"
exit 6
! checking dev.sql
! error: this would put the data of dev into acme prod
! hint: name both ends, if that is what you want: `--from dev --to prod`

"#]]);
    assert_eq!(stage.engine.commands().len(), before, "the server was asked");
}

#[test]
fn undo_without_anything_to_undo() {
    acme().run(["restore", "undo"]).is(str![[r#"
exit 3
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)
! error: there is no previous database of "acme"
! hint: restore a backup instead: `envctl backup list --dev`

"#]]);
}

#[test]
fn a_hint_for_a_file_that_does_not_load_keeps_the_options_of_the_command() {
    let stage = acme();
    stage.write("front.sql", &format!("pg_dump: warning: x\n{DUMP}"));
    stage.write("locked.sql.gpg", "-----BEGIN PGP MESSAGE-----\n");
    for (file, hint) in [
        ("front.sql", "`envctl restore front.sql --into other --no-owner --skip-leading-text"),
        ("locked.sql.gpg", "| envctl restore - --into other --no-owner"),
    ] {
        let ran = stage.run(["restore", file, "--into", "other", "--no-owner", "--yes"]);
        assert!(ran.code != Some(0) && ran.err().contains(hint), "{file}: {}", ran.err());
    }
}

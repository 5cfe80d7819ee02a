//! Tools that fail and lie in a worker, which has them from the image and not from the container (F08, F09, F22).

use std::sync::OnceLock;

use crate::place::Place;
use crate::support::rig::Wanted;
use crate::support::{Server, Snapshot};

/// pg_dump does what the name of the database says, into a file, a FIFO or a directory as it is told.
const PG_DUMP: &str = r#"#!/bin/sh
out=
for word; do case $word in --file=*) out=${word#--file=} ;; esac; done
half() {
    # Without its file it writes to its output.
    for word; do shift; case $word in --file=*) ;; *) set -- "$@" "$word" ;; esac; done
    /usr/bin/pg_dump "$@" | head -c 20000 >"$out"
}
for word; do case $word in
  *exits3*) /usr/bin/pg_dump "$@"; echo "crooked: I failed at last" >&2; exit 3 ;;
  *half*)
    case "$*" in
      *--format=directory*) /usr/bin/pg_dump "$@" && for file in "$out"/*.dat*; do head -c 2000 "$file" >"$out/x" && mv "$out/x" "$file"; done ;;
      *) half "$@" ;;
    esac
    exit 0 ;;
  *silent*) exit 0 ;;
  *chatty*) head -c 8000000 /dev/zero | tr '\0' 'x' >&2; printf '\nlast \033]0;words\n' >&2 ;;
esac; done
exec /usr/bin/pg_dump "$@"
"#;

/// A server whose image, and so whose workers, have that pg_dump.
fn crooked() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let model = Wanted::postgres(15, "crookm").start().ready();
        model.install("pg_dump", PG_DUMP);
        Wanted { image: model.image(), ..Wanted::postgres(15, "crookw") }.start().stays().ready()
    })
}

/// The three ways of a worker's dump: a stream, an archive as one, a directory.
const FORMATS: [&[&str]; 3] =
    [&["--format", "plain"], &["--format", "custom"], &["--format", "directory", "-j", "2"]];

fn backup<'a>(format: &[&'a str], file: &'a str) -> Vec<&'a str> {
    [&["backup", "--transport", "worker", "-v", "-o", file], format].concat()
}

#[test]
fn f08_f09_what_pg_dump_says_of_itself_in_a_worker_is_not_enough() {
    for (name, code, words) in [
        ("exits3", 7, "crooked: i failed at last"),
        ("half", 8, "incomplete|truncated|damaged|ended early|not whole|ends"),
        ("silent", 8, "incomplete|truncated|empty|no such file|not whole"),
    ] {
        let place = Place::new(crooked(), name, 2000);
        let before = Snapshot::of(&place.project);
        // What half a directory comes to has a test of its own.
        let formats = if name == "exits3" { &FORMATS[..] } else { &FORMATS[..2] };
        for format in formats {
            let finished = place.run(&backup(format, "b.out"));
            assert_eq!(finished.code, code, "{name} {format:?}: {}", finished.err());
            finished.says(words);
            assert!(!place.project.path().join("b.out").exists(), "{name} {format:?}");
            assert!(!place.project.path().join("b.out.json").exists(), "{name} {format:?}");
            place.project.assert_nothing_but(&before);
            place.project.assert_no_partials(place.project.path());
            place.assert_swept();
        }
    }
}

#[test]
fn f22_what_a_tool_chatters_in_a_worker_is_bounded_and_escaped() {
    let place = Place::new(crooked(), "chatty", 2000);
    for format in FORMATS {
        let file = format!("{}.out", format[1]);
        let finished = place.run(&backup(format, &file)).code(0);
        assert!(finished.stderr.len() < 200_000, "{} bytes of stderr", finished.stderr.len());
        assert!(!finished.stderr.contains(&0x1b), "a raw escape sequence of the tool reached the terminal");
        assert_eq!(place.manifest(&file)["transport"], "worker");
        let other = format!("{}_other", place.project.database);
        place.run(&["restore", &file, "--into", &other, "--yes", "--no-backup"]).code(0);
        assert_eq!(place.project.server.sql(&other, "select count(*) from item"), "2000");
        place.assert_swept();
    }
}

#[test]
fn f09_half_a_directory_and_none_are_no_backup_and_told_as_such() {
    for name in ["half", "silent"] {
        let place = Place::new(crooked(), name, 2000);
        let before = Snapshot::of(&place.project);
        let finished = place.run(&backup(FORMATS[2], "b.out"));
        place.project.assert_nothing_but(&before);
        place.project.assert_no_partials(place.project.path());
        place.assert_swept();
        finished.code(8).says("incomplete");
    }
}

//! Archives between servers, in part, cut and bent: what `pg_restore` alone would not notice.

use crate::support::rig::docker;
use crate::support::{Project, Server, Snapshot, pairs};

#[test]
fn a_custom_backup_is_listed_and_is_the_latest() {
    let project = Project::new(Server::shared(15), "arc");
    project.fill(500);
    let digest = project.digest();
    project.run(&["backup", "--format", "custom"]).code(0);
    let backup = Snapshot::of(&project).dumps().remove(0);
    assert!(backup.to_string_lossy().ends_with(".dump"), "{backup:?}");
    // Readable without envctl.
    let name = backup.file_name().unwrap().to_str().unwrap();
    docker(&["cp", backup.to_str().unwrap(), &format!("{}:/tmp/{name}", project.server.container)]);
    let listed =
        project.server.sh(&format!("pg_restore -l /tmp/{name}; pg_restore -f /dev/null /tmp/{name}"));
    assert!(listed.contains("TABLE DATA public item"), "{listed}");
    let shown = project.run(&["backup", "show"]).code(0);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("custom archive"));
    project.sql("delete from item");
    project.run(&["restore", "latest", "--yes", "--no-backup"]).code(0);
    assert_eq!(project.digest(), digest);
    project.drop_siblings();
}

/// The list of entries ends far behind the first block of the file, and few data follow.
#[test]
fn an_archive_that_is_nearly_all_list_is_restored() {
    let mut all = Vec::new();
    for major in [15, 17] {
        for kilobytes in [500, 1500, 2500] {
            all.extend(["exec", "worker", "a pipe"].map(|way| (major, kilobytes, way)));
        }
    }
    let selected = pairs::rows(all, |(major, kilobytes, way)| {
        [major.to_string(), kilobytes.to_string(), (*way).to_owned()]
    });
    for major in [15, 17] {
        let project = Project::new(Server::shared(major), "listed");
        project.fill(20);
        let digest = project.digest();
        for kilobytes in [500, 1500, 2500] {
            project.sql(&format!(
                "do $do$ begin execute 'create or replace function wordy() returns int language sql as $f$ select 1 /* ' \
                 || repeat(md5('x'), 32 * {kilobytes}) || ' */ $f$'; end $do$"
            ));
            let made = project.run(&["backup", "--format", "custom", "-q"]).code(0).out();
            for (_, _, way) in selected.iter().filter(|row| (row.0, row.1) == (major, kilobytes)) {
                if *way == "a pipe" {
                    let bytes = std::fs::read(made.trim()).unwrap();
                    project.run_with(&bytes, &["restore", "-", "--yes", "--no-backup"]).code(0);
                } else {
                    let restore = ["restore", made.trim(), "--yes", "--no-backup", "--transport", way];
                    project.run(&restore).code(0);
                }
                assert_eq!(project.digest(), digest, "PostgreSQL {major}, {kilobytes} kB, {way}");
                assert_eq!(project.sql("select wordy()"), "1");
            }
        }
        project.drop_siblings();
    }
}

#[test]
fn a_part_in_an_archive_is_a_part() {
    let project = Project::new(Server::shared(17), "part");
    project.fill(100);
    let other = format!("{}_part", project.database);
    for (option, rows) in [("--schema-only", "0"), ("--exclude-table-data=item", "0")] {
        let file = format!("part{}.dump", option.len());
        project.run(&["backup", "--format", "custom", option, "-o", &file]).code(0);
        let refused = project.run(&["restore", &file, "--yes"]).code(6);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("only a part"));
        project.run(&["restore", &file, "--into", &other, "--yes", "--no-backup"]).code(0);
        assert_eq!(project.server.sql(&other, "select count(*) from item"), rows, "{option}");
        project.server.sql("postgres", &format!("drop database {other}"));
    }
}

#[test]
fn what_is_cut_or_bent_or_too_new_changes_nothing() {
    let project = Project::new(Server::shared(15), "bent");
    project.fill(300);
    let digest = project.digest();
    project.run(&["backup", "--format", "custom", "-o", "whole.dump"]).code(0);
    let whole = std::fs::read(project.path().join("whole.dump")).unwrap();
    // No manifest beside these: the archive's own structure has to tell. `pg_restore -l` passes on both.
    std::fs::write(project.path().join("cut.dump"), &whole[..whole.len() - whole.len() / 10]).unwrap();
    let mut bent = whole;
    let at = bent.len() - 100;
    bent[at] ^= 0x10;
    std::fs::write(project.path().join("bent.dump"), bent).unwrap();
    for file in ["cut.dump", "bent.dump"] {
        project.run(&["restore", file, "--yes"]).code(8);
    }
    let newer = Server::shared(17).bytes("pg_dump -U postgres -Fc postgres");
    std::fs::write(project.path().join("newer.dump"), newer).unwrap();
    let refused = project.run(&["restore", "newer.dump", "--trust", "--yes"]).code(6);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("pg_restore of PostgreSQL 15"));
    assert_eq!(project.digest(), digest);
    assert!(project.server.siblings(&project.database).is_empty());
}

#[test]
fn a_tar_of_pg_dump_with_large_objects_is_loaded_over_two_sessions() {
    for server in Server::each() {
        let project = Project::new(server, "objects");
        project.fill(20);
        let owner = format!("{}_owner", project.database);
        // From PostgreSQL 17 on the objects of each owner are an entry of their own.
        project.sql(&format!(
            "create role {owner}; select lo_from_bytea(70001, 'first'), lo_from_bytea(70002, 'second'); \
             alter large object 70002 owner to {owner}"
        ));
        let objects =
            "select m.oid, lo_get(m.oid), lomowner::regrole from pg_largeobject_metadata m order by 1";
        let (before, digest) = (project.sql(objects), project.digest());
        let tar = server.bytes(&format!("pg_dump -U postgres -Ft {}", project.database));
        std::fs::write(project.path().join("objects.tar"), tar).unwrap();
        project.sql("select lo_unlink(70001); delete from item");
        let restore = ["restore", "objects.tar", "--trust", "--yes", "--no-backup", "-j", "2", "-v"];
        project.run(&restore).code(0).says("by pg_restore over 2 sessions");
        assert_eq!((project.sql(objects), project.digest()), (before, digest));
        project.drop_siblings();
        server
            .sql("postgres", &format!("drop database {} with (force); drop role {owner}", project.database));
    }
}

/// Several sessions and a worker read the archive's list; what is left out of that is left out for each.
#[test]
fn extensions_and_event_triggers_are_left_out_of_an_archive_on_every_way() {
    for server in Server::each() {
        let project = Project::new(server, "without");
        project.fill(300);
        project.sql(
            "create extension citext; create extension pg_trgm; \
             create function note() returns event_trigger language plpgsql as 'begin end'; \
             create event trigger noted on ddl_command_end execute function note()",
        );
        let digest = project.digest();
        let into = format!("{}_in", project.database);
        for format in ["-Fc", "-Ft"] {
            let dump = server.bytes(&format!("pg_dump -U {} {format} {}", server.user, project.database));
            std::fs::write(project.path().join("a.dump"), dump).unwrap();
            for ways in [
                &["-j", "2"][..],
                &["--transport", "worker"],
                &["--transport", "worker", "-j", "2"],
                &["--transport", "exec"],
                &["-j", "2", "--trust"],
            ] {
                let args = ["restore", "a.dump", "--into", &into, "--yes", "--no-backup", "-v"];
                let left_out = ["--skip-extension", "citext", "--skip-event-triggers"];
                let restored = project.run(&[&args[..], &left_out, ways].concat()).code(0);
                let there = "select (select string_agg(extname, ' ' order by extname) from pg_extension), \
                             (select count(*) from pg_event_trigger)";
                assert_eq!(server.sql(&into, there), "pg_trgm plpgsql|0", "{ways:?}: {}", restored.err());
                let rows = "select count(*) || ' ' || coalesce(md5(string_agg(i::text, ',' order by id)), '') from item i";
                assert_eq!(server.sql(&into, rows), project.sql(rows), "{ways:?}");
                server.sql("postgres", &format!("drop database {into}"));
            }
        }
        assert_eq!(project.digest(), digest);
        project.drop_siblings();
    }
}

//! Databases with the real PostGIS, whose extension fills tables that a dump has rows of, too.
//!
//! The judge is plain `pg_dump | psql`: what is restored must dump as what that makes, and have its rows. The rows are not
//! those of the original: a dump does not carry the position of `topology_id_seq` (PostGIS 3.3).

use std::sync::OnceLock;

use crate::round_trip::{assert_same, contents, dump};
use crate::round_trip_worker::in_control;
use crate::support::rig::Wanted;
use crate::support::{Project, Server};

/// The server that the tests here share.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let wanted = Wanted::postgres(15, "postgis");
        Wanted { image: "envctl-postgis:15".to_owned(), ..wanted }.without_filter().start().stays().ready()
    })
}

/// A filled database, and what its restored copies have to be.
struct Towns {
    project: Project,
    dump: String,
    contents: String,
}

impl Towns {
    fn new(name: &str) -> Self {
        let project = Project::new(server(), name);
        project.sql(include_str!("postgis/towns.sql"));
        let database = &project.database;
        let (dump, contents) = in_control(server(), database, |control| {
            (dump(server(), control).replace(control, database), contents(server(), control))
        });
        Self { project, dump, contents }
    }

    #[track_caller]
    fn assert_in(&self, database: &str, what: &str) {
        let dumped = dump(server(), database).replace(database, &self.project.database);
        assert_same(&dumped, &self.dump, &format!("the dumps of {what}"));
        assert_same(&contents(server(), database), &self.contents, &format!("the contents of {what}"));
    }

    /// Restores a file into the database itself, or into another one, which is dropped again; returns the answer.
    #[track_caller]
    fn restore(&self, file: &str, options: &[&str], into: Option<&str>) -> String {
        let what = format!("{file} {options:?} {into:?}");
        let into_other: &[&str] = &match into {
            Some(other) => vec!["--into", other],
            None => Vec::new(),
        };
        let args = [&["restore", file, "--yes", "--no-backup", "--json"], options, into_other].concat();
        let restored = self.project.run(&args).code(0);
        self.assert_in(into.unwrap_or(&self.project.database), &what);
        match into {
            Some(other) => drop(server().sql("postgres", &format!("drop database {other}"))),
            None => self.project.drop_siblings(),
        }
        restored.out()
    }
}

/// Note on the rows that an archive does not have and the extension brings.
#[track_caller]
fn assert_explained(answer: &str) {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    let notes: Vec<&str> =
        answer["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let explained = notes[0]
        .starts_with("public.spatial_ref_sys has 8500 rows more than in the dump (8502 instead of 2)")
        && notes[0].ends_with("CREATE EXTENSION postgis fills it");
    assert!(explained, "{notes:?}");
}

#[test]
fn a_postgis_database_comes_back_from_every_format_by_every_transport() {
    let towns = Towns::new("towns");
    let other = format!("{}_other", towns.project.database);
    for (format, transport, jobs) in [
        ("plain", "exec", "1"),
        ("plain", "worker", "2"),
        ("custom", "exec", "1"),
        ("custom", "worker", "2"),
        ("directory", "exec", "1"),
        ("directory", "worker", "2"),
    ] {
        let file = format!("{format}_{transport}");
        // Nothing but a worker writes a directory, and nothing else is dumped over several sessions.
        let (by, dump_jobs) = if format == "directory" { ("worker", jobs) } else { (transport, "1") };
        let backup = ["backup", "--format", format, "--transport", by, "-j", dump_jobs, "-o", &file];
        towns.project.run(&backup).code(0);
        let options = ["--transport", transport, "-j", jobs];
        towns.project.sql(
            "drop materialized view towns.grid; delete from towns.place where id > 7; \
             delete from spatial_ref_sys where srid < 5000 or srid = 990002; drop table towns.block",
        );
        let others: &[Option<&str>] = if transport == "exec" { &[Some(&other)] } else { &[] };
        for into in [&[None], others].concat() {
            let answer = towns.restore(&file, &options, into);
            if format == "plain" {
                // psql tells the rows of each COPY itself.
                assert!(answer.contains("\"notes\":[]"), "{answer}");
            } else {
                assert_explained(&answer);
            }
        }
    }
    server().sql("postgres", &format!("drop database {}", towns.project.database));
}

#[test]
fn a_foreign_dump_of_a_postgis_database_is_loaded_by_the_role_without_superuser() {
    let towns = Towns::new("foreign_towns");
    let database = &towns.project.database;
    let other = format!("{database}_other");
    let trusted: &[&str] = &["--trust", "-j", "2"];
    for (file, script, options) in [
        ("plain.sql", "pg_dump -U postgres DB", [&[][..], trusted]),
        ("custom.dump", "pg_dump -U postgres -Fc DB", [&["-j", "2"][..], trusted]),
        ("tar.tar", "pg_dump -U postgres -Ft DB", [&[][..], &["-j", "2"]]),
        (
            "directory.tar",
            "d=$(mktemp -d); pg_dump -U postgres -Fd -j2 -f $d/d DB; tar -C $d -cf - d; rm -rf $d",
            [&["-j", "2"][..], trusted],
        ),
    ] {
        let dump = server().bytes(&script.replace("DB", database));
        std::fs::write(towns.project.path().join(file), dump).unwrap();
        for options in options {
            let answer = towns.restore(file, options, Some(&other));
            if file != "plain.sql" {
                assert_explained(&answer);
            }
        }
    }
    let roles = "select count(*) from pg_roles where rolname like 'envctl%'";
    assert_eq!(server().sql("postgres", roles), "0");
    server().sql("postgres", &format!("drop database {database}"));
}

#[test]
fn the_raster_part_of_postgis_reads_files_and_needs_trust() {
    let project = Project::new(server(), "raster");
    project.sql(
        "create extension postgis; create extension postgis_raster; \
         create table tile as select 1 as id, st_addband(st_makeemptyraster(4, 4, 0, 0, 1), '8BUI'::text, 7, 0) as rast",
    );
    let tile = "select st_value(rast, 1, 2, 2) from tile";
    let dump = server().bytes(&format!("pg_dump -U postgres {}", project.database));
    std::fs::write(project.path().join("raster.sql"), dump).unwrap();
    project
        .run(&["restore", "raster.sql", "--yes", "--no-backup"])
        .code(6)
        .says("postgis_raster")
        .says("--trust");
    project.sql("delete from tile");
    project.run(&["restore", "raster.sql", "--trust", "--yes", "--no-backup"]).code(0);
    assert_eq!(project.sql(tile), "7");
    project.drop_siblings();
}

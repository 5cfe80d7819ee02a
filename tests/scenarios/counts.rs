//! Restores after which a table has more rows than the dump, and dumps that do not tell their rows.

use crate::support::{Project, Server};

/// An extension that fills its own configuration table, as PostGIS and TimescaleDB do.
const EXTENSION: &str = r"
d=$(pg_config --sharedir 2>/dev/null || ls -d /usr/share/postgresql/*)/extension
printf 'default_version = 1\nrelocatable = false\nschema = public\n' >$d/rig_config.control
cat >$d/rig_config--1.sql <<'END'
CREATE TABLE rig_config (k int PRIMARY KEY, v text);
INSERT INTO rig_config VALUES (1, 'its own'), (2, 'its own');
SELECT pg_extension_config_dump('rig_config', 'WHERE k > 100');
END
";

/// Formats of a backup: the options of `backup`, and of `restore`.
const FORMATS: &[(&str, &[&str], &[&str])] = &[
    ("plain.sql.gz", &[], &[]),
    ("custom.dump", &["--format", "custom"], &[]),
    ("two.dump", &["--format", "custom"], &["-j", "2"]),
    ("directory.tar", &["--format", "directory"], &[]),
    ("worker.tar", &["--format", "directory"], &["-j", "2"]),
];

fn more_rows(major: u8) {
    let server = Server::shared(major);
    server.sh(EXTENSION);
    let project = Project::new(server, "more");
    let (database, other) = (&project.database, format!("{}_other", project.database));
    server.sql(database, "create extension rig_config; insert into rig_config values (101, 'mine')");
    server.sql(database, include_str!("cases/s12a-event-trigger-log.sql"));
    if major >= 17 {
        server.sql(database, include_str!("cases/s22-login-trigger.sql"));
    }
    let foreign = server.bytes(&format!("pg_dump -U postgres -Fc {database}"));
    std::fs::write(project.path().join("foreign.dump"), foreign).unwrap();
    let digest = "select count(*), md5(string_agg(t::text, ',' order by id)) from t1 t \
                  union all select count(*), md5(string_agg(t::text, ',' order by id)) from t2 t";
    let rows = server.sql(database, digest);
    let restored = |file: &str, options: &[&str]| {
        let args = ["restore", file, "--into", &other, "--yes", "--no-backup", "--json"];
        let done = project.run(&[&args[..], options].concat()).code(0);
        assert_eq!(server.sql(&other, digest), rows, "{file}");
        assert_eq!(
            server.sql(&other, "select string_agg(k::text, ',' order by k) from rig_config"),
            "1,2,101"
        );
        server.sql("postgres", &format!("drop database {other}"));
        done
    };
    for (file, backup, restore) in FORMATS {
        project.run(&[&["backup", "-o", file], *backup].concat()).code(0);
        let out = restored(file, restore).out();
        if *file == "plain.sql.gz" {
            // psql tells the rows of each COPY itself.
            assert!(out.contains("\"notes\":[]"), "{out}");
        } else {
            told(&out, major, !restore.is_empty());
        }
    }
    told(&restored("foreign.dump", &["--trust"]).out(), major, false);
    told(&restored("foreign.dump", &["--trust", "-j", "2"]).out(), major, true);
    project.run(&["restore", "custom.dump", "--into", &other, "--yes", "--no-backup"]).code(0)
        .says("note: public.rig_config has 2 rows more than in the dump (3 instead of 1): create extension rig_config fills it");
    server.sql("postgres", &format!("drop database {other}"));
    // Fewer rows are a loss still.
    let fewer = server.bytes(&format!("pg_dump -U postgres -Fc {database}"));
    std::fs::write(project.path().join("fewer.dump"), fewer).unwrap();
    server.sh(&EXTENSION.replace(
        "SELECT pg_ext",
        "CREATE FUNCTION rig_drop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER rig_drop BEFORE INSERT ON rig_config FOR EACH ROW EXECUTE FUNCTION rig_drop(); \
         DELETE FROM rig_config; SELECT pg_ext",
    ));
    let args = ["restore", "fewer.dump", "--trust", "--into", &other, "--yes", "--no-backup"];
    project
        .run(&args)
        .code(8)
        .says("rows are missing: public.rig_config has 1 row in the dump and 0 on the server");
    server.sh(EXTENSION);
}

fn told(answer: &str, major: u8, over_two: bool) {
    let says = |words: &str| assert!(answer.contains(words), "{words}:\n{answer}");
    says(
        "public.rig_config has 2 rows more than in the dump (3 instead of 1): CREATE EXTENSION rig_config fills it",
    );
    // Over several sessions the materialized view is refreshed before the event trigger is made.
    if !over_two {
        says("public.ddl_log has 1 row more than in the dump");
        says("written by the event trigger a_log");
    }
    if major >= 17 {
        says("written by the event trigger lt");
    }
}

#[test]
fn more_rows_than_in_the_dump_are_explained_and_fewer_are_a_loss_15() {
    more_rows(15);
}

#[test]
fn more_rows_than_in_the_dump_are_explained_and_fewer_are_a_loss_17() {
    more_rows(17);
}

#[test]
fn rows_of_a_dump_by_inserts_are_counted_on_the_server() {
    let server = Server::shared(17);
    let project = Project::new(server, "ins");
    project.fill(300);
    project.sql("create table empty (id int); create table \"Other t\" as select generate_series(1, 20) n");
    let database = &project.database;
    for (file, options) in [("plain.sql", ""), ("custom.dump", "-Fc"), ("rows.sql", "--rows-per-insert=7")] {
        let dump = server.bytes(&format!("pg_dump -U postgres --inserts {options} {database}"));
        std::fs::write(project.path().join(file), dump).unwrap();
        let other = format!("{database}_other");
        let done =
            project.run(&["restore", file, "--trust", "--into", &other, "--yes", "--no-backup"]).code(0);
        assert!(done.out().starts_with("320 rows in 3 tables restored"), "{file}: {}", done.out());
    }
    project.drop_siblings();
}

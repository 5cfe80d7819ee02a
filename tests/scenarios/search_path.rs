//! Functions that rely on the search path, which is empty while a dump is loaded, and CHECKs that read other tables.

use crate::round_trip::{assert_same, contents, dump};
use crate::support::{Project, Server};

/// Formats of a backup: the options of `backup`, and of `restore`.
const FORMATS: &[(&str, &[&str], &[&str])] = &[
    ("plain.sql.gz", &[], &["-j", "1"]),
    ("two.sql.gz", &[], &["-j", "2", "--transport", "worker"]),
    ("custom.dump", &["--format", "custom"], &[]),
    ("directory.tar", &["--format", "directory"], &["-j", "2"]),
];

const S01: (&str, &str) =
    (include_str!("cases/s01-gencol-sqlfunc.sql"), "function outer_enc|function public.outer_enc");
const S02: (&str, &str) = (include_str!("cases/s02-gencol-plpgsql.sql"), "function public.slugit(text)");
const S04: (&str, &str) = (include_str!("cases/s04-matview-func.sql"), "function public.m_cnt()");
/// On 17 the index has to be there before the rows: CREATE INDEX has a search path of its own.
const S20: (&str, &str) = (
    "CREATE FUNCTION public.norm(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN lower(t); END $$; \
     CREATE FUNCTION public.keyof(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN norm(t); END $$; \
     CREATE TABLE public.cust (id int PRIMARY KEY, name text); CREATE INDEX cust_key ON public.cust (keyof(name)); \
     INSERT INTO public.cust SELECT g,'N'||g FROM generate_series(1,20) g;",
    "function public.keyof(text)",
);
/// A function of an extension that relies on it, in a schema that the path of the database names.
const EARTH: (&str, &str) = (
    "CREATE SCHEMA ext; CREATE EXTENSION cube WITH SCHEMA ext; SET search_path = public, ext; \
     CREATE FUNCTION public.far(a float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$ SELECT cube_dim(cube(a)) + a $$; \
     CREATE TABLE public.spot (a float8, b float8 GENERATED ALWAYS AS (far(a)) STORED); \
     INSERT INTO public.spot SELECT g FROM generate_series(1, 10) g; \
     DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, ext', current_database()); END $$;",
    "function far|function public.far",
);

/// A backup that is complete and does not load says why and what to type; that loads it, and it is the same to the byte.
fn relies(major: u8, name: &str, (schema, function): (&str, &str), path: &str) {
    let server = Server::shared(major);
    let project = Project::new(server, name);
    let (database, other) = (&project.database, format!("{}_other", project.database));
    server.sql(database, schema);
    let (expected, rows) = (dump(server, database), contents(server, database));
    for (file, backup, restore) in FORMATS {
        project
            .run(&[&["backup", "-o", file], *backup].concat())
            .code(0)
            .says("a dump is loaded with an empty search path");
        let args = [&["restore", file, "--into", &other, "--yes", "--no-backup"], *restore].concat();
        let refused =
            project.run(&args).code(7).says(function).says("context:").says("relies on the search path");
        let refused = refused.says(&format!("--search-path {path}`"));
        assert!(!refused.err().contains("sessions failed"), "{}", refused.err());
        project.run(&[&args[..], &["--search-path", path]].concat()).code(0);
        let of_other = dump(server, &other).replace(&other, database);
        assert_same(&of_other, &expected, &format!("the dumps of {name} from {file}"));
        assert_same(&contents(server, &other), &rows, &format!("the contents of {name} from {file}"));
        server.sql("postgres", &format!("drop database {other}"));
    }
    let doctor = project.run(&["doctor", "--json"]);
    assert!(doctor.out().contains("ALTER FUNCTION"), "{}", doctor.out());
    assert!(project.server.siblings(database).is_empty());
}

#[test]
fn a_generated_column_over_sql_functions_loads_with_a_search_path_15() {
    relies(15, "s01", S01, "public");
}

#[test]
fn a_generated_column_over_sql_functions_loads_with_a_search_path_17() {
    relies(17, "s01", S01, "public");
}

#[test]
fn a_generated_column_over_a_plpgsql_function_loads_with_a_search_path() {
    relies(17, "s02", S02, "public");
}

#[test]
fn a_materialized_view_over_functions_loads_with_a_search_path_15() {
    relies(15, "s04", S04, "public");
}

#[test]
fn a_materialized_view_over_functions_loads_with_a_search_path_17() {
    relies(17, "s04", S04, "public");
}

#[test]
fn an_index_over_functions_loads_with_a_search_path_15() {
    relies(15, "s20", S20, "public");
}

#[test]
fn an_index_over_functions_loads_with_a_search_path_17() {
    relies(17, "s20", S20, "public");
}

#[test]
fn the_search_path_of_the_source_is_offered() {
    relies(15, "ext", EARTH, "public,ext");
}

#[test]
fn a_check_that_reads_another_table_is_explained_and_added_at_the_end() {
    let server = Server::shared(15);
    let project = Project::new(server, "s05");
    let (database, other) = (&project.database, format!("{}_other", project.database));
    server.sql(database, include_str!("cases/s05-check-other-table.sql"));
    let (expected, rows) = (dump(server, database), contents(server, database));
    for (file, backup, restore) in FORMATS {
        project.run(&[&["backup", "-o", file], *backup].concat()).code(0);
        let args = [&["restore", file, "--into", &other, "--yes", "--no-backup"], *restore].concat();
        if restore.get(1) != Some(&"2") {
            project
                .run(&args)
                .code(7)
                .says("check a_data_val_check of public.a_data calls public.in_dict(text)|check \"a_data_val_check\" of public.a_data calls")
                .says("the same command with `--defer-checks`")
                .says("not valid`");
        }
        project.run(&[&args[..], &["--defer-checks"]].concat()).code(0);
        assert_same(
            &dump(server, &other).replace(&other, database),
            &expected,
            &format!("the dumps from {file}"),
        );
        assert_same(&contents(server, &other), &rows, &format!("the contents from {file}"));
        server.sql("postgres", &format!("drop database {other}"));
    }
    // Rows that it refuses it refuses at the end too.
    let bad = "set session_replication_role = replica; delete from public.z_dict where id = 2";
    server.sql(database, bad);
    project.run(&["backup", "-o", "bad.sql"]).code(0);
    let args = ["restore", "bad.sql", "--into", &other, "--yes", "--no-backup", "--defer-checks"];
    project.run(&args).code(7).says("a check that was put off refuses the rows").says("a_data_val_check");
    assert!(server.siblings(database).is_empty());
}

/// The functions in such CHECKs would run with a superuser's rights.
#[test]
fn checks_of_a_file_that_nobody_vouches_for_are_not_put_off_without_trust() {
    for server in Server::each() {
        let project = Project::new(server, "deferred");
        let (database, other) = (&project.database, format!("{}_other", project.database));
        server.sql(database, include_str!("cases/s05-check-other-table.sql"));
        let rows = contents(server, database);
        for (file, backup, restore) in FORMATS {
            project.run(&[&["backup", "-o", file], *backup].concat()).code(0);
            std::fs::remove_file(project.path().join(format!("{file}.json"))).unwrap();
            let args = [&["restore", file, "--into", &other, "--yes", "--no-backup"], *restore].concat();
            let deferred = [&args[..], &["--defer-checks"]].concat();
            project.run(&deferred).code(6).says("an untrusted file").says("--trust");
            assert_eq!(
                server.sql(
                    "postgres",
                    &format!("select count(*) from pg_database where datname like '%{other}%'")
                ),
                "0",
                "{file}"
            );
            project.run(&[&deferred[..], &["--trust"]].concat()).code(0);
            assert_same(&contents(server, &other), &rows, &format!("the contents from {file}"));
            server.sql("postgres", &format!("drop database {other}"));
        }
    }
}

/// pg_restore gives the largest tables to its sessions first: both read a table that waits.
#[test]
fn an_archive_that_two_sessions_are_refused_is_loaded_again_by_one() {
    for server in Server::each() {
        let project = Project::new(server, "retried");
        let (database, other) = (&project.database, format!("{}_other", project.database));
        project.sql(
            "create table a_dict (id int primary key); insert into a_dict values (1); \
             create function public.in_dict(v int) returns boolean language sql as \
             'select exists (select from public.a_dict where id = v)'; \
             create table b (v int check (public.in_dict(v))); insert into b select 1 from generate_series(1, 9000); \
             create table c (v int check (public.in_dict(v))); insert into c table b; analyze",
        );
        let rows = contents(server, database);
        // pg_restore begins with the largest table of a directory. A custom archive has no sizes: its order is a race.
        let (file, format) = ("retried.tar", "directory");
        project.run(&["backup", "-o", file, "--format", format]).code(0);
        let args =
            ["restore", file, "--into", &other, "--yes", "--no-backup", "-j", "2", "--transport", "worker"];
        let restored = project
            .run(&args)
            .code(0)
            .says("the load with 2 sessions failed; one session loads the dump again");
        assert!(!restored.err().contains("ignoring -j"), "{}", restored.err());
        assert_same(&contents(server, &other), &rows, &format!("the contents from {file}"));
        server.sql("postgres", &format!("drop database {other}"));
        assert!(server.siblings(database).is_empty());
    }
}

#[test]
fn a_check_of_a_domain_that_was_never_validated_comes_back_over_any_number_of_sessions() {
    for server in [Server::shared(15), Server::shared(17)] {
        let project = Project::new(server, "w3");
        let (database, other) = (&project.database, format!("{}_other", project.database));
        project.sql(
            "create domain small as int; create table t (id int primary key, v small); \
             insert into t select g, g from generate_series(1, 500) g; create table u (v small); insert into u values (900); \
             alter domain small add constraint is_small check (value < 10) not valid; create index on t (v)",
        );
        let rows = contents(server, database);
        for (file, backup, restore) in FORMATS {
            project.run(&[&["backup", "-o", file], *backup].concat()).code(0);
            let args = [&["restore", file, "--into", &other, "--yes", "--no-backup"], *restore].concat();
            project.run(&args).code(0);
            assert_same(&contents(server, &other), &rows, &format!("the contents from {file}"));
            server.sql("postgres", &format!("drop database {other}"));
        }
    }
}

#[test]
fn the_statement_that_was_refused_is_named_whatever_the_sessions() {
    for server in [Server::shared(15), Server::shared(17)] {
        let project = Project::new(server, "s12b");
        let other = format!("{}_other", project.database);
        server.sql(&project.database, include_str!("cases/s12b-event-trigger-deny.sql"));
        for (file, backup, jobs) in [
            ("deny.sql.gz", &[][..], "2"),
            ("deny.dump", &["--format", "custom"], "1"),
            ("deny.sql.gz", &[], "1"),
        ] {
            project.run(&[&["backup", "--force", "-o", file], backup].concat()).code(0);
            let args = ["restore", file, "--into", &other, "--yes", "--no-backup", "-j", jobs];
            let refused = project.run(&args).code(7).says("no refresh materialized view here");
            let refused = refused.says("context: pl/pgsql function public.deny_ddl()");
            if file == "deny.dump" {
                refused.says("command: refresh materialized view public.mv;");
            } else {
                let dump = String::from_utf8(project.plain(&project.path().join(file))).unwrap();
                let at =
                    dump.lines().position(|line| line.starts_with("REFRESH MATERIALIZED VIEW")).unwrap() + 1;
                refused.says(&format!("line {at}: error: no refresh"));
            }
        }
        assert!(server.siblings(&project.database).is_empty());
    }
}

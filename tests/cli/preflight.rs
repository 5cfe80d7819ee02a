//! The look at the server before a restore: what the dump needs and the server lacks is told before anything begins.

use snapbox::str;

use crate::container::stack;
use crate::dumps::DUMP;
use crate::postgres::Server;
use crate::stage::{Ran, Stage};

/// A server that may be restored into and tells where its data lies.
fn server() -> Server {
    row("150018,15.18,t,16384,12345678,f,/var/lib/postgresql/data\n")
}

/// With this answer to the look.
fn row(row: &str) -> Server {
    Server::new().answer("rolcreatedb", row)
}

/// The dump with these statements before its table.
fn with(statements: &str) -> String {
    DUMP.replace("CREATE TABLE public.users", &format!("{statements}\n\nCREATE TABLE public.users"))
}

/// As a pg_dump of August 2025 or later writes it.
fn restricted() -> String {
    let dump = DUMP.replacen(
        "--\n-- PostgreSQL database dump\n--\n",
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict Ab1\n",
        1,
    );
    dump + "\\unrestrict Ab1\n\n"
}

/// What `df -Pk` prints where so many KiB are free.
fn df(free: u64) -> String {
    format!(
        "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
         /dev/sda1 99999999 1 {free} 99% /var/lib/postgresql/data\n"
    )
}

/// A stage with the dump in `dump.sql`.
fn stage(dump: &str, server: Server) -> Stage {
    let stage = Stage::with(stack("acme-dev"));
    stage.engine.install("*", "psql", server.psql());
    stage.write("dump.sql", dump);
    stage
}

/// Restores with every consent, and shows that nothing but questions was asked.
#[track_caller]
fn restore(stage: &Stage) -> Ran {
    let ran = stage.run(["restore", "dump.sql", "--yes", "--no-backup"]);
    for argv in stage.engine.commands() {
        assert!(argv.contains(&"--csv".to_owned()) || argv[0] == "df", "{argv:?}");
    }
    ran.replacing(
        "[dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)\n",
        "",
    )
}

/// The plan, which nobody refuses.
#[track_caller]
fn planned(stage: &Stage) -> String {
    let ran = stage.run(["restore", "dump.sql", "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    ran.out() + &ran.err()
}

#[test]
fn roles_that_the_server_does_not_have() {
    let dump = DUMP.replace("OWNER TO postgres", "OWNER TO \"Shop Owner\"");
    let server = server().answer("not in (select rolname", "Shop Owner\nzoe\n");
    restore(&stage(&dump, server)).is(str![[r#"
exit 6
! checking dump.sql
! error: roles that the dump names do not exist: Shop Owner, zoe
! hint: restore it without its owners and privileges: `envctl restore dump.sql --no-backup --no-owner --no-privileges --dev`
! hint: write "postgres" in their place: `envctl restore dump.sql --no-backup --role-map 'Shop Owner=postgres' --role-map zoe=postgres --dev`
! hint: create them first: `envctl psql -c 'CREATE ROLE "Shop Owner"; CREATE ROLE "zoe";' --dev`

"#]]);
    planned(&stage(&dump, self::server()));
}

#[test]
fn extensions_that_the_server_does_not_have() {
    let dump = with("CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;");
    let server = server().answer("pg_available_extensions", "hstore\n");
    restore(&stage(&dump, server)).is(str![[r#"
exit 6
! checking dump.sql
! error: extensions that the dump creates are not installed on the server: hstore
! hint: leave them out, if nothing in the dump needs them: `envctl restore dump.sql --no-backup --skip-extension hstore --dev`
! hint: use a database image that has them, e.g. the one the dump was made from

"#]]);
    planned(&stage(&dump, self::server()));
}

#[test]
fn tablespaces_that_the_server_does_not_have() {
    let dump = with("SET default_tablespace = fast;");
    let server = server().answer("from pg_catalog.pg_tablespace", "fast\n");
    restore(&stage(&dump, server)).is(str![[r#"
exit 6
! checking dump.sql
! error: tablespaces that the dump names do not exist: fast
! hint: create them, or dump with `--no-tablespaces`

"#]]);
    planned(&stage(&dump, self::server()));
}

#[test]
fn a_psql_that_is_older_than_the_restrict_of_the_dump() {
    let old = row("150013,15.13,t,16384,12345678,f,\n");
    restore(&stage(&restricted(), old)).is(str![[r#"
exit 6
! checking dump.sql
! error: the dump begins with `\restrict`, which the psql of PostgreSQL 15.13 does not know
! hint: update the server's image: 17.6, 16.10, 15.14, 14.19, 13.22 or later know it

"#]]);
    // The first of that major that knows it.
    planned(&stage(&restricted(), row("150014,15.14,t,16384,12345678,f,\n")));
}

#[test]
fn a_dump_of_a_newer_major_is_told_in_the_plan() {
    let dump = DUMP.replace("from database version 15.18", "from database version 17.6");
    let plan = planned(&stage(&dump, server()));
    let words = "the dump is of PostgreSQL 17, the server is 15";
    assert!(plan.contains(words), "{plan}");
    assert!(!planned(&stage(DUMP, server())).contains("the dump is of"));
}

#[test]
fn a_server_that_is_a_replica() {
    let replica = row("150018,15.18,t,16384,12345678,t,\n");
    restore(&stage(DUMP, replica)).is(str![[r#"
exit 6
! checking dump.sql
! error: this server is a replica and takes no writes
! hint: pick the primary: `--index N`

"#]]);
}

#[test]
fn a_disk_that_cannot_hold_a_second_copy() {
    let with_df = |words: String, code| {
        let stage = stage(DUMP, server());
        stage.engine.install("acme-dev-db-1", "df", move |process| {
            process.out(&words);
            code
        });
        stage
    };
    let full = with_df(df(0), 0);
    restore(&full).is(str![[r#"
exit 6
! checking dump.sql
! error: the server's disk has 0 bytes free and the restore needs about 680: the previous database stays until the new one is in place
! hint: free some space; list the previous databases, which can be dropped: `envctl restore previous --dev`

"#]]);
    assert!(
        full.engine
            .commands()
            .contains(&["df", "-Pk", "--", "/var/lib/postgresql/data"].map(str::to_owned).into())
    );
    planned(&with_df(df(1), 0));
    // A `df` that fails or says something else says nothing, and one that is not there neither.
    planned(&with_df(df(0), 1));
    planned(&with_df("BusyBox v1.0\n".to_owned(), 0));
    planned(&stage(DUMP, server()));
}

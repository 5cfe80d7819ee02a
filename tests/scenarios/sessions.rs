//! Restores over several sessions that come to nothing, and what one session makes of them.

use crate::support::rig::Wanted;
use crate::support::{Project, Server};

#[test]
fn rows_that_read_another_table_are_restored_without_a_word_about_sessions() {
    let server = Server::shared(15);
    let project = Project::new(server, "order");
    let database = &project.database;
    // `later` needs the last row of `earlier`, which pg_dump's order has in place by its name alone. Together they are
    // so long that two sessions load them.
    server.sql(
        database,
        "create table earlier (id int, filling text); \
         insert into earlier select i, repeat('x', 1000) from generate_series(1, 70000) i; \
         create function public.known(int) returns bool language sql as \
           'select exists (select from public.earlier where id = $1)'; \
         create table later (id int check (public.known(id))); \
         insert into later values (70000)",
    );
    project.run(&["backup", "-o", "order.sql.gz"]).code(0);
    let other = format!("{database}_other");
    let into = ["restore", "order.sql.gz", "--into", &other, "--yes", "--no-backup"];
    project.run(&into).code(0).says("the load with 2 sessions failed").says("later_id_check");
    assert_eq!(server.sql(&other, "select count(*) from earlier; table later"), "70000\n70000");
    // Who asks for two gets one all the same.
    project.run(&[&into[..], &["-j", "2"]].concat()).code(0).says("the load with 2 sessions failed");
    assert_eq!(server.sql(&other, "select count(*) from earlier; table later"), "70000\n70000");
    project.drop_siblings();
    project.assert_no_sessions();
}

#[test]
fn pg_restore_that_gets_some_connections_and_not_all_leaves_nothing_to_the_one_that_follows() {
    let mut wanted = Wanted::postgres(15, "few");
    wanted.command.extend(["-c", "max_connections=5"].map(str::to_owned));
    let server = wanted.start().ready();
    let project = Project::new(&server, "few");
    server.sql(
        &project.database,
        "create table a as select i from generate_series(1, 1000) i; create table b as table a; \
         create table c as table a; \
         create function public.slow(i int) returns int immutable language plpgsql as \
           'begin perform pg_catalog.pg_sleep(0.5); return i; end'; \
         create index on a (public.slow(i)) where i <= 4",
    );
    // pg_restore ends well where its first sessions have done all the work before the last one asks for a connection:
    // the index makes them work long enough.
    project.run(&["backup", "--format", "custom", "-o", "few.dump"]).code(0);
    let other = format!("{}_other", project.database);
    let args = ["restore", "few.dump", "-j", "6", "-v", "--into", &other, "--yes", "--no-backup"];
    project.run(&args).code(0).says("ignoring -j 6").says("too many clients");
    assert_eq!(server.sql(&other, "select count(*) from a, lateral (select count(*) from b) b"), "1000");
}

//! Dumps that hold rows and no tables, into a database that has the tables.

use std::time::Duration;

use crate::support::rig::Wanted;
use crate::support::rig::eventually;
use crate::support::{Project, Server, Snapshot, pairs};

const FOREIGN: &str = include_str!("foreign/dataonly.sql");

const SCHEMA: &str = "create schema shop; \
    create table shop.item (id serial primary key, name text not null, twice int generated always as (id * 2) stored); \
    create table public.ord (id int primary key, item int not null references shop.item, qty int default 1); \
    create table public.other (id int generated always as identity primary key, words text); \
    create index on public.ord (item); \
    create materialized view public.total as select count(*) as n from shop.item; \
    create function public.stop() returns trigger language plpgsql as 'begin raise exception ''fired''; end'; \
    create schema numbers; create sequence numbers.next; \
    insert into shop.item (name) select 'old ' || n from generate_series(1, 5) n; \
    insert into public.ord select n, n from generate_series(1, 5) n; \
    insert into public.other (words) select 'kept ' || n from generate_series(1, 7) n; \
    create trigger stop before insert on public.ord for each row execute function public.stop(); \
    refresh materialized view public.total";

/// Changes every table behind the dump.
const LATER: &str = "alter table public.ord disable trigger all; delete from public.ord; delete from shop.item; \
    insert into shop.item (name) select 'new ' || n from generate_series(1, 2) n; \
    insert into public.ord select 9, min(id) from shop.item; \
    insert into public.other (words) select 'later ' || n from generate_series(1, 3) n; \
    alter table public.ord enable trigger all; refresh materialized view public.total";

/// A project with tables, and what `dump` makes of two of them before they change.
fn project(server: &Server, name: &str, dump: &str) -> (Project, Vec<u8>) {
    let project = Project::new(server, name);
    project.sql(SCHEMA);
    let file = server.bytes(&format!(
        "pg_dump -U {} --data-only -t shop.item -t public.ord -t numbers.next {dump} {}",
        server.user, project.database
    ));
    project.sql(LATER);
    (project, file)
}

fn schema(project: &Project) -> String {
    let server = &project.server;
    let dump = server.sh(&format!("pg_dump -U {} --schema-only {}", server.user, project.database));
    dump.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

/// Rows of every table, and the next value of each sequence.
fn rows(project: &Project) -> String {
    project.sql(
        "select (select string_agg(i::text, ' ' order by id) from shop.item i), \
                (select string_agg(o::text, ' ' order by id) from public.ord o), \
                (select string_agg(o::text, ' ' order by id) from public.other o), \
                (select n from public.total), (select last_value from shop.item_id_seq), \
                (select last_value from public.other_id_seq)",
    )
}

const RESTORED: &str = "(1,\"old 1\",2) (2,\"old 2\",4) (3,\"old 3\",6) (4,\"old 4\",8) (5,\"old 5\",10)\
    |(1,1,1) (2,2,1) (3,3,1) (4,4,1) (5,5,1)\
    |(1,\"kept 1\") (2,\"kept 2\") (3,\"kept 3\") (4,\"kept 4\") (5,\"kept 5\") (6,\"kept 6\") (7,\"kept 7\") \
    (8,\"later 1\") (9,\"later 2\") (10,\"later 3\")|5|5|10";

#[test]
fn a_file_of_rows_replaces_those_of_its_tables_and_the_other_tables_keep_theirs() {
    let mut all = Vec::new();
    for major in [15, 17] {
        for (dump, jobs, trust) in [
            ("", "1", ""),
            ("--inserts", "1", ""),
            ("--disable-triggers", "1", "--trust"),
            ("", "1", "--trust"),
            ("-Fc", "1", ""),
            ("-Fc", "2", ""),
            ("-Fc --inserts", "1", ""),
            ("-Ft", "2", "--trust"),
        ] {
            all.push((major, dump, jobs, trust));
        }
    }
    let selected = pairs::rows(all, |(major, dump, jobs, trust)| {
        let format = dump.split(' ').find(|word| word.starts_with("-F")).unwrap_or_default();
        let rows = dump.split(' ').find(|word| word.starts_with("--")).unwrap_or_default();
        [&major.to_string(), format, rows, *jobs, *trust].map(str::to_owned)
    });
    for (major, dump, jobs, trust) in selected {
        let (project, file) = project(Server::shared(major), "rows", dump);
        let what = format!("PostgreSQL {major}, pg_dump {dump}, -j {jobs} {trust}");
        let before = (rows(&project), schema(&project));
        std::fs::write(project.path().join("rows"), file).unwrap();
        let mut more = vec!["-j", jobs];
        more.extend((!trust.is_empty()).then_some(trust));
        let planned = project.run(&[&["restore", "rows", "--dry-run"], &more[..]].concat()).code(0);
        assert!(planned.out().contains("replaces the rows of 2 tables; 1 other keeps its rows"));
        assert_eq!((rows(&project), schema(&project)), before, "a dry run changes nothing");
        let told = project.run(&[&["restore", "rows", "--yes", "--no-backup"], &more[..]].concat()).code(0);
        assert!(told.out().contains("10 rows in 2 tables"), "{what}: {}", told.out());
        assert_eq!(rows(&project), RESTORED, "{what}");
        assert_eq!(schema(&project), before.1, "{what}");
        project.run(&["restore", "undo", "--yes"]).code(0);
        assert_eq!(rows(&project), before.0, "{what}");
        project.drop_siblings();
    }
}

#[test]
fn a_backup_of_rows_alone_is_restored_into_the_tables_that_are_there() {
    let mut all = Vec::new();
    for major in [15, 17] {
        for (format, jobs) in [("plain", "1"), ("plain", "2"), ("directory", "2")] {
            all.push((major, format, jobs));
        }
    }
    for (major, format, jobs) in
        pairs::rows(all, |(major, format, jobs)| [&major.to_string(), *format, *jobs].map(str::to_owned))
    {
        let project = Project::new(Server::shared(major), "own");
        project.sql(SCHEMA);
        project.run(&["backup", "--data-only", "--format", format]).code(0);
        project.sql(LATER);
        let file = Snapshot::of(&project).dumps().remove(0).display().to_string();
        let told = project.run(&["restore", &file, "--yes", "-j", jobs]).code(0);
        assert!(told.out().contains("17 rows in 3 tables"), "{}", told.out());
        let told = rows(&project);
        assert!(told.ends_with("(7,\"kept 7\")|5|5|7"), "{told}");
        project.drop_siblings();
    }
}

#[test]
fn rows_that_do_not_fit_the_other_tables_change_nothing() {
    for server in Server::each() {
        let (project, _) = project(server, "unfit", "");
        let before = rows(&project);
        for (text, words) in [
            // A key that no row of the other table has, and one that is there twice.
            ("COPY public.ord (id, item) FROM stdin;\n1\t77\n\\.\n", "Key (item)=(77) is not present"),
            ("COPY public.other (id, words) FROM stdin;\n1\ta\n1\tb\n\\.\n", "Key (id)=(1) is duplicated"),
            // A column that is not there.
            (
                "COPY public.ord (id, item, price) FROM stdin;\n1\t1\t2\n\\.\n",
                "column \"price\" of relation \"ord\"",
            ),
        ] {
            let file = format!(
                "--\n-- PostgreSQL database dump\n--\n\n{text}\n--\n-- PostgreSQL database dump complete\n--\n\n"
            );
            std::fs::write(project.path().join("rows.sql"), file).unwrap();
            let refused = project.run(&["restore", "rows.sql", "--yes", "--no-backup"]).code(7);
            refused.says(words).says("nothing was swapped in");
            assert_eq!(rows(&project), before);
            assert!(server.siblings(&project.database).is_empty());
            project.assert_no_sessions();
        }
    }
}

#[test]
fn tables_that_are_not_there_are_named_before_anything_is_done() {
    for server in Server::each() {
        let project = Project::new(server, "missing");
        project.sql("create schema shop; create table shop.item (id int, name text, note text)");
        std::fs::write(project.path().join("rows.sql"), FOREIGN).unwrap();
        let refused = project.run(&["restore", "rows.sql", "--yes"]).code(6);
        refused.says("has no table \"public\".\"ord\"");
        project.sql("create view public.ord as select 1 as id, 2 as item");
        project.run(&["restore", "rows.sql", "--yes"]).code(6).says("which is no table");
        project.run(&["restore", "rows.sql", "--yes", "--into", "nosuch"]).code(6).says("no database");
        project.sql("drop view public.ord; create table public.ord (id int, item int); create sequence shop.item_id_seq");
        project.run(&["restore", "rows.sql", "--yes", "--no-backup"]).code(0);
        assert_eq!(project.sql("select count(*), max(note) from shop.item"), "4|line1\nline2");
        assert_eq!(project.sql("select last_value from shop.item_id_seq"), "4");
        // A pipe is copied first: what it needs is known only at its end.
        project.sql("insert into shop.item values (9, 'later')");
        project.run_with(FOREIGN.as_bytes(), &["restore", "-", "--yes", "--no-backup"]).code(0);
        assert_eq!(project.sql("select count(*), max(note) from shop.item"), "4|line1\nline2");
        let archive = server
            .bytes(&format!("pg_dump -U {} --data-only -Fc -t shop.item {}", server.user, project.database));
        project.sql("insert into shop.item values (9, 'later')");
        project.run_with(&archive, &["restore", "-", "--yes", "--no-backup", "-j", "2"]).code(0);
        assert_eq!(project.sql("select count(*), max(id) from shop.item"), "4|4");
        project.drop_siblings();
    }
}

#[test]
fn rows_of_one_partition_leave_those_of_the_others() {
    for server in Server::each() {
        let project = Project::new(server, "parts");
        project.sql(
            "create table p (id int, k int, primary key (id, k)) partition by list (k); \
             create table p1 partition of p for values in (1); create table p2 partition of p for values in (2); \
             insert into p select n, n % 2 + 1 from generate_series(1, 10) n",
        );
        let one = server.bytes(&format!("pg_dump -U {} -a -t p1 {}", server.user, project.database));
        let all = server
            .bytes(&format!("pg_dump -U {} -a --load-via-partition-root {}", server.user, project.database));
        project.sql("delete from p where id > 4; insert into p values (100, 2)");
        std::fs::write(project.path().join("rows.sql"), one).unwrap();
        project.run(&["restore", "rows.sql", "--yes", "--no-backup"]).code(0);
        assert_eq!(
            project.sql("select k, count(*), max(id) from p group by k order by k"),
            "1|5|10\n2|3|100"
        );
        std::fs::write(project.path().join("rows.sql"), all).unwrap();
        project.run(&["restore", "rows.sql", "--yes", "--no-backup"]).code(0);
        assert_eq!(project.sql("select k, count(*), max(id) from p group by k order by k"), "1|5|10\n2|5|9");
        project.drop_siblings();
    }
}

#[test]
fn nobody_writes_into_a_table_that_keeps_its_rows_until_the_swap() {
    for server in Server::each() {
        let (project, file) = project(server, "writer", "");
        std::fs::write(project.path().join("rows.sql"), file).unwrap();
        let before = rows(&project);
        // A writer that does not end.
        let writer = server.session(
            &project.database,
            "begin; insert into other overriding system value values (99, 'open')",
        );
        let busy = ["restore", "rows.sql", "--yes", "--no-backup", "--lock-timeout", "3s"];
        project.run(&busy).code(5).says("written to");
        drop(writer);
        assert_eq!(rows(&project), before);
        project.assert_no_sessions();
        project.drop_siblings();
    }
}

#[test]
fn a_restore_of_rows_that_is_stopped_leaves_nothing() {
    for server in Server::each() {
        let (project, file) = project(server, "stopped", "");
        std::fs::write(project.path().join("rows.sql"), file).unwrap();
        // The copy of what stays waits for this lock.
        let sessions = format!(
            "select count(*) from pg_stat_activity where datname like '%{}%' and application_name like 'envctl/%'",
            project.database
        );
        let waits = format!("{sessions} and wait_event_type = 'Lock'");
        for signal in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
            let before = rows(&project);
            let blocker = server.session(
                &project.database,
                "begin; lock table pg_catalog.pg_description in access exclusive mode",
            );
            let restoring = project.start(&["restore", "rows.sql", "--yes", "--no-backup"]);
            eventually(Duration::from_secs(60), "the copy waits", || server.sql("postgres", &waits) != "0");
            restoring.signal(signal);
            restoring.finish();
            drop(blocker);
            if signal == rustix::process::Signal::KILL {
                eventually(Duration::from_secs(60), "the copy ends", || {
                    server.sql("postgres", &sessions) == "0"
                });
                // The next one removes what that one could not.
                project.run(&["restore", "rows.sql", "--yes", "--no-backup"]).code(0);
                assert_eq!(rows(&project), RESTORED);
                project.run(&["restore", "undo", "--yes"]).code(0);
                let kept = server.siblings(&project.database);
                assert!(kept.iter().all(|name| name.starts_with("envctl_old_")), "{kept:?}");
            } else {
                assert!(server.siblings(&project.database).is_empty());
                project.assert_no_sessions();
            }
            assert_eq!(rows(&project), before);
            project.drop_siblings();
        }
    }
}

/// pg_dump up to 10.2 writes bare names, and the schema into the search path.
#[test]
fn a_backup_of_rows_by_an_old_pg_dump_finds_its_tables_by_the_search_path_of_the_file() {
    let server = Wanted::postgres(15, "bare").start().ready();
    server.install(
        "pg_dump",
        "#!/bin/sh\n/usr/lib/postgresql/15/bin/pg_dump \"$@\" | \
         sed -e 's/^COPY \\([a-z]*\\)\\.\\([a-z]* (\\)/SET search_path = \\1, pg_catalog;\\n\\nCOPY \\2/'\n",
    );
    let project = Project::new(&server, "bare");
    project.sql(SCHEMA);
    let backup = ["backup", "--data-only", "--transport", "exec", "--compress", "none"];
    project.run(&backup).code(0);
    let file = Snapshot::of(&project).dumps().remove(0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("SET search_path = shop, pg_catalog;") && text.contains("\nCOPY item ("), "{text}");
    project.sql(LATER);
    let file = file.display().to_string();
    project.run(&["restore", &file, "--yes", "--no-backup"]).code(0).says("replaces the rows of 3 tables");
    assert!(rows(&project).ends_with("(7,\"kept 7\")|5|5|7"), "{}", rows(&project));
}

#[test]
fn large_objects_and_sequences_of_a_file_of_rows_replace_those_that_are_there() {
    let state = "select (select string_agg(convert_from(lo_get(note), 'UTF8'), ',' order by id) from item), \
                 (select count(*) from pg_largeobject_metadata), \
                 (select last_value from alone), (select last_value from item_id_seq), \
                 (select last_value from unset)";
    for server in Server::each() {
        for (options, more) in
            [("", &[][..]), ("", &["--trust"]), ("-Fc", &["-j", "2"]), ("-Ft", &["--trust"])]
        {
            let project = Project::new(server, "objects");
            project.sql(
                "create table item (id serial primary key, note oid); create sequence alone; create sequence unset; \
                 insert into item (note) select lo_from_bytea(0, convert_to('old ' || n, 'UTF8')) \
                 from generate_series(1, 3) n; select setval('alone', 50)",
            );
            let (user, database) = (&server.user, &project.database);
            let file = server.bytes(&format!(
                "pg_dump -U {user} --data-only --blobs --exclude-table-data=unset {options} {database}"
            ));
            project.sql(
                "select lo_unlink(note) from item where id > 1; insert into item (note) values (lo_from_bytea(0, 'later')); \
                 delete from item where id in (2, 3); select setval('alone', 90)",
            );
            let before = project.sql(state);
            assert_eq!(before, "old 1,later|2|90|4|1");
            std::fs::write(project.path().join("rows"), file).unwrap();
            let planned = project.run(&[&["restore", "rows", "--dry-run"], more].concat()).code(0);
            assert!(planned.out().contains("replaces all large objects"), "{}", planned.out());
            project.run(&[&["restore", "rows", "--yes", "--no-backup"], more].concat()).code(0);
            assert_eq!(project.sql(state), "old 1,old 2,old 3|3|50|3|1", "{options} {more:?}");
            project.run(&["restore", "undo", "--yes"]).code(0);
            assert_eq!(project.sql(state), before, "{options} {more:?}");
            project.drop_siblings();
        }
    }
}

//! Servers that end sessions which wait or work for longer than a second.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};

use crate::support::rig::Wanted;
use crate::support::{Project, Server, pairs};

/// Every limit on a session that a server of this major has, at one second.
fn limits(major: u8) -> Vec<&'static str> {
    let mut limits = vec![
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        "statement_timeout",
        "lock_timeout",
    ];
    limits.extend((major >= 17).then_some("transaction_timeout"));
    limits
}

/// Tables whose rows take envctl's sessions longer than a second, and one beside that is done at once.
const SLOW: &str = "set statement_timeout = 0; \
    create function slow(int) returns bool language plpgsql as $$ begin \
      if pg_catalog.current_setting('application_name') ~ '^(envctl|pg_restore)' then perform pg_catalog.pg_sleep(0.4); end if; \
      return true; end $$; \
    create table item (id int primary key check (public.slow(id)), words text); \
    insert into item select n, md5(n::text) from generate_series(1, 4) n; \
    create table quick (id int primary key); insert into quick select generate_series(1, 10); \
    create table more as table quick; alter table more add check (public.slow(id)) not valid; \
    alter table quick add foreign key (id) references quick";

/// Holds `item` back from pg_dump for longer than a second.
fn hold(server: &Server, database: &str) -> impl Drop {
    struct Held(std::process::Child);
    impl Drop for Held {
        fn drop(&mut self) {
            let _ = self.0.wait();
        }
    }
    let mut child = server.psql(database).spawn().expect("docker exec starts");
    let script = "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; \
                  select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'; begin; \
                  lock table item; \n\\echo held\nselect pg_sleep(2); commit;";
    child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("psql reads");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line == "held")), "the table is held");
    Held(child)
}

/// Formats and options of restores.
const RESTORES: [(&str, &str, &str); 5] = [
    ("plain", "1", "exec"),
    ("plain", "2", "exec"),
    ("plain", "2", "worker"),
    ("custom", "1", "exec"),
    ("custom", "2", "worker"),
];

fn life(project: &Project, restores: &[(&str, &str, &str)]) {
    let name = &project.database;
    project.sql(SLOW);
    let count = |database: &str| project.server.sql(database, "select count(*) from item");
    // What follows takes the plain one.
    for &(format, jobs, transport) in restores {
        let file = format!("{format}.dump");
        if !project.path().join(&file).exists() {
            let held = hold(&project.server, name);
            let dumped_by = if format == "plain" { "exec" } else { "worker" };
            project.run(&["backup", "--format", format, "-o", &file, "--transport", dumped_by]).code(0);
            drop(held);
        }
        let restore = ["restore", &file, "--into", "copy", "--yes", "--no-backup"];
        project.run(&[&restore[..], &["-j", jobs, "--transport", transport]].concat()).code(0);
        assert_eq!(count("copy"), "4", "{format} -j {jobs} {transport}");
    }
    project.sql("delete from item");
    project.run(&["restore", "plain.dump", "--yes"]).code(0);
    assert_eq!(count(name), "4");
    project.run(&["restore", "undo", "--yes"]).code(0);
    assert_eq!(count(name), "0");
    fs::create_dir_all(project.path().join("migrations")).unwrap();
    fs::write(
        project.path().join("migrations/1_slow.sql"),
        "-- migrate:up\nselect pg_sleep(1.5); create table made (id int);\n-- migrate:down\ndrop table made;",
    )
    .unwrap();
    project.run(&["migrate", "--yes"]).code(0);
    assert_eq!(project.sql("select count(*) from made"), "0");
}

#[test]
fn a_server_that_ends_slow_and_idle_sessions_is_backed_up_restored_and_migrated() {
    let all = [15, 17].into_iter().flat_map(|major| RESTORES.map(|restore| (major, restore))).collect();
    let selected = pairs::rows(all, |(major, (format, jobs, transport))| {
        [&major.to_string(), *format, *jobs, *transport].map(str::to_owned)
    });
    for major in [15, 17] {
        let server = Wanted::postgres(major, &format!("limits{major}")).start().ready();
        // Before the limits, which end the making of a database on a busy machine.
        let project = Project::new(&server, "limits");
        for limit in limits(major) {
            server.sql("postgres", &format!("alter system set {limit} = '1s'"));
        }
        server.sql("postgres", "select pg_reload_conf()");
        let restores: Vec<_> = selected.iter().filter(|row| row.0 == major).map(|row| row.1).collect();
        life(&project, &restores);
    }
}

#[test]
fn limits_of_a_role_and_of_a_database_end_no_session_of_envctl() {
    let server = Wanted::postgres(17, "rolelimits").start().ready();
    let project = Project::new(&server, "limits");
    for limit in limits(17) {
        server.sql("postgres", &format!("alter role postgres set {limit} = '1s'"));
        server.sql(
            "postgres",
            &format!(
                "alter database {} set {limit} = '1s'; alter role all set {limit} = '1s'",
                project.database
            ),
        );
    }
    life(&project, &pairs::rows(RESTORES.into(), |row| [row.0, row.1, row.2].map(str::to_owned)));
}

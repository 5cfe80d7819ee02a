//! What can go wrong with a migration by envctl's own runner (reliability F57, F61–F63, F66, F68–F71); the others of
//! that list are beside the plain runs, in `tests/scenarios/migrations.rs` and `prisma_faults.rs`.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::rig::{Wanted, docker, eventually};
use crate::support::{Project, Server};

fn project(name: &str, migrations: &[(&str, &str)]) -> Project {
    project_on(Server::shared(15), name, migrations)
}

fn project_on(server: &Server, name: &str, migrations: &[(&str, &str)]) -> Project {
    with(Project::new(server, name), migrations)
}

fn with(project: Project, migrations: &[(&str, &str)]) -> Project {
    for (folder, sql) in migrations {
        write(&project, folder, sql);
    }
    project
}

fn write(project: &Project, folder: &str, sql: &str) {
    let at = project.path().join("prisma/migrations").join(folder);
    fs::create_dir_all(&at).unwrap();
    fs::write(at.join("migration.sql"), sql).unwrap();
}

/// Name, finished, rolled back, steps, logs, of every row.
fn rows(project: &Project) -> String {
    project.sql(
        "select migration_name, finished_at is not null, rolled_back_at is not null, applied_steps_count, \
         coalesce(logs, '-') from _prisma_migrations order by started_at, finished_at",
    )
}

/// Waits until a statement with these words runs.
fn until_it_runs(project: &Project, words: &str) {
    let active = format!(
        "select count(*) from pg_stat_activity where state = 'active' and query like '%{words}%' and pid <> pg_backend_pid()"
    );
    eventually(Duration::from_secs(10), words, || project.server.sql("postgres", &active) != "0");
}

#[test]
fn f57_a_killed_envctl_leaves_no_lock_and_no_half_of_a_file() {
    let project = project(
        "f57",
        &[("1_slow", "create table a (); select pg_sleep(2.57);"), ("2_next", "create table b ();")],
    );
    let running = project.start(&["migrate"]);
    until_it_runs(&project, "pg_sleep(2.57)");
    running.signal(Signal::KILL);
    assert_eq!(running.finish().code, 137);
    // What was sent ends, and with it the session and its locks.
    eventually(Duration::from_secs(10), "the sessions end", || {
        project.server.sessions(&project.database).is_empty()
    });
    assert_eq!(project.sql("select to_regclass('a'), to_regclass('b')"), "a|");
    project.run(&["migrate"]).code(0).says("1 migration applied");
    assert_eq!(rows(&project), "1_slow|t|f|1|-\n2_next|t|f|1|-");
}

#[test]
fn f61_what_runs_outside_of_transactions_runs_alone_or_not_at_all() {
    for server in Server::each() {
        let project = project_on(
            server,
            "f61",
            &[
                ("1_t", "create table t (a int);"),
                ("2_index", "create index concurrently i on t (a);"),
                ("3_vacuum", "-- alone\nvacuum t;"),
                ("4_both", "create table u (); create index concurrently j on t (a);"),
            ],
        );
        let refused = project.run(&["migrate"]).code(6);
        refused.says("4_both/migration.sql:1: CREATE INDEX CONCURRENTLY cannot run in a transaction");
        assert_eq!(project.sql("select to_regclass('t'), to_regclass('u')"), "|");
        fs::remove_dir_all(project.path().join("prisma/migrations/4_both")).unwrap();
        project.run(&["migrate"]).code(0).says("3 migrations applied");

        // A build that fails leaves an index that no query uses; who looks is told.
        project.sql("insert into t values (1), (1)");
        write(&project, "4_both", "create unique index concurrently j on t (a);");
        project
            .run(&["migrate"])
            .code(7)
            .says("(23505) DETAIL: Key (a)=(1) is duplicated.")
            .says("cannot run in a transaction: what it did before the failure stays");
        project.run(&["migrate", "resolve", "4_both", "--rolled-back"]).code(0);
        write(&project, "4_both", "select 1;");
        project
            .run(&["migrate"])
            .code(0)
            .says("left INVALID and not used by any query: \"public\".\"j\"|public.j");
    }
}

#[test]
fn an_index_is_built_although_another_migrator_waits_for_its_turn() {
    let project = project("queue", &[("1_t", "create table t (a int); select pg_sleep(2.5);")]);
    write(&project, "2_index", "create index concurrently i on t (a);");
    let running = project.start(&["migrate"]);
    until_it_runs(&project, "pg_sleep(2.5)");
    // As Prisma waits: inside of a statement, and not for ever.
    let mut other = project.server.psql(&project.database).spawn().unwrap();
    let mut stdin = other.stdin.take().unwrap();
    stdin.write_all(b"set statement_timeout = '7s';\nselect pg_advisory_lock(72707369);\n").unwrap();
    until_it_runs(&project, "pg_advisory_lock(72707369)");
    running.finish().code(0).says("2 migrations applied");
    drop(stdin);
    other.wait().unwrap();
    assert_eq!(project.sql("select count(*) from pg_index where not indisvalid"), "0");
    assert_eq!(rows(&project), "1_t|t|f|1|-\n2_index|t|f|1|-", "and it needed one try");
}

#[test]
fn f62_a_new_word_of_an_enum_is_not_used_in_the_file_that_adds_it() {
    for server in Server::each() {
        let project = project_on(
            server,
            "f62",
            &[
                ("1_mood", "create type mood as enum ('sad'); create table t (m mood);"),
                ("2_add", "alter type mood add value 'ok'; insert into t values ('ok');"),
            ],
        );
        project
            .run(&["migrate"])
            .code(7)
            .says("unsafe use of new value")
            .says("nothing of this file was applied");
        assert_eq!(project.sql("select count(*) from pg_enum where enumlabel = 'ok'"), "0");
        project.run(&["migrate", "resolve", "2_add", "--rolled-back"]).code(0);
        write(&project, "2_add", "alter type mood add value 'ok';");
        write(&project, "3_use", "insert into t values ('ok');");
        project.run(&["migrate"]).code(0).says("2 migrations applied");
    }
}

/// The row that Prisma writes before it runs a file.
fn begun(project: &Project, name: &str) {
    project.sql(&format!(
        "insert into _prisma_migrations (id, checksum, migration_name, started_at) \
         values (gen_random_uuid()::text, '{}', '{name}', now())",
        "0".repeat(64)
    ));
}

#[test]
fn f63_a_migrator_that_died_left_a_row_that_a_person_settles_as_with_prisma() {
    for server in Server::each() {
        let project = project_on(
            server,
            "f63",
            &[("1_a", "create table a ();"), ("2_b", "create table b ();"), ("3_c", "create table c ();")],
        );
        project.run(&["migrate"]).code(0);
        project.sql("delete from _prisma_migrations where migration_name <> '1_a'; drop table b");
        begun(&project, "2_b");
        begun(&project, "3_c");
        // Whether it runs or has died, the lock alone tells.
        let held = project.server.session(&project.database, "select pg_advisory_lock(72707369)");
        project.run(&["migrate", "status"]).code(0).says("2_b runs now, by rig (pid ");
        project
            .run(&["migrate", "--lock-timeout", "300ms"])
            .code(5)
            .says("another migration runs on this database: rig (pid ");
        drop(held);
        project
            .run(&["migrate"])
            .code(9)
            .says("2_b failed before: it was begun and did not end, or it runs now");
        project.run(&["migrate", "status"]).code(0).says("1 applied, 2 failed");
        // Nothing of 2_b is there, all of 3_c is.
        project.run(&["migrate", "resolve", "2_b", "--rolled-back"]).code(0);
        project.run(&["migrate", "resolve", "3_c", "--applied"]).code(0);
        project.run(&["migrate", "resolve", "3_c", "--applied"]).code(6).says("applied already");
        project.run(&["migrate", "resolve", "2_b", "--rolled-back"]).code(6).says("did not fail");
        project.run(&["migrate", "resolve", "4_d", "--applied"]).code(2).says("no migration");
        project.run(&["migrate"]).code(0).says("1 migration applied");
        assert_eq!(rows(&project), "1_a|t|f|1|-\n2_b|f|t|0|-\n3_c|f|t|0|-\n3_c|t|f|0|\n2_b|t|f|1|-");
        project.run(&["migrate", "status", "--exit-code"]).code(0);
    }
}

#[test]
fn f66_a_file_that_appears_late_is_applied_with_a_word_or_refused_where_order_is_strict() {
    let project = project("f66", &[("1_a", "create table a ();"), ("3_c", "create table c ();")]);
    project.run(&["migrate", "--strict-order"]).code(0);
    write(&project, "2_b", "create table b ();");
    let refused = project.run(&["migrate", "--strict-order"]).code(6);
    assert!(refused.err().contains("2_b is older than 3_c, which is applied already"), "{}", refused.err());
    assert_eq!(project.sql("select to_regclass('b')"), "");
    let plan = project.run(&["migrate", "--dry-run"]).code(0).out();
    assert!(plan.contains("note: 2_b is older than 3_c"), "{plan}");
    project.run(&["migrate"]).code(0).says("1 migration applied");
    project.run(&["migrate", "--strict-order"]).code(0);
}

#[test]
fn f68_the_order_is_prismas_and_where_bytes_would_differ_the_plan_says_so() {
    let step = |n: u32| format!("insert into t values ({n});");
    let project = project(
        "f68",
        &[
            ("2024_a-b", &step(2)),
            ("2024_B", &step(4)),
            ("2024-z", &step(5)),
            ("2024_ab", &step(3)),
            ("2024_a_c", "create table t (n int, at serial); insert into t values (1);"),
        ],
    );
    let plan = project.run(&["migrate", "--dry-run"]).code(0).out();
    assert!(plan.contains("byte order would not; the order is Prisma's"), "{plan}");
    project.run(&["migrate"]).code(0).says("5 migrations applied");
    assert_eq!(project.sql("select string_agg(n::text, ' ' order by at) from t"), "1 2 3 4 5");
    // No two versions of ICU need agree about these.
    write(&project, "2024_é", "select 1;");
    project.run(&["migrate"]).code(6).says("the order of the migrations is ambiguous");
}

#[test]
fn f69_a_database_that_has_tables_and_no_history_is_not_migrated_from_the_beginning() {
    let project = project("f69", &[("1_a", "create table a ();"), ("2_b", "create table b ();")]);
    project.sql("create table a ()");
    project.run(&["migrate"]).code(6).says("schema is not empty").says("(a)").says("resolve 1_a --applied");
    project.run(&["migrate", "status"]).code(0).says("2 pending");
    assert_eq!(project.sql("select to_regclass('_prisma_migrations')"), "");
    project.run(&["migrate", "resolve", "1_a", "--applied"]).code(0);
    project.run(&["migrate"]).code(0).says("1 migration applied");
}

#[test]
fn f70_settings_of_a_role_or_a_database_do_not_bend_a_migration() {
    for server in Server::each() {
        let project = project_on(
            server,
            "f70",
            &[
                ("1_a", "create table a (id int); select pg_sleep(0.1);"),
                ("2_b", "create table b (); set search_path = pg_catalog;"),
            ],
        );
        write(&project, "3_c", "create table c ();");
        project.sql(&format!(
        "create schema evil; alter database {0} set search_path = evil; alter database {0} set statement_timeout = '1ms'; \
         alter database {0} set lock_timeout = '1ms'; alter database {0} set default_transaction_read_only = on",
        project.database
    ));
        project.run(&["migrate"]).code(0).says("3 migrations applied");
        // The look has the settings too, and would be ended by them.
        project.server.sql("postgres", &format!("alter database {} reset all", project.database));
        let schemas = "select string_agg(distinct schemaname || '.' || tablename, ' ') from pg_tables where schemaname in ('evil', 'public')";
        assert_eq!(project.sql(schemas), "public._prisma_migrations public.a public.b public.c");
    }
}

#[test]
fn a_project_in_another_schema_stays_there() {
    // `?schema=app` in the URL of the project's own tool.
    let project = project("schema", &[("1_a", "create table a ();")]);
    project.run(&["migrate"]).code(0);
    project.sql(
        "create schema app; alter table _prisma_migrations set schema app; alter table a set schema app",
    );
    write(&project, "2_b", "create table b ();");
    project.run(&["migrate"]).code(0).says("1 migration applied");
    assert_eq!(project.sql("select to_regclass('app.b'), to_regclass('public.b')"), "app.b|");
}

#[test]
fn f71_a_first_start_is_waited_out() {
    for major in [15, 17] {
        let init = tempfile::tempdir().unwrap();
        fs::write(init.path().join("slow.sql"), "select pg_sleep(3);\ncreate schema by_init;\n").unwrap();
        let wanted = Wanted::postgres(major, &format!("f71-{major}"))
            .arg("--env=POSTGRES_DB=shop")
            .arg(&format!("--volume={}:/docker-entrypoint-initdb.d:ro", init.path().display()));
        let server = wanted.start();
        let project = with(
            Project::of(&server, "shop"),
            &[(
                "1_a",
                "create table a (); select pg_sleep(1); insert into a select where exists (select from pg_namespace where nspname = 'by_init');",
            )],
        );
        project.run(&["migrate"]).code(0).says("1 migration applied");
        assert_eq!(project.sql("select count(*) from a"), "1", "the project's own scripts ran first");
        docker(&["rm", "-fv", &server.container]);
    }
}

#[test]
fn a_container_that_dies_half_way_is_an_outcome_to_look_at() {
    for major in [15, 17] {
        let server = Wanted::postgres(major, &format!("mdie{major}")).start().ready();
        let project = with(
            Project::of(&server, "postgres"),
            &[("1_ok", "create table ok ();"), ("2_slow", "create table a (); select pg_sleep(61);")],
        );
        let running = project.start(&["migrate"]);
        until_it_runs(&project, "pg_sleep(61)");
        docker(&["kill", &server.container]);
        let ended =
            running.finish_within(Duration::from_secs(20)).code(9).says("while 2_slow was being applied");
        let ended =
            ended.says(&format!("docker logs --tail 50 {}", server.container)).says("envctl migrate status");
        ended.says("resolve 2_slow --rolled-back").says("applied before it, and staying: 1_ok");
        docker(&["rm", "-fv", &server.container]);
    }
}

#[test]
fn whoever_holds_a_table_is_named_and_nothing_is_left_to_settle() {
    for server in Server::each() {
        let project = project_on(server, "held", &[("1_t", "create table t (id int);")]);
        project.run(&["migrate"]).code(0);
        write(&project, "2_alter", "alter table t add column x int;");
        let held = project.server.session(&project.database, "begin; select * from t");
        let refused = project.run(&["migrate", "--lock-timeout", "4s"]).code(5);
        let refused =
            refused.says("2_alter waited in vain for a table that rig (pid ").says("idle in transaction");
        refused.says("pg_terminate_backend(").says("nothing of the file was applied");
        project
            .run(&["migrate", "reset", "--yes", "--no-backup", "--lock-timeout", "4s"])
            .code(5)
            .says("the reset waited in vain for a table that rig (pid ")
            .says("nothing was dropped");
        drop(held);
        project.run(&["migrate"]).code(0).says("1 migration applied");
        let held = project.server.session(&project.database, "set application_name = 'pg_dump'");
        project
            .run(&["migrate", "reset", "--yes", "--no-backup", "--lock-timeout", "300ms"])
            .code(5)
            .says("pg_dump (pid ");
        drop(held);
        // Who waits long enough gets its turn.
        let held = project.server.session(&project.database, "begin; select * from t");
        write(&project, "3_alter", "alter table t add column y int;");
        let running = project.start(&["migrate", "--lock-timeout", "60s"]);
        until_it_runs(&project, "add column y");
        drop(held);
        running.finish().code(0);
    }
}

#[test]
fn golang_migrates_one_row_is_not_dirty_when_a_file_only_waited() {
    for server in Server::each() {
        let project = Project::new(server, "gowait");
        let at = project.path().join("db/migrations");
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("1_t.up.sql"), "create table t (id int);").unwrap();
        let toml = project.path().join("envctl.toml");
        let text = fs::read_to_string(&toml).unwrap();
        fs::write(&toml, format!("{text}\n[migrations]\nlayout = \"golang-migrate\"\n")).unwrap();
        project.run(&["migrate"]).code(0);
        fs::write(at.join("2_x.up.sql"), "alter table t add column x int;").unwrap();
        let held = project.server.session(&project.database, "begin; select * from t");
        project.run(&["migrate", "--lock-timeout", "300ms"]).code(5).says("nothing of the file was applied");
        drop(held);
        assert_eq!(project.sql("select version, dirty from schema_migrations"), "1|f");
        project.run(&["migrate"]).code(0);
        assert_eq!(project.sql("select version, dirty from schema_migrations"), "2|f");
        fs::write(at.join("3_bad.up.sql"), "select 1/0;").unwrap();
        project.run(&["migrate"]).code(7).says("resolve 3_bad --rolled-back");
        assert_eq!(project.sql("select version, dirty from schema_migrations"), "3|t");
    }
}

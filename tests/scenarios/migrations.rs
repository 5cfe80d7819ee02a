//! The `sql` driver on a real PostgreSQL: what it applies, refuses, notes down and takes back (reliability F56–F71).

use std::fs;
use std::time::Duration;

use crate::support::rig::poll;
use crate::support::{Project, Server};

/// A project with Prisma folders, and a fresh database.
fn project(name: &str, server: &Server, migrations: &[(&str, &str)]) -> Project {
    let project = Project::new(server, name);
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

fn rows(project: &Project) -> String {
    let sql = "select migration_name, finished_at is not null, rolled_back_at is not null, applied_steps_count, \
               coalesce(logs, '-') from _prisma_migrations order by started_at";
    project.server.sql(&project.database, sql)
}

#[test]
fn what_is_pending_is_applied_once_and_noted_as_prisma_does() {
    for server in Server::each() {
        let project = project(
            "mig_once",
            server,
            &[
                (
                    "20240101000000_users",
                    "create table users (id int primary key, name text);\ninsert into users values (1, 'a;b');",
                ),
                (
                    "20240102_000000_body",
                    "create function f() returns int language plpgsql as $$ begin return 1; end $$;",
                ),
                ("20240103000000_index", "create index concurrently i on users (name);"),
                ("20240104000000_empty", "-- nothing\n"),
            ],
        );
        project.run(&["migrate", "status", "--exit-code"]).code(11).says("4 pending");
        let plan = project.run(&["migrate", "--dry-run"]).code(0);
        assert!(plan.out().contains("+ 20240103000000_index (1 statement)"), "{}", plan.out());
        project.run(&["migrate"]).code(0).says("4 migrations applied");
        assert_eq!(
            rows(&project),
            "20240101000000_users|t|f|1|-\n20240102_000000_body|t|f|1|-\n20240103000000_index|t|f|1|-\n20240104000000_empty|t|f|1|-"
        );
        project.run(&["migrate"]).code(0);
        project.run(&["migrate", "status", "--exit-code"]).code(0).says("4 applied");
        let checksum = project.server.sql(
            &project.database,
            "select checksum = encode(sha256(E'-- nothing\\n'), 'hex') from _prisma_migrations where migration_name like '%empty'",
        );
        assert_eq!(checksum, "t");
    }
}

#[test]
fn f59_f65_a_file_that_fails_leaves_nothing_and_says_what_to_type() {
    for server in Server::each() {
        let project = project(
            "mig_fail",
            server,
            &[("1_ok", "create table a ();"), ("2_bad", "create table b ();\nselect 1/0;")],
        );
        let failed = project.run(&["migrate"]).code(7);
        let failed = failed.says("2_bad failed: division by zero").says("nothing of this file was applied");
        let _ = failed
            .says("envctl migrate resolve 2_bad --rolled-back")
            .says("applied before it, and staying: 1_ok");
        assert_eq!(project.server.sql(&project.database, "select to_regclass('a'), to_regclass('b')"), "a|");
        assert!(rows(&project).contains("2_bad|f|f|0|division by zero"), "{}", rows(&project));
        project.run(&["migrate"]).code(9).says("2_bad failed before: division by zero");
        project.run(&["migrate", "resolve", "1_ok", "--rolled-back"]).code(6).says("did not fail");
        project.run(&["migrate", "resolve", "2_bad", "--rolled-back"]).code(0);
        write(&project, "2_bad", "create table b ();");
        project.run(&["migrate"]).code(0);
        // The row that was rolled back had another checksum, and says nothing any more (prisma#16927).
        project.run(&["migrate", "status", "--exit-code"]).code(0);
    }
}

#[test]
fn what_the_server_says_of_a_failed_file_is_told_whole_and_kept() {
    for server in Server::each() {
        for (name, sql, says, kept) in [
            (
                "mig_none",
                "alter table nosuch add column x int;",
                "1_bad failed: relation \"nosuch\" does not exist (42P01)",
                "relation \"nosuch\" does not exist",
            ),
            (
                "mig_line",
                "select 1;\nselect nosuch;",
                "1_bad failed: column \"nosuch\" does not exist (42703) LINE 2: select nosuch; ^",
                "LINE 2: select nosuch;",
            ),
            (
                "mig_detail",
                "create table a (x int unique); insert into a values (1), (1);",
                "\"a_x_key\" (23505) DETAIL: Key (x)=(1) already exists.",
                "DETAIL: Key (x)=(1) already exists.",
            ),
            (
                "mig_context",
                "do $$ begin raise warning 'one'; perform 1/0; end $$;",
                "division by zero (22012) CONTEXT: SQL statement \"SELECT 1/0\" PL/pgSQL function inline_code_block",
                "CONTEXT: SQL statement \"SELECT 1/0\"",
            ),
        ] {
            let project = project(name, server, &[("1_bad", sql)]);
            project.run(&["migrate"]).code(7).says(says);
            let logs = project.sql("select logs from _prisma_migrations");
            assert!(logs.contains(kept), "{logs}");
        }
        // Statements of envctl's own, here the one that makes the history's table.
        let project = project("mig_query", server, &[("1_a", "create table a ();")]);
        project.sql(
            "create function no() returns event_trigger language plpgsql as \
             $$ begin raise 'not here' using hint = 'ask ada', detail = 'frozen'; end $$; \
             create event trigger frozen on ddl_command_start execute function no()",
        );
        let refused = project.run(&["migrate"]).code(7).says("PostgreSQL refused: not here (P0001)");
        refused.says("DETAIL: frozen HINT: ask ada CONTEXT: PL/pgSQL function no() line 1 at RAISE");
    }
}

/// The files of a public report (prisma/orm#8424).
#[test]
fn a_new_value_of_an_enum_used_too_early_says_postgresqls_own_hint() {
    for server in Server::each() {
        let files = [
            ("20240101000000_e", "CREATE TYPE e AS ENUM ('A'); CREATE TABLE cfg (t e);\n"),
            ("20240102000000_use", "ALTER TYPE e ADD VALUE 'B';\nINSERT INTO cfg VALUES ('B');\n"),
        ];
        let project = project("mig_enum", server, &files);
        let failed =
            project.run(&["migrate"]).code(7).says("unsafe use of new value \"B\" of enum type e (55P04)");
        let failed = failed.says("LINE 2: INSERT INTO cfg VALUES ('B');");
        failed.says("HINT: New enum values must be committed before they can be used.");
    }
}

#[test]
fn f60_a_file_that_commits_by_itself_keeps_its_first_half_and_says_so() {
    for server in Server::each() {
        let project = project("mig_commit", server, &[("1_half", "create table a (); commit; select 1/0;")]);
        project.run(&["migrate"]).code(7).says("commits by itself").says("--applied");
        assert_eq!(project.server.sql(&project.database, "select to_regclass('a')"), "a");
        let project = self::project("mig_open", server, &[("1_open", "begin; create table a ();")]);
        project.run(&["migrate"]).code(6).says("1_open/migration.sql:1: `BEGIN` begins a transaction");
        assert_eq!(project.server.sql(&project.database, "select to_regclass('a')"), "");
    }
}

#[test]
fn f64_f66_edited_missing_and_strange_histories_are_refused_before_anything_runs() {
    let project = project(
        "mig_edit",
        Server::shared(15),
        &[("1_a", "create table a ();\n"), ("2_b", "create table b ();\n")],
    );
    project.run(&["migrate"]).code(0);
    write(&project, "1_a", "create table a ();\r\n");
    project.run(&["migrate", "status", "--exit-code"]).code(0);
    write(&project, "1_a", "create table a (x int);\n");
    write(&project, "3_c", "create table c ();");
    project.run(&["migrate"]).code(6).says("1_a was edited after it was applied");
    assert_eq!(project.server.sql(&project.database, "select to_regclass('c')"), "");
    write(&project, "1_a", "create table a ();\n");
    fs::remove_dir_all(project.path().join("prisma/migrations/2_b")).unwrap();
    let plan = project.run(&["migrate", "--dry-run"]).code(0).out();
    assert!(plan.contains("without a file here: 2_b"), "{plan}");
    project.run(&["migrate"]).code(0);

    let strange = self::project("mig_strange", Server::shared(15), &[("1_a", "create table a ();")]);
    strange.server.sql(&strange.database, "create table theirs ()");
    strange.run(&["migrate"]).code(6).says("the database schema is not empty").says("resolve 1_a --applied");
    strange.run(&["migrate", "resolve", "1_a", "--applied"]).code(0);
    assert_eq!(strange.run(&["migrate"]).code(0).out(), "nothing to apply\n");
    assert_eq!(strange.server.sql(&strange.database, "select to_regclass('a')"), "");
}

#[test]
fn f56_a_lock_held_elsewhere_is_busy_and_names_its_holder() {
    for server in Server::each() {
        let project = project("mig_lock", server, &[("1_a", "create table a ();")]);
        let held = project.server.session(&project.database, "select pg_advisory_lock(72707369)");
        project
            .run(&["migrate", "--lock-timeout", "300ms"])
            .code(5)
            .says("another migration runs")
            .says("rig (pid ");
        drop(held);
        project.server.sql(&project.database, "create table t (id int)");
        project.run(&["migrate", "resolve", "1_a", "--applied"]).code(0);
        write(&project, "2_alter", "alter table t add column x int;");
        let held = project.server.session(&project.database, "begin; select * from t");
        project.run(&["migrate", "--lock-timeout", "300ms"]).code(5).says("nothing of the file was applied");
        drop(held);
        // Nobody has to resolve what only waited in vain.
        project.run(&["migrate"]).code(0).says("1 migration applied");
        let held = project.server.session(&project.database, "set application_name = 'pg_dump'");
        write(&project, "3_x", "select 1;");
        project
            .run(&["migrate", "--lock-timeout", "300ms"])
            .code(5)
            .says("a dump of this database runs: pg_dump (pid ");
        drop(held);
    }
}

#[test]
fn ctrl_c_takes_back_what_was_running() {
    for server in Server::each() {
        let project = project("mig_stop", server, &[("1_slow", "create table a (); select pg_sleep(60);")]);
        let running = project.start(&["migrate"]);
        let begun = "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(60)%' and pid <> pg_backend_pid()";
        assert!(poll(Duration::from_secs(10), || project.server.sql("postgres", begun) == "1"));
        running.signal(rustix::process::Signal::INT);
        running.finish_within(Duration::from_secs(10)).code(130);
        assert_eq!(project.server.sessions(&project.database), "");
        assert_eq!(project.server.sql(&project.database, "select to_regclass('a')"), "");
        assert!(rows(&project).contains("1_slow|f|t|0"), "{}", rows(&project));
        write(&project, "1_slow", "create table a ();");
        project.run(&["migrate"]).code(0);
    }
}

#[test]
fn a_session_that_ends_half_way_is_an_outcome_nobody_knows() {
    for server in Server::each() {
        let project = project(
            "mig_lost",
            server,
            &[("1_end", "create table a (); select pg_terminate_backend(pg_backend_pid());")],
        );
        project
            .run(&["migrate"])
            .code(9)
            .says("the connection to PostgreSQL was lost")
            .says("resolve 1_end --rolled-back");
        project.run(&["migrate", "resolve", "1_end", "--rolled-back"]).code(0);
        write(&project, "1_end", "create table a ();");
        project.run(&["migrate"]).code(0);
    }
}

#[test]
fn f67_hostile_folders_are_refused_with_their_reason() {
    for (name, folder, bytes, says) in [
        ("mig_bom", "1_a", &b"\xEF\xBB\xBFselect 1"[..], "byte order mark"),
        ("mig_nul", "1_a", b"select 1;\0", "NUL"),
        ("mig_utf", "1_a", b"select '\xff'", "no UTF-8"),
        ("mig_copy", "1_a", b"create table t(a int); copy t from stdin;\n1\n\\.\n", "COPY"),
        ("mig_order", "1_\u{e9}", b"select 1", "ambiguous"),
    ] {
        let project = project(name, Server::shared(15), &[("0_first", "create table first ();")]);
        let at = project.path().join("prisma/migrations").join(folder);
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("migration.sql"), bytes).unwrap();
        project.run(&["migrate"]).code(6).says(says);
        assert_eq!(project.server.sql(&project.database, "select to_regclass('first')"), "", "{name}");
    }
    let gone = project("mig_gone", Server::shared(15), &[("0_first", "create table first ();")]);
    fs::create_dir(gone.path().join("prisma/migrations/1_gone")).unwrap();
    gone.run(&["migrate"]).code(6).says("1_gone holds no migration.sql").says("put the file back");
    assert_eq!(gone.sql("select to_regclass('first')"), "");
    let large = format!("select '{}';", "x".repeat(5 << 20));
    let project = project("mig_large", Server::shared(15), &[("1_a name with spaces copy", &large)]);
    project.run(&["migrate"]).code(0).says("1 migration applied");
}

#[test]
fn two_at_once_apply_each_migration_once() {
    let project = project("mig_two", Server::shared(15), &[]);
    for round in 0..10 {
        write(&project, &format!("{round:02}_t"), &format!("create table t{round} (id int);"));
        write(
            &project,
            &format!("{round:02}_u"),
            &format!("create index concurrently i{round} on t{round} (id);"),
        );
        let both = [project.start(&["migrate"]), project.start(&["migrate"])];
        for one in both {
            one.finish().code(0);
        }
        let count = project.server.sql(
            &project.database,
            "select count(*), count(distinct migration_name) from _prisma_migrations",
        );
        let wanted = 2 * (round + 1);
        assert_eq!(count, format!("{wanted}|{wanted}"));
    }
    let invalid = "select count(*) from pg_index where not indisvalid";
    assert_eq!(project.server.sql(&project.database, invalid), "0");
}

#[test]
fn the_plan_tells_what_each_statement_does_to_a_table_of_what_size() {
    let project = project("mig_risk", Server::shared(15), &[("1_t", "create table t (a int, b text);")]);
    project.run(&["migrate"]).code(0);
    project
        .sql("insert into t select n, repeat('x', 100) from generate_series(1, 20000) n; vacuum analyze t");
    write(&project, "2_index", "-- slow\ncreate index i on t (a);");
    write(&project, "3_drop", "alter table t drop column b;");
    write(&project, "4_type", "alter table t alter column a type bigint;");
    write(&project, "5_new", "create table u (a int); create index j on u (a);");
    let plan = project.run(&["migrate", "--dry-run"]).code(0).out();
    for line in ["! line 2: locks t (2.", "! line 1: loses data t (2.", "! line 1: rewrites t (2."] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    assert!(plan.trim_end().ends_with("+ 5_new (2 statements)"), "a new table is empty: {plan}");
    let json = project.run(&["migrate", "--dry-run", "--json"]).code(0).out();
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    let risk = &plan["pending"][1]["risks"][0];
    assert_eq!((&risk["danger"], &risk["table"]), (&"data_loss".into(), &"t".into()), "{risk}");
    assert!(risk["table_bytes"].as_u64().unwrap() > 2_000_000, "{risk}");
}

/// A project with files of another tool.
fn foreign(name: &str, layout: &str, files: &[(&str, &str)]) -> Project {
    foreign_on(Server::shared(15), name, layout, files)
}

/// The same in a database of this server.
pub(crate) fn foreign_on(server: &Server, name: &str, layout: &str, files: &[(&str, &str)]) -> Project {
    let project = Project::new(server, name);
    let at = project.path().join("db/migrations");
    fs::create_dir_all(&at).unwrap();
    for (file, text) in files {
        fs::write(at.join(file), text).unwrap();
    }
    let toml = project.path().join("envctl.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, format!("{text}\n[migrations]\nlayout = \"{layout}\"\n")).unwrap();
    project
}

#[test]
fn the_tables_of_other_tools_are_theirs() {
    for server in Server::each() {
        let pair = [
            ("1_a.up.sql", "create table a ();"),
            ("1_a.down.sql", "drop table a;"),
            ("2_b.up.sql", "create table b ();"),
            ("2_b.down.sql", ""),
        ];
        let go = foreign_on(server, "mig_go", "golang-migrate", &pair);
        go.run(&["migrate"]).code(0).says("2 migrations applied");
        assert_eq!(go.server.sql(&go.database, "select version, dirty from schema_migrations"), "2|f");
        fs::write(go.path().join("db/migrations/3_c.up.sql"), "select 1/0;").unwrap();
        go.run(&["migrate"]).code(7);
        assert_eq!(go.server.sql(&go.database, "select version, dirty from schema_migrations"), "3|t");
        go.run(&["migrate", "resolve", "3_c", "--rolled-back"]).code(0);
        assert_eq!(go.server.sql(&go.database, "select version, dirty from schema_migrations"), "2|f");

        let sqlx = foreign_on(server, "mig_sqlx", "sqlx", &pair);
        sqlx.run(&["migrate"]).code(0);
        let rows =
            "select version, description, success, octet_length(checksum) from _sqlx_migrations order by 1";
        assert_eq!(sqlx.server.sql(&sqlx.database, rows), "1|a|t|48\n2|b|t|48");

        let mark = |sql: &str| format!("-- migrate:up\n{sql}\n-- migrate:down\nselect 1/0;\n");
        let dbmate = foreign_on(
            server,
            "mig_dbmate",
            "dbmate",
            &[
                ("20240101_a.sql", &mark("create table a ();")),
                ("20240102_b.sql", &mark("create table b (); select 1/0;")),
            ],
        );
        dbmate.run(&["migrate"]).code(7).says("20240102_b failed").says("nothing of this file was applied");
        assert_eq!(
            dbmate.server.sql(&dbmate.database, "select version, to_regclass('b') from schema_migrations"),
            "20240101|"
        );
        // Another tool's table of the same name is not written to.
        let toml = go.path().join("envctl.toml");
        fs::write(&toml, fs::read_to_string(&toml).unwrap().replace("golang-migrate", "dbmate")).unwrap();
        for file in fs::read_dir(go.path().join("db/migrations")).unwrap() {
            fs::write(file.unwrap().path(), mark("select 1;")).unwrap();
        }
        go.run(&["migrate", "status"]).code(6).says("is not of dbmate");
    }
}

/// They name their tables without a schema, as in every session of the role.
#[test]
fn triggers_of_the_user_find_their_tables_during_a_migration() {
    const AUDIT: &str = "create table log (what text); \
        create function noted() returns event_trigger language plpgsql as \
        $$ begin insert into log values (tg_tag); end $$; \
        create event trigger noted on ddl_command_end execute function noted()";
    const DEFERRED: &str = "create table t (a int);\n\
        create function later() returns trigger language plpgsql as \
        $$ begin insert into log values ('deferred'); return null; end $$;\n\
        create constraint trigger later after insert on t deferrable initially deferred \
        for each row execute function later();\n\
        insert into t values (1);\n";
    for server in Server::each() {
        for (layout, file) in [("sqlx", "1_a.sql"), ("dbmate", "1_a.sql"), ("golang-migrate", "1_a.up.sql")] {
            let text =
                if layout == "dbmate" { format!("-- migrate:up\n{DEFERRED}") } else { DEFERRED.to_owned() };
            let project = foreign_on(server, "mig_triggers", layout, &[(file, &text)]);
            project.sql(AUDIT);
            project.run(&["migrate"]).code(0);
            let logged = project.sql("select string_agg(distinct what, ',' order by what) from log");
            assert!(logged.contains("CREATE TABLE") && logged.contains("deferred"), "{layout}: {logged}");
        }
    }
}

/// Columns of a table as the server knows them.
fn columns(project: &Project, table: &str) -> String {
    project.sql(&format!(
        "select string_agg(concat_ws(' ', column_name, data_type, character_maximum_length, is_nullable, column_default), ', ' \
         order by ordinal_position) from information_schema.columns where table_name = '{table}'"
    ))
}

/// A history that the tool has begun: its own statements, from its own source (sqlx-postgres 0.8.6 `migrate.rs`, dbmate
/// 2 `postgres.go`, golang-migrate 4 `postgres.go`). What envctl makes itself has to be the same, and what the tool wrote
/// has to be taken for what it is.
#[test]
fn a_history_that_another_tool_has_begun_is_gone_on_with() {
    let first = "create table a ();";
    let checksum = "decode(encode(sha384('create table a ();'), 'hex'), 'hex')";
    let pair: [(&str, &str); 2] = [("1_first_one.up.sql", first), ("1_first_one.down.sql", "")];
    let marked = format!("-- migrate:up\n{first}\n");
    let tools = [
        (
            "sqlx",
            pair.as_slice(),
            "create table if not exists _sqlx_migrations (version bigint primary key, description text not null, \
             installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null, \
             execution_time bigint not null);",
            format!(
                "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (1, 'first one', true, {checksum}, -1)"
            ),
            "_sqlx_migrations",
            "select version, description, success, encode(checksum, 'hex') from _sqlx_migrations order by 1",
        ),
        (
            "dbmate",
            &[("1_first_one.sql", marked.as_str())],
            "create table if not exists schema_migrations (version varchar(128) primary key);",
            "insert into schema_migrations (version) values ('1')".to_owned(),
            "schema_migrations",
            "select version from schema_migrations order by 1",
        ),
        (
            "golang-migrate",
            pair.as_slice(),
            "create table if not exists schema_migrations (version bigint not null primary key, dirty boolean not null);",
            "truncate schema_migrations; insert into schema_migrations (version, dirty) values (1, false)"
                .to_owned(),
            "schema_migrations",
            "select version, dirty from schema_migrations",
        ),
    ];
    for (layout, files, table, row, name, rows) in tools {
        let theirs = foreign("mig_theirs", layout, files);
        theirs.sql(&format!("{table} {first} {row}"));
        let ours = foreign("mig_ours", layout, files);
        ours.run(&["migrate"]).code(0).says("1 migration applied");
        assert_eq!(columns(&ours, name), columns(&theirs, name), "{layout}");
        assert_eq!(ours.sql(rows), theirs.sql(rows), "{layout}");
        theirs.run(&["migrate", "status", "--exit-code"]).code(0).says("1 applied");
        let second = if layout == "dbmate" { "2_b.sql" } else { "2_b.up.sql" };
        let text =
            if layout == "dbmate" { "-- migrate:up\ncreate table b ();" } else { "create table b ();" };
        fs::write(theirs.path().join("db/migrations").join(second), text).unwrap();
        theirs.run(&["migrate"]).code(0).says("1 migration applied");
        theirs.run(&["migrate", "status", "--exit-code"]).code(0);
    }
    // sqlx itself stops there, too (sqlx#2659); for envctl other line ends are no edit.
    let ends = foreign("mig_ends", "sqlx", &[("1_a.sql", "CREATE TABLE a (x int);\r\n-- note\r\n")]);
    ends.run(&["migrate"]).code(0);
    fs::write(ends.path().join("db/migrations/1_a.sql"), "CREATE TABLE a (x int);\n-- note\n").unwrap();
    fs::write(ends.path().join("db/migrations/2_b.sql"), "CREATE TABLE b (x int);\n").unwrap();
    ends.run(&["migrate", "status", "--exit-code"]).code(11).says("applied with other line ends");
    ends.run(&["migrate"]).code(0).says("1 migration applied");
    // sqlx stops at a file that was edited (VersionMismatch), the others keep no checksum.
    let edited = foreign("mig_edited", "sqlx", &pair);
    edited.run(&["migrate"]).code(0);
    fs::write(edited.path().join("db/migrations/1_first_one.up.sql"), "create table c ();").unwrap();
    edited.run(&["migrate"]).code(6).says("1_first_one was edited after it was applied");
}

#[test]
fn a_reset_makes_everything_anew_with_the_schemas_rights() {
    let project = project("mig_reset", Server::shared(15), &[("1_a", "create table a (id int);")]);
    project.run(&["migrate"]).code(0);
    project.server.sql(
        &project.database,
        "insert into a values (1); create table stray (); grant create on schema public to public",
    );
    project.run(&["migrate", "reset"]).code(6);
    project.run(&["migrate", "reset", "--yes"]).code(0).says("backed up in");
    let state = "select (select count(*) from a), to_regclass('stray'), (select nspacl::text like '%=UC/%' from pg_namespace where nspname = 'public')";
    assert_eq!(project.server.sql(&project.database, state), "0||t");
    project.run(&["migrate", "status", "--exit-code"]).code(0);
}

/// Session state of every kind that a file can leave behind.
const LEFT: &str = "create role {role}; grant create, usage on schema public to {role}; create schema {role}; \
    create temp table later (x int); prepare later as select 1; listen later; declare later cursor with hold for select 1; \
    set search_path = {role}; set default_transaction_read_only = on; set standard_conforming_strings = off; \
    set lock_timeout = '1ms'; set session_replication_role = replica; set client_encoding = latin1; set role {role};";

/// A file that fails unless the session is as envctl opened it.
const CLEAN: &str = "do $$ begin \
    if current_user <> session_user or current_user <> 'postgres' then raise 'role %', current_user; end if; \
    if to_regclass('later') is not null then raise 'temporary table'; end if; \
    if exists (select from pg_prepared_statements) then raise 'prepared statement'; end if; \
    if exists (select from pg_cursors where name = 'later') then raise 'cursor'; end if; \
    if exists (select pg_listening_channels()) then raise 'listens'; end if; \
    if current_schema() <> 'public' then raise 'schema %', current_schema(); end if; \
    if current_setting('session_replication_role') <> 'origin' then raise 'replica'; end if; \
    if (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) <> 2 then raise 'locks'; end if; \
    end $$; create table \"caf\u{e9}\" (x int);";

#[test]
fn session_state_of_a_file_reaches_neither_the_history_nor_the_next_file() {
    for server in Server::each() {
        let role = server.database("w17role");
        let left = LEFT.replace("{role}", &role);
        for (layout, history) in [
            ("prisma", "_prisma_migrations"),
            ("sqlx", "_sqlx_migrations"),
            ("golang-migrate", "schema_migrations"),
        ] {
            let prisma = layout == "prisma";
            let project =
                if prisma { project("w17", server, &[]) } else { foreign_on(server, "w17", layout, &[]) };
            let file = |name: &str, sql: &str| {
                if prisma {
                    return write(&project, name, sql);
                }
                fs::write(project.path().join(format!("db/migrations/{name}.up.sql")), sql).unwrap();
            };
            file("1_first", "create table first ();");
            project.run(&["migrate"]).code(0).says("1 migration applied");
            // Notes who writes the history, and in which schema.
            project.sql(&format!(
                "create table public.writers (who text); create function public.note() returns trigger language plpgsql as \
                 $$ begin insert into public.writers values (current_user || ' ' || current_setting('lock_timeout')); return new; end $$; \
                 create trigger note before insert or update on {history} for each row execute function public.note(); \
                 alter table {history} enable always trigger note"
            ));
            file(
                "2_left",
                &left
                    .replace("create role", "drop role if exists {role}; create role")
                    .replace("{role}", &role),
            );
            file("3_clean", CLEAN);
            project.run(&["migrate"]).code(0).says("2 migrations applied");
            let writers = project.sql("select string_agg(distinct who, ',') from public.writers");
            assert_eq!(writers, "postgres 10s", "{layout}");
            project.run(&["migrate", "status", "--exit-code"]).code(0).says("3 applied");
            project.sql(&format!("drop owned by {role}; drop role {role}"));
        }
    }
}

#[test]
fn the_servers_limits_stay_lifted_behind_a_file() {
    for server in Server::each() {
        let files = [("1_a", "create table a ();"), ("2_slow", "select pg_sleep(1.3);")];
        let project = project("w17_limits", server, &files);
        let limits = project.sql(
            "select string_agg(format('alter database %I set %s = ''1s''', current_database(), name), '; ') \
             from pg_settings where name in ('transaction_timeout', 'idle_session_timeout', 'statement_timeout')",
        );
        project.sql(&limits);
        project.run(&["migrate"]).code(0).says("2 migrations applied");
    }
}

#[test]
fn a_file_that_gives_up_all_locks_does_not_leave_the_next_one_without() {
    for server in Server::each() {
        let files = [
            ("1_a", "create table a ();"),
            ("2_unlock", "select pg_advisory_unlock_all();"),
            ("3_clean", CLEAN),
        ];
        let project = project("w17_locks", server, &files);
        project.run(&["migrate"]).code(0).says("3 migrations applied");
        assert_eq!(project.sql("select count(*) from _prisma_migrations where finished_at is not null"), "3");
    }
}

#[test]
fn a_statement_that_has_to_run_alone_is_refused_in_the_plan_with_its_line() {
    let own = "into a migration of its own";
    for server in Server::each() {
        let table = (
            "20240101000000_base.sql",
            "-- migrate:up\nCREATE TABLE t (id int, v text);\n-- migrate:down\nDROP TABLE t;\n",
        );
        let indexes = "-- migrate:up transaction:false\nDROP INDEX CONCURRENTLY IF EXISTS i0;\n\
                       CREATE INDEX CONCURRENTLY i1 ON t(id);\nCREATE INDEX CONCURRENTLY i2 ON t(v);\n-- migrate:down\n";
        let both = "-- migrate:up transaction:false\nCREATE TABLE x (a int);\nCREATE INDEX CONCURRENTLY xi ON x(a);\n-- migrate:down\n";
        let inside = "-- migrate:up\nVACUUM t;\n";
        for (text, says, hint) in [
            (indexes, "2_idx.sql:2: DROP INDEX CONCURRENTLY cannot run in a transaction", own),
            (both, "2_idx.sql:3: CREATE INDEX CONCURRENTLY cannot run in a transaction", own),
            (inside, "2_idx.sql:2: VACUUM cannot run in a transaction", "`-- migrate:up transaction:false`"),
        ] {
            let project = foreign_on(server, "x15", "dbmate", &[table, ("20240102_idx.sql", text)]);
            for args in [&["migrate"][..], &["migrate", "--dry-run"]] {
                project.run(args).code(6).says(&says.replace("2_idx", "20240102_idx")).says(hint);
            }
            assert_eq!(project.sql("select to_regclass('t'), to_regclass('x')"), "|", "nothing was applied");
        }
        let apart = foreign_on(
            server,
            "x15",
            "dbmate",
            &[
                table,
                (
                    "20240102_i.sql",
                    "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY i ON t(id);\n",
                ),
                ("20240103_v.sql", "-- migrate:up transaction:false\nVACUUM t;\n"),
            ],
        );
        apart.run(&["migrate"]).code(0).says("3 migrations applied");
        // One that fails alone: what stays, and what to do, where the tool keeps no failures.
        apart.sql("insert into t values (1), (1)");
        let unique = "-- migrate:up transaction:false\nCREATE UNIQUE INDEX CONCURRENTLY u ON t(id);\n";
        fs::write(apart.path().join("db/migrations/20240104_u.sql"), unique).unwrap();
        let failed = apart.run(&["migrate"]).code(7).says("is duplicated").says("such as an INVALID index");
        failed.says("or take back what is there and run `envctl migrate");
    }
    let prisma = project(
        "x15_prisma",
        Server::shared(17),
        &[("1_a", "CREATE TABLE x (a int);\nCREATE INDEX CONCURRENTLY xi ON x(a);\n")],
    );
    prisma.run(&["migrate"]).code(6).says("1_a/migration.sql:2: CREATE INDEX CONCURRENTLY").says(own);
    prisma
        .run(&["migrate", "reset", "--yes", "--no-backup"])
        .code(6)
        .says("1_a/migration.sql:2: CREATE INDEX CONCURRENTLY");
}

#[test]
fn a_file_whose_row_cannot_be_written_is_applied_and_says_so() {
    for server in Server::each() {
        let frozen = "create function no() returns trigger language plpgsql as $$ begin raise 'frozen'; end $$; \
                      create trigger no before update on _prisma_migrations for each row execute function no();";
        let project = project("w21_row", server, &[("1_a", frozen)]);
        let failed = project.run(&["migrate"]).code(7).says("1_a failed: frozen (P0001)");
        failed.says("the file itself was applied").says("`envctl migrate resolve 1_a --applied");
    }
}

#[test]
fn tables_that_a_migration_rewrote_are_named_with_the_statement_for_their_statistics() {
    for server in Server::each() {
        let project = project(
            "mig_rewritten",
            server,
            &[(
                "1_made",
                "create table users (id int primary key, n int); insert into users select i, i from generate_series(1, 100) i; \
                 create table other (a int); insert into other values (1); create table bare (a int);",
            )],
        );
        let first = project.run(&["migrate"]).code(0);
        assert!(!first.err().contains("was rewritten"), "{}", first.err());
        // A rewrite, a column that needs none, a rewrite of nothing.
        write(
            &project,
            "2_wide",
            "alter table users alter n type bigint; alter table other add b int; \
            alter table bare alter a type bigint;",
        );
        project
            .run(&["migrate"])
            .code(0)
            .says("1 table was rewritten (public.users)")
            .says("`envctl psql -c 'ANALYZE public.users'");
        project.run(&["psql", "-c", "ANALYZE public.users"]).code(0);
        write(&project, "3_index", "create index on users (n); truncate other;");
        let last = project.run(&["migrate"]).code(0);
        assert!(!last.err().contains("was rewritten"), "{}", last.err());
    }
}

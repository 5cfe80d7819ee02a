//! A restore is killed, loses its server, or meets a target that cannot be swapped.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::rig::{Wanted, docker, eventually};
use crate::support::{Down, Fault, Gate, On, Project, Proxy, Server, Snapshot, Up};

pub(crate) const RESTORE: [&str; 4] = ["restore", "latest", "--yes", "--no-backup"];

/// A project whose live state is newer than its backup.
pub(crate) struct Case {
    pub(crate) project: Project,
    pub(crate) old: String,
    pub(crate) now: String,
}

pub(crate) fn case_on(server: &Server, name: &str, rows: u32) -> Case {
    let project = Project::new(server, name);
    project.fill(rows);
    let old = project.digest();
    project.run(&["backup"]).code(0);
    project.sql("delete from item where id % 2 = 0; insert into item values (0, 'newer than the backup')");
    let now = project.digest();
    Case { project, old, now }
}

pub(crate) fn case(name: &str, rows: u32) -> Case {
    case_on(Server::shared(15), name, rows)
}

/// The psql that loads a staging database.
pub(crate) const LOADER: &str = "envctl_new_";

pub(crate) fn up(on: &'static str, up: Up) -> Proxy {
    Proxy::with(On::ExecStart(on), Fault::Up(up))
}

impl Case {
    #[track_caller]
    pub(crate) fn assert_restored(&self) {
        assert_eq!(self.project.digest(), self.old, "the backup's state is live");
        self.project.assert_no_sessions();
    }

    /// Only kept databases are left, none that was being loaded.
    #[track_caller]
    pub(crate) fn assert_no_side_database(&self) {
        let siblings = self.project.server.siblings(&self.project.database);
        assert!(siblings.iter().all(|name| name.starts_with("envctl_old_")), "{siblings:?}");
    }
}

#[test]
fn f28_a_killed_restore_changes_nothing_and_the_next_one_cleans_up() {
    // A restore cleans up after every killed one of its server: nobody else may do so here.
    let server = Wanted::postgres(15, "f28").start().ready();
    let case = case_on(&server, "f28", 12_000);
    let size = case.project.plain(&Snapshot::of(&case.project).dumps()[0]).len() as u64;
    for percent in [1, 10, 50, 90, 99] {
        let gate = Gate::default();
        let proxy = up(LOADER, Up::Hold { at: size * percent / 100, gate: gate.clone() });
        let running = case.project.start_through(&proxy, &RESTORE);
        gate.wait();
        running.signal(Signal::KILL);
        running.finish().code(137);
        gate.open();
        assert_eq!(case.project.digest(), case.now, "killed at {percent} %");
        assert_eq!(case.project.server.siblings(&case.project.database).len(), 1, "killed at {percent} %");
        // An engine can miss that its client is gone: what it still holds open the next run ends.
        let second =
            case.project.run(&["restore", "latest", "--yes", "--no-backup"]).code(0).says("orphan of");
        assert!(second.err().contains(LOADER), "{}", second.err());
        case.assert_restored();
        case.assert_no_side_database();
        case.project.run(&["restore", "undo", "--yes"]).code(0);
        assert_eq!(case.project.digest(), case.now);
        case.project.drop_siblings();
    }
}

#[test]
fn f28_a_side_database_without_its_note_is_removed_and_what_others_named_alike_is_not() {
    let server = Wanted::postgres(15, "f28-note").start().ready();
    let case = case_on(&server, "f28note", 10);
    let names = [
        "envctl_new_0badcafe_f28note",
        "envctl_new_report",
        "envctl_new_0badcafe_noted",
        "envctl_new_0badcafe_filled",
    ];
    for name in names {
        server.sql("postgres", &format!("create database {name} template template0"));
    }
    server.sql(names[3], "create table precious (id int)");
    // Somebody's own, and they say so.
    server.sql("postgres", "comment on database envctl_new_0badcafe_noted is 'the report of May'");
    let second = case.project.run(&["restore", "latest", "--yes", "--no-backup"]).code(0).says("orphan of");
    assert!(second.err().contains(names[0]), "{}", second.err());
    let left = server.sql("postgres", "select string_agg(datname, ' ' order by datname) from pg_database where datname like 'envctl\\_new\\_%'");
    assert_eq!(left, "envctl_new_0badcafe_filled envctl_new_0badcafe_noted envctl_new_report");
}

#[test]
fn a_database_that_appears_while_a_restore_makes_one_of_its_name_is_left_alone() {
    for server in Server::each() {
        let case = case_on(server, "appears", 3000);
        let (gate, new) = (Gate::default(), format!("{}_new", case.project.database));
        let proxy = up(LOADER, Up::Hold { at: 1, gate: gate.clone() });
        let running = case.project.start_through(&proxy, &["restore", "latest", "--into", &new, "--yes"]);
        gate.wait();
        case.project.server.sql("postgres", &format!("create database {new}"));
        case.project.server.sql(&new, "create table precious (id int)");
        gate.open();
        running.finish().code(6).says("appeared while it was being restored");
        assert_eq!(case.project.server.sql(&new, "select to_regclass('precious')"), "precious");
        case.assert_no_side_database();
        case.project.server.sql("postgres", &format!("drop database {new}"));
    }
}

#[test]
fn f28_a_killed_restore_over_two_sessions_changes_nothing() {
    let server = Wanted::postgres(15, "f28-two").start().ready();
    let case = case_on(&server, "f28two", 12_000);
    case.project.sql("create table other as select * from item");
    let old = case.project.digest();
    case.project.run(&["backup"]).code(0);
    case.project.sql("delete from item; drop table other");
    let now = case.project.digest();
    let restore = ["restore", "latest", "--yes", "--no-backup", "-j", "2"];
    for at in [1, 20_000, 200_000] {
        let gate = Gate::default();
        let proxy = up(LOADER, Up::Hold { at, gate: gate.clone() });
        let running = case.project.start_through(&proxy, &restore);
        gate.wait();
        running.signal(Signal::KILL);
        running.finish().code(137);
        gate.open();
        assert_eq!(case.project.digest(), now, "killed after {at} bytes");
    }
    // A session that was being opened in the moment of the kill may not have heard of it: an engine can miss that its
    // client is gone. The next run ends it.
    case.project.run(&restore).code(0).says("orphan of");
    case.project.assert_no_sessions_within(Duration::from_secs(30));
    assert_eq!(case.project.digest(), old);
    case.assert_no_side_database();
    case.project.drop_siblings();
}

#[test]
fn f28_a_connection_that_is_cut_while_loading_changes_nothing() {
    let case = case("f28c", 20_000);
    for fault in [Up::CutAt(0), Up::CutAt(1000), Up::CutAt(1_500_000), Up::ResetAt(700_000)] {
        let finished = case.project.through(&up(LOADER, fault), &RESTORE).says("nothing was swapped in");
        // psql reads an end of its input and goes (7), or the stream is reset before that is heard (8): a race, as
        // bytes that were not read yet make an end a reset.
        assert!([7, 8].contains(&finished.code), "{}: {}", finished.code, finished.err());
        case.project.assert_untouched(&case.now);
    }
    // The dump goes whole, the word that it was loaded does not come back.
    let proxy = up(LOADER, Up::CutBefore(b"ENVCTL-LOADED"));
    case.project.through(&proxy, &RESTORE).code(7).says("nothing was swapped in");
    case.project.assert_untouched(&case.now);
    let proxy = Proxy::with(On::ExecStart(LOADER), Fault::Down(Down::CutInHeader { frame: 0, offset: 3 }));
    case.project.through(&proxy, &RESTORE).code(8);
    case.project.assert_untouched(&case.now);
}

#[test]
fn f17_a_signal_ends_a_restore_and_leaves_nothing() {
    let case = case("f17r", 20_000);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let gate = Gate::default();
        let proxy = up(LOADER, Up::Hold { at: 1_000_000, gate: gate.clone() });
        let running = case.project.start_through(&proxy, &RESTORE);
        gate.wait();
        running.signal(signal);
        // The load is held: it can only end by the signal.
        let finished = running.finish().code(code);
        gate.open();
        assert!(!finished.err().contains("left"), "{}", finished.err());
        case.project.assert_untouched(&case.now);
    }
}

#[test]
fn f33_a_terminated_session_changes_nothing() {
    for server in Server::each() {
        let case = case_on(server, "f33", 20_000);
        let gate = Gate::default();
        let proxy = up(LOADER, Up::Hold { at: 1_000_000, gate: gate.clone() });
        let running = case.project.start_through(&proxy, &RESTORE);
        gate.wait();
        let ended = case.project.server.sql(
        "postgres",
        &format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname like 'envctl_new%{}'",
            case.project.database
        ),
    );
        assert_eq!(ended, "1");
        gate.open();
        running.finish().code(7).says("terminat|lost|closed");
        case.project.assert_untouched(&case.now);
    }
}

#[test]
fn f33_a_server_that_restarts_in_between_keeps_the_old_database() {
    // Its data has to outlive the container's processes: a volume, not memory.
    let mut wanted = Wanted::postgres(15, "f33").arg("--volume=/var/lib/postgresql/data");
    wanted.docker_args.retain(|arg| !arg.starts_with("--tmpfs"));
    let server = wanted.start().ready();
    let case = case_on(&server, "f33r", 20_000);
    let gate = Gate::default();
    let proxy = up(LOADER, Up::Hold { at: 1_000_000, gate: gate.clone() });
    let running = case.project.start_through(&proxy, &RESTORE);
    gate.wait();
    docker(&["restart", "--time=0", &server.container]);
    gate.open();
    // psql was killed with its container.
    running.finish_within(Duration::from_mins(1)).code(7).says("nothing was swapped in");
    eventually(Duration::from_secs(20), "the server is back", || {
        server.try_sql("postgres", "select 1").is_ok()
    });
    assert_eq!(case.project.digest(), case.now);
    case.project.run(&RESTORE).code(0);
    case.assert_restored();
    case.assert_no_side_database();
}

#[test]
fn f37_a_prepared_transaction_is_refused_before_anything_begins() {
    let case = case("f37", 20);
    case.project.sql("begin; insert into item values (-1, 'prepared'); prepare transaction 'f37'");
    case.project.run(&RESTORE).code(6).says("prepared transaction").says("f37");
    case.project.sql("rollback prepared 'f37'");
    case.project.assert_untouched(&case.now);
    // On the way back too: in what is there now, and in what would come back.
    case.project.run(&RESTORE).code(0);
    let kept = case.project.server.siblings(&case.project.database).remove(0);
    for database in [&case.project.database, &kept] {
        let prepare = "begin; insert into item values (-1, 'prepared'); prepare transaction 'f37'";
        case.project.server.sql(database, prepare);
        case.project.run(&["restore", "undo", "--yes"]).code(6).says("prepared transaction").says("f37");
        case.project.server.sql(database, "rollback prepared 'f37'");
        assert_eq!(case.project.digest(), case.old);
    }
    case.project.run(&["restore", "undo", "--yes"]).code(0);
    assert_eq!(case.project.digest(), case.now);
    case.project.drop_siblings();
}

#[test]
fn f38_a_logical_slot_is_refused() {
    let case = case("f38", 20);
    case.project.sql("select pg_create_logical_replication_slot('f38slot', 'pgoutput')");
    case.project.run(&RESTORE).code(6).says("f38slot");
    case.project.sql("select pg_drop_replication_slot('f38slot')");
    case.project.run(&RESTORE).code(0);
    case.project.sql("select pg_create_logical_replication_slot('f38slot', 'pgoutput')");
    case.project.run(&["restore", "undo", "--yes"]).code(6).says("f38slot");
    assert_eq!(case.project.digest(), case.old);
    case.project.sql("select pg_drop_replication_slot('f38slot')");
    case.project.drop_siblings();
}

#[test]
fn f39_a_subscription_is_refused() {
    let case = case("f39", 20);
    case.project.sql(
        "create subscription f39sub connection 'dbname=nowhere' publication nothing with (connect = false, slot_name = none)",
    );
    case.project.run(&RESTORE).code(6).says("f39sub");
    case.project.sql("drop subscription f39sub");
    case.project.assert_untouched(&case.now);
}

/// Everything `pg_database` and its relatives know about a database.
pub(crate) fn properties(project: &Project) -> String {
    project.server.sql(
        "postgres",
        &format!(
            "select pg_get_userbyid(datdba), (select array_agg(a order by a) from unnest(coalesce(datacl, acldefault('d', datdba))::text[]) a), datconnlimit, encoding, datcollate, datctype, datlocprovider, \
                    datistemplate, datallowconn, shobj_description(d.oid, 'pg_database'), t.spcname \
             from pg_database d join pg_tablespace t on t.oid = dattablespace where datname = '{0}'; \
             select setrole::regrole, setconfig from pg_db_role_setting s join pg_database d on d.oid = setdatabase \
             where datname = '{0}' order by 1",
            project.database
        ),
    )
}

#[test]
fn f40_what_belongs_to_the_database_and_not_into_its_dump_is_kept() {
    let case = case("f40", 20);
    let database = &case.project.database;
    case.project.sql(&format!(
        "do $$ begin create role f40owner; create role f40reader; exception when duplicate_object then null; end $$; \
         alter database {database} owner to f40owner; \
         revoke connect on database {database} from public; \
         grant connect, temporary on database {database} to f40reader with grant option; \
         alter database {database} connection limit 17; \
         comment on database {database} is 'it''s ours: \\ ünïcode'; \
         alter database {database} set statement_timeout = '17min'; \
         alter database {database} set search_path = public, \"odd, schema\"; \
         alter role f40reader in database {database} set work_mem = '17MB'"
    ));
    let before = properties(&case.project);
    assert!(before.contains("17min") && before.contains("17MB") && before.contains("f40reader"), "{before}");
    case.project.run(&RESTORE).code(0);
    assert_eq!(properties(&case.project), before);
    case.assert_restored();
    case.project.run(&["restore", "undo", "--yes"]).code(0);
    assert_eq!(properties(&case.project), before, "after the undo");
    assert_eq!(case.project.digest(), case.now);
    case.project.drop_siblings();
}

#[test]
fn f41_the_new_database_has_the_old_ones_locale() {
    for (major, create) in [
        (15, "lc_collate 'C' lc_ctype 'C'"),
        (15, "locale_provider icu icu_locale 'de-u-co-phonebk' locale 'C'"),
        (17, "locale_provider icu icu_locale 'sv' icu_rules '&V << w <<< W' locale 'C'"),
        (17, "locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'"),
        (17, "encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'"),
    ] {
        let server = Server::shared(major);
        let name = server.database("f41");
        server.sql("postgres", &format!("drop database {name}"));
        server.sql("postgres", &format!("create database {name} template template0 {create}"));
        let project = Project::of(server, &name);
        project.fill(20);
        let locale = || {
            let column = if major < 17 { "daticulocale" } else { "datlocale, daticurules" };
            server.sql(
                "postgres",
                &format!(
                    "select encoding, datlocprovider, datcollate, datctype, {column} from pg_database where datname = '{name}'"
                ),
            )
        };
        let before = locale();
        let digest = project.digest();
        project.run(&["backup"]).code(0);
        project.sql("delete from item");
        project.run(&RESTORE).code(0);
        assert_eq!(locale(), before, "{create}");
        assert_eq!(project.digest(), digest);
        project.drop_siblings();
    }
}

#[test]
fn a_dump_in_another_encoding_is_refused_where_nobody_could_tell_it_later() {
    let server = Server::shared(15);
    let database = |name: &str, encoding: &str| {
        let name = server.database(name);
        server.sql("postgres", &format!("drop database {name}"));
        let create = format!(
            "create database {name} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
        );
        server.sql("postgres", &create);
        Project::of(server, &name)
    };
    let (from, bytes) = (Project::new(server, "utf8"), database("bytes", "SQL_ASCII"));
    from.fill(20);
    from.sql("update item set words = 'caf' || chr(233) where id = 1");
    from.run(&["backup", "-o", "utf8.sql.gz"]).code(0);
    let file = from.path().join("utf8.sql.gz");
    let foreign = from.path().join("foreign.sql");
    std::fs::write(&foreign, from.plain(&file)).unwrap();
    for dump in [&file, &foreign] {
        let args = ["restore", dump.to_str().unwrap(), "--yes", "--trust"];
        bytes.run(&args).code(6).says("in UTF8 and the database in SQL_ASCII").says("--into NAME");
    }
    // What converts, or refuses, is only told.
    let latin = database("latin", "LATIN1");
    latin
        .run(&["restore", file.to_str().unwrap(), "--confirm", &server.stack])
        .code(0)
        .says("the dump is in UTF8, the database in LATIN1");
    assert_eq!(latin.sql("select count(*) from item"), "20");
    for project in [from, bytes, latin] {
        project.drop_siblings();
    }
}

#[test]
fn f50_killed_between_the_renames_nothing_has_happened() {
    let case = case("f50", 20);
    // A statement of the swap's transaction behind its renames.
    let gate = Gate::default();
    let proxy = up("psql", Up::HoldBefore { words: b"COMMENT ON DATABASE \"envctl_old", gate: gate.clone() });
    let running = case.project.start_through(&proxy, &RESTORE);
    gate.wait();
    running.signal(Signal::KILL);
    running.finish().code(137);
    gate.open();
    eventually(Duration::from_secs(10), "the old name answers", || {
        case.project.server.try_sql(&case.project.database, "select 1").is_ok()
    });
    assert_eq!(case.project.digest(), case.now);
    case.project.assert_no_sessions_within(Duration::from_secs(30));
    case.project.run(&RESTORE).code(0);
    case.assert_restored();
    case.assert_no_side_database();
    case.project.drop_siblings();
}

#[test]
fn f51_an_answer_to_commit_that_is_lost_is_looked_up() {
    let case = case("f51", 20);
    let proxy = up("psql", Up::CutAfter(b"COMMIT\n;"));
    let finished = case.project.through(&proxy, &RESTORE);
    let live = case.project.digest();
    match finished.code {
        0 => assert_eq!(live, case.old, "it says done"),
        7 | 8 => case.project.assert_untouched(&case.now),
        9 => assert!(live == case.old || live == case.now),
        _ => panic!("{finished:?}"),
    }
    case.project.drop_siblings();
}

#[test]
fn f51_a_commit_that_never_arrived_is_told_as_nothing_changed() {
    let case = case("f51n", 20);
    let proxy = up("psql", Up::CutBefore(b"COMMIT\n;"));
    // The session ended, and the server was asked what became of it.
    case.project.through(&proxy, &RESTORE).code(7).says("it was rolled back, nothing changed");
    case.project.assert_untouched(&case.now);
}

#[test]
fn a_safety_backup_that_fails_stops_the_restore() {
    let case = case("safety", 2000);
    let before = Snapshot::of(&case.project);
    let proxy = Proxy::with(On::ExecStart("pg_dump"), Fault::Down(Down::CutAt(20_000)));
    case.project.through(&proxy, &["restore", "latest", "--yes"]).code(8);
    case.project.assert_nothing_but(&before);
    case.project.assert_untouched(&case.now);
}

#[test]
fn without_consent_and_without_a_terminal_nothing_happens() {
    let case = case("consent", 20);
    case.project.run(&["restore", "latest"]).code(6);
    case.project.run(&["restore", "latest", "--dry-run"]).code(0);
    case.project.assert_untouched(&case.now);
}

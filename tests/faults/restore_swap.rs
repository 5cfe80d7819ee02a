//! A restore or an undo is killed at each statement that makes, names or swaps a database: the live one is wholly old
//! or wholly new, and the next run takes away what is left (reliability F28, F49, F50, F53).

use std::time::Duration;

use rustix::process::Signal;

use crate::restore_server::{Case, RESTORE, case_on};
use crate::support::rig::{Wanted, eventually};
use crate::support::{Fault, Gate, On, Proxy, Up};

const UNDO: [&str; 3] = ["restore", "undo", "--yes"];

/// Where it is killed.
#[derive(Clone, Copy, Debug)]
enum At {
    /// The statement with these words never arrives.
    Before(&'static str),
    /// It is carried out, and nobody hears of it.
    Behind(&'static str),
}

/// Kills envctl there.
fn kill(case: &Case, args: &[&str], at: At) {
    let gate = Gate::default();
    let up = match at {
        At::Before(words) => Up::HoldBeforeAndCut { words: words.as_bytes(), gate: gate.clone() },
        At::Behind(words) => {
            let before = Gate::default();
            before.open();
            Up::HoldAround { words: words.as_bytes(), before, behind: gate.clone() }
        }
    };
    // The sessions that envctl asks its statements over.
    let proxy = Proxy::with(On::ExecStart("--csv"), Fault::Up(up));
    let before = case.project.server.siblings(&case.project.database);
    let running = case.project.start_through(&proxy, args);
    gate.wait();
    if matches!(at, At::Behind("COMMIT\n;")) {
        eventually(Duration::from_secs(20), "the swap is carried out", || {
            let names = case.project.server.siblings(&case.project.database);
            names != before && names.iter().all(|name| name.starts_with("envctl_old_"))
        });
    }
    running.signal(Signal::KILL);
    running.finish().code(137);
    gate.open();
    eventually(Duration::from_secs(20), "the live database answers", || {
        case.project.server.try_sql(&case.project.database, "select 1").is_ok()
    });
    case.project.assert_no_sessions_within(Duration::from_secs(30));
}

#[test]
fn a_standby_that_is_gone_does_not_keep_the_swap_and_its_lock() {
    let case = case("swapc");
    let server = &case.project.server;
    server.sql("postgres", "alter role postgres set synchronous_commit = on");
    let standby = |name: &str| {
        server.sql("postgres", &format!("alter system set synchronous_standby_names = '{name}'"));
        server.sql("postgres", "select pg_reload_conf()");
    };
    let (before, behind) = (Gate::default(), Gate::default());
    let words = b"COMMIT\n;";
    let around = Up::HoldAround { words, before: before.clone(), behind: behind.clone() };
    let proxy = Proxy::with(On::ExecStart("--csv"), Fault::Up(around));
    let running = case.project.start_through(&proxy, &RESTORE);
    before.wait();
    // From now on every commit waits for a standby that does not come. Who asks for a checkpoint is answered by a
    // process that has read the setting.
    standby("nosuch");
    eventually(Duration::from_secs(20), "the setting is read", || {
        server.sql("postgres", "show synchronous_standby_names") == "nosuch"
    });
    server.sql("postgres", "checkpoint");
    behind.open();
    before.open();
    eventually(Duration::from_secs(20), "the swap is carried out, and the database is free", || {
        let names = server.siblings(&case.project.database);
        names.iter().all(|name| name.starts_with("envctl_old_"))
            && server.try_sql(&case.project.database, "select 1").is_ok()
    });
    standby("");
    running.finish().code(0);
    case.project.assert_no_sessions_within(Duration::from_secs(30));
    assert_eq!(case.project.digest(), case.old);
}

/// As under a daemon that was killed while its containers live on: psql waits for what nobody sends.
fn swap_that_nobody_goes_on_with(major: u8) {
    let case = case_of(major, &format!("swaps{major}"));
    let server = &case.project.server;
    let named = |name: &str, then: &str| {
        server.session("postgres", &format!("set application_name = '{name}'; {then}; select 1"))
    };
    let _orphan = named("envctl/0123abcd swap", "begin");
    let _alive = named("envctl/4567abcd swap", "select 2");
    let (before, behind) = (Gate::default(), Gate::default());
    before.open();
    let words = b"RENAME TO \"envctl_old_";
    let around = Up::HoldAround { words, before, behind: behind.clone() };
    let proxy = Proxy::with(On::ExecStart("--csv"), Fault::Up(around));
    let running = case.project.start_through(&proxy, &RESTORE);
    behind.wait();
    running.signal(Signal::STOP);
    // Locked by the rename at first: who connects waits.
    let locked = "select count(*) from pg_locks where locktype = 'object' and mode = 'AccessExclusiveLock' and granted \
                  and classid = 'pg_database'::regclass";
    eventually(Duration::from_secs(10), "the rename holds its lock", || {
        server.sql("postgres", locked) != "0"
    });
    eventually(Duration::from_secs(25), "the server ends the swap", || server.sql("postgres", locked) == "0");
    assert_eq!(server.sql(&case.project.database, "select 1"), "1");
    running.signal(Signal::CONT);
    behind.open();
    let finished = running.finish();
    assert_ne!(finished.code, 0);
    assert!(finished.err().contains("rolled back, nothing changed"), "{}", finished.err());
    assert_eq!(case.project.digest(), case.now);
    // What is over for certain is swept, what may be alive is not.
    let count = |name: &str| {
        server.sql(
            "postgres",
            &format!("select count(*) from pg_stat_activity where application_name = '{name}'"),
        )
    };
    let old = "select count(*) from pg_stat_activity where application_name = 'envctl/0123abcd swap' \
               and clock_timestamp() - state_change > interval '20 s'";
    eventually(Duration::from_secs(30), "it is over", || server.sql("postgres", old) == "1");
    let said = case.project.run(&["doctor"]);
    assert!(said.out().contains("envctl/0123abcd swap"), "{}", said.out());
    assert_eq!((count("envctl/0123abcd swap").as_str(), count("envctl/4567abcd swap").as_str()), ("0", "1"));
}

// Most of it is waiting for the server's own limit: side by side the two cost the time of one.
#[test]
fn a_swap_that_nobody_goes_on_with_lets_go_of_the_database_15() {
    swap_that_nobody_goes_on_with(15);
}

#[test]
fn a_swap_that_nobody_goes_on_with_lets_go_of_the_database_17() {
    swap_that_nobody_goes_on_with(17);
}

/// A server of its own: a restore takes away what every killed one of its server has left.
fn case(name: &str) -> Case {
    case_of(15, name)
}

fn case_of(major: u8, name: &str) -> Case {
    let server = Wanted::postgres(major, name).start().ready();
    case_on(&server, name, 200)
}

#[test]
fn a_restore_killed_at_any_statement_of_its_swap_is_wholly_old_or_wholly_new() {
    let case = case("swapr");
    let live = format!("ALTER DATABASE \"{}\" ", case.project.database);
    let owner = &*format!("{live}OWNER").leak();
    let limit = &*format!("{live}CONNECTION LIMIT").leak();
    let old = [
        At::Before("CREATE DATABASE \"envctl_new_"),
        At::Behind("CREATE DATABASE \"envctl_new_"),
        At::Behind("COMMENT ON DATABASE \"envctl_new_"),
        At::Before("BEGIN\n;"),
        At::Before("RENAME TO \"envctl_old_"),
        At::Behind("RENAME TO \"envctl_old_"),
        At::Behind("ALTER DATABASE \"envctl_new_"),
        At::Before(owner),
        At::Before(limit),
        At::Behind("COMMENT ON DATABASE \"envctl_old_"),
        At::Before("COMMIT\n;"),
    ];
    for (number, at) in old.into_iter().enumerate() {
        kill(&case, &RESTORE, at);
        assert_eq!(case.project.digest(), case.now, "{at:?}");
        let side = case.project.server.siblings(&case.project.database);
        assert!(side.iter().all(|name| name.starts_with("envctl_new_")), "{at:?}: {side:?}");
        assert!(side.len() == 1 || number == 0 && side.is_empty(), "{at:?}: {side:?}");
        let second = case.project.run(&RESTORE).code(0);
        assert_eq!(second.err().contains("orphan of"), number != 0, "{at:?}: {}", second.err());
        case.assert_restored();
        case.assert_no_side_database();
        case.project.run(&UNDO).code(0);
        assert_eq!(case.project.digest(), case.now, "{at:?}");
        case.project.drop_siblings();
    }
    kill(&case, &RESTORE, At::Behind("COMMIT\n;"));
    case.assert_restored();
    case.assert_no_side_database();
    case.project.run(&UNDO).code(0);
    assert_eq!(case.project.digest(), case.now);
}

#[test]
fn an_undo_killed_at_any_statement_of_its_swap_is_wholly_old_or_wholly_new() {
    let case = case("swapu");
    let live = format!("ALTER DATABASE \"{}\" ", case.project.database);
    let owner = &*format!("{live}OWNER").leak();
    case.project.run(&RESTORE).code(0);
    for at in [
        At::Before("BEGIN\n;"),
        At::Before("RENAME TO \"envctl_old_"),
        At::Behind("RENAME TO \"envctl_old_"),
        At::Behind("ALTER DATABASE \"envctl_old_"),
        At::Before(owner),
        At::Behind("COMMENT ON DATABASE \"envctl_old_"),
        At::Before("COMMIT\n;"),
    ] {
        kill(&case, &UNDO, at);
        case.assert_restored();
        assert_eq!(case.project.server.siblings(&case.project.database).len(), 1, "{at:?}");
        // Nothing is in the way of the next, there and back.
        case.project.run(&UNDO).code(0);
        assert_eq!(case.project.digest(), case.now, "{at:?}");
        case.project.run(&UNDO).code(0);
        case.assert_restored();
    }
    let before = case.project.server.siblings(&case.project.database);
    kill(&case, &UNDO, At::Behind("COMMIT\n;"));
    assert_eq!(case.project.digest(), case.now);
    let now = case.project.server.siblings(&case.project.database);
    assert!(now.len() == 1 && now != before, "{before:?} {now:?}");
    case.project.run(&UNDO).code(0);
    case.assert_restored();
}

//! What a restore's target can be like: full of clients, in a tablespace of its own, on a disk that is too small.

use std::time::Duration;

use crate::restore_server::{RESTORE, case, case_on, properties};
use crate::support::rig::{Wanted, poll};
use crate::support::{Project, Server, Snapshot};

/// A client that reconnects for ever, on one line each: when the answer came, and the answer. It ends once it has
/// seen the restored rows three times.
const CLIENT: &str = "\
    seen=0; until [ $seen = 3 ] || [ -e /tmp/f35-stop ]; do \
      said=$(PGAPPNAME=app psql -XAtq -U postgres -d \"$1\" \
             -c \"select 'rows', count(*) from item, pg_sleep(0.01)\" 2>&1 | tr '\\n' ' '); \
      case \"$said\" in \"rows|$2 \") seen=$((seen + 1)) ;; esac; \
      echo \"$(date +%s%N) $said\"; \
    done";

/// The longest time between two answers of a client's, and how often it was told FATAL.
fn gap_and_fatals(said: &str) -> (Duration, usize) {
    let answers: Vec<u64> = said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, answer)| answer.starts_with("rows|"))
        .map(|(at, _)| at.parse().expect("nanoseconds"))
        .collect();
    let longest = answers.windows(2).map(|pair| pair[1] - pair[0]).max();
    let fatals = said.lines().filter(|line| line.contains("FATAL")).count();
    (Duration::from_nanos(longest.expect("it was answered before and after")), fatals)
}

#[test]
fn f35_clients_that_reconnect_for_ever_wait_a_moment_and_are_told_once() {
    let case = case("f35", 2000);
    let (server, database) = (&case.project.server, &case.project.database);
    let _pool: Vec<_> = (0..5).map(|_| server.session(database, "select 1")).collect();
    std::thread::scope(|scope| {
        let script = CLIENT.replace("$1", database).replace("$2", "2000");
        let clients: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn({
                    let script = script.clone();
                    move || server.sh(&script)
                })
            })
            .collect();
        let there = poll(Duration::from_secs(20), || {
            server.sql("postgres", "select count(*) > 0 from pg_stat_activity where application_name = 'app'")
                == "t"
        });
        let finished = case.project.run(&RESTORE);
        if !there || finished.code != 0 {
            server.sh("touch /tmp/f35-stop");
        }
        let clients: Vec<String> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert!(there, "the clients were not there: {clients:?}");
        finished.code(0);
        for said in clients {
            let (gap, fatals) = gap_and_fatals(&said);
            // Half a second and a little where the lock comes first, five where it does not; a busy machine takes its time.
            assert!(gap < Duration::from_secs(3), "no answer for {gap:?}:\n{said}");
            // Sent away once, and told once that the database has just been renamed.
            assert!(fatals <= 2, "{fatals} times:\n{said}");
            for line in said.lines().filter(|line| !line.contains(" rows|")) {
                let expected = line.contains("terminating connection") || line.contains("does not exist");
                assert!(expected, "{line}\n{said}");
            }
            // Never back to the old rows.
            let answers: Vec<&str> = said
                .lines()
                .filter_map(|line| line.split_once(" rows|"))
                .map(|(_, rows)| rows.trim())
                .collect();
            let first = answers.iter().position(|rows| *rows == "2000").expect("the restored rows were seen");
            assert!(answers[..first].iter().all(|rows| *rows == "1001"), "{said}");
            assert!(answers[first..].iter().all(|rows| *rows == "2000"), "{said}");
        }
    });
    case.assert_restored();
    case.project.drop_siblings();
}

#[test]
fn f41_the_new_database_lies_in_the_old_ones_tablespace() {
    let server = Server::shared(15);
    server.sh("mkdir /var/lib/postgresql/f41 && chown postgres /var/lib/postgresql/f41");
    server.sql("postgres", "create tablespace f41space location '/var/lib/postgresql/f41'");
    let name = server.database("f41t");
    server.sql("postgres", &format!("alter database {name} set tablespace f41space"));
    let case = {
        let project = Project::of(server, &name);
        project.fill(20);
        project.run(&["backup"]).code(0);
        project
    };
    let digest = case.digest();
    case.sql("delete from item");
    let before = properties(&case);
    assert!(before.contains("f41space"), "{before}");
    // A table of the default tablespace lies where its database does.
    let place = "select count(*) from pg_class where relname = 'item' and reltablespace = 0";
    case.run(&RESTORE).code(0);
    assert_eq!((properties(&case), case.digest(), case.sql(place)), (before.clone(), digest, "1".to_owned()));
    case.run(&["restore", "undo", "--yes"]).code(0);
    assert_eq!((properties(&case), case.sql("select count(*) from item")), (before, "0".to_owned()));
    case.drop_siblings();
}

#[test]
fn f34_a_disk_that_is_too_small_is_told_before_and_one_that_fills_up_changes_nothing() {
    for major in [15, 17] {
        // A disk of its own for the database: a server whose own is full does not refuse, it stops.
        let mut wanted =
            Wanted::postgres(major, &format!("f34-{major}")).arg("--tmpfs=/small:size=40m,mode=777");
        wanted.docker_args.retain(|arg| !arg.starts_with("--tmpfs=/var"));
        let server = wanted.arg("--tmpfs=/var/lib/postgresql/data:size=140m").start().ready();
        let case = case_on(&server, "f34", 2000);
        let sql = String::from_utf8(case.project.plain(&Snapshot::of(&case.project).dumps()[0])).unwrap();
        let free = || {
            let answer = server.sh("df -Pk /var/lib/postgresql/data");
            let kib = answer.lines().nth(1).and_then(|line| line.split_whitespace().nth(3));
            kib.expect("df tells").parse::<usize>().unwrap() << 10
        };
        // The dump with so many bytes more of a table.
        let larger = |bytes: usize| {
            let row = format!("{}\t{}\n", 1_000_000_007, "x".repeat(180));
            let more = format!(
                "CREATE TABLE public.more (id bigint, words text);\n\nCOPY public.more (id, words) FROM stdin;\n{}\\.\n\n\n",
                row.repeat(bytes / row.len())
            );
            let at = sql.find("--\n-- Data for Name: item").expect("where data begins");
            let path = case.project.path().join("large.sql");
            std::fs::write(path, format!("{}{more}{}", &sql[..at], &sql[at..])).unwrap();
            case.project.run(&["restore", "large.sql", "--yes", "--no-backup"])
        };
        larger(free() + (1 << 20)).code(6).says("the server's disk has").says("hint: free some space");
        case.project.assert_untouched(&case.now);
        server.sh("mkdir /small/f34 && chown postgres /small/f34");
        server.sql("postgres", "create tablespace small location '/small/f34'");
        server.sql("postgres", &format!("alter database {} set tablespace small", case.project.database));
        larger(30 << 20).code(7).says("no space left").says("the server's disk is full");
        case.project.assert_untouched(&case.now);
    }
}

//! The stream of a dump is cut, damaged, held up or lied about: `envctl backup`.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::proxy::frame;
use crate::support::rig::Wanted;
use crate::support::{Down, Fault, Gate, On, Project, Proxy, Rule, Server, Snapshot};

/// A project with three megabytes of rows, one good backup, and what its directory looks like.
fn with_a_backup(name: &str) -> (Project, Snapshot) {
    let project = Project::new(Server::shared(15), name);
    project.fill(20_000);
    project.run(&["backup"]).code(0);
    let before = Snapshot::of(&project);
    assert_eq!(before.dumps().len(), 1, "{:?}", before.names());
    project.assert_verified(&before.dumps()[0]);
    (project, before)
}

fn bent(down: Down) -> Proxy {
    Proxy::with(On::ExecStart("pg_dump"), Fault::Down(down))
}

/// Bytes that the stream of a dump has in all, its framing included.
fn stream_length(project: &Project) -> u64 {
    let proxy = Proxy::start(Vec::new());
    project.through(&proxy, &["backup", "-o", "length.sql"]).code(0);
    proxy.received("pg_dump")
}

#[test]
fn f03_a_stall_near_the_end_loses_nothing() {
    let (project, _) = with_a_backup("f03");
    let length = stream_length(&project);
    // The daemon lets go of a process's output two seconds after its end.
    let pause = Duration::from_millis(3500);
    std::thread::scope(|scope| {
        for before_the_end in [20_000, 400_000, 1_000_000, 1_350_000, 1_600_000] {
            let project = &project;
            scope.spawn(move || {
                let proxy = bent(Down::Stall { at: length - before_the_end, pause });
                let file = format!("stalled-{before_the_end}.sql.gz");
                project.through(&proxy, &["backup", "-o", &file]).code(0);
                project.assert_verified(&project.path().join(file));
            });
        }
    });
}

#[test]
fn f03_an_envctl_that_is_stopped_near_the_end_goes_on_and_loses_nothing() {
    let (project, _) = with_a_backup("f03s");
    let length = stream_length(&project);
    std::thread::scope(|scope| {
        for before_the_end in [20_000, 1_000_000, 1_350_000, 1_600_000] {
            let project = &project;
            scope.spawn(move || {
                let gate = Gate::default();
                let proxy = bent(Down::Hold { at: length - before_the_end, gate: gate.clone() });
                let file = format!("stopped-{before_the_end}.sql.gz");
                let running = project.start_through(&proxy, &["backup", "-o", &file]);
                gate.wait();
                running.signal(Signal::STOP);
                gate.open();
                // The daemon lets go of a process's output two seconds after its end.
                std::thread::sleep(Duration::from_millis(3500));
                running.signal(Signal::CONT);
                running.finish().code(0);
                project.assert_verified(&project.path().join(file));
            });
        }
    });
}

#[test]
fn f04_a_stream_that_ends_between_two_frames_is_no_backup() {
    let (project, before) = with_a_backup("f04");
    for frame in [0, 1, 2, 40] {
        let proxy = bent(Down::CutInHeader { frame, offset: 0 });
        project.through(&proxy, &["backup"]).code(8).says("ended early|end mark|not start");
        project.assert_nothing_but(&before);
    }
}

#[test]
fn f04_a_stream_that_loses_its_last_bytes_is_no_backup() {
    let (project, before) = with_a_backup("f04b");
    // Behind the dump's own trailer: all that is missing is the proof, or a part of it.
    // 82 bytes of the dump follow the words, then 52 of the proof, with or without a frame header between.
    for extra in [0, 5, 50, 81, 84, 100, 125, 133] {
        let proxy = bent(Down::CutBehind { words: b"database dump complete", extra });
        project.through(&proxy, &["backup"]).code(8);
        project.assert_nothing_but(&before);
    }
}

#[test]
fn f05_a_dump_cut_inside_a_header_or_a_payload_is_no_backup() {
    let (project, before) = with_a_backup("f05");
    for offset in 1..8 {
        let proxy = bent(Down::CutInHeader { frame: 3, offset });
        project.through(&proxy, &["backup"]).code(8).says("inside a frame header");
        project.assert_nothing_but(&before);
    }
    let proxy = bent(Down::CutInPayload { frame: 3, offset: 100 });
    project.through(&proxy, &["backup"]).code(8).says("before the end of a frame");
    project.assert_nothing_but(&before);
}

#[test]
fn f06_foreign_frames_are_no_part_of_a_backup() {
    let (project, before) = with_a_backup("f06");
    for (kind, words) in [(3, "the disk of the daemon is full"), (9, "unknown type 9")] {
        let bytes = frame(kind, b"the disk of the daemon is full");
        let proxy = bent(Down::Inject { frame: 5, bytes });
        project.through(&proxy, &["backup"]).code(8).says(words);
        project.assert_nothing_but(&before);
    }
}

#[test]
fn f07_the_record_of_the_exec_is_not_needed_for_the_proof() {
    let (project, _) = with_a_backup("f07");
    let running = r#"{"ID":"x","Running":true,"ExitCode":null}"#;
    let faults = [
        Fault::Answer(404, r#"{"message":"No such exec instance"}"#),
        Fault::Answer(500, r#"{"message":"boom"}"#),
        Fault::Answer(200, running),
        Fault::Silence,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let proxy = Proxy::with(On::ExecInspect("pg_dump"), fault);
        let file = format!("inspect-{n}.sql.gz");
        project.through(&proxy, &["backup", "-o", &file]).code(0);
        project.assert_verified(&project.path().join(file));
    }
}

#[test]
fn f07_a_cut_stream_with_a_lost_record_is_no_backup() {
    let (project, before) = with_a_backup("f07c");
    for fault in [Fault::Answer(404, r#"{"message":"No such exec instance"}"#), Fault::Answer(500, "{}")] {
        let proxy = Proxy::start(vec![
            Rule::new(On::ExecStart("pg_dump"), Fault::Down(Down::CutAt(100_000))),
            Rule::new(On::ExecInspect("pg_dump"), fault),
        ]);
        project.through(&proxy, &["backup"]).code(8);
        project.assert_nothing_but(&before);
    }
}

#[test]
fn the_framing_of_the_stream_never_shows_in_a_backup() {
    let (project, before) = with_a_backup("chop");
    let plain = |path: &std::path::Path| project.plain(path);
    let expected = plain(&before.dumps()[0]);
    for (n, down) in
        [Down::Chop(13), Down::Reframe(7), Down::Reframe(1000), Down::Coalesce].into_iter().enumerate()
    {
        let file = project.path().join(format!("chopped-{n}.sql.gz"));
        project.through(&bent(down), &["backup", "-o", file.to_str().unwrap()]).code(0);
        project.assert_verified(&file);
        // `\restrict` carries a random word in each dump.
        assert_eq!(without_restrict(&plain(&file)), without_restrict(&expected));
    }
}

fn without_restrict(sql: &[u8]) -> String {
    let text = String::from_utf8_lossy(sql);
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_stream_that_the_daemon_refuses_to_open_is_no_backup() {
    let (project, before) = with_a_backup("refused");
    for fault in
        [Fault::Answer(200, ""), Fault::Answer(500, r#"{"message":"no space in /run"}"#), Fault::Silence]
    {
        let proxy = Proxy::with(On::ExecStart("pg_dump"), fault);
        project.through(&proxy, &["backup"]).code(4);
        project.assert_nothing_but(&before);
    }
}

/// A server of which pg_dump does what the name of the database says.
fn crooked() -> Server {
    let server = Wanted::postgres(15, "crook").start().ready();
    server.install(
        "pg_dump",
        r#"#!/bin/sh
for word; do case $word in
  *exits3*) /usr/bin/pg_dump "$@"; echo "crooked: I failed at last" >&2; exit 3 ;;
  *half*) /usr/bin/pg_dump "$@" | head -c 20000; exit 0 ;;
  *silent*) exit 0 ;;
  *chatty*) head -c 8000000 /dev/zero | tr '\0' 'x' >&2; printf '\nlast \033]0;words\n' >&2 ;;
esac; done
exec /usr/bin/pg_dump "$@"
"#,
    );
    server
}

#[test]
fn f08_f09_f22_what_pg_dump_says_of_itself_is_not_enough() {
    let server = crooked();
    let project = |name: &str| {
        let project = Project::new(&server, name);
        project.fill(2000);
        (Snapshot::of(&project), project)
    };
    let (before, exits) = project("exits3");
    exits.run(&["backup"]).code(7).says("crooked: i failed at last").says("exit code 3");
    exits.assert_nothing_but(&before);

    let (before, half) = project("half");
    half.run(&["backup"]).code(8).says("incomplete");
    half.assert_nothing_but(&before);

    let (before, silent) = project("silent");
    silent.run(&["backup"]).code(8).says("incomplete");
    silent.assert_nothing_but(&before);

    let (_, chatty) = project("chatty");
    let finished = chatty.run(&["backup"]).code(0);
    assert!(finished.stderr.len() < 200_000, "{} bytes of stderr", finished.stderr.len());
    assert!(!finished.stderr.contains(&0x1b), "a raw escape sequence of the tool reached the terminal");
    chatty.assert_verified(&Snapshot::of(&chatty).dumps()[0]);
}

#[test]
fn f10_a_container_without_pg_dump_is_told_and_leaves_no_file() {
    let server = Wanted::postgres(15, "bare").start().ready();
    let project = Project::new(&server, "f10");
    project.fill(10);
    server.sh("rm -f /usr/bin/pg_dump /usr/lib/postgresql/*/bin/pg_dump");
    let before = Snapshot::of(&project);
    let finished =
        project.run(&["backup"]).code(7).says("pg_dump").says("not found|cannot be run|cannot be started");
    assert!(finished.err().contains(&server.container), "{}", finished.err());
    project.assert_nothing_but(&before);

    server.install("pg_dump", "#!/nowhere/interpreter\n");
    project.run(&["backup"]).code(7).says("pg_dump");
    project.assert_nothing_but(&before);
}

#[test]
fn f18_a_role_that_does_not_see_everything_makes_no_backup() {
    let server = Server::shared(15);
    let project = Project::new(server, "f18");
    project.fill(10);
    project.sql(
        "do $$ begin create role limited login; exception when duplicate_object then null; end $$; \
         grant select on item to limited; create table closed (id int); \
         alter table item enable row level security; create policy half on item using (id < 5)",
    );
    let toml = format!("stack = \"{}\"\n[database]\nuser = \"limited\"\n", server.stack);
    std::fs::write(project.path().join("envctl.toml"), toml).unwrap();
    let before = Snapshot::of(&project);
    project.run(&["backup"]).code(7).says("closed|permission denied");
    project.assert_nothing_but(&before);
    project.sql("grant select on closed to limited");
    project.run(&["backup"]).code(7).says("row-level security");
    project.assert_nothing_but(&before);
}

#[test]
fn f20_a_table_that_somebody_has_locked_is_busy_and_not_for_ever() {
    let (project, before) = with_a_backup("f20");
    let _held = project.server.session(&project.database, "begin; lock table item in access exclusive mode");
    project.run(&["backup", "--lock-timeout", "1s"]).code(5).says("lock");
    project.assert_nothing_but(&before);
}

#[test]
fn f25_an_empty_database_makes_a_backup_that_restores() {
    let project = Project::new(Server::shared(15), "f25");
    project.run(&["backup"]).code(0);
    let dump = Snapshot::of(&project).dumps().remove(0);
    project.assert_verified(&dump);
    project.sql("create table later (id int)");
    project.run(&["restore", "latest", "--yes"]).code(0);
    assert_eq!(project.sql("select count(*) from pg_tables where schemaname = 'public'"), "0");
    project.drop_siblings();
}

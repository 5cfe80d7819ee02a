//! Commands in a container whose PID 1 is the postmaster: an orphan falls to it, and one that dies by a signal, or ends
//! with a code other than 0 and 1, makes it end every session and recover.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Project;
use crate::support::pty::Pty;
use crate::support::rig::{Wanted, eventually};
use crate::support::run::{read_until, wait};

/// Starts it, and stops it once it says that it runs; gives envctl's exit code and its words.
fn stopped(project: &Project, shell: &str, script: &str) -> (Option<i32>, String) {
    let args = ["exec", "db", "--", shell, "-c", script];
    let mut command = project.command(&args);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    read_until(&mut child.stdout.take().unwrap(), b"begun\n");
    let mut stderr = child.stderr.take().unwrap();
    let words = std::thread::spawn(move || {
        let mut words = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut words).unwrap();
        words
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (status, in_time) = wait(child, Duration::from_secs(15));
    assert!(in_time, "{script} goes on");
    (status.code(), words.join().unwrap())
}

#[test]
fn f17_no_command_that_is_stopped_takes_the_database_along() {
    let server = Wanted::postgres(15, "stopped").start().ready();
    assert!(server.processes("docker-init").is_empty(), "the postmaster is PID 1");
    let project = Project::new(&server, "stopped");
    for (shell, script) in [
        ("sh", "echo begun; exec sleep 4710"),
        ("sh", "echo begun; sleep 4711; echo not this"),
        ("bash", "sleep 4712 & echo begun; wait"),
        ("sh", "echo begun; sleep 4713 | cat"),
        ("bash", "echo begun; while :; do sleep 0.3; : 4714; done"),
        ("sh", "echo begun; while :; do sleep 0.02; : 4715; done"),
        ("bash", "trap '' INT; echo begun; sleep 4716; sleep 4716"),
        ("bash", "echo begun; bash -c 'sleep 4717 & sleep 4717 & wait; wait'; sleep 4717"),
        ("sh", "echo begun; psql -U postgres -c 'select pg_sleep(4718)'; sleep 4718"),
        // Children that carry no word of ours: another user's, and one with no environment.
        ("sh", "echo begun; su postgres -s /bin/sh -c 'sleep 4719'; sleep 4719"),
        ("bash", "echo begun; env -i /bin/sleep 4719; sleep 4719"),
    ] {
        let (code, words) = stopped(&project, shell, script);
        assert_eq!(code, Some(130), "{script}: {words}");
        assert_eq!(server.crashes(), 0, "{script}");
        eventually(Duration::from_secs(20), script, || {
            server.processes("sleep 471").is_empty() && server.processes("begun").is_empty()
        });
    }
    project.assert_no_sessions();
}

/// Without an interpreter, as on Alpine: the way of before.
#[test]
fn f17_without_a_reaper_an_orphan_of_the_postmasters_is_left_alone_and_told() {
    let server = Wanted::postgres(15, "orphan").start().ready();
    // Debian's psql is a script of perl's around the real one.
    server.sh("ln -sf /usr/lib/postgresql/*/bin/psql /usr/bin/psql; rm /usr/bin/perl*");
    let project = Project::new(&server, "orphan");
    for (shell, script) in [
        ("sh", "echo begun; sleep 4722; echo not this"),
        ("bash", "sleep 4722 & echo begun; wait"),
        ("sh", "echo begun; while :; do sleep 0.02; : 4722; done"),
        ("bash", "echo begun; bash -c 'sleep 4722 & sleep 4722 & wait; wait'; sleep 4722"),
    ] {
        let (code, words) = stopped(&project, shell, script);
        assert_eq!((code, server.crashes()), (Some(130), 0), "{script}: {words}");
        server.wait_without_process("4722", Duration::from_secs(5));
    }
    let (code, words) = stopped(&project, "bash", "(sleep 4720 >/dev/null 2>&1 &); echo begun; sleep 4721");
    assert_eq!((code, server.crashes()), (Some(130), 0), "{words}");
    assert!(words.contains("still running in container") && words.contains("sleep"), "{words}");
    assert_eq!((server.processes("sleep 4720").len(), server.processes("sleep 4721").len()), (1, 0));
    let said = project.run(&["exec", "db", "-v", "--", "sh", "-c", "exit 7"]).code(7);
    assert!(said.err().contains("has neither perl nor python3"), "{}", said.err());
    assert!(!project.run(&["exec", "db", "--", "true"]).code(0).err().contains("perl"));
    project.run(&["exec", "db", "--", "nosuch"]).code(127).says("`nosuch` cannot be started");
    let looked = project.run(&["doctor"]);
    assert!(looked.out().contains("has neither perl nor python3"), "{}", looked.out());
}

/// A seccomp profile may refuse `prctl(PR_SET_CHILD_SUBREAPER)`: commands run, and it is told.
#[test]
fn where_the_kernel_refuses_a_reaper_commands_run_and_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path().join("seccomp.json");
    let refuse = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["prctl"], "action": "SCMP_ACT_ERRNO",
        "errnoRet": 1, "args": [{"index": 0, "value": 36, "op": "SCMP_CMP_EQ"}]}]}"#;
    std::fs::write(&profile, refuse).unwrap();
    let option = format!("--security-opt=seccomp={}", profile.display());
    let server = Wanted::postgres(15, "seccomp").arg(&option).start().ready();
    let project = Project::new(&server, "seccomp");
    let said = project.run(&["exec", "db", "-v", "--", "sh", "-c", "exit 7"]).code(7);
    said.says("cannot adopt orphaned processes (prctl: Operation not permitted)");
    assert!(!project.run(&["exec", "db", "--", "true"]).code(0).err().contains("orphaned"));
    let looked = project.run(&["doctor", "-s", &server.stack]);
    assert!(looked.out().contains("cannot adopt orphaned processes (prctl: "), "{}", looked.out());
    assert!(looked.out().contains("crash recovery"), "{}", looked.out());
    project.run(&["backup"]).code(0);
}

#[test]
fn an_orphan_below_a_reaper_is_ended_with_its_command() {
    let server = Wanted::postgres(15, "reaped").start().ready();
    let project = Project::new(&server, "reaped");
    for left in ["(sleep 4720 >/dev/null 2>&1 &)", "(trap '' INT HUP TERM; sleep 4720 >/dev/null 2>&1 &)"] {
        let (code, words) = stopped(&project, "bash", &format!("{left}; echo begun; sleep 4721"));
        assert_eq!((code, server.crashes()), (Some(130), 0), "{words}");
        assert!(!words.contains("left running"), "{words}");
        server.wait_without_process("sleep 472", Duration::from_secs(5));
        server.wait_without_process("envctl-reaper", Duration::from_secs(5));
    }
    let looked = project.run(&["doctor", "-s", &server.stack]);
    assert!(!looked.out().contains("perl"), "{}", looked.out());
}

/// All that a person may leave in a shell. Plain `docker exec` makes the server end all sessions in each case.
#[test]
fn nothing_that_a_shell_or_a_command_leaves_takes_the_database_along() {
    for major in [15, 17] {
        let server = Wanted::postgres(major, &format!("left{major}")).start().ready();
        let project = Project::new(&server, "left");
        let running = |word: &str| !server.processes(word).is_empty();
        for leave in ["exit 3\nexit 3\n", "kill %1; exit 3\nexit 3\n", "bg; exit 3\n", "kill -9 $$\n"] {
            let mut terminal = Pty::start(&project.command(&["shell", "db"]));
            terminal.expect("# ");
            terminal.type_in("sleep 4741\n");
            eventually(Duration::from_secs(10), "sleep runs", || running("sleep 4741"));
            terminal.type_in("\x1a");
            terminal.expect("Stopped");
            terminal.type_in(leave);
            let code = terminal.finish();
            assert_eq!(code, if leave.starts_with("kill -9") { 137 } else { 3 }, "{leave}");
            if leave.starts_with("bg") {
                assert!(running("sleep 4741"), "a job in the background lives on");
                server.signal("TERM", "sleep 4741");
            }
            server.wait_without_process("sleep 4741", Duration::from_secs(5));
            server.wait_without_process("envctl-reaper", Duration::from_secs(5));
            assert_eq!(server.crashes(), 0, "{leave:?} {major}");
        }
        // Codes other than 0 and 1, and a death by a signal, behind the command's own end.
        for left in
            ["(sleep 0.1; exit 3) &", "sleep 4742 & (sleep 0.1; kill -SEGV $!) &", "nohup sleep 4743 &"]
        {
            let script = format!("exec >/dev/null 2>&1 </dev/null; {left}");
            project.run(&["exec", "db", "--", "bash", "-c", &script]).code(0);
            if left.contains("nohup") {
                assert!(running("sleep 4743"), "it lives on");
                server.signal("KILL", "sleep 4743");
            }
            server.wait_without_process("envctl-reaper", Duration::from_secs(5));
            assert_eq!(server.crashes(), 0, "{left} {major}");
        }
        // psql, too, starts what it is told to.
        project.run(&["psql", "-c", "\\! (sleep 0.1; kill -9 $$) >/dev/null 2>&1 &"]).code(0);
        server.wait_without_process("envctl-reaper", Duration::from_secs(5));
        assert_eq!(server.crashes(), 0, "psql {major}");
    }
}

/// Somebody else's signal to the shell around a tool: the tool, whose session is ended then, exits with 2.
#[test]
fn a_tool_whose_shell_was_killed_does_not_take_the_database_along() {
    let server = Wanted::postgres(15, "shell").start().ready();
    let project = Project::new(&server, "shell");
    let script = "psql -U postgres -c 'select pg_sleep(4751)'; : 4752";
    let running = project.start(&["exec", "db", "--", "sh", "-c", script]);
    let sleeps = "select count(*) from pg_stat_activity where query = 'select pg_sleep(4751)'";
    eventually(Duration::from_secs(10), "the query runs", || project.sql(sleeps) == "1");
    server.signal("KILL", "; : 4752");
    running.finish().code(137);
    project
        .sql("select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(4751)'");
    server.wait_without_process("4751", Duration::from_secs(5));
    server.wait_without_process("envctl-reaper", Duration::from_secs(5));
    assert_eq!(server.crashes(), 0);
}

#[test]
fn f17_beside_an_init_orphans_are_ended_too() {
    let server = Wanted::postgres(15, "init").arg("--init").start().ready();
    let project = Project::new(&server, "init");
    let (code, words) = stopped(&project, "bash", "(sleep 4730 >/dev/null 2>&1 &); echo begun; sleep 4731");
    assert_eq!(code, Some(130), "{words}");
    assert!(!words.contains("left running"), "{words}");
    server.wait_without_process("sleep 473", Duration::from_secs(5));
    assert_eq!(server.crashes(), 0);
}

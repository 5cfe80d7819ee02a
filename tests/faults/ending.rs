//! Ctrl-C on a command in a container whose PID 1 is the postmaster: an orphan falls to it, and one that dies by a
//! signal makes it end every session and recover.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::rig::{Wanted, eventually};
use crate::support::run::{read_until, wait};
use crate::support::{Project, Server};

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

/// The number of times that the postmaster has ended all sessions for a process that died.
fn crashes(server: &Server) -> usize {
    let logs = crate::support::rig::try_docker(&["logs", &server.container]);
    let text = String::from_utf8_lossy(&[logs.stdout, logs.stderr].concat()).into_owned();
    text.matches("terminating any other active server processes").count()
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
        assert_eq!(crashes(&server), 0, "{script}");
        eventually(Duration::from_secs(20), script, || {
            server.processes("sleep 471").is_empty() && server.processes("begun").is_empty()
        });
    }
    project.assert_no_sessions();
}

#[test]
fn f17_an_orphan_of_the_postmasters_is_left_alone_and_told() {
    let server = Wanted::postgres(15, "orphan").start().ready();
    let project = Project::new(&server, "orphan");
    let (code, words) = stopped(&project, "bash", "(sleep 4720 >/dev/null 2>&1 &); echo begun; sleep 4721");
    assert_eq!((code, crashes(&server)), (Some(130), 0), "{words}");
    assert!(words.contains("left running in container") && words.contains("sleep"), "{words}");
    assert_eq!((server.processes("sleep 4720").len(), server.processes("sleep 4721").len()), (1, 0));
}

#[test]
fn f17_beside_an_init_orphans_are_ended_too() {
    let server = Wanted::postgres(15, "init").arg("--init").start().ready();
    let project = Project::new(&server, "init");
    let (code, words) = stopped(&project, "bash", "(sleep 4730 >/dev/null 2>&1 &); echo begun; sleep 4731");
    assert_eq!(code, Some(130), "{words}");
    assert!(!words.contains("left running"), "{words}");
    server.wait_without_process("sleep 473", Duration::from_secs(5));
    assert_eq!(crashes(&server), 0);
}

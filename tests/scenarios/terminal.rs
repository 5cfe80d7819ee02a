//! A person at a terminal: shell, psql, logs.

use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::pty::Pty;
use crate::support::rig::{Wanted, docker, eventually};
use crate::support::{Project, Server};

/// Of the tests here alone: what a person does at a terminal can make a server restart.
fn server() -> &'static Server {
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Wanted::postgres(15, "terminal").start().stays().ready());
    &SERVER
}

fn project() -> Project {
    Project::of(server(), "postgres")
}

/// That no process which the test left made the server restart.
fn unharmed(project: &Project) {
    assert_eq!(project.server.crashes(), 0);
}

#[test]
fn f93_a_shell_has_a_terminal_that_follows_its_size_and_gives_its_exit_code() {
    let project = project();
    let mut terminal = Pty::start(&project.command(&["shell", "db"]));
    terminal.expect("# ");
    // The engine takes a size only once the command runs, so the first prompt may come before it.
    eventually(Duration::from_secs(10), "the first size arrives", || {
        terminal.type_in("stty size\n");
        terminal.shown().contains("24 80")
    });
    // The shell learns of a resize by a signal; what it prints then is the new size.
    terminal.type_in("trap 'echo now $(stty size) end' WINCH; echo rea\"\"dy\n");
    terminal.expect("ready");
    terminal.resize(40, 132);
    terminal.type_in("\n");
    eventually(Duration::from_secs(10), "the size arrives", || {
        terminal.type_in("stty size\n");
        terminal.shown().contains("40 132")
    });
    terminal.type_in("exit 42\n");
    assert_eq!(terminal.finish(), 42);
}

#[test]
fn f93_control_c_in_a_shell_reaches_the_command_and_not_envctl() {
    let project = project();
    let mut terminal = Pty::start(&project.command(&["shell", "db"]));
    terminal.expect("# ");
    terminal.type_in("echo begin; sleep 1000; echo \"rc=$?\"\n");
    terminal.expect("begin\r\n");
    eventually(Duration::from_secs(10), "sleep runs", || !project.server.processes("sleep 1000").is_empty());
    terminal.type_in("\x03");
    terminal.type_in("echo still\"\" here\n");
    terminal.expect("still here");
    // Keys that docker would take for itself.
    terminal.type_in("\x10\x11echo not\"\" detached\n");
    terminal.expect("not detached");
    terminal.type_in("\x15exit 0\n");
    assert_eq!(terminal.finish(), 0);
    project.server.wait_without_process("sleep 1000", Duration::from_secs(5));
    unharmed(&project);
}

#[test]
fn f93_control_z_stops_the_command_in_the_shell_and_not_envctl() {
    let project = project();
    let mut terminal = Pty::start(&project.command(&["shell", "db"]));
    terminal.expect("# ");
    terminal.type_in("sleep 1002; echo \"rc=$?\"\n");
    eventually(Duration::from_secs(10), "sleep runs", || !project.server.processes("sleep 1002").is_empty());
    terminal.type_in("\x1a");
    terminal.expect("Stopped");
    terminal.type_in("kill %1; echo go\"\"ne\n");
    terminal.expect("gone");
    terminal.type_in("exit 0\n");
    // bash asks once where a stopped job is left; the second one leaves.
    terminal.type_in("exit 0\n");
    assert_eq!(terminal.finish(), 0);
    project.server.wait_without_process("sleep 1002", Duration::from_secs(5));
    unharmed(&project);
}

#[test]
fn f93_output_of_a_terminal_that_begins_like_a_frame_is_output() {
    let project = project();
    let mut terminal = Pty::start(&project.command(&[
        "exec",
        "db",
        "--",
        "printf",
        r"\001\000\000\000\000\000\000\005plain",
    ]));
    terminal.expect("\x01\0\0\0\0\0\0\x05plain");
    assert_eq!(terminal.finish(), 0);
}

#[test]
fn f93_a_terminal_is_given_back_when_envctl_is_terminated_its_window_closed_or_its_time_over() {
    let project = project();
    let script = "echo rea\"\"dy; sleep 1001";
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut terminal = Pty::start(&project.command(&["exec", "db", "--", "sh", "-c", script]));
        terminal.expect("ready");
        terminal.signal(signal);
        assert_eq!(terminal.finish(), code);
        project.server.wait_without_process("sleep 1001", Duration::from_secs(5));
    }
    let limited = ["exec", "db", "--timeout", "2s", "--", "sh", "-c", script];
    let mut terminal = Pty::start(&project.command(&limited));
    terminal.expect("ready");
    assert_eq!(terminal.finish(), 124);
    // A person's shell, which hears neither INT nor TERM, and what runs in it.
    let mut terminal = Pty::start(&project.command(&["shell", "db"]));
    terminal.type_in("echo rea\"\"dy; sleep 1001\r");
    terminal.expect("ready");
    terminal.signal(Signal::HUP);
    assert_eq!(terminal.finish(), 129);
    project.server.wait_without_process("sleep 1001", Duration::from_secs(5));
    unharmed(&project);
}

#[test]
fn f93_psql_shows_where_it_is_and_survives_control_c() {
    let project = project();
    let mut terminal = Pty::start(&project.command(&["psql"]));
    terminal.expect(&format!("{}[dev] postgres=# ", project.server.stack));
    terminal.type_in("select pg_sleep(1000);\n");
    let sleeping = "select count(*) from pg_stat_activity where query like '%pg_sleep(1000)%' and state = 'active' and pid <> pg_backend_pid()";
    eventually(Duration::from_secs(10), "the query runs", || project.sql(sleeping) == "1");
    terminal.type_in("\x03");
    terminal.expect("canceling statement due to user request");
    terminal.type_in("begin;\n");
    terminal.expect("postgres=*# ");
    terminal.type_in("\\q\n");
    assert_eq!(terminal.finish(), 0);
}

#[test]
fn psql_by_a_pipe_stops_at_the_first_error() {
    let project = Project::new(server(), "pipe");
    let script = b"create table a (id int);\nselect 1/0;\ncreate table b (id int);\n";
    project.run_with(script, &["psql"]).code(3).says("division by zero");
    assert_eq!(project.sql("select count(*) from pg_tables where tablename in ('a', 'b')"), "1");
    std::fs::write(project.path().join("script.sql"), "select 'from a file';\n").unwrap();
    let said = project.run(&["psql", "-f", "script.sql", "--", "-At"]).code(0);
    assert_eq!(said.out(), "from a file\n");
    project.run(&["psql", "-c", "select nosuch"]).code(1);
}

#[test]
fn following_logs_ends_at_control_c() {
    let project = project();
    let mut terminal = Pty::start(&project.command(&["logs", "db", "-f"]));
    terminal.expect("ready to accept connections");
    project.server.sql("postgres", "do $$ begin raise log 'a line for the follower'; end $$");
    terminal.expect("a line for the follower");
    terminal.type_in("\x03");
    assert_eq!(terminal.finish(), 130);
}

#[test]
fn f93_a_shell_whose_container_dies_ends_and_gives_the_terminal_back() {
    let mut wanted = Wanted::postgres(15, "dies").arg("--entrypoint=sleep");
    wanted.command = vec!["infinity".to_owned()];
    let server = wanted.start();
    let project = Project::of(&server, "postgres");
    let mut terminal = Pty::start(&project.command(&["shell", "db"]));
    terminal.expect("# ");
    docker(&["kill", &server.container]);
    let code = terminal.finish();
    // The shell was killed with its container.
    assert_eq!(code, 137);
}

//! The container is not in a state to be spoken to, or the daemon is not there: exec, shell, psql.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use crate::support::project::ENVCTL;
use crate::support::rig::{Wanted, docker};
use crate::support::{Project, Running, Server};

/// A container that is called a database and only sleeps: for its state.
fn sleeper(name: &str) -> Server {
    let mut wanted = Wanted::postgres(15, name).arg("--entrypoint=sleep");
    wanted.command = vec!["infinity".to_owned()];
    wanted.start()
}

#[test]
fn f90_a_paused_container_is_named_with_what_to_do() {
    let server = sleeper("f90p");
    docker(&["pause", &server.container]);
    let project = Project::of(&server, "postgres");
    let finished = project.run(&["exec", "db", "--", "true"]).code(125).says("paused").says("docker unpause");
    assert!(finished.err().contains(&server.container), "{}", finished.err());
    project.run(&["psql", "-c", "select 1"]).code(125).says("paused");
}

#[test]
fn f90_a_stopped_container_is_named_with_what_to_do() {
    let server = sleeper("f90s");
    docker(&["kill", &server.container]);
    let project = Project::of(&server, "postgres");
    project.run(&["exec", "db", "--", "true"]).code(125).says("exited|not running|stopped").says("start");
}

#[test]
fn f90_a_container_that_restarts_for_ever_is_named() {
    let mut wanted = Wanted::postgres(15, "f90r").arg("--entrypoint=sh").arg("--restart=always");
    wanted.command = ["-c", "exit 1"].map(str::to_owned).into();
    let server = wanted.start();
    crate::support::rig::eventually(Duration::from_secs(20), "it restarts", || {
        docker(&["inspect", "--format={{.State.Restarting}}", &server.container]) == "true"
    });
    let project = Project::of(&server, "postgres");
    project.run(&["exec", "db", "--", "true"]).code(125).says("restart");
}

#[test]
fn f90_a_one_off_container_is_not_the_service() {
    let server = sleeper("f90o");
    let mut one_off =
        Wanted::postgres(15, "f90o").arg("--label=com.docker.compose.oneoff=True").arg("--entrypoint=sleep");
    one_off.command = vec!["infinity".to_owned()];
    one_off.number = 2;
    one_off.start();
    let project = Project::of(&server, "postgres");
    let finished = project.run(&["exec", "db", "--", "hostname"]).code(0);
    assert!(finished.err().contains(&server.container), "{}", finished.err());
    let id = docker(&["inspect", "--format={{.Id}}", &server.container]);
    assert!(id.starts_with(finished.out().trim()), "{} is not {id}", finished.out());
}

#[test]
fn f92_a_socket_that_is_not_there_is_said_in_one_line() {
    let project = Project::of(Server::shared(15), "postgres");
    let mut command = project.command(&["logs", "db"]);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    Running::start(command, None).finish().code(4).says("cannot reach docker").says("/nowhere/docker.sock");
}

#[test]
fn f92_a_socket_that_may_not_be_opened_says_whom_to_ask() {
    let project = Project::of(Server::shared(15), "postgres");
    let socket = project.path().join("closed.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(project.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = if rustix::process::getuid().is_root() {
        // Nothing is closed to root: run as somebody else, from where that one may read the binary.
        let binary = project.path().join("envctl");
        std::fs::copy(ENVCTL, &binary).unwrap();
        let mut command = project.bare_at(&binary);
        command.uid(65534).gid(65534);
        command
    } else {
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
        project.bare()
    };
    command.env("DOCKER_HOST", format!("unix://{}", socket.display())).args(["logs", "db"]);
    Running::start(command, None).finish().code(4).says("permission denied").says("docker");
}

#[test]
fn f92_something_else_behind_the_socket_is_not_docker() {
    let project = Project::of(Server::shared(15), "postgres");
    let socket = project.path().join("other.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut client, b"220 smtp.example ESMTP\r\n");
        }
    });
    let mut command = project.command(&["logs", "db"]);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    Running::start(command, None).finish().code(4);
}

#[test]
fn f92_a_daemon_that_hangs_is_given_up_within_the_timeout() {
    let project = Project::of(Server::shared(15), "postgres");
    let socket = project.path().join("deaf.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let mut command = project.command(&["logs", "db", "--timeout", "1s"]);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let started = Instant::now();
    Running::start(command, None).finish().code(124);
    assert!(started.elapsed() < Duration::from_secs(15), "took {:?}", started.elapsed());
}

#[test]
fn f92_a_secret_in_the_address_is_not_repeated() {
    let project = Project::of(Server::shared(15), "postgres");
    let mut command = project.command(&["logs", "db", "--insecure"]);
    command.env("DOCKER_HOST", "tcp://user:hunter2-secret@127.0.0.1:1");
    let finished = Running::start(command, None).finish();
    // No address is read out of it: a mistake in what was typed, and not a daemon that cannot be reached.
    let finished = finished.code(2).says("name or password").says("hint:");
    assert!(!finished.err().contains("hunter2-secret"), "{}", finished.err());
}

#[test]
fn f92_an_unknown_context_is_an_error_that_names_it() {
    let project = Project::of(Server::shared(15), "postgres");
    project
        .run(&["logs", "db", "--context", "no-such-context"])
        .code(4)
        .says("no-such-context")
        .says("docker context ls");
}

#[test]
fn f96_a_user_that_does_not_exist_is_told_and_is_no_output() {
    let project = Project::of(Server::shared(15), "postgres");
    let finished = project.run(&["exec", "db", "-u", "nosuch", "--", "id"]);
    let finished = finished.code(126).says("nosuch").says("hint: list the users there");
    assert_eq!(finished.out(), "");
}

#[test]
fn f96_a_directory_that_does_not_exist_is_told_and_is_no_output() {
    let project = Project::of(Server::shared(15), "postgres");
    let finished = project.run(&["exec", "db", "-w", "/nosuch", "--", "pwd"]);
    // Newer engines give 127 for whatever is not there, and older ones 126: it is the same for all.
    let finished = finished.code(127).says("/nosuch").says("hint: `-w` names a directory");
    assert_eq!(finished.out(), "");
}

#[test]
fn f99_no_password_is_on_a_command_line_or_in_an_error() {
    let project = Project::of(Server::shared(15), "postgres");
    let proxy = crate::support::Proxy::start(Vec::new());
    project.through(&proxy, &["psql", "-c", "select 1"]).code(0);
    let requests = proxy.requests().join("\n");
    assert!(requests.contains("psql"), "{requests}");
    assert!(
        !requests.contains(crate::support::rig::CANARY),
        "a password went over the wire unasked:\n{requests}"
    );
}

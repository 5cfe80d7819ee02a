//! Engines that cannot be reached, refuse, or are none: one clear message, the next step, exit 4.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use snapbox::str;

use crate::container::stack;
use crate::daemon::Manner;
use crate::stage::{Run, Stage};

/// `exec` answers 125 and names the kind; every other verb has the kind's own code.
fn logs(stage: &Stage) -> Run {
    stage.envctl(["logs"])
}

#[test]
fn no_socket() {
    let stage = Stage::with([]);
    let host = format!("unix://{}", stage.path("nothing.sock").display());
    logs(&stage).env("DOCKER_HOST", &host).run().is(str![[r#"
exit 4
! error: cannot reach Docker at unix://[DIR]/nothing.sock (DOCKER_HOST): No such file or directory (os error 2)
! hint: start Docker, if it is installed: `systemctl start docker`, or Docker Desktop
! hint: name another daemon: `--context NAME` or `--host unix:///path/to.sock`

"#]]);
    stage.envctl(["exec", "backend", "--", "true"]).env("DOCKER_HOST", &host).run().is(str![[r#"
exit 125
! error (docker): cannot reach Docker at unix://[DIR]/nothing.sock (DOCKER_HOST): No such file or directory (os error 2)
! hint: start Docker, if it is installed: `systemctl start docker`, or Docker Desktop
! hint: name another daemon: `--context NAME` or `--host unix:///path/to.sock`

"#]]);
    stage.envctl(["logs", "--json"]).env("DOCKER_HOST", &host).run().is(str![[r#"
exit 4
{"schema":1,"error":{"code":"docker","message":"cannot reach Docker at unix://[DIR]/nothing.sock (DOCKER_HOST): No such file or directory (os error 2)","hint":"start Docker, if it is installed: `systemctl start docker`, or Docker Desktop\nname another daemon: `--context NAME` or `--host unix:///path/to.sock`"}}

"#]]);
    stage.run(["logs", "--host", &host]).is(str![[r#"
exit 4
! error: cannot reach Docker at unix://[DIR]/nothing.sock (--host): No such file or directory (os error 2)
! hint: start Docker, if it is installed: `systemctl start docker`, or Docker Desktop
! hint: name another daemon: `--context NAME` or `--host unix:///path/to.sock`

"#]]);
}

#[test]
fn nothing_listens_on_the_socket() {
    let stage = Stage::with([]);
    drop(std::os::unix::net::UnixListener::bind(stage.path("left.sock")).unwrap());
    let host = format!("unix://{}", stage.path("left.sock").display());
    logs(&stage).env("DOCKER_HOST", host).run().is(str![[r#"
exit 4
! error: cannot reach Docker at unix://[DIR]/left.sock (DOCKER_HOST): Connection refused (os error 111)
! note: nothing listens there
! hint: start the daemon, e.g. `systemctl start docker`

"#]]);
}

#[test]
fn the_socket_is_not_ours_to_open() {
    let stage = Stage::with(stack("acme-dev"));
    let mode = |path: &str, mode| {
        std::fs::set_permissions(stage.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("docker.sock", 0o000);
    if rustix::process::geteuid().is_root() {
        // Root may open anything: somebody else tries, with a copy of the binary that they can reach.
        mode("", 0o755);
        std::fs::copy(env!("CARGO_BIN_EXE_envctl"), stage.path("envctl")).unwrap();
        let mut nobody = Command::new("setpriv");
        nobody
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(stage.path("envctl"))
            .arg("logs");
        stage.prepare(nobody).run()
    } else {
        logs(&stage).run()
    }
    .is(str![[r#"
exit 4
! error: cannot reach Docker at unix://[DIR]/docker.sock (DOCKER_HOST): Permission denied (os error 13)
! note: your user may not open the socket
! hint: add it to the group: `sudo usermod -aG docker $USER`, then log in again
! hint: use a rootless daemon: `docker context use rootless`

"#]]);
}

#[test]
fn a_context_that_does_not_exist() {
    let stage = Stage::with([]);
    stage.run(["logs", "--context", "nosuch"]).is(str![[r#"
exit 4
! error: --context names `nosuch`: Docker context `nosuch` does not exist; known contexts: `default`
! hint: run `docker context ls`, or name another one with `--context NAME`

"#]]);
    logs(&stage).without("DOCKER_HOST").env("DOCKER_CONTEXT", "gone").run().is(str![[r#"
exit 4
! error: DOCKER_CONTEXT names `gone`: Docker context `gone` does not exist; known contexts: `default`
! hint: run `docker context ls`, or name another one with `--context NAME`

"#]]);
}

#[test]
fn a_current_context_that_does_not_exist() {
    let stage = Stage::with([]);
    stage.write(".docker/config.json", r#"{"currentContext": "lost"}"#);
    logs(&stage).without("DOCKER_HOST").run().is(str![[r#"
exit 4
! error: currentContext in [DIR]/.docker/config.json names `lost`: Docker context `lost` does not exist; known contexts: `default`
! hint: run `docker context ls`, or name another one with `--context NAME`

"#]]);
}

#[test]
fn a_docker_configuration_that_is_no_json() {
    let stage = Stage::with([]);
    stage.write(".docker/config.json", "{currentContext: lost");
    logs(&stage).without("DOCKER_HOST").run().is(str![[r#"
exit 4
! error: [DIR]/.docker/config.json is not what docker writes: key must be a string at line 1 column 2
! hint: repair the file, or name the daemon with `--context NAME` or `--host URL`

"#]]);
}

#[test]
fn plain_tcp_to_another_machine_is_refused() {
    let stage = Stage::with([]);
    logs(&stage).env("DOCKER_HOST", "tcp://192.0.2.1:2375").run().is(str![[r#"
exit 4
! error: tcp://192.0.2.1:2375 is a plain TCP daemon: anybody on the way could read and change everything
! hint: use TLS (DOCKER_TLS_VERIFY, a context with certificates) or ssh://; `--insecure` goes on all the same

"#]]);
    assert_eq!(stage.engine.connections(), 0);
}

#[test]
fn plain_tcp_goes_on_with_insecure() {
    let stage = Stage::with(stack("acme-dev"));
    let host = format!("tcp://127.0.0.1:{}", stage.engine.listen_tcp());
    let ran = stage.envctl(["logs", "--insecure"]).env("DOCKER_HOST", host).run();
    assert_eq!(ran.code, Some(0), "{}", ran.err());
}

#[test]
fn hosts_that_are_none() {
    let stage = Stage::with([]);
    logs(&stage).env("DOCKER_HOST", "carrier-pigeon://coop").run().is(str![[r#"
exit 2
! error: DOCKER_HOST: not a host URL
! hint: write unix:///path, tcp://host:port or ssh://user@host

"#]]);
    logs(&stage).env("DOCKER_HOST", "npipe:////./pipe/docker_engine").run().is(str![[r#"
exit 4
! error: the Docker host npipe://./pipe/docker_engine is a Windows pipe, which this build cannot open
! hint: set DOCKER_HOST to a tcp:// or ssh:// address, or run envctl inside WSL

"#]]);
}

#[test]
fn a_web_server_is_no_engine() {
    Stage::behaving(Manner::WebServer("<html><title>It works!</title></html>")).run(["logs"]).is(str![[r#"
exit 4
! error: unix://[DIR]/docker.sock does not answer as a container engine: expected value at line 1 column 1
! hint: check the address with `docker context ls`

"#]]);
}

#[test]
fn engines_that_break_off_or_refuse_leave_a_next_step() {
    for (manner, words) in [
        (Manner::Babbling, "invalid HTTP version"),
        (Manner::HangingUp, "broke"),
        (Manner::Refusing(500, "server error: the disk is full"), "the disk is full"),
        (Manner::Refusing(403, "authorization denied by plugin"), "authorization denied by plugin"),
    ] {
        let ran = Stage::behaving(manner.clone()).run(["logs"]);
        assert_eq!(ran.code, Some(4), "{manner:?}: {}", ran.err());
        assert!(ran.err().starts_with("error: ") && ran.err().contains(words), "{manner:?}: {}", ran.err());
        assert!(ran.err().contains("\nhint: "), "{manner:?} leaves nothing to do: {}", ran.err());
    }
}

#[test]
fn an_engine_of_another_api_version() {
    let newer = "client version 1.53 is too new. Maximum supported API version is 1.41";
    Stage::behaving(Manner::Refusing(400, newer)).run(["logs"]).is(str![[r#"
exit 4
! error: listing containers: client version 1.53 is too new. Maximum supported API version is 1.41
! note: this engine speaks another API version
! hint: upgrade the older side

"#]]);
    let older = "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version";
    Stage::behaving(Manner::Refusing(400, older)).run(["exec", "backend", "--", "true"]).is(str![[r#"
exit 125
! error (docker): listing containers: client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version
! note: this engine speaks another API version
! hint: upgrade the older side

"#]]);
    // Another 400 is not about versions.
    let ran = Stage::behaving(Manner::Refusing(400, "invalid filter")).run(["logs"]);
    assert_eq!(ran.code, Some(4), "{}", ran.err());
    assert!(!ran.err().contains("API version"), "{}", ran.err());
}

#[test]
fn the_time_limit_of_the_file_holds_too() {
    let stage = Stage::behaving(Manner::Silent);
    stage.write("envctl.toml", "timeout = \"300ms\"\n");
    let ran = stage.run(["status"]);
    assert_eq!(ran.code, Some(124), "{}", ran.err());
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
    // What is typed is stronger.
    let ran = stage.run(["status", "--timeout", "700ms"]);
    assert!(ran.err().contains("not done within 700ms"), "{}", ran.err());
}

#[test]
fn an_engine_that_hangs_is_left_after_the_time_limit() {
    let stage = Stage::behaving(Manner::Silent);
    let ran = stage.run(["logs", "--timeout", "300ms"]);
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
    ran.is(str![[r#"
exit 124
! error: not done within 300ms (--timeout); it was ended

"#]]);
    let ran = stage.run(["exec", "backend", "--timeout", "300ms", "--", "true"]);
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
    ran.is(str![[r#"
exit 124
! error (timeout): not done within 300ms (--timeout); it was ended

"#]]);
    let ran = stage.run(["psql", "-c", "select 1", "--timeout", "300ms", "--json"]);
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
    ran.is(str![[r#"
exit 124
{"schema":1,"error":{"code":"timeout","message":"not done within 300ms (--timeout); it was ended","hint":null}}

"#]]);
}

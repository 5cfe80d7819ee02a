//! `envctl logs`: a container's lines, each on the stream it was written to.

use std::time::{Duration, Instant};

use snapbox::str;

use crate::container::{db, service};
use crate::stage::{Stage, finish};

fn talkative() -> Stage {
    Stage::with([
        service("acme-dev", "backend")
            .printed("listening on 3000")
            .complained("deprecated!")
            .printed("GET /"),
        db("acme-dev").printed("database system is ready"),
    ])
}

#[test]
fn lines_keep_their_stream() {
    talkative().run(["logs"]).is(str![[r#"
exit 0
listening on 3000
GET /
! [dev] acme · backend acme-dev-backend-1 · context default
! deprecated!

"#]]);
}

#[test]
fn of_the_database_or_of_a_service() {
    talkative().run(["logs", "db"]).is(str![[r#"
exit 0
database system is ready
! [dev] acme · db acme-dev-db-1 · context default

"#]]);
    talkative().run(["logs", "nosuch"]).is(str![[r#"
exit 3
! error: acme dev has no service or container `nosuch`; its services: backend, db

"#]]);
}

#[test]
fn the_last_lines_with_their_time() {
    talkative().run(["logs", "-q", "-n", "1", "-t"]).is(str![[r#"
exit 0
2026-01-02T03:04:05.678901234Z GET /

"#]]);
}

#[test]
fn a_time_that_is_none() {
    talkative().run(["logs", "--since", "yesterday"]).is(str![[r#"
exit 2
! error: "yesterday" is no time: failed to parse four digit integer as year: invalid digit, expected 0-9 but got y
! hint: write 10m, 2h or 2026-01-31T12:00:00Z

"#]]);
}

#[test]
fn a_container_that_has_ended_still_tells_why() {
    let stage =
        Stage::with([service("acme-dev", "backend").complained("out of memory").exited(137), db("acme-dev")]);
    stage.run(["logs"]).is(str![[r#"
exit 0
! [dev] acme · backend acme-dev-backend-1 · context default
! out of memory

"#]]);
}

#[test]
fn a_container_with_a_terminal_has_one_raw_stream() {
    let stage =
        Stage::with([service("acme-dev", "backend").with_terminal().printed("plain bytes"), db("acme-dev")]);
    stage.run(["logs", "-q"]).is(str![[r#"
exit 0
plain bytes

"#]]);
}

#[test]
fn following_ends_with_ctrl_c() {
    let stage = talkative();
    let started = Instant::now();
    let child = stage.envctl(["logs", "-f", "-q"]).start();
    while !stage.engine.requests().iter().any(|request| request.ends_with("/logs")) {
        assert!(started.elapsed() < Duration::from_secs(20), "the logs were never asked for");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ran = finish(child, stage.path(""), started);
    assert_eq!(ran.code, Some(130), "{}", ran.err());
    assert_eq!(ran.out(), "listening on 3000\nGET /\n");
}

//! `envctl exec`: bytes and exit codes as they are, and kind words where nothing could be run.

use std::io::Read as _;
use std::time::Duration;

use snapbox::str;

use crate::container::{service, stack};
use crate::daemon::Manner;
use crate::stage::{Ran, Stage, finish};

fn acme() -> Stage {
    let stage = Stage::with(stack("acme-dev"));
    stage.engine.install("*", "fail", |process| {
        let code = process.argv[1].parse().unwrap();
        process.out("the answer\n");
        process.err("the complaint\n");
        code
    });
    stage.engine.install("*", "cat", |process| {
        let bytes = process.all();
        process.out(bytes);
        0
    });
    stage.engine.install("*", "env", |process| {
        let mut said: Vec<String> =
            process.env.iter().filter(|pair| !pair.starts_with("ENVCTL_OP=")).cloned().collect();
        said.push(format!("user {:?}, directory {:?}\n", process.user, process.workdir));
        process.out(said.join("\n"));
        0
    });
    stage
}

#[test]
fn the_exit_code_is_the_commands_own() {
    let stage = acme();
    stage.run(["exec", "backend", "--", "fail", "0"]).is(str![[r#"
exit 0
the answer
! [dev] acme · backend acme-dev-backend-1 · context default
! the complaint

"#]]);
    stage.run(["exec", "backend", "--", "fail", "3"]).is(str![[r#"
exit 3
the answer
! [dev] acme · backend acme-dev-backend-1 · context default
! the complaint

"#]]);
    stage.run(["exec", "backend", "--", "fail", "255"]).is(str![[r#"
exit 255
the answer
! [dev] acme · backend acme-dev-backend-1 · context default
! the complaint

"#]]);
}

#[test]
fn codes_that_are_ours_elsewhere_pass_too() {
    let stage = acme();
    for code in [1, 2, 6, 9, 124, 125, 126, 127, 130, 137, 143] {
        let ran = stage.run(["exec", "backend", "-q", "--", "fail", &code.to_string()]);
        assert_eq!((ran.code, ran.err().as_str()), (Some(code), "the complaint\n"));
    }
}

#[test]
fn bytes_pass_unchanged_both_ways() {
    let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let ran = acme().envctl(["exec", "backend", "--", "cat"]).stdin(&bytes).run();
    assert!(ran.stdout == bytes, "{} bytes came back of {}: {}", ran.stdout.len(), bytes.len(), ran.err());
    assert_eq!(ran.code, Some(0));
}

#[test]
fn output_that_looks_like_an_engines_complaint_is_output() {
    let stage = acme();
    stage.engine.install("*", "quote", |process| {
        process.out("OCI runtime exec failed: says the book\n");
        0
    });
    stage.run(["exec", "backend", "-q", "--", "quote"]).is(str![[r#"
exit 0
OCI runtime exec failed: says the book

"#]]);
}

#[test]
fn user_directory_and_variables_reach_the_command() {
    acme()
        .envctl(["exec", "-u", "node", "-w", "/app", "-e", "A=1 2", "-e", "OURS", "backend", "--", "env"])
        .env("OURS", "from outside")
        .run()
        .is(str![[r#"
exit 0
A=1 2
OURS=from outside
user Some("node"), directory Some("/app")
! [dev] acme · backend acme-dev-backend-1 · context default

"#]]);
}

/// The target line, then one error in our words with the engine's, then what to do.
#[track_caller]
fn is_not_started(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}", ran.err());
    let talk = ran.err();
    let lines: Vec<&str> = talk.lines().collect();
    assert!(lines.len() >= 3 && lines[1].starts_with("error"), "no error is told: {talk}");
    assert!(lines[2].starts_with("hint: "), "nothing to do next: {talk}");
    for word in words {
        assert!(lines[1].contains(word), "no {word:?} in: {talk}");
    }
}

#[test]
fn a_command_that_does_not_exist_is_127_and_one_that_cannot_be_invoked_126() {
    let stage = acme();
    let ran = stage.run(["exec", "backend", "--", "nosuch"]);
    is_not_started(&ran, 127, &["`nosuch`", "acme-dev-backend-1", "executable file not found"]);
    let ran = stage.run(["exec", "backend", "--", "/etc/passwd"]);
    is_not_started(&ran, 126, &["`/etc/passwd`", "acme-dev-backend-1", "permission denied"]);
}

#[test]
fn a_user_or_a_directory_that_does_not_exist_is_named() {
    let stage = acme();
    let ran = stage.run(["exec", "-u", "ghost", "backend", "--", "true"]);
    is_not_started(&ran, 126, &["ghost", "acme-dev-backend-1"]);
    let ran = stage.run(["exec", "-w", "/nowhere", "backend", "--", "true"]);
    is_not_started(&ran, 127, &["/nowhere", "acme-dev-backend-1", "no such file or directory"]);
}

#[test]
fn what_cannot_be_started_is_told_as_json_too() {
    let ran = acme().run(["exec", "backend", "--json", "--", "nosuch"]);
    assert_eq!(ran.code, Some(127), "{}", ran.err());
    let answer: serde_json::Value = serde_json::from_str(&ran.out()).expect("one JSON document on stdout");
    assert!(answer["error"]["message"].as_str().unwrap().contains("nosuch"), "{answer}");
}

#[test]
fn words_that_are_missing_or_unknown_are_a_failure_of_ours() {
    // 2 would read as the command's own code.
    let stage = acme();
    for arguments in [&["exec", "backend"][..], &["exec", "--usr", "x", "backend", "--", "true"]] {
        let ran = stage.run(arguments);
        assert_eq!(ran.code, Some(125), "{arguments:?}: {}", ran.err());
        assert!(ran.err().contains("Usage: envctl exec"), "{}", ran.err());
    }
}

#[test]
fn services_and_containers_are_targets_too() {
    let mut containers = stack("acme-dev");
    containers.push(service("acme-dev", "worker"));
    let stage = Stage::with(containers);
    stage.run(["exec", "worker", "--", "true"]).is(str![[r#"
exit 0
! [dev] acme · worker acme-dev-worker-1 · context default

"#]]);
    stage.run(["exec", "db", "--", "true"]).is(str![[r#"
exit 0
! [dev] acme · db acme-dev-db-1 · context default

"#]]);
    stage.run(["exec", "backend", "--container", "acme-dev-worker-1", "--", "true"]).is(str![[r#"
exit 0
! [dev] acme · worker acme-dev-worker-1 · context default

"#]]);
}

#[test]
fn our_own_failures_are_125_and_name_their_kind() {
    let stage = acme();
    stage.run(["exec", "nosuch", "--", "true"]).is(str![[r#"
exit 125
! error (target): acme dev has no service or container `nosuch`; its services: backend, db

"#]]);
    stage.run(["exec", "nosuch", "--json", "--", "true"]).is(str![[r#"
exit 125
{"schema":1,"error":{"code":"target","message":"acme dev has no service or container `nosuch`; its services: backend, db","hint":null}}

"#]]);
    stage.run(["exec", "backend", "--prod", "--", "true"]).is(str![[r#"
exit 125
! error (target): acme has no profile `prod`
!     acme dev: project acme-dev, in /srv/acme, container acme-dev-db-1 running  --dev
! hint: add the flag at the end of a line, such as `--dev`

"#]]);
}

#[test]
fn a_stream_that_is_cut_is_no_success() {
    let stage = acme();
    stage.engine.behave(Manner::CuttingStreams);
    let ran = stage.run(["exec", "backend", "--", "true"]);
    assert_eq!(ran.code, Some(125), "{}", ran.err());
    assert!(ran.err().contains("error (integrity): the stream from Docker is damaged"), "{}", ran.err());
    assert!(ran.err().contains("244 bytes before the end of a frame"), "{}", ran.err());
    stage.engine.behave(Manner::WithoutUpgrade);
    stage.run(["exec", "backend", "--", "true"]).is(str![[r#"
exit 125
! [dev] acme · backend acme-dev-backend-1 · context default
! error (docker): in container acme-dev-backend-1: the daemon answered 200 OK where a stream was asked for
! note: a proxy between envctl and the daemon may be stripping the Upgrade header

"#]]);
}

#[test]
fn a_time_limit_ends_the_command_in_the_container() {
    let stage = acme();
    stage.engine.install("*", "sleep", |process| process.sleep());
    let ran = stage.run(["--timeout", "300ms", "exec", "backend", "--", "sleep", "1000"]);
    assert!(ran.took < Duration::from_secs(10), "{:?}", ran.took);
    assert!(stage.engine.commands().iter().any(|argv| argv.get(3).is_some_and(|word| word == "envctl")));
    ran.is(str![[r#"
exit 124
! [dev] acme · backend acme-dev-backend-1 · context default
! error (timeout): not done within 300ms (--timeout); it was ended

"#]]);
}

#[test]
fn ctrl_c_ends_the_command_in_the_container() {
    let stage = acme();
    stage.engine.install("*", "sleep", |process| {
        process.out("asleep\n");
        process.sleep()
    });
    let started = std::time::Instant::now();
    let child = stage.envctl(["exec", "backend", "--", "sleep"]).start();
    while !stage.engine.requests().iter().any(|request| request.ends_with("/start")) {
        assert!(started.elapsed() < Duration::from_secs(20), "the command never started");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ran = finish(child, stage.path(""), started);
    assert_eq!(ran.code, Some(130), "{}", ran.err());
    assert!(stage.engine.commands().iter().any(|argv| argv.get(3).is_some_and(|word| word == "envctl")));
}

#[test]
fn what_ctrl_c_cannot_end_is_told() {
    let mut containers = stack("acme-dev");
    for container in &mut containers {
        *container = container.clone().without("sh");
    }
    let stage = Stage::with(containers);
    stage.engine.install("*", "sleep", |process| {
        process.out("asleep\n");
        process.sleep()
    });
    let started = std::time::Instant::now();
    let mut child = stage.envctl(["exec", "backend", "--", "sleep"]).start();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 7]).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let ran = finish(child, stage.path(""), started);
    assert_eq!(ran.code, Some(130), "{}", ran.err());
    assert!(
        ran.err().contains("may run on there: look with `docker top acme-dev-backend-1`"),
        "{}",
        ran.err()
    );
}

#[test]
fn a_reader_that_leaves_is_no_failure_of_ours() {
    let stage = acme();
    stage.engine.install("*", "yes", |process| {
        for _ in 0..1000 {
            process.out("y\n".repeat(4096));
        }
        0
    });
    let started = std::time::Instant::now();
    let mut child = stage.envctl(["exec", "backend", "--", "yes"]).start();
    // The reader takes a little and leaves, as `| head` does.
    let mut reader = child.stdout.take().unwrap();
    reader.read_exact(&mut [0; 2]).unwrap();
    drop(reader);
    let ran = finish(child, stage.path(""), started);
    assert_eq!(ran.code, Some(141), "{}", ran.err());
}

/// What `envctl exec` costs beside the command itself: one round of questions before it, nothing asked twice, and
/// nothing of other stacks.
#[test]
fn no_more_is_asked_than_has_to_be() {
    let stage = Stage::with(["acme-dev", "acme-prod", "shop-dev", "mail"].map(stack).concat());
    let ran = stage.run(["exec", "backend", "--stack", "acme", "--dev", "--", "true"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let requests = stage.engine.requests();
    let count = |part: &str, end: &str| {
        requests.iter().filter(|request| request.contains(part) && request.ends_with(end)).count()
    };
    assert_eq!(count("GET /containers/json", ""), 1, "{requests:?}");
    assert_eq!(count("GET /images/", "/json"), 2, "each image once: {requests:?}");
    assert_eq!(count("GET /containers/", "/json") - 1, 4, "each container once: {requests:?}");
    assert_eq!((count("POST ", "/exec"), count("POST ", "/start")), (1, 1), "{requests:?}");
    assert_eq!(count("GET /exec/", "/json"), 1, "{requests:?}");
    assert_eq!(requests.len(), 10, "{requests:?}");
}

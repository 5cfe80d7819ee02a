//! `studio`: a real browser sees a row of the database, and nothing is left afterwards, in the backend or beside it.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::prisma::Backend;
use crate::support::rig::{CANARY, Wanted, docker, eventually};
use crate::support::{Project, Running, Server};

/// What a headless Chromium makes of a page once it has come to rest.
fn page(url: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .output()
        .expect("chromium starts: scripts/setup tools installs it");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn studios(backend: &Backend) -> usize {
    let all = docker(&["top", &backend.container, "-eo", "pid,args"]);
    all.lines().filter(|line| line.contains("prisma studio") || line.contains("allowHalfOpen")).count()
}

fn start(backend: &Backend) -> (Running, String) {
    let mut command = backend.project.command(&["studio", "--no-open", "--port", "0"]);
    Running::first_line(&mut command)
}

#[test]
fn a_browser_sees_a_row_of_the_database() {
    let backend = Backend::new("studio", true);
    backend.project.sql(
        "create table aaa (id int primary key, word text); insert into aaa values (1, 'seen-in-a-browser')",
    );
    let (running, url) = start(&backend);
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let mut seen = String::new();
    eventually(Duration::from_secs(60), "the row is on the page", || {
        seen = page(&url);
        seen.contains("seen-in-a-browser")
    });
    // The password is in no command line and on no page.
    let all = docker(&["top", &backend.container, "-eo", "pid,args"]);
    assert!(!all.contains(CANARY) && !seen.contains(CANARY), "{all}");
    running.signal(Signal::INT);
    running.finish().code(0).says("Prisma Studio");
    eventually(Duration::from_secs(10), "Studio is gone", || studios(&backend) == 0);
}

#[test]
fn a_studio_whose_envctl_was_killed_ends_too() {
    let backend = Backend::new("studio_k", true);
    let (running, _) = start(&backend);
    assert!(studios(&backend) > 0);
    running.signal(Signal::KILL);
    running.finish().code(137);
    eventually(Duration::from_secs(10), "Studio is gone", || studios(&backend) == 0);
    let left = docker(&["exec", &backend.container, "sh", "-c", "ls -d /tmp/envctl-* 2>/dev/null || true"]);
    assert_eq!(left, "");
}

/// A project without a backend, whose workers have private directories of their own.
fn bare(name: &str, image: Option<&str>) -> Project {
    bare_on(Server::shared(15), name, image)
}

fn bare_on(server: &Server, name: &str, image: Option<&str>) -> Project {
    let project = Project::new(server, name);
    std::fs::create_dir(project.path().join("rooms")).unwrap();
    if let Some(image) = image {
        let file = project.path().join("envctl.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, format!("{text}[migrations]\nstudio_image = \"{image}\"\n")).unwrap();
    }
    project
}

fn beside(project: &Project, args: &[&str]) -> Command {
    let mut command = project.command(&[&["studio", "--no-open", "--port", "0"], args].concat());
    command.env("XDG_RUNTIME_DIR", project.path().join("rooms"));
    command
}

fn workers(project: &Project) -> Vec<String> {
    let format = r#"{{.Names}} {{.Label "envctl.worker.dir"}}"#;
    let all = docker(&["ps", "--all", "--filter", "label=envctl.worker", "--format", format]);
    let own = project.path().display().to_string();
    let of_project = |line: &str| {
        line.split_once(' ').filter(|(_, room)| room.starts_with(&own)).map(|(name, _)| name.to_owned())
    };
    all.lines().filter_map(of_project).collect()
}

fn rooms(project: &Project) -> usize {
    std::fs::read_dir(project.path().join("rooms")).unwrap().count()
}

#[test]
fn where_the_project_has_no_prisma_it_runs_beside_the_database_from_a_named_image() {
    let project = bare("studio_w", Some("envctl-backend:20"));
    project.sql(
        "create table aaa (id int primary key, word text); insert into aaa values (1, 'seen-beside-it')",
    );
    let plan = Running::start(beside(&project, &["--dry-run"]), None).finish().code(0).out();
    assert!(plan.contains("in a container of its own from envctl-backend:20"), "{plan}");
    assert_eq!((workers(&project).len(), rooms(&project)), (0, 0));
    let (running, url) = Running::first_line(&mut beside(&project, &[]));
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let mut seen = String::new();
    eventually(Duration::from_secs(60), "the row is on the page", || {
        seen = page(&url);
        seen.contains("seen-beside-it")
    });
    let [worker] = &workers(&project)[..] else { panic!("{:?}", workers(&project)) };
    // Where the database is, and as whom, the engine does not show.
    let shown = docker(&["inspect", worker]) + &docker(&["top", worker, "-eo", "pid,args"]);
    assert!(!shown.contains("postgresql://") && !shown.contains(CANARY), "{shown}");
    let status = docker(&["exec", worker, "cat", "/proc/1/status"]);
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    running.signal(Signal::INT);
    running.finish().code(0).says("Prisma Studio");
    assert_eq!((workers(&project).len(), rooms(&project)), (0, 0));
}

#[test]
fn what_a_killed_studio_leaves_beside_the_database_ends_and_the_next_removes_it() {
    let project = bare("studio_wk", Some("envctl-backend:20"));
    let (running, _) = Running::first_line(&mut beside(&project, &[]));
    let left = workers(&project);
    running.signal(Signal::KILL);
    running.finish().code(137);
    eventually(Duration::from_secs(20), "Studio has ended", || {
        docker(&["inspect", "--format", "{{.State.Running}}", &left[0]]) == "false"
    });
    let (running, _) = Running::first_line(&mut beside(&project, &[]));
    assert!(!workers(&project).contains(&left[0]), "it is still there");
    running.signal(Signal::INT);
    running.finish().code(0).says("orphan of an envctl that was killed");
    assert_eq!((workers(&project).len(), rooms(&project)), (0, 0));
}

#[test]
fn without_a_studio_it_is_said_where_one_may_come_from() {
    let project = bare("studio_n", None);
    Running::start(beside(&project, &[]), None).finish().code(3).says("studio_image");
    for (image, words) in [
        ("envctl-nothing:1", "`docker pull envctl-nothing:1`"),
        ("envctl-postgres:15", "the image has no Prisma CLI"),
    ] {
        let project = bare("studio_n", Some(image));
        Running::start(beside(&project, &[]), None).finish().code(7).says(words);
        assert_eq!((workers(&project).len(), rooms(&project)), (0, 0), "{image}");
    }
}

#[test]
fn a_backend_without_prisma_makes_room_for_the_image_and_one_that_is_stopped_does_not() {
    let server = Wanted::postgres(15, "unprisma").start().ready();
    let backend = Wanted {
        image: "envctl-python:3.13".to_owned(),
        service: "backend".to_owned(),
        docker_args: Vec::new(),
        command: ["sleep", "600"].map(str::to_owned).into(),
        ..Wanted::postgres(15, "unprisma")
    }
    .start();
    let without = bare_on(&server, "studio_p", None);
    Running::start(beside(&without, &[]), None)
        .finish()
        .code(2)
        .says("has no Prisma CLI")
        .says("studio_image");
    let with = bare_on(&server, "studio_p", Some("envctl-backend:20"));
    let plan = Running::start(beside(&with, &["--dry-run"]), None).finish().code(0).out();
    assert!(plan.contains("in a container of its own from envctl-backend:20"), "{plan}");
    docker(&["kill", &backend.container]);
    Running::start(beside(&with, &["--dry-run"]), None).finish().code(3).says("backend");
}

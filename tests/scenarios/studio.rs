//! `studio`: a real browser sees a row of the database, and nothing is left in the container afterwards.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::prisma::Backend;
use crate::support::Running;
use crate::support::rig::{CANARY, docker, eventually};

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

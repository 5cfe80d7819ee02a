//! `envctl backup schedule`: what is printed for systemd, cron and compose, and what a run and the service do.

use std::fs;
use std::io::Read as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::container::stack;
use crate::dumps::{DUMP, failing_pg_dump, pg_dump};
use crate::postgres::Server;
use crate::stage::Stage;

const PROJECT: &str = "my shop 100%";

/// A stage with a stack, and a project directory whose name has to be quoted.
fn stage(project: &str, settings: &str) -> Stage {
    let stage = Stage::with(stack(project));
    stage.engine.install("*", "psql", Server::new().psql());
    stage.engine.install("*", "pg_dump", pg_dump(DUMP));
    stage.write(&format!("{PROJECT}/envctl.toml"), &format!("stack = \"acme\"\n{settings}"));
    stage
}

fn schedule(stage: &Stage, more: &[&str]) -> crate::stage::Ran {
    let arguments = [&["backup", "schedule"], more].concat();
    stage.envctl(arguments).inside(&stage.path(PROJECT)).run()
}

fn state(stage: &Stage, name: &str) -> Option<Value> {
    let text = fs::read_to_string(stage.path(&format!("{PROJECT}/backups/.schedule/{name}.json"))).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// Waits for an event of a process that this test has started.
fn wait_for(child: &mut Child, what: &str, mut happened: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happened() {
        if let Some(status) = child.try_wait().unwrap() {
            let mut told = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut told);
            panic!("{what}: it ended with {status}: {told}");
        }
        assert!(started.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a process of this test, and returns its exit code and what it told.
fn end(mut child: Child, signal: &str) -> (Option<i32>, String) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    (child.wait().unwrap().code(), told)
}

#[test]
fn the_systemd_units_are_complete_and_verified_by_systemd() {
    let stage = stage("acme-prod", "");
    let ran = schedule(&stage, &["--prod", "--time-zone", "Europe/Berlin", "--jitter", "5m"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let text = ran.out();
    assert!(text.contains("OnCalendar=*-*-* 01:30:00 Europe/Berlin\nRandomizedDelaySec=300s\n"), "{text}");
    let place = stage.path(PROJECT).canonicalize().unwrap();
    let quoted = place.display().to_string().replace('%', "%%");
    assert!(text.contains(&format!(" run --once -C \"{quoted}\" --host unix://")), "{text}");
    assert!(
        text.contains(" -s acme --prod --cron \"30 1 * * *\" --time-zone Europe/Berlin --jitter 5m\n"),
        "{text}"
    );
    assert!(ran.err().contains("systemctl daemon-reload"), "{}", ran.err());
    let mut units = Vec::new();
    for unit in ["service", "timer"] {
        let ran = schedule(&stage, &["--prod", "--unit", unit]);
        assert_eq!(ran.code, Some(0), "{}", ran.err());
        assert!(ran.out().starts_with("[Unit]\n"), "{}", ran.out());
        let name = format!("envctl-backup-acme.prod.{unit}");
        stage.write(&name, &ran.out());
        units.push(stage.path(&name));
    }
    let Ok(verified) = Command::new("systemd-analyze").arg("verify").args(&units).output() else { return };
    let told = String::from_utf8_lossy(&verified.stderr).into_owned();
    // Units of the machine are none of ours.
    let ours: Vec<&str> = told.lines().filter(|line| line.contains("envctl-backup")).collect();
    assert!(verified.status.success() || ours.is_empty(), "{told}");
    assert!(ours.is_empty(), "{told}");
}

#[test]
fn a_line_for_cron_runs_in_the_shell_of_cron() {
    let stage = stage("acme-prod", "");
    let ran = schedule(&stage, &["--prod", "--for", "cron", "--cron", "@hourly"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let line = ran.out();
    let command = line.strip_prefix("@hourly ").unwrap().trim_end();
    assert!(command.contains(r"100\%"), "{command}");
    // As cron does: `\%` is `%`, and the rest is for its shell.
    let mut shell = Command::new("sh");
    shell.args(["-c", &command.replace(r"\%", "%")]);
    let ran = stage.prepare(shell).run();
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!(state(&stage, "acme.prod").unwrap()["last"]["exit_code"], 0);
}

#[test]
fn a_compose_service_is_understood_by_compose_and_checks_the_backups() {
    let stage = stage("acme-prod", "");
    let ran = schedule(&stage, &["--prod", "--for", "compose", "--all-databases"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let text = ran.out();
    let check =
        r#"test: ["CMD", "envctl", "backup", "check", "-q", "-s", "acme", "--prod", "--max-age", "26h"]"#;
    assert!(text.contains(check), "{text}");
    assert!(text.contains(r#""-s", "acme", "--prod", "--all-databases", "--cron", "30 1 * * *""#), "{text}");
    // The home of the image belongs to another user, and the engine is not found through it.
    let socket = stage.path("docker.sock").display().to_string();
    assert!(
        text.contains(&format!("DOCKER_HOST: \"unix://{socket}\"")) && text.contains("HOME: \"/tmp\""),
        "{text}"
    );
    stage.write("compose.yml", &text);
    for (program, arguments) in [("docker", &["compose"][..]), ("docker-compose", &[])] {
        let file = stage.path("compose.yml");
        let read = Command::new(program).args(arguments).arg("-f").arg(&file).arg("config").output();
        let Ok(read) = read else { continue };
        let told = String::from_utf8_lossy(&read.stderr).into_owned();
        if told.contains("unknown") && program == "docker" {
            continue;
        }
        assert!(read.status.success(), "{program}: {told}");
        assert!(String::from_utf8_lossy(&read.stdout).contains(PROJECT), "{program}");
    }
    let ran = stage.run(["backup", "schedule", "--for", "compose"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err());
    assert!(ran.err().contains("which stack is meant"), "{}", ran.err());
}

#[test]
fn a_variable_is_written_down_and_a_secret_is_not() {
    let stage = stage("acme-prod", "");
    let run = stage.envctl(["backup", "schedule", "--prod", "--unit", "service"]);
    let run = run.inside(&stage.path(PROJECT)).env("ENVCTL_BACKUP_DIR", "/srv/back ups");
    let ran = run.env("ENVCTL_BACKUP_PING", "https://hc.example/s3cret").run();
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.out().contains("Environment=\"ENVCTL_BACKUP_DIR=/srv/back ups\"\n"), "{}", ran.out());
    assert!(!ran.out().contains("s3cret") && !ran.err().contains("s3cret"));
    assert!(ran.err().contains("ENVCTL_BACKUP_PING"), "{}", ran.err());
}

#[test]
fn a_run_backs_up_verifies_and_prunes_and_is_seen_by_status_and_doctor() {
    let stage = stage("acme-prod", "[backup.keep]\nlast = 1\n[backup.schedule]\nprune = true\n");
    let once = ["run", "--once", "--prod", "--cron", "30 1 * * *", "--json"];
    for removed in [0, 1] {
        let ran = schedule(&stage, &once);
        assert_eq!(ran.code, Some(0), "{}", ran.err());
        let answer: Value = serde_json::from_str(&ran.out()).unwrap();
        let backup = &answer["backups"][0];
        assert_eq!(
            (&backup["verified"], &backup["removed"]),
            (&"complete".into(), &removed.into()),
            "{answer}"
        );
        assert!(fs::exists(backup["path"].as_str().unwrap()).unwrap());
    }
    let directory = stage.path(&format!("{PROJECT}/backups/acme/prod"));
    assert_eq!(fs::read_dir(directory).unwrap().count(), 2, "a backup and its manifest");
    let ran = stage.envctl(["status", "--json"]).inside(&stage.path(PROJECT)).run();
    let answer: Value = serde_json::from_str(&ran.out()).unwrap();
    let schedule = &answer["schedules"][0];
    assert_eq!(
        (&schedule["overdue"], &schedule["last"]["exit_code"]),
        (&false.into(), &0.into()),
        "{answer}"
    );
    assert!(schedule["next"].is_string() && schedule["last_success"].is_string(), "{answer}");
    let ran = stage.envctl(["doctor"]).inside(&stage.path(PROJECT)).run();
    assert!(ran.out().contains("ok       schedule: acme prod: last run"), "{}", ran.out());
}

#[test]
fn nothing_is_pruned_after_a_failure_and_the_failure_is_told() {
    let stage = stage("acme-prod", "[backup.keep]\nlast = 1\n[backup.schedule]\nprune = true\n");
    let once = ["run", "--once", "--prod"];
    assert_eq!(schedule(&stage, &["run", "--once", "--prod", "--verify", "off"]).code, Some(0));
    stage.engine.install("*", "pg_dump", failing_pg_dump("query failed: ERROR:  permission denied"));
    let ran = schedule(&stage, &once);
    assert_eq!(ran.code, Some(7), "{}", ran.err());
    let state = state(&stage, "acme.prod").unwrap();
    assert_eq!(state["last"]["exit_code"], 7, "{state}");
    let directory = stage.path(&format!("{PROJECT}/backups/acme/prod"));
    assert_eq!(fs::read_dir(directory).unwrap().count(), 2, "the good backup stays");
    let ran = stage.envctl(["doctor"]).inside(&stage.path(PROJECT)).run();
    assert_eq!(ran.code, Some(9), "{}", ran.out());
    assert!(ran.out().contains("problem  schedule: acme prod: its last run"), "{}", ran.out());
    assert!(ran.out().contains("`envctl backup schedule run --once -s acme --prod`"), "{}", ran.out());
}

#[test]
fn of_all_stacks_every_profile_is_backed_up_and_checked() {
    let stage = Stage::with(stack("acme-prod").into_iter().chain(stack("acme-dev")).chain(stack("blog-dev")));
    stage.engine.install("*", "psql", Server::new().psql());
    stage.engine.install("*", "pg_dump", pg_dump(DUMP));
    let ran = stage.run(["backup", "schedule", "run", "--once", "--all-stacks", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let answer: Value = serde_json::from_str(&ran.out()).unwrap();
    let backups = answer["backups"].as_array().unwrap();
    let names: Vec<_> =
        backups.iter().map(|backup| format!("{} {}", backup["stack"], backup["profile"])).collect();
    assert_eq!(names, [r#""acme" "dev""#, r#""acme" "prod""#, r#""blog" "dev""#], "{answer}");
    let ran = stage.run(["backup", "check", "--all-stacks", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let answer: Value = serde_json::from_str(&ran.out()).unwrap();
    assert_eq!(answer["targets"].as_array().unwrap().len(), 3, "{answer}");
    stage.engine.install("*", "pg_dump", failing_pg_dump("query failed: ERROR:  permission denied"));
    let ran = stage.run(["backup", "schedule", "run", "--once", "--all-stacks"]);
    assert_eq!(ran.code, Some(10), "{}", ran.err());
    assert!(ran.err().contains("3 of 3 backups failed"), "{}", ran.err());
}

#[test]
fn one_run_at_a_time() {
    let stage = stage("acme-prod", "");
    assert_eq!(schedule(&stage, &["run", "--once", "--prod"]).code, Some(0));
    let lock = stage.path(&format!("{PROJECT}/backups/.schedule/acme.prod.lock"));
    let held = fs::File::open(lock).unwrap();
    held.lock().unwrap();
    let ran = schedule(&stage, &["run", "--once", "--prod", "--lock-timeout", "0"]);
    assert_eq!(ran.code, Some(5), "{}", ran.err());
    drop(held);
    assert_eq!(schedule(&stage, &["run", "--once", "--prod", "--lock-timeout", "0"]).code, Some(0));
}

#[test]
fn the_service_makes_up_a_missed_run_once_and_ends_with_143() {
    let stage = stage("acme-prod", "");
    // A schedule that began long ago: its state is as the service writes it.
    let nightly = ["run", "--prod", "--cron", "30 1 * * *", "--time-zone", "UTC"];
    let start = |stage: &Stage| {
        let arguments = [&["backup", "schedule"], &nightly[..]].concat();
        stage.envctl(arguments).inside(&stage.path(PROJECT)).start()
    };
    let mut service = start(&stage);
    wait_for(&mut service, "the state of a new schedule", || state(&stage, "acme.prod").is_some());
    let (code, told) = end(service, "TERM");
    assert_eq!(code, Some(143), "{told}");
    let mut known = state(&stage, "acme.prod").unwrap();
    assert!(known["last"].is_null(), "nothing is made up at first: {known}");
    known["after"] = "2026-01-01T00:00:00Z".into();
    stage.write(&format!("{PROJECT}/backups/.schedule/acme.prod.json"), &known.to_string());
    let mut service = start(&stage);
    wait_for(&mut service, "the run that was missed", || {
        state(&stage, "acme.prod").unwrap()["last"]["ended"].is_string()
    });
    let (code, told) = end(service, "INT");
    assert_eq!(code, Some(130), "{told}");
    assert!(told.contains("the run of 2026-01-01 01:30 UTC was missed; it is made now"), "{told}");
    let directory = stage.path(&format!("{PROJECT}/backups/acme/prod"));
    assert_eq!(fs::read_dir(directory).unwrap().count(), 2, "one backup and its manifest: {told}");
    let after = state(&stage, "acme.prod").unwrap();
    assert_eq!(after["after"], after["last"]["started"], "{after}");
}

#[test]
fn a_dry_run_makes_nothing() {
    let stage = stage("acme-prod", "");
    for more in [&["--once"][..], &[]] {
        let ran = schedule(&stage, &[&["run", "--prod", "--dry-run", "--json"], more].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err());
        let answer: Value = serde_json::from_str(&ran.out()).unwrap();
        assert!(answer["plan"][0].as_str().unwrap().starts_with("would back up acme prod"), "{answer}");
    }
    assert!(!stage.path(&format!("{PROJECT}/backups")).exists());
}

#[test]
fn the_text_is_a_document_too() {
    let stage = stage("acme-prod", "");
    let ran = schedule(&stage, &["--prod", "--json"]);
    let answer: Value = serde_json::from_str(&ran.out()).unwrap();
    assert_eq!(
        (&answer["for"], answer["files"].as_array().unwrap().len()),
        (&"systemd".into(), 2),
        "{answer}"
    );
    assert_eq!(answer["files"][1]["name"], "envctl-backup-acme.prod.timer");
}

#[test]
fn a_state_that_cannot_be_read_is_told_and_makes_no_new_schedule() {
    let stage = stage("acme-prod", "");
    stage.write(&format!("{PROJECT}/backups/.schedule/acme.prod.json"), "{");
    let ran = schedule(&stage, &["run", "--prod"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err());
    assert!(ran.err().contains("acme.prod.json cannot be understood"), "{}", ran.err());
    let ran = stage.envctl(["doctor"]).inside(&stage.path(PROJECT)).run();
    assert!(ran.out().contains("warning  schedule:"), "{}", ran.out());
    assert!(ran.out().contains("remove it: the schedule then begins anew"), "{}", ran.out());
}

#[test]
fn a_service_with_settings_that_cannot_be_used_ends_at_once() {
    let rules = stage("acme-prod", "[backup.schedule]\nprune = true\n");
    let ran = schedule(&rules, &["run", "--prod"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err());
    assert!(ran.err().contains("no rule says which backups to keep"), "{}", ran.err());
    let stage = stage("acme-prod", "[backup.schedule]\ncron = \"61 * * * *\"\n");
    let ran = schedule(&stage, &["run", "--prod"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err());
    assert!(ran.err().contains("envctl.toml:3: `backup.schedule.cron`"), "{}", ran.err());
}

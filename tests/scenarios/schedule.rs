//! Scheduled backups: the container image with its compose example, and a signal while a backup is at work.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::Project;
use crate::support::project::ENVCTL;
use crate::support::rig::{HeldSession, Server, Wanted, docker, eventually, poll, try_docker};
use crate::support::run::Running;
use crate::support::store_server::{new_bucket, s3_keys, s3_open_uploads, s3_port};

/// User of the image.
const USER: u32 = 10001;

/// The compose project of the example; it is removed when the test ends, however that is.
struct Example {
    name: String,
    files: [String; 2],
    variables: Vec<(&'static str, String)>,
}

impl Example {
    fn compose(&self, arguments: &[&str]) -> bool {
        let has_v1 = Command::new("docker-compose").arg("version").output().is_ok();
        let mut command = Command::new(if has_v1 { "docker-compose" } else { "docker" });
        command.args(if has_v1 { &[][..] } else { &["compose"] });
        command.args(["-p", &self.name, "-f", &self.files[0], "-f", &self.files[1]]).args(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.status().expect("docker-compose starts").success()
    }

    fn inspect(&self, field: &str) -> String {
        docker(&["inspect", "--format", field, &self.name])
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.compose(&["down", "--volumes", "--timeout", "1"]);
    }
}

/// Builds the image with the binary under test. Its base comes from Debian's packages, like those of the other images.
fn build_image(place: &Path) -> String {
    let image = format!("envctl-rig{}:schedule", std::process::id());
    let binary = place.join("envctl");
    let stripped = Command::new("strip").arg("-o").arg(&binary).arg(ENVCTL).status();
    if !stripped.is_ok_and(|status| status.success()) {
        fs::copy(ENVCTL, &binary).unwrap();
    }
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/image/build");
    let built = Command::new(build)
        .args(["--base", "envctl-python:3.13", "--tag", &image, "--binary"])
        .arg(&binary)
        .args(["--label", &format!("rig.run={}", std::process::id())])
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    image
}

#[test]
fn the_compose_example_backs_up_every_database_of_every_stack_into_a_store() {
    let (shop, blog) = (Wanted::postgres(17, "schedshop").start(), Wanted::postgres(15, "schedblog").start());
    let (shop, blog) = (shop.ready(), blog.ready());
    shop.sql("postgres", "create database orders");
    shop.sql("orders", "create table own (a int); insert into own values (1)");
    blog.sql("postgres", "create database posts");
    let place = tempfile::tempdir().unwrap();
    let backups = place.path().join("backups");
    fs::create_dir(&backups).unwrap();
    chown(&backups, Some(USER), Some(USER)).unwrap();
    let bucket = new_bucket();
    let labels = format!("labels: {{rig.run: \"{}\"}}", std::process::id());
    // Both names and nothing else of this machine.
    let prefix = shop.stack.strip_suffix("schedshop").unwrap().to_owned();
    // The server of the test listens on the loopback of the host.
    let own = format!(
        "services:\n  envctl-backup:\n    container_name: {prefix}schedule\n    network_mode: host\n    restart: \"no\"\n    {labels}\n    environment:\n      \
         ENVCTL_BACKUP_STORES: s3://{bucket}/envctl\n    volumes:\n      - {}:/backups\n    healthcheck:\n      \
         interval: 1s\nvolumes:\n  state:\n    {labels}\n",
        backups.display()
    );
    fs::write(place.path().join("own.yml"), own).unwrap();
    let socket = fs::metadata("/var/run/docker.sock").unwrap();
    let example = Example {
        name: format!("{prefix}schedule"),
        files: [
            concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/compose.yml").to_owned(),
            place.path().join("own.yml").display().to_string(),
        ],
        variables: vec![
            ("ENVCTL_IMAGE", build_image(place.path())),
            ("STACKS", format!("{prefix}sched*")),
            ("SOCKET_GROUP", socket.gid().to_string()),
            ("S3_ENDPOINT", format!("http://127.0.0.1:{}", s3_port())),
        ],
    };
    assert!(example.compose(&["up", "--detach", "--no-deps", "envctl-backup"]));
    let manifests = || {
        let keys = s3_keys(&bucket);
        let of = |stack: &str| keys.iter().any(|key| key.contains(stack) && key.ends_with(".json"));
        of(&shop.stack) && of(&blog.stack)
    };
    let told = || {
        let logs = try_docker(&["logs", &example.name]);
        String::from_utf8_lossy(&logs.stderr).into_owned()
    };
    let ran = poll(Duration::from_secs(150), manifests);
    assert!(ran, "no manifests of both stacks in the store: {:?}\n{}", s3_keys(&bucket), told());
    eventually(Duration::from_secs(60), "the health check passes", || {
        example.inspect("{{.State.Health.Status}}") == "healthy"
    });
    assert_eq!(example.inspect("{{.Config.User}}"), "10001:10001", "the service is not root");
    let processes = docker(&["top", &example.name, "-eo", "pid,stat,args"]);
    assert!(!processes.lines().any(|line| line.contains(" Z")), "orphans are reaped: {processes}");
    let authorities = docker(&["exec", &example.name, "cat", "/etc/ssl/certs/ca-certificates.crt"]);
    assert!(authorities.contains("BEGIN CERTIFICATE"), "the image knows the certificate authorities");

    docker(&["stop", "--time", "60", &example.name]);
    assert_eq!(example.inspect("{{.State.ExitCode}}"), "143", "{}", told());
    assert_eq!(s3_open_uploads(&bucket), 0);
    for server in [&shop, &blog] {
        let directory = backups.join(&server.stack).join("dev");
        let names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert!(!names.is_empty() && names.iter().all(|name| !name.starts_with('.')), "{names:?}");
        let others =
            server.sql("postgres", "select count(*) from pg_stat_activity where application_name ~ 'envctl'");
        assert_eq!(others, "0", "no session stays");
    }
    let archive =
        s3_keys(&bucket).into_iter().find(|key| key.contains(&shop.stack) && key.ends_with(".json"));
    let manifest =
        crate::support::store_server::s3_request("GET", &format!("/{bucket}/{}", archive.unwrap())).1;
    assert!(manifest.contains("\"orders\""), "every database is in it: {manifest}");
}

/// A schedule of a project whose run is due, and which waits for a lock of its table.
struct DueSchedule {
    project: Project,
    profile: String,
}

impl DueSchedule {
    fn new(name: &str) -> Self {
        let server = Server::each().last().unwrap();
        let project = Project::new(server, name);
        project.sql("create table own (a int); insert into own values (1)");
        let due = Self { project, profile: format!("--profile={}", server.profile) };
        let first = due.start();
        eventually(Duration::from_secs(30), "the schedule has begun", || due.file().is_some());
        first.signal(Signal::TERM);
        first.finish().code(143);
        let mut known = due.state();
        known["after"] = LONG_AGO.into();
        fs::write(due.file().unwrap(), known.to_string()).unwrap();
        due
    }

    fn start(&self) -> Running {
        let options = ["--cron", "30 1 * * *", "--lock-timeout", "5m"];
        self.project.start(&[&["backup", "schedule", "run", &self.profile], &options[..]].concat())
    }

    fn file(&self) -> Option<PathBuf> {
        let states = fs::read_dir(self.project.path().join("backups/.schedule")).ok()?;
        let mut paths = states.flatten().map(|entry| entry.path());
        paths.find(|path| path.extension().is_some_and(|extension| extension == "json"))
    }

    fn state(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.file().unwrap()).unwrap()).unwrap()
    }

    /// Keeps the table from pg_dump until the session is dropped.
    fn hold(&self) -> HeldSession {
        let (server, database) = (&self.project.server, &self.project.database);
        server.session(database, "begin; lock table own in access exclusive mode")
    }

    fn wait_for_pg_dump(&self) {
        let waits = "select count(*) from pg_locks where not granted and database = \
             (select oid from pg_database where datname = current_database())";
        eventually(Duration::from_secs(60), "pg_dump waits for the table", || self.project.sql(waits) != "0");
    }

    fn wait_without_pg_dump(&self) {
        let sessions = "select count(*) from pg_stat_activity where datname = current_database() \
             and application_name = 'pg_dump'";
        eventually(Duration::from_secs(60), "pg_dump is gone", || self.project.sql(sessions) == "0");
    }

    fn backups(&self) -> usize {
        fs::read_dir(self.project.backup_dir()).map(Iterator::count).unwrap_or(0)
    }
}

const LONG_AGO: &str = "2026-01-01T00:00:00Z";

#[test]
fn a_signal_ends_a_backup_at_work_and_the_run_is_made_anew() {
    let due = DueSchedule::new("cancelled");
    let held = due.hold();
    let running = due.start();
    due.wait_for_pg_dump();
    running.signal(Signal::TERM);
    let ended = running.finish().code(143);
    drop(held);
    let after = due.state();
    assert_eq!(after["last"]["exit_code"], 143, "{after}");
    assert_eq!(after["after"], LONG_AGO, "the run is made anew: {after}");
    assert_eq!(due.backups(), 0, "no file stays: {}", ended.err());
    due.wait_without_pg_dump();
    let again = due.start();
    eventually(Duration::from_secs(60), "the run is made", || due.state()["last"]["exit_code"] == 0);
    again.signal(Signal::TERM);
    again.finish().code(143);
    assert_eq!(due.backups(), 2, "a backup and its manifest");
}

#[test]
fn a_killed_run_does_not_end_the_service_and_a_killed_service_ends_its_run() {
    let due = DueSchedule::new("killed");
    let held = due.hold();
    let mut service = due.start();
    due.wait_for_pg_dump();
    let run = children(service.id())[0];
    kill_process(Pid::from_raw(run).unwrap(), Signal::KILL).unwrap();
    eventually(Duration::from_secs(30), "the service tells that its run was killed", || {
        due.state()["last"]["error"] == "the run was killed by signal 9"
    });
    assert!(service.runs());
    service.signal(Signal::TERM);
    service.finish().code(143);
    drop(held);
    due.wait_without_pg_dump();

    let mut known = due.state();
    known["after"] = LONG_AGO.into();
    fs::write(due.file().unwrap(), known.to_string()).unwrap();
    let held = due.hold();
    let service = due.start();
    due.wait_for_pg_dump();
    service.signal(Signal::KILL);
    service.finish().code(137);
    eventually(Duration::from_secs(30), "the run has ended by itself", || {
        due.state()["last"]["exit_code"] == 143
    });
    drop(held);
    due.wait_without_pg_dump();
}

/// Process ids of the children of a process.
fn children(pid: u32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

//! How much memory envctl has, however much passes through it.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::run::{peak_memory, wait};
use crate::support::{Project, Running, Server};

/// Bytes of SQL in the backup, at the least.
const MUCH: u64 = 150_000_000;

/// A release may have 64 MiB, and has 46 to 49. A build without optimisation has larger code, whose pages count: 62 for
/// zstd. A quarter of what passes, kept by mistake, is beyond either.
const LIMIT: u64 = if cfg!(debug_assertions) { 76 << 20 } else { 64 << 20 };

#[track_caller]
fn within(peak: u64, what: &str) {
    assert!(peak > 1 << 20, "{what}: nothing was measured");
    assert!(peak < LIMIT, "{what}: {} MiB", peak >> 20);
}

/// Each compression thread has its share: two, whatever the machine has.
fn peak(project: &Project, args: &[&str]) -> u64 {
    let envctl = project.command(args);
    let mut command = Command::new("taskset");
    command.args(["-c", "0,1"]).arg(envctl.get_program()).args(envctl.get_args()).env_clear();
    for (name, value) in envctl.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.current_dir(project.path());
    let (finished, peak) = Running::start(command, None).watch();
    finished.code(0);
    peak
}

#[test]
fn a_backup_and_a_restore_have_the_same_memory_for_any_size() {
    let project = Project::new(Server::shared(15), "memory");
    project.fill(1_450_000);
    let digest = project.digest();
    for (file, compress, transport) in [
        ("a.sql.gz", "gzip", "auto"),
        ("b.sql.zst", "zstd", "auto"),
        ("c.sql.gz", "gzip", "exec"),
        ("d.sql", "none", "exec"),
    ] {
        let args = ["backup", "-o", file, "--compress", compress, "--transport", transport];
        within(peak(&project, &args), &format!("backup {compress} {transport}"));
    }
    let manifest = std::fs::read(project.path().join("d.sql.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert!(manifest["plain_bytes"].as_u64() >= Some(MUCH), "{}", manifest["plain_bytes"]);
    std::fs::remove_file(project.path().join("d.sql")).unwrap();
    for (file, transport, jobs) in [("a.sql.gz", "auto", "2"), ("b.sql.zst", "exec", "1")] {
        project.sql("delete from item where id < 1000");
        let args = ["restore", file, "--yes", "--no-backup", "--transport", transport, "-j", jobs];
        within(peak(&project, &args), &format!("restore {file} {transport} -j {jobs}"));
        assert_eq!(project.digest(), digest, "{file}");
        project.drop_siblings();
    }
    // Encrypted, and decrypted from its start and from anywhere.
    std::fs::write(project.path().join("key"), format!("{IDENTITY}\n")).unwrap();
    let config = std::fs::read_to_string(project.path().join("envctl.toml")).unwrap();
    let section = format!("[backup.encryption]\nrecipients = ['{RECIPIENT}']\nidentity_file = 'key'\n");
    std::fs::write(project.path().join("envctl.toml"), config + &section).unwrap();
    for (file, compress, jobs) in [("e.sql.gz.age", "gzip", "2"), ("f.sql.zst.age", "zstd", "1")] {
        let backup = ["backup", "-o", file, "--compress", compress];
        within(peak(&project, &backup), &format!("backup {file}"));
        project.sql("delete from item where id < 1000");
        let args = ["restore", file, "--yes", "--no-backup", "-j", jobs];
        within(peak(&project, &args), &format!("restore {file} -j {jobs}"));
        assert_eq!(project.digest(), digest, "{file}");
        project.drop_siblings();
    }
}

/// A pair of keys that the tests of age have published.
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

#[test]
fn what_a_reader_does_not_take_waits_on_the_disk_and_not_in_memory() {
    let project = Project::of(Server::shared(15), "postgres");
    let bytes = MUCH.to_string();
    let mut command = project.command(&["exec", "db", "--", "head", "-c", &bytes, "/dev/zero"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [1];
    stdout.read_exact(&mut first).unwrap();
    // Everything has been taken from the daemon once the command has ended.
    project.server.wait_without_process(&format!("head -c {bytes}"), Duration::from_secs(60));
    within(peak_memory(child.id()).unwrap(), "exec while nobody reads");
    let mut rest = vec![0; MUCH as usize - 2];
    stdout.read_exact(&mut rest).unwrap();
    within(peak_memory(child.id()).unwrap(), "exec at its end");
    let mut last = Vec::new();
    stdout.read_to_end(&mut last).unwrap();
    assert_eq!(last.len(), 1);
    let (status, _) = wait(child, Duration::from_secs(20));
    assert_eq!(status.code(), Some(0));
}

//! What can go wrong with the files of a backup, and a backup that is stopped: names, disks, signals.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::rig::eventually;
use crate::support::{Down, Fault, Gate, On, Project, Proxy, Rule, Running, Server, Snapshot, Up};

fn project(name: &str) -> Project {
    let project = Project::new(Server::shared(15), name);
    project.fill(20_000);
    project
}

fn one_backup(project: &Project) -> Snapshot {
    let finished = project.run(&["backup"]).code(0);
    assert!(!finished.err().contains("may not fit"), "{}", finished.err());
    Snapshot::of(project)
}

/// A proxy that holds a dump in its middle.
fn holding() -> (Proxy, Gate) {
    let gate = Gate::default();
    let hold = Down::Hold { at: 1_000_000, gate: gate.clone() };
    (Proxy::with(On::ExecStart("pg_dump"), Fault::Down(hold)), gate)
}

#[test]
fn f15_a_name_that_is_taken_is_left_alone() {
    let project = project("f15");
    let path = project.path().join("mine.sql.gz");
    std::fs::write(&path, "precious").unwrap();
    project.run(&["backup", "-o", "mine.sql.gz"]).code(6).says("exists").says("--force");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");

    // With --force the old one is there until the new one is verified.
    let cut = Fault::Down(Down::CutAt(500_000));
    let proxy = Proxy::with(On::ExecStart("pg_dump"), cut);
    project.through(&proxy, &["backup", "-o", "mine.sql.gz", "--force"]).code(8);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    project.run(&["backup", "-o", "mine.sql.gz", "--force"]).code(0);
    project.assert_verified(&path);
    project.assert_no_partials(project.path());
}

#[test]
fn f15_a_name_that_is_taken_meanwhile_is_left_alone() {
    let project = project("f15m");
    let (proxy, gate) = holding();
    let running = project.start_through(&proxy, &["backup", "-o", "late.sql.gz"]);
    gate.wait();
    std::fs::write(project.path().join("late.sql.gz"), "somebody else's").unwrap();
    gate.open();
    running.finish().code(6);
    assert_eq!(std::fs::read(project.path().join("late.sql.gz")).unwrap(), b"somebody else's");
    assert!(!project.path().join("late.sql.gz.json").exists(), "a manifest for a file that is not ours");
    project.assert_no_partials(project.path());
}

#[test]
fn f27_two_backups_at_once_get_names_of_their_own() {
    let project = project("f27");
    let (one, two) = (project.start(&["backup"]), project.start(&["backup"]));
    one.finish().code(0);
    two.finish().code(0);
    let dumps = Snapshot::of(&project).dumps();
    assert_eq!(dumps.len(), 2, "{dumps:?}");
    for dump in dumps {
        project.assert_verified(&dump);
    }
}

#[test]
fn f86_files_are_for_their_owner_whatever_the_umask() {
    let project = project("f86");
    let mut command = Command::new("sh");
    project.wrap(&mut command, "umask 000; exec \"$@\"", &["backup"]);
    Running::start(command, None).finish().code(0);
    for file in Snapshot::of(&project).names() {
        assert_eq!(mode(Path::new(&file)), 0o600, "{file}");
    }
    assert_eq!(mode(&project.backup_dir()), 0o700);
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn f86_what_is_no_plain_file_is_never_replaced() {
    let project = project("f86d");
    let fifo = project.path().join("pipe");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    project.run(&["backup", "-o", "pipe"]).code(6);
    project.run(&["backup", "-o", "pipe", "--force"]).code(6);
    assert!(fifo.symlink_metadata().unwrap().file_type().is_fifo(), "the pipe was replaced by a file");
}

#[test]
fn f16_a_full_disk_is_named_and_nothing_is_left() {
    let project = project("f16");
    let before = one_backup(&project);
    let full = project.path().join("full");
    std::fs::create_dir(&full).unwrap();
    // A file system of one megabyte that only this run sees.
    let script = "mount -t tmpfs -o size=1m none full && \"$@\"; code=$?; ls -A full >&2; exit $code";
    let mut command = Command::new("unshare");
    command.arg(if rustix::process::getuid().is_root() { "-m" } else { "-rm" }).arg("sh");
    project.wrap(&mut command, script, &["backup", "-o", "full/b.sql", "--compress", "none"]);
    let finished = Running::start(command, None)
        .finish()
        .code(1)
        .says("it may not fit")
        .says("no space left")
        .says("hint:");
    assert!(!finished.err().contains(".partial"), "something is left:\n{}", finished.err());
    project.assert_nothing_but(&before);
}

#[test]
fn f16_a_file_that_may_not_grow_is_named() {
    let project = project("f16g");
    let before = one_backup(&project);
    let mut command = Command::new("sh");
    // An ignored signal stays ignored over exec: the write fails instead of ending the process.
    project.wrap(&mut command, "trap '' XFSZ; ulimit -f 500; exec \"$@\"", &["backup"]);
    Running::start(command, None).finish().code(1).says("too large");
    project.assert_nothing_but(&before);
}

#[test]
fn f16_a_disk_that_cannot_keep_its_word_makes_no_backup() {
    let project = project("f16f");
    one_backup(&project);
    for args in [&["backup"][..], &["backup", "-o", "f.sql.gz", "--force"]] {
        let before = Snapshot::of(&project);
        let reached = (1..).take_while(|at| fails_at_sync(&project, &before, args, *at)).count();
        assert!(reached >= 3, "the two files and their directory are synced, and only {reached} were");
    }
}

/// Runs with the sync that is the so-manieth failing; false where there is none any more.
fn fails_at_sync(project: &Project, before: &Snapshot, args: &[&str], at: usize) -> bool {
    let there = project.path().join("f.sql.gz");
    project.run(&["backup", "-o", "f.sql.gz", "--force"]).code(0);
    let old = std::fs::read(&there).unwrap();
    let mut command = Command::new("sh");
    let script = format!(
        "exec strace -f -qq -o strace.log -e trace=fsync,fdatasync -e inject=fsync,fdatasync:error=EIO:when={at} -- \"$@\""
    );
    project.wrap(&mut command, &script, args);
    let finished = Running::start(command, None).finish();
    let log = std::fs::read_to_string(project.path().join("strace.log")).unwrap();
    if !log.contains("EIO") {
        finished.code(0);
        return false;
    }
    finished.code(1).says("input/output error").says("hint");
    project.assert_nothing_but(before);
    // The old pair, or the new one: never a half of either.
    project.assert_verified(&there);
    let replaced = std::fs::read(&there).unwrap() != old;
    assert!(!replaced || args.len() > 1, "sync {at} replaced what was not meant");
    true
}

#[test]
fn f87_killed_at_each_rename_no_unproven_file_has_a_final_name() {
    let project = project("f87");
    let before = one_backup(&project);
    // Each file is locked before it has even its hidden name, and each pair is named in two steps.
    for (call, at) in [("rename", 1), ("rename", 2), ("renameat2", 1), ("renameat2", 2)] {
        let mut command = Command::new("sh");
        let script = format!(
            "exec strace -f -qq -o strace.log -e trace=renameat2,rename,renameat -e inject={call}:signal=KILL:when={at} -- \"$@\""
        );
        project.wrap(&mut command, &script, &["backup"]);
        let finished = Running::start(command, None).finish();
        assert_eq!(finished.code, 137, "{call} {at} was not reached: {}", finished.err());
        for dump in Snapshot::of(&project).dumps() {
            project.assert_verified(&dump);
        }
        // What is there lists and restores; what is left goes with the next run.
        project.run(&["backup", "list"]).code(0);
    }
    // What was not locked yet could be a living one's for a minute.
    for entry in std::fs::read_dir(project.backup_dir()).unwrap().flatten() {
        if entry.path().extension().is_some_and(|end| end == "new") {
            let file = std::fs::File::options().write(true).open(entry.path()).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    }
    project.run(&["backup"]).code(0).says("orphan of");
    project.assert_no_partials(&project.backup_dir());
    let now = Snapshot::of(&project);
    for dump in before.dumps() {
        assert!(now.dumps().contains(&dump), "{} is gone", dump.display());
    }
}

#[test]
fn f16_a_directory_that_cannot_be_made_is_named() {
    let project = project("f16n");
    std::fs::write(project.path().join("backups"), "a file").unwrap();
    project.run(&["backup"]).code(1).says("backups");
}

#[test]
fn f16_a_directory_that_is_read_only_is_named() {
    let project = project("f16r");
    let before = one_backup(&project);
    let script = "mount --bind backups backups && mount -o remount,bind,ro backups && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.arg(if rustix::process::getuid().is_root() { "-m" } else { "-rm" }).arg("sh");
    project.wrap(&mut command, script, &["backup"]);
    Running::start(command, None)
        .finish()
        .code(1)
        .says("read-only file system")
        .says("backups")
        .says("hint:");
    project.assert_nothing_but(&before);
}

#[test]
fn f16_a_pipe_that_is_full_is_no_success() {
    let project = project("f16p");
    let mut command = Command::new("sh");
    project.wrap(&mut command, "exec \"$@\" >/dev/full", &["backup", "-o", "-"]);
    Running::start(command, None).finish().code(1).says("no space left");
    project.assert_no_sessions();
}

#[test]
fn f17_a_signal_ends_a_backup_and_leaves_nothing() {
    let project = project("f17");
    let before = one_backup(&project);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let (proxy, gate) = holding();
        let running = project.start_through(&proxy, &["backup"]);
        gate.wait();
        running.signal(signal);
        running.finish_within(Duration::from_secs(20)).code(code);
        gate.open();
        project.assert_nothing_but(&before);
        project.server.wait_without_process("pg_dump", Duration::from_secs(10));
    }
}

#[test]
fn f17_a_second_signal_ends_at_once() {
    let project = project("f17t");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (dumping, ending) = (Gate::default(), Gate::default());
        let hold = Down::Hold { at: 1_000_000, gate: dumping.clone() };
        // The statement that ends the dump does not get through: envctl waits for its answer.
        let words = b"count(pg_catalog.pg_terminate_backend";
        let proxy = Proxy::start(vec![
            Rule::new(On::ExecStart("pg_dump"), Fault::Down(hold)),
            Rule::new(On::ExecStart("--csv"), Fault::Up(Up::HoldBefore { words, gate: ending.clone() })),
        ]);
        let mut running = project.start_through(&proxy, &["backup"]);
        dumping.wait();
        running.signal(signal);
        ending.wait();
        // Well within the time that it gives to cleaning up.
        std::thread::sleep(Duration::from_secs(2));
        assert!(running.runs(), "one signal was enough: the second one shows nothing");
        running.signal(signal);
        running.finish_within(Duration::from_millis(1500)).code(code);
        dumping.open();
        ending.open();
    }
}

#[test]
fn f17_what_a_killed_backup_leaves_is_reported_and_removed_by_the_next() {
    let project = project("f17k");
    let before = one_backup(&project);
    let (proxy, gate) = holding();
    let running = project.start_through(&proxy, &["backup"]);
    gate.wait();
    running.signal(Signal::KILL);
    running.finish().code(137);
    gate.open();
    assert_eq!(Snapshot::of(&project).dumps(), before.dumps(), "a killed backup has a final name");
    assert_ne!(Snapshot::of(&project).names(), before.names(), "the test means to leave a partial file");
    project.run(&["backup"]).code(0).says("orphan of");
    project.assert_no_partials(&project.backup_dir());
    eventually(Duration::from_secs(30), "the orphaned dump ends", || {
        project.server.sessions(&project.database).is_empty()
    });
}

#[test]
fn f17_a_timeout_ends_a_backup_as_a_signal_does() {
    let project = project("f17o");
    let before = one_backup(&project);
    let (proxy, gate) = holding();
    let running = project.start_through(&proxy, &["backup", "--timeout", "5s"]);
    gate.wait();
    running.finish_within(Duration::from_secs(25)).code(124);
    gate.open();
    project.assert_nothing_but(&before);
}

#[test]
fn f97_a_backup_whose_reader_leaves_ends_the_dump_quietly() {
    let project = project("f97");
    for compress in ["none", "gzip", "zstd"] {
        let mut command = Command::new("bash");
        // Of random bytes, so that what is packed is more than a pipe holds.
        project.sql(
            "create table if not exists noise as select gen_random_uuid() from generate_series(1, 100000)",
        );
        let script = "\"$@\" | head -c 1000 >/dev/null; exit ${PIPESTATUS[0]}";
        project.wrap(&mut command, script, &["backup", "-o", "-", "--compress", compress]);
        let finished = Running::start(command, None).finish_within(Duration::from_secs(20)).code(141);
        assert!(!finished.err().contains("error") && !finished.err().contains("panic"), "{}", finished.err());
        project.assert_no_sessions();
    }
}

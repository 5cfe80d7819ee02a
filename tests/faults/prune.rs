//! What can go wrong while backups are pruned: a file that cannot be removed, a full disk, a run that is killed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Project, Running, Server};

/// A project with three backups.
fn project(name: &str) -> Project {
    let project = Project::new(Server::shared(15), name);
    project.fill(100);
    for _ in 0..3 {
        project.run(&["backup"]).code(0);
    }
    project
}

/// Backups and manifests in a directory, each without the other's.
fn names(directory: &Path) -> (Vec<String>, Vec<String>) {
    let files =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let (mut manifests, mut dumps) = (Vec::new(), Vec::new());
    for name in files {
        match name.strip_suffix(".json") {
            Some(described) => manifests.push(described.to_owned()),
            None => dumps.push(name),
        }
    }
    manifests.sort();
    dumps.sort();
    (dumps, manifests)
}

/// Runs envctl where this script has prepared the file systems for it alone.
fn mounted(project: &Project, script: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new("unshare");
    command.arg(if rustix::process::getuid().is_root() { "-m" } else { "-rm" }).arg("sh");
    project.wrap(&mut command, script, arguments);
    Running::start(command, None)
}

const PRUNE: [&str; 6] = ["backup", "prune", "--keep-last", "1", "--apply", "--yes"];

#[test]
fn f82_a_backup_that_cannot_be_removed_keeps_its_manifest_and_the_others_go() {
    let project = project("f82u");
    let directory: PathBuf = project.backup_dir();
    let (dumps, _) = names(&directory);
    let stuck = directory.join(&dumps[0]);
    // A file that something is mounted on cannot be removed, by root neither.
    let script = format!("mount --bind '{0}' '{0}' && \"$@\"", stuck.display());
    mounted(&project, &script, &PRUNE)
        .finish()
        .code(1)
        .says("1 of 2 backups could not be removed")
        .says(&dumps[0])
        .says("1 of 2 backups were removed");
    let (left, manifests) = names(&directory);
    assert_eq!(left, [dumps[0].clone(), dumps[2].clone()]);
    assert_eq!(left, manifests, "each with its manifest");
    project.run(&PRUNE).code(0);
    assert_eq!(names(&directory).0, dumps[2..]);
}

#[test]
fn f82_a_full_disk_is_pruned() {
    let project = project("f82f");
    let directory = project.backup_dir();
    let script = format!(
        "mkdir full && mount -t tmpfs -o size=1m none full && cp -p '{0}'/* full/ && mount --bind full '{0}' && \
         {{ cat /dev/zero > full/filler; true; }} 2>/dev/null && \"$@\"; code=$?; ls '{0}' >&2; exit $code",
        directory.display()
    );
    let (dumps, _) = names(&directory);
    let finished =
        mounted(&project, &script, &PRUNE).finish().code(0).says("2 backups removed").says("filler");
    let listed = finished.err();
    let left: Vec<&str> =
        listed.lines().filter(|line| dumps.iter().any(|dump| line.starts_with(dump.as_str()))).collect();
    assert_eq!(left, [dumps[2].clone(), format!("{}.json", dumps[2])], "{listed}");
    assert_eq!(names(&directory).0, dumps, "outside of that disk nothing was removed");
}

#[test]
fn f83_a_backup_that_is_being_restored_stays() {
    let project = project("f83");
    let (dumps, _) = names(&project.backup_dir());
    let path = project.backup_dir().join(&dumps[0]);
    let reading = std::fs::File::open(&path).unwrap();
    reading.lock_shared().unwrap();
    project.run(&PRUNE).code(5).says("is being read");
    assert!(path.exists());
    drop(reading);
    project.run(&["restore", path.to_str().unwrap(), "--yes"]).code(0);
    project.run(&PRUNE).code(0);
    assert!(!path.exists());
}

/// Runs envctl with SIGKILL at a call; `None` where it ended before.
fn killed_at(project: &Project, call: &str, at: u32, arguments: &[&str]) -> Option<()> {
    let mut command = Command::new("sh");
    let script = format!(
        "exec strace -f -qq -o strace.log -e trace={call} -e inject={call}:signal=KILL:when={at} -- \"$@\""
    );
    project.wrap(&mut command, &script, arguments);
    let finished = Running::start(command, None).finish();
    (finished.code == 137).then_some(())
}

#[test]
fn f82_a_prune_killed_at_each_removal_leaves_backups_or_manifests_alone() {
    let project = project("f82k");
    let directory = project.backup_dir();
    let copy = project.path().join("copy");
    std::process::Command::new("cp").args(["-a"]).args([&directory, &copy]).status().unwrap();
    let (whole, _) = names(&directory);
    let mut reached = 0;
    for call in ["unlink", "unlinkat"] {
        for at in 1.. {
            std::fs::remove_dir_all(&directory).unwrap();
            std::process::Command::new("cp").args(["-a"]).args([&copy, &directory]).status().unwrap();
            if killed_at(&project, call, at, &PRUNE).is_none() {
                break;
            }
            reached += 1;
            let (dumps, manifests) = names(&directory);
            assert!(
                dumps.iter().all(|dump| manifests.contains(dump)),
                "{call} {at}: {dumps:?} {manifests:?}"
            );
            assert!(dumps.contains(&whole[2]), "{call} {at}: the newest stays");
            project.run(&["backup", "list"]).code(0);
            project.run(&PRUNE).code(0);
            assert_eq!(names(&directory).0, whole[2..], "{call} {at}: the next run ends it");
        }
    }
    assert!(reached >= 4, "each of two backups and two manifests: {reached}");
}

#[test]
fn f87_a_verification_killed_at_each_rename_leaves_a_manifest_that_is_authentic() {
    let project = project("f87v");
    let name = names(&project.backup_dir()).0[0].clone();
    let verify = ["backup", "verify", &name];
    let mut reached = 0;
    for call in ["rename", "renameat2", "fsync"] {
        for at in 1.. {
            if killed_at(&project, call, at, &verify).is_none() {
                break;
            }
            reached += 1;
            let shown = project.run(&["backup", "show", &name]).code(0).out();
            assert!(shown.contains("authenticated") && shown.contains("complete"), "{call} {at}: {shown}");
        }
    }
    assert!(reached >= 2, "{reached}");
    project.run(&verify).code(0);
    project.run(&["backup", "verify", "--all", "--quick"]).code(0);
}

#[test]
fn two_backups_that_race_to_one_name_both_stay() {
    let project = Project::new(Server::shared(15), "racing");
    project.fill(100);
    for _ in 0..3 {
        let running: Vec<Running> =
            (0..4).map(|_| Running::start(project.command(&["backup", "-q"]), None)).collect();
        let mut paths: Vec<String> = running.into_iter().map(|run| run.finish().code(0).out()).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 4, "{paths:?}");
        for path in paths {
            project.assert_verified(Path::new(path.trim()));
        }
    }
}

//! The disk is full where much is put beside a backup: a private directory with a directory, with all databases,
//! with what is unpacked.

use std::path::{Path, PathBuf};

use crate::place::{Place, ROWS};
use crate::support::rig::{Wanted, docker};
use crate::support::{Project, Server};

/// A file system of so many KiB, in memory; a container holds it, and with that it goes.
struct Small {
    path: PathBuf,
}

impl Small {
    /// On disk it belongs to root, and so has the caller to.
    fn new(name: &str, kib: u64) -> Self {
        let options = format!("volume-opt=type=tmpfs,volume-opt=device=tmpfs,\"volume-opt=o=size={kib}k\"");
        let mut wanted = Wanted::postgres(15, name).arg("--entrypoint=sleep");
        wanted.docker_args.push(format!("--mount=type=volume,volume-driver=local,{options},dst=/small"));
        wanted.service = "small".to_owned();
        wanted.command = vec!["infinity".to_owned()];
        let holder = wanted.start().container;
        let source = "{{range .Mounts}}{{if eq .Destination \"/small\"}}{{.Source}}{{end}}{{end}}";
        Self { path: docker(&["inspect", "--format", source, &holder]).into() }
    }

    fn file(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Copies a file into it, as long as it fits.
    fn put(&self, from: &Path, name: &str) {
        std::fs::copy(from, self.path.join(name)).unwrap();
    }
}

#[test]
fn f16_a_full_disk_under_a_directory_dump_is_named_and_nothing_is_left() {
    let place = Place::new(Server::shared(15), "dfull", ROWS);
    // Full while pg_dump writes, and full while its files are gathered, which takes their size once more.
    place.run(&["backup", "--format", "directory", "-o", "whole.tar"]).code(0);
    let size = place.project.path().join("whole.tar").metadata().unwrap().len() >> 10;
    for (name, kib) in [("dfa", size / 3), ("dfb", size + size / 3)] {
        let small = Small::new(name, kib);
        let args = ["backup", "--format", "directory", "--transport", "worker", "-o", &small.file("b.tar")];
        let finished = place.run(&args).says("no space left");
        assert!([1, 7].contains(&finished.code), "{}: {}", finished.code, finished.err());
        assert_eq!(small.names(), Vec::<String>::new(), "something is left");
        place.assert_swept();
        place.project.assert_no_sessions();
    }
}

#[test]
fn f16_a_full_disk_under_a_tar_that_is_unpacked_leaves_one_session_and_nothing_else() {
    let place = Place::new(Server::shared(15), "ufull", ROWS);
    place.project.sql("create table other as select * from item where id < 100");
    place.run(&["backup", "--format", "directory", "-o", "whole.tar"]).code(0);
    let digest = place.project.digest();
    place.project.sql("delete from item where id > 100");
    let whole = place.project.path().join("whole.tar");
    let size = whole.metadata().unwrap().len() >> 10;
    let small = Small::new("uf", size + size / 3);
    small.put(&whole, "b.tar");
    small.put(&place.project.path().join("whole.tar.json"), "b.tar.json");
    let args = ["restore", &small.file("b.tar"), "-j", "2", "-v", "--yes", "--no-backup"];
    place.run(&args).code(0).says("ignoring -j 2").says("no space left");
    assert_eq!(place.project.digest(), digest);
    let mut names = small.names();
    names.sort();
    assert_eq!(names, ["b.tar", "b.tar.json"], "what was unpacked is left");
    place.assert_swept();
    place.project.drop_siblings();
}

#[test]
fn f16_a_full_disk_under_all_databases_is_named_and_changes_nothing() {
    let server = Wanted::postgres(15, "afull").start().ready();
    let place = Place { project: Project::new(&server, "afull") };
    std::fs::create_dir(place.rooms()).unwrap();
    place.project.fill(ROWS / 10);
    place.run(&["backup", "--all-databases", "-o", "whole.tar"]).code(0);
    let whole = place.project.path().join("whole.tar");
    let size = whole.metadata().unwrap().len() >> 10;
    for (name, kib) in [("afa", size / 2), ("afb", size + size / 2)] {
        let small = Small::new(name, kib);
        place.run(&["backup", "--all-databases", "-o", &small.file("b.tar")]).code(1).says("no space left");
        assert_eq!(small.names(), Vec::<String>::new(), "something is left");
        place.project.assert_no_sessions();
    }

    // Unpacked beside itself, too.
    let small = Small::new("afc", size + size / 2);
    small.put(&whole, "b.tar");
    small.put(&place.project.path().join("whole.tar.json"), "b.tar.json");
    let databases = || server.sql("postgres", "select string_agg(datname, ',' order by 1) from pg_database");
    let before = databases();
    place.project.sql("delete from item where id > 10");
    let digest = place.project.digest();
    place.run(&["restore", &small.file("b.tar"), "--yes", "--no-backup"]).code(1).says("no space left");
    assert_eq!(databases(), before);
    place.project.assert_untouched(&digest);
    let mut names = small.names();
    names.sort();
    assert_eq!(names, ["b.tar", "b.tar.json"], "what was unpacked is left");
    place.assert_swept();
}

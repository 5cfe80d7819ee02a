//! `restore -j 2` of what one session has to load: the reason is told, and the database is as it was dumped.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::invariants::sha256;
use crate::support::{Project, Server};

/// A project with two tables, and the bytes of an uncompressed backup of it.
fn project(name: &str) -> Project {
    let project = Project::new(Server::shared(15), name);
    project.fill(3000);
    project.sql("create table other as select * from item where id % 3 = 0; create index on other (id)");
    project.run(&["backup", "-o", "whole.sql", "--compress", "none"]).code(0);
    project
}

/// Loads it over two sessions, which comes to one.
#[track_caller]
fn by_one(project: &Project, file: &str, why: &str) {
    let digest = project.digest();
    project.sql("delete from item where id > 10; drop table other");
    let args = ["restore", file, "-j", "2", "-v", "--yes", "--no-backup"];
    project.run(&args).code(0).says("ignoring -j 2, one session loads it").says(why);
    assert_eq!(project.digest(), digest, "{file}");
    assert_eq!(project.sql("select count(*) from other"), "1000", "{file}");
    project.drop_siblings();
    project.assert_no_sessions();
}

/// What gzip makes of a file in the project: one member, which does not say where it ends.
fn gzip(project: &Project, from: &str, to: &Path) {
    let to = std::fs::File::create(to).unwrap();
    let file = project.path().join(from);
    let status = Command::new("gzip").arg("-c").arg(file).stdout(Stdio::from(to)).status().unwrap();
    assert!(status.success());
}

#[test]
fn what_nobody_vouches_for_is_loaded_by_one_session() {
    let project = project("foreign");
    let foreign = project.server.bytes(&format!("pg_dump -U postgres {}", project.database));
    std::fs::write(project.path().join("foreign.sql"), foreign).unwrap();
    by_one(&project, "foreign.sql", "it has no authenticated manifest of envctl");
    gzip(&project, "foreign.sql", &project.path().join("foreign.sql.gz"));
    by_one(&project, "foreign.sql.gz", "it has no authenticated manifest of envctl");
}

#[test]
fn what_can_only_be_read_from_its_start_is_loaded_by_one_session() {
    let project = project("packed");
    project.run(&["backup", "-o", "b.sql.zst", "--compress", "zstd"]).code(0);
    by_one(&project, "b.sql.zst", "its compression can only be read from its start");
    // A backup of ours that somebody has packed anew: the manifest that goes with it is no longer the one that was signed.
    let packed = project.path().join("packed.sql.gz");
    gzip(&project, "whole.sql", &packed);
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(project.path().join("whole.sql.json")).unwrap()).unwrap();
    let stored = std::fs::read(&packed).unwrap();
    manifest["stored_sha256"] = sha256(&stored).into();
    manifest["stored_bytes"] = stored.len().into();
    manifest["compression"] = "gzip".into();
    manifest["file"] = "packed.sql.gz".into();
    std::fs::write(project.path().join("packed.sql.gz.json"), manifest.to_string()).unwrap();
    by_one(&project, "packed.sql.gz", "it has no authenticated manifest of envctl");
}

#[test]
fn what_chooses_tablespaces_is_loaded_by_one_session() {
    let server = Server::shared(15);
    server.sh("mkdir -p /tmp/elsewhere && chown postgres /tmp/elsewhere");
    server.sql("postgres", "create tablespace elsewhere location '/tmp/elsewhere'");
    let project = project("spaced");
    project.sql("alter table other set tablespace elsewhere");
    project.run(&["backup", "-o", "b.sql.gz"]).code(0);
    by_one(&project, "b.sql.gz", "it chooses tablespaces");
    let space = project.sql("select spcname from pg_class c join pg_tablespace t on t.oid = reltablespace where relname = 'other'");
    assert_eq!(space, "elsewhere");
    server.sql("postgres", &format!("drop database {}; drop tablespace elsewhere", project.database));
}

#[test]
fn an_archive_without_a_worker_is_loaded_by_one_session() {
    let project = project("archive");
    project.run(&["backup", "--format", "custom", "-o", "b.dump"]).code(0);
    let digest = project.digest();
    project.sql("delete from item where id > 10");
    let args = ["restore", "b.dump", "-j", "2", "-v", "--yes", "--no-backup", "--transport", "exec"];
    project.run(&args).code(0).says("ignoring -j 2, one session loads it").says("`--transport exec`");
    assert_eq!(project.digest(), digest);
    project.drop_siblings();
}

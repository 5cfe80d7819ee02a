//! `envctl doctor` on stacks that will lose their data, one for each way, and on healthy ones.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Project;
use crate::support::rig::{READY, Server, Wanted, docker, eventually, volume};

const DATA: &str = "/var/lib/postgresql/data";

/// A production database with these options of `docker run`. Its init keeps the advice about process 1 away.
fn database(major: u8, name: &str, options: &[&str]) -> Wanted {
    let variables = READY.lines().map(|variable| format!("--env={variable}"));
    let options = options.iter().map(|option| (*option).to_owned());
    Wanted {
        profile: "prod".to_owned(),
        docker_args: variables.chain(options).chain(["--init".to_owned()]).collect(),
        ..Wanted::postgres(major, name)
    }
}

/// On a named volume.
fn on_volume(name: &str, options: &[&str]) -> Wanted {
    let mount = format!("--volume={}:{DATA}", volume(name));
    database(17, name, &[&[mount.as_str()], options].concat())
}

/// Findings about this stack that are worse than `ok`, without those that every database here has: no backup, and no
/// checksums in the cluster of the image.
fn findings(project: &Project, options: &[&str]) -> Vec<Value> {
    let stack = project.server.stack.as_str();
    let finished = project.run(&[&["doctor", "--json", "--dry-run", "-s", stack], options].concat());
    let answer: Value = serde_json::from_str(&finished.out()).unwrap();
    let all = answer["findings"].as_array().unwrap().iter();
    let expected = ["there is no backup ", "data checksums are off"];
    all.filter(|finding| finding["stack"] == stack && finding["severity"] != "ok")
        .filter(|finding| !expected.iter().any(|text| finding["what"].as_str().unwrap().starts_with(text)))
        .cloned()
        .collect()
}

/// The one finding about a stack: severity and check are these, the text and the hints hold these words.
#[track_caller]
fn assert_found(server: Server, severity: &str, check: &str, text: &str, hints: &[&str]) {
    let found = findings(&Project::of(&server, "postgres"), &[]);
    let [one] = &found[..] else { panic!("{text}: {found:#?}") };
    assert_eq!((&one["severity"], &one["check"]), (&severity.into(), &check.into()), "{one:#}");
    assert!(one["what"].as_str().unwrap().contains(text), "{text}: {one:#}");
    let next = one["next"].to_string();
    for hint in hints {
        assert!(next.contains(hint), "{hint}: {one:#}");
    }
}

/// A loss by the next recreation: a backup comes first.
fn moves(first: &str, lines: &str) -> Vec<String> {
    [format!("`envctl backup -s {first} --prod`"), lines.to_owned(), "docker compose up -d db".to_owned()]
        .into()
}

#[test]
fn storage_that_ends_with_the_container_is_a_problem_in_production() {
    let anonymous = database(17, "anonymous", &[]).start();
    let layer = database(17, "layer", &["--env=PGDATA=/pgdata"]).start();
    let memory = database(17, "memory", &[&format!("--tmpfs={DATA}")]).start();
    // What an image of PostgreSQL 18 does under a compose file that was written for 17.
    let unused = volume("wrongpath");
    let wrong = database(
        17,
        "wrongpath",
        &[
            "--env=PGDATA=/var/lib/postgresql/17",
            &format!("--volume={unused}:{DATA}"),
            "--volume=/var/lib/postgresql",
        ],
    )
    .start();
    let mount = format!("`volumes: [\\\"db-data:{DATA}\\\"]`");
    for (server, text, lines) in [
        (anonymous, "(/var/lib/postgresql/data) lies in an anonymous volume", mount.as_str()),
        (layer, "(/pgdata) lies in the container's own layer", "`volumes: [\\\"db-data:/pgdata\\\"]`"),
        (memory, "(/var/lib/postgresql/data) lies in memory", "in the place of its `tmpfs`"),
        (
            wrong,
            "and the data of PostgreSQL (/var/lib/postgresql/17) does not lie there but in an anonymous volume",
            "in the place of `",
        ),
    ] {
        let hints = moves(&server.stack, lines);
        let hints: Vec<&str> = hints.iter().map(String::as_str).collect();
        assert_found(server.ready(), "problem", "storage", text, &hints);
    }
}

#[test]
fn a_second_volume_with_a_cluster_is_named() {
    let old = volume("second_old");
    let server = on_volume("second", &[&format!("--volume={old}:/old")]).start().ready();
    server.sh("cp -a /var/lib/postgresql/ready /old/data");
    assert_found(
        server,
        "warning",
        "storage",
        &format!("volume {old} holds a second cluster of PostgreSQL 17 (/old/data)"),
        &["docker run --rm --volume", &format!("`- {old}:/old`")],
    );
}

#[test]
fn a_port_for_everybody_and_trust_for_everybody_are_told() {
    let open = on_volume("open", &["--network=bridge", "--publish=0.0.0.0::5432"]).start();
    let trusting = on_volume("trusting", &[]).start().ready();
    assert_found(
        open.ready(),
        "warning",
        "access",
        "is published on every interface of its host",
        &["`ports: [\\\"127.0.0.1:", ":5432\\\"]`", "envctl forward db 5432"],
    );
    trusting.sh("sed -i 's/^host all all all .*/host all all all trust/' \"$PGDATA/pg_hba.conf\"");
    assert_found(
        trusting.clone(),
        "warning",
        "access",
        "of pg_hba.conf trusts roles all on databases all from all",
        &["s/trust/scram-sha-256/", "select pg_reload_conf()"],
    );
    let edit = format!("docker exec {} sed", trusting.container);
    let project = Project::of(&trusting, "postgres");
    let typed = findings(&project, &[])[0]["next"][0].as_str().unwrap().to_owned();
    let line = typed.split('`').nth(1).unwrap();
    assert!(line.starts_with(&edit), "{line}");
    assert!(std::process::Command::new("sh").args(["-c", line]).status().unwrap().success());
    assert_eq!(findings(&project, &[]), Vec::<Value>::new());
}

#[test]
fn a_password_that_the_server_does_not_take_is_told_and_shown_nowhere() {
    let server = on_volume("password", &["--network=bridge"]).start().ready();
    assert_eq!(findings(&Project::of(&server, "postgres"), &[]), Vec::<Value>::new(), "it is the right one");
    server.sql("postgres", "alter role postgres password 'another'");
    let refused = "the server does not take the password in POSTGRES_PASSWORD of container";
    assert_found(server.clone(), "warning", "access", refused, &["\\\\password postgres"]);
    let finished = Project::of(&server, "postgres").run(&["doctor", "-vv", "-s", &server.stack]);
    crate::support::rig::assert_no_canary(&finished);
}

/// Removed with the test: the tag of another image would keep it.
struct Tag(String);

impl Drop for Tag {
    fn drop(&mut self) {
        docker(&["rmi", &self.0]);
    }
}

#[test]
fn a_tag_that_names_another_major_version_now_is_a_problem() {
    let tag = Tag(format!("rig-moved:{}", std::process::id()));
    docker(&["tag", "envctl-postgres:15-ready", &tag.0]);
    let wanted = Wanted { image: tag.0.clone(), ..on_volume("moved", &[]) };
    let server = wanted.start().ready();
    assert_eq!(findings(&Project::of(&server, "postgres"), &[]), Vec::<Value>::new(), "it is the same");
    docker(&["tag", "envctl-postgres:17-ready", &tag.0]);
    assert_found(
        server,
        "problem",
        "image",
        "changes PostgreSQL 15 to 17, which does not start on the data of 15",
        &["envctl backup -s", "`docker tag ", "`image: rig-moved:kept`"],
    );
}

#[test]
fn a_slot_that_nobody_reads_is_told_with_what_it_keeps() {
    let server = on_volume("slot", &[]).start().ready();
    server.sql(
        "postgres",
        "select pg_create_physical_replication_slot('gone', true); \
         create table filler as select repeat('x', 1000) from generate_series(1, 3000)",
    );
    assert_found(
        server,
        "warning",
        "database",
        "nobody reads the replication slot gone; the server keeps ",
        &["select pg_drop_replication_slot('\\\\''gone'\\\\'')", "max_slot_wal_keep_size=10GB"],
    );
}

/// A directory of the disk that the build is on, removed with the test. A container writes into it as another user.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let mount = format!("--volume={}:/gone", self.0.display());
        let clear = ["run", "--rm", "--network=none", &mount, "--entrypoint=sh", "envctl-postgres:17-ready"];
        docker(&[&clear[..], &["-c", "rm -rf /gone/data /gone/backups"]].concat());
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn backups_on_the_disk_of_the_data_are_told() {
    let place = Directory::new("one-disk");
    let mount = format!("--volume={}:{DATA}", place.0.join("data").display());
    let server = database(17, "disk", &[&mount]).start().ready();
    let project = Project::of(&server, "postgres");
    let backups = place.0.join("backups").display().to_string();
    let toml = format!("stack = \"{}\"\n[backup]\ndir = \"{backups}\"\n", server.stack);
    std::fs::write(project.path().join("envctl.toml"), toml).unwrap();
    server.sql("postgres", "create table item (id int)");
    project.run(&["backup", "-s", &server.stack]).code(0);
    assert_found_in(
        &project,
        "warning",
        "backups",
        "lie on the same disk as the data: one failure takes both",
    );
    // Memory is another device.
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let toml = format!("stack = \"{}\"\n[backup]\ndir = \"{}\"\n", server.stack, elsewhere.path().display());
    std::fs::write(project.path().join("envctl.toml"), toml).unwrap();
    project.run(&["backup", "-s", &server.stack]).code(0);
    assert_eq!(findings(&project, &[]), Vec::<Value>::new());
    docker(&["rm", "--force", &server.container]);
}

#[track_caller]
fn assert_found_in(project: &Project, severity: &str, check: &str, text: &str) {
    let found = findings(project, &[]);
    let [one] = &found[..] else { panic!("{text}: {found:#?}") };
    assert_eq!((&one["severity"], &one["check"]), (&severity.into(), &check.into()), "{one:#}");
    assert!(one["what"].as_str().unwrap().contains(text), "{text}: {one:#}");
}

/// Every finding about a stack, those of the images' clusters too.
fn all_findings(project: &Project) -> Vec<Value> {
    let finished = project.run(&["doctor", "--json", "--dry-run", "-s", &project.server.stack]);
    let answer: Value = serde_json::from_str(&finished.out()).unwrap();
    let all = answer["findings"].as_array().unwrap().iter();
    all.filter(|finding| finding["stack"] == project.server.stack.as_str() && finding["severity"] != "ok")
        .cloned()
        .collect()
}

#[test]
fn checksums_that_are_off_are_a_note_and_a_healthy_database_is_not_mentioned() {
    let off = on_volume("off", &[]).start();
    // With other variables than the image's own cluster: a first start with initdb, behind a port for this host alone.
    let well = on_volume(
        "well",
        &[
            "--network=bridge",
            "--publish=127.0.0.1::5432",
            "--env=POSTGRES_INITDB_ARGS=--no-sync --data-checksums",
            "--env=POSTGRES_USER=shop",
        ],
    )
    .start();
    let off = Project::of(&off.ready(), "postgres");
    let found = all_findings(&off);
    let of_checksums: Vec<&Value> = found.iter().filter(|finding| finding["check"] == "storage").collect();
    let [one] = &of_checksums[..] else { panic!("{found:#?}") };
    assert_eq!(
        (&one["severity"], one["what"].as_str().unwrap().contains("checksums are off")),
        (&"note".into(), true)
    );
    let mut next = one["next"].as_array().unwrap().iter().map(|next| next.as_str().unwrap());
    let enable = next.find(|next| next.contains("pg_checksums --enable")).unwrap();
    let line = enable.split('`').nth(1).unwrap();
    assert!(std::process::Command::new("sh").args(["-c", line]).status().unwrap().success(), "{line}");
    eventually(Duration::from_secs(30), "it serves again", || {
        off.server.try_sql("postgres", "show data_checksums").is_ok_and(|checksums| checksums == "on")
    });

    let mut well = well.ready();
    well.user = "shop".to_owned();
    eventually(Duration::from_secs(30), "it serves", || well.try_sql("shop", "select 1").is_ok());
    let project = Project::of(&well, "shop");
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let toml = format!("stack = \"{}\"\n[backup]\ndir = \"{}\"\n", well.stack, elsewhere.path().display());
    std::fs::write(project.path().join("envctl.toml"), toml).unwrap();
    well.sql("shop", "create table item (id int)");
    project.run(&["backup", "-s", &well.stack]).code(0);
    assert_eq!(all_findings(&project), Vec::<Value>::new());
}

/// The figure for people is in the documentation; a machine that is busy with other tests is no measure of it.
#[test]
fn a_stack_is_examined_in_less_than_two_seconds() {
    let server = on_volume("quick", &[]).start().ready();
    let project = Project::of(&server, "postgres");
    findings(&project, &[]);
    let began = Instant::now();
    findings(&project, &[]);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

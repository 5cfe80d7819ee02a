//! Where backups are, from outside the project's directory: found through what Compose says of the stack.

use std::path::PathBuf;

use snapbox::str;

use crate::container::{Container, db, service};
use crate::dumps::{DUMP, pg_dump};
use crate::postgres::Server;
use crate::stage::Stage;

const DIRECTORY: &str = "com.docker.compose.project.working_dir";

/// `acme prod`, started in `home/acme`, and whoever types stands in `home`.
fn acme_elsewhere(files: &[(&str, &str)]) -> Stage {
    let stage = Stage::with([]);
    for (name, text) in files {
        stage.write(&format!("acme/{name}"), text);
    }
    let directory = stage.path("acme").display().to_string();
    let at = |container: Container| container.label(DIRECTORY, &directory);
    stage.engine.run([at(service("acme-prod", "backend")), at(db("acme-prod"))]);
    let server = Server::new().answer("rolcreatedb", "150018,15.18,t,16384,12345678,f,\n");
    stage.engine.install("*", "psql", server.psql());
    stage.engine.install("*", "pg_dump", pg_dump(DUMP));
    stage
}

fn files(directory: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_was_made_in_the_project_is_found_from_elsewhere() {
    let stage = acme_elsewhere(&[("compose.prod.yml", "")]);
    let made = stage.envctl(["backup"]).inside(&stage.path("acme")).run();
    assert_eq!(made.code, Some(0), "{}", made.err());
    let name = files(stage.path("acme/backups/acme/prod")).remove(0);

    let listed = stage.run(["backup", "list"]);
    assert_eq!((listed.code, listed.out().contains(&name)), (Some(0), true), "{}", listed.out());
    let shown = stage.run(["backup", "show", "-s", "acme", "--prod"]);
    assert_eq!((shown.code, shown.out().contains(&name)), (Some(0), true), "{}", shown.err());
    let restored = stage.run(["restore", "latest", "--dry-run"]);
    assert_eq!((restored.code, restored.err().contains(&name)), (Some(0), true), "{}", restored.err());
    let status = stage.run(["status", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&status.out()).unwrap();
    let path = answer["stacks"][0]["last_backup"]["path"].as_str().unwrap();
    assert_eq!(path, stage.path("acme/backups/acme/prod").join(&name).to_str().unwrap());
}

#[test]
fn what_is_made_elsewhere_goes_into_the_project() {
    let stage = acme_elsewhere(&[("compose.yml", "")]);
    let made = stage.run(["backup"]);
    assert_eq!(made.code, Some(0), "{}", made.err());
    assert_eq!(files(stage.path("acme/backups/acme/prod")).len(), 2);
    let listed = stage.envctl(["backup", "list", "--json"]).inside(&stage.path("acme")).run();
    let answer: serde_json::Value = serde_json::from_str(&listed.out()).unwrap();
    assert_eq!(answer["backups"].as_array().unwrap().len(), 1, "{}", listed.out());
}

#[test]
fn the_projects_own_file_says_where_and_a_variable_says_it_for_all() {
    let stage = acme_elsewhere(&[("envctl.toml", "[backup]\ndir = \"dumps\"\n")]);
    assert_eq!(stage.run(["backup"]).code, Some(0));
    assert_eq!(files(stage.path("acme/dumps/acme/prod")).len(), 2);
    let ran = stage.envctl(["backup"]).env("ENVCTL_BACKUP_DIR", stage.path("vault")).run();
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!(files(stage.path("vault/acme/prod")).len(), 2);
}

#[test]
fn a_file_there_that_cannot_be_understood_is_told_and_nothing_goes_elsewhere() {
    let stage = acme_elsewhere(&[("envctl.toml", "[backup]\ndri = \"dumps\"\n")]);
    stage.run(["backup", "list"]).is(str![[r#"
exit 2
! error: [DIR]/acme/envctl.toml:2: unknown key `backup.dri`
! hint: did you mean `backup.dir`?

"#]]);
    let status = stage.run(["status"]);
    assert_eq!(status.code, Some(0), "{}", status.err());
    assert!(status.err().contains("acme/envctl.toml:2"), "{}", status.err());
}

#[test]
fn where_there_is_no_project_it_is_said_where_they_were_looked_for() {
    let stage = Stage::with([db("acme-prod")]);
    stage.engine.install("*", "psql", Server::new().psql());
    stage.run(["backup", "list"]).is(str![[r#"
exit 0
! no backups in [DIR]/.local/share/envctl/backups/acme/prod yet; make one: `envctl backup --prod`

"#]]);
    let status = stage.run(["status"]);
    assert!(
        status.err().contains("acme prod: there are no backups in")
            && status.err().contains(".local/share/envctl/backups/acme/prod"),
        "{}",
        status.err()
    );
    let ran = stage.envctl(["restore", "latest"]).env("XDG_DATA_HOME", stage.path("data")).run();
    assert!(ran.err().contains("data/envctl/backups/acme/prod"), "{}", ran.err());
}

#[test]
fn with_both_names_the_backups_are_found_without_a_daemon() {
    let stage = acme_elsewhere(&[]);
    stage.write(".local/share/envctl/backups/acme/prod/backup_20260101_000000.sql", DUMP);
    let gone = format!("unix://{}", stage.path("nowhere.sock").display());
    let ran = stage.envctl(["backup", "list", "-s", "acme", "--prod"]).env("DOCKER_HOST", gone).run();
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.out().contains("backup_20260101_000000.sql"), "{}", ran.out());
}

#[test]
fn the_backup_of_another_profile_lies_in_that_ones_project() {
    let stage = acme_elsewhere(&[("compose.prod.yml", "")]);
    stage.write("lab/compose.dev.yml", "");
    let lab = stage.path("lab").display().to_string();
    stage.engine.run([db("acme-dev").label(DIRECTORY, &lab)]);
    assert_eq!(stage.run(["backup", "--prod"]).code, Some(0));
    let ran = stage.run(["restore", "latest", "--from", "prod", "--to", "dev", "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.err().contains("acme/backups/acme/prod/backup_"), "{}", ran.err());
}

//! The sample migrations of the repository's `migrations/`, applied as its documentation shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Project, Server};

/// Folders of `migrations/` with the table in which each layout keeps its history.
const SAMPLES: &[(&str, &str)] =
    &[("flat", "envctl_migrations"), ("dbmate", "schema_migrations"), ("prisma", "_prisma_migrations")];

fn samples(layout: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(layout)
}

/// Copies the samples into a project, the last one into `aside`; returns where it is and where it belongs.
fn copy_all_but_the_last(project: &Project, aside: &Path, layout: &str) -> (PathBuf, PathBuf) {
    let folder = project.path().join("migrations");
    assert!(Command::new("cp").arg("-r").args([&samples(layout), &folder]).status().unwrap().success());
    let mut names: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "sql"));
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    let last = names.pop().unwrap();
    let waiting = aside.join("last");
    fs::rename(&last, &waiting).unwrap();
    (waiting, last)
}

#[test]
fn the_sample_migrations_of_each_layout_are_applied_and_the_risky_one_is_announced() {
    for server in Server::each() {
        for (layout, history) in SAMPLES {
            let project = Project::new(server, &format!("sample_{layout}"));
            let aside = tempfile::tempdir().unwrap();
            let (waiting, last) = copy_all_but_the_last(&project, aside.path(), layout);
            project.run(&["migrate"]).code(0).says("3 migrations applied");
            let index =
                "select indisvalid from pg_index where indexrelid = 'orders_customer_id_idx'::regclass";
            assert_eq!(project.sql(index), "t", "{layout}: the index of the CONCURRENTLY statement is valid");
            assert_eq!(project.sql(&format!("select count(*) from {history}")), "3", "{layout}");

            project.sql("analyze customers");
            fs::rename(&waiting, &last).unwrap();
            let plan = project.run(&["migrate", "--dry-run"]).code(0).out();
            assert!(plan.contains("loses data customers ("), "{layout}: {plan}");
            project.run(&["migrate"]).code(0).says("1 migration applied");
            project.run(&["migrate", "status", "--exit-code"]).code(0).says("4 applied");
            let phone = "select count(*) from information_schema.columns where column_name = 'phone'";
            assert_eq!(project.sql(phone), "0", "{layout}");
        }
    }
}

#[test]
fn the_sample_migrations_are_not_taken_for_a_projects_own() {
    let project = Project::new(Server::shared(15), "sample_root");
    let mut command = project.command(&["migrate", "-s", &project.server.stack]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    assert_eq!(project.sql("select to_regclass('customers')"), "");
}

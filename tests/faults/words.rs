//! What is said when contact or a disk is lost: what it was, and what to type next.

use std::process::Command;

use crate::restore_server::{LOADER, RESTORE, case, case_on, up};
use crate::support::rig::{Wanted, docker};
use crate::support::{Finished, Gate, Project, Running, Server, Up};

/// A line to act on, beside the word that nothing has changed.
#[track_caller]
fn next_step(finished: &Finished) {
    let said = finished.err();
    let steps = said.lines().filter(|line| line.starts_with("hint: "));
    let steps = steps.filter(|line| !line.ends_with("the database is as it was; nothing was swapped in"));
    assert!(steps.count() > 0, "there is nothing to do next:\n{said}");
}

#[test]
fn f28_a_connection_that_is_cut_while_loading_is_not_put_on_psql() {
    let case = case("f28w", 2000);
    for fault in [Up::CutAt(0), Up::CutAt(1000)] {
        let finished = case.project.through(&up(LOADER, fault), &RESTORE).says("contact|connection|stream");
        assert!(!finished.err().contains("psql gave no reason"), "{}", finished.err());
        next_step(&finished);
    }
}

#[test]
fn f51_a_connection_that_is_cut_at_the_swap_leaves_a_next_step() {
    let case = case("f51w", 20);
    let finished = case.project.through(&up("psql", Up::CutBefore(b"COMMIT\n;")), &RESTORE).code(7);
    next_step(&finished);
}

#[test]
fn f33_a_container_that_dies_under_a_load_is_named_with_what_became_of_it() {
    let server = Wanted::postgres(15, "f33w").start().ready();
    let case = case_on(&server, "f33w", 20_000);
    let gate = Gate::default();
    let proxy = up(LOADER, Up::Hold { at: 1_000_000, gate: gate.clone() });
    let running = case.project.start_through(&proxy, &RESTORE);
    gate.wait();
    docker(&["kill", &server.container]);
    gate.open();
    running.finish().says("is exited|was killed|was stopped").says(&server.container);
}

#[test]
fn f16_a_directory_that_cannot_be_made_leaves_a_next_step() {
    let project = Project::new(Server::shared(15), "f16w");
    std::fs::write(project.path().join("backups"), "a file").unwrap();
    next_step(&project.run(&["backup"]).code(1).says("backups"));
}

#[test]
fn f16_a_pipe_that_is_full_leaves_a_next_step() {
    let project = Project::new(Server::shared(15), "f16v");
    project.fill(2000);
    let mut command = Command::new("sh");
    project.wrap(&mut command, "exec \"$@\" >/dev/full", &["backup", "-o", "-"]);
    next_step(&Running::start(command, None).finish().code(1).says("no space left"));
}

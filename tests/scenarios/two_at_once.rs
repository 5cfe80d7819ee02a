//! Two runs on one database: one lock, which names its holder.

use crate::support::{Down, Fault, Gate, On, Project, Proxy, Server, Up};

fn project(name: &str) -> Project {
    let project = Project::new(Server::shared(15), name);
    project.fill(20_000);
    project.run(&["backup"]).code(0);
    project
}

#[test]
fn a_restore_waits_for_a_backup_and_says_for_whom() {
    let project = project("lock_b");
    let gate = Gate::default();
    let hold = Fault::Down(Down::Hold { at: 500_000, gate: gate.clone() });
    let proxy = Proxy::with(On::ExecStart("pg_dump"), hold);
    let backup = project.start_through(&proxy, &["backup"]);
    gate.wait();
    let digest = project.digest();
    let restore = ["restore", "latest", "--yes", "--no-backup", "--lock-timeout", "500ms"];
    project.run(&restore).code(5).says("envctl/").says("backup");
    assert_eq!(project.digest(), digest);
    // Another backup is no obstacle to a backup.
    project.run(&["backup"]).code(0);
    gate.open();
    backup.finish().code(0);
    project.run(&restore).code(0);
    project.drop_siblings();
}

#[test]
fn a_backup_and_a_second_restore_wait_for_a_restore() {
    let project = project("lock_r");
    let gate = Gate::default();
    let hold = Fault::Up(Up::Hold { at: 500_000, gate: gate.clone() });
    let proxy = Proxy::with(On::ExecStart("envctl_new_"), hold);
    let first = project.start_through(&proxy, &["restore", "latest", "--yes", "--no-backup"]);
    gate.wait();
    project.run(&["backup", "--lock-timeout", "300ms"]).code(5).says("restore");
    project
        .run(&["restore", "latest", "--yes", "--no-backup", "--lock-timeout", "300ms"])
        .code(5)
        .says("restore");
    // One that waits long enough gets its turn, in the database that has the name by then.
    let waiting = project.start(&["backup", "--lock-timeout", "30s"]);
    gate.open();
    first.finish().code(0);
    waiting.finish().code(0);
    project.drop_siblings();
}

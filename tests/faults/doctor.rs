//! `envctl doctor` behind killed runs: what they left goes, what lives stays.

use std::time::Duration;

use rustix::process::Signal;

use crate::place::Place;
use crate::support::rig::{Wanted, eventually, poll};

/// Unfinished files in the place of the backups.
fn partials(place: &Place) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(place.project.backup_dir()) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".partial")).collect()
}

/// On a server of its own: other tests have sessions of killed runs that are theirs.
fn own(name: &str) -> Place {
    Place::with_gate(&Wanted::postgres(15, name).start().ready(), name)
}

/// What the doctor says of this stack and of the whole engine, where other tests have workers, too.
fn doctor(place: &Place, words: &[&str]) -> Vec<String> {
    let stack = ["doctor", "--json", "-s", &place.project.server.stack];
    let finished = place.run(&stack.iter().chain(words).copied().collect::<Vec<_>>());
    let answer: serde_json::Value = serde_json::from_str(&finished.out()).unwrap();
    let findings = answer["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["what"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn says(said: &[String], words: &[&str]) {
    for words in words {
        assert!(said.iter().any(|what| what.contains(words)), "{words}: {said:#?}");
    }
}

#[test]
fn f87_whatever_a_killed_backup_leaves_the_doctor_removes_and_tells() {
    let place = own("reaped");
    let held = place.hold_dumps();
    let running = place.start(&["backup", "--transport", "worker"]);
    assert!(poll(Duration::from_secs(30), || !partials(&place).is_empty()));
    let worker = place.worker();
    running.signal(Signal::KILL);
    assert_eq!(running.finish().code, 137);
    drop(held);
    assert_eq!(place.workers(), [worker]);

    let looked = doctor(&place, &["--dry-run"]);
    says(&looked, &["is there, orphan of a run", ".partial is an orphan of", "there is the directory"]);
    assert_eq!((place.workers().len(), partials(&place).len()), (1, 2), "a look changes nothing");

    let said = doctor(&place, &[]);
    says(&said, &["removed the worker of envctl/", "removed the directory", ".partial, orphan of"]);
    assert_eq!(partials(&place), Vec::<String>::new());
    place.assert_swept();
    place.project.assert_no_sessions();

    let again = doctor(&place, &[]);
    assert!(!again.iter().any(|what| what.contains("removed")), "{again:#?}");
}

/// Without a worker the dump goes on in the database's container, with its locks.
#[test]
fn a_dump_whose_envctl_was_killed_is_ended() {
    let place = own("goes");
    let server = place.project.server.clone();
    // One that waits for a lock does not notice that nobody reads.
    let held = server.session(&place.project.database, "begin; lock table item in access exclusive mode");
    let running = place.start(&["backup", "--transport", "exec"]);
    let dumps = "select count(*) from pg_stat_activity where application_name ~ '^envctl/[0-9a-f]{8} dump$'";
    eventually(Duration::from_secs(30), "it dumps", || server.sql("postgres", dumps) == "1");
    running.signal(Signal::KILL);
    assert_eq!(running.finish().code, 137);
    assert_eq!(server.sql("postgres", dumps), "1", "it goes on");
    let said = doctor(&place, &[]);
    says(&said, &["ended the session envctl/"]);
    eventually(Duration::from_secs(10), "it is gone", || server.sql("postgres", dumps) == "0");
    drop(held);
}

#[test]
fn the_worker_of_a_backup_that_goes_on_is_left_alone() {
    let place = own("lives");
    // It goes on for as long as it has to wait for this; the doctor waits for no lock.
    let held = place
        .project
        .server
        .session(&place.project.database, "begin; lock table item in access exclusive mode");
    let running = place.start(&["backup", "--transport", "worker"]);
    let worker = place.worker();
    let said = doctor(&place, &[]);
    says(&said, &["at work"]);
    let own = place.project.path().display().to_string();
    let touched: Vec<_> =
        said.iter().filter(|what| what.contains("removed") && what.contains(&own)).collect();
    assert!(touched.is_empty(), "{touched:#?}");
    assert_eq!((place.workers(), partials(&place).len()), (vec![worker], 2));
    drop(held);
    running.finish().code(0);
    place.assert_swept();
    assert_eq!(
        std::fs::read_dir(place.project.backup_dir()).unwrap().count(),
        2,
        "the backup and its manifest"
    );
}

//! Daemons whose containers have other users than this host.

use std::os::unix::fs::MetadataExt as _;

use crate::own_daemon::Case;
use crate::place::MANY;

#[test]
fn a_daemon_that_maps_users_makes_no_worker_and_serves_by_exec() {
    let case = Case::new(&["--userns-remap=nobody:nogroup"]);
    let mapped = case.daemon.docker(&["exec", &case.container, "cat", "/proc/self/uid_map"]);
    assert!(mapped.contains("200000"), "the test means users to be mapped: {mapped}");
    let words = "the Docker daemon maps users (userns-remap)";

    case.run(&["backup", "-v", "-o", "whole.sql.gz"]).code(0).says("dumped by exec").says(words);
    case.place.project.assert_verified(&case.place.project.path().join("whole.sql.gz"));
    let manifest = case.place.manifest("whole.sql.gz");
    assert_eq!(manifest["transport"], "exec");
    assert!(manifest["transport_reason"].as_str().unwrap().contains(words), "{manifest}");
    let never = ["backup", "--transport", "worker", "-o", "never.sql.gz"];
    case.run(&never).code(1).says(words).says("--transport exec");
    assert!(!case.place.project.path().join("never.sql.gz").exists());

    let whole = case.digest();
    case.sql("delete from item where id > 10");
    let part = case.digest();
    let restore = ["restore", "whole.sql.gz", "--yes", "--no-backup"];
    case.run(&[&restore[..], &["--transport", "worker"]].concat()).code(1).says(words);
    assert_eq!(case.digest(), part);
    for jobs in ["1", "2"] {
        case.run(&[&restore[..], &["-v", "-j", jobs]].concat()).code(0).says("loading by exec");
        assert_eq!(case.digest(), whole);
        assert_eq!(case.sql("select count(*) from item"), MANY.to_string());
    }
    case.assert_swept();
    case.assert_no_sessions();
}

/// Whose daemon it is: an id that nobody here has, and the first of those for his containers.
const OWNER: u32 = 300_000;

#[test]
fn a_worker_of_a_rootless_daemon_is_root_there_and_its_user_here() {
    let case = Case::rootless(OWNER);
    let mapped = case.daemon.docker(&["exec", &case.container, "cat", "/proc/self/uid_map"]);
    assert!(mapped.contains("300000"), "the test means users to be mapped: {mapped}");
    let path = case.place.project.path();

    case.run(&["backup", "-v", "-o", "whole.sql.gz"]).code(0).says("dumped by a worker");
    case.place.project.assert_verified(&path.join("whole.sql.gz"));
    let manifest = case.place.manifest("whole.sql.gz");
    assert_eq!(manifest["transport"], "worker", "{manifest}");
    assert_eq!(path.join("whole.sql.gz").metadata().unwrap().uid(), OWNER);
    // Its files are its user's to read and to remove.
    case.run(&["backup", "--transport", "worker", "--format", "directory", "-j", "2", "-o", "many.tar"])
        .code(0);
    case.assert_swept();

    let whole = case.digest();
    for file in ["whole.sql.gz", "many.tar"] {
        for jobs in ["1", "2"] {
            case.sql("delete from item where id > 10");
            let restore = ["restore", file, "--yes", "--no-backup", "--transport", "worker", "-j", jobs];
            case.run(&restore).code(0);
            assert_eq!(case.digest(), whole, "{file} over {jobs}");
        }
    }
    case.assert_swept();
    case.assert_no_sessions();
}

//! What can go wrong while backups in a store are pruned: locks, missing rights, kills, a store that is gone.

use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;

use crate::stores::Place;
use crate::support::rig::eventually;
use crate::support::store_proxy::{StoreFault, StoreProxy, StoreRule};
use crate::support::store_server::{new_bucket_with_locks, s3_keys, s3_port, s3_request, s3_request_with};
use crate::support::{Gate, Project, Running, Server};

const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
const EXPIRED: &str =
    "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
const SLOW_DOWN: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

fn project(name: &str) -> Project {
    let project = Project::new(Server::shared(15), name);
    project.fill(100);
    project
}

/// Makes so many backups in the store, each in a second of its own: the names of their dumps sort by time then.
fn back_up(project: &Project, place: &Place, number: usize) {
    for _ in 0..number {
        place.run(project, &["backup", "--store", &place.url]).code(0);
        let made = Timestamp::now().as_second();
        eventually(Duration::from_secs(2), "the next second", || Timestamp::now().as_second() > made);
    }
}

fn prune(place: &Place) -> [&str; 8] {
    ["backup", "prune", "--store", &place.url, "--keep-last", "1", "--apply", "--yes"]
}

/// Keys of the dumps, the oldest first.
fn dumps(place: &Place) -> Vec<String> {
    let keys = s3_keys(place.bucket());
    let mut dumps: Vec<String> = keys.into_iter().filter(|key| !key.ends_with(".json")).collect();
    dumps.sort();
    dumps
}

/// Asserts that each dump has a manifest.
#[track_caller]
fn assert_described(place: &Place) {
    for dump in dumps(place) {
        let (backup, _) = dump.rsplit_once('.').unwrap();
        assert!(s3_keys(place.bucket()).contains(&format!("{backup}.json")), "{dump} takes space unseen");
    }
}

#[test]
fn what_object_lock_keeps_is_named_and_the_others_go() {
    let project = project("locked");
    let place = Place::s3_bucket(&format!("http://127.0.0.1:{}", s3_port()), &new_bucket_with_locks());
    back_up(&project, &place, 3);
    let there = dumps(&place);
    let retention = "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>";
    let target = format!("/{}/{}?retention", place.bucket(), there[0]);
    assert_eq!(s3_request_with("PUT", &target, "", retention).0, 200);
    let pruned = place.run(&project, &prune(&place)).code(1);
    pruned
        .says("is locked until 2099-01-01")
        .says("1 of 2 backups could not be removed")
        .says("1 of 2 backups were removed")
        .says("the bucket keeps versions");
    assert_eq!(dumps(&place), [there[0].clone(), there[2].clone()], "a locked backup is not hidden");
    assert_described(&place);
    let listed = place.run(&project, &["backup", "list", "--store", &place.url]).code(0).out();
    assert_eq!(listed.matches("complete").count(), 2, "{listed}");
}

#[test]
fn without_the_right_to_delete_a_prune_says_so_and_goes_on() {
    let project = project("nodelete");
    let proxy = StoreProxy::start(Vec::new());
    let place = Place::s3(&proxy.endpoint());
    back_up(&project, &place, 3);
    let denied = || StoreRule::new(&["DELETE", "some/backups"], StoreFault::Answer(403, DENIED));
    // One request is refused, then all of them.
    proxy.set(vec![denied().times(1)]);
    let there = dumps(&place);
    place
        .run(&project, &prune(&place))
        .code(1)
        .says("AccessDenied")
        .says("1 of 2 backups could not be removed")
        .says("envctl store check");
    assert_eq!(dumps(&place), [there[0].clone(), there[2].clone()]);
    assert_described(&place);
    proxy.set(vec![denied()]);
    place.run(&project, &prune(&place)).code(1).says("1 of 1 backups could not be removed");
    assert_eq!(dumps(&place).len(), 2);
    // What passes is tried again.
    proxy.set(vec![StoreRule::new(&["DELETE"], StoreFault::Answer(503, SLOW_DOWN)).times(2)]);
    place.run(&project, &prune(&place)).code(0);
    assert_eq!(dumps(&place), there[2..]);
}

#[test]
fn expired_credentials_and_a_bucket_that_vanished_remove_nothing() {
    let project = project("prunegone");
    let proxy = StoreProxy::start(Vec::new());
    let place = Place::s3(&proxy.endpoint());
    back_up(&project, &place, 2);
    proxy.set(vec![StoreRule::new(&["GET", "list-type"], StoreFault::Answer(400, EXPIRED))]);
    place.run(&project, &prune(&place)).code(1).says("these have expired");
    proxy.set(vec![StoreRule::new(&["DELETE"], StoreFault::Answer(400, EXPIRED))]);
    place.run(&project, &prune(&place)).code(1).says("expired");
    assert_eq!(s3_keys(place.bucket()).len(), 4);
    proxy.set(Vec::new());
    for key in s3_keys(place.bucket()) {
        s3_request("DELETE", &format!("/{}/{key}", place.bucket()));
    }
    s3_request("DELETE", &format!("/{}", place.bucket()));
    for verb in [&prune(&place)[..], &["backup", "check", "--store", &place.url]] {
        place.run(&project, verb).code(1).says("NoSuchBucket");
    }
    // `-v`: other stacks of the machine may have the same to tell, which then stands there for each.
    place.run(&project, &["-v", "status", "--store", &place.url]).code(0).says("NoSuchBucket");
}

#[test]
fn a_prune_killed_at_each_request_leaves_whole_backups_or_manifests_alone() {
    let project = project("prunekilled");
    for at in 0..4 {
        let proxy = StoreProxy::start(Vec::new());
        let place = Place::s3(&proxy.endpoint());
        back_up(&project, &place, 3);
        let gate = Gate::default();
        proxy.set(vec![
            StoreRule::new(&["DELETE"], StoreFault::Slow(Duration::ZERO)).times(at),
            StoreRule::new(&["DELETE"], StoreFault::Hold(gate.clone())),
        ]);
        let running = Running::start(place.command(&project, &prune(&place)), None);
        gate.wait();
        running.signal(Signal::KILL);
        running.finish().code(137);
        assert_described(&place);
        let listed = place.run(&project, &["backup", "list", "--store", &place.url]).code(0).out();
        assert!(listed.contains("complete"), "{listed}");
        // The request that was held may still be done.
        gate.open();
        proxy.set(Vec::new());
        place.run(&project, &prune(&place)).code(0);
        assert_eq!(dumps(&place).len(), 1, "{at}");
    }
}

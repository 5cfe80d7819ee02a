//! What can go wrong between envctl and a store: it answers with errors, late, not at all, or is not what it was.

use std::time::Duration;

use rustix::process::Signal;

use crate::stores::{Place, project};
use crate::support::rig::eventually;
use crate::support::store_proxy::{StoreFault, StoreProxy, StoreRule};
use crate::support::store_server::{s3_keys, s3_open_uploads, s3_request};
use crate::support::{Down, Fault, Finished, Gate, On, Project, Proxy, Running};

const BEGIN: &[&str] = &["POST", "?uploads"];
const PART: &[&str] = &["PUT", "partNumber="];
const SECOND_PART: &[&str] = &["PUT", "partNumber=2"];
const COMPLETE: &[&str] = &["POST", "?uploadId="];
const MANIFEST: &[&str] = &["PUT", ".json"];

const SLOW_DOWN: &str =
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
const INTERNAL: &str = "<Error><Code>InternalError</Code><Message>We encountered an error.</Message></Error>";
const EXPIRED: &str =
    "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
const SKEWED: &str =
    "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>";
const NO_BUCKET: &str =
    "<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist</Message></Error>";
const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

fn behind(rules: Vec<StoreRule>) -> (StoreProxy, Place) {
    let proxy = StoreProxy::start(rules);
    let place = Place::s3(&proxy.endpoint());
    (proxy, place)
}

const UNCOMPRESSED: &[&str] = &["backup", "--compress", "none", "--store"];

fn back_up(project: &Project, place: &Place) -> Finished {
    place.run(project, &[UNCOMPRESSED, &[&place.url]].concat())
}

#[track_caller]
fn assert_nothing_left(place: &Place) {
    assert_eq!(s3_keys(place.bucket()), Vec::<String>::new());
    assert_eq!(s3_open_uploads(place.bucket()), 0, "the upload was not aborted");
}

#[track_caller]
fn assert_one_backup(project: &Project, place: &Place) {
    let keys = s3_keys(place.bucket());
    assert_eq!(keys.len(), 2, "a dump and its manifest: {keys:?}");
    let listed = place.run(project, &["backup", "list", "--store", &place.url]).code(0).out();
    assert!(listed.contains("complete"), "{listed}");
}

#[test]
fn errors_that_pass_and_lost_answers_are_repeated() {
    let project = project("again");
    for rule in [
        StoreRule::new(PART, StoreFault::Answer(503, SLOW_DOWN)).times(2),
        StoreRule::new(BEGIN, StoreFault::Answer(500, INTERNAL)).times(1),
        StoreRule::new(SECOND_PART, StoreFault::CutBody(1 << 20)).times(1),
        StoreRule::new(SECOND_PART, StoreFault::LostAnswer).times(1),
        StoreRule::new(SECOND_PART, StoreFault::Slow(Duration::from_secs(2))).times(1),
        StoreRule::new(COMPLETE, StoreFault::Answer(200, SLOW_DOWN)).times(1),
        StoreRule::new(MANIFEST, StoreFault::Answer(503, SLOW_DOWN)).times(1),
        // The second attempt meets the manifest of the first.
        StoreRule::new(MANIFEST, StoreFault::LostAnswer).times(1),
    ] {
        let (_proxy, place) = behind(vec![rule]);
        back_up(&project, &place).code(0);
        assert_one_backup(&project, &place);
    }
}

#[test]
fn a_store_that_refuses_is_named_with_its_reason_and_nothing_is_left() {
    let project = project("refused");
    for (rule, text) in [
        (
            StoreRule::new(&["GET", "envctl-reachable"], StoreFault::Answer(400, EXPIRED)),
            "these have expired",
        ),
        (StoreRule::new(SECOND_PART, StoreFault::Answer(400, EXPIRED)), "these have expired"),
        (StoreRule::new(BEGIN, StoreFault::Answer(404, NO_BUCKET)), "make the bucket first"),
        (StoreRule::new(BEGIN, StoreFault::Answer(403, SKEWED)), "set the clock"),
        (StoreRule::new(PART, StoreFault::Answer(403, DENIED)), "envctl store check"),
        (StoreRule::new(COMPLETE, StoreFault::Answer(200, DENIED)), "cannot complete"),
        (StoreRule::new(MANIFEST, StoreFault::Answer(403, DENIED)), "envctl store check"),
    ] {
        let (_proxy, place) = behind(vec![rule]);
        back_up(&project, &place).code(1).says(text);
        assert_nothing_left(&place);
    }
}

#[test]
fn a_store_that_never_recovers_is_given_up_with_the_time_limit_and_the_upload_is_aborted() {
    let project = project("never");
    let (_proxy, place) = behind(vec![StoreRule::new(SECOND_PART, StoreFault::Answer(500, INTERNAL))]);
    place.run(&project, &[UNCOMPRESSED, &[&place.url, "--timeout", "8s"]].concat()).code(124);
    assert_nothing_left(&place);
}

#[test]
fn an_interrupted_upload_is_aborted_and_a_killed_one_leaves_no_backup() {
    let project = project("ended");
    for (signal, code) in [(Signal::INT, 130), (Signal::KILL, 137)] {
        let gate = Gate::default();
        let (_proxy, place) = behind(vec![StoreRule::new(SECOND_PART, StoreFault::Hold(gate.clone()))]);
        let command = place.command(&project, &[UNCOMPRESSED, &[&place.url]].concat());
        let running = Running::start(command, None);
        gate.wait();
        running.signal(signal);
        running.finish().code(code);
        gate.open();
        assert_eq!(s3_keys(place.bucket()), Vec::<String>::new());
        if signal == Signal::INT {
            assert_nothing_left(&place);
        }
        place.run(&project, &["backup", "list", "--store", &place.url]).code(0).says("no backups in");
    }
}

#[test]
fn parts_are_sent_while_the_dump_pauses() {
    let project = project("pauses");
    let (store, place) = behind(Vec::new());
    let gate = Gate::default();
    // Behind the end of the second part.
    let hold = Down::Hold { at: 18 << 20, gate: gate.clone() };
    let daemon = Proxy::with(On::ExecStart("pg_dump"), Fault::Down(hold));
    let mut command = place.command(&project, &[UNCOMPRESSED, &[&place.url, "--transport", "exec"]].concat());
    command.env("DOCKER_HOST", daemon.host());
    let running = Running::start(command, None);
    gate.wait();
    eventually(Duration::from_secs(30), "both parts are in the store", || {
        store.answered("partNumber=1") == 1 && store.answered("partNumber=2") == 1
    });
    gate.open();
    running.finish().code(0);
    assert_one_backup(&project, &place);
}

#[test]
fn a_dump_that_is_cut_leaves_nothing_in_the_store() {
    let project = project("cutdump");
    let (store, place) = behind(Vec::new());
    let daemon = Proxy::with(On::ExecStart("pg_dump"), Fault::Down(Down::CutAt(18 << 20)));
    let mut command = place.command(&project, &[UNCOMPRESSED, &[&place.url, "--transport", "exec"]].concat());
    command.env("DOCKER_HOST", daemon.host());
    Running::start(command, None).finish().code(8);
    assert!(store.requests("partNumber=") > 0, "parts were on their way");
    assert_nothing_left(&place);
}

#[test]
fn a_killed_copy_leaves_no_manifest_in_the_store() {
    let project = project("killedcopy");
    let gate = Gate::default();
    let (_proxy, place) = behind(vec![StoreRule::new(&["PUT", ".sql."], StoreFault::Hold(gate.clone()))]);
    let mut command = place.command(&project, &["backup"]);
    command.env("ENVCTL_BACKUP_STORES", &place.url);
    let running = Running::start(command, None);
    gate.wait();
    running.signal(Signal::KILL);
    running.finish().code(137);
    gate.open();
    assert!(s3_keys(place.bucket()).iter().all(|key| !key.ends_with(".json")));
    project.run(&["backup", "list"]).code(0);
}

#[test]
fn a_store_that_is_not_amazons_gets_no_checksums_and_a_manifest_only_if_none_is_there() {
    let project = project("headers");
    let (proxy, place) = behind(Vec::new());
    back_up(&project, &place).code(0);
    let heads: Vec<String> = proxy.heads().iter().map(|head| head.to_lowercase()).collect();
    assert!(heads.iter().all(|head| !head.contains("checksum")), "{heads:#?}");
    let manifest = heads.iter().position(|head| head.starts_with("put") && head.contains(".json ")).unwrap();
    assert!(heads[manifest].contains("if-none-match: *"));
    let last_dump = heads.iter().rposition(|head| head.starts_with("post")).unwrap();
    assert!(last_dump < manifest, "the manifest comes last");
    assert_eq!(proxy.requests("partNumber="), 3);
    // Confirmed by its size and tag: the dump was not read back.
    let read = heads.iter().filter(|head| head.starts_with("get") && head.contains(".sql"));
    assert_eq!(read.count(), 0, "{heads:#?}");
}

#[test]
fn an_answer_that_is_cut_is_read_on_and_a_bucket_that_vanished_is_said() {
    let project = project("cutread");
    let before = project.digest();
    // Manifests are shorter.
    let (proxy, place) =
        behind(vec![StoreRule::new(&["GET", ".sql."], StoreFault::CutAnswer(3_000_000)).times(5)]);
    back_up(&project, &place).code(0);
    let restore = ["restore", "latest", "--store", &place.url, "--yes", "--no-backup"];
    project.sql("delete from item where id % 2 = 0");
    place.run(&project, &restore).code(0);
    assert_eq!(project.digest(), before);
    assert!(proxy.heads().iter().any(|head| head.to_lowercase().contains("range: bytes=")));

    for key in s3_keys(place.bucket()) {
        s3_request("DELETE", &format!("/{}/{key}", place.bucket()));
    }
    s3_request("DELETE", &format!("/{}", place.bucket()));
    place
        .run(&project, &["backup", "list", "--store", &place.url])
        .code(1)
        .says("NoSuchBucket")
        .says("make the bucket");
    place.run(&project, &restore).code(1).says("NoSuchBucket");
    back_up(&project, &place).code(1).says("NoSuchBucket");
    assert_eq!(project.digest(), before);
}

#[test]
fn a_check_names_the_permission_that_is_missing() {
    let project = Project::new(crate::support::Server::shared(15), "check");
    let denied = |on| StoreRule::new(on, StoreFault::Answer(403, DENIED));
    for (rule, code, text) in [
        (denied(&["PUT", "envctl-probe"]), 9, "s3:PutObject"),
        (denied(&["GET", "list-type"]), 9, "s3:ListBucket"),
        (denied(&["DELETE", "envctl-probe", "HTTP"]), 0, "s3:DeleteObject"),
        (denied(&["GET", "envctl-probe"]), 9, "s3:GetObject"),
    ] {
        // The end of an upload is no object.
        let abort = StoreRule::new(&["DELETE", "uploadId"], StoreFault::Slow(Duration::ZERO));
        let (_proxy, place) = behind(vec![abort, rule]);
        let checked = place.run(&project, &["store", "check", &place.url, "--json"]).code(code);
        let answer = checked.out();
        let rows = answer.split('{').filter(|row| row.contains("\"ok\":false"));
        assert!(rows.clone().any(|row| row.contains(text)), "{text}: {answer}");
    }
    let (_proxy, place) = behind(Vec::new());
    place.run(&project, &["store", "check", &place.url]).code(0);
    assert_nothing_left(&place);
    let mut command = place.command(&project, &["store", "check", &place.url]);
    command.env("ENVCTL_STORE_ENDPOINT", "http://127.0.0.1:9");
    Running::start(command, None).finish().code(9).says("look at the network and at the endpoint");
    // Before the dump.
    let mut command = place.command(&project, &["backup", "--store", &place.url]);
    command.env("ENVCTL_STORE_ENDPOINT", "http://127.0.0.1:9");
    let refused = Running::start(command, None).finish().code(1).says("127.0.0.1:9 cannot be reached");
    assert!(!refused.err().contains("dumping"), "{}", refused.err());
}

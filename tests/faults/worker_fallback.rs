//! Why no worker serves, for dumps and for loads: what happens in the worker itself, what the engine answers, and the
//! same of a daemon on another machine.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::place::{Place, ROWS};
use crate::support::rig::{Wanted, docker, eventually};
use crate::support::timing::is_long;
use crate::support::{Down, Fault, Finished, Gate, On, Proxy, Rule, Running, Server};
use crate::worker::falls_back;

/// The same for a load: `auto` loads by exec and says why, the worker that was asked for changes nothing.
fn falls_back_loading(place: &Place, words: &str, jobs: &[&str], run: impl Fn(&[&str]) -> Finished) {
    let project = &place.project;
    if !project.path().join("whole.sql.gz").exists() {
        place.run(&["backup", "--transport", "exec", "-o", "whole.sql.gz"]).code(0);
    }
    let whole = project.digest();
    project.sql("delete from item where id > 10");
    let part = project.digest();
    let restore = ["restore", "whole.sql.gz", "--yes", "--no-backup"];
    for jobs in jobs {
        run(&[&restore[..], &["--transport", "worker", "-j", jobs]].concat())
            .code(1)
            .says(words)
            .says("--transport exec");
        project.assert_untouched(&part);
        place.assert_swept();
    }
    run(&[&restore[..], &["-v"]].concat()).code(0).says("loading by exec").says(words);
    assert_eq!(project.digest(), whole);
    project.assert_no_sessions();
    place.assert_swept();
    project.drop_siblings();
}

/// Both ways.
fn falls_back_twice(place: &Place, words: &str, run: impl Fn(&[&str]) -> Finished) {
    falls_back(place, words, &run);
    falls_back_loading(place, words, &["1", "2"], &run);
}

/// A place with two tables, so that its backup can be loaded over two sessions.
fn place(server: &Server, name: &str) -> Place {
    let place = Place::new(server, name, ROWS);
    place.project.sql("create table other as select * from item where id < 100");
    place
}

/// The FIFO of the worker that is being made.
fn fifo(rooms: &Path) -> PathBuf {
    let rooms = std::fs::read_dir(rooms).unwrap().flatten();
    let names = rooms.flat_map(|room| ["in", "out"].map(|name| room.path().join(name)));
    names.into_iter().find(|path| path.exists()).expect("a FIFO")
}

/// Runs envctl; each FIFO it makes is closed to everybody before its worker can open it.
fn closed(place: &Place, args: &[&str]) -> Finished {
    let gate = Gate::default();
    let hold = Fault::Down(Down::Hold { at: 0, gate: gate.clone() });
    let proxy = Proxy::with(On::Request("/containers/create"), hold);
    let mut command = place.command(args);
    command.env("DOCKER_HOST", proxy.host());
    let running = Running::start(command, None);
    gate.wait();
    std::fs::set_permissions(fifo(&place.rooms()), Permissions::from_mode(0o000)).unwrap();
    gate.open();
    running.finish()
}

#[test]
fn where_a_worker_cannot_open_its_fifo_an_exec_serves_and_says_why() {
    let place = place(Server::shared(15), "closed");
    falls_back_twice(&place, "cannot open its directory", |args| closed(&place, args));
}

#[test]
fn where_a_password_is_wanted_and_none_is_known_an_exec_serves_and_says_why() {
    let mut wanted = Wanted::postgres(15, "unknown");
    wanted.docker_args.retain(|arg| !arg.starts_with("--env=POSTGRES_PASSWORD="));
    let server = wanted.arg("--env=POSTGRES_HOST_AUTH_METHOD=trust").start().ready();
    server.sh(
        r#"cd "$PGDATA" && printf 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n' >pg_hba.conf"#,
    );
    server.sql("postgres", "alter role postgres password 'of nobody here'; select pg_reload_conf()");
    let place = place(&server, "unknown");
    falls_back_twice(&place, "wants a password, and none is known", |args| place.run(args));
}

#[test]
fn where_a_worker_is_refused_its_connection_an_exec_serves_and_says_why() {
    let hosts = tempfile::NamedTempFile::new().unwrap();
    // The server listens on what it calls localhost, where nobody else looks for it.
    std::fs::write(hosts.path(), "127.0.0.9 localhost\n").unwrap();
    std::fs::set_permissions(hosts.path(), Permissions::from_mode(0o644)).unwrap();
    let mut wanted =
        Wanted::postgres(15, "refused").arg(&format!("--volume={}:/etc/hosts:ro", hosts.path().display()));
    wanted.command.extend(["-c", "listen_addresses=localhost"].map(str::to_owned));
    let place = place(&wanted.start().ready(), "refused");
    falls_back_twice(&place, "Connection refused", |args| place.run(args));
}

const USERNS: &str = r#"{"OperatingSystem":"Debian","SecurityOptions":["name=seccomp","name=userns"]}"#;
const DESKTOP: &str = r#"{"OperatingSystem":"Docker Desktop"}"#;

/// Directions in which an ordinary run tries a refusal; a long run tries both.
#[derive(PartialEq)]
enum Tried {
    Dump,
    Load,
    Both,
}

/// Answers of an engine, and what is said of each.
const REFUSALS: [(On, u16, &str, &str, Tried); 9] = [
    (On::Request("GET /info"), 200, USERNS, "maps users", Tried::Both),
    (On::Request("GET /info"), 200, DESKTOP, "virtual machine", Tried::Dump),
    (
        On::Request("GET /info"),
        403,
        r#"{"message":"Forbidden by the proxy"}"#,
        "Forbidden by the proxy",
        Tried::Dump,
    ),
    (
        On::Request("/containers/create"),
        403,
        r#"{"message":"no containers for you"}"#,
        "no containers for you",
        Tried::Dump,
    ),
    (
        On::Request("/containers/create"),
        404,
        r#"{"message":"No such image: sha256:0"}"#,
        "No such image: sha256:0",
        Tried::Both,
    ),
    (On::Request("/attach?"), 500, r#"{"message":"no streams"}"#, "no streams", Tried::Dump),
    (
        On::Worker("/attach?stream=true&stdin=false&stdout=true&stderr=true"),
        500,
        r#"{"message":"no streams left"}"#,
        "no streams left",
        Tried::Load,
    ),
    (
        On::Worker("/start"),
        404,
        r#"{"message":"No such image: sha256:1"}"#,
        "No such image: sha256:1",
        Tried::Both,
    ),
    (
        On::Worker("/start"),
        500,
        r#"{"message":"no space left on device"}"#,
        "no space left on device",
        Tried::Load,
    ),
];

#[test]
fn where_the_engine_makes_no_worker_an_exec_serves_and_says_why() {
    let place = place(Server::shared(15), "refusals");
    for (at, (on, status, body, words, tried)) in REFUSALS.into_iter().enumerate() {
        let proxy = Proxy::with(on, Fault::Answer(status, body));
        if tried != Tried::Load || is_long() {
            falls_back(&place, words, |args| place.through(&proxy, args));
        }
        if tried != Tried::Dump || is_long() {
            // Over one session and over two by turns.
            let jobs: &[&str] = if is_long() { &["1", "2"] } else { &[["1", "2"][at % 2]] };
            falls_back_loading(&place, words, jobs, |args| place.through(&proxy, args));
        }
    }
}

/// Lets the daemon hear of a worker at last, as if it had looked at the worker's private directory in time and were
/// slow since.
fn carried_out(proxy: &Proxy, place: &Place, gate: &Gate) {
    // The other session's worker is removed: the run has been given up.
    let given_up =
        || proxy.requests().iter().any(|request| request.starts_with("DELETE /containers/envctl-"));
    eventually(Duration::from_secs(30), "the run is given up", given_up);
    let requests = proxy.requests();
    let rooms = place.rooms().display().to_string();
    let source = format!("\"Source\":\"{rooms}/");
    for request in requests.iter().filter(|request| request.contains("/containers/create")) {
        let (_, room) = request.split_once(&source).expect("a room");
        std::fs::create_dir_all(place.rooms().join(room.split('"').next().unwrap())).unwrap();
    }
    gate.open();
    eventually(Duration::from_secs(30), "the engine has made both", || made(proxy) == 2);
}

/// Number of workers that the engine has made.
fn made(proxy: &Proxy) -> usize {
    proxy.answered().iter().filter(|request| request.contains("/containers/create")).count()
}

/// Whoever stops waiting for a worker has to wait for the request that makes it: the engine carries it out all the
/// same.
#[test]
fn a_worker_that_is_made_after_it_was_given_up_is_removed_too() {
    let place = place(Server::shared(15), "late");
    place.run(&["backup", "--transport", "exec", "-o", "whole.sql.gz"]).code(0);
    let part = place.project.digest();
    let late = |rest: Option<Rule>| {
        let gate = Gate::default();
        let first = Rule::new(On::Request("POST /containers/create"), Fault::Late(gate.clone())).times(1);
        (gate, Proxy::start(std::iter::once(first).chain(rest).collect()))
    };
    let start = |proxy: &Proxy| {
        let args = ["restore", "whole.sql.gz", "--yes", "--no-backup", "--transport", "worker", "-j", "2"];
        let mut command = place.command(&args);
        command.env("DOCKER_HOST", proxy.host());
        Running::start(command, None)
    };
    let refused = Fault::Answer(500, r#"{"message":"no space left on device"}"#);

    let (gate, proxy) = late(Some(Rule::new(On::Worker("/start"), refused.clone())));
    let running = start(&proxy);
    gate.wait();
    carried_out(&proxy, &place, &gate);
    running.finish().code(1).says("no space left on device");
    place.assert_swept();

    let (gate, proxy) = late(None);
    let running = start(&proxy);
    gate.wait();
    // A session that has not asked for its worker yet would never do so.
    eventually(Duration::from_secs(30), "the other session's worker is made", || made(&proxy) == 1);
    running.signal(Signal::INT);
    carried_out(&proxy, &place, &gate);
    running.finish().code(130);
    place.assert_swept();
    place.project.assert_untouched(&part);
}

#[test]
fn an_image_whose_name_is_gone_still_makes_workers() {
    let model = Wanted::postgres(15, "namem").start().ready();
    let image = model.image();
    let server = Wanted { image: image.clone(), ..Wanted::postgres(15, "name") }.start().ready();
    let place = place(&server, "name");
    // Its layers stay as long as its container does.
    docker(&["rmi", "--force", &image]);
    let made = place.run(&["backup", "-v", "-o", "b.sql.gz"]).code(0);
    place.project.assert_verified(&place.project.path().join("b.sql.gz"));
    let why = place.manifest("b.sql.gz");
    assert!(
        why["transport"] == "worker" || why["transport_reason"].as_str().unwrap().contains("image"),
        "{}",
        made.err()
    );
    place.assert_swept();
}

#[test]
fn where_a_worker_cannot_run_its_tool_an_exec_serves_and_says_why() {
    let model = Wanted::postgres(15, "toolm").start().ready();
    // For the server's own user, and for root with its capabilities, which a worker has not.
    model.sh("cd /usr/lib/postgresql/15/bin && for file in pg_dump psql /usr/share/postgresql-common/pg_wrapper; do \
              chown postgres $file; chmod 700 $file; done");
    let server = Wanted { image: model.image(), ..Wanted::postgres(15, "tool") }.start().ready();
    let place = place(&server, "tool");
    falls_back_twice(&place, "cannot run its tool", |args| place.run(args));
}

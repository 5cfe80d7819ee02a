//! Pings and hooks of a backup: what is asked and run, and that neither changes the result.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::container::stack;
use crate::dumps::{DUMP, failing_pg_dump, pg_dump};
use crate::postgres::Server;
use crate::stage::Stage;

/// Server on the loopback that answers everything with one status, and the requests that it got.
struct PingServer {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl PingServer {
    fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/s3cret-uuid", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let requests = seen.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (mut text, mut block) = (Vec::new(), [0; 1024]);
                while !text.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut block) {
                        Ok(0) | Err(_) => break,
                        Ok(read) => text.extend_from_slice(&block[..read]),
                    }
                }
                let text = String::from_utf8_lossy(&text).into_owned();
                requests.lock().unwrap().push(text.lines().next().unwrap_or_default().to_owned());
                let _ =
                    stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes());
            }
        });
        Self { url, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

const START: &str = "GET /s3cret-uuid/start HTTP/1.1";
const SUCCESS: &str = "GET /s3cret-uuid HTTP/1.1";
const FAILURE: &str = "GET /s3cret-uuid/fail HTTP/1.1";

fn stage() -> Stage {
    let stage = Stage::with(stack("acme-dev"));
    stage.engine.install("*", "psql", Server::new().psql());
    stage.engine.install("*", "pg_dump", pg_dump(DUMP));
    stage
}

/// Writes the user's configuration: the ping, and hooks that keep their stdin in `success` and `failure`.
fn configure(stage: &Stage, ping: Option<&str>) {
    let ping = ping.map(|url| format!("[backup]\nping = \"{url}\"\n")).unwrap_or_default();
    let hook = |name: &str| {
        let file = stage.path(name).display().to_string();
        format!("on_{name} = [\"sh\", \"-c\", \"cat > {file}; echo said by the hook\", \"t0ken\"]\n")
    };
    let hooks = format!("[hooks]\n{}{}", hook("success"), hook("failure"));
    stage.write(".config/envctl/config.toml", &format!("{ping}{hooks}"));
}

fn document(stage: &Stage, name: &str) -> Option<Value> {
    let text = fs::read_to_string(stage.path(name)).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
}

#[test]
fn a_backup_is_told_before_and_after() {
    let (stage, server) = (stage(), PingServer::start("200 OK"));
    configure(&stage, Some(&server.url));
    let ran = stage.run(["backup", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!(server.seen(), [START, SUCCESS]);
    let answer: Value = serde_json::from_str(&ran.out()).unwrap();
    assert_eq!(
        document(&stage, "success"),
        Some(answer),
        "the hook gets the document, and stdout is ours alone"
    );
    assert!(document(&stage, "failure").is_none());
    assert!(ran.err().contains("said by the hook") && !ran.err().contains("warning"), "{}", ran.err());
}

#[test]
fn a_failure_is_told_as_one() {
    let (stage, server) = (stage(), PingServer::start("200 OK"));
    stage.engine.install("*", "pg_dump", failing_pg_dump("query failed: ERROR:  permission denied"));
    configure(&stage, Some(&server.url));
    let ran = stage.run(["backup"]);
    assert_eq!(ran.code, Some(7), "{}", ran.err());
    assert_eq!(server.seen(), [START, FAILURE]);
    let told = document(&stage, "failure").unwrap();
    assert_eq!((&told["schema"], &told["error"]["code"]), (&1.into(), &"tool".into()));
    assert!(document(&stage, "success").is_none());
}

#[test]
fn a_stack_that_is_not_found_is_a_failure_too() {
    let (stage, server) = (Stage::with(Vec::new()), PingServer::start("200 OK"));
    configure(&stage, Some(&server.url));
    let ran = stage.run(["backup"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err());
    assert_eq!(server.seen(), [FAILURE]);
    assert_eq!(document(&stage, "failure").unwrap()["error"]["code"], "target");
}

#[test]
fn a_dry_run_tells_nobody() {
    let (stage, server) = (stage(), PingServer::start("200 OK"));
    configure(&stage, Some(&server.url));
    for arguments in [&["backup", "--dry-run"][..], &["backup", "--all-stacks", "--dry-run"]] {
        assert_eq!(stage.run(arguments).code, Some(0));
    }
    assert!(server.seen().is_empty() && document(&stage, "success").is_none());
}

#[test]
fn each_of_several_stacks_is_told() {
    let containers = [stack("acme-dev"), stack("shop-dev")].concat();
    let (stage, server) = (Stage::with(containers), PingServer::start("200 OK"));
    stage.engine.install("*", "psql", Server::new().psql());
    stage.engine.install("*", "pg_dump", failing_pg_dump("no"));
    stage.engine.install("acme-dev-db-1", "pg_dump", pg_dump(DUMP));
    configure(&stage, Some(&server.url));
    let ran = stage.run(["backup", "--all-stacks"]);
    assert_eq!(ran.code, Some(10), "{}", ran.err());
    assert_eq!(server.seen(), [START, SUCCESS, START, FAILURE]);
    assert_eq!(document(&stage, "success").unwrap()["manifest"]["source"]["stack"], "acme");
    assert_eq!(document(&stage, "failure").unwrap()["error"]["code"], "tool");
}

#[test]
fn a_ping_and_a_hook_that_fail_are_warnings_without_the_secret() {
    let (stage, server) = (stage(), PingServer::start("302 Found\r\nlocation: http://127.0.0.1:1/elsewhere"));
    let hooks = "[hooks]\non_success = [\"sh\", \"-c\", \"exit 3\", \"t0ken\"]\n";
    stage.write(".config/envctl/config.toml", &format!("[backup]\nping = \"{}\"\n{hooks}", server.url));
    let ran = stage.run(["backup"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let (err, host) = (ran.err(), server.url.trim_end_matches("s3cret-uuid"));
    assert!(err.contains(&format!("the ping to {host}… failed: it answers 302")), "{err}");
    assert!(err.contains("`sh` of `hooks.on_success` ended with exit status: 3"), "{err}");
    assert_eq!(server.seen(), [START, SUCCESS], "no redirect was followed");
    let shown = stage.run(["config"]);
    assert!(
        shown.out().contains("backup.ping") && shown.out().contains("hooks.on_success"),
        "{}",
        shown.out()
    );
    for text in [err, shown.out()] {
        assert!(!text.contains("s3cret") && !text.contains("t0ken"), "{text}");
    }
}

#[test]
fn nobody_at_the_address_is_a_warning() {
    let stage = stage();
    stage.write(".config/envctl/config.toml", "[hooks]\non_success = [\"no-such-program-here\"]\n");
    let ran = stage.envctl(["backup"]).env("ENVCTL_BACKUP_PING", "http://127.0.0.1:1/s3cret-uuid").run();
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.err().contains("the ping to http://127.0.0.1:1/… failed"), "{}", ran.err());
    assert!(ran.err().contains("cannot be started"), "{}", ran.err());
    let wrong = stage.envctl(["backup"]).env("ENVCTL_BACKUP_PING", "s3cret-uuid").run();
    assert_eq!(wrong.code, Some(2), "{}", wrong.err());
    assert!(!wrong.err().contains("s3cret"), "{}", wrong.err());
}

//! Dumps of a database whose daemon is on another machine: here, one that is reached over TCP.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::place::{Place, ROWS, without_restrict};
use crate::support::rig::{docker, try_docker};
use crate::support::{Finished, Running, Server};
use crate::worker_cage::{assert_gone, volumes};

const SOCKET: &str = "/var/run/docker.sock";
/// No cut.
pub(crate) const NEVER: u64 = u64::MAX;

/// What the way itself says instead of the daemon.
#[derive(Clone, Copy)]
struct Refusal {
    path: &'static str,
    status: u16,
    words: &'static str,
}

/// A way to the daemon that counts what workers say, and breaks off at a byte of it.
pub(crate) struct Wire {
    port: u16,
    said: Arc<AtomicU64>,
}

impl Wire {
    pub(crate) fn open(cut: u64) -> Self {
        Self::with(cut, None)
    }

    /// Answers the requests to whose path these words belong by itself, with an error.
    pub(crate) fn refusing(path: &'static str, status: u16, words: &'static str) -> Self {
        Self::with(NEVER, Some(Refusal { path, status, words }))
    }

    fn with(cut: u64, refusal: Option<Refusal>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = Arc::new(AtomicU64::new(0));
        let count = said.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let count = count.clone();
                std::thread::spawn(move || serve(client, cut, refusal, &count));
            }
        });
        Self { port, said }
    }

    fn host(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    pub(crate) fn start(&self, place: &Place, args: &[&str]) -> Running {
        let mut command = place.command(args);
        command.env("DOCKER_HOST", self.host());
        Running::start(command, None)
    }

    pub(crate) fn run(&self, place: &Place, args: &[&str]) -> Finished {
        self.start(place, args).finish()
    }
}

fn serve(mut client: TcpStream, cut: u64, refusal: Option<Refusal>, said: &AtomicU64) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    if let Some(Refusal { status, words, .. }) = refusal.filter(|refusal| is_about(&text, refusal.path)) {
        let body = format!("{{\"message\":\"{words}\"}}");
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        client.write_all(answer.as_bytes()).ok()?;
        client.shutdown(Shutdown::Write).ok()?;
        // What is still unread would make a reset of the end.
        let _ = std::io::copy(&mut client, &mut std::io::sink());
        return Some(());
    }
    let mut daemon = UnixStream::connect(SOCKET).ok()?;
    daemon.write_all(&head).ok()?;
    let attach = text.contains("/attach?");
    let (mut up_from, mut up_to) = (client.try_clone().ok()?, daemon.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut up_from, &mut up_to);
        let _ = up_to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 16 << 10];
    loop {
        let len = daemon.read(&mut buffer).ok().filter(|len| *len > 0);
        let Some(len) = len else { break };
        client.write_all(&buffer[..len]).ok()?;
        if attach && said.fetch_add(len as u64, Ordering::SeqCst) + len as u64 >= cut {
            let _ = daemon.shutdown(Shutdown::Both);
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    Some(())
}

/// Whether a request is one to or about a worker and its path has these words; execs start, too.
fn is_about(head: &str, path: &str) -> bool {
    let line = head.lines().next().unwrap_or_default();
    line.contains(path) && (line.contains("/containers/create") || line.contains("/containers/envctl-"))
}

#[test]
fn a_worker_on_another_machine_makes_the_same_backup_from_fewer_bytes() {
    for major in [15, 17] {
        let place = Place::new(Server::shared(major), "far", ROWS);
        let wire = Wire::open(NEVER);
        wire.run(&place, &["backup", "-o", "far.sql.gz"]).code(0);
        assert_eq!(place.manifest("far.sql.gz")["transport"], "worker");
        place.run(&["backup", "--transport", "exec", "-o", "exec.sql.gz"]).code(0);
        let plain = |file: &str| place.project.plain(&place.project.path().join(file));
        assert_eq!(without_restrict(&plain("far.sql.gz")), without_restrict(&plain("exec.sql.gz")));
        place.project.assert_verified(&place.project.path().join("far.sql.gz"));
        let (said, sql) = (wire.said.load(Ordering::SeqCst), plain("far.sql.gz").len() as u64);
        assert!(said < sql * 2 / 3, "{said} bytes passed of {sql} bytes of SQL");
        place.assert_swept();
        // There is no directory that both could see.
        wire.run(&place, &["backup", "--format", "directory", "-o", "far.tar"])
            .code(1)
            .says("not on this host");
        wire.run(&place, &["restore", "far.sql.gz", "--yes", "--no-backup", "-v"])
            .code(0)
            .says("loading by exec");
        place.project.drop_siblings();
    }
}

#[test]
fn a_worker_on_another_machine_is_nobody_there_and_sees_nothing() {
    let place = Place::with_gate(Server::shared(15), "farcage");
    let wire = Wire::open(NEVER);
    let held = place.hold_dumps();
    let running = wire.start(&place, &["backup", "-o", "b.sql.gz"]);
    let worker = place.worker();
    let seen: serde_json::Value = serde_json::from_str(&docker(&["inspect", &worker])).unwrap();
    let (config, host) = (&seen[0]["Config"], &seen[0]["HostConfig"]);
    assert_eq!(config["User"], "65534:65534");
    assert_eq!((&host["ReadonlyRootfs"], &host["CapDrop"]), (&true.into(), &serde_json::json!(["ALL"])));
    // The image's own anonymous volume, which goes with the worker, and nothing of a host.
    let mounts = seen[0]["Mounts"].as_array().cloned().unwrap_or_default();
    assert!(mounts.iter().all(|mount| mount["Type"] == "volume"), "{mounts:?}");
    assert!(!config["Env"].to_string().contains(crate::support::rig::CANARY));
    let volumes = volumes(&seen);
    drop(held);
    running.finish().code(0);
    place.assert_swept();
    assert_gone(&volumes);
}

#[test]
fn a_worker_on_another_machine_that_is_lost_makes_no_backup() {
    let place = Place::with_gate(Server::shared(17), "farlost");
    for cut in [1, 100_000, 2_000_000] {
        let finished = Wire::open(cut).run(&place, &["backup", "-o", "b.sql.gz"]);
        assert!([4, 8].contains(&finished.code), "{}: {}", finished.code, finished.err());
        assert!(!place.project.path().join("b.sql.gz").exists());
        place.project.assert_no_partials(place.project.path());
        place.assert_swept();
        place.project.assert_no_sessions();
    }
    let wire = Wire::open(NEVER);
    let backup = ["backup", "-o", "b.sql.gz"];
    let gate = place.hold_dumps();
    let running = wire.start(&place, &backup);
    docker(&["kill", &place.worker()]);
    let finished = running.finish();
    assert!([7, 8].contains(&finished.code), "{}: {}", finished.code, finished.err());
    place.assert_swept();
    let running = wire.start(&place, &backup);
    place.worker();
    running.signal(Signal::INT);
    running.finish_within(Duration::from_secs(20)).code(130);
    place.assert_swept();
    let running = wire.start(&place, &backup);
    let worker = place.worker();
    let held = volumes(&serde_json::from_str(&docker(&["inspect", &worker])).unwrap());
    running.signal(Signal::KILL);
    running.finish().code(137);
    drop(gate);
    // Another machine's envctl leaves it alone; this one's next run does not.
    let labels = docker(&["inspect", "--format", "{{index .Config.Labels \"envctl.worker.host\"}}", &worker]);
    assert_eq!(labels.trim(), envctl::this_machine());
    wire.run(&place, &["backup", "-o", "next.sql.gz"]).code(0);
    assert!(!try_docker(&["inspect", &worker]).status.success(), "the worker is left");
    assert_gone(&held);
    place.project.assert_no_partials(place.project.path());
    place.assert_swept();
    place.project.assert_no_sessions();
}

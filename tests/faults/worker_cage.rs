//! What a worker is on a real engine: able to do nothing but its work, without a secret, gone with all it had.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::{Signal, getgid, getuid};

use crate::place::{Place, ROWS};
use crate::support::proxy::{Fault, On, Proxy};
use crate::support::rig::{docker, try_docker};
use crate::support::{Running, Server};

/// The anonymous volumes among a container's mounts: an image of PostgreSQL asks for one.
#[track_caller]
pub(crate) fn volumes(shown: &serde_json::Value) -> Vec<String> {
    let mounts = shown[0]["Mounts"].as_array().unwrap();
    let volumes = mounts.iter().filter(|mount| mount["Type"] == "volume");
    let names: Vec<String> = volumes.map(|mount| mount["Name"].as_str().unwrap().to_owned()).collect();
    assert!(!names.is_empty(), "the test means the worker to have a volume: {mounts:?}");
    names
}

#[track_caller]
pub(crate) fn assert_gone(volumes: &[String]) {
    for volume in volumes {
        assert!(!try_docker(&["volume", "inspect", volume]).status.success(), "volume {volume} is left");
    }
}

fn inspect(container: &str) -> serde_json::Value {
    serde_json::from_str(&docker(&["inspect", container])).unwrap()
}

#[test]
fn a_worker_can_do_nothing_but_its_work() {
    let place = Place::with_gate(Server::shared(15), "bare");
    let args = ["backup", "--transport", "worker", "--worker-cpus", "0.2", "--worker-memory", "64m"];
    let held = place.hold_dumps();
    let running = place.start(&[&args[..], &["-o", "b.sql.gz"]].concat());
    assert!(place.wait_for_bytes(1));
    let worker = place.worker();
    let shown = inspect(&worker);
    let (config, host) = (&shown[0]["Config"], &shown[0]["HostConfig"]);
    assert_eq!(config["User"], format!("{}:{}", getuid().as_raw(), getgid().as_raw()));
    assert_eq!((&host["ReadonlyRootfs"], &host["Privileged"]), (&true.into(), &false.into()));
    assert_eq!((&host["Memory"], &host["NanoCpus"]), (&(64 << 20).into(), &200_000_000.into()));
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(host["CapAdd"], serde_json::Value::Null);
    assert_eq!(host["SecurityOpt"], serde_json::json!(["no-new-privileges", "label=disable"]));
    assert_eq!((&host["Init"], &host["OomScoreAdj"]), (&true.into(), &500.into()));
    assert_eq!((&host["LogConfig"]["Type"], &host["AutoRemove"]), (&"none".into(), &false.into()));
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["NONE"]));
    assert_eq!((&config["WorkingDir"], &config["Tty"]), (&"/envctl".into(), &false.into()));
    // The tool itself, without the image's own script before it.
    assert_eq!(config["Entrypoint"], serde_json::json!(["pg_dump"]));
    assert!(config["Cmd"].to_string().contains("\"--file=/envctl/out\""), "{}", config["Cmd"]);

    // The database's image by its id, which a name that was moved meanwhile cannot bend, and its network.
    let database = inspect(&place.project.server.container);
    assert_eq!(shown[0]["Image"], database[0]["Image"]);
    assert_eq!(config["Image"], database[0]["Image"], "a name may mean another image by now");
    let network = format!("container:{}", database[0]["Id"].as_str().unwrap());
    assert_eq!(host["NetworkMode"], network);
    assert!(host["PortBindings"].as_object().is_none_or(serde_json::Map::is_empty), "{host}");

    let labels = config["Labels"].as_object().unwrap();
    let room = labels["envctl.worker.dir"].as_str().unwrap();
    assert_eq!(Path::new(room).parent(), Some(&*place.rooms()));
    assert_eq!(labels["envctl.worker.host"], envctl::this_machine());
    let operation = labels["envctl.worker"].as_str().unwrap();
    assert!(operation.len() > 8 && worker.contains(&operation[..8]), "{operation} {worker}");
    let mounts = shown[0]["Mounts"].as_array().unwrap();
    let bound: Vec<_> = mounts.iter().filter(|mount| mount["Type"] == "bind").collect();
    assert_eq!(bound.len(), 1, "{mounts:?}");
    assert_eq!((&bound[0]["Source"], &bound[0]["Destination"]), (&room.into(), &"/envctl".into()));

    let status = docker(&["exec", &worker, "cat", "/proc/1/status"]);
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{status}");
    }
    assert_eq!(docker(&["exec", &worker, "cat", "/proc/1/oom_score_adj"]), "500");
    // It is no database: whoever asks what runs does not see it.
    let listed = place.run(&["status", "--json"]).code(0).out();
    assert!(!listed.contains(&worker), "{listed}");
    let volumes = volumes(&shown);
    drop(held);
    running.finish().code(0);
    place.assert_swept();
    assert_gone(&volumes);
}

#[test]
fn what_a_worker_of_a_killed_envctl_had_goes_with_the_next_run() {
    let place = Place::with_gate(Server::shared(15), "volume");
    let held = place.hold_dumps();
    let running = place.start(&["backup", "--transport", "worker", "-o", "b.sql.gz"]);
    assert!(place.wait_for_bytes(1));
    let volumes = volumes(&inspect(&place.worker()));
    running.signal(Signal::KILL);
    running.finish().code(137);
    drop(held);
    assert!(try_docker(&["volume", "inspect", &volumes[0]]).status.success(), "nobody is there to remove it");
    place.run(&["backup", "-o", "next.sql.gz"]).code(0);
    place.assert_swept();
    assert_gone(&volumes);
}

/// `place` as somebody else than root sees it, where the tests run as root.
struct Nobody<'a> {
    place: &'a Place,
    proxy: Proxy,
    uid: u32,
    gid: u32,
}

impl<'a> Nobody<'a> {
    fn new(place: &'a Place, proxy: Proxy) -> Self {
        let root = getuid().is_root();
        let (uid, gid) = if root { (65534, 65534) } else { (getuid().as_raw(), getgid().as_raw()) };
        place.hand_over(uid, gid);
        let open = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        open(proxy.socket().parent().unwrap(), 0o755);
        open(&proxy.socket(), 0o666);
        Self { place, proxy, uid, gid }
    }

    fn start(&self, args: &[&str]) -> Running {
        let mut command = self.place.command_of(self.uid, self.gid, args);
        command.env("DOCKER_HOST", self.proxy.host());
        Running::start(command, None)
    }

    /// Whom workers were asked to be.
    fn users(&self) -> Vec<String> {
        let requests = self.proxy.requests();
        let created = requests.iter().filter_map(|request| {
            let body = request.strip_prefix("POST /containers/create")?;
            serde_json::from_str::<serde_json::Value>(&body[body.find('{')?..]).ok()
        });
        created.map(|body| body["User"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_worker_is_whoever_runs_envctl_and_under_a_rootless_daemon_root() {
    let place = Place::new(Server::shared(15), "nobody", ROWS);
    let nobody = Nobody::new(&place, Proxy::start(Vec::new()));
    nobody.start(&["backup", "--transport", "worker", "-o", "own.sql.gz"]).finish().code(0);
    assert_eq!(nobody.users(), [format!("{}:{}", nobody.uid, nobody.gid)]);
    place.project.assert_verified(&place.project.path().join("own.sql.gz"));
    place.assert_swept();
    let restore = ["restore", "own.sql.gz", "--yes", "--no-backup", "--transport", "worker"];
    let digest = place.project.digest();
    place.project.sql("delete from item where id > 10");
    nobody.start(&restore).finish().code(0);
    assert_eq!(place.project.digest(), digest);
    place.assert_swept();
    place.project.drop_siblings();

    // Its user is root in its containers; root of this daemon, without a capability, cannot enter another one's
    // private directory.
    let rootless =
        r#"{"OperatingSystem":"Debian","SecurityOptions":["name=seccomp","name=rootless","name=cgroupns"]}"#;
    let nobody = Nobody::new(&place, Proxy::with(On::Request("GET /info"), Fault::Answer(200, rootless)));
    nobody.start(&["backup", "-o", "root.sql.gz"]).finish().code(0);
    assert_eq!(nobody.users(), ["0:0"]);
    if getuid().is_root() {
        assert_eq!(place.manifest("root.sql.gz")["transport"], "exec", "its room was another user's");
    }
    place.project.assert_verified(&place.project.path().join("root.sql.gz"));
    place.assert_swept();
}

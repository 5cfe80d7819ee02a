//! A Docker daemon of one test's own, which may be killed.
//!
//! Promises: the machine's own daemon never notices. Network, processes, mounts and `/run` are a world apart, and all that
//! runs in it ends with the test, killed or not; its files lie in one directory, which goes with it. Needs root.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::rig::poll;

/// The first process of that world: what is written to it is done, and where its input ends all ends.
const WORLD: &str = r#"
work=$1; group=$2; shift 2
mount -t tmpfs tmpfs /run || exit 1
mount -t tmpfs tmpfs /etc/docker || exit 1
export HOME="$work" XDG_RUNTIME_DIR=/run
# The ids that a daemon may map the users of its containers to.
for ids in /etc/subuid /etc/subgid; do mount --bind "$work/ids" "$ids"; done
ip link set lo up
while read -r word; do case $word in
start) rm -f "$work/pid"
    dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" -H "unix://$work/docker.sock" \
        --bridge=none --iptables=false --cgroup-parent="$group" "$@" >>"$work/log" 2>&1 & daemon=$! ;;
kill) containerd=$(cat "$work/exec/containerd/containerd.pid")
    kill -9 "$daemon"; wait "$daemon" 2>/dev/null
    # It dies with its daemon, and the next one must not take it for alive: as a zombie it still answers signals.
    while [ -e "/proc/$containerd/exe" ]; do sleep 0.05; done
    rm -f "$work/exec/containerd/containerd.pid"
    echo killed ;;
esac; done
"#;

/// What `--userns-remap=nobody:nogroup` maps to.
const MAPPED: &str = "nobody:200000:65536\nnogroup:200000:65536\n";

/// A daemon that runs, or has been killed.
pub(crate) struct SecondDaemon {
    dir: TempDir,
    group: String,
    world: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl SecondDaemon {
    /// Starts one with these options, and waits until it answers.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::in_a_world(Command::new("unshare"), options, None)
    }

    /// Starts one that belongs to an ordinary user, who is root in its containers. It is what `rootlesskit` makes, by
    /// hand: that user's namespace, and `dockerd --rootless` in it.
    pub(crate) fn rootless(owner: u32) -> Self {
        let id = owner.to_string();
        let mut world = Command::new("setpriv");
        // Once its ids are mapped it may go on, with what a namespace's first process may do.
        let mapped = r#"read -r mapped; exec unshare "$@""#;
        world.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).args([
            "unshare",
            "--user",
            "--keep-caps",
            "sh",
            "-c",
            mapped,
            "mapped",
        ]);
        Self::in_a_world(world, &["--rootless"], Some(owner))
    }

    fn in_a_world(mut unshare: Command, options: &[&str], owner: Option<u32>) -> Self {
        // Its images need a file system on disk.
        let dir = TempDir::with_prefix_in("envctl-rig-", "/var/tmp").unwrap();
        // Users that are mapped have to come through.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
        std::fs::write(dir.path().join("ids"), MAPPED).unwrap();
        let group = format!("/{}", dir.path().file_name().unwrap().to_string_lossy());
        std::os::unix::fs::chown(dir.path(), owner, owner).unwrap();
        let mut world = unshare
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "--", "sh", "-c", WORLD, "world"])
            .arg(dir.path())
            .arg(&group)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (words, answers) = (world.stdin.take(), BufReader::new(world.stdout.take().unwrap()));
        let mut daemon = Self { dir, group, world, words, answers };
        if let Some(owner) = owner {
            daemon.map(owner);
        }
        daemon.again();
        daemon
    }

    /// Gives its namespace the owner as root and the 65535 ids behind him.
    fn map(&mut self, owner: u32) {
        let process = format!("/proc/{}", self.world.id());
        let namespace = |process: &str| std::fs::read_link(format!("{process}/ns/user")).unwrap();
        let apart = poll(Duration::from_secs(30), || namespace(&process) != namespace("/proc/self"));
        assert!(apart, "no user namespace can be made");
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("{process}/{map}"), format!("0 {owner} 65536\n")).unwrap();
        }
        self.say("mapped");
    }

    /// Starts it where it was killed, and waits until it answers.
    pub(crate) fn again(&mut self) {
        self.say("start");
        let answers = poll(Duration::from_secs(60), || self.try_docker(&["version"]).status.success());
        assert!(answers, "a daemon of the test's own does not answer:\n{}", self.log());
    }

    /// Kills it, and nothing else of its world.
    pub(crate) fn kill(&mut self) {
        self.say("kill");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "killed\n");
    }

    fn say(&mut self, word: &str) {
        writeln!(self.words.as_mut().unwrap(), "{word}").unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("docker.sock").display())
    }

    pub(crate) fn try_docker(&self, args: &[&str]) -> Output {
        Command::new("docker").args(["--host", &self.host()]).args(args).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = self.try_docker(args);
        assert!(
            output.status.success(),
            "{args:?}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Gives it an image of the machine's own daemon.
    pub(crate) fn take(&self, image: &str) {
        let mut load = Command::new("docker");
        load.args(["--host", &self.host(), "load"]).stdin(saved(image)).stdout(Stdio::null());
        assert!(load.status().unwrap().success(), "{image} is not loaded:\n{}", self.log());
    }
}

/// The image as a file, written once for all tests. It has no name, so that nothing is left of it.
fn saved(image: &str) -> File {
    static SAVED: Mutex<BTreeMap<String, File>> = Mutex::new(BTreeMap::new());
    let mut saved = SAVED.lock().unwrap();
    let file = saved.entry(image.to_owned()).or_insert_with(|| {
        let file = tempfile::tempfile().unwrap();
        let mut save = Command::new("docker");
        save.args(["save", image]).stdout(file.try_clone().unwrap());
        assert!(save.status().unwrap().success(), "{image} is not saved");
        file
    });
    // Opened anew: each reader has a position of its own.
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

impl Drop for SecondDaemon {
    fn drop(&mut self) {
        // With its first process every other one of that world ends, and with the last one its mounts.
        self.words = None;
        let _ = self.world.wait();
        for controller in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let group = controller.path().join(&self.group[1..]);
            let _ = Command::new("find")
                .arg(group)
                .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
                .stderr(Stdio::null())
                .status();
        }
        let _ = std::fs::remove_dir("/sys/fs/cgroup".to_owned() + &self.group);
    }
}

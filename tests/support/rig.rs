//! Database containers of the tests' own: one per major and test binary, a database per test.
//!
//! Promises: names and labels carry the process id, so that runs side by side do not meet; the
//! containers have no network (an exec needs none) unless a test asks for one; a reaper removes them, their volumes,
//! and the images that were made of them, when this process is gone, killed or not.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::run::Finished;
use super::{shell, timing};

/// Variables of a container that starts with the cluster in its image; with others it does a first start.
pub const READY: &str = include_str!("../../compose/images/ready/variables");

/// Password in [`READY`], and so in the containers' environment; must never be seen in anything envctl prints or
/// writes.
pub const CANARY: &str = "canary-5f1d6b-password";

/// Ends with this process: its stdin is a pipe that only we hold.
static REAPER: LazyLock<Mutex<Option<Child>>> = LazyLock::new(|| Mutex::new(None));

thread_local! {
    // The harness gives each test a thread with the test's name; the thread's end is the test's.
    static OWN: Own = const { Own(RefCell::new(Vec::new())) };
}

/// Containers that the running test has started.
struct Own(RefCell<Vec<String>>);

impl Drop for Own {
    fn drop(&mut self) {
        let names = self.0.take();
        if names.is_empty() || !std::thread::current().name().is_some_and(|name| name.contains("::")) {
            return;
        }
        // Nobody waits for it; what it does not remove the reaper removes.
        let _ = Command::new("docker")
            .args(["rm", "--force", "--volumes"])
            .args(names)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
    }
}

fn run_label() -> String {
    format!("rig.run={}", std::process::id())
}

fn start_reaper() {
    let mut reaper = REAPER.lock().unwrap();
    if reaper.is_some() {
        return;
    }
    let script = r#"trap '' INT TERM HUP; cat >/dev/null
        docker ps -aq --filter "label=$1" | xargs -r docker rm -fv >/dev/null 2>&1
        docker volume ls -q --filter "label=$1" | xargs -r docker volume rm >/dev/null 2>&1
        docker images -q --filter "label=$1" | xargs -r docker rmi -f >/dev/null 2>&1"#;
    let child = Command::new("sh")
        .args(["-c", script, "reaper", &run_label()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh starts");
    *reaper = Some(child);
}

/// Runs `docker` and gives its output; panics when it fails.
pub fn docker<S: AsRef<str>>(args: &[S]) -> String {
    let output = try_docker(args);
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Runs `docker` and gives what became of it.
pub fn try_docker<S: AsRef<str>>(args: &[S]) -> Output {
    Command::new("docker")
        .args(args.iter().map(AsRef::as_ref))
        .stdin(Stdio::null())
        .output()
        .expect("the docker CLI is there")
}

/// Three letters for the running test, so that two tests may give their containers one name.
fn test_tag() -> String {
    let mut hasher = DefaultHasher::new();
    std::thread::current().name().hash(&mut hasher);
    let hash = hasher.finish();
    (0..3).map(|place| char::from(b'a' + (hash >> (8 * place)) as u8 % 26)).collect()
}

/// Creates a named volume, which is removed when this process is gone.
pub fn volume(name: &str) -> String {
    start_reaper();
    let name = format!("rig{}{}{name}", std::process::id(), test_tag());
    docker(&["volume", "create", "--label", &run_label(), &name])
}

/// What a container is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub image: String,
    pub stack: String,
    pub profile: String,
    pub service: String,
    pub number: u32,
    pub docker_args: Vec<String>,
    pub command: Vec<String>,
}

impl Wanted {
    /// A PostgreSQL of this major as the `db` service of a stack of its own.
    pub fn postgres(major: u8, name: &str) -> Self {
        let settings = [
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "wal_level=logical",
            "max_prepared_transactions=20",
            "max_connections=200",
        ];
        Self {
            image: format!("envctl-postgres:{major}-ready"),
            stack: format!("rig{}{}{name}", std::process::id(), test_tag()),
            profile: "dev".to_owned(),
            service: "db".to_owned(),
            number: 1,
            // Without `--init`, as images are run: PID 1 is the postmaster.
            docker_args: std::iter::once("--tmpfs=/var/lib/postgresql/data".to_owned())
                .chain(READY.lines().map(|variable| format!("--env={variable}")))
                .collect(),
            // Named, so that discovery needs no list of the container's processes, for which dockerd runs `ps`.
            command: std::iter::once("postgres".to_owned())
                .chain(settings.iter().flat_map(|s| ["-c".to_owned(), (*s).to_owned()]))
                .collect(),
        }
    }

    pub fn arg(mut self, arg: &str) -> Self {
        self.docker_args.push(arg.to_owned());
        self
    }

    /// Switches off the system call filter, which runc compiles anew for each exec: half of an exec's CPU time. For
    /// servers of many execs; a long run keeps the filter, as every other server does.
    pub fn without_filter(self) -> Self {
        if timing::is_long() { self } else { self.arg("--security-opt=seccomp=unconfined") }
    }

    /// Starts it, with the labels compose would give it. Does not wait for PostgreSQL. It is removed at the end of the
    /// test that starts it: discovery asks for every container of the machine.
    pub fn start(self) -> Server {
        timing::begin();
        start_reaper();
        let project = format!("{}-{}", self.stack, self.profile);
        let container = format!("{project}-{}-{}", self.service, self.number);
        let mut args: Vec<String> = ["run", "--detach", "--name", &container].map(str::to_owned).into();
        if !self.docker_args.iter().any(|arg| arg.starts_with("--network=")) {
            args.push("--network=none".to_owned());
        }
        for (name, value) in [
            ("com.docker.compose.project", project.as_str()),
            ("com.docker.compose.service", &self.service),
            ("com.docker.compose.container-number", &self.number.to_string()),
            ("com.docker.compose.oneoff", "False"),
        ] {
            args.push(format!("--label={name}={value}"));
        }
        args.push(format!("--label={}", run_label()));
        args.extend(self.docker_args);
        args.push(self.image);
        args.extend(self.command);
        docker(&args);
        OWN.with(|own| own.0.borrow_mut().push(container.clone()));
        Server { container, stack: self.stack, profile: self.profile, user: "postgres".to_owned() }
    }
}

/// A running container with PostgreSQL in it.
#[derive(Clone, Debug)]
pub struct Server {
    pub container: String,
    pub stack: String,
    pub profile: String,
    pub user: String,
}

impl Server {
    /// The one that tests of this binary share.
    pub fn shared(major: u8) -> &'static Self {
        timing::begin();
        static SHARED: [OnceLock<Option<Server>>; 2] = [OnceLock::new(), OnceLock::new()];
        let slot = match major {
            15 => &SHARED[0],
            17 => &SHARED[1],
            other => panic!("there is no image of PostgreSQL {other}"),
        };
        let start =
            || Wanted::postgres(major, &format!("pg{major}")).without_filter().start().stays().ready();
        // Tried once: when it fails, every test fails at once instead of trying again.
        let server = slot.get_or_init(|| std::panic::catch_unwind(start).ok());
        server.as_ref().unwrap_or_else(|| panic!("PostgreSQL {major} did not start, see the first failure"))
    }

    /// Keeps it to the end of the test binary, for more tests than the one that starts it.
    pub fn stays(self) -> Self {
        OWN.with(|own| own.0.borrow_mut().retain(|name| *name != self.container));
        self
    }

    /// The shared server of each major version that the images have, oldest first. A test that reads the server's
    /// words runs its body over all of them: psql and the messages differ from version to version.
    ///
    /// The version is printed before each round, so that a failure shows it.
    #[expect(clippy::print_stderr, reason = "what a test prints is shown when it fails")]
    pub fn each() -> impl Iterator<Item = &'static Self> {
        [15, 17].into_iter().map(|major| {
            eprintln!("--- with PostgreSQL {major}");
            Self::shared(major)
        })
    }

    /// Waits until PostgreSQL is up for good: the temporary server of the image's first start writes
    /// to stdout, the real one to stderr.
    pub fn ready(self) -> Self {
        let mut logs = Command::new("docker")
            .args(["logs", "--follow", &self.container])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker logs starts");
        let stderr = logs.stderr.take().expect("a pipe");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            let ups = lines.filter(|line| line.contains("ready to accept connections"));
            let _ = sender.send(ups.take(1).count() == 1);
        });
        let up = receiver.recv_timeout(Duration::from_secs(60)).unwrap_or(false);
        let _ = logs.kill();
        let _ = logs.wait();
        assert!(up, "{} does not come up:\n{}", self.container, docker(&["logs", &self.container]));
        self
    }

    /// A fresh database whose name begins with `name`.
    pub fn database(&self, name: &str) -> String {
        timing::begin();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let database = format!("{name}_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {database}"));
        database
    }

    /// Runs a script; its answer is unaligned rows. Panics at the first error.
    pub fn sql(&self, database: &str, script: &str) -> String {
        self.try_sql(database, script).unwrap_or_else(|words| panic!("{database}: {words}\n{script:.300}"))
    }

    /// Runs a script up to its first error.
    pub fn try_sql(&self, database: &str, script: &str) -> Result<String, String> {
        let end = "END-OF-THE-SCRIPT";
        let variables = format!("PGPASSWORD={CANARY} PGAPPNAME=rig");
        let psql = self.psql_line(database).map(|word| shell::quoted(&word)).join(" ");
        let ran = shell::run(&self.container, &format!("{variables} {psql} <<'{end}'\n{script}\n{end}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if ran.success { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr)) }
    }

    fn psql_line(&self, database: &str) -> [String; 9] {
        let database = format!("--dbname=dbname='{}'", database.replace('\\', r"\\").replace('\'', r"\'"));
        ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", &self.user, &database, "-f", "-"].map(str::to_owned)
    }

    /// psql in the container, all pipes open.
    pub fn psql(&self, database: &str) -> Command {
        let mut command = Command::new("docker");
        command.args([
            "exec",
            "-i",
            "-e",
            &format!("PGPASSWORD={CANARY}"),
            "-e",
            "PGAPPNAME=rig",
            &self.container,
        ]);
        command.args(self.psql_line(database));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Opens a session that stays until it is dropped, and waits until it has run `script`.
    pub fn session(&self, database: &str, script: &str) -> HeldSession {
        let mut child = self.psql(database).spawn().expect("docker exec starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(format!("{script};\n\\echo held\n").as_bytes()).expect("psql reads");
        let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.ends_with("held\n") {
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                let mut words = String::new();
                let _ = child.stderr.take().expect("a pipe").read_to_string(&mut words);
                panic!("the session ended: {words}");
            }
        }
        HeldSession { child, _stdin: stdin, _stdout: reader }
    }

    /// A constant shell script in the container, as root.
    pub fn sh(&self, script: &str) -> String {
        let ran = shell::run(&self.container, script);
        assert!(ran.success, "{script}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim_end().to_owned()
    }

    /// What a constant shell script in the container prints, byte for byte.
    pub fn bytes(&self, script: &str) -> Vec<u8> {
        let output = try_docker(&["exec", "--user=0", &self.container, "sh", "-c", script]);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Puts a program in the place of one of the container's tools; it comes first in PATH.
    pub fn install(&self, name: &str, script: &str) {
        let mut child = Command::new("docker")
            .args(["exec", "-i", "--user=0", &self.container, "sh", "-c"])
            .arg(format!("cat >/usr/local/bin/{name} && chmod 755 /usr/local/bin/{name}"))
            .stdin(Stdio::piped())
            .spawn()
            .expect("docker exec starts");
        child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("cat reads");
        assert!(child.wait().expect("docker exec ends").success(), "{name} is installed");
    }

    /// An image of the container as it is now, without its volumes; removed with the containers.
    pub fn image(&self) -> String {
        // An image inherits the labels of its container, and so the one by which it is found at the end.
        let image = format!("envctl-rig:{}", self.container);
        docker(&["commit", &self.container, &image]);
        image
    }

    /// Processes in the container whose command line contains `word`.
    pub fn processes(&self, word: &str) -> Vec<String> {
        let all = docker(&["top", &self.container, "-eo", "pid,args"]);
        all.lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
    }

    /// Sends a signal to each process in the container whose command line contains `word`.
    pub fn signal(&self, signal: &str, word: &str) {
        // The word is in no command line of ours.
        let script = r#"for d in /proc/[0-9]*; do
            if tr '\0' ' ' <"$d/cmdline" 2>/dev/null | grep -qF -- "$WORD"; then kill -s "$SIGNAL" "${d#/proc/}"; fi
        done"#;
        let (word, signal) = (format!("--env=WORD={word}"), format!("--env=SIGNAL={signal}"));
        docker(&["exec", "--user=0", &word, &signal, &self.container, "sh", "-c", script]);
    }

    /// Times that the postmaster has ended every session for a process that died.
    pub fn crashes(&self) -> usize {
        let logs = try_docker(&["logs", &self.container]);
        let text = String::from_utf8_lossy(&[logs.stdout, logs.stderr].concat()).into_owned();
        text.matches("terminating any other active server processes").count()
    }

    /// Waits until no process in the container has `word` in its command line.
    pub fn wait_without_process(&self, word: &str, limit: Duration) {
        eventually(limit, &format!("{word} is gone from {}", self.container), || {
            self.processes(word).is_empty()
        });
    }

    /// Sessions of envctl's in or about this database.
    pub fn sessions(&self, database: &str) -> String {
        self.sql(
            "postgres",
            &format!(
                "select coalesce(string_agg(concat_ws(' ', pid, datname, application_name, state, wait_event, left(query, 60)), ', '), '') \
                 from pg_stat_activity where application_name like 'envctl%' and datname like '%{}%'",
                database.replace('\'', "''")
            ),
        )
    }

    /// Databases whose name contains this one's, itself excepted: staging databases and kept ones.
    pub fn siblings(&self, database: &str) -> Vec<String> {
        let quoted = database.replace('\'', "''");
        self.sql(
            "postgres",
            &format!("select datname from pg_database where datname like 'envctl%{quoted}%' order by 1"),
        )
        .lines()
        .map(str::to_owned)
        .collect()
    }
}

/// A session in the database that is open as long as this lives.
pub struct HeldSession {
    child: Child,
    _stdin: std::process::ChildStdin,
    _stdout: BufReader<std::process::ChildStdout>,
}

impl Drop for HeldSession {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Limit of a wait that only guards against "never": a machine under load needs several times as long.
pub fn patient(limit: Duration) -> Duration {
    limit * 4
}

/// Asks again until `condition` holds. For states that nothing announces.
#[track_caller]
pub fn eventually(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(poll(limit, condition), "not within {limit:?}: {what}");
}

/// Asks again until `condition` holds or the time is up; gives which.
pub fn poll(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let limit = patient(limit);
    let started = Instant::now();
    while !condition() {
        if started.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

/// Panics when the canary is in what envctl said.
pub fn assert_no_canary(finished: &Finished) {
    for (name, bytes) in [("stdout", &finished.stdout), ("stderr", &finished.stderr)] {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains(CANARY), "the password is in {name}:\n{text}");
    }
}

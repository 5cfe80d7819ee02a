//! The fault proxy: a socket between envctl and the daemon that damages exactly what a rule names.
//!
//! A rule says which request it is about (an exec by the words of its command line) and what happens to
//! it. Deterministic: faults are placed by frames and bytes, never by time; a [`Gate`] stops a stream at
//! a byte until the test has done what it wants to do there.

mod bend;
mod wire;

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tempfile::TempDir;

pub use bend::{Down, Up, frame};
use wire::Request;

const DAEMON: &str = "/var/run/docker.sock";

/// Which request a rule is about. The word is looked for in the exec's command line.
#[derive(Clone, Debug)]
pub enum On {
    /// The stream of an exec.
    ExecStart(&'static str),
    /// The question how an exec ended.
    ExecInspect(&'static str),
    /// A request whose `METHOD /path` contains this.
    Request(&'static str),
    /// A request to a worker whose path ends in this.
    Worker(&'static str),
}

/// What happens to it.
#[derive(Clone)]
pub enum Fault {
    /// The proxy answers by itself and the daemon never hears of it.
    Answer(u16, &'static str),
    /// The connection closes without an answer.
    Silence,
    /// It waits at the gate before the daemon hears of it, which it then does even if envctl has gone.
    Late(Gate),
    /// The stream from the daemon is bent.
    Down(Down),
    /// The stream to the daemon is bent.
    Up(Up),
}

/// A request and a fault, for the first `times` such requests.
#[derive(Clone)]
pub struct Rule {
    on: On,
    fault: Fault,
    times: u32,
}

impl Rule {
    /// For every such request.
    pub fn new(on: On, fault: Fault) -> Self {
        Self { on, fault, times: u32::MAX }
    }

    /// For the first ones only.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

/// A place where a stream waits for the test.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    reached: bool,
    open: bool,
}

impl Gate {
    /// Waits until a stream has come here.
    #[track_caller]
    pub fn wait(&self) {
        let (state, changed) = &*self.0;
        let guard = state.lock().unwrap();
        let (guard, _) = changed.wait_timeout_while(guard, Duration::from_secs(30), |s| !s.reached).unwrap();
        assert!(guard.reached, "no stream came to the gate");
    }

    /// Whether a stream has come here.
    pub fn reached(&self) -> bool {
        self.0.0.lock().unwrap().reached
    }

    /// Lets it go on.
    pub fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    /// Waits for the test, for a proxy of another kind.
    pub fn pass_through(&self) {
        self.pass();
    }

    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut guard = state.lock().unwrap();
        guard.reached = true;
        changed.notify_all();
        // A test that has failed opens nothing any more; its proxy must end all the same.
        drop(changed.wait_timeout_while(guard, Duration::from_secs(60), |s| !s.open).unwrap());
    }
}

/// A proxy that runs until it is dropped.
pub struct Proxy {
    dir: TempDir,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    /// Exec id → its command line, NUL between the words.
    execs: Mutex<HashMap<String, String>>,
    requests: Mutex<Vec<String>>,
    answered: Mutex<Vec<String>>,
    /// Command line → bytes that came down.
    received: Mutex<Vec<(String, Arc<AtomicU64>)>>,
    stop: AtomicBool,
}

impl Proxy {
    /// Starts one with these rules; the first that fits a request counts.
    pub fn start(rules: Vec<Rule>) -> Self {
        let dir = TempDir::with_prefix("envctl-rig-").expect("a directory");
        let listener = UnixListener::bind(dir.path().join("docker.sock")).expect("a socket");
        let shared = Arc::new(Shared { rules: Mutex::new(rules), ..Shared::default() });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = serving.clone();
                std::thread::spawn(move || {
                    // A connection that breaks is what this is for.
                    let _ = shared.serve(client);
                });
            }
        });
        Self { dir, shared }
    }

    /// With one rule.
    pub fn with(on: On, fault: Fault) -> Self {
        Self::start(vec![Rule::new(on, fault)])
    }

    /// What DOCKER_HOST has to be.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// Every request so far: `METHOD /path body`.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Those that the daemon itself has answered.
    pub fn answered(&self) -> Vec<String> {
        self.shared.answered.lock().unwrap().clone()
    }

    /// How many bytes the stream of the first exec with this word brought down.
    pub fn received(&self, word: &str) -> u64 {
        let all = self.shared.received.lock().unwrap();
        all.iter().find(|(argv, _)| argv.contains(word)).map_or(0, |(_, bytes)| bytes.load(Ordering::SeqCst))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(self.socket());
    }
}

impl Shared {
    /// One connection; envctl opens one for each request.
    fn serve(&self, mut client: UnixStream) -> io::Result<()> {
        let request = Request::read(&mut client)?;
        self.requests.lock().unwrap().push(request.line_and_body());
        let argv = request.exec_id().and_then(|id| self.execs.lock().unwrap().get(&id).cloned());
        let fault = self.fault_for(&request, argv.as_deref());
        match &fault {
            Some(Fault::Answer(status, body)) => {
                return wire::answer(&mut client, *status, body);
            }
            Some(Fault::Silence) => return client.shutdown(Shutdown::Both),
            Some(Fault::Late(gate)) => gate.pass(),
            _ => {}
        }
        let mut daemon = UnixStream::connect(DAEMON)?;
        request.write(&mut daemon)?;
        let head = wire::read_head(&mut daemon)?;
        self.answered.lock().unwrap().push(request.line_and_body());
        io::Write::write_all(&mut client, &head)?;
        if request.creates_exec() {
            let body = wire::read_body(&mut daemon, &head)?;
            // Known before the client can ask for it.
            if let Some(id) = wire::json_text(&body, "Id") {
                self.execs.lock().unwrap().insert(id, request.argv());
            }
            io::Write::write_all(&mut client, &body)?;
        }
        let count = Arc::new(AtomicU64::new(0));
        if let Some(argv) = argv.filter(|_| request.starts_exec()) {
            self.received.lock().unwrap().push((argv, count.clone()));
        }
        let (down, up) = match fault {
            Some(Fault::Down(down)) => (Some(down), None),
            Some(Fault::Up(up)) => (None, Some(up)),
            _ => (None, None),
        };
        bend::pump(client, daemon, down, up, &count)
    }

    fn fault_for(&self, request: &Request, argv: Option<&str>) -> Option<Fault> {
        let fits = |rule: &Rule| match (&rule.on, argv) {
            (On::ExecStart(word), Some(argv)) => request.starts_exec() && argv.contains(word),
            (On::ExecInspect(word), Some(argv)) => request.inspects_exec() && argv.contains(word),
            (On::Request(words), _) => request.line_and_body().contains(words),
            (On::Worker(word), _) => request.is_to_a_worker(word),
            _ => false,
        };
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.times > 0 && fits(rule))?;
        rule.times = rule.times.saturating_sub(1);
        Some(rule.fault.clone())
    }
}

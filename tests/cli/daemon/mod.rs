//! A container engine made of threads: just enough of the Engine API on a Unix socket (or TCP) to talk to.
//!
//! Promises: answers byte for byte as Docker 20.10 does where envctl reads it (recorded from a real one:
//! start failures come as stdout with code 126, refusals as 404 and 409 with `message`); an engine that
//! misbehaves does so in one named [`Manner`].

mod exec;
mod http;
mod routes;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use exec::{Process, Program};

use crate::container::Container;
use exec::Execution;
use http::Connection;

/// How the engine behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As Docker does.
    #[default]
    Docker,
    /// Accepts connections and never says a word.
    Silent,
    /// Answers everything with this body, `200 OK`, as a web server would.
    WebServer(&'static str),
    /// Answers everything with this status and message.
    Refusing(u16, &'static str),
    /// Speaks no HTTP.
    Babbling,
    /// Hangs up before it answers.
    HangingUp,
    /// Answers `200` where a stream is asked for, as a proxy does that strips `Upgrade`.
    WithoutUpgrade,
    /// Cuts the stream of an exec in the middle of a frame.
    CuttingStreams,
}

/// What the engine knows and does.
#[derive(Default)]
pub(crate) struct Engine {
    manner: Mutex<Manner>,
    containers: Mutex<Vec<Container>>,
    programs: Mutex<BTreeMap<(String, String), Program>>,
    executions: Mutex<Vec<Arc<Execution>>>,
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

impl Engine {
    /// Behaves like this from now on.
    pub(crate) fn behave(&self, manner: Manner) {
        *lock(&self.manner) = manner;
    }

    /// Adds containers; the newest is listed first, as engines do.
    pub(crate) fn run(&self, containers: impl IntoIterator<Item = Container>) {
        lock(&self.containers).extend(containers);
    }

    /// Puts a program into a container (`*`: into every one), in place of the one that is there.
    pub(crate) fn install(
        &self,
        container: &str,
        program: &str,
        run: impl Fn(&mut Process<'_>) -> i64 + Send + Sync + 'static,
    ) {
        lock(&self.programs).insert((container.to_owned(), program.to_owned()), Arc::new(run));
    }

    /// The requests so far, each as `GET /path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }

    /// The argv of every exec that was created so far.
    pub(crate) fn commands(&self) -> Vec<Vec<String>> {
        lock(&self.executions).iter().map(|execution| execution.argv.clone()).collect()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Listens on a socket at this path until the test's process ends.
    pub(crate) fn listen(self: &Arc<Self>, socket: &Path) {
        let listener = UnixListener::bind(socket).expect("the socket can be made");
        let engine = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                engine.serve(Connection::unix(stream));
            }
        });
    }

    /// Listens on a port of 127.0.0.1 and gives it.
    pub(crate) fn listen_tcp(self: &Arc<Self>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let port = listener.local_addr().expect("it has an address").port();
        let engine = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                engine.serve(Connection::tcp(stream));
            }
        });
        port
    }

    fn serve(self: &Arc<Self>, connection: Connection) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let engine = Arc::clone(self);
        // A client that goes away in the middle is no fault of the engine's.
        std::thread::spawn(move || drop(routes::serve(&engine, connection)));
    }

    fn manner(&self) -> Manner {
        lock(&self.manner).clone()
    }

    fn container(&self, name: &str) -> Option<Container> {
        lock(&self.containers).iter().find(|c| c.id == name || c.name == name).cloned()
    }

    fn program(&self, container: &str, name: &str) -> Option<Program> {
        let programs = lock(&self.programs);
        let of = |place: &str| programs.get(&(place.to_owned(), name.to_owned())).cloned();
        of(container).or_else(|| of("*"))
    }
}

/// A lock that a panicking test thread does not take away from the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! An engine that follows a script: for unit tests of everything that runs commands in containers.
//!
//! Promises: each exec takes the next [`ScriptedExec`] and checks the argv it was written for; the far end of its
//! stream is held by a [`ExecPeer`] that says frames and hears stdin, in the order the test wrote; nothing is
//! listened to or timed that the test did not ask for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};
use tokio::task::JoinHandle;

use super::container::Container;
use super::container_info::{ContainerInfo, ContainerState, Health, ImageConfig};
use super::engine::{Engine, EngineVersion, ExecState, ExecStream, LogStream, LogsRequest};
use super::worker::OrphanWorker;
use crate::docker::container_summary::ContainerSummary;
use crate::docker::exec::interpreter_cache::InterpreterCache;
use crate::docker::exec::spec::ExecSpec;
use crate::docker::throwaway::spec::ThrowawaySpec;
use crate::docker::worker::worker_spec::{ContainerExit, EngineFeatures, WorkerSpec};
use crate::error::{self, Error, Result};
use crate::sync::lock;

/// Behaviour of one exec: takes the container's end and returns the exit code, `None` where the engine forgets it.
type Play = Box<dyn FnOnce(ExecPeer) -> BoxFuture<'static, Option<i64>> + Send>;

pub(crate) struct ScriptedExec {
    program: String,
    started: bool,
    play: std::result::Result<Play, Error>,
}

impl ScriptedExec {
    /// The next exec runs `program` (the tool under the end marker wrapper, where there is one) and plays this.
    pub(crate) fn new<F>(program: &str, play: impl FnOnce(ExecPeer) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Option<i64>> + Send + 'static,
    {
        Self {
            program: program.to_owned(),
            started: true,
            play: Ok(Box::new(move |peer| play(peer).boxed())),
        }
    }

    /// The next exec prints this on stdout and ends with a code.
    pub(crate) fn prints(program: &str, stdout: &str, code: i64) -> Self {
        let stdout = stdout.to_owned();
        Self::new(program, move |mut peer| async move {
            peer.out(stdout).await;
            Some(code)
        })
    }

    /// The engine cannot start the next exec, and says this.
    pub(crate) fn not_started(program: &str, text: &str) -> Self {
        Self { started: false, ..Self::prints(program, text, 127) }
    }

    /// The engine refuses to create the next exec.
    pub(crate) fn refused(program: &str, error: Error) -> Self {
        Self { program: program.to_owned(), started: true, play: Err(error) }
    }
}

/// The container's end of an exec's stream.
pub(crate) struct ExecPeer {
    io: BufReader<DuplexStream>,
    /// Command of the exec, without the wrapper's arguments.
    pub(crate) argv: Vec<String>,
    /// The wrapper's random word, where there is a wrapper.
    pub(crate) nonce: String,
}

impl ExecPeer {
    /// Says bytes on stdout, in one frame.
    pub(crate) async fn out(&mut self, bytes: impl AsRef<[u8]>) {
        self.frame(1, bytes.as_ref()).await;
    }

    /// Says bytes on stderr, in one frame.
    pub(crate) async fn err(&mut self, bytes: impl AsRef<[u8]>) {
        self.frame(2, bytes.as_ref()).await;
    }

    /// Says what the end marker wrapper says when the tool has ended.
    pub(crate) async fn trailer(&mut self, code: u8) {
        let line = format!("\nENVCTL-EOF {} rc={code:03}\n", self.nonce);
        self.out(line).await;
    }

    /// Says bytes that need be no frame.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        // An envctl that has hung up is seen by what it returns.
        let _ = self.io.write_all(bytes).await;
        let _ = self.io.flush().await;
    }

    /// Hears one line of stdin, without its end; `None` where stdin has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.io.read_line(&mut line).await {
            Ok(1..) => Some(line.trim_end_matches('\n').to_owned()),
            _ => None,
        }
    }

    /// Hears stdin to its end.
    pub(crate) async fn all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.io.read_to_end(&mut bytes).await;
        bytes
    }

    /// Hears a question of a session: its SQL and its word. `None` where the session was closed.
    pub(crate) async fn question(&mut self) -> Option<(String, String)> {
        let mut sql = String::new();
        loop {
            let line = self.line().await?;
            if line == "\\q" {
                return None;
            }
            if let Some((value, _)) = line.strip_prefix("\\echo ").and_then(|rest| rest.split_once(' ')) {
                let value = value.to_owned();
                while self.line().await? != format!("\\echo {value}.") {}
                return Some((sql.trim_end_matches(";\n").trim().to_owned(), value));
            }
            sql.push_str(&line);
            sql.push('\n');
        }
    }

    /// Answers a question of a session with rows in CSV.
    pub(crate) async fn rows(&mut self, value: &str, csv: &str) {
        self.out(format!("{csv}{value} false 00000 \n{value}.\n")).await;
    }

    /// Answers a question of a session with an error.
    pub(crate) async fn sql_error(&mut self, value: &str, state: &str, message: &str) {
        let first = message.lines().next().unwrap_or_default();
        self.out(format!("{value} true {state} {first}\n{value}.\n")).await;
        let report = format!("ERROR:  {state}: {message}\n");
        self.err(format!("ERROR:  {message}\n{value}-report\n{report}{value}-end\n")).await;
    }

    /// Holds the stream open until envctl lets go.
    pub(crate) async fn wait(&mut self) {
        self.all().await;
    }

    async fn frame(&mut self, kind: u8, bytes: &[u8]) {
        let mut frame = vec![kind, 0, 0, 0];
        frame.extend((bytes.len() as u32).to_be_bytes());
        frame.extend(bytes);
        self.raw(&frame).await;
    }
}

/// The engine.
#[derive(Default)]
pub(crate) struct Scripted {
    turns: Mutex<VecDeque<ScriptedExec>>,
    started: Mutex<BTreeMap<String, Execution>>,
    containers: Mutex<Vec<ContainerInfo>>,
    asked: Mutex<Vec<ExecSpec>>,
    plays: Mutex<Vec<JoinHandle<()>>>,
    reapers: InterpreterCache,
    /// Time that the creation of a worker takes; `None`: there are no workers.
    creation: Mutex<Option<Duration>>,
    removed_workers: Mutex<Vec<String>>,
}

struct Execution {
    play: Option<Play>,
    /// Process id as the engine tells it.
    pid: i64,
    spec: ExecSpec,
    state: ExecState,
    /// The engine does not know it any more.
    forgotten: bool,
}

impl Scripted {
    /// With these turns, in this order.
    pub(crate) fn new(turns: impl IntoIterator<Item = ScriptedExec>) -> Arc<Self> {
        Arc::new(Self { turns: Mutex::new(turns.into_iter().collect()), ..Self::default() })
    }

    /// Returns the scripted engine as a shared [`Engine`].
    pub(crate) fn engine(self: &Arc<Self>) -> Arc<dyn Engine> {
        Arc::new(Door(Arc::clone(self)))
    }

    /// Returns the handle of a container on this engine.
    pub(crate) fn container(self: &Arc<Self>, info: ContainerInfo) -> Container {
        Container::new(&self.engine(), info)
    }

    /// Adds a container to the engine, or replaces the one with the same id.
    pub(crate) fn knows(&self, container: ContainerInfo) {
        let mut containers = lock(&self.containers);
        containers.retain(|known| known.id != container.id);
        containers.push(container);
    }

    /// Lets workers be created, each in so much time. None of them starts.
    pub(crate) fn creates_workers_after(&self, time: Duration) {
        *lock(&self.creation) = Some(time);
    }

    /// Names of the workers that were removed.
    pub(crate) fn removed_workers(&self) -> Vec<String> {
        lock(&self.removed_workers).clone()
    }

    /// Everything that was asked to run so far.
    pub(crate) fn asked(&self) -> Vec<ExecSpec> {
        lock(&self.asked).clone()
    }

    /// Fails unless every turn was taken and every play came to its end without a broken assertion: a panic
    /// in a play ends its stream, which alone could pass for what the test expects.
    pub(crate) async fn is_over(&self) {
        assert!(lock(&self.turns).is_empty(), "the script goes on");
        let plays = std::mem::take(&mut *lock(&self.plays));
        for play in plays {
            let end = tokio::time::timeout(Duration::from_secs(10), play).await;
            end.expect("a play that never ends").expect("a play that fails");
        }
    }
}

/// A running container called `name`, known to nobody.
pub(crate) fn container(name: &str) -> ContainerInfo {
    ContainerInfo {
        id: format!("{name}-id"),
        name: name.to_owned(),
        image: "postgres:15".to_owned(),
        image_id: "sha256:00".to_owned(),
        state: ContainerState::Running,
        health: Health::None,
        labels: BTreeMap::new(),
        env: Vec::new(),
        command: vec!["postgres".to_owned()],
        image_config: None,
        init: false,
        addresses: BTreeMap::new(),
        mounts: None,
        published: Vec::new(),
        host_network: false,
        created: "2026-01-01T00:00:00Z".to_owned(),
        started: "2026-01-01T00:00:01Z".to_owned(),
        migration_tool: None,
        processes: None,
    }
}

/// Lets a task that plays a turn keep the engine alive.
struct Door(Arc<Scripted>);

impl Engine for Door {
    fn address(&self) -> String {
        "script://".to_owned()
    }

    fn reapers(&self) -> &InterpreterCache {
        &self.0.reapers
    }

    fn version(&self) -> BoxFuture<'_, Result<EngineVersion>> {
        async { Ok(EngineVersion::default()) }.boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<ContainerSummary>>> {
        let line = |container: &ContainerInfo| ContainerSummary {
            id: container.id.clone(),
            name: container.name.clone(),
            labels: container.labels.clone(),
            image_id: None,
        };
        async move { Ok(lock(&self.0.containers).iter().map(line).collect()) }.boxed()
    }

    fn inspect<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<ContainerInfo>>> {
        async move { Ok(lock(&self.0.containers).iter().find(|container| container.id == id).cloned()) }
            .boxed()
    }

    fn top<'a>(&'a self, _container: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn image<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Result<Option<ImageConfig>>> {
        async { Ok(None) }.boxed()
    }

    fn exec_create<'a>(&'a self, _container: &'a str, spec: &'a ExecSpec) -> BoxFuture<'a, Result<String>> {
        async move {
            lock(&self.0.asked).push(spec.clone());
            let turn = lock(&self.0.turns).pop_front();
            let turn = turn.unwrap_or_else(|| panic!("nothing in the script for {:?}", spec.argv));
            let (argv, _) = unwrapped(&spec.argv);
            assert_eq!(argv.first(), Some(&turn.program), "the script expects another program");
            let pid = if turn.started { 7 } else { 0 };
            let play = Some(turn.play?);
            let mut started = lock(&self.0.started);
            let id = format!("exec-{}", started.len());
            let state = ExecState { running: true, exit_code: None, pid: Some(pid) };
            started.insert(id.clone(), Execution { play, pid, spec: spec.clone(), state, forgotten: false });
            Ok(id)
        }
        .boxed()
    }

    fn exec_start<'a>(&'a self, exec: &'a str, _tty: bool) -> BoxFuture<'a, Result<ExecStream>> {
        async move {
            let (near, peer) = tokio::io::duplex(64 << 10);
            let mut started = lock(&self.0.started);
            let execution = started.get_mut(exec).ok_or_else(|| error::target("no such exec"))?;
            let play = execution.play.take().ok_or_else(|| error::docker("started twice"))?;
            let (argv, nonce) = unwrapped(&execution.spec.argv);
            let peer = ExecPeer { io: BufReader::new(peer), argv, nonce };
            let (engine, id) = (Arc::clone(&self.0), exec.to_owned());
            let playing = tokio::spawn(async move {
                // The far end is dropped with the play, and only then the exec has ended, as in an engine.
                let code = play(peer).await;
                if let Some(execution) = lock(&engine.started).get_mut(&id) {
                    execution.state = ExecState { running: false, exit_code: code, pid: Some(execution.pid) };
                    execution.forgotten = code.is_none();
                }
            });
            lock(&self.0.plays).push(playing);
            Ok(ExecStream { early: Bytes::new(), io: Box::new(near) })
        }
        .boxed()
    }

    fn exec_inspect<'a>(&'a self, exec: &'a str) -> BoxFuture<'a, Result<Option<ExecState>>> {
        async move {
            let started = lock(&self.0.started);
            Ok(started.get(exec).filter(|execution| !execution.forgotten).map(|execution| execution.state))
        }
        .boxed()
    }

    fn exec_resize<'a>(&'a self, _exec: &'a str, _rows: u16, _columns: u16) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn is_local(&self) -> bool {
        false
    }

    fn nature(&self) -> BoxFuture<'_, Result<EngineFeatures>> {
        async { Ok(EngineFeatures::default()) }.boxed()
    }

    fn throwaway_create<'a>(&'a self, _spec: &'a ThrowawaySpec) -> BoxFuture<'a, Result<()>> {
        async { Err(error::docker("the script makes no containers")) }.boxed()
    }

    fn container_start<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<()>> {
        async { Err(error::docker("the script makes no containers")) }.boxed()
    }

    fn worker_create<'a>(&'a self, _spec: &'a WorkerSpec) -> BoxFuture<'a, Result<()>> {
        async {
            let time = *lock(&self.0.creation);
            let time = time.ok_or_else(|| error::docker("the script has no workers"))?;
            tokio::time::sleep(time).await;
            Ok(())
        }
        .boxed()
    }

    fn worker_start<'a>(&'a self, _name: &'a str, _attach_stdin: bool) -> BoxFuture<'a, Result<ExecStream>> {
        async { Err(error::docker("the script has no workers")) }.boxed()
    }

    fn worker_end<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Option<ContainerExit>>> {
        async { Ok(None) }.boxed()
    }

    fn worker_remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        async {
            lock(&self.0.removed_workers).push(name.to_owned());
            Ok(())
        }
        .boxed()
    }

    fn workers(&self) -> BoxFuture<'_, Result<Vec<OrphanWorker>>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn logs<'a>(
        &'a self,
        _container: &'a str,
        _request: &'a LogsRequest,
    ) -> BoxFuture<'a, Result<LogStream>> {
        async { Err(error::docker("the script has no logs")) }.boxed()
    }
}

/// The tool's own argv and the wrapper's random word.
fn unwrapped(argv: &[String]) -> (Vec<String>, String) {
    match argv {
        [sh, c, script, _, nonce, tool @ ..] if sh == "sh" && c == "-c" && script.contains("ENVCTL-EOF") => {
            (tool.to_vec(), nonce.clone())
        }
        _ => (argv.to_vec(), String::new()),
    }
}

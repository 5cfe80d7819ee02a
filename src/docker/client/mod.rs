//! The real engine: bollard where its typed calls serve, our own requests where they do not.
//!
//! Listing and inspection are read tolerantly (an unknown state word must not fail a whole listing) and
//! streams are hijacked raw (bollard's decoder passes a cut stream as data), see `docker-and-crates`.

pub(crate) mod body_reader;
pub(crate) mod errors;
pub(crate) mod http;
pub(crate) mod ssh;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod transport;

use std::sync::Arc;
use std::time::Duration;

use body_reader::reader;
use bollard::models::ExecConfig;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, ResizeExecOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use http::path_part;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use transport::Connector;

use super::container_info::{ContainerInfo, ImageConfig};
use super::context::Host;
use super::engine::{Engine, EngineVersion, ExecState, ExecStream, LogStream, LogsRequest};
use super::worker;
use super::worker::OrphanWorker;
use crate::docker::client::errors::refusal;
use crate::docker::container_summary::ContainerSummary;
use crate::docker::context::endpoint::Endpoint;
use crate::docker::exec::interpreter_cache::InterpreterCache;
use crate::docker::exec::spec::ExecSpec;
use crate::docker::throwaway::spec::ThrowawaySpec;
use crate::docker::worker::worker_spec::{ContainerExit, EngineFeatures, WorkerSpec};
use crate::error::{self, Error, Result};

/// Seconds bollard waits for an answer's headers.
const TIMEOUT_SECONDS: u64 = 60;
/// Keys that no keyboard sends by accident: the default ctrl-p,ctrl-q would swallow ctrl-p in a shell.
const DETACH_KEYS: &str = "ctrl-^,ctrl-^";

/// Looks at a killed container until it counts as killed for another reason than its memory, and the time between two.
const MEMORY_LOOKS: u32 = 10;
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);
/// Number of requests for a worker's end that may break off, with [`WAIT_PAUSE`] after each.
const WAITS: u32 = 5;
const WAIT_PAUSE: Duration = Duration::from_millis(200);

/// A connection to an engine.
pub(crate) struct Client {
    connector: Connector,
    docker: Docker,
    reapers: InterpreterCache,
}

impl Client {
    /// For this endpoint. Opens nothing.
    ///
    /// # Errors
    /// Kind `Docker`: the client cannot be made for this endpoint.
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self> {
        let connector = Connector::new(endpoint);
        let for_bollard = connector.clone();
        let transport = move |mut request: bollard::BollardRequest| {
            let connector = for_bollard.clone();
            async move {
                // Its own transports add this header; HTTP/1.1 wants one and any will do.
                let host = hyper::header::HeaderValue::from_static("docker");
                request.headers_mut().entry(hyper::header::HOST).or_insert(host);
                // bollard writes absolute addresses; socket proxies that filter by path want the path alone.
                if let Some(path) = request.uri().path_and_query().cloned() {
                    *request.uri_mut() = path.into();
                }
                let io = connector.connect().await.map_err(|e| bollard::errors::Error::IOError {
                    err: std::io::Error::other(Unreached(e)),
                })?;
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
                tokio::spawn(connection.with_upgrades());
                Ok(sender.send_request(request).await?)
            }
            .boxed()
        };
        let docker = Docker::connect_with_custom_transport(
            transport,
            Some("http://docker"),
            TIMEOUT_SECONDS,
            API_DEFAULT_VERSION,
        )
        .map_err(|cause| error::docker("the Docker client cannot be set up").because(cause))?;
        Ok(Self { connector, docker, reapers: InterpreterCache::default() })
    }

    /// Returns a new client as a shared engine.
    pub(crate) fn engine(endpoint: Endpoint) -> Result<Arc<dyn Engine>> {
        Ok(Arc::new(Self::new(endpoint)?))
    }

    fn told(&self, cause: bollard::errors::Error, what: &str) -> Error {
        use bollard::errors::Error as B;
        match cause {
            B::DockerResponseServerError { status_code, message } => refusal(status_code, &message, what),
            B::RequestTimeoutError => {
                error::docker(format!("{what}: Docker did not answer within {TIMEOUT_SECONDS} s"))
                    .hint("see whether the daemon is overloaded or hung: `docker info`")
            }
            B::IOError { err }
                if err.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Unreached>) =>
            {
                match err.into_inner().map(<dyn std::error::Error + Send + Sync>::downcast::<Unreached>) {
                    Some(Ok(unreached)) => unreached.0,
                    _ => error::docker(format!("{what}: Docker cannot be reached")),
                }
            }
            other => error::docker(format!("{what}: the connection to Docker at {} failed", self.address()))
                .because(other),
        }
    }
}

/// Carries our own error through bollard's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreached(Error);

impl Engine for Client {
    fn reapers(&self) -> &InterpreterCache {
        &self.reapers
    }

    fn address(&self) -> String {
        self.connector.endpoint().host.to_string()
    }

    fn version(&self) -> BoxFuture<'_, Result<EngineVersion>> {
        async {
            let answer =
                self.docker.version().await.map_err(|e| self.told(e, "asking Docker for its version"))?;
            Ok(EngineVersion {
                version: answer.version.unwrap_or_default(),
                api: answer.api_version.unwrap_or_default(),
                os: answer.os.unwrap_or_default(),
            })
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<ContainerSummary>>> {
        async {
            let body = http::get(&self.connector, "/containers/json?all=true")
                .await?
                .success("listing containers")?;
            ContainerSummary::all(&body).map_err(|e| {
                error::docker(format!("{} does not answer as a container engine", self.address()))
                    .because(e)
                    .hint("check the address with `docker context ls`")
            })
        }
        .boxed()
    }

    fn inspect<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<ContainerInfo>>> {
        async move {
            let answer = http::get(&self.connector, &format!("/containers/{}/json", path_part(id))).await?;
            if answer.status == hyper::StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let body = answer.success(&format!("looking at container {id}"))?;
            ContainerInfo::from_inspect(&body).map(Some).map_err(|e| {
                error::docker(format!("the answer about container {id} cannot be read")).because(e)
            })
        }
        .boxed()
    }

    fn image<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<ImageConfig>>> {
        async move {
            let answer = http::get(&self.connector, &format!("/images/{}/json", path_part(id))).await?;
            if answer.status == hyper::StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let body = answer.success(&format!("looking at image {id}"))?;
            ImageConfig::from_inspect(&body)
                .map(Some)
                .map_err(|e| error::docker(format!("the answer about image {id} cannot be read")).because(e))
        }
        .boxed()
    }

    fn exec_create<'a>(&'a self, container: &'a str, spec: &'a ExecSpec) -> BoxFuture<'a, Result<String>> {
        async move {
            let config = ExecConfig {
                attach_stdin: Some(spec.stdin),
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                tty: Some(spec.tty),
                detach_keys: Some(DETACH_KEYS.to_owned()),
                env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
                cmd: Some([spec.reaper.as_slice(), &spec.argv].concat()),
                user: spec.user.clone(),
                working_dir: spec.workdir.clone(),
                ..ExecConfig::default()
            };
            let what = format!("running `{}`", spec.program());
            let created = self
                .docker
                .create_exec(&path_part(container), config)
                .await
                .map_err(|e| self.told(e, &what))?;
            Ok(created.id)
        }
        .boxed()
    }

    fn top<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        async move {
            let answer = self
                .docker
                .top_processes(&path_part(container), None)
                .await
                .map_err(|e| self.told(e, "listing the processes of a container"))?;
            // The command line is the last column (`CMD`, `COMMAND`), whatever `ps` the host has.
            let lines = answer.processes.unwrap_or_default().into_iter();
            Ok(lines.filter_map(|mut fields| fields.pop()).collect())
        }
        .boxed()
    }

    fn exec_start<'a>(&'a self, exec: &'a str, tty: bool) -> BoxFuture<'a, Result<ExecStream>> {
        async move {
            let path = format!("/exec/{}/start", path_part(exec));
            let body = format!(r#"{{"Detach":false,"Tty":{tty}}}"#);
            let hijacked = http::hijack(&self.connector, &path, body).await?;
            Ok(ExecStream { early: hijacked.early, io: hijacked.io })
        }
        .boxed()
    }

    fn exec_inspect<'a>(&'a self, exec: &'a str) -> BoxFuture<'a, Result<Option<ExecState>>> {
        async move {
            match self.docker.inspect_exec(&path_part(exec)).await {
                Ok(answer) => Ok(Some(ExecState {
                    running: answer.running.unwrap_or(false),
                    exit_code: answer.exit_code,
                    pid: answer.pid,
                })),
                Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                Err(cause) => Err(self.told(cause, "reading a command's exit code")),
            }
        }
        .boxed()
    }

    fn exec_resize<'a>(&'a self, exec: &'a str, rows: u16, columns: u16) -> BoxFuture<'a, Result<()>> {
        async move {
            let options =
                ResizeExecOptionsBuilder::default().h(i32::from(rows)).w(i32::from(columns)).build();
            self.docker
                .resize_exec(&path_part(exec), options)
                .await
                .map_err(|e| self.told(e, "resizing a terminal"))
        }
        .boxed()
    }

    fn is_local(&self) -> bool {
        matches!(self.connector.endpoint().host, Host::Unix(_))
    }

    fn nature(&self) -> BoxFuture<'_, Result<EngineFeatures>> {
        async {
            let body = http::get(&self.connector, "/info").await?.success("reading `GET /info` of Docker")?;
            worker::container_spec::nature(&body)
                .map_err(|e| error::docker("the answer of `GET /info` cannot be read").because(e))
        }
        .boxed()
    }

    fn throwaway_create<'a>(&'a self, spec: &'a ThrowawaySpec) -> BoxFuture<'a, Result<()>> {
        async move {
            let named = CreateContainerOptionsBuilder::default().name(&spec.name()).build();
            let created = self.docker.create_container(Some(named), spec.body()).await;
            created.map(|_| ()).map_err(|e| self.told(e, "creating a container"))
        }
        .boxed()
    }

    fn container_start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let started = self.docker.start_container(&path_part(name), None).await;
            started.map_err(|e| self.told(e, "starting a container"))
        }
        .boxed()
    }

    fn worker_create<'a>(&'a self, spec: &'a WorkerSpec) -> BoxFuture<'a, Result<()>> {
        async move {
            let named = CreateContainerOptionsBuilder::default().name(&spec.name).build();
            let created = self.docker.create_container(Some(named), worker::container_spec::body(spec)).await;
            created.map(|_| ()).map_err(|e| self.told(e, "creating a worker"))
        }
        .boxed()
    }

    fn worker_start<'a>(&'a self, name: &'a str, attach_stdin: bool) -> BoxFuture<'a, Result<ExecStream>> {
        async move {
            let part = path_part(name);
            let path =
                format!("/containers/{part}/attach?stream=true&stdin={attach_stdin}&stdout=true&stderr=true");
            let hijacked = http::hijack(&self.connector, &path, String::new()).await?;
            let started = self.docker.start_container(&part, None).await;
            started.map_err(|e| self.told(e, "starting a worker"))?;
            Ok(ExecStream { early: hijacked.early, io: hijacked.io })
        }
        .boxed()
    }

    fn worker_end<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<ContainerExit>>> {
        async move {
            let part = path_part(name);
            let (mut broken, mut looks) = (0, 0);
            loop {
                let what = "reading a worker's exit code";
                let answer = http::get(&self.connector, &format!("/containers/{part}/json")).await?;
                if answer.status == hyper::StatusCode::NOT_FOUND {
                    return Ok(None);
                }
                let end = worker::container_spec::end(&answer.success(what)?)
                    .map_err(|e| error::docker(format!("{what}: the answer cannot be read")).because(e))?;
                // That the memory was used up the engine hears by an event of its own, which may come after the exit.
                if end.is_some_and(|end| end.is_killed() && !end.out_of_memory) && looks < MEMORY_LOOKS {
                    looks += 1;
                    tokio::time::sleep(MEMORY_INTERVAL).await;
                    continue;
                }
                if end.is_some() {
                    return Ok(end);
                }
                // The answer of `wait` is the exit code alone; how it came to that the next look says. Some engines
                // answer only at the end and run into the client's time limit: looked again.
                match self.docker.wait_container(&part, None).next().await {
                    None
                    | Some(
                        Ok(_)
                        | Err(
                            bollard::errors::Error::DockerContainerWaitError { .. }
                            | bollard::errors::Error::RequestTimeoutError
                            | bollard::errors::Error::DockerResponseServerError { status_code: 404, .. },
                        ),
                    ) => {}
                    // The question broke off, and not the worker: asked again, but not for ever.
                    Some(Err(cause)) => {
                        broken += 1;
                        if broken > WAITS {
                            return Err(self.told(cause, "waiting for a worker"));
                        }
                        tokio::time::sleep(WAIT_PAUSE).await;
                    }
                }
            }
        }
        .boxed()
    }

    fn worker_remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let wholly = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            match self.docker.remove_container(&path_part(name), Some(wholly)).await {
                // Gone, or somebody removes it at this moment.
                Ok(())
                | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {
                    Ok(())
                }
                Err(cause) => Err(self.told(cause, "removing a worker")),
            }
        }
        .boxed()
    }

    fn workers(&self) -> BoxFuture<'_, Result<Vec<OrphanWorker>>> {
        async {
            // {"label":["envctl.worker"]}
            let path = "/containers/json?all=true&filters=%7B%22label%22%3A%5B%22envctl.worker%22%5D%7D";
            let answer = http::get(&self.connector, path).await?;
            let date = answer.date;
            worker::container_spec::workers(&answer.success("listing workers")?, date)
                .map_err(|e| error::docker("the list of workers cannot be read").because(e))
        }
        .boxed()
    }

    fn logs<'a>(&'a self, container: &'a str, request: &'a LogsRequest) -> BoxFuture<'a, Result<LogStream>> {
        async move {
            #[derive(Default, serde::Deserialize)]
            #[serde(default, rename_all = "PascalCase")]
            struct Tty {
                config: TtyConfig,
            }
            #[derive(Default, serde::Deserialize)]
            #[serde(default, rename_all = "PascalCase")]
            struct TtyConfig {
                tty: bool,
            }
            let id = path_part(container);
            let inspect = http::get(&self.connector, &format!("/containers/{id}/json"))
                .await?
                .success("reading logs")?;
            let tty: Tty = serde_json::from_slice(&inspect).unwrap_or_default();
            let mut path = format!(
                "/containers/{id}/logs?stdout=true&stderr=true&follow={}&timestamps={}",
                request.follow, request.timestamps
            );
            if let Some(tail) = request.tail {
                path.push_str(&format!("&tail={tail}"));
            }
            if let Some(since) = request.since {
                path.push_str(&format!("&since={since}"));
            }
            let response = http::get_stream(&self.connector, &path).await?;
            let body = response.into_body().into_data_stream().map_err(std::io::Error::other).boxed();
            let reader = reader(body);
            Ok(LogStream { reader, framed: !tty.config.tty })
        }
        .boxed()
    }
}

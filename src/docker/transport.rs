//! How bytes reach the daemon: a Unix socket, TCP, TLS, or `ssh … docker system dial-stdio`.
//!
//! Promise: one connection per request (0.17 ms on a local socket). Kept connections are a source of
//! lost requests with engines that drop idle ones (Podman after 10 s; docker-java#2682).

use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::context::{Endpoint, Host};
use crate::error::{self, Error, Result};

/// A byte stream both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any such stream.
pub type BoxIo = Box<dyn Io>;

/// Opens connections to one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    endpoint: Endpoint,
}

impl Connector {
    /// For this endpoint; nothing is opened yet.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// The endpoint it connects to.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens a new connection.
    ///
    /// # Errors
    /// Kind `Docker`, with what to do about the usual causes.
    pub(super) async fn connect(&self) -> Result<BoxIo> {
        match &self.endpoint.host {
            Host::Unix(path) => self.connect_unix(path).await,
            Host::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|e| self.refused(e))?;
                // Small control messages (acknowledgements, resize) must not wait for more bytes.
                stream.set_nodelay(true).map_err(|e| self.refused(e))?;
                self.encrypt(stream, host).await
            }
            Host::Ssh { user, host, port, path } => {
                connect_ssh(user.as_deref(), host, *port, path.as_deref())
            }
            Host::Npipe(name) => Err(error::docker(format!(
                "the Docker host npipe:{name} is a Windows pipe, which this build cannot open"
            ))
            .hint("set DOCKER_HOST to a tcp:// or ssh:// address, or run envctl inside WSL")),
        }
    }

    async fn connect_unix(&self, path: &Path) -> Result<BoxIo> {
        match UnixStream::connect(path).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(cause) => Err(self.refused(cause)),
        }
    }

    fn refused(&self, cause: std::io::Error) -> Error {
        use std::io::ErrorKind as Io;
        let endpoint = &self.endpoint;
        let error = error::docker(format!("cannot reach Docker at {} ({})", endpoint.host, endpoint.origin));
        let error = match cause.kind() {
            Io::NotFound => error
                .hint(
                    "is Docker installed and running? try `systemctl start docker`, or start Docker Desktop",
                )
                .hint("another daemon: `--context NAME` or `--host unix:///path/to.sock`"),
            Io::PermissionDenied => error
                .hint("your user may not open the socket: `sudo usermod -aG docker $USER`, then log in again")
                .hint("or use a rootless daemon: `docker context use rootless`"),
            Io::ConnectionRefused => {
                error.hint("nothing listens there: start the daemon, e.g. `systemctl start docker`")
            }
            _ => error.hint("check the address with `docker context ls`"),
        };
        error.because(cause)
    }

    #[cfg(feature = "tls")]
    async fn encrypt(&self, stream: TcpStream, host: &str) -> Result<BoxIo> {
        match &self.endpoint.tls {
            None => Ok(Box::new(stream)),
            Some(files) => {
                let connector = super::tls::connector(files)?;
                let name = rustls_pki_types::ServerName::try_from(host.to_owned()).map_err(|e| {
                    error::docker(format!("{host:?} is no host name TLS can check")).because(e)
                })?;
                let stream = connector.connect(name, stream).await.map_err(|e| {
                    error::docker(format!("TLS with {} failed", self.endpoint.host))
                        .because(e)
                        .hint("check the ca.pem, cert.pem and key.pem of the context, or DOCKER_CERT_PATH")
                })?;
                Ok(Box::new(stream))
            }
        }
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "the same signature as with TLS")]
    async fn encrypt(&self, stream: TcpStream, _host: &str) -> Result<BoxIo> {
        if self.endpoint.tls.is_some() {
            return Err(error::docker("this build of envctl has no TLS")
                .hint("install one built with the `tls` feature"));
        }
        Ok(Box::new(stream))
    }
}

/// The docker CLI's own way: the remote side runs `docker system dial-stdio`, so the user's ssh
/// configuration, agent and jump hosts apply. One master connection serves the ones after it.
fn connect_ssh(user: Option<&str>, host: &str, port: Option<u16>, path: Option<&str>) -> Result<BoxIo> {
    let mut command = Command::new("ssh");
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["-o", "ConnectTimeout=30", "-o", "ControlMaster=auto", "-o", "ControlPersist=60"]);
    command.args(["-o", "ControlPath=~/.ssh/envctl-%C", "-T", "--", host, "docker"]);
    if let Some(path) = path {
        command.arg(format!("--host=unix://{path}"));
    }
    command.args(["system", "dial-stdio"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| error::docker("cannot start `ssh`").because(e).hint("install the OpenSSH client"))?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => Ok(Box::new(SshIo { stdin: Some(stdin), stdout, _child: child })),
        _ => Err(error::docker("ssh gave no pipes")),
    }
}

/// The two pipes of an `ssh` child as one stream.
struct SshIo {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    _child: Child,
}

impl AsyncRead for SshIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for SshIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, buf),
            None => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        // Only a closed pipe is an end of input for the child; `ChildStdin::shutdown` does not close it.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

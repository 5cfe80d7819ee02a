//! Connections to the daemon: a Unix socket, TCP, TLS, or `ssh … docker system dial-stdio`.
//!
//! Promise: one connection per request (0.17 ms on a local socket). Kept connections are a source of
//! lost requests with engines that drop idle ones (Podman after 10 s; docker-java#2682).

use std::path::Path;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::ssh::{self, SshSessions};
use crate::docker::context::Host;
use crate::docker::context::endpoint::Endpoint;
use crate::error::{self, Error, Result};

/// A byte stream both ways.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any such stream.
pub(crate) type BoxIo = Box<dyn Io>;

/// Opens connections to one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    endpoint: Endpoint,
    /// Sessions of an ssh endpoint; clones share them.
    sessions: SshSessions,
}

impl Connector {
    /// For this endpoint; nothing is opened yet.
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, sessions: SshSessions::default() }
    }

    /// The endpoint it connects to.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens a new connection.
    ///
    /// # Errors
    /// Kind `Docker`, with what to do about the usual causes.
    pub(crate) async fn connect(&self) -> Result<BoxIo> {
        match &self.endpoint.host {
            Host::Unix(path) => self.connect_unix(path).await,
            Host::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|e| self.refused(e))?;
                // Small control messages (acknowledgements, resize) must not wait for more bytes.
                stream.set_nodelay(true).map_err(|e| self.refused(e))?;
                self.encrypt(stream, host).await
            }
            Host::Ssh { user, host, port, path } => {
                let remote = ssh::Remote { user: user.as_deref(), host, port: *port, path: path.as_deref() };
                Ok(Box::new(ssh::connect(&remote, &self.sessions).await?))
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
                .hint("start Docker, if it is installed: `systemctl start docker`, or Docker Desktop")
                .hint("name another daemon: `--context NAME` or `--host unix:///path/to.sock`"),
            Io::PermissionDenied => error
                .note("your user may not open the socket")
                .hint("add it to the group: `sudo usermod -aG docker $USER`, then log in again")
                .hint("use a rootless daemon: `docker context use rootless`"),
            Io::ConnectionRefused => {
                error.note("nothing listens there").hint("start the daemon, e.g. `systemctl start docker`")
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

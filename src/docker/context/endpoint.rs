//! Endpoint of a daemon, and the inputs from which it is chosen.

use std::fmt;
use std::path::PathBuf;

use super::host::{self, Host};
/// Inputs to the choice of an endpoint. Empty variables count as unset, as in the docker CLI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContextInputs {
    /// A context named for envctl itself (flag, `ENVCTL_CONTEXT` or `envctl.toml`).
    pub(crate) context: Option<EndpointRequest>,
    /// A host named for envctl itself.
    pub(crate) host: Option<EndpointRequest>,
    /// `DOCKER_HOST`.
    pub(crate) docker_host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub(crate) docker_context: Option<String>,
    /// `DOCKER_CONFIG`: the folder used instead of `~/.docker`.
    pub(crate) docker_config: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY` is set and not empty.
    pub(crate) tls_verify: bool,
    /// `DOCKER_TLS` is set and not empty.
    pub(crate) tls: bool,
    /// `DOCKER_CERT_PATH`.
    pub(crate) cert_path: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub(crate) runtime_dir: Option<PathBuf>,
    /// The home directory.
    pub(crate) home: Option<PathBuf>,
    /// The user's number; stands in for `XDG_RUNTIME_DIR` where that is unset (cron, sudo).
    pub(crate) uid: Option<u32>,
}

impl ContextInputs {
    /// Reads the variables that the docker CLI reads through `variable`; wishes, home and uid stay empty.
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| variable(name).map(|v| v.trim().to_owned()).filter(|value| !value.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        Self {
            docker_host: text("DOCKER_HOST"),
            docker_context: text("DOCKER_CONTEXT"),
            docker_config: path("DOCKER_CONFIG"),
            // Not empty is what counts: `DOCKER_TLS_VERIFY=0` is on, `DOCKER_TLS_VERIFY=` is off.
            tls_verify: text("DOCKER_TLS_VERIFY").is_some(),
            tls: text("DOCKER_TLS").is_some(),
            cert_path: path("DOCKER_CERT_PATH"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
            ..Self::default()
        }
    }

    pub(super) fn config_dir(&self) -> Option<PathBuf> {
        self.docker_config.clone().or_else(|| self.home.as_ref().map(|home| home.join(".docker")))
    }
}

/// Certificates and key of a TLS connection. Each file is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The authority that replaces the system's roots.
    pub(crate) ca: Option<PathBuf>,
    /// The client's certificate.
    pub(crate) cert: Option<PathBuf>,
    /// The client's private key.
    pub(crate) key: Option<PathBuf>,
    /// The server's certificate is not checked.
    pub(crate) skip_verify: bool,
}

/// The daemon that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The context's name, or `default`.
    pub(crate) name: String,
    /// Address on which the daemon listens.
    pub(crate) host: Host,
    /// TLS, for TCP hosts only; `None` is plain.
    pub(crate) tls: Option<TlsFiles>,
    /// Reason for the choice: `--context`, `DOCKER_HOST`, `currentContext in …`, `socket found at …`.
    pub(crate) origin: String,
    /// `detachKeys` of `config.json`.
    pub(crate) detach_keys: Option<String>,
}

impl Endpoint {
    /// Reports whether all traffic, data and control, would cross a network unencrypted and unauthenticated.
    pub(crate) fn insecure(&self) -> bool {
        self.tls.is_none() && matches!(&self.host, Host::Tcp { host, .. } if !host::is_loopback(host))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.host)
    }
}

pub(crate) fn endpoint(name: &str, host: Host, tls: Option<TlsFiles>, origin: &str) -> Endpoint {
    Endpoint { name: name.to_owned(), host, tls, origin: origin.to_owned(), detach_keys: None }
}

/// A requested endpoint and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointRequest {
    /// A context's name or a host URL.
    pub(crate) value: String,
    /// Source of the value, for messages: `--context`, `ENVCTL_HOST`, `/app/envctl.toml:12`.
    pub(crate) by: String,
}

//! Which daemon is meant, decided exactly as the docker CLI decides it.
//!
//! Promises: nothing connects here; what was named and is missing is an error and never falls back to
//! another daemon; every endpoint says where it came from; credentials in a URL are never repeated.
//! Order (docker/cli `resolveContextName`): `--context` or `--host` > `DOCKER_HOST` > `DOCKER_CONTEXT` >
//! `currentContext` of `config.json` > the usual sockets.

pub(crate) mod default_socket;
mod host;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use default_socket::socket_at;
pub(crate) use host::Host;

use crate::error::{self, Result};
use host::Address;
use store::Store;

/// A requested endpoint and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointRequest {
    /// A context's name or a host URL.
    pub(crate) value: String,
    /// Source of the value, for messages: `--context`, `ENVCTL_HOST`, `/app/envctl.toml:12`.
    pub(crate) by: String,
}

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

    fn config_dir(&self) -> Option<PathBuf> {
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

/// Chooses the endpoint. `socket` answers for a path whether a socket is there, with its real path
/// ([`socket_at`] looks at the disk); it is asked only when nothing names a daemon.
///
/// # Errors
/// Usage: `--context` together with `--host`, a host URL that cannot be read. Docker: a context that does
/// not exist, a broken `meta.json` or `config.json`, missing TLS files, no socket anywhere.
pub(crate) fn resolve(inputs: &ContextInputs, socket: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<Endpoint> {
    let store = Store::new(inputs.config_dir());
    let mut endpoint = match (&inputs.context, &inputs.host) {
        (Some(context), Some(host)) => {
            let message =
                format!("conflicting options: {} names a context and {} a host", context.by, host.by);
            return Err(error::usage(message).hint("name the daemon once: either `--context` or `--host`"));
        }
        (Some(context), None) => named(inputs, &store, &context.value, &context.by)?,
        (None, Some(host)) => by_host(inputs, &host.value, &host.by)?,
        (None, None) => by_environment(inputs, &store, socket)?,
    };
    // Only a convenience here: where the file was needed for the choice, its faults were told above.
    endpoint.detach_keys = store.config().ok().and_then(|config| config.detach_keys);
    Ok(endpoint)
}

fn by_environment(
    inputs: &ContextInputs,
    store: &Store,
    socket: &dyn Fn(&Path) -> Option<PathBuf>,
) -> Result<Endpoint> {
    if let Some(url) = &inputs.docker_host {
        let mut endpoint = by_host(inputs, url, "DOCKER_HOST")?;
        if inputs.docker_context.is_some() {
            endpoint.origin.push_str(" (DOCKER_CONTEXT is ignored)");
        }
        return Ok(endpoint);
    }
    if let Some(name) = &inputs.docker_context {
        return named(inputs, store, name, "DOCKER_CONTEXT");
    }
    let config = store.config().map_err(|broken| {
        broken.hint("repair the file, or name the daemon with `--context NAME` or `--host URL`")
    })?;
    match config.current_context.filter(|name| !name.is_empty() && name != "default") {
        Some(name) => named(inputs, store, &name, &format!("currentContext in {}", store.config_file())),
        None => crate::docker::context::default_socket::usual(inputs, socket),
    }
}

/// A context by its name; `default` is virtual and means what the variables say, or Docker's own socket.
fn named(inputs: &ContextInputs, store: &Store, name: &str, by: &str) -> Result<Endpoint> {
    if name == "default" {
        let url = inputs.docker_host.as_deref().unwrap_or_default();
        let by = if url.is_empty() { by.to_owned() } else { format!("{by}, DOCKER_HOST") };
        return by_host(inputs, url, &by);
    }
    let context = store.context(name).map_err(|error| error.context(format!("{by} names `{name}`")))?;
    let address = Address::parse(&context.host)
        .map_err(|reason| error::docker(format!("context `{name}` has an unusable host: {reason}")))?;
    let tls = if address.host.is_tcp() {
        context.tls.or_else(|| address.tls.then(TlsFiles::default))
    } else {
        None
    };
    Ok(endpoint(name, address.host_with_port(tls.is_some()), tls, by))
}

/// A host URL: TLS is what the `DOCKER_TLS…` variables say.
fn by_host(inputs: &ContextInputs, url: &str, by: &str) -> Result<Endpoint> {
    let address = Address::parse(url).map_err(|reason| {
        error::usage(format!("{by}: {reason}")).hint("write unix:///path, tcp://host:port or ssh://user@host")
    })?;
    let tls = if address.host.is_tcp() { variables_tls(inputs, address.tls)? } else { None };
    Ok(endpoint("default", address.host_with_port(tls.is_some()), tls, by))
}

fn endpoint(name: &str, host: Host, tls: Option<TlsFiles>, origin: &str) -> Endpoint {
    Endpoint { name: name.to_owned(), host, tls, origin: origin.to_owned(), detach_keys: None }
}

/// `DOCKER_TLS_VERIFY`, `DOCKER_TLS`, `DOCKER_CERT_PATH`, and `https://`, which asks for both.
fn variables_tls(inputs: &ContextInputs, https: bool) -> Result<Option<TlsFiles>> {
    if !inputs.tls_verify && !inputs.tls && !https {
        return Ok(None);
    }
    let folder = inputs.cert_path.clone().or_else(|| inputs.config_dir()).unwrap_or_default();
    let files = store::tls_files(&folder);
    let skip_verify = !inputs.tls_verify && !https;
    if files.ca.is_none() && inputs.tls_verify {
        let message =
            format!("DOCKER_TLS_VERIFY is set but {} does not exist", folder.join("ca.pem").display());
        return Err(error::docker(message).hint("set DOCKER_CERT_PATH to the folder that holds ca.pem"));
    }
    store::whole_pair(&files, &folder)?;
    Ok(Some(TlsFiles { skip_verify, ..files }))
}

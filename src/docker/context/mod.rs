//! Which daemon is meant, decided exactly as the docker CLI decides it.
//!
//! Promises: nothing connects here; what was named and is missing is an error and never falls back to
//! another daemon; every endpoint says where it came from; credentials in a URL are never repeated.
//! Order (docker/cli `resolveContextName`): `--context` or `--host` > `DOCKER_HOST` > `DOCKER_CONTEXT` >
//! `currentContext` of `config.json` > the usual sockets.

pub(crate) mod default_socket;
pub(crate) mod endpoint;
mod host;
mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::docker::context::endpoint::{ContextInputs, Endpoint, TlsFiles, endpoint};

pub(crate) use default_socket::socket_at;
pub(crate) use host::Host;

use crate::error::{self, Result};
use host::Address;
use store::ContextStore;

/// Chooses the endpoint. `socket` answers for a path whether a socket is there, with its real path
/// ([`socket_at`] looks at the disk); it is asked only when nothing names a daemon.
///
/// # Errors
/// Usage: `--context` together with `--host`, a host URL that cannot be read. Docker: a context that does
/// not exist, a broken `meta.json` or `config.json`, missing TLS files, no socket anywhere.
pub(crate) fn resolve(inputs: &ContextInputs, socket: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<Endpoint> {
    let store = ContextStore::new(inputs.config_dir());
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
    store: &ContextStore,
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
fn named(inputs: &ContextInputs, store: &ContextStore, name: &str, by: &str) -> Result<Endpoint> {
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

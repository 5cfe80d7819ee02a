//! Usual sockets of daemons, for a user who names no context and no host.
//!
//! Promises: a fixed order, Docker's own socket first; when several daemons are there the endpoint's
//! origin names the others; links to one and the same socket count once.

use std::path::{Path, PathBuf};

use super::host::{DOCKER_SOCKET, Host};
use crate::docker::context::endpoint::{ContextInputs, Endpoint, endpoint};
use crate::error::{self, Result};

/// The first of the usual sockets that is there.
pub(crate) fn usual(inputs: &ContextInputs, socket: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<Endpoint> {
    if cfg!(windows) {
        return Ok(endpoint("default", Host::Npipe("//./pipe/docker_engine".to_owned()), None, "default"));
    }
    let places = places(inputs);
    // Desktop and podman-docker link Docker's path to their own socket: that is one daemon, not two.
    let mut found: Vec<(PathBuf, PathBuf)> = Vec::new();
    for place in &places {
        let Some(real) = socket(place) else { continue };
        if !found.iter().any(|(_, known)| *known == real) {
            found.push((place.clone(), real));
        }
    }
    let mut found = found.into_iter().map(|(place, _)| place);
    let chosen = found.next().ok_or_else(|| nowhere(&places))?;
    let others = list(&found.collect::<Vec<_>>());
    let mut origin = format!("socket found at {}", chosen.display());
    if !others.is_empty() {
        origin = format!("{origin}, the first of several (also there: {others})");
    }
    Ok(endpoint("default", Host::Unix(chosen), None, &origin))
}

/// Every place, in order of preference. Sources: the products' own documentation.
fn places(inputs: &ContextInputs) -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from(DOCKER_SOCKET)];
    let runtime = inputs
        .runtime_dir
        .clone()
        .or_else(|| inputs.uid.filter(|uid| *uid != 0).map(|uid| PathBuf::from(format!("/run/user/{uid}"))));
    // Rootless Docker.
    places.extend(runtime.as_ref().map(|dir| dir.join("docker.sock")));
    if let Some(home) = &inputs.home {
        let below_home = [
            ".docker/run/docker.sock",     // Docker Desktop on macOS; rootless without a session
            ".docker/desktop/docker.sock", // Docker Desktop on Linux
            ".orbstack/run/docker.sock",   // OrbStack
            ".colima/default/docker.sock", // Colima
            ".rd/docker.sock",             // Rancher Desktop
        ];
        places.extend(below_home.map(|below| home.join(below)));
    }
    places.extend(runtime.map(|dir| dir.join("podman/podman.sock")));
    places.push(PathBuf::from("/run/podman/podman.sock"));
    places
}

fn nowhere(places: &[PathBuf]) -> error::Error {
    error::docker(format!("no Docker socket found; looked at {}", list(places))).hint(
        "start Docker, or name the daemon with `--context NAME` or `--host unix:///path/to/docker.sock`",
    )
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The real path of the socket at `path`; `None` where there is none (a folder of that name is what
/// compose leaves behind when it mounts a missing socket).
pub(crate) fn socket_at(path: &Path) -> Option<PathBuf> {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if !metadata.file_type().is_socket() {
            return None;
        }
    }
    let _ = metadata;
    Some(std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
}

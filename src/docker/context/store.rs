//! The docker CLI's folder as it lies on disk: `config.json` and the contexts.
//!
//! Promises: reads only; a file that cannot be read or understood is an error that names it; a missing
//! `config.json` is an empty one. Format: docker/cli `cli/context/store`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::docker::context::endpoint::TlsFiles;
use crate::error::{self, Error, Result};

/// `~/.docker`, or wherever `DOCKER_CONFIG` points.
pub(crate) struct ContextStore {
    folder: Option<PathBuf>,
}

/// The part of `config.json` that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DockerConfig {
    pub(crate) current_context: Option<String>,
    pub(crate) detach_keys: Option<String>,
}

/// A context, as far as the `docker` endpoint goes.
pub(crate) struct Context {
    pub(crate) host: String,
    pub(crate) tls: Option<TlsFiles>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    endpoints: BTreeMap<String, MetaEndpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetaEndpoint {
    #[serde(rename = "Host")]
    host: String,
    #[serde(rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

impl ContextStore {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// The path of `config.json`, for messages.
    pub(crate) fn config_file(&self) -> String {
        self.path("config.json").display().to_string()
    }

    pub(crate) fn config(&self) -> Result<DockerConfig> {
        Ok(read_json(&self.path("config.json"))?.unwrap_or_default())
    }

    /// A context by its name; the folder is the name's hash, so a name cannot lead out of the store.
    pub(crate) fn context(&self, name: &str) -> Result<Context> {
        let id = context_id(name);
        let file = self.path("contexts/meta").join(&id).join("meta.json");
        let meta: Meta = read_json(&file)?.ok_or_else(|| self.missing(name))?;
        let endpoint = meta
            .endpoints
            .get("docker")
            .ok_or_else(|| error::docker(format!("{} has no docker endpoint", file.display())))?;
        let folder = self.path("contexts/tls").join(&id).join("docker");
        let files = tls_files(&folder);
        whole_pair(&files, &folder)?;
        let wanted = endpoint.skip_tls_verify || files != TlsFiles::default();
        let tls = wanted.then_some(TlsFiles { skip_verify: endpoint.skip_tls_verify, ..files });
        Ok(Context { host: endpoint.host.clone(), tls })
    }

    fn missing(&self, name: &str) -> Error {
        let known = self.names().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        error::docker(format!("Docker context `{name}` does not exist; known contexts: {known}"))
            .hint("run `docker context ls`, or name another one with `--context NAME`")
    }

    /// The names of all readable contexts, sorted, `default` first.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("contexts/meta")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| read_json::<Meta>(&entry.path().join("meta.json")).ok().flatten())
            .map(|meta| meta.name)
            .collect();
        names.sort();
        names.insert(0, "default".to_owned());
        names
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.as_deref().unwrap_or(Path::new(".docker")).join(below)
    }
}

/// The folder name of a context: SHA-256 of its name in hex.
pub(crate) fn context_id(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Returns the files `ca.pem`, `cert.pem` and `key.pem`, as far as they exist in `folder`.
pub(crate) fn tls_files(folder: &Path) -> TlsFiles {
    let there = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
    TlsFiles { ca: there("ca.pem"), cert: there("cert.pem"), key: there("key.pem"), skip_verify: false }
}

/// A certificate without its key, or the reverse, would only fail in the handshake, without a reason.
pub(crate) fn whole_pair(files: &TlsFiles, folder: &Path) -> Result<()> {
    let missing = match (&files.cert, &files.key) {
        (Some(_), None) => "key.pem",
        (None, Some(_)) => "cert.pem",
        _ => return Ok(()),
    };
    Err(error::docker(format!("{} does not exist, but its counterpart does", folder.join(missing).display())))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        // NotADirectory: some part of the path is a file, so the wanted one is not there either.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(error::docker(format!("cannot read {}", path.display())).because(e)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| error::docker(format!("{} is not what docker writes", path.display())).because(e))
}

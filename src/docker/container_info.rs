//! A container as observed: the values that discovery and the operations need, nothing else.
//!
//! Parsed from the daemon's own JSON rather than from generated models: an engine that knows one more
//! state (Podman's "stopping") or one field less must not make a whole listing fail.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::docker::container_summary::ContainerSummary;

/// The life cycle state in the engine's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContainerState {
    /// Never started.
    Created,
    /// Runs; exec works.
    Running,
    /// Frozen by `docker pause`; exec is refused until it is unpaused.
    Paused,
    /// Between two starts under a restart policy.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended, with its exit code.
    Exited(i64),
    /// Could not be removed.
    Dead,
    /// A word this version does not know.
    Other(String),
}

impl fmt::Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("created"),
            Self::Running => f.write_str("running"),
            Self::Paused => f.write_str("paused"),
            Self::Restarting => f.write_str("restarting"),
            Self::Removing => f.write_str("removing"),
            Self::Exited(code) => write!(f, "exited ({code})"),
            Self::Dead => f.write_str("dead"),
            Self::Other(value) => f.write_str(value),
        }
    }
}

/// State of a container's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// The image has no health check.
    None,
    /// Not decided yet.
    Starting,
    /// Passed.
    Healthy,
    /// Failed.
    Unhealthy,
}

impl Health {
    /// The engine's word, or `None` where there is no check.
    pub(crate) fn keyword(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Starting => Some("starting"),
            Self::Healthy => Some("healthy"),
            Self::Unhealthy => Some("unhealthy"),
        }
    }
}

/// The part of an image's own configuration that tells what it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageConfig {
    /// Image id (`sha256:…`).
    pub(crate) id: String,
    /// Names in registries, each with its digest; empty for an image that was built here.
    pub(crate) digests: Vec<String>,
    /// `NAME=value` pairs baked into the image.
    pub(crate) env: Vec<String>,
    /// Entrypoint and command, one after the other.
    pub(crate) command: Vec<String>,
}

/// Kind of storage behind a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// Volume of the engine, named or anonymous.
    Volume,
    /// Directory or file of the host.
    Bind,
    /// Memory.
    Tmpfs,
    /// A kind that this version does not know.
    Other,
}

/// Directory or file of a container that lies outside the container's own layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerMount {
    pub(crate) kind: MountKind,
    /// Name of the volume; empty for other kinds.
    pub(crate) name: String,
    /// Path on the engine's host; empty for memory.
    pub(crate) source: String,
    /// Path in the container.
    pub(crate) destination: String,
}

impl ContainerMount {
    /// Reports a volume that nobody named: the engine gives it 64 hex digits.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.kind == MountKind::Volume
            && self.name.len() == 64
            && self.name.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

/// Port of a container that the engine's host forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishedPort {
    /// Address on the host; empty, `0.0.0.0` or `::` for every interface.
    pub(crate) host_address: String,
    pub(crate) host_port: String,
    /// `5432` of `5432/tcp`.
    pub(crate) container_port: String,
}

/// One container, observed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ContainerInfo {
    /// Full id (64 hex digits).
    pub(crate) id: String,
    /// Name without the leading slash.
    pub(crate) name: String,
    /// Image as it was asked for (`postgres:15`).
    pub(crate) image: String,
    /// Image id (`sha256:…`).
    pub(crate) image_id: String,
    /// Life cycle state.
    pub(crate) state: ContainerState,
    /// Health check result.
    pub(crate) health: Health,
    /// All labels; free text from whoever may run containers, so never trusted and always escaped.
    pub(crate) labels: BTreeMap<String, String>,
    /// `NAME=value` pairs, the image's and the service's together. Holds secrets: not in `Debug`.
    pub(crate) env: Vec<String>,
    /// PID 1 as started: path and arguments.
    pub(crate) command: Vec<String>,
    /// The image's own configuration; `None` when the image is gone or was not looked at.
    pub(crate) image_config: Option<ImageConfig>,
    /// True where an init (tini) is PID 1 (`init: true`).
    pub(crate) init: bool,
    /// The network addresses by network name.
    pub(crate) addresses: BTreeMap<String, String>,
    /// Mounts; `None` where the engine does not tell them.
    pub(crate) mounts: Option<Vec<ContainerMount>>,
    /// Ports that the host forwards.
    pub(crate) published: Vec<PublishedPort>,
    /// True where the container shares the host's network.
    pub(crate) host_network: bool,
    /// Time of creation, RFC 3339, unchanged from the daemon.
    pub(crate) created: String,
    /// Time of the last start, RFC 3339.
    pub(crate) started: String,
    /// The command line tool of a migration system found inside, where somebody looked (`prisma`).
    pub(crate) migration_tool: Option<String>,
    /// Command lines of its processes, where the engine was asked for them.
    pub(crate) processes: Option<Vec<String>>,
}

impl fmt::Debug for ContainerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerInfo")
            .field("name", &self.name)
            .field("id", &self.short_id())
            .field("image", &self.image)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl ContainerInfo {
    /// Builds a container from one line of a listing; the fields that a listing lacks get default values.
    pub(crate) fn listed(line: &ContainerSummary) -> Self {
        Self {
            id: line.id.clone(),
            name: line.name.clone(),
            labels: line.labels.clone(),
            image: String::new(),
            image_id: line.image_id.clone().unwrap_or_default(),
            state: ContainerState::Created,
            health: Health::None,
            env: Vec::new(),
            command: Vec::new(),
            image_config: None,
            init: false,
            addresses: BTreeMap::new(),
            mounts: None,
            published: Vec::new(),
            host_network: false,
            created: String::new(),
            started: String::new(),
            migration_tool: None,
            processes: None,
        }
    }

    /// The twelve digits people know.
    pub(crate) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    /// An environment variable of the container's configuration.
    pub(crate) fn env(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name)).map(|(_, v)| v)
    }

    /// Reports whether the container runs, which an exec needs.
    pub(crate) fn is_running(&self) -> bool {
        self.state == ContainerState::Running
    }
}

/// `GET /containers/{id}/json`, the fields that are read. Unknown ones are ignored, missing ones are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectAnswer {
    id: String,
    name: String,
    image: String,
    path: String,
    args: Vec<String>,
    created: String,
    state: StateAnswer,
    config: ConfigAnswer,
    host_config: HostConfigAnswer,
    network_settings: NetworkSettingsAnswer,
    mounts: Option<Vec<MountAnswer>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct MountAnswer {
    #[serde(rename = "Type")]
    kind: String,
    name: String,
    source: String,
    destination: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct StateAnswer {
    status: String,
    running: bool,
    paused: bool,
    exit_code: i64,
    started_at: String,
    health: Option<HealthAnswer>,
    // Podman before 4.x names it so.
    healthcheck: Option<HealthAnswer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HealthAnswer {
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ConfigAnswer {
    image: String,
    env: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    cmd: Option<Vec<String>>,
    #[serde(deserialize_with = "text_or_list")]
    entrypoint: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfigAnswer {
    init: Option<bool>,
    network_mode: String,
    // `--tmpfs` stands here and not among the mounts.
    tmpfs: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkSettingsAnswer {
    networks: Option<BTreeMap<String, NetworkAnswer>>,
    ports: Option<BTreeMap<String, Option<Vec<PortAnswer>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PortAnswer {
    host_ip: String,
    host_port: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkAnswer {
    #[serde(rename = "IPAddress")]
    ip_address: String,
}

/// `GET /images/{id}/json`, the fields that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ImageAnswer {
    id: String,
    repo_digests: Option<Vec<String>>,
    config: Option<ConfigAnswer>,
}

/// Podman has answered an entrypoint as one string, Docker as a list or null.
fn text_or_list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum StateWords {
        Many(Vec<String>),
        One(String),
        None(()),
    }
    Ok(match StateWords::deserialize(deserializer)? {
        StateWords::Many(text_or_list) => text_or_list,
        StateWords::One(value) if value.is_empty() => Vec::new(),
        StateWords::One(value) => vec![value],
        StateWords::None(()) => Vec::new(),
    })
}

impl ContainerInfo {
    /// Reads an inspect answer (`GET /containers/{id}/json`).
    ///
    /// # Errors
    /// The text is not the JSON of a container.
    pub(crate) fn from_inspect(json: &[u8]) -> Result<Self, serde_json::Error> {
        let answer: InspectAnswer = serde_json::from_slice(json)?;
        let health = answer.state.health.as_ref().or(answer.state.healthcheck.as_ref());
        let health = match health.map(|health| health.status.as_str()) {
            Some("starting") => Health::Starting,
            Some("healthy") => Health::Healthy,
            Some("unhealthy") => Health::Unhealthy,
            _ => Health::None,
        };
        let mut command = vec![answer.path.clone()];
        command.extend(answer.args.iter().cloned());
        command.retain(|value| !value.is_empty());
        let mounts = answer.mounts.map(|mounts| all_mounts(mounts, answer.host_config.tmpfs));
        Ok(Self {
            state: state(&answer.state),
            mounts,
            published: published(answer.network_settings.ports.unwrap_or_default()),
            host_network: answer.host_config.network_mode == "host",
            health,
            id: answer.id,
            name: answer.name.trim_start_matches('/').to_owned(),
            image: answer.config.image,
            image_id: answer.image,
            labels: answer.config.labels.unwrap_or_default(),
            env: answer.config.env.unwrap_or_default(),
            command,
            image_config: None,
            init: answer.host_config.init.unwrap_or(false),
            addresses: answer
                .network_settings
                .networks
                .unwrap_or_default()
                .into_iter()
                .filter(|(_, network)| !network.ip_address.is_empty())
                .map(|(name, network)| (name, network.ip_address))
                .collect(),
            created: answer.created,
            started: answer.state.started_at,
            migration_tool: None,
            processes: None,
        })
    }
}

impl ImageConfig {
    /// Reads an image inspect answer (`GET /images/{id}/json`).
    ///
    /// # Errors
    /// The text is not the JSON of an image.
    pub(crate) fn from_inspect(json: &[u8]) -> Result<Self, serde_json::Error> {
        let answer: ImageAnswer = serde_json::from_slice(json)?;
        let config = answer.config.unwrap_or_default();
        let mut command = config.entrypoint;
        command.extend(config.cmd.unwrap_or_default());
        Ok(Self {
            id: answer.id,
            digests: answer.repo_digests.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            command,
        })
    }
}

fn all_mounts(listed: Vec<MountAnswer>, tmpfs: Option<BTreeMap<String, String>>) -> Vec<ContainerMount> {
    let listed = listed.into_iter().map(|mount| ContainerMount {
        kind: match mount.kind.as_str() {
            "volume" => MountKind::Volume,
            "bind" => MountKind::Bind,
            "tmpfs" => MountKind::Tmpfs,
            _ => MountKind::Other,
        },
        name: mount.name,
        source: mount.source,
        destination: mount.destination,
    });
    let in_memory = tmpfs.unwrap_or_default().into_keys().map(|destination| ContainerMount {
        kind: MountKind::Tmpfs,
        name: String::new(),
        source: String::new(),
        destination,
    });
    listed.chain(in_memory).collect()
}

fn published(ports: BTreeMap<String, Option<Vec<PortAnswer>>>) -> Vec<PublishedPort> {
    let each = |(port, bindings): (String, Option<Vec<PortAnswer>>)| {
        let container_port = port.split('/').next().unwrap_or_default().to_owned();
        bindings.unwrap_or_default().into_iter().map(move |binding| PublishedPort {
            host_address: binding.host_ip,
            host_port: binding.host_port,
            container_port: container_port.clone(),
        })
    };
    ports.into_iter().flat_map(each).collect()
}

fn state(answer: &StateAnswer) -> ContainerState {
    match answer.status.as_str() {
        "created" | "configured" | "initialized" => ContainerState::Created,
        "running" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        "removing" => ContainerState::Removing,
        "exited" | "stopped" => ContainerState::Exited(answer.exit_code),
        "dead" => ContainerState::Dead,
        "" if answer.paused => ContainerState::Paused,
        "" if answer.running => ContainerState::Running,
        other => ContainerState::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_ports_are_read() {
        let name = "a".repeat(64);
        let json = format!(
            r#"{{"Id": "1", "HostConfig": {{"NetworkMode": "host", "Tmpfs": {{"/tmp": "size=1m"}}}},
                "Mounts": [{{"Type": "volume", "Name": "{name}", "Source": "/v", "Destination": "/data"}},
                           {{"Type": "bind", "Source": "/srv", "Destination": "/srv"}},
                           {{"Type": "image", "Destination": "/later"}}],
                "NetworkSettings": {{"Ports": {{"5432/tcp": [{{"HostIp": "0.0.0.0", "HostPort": "5433"}}], "80/tcp": null}}}}}}"#
        );
        let container = ContainerInfo::from_inspect(json.as_bytes()).unwrap();
        let mounts = container.mounts.unwrap();
        let kinds: Vec<MountKind> = mounts.iter().map(|mount| mount.kind).collect();
        assert_eq!(kinds, [MountKind::Volume, MountKind::Bind, MountKind::Other, MountKind::Tmpfs]);
        assert!(mounts[0].is_anonymous() && !mounts[1].is_anonymous());
        assert!(container.host_network);
        let port = PublishedPort {
            host_address: "0.0.0.0".into(),
            host_port: "5433".into(),
            container_port: "5432".into(),
        };
        assert_eq!(container.published, [port]);
        assert_eq!(ContainerInfo::from_inspect(br#"{"Id": "1"}"#).unwrap().mounts, None);
    }

    #[test]
    fn digests_of_an_image_are_read() {
        let json = br#"{"Id": "sha256:1", "RepoDigests": ["postgres@sha256:2"], "Config": {"Env": ["PG_MAJOR=17"]}}"#;
        let image = ImageConfig::from_inspect(json).unwrap();
        assert_eq!((image.id.as_str(), &image.digests[0][..]), ("sha256:1", "postgres@sha256:2"));
    }
}

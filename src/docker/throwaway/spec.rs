//! A throwaway container in the words of the engine's API: no network, no mount, the labels of a worker.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig};

use crate::docker::worker::labels::{DIR_LABEL, HOST_LABEL, LABEL};
use crate::docker::worker::machine_id::this_machine;
use crate::docker::worker::worker_spec::ResourceLimits;
use crate::operation::OperationId;

/// A throwaway container, as the engine is asked for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ThrowawaySpec {
    pub(crate) operation: OperationId,
    /// Name or id of the image.
    pub(crate) image: String,
    /// Command in place of the image's own; its entrypoint stays.
    pub(crate) command: Vec<String>,
    /// Variables.
    pub(crate) env: Vec<(String, String)>,
    /// Size of `/dev/shm`, in bytes.
    pub(crate) shared_memory: u64,
    pub(crate) limits: ResourceLimits,
    /// Private directory by whose lock a later run knows that its envctl lives.
    pub(crate) private_dir: PathBuf,
}

impl ThrowawaySpec {
    /// Returns the container's name.
    pub(crate) fn name(&self) -> String {
        format!("envctl-{}-throwaway", self.operation.short())
    }

    /// Builds the body of `POST /containers/create`.
    pub(crate) fn body(&self) -> ContainerCreateBody {
        let bytes = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
        ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: Some(self.command.clone()),
            env: Some(self.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            labels: Some(HashMap::from([
                (LABEL.to_owned(), self.operation.to_string()),
                (DIR_LABEL.to_owned(), self.private_dir.display().to_string()),
                (HOST_LABEL.to_owned(), this_machine().to_owned()),
            ])),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                shm_size: Some(bytes(self.shared_memory)),
                // Where memory ends this goes, and not a server of the stack.
                oom_score_adj: Some(500),
                memory: self.limits.memory.map(bytes),
                nano_cpus: self.limits.cpus.map(|cpus| (cpus * 1e9) as i64),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_no_network_no_mount_and_the_labels_of_a_worker() {
        let spec = ThrowawaySpec {
            operation: "0123456789abcdef".into(),
            image: "sha256:00".into(),
            command: vec!["postgres".into(), "-c".into(), "fsync=off".into()],
            env: vec![("POSTGRES_USER".into(), "app".into())],
            shared_memory: 1 << 20,
            limits: ResourceLimits { memory: Some(64 << 20), cpus: Some(0.5) },
            private_dir: "/run/envctl-worker-00".into(),
        };
        let json = serde_json::to_value(spec.body()).unwrap();
        let host = &json["HostConfig"];
        assert_eq!((&host["NetworkMode"], &host["Binds"]), (&"none".into(), &serde_json::Value::Null));
        assert_eq!(
            (&host["Mounts"], &host["PortBindings"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        assert_eq!((&host["Memory"], &host["NanoCpus"]), (&(64 << 20).into(), &500_000_000.into()));
        assert_eq!(json["Labels"]["envctl.worker"], "0123456789abcdef");
        assert_eq!(json["Labels"]["envctl.worker.dir"], "/run/envctl-worker-00");
        assert_eq!(json["Cmd"], serde_json::json!(["postgres", "-c", "fsync=off"]));
        assert_eq!(spec.name(), "envctl-01234567-throwaway");
    }
}

//! A worker in the words of the engine's API.
//!
//! Promise: a worker can do no more than its tool needs: no capability, no new privilege, a read-only root, the
//! caller's own uid, one private directory. What it is asked to be holds no secret (`docker inspect` shows it).

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType};
use serde::Deserialize;

use super::labels::{DIR_LABEL, HOST_LABEL, LABEL};
use super::{ARCHIVE, OrphanWorker};
use crate::docker::worker::worker_spec::{ContainerExit, EngineFeatures, WorkerSpec};
use crate::fsutil::private_dir::INSIDE;

/// Builds the body of `POST /containers/create`.
pub(crate) fn body(spec: &WorkerSpec) -> ContainerCreateBody {
    let (program, arguments) = spec.argv.split_first().map_or((None, &[][..]), |(p, a)| (Some(p), a));
    let private_dir = spec.private_dir.display().to_string();
    let archive = spec
        .archive
        .as_ref()
        .map(|path| Mount { read_only: Some(true), ..bind(path.display().to_string(), ARCHIVE) });
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: Some(program.into_iter().cloned().collect()),
        cmd: Some(arguments.to_vec()),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: Some(spec.user.clone()),
        working_dir: (!spec.foreign_image).then(|| if spec.remote { "/" } else { INSIDE }.to_owned()),
        open_stdin: spec.attach_stdin.then_some(true),
        stdin_once: spec.attach_stdin.then_some(true),
        attach_stdin: spec.attach_stdin.then_some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        labels: Some(HashMap::from([
            (LABEL.to_owned(), spec.operation.to_string()),
            (DIR_LABEL.to_owned(), private_dir.clone()),
            (HOST_LABEL.to_owned(), spec.machine.clone()),
        ])),
        host_config: Some(HostConfig {
            network_mode: Some(format!("container:{}", spec.network_of)),
            mounts: (!spec.remote)
                .then(|| std::iter::once(bind(private_dir, INSIDE)).chain(archive).collect()),
            tmpfs: spec.foreign_image.then(|| HashMap::from([("/tmp".to_owned(), String::new())])),
            init: Some(true),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            // A container of SELinux's own label could not open the private directory.
            security_opt: Some(vec!["no-new-privileges".to_owned(), "label=disable".to_owned()]),
            // What it says goes to us; a log would only fill the disk.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            // Where memory ends the worker goes, and not the database.
            oom_score_adj: Some(500),
            memory: spec.limits.memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            nano_cpus: spec.limits.cpus.map(|cpus| (cpus * 1e9) as i64),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn bind(source: String, target: &str) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source),
        target: Some(target.to_owned()),
        ..Mount::default()
    }
}

/// `GET /info`, the fields that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Info {
    operating_system: String,
    security_options: Option<Vec<String>>,
}

/// Reads the answer of `GET /info`.
pub(crate) fn nature(json: &[u8]) -> Result<EngineFeatures, serde_json::Error> {
    let info: Info = serde_json::from_slice(json)?;
    let has = |value: &str| {
        info.security_options.iter().flatten().any(|option| option.split(',').any(|part| part == value))
    };
    Ok(EngineFeatures {
        rootless: has("name=rootless"),
        user_namespaces: has("name=userns"),
        desktop: info.operating_system.contains("Docker Desktop"),
    })
}

/// `GET /containers/{id}/json`, what is read of a worker's end.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectedEnd {
    state: EndedState,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct EndedState {
    running: bool,
    exit_code: i64,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
}

/// Parses the end of a worker; `None` while the worker runs.
pub(crate) fn end(json: &[u8]) -> Result<Option<ContainerExit>, serde_json::Error> {
    let InspectedEnd { state } = serde_json::from_slice(json)?;
    Ok((!state.running)
        .then_some(ContainerExit { exit_code: state.exit_code, out_of_memory: state.oom_killed }))
}

/// One row of `GET /containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct WorkerRow {
    id: String,
    state: String,
    /// Seconds since 1970.
    created: Option<i64>,
    labels: Option<HashMap<String, String>>,
}

/// Age in seconds from which a created worker that was never started counts as ended. One other request lies
/// between creation and start. A run that was suspended for so long in between fails to start the worker, and reports
/// the failure.
const NEVER_STARTED: i64 = 60 * 60;

/// The workers of a listing that was made at `date`, by the daemon's clock in seconds since 1970.
pub(crate) fn workers(json: &[u8], date: Option<i64>) -> Result<Vec<OrphanWorker>, serde_json::Error> {
    let rows: Vec<WorkerRow> = serde_json::from_slice(json)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let mut labels = row.labels?;
            let operation = labels.remove(LABEL)?.into();
            let private_dir = labels.remove(DIR_LABEL)?.into();
            let running = match &*row.state {
                "exited" | "dead" => false,
                "created" => {
                    let age = date.zip(row.created).map(|(date, created)| date.saturating_sub(created));
                    age.is_none_or(|age| age < NEVER_STARTED)
                }
                _ => true,
            };
            Some(OrphanWorker {
                id: row.id,
                operation,
                private_dir,
                machine: labels.remove(HOST_LABEL)?,
                running,
            })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::worker::worker_spec::ResourceLimits;

    fn spec() -> WorkerSpec {
        WorkerSpec {
            operation: "0123456789abcdef".into(),
            name: "envctl-01234567-dump".into(),
            image: "sha256:00".into(),
            attach_stdin: false,
            foreign_image: false,
            network_of: "c0ffee".into(),
            argv: ["pg_dump", "--file=/envctl/out"].map(str::to_owned).into(),
            env: vec![("PGHOST".into(), "127.0.0.1".into())],
            user: "1000:1000".into(),
            private_dir: "/run/envctl-worker-00".into(),
            machine: "here".into(),
            remote: false,
            archive: Some("/b.dump".into()),
            limits: ResourceLimits { memory: Some(64 << 20), cpus: Some(0.5) },
        }
    }

    #[test]
    fn a_worker_is_asked_to_be_able_to_do_nothing_but_its_work() {
        let json = serde_json::to_value(body(&spec())).unwrap();
        let host = &json["HostConfig"];
        assert_eq!(json["Entrypoint"], serde_json::json!(["pg_dump"]));
        assert_eq!(json["Cmd"], serde_json::json!(["--file=/envctl/out"]));
        assert_eq!((&json["User"], &json["Image"]), (&"1000:1000".into(), &"sha256:00".into()));
        assert_eq!(json["Healthcheck"]["Test"], serde_json::json!(["NONE"]));
        assert_eq!(json["Labels"]["envctl.worker"], "0123456789abcdef");
        assert_eq!(host["NetworkMode"], "container:c0ffee");
        assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!(host["SecurityOpt"], serde_json::json!(["no-new-privileges", "label=disable"]));
        assert_eq!((&host["ReadonlyRootfs"], &host["Init"]), (&true.into(), &true.into()));
        assert_eq!((&host["Memory"], &host["NanoCpus"]), (&(64 << 20).into(), &500_000_000.into()));
        assert_eq!(host["AutoRemove"], serde_json::Value::Null, "its exit code is needed");
        let mount = &host["Mounts"][0];
        assert_eq!(
            (&mount["Source"], &mount["Target"]),
            (&"/run/envctl-worker-00".into(), &"/envctl".into())
        );
        let archive = &host["Mounts"][1];
        assert_eq!((&archive["Source"], &archive["ReadOnly"]), (&"/b.dump".into(), &true.into()));
    }

    #[test]
    fn a_worker_on_another_machine_sees_nothing_of_this_one() {
        let json = serde_json::to_value(body(&WorkerSpec {
            remote: true,
            attach_stdin: true,
            archive: None,
            ..spec()
        }))
        .unwrap();
        assert_eq!(json["HostConfig"]["Mounts"], serde_json::Value::Null);
        assert_eq!((&json["OpenStdin"], &json["StdinOnce"]), (&true.into(), &true.into()));
        assert_eq!(json["HostConfig"]["CapDrop"], serde_json::json!(["ALL"]));
    }

    #[test]
    fn a_tool_of_another_image_starts_in_its_own_directory_and_can_do_no_more_than_others() {
        let json = serde_json::to_value(body(&WorkerSpec {
            attach_stdin: true,
            foreign_image: true,
            archive: None,
            ..spec()
        }))
        .unwrap();
        let host = &json["HostConfig"];
        assert_eq!((&json["WorkingDir"], &host["Tmpfs"]["/tmp"]), (&serde_json::Value::Null, &"".into()));
        assert_eq!((&json["OpenStdin"], &json["StdinOnce"]), (&true.into(), &true.into()));
        assert_eq!((&host["ReadonlyRootfs"], &host["CapDrop"][0]), (&true.into(), &"ALL".into()));
        assert_eq!(host["Mounts"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn what_an_engine_is_like_is_read_from_its_info() {
        let of = |text: &str| nature(text.as_bytes()).unwrap();
        assert_eq!(of("{}"), EngineFeatures::default());
        let options =
            r#"{"SecurityOptions": ["name=seccomp,profile=default", "name=rootless", "name=userns"]}"#;
        let nature = of(options);
        assert!(nature.rootless && nature.user_namespaces && !nature.desktop);
        assert!(of(r#"{"OperatingSystem": "Docker Desktop", "SecurityOptions": null}"#).desktop);
    }

    #[test]
    fn an_end_is_none_while_it_runs() {
        let of = |text: &str| end(text.as_bytes()).unwrap();
        assert_eq!(of(r#"{"State": {"Running": true}}"#), None);
        let killed = of(r#"{"State": {"Running": false, "ExitCode": 137, "OOMKilled": true}}"#);
        assert_eq!(killed, Some(ContainerExit { exit_code: 137, out_of_memory: true }));
    }

    #[test]
    fn containers_without_a_private_directory_are_no_workers_to_be_removed() {
        let json = r#"[{"Id": "a", "State": "exited", "Created": 1000,
                        "Labels": {"envctl.worker": "op", "envctl.worker.dir": "/run/x", "envctl.worker.host": "h"}},
                       {"Id": "b", "Labels": {"envctl.worker": "op"}}, {"Id": "c", "Labels": null}]"#;
        let left = |state: &str| workers(json.replace("exited", state).as_bytes(), Some(1000 + 60)).unwrap();
        let worker = OrphanWorker {
            id: "a".into(),
            operation: "op".into(),
            private_dir: "/run/x".into(),
            machine: "h".into(),
            running: false,
        };
        assert_eq!(left("exited"), std::slice::from_ref(&worker));
        // What an engine calls by a word that is not known is taken for alive.
        for state in ["created", "running", "paused", "restarting", "removing", "", "stopping"] {
            assert_eq!(left(state), [OrphanWorker { running: true, ..worker.clone() }], "{state}");
        }
        let never_started =
            workers(json.replace("exited", "created").as_bytes(), Some(1000 + 60 * 60)).unwrap();
        assert_eq!(never_started, std::slice::from_ref(&worker));
        let undated = workers(json.replace("exited", "created").as_bytes(), None).unwrap();
        assert_eq!(undated, [OrphanWorker { running: true, ..worker }]);
    }
}

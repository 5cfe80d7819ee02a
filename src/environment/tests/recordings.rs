//! Discovery over what real engines answered (`tests/engines`, made by `scripts/record-engines`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fixture::*;
use crate::docker::ContainerInfo;
use crate::docker::container_info::{ContainerState, ImageConfig};
use crate::environment::selector::ContainerSelector;
use crate::environment::{find, observe};

/// All containers of a kind of engine, each with its image's configuration.
fn recorded(kind: &str) -> Vec<ContainerInfo> {
    let images: BTreeMap<String, ImageConfig> = lines_of(kind, "images")
        .map(|json| {
            let id =
                serde_json::from_str::<serde_json::Value>(&json).unwrap()["Id"].as_str().unwrap().to_owned();
            (id, ImageConfig::from_inspect(json.as_bytes()).unwrap())
        })
        .collect();
    lines_of(kind, "containers")
        .map(|json| {
            let container = ContainerInfo::from_inspect(json.as_bytes()).unwrap();
            let image_config = images.get(&with_algorithm(&container.image_id)).cloned();
            assert!(image_config.is_some(), "{} has no image", container.name);
            ContainerInfo { image_config, ..container }
        })
        .collect()
}

/// Podman 4 names images by bare digits in a container and with the algorithm in the image itself.
fn with_algorithm(id: &str) -> String {
    if id.contains(':') { id.to_owned() } else { format!("sha256:{id}") }
}

fn lines_of(kind: &str, what: &str) -> impl Iterator<Item = String> {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests", "engines", kind, &format!("{what}.jsonl")].iter().collect();
    std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[test]
fn compose_v1_v2_and_podman_compose_are_understood() {
    for (kind, separator, replicas) in [("compose-v1", '_', 2), ("compose-v2", '-', 2), ("podman", '_', 1)] {
        let containers = recorded(kind);
        let name =
            |project: &str, rest: &str| format!("{project}{}", rest.replace('-', &separator.to_string()));
        let prod_dbs: Vec<_> =
            (1..=replicas).map(|number| name("acme-prod", &format!("-db-{number}"))).collect();
        let inventory = observe(&containers, &anything());
        let acme: Vec<String> =
            lines(&inventory).into_iter().filter(|line| line.starts_with("acme")).collect();
        assert_eq!(
            acme,
            [
                format!(
                    "acme dev [acme-dev] db={} backend={}",
                    name("acme-dev", "-db-1"),
                    name("acme-dev", "-backend-1")
                ),
                format!(
                    "acme prod [acme-prod] db={} backend={}",
                    prod_dbs.join(","),
                    name("acme-prod", "-backend-1")
                ),
            ],
            "{kind}"
        );
        let environments = inventory.stacks()[0].environments.clone();
        assert!(environments.iter().all(|environment| environment.directory.as_deref() == Some("/srv/acme")));
        assert_eq!(
            environments.iter().map(|environment| environment.protected).collect::<Vec<_>>(),
            [false, true]
        );
        let chosen = find(&containers, &in_directory("/srv/acme/src")).unwrap();
        assert!(chosen.profile.is_dev(), "{kind}");
        let prod = find(
            &containers,
            &crate::environment::selector::TargetRequest {
                profile: Some("prod".into()),
                ..in_directory("/srv/acme")
            },
        )
        .unwrap();
        let target = prod.pick(&ContainerSelector::Db, None).unwrap();
        assert_eq!(
            (target.container.name.as_str(), target.candidates.len()),
            (prod_dbs[0].as_str(), replicas - 1)
        );
    }
}

#[test]
fn one_off_stopped_and_paused_containers_are_recorded_as_such() {
    for kind in ["compose-v1", "compose-v2"] {
        let containers = recorded(kind);
        let inventory = observe(&containers, &anything());
        let passed: Vec<_> = inventory.passed_over().iter().map(|(_, why)| *why).collect();
        assert_eq!(passed, ["one-off container"], "{kind}");
        let dev = find(&containers, &in_directory("/srv/acme")).unwrap();
        says(dev.pick(&ContainerSelector::parse("backups"), None), &["is paused", "docker unpause"]);
        says(
            dev.pick(&ContainerSelector::parse("exporter"), None),
            &["has exited", "docker start", "compose.dev.yml up -d exporter"],
        );
    }
}

#[test]
fn swarm_services_are_a_stack() {
    let containers = recorded("swarm");
    assert_eq!(containers.iter().filter(|container| !container.is_running()).count(), 1);
    let chosen = find(&containers, &anything()).unwrap();
    assert_eq!((chosen.to_string().as_str(), chosen.project.as_deref()), ("acme prod", Some("acme-prod")));
    let db = chosen.pick(&ContainerSelector::Db, None).unwrap();
    assert!(db.container.is_running() && db.container.name.starts_with("acme-prod_db.1."));
    let second = chosen.pick(&ContainerSelector::Backend, Some(2)).unwrap();
    assert!(second.container.name.starts_with("acme-prod_backend.2."));
    assert_eq!(chosen.pick(&ContainerSelector::parse("backend"), None).unwrap().service, "backend");
}

#[test]
fn containers_started_by_hand_are_stacks() {
    let containers = recorded("plain");
    let expected = [
        "acme dev [-] db=acme_db_dev backend=acme_dev_api",
        "acme prod [-] db=acme-prod-db backend=acme-prod-backend",
        "scratch unknown [-] db=scratch backend=",
        "shop staging [-] db=shop-db backend=",
    ];
    assert_eq!(lines(&observe(&containers, &anything())), expected);
    let init = containers.iter().find(|container| container.name == "acme_db_dev").unwrap();
    assert!(init.init);
    says(find(&containers, &stacks(&["shop"])).unwrap().pick(&ContainerSelector::Db, None), &["is paused"]);
    says(
        find(&containers, &stacks(&["scratch"])).unwrap().pick(&ContainerSelector::Db, None),
        &["never started"],
    );
}

#[test]
fn podman_states_are_known() {
    let containers = recorded("podman");
    assert!(containers.iter().all(|container| !matches!(container.state, ContainerState::Other(_))));
    let shop = containers.iter().find(|container| container.name == "shop-db").unwrap();
    assert_eq!(shop.state, ContainerState::Paused);
}

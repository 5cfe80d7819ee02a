//! Which container: roles, replicas, states, and copies that claim a place.

use super::fixture::*;
use crate::docker::ContainerInfo;
use crate::docker::container_info::{ContainerState, Health};
use crate::environment::selector::ContainerSelector;
use crate::environment::{Target, find};
use crate::error::Result;

fn pick(containers: &[ContainerInfo], wanted: &str, index: Option<u32>) -> Result<Target> {
    find(containers, &anything())?.pick(&ContainerSelector::parse(wanted), index)
}

#[track_caller]
fn picked(containers: &[ContainerInfo], wanted: &str, index: Option<u32>, name: &str) {
    assert_eq!(pick(containers, wanted, index).unwrap().container.name, name);
}

#[test]
fn roles_services_and_containers_are_picked() {
    let containers = [db("acme-dev"), backend("acme-dev"), service("acme-dev", "cache")];
    picked(&containers, "db", None, "acme-dev-db-1");
    picked(&containers, "backend", None, "acme-dev-backend-1");
    picked(&containers, "cache", None, "acme-dev-cache-1");
    picked(&containers, "acme-dev-cache-1", None, "acme-dev-cache-1");
    says(
        pick(&containers, "nope", None),
        &["acme dev has no service or container `nope`; its services: backend, cache, db"],
    );
    says(
        pick(&[db("acme-dev")], "backend", None),
        &["acme dev has no backend", "--container NAME", "envctl.role: backend"],
    );
}

#[test]
fn replicas_go_by_number() {
    let replica = |number: &str| db("acme-dev").number(number);
    let containers = [replica("10"), replica("9"), replica("2").state(ContainerState::Exited(0))];
    let target = pick(&containers, "db", None).unwrap();
    assert_eq!(target.container.name, "acme-dev-db-9");
    let others: Vec<_> = target.candidates.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(others, ["acme-dev-db-10"]);
    let target = pick(&containers, "db", Some(10)).unwrap();
    assert_eq!((target.container.name.as_str(), target.candidates.len()), ("acme-dev-db-10", 0));
    says(pick(&containers, "db", Some(3)), &["`db` has no replica 3", "`--index` 2, 9, 10"]);
    says(pick(&containers, "db", Some(2)), &["has exited"]);
}

#[test]
fn several_services_for_a_role_are_listed() {
    let containers = [
        service("acme-dev", "orders").postgres(),
        service("acme-dev", "stats").postgres(),
        service("acme-dev", "api"),
        service("acme-dev", "web"),
    ];
    says(
        pick(&containers, "db", None),
        &[
            "several services may be the database",
            "--container acme-dev-orders-1",
            "--container acme-dev-stats-1",
            "envctl.role: db",
        ],
    );
    says(
        pick(&containers, "backend", None),
        &["several services may be the backend", "--container acme-dev-api-1"],
    );
}

#[test]
fn a_service_named_for_the_database_is_meant_before_one_named_for_what_uses_it() {
    for name in ["db", "database", "postgres", "postgresql", "pg"] {
        let containers = [
            service("acme-dev", name).postgres(),
            service("acme-dev", "keycloak-db").postgres(),
            backend("acme-dev"),
        ];
        let target = pick(&containers, "db", None).unwrap();
        assert_eq!(target.service, name);
        let why = target.preferred.expect("it is said why");
        assert!(
            why.contains(name) && why.contains("keycloak-db") && why.contains("--container NAME"),
            "{why}"
        );
    }
    // Two such names are a tie, and a database service called `backend` is not preferred.
    let two = [db("acme-dev"), service("acme-dev", "postgres").postgres()];
    says(pick(&two, "db", None), &["several services may be the database"]);
    let named_backend =
        [service("acme-dev", "backend").postgres(), service("acme-dev", "keycloak-db").postgres()];
    says(pick(&named_backend, "db", None), &["several services may be the database"]);
    assert_eq!(pick(&[db("acme-dev")], "db", None).unwrap().preferred, None);
}

#[test]
fn a_server_behind_a_wrapper_is_known_by_its_processes() {
    let wrapped = |name: &str| {
        let mut container = service("acme-dev", name);
        container.command = vec!["/opt/run.sh".to_owned()];
        container
    };
    let mut server = wrapped("postgresql");
    server.image = "bitnami/postgresql:15".to_owned();
    server.env.push("POSTGRESQL_DATABASE=shop".to_owned());
    assert!(crate::environment::is_in_doubt(&server));
    says(pick(&[server.clone(), backend("acme-dev")], "db", None), &["acme dev has no database"]);
    server.processes = Some(vec!["/opt/bitnami/postgresql/bin/postgres -D /data".to_owned()]);
    picked(&[server, backend("acme-dev")], "db", None, "acme-dev-postgresql-1");
    // A job and the server, both of the server's image.
    let (mut first, mut second) = (wrapped("store").pgdata(), wrapped("store-backup").pgdata());
    assert!(crate::environment::is_in_doubt(&first) && crate::environment::is_in_doubt(&second));
    says(pick(&[first.clone(), second.clone()], "db", None), &["several services may be the database"]);
    first.processes = Some(vec!["/bin/sh /opt/run.sh".to_owned(), "postgres: checkpointer".to_owned()]);
    second.processes = Some(vec!["/bin/sh /opt/run.sh".to_owned(), "sleep 3600".to_owned()]);
    picked(&[first, second], "db", None, "acme-dev-store-1");
}

#[test]
fn processes_are_asked_for_only_where_they_can_tell_something() {
    let doubt = crate::environment::is_in_doubt;
    let mut application = backend("acme-dev");
    application.env.push("POSTGRES_HOST=db".to_owned());
    assert!(!doubt(&application), "a backend shares the variables");
    assert!(!doubt(&db("acme-dev")), "its command says it");
    assert!(!doubt(&service("acme-dev", "cache")));
    assert!(!doubt(&service("acme-dev", "db").pgdata().with("envctl.role", "db")), "a label says it");
    assert!(doubt(&service("acme-dev", "db")));
    assert!(doubt(&service("acme-dev", "store").pgdata()));
}

#[test]
fn without_a_backend_the_hint_names_a_service_that_runs() {
    let containers = [db("acme-dev"), service("acme-dev", "umami")];
    says(pick(&containers, "backend", None), &["acme dev has no backend", "`envctl shell umami`"]);
}

#[test]
fn copies_of_the_labels_are_ambiguous() {
    let copy = db("acme-prod").named("copy");
    for copy in [
        copy.clone(),
        copy.clone().with("com.docker.compose.container-number", "0"),
        copy.with("com.docker.compose.container-number", "x"),
    ] {
        says(
            pick(&[db("acme-prod"), copy], "db", None),
            &[
                "several containers claim to be the same replica of `db`",
                "--container copy",
                "--container acme-prod-db-1",
            ],
        );
    }
}

#[test]
fn a_named_container_takes_the_role_it_can_have() {
    let containers = [
        db("acme-dev"),
        service("acme-dev", "stats").postgres(),
        backend("acme-dev"),
        service("acme-dev", "cache"),
    ];
    let named = |name: &str, wanted| {
        find(&containers, &container(name)).unwrap().pick(&wanted, None).unwrap().container.name
    };
    assert_eq!(named("acme-dev-stats-1", ContainerSelector::Db), "acme-dev-stats-1");
    assert_eq!(named("acme-dev-stats-1", ContainerSelector::Backend), "acme-dev-backend-1");
    assert_eq!(named("acme-dev-cache-1", ContainerSelector::Backend), "acme-dev-cache-1");
    let environment = find(&containers, &container("acme-dev-stats-1")).unwrap();
    assert_eq!(environment.named().unwrap().unwrap().container.name, "acme-dev-stats-1");
    assert!(find(&[db("acme-dev")], &anything()).unwrap().named().is_none());
}

#[test]
fn a_container_that_does_not_run_is_refused_with_the_command() {
    for (state, parts) in [
        (ContainerState::Paused, ["is paused", "`docker unpause acme-dev-db-1`"]),
        (ContainerState::Restarting, ["is restarting", "`docker logs --tail 50 acme-dev-db-1`"]),
        (ContainerState::Created, ["was created and never started", "`docker start acme-dev-db-1`"]),
        (
            ContainerState::Exited(0),
            [
                "has exited with code 0",
                "`cd /srv/acme && docker compose -p acme-dev -f compose.yml up -d db`",
            ],
        ),
        (ContainerState::Exited(137), ["has exited with code 137", "`docker start acme-dev-db-1`"]),
        (ContainerState::Dead, ["is dead", "`docker rm acme-dev-db-1`"]),
        (ContainerState::Removing, ["is removing", "up -d db"]),
        (ContainerState::Other("stopping".into()), ["`stopping`", "docker inspect"]),
    ] {
        says(pick(&[db("acme-dev").files("compose.yml").state(state)], "db", None), &parts);
    }
    says(
        pick(&[plain("acme-db").postgres().state(ContainerState::Exited(0))], "db", None),
        &["docker start acme-db"],
    );
}

#[test]
fn health_is_noted_and_refuses_nothing() {
    for (health, note) in [
        (Health::Unhealthy, Some("unhealthy")),
        (Health::Starting, Some("starting")),
        (Health::Healthy, None),
        (Health::None, None),
    ] {
        let target = pick(&[ContainerInfo { health, ..db("acme-dev") }], "db", None).unwrap();
        assert_eq!(target.health_note(), note);
    }
}

#[test]
fn a_missing_database_names_what_speaks_of_one() {
    let mut exporter = service("acme-dev", "exporter");
    exporter.env = vec!["POSTGRES_PASSWORD=hunter2".to_owned()];
    let text = text(&pick(&[backend("acme-dev"), exporter], "db", None).unwrap_err());
    assert!(text.contains("acme-dev-exporter-1 speaks of postgres (variable POSTGRES_PASSWORD)"), "{text}");
    assert!(!text.contains("hunter2"));
}

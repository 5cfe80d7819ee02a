//! Containers in every state, and what is said of them.

use super::*;
use crate::docker::ContainerInfo;
use crate::docker::container_info::ImageConfig;
use crate::doctor::Severity;
use crate::environment::selector::TargetRequest;

fn container(project: &str, service: &str, change: impl Fn(&mut ContainerInfo)) -> ContainerInfo {
    let json = format!(
        r#"{{"Id": "{project}{service}", "Name": "/{project}-{service}-1", "Image": "sha256:0", "Created": "",
            "State": {{"Status": "running"}}, "Path": "sleep", "Args": [], "HostConfig": {{"Init": true}},
            "Config": {{"Image": "x", "Labels": {{
                "com.docker.compose.project": "{project}", "com.docker.compose.service": "{service}",
                "com.docker.compose.container-number": "1"}}}}}}"#
    );
    let mut container = ContainerInfo::from_inspect(json.as_bytes()).unwrap();
    if service.starts_with("db") {
        container.command = ["docker-entrypoint.sh", "postgres"].map(str::to_owned).into();
        container.image_config = Some(ImageConfig {
            env: vec!["PGDATA=/data".into()],
            command: container.command.clone(),
            ..ImageConfig::default()
        });
    }
    change(&mut container);
    container
}

fn findings(containers: &[ContainerInfo]) -> Vec<CheckFinding> {
    let inventory = crate::environment::observe(containers, &TargetRequest::default());
    let stacks = inventory.stacks();
    let [environment] = stacks[0].environments[..] else { panic!("one environment") };
    judge(environment, &StackPlace::of(environment))
}

fn well(_: &mut ContainerInfo) {}

#[test]
fn a_stack_that_runs_is_one_good_line() {
    let all = findings(&[container("acme-dev", "backend", well), container("acme-dev", "db", well)]);
    let [one] = &all[..] else { panic!("{all:?}") };
    assert_eq!((one.severity, one.what.as_str()), (Severity::Ok, "2 containers, all as they should be"));
    assert_eq!((one.stack.as_deref(), one.profile.as_deref()), (Some("acme"), Some("dev")));
}

#[test]
fn each_state_has_its_words_and_its_command() {
    type Change = fn(&mut ContainerInfo);
    let cases: &[(&str, Change, Severity, &str, &str)] = &[
        (
            "db",
            |c| c.state = ContainerState::Exited(1),
            Severity::Problem,
            "exited with code 1",
            "docker start acme-dev-db-1",
        ),
        (
            "db",
            |c| c.state = ContainerState::Restarting,
            Severity::Problem,
            "is restarting",
            "docker logs --tail 50",
        ),
        (
            "db",
            |c| c.state = ContainerState::Paused,
            Severity::Problem,
            "is paused",
            "docker unpause acme-dev-db-1",
        ),
        (
            "db",
            |c| c.health = Health::Unhealthy,
            Severity::Problem,
            "fails its health check",
            "docker inspect",
        ),
        ("db", |c| c.health = Health::Starting, Severity::Note, "still starting", ""),
        ("db", |c| c.init = false, Severity::Note, "process 1", "init: true"),
        (
            "worker",
            |c| c.state = ContainerState::Restarting,
            Severity::Problem,
            "keeps restarting",
            "docker logs",
        ),
        (
            "worker",
            |c| c.state = ContainerState::Exited(3),
            Severity::Warning,
            "ended with code 3",
            "docker logs",
        ),
        ("worker", |c| c.state = ContainerState::Paused, Severity::Warning, "is paused", "docker unpause"),
        ("worker", |c| c.state = ContainerState::Dead, Severity::Warning, "is dead", "docker rm --force"),
    ];
    for (service, change, severity, text, command) in cases {
        let mut all = vec![container("acme-dev", "backend", well), container("acme-dev", service, *change)];
        if *service != "db" {
            all.push(container("acme-dev", "db", well));
        }
        let found = findings(&all);
        let [one] = &found[..] else { panic!("{text}: {found:?}") };
        assert_eq!(one.severity, *severity, "{one:?}");
        assert!(one.what.contains(text), "{text}: {one:?}");
        assert!(
            command.is_empty() || one.next.iter().any(|next| next.contains(command)),
            "{command}: {one:?}"
        );
    }
}

#[test]
fn work_that_is_done_is_no_fault() {
    for code in [0, 130, 143] {
        let seed = container("acme-dev", "seed", |c| c.state = ContainerState::Exited(code));
        let all = findings(&[container("acme-dev", "db", well), seed]);
        assert_eq!(all[0].severity, Severity::Ok, "{code}: {all:?}");
    }
}

#[test]
fn no_database_is_a_note_and_two_that_nothing_tells_apart_are_a_warning() {
    let none = findings(&[container("acme-dev", "backend", well)]);
    assert_eq!(none[0].severity, Severity::Note, "{none:?}");
    assert!(none[0].what.contains("no database"), "{none:?}");
    let preferred = findings(&[container("acme-dev", "db", well), container("acme-dev", "db-old", well)]);
    assert_eq!(preferred[0].severity, Severity::Note, "{preferred:?}");
    assert!(preferred[0].what.contains("`db`") && preferred[0].what.contains("db-old"), "{preferred:?}");
    let two = findings(&[container("acme-dev", "db-new", well), container("acme-dev", "db-old", well)]);
    assert_eq!(two[0].severity, Severity::Warning, "{two:?}");
    assert!(!two[0].next.is_empty(), "{two:?}");
}

#[test]
fn a_stopped_stack_is_a_problem_in_production_alone() {
    for (project, severity) in [("acme-dev", Severity::Note), ("acme-prod", Severity::Problem)] {
        let all = findings(&[container(project, "db", |c| c.state = ContainerState::Exited(0))]);
        let [one] = &all[..] else { panic!("{all:?}") };
        assert_eq!(one.severity, severity);
        let start = one.next.iter().any(|next| next.contains("docker start"));
        assert_eq!(start, severity == Severity::Problem, "{one:?}");
    }
}

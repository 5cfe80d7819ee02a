//! Properties that hold for any containers: order does not matter, nothing panics, every listed flag picks its line.

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::*;
use crate::docker::container_info::ContainerState;
use crate::docker::{ContainerInfo, ContainerSummary};
use crate::environment::selector::{ContainerSelector, ProfileRule, ProjectRules, TargetRequest};
use crate::environment::{Environment, find, observe, worth_a_look};

const LABELS: [&str; 13] = [
    "com.docker.compose.project",
    "com.docker.compose.service",
    "com.docker.compose.container-number",
    "com.docker.compose.oneoff",
    "com.docker.compose.project.working_dir",
    "com.docker.compose.project.config_files",
    "com.docker.stack.namespace",
    "com.docker.swarm.service.name",
    "com.docker.swarm.task.name",
    "envctl.stack",
    "envctl.profile",
    "envctl.role",
    "envctl.protected",
];

/// Any labels with any values, few enough for containers to meet.
fn wild() -> impl Strategy<Value = ContainerInfo> {
    let value = prop_oneof![
        Just("acme".to_owned()),
        Just("acme-prod".to_owned()),
        Just("acme-dev".to_owned()),
        Just("db".to_owned()),
        Just("backend".to_owned()),
        Just("1".to_owned()),
        Just("/srv".to_owned()),
        Just("a.dev.yml,b.prod.yml".to_owned()),
        any::<String>(),
    ];
    let name = prop_oneof!["(acme|shop)-(dev|prod)-(db|api)(-1)?", any::<String>()];
    (name, vec((0..LABELS.len(), value), 0..7), any::<bool>(), 0..4u8, any::<u64>()).prop_map(
        |(name, labels, postgres, state, id)| {
            let container = labels
                .into_iter()
                .fold(plain(&name), |container, (label, value)| container.with(LABELS[label], &value));
            let container = if postgres { container.postgres() } else { container };
            let state = [
                ContainerState::Running,
                ContainerState::Paused,
                ContainerState::Exited(1),
                ContainerState::Created,
            ][usize::from(state)]
            .clone();
            ContainerInfo { id: format!("{id:016x}").repeat(4), state, ..container }
        },
    )
}

/// Generates requests for an inventory of the generated projects and strays.
fn meanings() -> impl Strategy<Value = TargetRequest> {
    let some_of = |text: &'static [&'static str]| proptest::option::of(proptest::sample::select(text));
    let rule = |project: Option<&str>, db: Option<&str>| ProfileRule {
        project: project.map(str::to_owned),
        db: db.map(str::to_owned),
        ..ProfileRule::default()
    };
    let rules = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec![("prod".to_owned(), rule(Some("shop-prod"), None))]),
        1 => Just(vec![("dev".to_owned(), rule(None, Some("a-acme-dev-db-1")))]),
    ];
    let directory = some_of(&["/a", "/b/src", "/a/x", "/", "/srv"]);
    (some_of(&["acme", "shop", "a*", "*"]), some_of(&["dev", "prod"]), directory, some_of(&["acme"]), rules)
        .prop_map(|(stack, profile, directory, ruled, profiles)| TargetRequest {
            stacks: stack.into_iter().map(str::to_owned).collect(),
            profile: profile.map(str::to_owned),
            project_dir: directory.map(Into::into),
            rules: ProjectRules { stack: ruled.map(str::to_owned), profiles: profiles.into_iter().collect() },
            ..anything()
        })
}

fn only_listed(container: &ContainerInfo) -> ContainerInfo {
    let ContainerInfo { id, name, labels, .. } = container.clone();
    ContainerInfo::listed(&ContainerSummary { id, name, labels, image_id: None })
}

/// Well-formed projects that meet in every way there is.
fn project() -> impl Strategy<Value = Vec<ContainerInfo>> {
    let suffix = prop_oneof![Just("-dev"), Just("-prod"), Just("-staging"), Just("")];
    (prop_oneof![Just("acme"), Just("shop")], suffix, prop_oneof![Just("/a"), Just("/b")], any::<bool>())
        .prop_map(|(name, suffix, directory, up)| {
            let state = if up { ContainerState::Running } else { ContainerState::Exited(0) };
            // A daemon has no two containers of one name.
            let renamed = |container: ContainerInfo| {
                let name = format!("{}-{}", &directory[1..], container.name);
                container.named(&name).state(state.clone())
            };
            stack(&format!("{name}{suffix}"), directory).into_iter().map(renamed).collect()
        })
}

fn overrides() -> impl Strategy<Value = TargetRequest> {
    let part = || {
        proptest::option::of(prop_oneof![
            Just("acme".to_owned()),
            Just("prod".to_owned()),
            Just("dev".to_owned()),
            any::<String>()
        ])
    };
    (part(), part(), part(), part(), any::<bool>()).prop_map(
        |(stack, profile, container, directory, all_stacks)| TargetRequest {
            stacks: stack.into_iter().collect(),
            profile,
            container,
            project_dir: directory.map(Into::into),
            all_stacks,
            ..anything()
        },
    )
}

/// The flags at the end of a candidate's line, as the command line would take them.
fn typed(line: &str) -> TargetRequest {
    let mut request = anything();
    let flags = line.rsplit("  ").next().unwrap_or_default();
    let mut text = flags.split(' ');
    while let Some(flag) = text.next() {
        let mut value = || Some(text.next().unwrap_or_default().to_owned());
        match flag {
            "--stack" => request.stacks.extend(value()),
            "--profile" => request.profile = value(),
            "--container" => request.container = value(),
            "--dev" => request.profile = Some("dev".to_owned()),
            "--prod" => request.profile = Some("prod".to_owned()),
            other => panic!("a flag that nobody knows: {other:?} in {line:?}"),
        }
    }
    request
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Names and labels, which a listing shows, suffice to leave out the other containers.
    #[test]
    fn a_shortlist_leads_to_the_same_choice(
        projects in vec(project(), 0..6), strays in vec(wild(), 0..2), request in meanings(), nested in any::<bool>()
    ) {
        let inside = |one: ContainerInfo| {
            let other = one.label("com.docker.compose.project.working_dir") == Some("/b");
            if nested && other { one.at("/a/x") } else { one }
        };
        let containers: Vec<ContainerInfo> = projects.into_iter().flatten().map(inside).chain(strays).collect();
        let listed: Vec<ContainerInfo> = containers.iter().map(only_listed).collect();
        let Some(ids) = worth_a_look(&listed, &request) else { return Ok(()) };
        let few: Vec<ContainerInfo> = containers.iter().filter(|one| ids.contains(&one.id)).cloned().collect();
        if let Ok(chosen) = find(&few, &request) {
            prop_assert_eq!(Ok(chosen), find(&containers, &request).map_err(|e| e.to_string()));
        }
    }

    #[test]
    fn order_is_nothing(containers in vec(wild(), 0..12).prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())), request in overrides()) {
        let (straight, shuffled) = containers;
        // Two containers never share an id.
        let mut ids: Vec<_> = straight.iter().map(|container| &container.id).collect();
        ids.sort();
        ids.dedup();
        prop_assume!(ids.len() == straight.len());
        prop_assert_eq!(observe(&straight, &request), observe(&shuffled, &request));
        let answer = |list: &[ContainerInfo]| find(list, &request).map_err(|error| error.full_message());
        prop_assert_eq!(answer(&straight), answer(&shuffled));
    }

    #[test]
    fn nothing_panics_and_every_word_can_be_printed(containers in vec(wild(), 0..12), request in overrides(), index in proptest::option::of(0..3u32)) {
        let inventory = observe(&containers, &request);
        let _ = inventory.environments(&request);
        let errors = match inventory.environment(&request) {
            Err(error) => vec![error],
            Ok(environment) => [ContainerSelector::Backend, ContainerSelector::Db, ContainerSelector::Service("db".to_owned())]
                .iter()
                .filter_map(|wanted| environment.pick(wanted, index).err())
                .collect(),
        };
        for error in errors {
            let text = words_of(&error);
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }

    #[test]
    fn every_container_is_seen_once(containers in vec(wild(), 0..12)) {
        // A swarm's ended tasks are left out, so here is none.
        let unswarmed = |mut container: ContainerInfo| {
            container.labels.remove("com.docker.swarm.service.name");
            container
        };
        let containers: Vec<_> = containers.into_iter().map(unswarmed).collect();
        let inventory = observe(&containers, &anything());
        let members = |environments: Vec<&Environment>| environments.iter().map(|other| other.members.len()).sum::<usize>();
        let known = members(inventory.stacks().into_iter().flat_map(|stack| stack.environments).collect());
        let others = members(inventory.others().collect());
        prop_assert_eq!(known + others + inventory.passed_over().len(), containers.len());
    }

    #[test]
    fn a_listed_flag_picks_its_line(projects in vec(project(), 1..5)) {
        let mut containers = projects.concat();
        containers.sort_by(|a, b| a.id.cmp(&b.id));
        containers.dedup_by(|a, b| a.id == b.id);
        let Err(error) = find(&containers, &anything()) else { return Ok(()) };
        for line in error.message().lines().skip(1) {
            let request = typed(line);
            let chosen = find(&containers, &request);
            let shown = line.trim().split(": ").next().unwrap_or_default();
            match chosen {
                Ok(chosen) => {
                    prop_assert_eq!(chosen.to_string(), shown);
                    let directory = format!("in {},", chosen.directory.unwrap_or_default());
                    prop_assert!(line.contains(&directory), "{line} is not {directory}");
                }
                Err(error) => prop_assert!(false, "{line}: {}", error.message()),
            }
        }
    }
}

fn words_of(error: &crate::error::Error) -> String {
    format!("{}\n{}", error.message(), [error.notes(), error.hints()].concat().join("\n"))
}

//! Tests of the choice: rules 3 and 4, the flags, and the messages where nothing or too much fits.

use super::fixture::*;
use crate::docker::container_info::ContainerState;
use crate::environment::selector::{ContainerSelector, ProfileRule, TargetRequest};
use crate::environment::{find, observe};
use crate::error::ErrorKind;

fn down(project: &str, directory: &str) -> Vec<crate::docker::ContainerInfo> {
    stack(project, directory)
        .into_iter()
        .map(|container| container.state(ContainerState::Exited(0)))
        .collect()
}

#[test]
fn the_only_stack_that_runs_is_meant() {
    let containers =
        [stack("acme-dev", "/a"), down("shop-dev", "/s"), vec![plain("web"), plain("traefik")]].concat();
    let chosen = find(&containers, &anything()).unwrap();
    assert_eq!(
        (chosen.to_string().as_str(), chosen.chosen_because.as_str()),
        ("acme dev", "the only one that runs, the only profile that runs")
    );
    let containers = [stack("acme-dev", "/a"), stack("shop-prod", "/s")].concat();
    says(
        find(&containers, &anything()),
        &[
            "several stacks run",
            "\n  acme dev: project acme-dev, in /a, container acme-dev-db-1 running  --stack acme",
            "--stack shop",
        ],
    );
}

#[test]
fn a_directory_means_its_own_stack() {
    let containers =
        [stack("acme-dev", "/srv/acme"), stack("shop-dev", "/srv/shop"), stack("acme-prod", "/srv/acme")]
            .concat();
    for (directory, chosen) in
        [("/srv/acme", "acme dev"), ("/srv/shop", "shop dev"), ("/srv/shop/src/deep", "shop dev")]
    {
        assert_eq!(find(&containers, &in_directory(directory)).unwrap().to_string(), chosen, "{directory}");
    }
    // The nearest directory above wins, and a name that only begins alike is another directory.
    let nested = [stack("outer-dev", "/srv"), stack("inner-dev", "/srv/inner")].concat();
    assert_eq!(find(&nested, &in_directory("/srv/inner/x")).unwrap().stack, "inner");
    assert_eq!(find(&nested, &in_directory("/srv/innermost")).unwrap().stack, "outer");
}

#[test]
fn another_directorys_stack_is_never_meant() {
    let containers = stack("acme-prod", "/srv/acme");
    says(
        find(&containers, &in_directory("/srv/blog")),
        &["no container was started from /srv/blog", "--stack acme --prod"],
    );
    // Below this one, or with no directory of its own, it may be.
    assert_eq!(find(&containers, &in_directory("/srv")).unwrap().stack, "acme");
    let by_hand = [plain("acme-dev-db").postgres()];
    assert_eq!(find(&by_hand, &in_directory("/srv/blog")).unwrap().stack, "acme");
}

#[test]
fn a_directory_with_one_profile_means_that_one() {
    let containers = [stack("acme-dev", "/srv/acme-dev"), stack("acme-prod", "/srv/acme-prod")].concat();
    assert!(find(&containers, &in_directory("/srv/acme-prod")).unwrap().profile.is_prod());
    assert!(find(&containers, &in_directory("/srv/acme-dev")).unwrap().profile.is_dev());
    let other = TargetRequest { project_dir: Some("/srv/acme-dev".into()), ..profile("prod") };
    assert!(find(&containers, &other).unwrap().profile.is_prod());
}

#[test]
fn dev_if_it_runs_else_the_only_profile_that_runs() {
    for (containers, expected) in [
        ([stack("acme-dev", "/a"), stack("acme-prod", "/a")].concat(), Ok("dev")),
        ([down("acme-dev", "/a"), stack("acme-prod", "/a")].concat(), Ok("prod")),
        ([stack("acme-dev", "/a"), down("acme-prod", "/a")].concat(), Ok("dev")),
        ([stack("acme", "/a"), down("acme-prod", "/a")].concat(), Ok("unknown")),
        (down("acme-prod", "/a"), Ok("prod")),
        ([stack("acme-staging", "/a"), stack("acme-prod", "/a")].concat(), Err("--profile staging")),
        ([down("acme-dev", "/a"), down("acme-prod", "/a")].concat(), Err("no profile of acme runs")),
        ([stack("acme", "/a"), stack("acme-prod", "/a")].concat(), Err("--profile unknown")),
    ] {
        match expected {
            Ok(profile_name) => {
                assert_eq!(find(&containers, &anything()).unwrap().profile.keyword(), profile_name);
            }
            Err(part) => says(find(&containers, &anything()), &[part, "--prod"]),
        }
    }
}

#[test]
fn the_profile_that_is_asked_for() {
    let containers = [stack("acme-dev", "/a"), stack("acme-prod", "/a")].concat();
    for (asked, profile_name) in [("prod", "prod"), ("production", "prod"), ("dev", "dev")] {
        assert_eq!(find(&containers, &profile(asked)).unwrap().profile.keyword(), profile_name);
    }
    says(find(&containers, &profile("staging")), &["acme has no profile `staging`", "--dev", "--prod"]);
}

#[test]
fn a_profile_flag_settles_only_what_nothing_speaks_about() {
    let silent = stack("acme", "/a");
    let chosen = find(&silent, &profile("dev")).unwrap();
    assert!(chosen.profile.is_dev());
    assert_eq!(chosen.profile.because(), "--dev, and nothing else says one");
    assert!(find(&silent, &profile("unknown")).unwrap().profile.is_unknown());
    let disputed = [db("acme-dev").files("compose.prod.yml")];
    says(
        find(&disputed, &profile("dev")),
        &["cannot be taken for dev", "project `acme-dev` says dev", "`compose.prod.yml` says prod"],
    );
    assert!(find(&disputed, &profile("prod")).unwrap().profile.is_prod());
    says(find(&stack("acme-prod", "/a"), &profile("dev")), &["acme has no profile `dev`", "--prod"]);
}

#[test]
fn two_checkouts_are_told_apart_by_directory() {
    let containers = [stack("acme-dev", "/home/ana/acme"), stack("acme-dev", "/home/ben/acme")].concat();
    let chosen = find(&containers, &in_directory("/home/ben/acme/src")).unwrap();
    assert_eq!(chosen.directory.as_deref(), Some("/home/ben/acme"));
    says(
        find(&containers, &anything()),
        &["acme dev is there more than once", "in /home/ana/acme", "in /home/ben/acme"],
    );
}

#[test]
fn stacks_are_named_by_globs() {
    let containers = [
        stack("acme-dev", "/a"),
        stack("acme-prod", "/a"),
        stack("shop-prod", "/s"),
        stack("shelf-dev", "/h"),
    ]
    .concat();
    let all = |request: &TargetRequest| -> Vec<String> {
        observe(&containers, request).environments(request).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(find(&containers, &stacks(&["shop"])).unwrap().to_string(), "shop prod");
    assert_eq!(all(&stacks(&["sh*"])), ["shelf dev", "shop prod"]);
    assert_eq!(all(&stacks(&["shop", "acme"])), ["acme dev", "shop prod"]);
    let every = TargetRequest { all_stacks: true, ..anything() };
    assert_eq!(all(&every), ["acme dev", "shelf dev", "shop prod"]);
    assert_eq!(all(&TargetRequest { all_stacks: true, ..profile("prod") }), ["acme prod", "shop prod"]);
    says(
        find(&containers, &stacks(&["sh*"])),
        &["several stacks are named", "--stack shop", "--stack shelf"],
    );
    says(find(&containers, &stacks(&["nope"])), &["no stack `nope`", "--stack acme --dev"]);
    assert_eq!(find(&containers, &stacks(&["[bad"])).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn the_file_names_the_stack() {
    let containers = [stack("acme-dev", "/a"), stack("shop-dev", "/s")].concat();
    assert_eq!(find(&containers, &ruled(Some("shop"), &[])).unwrap().stack, "shop");
    says(find(&containers, &ruled(Some("blog"), &[])), &["stack `blog` of envctl.toml", "--stack acme"]);
    let rule = ProfileRule { project: Some("acme-dev".into()), ..ProfileRule::default() };
    assert_eq!(find(&containers, &ruled(None, &[("dev", rule)])).unwrap().stack, "acme");
}

#[test]
fn a_container_may_be_named() {
    let containers = [stack("acme-dev", "/a"), stack("shop-prod", "/s"), vec![plain("acme-tool")]].concat();
    let chosen = find(&containers, &container("shop-prod-db-1")).unwrap();
    assert_eq!((chosen.to_string().as_str(), chosen.chosen_because.as_str()), ("shop prod", "--container"));
    let id = containers[0].id[..12].to_uppercase();
    assert_eq!(find(&containers, &container(&id)).unwrap().stack, "acme");
    says(find(&containers, &container("nope")), &["no container `nope`"]);
    let contradiction = TargetRequest { profile: Some("dev".into()), ..container("shop-prod-db-1") };
    says(find(&containers, &contradiction), &["belongs to shop prod, not to dev"]);
    let contradiction = TargetRequest { stacks: vec!["acme".into()], ..container("shop-prod-db-1") };
    says(find(&containers, &contradiction), &["belongs to shop prod"]);
}

#[test]
fn a_one_off_container_may_be_named() {
    let run = backend("acme-dev").named("acme-dev-run").with("com.docker.compose.oneoff", "True");
    let containers = [stack("acme-dev", "/srv/acme"), vec![run]].concat();
    let chosen = find(&containers, &container("acme-dev-run")).unwrap();
    assert_eq!(chosen.pick(&ContainerSelector::Backend, None).unwrap().container.name, "acme-dev-run");
    assert_eq!(chosen.pick(&ContainerSelector::Db, None).unwrap().container.name, "acme-dev-db-1");
}

#[test]
fn nothing_found_says_what_was_seen() {
    says(find(&[], &anything()), &["the daemon has no containers", "docker compose up -d", "--context"]);
    let mut store = plain("store");
    store.image = "postgres:15".to_owned();
    let containers = [store, plain("traefik"), plain("old").state(ContainerState::Exited(1))];
    says(
        find(&containers, &anything()),
        &[
            "2 containers run (1 more do not), none belongs to a stack with a database: ",
            "traefik",
            "store speaks of postgres (image postgres:15)",
            "envctl.role: db",
        ],
    );
}

#[test]
fn foreign_strings_are_escaped() {
    let hostile = db("acme").with("envctl.stack", "x\u{1b}[2J\u{202e}").at("/a\nb");
    let text = text(&find(&[hostile, db("shop")], &anything()).unwrap_err());
    assert!(text.contains(r"x\u{1b}[2J\u{202e}") && text.contains(r"/a\nb"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']));
}

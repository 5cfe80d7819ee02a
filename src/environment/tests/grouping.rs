//! Tests of the inventory: stacks, profiles, places and roles, with their evidence.

use super::fixture::*;
use crate::docker::ContainerInfo;
use crate::docker::container_info::ContainerState;
use crate::environment::observe;
use crate::environment::selector::ProfileRule;

#[track_caller]
fn seen(containers: &[ContainerInfo], expected: &[&str]) {
    assert_eq!(lines(&observe(containers, &anything())), expected);
}

#[test]
fn a_project_names_stack_and_profile() {
    for (project, shown) in [
        ("acme-prod", "acme prod"),
        ("acme_production", "acme prod"),
        ("acme-dev", "acme dev"),
        ("acme-development", "acme dev"),
        ("acme-staging", "acme staging"),
        ("acme", "acme unknown"),
        ("prod", "prod prod"),
    ] {
        let containers = stack(project, "/srv/acme");
        seen(&containers, &[&format!("{shown} [{project}] db={project}-db-1 backend={project}-backend-1")]);
    }
}

#[test]
fn conventions_that_disagree_make_the_profile_unknown() {
    for (project, files, shown) in [
        ("acme", "/srv/acme/compose.yml,/srv/acme/compose.dev.yml", "acme dev"),
        ("acme", "docker-compose.prod.yml", "acme prod"),
        ("acme-prod", "compose.yml,compose.prod.yml", "acme prod"),
        ("acme-dev", "compose.prod.yml", "acme unknown"),
        ("acme", "compose.dev.yml,compose.prod.yml", "acme unknown"),
    ] {
        let inventory = observe(&[db(project).files(files)], &anything());
        let environment = &inventory.stacks()[0].environments[0];
        assert_eq!(environment.to_string(), shown, "{project} {files}");
    }
    let inventory = observe(&[db("acme-dev").files("compose.prod.yml")], &anything());
    let because = inventory.stacks()[0].environments[0].profile.because();
    assert_eq!(because, "compose file `compose.prod.yml` says prod, project `acme-dev` says dev");
}

#[test]
fn one_service_that_disagrees_disputes_its_project() {
    seen(
        &[db("acme-dev"), backend("acme-dev"), service("acme-dev", "mail-prod")],
        &["acme unknown [acme-dev] db=acme-dev-db-1 backend=acme-dev-backend-1"],
    );
    seen(
        &[db("acme").named("acme-pg-prod"), backend("acme").files("compose.dev.yml")],
        &["acme unknown [acme] db=acme-pg-prod backend=acme-backend-1"],
    );
}

#[test]
fn services_of_one_project_may_be_several_profiles() {
    let containers = [
        service("acme", "db-dev").postgres(),
        service("acme", "backend-dev"),
        service("acme", "db-prod").postgres(),
        service("acme", "backend_prod"),
        service("acme", "proxy"),
    ];
    seen(
        &containers,
        &[
            "acme dev [acme] db=acme-db-dev-1 backend=acme-backend-dev-1",
            "acme prod [acme] db=acme-db-prod-1 backend=acme-backend_prod-1",
        ],
    );
}

#[test]
fn a_sibling_raises_the_caution_and_never_lowers_it() {
    // Nothing but the backend says dev: the database may be anybody's.
    seen(
        &[db("acme"), service("acme", "backend-dev")],
        &["acme unknown [acme] db=acme-db-1 backend=acme-backend-dev-1"],
    );
    seen(
        &[service("acme", "db-dev").postgres(), backend("acme")],
        &["acme dev [acme] db=acme-db-dev-1 backend=acme-backend-1"],
    );
    seen(&[db("acme"), service("acme", "mail-prod")], &["acme prod [acme] db=acme-db-1 backend="]);
    seen(
        &[db("acme"), backend("acme").files("compose.yml,compose.dev.yml")],
        &["acme unknown [acme] db=acme-db-1 backend=acme-backend-1"],
    );
    seen(
        &[db("acme").files("compose.dev.yml"), backend("acme")],
        &["acme dev [acme] db=acme-db-1 backend=acme-backend-1"],
    );
    // A label lowers it for its own container alone; the database's holds for the project.
    seen(
        &[db("acme-prod"), backend("acme-prod").with("envctl.profile", "dev")],
        &[
            "acme dev [acme-prod] db= backend=acme-prod-backend-1",
            "acme prod [acme-prod] db=acme-prod-db-1 backend=",
        ],
    );
    seen(
        &[db("acme").with("envctl.profile", "dev"), backend("acme")],
        &["acme dev [acme] db=acme-db-1 backend=acme-backend-1"],
    );
    seen(
        &[db("acme-dev"), backend("acme-dev").with("envctl.profile", "production")],
        &["acme prod [acme-dev] db=acme-dev-db-1 backend=acme-dev-backend-1"],
    );
}

#[test]
fn labels_outweigh_customs() {
    seen(
        &[
            db("x-dev").with("envctl.stack", "shop").with("envctl.profile", "eu"),
            backend("x-dev").with("envctl.stack", "shop").with("envctl.profile", "eu"),
        ],
        &["shop eu [x-dev] db=x-dev-db-1 backend=x-dev-backend-1"],
    );
    seen(
        &[
            service("acme-dev", "store").postgres().with("envctl.role", "backend"),
            service("acme-dev", "api").with("envctl.role", "db"),
        ],
        &["acme dev [acme-dev] db=acme-dev-api-1 backend=acme-dev-store-1"],
    );
    seen(
        &[db("acme-dev"), service("acme-dev", "analytics").postgres().with("envctl.role", "other")],
        &["acme dev [acme-dev] db=acme-dev-db-1 backend="],
    );
}

#[test]
fn the_file_outweighs_labels() {
    let rule = ProfileRule {
        project: Some("x-dev".into()),
        db: Some("store".into()),
        backend: Some("jobs".into()),
        protected: Some(true),
    };
    let request = ruled(Some("acme"), &[("production", rule)]);
    let containers = [
        db("x-dev").with("envctl.profile", "dev").with("envctl.role", "db"),
        service("x-dev", "store"),
        service("x-dev", "jobs"),
        backend("x-dev"),
    ];
    let inventory = observe(&containers, &request);
    assert_eq!(lines(&inventory), ["acme prod [x-dev] db=x-dev-store-1 backend=x-dev-jobs-1"]);
    assert!(inventory.stacks()[0].environments[0].protected);
}

#[test]
fn the_file_may_name_single_containers() {
    let rule = ProfileRule { db: Some("shared-pg".into()), ..ProfileRule::default() };
    let request = ruled(Some("acme"), &[("prod", rule)]);
    let containers = [plain("shared-pg").postgres(), backend("acme-prod"), db("acme-prod")];
    let inventory = observe(&containers, &request);
    assert_eq!(lines(&inventory), ["acme prod [acme-prod] db=shared-pg backend=acme-prod-backend-1"]);
}

#[test]
fn two_directories_are_two_environments() {
    let containers = [stack("acme-dev", "/home/ana/acme"), stack("acme-dev", "/home/ben/acme")].concat();
    let inventory = observe(&containers, &anything());
    let directories: Vec<_> = inventory.stacks()[0]
        .environments
        .iter()
        .map(|environment| (environment.directory.clone(), environment.members.len()))
        .collect();
    assert_eq!(directories, [(Some("/home/ana/acme".into()), 2), (Some("/home/ben/acme".into()), 2)]);
}

#[test]
fn containers_started_by_hand_count() {
    seen(
        &[
            plain("acme-prod-db").postgres(),
            plain("acme_api_prod"),
            plain("shop-db").postgres(),
            plain("web"),
        ],
        &["acme prod [-] db=acme-prod-db backend=acme_api_prod", "shop unknown [-] db=shop-db backend="],
    );
    // One that fits a project joins it.
    seen(
        &[plain("acme-prod-db").postgres(), backend("acme-prod")],
        &["acme prod [acme-prod] db=acme-prod-db backend=acme-prod-backend-1"],
    );
}

#[test]
fn a_database_is_known_by_what_it_is_not_by_what_it_is_called() {
    let mut exporter = service("acme-dev", "exporter");
    exporter.image = "prometheuscommunity/postgres-exporter".to_owned();
    exporter.env = vec!["POSTGRES_USER=acme".to_owned()];
    let mut own_pgdata = service("acme-dev", "jobs");
    own_pgdata.env = vec!["PGDATA=/x".to_owned()];
    let mut named = service("acme-dev", "postgres");
    named.image = "postgres:15".to_owned();
    seen(
        &[exporter, own_pgdata, named, backend("acme-dev")],
        &["acme dev [acme-dev] db= backend=acme-dev-backend-1"],
    );
    // Without a server beside it an image's PGDATA is enough; beside one it is a backup job's inheritance.
    let pgdata = service("acme-dev", "store").pgdata();
    seen(std::slice::from_ref(&pgdata), &["acme dev [acme-dev] db=acme-dev-store-1 backend="]);
    seen(&[pgdata, db("acme-dev")], &["acme dev [acme-dev] db=acme-dev-db-1 backend="]);
}

#[test]
fn a_backend_is_known_by_its_name_or_its_tool() {
    for (services, backend) in [
        (vec!["api"], "api"),
        (vec!["my-server"], "my-server"),
        (vec!["backend", "api"], "backend"),
        (vec!["web", "api"], "api,web"),
        (vec!["application", "webhook"], ""),
        (vec!["API"], "API"),
    ] {
        let containers: Vec<_> = services
            .iter()
            .map(|name| service("acme-dev", name).named(name))
            .chain([db("acme-dev")])
            .collect();
        seen(&containers, &[&format!("acme dev [acme-dev] db=acme-dev-db-1 backend={backend}")]);
    }
    let jobs = || service("acme-dev", "jobs").holds("prisma");
    seen(&[jobs(), backend("acme-dev")], &["acme dev [acme-dev] db= backend=acme-dev-jobs-1"]);
    seen(
        &[jobs(), backend("acme-dev").holds("prisma")],
        &["acme dev [acme-dev] db= backend=acme-dev-backend-1"],
    );
    seen(
        &[jobs(), service("acme-dev", "api").holds("prisma")],
        &["acme dev [acme-dev] db= backend=acme-dev-api-1,acme-dev-jobs-1"],
    );
}

#[test]
fn what_is_not_part_of_a_stack_is_passed_over() {
    let containers = [
        backend("acme-dev").named("run").with("com.docker.compose.oneoff", "True"),
        backend("acme-dev").named("hook").with("com.docker.compose.hook", "post_start"),
        plain("acme-dev-backend").with("envctl.worker", "1"),
        db("acme-dev"),
        backend("acme-dev").with("com.docker.compose.slug", "0a1b"),
    ];
    let inventory = observe(&containers, &anything());
    assert_eq!(lines(&inventory), ["acme dev [acme-dev] db=acme-dev-db-1 backend=acme-dev-backend-1"]);
    let passed: Vec<_> =
        inventory.passed_over().iter().map(|(container, why)| (container.name.as_str(), *why)).collect();
    assert_eq!(
        passed,
        [
            ("acme-dev-backend", "envctl's own worker"),
            ("hook", "hook container"),
            ("run", "one-off container")
        ]
    );
}

#[test]
fn protection_is_lifted_only_by_a_clear_no() {
    for (value, protected) in
        [("true", true), ("ture", true), ("1", true), ("false", false), ("No", false), ("", false)]
    {
        let inventory = observe(&[db("acme-dev").with("envctl.protected", value)], &anything());
        assert_eq!(inventory.stacks()[0].environments[0].protected, protected, "{value}");
    }
}

#[test]
fn a_foreign_label_does_not_displace_a_database() {
    let intruder = plain("intruder")
        .with("envctl.stack", "acme")
        .with("envctl.profile", "prod")
        .with("envctl.role", "db");
    seen(
        &[db("acme-prod"), intruder.clone(), backend("acme-prod")],
        &["acme prod [acme-prod] db=acme-prod-db-1,intruder backend=acme-prod-backend-1"],
    );
    seen(&[plain("acme-prod-db").postgres(), intruder], &["acme prod [-] db=acme-prod-db,intruder backend="]);
}

#[test]
fn swarm_tasks_are_replicas_and_their_predecessors_are_not() {
    let task = |name: &str, service: &str, task: &str| {
        plain(name)
            .with("com.docker.stack.namespace", "acme-prod")
            .with("com.docker.swarm.service.name", service)
            .with("com.docker.swarm.task.name", task)
    };
    let containers = [
        task("a", "acme-prod_db", "acme-prod_db.1.old").postgres().state(ContainerState::Exited(0)),
        task("b", "acme-prod_db", "acme-prod_db.1.new").postgres(),
        task("c", "acme-prod_backend", "acme-prod_backend.2.x"),
        task("d", "acme-prod_backend", "acme-prod_backend.1.y"),
    ];
    seen(&containers, &["acme prod [acme-prod] db=b backend=d,c"]);
}

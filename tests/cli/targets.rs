//! Which container is meant, and what is said when that cannot be known: exit 3, the candidates, the flag.

use snapbox::str;

use crate::container::{db, plain, service, stack};
use crate::stage::Stage;

#[test]
fn nothing_runs() {
    Stage::with([]).run(["logs"]).is(str![[r#"
exit 3
! error: the daemon has no containers
! hint: start the stack with `docker compose up -d`
! hint: name its daemon if it runs on another one: `--context NAME` or `--host URL`

"#]]);
    Stage::with([]).run(["psql", "-c", "select 1"]).is(str![[r#"
exit 125
! error (target): the daemon has no containers
! hint: start the stack with `docker compose up -d`
! hint: name its daemon if it runs on another one: `--context NAME` or `--host URL`

"#]]);
    Stage::with([]).run(["logs", "--json"]).is(str![[r#"
exit 3
{"schema":1,"error":{"code":"target","message":"the daemon has no containers","hint":"start the stack with `docker compose up -d`\nname its daemon if it runs on another one: `--context NAME` or `--host URL`"}}

"#]]);
}

#[test]
fn a_stack_that_does_not_exist() {
    let stage = Stage::with(stack("acme-dev"));
    stage.run(["logs", "-s", "shop"]).is(str![[r#"
exit 3
! error: no stack `shop`; these are there
!     acme dev: project acme-dev, in /srv/acme, container acme-dev-db-1 running  --stack acme --dev
! hint: add the flag at the end of a line, such as `--stack acme --dev`

"#]]);
    stage.run(["logs", "-s", "acne"]).is(str![[r#"
exit 3
! error: no stack `acne`; these are there
!     acme dev: project acme-dev, in /srv/acme, container acme-dev-db-1 running  --stack acme --dev
! hint: add the flag at the end of a line, such as `--stack acme --dev`

"#]]);
}

#[test]
fn a_profile_that_does_not_run() {
    let stage = Stage::with(stack("acme-dev"));
    stage.run(["logs", "--prod"]).is(str![[r#"
exit 3
! error: acme has no profile `prod`
!     acme dev: project acme-dev, in /srv/acme, container acme-dev-db-1 running  --dev
! hint: add the flag at the end of a line, such as `--dev`

"#]]);
    stage.run(["logs", "--profile", "stagging"]).is(str![[r#"
exit 3
! error: acme has no profile `stagging`
!     acme dev: project acme-dev, in /srv/acme, container acme-dev-db-1 running  --dev
! hint: add the flag at the end of a line, such as `--dev`

"#]]);
}

#[test]
fn two_stacks_are_listed_with_the_flag_that_picks_each() {
    let mut both = stack("acme-dev");
    both.extend(stack("shop-dev"));
    let stage = Stage::with(both);
    stage.run(["logs"]).is(str![[r#"
exit 3
! error: several stacks run
!     acme dev: project acme-dev, in /srv/acme, container acme-dev-db-1 running  --stack acme
!     shop dev: project shop-dev, in /srv/shop, container shop-dev-db-1 running  --stack shop
! hint: add the flag at the end of a line, such as `--stack acme`

"#]]);
    stage.run(["logs", "--json"]).is(str![[r#"
exit 3
{"schema":1,"error":{"code":"target","message":"several stacks run\n  acme dev: project acme-dev, in /srv/acme, container acme-dev-db-1 running  --stack acme\n  shop dev: project shop-dev, in /srv/shop, container shop-dev-db-1 running  --stack shop","hint":"add the flag at the end of a line, such as `--stack acme`"}}

"#]]);
    assert_eq!(stage.run(["logs", "-s", "shop"]).code, Some(0));
}

#[test]
fn two_services_that_could_be_the_backend() {
    let stage = Stage::with([service("acme-dev", "api"), service("acme-dev", "web"), db("acme-dev")]);
    stage.run(["exec", "backend", "--", "true"]).is(str![[r#"
exit 125
! error (target): acme dev: several services may be the backend
!     acme dev: project acme-dev, in /srv/acme, container acme-dev-api-1 running  --container acme-dev-api-1
!     acme dev: project acme-dev, in /srv/acme, container acme-dev-web-1 running  --container acme-dev-web-1
! hint: add the flag at the end of a line, such as `--container acme-dev-api-1`
! hint: label one service `envctl.role: backend` for good, or name it in envctl.toml

"#]]);
}

#[test]
fn the_directory_of_a_project_settles_which_stack() {
    let stage = Stage::with([]);
    stage.write("shop/compose.yml", "services: {}\n");
    let inside = stage.path("shop").canonicalize().unwrap();
    let here = inside.to_string_lossy().into_owned();
    stage.engine.run(stack("acme-dev"));
    let label = "com.docker.compose.project.working_dir";
    stage
        .engine
        .run([service("shop-dev", "backend"), db("shop-dev")].map(|container| container.label(label, &here)));
    stage.envctl(["logs"]).inside(&inside).run().is(str![[r#"
exit 0
! [dev] shop · backend shop-dev-backend-1 · context default

"#]]);
}

#[test]
fn no_database_in_the_stack() {
    let stage = Stage::with([service("acme-dev", "backend")]);
    stage.run(["psql", "-c", "select 1"]).is(str![[r#"
exit 125
! error (target): acme dev has no database; its services: backend
! hint: name the container with `--container NAME`
! hint: label the service `envctl.role: db`, or name it in envctl.toml

"#]]);
}

#[test]
fn containers_that_do_not_run() {
    for (state, container) in [
        ("exited", service("acme-dev", "backend").exited(137)),
        ("created", service("acme-dev", "backend").state("created")),
        ("paused", service("acme-dev", "backend").state("paused")),
        ("restarting", service("acme-dev", "backend").state("restarting")),
        ("dead", service("acme-dev", "backend").state("dead")),
    ] {
        let ran = Stage::with([container, db("acme-dev")]).run(["exec", "backend", "--", "true"]);
        assert_eq!(ran.code, Some(125), "{state}: {}", ran.err());
        assert!(ran.err().contains(state), "{state}: {}", ran.err());
        assert!(ran.err().contains("hint:"), "{state}: {}", ran.err());
    }
}

#[test]
fn a_stopped_paused_or_restarting_container_says_what_to_do() {
    let backend = || service("acme-dev", "backend");
    Stage::with([backend().exited(137), db("acme-dev")]).run(["exec", "backend", "--", "true"]).is(str![[
        r#"
exit 125
! error (target): acme dev: backend container `acme-dev-backend-1` has exited with code 137
! hint: run `docker logs --tail 50 acme-dev-backend-1` to see why it ended
! hint: run `docker start acme-dev-backend-1`
! hint: or run `cd /srv/acme && docker compose -p acme-dev up -d backend`

"#
    ]]);
    Stage::with([backend().state("paused"), db("acme-dev")]).run(["exec", "backend", "--", "true"]).is(str![
        [r#"
exit 125
! error (target): acme dev: backend container `acme-dev-backend-1` is paused
! hint: run `docker unpause acme-dev-backend-1`

"#]
    ]);
    Stage::with([backend().state("restarting"), db("acme-dev")]).run(["exec", "backend", "--", "true"]).is(
        str![[r#"
exit 125
! error (target): acme dev: backend container `acme-dev-backend-1` is restarting
! hint: run `docker logs --tail 50 acme-dev-backend-1` to see why it keeps ending

"#]],
    );
    Stage::with([backend(), db("acme-dev").exited(1)]).run(["psql", "-c", "select 1"]).is(str![[r#"
exit 125
! error (target): acme dev: db container `acme-dev-db-1` has exited with code 1
! hint: run `docker logs --tail 50 acme-dev-db-1` to see why it ended
! hint: run `docker start acme-dev-db-1`
! hint: or run `cd /srv/acme && docker compose -p acme-dev up -d db`

"#]]);
}

#[test]
fn a_container_named_by_hand() {
    let stage = Stage::with([plain("lonely")]);
    stage.run(["exec", "backend", "--container", "lonely", "--", "true"]).is(str![[r#"
exit 0
! [profile unknown: counts as prod] lonely · lonely lonely · context default

"#]]);
    stage.run(["exec", "backend", "--container", "lonly", "--", "true"]).is(str![[r#"
exit 125
! error (target): no container `lonly`: 1 container runs, none belongs to a stack with a database: lonely
! hint: start the stack with `docker compose up -d`, or name a container with `--container NAME`
! hint: label a database that is not recognised `envctl.role: db`, on its service

"#]]);
}

#[test]
fn replicas_are_picked_by_number() {
    let second = service("acme-dev", "backend")
        .named("acme-dev-backend-2")
        .label("com.docker.compose.container-number", "2");
    let stage = Stage::with([service("acme-dev", "backend"), second, db("acme-dev")]);
    stage.run(["exec", "backend", "--", "true"]).is(str![[r#"
exit 0
! [dev] acme · backend acme-dev-backend-1 · context default

"#]]);
    stage.run(["exec", "backend", "--index", "2", "--", "true"]).is(str![[r#"
exit 0
! [dev] acme · backend acme-dev-backend-2 · context default

"#]]);
    stage.run(["exec", "backend", "--index", "7", "--", "true"]).is(str![[r#"
exit 125
! error (target): acme dev: `backend` has no replica 7
! note: there is `--index` 1, 2

"#]]);
}

#[test]
fn dev_is_meant_where_nothing_is_said_and_both_run() {
    let mut both = stack("acme-dev");
    both.extend(stack("acme-prod"));
    let stage = Stage::with(both);
    stage.run(["exec", "backend", "--", "true"]).is(str![[r#"
exit 0
! [dev] acme · backend acme-dev-backend-1 · context default

"#]]);
    stage.run(["exec", "backend", "--prod", "--", "true"]).is(str![[r#"
exit 0
! [prod] acme · backend acme-prod-backend-1 · context default

"#]]);
}

#[test]
fn profile_flags_exclude_each_other() {
    Stage::with([]).run(["logs", "--dev", "--prod"]).is(str![[r#"
exit 2
! error: the argument '--dev' cannot be used with '--prod'
!
! Usage: envctl logs --dev [ROLE|SERVICE]
!
! For more information, try '--help'.

"#]]);
}

//! `envctl status`: everything in one table, whatever some of it is like.

use snapbox::str;

use crate::container::{plain, service, stack};
use crate::postgres::Server;
use crate::stage::Stage;

#[test]
fn nothing_runs() {
    Stage::with([]).run(["status"]).is(str![[r#"
exit 0
! no stack with a backend or a database runs in Docker context default; start one with `docker compose up -d`, or name containers in envctl.toml

"#]]);
    Stage::with([]).run(["status", "--json"]).is(str![[r#"
exit 0
{"schema":1,"context":"default","stacks":[]}
! no stack with a backend or a database runs in Docker context default; start one with `docker compose up -d`, or name containers in envctl.toml

"#]]);
    Stage::with([plain("lonely")]).run(["status"]).is(str![[r#"
exit 0
! no stack with a backend or a database runs in Docker context default (1 other container runs); start one with `docker compose up -d`, or name containers in envctl.toml

"#]]);
}

#[test]
fn development_and_production_of_two_stacks() {
    let mut all = stack("acme-dev");
    all.extend(stack("acme-prod"));
    all.extend(stack("shop"));
    all.push(service("acme-dev", "worker").exited(1));
    let stage = Stage::with(all);
    stage.engine.install("*", "psql", Server::new().psql());
    stage.run(["status"]).is(str![[r#"
exit 0
STACK  PROFILE  CONTAINER            STATE       DATABASE                    SIZE  MIGRATIONS  LAST BACKUP
acme   dev      acme-dev-backend-1   running     -                              -  -           -
-      -        acme-dev-db-1        running     acme (PostgreSQL 15.18)  12.3 MB  -           none
-      -        acme-dev-worker-1    exited (1)  -                              -  -           -
acme   prod     acme-prod-backend-1  running     -                              -  -           -
-      -        acme-prod-db-1       running     acme (PostgreSQL 15.18)  12.3 MB  -           none
shop   unknown  shop-backend-1       running     -                              -  -           -
-      -        shop-db-1            running     acme (PostgreSQL 15.18)  12.3 MB  -           none
! acme dev: there are no backups in [DIR]/.local/share/envctl/backups/acme/dev
! acme prod: there are no backups in [DIR]/.local/share/envctl/backups/acme/prod
! shop unknown: there are no backups in [DIR]/.local/share/envctl/backups/shop/unknown

"#]]);
    stage.run(["status", "-s", "acme", "--prod"]).is(str![[r#"
exit 0
STACK  PROFILE  CONTAINER            STATE    DATABASE                    SIZE  MIGRATIONS  LAST BACKUP
acme   prod     acme-prod-backend-1  running  -                              -  -           -
-      -        acme-prod-db-1       running  acme (PostgreSQL 15.18)  12.3 MB  -           none
! acme prod: there are no backups in [DIR]/.local/share/envctl/backups/acme/prod

"#]]);
}

#[test]
fn many_without_a_backup_are_counted_and_told_one_by_one_when_asked() {
    let stage = Stage::with((0..7).flat_map(|number| stack(&format!("shop{number}-dev"))));
    stage.engine.install("*", "psql", Server::new().psql());
    let few = stage.run(["status"]);
    assert!(few.err().contains("7 databases have no proven backup; `-v`"), "{}", few.err());
    assert!(!few.err().contains("shop3"), "{}", few.err());
    let all = stage.run(["status", "-v"]);
    assert_eq!(all.err().matches("there are no backups in").count(), 7, "{}", all.err());
}

#[test]
fn as_json() {
    let stage = Stage::with(stack("acme-dev"));
    stage.engine.install("*", "psql", Server::new().psql());
    let ran = stage.run(["status", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let answer: serde_json::Value = serde_json::from_str(&ran.out()).expect("one JSON document");
    assert_eq!((&answer["schema"], &answer["stacks"][0]["stack"]), (&1.into(), &"acme".into()));
    assert_eq!(answer["stacks"][0]["database"]["version"], "15.18");
    assert_eq!(answer["stacks"][0]["database"]["problem"], serde_json::Value::Null);
}

#[test]
fn a_database_that_does_not_answer_is_shown_as_such() {
    let stage = Stage::with(stack("acme-dev"));
    let words = "connection to server on socket failed: FATAL:  sorry, too many clients already";
    stage.engine.install("*", "psql", Server::refusing(words).psql());
    let ran = stage.run(["status", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let answer: serde_json::Value = serde_json::from_str(&ran.out()).expect("one JSON document");
    let problem = answer["stacks"][0]["database"]["problem"].as_str().expect("a problem");
    assert!(problem.contains("too many clients already"), "{problem}");
}

#[test]
fn stopped_containers_are_shown_stopped() {
    let stage = Stage::with(stack("acme-dev").into_iter().map(|container| container.exited(137)));
    let ran = stage.run(["status"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!(ran.out().matches("exited (137)").count(), 2, "{}", ran.out());
}

//! `envctl status`: everything in one table, whatever some of it is like.

use snapbox::str;

use crate::container::{db, plain, service, stack};
use crate::dumps::{DUMP, pg_dump};
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
{"schema":1,"context":"default","stacks":[],"schedules":[]}
! no stack with a backend or a database runs in Docker context default; start one with `docker compose up -d`, or name containers in envctl.toml

"#]]);
    Stage::with([plain("lonely")]).run(["status"]).is(str![[r#"
exit 0
! no stack with a backend or a database runs in Docker context default (1 other container runs); start one with `docker compose up -d`, or name containers in envctl.toml

"#]]);
}

#[test]
fn a_stack_that_is_not_there_ends_with_3_and_the_candidates() {
    let stage = Stage::with(stack("acme-dev"));
    stage.engine.install("*", "psql", Server::new().psql());
    for verb in ["status", "doctor"] {
        for asked in [["-s", "nosuch"], ["-s", "no*"], ["--profile", "staging"]] {
            let ran = stage.run([verb, asked[0], asked[1]]);
            assert_eq!(ran.code, Some(3), "{verb} {asked:?}: {}", ran.err());
            assert!(ran.err().contains("acme dev: project acme-dev"), "{verb} {asked:?}: {}", ran.err());
        }
        // One that is there does not hide one that is not.
        let ran = stage.run([verb, "-s", "acme", "-s", "nosuch"]);
        assert_eq!(ran.code, Some(3), "{verb}: {}", ran.err());
        assert!(ran.err().contains("nosuch"), "{verb}: {}", ran.err());
    }
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
acme   dev      acme-dev-db-1        running     acme (PostgreSQL 15.18)  12.3 MB  -           none
acme   dev      acme-dev-worker-1    exited (1)  -                              -  -           -
acme   prod     acme-prod-backend-1  running     -                              -  -           -
acme   prod     acme-prod-db-1       running     acme (PostgreSQL 15.18)  12.3 MB  -           none
shop   unknown  shop-backend-1       running     -                              -  -           -
shop   unknown  shop-db-1            running     acme (PostgreSQL 15.18)  12.3 MB  -           none
! acme dev: there are no backups in [DIR]/.local/share/envctl/backups/acme/dev
! acme prod: there are no backups in [DIR]/.local/share/envctl/backups/acme/prod
! shop unknown: there are no backups in [DIR]/.local/share/envctl/backups/shop/unknown

"#]]);
    stage.run(["status", "-s", "acme", "--prod"]).is(str![[r#"
exit 0
STACK  PROFILE  CONTAINER            STATE    DATABASE                    SIZE  MIGRATIONS  LAST BACKUP
acme   prod     acme-prod-backend-1  running  -                              -  -           -
acme   prod     acme-prod-db-1       running  acme (PostgreSQL 15.18)  12.3 MB  -           none
! acme prod: there are no backups in [DIR]/.local/share/envctl/backups/acme/prod

"#]]);
}

#[test]
fn many_without_a_backup_are_counted_and_told_one_by_one_when_asked() {
    let stage = Stage::with((0..7).flat_map(|number| stack(&format!("shop{number}-dev"))));
    stage.engine.install("*", "psql", Server::new().psql());
    let few = stage.run(["status"]);
    assert!(few.err().contains("7 databases have no verified backup; `-v`"), "{}", few.err());
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

/// Applies Prisma's history: so many finished, so many that are not.
fn migrated(applied: u32, unfinished: u32) -> Server {
    Server::new()
        .answer(
            "current_setting('server_version_num')",
            "acme,150018,15.18 (Debian 15.18-0+deb12u1),12345678,4096,public._prisma_migrations\n",
        )
        .answer("from public._prisma_migrations", &format!("{applied},{unfinished},20260101000000_init\n"))
}

#[test]
fn health_migrations_and_the_last_backup_have_their_columns() {
    let mut all = vec![service("acme-dev", "backend").health("starting"), db("acme-dev").health("healthy")];
    all.push(service("acme-dev", "worker").health("unhealthy"));
    // A health check says nothing of a container that has ended.
    all.push(service("acme-dev", "mailer").health("healthy").exited(1));
    all.extend(stack("shop-dev"));
    let stage = Stage::with(all);
    stage.engine.install("acme-dev-db-1", "psql", migrated(3, 0).psql());
    stage.engine.install("shop-dev-db-1", "psql", migrated(2, 1).psql());
    stage.engine.install("*", "pg_dump", pg_dump(DUMP));
    let ran = stage.run(["backup", "-s", "acme"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    aged(&stage);
    stage.run(["status"]).is(str![[r#"
exit 0
STACK  PROFILE  CONTAINER           STATE       DATABASE                    SIZE  MIGRATIONS           LAST BACKUP
acme   dev      acme-dev-backend-1  starting    -                              -  -                    -
acme   dev      acme-dev-db-1       healthy     acme (PostgreSQL 15.18)  12.3 MB  3 applied            10 d ago
acme   dev      acme-dev-mailer-1   exited (1)  -                              -  -                    -
acme   dev      acme-dev-worker-1   unhealthy   -                              -  -                    -
shop   dev      shop-dev-backend-1  running     -                              -  -                    -
shop   dev      shop-dev-db-1       running     acme (PostgreSQL 15.18)  12.3 MB  2 applied, 1 failed  none
! shop dev: there are no backups in [DIR]/.local/share/envctl/backups/shop/dev

"#]]);
    let ran = stage.run(["status", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.out()).expect("one JSON document");
    let (acme, shop) = (&answer["stacks"][0], &answer["stacks"][1]);
    let health = |at: usize| &acme["containers"][at]["health"];
    assert_eq!([health(0), health(1), health(2), health(3)], ["starting", "healthy", "healthy", "unhealthy"]);
    assert_eq!(acme["database"]["migrations"]["last"], "20260101000000_init");
    assert_eq!((&acme["last_backup"]["verified"], &shop["last_backup"]), (&"complete".into(), &().into()));
    assert_eq!(shop["database"]["migrations"]["unfinished"], 1);
}

/// Makes the backups of acme dev ten days older: their time is in their names.
fn aged(stage: &Stage) {
    let directory = stage.path(".local/share/envctl/backups/acme/dev");
    let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(10 * 24 + 1);
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let end = name.find('.').unwrap();
        let label = then.strftime("backup_%Y%m%d_%H%M%S");
        let aged = path.with_file_name(format!("{label}{}", &name[end..]));
        std::fs::rename(&path, &aged).unwrap();
        if aged.extension().is_some_and(|end| end == "json") {
            let text = std::fs::read_to_string(&aged).unwrap();
            let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
            manifest["started"] = then.to_string().into();
            manifest.as_object_mut().unwrap().remove("mac");
            std::fs::write(&aged, manifest.to_string()).unwrap();
        }
    }
}

//! `envctl doctor`: what is wrong, with which thing, and what to type; the worst last.

use std::path::Path;

use serde_json::Value;
use snapbox::str;

use crate::container::{Container, db, plain, service, stack};
use crate::daemon::Manner;
use crate::postgres::Server;
use crate::stage::{Ran, Stage};

const ROOM: &str = "rooms/envctl-worker-0123456789abcdef";

/// A stage whose private directories for workers are its own.
fn stage(containers: impl IntoIterator<Item = Container>, server: Server) -> Stage {
    let stage = Stage::with(containers);
    std::fs::create_dir(stage.path("rooms")).unwrap();
    stage.engine.install("*", "psql", server.psql());
    stage
}

fn doctor(stage: &Stage, words: &[&str]) -> Ran {
    let run = stage.envctl(["doctor"].iter().chain(words)).env("XDG_RUNTIME_DIR", stage.path("rooms"));
    run.run().replacing(env!("CARGO_PKG_VERSION"), "[VERSION]")
}

/// The one finding that holds these words, from the document.
fn finding(ran: &Ran, words: &str) -> Value {
    let answer: Value = serde_json::from_str(&ran.out()).expect("one JSON document");
    let findings = answer["findings"].as_array().unwrap();
    let found: Vec<&Value> =
        findings.iter().filter(|finding| finding["what"].as_str().unwrap().contains(words)).collect();
    assert_eq!(found.len(), 1, "{words}: {answer:#}");
    found[0].clone()
}

#[test]
fn without_a_daemon_there_is_nothing_to_examine() {
    let stage = Stage::with([]);
    let nowhere = format!("unix://{}", stage.path("nothing.sock").display());
    let ran = stage.envctl(["doctor"]).env("DOCKER_HOST", &nowhere).run();
    ran.is(str![[r#"
exit 4
! error: cannot reach Docker at unix://[DIR]/nothing.sock (DOCKER_HOST): No such file or directory (os error 2)
! hint: start Docker, if it is installed: `systemctl start docker`, or Docker Desktop
! hint: name another daemon: `--context NAME` or `--host unix:///path/to.sock`

"#]]);
    let ran = stage.envctl(["doctor", "--json"]).env("DOCKER_HOST", &nowhere).run();
    assert_eq!(ran.code, Some(4));
    let answer: Value = serde_json::from_str(&ran.out()).expect("one JSON document");
    assert_eq!(answer["error"]["code"], "docker");
}

#[test]
fn a_daemon_that_refuses_is_told_with_its_words() {
    let stage = Stage::behaving(Manner::Refusing(403, "Forbidden by the proxy"));
    stage.run(["doctor"]).is(str![[r#"
exit 4
! asked unix://[DIR]/docker.sock, context default (DOCKER_HOST)
! error: listing containers: Forbidden by the proxy
! note: the daemon refuses this user
! hint: ask who runs it, or take another `--context`

"#]]);
}

#[test]
fn a_file_that_cannot_be_understood_is_told_as_everywhere() {
    let stage = stage(stack("acme-dev"), Server::new());
    stage.write("envctl.toml", "stak = \"acme\"\n");
    let ran = doctor(&stage, &[]);
    assert_eq!((ran.code, ran.out().as_str()), (Some(2), ""), "{}", ran.err());
    assert!(ran.err().contains("stak") && ran.err().contains("stack"), "{}", ran.err());
}

#[test]
fn an_engine_where_nothing_runs() {
    doctor(&stage([plain("lonely")], Server::new()), &[]).is(str![[r#"
exit 0
ok       configuration: version [VERSION], no envctl.toml; none is needed
ok       docker: 20.10.24+dfsg1 (API 1.41) at unix://[DIR]/docker.sock, context default (DOCKER_HOST)
ok       workers: backups and restores can run beside the database
ok       orphans: no orphans of killed runs of envctl
note     containers: no stack with a backend or a database runs in Docker context default (1 other container runs); start one with `docker compose up -d`, or name containers in envctl.toml
! nothing wants a decision

"#]]);
}

#[test]
fn notes_alone_are_success() {
    doctor(&stage(stack("acme-dev"), Server::new()), &[]).is(str![[r#"
exit 0
ok       configuration: version [VERSION], no envctl.toml; none is needed
ok       docker: 20.10.24+dfsg1 (API 1.41) at unix://[DIR]/docker.sock, context default (DOCKER_HOST)
ok       workers: backups and restores can run beside the database
ok       orphans: no orphans of killed runs of envctl
ok       acme dev: acme, PostgreSQL 15.18, 12.3 MB
note     acme dev: in container acme-dev-db-1 postgres is process 1: a process of `docker exec` that loses its parent and dies by a signal makes it end all sessions and go through crash recovery
         hint: give the service an init: `init: true` in its compose file
note     acme dev: there is no backup in [DIR]/.local/share/envctl/backups/acme/dev
         hint: make one: `envctl backup -s acme --dev`
! nothing wants a decision

"#]]);
}

/// What an index, a restore and a migration that broke off leave, and no backup.
fn ailing() -> Server {
    let kept = r#"envctl_old_aaaa1111_acme,"{""envctl"":""kept"",""replaced"":""acme"",""operation"":""0"",""at"":""2001-01-02T03:04:05Z""}",7654321"#;
    Server::new()
        .answer("'envctl\\_old\\_%'", &format!("{kept}\n"))
        .answer(
            "'invalid', n.nspname",
            "invalid,public,item_words,item,,\n\
             idle,42,app,prisma,acme,900\n\
             staging,envctl_new_0123abcd_acme,1000,false,,\n\
             oldest,acme,1000,,,\n",
        )
        .answer("quote_ident(n.nspname) || '._prisma_migrations'", "public._prisma_migrations\n")
        .answer(
            "current_setting('server_version_num')",
            "acme,150018,15.18,12345678,4096,public._prisma_migrations\n",
        )
        .answer("count(*) filter", "3,1,20250101_init\n")
        .answer("select migration_name from", "20250102_add\n")
}

#[test]
fn the_worst_comes_last_and_says_what_to_type() {
    let containers = stack("acme-prod").into_iter().chain([service("acme-prod", "worker").exited(3)]);
    doctor(&stage(containers, ailing()), &[]).is(str![[r#"
exit 9
ok       configuration: version [VERSION], no envctl.toml; none is needed
ok       docker: 20.10.24+dfsg1 (API 1.41) at unix://[DIR]/docker.sock, context default (DOCKER_HOST)
ok       workers: backups and restores can run beside the database
ok       orphans: no orphans of killed runs of envctl
ok       acme prod: acme, PostgreSQL 15.18, 12.3 MB
note     acme prod: in container acme-prod-db-1 postgres is process 1: a process of `docker exec` that loses its parent and dies by a signal makes it end all sessions and go through crash recovery
         hint: give the service an init: `init: true` in its compose file
note     acme prod: one previous database of a restore: envctl_old_aaaa1111_acme (7.7 MB)
         hint: list them, and drop those that nobody needs: `envctl restore previous -s acme --prod`
warning  acme prod: container acme-prod-worker-1 has ended with code 3
         hint: its logs say why: `docker logs --tail 50 acme-prod-worker-1`
warning  acme prod: index public.item_words on item is INVALID: no query uses it
         hint: build it again: `envctl psql -s acme --prod -d acme -c 'reindex index concurrently "public"."item_words"'`
         hint: drop it: `envctl psql -s acme --prod -d acme -c 'drop index concurrently "public"."item_words"'`
warning  acme prod: session 42 of app (prisma) in acme has done nothing for 15 min inside a transaction, and holds its locks
         hint: end it: `envctl psql -s acme --prod -d acme -c 'select pg_terminate_backend(42)'`
warning  acme prod: the staging database envctl_new_0123abcd_acme (1.0 kB) is an orphan of a restore that was killed
         hint: remove it now, or let the next restore do it: `envctl psql -s acme --prod -d acme -c 'drop database "envctl_new_0123abcd_acme"'`
problem  acme prod: there is no backup in [DIR]/.local/share/envctl/backups/acme/prod
         hint: make one: `envctl backup -s acme --prod`
! error: 1 problem and 4 warnings; what to type stands below each

"#]]);
}

#[test]
fn quiet_is_what_is_wrong_and_nothing_else() {
    let quiet = doctor(&stage(stack("acme-dev"), Server::new()), &["-q"]);
    quiet.is(str![[r#"
exit 0

"#]]);
    let wrong = doctor(&stage(stack("acme-prod"), Server::new()), &["-q"]);
    assert_eq!(wrong.code, Some(9), "{}", wrong.err());
    assert!(wrong.out().starts_with("problem  acme prod: there is no backup"), "{}", wrong.out());
}

#[test]
fn one_document_with_every_finding() {
    let ran = doctor(&stage(stack("acme-prod"), ailing()), &["--json"]);
    assert_eq!((ran.code, ran.err().as_str()), (Some(9), ""), "{}", ran.out());
    let answer: Value = serde_json::from_str(&ran.out()).expect("one JSON document");
    assert_eq!((&answer["schema"], &answer["worst"]), (&1.into(), &"problem".into()));
    let index = finding(&ran, "item_words");
    assert_eq!((&index["severity"], &index["check"]), (&"warning".into(), &"database".into()));
    assert_eq!((&index["stack"], &index["profile"]), (&"acme".into(), &"prod".into()));
    assert_eq!(index["next"].as_array().unwrap().len(), 2);
    assert_eq!(finding(&ran, "20.10.24")["stack"], Value::Null);
}

#[test]
fn a_database_that_does_not_answer_is_a_problem_and_the_others_are_examined() {
    let stage = stage([db("acme-dev"), db("shop-dev"), db("mute-dev")], Server::new());
    let words = "connection to server on socket failed: FATAL:  sorry, too many clients already";
    stage.engine.install("acme-dev-db-1", "psql", Server::refusing(words).psql());
    stage.engine.install("mute-dev-db-1", "psql", |process| process.sleep());
    let ran = doctor(&stage, &["--json"]);
    assert_eq!(ran.code, Some(9));
    assert_eq!(finding(&ran, "too many clients already")["stack"], "acme");
    let mute = finding(&ran, "the database gives no answer within 10 s");
    assert_eq!((&mute["severity"], &mute["stack"]), (&"problem".into(), &"mute".into()));
    assert_eq!(finding(&ran, "acme, PostgreSQL 15.18")["stack"], "shop");
    assert!(ran.took.as_secs() < 20, "{:?}", ran.took);
}

#[test]
fn a_stopped_database_is_told_with_what_starts_it() {
    let containers = [service("acme-prod", "backend"), db("acme-prod").exited(1)];
    let ran = doctor(&stage(containers, Server::new()), &["--json"]);
    let stopped = finding(&ran, "has exited with code 1");
    assert_eq!(stopped["severity"], "problem");
    assert!(stopped["next"].to_string().contains("docker start acme-prod-db-1"), "{stopped}");
}

#[test]
fn what_is_named_alone_is_examined_and_has_to_be_there() {
    let stage = stage(stack("acme-dev").into_iter().chain(stack("shop-prod")), Server::new());
    let one = doctor(&stage, &["-s", "acme"]);
    assert_eq!(one.code, Some(0), "{}{}", one.out(), one.err());
    assert!(!one.out().contains("shop"), "{}", one.out());
    let prod = doctor(&stage, &["--prod"]);
    assert!(!prod.out().contains("acme dev"), "{}", prod.out());
    let nobody = doctor(&stage, &["-s", "nobody"]);
    assert_eq!(nobody.code, Some(3), "{}", nobody.err());
}

/// A worker that says it has this private directory on this machine.
fn worker(stage: &Stage, room: &Path) -> Container {
    let container = plain("envctl-01234567-a")
        .label("envctl.worker", "0123456789abcdef")
        .label("envctl.worker.dir", &room.display().to_string())
        .label("envctl.worker.host", envctl::this_machine());
    stage.engine.run([container.clone()]);
    container
}

fn removals(stage: &Stage) -> usize {
    stage.engine.requests().iter().filter(|request| request.starts_with("DELETE ")).count()
}

#[test]
fn what_a_killed_run_left_is_removed_and_told() {
    let stage = stage(stack("acme-dev"), Server::new());
    let room = stage.path(ROOM);
    std::fs::create_dir(&room).unwrap();
    std::fs::write(room.join("lock"), "").unwrap();
    let partial = ".local/share/envctl/backups/acme/dev/.backup_20260102_030000.sql.gz.0123abcd.partial";
    stage.write(partial, "x");
    worker(&stage, &room);
    let looked = doctor(&stage, &["--dry-run"]);
    assert_eq!(looked.code, Some(9), "{}", looked.out());
    assert_eq!(looked.out().matches("remove it: `envctl doctor`").count(), 3, "{}", looked.out());
    assert_eq!(removals(&stage), 0);
    assert!(room.exists() && stage.path(partial).exists());
    let removed = doctor(&stage, &[]);
    assert_eq!(removed.code, Some(0), "{}", removed.out());
    for words in
        ["removed the worker of envctl/01234567", "removed the directory", "0123abcd.partial, orphan of"]
    {
        assert!(removed.out().contains(words), "{words}: {}", removed.out());
    }
    assert_eq!(removals(&stage), 1);
    assert!(!room.exists() && !stage.path(partial).exists());
    let clean = doctor(&stage, &[]);
    assert!(clean.out().contains("no orphans of killed runs of envctl"), "{}", clean.out());
}

#[test]
fn what_a_run_with_other_variables_left_is_removed_and_what_lies_elsewhere_is_told() {
    let stage = stage(stack("acme-dev"), Server::new());
    let places = tempfile::tempdir().unwrap();
    let [usual, aside] = ["usual", "aside"].map(|name| places.path().join(name));
    let leave = |home: &Path| {
        let room = home.join("envctl-worker-fedcba9876543210");
        std::fs::create_dir_all(&room).unwrap();
        std::fs::write(room.join("lock"), "").unwrap();
        worker(&stage, &room);
        room
    };
    // A shell's directory in memory, and a job's temporary one.
    let room = leave(&usual);
    let removed = stage.envctl(["doctor"]).env("TMPDIR", &usual).env("XDG_RUNTIME_DIR", stage.path("")).run();
    assert!(removed.out().contains("removed the worker of envctl/01234567"), "{}", removed.out());
    assert_eq!((removals(&stage), room.exists()), (1, false));
    // Of a path that anybody may write into a label nothing is removed.
    let room = leave(&aside);
    let told = doctor(&stage, &[]);
    assert!(told.out().contains("rm -r "), "{}", told.out());
    assert_eq!((removals(&stage), room.exists()), (1, true));
}

#[test]
fn what_lives_is_left_alone() {
    let stage = stage(stack("acme-dev"), Server::new());
    let room = stage.path(ROOM);
    std::fs::create_dir(&room).unwrap();
    let lock = std::fs::File::create(room.join("lock")).unwrap();
    lock.lock().unwrap();
    worker(&stage, &room);
    let ran = doctor(&stage, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.out());
    assert!(ran.out().contains("1 worker is at work"), "{}", ran.out());
    assert_eq!(removals(&stage), 0);
    assert!(room.exists());
}

#[test]
fn another_engine_of_a_profile_is_named() {
    let stage = stage(stack("acme-dev"), Server::new());
    stage.write("envctl.toml", "stack = \"acme\"\n[profiles.prod]\ncontext = \"far\"\n");
    let ran = doctor(&stage, &["--json"]);
    let elsewhere = finding(&ran, "profile prod has another Docker engine");
    assert!(elsewhere["next"].to_string().contains("envctl doctor --profile prod"), "{elsewhere}");
}

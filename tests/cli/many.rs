//! Several stacks at a time: the plan, the run, what hangs and what fails, and taking a run up again.

use std::time::Duration;

use serde_json::Value;
use snapbox::str;

use crate::container::db;
use crate::dumps::{DUMP, failing_pg_dump, pg_dump};
use crate::postgres::Server;
use crate::stage::{Ran, Stage};

/// These projects, each with a database that answers and can be dumped.
fn stage(projects: &[&str]) -> Stage {
    let stage = Stage::with(projects.iter().map(|project| db(project)));
    stage.engine.install("*", "psql", Server::new().psql());
    stage.engine.install("*", "pg_dump", pg_dump(DUMP));
    stage
}

fn answer(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out())
        .unwrap_or_else(|_| panic!("one JSON document: {}{}", ran.out(), ran.err()))
}

/// The outcome of each stack, as `acme done`.
fn outcomes(ran: &Ran) -> Vec<String> {
    let answer = answer(ran);
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let stacks = answer["stacks"].as_array().expect("a list of stacks").iter();
    stacks.map(|entry| format!("{} {}", word(&entry["stack"]), word(&entry["outcome"]))).collect()
}

fn backups(stage: &Stage, stack: &str) -> usize {
    let folder = stage.path(&format!(".local/share/envctl/backups/{stack}/dev"));
    std::fs::read_dir(folder).map_or(0, |files| {
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "gz")).count()
    })
}

fn break_dump(stage: &Stage, container: &str) {
    stage.engine.install(container, "pg_dump", failing_pg_dump("query failed: ERROR:  permission denied"));
}

/// Without what differs from run to run: times, and the seconds in the names of files.
fn steady(mut ran: Ran) -> Ran {
    let is_time = |word: &str| word.parse::<f64>().is_ok();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let steady = words.iter().enumerate().filter_map(|(at, word)| match *word {
            "ms" | "s" if at > 0 && is_time(words[at - 1]) => None,
            word if is_time(word) && matches!(words.get(at + 1), Some(&("ms" | "s"))) => {
                Some("[TIME]".to_owned())
            }
            word if word.starts_with("backup_2") => Some("backup_[WHEN].sql.gz".to_owned()),
            word => Some(word.to_owned()),
        });
        steady.collect::<Vec<_>>().join(" ")
    };
    ran.stdout = ran.out().lines().map(|shown| line(shown) + "\n").collect::<String>().into_bytes();
    ran
}

#[test]
fn every_stack_gets_its_backup_and_its_row() {
    let stage = stage(&["acme-dev", "blog-dev", "shop-dev"]);
    let ran = stage.run(["backup", "--all-stacks", "-s", "acme"]);
    assert_eq!(ran.code, Some(2), "one or the other");
    let ran = stage.run(["backup", "--all-stacks"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    for stack in ["acme", "blog", "shop"] {
        assert_eq!(backups(&stage, stack), 1, "{stack}");
        assert!(ran.err().contains(&format!("\n{stack}: dumping acme\n")), "{}", ran.err());
        assert!(ran.err().contains(&format!("{stack}: done in ")), "{}", ran.err());
    }
    let mut ran = steady(ran);
    ran.stderr.clear();
    ran.is(str![[r#"
exit 0
STACK PROFILE TIME RESULT
acme dev [TIME] 2 rows, 431 B, backup_[WHEN].sql.gz
blog dev [TIME] 2 rows, 431 B, backup_[WHEN].sql.gz
shop dev [TIME] 2 rows, 431 B, backup_[WHEN].sql.gz

"#]]);
}

#[test]
fn a_dry_run_is_one_table() {
    let stage = stage(&["acme-dev", "shop-dev"]);
    stage.run(["backup", "-s", "acme", "-s", "shop", "--dry-run"]).is(str![[r#"
exit 0
backup on 2 stacks, one at a time, going on when one fails:
  acme [dev]  acme (PostgreSQL 15.18, 12.3 MB) into [DIR]/.local/share/envctl/backups/acme/dev
  shop [dev]  acme (PostgreSQL 15.18, 12.3 MB) into [DIR]/.local/share/envctl/backups/shop/dev

"#]]);
    stage.run(["backup", "-s", "*", "--dry-run", "--json"]).is(str![[r#"
exit 0
{"schema":1,"verb":"backup","context":"default","dry_run":true,"stacks":[{"stack":"acme","profile":"dev","outcome":"planned","exit":0,"duration_ms":null,"result":{"database":"acme","server_version":"15.18","size":12345678,"directory":"[DIR]/.local/share/envctl/backups/acme/dev"},"error":null},{"stack":"shop","profile":"dev","outcome":"planned","exit":0,"duration_ms":null,"result":{"database":"acme","server_version":"15.18","size":12345678,"directory":"[DIR]/.local/share/envctl/backups/shop/dev"},"error":null}]}

"#]]);
    assert_eq!(backups(&stage, "acme") + backups(&stage, "shop"), 0);
}

#[test]
fn one_that_fails_keeps_no_other_from_its_backup() {
    let stage = stage(&["acme-dev", "blog-dev", "shop-dev"]);
    break_dump(&stage, "blog-dev-db-1");
    let ran = stage.run(["backup", "--all-stacks", "--json"]);
    assert_eq!(ran.code, Some(10), "{}", ran.err());
    assert_eq!(outcomes(&ran), ["acme done", "blog failed", "shop done"]);
    let blog = &answer(&ran)["stacks"][1];
    assert_eq!((&blog["exit"], &blog["error"]["code"]), (&7.into(), &"tool".into()));
    assert!(ran.err().contains("blog: pg_dump in container blog-dev-db-1 failed"), "{}", ran.err());
}

#[test]
fn unless_it_shall_stop_there_and_then_it_can_be_resumed() {
    let stage = stage(&["acme-dev", "blog-dev", "shop-dev"]);
    break_dump(&stage, "blog-dev-db-1");
    let ran = stage.run(["backup", "--all-stacks", "--on-failure", "stop"]);
    assert_eq!(ran.code, Some(10), "{}", ran.err());
    assert!(ran.err().contains("1 of 3 stacks failed: blog; 1 not begun: shop"), "{}", ran.err());
    assert!(ran.err().contains("hint: `envctl backup --resume`"), "{}", ran.err());
    assert_eq!((backups(&stage, "acme"), backups(&stage, "shop")), (1, 0));

    stage.engine.install("blog-dev-db-1", "pg_dump", pg_dump(DUMP));
    let ran = stage.run(["backup", "--resume", "--prod"]);
    assert_eq!(ran.code, Some(2), "what ran in dev is not resumed in prod: {}", ran.err());
    let ran = stage.run(["backup", "--resume", "--json"]);
    assert_eq!(outcomes(&ran), ["blog done", "shop done"]);
    assert_eq!(["acme", "blog", "shop"].map(|stack| backups(&stage, stack)), [1, 1, 1]);

    stage.run(["backup", "--resume"]).is(str![[r#"
exit 0
! every stack of the last `backup` is done: nothing to resume

"#]]);
}

#[test]
fn a_stack_that_cannot_be_asked_stops_the_run_before_it_begins() {
    let stage = stage(&["acme-dev", "blog-dev"]);
    stage.engine.install("blog-dev-db-1", "psql", Server::refusing("FATAL:  sorry, too many clients").psql());
    steady(stage.run(["backup", "--all-stacks", "--on-failure", "stop"])).is(str![[r#"
exit 10
STACK PROFILE TIME RESULT
acme dev - not begun
blog dev [TIME] failed: tool (exit 7)
! warning: blog: cannot connect to PostgreSQL in blog-dev-db-1: sorry, too many clients
!          hint: read its logs: `docker logs --tail 50 blog-dev-db-1`
! error: 1 of 2 stacks cannot be worked on (blog): nothing was changed
! hint: `--on-failure continue` does the others; or name those that you mean with `-s`

"#]]);
    let ran = stage.run(["backup", "--all-stacks", "--on-failure", "stop", "--json"]);
    assert_eq!(outcomes(&ran), ["acme not_begun", "blog failed"]);
    assert_eq!(backups(&stage, "acme"), 0);
}

/// A profile that nobody knows is resumed as such, also where another one of the stack runs by then.
#[test]
fn a_resumed_run_means_the_very_same_environments() {
    let stage = stage(&["acme", "blog"]);
    break_dump(&stage, "acme-db-1");
    let ran = stage.run(["backup", "--all-stacks", "--json"]);
    assert_eq!(outcomes(&ran), ["acme failed", "blog done"]);
    stage.engine.run([db("acme-dev")]);
    let ran = stage.run(["backup", "--resume", "--json"]);
    assert_eq!(outcomes(&ran), ["acme failed"]);
    assert_eq!(answer(&ran)["stacks"][0]["profile"], Value::Null);
}

#[test]
fn nothing_to_resume() {
    stage(&["acme-dev"]).run(["backup", "--resume"]).is(str![[r#"
exit 2
! error: no `backup` over several stacks was begun in Docker context default: there is nothing to resume
! hint: begin one: `envctl backup --all-stacks`, or `-s GLOB`

"#]]);
}

#[test]
fn the_canary_goes_first_and_its_failure_ends_the_run() {
    let stage = stage(&["acme-dev", "blog-dev", "shop-dev"]);
    break_dump(&stage, "shop-dev-db-1");
    let ran = stage.run(["backup", "--all-stacks", "--canary", "shop", "--json"]);
    assert_eq!(outcomes(&ran), ["acme not_begun", "blog not_begun", "shop failed"]);
    let ran = stage.run(["backup", "--all-stacks", "--canary", "shep"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err());
    assert!(ran.err().contains("the canary `shep` is none of the stacks: acme, blog, shop"), "{}", ran.err());
}

#[test]
fn options_of_several_stacks_need_several() {
    stage(&["acme-dev"]).run(["backup", "--canary", "acme"]).is(str![[r#"
exit 2
! error: --canary is for several stacks, and one is meant here
! hint: name them: `-s GLOB` (repeatable) or `--all-stacks`

"#]]);
    stage(&["acme-dev"]).run(["backup", "--all-stacks", "-o", "x.sql"]).is(str![[r#"
exit 2
! error: `-o` names one file, and several stacks are backed up
! hint: leave it out: each goes into BACKUPS/STACK/PROFILE; `ENVCTL_BACKUP_DIR` names BACKUPS

"#]]);
}

#[test]
fn verbs_of_one_stack_say_so_and_what_to_type() {
    let stage = stage(&["acme-dev", "shop-dev"]);
    for arguments in [
        &["shell", "--all-stacks"][..],
        &["exec", "-s", "acme", "-s", "shop", "db", "--", "true"],
        &["psql", "--all-stacks", "-c", "select 1"],
        &["logs", "--all-stacks"],
        &["restore", "latest", "--all-stacks"],
        &["restore", "undo", "--all-stacks"],
        &["backup", "list", "--all-stacks"],
    ] {
        let ran = stage.run(arguments);
        let beside_a_child = ["shell", "exec", "psql"].contains(&arguments[0]);
        assert_eq!(ran.code, Some(if beside_a_child { 125 } else { 2 }), "{arguments:?}: {}", ran.err());
        assert!(ran.err().contains("works on one stack at a time"), "{arguments:?}: {}", ran.err());
        assert!(ran.err().contains("\nhint: "), "{arguments:?}: {}", ran.err());
    }
    assert_eq!(stage.engine.commands(), Vec::<Vec<String>>::new(), "nothing ran");
}

/// 20 stacks of which one hangs while it is asked for its plan, one hangs at work, and one fails.
#[test]
fn of_twenty_one_that_hangs_costs_its_own_time_limit_only() {
    let names: Vec<String> = (1..=20).map(|number| format!("s{number:02}-dev")).collect();
    let stage = stage(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let slow = Duration::from_millis(1500);
    for name in &names {
        stage.engine.install(&format!("{name}-db-1"), "pg_dump", move |process| {
            std::thread::sleep(slow);
            pg_dump(DUMP)(process)
        });
    }
    stage.engine.install("s05-dev-db-1", "psql", |process| process.sleep());
    break_dump(&stage, "s09-dev-db-1");
    let limit = Duration::from_secs(3);
    let ran = stage.run(["backup", "--all-stacks", "--parallel", "20", "--timeout", "3s", "--json"]);
    assert_eq!(ran.code, Some(10), "{}", ran.err());
    let answer = answer(&ran);
    for entry in answer["stacks"].as_array().unwrap() {
        let expected = match entry["stack"].as_str().unwrap() {
            "s05" => 124,
            "s09" => 7,
            _ => 0,
        };
        assert_eq!(entry["exit"], expected, "{entry}");
    }
    let slowest = answer["stacks"].as_array().unwrap().iter().filter(|entry| entry["exit"] == 0);
    let slowest = slowest.filter_map(|entry| entry["duration_ms"].as_u64()).max().unwrap();
    let most = limit + Duration::from_millis(slowest) * 3 / 2;
    assert!(ran.took <= most, "{:?} is more than {most:?}", ran.took);
}

#[test]
fn one_that_hangs_at_work_is_ended_and_reported() {
    let stage = stage(&["acme-dev", "blog-dev", "shop-dev"]);
    stage.engine.install("blog-dev-db-1", "pg_dump", |process| {
        process.out(&DUMP[..50]);
        process.sleep()
    });
    let ran = stage.run(["backup", "--all-stacks", "--parallel", "3", "--timeout", "1s", "--json"]);
    assert_eq!(ran.code, Some(10), "{}", ran.err());
    assert_eq!(outcomes(&ran), ["acme done", "blog failed", "shop done"]);
    assert_eq!(answer(&ran)["stacks"][1]["exit"], 124);
    assert!(ran.took < Duration::from_secs(8), "{:?}", ran.took);
    assert_eq!(backups(&stage, "blog"), 0);
}

/// Stacks with a project of their own and one migration that waits on each; where we stand is another project.
fn migrating(projects: &[&str]) -> Stage {
    let stage = stage(&[]);
    let own = |project: &&str| {
        let folder = format!("srv/{project}");
        let sql = "create table users (id int primary key);\n";
        stage.write(&format!("{folder}/migrations/20250101000000_users/migration.sql"), sql);
        stage.write(
            &format!("{folder}/envctl.toml"),
            "[migrations]\ndriver = \"sql\"\ndir = \"migrations\"\n",
        );
        db(project)
            .label("com.docker.compose.project.working_dir", &stage.path(&folder).display().to_string())
    };
    stage.engine.run(projects.iter().map(own).collect::<Vec<_>>());
    stage.write("here/envctl.toml", "[migrations]\ndriver = \"sql\"\ndir = \"ours\"\n");
    stage.write("here/ours/20240101000000_ours/migration.sql", "create table ours ();\n");
    stage
}

/// As [`Stage::run`], in the other project.
fn run_here(stage: &Stage, arguments: &[&str]) -> Ran {
    stage.envctl(arguments).inside(&stage.path("here")).run()
}

#[test]
fn several_productions_are_asked_about_once_and_refused_without_an_answer() {
    let stage = migrating(&["acme-prod", "blog-prod"]);
    let ran = run_here(&stage, &["migrate", "--all-stacks", "--untested", "--no-backup"]);
    ran.is(str![[r#"
exit 6
!   migrate on 2 stacks, one at a time, stopping at the first failure:
!     acme [prod]  apply 1 migration to database ""
!           by sql (prisma files), from migrations
!           + 20250101000000_users (1 statement)
!           note: untested (no other profile of the stack runs here to have tried it): 20250101000000_users
!     blog [prod]  apply 1 migration to database ""
!           by sql (prisma files), from migrations
!           + 20250101000000_users (1 statement)
!           note: untested (no other profile of the stack runs here to have tried it): 20250101000000_users
! error: this needs a yes, and there is no terminal to ask at: nothing was changed
! hint: look at the plan with `--dry-run`, then add `--yes`

"#]]);
    let ran =
        run_here(&stage, &["migrate", "--all-stacks", "--untested", "--no-backup", "--dry-run", "--json"]);
    assert_eq!(outcomes(&ran), ["acme planned", "blog planned"]);
    assert_eq!(answer(&ran)["stacks"][0]["result"]["pending"][0]["name"], "20250101000000_users");
    let written = stage.path(".local/state/envctl/runs");
    assert!(!written.exists(), "what was not begun is in no journal");
}

#[test]
fn what_production_refuses_for_one_stack_it_refuses_for_each() {
    let stage = migrating(&["acme-prod", "blog-prod"]);
    let ran = run_here(&stage, &["migrate", "--all-stacks", "--yes", "--json"]);
    assert_eq!(ran.code, Some(10), "{}", ran.err());
    assert_eq!(outcomes(&ran), ["acme failed", "blog failed"]);
    assert_eq!(answer(&ran)["stacks"][0]["error"]["code"], "refused");
    assert!(ran.err().contains("--untested"), "{}", ran.err());
    for arguments in
        [&["migrate", "reset", "--all-stacks"][..], &["push", "--all-stacks"], &["pull", "--all-stacks"]]
    {
        let ran = stage.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.err());
        assert!(ran.err().contains("works on one stack at a time"), "{arguments:?}: {}", ran.err());
    }
}

#[test]
fn the_state_of_every_stack_is_one_table() {
    let stage = migrating(&["acme-dev", "blog-prod"]);
    let ran = steady(run_here(&stage, &["migrate", "status", "--all-stacks"]));
    ran.is(str![[r#"
exit 0
STACK PROFILE TIME RESULT
acme dev [TIME] 0 applied, 1 pending
blog prod [TIME] 0 applied, 1 pending

"#]]);
    let ran = run_here(&stage, &["migrate", "status", "--all-stacks", "--exit-code", "--json"]);
    assert_eq!(ran.code, Some(11), "{}", ran.err());
    assert_eq!(outcomes(&ran), ["acme done", "blog done"]);
}

#[test]
fn of_twenty_histories_one_that_hangs_costs_its_own_time_limit_only() {
    let names: Vec<String> = (1..=20).map(|number| format!("s{number:02}-dev")).collect();
    let stage = migrating(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names {
        stage.engine.install(&format!("{name}-db-1"), "psql", |process| {
            std::thread::sleep(Duration::from_millis(300));
            Server::new().psql()(process)
        });
    }
    stage.engine.install("s05-dev-db-1", "psql", |process| process.sleep());
    stage.engine.install(
        "s09-dev-db-1",
        "psql",
        Server::refusing("FATAL:  role \"postgres\" does not exist").psql(),
    );
    let ran = run_here(&stage, &["migrate", "status", "--all-stacks", "--timeout", "2s", "--json"]);
    assert_eq!(ran.code, Some(10), "{}", ran.err());
    let answer = answer(&ran);
    let stacks = answer["stacks"].as_array().unwrap();
    for entry in stacks {
        let expected = match entry["stack"].as_str().unwrap() {
            "s05" => 124,
            "s09" => 7,
            _ => 0,
        };
        assert_eq!(entry["exit"], expected, "{entry}");
    }
    let healthy = stacks.iter().filter(|entry| entry["exit"] == 0);
    let slowest = healthy.filter_map(|entry| entry["duration_ms"].as_u64()).max().unwrap();
    let most = Duration::from_secs(2) + Duration::from_millis(slowest) * 3 / 2;
    assert!(ran.took <= most, "{:?} is more than {most:?}", ran.took);
}

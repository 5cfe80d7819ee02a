//! Several stacks at a time, on real databases: one that fails, one that hangs, taking the run up again.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::rig::{Wanted, docker};
use crate::support::{Finished, Project, Server};

/// Three stacks that were started from one directory, and in it two migrations for all of them.
fn three(name: &str) -> (Project, Vec<Server>) {
    let nobody = || String::new();
    let none = Server { container: nobody(), stack: nobody(), profile: nobody(), user: nobody() };
    let mut project = Project::of(&none, "postgres");
    let label = format!("--label=com.docker.compose.project.working_dir={}", project.path().display());
    let start = |letter: &str| Wanted::postgres(15, &format!("{name}{letter}")).arg(&label).start();
    let servers: Vec<Server> = ["a", "b", "c"].map(start).into_iter().map(Server::ready).collect();
    project.server = servers[0].clone();
    std::fs::write(project.path().join("envctl.toml"), "[migrations]\ndriver = \"sql\"\n").unwrap();
    for (folder, sql) in
        [("1_users", "create table users (id int);"), ("2_posts", "create table posts (id int);")]
    {
        let at = project.path().join("prisma/migrations").join(folder);
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join("migration.sql"), sql).unwrap();
    }
    (project, servers)
}

/// envctl about all of them.
fn over(project: &Project, servers: &[Server], words: &[&str]) -> Finished {
    let mut args = words.to_vec();
    for server in servers {
        args.extend(["-s", server.stack.as_str()]);
    }
    project.run(&args)
}

fn outcomes(finished: &Finished) -> Vec<(String, u64)> {
    let answer: Value = serde_json::from_str(&finished.out()).expect("one document");
    let one = |entry: &Value| {
        (entry["outcome"].as_str().unwrap().to_owned(), entry["exit"].as_u64().unwrap_or(999))
    };
    answer["stacks"].as_array().unwrap().iter().map(one).collect()
}

fn tables(server: &Server) -> String {
    server.sql("postgres", "select count(*) from pg_tables where tablename in ('users', 'posts')")
}

#[test]
fn a_migration_that_fails_on_one_stops_there_and_is_resumed() {
    let (project, servers) = three("mm");
    let status = over(&project, &servers, &["migrate", "status", "--exit-code"]).code(11);
    assert_eq!(status.out().matches("2 pending").count(), 3, "{}", status.out());

    // Found out only when it runs: the name is taken by something that no plan looks at.
    servers[1].sql("postgres", "create type posts as enum ('x')");
    let ran = over(&project, &servers, &["migrate", "--json"]).code(10);
    assert_eq!(outcomes(&ran), [("done".into(), 0), ("failed".into(), 7), ("not_begun".into(), 999)]);
    assert_eq!((tables(&servers[0]), tables(&servers[2])), ("2".into(), "0".into()));

    servers[1].sql("postgres", "drop type posts");
    let stack = servers[1].stack.clone();
    project.run(&["migrate", "resolve", "2_posts", "--rolled-back", "-s", &stack]).code(0);
    let ran = project.run(&["migrate", "--resume", "--json"]).code(0);
    assert_eq!(outcomes(&ran), [("done".into(), 0), ("done".into(), 0)]);
    assert_eq!(servers.iter().map(tables).collect::<Vec<_>>(), ["2", "2", "2"]);
    over(&project, &servers, &["migrate", "status", "--exit-code"]).code(0);
    project.run(&["migrate", "--resume"]).code(0).says("nothing to resume");
}

#[test]
fn one_that_hangs_costs_its_limit_and_the_others_are_backed_up() {
    let (project, servers) = three("mh");
    docker(&["pause", &servers[1].container]);
    let began = Instant::now();
    let ran = over(&project, &servers, &["backup", "--parallel", "3", "--timeout", "10s", "--json"]);
    let took = began.elapsed();
    docker(&["unpause", &servers[1].container]);
    assert_eq!(outcomes(&ran)[0], ("done".into(), 0), "{}", ran.err());
    assert_eq!(outcomes(&ran)[1].0, "failed", "{}", ran.err());
    assert_eq!(outcomes(&ran)[2], ("done".into(), 0), "{}", ran.err());
    assert!(took < Duration::from_secs(25), "{took:?}");

    // Held up at work, by somebody's lock.
    servers[2].sql("postgres", "create table item (id int)");
    let held = servers[2].session("postgres", "begin; lock table item in access exclusive mode");
    let words = ["backup", "--parallel", "3", "--timeout", "10s", "--lock-timeout", "60s", "--json"];
    let ran = over(&project, &servers, &words).code(10);
    assert_eq!(outcomes(&ran), [("done".into(), 0), ("done".into(), 0), ("failed".into(), 124)]);
    drop(held);
    servers[2].wait_without_process("pg_dump", Duration::from_secs(10));
}

//! `envctl doctor` on a real server: what it finds is there, and what it says to type works.

use std::process::Command;

use serde_json::Value;

use crate::support::project::ENVCTL;
use crate::support::rig::Wanted;
use crate::support::{Project, Running};

/// The findings about this stack that are worse than `ok`.
fn findings(project: &Project) -> Vec<Value> {
    let finished = project.run(&["doctor", "--json", "-s", &project.server.stack]);
    let answer: Value = serde_json::from_str(&finished.out()).unwrap();
    let all = answer["findings"].as_array().unwrap().iter();
    all.filter(|finding| finding["stack"] == project.server.stack.as_str() && finding["severity"] != "ok")
        .cloned()
        .collect()
}

#[track_caller]
fn find(findings: &[Value], words: &str) -> Value {
    let found = findings.iter().find(|finding| finding["what"].as_str().unwrap().contains(words));
    found.unwrap_or_else(|| panic!("{words}: {findings:#?}")).clone()
}

/// Pastes what a finding says to type into a shell.
fn typed(project: &Project, finding: &Value, step: &str) {
    let steps = finding["next"].as_array().unwrap();
    let step = steps.iter().map(|step| step.as_str().unwrap()).find(|next| next.contains(step)).unwrap();
    let line = step.split('`').nth(1).unwrap().replacen("envctl", ENVCTL, 1);
    let mut command = Command::new("sh");
    command.args(["-c", &line]).env_clear().current_dir(project.path());
    for (name, value) in project.bare().get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    Running::start(command, None).finish().code(0);
}

#[test]
fn what_is_found_goes_by_what_is_typed() {
    for major in [15, 17] {
        let server = Wanted::postgres(major, &format!("doctor{major}")).arg("--init").start().ready();
        let project = Project::new(&server, "doctor");
        let toml = format!("stack = \"{}\"\n[database]\nname = \"{}\"\n", server.stack, project.database);
        std::fs::write(project.path().join("envctl.toml"), toml).unwrap();
        project.fill(100);
        project.run(&["backup"]).code(0);
        assert_eq!(findings(&project), Vec::<Value>::new(), "a healthy stack");

        project.run(&["restore", "latest", "--yes", "--no-backup"]).code(0);
        project.sql("insert into item select id + 1000, 'same' from item");
        let broken = server
            .try_sql(&project.database, "create unique index concurrently \"Item words\" on item (words)");
        broken.unwrap_err();
        server.sql("postgres", "create database envctl_new_0123abcd_gone; comment on database envctl_new_0123abcd_gone is 'envctl: being loaded'; create database shut; alter database shut allow_connections false");
        project.sql("create table _prisma_migrations (id text, checksum text, finished_at timestamptz, migration_name text, logs text, rolled_back_at timestamptz, started_at timestamptz, applied_steps_count int); insert into _prisma_migrations (id, migration_name, started_at) values ('1', '20250102_half', now())");
        let partial = project.backup_dir().join(".backup_20260102_030405.sql.gz.0123abcd.partial");
        std::fs::write(&partial, "half").unwrap();

        let found = findings(&project);
        find(&found, "previous database of a restore: envctl_old_");
        assert_eq!(find(&found, "20250102_half")["severity"], "problem");
        assert_eq!(find(&found, ".partial, orphan of a backup that was killed")["severity"], "note");
        assert!(!partial.exists());
        let index = find(&found, "index public.Item words on item is INVALID");
        let side = find(&found, "envctl_new_0123abcd_gone");
        let shut = find(&found, "nobody may connect to the database shut");
        typed(&project, &index, "drop it: ");
        typed(&project, &side, "remove it now");
        typed(&project, &shut, "revert it if that is not meant");
        assert_eq!(
            server.sql("postgres", "select datallowconn from pg_database where datname = 'shut'"),
            "t"
        );

        let migrating = server.session(&project.database, "select pg_advisory_lock(72707369)");
        let left = findings(&project);
        assert_eq!(find(&left, "being applied now: 20250102_half")["severity"], "note");
        drop(migrating);
        for words in ["INVALID", "envctl_new_", "shut", ".partial"] {
            let there = left.iter().any(|finding| finding["what"].as_str().unwrap().contains(words));
            assert!(!there, "{words} is still there: {left:#?}");
        }
    }
}

#[test]
fn an_index_that_is_being_built_is_no_invalid_one() {
    let server = Wanted::postgres(15, "built").start().ready();
    let project = Project::new(&server, "built");
    project.fill(10);
    let held = server.session(&project.database, "begin; update item set words = 'held' where id = 1");
    let mut building = server.psql(&project.database).spawn().unwrap();
    std::io::Write::write_all(
        &mut building.stdin.take().unwrap(),
        b"create index concurrently item_words on item (words);\n",
    )
    .unwrap();
    let there = "select count(*) from pg_index where not indisvalid and indexrelid = 'item_words'::regclass";
    crate::support::rig::eventually(std::time::Duration::from_secs(20), "it is being built", || {
        server.try_sql(&project.database, there).is_ok_and(|count| count == "1")
    });
    let said = project.run(&["doctor", "--json", "-s", &server.stack]).out();
    assert!(said.contains(&project.database) && !said.contains("INVALID"), "{said}");
    drop(held);
    assert!(building.wait().unwrap().success());
}

#[test]
fn tools_that_do_not_fit_the_server_are_a_problem() {
    let server = Wanted::postgres(15, "older").start().ready();
    let project = Project::new(&server, "older");
    server.install("pg_dump", "#!/bin/sh\necho 'pg_dump (PostgreSQL) 13.9 (Debian 13.9-0+deb11u1)'\n");
    let older =
        find(&findings(&project), "pg_dump in the container is 13.9 and refuses the server, which is 15.");
    assert_eq!(older["severity"], "problem");
    server.sh("for p in $(which -a pg_dump); do chmod -x \"$p\"; mv \"$p\" \"$p.away\"; done");
    find(&findings(&project), "there is no pg_dump");
}

/// What a role without rights may not see is left out or told as such, and nothing else goes wrong.
#[test]
fn an_ordinary_role_is_enough() {
    let server = Wanted::postgres(15, "plain").start().ready();
    let project = Project::new(&server, "plain");
    project.fill(10);
    server.sql("postgres", "create role plain login; create database envctl_new_0123abcd_gone; revoke connect on database envctl_new_0123abcd_gone from public; comment on database envctl_new_0123abcd_gone is 'envctl: being loaded'");
    let toml = format!(
        "stack = \"{}\"\n[database]\nname = \"{}\"\nuser = \"plain\"\n",
        server.stack, project.database
    );
    std::fs::write(project.path().join("envctl.toml"), toml).unwrap();
    let found = findings(&project);
    let what = find(&found, "envctl_new_0123abcd_gone")["what"].as_str().unwrap().to_owned();
    assert!(!what.contains("B)"), "its size is not seen: {what}");
    let unseen =
        found.iter().any(|finding| finding["what"].as_str().unwrap().contains("could not be looked for"));
    assert!(!unseen, "{found:#?}");
}

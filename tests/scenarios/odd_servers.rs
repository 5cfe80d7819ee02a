//! Servers and databases that are set up in their own way.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::rig::{CANARY, Wanted, docker};
use crate::support::timing::is_long;
use crate::support::{Project, Proxy, Running, Server, Snapshot};

#[test]
fn a_server_that_asks_for_a_password_gets_the_containers_own() {
    let mut wanted = Wanted::postgres(15, "scram");
    wanted.docker_args.retain(|arg| !arg.contains("INITDB_ARGS"));
    let server = wanted
        .arg("--env=POSTGRES_INITDB_ARGS=--no-sync --auth-local=scram-sha-256 --auth-host=scram-sha-256")
        .start()
        .ready();
    let project = Project::new(&server, "scram");
    project.fill(20);
    let digest = project.digest();
    let proxy = Proxy::start(Vec::new());
    assert_eq!(project.through(&proxy, &["psql", "-c", "select 1", "--", "-At"]).code(0).out(), "1\n");
    project.through(&proxy, &["backup"]).code(0);
    project.sql("delete from item");
    project.through(&proxy, &["restore", "latest", "--yes"]).code(0);
    assert_eq!(project.digest(), digest);
    project.through(&proxy, &["restore", "undo", "--yes"]).code(0);
    // In an exec's environment it is seen by root on the host alone; a command line is in `docker events`.
    for request in proxy.requests().iter().filter(|request| request.contains(CANARY)) {
        let body: serde_json::Value = serde_json::from_str(&request[request.find('{').unwrap()..]).unwrap();
        assert!(!body["Cmd"].to_string().contains(CANARY), "the password is on a command line: {request}");
    }
    let _ = Snapshot::of(&project);
}

#[test]
fn a_wrong_password_is_told_and_not_repeated() {
    let server = Wanted::postgres(15, "wrong")
        .arg("--env=POSTGRES_INITDB_ARGS=--auth-local=scram-sha-256")
        .start()
        .ready();
    server.sql("postgres", "alter role postgres password 'another one'");
    let project = Project::of(&server, "postgres");
    project.run(&["backup"]).code(7).says("password");
}

#[test]
fn a_user_from_a_file_is_found() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("user"), "admin from file\n").unwrap();
    std::fs::write(directory.path().join("db"), "db from file\n").unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut server = Wanted::postgres(17, "files")
        .arg("--env=POSTGRES_USER_FILE=/run/secrets/user")
        .arg("--env=POSTGRES_DB_FILE=/run/secrets/db")
        .arg(&format!("--volume={}:/run/secrets:ro", directory.path().display()))
        .start()
        .ready();
    server.user = "admin from file".to_owned();
    let project = Project::of(&server, "db from file");
    let mut command = project.bare();
    command.args(["psql", "-c", "select current_user, current_database()", "--", "-At"]);
    assert_eq!(Running::start(command, None).finish().code(0).out(), "admin from file|db from file\n");
}

#[test]
fn hostile_database_names_survive_backup_and_restore() {
    let server = Server::shared(17);
    let names = [
        "with space",
        "it's \"quoted\"",
        "back\\slash",
        "-leading-dash",
        "dbname=postgres host=evil",
        "ünïcode 表",
        "%s {0} $1 `id`",
        "a;drop table x",
        "postgresql:///postgres",
        "UPPER",
    ];
    for name in names {
        let quoted = name.replace('"', "\"\"");
        server.sql("postgres", &format!("create database \"{quoted}\""));
        let project = Project::of(server, name);
        project.fill(5);
        let digest = project.digest();
        project.run(&["backup"]).code(0);
        project.sql("delete from item");
        project.run(&["restore", "latest", "--yes", "--no-backup"]).code(0);
        assert_eq!(project.digest(), digest, "{name}");
        project.run(&["restore", "undo", "--yes"]).code(0);
        assert_eq!(project.sql("select count(*) from item"), "0", "{name}");
        if is_long() {
            project.run(&["restore", "latest", "--yes", "--no-backup"]).code(0);
            assert_eq!(project.digest(), digest, "{name}");
        }
        project.drop_siblings();
    }
}

#[test]
fn the_lowest_replica_is_meant_and_index_picks_another() {
    let start = |number| {
        let mut wanted = Wanted::postgres(15, "scaled").arg("--entrypoint=sleep");
        wanted.image = "envctl-backend:20".to_owned();
        wanted.command = vec!["infinity".to_owned()];
        wanted.service = "backend".to_owned();
        wanted.number = number;
        wanted.start()
    };
    let (third, second) = (start(3), start(2));
    let project = Project::of(&second, "postgres");
    let id = |server: &Server| docker(&["inspect", "--format={{.Config.Hostname}}", &server.container]);
    let host = |args: &[&str]| project.run(args).code(0).out().trim().to_owned();
    assert_eq!(host(&["exec", "backend", "--", "hostname"]), id(&second));
    assert_eq!(host(&["exec", "backend", "--index", "3", "--", "hostname"]), id(&third));
    project.run(&["exec", "backend", "--index", "9", "--", "hostname"]).code(125).says("--index|index");
}

#[test]
fn settings_of_a_role_do_not_bend_a_backup() {
    let project = Project::new(Server::shared(15), "bent");
    project.fill(200);
    let digest = project.digest();
    let database = &project.database;
    project.sql(&format!(
        "create schema evil; create function evil.count(int) returns int language sql as 'select -1'; \
         alter database {database} set search_path = evil, public; \
         alter database {database} set statement_timeout = '1ms'; \
         alter database {database} set default_transaction_read_only = on; \
         alter database {database} set client_min_messages = debug1; \
         alter database {database} set datestyle = 'SQL, DMY'; \
         alter database {database} set lock_timeout = '1ms'; \
         alter database {database} set bytea_output = 'escape'"
    ));
    project.run(&["backup"]).code(0);
    project.assert_verified(&Snapshot::of(&project).dumps()[0]);
    project.server.sql("postgres", &format!("alter database {database} reset all"));
    project.sql("delete from public.item");
    project.server.sql(
        "postgres",
        &format!("alter database {database} set default_transaction_read_only = on; alter database {database} set statement_timeout = '1ms'"),
    );
    project.run(&["restore", "latest", "--yes", "--no-backup"]).code(0);
    project.server.sql("postgres", &format!("alter database {database} reset all"));
    assert_eq!(project.digest(), digest);
    project.drop_siblings();
}

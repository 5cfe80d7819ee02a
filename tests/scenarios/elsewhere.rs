//! Servers that do not listen where PostgreSQL's tools expect them.

use std::fs;
use std::time::Duration;

use crate::support::rig::{CANARY, Wanted, docker, eventually, try_docker};
use crate::support::{Project, Server};

/// A project with this text behind its first line.
fn with(server: &Server, database: &str, toml: &str) -> Project {
    let project = Project::of(server, database);
    let file = project.path().join("envctl.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, format!("{text}{toml}")).unwrap();
    project
}

/// A backup by each transport, and a restore of each.
fn life(project: &Project, sql: impl Fn(&str) -> String) {
    sql("create table item (id int primary key, words text not null)");
    sql("insert into item select n, md5(n::text) from generate_series(1, 30) n");
    project.run(&["status"]).code(0);
    assert_eq!(project.run(&["psql", "-c", "select 7", "--", "-At"]).code(0).out(), "7\n");
    for transport in ["exec", "worker"] {
        project.run(&["backup", "--transport", transport]).code(0);
        sql("delete from item");
        project.run(&["restore", "latest", "--yes", "--no-backup", "--transport", transport]).code(0);
        assert_eq!(sql("select count(*) from item"), "30", "{transport}");
    }
    project.run(&["restore", "undo", "--yes"]).code(0);
    assert_eq!(sql("select count(*) from item"), "0");
}

/// Statements in `app`, past envctl, over TCP.
fn over_tcp(server: &Server, port: &str) -> impl Fn(&str) -> String {
    let (server, port) = (server.clone(), port.to_owned());
    move |statement: &str| {
        let quoted = statement.replace('\'', "'\\''");
        server
            .sh(&format!(
                "PGPASSWORD={CANARY} psql -XAtq -h 127.0.0.1 -p {port} -U postgres -d app -c '{quoted}'"
            ))
            .trim()
            .to_owned()
    }
}

/// A server whose files outlive a restart of its container.
fn lasting(major: u8, name: &str) -> Server {
    let mut wanted = Wanted::postgres(major, name).arg("--env=POSTGRES_DB=app");
    wanted.docker_args.retain(|arg| !arg.contains("tmpfs"));
    wanted.start().ready()
}

/// Restarts the container and waits until the server answers on this port.
fn restart(server: &Server, port: &str) {
    docker(&["restart", "-t", "30", &server.container]);
    eventually(Duration::from_secs(30), "the server is back", || {
        let ask = ["exec", &server.container, "pg_isready", "-h", "127.0.0.1", "-p", port];
        try_docker(&ask).status.success()
    });
}

#[test]
fn a_port_of_the_command_is_found_and_one_of_a_file_is_configured() {
    let mut wanted = Wanted::postgres(17, "port").arg("--env=POSTGRES_DB=app");
    wanted.command.extend(["-p", "5545"].map(str::to_owned));
    let server = wanted.start().ready();
    life(&Project::of(&server, "app"), over_tcp(&server, "5545"));
    // In the server's own file, where nobody but the project's file tells.
    let server = lasting(15, "portfile");
    server.sh("echo 'port = 5546' >>\"$PGDATA/postgresql.conf\"");
    restart(&server, "5546");
    Project::of(&server, "app").run(&["backup"]).code(7).says("`[database] port = 5433`");
    life(&with(&server, "app", "[database]\nport = 5546\n"), over_tcp(&server, "5546"));
}

#[test]
fn a_server_without_a_socket_or_that_refuses_there_is_reached_over_tcp() {
    let socketless = "echo \"unix_socket_directories = ''\" >>\"$PGDATA/postgresql.conf\"";
    let reject = "sed -i 's/^local.*/local all all reject/' \"$PGDATA/pg_hba.conf\"";
    for (name, sh) in [("nosocket", socketless), ("rejected", reject)] {
        let server = lasting(15, name);
        server.sh(sh);
        restart(&server, "5432");
        assert!(server.try_sql("app", "select 1").is_err(), "the socket takes nobody any more");
        life(&Project::of(&server, "app"), over_tcp(&server, "5432"));
    }
}

#[test]
fn a_container_of_bitnamis_variables_is_connected_to_as_they_say() {
    let mut wanted = Wanted::postgres(17, "bitnami");
    wanted.docker_args.retain(|arg| !arg.contains("INITDB_ARGS"));
    let server = wanted
        .arg("--env=POSTGRES_INITDB_ARGS=--no-sync --auth-local=scram-sha-256 --auth-host=scram-sha-256")
        .arg("--env=BITNAMI_APP_NAME=postgresql")
        .arg("--env=POSTGRESQL_USERNAME=shop")
        .arg("--env=POSTGRESQL_DATABASE=store")
        .arg("--env=POSTGRESQL_PASSWORD=store-secret-word")
        .start()
        .ready();
    server.sql("postgres", "create role shop login createdb password 'store-secret-word'");
    server.sql("postgres", "create database store owner shop");
    let project = Project::of(&server, "store");
    let mut command = project.bare();
    command.args(["psql", "-c", "select current_user, current_database()", "--", "-At"]);
    let answer = crate::support::Running::start(command, None).finish().code(0);
    assert_eq!(answer.out(), "shop|store\n");
    for transport in ["exec", "worker"] {
        project.run(&["backup", "--transport", transport]).code(0);
        project.run(&["restore", "latest", "--yes", "--no-backup", "--transport", transport]).code(0);
    }
}

//! Roles that are not superuser: the owner of a database takes it through its whole life.

use std::fs;

use crate::support::rig::Wanted;
use crate::support::{Project, Server, Snapshot};

/// A database that belongs to a role of its own, which may log in and has these other rights.
fn owned(server: &Server, name: &str, rights: &str) -> (Project, String) {
    let project = Project::new(server, name);
    let role = format!("{}_owner", project.database);
    server.sql(
        "postgres",
        &format!("create role {role} login {rights}; alter database {} owner to {role}", project.database),
    );
    let file = project.path().join("envctl.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, format!("{text}[database]\nuser = \"{role}\"\n")).unwrap();
    project.sql(&format!(
        "set role {role}; create table item (id int primary key, words text not null); \
         insert into item select n, md5(n::text) from generate_series(1, 50) n"
    ));
    (project, role)
}

#[test]
fn an_owner_who_may_create_databases_takes_one_through_its_whole_life() {
    for major in [15, 17] {
        let (project, role) = owned(Server::shared(major), "life", "createdb");
        let name = project.database.clone();
        project.server.sql(
            "postgres",
            &format!(
                "create role {role}_app; comment on database {name} is 'shop'; grant connect on database {name} to {role}_app; \
                 alter database {name} set work_mem = '5MB'; alter role {role} in database {name} set search_path = public; \
                 alter database {name} set log_min_messages = 'error'; \
                 alter role {role}_app in database {name} set app.key = 'secret-of-a-setting'"
            ),
        );
        let digest = project.digest();
        for format in ["plain", "custom"] {
            project.run(&["backup", "--format", format]).code(0);
            project.sql("delete from item");
            let told = project.run(&["restore", "latest", "--yes"]).code(0);
            // Said before and after, the names of settings and not their values.
            // The restored one has them no more.
            let told = if format == "custom" {
                told
            } else {
                told.says(&format!(
                    "may not copy, a superuser may: app.key of role {role}_app, log_min_messages"
                ))
                .says(&format!("`ALTER DATABASE \"{name}\" SET log_min_messages TO …`"))
                .says(&format!("`ALTER ROLE {role}_app IN DATABASE \"{name}\" SET \"app.key\" TO …`"))
            };
            assert!(!told.err().contains("secret-of-a-setting"), "{}", told.err());
            assert_eq!(project.digest(), digest);
            let copied = project.server.sql(
                "postgres",
                &format!(
                    "select shobj_description(oid, 'pg_database'), pg_get_userbyid(datdba), datacl::text like '%{role}_app=c/%', \
                            (select string_agg(s, ' ' order by s) from pg_db_role_setting r, unnest(setconfig) s where setdatabase = oid) \
                     from pg_database where datname = '{name}'"
                ),
            );
            assert_eq!(copied, format!("shop|{role}|t|search_path=public work_mem=5MB"));
            project.run(&["restore", "undo", "--yes"]).code(0);
            assert_eq!(project.sql("select count(*) from item"), "0");
            project.run(&["restore", "undo", "--yes"]).code(0);
            assert_eq!(project.digest(), digest);
        }
        fs::create_dir_all(project.path().join("migrations")).unwrap();
        fs::write(project.path().join("migrations/1_more.sql"), "create table more (id int);").unwrap();
        fs::write(project.path().join("migrations/0_item.sql"), "create table item (id int);").unwrap();
        project.run(&["migrate", "resolve", "0_item", "--applied", "--yes"]).code(0);
        project.run(&["migrate", "--yes"]).code(0);
        assert_eq!(
            project.sql("select pg_get_userbyid(relowner) from pg_class where relname = 'more'"),
            role
        );
        project.run(&["status"]).code(0).says(&name);
        project.run(&["doctor"]);
        let into = format!("{name}_copy");
        project.run(&["restore", "latest", "--into", &into, "--yes"]).code(0);
        assert_eq!(project.server.sql(&into, "select count(*) from item"), "50");
        project.server.sql("postgres", &format!("drop database {into}"));
        project.run(&["restore", "previous", "--drop", "all", "--yes"]).code(0);
        assert_eq!(project.server.siblings(&name), Vec::<String>::new());
    }
}

#[test]
fn the_right_that_is_missing_is_named_and_nothing_is_changed() {
    for major in [15, 17] {
        let server = Server::shared(major);
        let (project, role) = owned(server, "rights", "");
        let name = project.database.clone();
        project.run(&["backup"]).code(0);
        let before = Snapshot::of(&project);
        project
            .run(&["restore", "latest", "--yes", "--no-backup"])
            .code(6)
            .says(&format!("ALTER ROLE \"{role}\" CREATEDB"));
        // A database of somebody else's.
        server
            .sql("postgres", &format!("alter role {role} createdb; alter database {name} owner to postgres"));
        project
            .run(&["restore", "latest", "--yes", "--no-backup"])
            .code(6)
            .says(&format!("ALTER DATABASE \"{name}\" OWNER TO \"{role}\""));
        assert_eq!(Snapshot::of(&project), before);
        if major == 15 {
            // The server waits 5 s for it three times.
            continue;
        }
        // A session that the role may not end, told before; it holds the swap up until it is allowed to.
        server.sql("postgres", &format!("alter database {name} owner to {role}; create role {role}_other login; grant {role} to {role}_other"));
        let mut other = server.clone();
        other.user = format!("{role}_other");
        let held = other.session(&name, "select 1");
        let refused = project.run(&["restore", "latest", "--yes", "--no-backup"]).code(5);
        refused.says("may not end 1 of the connected sessions").says("GRANT pg_signal_backend TO");
        server.sql("postgres", &format!("grant pg_signal_backend to {role}"));
        project.run(&["restore", "latest", "--yes", "--no-backup"]).code(0);
        drop(held);
        project.drop_siblings();
    }
}

#[test]
fn a_server_without_the_database_postgres_is_restored_undone_and_listed() {
    let server = Wanted::postgres(17, "nopg").arg("--env=POSTGRES_DB=app").start().ready();
    server.sql(
        "app",
        "drop database postgres; create table item (id int, words text); insert into item values (1, 'a')",
    );
    let project = Project::of(&server, "app");
    project.run(&["backup"]).code(0);
    project.sql("delete from item");
    project.run(&["restore", "latest", "--yes", "--no-backup"]).code(0);
    assert_eq!(project.sql("select count(*) from item"), "1");
    let kept = project.run(&["restore", "previous"]).code(0).out();
    assert!(kept.contains("envctl_old"), "{kept}");
    project.run(&["restore", "undo", "--yes"]).code(0);
    project.run(&["restore", "latest", "--into", "copy", "--yes"]).code(0);
    assert_eq!(server.sql("copy", "select count(*) from item"), "1");
    // The hint names what is there instead of a command that fails likewise.
    project
        .run(&["psql", "-d", "nosuch", "-c", "select 1"])
        .code(125)
        .says("these exist: app, copy, template1");
    project.sql("insert into item values (1, 'a')");
    let all = project.path().join("all.tar");
    project.run(&["backup", "--all-databases", "-o", all.to_str().unwrap()]).code(0);
    project.sql("delete from item");
    project.run(&["restore", all.to_str().unwrap(), "--yes", "--no-backup"]).code(0);
    assert_eq!(project.sql("select count(*) from item"), "1");
    // Where template1 takes nobody either: any other that accepts connections.
    server.sql(
        "app",
        "alter database template1 is_template false; alter database template1 allow_connections false",
    );
    project.sql("delete from item");
    project.run(&["restore", "latest", "--yes", "--no-backup"]).code(0);
    assert_eq!(project.sql("select count(*) from item"), "1");
    server.sql("app", "drop database copy");
    for kept in server.sql("app", "select datname from pg_database where datname like 'envctl%'").lines() {
        server.sql("app", &format!("drop database \"{kept}\""));
    }
    project.run(&["restore", "latest", "--yes", "--no-backup"]).code(3).says("no database of");
}

#[test]
fn an_owner_without_createdb_fills_its_own_empty_database_in_one_transaction() {
    for server in Server::each() {
        let (project, role) = owned(server, "inplace", "");
        let empty = server.database("inplace_empty");
        server.sql("postgres", &format!("alter database {empty} owner to {role}"));
        let dir = project.path();
        for format in ["plain", "custom"] {
            let file = dir.join(format!("dump.{format}"));
            project.run(&["backup", "--format", format, "-o", file.to_str().unwrap()]).code(0);
        }
        // Nobody vouches for these, and a row in the second one does not fit.
        let dump = |options: &str| server.bytes(&format!("pg_dump -U {role} {options} {}", project.database));
        fs::write(dir.join("foreign.sql"), dump("")).unwrap();
        let text = String::from_utf8(dump("")).unwrap();
        fs::write(dir.join("broken.sql"), text.replacen("\n2\t", "\n1\t", 1)).unwrap();
        fs::write(dir.join("own.sql"), text.replacen("\nCOPY ", "\nCOMMIT;\nCOPY ", 1)).unwrap();
        let into = |file: &str, more: &[&str]| {
            project.run(&[&["restore", file, "--into", &empty, "--yes"], more].concat())
        };
        let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
        into("broken.sql", &[]).code(7).says("could not create unique index");
        assert_eq!(server.sql(&empty, tables), "0", "a failure leaves the database empty");
        into("own.sql", &["--trust"]).code(6).says("transactions of its own");
        let piped = project.run_with(text.as_bytes(), &["restore", "-", "--into", &empty, "--yes"]).code(6);
        piped.says(&format!("envctl restore dump.sql --into {empty}"));
        assert_eq!(server.sql(&empty, tables), "0");
        for file in ["dump.plain", "dump.custom", "foreign.sql"] {
            let planned = into(file, &["--dry-run"]).code(0);
            assert!(planned.out().contains("which is empty, in one transaction"), "{}", planned.out());
            let told = into(file, &["-j", "2"]).code(0);
            assert!(told.out().contains("50 rows in 1 table "), "{file}: {}", told.out());
            assert_eq!(server.sql(&empty, "select count(*), max(id) from item"), "50|50", "{file}");
            // It is not empty now.
            into(file, &[]).code(6).says(&format!("ALTER ROLE \"{role}\" CREATEDB"));
            server.sql(&empty, "drop table item");
        }
        // An archive whose last entry fails: the owner of this view is not there for the role.
        server.sql("postgres", &format!("create role {role}_gone"));
        project.sql(&format!("create view late as select 1 as one; alter view late owner to {role}_gone"));
        fs::write(
            dir.join("broken.dump"),
            server.bytes(&format!("pg_dump -U {} -Fc {}", server.user, project.database)),
        )
        .unwrap();
        into("broken.dump", &[]).code(7);
        assert_eq!(server.sql(&empty, tables), "0");
        assert_eq!(server.siblings(&empty), Vec::<String>::new());
        server.sql("postgres", &format!("drop database {empty}"));
    }
}

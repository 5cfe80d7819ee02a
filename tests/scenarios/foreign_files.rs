//! Files that psql takes and that no envctl wrote, each in by one command or by the one that the refusal prints. psql is
//! the judge: the schema and the rows of both databases are compared.

use crate::support::Running;
use crate::support::{Project, Server};

const BY_17_OF_15: &str = include_str!("foreign/by17of15.sql");
const ROLES_MISSING: &str = include_str!("foreign/rolemiss.sql");
const CREATED: &str = include_str!("foreign/create.sql");
const GLOBALS: &str = include_str!("foreign/globals.sql");
const SUPABASE: &str = include_str!("foreign/supabase.sql");

/// A dump of what is in a database, without the keys that differ between two runs.
fn content(server: &Server, database: &str) -> String {
    let dump = server.sh(&format!("pg_dump -U {} '{database}'", server.user));
    dump.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

/// A plain dump as pg_dump writes it, last line end included.
fn dump(server: &Server, of: &str) -> String {
    String::from_utf8(server.bytes(&format!("pg_dump -U {} {of}", server.user))).unwrap()
}

/// The plan of a restore.
fn plan(project: &Project, args: &[&str]) -> String {
    project.run(&[&["restore", "dump.sql", "--dry-run"], args].concat()).code(0).out()
}

/// What psql makes of a text in a new database, errors passed over.
fn made_by_psql(server: &Server, text: &str) -> String {
    let database = server.database("judge");
    server.try_sql(&database, &format!("\\set ON_ERROR_STOP off\n{text}")).unwrap();
    let content = content(server, &database);
    server.sql("postgres", &format!("drop database {database}"));
    content
}

/// The project, with the text in `dump.sql`.
fn project(server: &Server, text: &str) -> Project {
    let project = Project::new(server, "foreign");
    std::fs::write(project.path().join("dump.sql"), text).unwrap();
    project
}

/// The first command in backticks of what a run said that begins with `envctl restore`, as words.
fn printed(err: &str) -> Vec<String> {
    let flat = err.split_whitespace().collect::<Vec<_>>().join(" ");
    let command =
        flat.split('`').find(|part| part.starts_with("envctl restore ")).unwrap_or_else(|| panic!("{err}"));
    let words = command.trim_start_matches("envctl ").split(' ');
    words.map(|word| word.trim_matches('\'').to_owned()).collect()
}

/// Runs the command that a refusal has printed.
fn run_printed(project: &Project, err: &str) -> crate::support::Finished {
    let words = printed(err);
    let mut args: Vec<&str> = words.iter().map(String::as_str).collect();
    let more = ["--yes", "--no-backup"];
    args.extend(more.iter().filter(|more| !words.iter().any(|word| word == *more)));
    project.run(&args)
}

#[test]
fn a_dump_of_roles_that_are_missing_is_in_with_the_command_of_the_refusal() {
    for server in Server::each() {
        let grant = "GRANT SELECT ON TABLE shop.item TO \"odd 'reader'\";\n";
        let text = ROLES_MISSING.replace(
            "--\n-- PostgreSQL database dump complete",
            &format!("{grant}\n--\n-- PostgreSQL database dump complete"),
        );
        let project = project(server, &text);
        let refused = project.run(&["restore", "dump.sql", "--yes"]).code(6);
        let err = refused.err();
        assert!(err.contains("imm-user-01") && err.contains("odd 'reader'"), "{err}");
        run_printed(&project, &err).code(0);
        // psql passes over the statements that name the roles: the same database comes out.
        assert_eq!(content(server, &project.database), made_by_psql(server, &text));
        let mapped = project.run(&[
            "restore",
            "dump.sql",
            "--yes",
            "--no-backup",
            "--role-map",
            "imm-user-01=postgres",
            "--role-map",
            "odd 'reader'=postgres",
        ]);
        mapped.code(0);
        let owner = project.sql("select tableowner from pg_tables where tablename = 'item'");
        assert_eq!(owner, "postgres");
        project.drop_siblings();
    }
}

#[test]
fn settings_of_a_newer_pg_dump_are_left_out_and_said() {
    for server in Server::each() {
        let text = BY_17_OF_15
            .replace("SET row_security = off;", "SET row_security = off;\nSET of_a_pg_dump_to_come = 0;");
        let project = project(server, &text);
        let planned = plan(&project, &[]);
        assert!(planned.contains("SET of_a_pg_dump_to_come"), "{planned}");
        let old =
            server.sql("postgres", "select current_setting('transaction_timeout', true) is null") == "t";
        assert_eq!(planned.contains("transaction_timeout"), old, "{planned}");
        project.run(&["restore", "dump.sql", "--yes", "--no-backup"]).code(0);
        assert_eq!(content(server, &project.database), made_by_psql(server, &text));
        // A pipe is read once: what may be unknown is asked for before.
        project.run_with(BY_17_OF_15.as_bytes(), &["restore", "-", "--yes", "--no-backup"]).code(0);
        assert_eq!(content(server, &project.database), made_by_psql(server, BY_17_OF_15));
        project.drop_siblings();
    }
}

#[test]
fn drops_of_what_is_not_there_are_left_out_and_said() {
    for server in Server::each() {
        let source = Project::new(server, "clean");
        source.fill(10);
        source.sql("create schema s; create view s.v as select * from item; create function s.f(int, text) returns int language sql as 'select 1'; alter table item add constraint c check (id > 0)");
        let text = dump(server, &format!("--clean {}", source.database));
        let text = text.replace("DROP SCHEMA s;", "DROP SCHEMA s;\nDROP SCHEMA public;\nCREATE SCHEMA public;\nALTER SCHEMA public OWNER TO pg_database_owner;\nGRANT USAGE ON SCHEMA public TO PUBLIC;\nDROP TABLE later;");
        // Behind the first CREATE a DROP means something.
        let early = text.replace("DROP TABLE later;\n", "");
        let project = project(server, &early);
        assert!(plan(&project, &[]).contains("DROP statements of what is not there"));
        project.run(&["restore", "dump.sql", "--yes", "--no-backup"]).code(0);
        assert_eq!(content(server, &project.database), made_by_psql(server, &early));
        project.run_with(early.as_bytes(), &["restore", "-", "--yes", "--no-backup"]).code(0);
        assert_eq!(content(server, &project.database), made_by_psql(server, &early));
        std::fs::write(project.path().join("dump.sql"), &text).unwrap();
        project.run(&["restore", "dump.sql", "--yes", "--no-backup"]).code(7).says("later");
        project.drop_siblings();
    }
}

#[test]
fn a_dump_or_an_archive_that_creates_public_takes_the_one_that_is_there() {
    for server in Server::each() {
        let source = Project::new(server, "heroku");
        source.fill(10);
        let text = dump(server, &source.database);
        let text =
            text.replacen("SET default_tablespace", "CREATE SCHEMA public;\n\nSET default_tablespace", 1);
        let project = project(server, &text);
        project.run(&["restore", "dump.sql", "--yes", "--no-backup"]).code(0);
        assert_eq!(content(server, &project.database), made_by_psql(server, &text));
        // An archive of PostgreSQL 10 and older has it in its list: the statement of another schema stands in for it.
        source.sql("create schema publix");
        let archive = server.bytes(&format!("pg_dump -U {} -Fc {}", server.user, source.database));
        let at = |needle: &[u8]| archive.windows(needle.len()).position(|part| part == needle).unwrap();
        let statement = at(b"CREATE SCHEMA publix;");
        let mut old = archive.clone();
        old[statement..statement + 21].copy_from_slice(b"CREATE SCHEMA public;");
        std::fs::write(project.path().join("old.dump"), &old).unwrap();
        project.run(&["restore", "old.dump", "--yes", "--no-backup", "--no-owner"]).code(0);
        assert_eq!(project.sql("select count(*) from item"), "10");
        project.drop_siblings();
    }
}

#[test]
fn supabases_roles_extensions_and_event_triggers_are_left_out_with_the_commands_of_the_refusals() {
    for server in Server::each() {
        let text = dump(server, "template1").replacen(
            "SET row_security = off;\n",
            "SET row_security = off;\n\n\
             CREATE SCHEMA cron;\n\
             CREATE EXTENSION IF NOT EXISTS pg_cronlike WITH SCHEMA cron;\n\
             COMMENT ON EXTENSION pg_cronlike IS 'jobs';\n\
             CREATE FUNCTION public.seen() RETURNS event_trigger LANGUAGE plpgsql AS $$ begin end $$;\n\
             ALTER FUNCTION public.seen() OWNER TO supabase_admin;\n\
             CREATE TABLE public.kept (a integer);\n\
             GRANT ALL ON TABLE public.kept TO anon;\n\
             GRANT ALL ON TABLE public.kept TO authenticated;\n\
             CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION public.seen();\n\
             ALTER EVENT TRIGGER seen OWNER TO supabase_admin;\n",
            1,
        );
        let project = project(server, &text);
        let refused = project.run(&["restore", "dump.sql", "--yes"]).code(6).says("event trigger");
        let again = run_printed(&project, &refused.err())
            .code(6)
            .says("anon")
            .says("authenticated")
            .says("pg_cronlike");
        run_printed(&project, &again.err()).code(0);
        assert_eq!(project.sql("select count(*) from pg_event_trigger"), "0");
        assert_eq!(project.sql("select count(*) from kept"), "0");
        project.drop_siblings();
    }
}

/// `files/create.sql` of a database of this name, and globals with a role that owns its schema.
fn created(name: &str, role: &str) -> String {
    CREATED
        .replace("DATABASE fb", &format!("DATABASE {name}"))
        .replace("connect fb", &format!("connect {name}"))
        .replace("ALTER SCHEMA shop OWNER TO postgres", &format!("ALTER SCHEMA shop OWNER TO {role}"))
}

#[test]
fn a_dump_with_its_create_database_goes_into_the_database_that_is_meant() {
    for server in Server::each() {
        let name = server.database("judge_created");
        server.sql("postgres", &format!("drop database {name}"));
        let text = created(&name, "postgres").replace("LOCALE_PROVIDER = libc ", "");
        let project = project(server, &text);
        server.try_sql("postgres", &format!("\\set ON_ERROR_STOP off\n{text}")).unwrap();
        let judged = content(server, &name);
        server.sql("postgres", &format!("drop database {name}"));
        assert!(plan(&project, &[]).contains(&format!("takes    database \"{name}\" out of it")));
        // Another database's part is taken only where that is named.
        project.run(&["restore", "dump.sql", "--yes", "--no-backup"]).code(6).says("is of database");
        project.run(&["restore", "dump.sql", "--confirm", &project.server.stack, "--no-backup"]).code(0);
        assert_eq!(content(server, &project.database), judged);
        assert_eq!(
            server.sql("postgres", &format!("select count(*) from pg_database where datname = '{name}'")),
            "0"
        );
        // Cut anywhere it is refused.
        for cut in [text.len() / 4, text.len() / 2, text.len() - 3] {
            std::fs::write(project.path().join("dump.sql"), &text[..cut]).unwrap();
            project.run(&["restore", "dump.sql", "--yes", "--no-backup"]).code(8);
        }
        project.drop_siblings();
    }
}

#[test]
fn a_database_that_the_file_does_not_hold_is_refused_with_those_that_it_holds() {
    for server in Server::each() {
        let name = server.database("held");
        server.sql("postgres", &format!("drop database {name}"));
        let text = created(&name, "postgres").replace("LOCALE_PROVIDER = libc ", "");
        let project = project(server, &text);
        let own = project.database.clone();
        // One that is named is meant: another one of the file is not taken in its place.
        let refused = project.run(&["restore", "dump.sql", "-d", &own, "--yes", "--no-backup"]).code(6);
        let refused = refused.says(&format!("holds no database \"{own}\", only \"{name}\""));
        assert_eq!(project.sql("select count(*) from pg_class where relname = 'item'"), "0");
        run_printed(&project, &refused.err()).code(0);
        assert_eq!(project.sql("select count(*) from shop.item"), "4");
        // Several: each is offered, and goes where `--into` says.
        let two =
            format!("{text}{}", created("other_one", "postgres").replace("LOCALE_PROVIDER = libc ", ""));
        std::fs::write(project.path().join("dump.sql"), two).unwrap();
        let args = ["restore", "dump.sql", "-d", &own, "--into", &own, "--yes", "--no-backup"];
        let refused = project.run(&args).code(6).says("holds no database");
        for candidate in [name.as_str(), "other_one"] {
            let command = format!("--into {own} --no-backup -d {candidate}");
            assert!(refused.err().replace('\n', " ").contains(&command), "{}", refused.err());
        }
        project.drop_siblings();
    }
}

#[test]
fn one_database_of_pg_dumpall_is_restored_with_its_missing_roles() {
    for server in Server::each() {
        let (one, two) = (server.database("of_all"), server.database("of_all"));
        let role = format!("role_{one}");
        let globals = GLOBALS.replace("g_own", &role);
        let (globals, end) =
            globals.split_at(globals.rfind("--\n-- PostgreSQL database cluster dump complete").unwrap());
        let text = format!(
            "{globals}{}\n{}{end}",
            created(&one, &role),
            created(&two, "postgres").replace("shop", "other")
        );
        let project = project(server, &text);
        let refused = project
            .run(&["restore", "dump.sql", "--yes"])
            .code(6)
            .says("holds 2 databases")
            .says(&one)
            .says(&two);
        assert!(!refused.err().contains("SCRAM"), "{}", refused.err());
        let planned = plan(&project, &["-d", &one]);
        assert!(
            planned.contains(&role) && planned.contains("--trust") && !planned.contains("SCRAM"),
            "{planned}"
        );
        // On a new server the database is not there either.
        server.sql("postgres", &format!("drop database {one}"));
        let printed = run_printed(&project, &refused.err()).code(0);
        assert!(!printed.err().contains("SCRAM"));
        assert_eq!(server.sql(&one, "select count(*) || ' ' || (select nspowner::regrole from pg_namespace where nspname = 'shop') from shop.item"), format!("4 {role}"));
        assert_eq!(server.sql(&two, "select count(*) from pg_class where relname = 'item'"), "0");
        // A cut behind the part that is wanted is a cut all the same; packed it is read as well.
        std::fs::write(project.path().join("dump.sql"), &text[..text.len() - end.len()]).unwrap();
        project.run(&["restore", "dump.sql", "-d", &one, "--yes", "--no-backup"]).code(8);
        std::fs::write(project.path().join("dump.sql"), &text).unwrap();
        let packed = std::process::Command::new("gzip").arg("dump.sql").current_dir(project.path()).status();
        assert!(packed.unwrap().success());
        project.run(&["restore", "dump.sql.gz", "-d", &two, "--yes", "--no-backup"]).code(0);
        assert_eq!(server.sql(&two, "select count(*) from other.item"), "4");
        // By pipe too, packed or not: it is read from a copy, of which nothing is left.
        let packed = std::fs::read(project.path().join("dump.sql.gz")).unwrap();
        let copies = tempfile::tempdir().unwrap();
        let pipe = |bytes: &[u8], args: &[&str]| {
            let mut command = project.command(&[&["restore", "-", "--no-backup"], args].concat());
            command.env("TMPDIR", copies.path());
            Running::start(command, Some(bytes.to_vec())).finish()
        };
        for piped in [text.as_bytes(), &packed] {
            server.sql(&two, "drop schema other cascade");
            let refused = pipe(piped, &["--yes"]).code(6).says("holds 2 databases");
            assert!(refused.err().replace('\n', " ").contains(&format!("-d {two}")), "{}", refused.err());
            let planned = pipe(piped, &["-d", &two, "--dry-run"]).code(0);
            assert!(planned.out().contains("temporary copy"), "{}", planned.out());
            pipe(piped, &["-d", &two, "--yes"]).code(0);
            assert_eq!(server.sql(&two, "select count(*) from other.item"), "4");
            pipe(&piped[..piped.len() / 2], &["-d", &two, "--yes"]).code(8);
            assert_eq!(server.sql(&two, "select count(*) from other.item"), "4");
        }
        assert_eq!(copies.path().read_dir().unwrap().count(), 0, "no copy is left");
        for database in [&one, &two] {
            let kept = server.sql("postgres", &format!("select string_agg(format('drop database %I', datname), ';') from pg_database where datname like 'envctl%{database}'"));
            for statement in kept.split(';').filter(|statement| !statement.is_empty()) {
                server.sql("postgres", statement);
            }
            server.sql("postgres", &format!("drop database {database}"));
        }
        server.sql("postgres", &format!("drop role {role}"));
    }
}

#[test]
fn a_database_that_begins_far_behind_in_a_pipe_is_refused_with_all_that_was_typed() {
    let server = Server::shared(15);
    let project = Project::new(server, "late");
    let begin = "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.t (a integer);\n\n\
         COPY public.t (a) FROM stdin;\n";
    let end =
        "\\.\n\nCREATE DATABASE other;\n\\connect other\n\n--\n-- PostgreSQL database dump complete\n--\n\n";
    let text = format!("{begin}{}{end}", "12345678\n".repeat(300_000));
    let args = ["restore", "-", "-d", &project.database, "--no-owner", "--no-backup", "--trust", "--yes"];
    let refused = project.run_with(text.as_bytes(), &args).code(6).says("of several databases");
    let flat = refused.err().split_whitespace().collect::<Vec<_>>().join(" ");
    let hint = flat.split('`').find(|part| part.starts_with("envctl restore dump.sql")).unwrap();
    for typed in ["--no-owner", "--no-backup", "--trust", &format!("-d {}", project.database)] {
        assert!(hint.contains(typed), "{typed}: {hint}");
    }
    project.drop_siblings();
}

#[test]
fn a_script_without_trailer_is_in_with_the_command_of_the_refusal() {
    for server in Server::each() {
        let project = project(server, SUPABASE);
        let refused =
            project.run(&["restore", "dump.sql", "--yes"]).code(8).says("no trailer").says("--sql-script");
        run_printed(&project, &refused.err()).code(0);
        assert_eq!(content(server, &project.database), made_by_psql(server, SUPABASE));
        let written = "begin;\ncreate table t (a int);\ninsert into t values (1), (2);\ncommit;\ncopy t from stdin;\n3\n\\.\n";
        for (text, code) in [
            (written.to_owned(), 0),
            (written.replace("commit;", ""), 8),
            (written.replace("\\.\n", ""), 8),
            (format!("{written}insert into t values (4"), 8),
            (format!("{written}\\! touch /tmp/x\n"), 6),
            (format!("{written}select 1/0;\n"), 7),
            (format!("{written}insert into t values (1/0);\n"), 7),
        ] {
            std::fs::write(project.path().join("dump.sql"), &text).unwrap();
            project.run(&["restore", "dump.sql", "--sql-script", "--yes", "--no-backup"]).code(code);
            if code == 0 {
                assert_eq!(content(server, &project.database), made_by_psql(server, &text));
            }
            assert_eq!(project.sql("select count(*) from t"), "3");
        }
        // A dump of pg_dump that was cut between two statements: the hint warns.
        let cut = &ROLES_MISSING[..ROLES_MISSING.find("COPY shop.item").unwrap()];
        std::fs::write(project.path().join("dump.sql"), cut).unwrap();
        project.run(&["restore", "dump.sql", "--yes"]).code(8).says("tables and rows are probably missing");
        project.drop_siblings();
    }
}

#[test]
fn statements_behind_the_trailer_are_run_and_said() {
    for server in Server::each() {
        let source = Project::new(server, "rails");
        source.sql("create table schema_migrations (version varchar primary key)");
        let text = dump(server, &format!("--schema-only {}", source.database));
        let text = format!(
            "{text}SET search_path TO \"$user\", public;\n\nINSERT INTO \"schema_migrations\" (version) VALUES\n('20240102'),\n('20240101');\n\n"
        );
        let project = project(server, &text);
        assert!(plan(&project, &[]).contains("2 statements follow the end of the dump"));
        project.run(&["restore", "dump.sql", "--yes", "--no-backup"]).code(0);
        assert_eq!(content(server, &project.database), made_by_psql(server, &text));
        std::fs::write(project.path().join("dump.sql"), &text[..text.len() - 4]).unwrap();
        project.run(&["restore", "dump.sql", "--yes", "--no-backup"]).code(8).says("inside a statement");
        project.drop_siblings();
    }
}

#[test]
fn a_dump_of_9_0_without_standard_conforming_strings_is_what_psql_makes_of_it() {
    for server in Server::each() {
        let text = "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = off;\n\
            SET check_function_bodies = false;\nSET escape_string_warning = off;\nSET default_with_oids = false;\n\n\
            CREATE TABLE t (a text DEFAULT 'it\\'s; \\\\');\n\nCOPY t (a) FROM stdin;\na\\\\b\n\\.\n\n\
            INSERT INTO t VALUES ('C:\\\\dir; ''x'' \\'y\\'');\n\n--\n-- PostgreSQL database dump complete\n--\n\n";
        let project = project(server, text);
        project.run(&["restore", "dump.sql", "--yes", "--no-backup"]).code(0);
        assert_eq!(content(server, &project.database), made_by_psql(server, text));
        assert_eq!(
            project.sql("select string_agg(a, '|' order by a collate \"C\") from t"),
            "C:\\dir; 'x' 'y'|a\\b"
        );
        project.drop_siblings();
    }
}

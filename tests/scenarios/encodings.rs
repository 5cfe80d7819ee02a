//! Databases whose encoding is not UTF-8: backed up byte for byte, and restored wherever PostgreSQL can convert.

use std::fs;

use crate::support::rig::Wanted;
use crate::support::{Project, Server};

/// Encodings, and the bytes of a word in each: what a table is called and what it holds.
const ENCODINGS: [(&str, &[u8]); 5] = [
    ("UTF8", "таблица表é".as_bytes()),
    ("LATIN1", b"caf\xe9"),
    ("WIN1251", b"\xf2\xe0\xe1\xeb\xe8\xf6\xe0"),
    ("EUC_JP", b"\xc9\xbd\xb4\xc1\xbb\xfa"),
    // Of no encoding at all.
    ("SQL_ASCII", b"caf\xe9 \xff\xfe \x80"),
];

/// A database in this encoding, with a table whose name and rows are of it.
fn database(server: &Server, encoding: &str, word: &[u8]) -> Project {
    let name = server.database(&format!("enc_{}", encoding.to_lowercase()));
    server.sql(
        "postgres",
        &format!(
            "drop database {name}; create database {name} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
        ),
    );
    let hex: String = word.iter().map(|byte| format!("{byte:02x}")).collect();
    // The name comes from the bytes, so that this script is ASCII.
    server.sql(
        &name,
        &format!(
            "do $$ declare t text := convert_from('\\x{hex}', '{encoding}'); begin \
               execute format('create table %I (id int primary key, words text)', t); \
               execute format('insert into %I select n, %L || n from generate_series(1, 5) n', t, t); \
               execute format('create index on %I (words)', t); \
             end $$"
        ),
    );
    Project::of(server, &name)
}

/// Names and rows as bytes of the database's own encoding.
fn bytes(server: &Server, database: &str, encoding: &str) -> String {
    let script = format!(
        "set client_encoding = '{encoding}'; \
         select encode(convert_to(relname, getdatabase), 'hex'), \
                (xpath('/row/c/text()', query_to_xml(format('select md5(string_agg(convert_to(words, %L), null order by id)) c from %I', getdatabase, relname), false, true, '')))[1] \
         from pg_class, (select pg_catalog.getdatabaseencoding()::text) e (getdatabase) where relkind = 'r' and relnamespace = 'public'::regnamespace"
    );
    server.sql(database, &script)
}

#[test]
fn every_encoding_comes_back_byte_for_byte() {
    let server = Server::shared(17);
    let utf8 = server.database("enc_target");
    for (encoding, word) in ENCODINGS {
        let project = database(server, encoding, word);
        let name = project.database.clone();
        let before = bytes(server, &name, encoding);
        assert_ne!(before, "", "{encoding}");
        let new = format!("{name}_new");
        for (format, transport) in [
            ("plain", "exec"),
            ("plain", "worker"),
            ("custom", "exec"),
            ("custom", "worker"),
            ("directory", "worker"),
        ] {
            let what = format!("{encoding} {format} {transport}");
            let file = format!("{format}_{transport}");
            project.run(&["backup", "--format", format, "--transport", transport, "-o", &file]).code(0);
            let jobs = if transport == "worker" { "2" } else { "1" };
            let restore = ["restore", &file, "--yes", "--no-backup", "--transport", transport, "-j", jobs];
            // The same database, once for each format.
            if transport == "exec" || format == "directory" {
                project.run(&restore).code(0);
                assert_eq!(bytes(server, &name, encoding), before, "{what}");
            }
            // A new one, made in the dump's encoding.
            project.run(&[&restore[..], &["--into", &new]].concat()).code(0);
            assert_eq!(bytes(server, &new, encoding), before, "{what}, new");
            let made =
                format!("select pg_encoding_to_char(encoding) from pg_database where datname = '{new}'");
            assert_eq!(server.sql("postgres", &made), encoding, "{what}");
            server.sql("postgres", &format!("drop database {new}"));
            // One in UTF8.
            let converted = project.run(&[&restore[..], &["--into", &utf8]].concat());
            if encoding == "SQL_ASCII" {
                converted.code(6).says("SQL_ASCII").says("--into NAME");
            } else {
                converted.code(0);
                assert_eq!(server.sql(&utf8, "select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"), "1");
            }
        }
        // What looks at names of tables.
        project.run(&["status"]).code(0).out();
        project.run(&["doctor"]);
        project.run(&["psql", "-c", "\\dt"]).code(0);
        project.run(&["backup", "show", "plain_exec"]).code(0);
        fs::create_dir_all(project.path().join("migrations")).unwrap();
        fs::write(
            project.path().join("migrations/1_more.sql"),
            "-- migrate:up\ncreate table more (id int);\n-- migrate:down\ndrop table more;",
        )
        .unwrap();
        project.run(&["migrate", "--yes"]).code(0);
        project.drop_siblings();
    }
}

#[test]
fn bytes_that_the_server_would_not_check_are_refused_before_anything_is_loaded() {
    let server = Server::shared(15);
    let source = database(server, "SQL_ASCII", b"cafe");
    source.sql("insert into cafe select 9, convert_from('\\xe9', 'SQL_ASCII')");
    let ascii = database(server, "SQL_ASCII", b"cafe");
    let valid = database(server, "SQL_ASCII", "café".as_bytes());
    let utf8 = server.database("enc_checked");
    let latin = database(server, "LATIN1", b"old");
    for (project, into_utf8, into_latin) in [(&source, 6, 6), (&ascii, 0, 0), (&valid, 0, 6)] {
        for format in ["plain", "custom"] {
            let file = project.path().join(format).display().to_string();
            project.run(&["backup", "--format", format, "-o", &file]).code(0);
            // As somebody else's file, without the manifest, and by a pipe.
            let foreign = project.path().join(format!("foreign_{format}")).display().to_string();
            fs::copy(&file, &foreign).unwrap();
            for file in [&file, &foreign] {
                let restore = ["restore", file, "--yes", "--no-backup", "--into"];
                project.run(&[&restore[..], &[utf8.as_str()]].concat()).code(into_utf8);
                project.run(&[&restore[..], &[latin.database.as_str()]].concat()).code(into_latin);
            }
        }
        let dump = fs::read(project.path().join("plain")).unwrap();
        project.run_with(&dump, &["restore", "-", "--yes", "--no-backup", "--into", &utf8]).code(into_utf8);
    }
    source.drop_siblings();
}

#[test]
fn every_encoding_comes_back_on_the_older_version_too() {
    let server = Server::shared(15);
    for ((encoding, word), (format, transport, jobs)) in ENCODINGS.into_iter().skip(1).zip([
        ("plain", "worker", "2"),
        ("custom", "worker", "2"),
        ("directory", "worker", "1"),
        ("custom", "exec", "1"),
    ]) {
        let project = database(server, encoding, word);
        let before = bytes(server, &project.database, encoding);
        project.run(&["backup", "--format", format, "--transport", transport, "-o", "file"]).code(0);
        let restore =
            ["restore", "file", "--yes", "--no-backup", "--transport", transport, "-j", jobs, "--into"];
        let new = format!("{}_new", project.database);
        for into in [&project.database, &new] {
            project.run(&[&restore[..], &[into.as_str()]].concat()).code(0);
            assert_eq!(bytes(server, into, encoding), before, "{encoding} {format} {transport} {into}");
        }
        server.sql("postgres", &format!("drop database {new}"));
        project.drop_siblings();
    }
}

#[test]
fn all_databases_of_every_encoding_are_one_backup() {
    let server = Wanted::postgres(15, "encodings").start().ready();
    let projects: Vec<Project> =
        ENCODINGS.into_iter().map(|(encoding, word)| database(&server, encoding, word)).collect();
    let all = |server: &Server| -> Vec<String> {
        projects
            .iter()
            .zip(ENCODINGS)
            .map(|(one, (encoding, _))| bytes(server, &one.database, encoding))
            .collect()
    };
    let before = all(&server);
    let file = projects[0].path().join("all.tar").display().to_string();
    projects[0].run(&["backup", "--all-databases", "-o", &file]).code(0);
    for project in &projects {
        server.sql("postgres", &format!("drop database {}", project.database));
    }
    let mut command = projects[0].bare();
    command.args(["restore", &file, "--yes", "--no-backup"]);
    crate::support::Running::start(command, None).finish().code(0);
    assert_eq!(all(&server), before);
}

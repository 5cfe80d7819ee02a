//! Databases whose encoding is not UTF-8: backed up byte for byte, and restored wherever PostgreSQL can convert.

use std::collections::BTreeMap;
use std::fs;

use crate::support::rig::Wanted;
use crate::support::{Project, Server, pairs};

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

/// A database and the file that it is backed up to.
type Source = (u8, &'static str, &'static [u8], &'static str, &'static str);

/// Where a backup is restored.
const TARGETS: [&str; 3] =
    ["the same database", "a new one, made in the encoding of the dump", "one in UTF8"];

#[test]
fn every_encoding_comes_back_byte_for_byte() {
    let mut all: Vec<(Source, &str)> = Vec::new();
    for major in [17, 15] {
        for (encoding, word) in ENCODINGS {
            for (format, transport) in [
                ("plain", "exec"),
                ("plain", "worker"),
                ("custom", "exec"),
                ("custom", "worker"),
                ("directory", "worker"),
            ] {
                all.extend(TARGETS.map(|target| ((major, encoding, word, format, transport), target)));
            }
        }
    }
    let mut projects: BTreeMap<(u8, &str), (Project, String)> = BTreeMap::new();
    let selected = pairs::rows(all, |((major, encoding, _, format, transport), target)| {
        [&major.to_string(), *encoding, *format, *transport, *target].map(str::to_owned)
    });
    for ((major, encoding, word, format, transport), target) in selected {
        let server = Server::shared(major);
        let (project, before) = projects.entry((major, encoding)).or_insert_with(|| {
            let project = database(server, encoding, word);
            let before = bytes(server, &project.database, encoding);
            assert_ne!(before, "", "{encoding}");
            (project, before)
        });
        let name = &project.database;
        let what = format!("{major} {encoding} {format} {transport}, {target}");
        let file = format!("{format}_{transport}");
        if !project.path().join(&file).exists() {
            project.run(&["backup", "--format", format, "--transport", transport, "-o", &file]).code(0);
        }
        let jobs = if transport == "worker" { "2" } else { "1" };
        let restore = ["restore", &file, "--yes", "--no-backup", "--transport", transport, "-j", jobs];
        if target == TARGETS[0] {
            project.run(&restore).code(0);
            assert_eq!(bytes(server, name, encoding), *before, "{what}");
            continue;
        }
        let other = format!("{name}_other");
        if target == TARGETS[2] {
            server.sql("postgres", &format!("create database {other} template template0 encoding 'UTF8'"));
        }
        let restored = project.run(&[&restore[..], &["--into", &other]].concat());
        if target == TARGETS[2] && encoding == "SQL_ASCII" {
            restored.code(6).says("SQL_ASCII").says("--into NAME");
        } else {
            restored.code(0);
            let made =
                format!("select pg_encoding_to_char(encoding) from pg_database where datname = '{other}'");
            if target == TARGETS[2] {
                let tables = "select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
                assert_eq!(server.sql("postgres", &made), "UTF8", "{what}");
                assert_eq!(server.sql(&other, tables), "1", "{what}");
            } else {
                assert_eq!(server.sql("postgres", &made), encoding, "{what}");
                assert_eq!(bytes(server, &other, encoding), *before, "{what}");
            }
        }
        server.sql("postgres", &format!("drop database {other}"));
        for kept in server.siblings(&other) {
            server.sql("postgres", &format!("drop database \"{kept}\""));
        }
    }
    projects.values().for_each(|(project, _)| project.drop_siblings());
}

#[test]
fn commands_that_look_at_names_of_tables_take_every_encoding() {
    let server = Server::shared(17);
    for (encoding, word) in ENCODINGS {
        let project = database(server, encoding, word);
        project.run(&["backup", "-o", "file"]).code(0);
        project.run(&["status"]).code(0).out();
        project.run(&["doctor"]);
        project.run(&["psql", "-c", "\\dt"]).code(0);
        project.run(&["backup", "show", "file"]).code(0);
        fs::create_dir_all(project.path().join("migrations")).unwrap();
        fs::write(
            project.path().join("migrations/1_more.sql"),
            "-- migrate:up\ncreate table more (id int);\n-- migrate:down\ndrop table more;",
        )
        .unwrap();
        project.run(&["migrate", "--yes"]).code(0);
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
    let mut all = Vec::new();
    for (at, (into_utf8, into_latin)) in [(6, 6), (0, 0), (0, 6)].into_iter().enumerate() {
        for format in ["plain", "custom"] {
            for manifest in ["with its manifest", "as the file of somebody else"] {
                all.push((at, format, manifest, &utf8, into_utf8));
                all.push((at, format, manifest, &latin.database, into_latin));
            }
        }
    }
    let selected = pairs::rows(all, |(at, format, manifest, into, _)| {
        [&at.to_string(), *format, *manifest, into.as_str()].map(str::to_owned)
    });
    for (project, into_utf8) in [(&source, 6), (&ascii, 0), (&valid, 0)] {
        for format in ["plain", "custom"] {
            let file = project.path().join(format);
            project.run(&["backup", "--format", format, "-o", file.to_str().unwrap()]).code(0);
            fs::copy(&file, project.path().join(format!("foreign_{format}"))).unwrap();
        }
        let dump = fs::read(project.path().join("plain")).unwrap();
        project.run_with(&dump, &["restore", "-", "--yes", "--no-backup", "--into", &utf8]).code(into_utf8);
    }
    for (at, format, manifest, into, code) in selected {
        let project = [&source, &ascii, &valid][at];
        let foreign = format!("foreign_{format}");
        let file = if manifest.starts_with("with") { format } else { &foreign };
        project.run(&["restore", file, "--yes", "--no-backup", "--into", into]).code(code);
    }
    source.drop_siblings();
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

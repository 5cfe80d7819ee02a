//! A schema full of functions and operators with the names of PostgreSQL's own: no statement of envctl calls one.
//!
//! Whoever may create in `public` could have a superuser run code, if a statement of envctl left it to the server which
//! function is meant. Each trap here fits arguments that PostgreSQL's own function takes only by a conversion.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::Project;
use crate::support::rig::Server;
use crate::support::timing::is_long;

/// Names in front of an opening parenthesis in our sources: among them are all functions that our statements call.
fn called_names(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            called_names(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for before in text.split('(') {
                let name = before.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next();
                names.extend(name.filter(|name| !name.is_empty()).map(str::to_lowercase));
            }
        }
    }
}

/// SQL that makes the traps; each raises an error with its name.
fn traps() -> String {
    let mut names = BTreeSet::new();
    called_names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    let names: Vec<String> = names.into_iter().map(|name| format!("('{name}')")).collect();
    format!(
        "set client_min_messages = error;
         create table public.sprung (trap text, statement text);
         create function public.spring(trap text) returns text language sql as
           $f$ insert into public.sprung values (trap, current_query()); select null::text $f$;
         do $do$
         declare one record; arguments text; kinds text[] := array['text', 'name', 'oid', 'int', 'bigint', 'bool', '\"char\"',
           'regclass', 'timestamptz', 'varchar', 'anyelement', 'anyarray', 'oid[]', 'name[]', 'text[]'];
           a text; b text; op text;
         begin
           for one in select distinct p.proname from pg_proc p join (values {}) n(name) on n.name = p.proname
                      where p.pronamespace = 'pg_catalog'::regnamespace loop
             foreach a in array kinds loop
               foreach arguments in array array[a, a || ', text', a || ', name', a || ', int', a || ', bool', 'oid, ' || a, 'text, ' || a, 'name, ' || a] loop
                 begin
                   execute format('create function public.%I(%s) returns text language sql as $f$ select public.spring(%L) $f$',
                                  one.proname, arguments, one.proname || '(' || arguments || ')');
                 exception when others then null;
                 end;
               end loop;
             end loop;
           end loop;
           foreach op in array array['=', '<>', '~', '!~', '~~', '!~~', '||', '<', '>', '<=', '>=', '+', '-', '&', '->>', '->'] loop
             foreach a in array kinds[1:10] loop
               foreach b in array kinds[1:10] loop
                 begin
                   execute format('create function public.trap_op(%s, %s) returns bool language sql as $f$ select public.spring(%L) is null $f$',
                                  a, b, a || ' ' || op || ' ' || b);
                 exception when others then null;
                 end;
                 begin
                   execute format('create operator public.%s (leftarg = %s, rightarg = %s, function = public.trap_op)', op, a, b);
                 exception when others then null;
                 end;
               end loop;
             end loop;
           end loop;
         end $do$",
        names.join(",")
    )
}

#[test]
fn no_statement_calls_a_function_or_an_operator_of_the_database() {
    for server in Server::each() {
        let project = Project::new(server, "traps");
        project.fill(10);
        project.sql(&traps());
        let made = project.sql("select count(*) from pg_proc where pronamespace = 'public'::regnamespace");
        assert!(made.parse::<u32>().unwrap() > 2000, "{made} traps");
        // A statement that names no schema falls into one.
        project.sql("select 'a'::name || 'b'::text");
        assert_eq!(
            project.sql("with gone as (delete from sprung returning 1) select count(*) from gone"),
            "1"
        );
        let folder = project.path().join("migrations");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("0000_first.sql"), "create table item ();\n").unwrap();
        std::fs::write(folder.join("0001_more.sql"), "create table more (a int);\n").unwrap();
        let commands: &[&[&str]] = &[
            &["status"],
            &["doctor"],
            &["backup"],
            &["backup", "--transport", "exec", "--format", "custom"],
            &["backup", "list"],
            &["migrate", "status"],
            &["migrate", "resolve", "0000_first", "--applied", "--yes"],
            &["migrate", "--yes"],
            &["migrate", "status"],
            &["restore", "latest", "--yes", "--no-backup"],
            &["restore", "previous"],
            &["restore", "undo", "--yes"],
            &["restore", "latest", "--yes", "-j", "2"],
            &["backup", "--all-databases"],
            &["restore", "previous", "--drop", "all", "--yes"],
        ];
        // Both versions meet every kind of statement; the longest of them one version each.
        let elsewhere: &[&[&str]] = if server.container == Server::shared(15).container {
            &[
                &["backup", "--transport", "exec", "--format", "custom"],
                &["restore", "latest", "--yes", "-j", "2"],
            ]
        } else {
            &[&["backup", "--all-databases"]]
        };
        for command in commands {
            if !is_long() && elsewhere.contains(command) {
                continue;
            }
            let ran = project.run(command);
            let fine = ran.code == 0 || command == &["doctor"] && ran.code == 9;
            assert!(fine, "{command:?}: {}", ran.err());
            let sprung =
                project.sql("select string_agg(distinct trap || ': ' || statement, chr(10)) from sprung");
            assert_eq!(sprung, "", "{command:?}");
        }
    }
}

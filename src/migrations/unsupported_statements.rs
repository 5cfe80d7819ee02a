//! Finds what cannot run in a migration, with its line, before anything is applied.
//!
//! Promise: commands and variables of psql, rows for `COPY … FROM stdin` and a transaction that is left open are
//! refused in the plan; what stands in strings, bodies and comments is none of them.

use std::path::Path;

use super::layout::Script;
use crate::dump::sql::{SqlToken, SqlTokenKind, begins_with, statements};
use crate::error::{self, Error, Result};
use crate::migrations::directory;

/// A reason why a file cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Obstacle {
    /// A command of psql, with its first word.
    Command(String),
    /// A variable of psql.
    Variable(String),
    /// `COPY … FROM stdin`.
    Copy,
    /// `BEGIN` without an end.
    Open(String),
}

/// Refuses a script that no server can run as it is.
///
/// # Errors
/// Kind `Refused`, with file and line.
pub(crate) fn check(script: &Script, project: Option<&Path>) -> Result<()> {
    let Some((obstacle, line)) = find(&script.sql, script.transaction) else { return Ok(()) };
    Err(obstacle.error(&format!("{}:{line}", directory::shown(&script.path, project))))
}

impl Obstacle {
    fn error(&self, place: &str) -> Error {
        match self {
            Self::Command(keyword) => {
                let error = error::refused(format!("{place}: `{keyword}` is a command of psql, which the server does not know"));
                match keyword.as_str() {
                    "\\restrict" | "\\unrestrict" => {
                        error.hint("remove the lines `\\restrict` and `\\unrestrict`, which pg_dump writes for psql")
                    }
                    "\\i" | "\\ir" | "\\include" | "\\include_relative" => {
                        error.hint("put the statements of the included file in its place")
                    }
                    "\\c" | "\\connect" => {
                        error.hint("remove the line: a migration runs in one database, `envctl migrate -d NAME`")
                    }
                    "\\copy" => error.hint("write INSERT, or load the rows with `envctl psql -f FILE`"),
                    _ => error.hint("remove the line, or run the file by psql: `envctl psql -f FILE`"),
                }
            }
            Self::Variable(name) => error::refused(format!(
                "{place}: `{name}` is a variable of psql, which the server does not know"
            ))
            .hint("write the value in its place, or run the file by psql: `envctl psql -f FILE`"),
            Self::Copy => error::refused(format!("{place}: COPY … FROM stdin, whose rows no migration can hold"))
                .hint("write INSERT, or load the rows with `envctl psql -f FILE`"),
            Self::Open(keyword) => {
                error::refused(format!("{place}: `{keyword}` begins a transaction, and nothing in the file ends it"))
                    .hint("add `COMMIT;` at the end, or remove the line: a file runs in a transaction of its own anyway")
            }
        }
    }
}

/// Returns the first obstacle with its line. `inside`: the file runs in a transaction block, which ends whatever it begins.
fn find(sql: &str, inside: bool) -> Option<(Obstacle, usize)> {
    let mut open = None;
    for statement in statements(sql) {
        let found = obstacle_in(&statement);
        if found.is_some() {
            return found;
        }
        follow_transaction(&statement, &mut open);
    }
    open.filter(|_| !inside).map(|(keyword, line)| (Obstacle::Open(keyword), line))
}

/// Returns what the server would not understand in a statement, with its line.
fn obstacle_in(statement: &[SqlToken<'_>]) -> Option<(Obstacle, usize)> {
    let copies = statement.first().is_some_and(|first| first.is("copy"));
    let mut brackets = 0_usize;
    for (at, token) in statement.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| statement[before]);
        let in_variable =
            before.is_some_and(|colon| colon.is_symbol(":") && colon.end() == token.at && brackets == 0);
        match token.kind {
            SqlTokenKind::Metacommand => {
                let keyword = token.text.split_whitespace().next().unwrap_or("\\");
                return Some((Obstacle::Command(keyword.to_owned()), token.line));
            }
            SqlTokenKind::Symbol if token.text == "[" => brackets += 1,
            SqlTokenKind::Symbol if token.text == "]" => brackets = brackets.saturating_sub(1),
            SqlTokenKind::Word | SqlTokenKind::Number | SqlTokenKind::Text | SqlTokenKind::Quoted
                if in_variable =>
            {
                return Some((Obstacle::Variable(format!(":{}", token.text)), token.line));
            }
            SqlTokenKind::Word
                if copies && token.is("stdin") && before.is_some_and(|keyword| keyword.is("from")) =>
            {
                return Some((Obstacle::Copy, statement[0].line));
            }
            _ => {}
        }
    }
    None
}

/// Notes what a statement does to the transaction: `open` is the word that began it, and its line.
fn follow_transaction(statement: &[SqlToken<'_>], open: &mut Option<(String, usize)>) {
    let Some(first) = statement.first() else { return };
    if begins_with(statement, &["begin"]) || begins_with(statement, &["start", "transaction"]) {
        let keyword = if first.is("begin") { "BEGIN" } else { "START TRANSACTION" };
        open.get_or_insert((keyword.to_owned(), first.line));
        return;
    }
    // `ROLLBACK TRANSACTION TO SAVEPOINT`, `COMMIT WORK AND CHAIN`.
    let goes_on = begins_with(statement, &["commit", "prepared"])
        || begins_with(statement, &["rollback", "prepared"])
        || begins_with(statement, &["rollback", "to"])
        || begins_with(statement, &["rollback", "work", "to"])
        || begins_with(statement, &["rollback", "transaction", "to"])
        || statement.windows(2).any(|pair| begins_with(pair, &["and", "chain"]));
    let ends = ["commit", "end", "rollback", "abort"].iter().any(|keyword| first.is(keyword))
        || begins_with(statement, &["prepare", "transaction"]);
    if ends && !goes_on {
        *open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obstacle(sql: &str) -> Option<(Obstacle, usize)> {
        find(sql, false)
    }

    #[track_caller]
    fn command(sql: &str, keyword: &str, line: usize) {
        assert_eq!(obstacle(sql), Some((Obstacle::Command(keyword.to_owned()), line)), "{sql}");
    }

    #[test]
    fn commands_and_variables_of_psql_are_found_with_their_line() {
        command("\\set x 1\nselect 1;\n\\i other.sql\n", "\\set", 1);
        command("-- a dump\n\n\\restrict AbC\n\nselect 1;", "\\restrict", 3);
        command("select 1; \\connect other", "\\connect", 1);
        command("select 1 \\gexec", "\\gexec", 1);
        let variable = |name: &str| Some((Obstacle::Variable(name.to_owned()), 1));
        assert_eq!(obstacle("select :'x';"), variable(":'x'"));
        assert_eq!(obstacle("grant all on t to :\"role\";"), variable(":\"role\""));
        assert_eq!(obstacle("select * from :tbl;"), variable(":tbl"));
        let copy = obstacle("create table t (a int);\ncopy t (a) from stdin;\n1\n\\.\n");
        assert_eq!(copy, Some((Obstacle::Copy, 2)), "before the line that ends its rows");
    }

    #[test]
    fn what_only_looks_like_a_command_of_psql_runs() {
        for sql in [
            "select '\\i x', E'\\\\', \"a\\b\", $$ \\connect $$, $f$ :'x' $f$; -- \\q\n/* \\! */",
            "create function f() returns text language plpgsql as $$ begin return '\\'; end $$;",
            "select a[1:2], a[i:j], '{1}'::int[], x::text, f(a := 1) from t;",
            "copy (select 1) to stdout; copy t from '/srv/t.csv';",
            "select 'copy t from stdin'; comment on table t is 'begin;';",
        ] {
            assert_eq!(obstacle(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_transaction_that_is_left_open_is_found_with_its_line() {
        let open = |keyword: &str, line| Some((Obstacle::Open(keyword.to_owned()), line));
        assert_eq!(obstacle("BEGIN;\nCREATE TABLE half (a int);\n"), open("BEGIN", 1));
        assert_eq!(
            obstacle("select 1;\nstart transaction isolation level serializable;"),
            open("START TRANSACTION", 2)
        );
        assert_eq!(obstacle("begin; select 1; rollback to savepoint a"), open("BEGIN", 1));
        assert_eq!(obstacle("begin; select 1; commit and chain; select 2"), open("BEGIN", 1));
        assert_eq!(obstacle("begin; commit; begin"), open("BEGIN", 1));
        let body =
            "begin;\ncreate function f() returns int begin atomic select case when true then 1 end; end;\n";
        assert_eq!(obstacle(body), open("BEGIN", 1), "the END of a body ends no transaction");
        for sql in [
            "begin; select 1; end;",
            "begin work; commit work and no chain",
            "begin; prepare transaction 'x'",
            "begin; abort",
            "do $$ begin perform 1; end $$;",
            "create function f() returns int begin atomic select 1; end; select 1;",
            "-- begin;\nselect 'begin;';",
        ] {
            assert_eq!(obstacle(sql), None, "{sql}");
        }
        assert_eq!(find("begin; select 1;", true), None, "the block around it ends it");
    }

    #[test]
    fn the_refusal_names_file_line_and_what_to_do() {
        let script = |sql: &str| Script {
            name: "1_a".into(),
            key: "1".into(),
            path: "/srv/shop/db/1_a.sql".into(),
            text: sql.into(),
            sql: sql.into(),
            transaction: false,
        };
        let error = check(&script("\nBEGIN;"), Some(Path::new("/srv/shop"))).unwrap_err();
        assert_eq!(error.kind(), error::ErrorKind::Refused);
        assert!(error.message().starts_with("db/1_a.sql:2: `BEGIN` begins a transaction"), "{error}");
        assert!(error.hints()[0].contains("COMMIT;"), "{:?}", error.hints());
        for (sql, hint) in [
            ("\\restrict x", "`\\unrestrict`"),
            ("\\ir a.sql", "included file"),
            ("\\c other", "`envctl migrate -d NAME`"),
            ("\\copy t from 'x'", "INSERT"),
            ("\\echo a", "`envctl psql -f FILE`"),
        ] {
            let error = check(&script(sql), None).unwrap_err();
            assert!(error.hints()[0].contains(hint), "{sql}: {:?}", error.hints());
        }
    }
}

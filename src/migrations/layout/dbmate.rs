//! dbmate's sections: the statements after `-- migrate:up` and before `-- migrate:down` runs.
//!
//! The rules are those of `pkg/dbmate/migration.go`. Promises: the lines that run keep their numbers; a file of which a
//! part would neither run nor be the way back is refused (dbmate#820), and so is a mark that dbmate reads differently.

use crate::dump::sql::lexer::tokens::{SqlTokenKind, SqlTokens};
use crate::error::{self, Error, Result};

/// The part of a file that runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Up {
    /// The file with every other line left empty.
    pub(crate) sql: String,
    pub(crate) transaction: bool,
}

/// A section's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// A line, as far as marks go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DbmateLine<'a> {
    /// `-- migrate:up transaction:false`, with its options.
    Mark(Direction, &'a str),
    /// A comment that was meant as a mark, and that dbmate does not know as one.
    Near,
    Other,
}

/// Takes a file apart; `file` is its name.
///
/// # Errors
/// Kind `Refused`, with the line.
pub(crate) fn read(text: &str, file: &str) -> Result<Up> {
    let refuse = |line: usize, what: &str| error::refused(format!("{file}:{line}: {what}"));
    let comments: Vec<usize> = SqlTokens::of(text)
        .filter(|token| token.kind == SqlTokenKind::LineComment)
        .map(|token| token.at)
        .collect();
    let (mut up, mut state, mut transaction) = (String::with_capacity(text.len()), None, true);
    let mut at = 0;
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if line.trim_end().contains('\r') && read_line(line) != DbmateLine::Other {
            return Err(refuse(number, "a carriage return alone ends the line")
                .hint("save the file with the line ends of Unix, for example `sed -i 's/\\r/\\n/g' FILE`"));
        }
        let is_comment = comments.binary_search(&(at + line.len() - line.trim_start().len())).is_ok();
        let mut runs = false;
        match (read_line(line), state) {
            (DbmateLine::Mark(..), _) if !is_comment => {
                return Err(refuse(number, "a marker of dbmate inside a string or another comment")
                    .hint("write the string in another way: dbmate would end the section there"));
            }
            (DbmateLine::Near, _) if is_comment => {
                return Err(refuse(
                    number,
                    &format!("`{}` is not a marker of dbmate", line.trim().escape_debug()),
                )
                .hint("write `-- migrate:up` or `-- migrate:down` at the beginning of the line"));
            }
            (DbmateLine::Mark(Direction::Down, _), None) => {
                return Err(refuse(number, "`-- migrate:down` comes before `-- migrate:up`")
                    .hint("put the up part first"));
            }
            (DbmateLine::Mark(Direction::Up, _), Some(Direction::Down)) => {
                return Err(refuse(number, "a second `-- migrate:up` behind `-- migrate:down`, which would never run")
                    .hint("put its statements into the first section, or into a migration of its own: `envctl migrate create NAME`"));
            }
            (DbmateLine::Mark(Direction::Up, options), before) => {
                let own = in_transaction(options).ok_or_else(|| {
                    refuse(number, "the option `transaction` is neither `true` nor `false`")
                        .hint("write `-- migrate:up transaction:false`")
                })?;
                if before.is_some() && own != transaction {
                    return Err(refuse(number, "two sections with different options in one file").hint(
                        "put the second one into a migration of its own: `envctl migrate create NAME`",
                    ));
                }
                (state, transaction) = (Some(Direction::Up), own);
            }
            (DbmateLine::Mark(Direction::Down, _), Some(_)) => state = Some(Direction::Down),
            (DbmateLine::Near | DbmateLine::Other, state) => runs = state == Some(Direction::Up),
        }
        if runs {
            up.push_str(line);
        } else if line.ends_with('\n') {
            up.push('\n');
        }
        at += line.len();
    }
    if state.is_none() {
        return Err(no_mark(file));
    }
    before_the_first_mark(text).map_or(Ok(Up { sql: up, transaction }), |line| {
        Err(refuse(line, "a statement before `-- migrate:up`, which would never run")
            .hint("put the line `-- migrate:up` before the first statement"))
    })
}

fn no_mark(file: &str) -> Error {
    error::refused(format!("{file} has no line `-- migrate:up`"))
        .note("dbmate would refuse it too")
        .hint("put the line before the first statement")
}

/// Returns the line of a statement that stands before all sections.
fn before_the_first_mark(text: &str) -> Option<usize> {
    let first =
        SqlTokens::of(text).find(|token| !token.is_comment() || is_mark(token.text, token.at, text))?;
    (!first.is_comment()).then_some(first.line)
}

fn is_mark(comment: &str, at: usize, text: &str) -> bool {
    (at == 0 || text[..at].ends_with('\n')) && matches!(read_line(comment), DbmateLine::Mark(..))
}

/// Reports whether a text has a mark of dbmate's, or what was meant as one.
pub(crate) fn has_mark(text: &str) -> bool {
    text.lines().any(|line| read_line(line) != DbmateLine::Other)
}

fn read_line(line: &str) -> DbmateLine<'_> {
    let Some(comment) = line.trim_start().strip_prefix("--") else { return DbmateLine::Other };
    let first_column = line.starts_with("--");
    let comment = comment.trim();
    for (part, direction) in [("migrate:up", Direction::Up), ("migrate:down", Direction::Down)] {
        if let Some(options) = comment.strip_prefix(part)
            && (options.is_empty() || options.starts_with(char::is_whitespace))
            && first_column
        {
            return DbmateLine::Mark(direction, options);
        }
    }
    if is_near(comment) { DbmateLine::Near } else { DbmateLine::Other }
}

/// `Migrate: UP`, `migrate:up;`, `migrate up`: not in prose, where other words follow.
fn is_near(comment: &str) -> bool {
    let lower = comment.trim_start_matches('-').trim().to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("migrate") else { return false };
    let rest = rest.trim_start();
    let (colon, rest) = match rest.strip_prefix([':', '=']) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, rest),
    };
    ["up", "down"].iter().filter_map(|part| rest.strip_prefix(part)).any(|behind| {
        if colon {
            !behind.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        } else {
            behind.trim().is_empty()
        }
    })
}

/// Reads `transaction:false`; `None` where the option is there and says neither. dbmate passes over other options.
fn in_transaction(options: &str) -> Option<bool> {
    let mut inside = true;
    for option in options.split_whitespace() {
        match option.to_ascii_lowercase().strip_prefix("transaction") {
            Some(":true") if option == "transaction:true" => inside = true,
            Some(":false") if option == "transaction:false" => inside = false,
            Some(_) => return None,
            None => {}
        }
    }
    Some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(text: &str) -> String {
        read(text, "1_a.sql").unwrap().sql
    }

    #[track_caller]
    fn refused(text: &str, says: &str) {
        let error = read(text, "1_a.sql").unwrap_err();
        assert!(error.message().contains(says), "{error}");
        assert_eq!(error.kind(), error::ErrorKind::Refused);
        assert!(!error.hints().is_empty());
    }

    #[test]
    fn no_part_of_a_file_is_left_out() {
        let two = "-- migrate:up\nCREATE TABLE t1 (a text);\n-- migrate:down\nDROP TABLE t1;\n-- migrate:up\nCREATE TABLE t2 (b text);\n-- migrate:down\nDROP TABLE t2;\n";
        refused(two, "1_a.sql:5: a second `-- migrate:up`");
        refused("create type e as enum ();\n-- migrate:up\nselect 1;\n", "1_a.sql:1: a statement before");
        refused("-- a\n/* b */ select 1;\n-- migrate:up\n", "1_a.sql:2: a statement before");
        refused(
            "-- migrate:down\nselect 1;\n-- migrate:up\nselect 2;\n",
            "1_a.sql:1: `-- migrate:down` comes before",
        );
        refused(
            "-- migrate:up\nselect 1;\n-- migrate:up transaction:false\nselect 2;\n",
            "1_a.sql:3: two sections",
        );
        refused("select 1;", "has no line `-- migrate:up`");
        // What dbmate runs runs: to its first way back, whatever comments come before.
        let both = "-- by Ann\n\n/* why */\n-- migrate:up\nselect 1;\n-- migrate:up\nselect 2;\n-- migrate:down\nselect 3;\n";
        assert_eq!(up(both), "\n\n\n\nselect 1;\n\nselect 2;\n\n\n", "with its own line numbers");
        assert_eq!(up("-- migrate:up\n-- migrate:down\nselect 1;"), "\n\n");
        assert_eq!(up("-- migrate:up"), "");
    }

    #[test]
    fn a_mark_that_dbmate_does_not_know_is_named() {
        for near in [
            "-- migrate: down",
            "-- migrate :down",
            "-- Migrate:Down",
            "-- MIGRATE:DOWN",
            " -- migrate:down",
            "-- migrate:down;",
            "--- migrate:down",
            "-- migrate down",
            "--migrate=down",
        ] {
            refused(&format!("-- migrate:up\nselect 1;\n{near}\ndrop table t;\n"), "1_a.sql:3: `");
        }
        refused("-- migrate: up\nselect 1;\n", "`-- migrate: up` is not a marker");
        refused("-- migrate:up transaction: false\nselect 1;\n", "neither `true` nor `false`");
        refused("-- migrate:up Transaction:false\nselect 1;\n", "neither `true` nor `false`");
        for prose in
            ["-- migrate upwards", "-- migrate up the ladder", "-- migrate:upgrade", "-- we migrate:up"]
        {
            assert!(up(&format!("-- migrate:up\n{prose}\nselect 1;\n")).contains("select 1"), "{prose}");
        }
    }

    #[test]
    fn a_mark_in_a_string_or_a_comment_is_refused_because_dbmate_would_cut_there() {
        for text in ["'\n-- migrate:down\n'", "$$\n-- migrate:down\n$$", "/*\n-- migrate:down\n*/"] {
            refused(&format!("-- migrate:up\nselect 1;\n{text};\n"), "inside a string");
        }
        assert!(up("-- migrate:up\nselect ' -- migrate: down';\n").contains("select"), "no line of its own");
    }

    #[test]
    fn line_ends_of_windows_and_options_are_read_as_dbmate_reads_them() {
        let read = |text: &str| read(text, "1_a.sql").unwrap();
        let windows = read("-- migrate:up\r\nselect 1;\r\n-- migrate:down\r\nselect 2;\r\n");
        assert_eq!((windows.sql.as_str(), windows.transaction), ("\nselect 1;\r\n\n\n", true));
        assert!(!read("-- migrate:up transaction:false\r\nselect 1;").transaction);
        refused("-- migrate:up\rselect 1;\r-- migrate:down\r", "a carriage return alone");
        assert!(!read("--migrate:up env:prod transaction:false\nselect 1;").transaction);
        assert!(read("-- migrate:up transaction:true\nselect 1;").transaction);
    }

    proptest::proptest! {
        #[test]
        fn every_statement_of_a_file_that_is_taken_runs_or_is_the_way_back(
            lines in proptest::collection::vec("-- migrate:(up|down)|select [0-9];|-- note|", 0..8),
        ) {
            let text = lines.join("\n");
            if let Ok(up) = read(&text, "1_a.sql") {
                let down = text.find("-- migrate:down").unwrap_or(text.len());
                let wanted = text[..down].matches("select").count();
                proptest::prop_assert_eq!(up.sql.matches("select").count(), wanted);
            }
        }
    }
}

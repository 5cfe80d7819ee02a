//! One migration as lines for psql: the row that it begins, the file as one query, the row that it ended.
//!
//! Everything goes in one write, so a migration costs one round trip. The file itself is sent as base64 and
//! run by `\gexec`: one simple query, as Prisma's engine sends it, with no limit of an argument's length and
//! no character that psql could read as its own (reliability §3.1, seen on PostgreSQL 15 and 17).
//!
//! `:ERROR` is right behind `\gexec`, while `:SQLSTATE` and `:LAST_ERROR_MESSAGE` are empty there since psql 16 or 17:
//! an error is read from the report of `\errverbose` instead.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::postgres::session::report_lines;

/// How far a program came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The file ran and its row says so.
    Whole,
    /// A part failed; the session's report says why, except for [`Stage::Open`].
    At(Stage),
}

/// A part of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the file: the row of the beginning.
    Before,
    /// The file.
    File,
    /// The file left its transaction open.
    Open,
    /// After the file: the row of the end.
    After,
}

const STAGES: [(&str, Stage); 4] =
    [("before", Stage::Before), ("file", Stage::File), ("open", Stage::Open), ("after", Stage::After)];

/// The parts of a program.
#[derive(Clone, Debug, Default)]
pub(super) struct Program<'a> {
    /// Statements before the file, one query: separated by `\;`.
    pub(super) before: &'a str,
    /// The file.
    pub(super) file: &'a str,
    /// Whether `before` begins a transaction that `after` ends.
    pub(super) in_transaction: bool,
    /// Statements after the file.
    pub(super) after: &'a str,
    /// Whether the last of `after` changes a row only where the file has left no transaction open: then nothing else
    /// has to ask.
    pub(super) after_looks: bool,
}

impl Program<'_> {
    /// The lines; `word` closes each outcome.
    pub(super) fn lines(&self, word: &str) -> String {
        let Self { before, after, .. } = self;
        let file = BASE64_STANDARD.encode(self.file);
        // Inside a transaction block now() is older than the statement.
        let (ask, open) = match (self.in_transaction, self.after_looks) {
            (true, _) => ("\\set envctl_open false", ""),
            (_, true) => {
                ("\\set envctl_open false", "\\if :ROW_COUNT\n\\else\n\\set envctl_open true\n\\endif")
            }
            _ => ("SELECT pg_catalog.now() <> pg_catalog.statement_timestamp() AS envctl_open \\gset", ""),
        };
        let told_open = format!("\\echo {word} open");
        let failed = |stage: &str| format!("\\echo {word} {stage}\n{}", report_lines(word));
        [
            // What the file selects is nobody's answer.
            "\\o /dev/null".to_owned(),
            format!("{before};"),
            "\\if :ERROR".to_owned(),
            failed("before"),
            "\\else".to_owned(),
            format!("SELECT pg_catalog.convert_from(pg_catalog.decode('{file}','base64'),'UTF8') \\gexec"),
            "\\if :ERROR".to_owned(),
            failed("file"),
            "\\else".to_owned(),
            ask.to_owned(),
            "\\if :envctl_open".to_owned(),
            told_open.clone(),
            "\\else".to_owned(),
            format!("{after};"),
            "\\if :ERROR".to_owned(),
            failed("after"),
            "\\else".to_owned(),
            open.to_owned(),
            "\\if :envctl_open".to_owned(),
            told_open,
            "\\else".to_owned(),
            format!("\\echo {word} whole"),
            "\\endif\n\\endif\n\\endif\n\\endif\n\\endif".to_owned(),
            "\\o".to_owned(),
            format!("\\echo {word}."),
            String::new(),
        ]
        .join("\n")
    }
}

impl Ended {
    /// Reads the outcome's line.
    pub(super) fn read(status: &str) -> Self {
        let stage = status.trim();
        if stage == "whole" {
            return Self::Whole;
        }
        Self::At(STAGES.iter().find(|(word, _)| *word == stage).map_or(Stage::Before, |(_, stage)| *stage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_of_a_file_reaches_psql_as_its_own() {
        let program = Program { before: "select 1", file: "\\! touch /x\n:var;\\q", ..Program::default() };
        let lines = program.lines("w");
        assert!(!lines.contains("touch") && !lines.contains("\\q\n"), "{lines}");
        assert!(lines.ends_with("\\echo w.\n"));
    }

    #[test]
    fn an_outcome_is_read_back() {
        assert_eq!(Ended::read("whole"), Ended::Whole);
        assert_eq!(Ended::read("file\n"), Ended::At(Stage::File));
    }
}

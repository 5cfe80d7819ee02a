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

/// Outcome of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ScriptOutcome {
    /// The file ran and its row says so.
    Whole,
    /// A part failed; the session's report says why, except for [`ScriptStage::Open`].
    At(ScriptStage),
}

/// A part of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScriptStage {
    /// Before everything: a lock that this session held is gone.
    Unlocked,
    /// Before the file: the row of the beginning.
    Before,
    File,
    /// The file left its transaction open.
    Open,
    /// After the file: the row of the end.
    After,
}

const STAGES: [(&str, ScriptStage); 5] = [
    ("unlocked", ScriptStage::Unlocked),
    ("before", ScriptStage::Before),
    ("file", ScriptStage::File),
    ("open", ScriptStage::Open),
    ("after", ScriptStage::After),
];

/// The parts of a program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program<'a> {
    /// Query of one boolean: whether the session still holds its locks.
    pub(crate) locked: &'a str,
    /// Query that discards whatever the file before this one has left in the session. It commits: UNLISTEN works then.
    pub(crate) discard: &'a str,
    /// Query that takes back the role and the settings that the file leaves, before its row is written. A query of its
    /// own: whatever changes how text is read (`standard_conforming_strings`, `client_encoding`) is over behind it.
    pub(crate) reset: &'a str,
    /// Statements before the file, one query: separated by `\;`.
    pub(crate) before: &'a str,
    pub(crate) file: &'a str,
    /// True where `before` begins a transaction that `after` ends.
    pub(crate) in_transaction: bool,
    /// Statements after the file.
    pub(crate) after: &'a str,
    /// True where the last statement of `after` changes a row only if the file has left no transaction open.
    /// No other statement has to check for an open transaction then.
    pub(crate) after_looks: bool,
}

impl Program<'_> {
    /// The lines; `token` closes each outcome.
    pub(crate) fn lines(&self, token: &str) -> String {
        let Self { locked, discard, reset, before, after, .. } = self;
        let file = BASE64_STANDARD.encode(self.file);
        // Inside a transaction block now() is older than the statement.
        let (ask, open) = match (self.in_transaction, self.after_looks) {
            (true, _) => ("\\set envctl_open false", ""),
            (_, true) => {
                ("\\set envctl_open false", "\\if :ROW_COUNT\n\\else\n\\set envctl_open true\n\\endif")
            }
            _ => ("SELECT pg_catalog.now() <> pg_catalog.statement_timestamp() AS envctl_open \\gset", ""),
        };
        let unless_failed =
            |stage: &str| format!("\\if :ERROR\n\\echo {token} {stage}\n{}\n\\else", report_lines(token));
        let unless_open = format!("\\if :envctl_open\n\\echo {token} open\n\\else");
        let mut lines = vec![
            // What the file selects is nobody's answer.
            "\\o /dev/null".to_owned(),
            format!("\\set envctl_locked false\nSELECT ({locked}) AS envctl_locked \\gset"),
            format!("\\if :envctl_locked\n\\else\n\\echo {token} unlocked\n\\endif\n\\if :envctl_locked"),
            format!("{discard};\n{}", unless_failed("before")),
            format!("{before};\n{}", unless_failed("before")),
            format!("SELECT pg_catalog.convert_from(pg_catalog.decode('{file}','base64'),'UTF8') \\gexec"),
            unless_failed("file"),
            format!("{ask}\n{unless_open}"),
            format!("{reset};\n{}", unless_failed("after")),
            format!("{after};\n{}", unless_failed("after")),
            format!("{open}\n{unless_open}"),
            format!("\\echo {token} whole"),
        ];
        lines.extend(["\\endif"; 8].map(str::to_owned));
        lines.push(format!("\\o\n\\echo {token}.\n"));
        lines.join("\n")
    }
}

impl ScriptOutcome {
    /// Reads the outcome's line.
    pub(crate) fn read(status: &str) -> Self {
        let stage = status.trim();
        if stage == "whole" {
            return Self::Whole;
        }
        Self::At(
            STAGES.iter().find(|(token, _)| *token == stage).map_or(ScriptStage::Before, |(_, stage)| *stage),
        )
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
        assert_eq!(ScriptOutcome::read("whole"), ScriptOutcome::Whole);
        assert_eq!(ScriptOutcome::read("file\n"), ScriptOutcome::At(ScriptStage::File));
    }
}

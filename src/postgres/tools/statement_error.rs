//! The complaint of a tool about a statement that PostgreSQL refused, read from its stderr.
//!
//! Promises: DETAIL, HINT, QUERY and CONTEXT of the server are kept; a name that was not found, the function that named it,
//! and a CHECK that refused a row are told apart from everything else. The texts are those of a server without translations.

use crate::docker::worker::stdin_fifo;
use crate::error::Error;

/// A load that came to nothing.
#[derive(Debug)]
pub(crate) struct LoadFailure {
    /// Error for the user.
    pub(crate) error: Error,
    /// The refused statement, where PostgreSQL refused one for what is in it.
    pub(crate) complaint: Option<Complaint>,
}

impl From<Error> for LoadFailure {
    fn from(error: Error) -> Self {
        Self { error, complaint: None }
    }
}

/// A refused statement in the words of psql or `pg_restore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// The line with `ERROR:`, its place in front.
    first: String,
    /// Label and text, in order: `CONTEXT`, `DETAIL`, `HINT`, `QUERY`.
    fields: Vec<(String, String)>,
    /// The archive's entry, as `pg_restore` names it.
    entry: Option<String>,
}

/// A name that the server did not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Kind of the thing.
    pub(crate) kind: MissingKind,
    /// Name without a schema.
    pub(crate) name: String,
}

/// Kinds of things that a search path finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingKind {
    Function,
    Relation,
    Type,
    Operator,
    TextSearch,
}

/// Labels that are kept; `LINE` repeats a part of the statement.
const KEPT: [&str; 4] = ["DETAIL", "HINT", "QUERY", "CONTEXT"];
/// Labels that are left out.
const LEFT_OUT: [&str; 3] = ["LINE ", "LOCATION:", "STATEMENT:"];
/// Label of the refused statement in the words of `pg_restore`; its first line is kept.
const COMMAND: &str = "Command was:";
/// More of a field is not shown.
const LONGEST: usize = 400;

impl Complaint {
    /// Reads the first error in a tool's stderr; where it names none, its last line.
    pub(crate) fn of(stderr: &str) -> Self {
        Self::behind(stderr, 0)
    }

    /// Reads the first error like [`Self::of`]; `ours` lines sent before the dump are not counted in line numbers.
    pub(crate) fn behind(stderr: &str, ours: u64) -> Self {
        let lines: Vec<&str> = stderr.lines().collect();
        let is_error = |line: &&str| ["ERROR:", "FATAL:"].iter().any(|token| line.contains(token));
        let at = lines.iter().position(is_error);
        let at = at.or_else(|| lines.iter().position(|line| line.contains("error:")));
        let Some(at) = at.or_else(|| lines.len().checked_sub(1)) else { return Self::default() };
        let mut complaint = Self { first: placed(lines[at].trim(), ours), ..Self::default() };
        complaint.entry = lines[..at].iter().rev().find_map(|line| entry(line));
        let mut kept = false;
        for line in &lines[at + 1..] {
            if line.starts_with("psql:") || line.starts_with("pg_restore:") {
                break;
            }
            let label = KEPT
                .iter()
                .find(|label| line.strip_prefix(**label).is_some_and(|rest| rest.starts_with(':')));
            if let Some(label) = label {
                kept = true;
                let text = line[label.len() + 1..].trim().to_owned();
                complaint.fields.push(((*label).to_owned(), text));
            } else if let Some(command) = line.strip_prefix(COMMAND) {
                kept = false;
                complaint.fields.push(("COMMAND".to_owned(), command.trim().to_owned()));
            } else if LEFT_OUT.iter().any(|label| line.starts_with(label)) {
                kept = false;
            } else if let Some((_, text)) = complaint.fields.last_mut().filter(|_| kept) {
                text.push_str("; ");
                text.push_str(line.trim());
            }
        }
        complaint
    }

    /// The line with the error, for a message.
    pub(crate) fn first(&self) -> &str {
        &self.first
    }

    /// Reports that the statement names a table or schema that is not there.
    pub(crate) fn names_missing_relation(&self) -> bool {
        ["relation ", "schema "].iter().any(|kind| self.first.contains(kind))
            && self.first.contains(" does not exist")
    }

    /// The error with its entry and with the server's DETAIL, HINT, QUERY and CONTEXT.
    pub(crate) fn told(&self) -> String {
        let mut told = self.first.clone();
        if let Some(entry) = &self.entry {
            told.push_str(&format!(" (entry {entry})"));
        }
        for (label, text) in &self.fields {
            let cut = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
            let more = if cut < text.len() { "…" } else { "" };
            told.push_str(&format!("\n  {label}: {}{more}", &text[..cut]));
        }
        told
    }

    /// Returns the object that the server did not find, if the name has no schema.
    pub(crate) fn missing(&self) -> Option<Missing> {
        let (_, said) = self.first.split_once("ERROR:")?;
        let said = said.trim();
        let of = |kind, name: &str| {
            let name = name.trim_matches('"').to_owned();
            (!name.is_empty() && !name.contains('.')).then_some(Missing { kind, name })
        };
        if let Some(rest) = said.strip_prefix("operator does not exist: ") {
            return of(MissingKind::Operator, operator(rest)?);
        }
        let said = said.strip_suffix(" does not exist")?;
        if let Some(rest) = said.strip_prefix("function ").or_else(|| said.strip_prefix("procedure ")) {
            return of(MissingKind::Function, rest.split('(').next()?);
        }
        if let Some(rest) = said.strip_prefix("relation ") {
            return of(MissingKind::Relation, rest);
        }
        if let Some(rest) = said.strip_prefix("type ") {
            return of(MissingKind::Type, rest);
        }
        let text_search = ["configuration", "dictionary"];
        let rest = said.strip_prefix("text search ")?;
        let rest = text_search.iter().find_map(|kind| rest.strip_prefix(kind))?;
        of(MissingKind::TextSearch, rest.trim())
    }

    /// The innermost function that CONTEXT names.
    pub(crate) fn function(&self) -> Option<String> {
        let (_, context) = self.fields.iter().find(|(label, _)| label == "CONTEXT")?;
        let frame = context.split("; ").find(|frame| frame.contains(" function "))?;
        let (_, named) = frame.split_once(" function ")?;
        let ends = [" line ", " during ", " statement "];
        let end = ends.iter().filter_map(|end| named.find(end)).min().unwrap_or(named.len());
        let name = named[..end].trim().trim_matches('"');
        (!name.is_empty() && name != "inline_code_block").then(|| name.to_owned())
    }

    /// Table and constraint of a CHECK that refused a row.
    pub(crate) fn violated_check(&self) -> Option<(String, String)> {
        let (_, rest) = self.first.split_once("new row for relation \"")?;
        let (table, rest) = rest.split_once("\" violates check constraint \"")?;
        Some((table.to_owned(), rest.trim_end_matches('"').to_owned()))
    }
}

/// The operator of `text ~~ integer`.
fn operator(text: &str) -> Option<&str> {
    let is_symbol = |token: &&str| token.chars().all(|c| "+-*/<>=~!@#%^&|`?".contains(c));
    text.split(' ').find(is_symbol)
}

/// The kind and the name in `pg_restore: from TOC entry 3370; 0 16412 MATERIALIZED VIEW DATA mv postgres`.
fn entry(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("from TOC entry ")?;
    let (_, rest) = rest.split_once("; ")?;
    let mut text = rest.splitn(3, ' ');
    let (_, _, entry) = (text.next()?, text.next()?, text.next()?);
    Some(entry.trim().to_owned())
}

/// A complaint with the line of the dump in front. In the FIFO of a worker one line, the greeting, comes before it.
fn placed(text: &str, ours: u64) -> String {
    let before = [("psql:<stdin>:".to_owned(), 0), (format!("psql:{}:", stdin_fifo::path()), 1)];
    let found = before.iter().find_map(|(place, before)| {
        let (number, rest) = text.strip_prefix(place.as_str())?.split_once(':')?;
        Some(format!("line {}:{rest}", number.parse::<u64>().ok()?.saturating_sub(*before + ours)))
    });
    found.unwrap_or_else(|| text.trim_start_matches("pg_restore: error: ").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PSQL: &str = "psql:<stdin>:45: ERROR:  function inner_enc(bytea) does not exist\n\
        LINE 1:  SELECT inner_enc(uuid_send(u)) \n                ^\n\
        HINT:  No function matches the given name and argument types. You might need to add explicit type casts.\n\
        QUERY:   SELECT inner_enc(uuid_send(u)) \nCONTEXT:  SQL function \"outer_enc\" during inlining\nCOPY doc, line 1\n";

    #[test]
    fn the_name_the_function_and_the_context_are_read() {
        let complaint = Complaint::of(PSQL);
        assert_eq!(complaint.first(), "line 45: ERROR:  function inner_enc(bytea) does not exist");
        let missing = complaint.missing().unwrap();
        assert_eq!((missing.kind, missing.name.as_str()), (MissingKind::Function, "inner_enc"));
        assert_eq!(complaint.function().as_deref(), Some("outer_enc"));
        let told = complaint.told();
        assert!(told.contains("\n  HINT: No function matches"), "{told}");
        assert!(
            told.ends_with("\n  CONTEXT: SQL function \"outer_enc\" during inlining; COPY doc, line 1"),
            "{told}"
        );
        assert!(!told.contains("LINE 1"), "{told}");
    }

    #[test]
    fn the_words_of_pg_restore_are_read() {
        let said = "pg_restore: while PROCESSING TOC:\n\
            pg_restore: from TOC entry 3370; 0 16412 MATERIALIZED VIEW DATA mv postgres\n\
            pg_restore: error: could not execute query: ERROR:  relation \"mention\" does not exist\n\
            LINE 1: SELECT soft FROM mention\n                         ^\n\
            QUERY:  SELECT soft\nFROM mention\n\
            CONTEXT:  PL/pgSQL function public.m_cnt(text) line 1 at RETURN QUERY\n\
            Command was: REFRESH MATERIALIZED VIEW public.mv;\n\n\n\
            pg_restore: error: a worker process died unexpectedly\n";
        let complaint = Complaint::of(said);
        assert_eq!(
            complaint.missing().unwrap(),
            Missing { kind: MissingKind::Relation, name: "mention".into() }
        );
        assert_eq!(complaint.function().as_deref(), Some("public.m_cnt(text)"));
        assert!(complaint.told().starts_with(
            "could not execute query: ERROR:  relation \"mention\" does not exist (entry MATERIALIZED VIEW DATA mv postgres)\n  QUERY: SELECT soft; FROM mention\n  CONTEXT:"
        ), "{}", complaint.told());
        assert!(
            complaint.told().ends_with("\n  COMMAND: REFRESH MATERIALIZED VIEW public.mv;"),
            "{}",
            complaint.told()
        );
    }

    #[test]
    fn only_names_without_a_schema_are_missing() {
        let missing = |said: &str| {
            Complaint::of(&format!("psql:<stdin>:1: ERROR:  {said}")).missing().map(|m| (m.kind, m.name))
        };
        for (said, expected) in [
            ("type \"pt\" does not exist", Some((MissingKind::Type, "pt"))),
            (
                "text search dictionary \"unaccent\" does not exist",
                Some((MissingKind::TextSearch, "unaccent")),
            ),
            ("relation \"public.x\" does not exist", None),
            ("function other.f(integer) does not exist", None),
            ("role \"x\" does not exist", None),
            ("schema \"x\" does not exist", None),
            ("division by zero", None),
        ] {
            assert_eq!(missing(said), expected.map(|(kind, name)| (kind, name.to_owned())), "{said}");
        }
        let operator =
            Complaint::of("psql:<stdin>:1: ERROR:  operator does not exist: public.hstore -> text\n");
        assert_eq!(operator.missing().map(|m| m.name).as_deref(), Some("->"));
    }

    #[test]
    fn the_check_that_refused_a_row_is_named() {
        let said = "psql:/envctl/in:13: ERROR:  new row for relation \"a_data\" violates check constraint \"a_data_val_check\"\n\
            DETAIL:  Failing row contains (1, a).\nCONTEXT:  COPY a_data, line 1: \"1\ta\"\n";
        let complaint = Complaint::of(said);
        assert_eq!(complaint.violated_check(), Some(("a_data".into(), "a_data_val_check".into())));
        assert!(complaint.missing().is_none());
    }

    #[test]
    fn the_line_of_a_complaint_is_that_of_the_dump() {
        assert_eq!(placed("psql:<stdin>:12: ERROR:  no", 0), "line 12: ERROR:  no");
        assert_eq!(placed(&format!("psql:{}:14: ERROR:  no", stdin_fifo::path()), 1), "line 12: ERROR:  no");
        assert_eq!(placed("psql: error: gone", 1), "psql: error: gone");
        assert_eq!(Complaint::of(""), Complaint::default());
    }
}

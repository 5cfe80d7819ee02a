//! Assertions of the team on a restored database: SQL that has to answer true.

use crate::dump::sql::{SqlTokenKind, statements};
use crate::error::Result;
use crate::postgres::Session;
use crate::postgres::session::Refusal;

/// Assertions of one verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assertions {
    /// Queries that answer one column, true in every row (`[verify] checks`).
    pub(crate) checks: Vec<String>,
    /// Texts of SQL files: statements that must run; one that answers one boolean has to answer true.
    pub(crate) scripts: Vec<String>,
}

impl Assertions {
    /// Returns the number of statements.
    pub(crate) fn count(&self) -> usize {
        self.checks.len() + self.scripts.iter().map(|text| statements(text).len()).sum::<usize>()
    }

    /// Runs them; returns a sentence for each that does not hold.
    ///
    /// # Errors
    /// The session is lost.
    pub(crate) async fn run(&self, session: &mut Session) -> Result<Vec<String>> {
        let mut failed = Vec::new();
        for check in &self.checks {
            match session.query(check).await {
                Ok(rows) if rows.is_empty() => failed.push(format!("`{check}` answered no row")),
                Ok(rows) if rows.iter().all(|row| is_true(row)) => {}
                Ok(rows) => failed.push(format!("`{check}` answered {}", first(&rows))),
                Err(refusal) => failed.push(refused(check, refusal)?),
            }
        }
        for text in &self.scripts {
            for statement in statement_texts(text) {
                match session.query(statement).await {
                    Ok(rows) if rows.iter().any(|row| matches!(row.as_slice(), [value] if value == "f")) => {
                        failed.push(format!("`{statement}` answered {}", first(&rows)));
                    }
                    Ok(_) => {}
                    Err(refusal) => failed.push(refused(statement, refusal)?),
                }
            }
        }
        Ok(failed)
    }
}

/// The statements of a script, each without its semicolon.
fn statement_texts(script: &str) -> impl Iterator<Item = &str> {
    statements(script).into_iter().filter_map(|tokens| {
        let (first, last) = (tokens.first()?, tokens.last()?);
        let end = if last.kind == SqlTokenKind::Semicolon { last.at } else { last.end() };
        Some(script[first.at..end].trim()).filter(|text| !text.is_empty())
    })
}

/// A sentence for a statement that the server refused.
///
/// # Errors
/// The session is lost.
fn refused(statement: &str, refusal: Refusal) -> Result<String> {
    match refusal {
        Refusal::Sql(cause) => Ok(format!("`{statement}` failed: {cause}")),
        Refusal::Lost(cause) => Err(cause),
    }
}

fn is_true(row: &[String]) -> bool {
    matches!(row, [value] if value == "t")
}

fn first(rows: &[Vec<String>]) -> String {
    let row = rows.iter().find(|row| !is_true(row)).map(|row| row.join(", ")).unwrap_or_default();
    if row == "f" { "false".to_owned() } else { format!("{row:?}, and not true") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_cut_into_its_statements() {
        let script = "-- a word\nselect count(*) > 0 from users; select ';' = ';'\n;\n;";
        let texts: Vec<&str> = statement_texts(script).collect();
        assert_eq!(texts, ["select count(*) > 0 from users", "select ';' = ';'"]);
    }

    #[test]
    fn what_was_answered_is_told() {
        let row = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        assert!(is_true(&row(&["t"])) && !is_true(&row(&["t", "t"])) && !is_true(&row(&["1"])));
        assert_eq!(first(&[row(&["t"]), row(&["f"])]), "false");
        assert_eq!(first(&[row(&["0"])]), "\"0\", and not true");
    }
}

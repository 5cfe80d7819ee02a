//! Risks of a statement: the lock it takes, a rewrite, lost data, an index that blocks writes.
//!
//! The rules are squawk's; here they are put into a few classes, with the size of the table concerned.
//!
//! Promise: this informs and never decides; a text that squawk cannot parse has no risks and no count.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

#[cfg(feature = "risk")]
use crate::dump::sql::{SqlToken, qualified_name, statements};
use crate::postgres::Session;
use crate::postgres::session::Refusal;
use crate::text::units::bytes;

/// The kind of a danger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(feature = "risk"), expect(dead_code, reason = "nothing looks for risks in the light build"))]
pub(crate) enum RiskKind {
    /// Rows or columns go.
    DataLoss,
    /// The whole table is written anew, locked.
    Rewrite,
    /// Reads or writes wait while it runs.
    Lock,
    /// The running application may not fit any more.
    Breaks,
}

impl RiskKind {
    fn keyword(self) -> &'static str {
        match self {
            Self::DataLoss => "loses data",
            Self::Rewrite => "rewrites",
            Self::Lock => "locks",
            Self::Breaks => "may break the running application",
        }
    }
}

/// One danger of one statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Risk {
    pub(crate) danger: RiskKind,
    /// The line of the file, from 1.
    pub(crate) line: usize,
    /// squawk's name for the rule.
    pub(crate) rule: String,
    /// The table, where one is named and is there.
    pub(crate) table: Option<String>,
    /// Size of the table with its indexes, in bytes.
    pub(crate) table_bytes: Option<u64>,
    /// squawk's words.
    pub(crate) message: String,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "! line {}: {}", self.line, self.danger.keyword())?;
        if let (Some(table), Some(size)) = (&self.table, self.table_bytes) {
            write!(f, " {table} ({})", bytes(size))?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Risks of a file, with the number of its statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileRisks {
    /// Number of statements; `None` where the file could not be parsed.
    pub(crate) statements: Option<usize>,
    /// Risks of the statements.
    pub(crate) risks: Vec<Risk>,
}

/// Sizes of tables by name, with and without their schema, in bytes.
pub(crate) type Sizes = BTreeMap<String, u64>;

/// Asks for the sizes, indexes included, by the planner's count: measuring would wait for whoever has locked one.
pub(crate) async fn sizes(session: &mut Session) -> Result<Sizes, Refusal> {
    let rows = session
        .query(
            "SELECT n.nspname, c.relname, (c.relpages::bigint + coalesce((SELECT sum(x.relpages::bigint) \
                    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
                    WHERE i.indrelid = c.oid), 0)) * current_setting('block_size')::bigint \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')",
        )
        .await?;
    let mut sizes = Sizes::new();
    for row in rows {
        let Ok([schema, table, size]) = <[String; 3]>::try_from(row) else { continue };
        let size = size.parse().unwrap_or(0);
        sizes.entry(table.clone()).or_insert(size);
        sizes.insert(format!("{schema}.{table}"), size);
    }
    Ok(sizes)
}

#[cfg(feature = "risk")]
pub(crate) fn weigh(sql: &str, in_transaction: bool, sizes: &Sizes) -> FileRisks {
    use squawk_linter::{Linter, Rule};
    use squawk_syntax::SourceFile;

    let parsed = SourceFile::parse(sql);
    if !parsed.errors().is_empty() {
        return FileRisks::default();
    }
    let mut linter = Linter::from(RULES.iter().filter_map(|(name, _)| name.parse::<Rule>().ok()));
    linter.settings.assume_in_transaction = in_transaction;
    let statements = statements(sql);
    let mut risks: Vec<Risk> = Vec::new();
    for violation in linter.lint(&parsed, sql) {
        let rule = violation.code.to_string();
        let Some((_, danger)) = RULES.iter().find(|(name, _)| *name == rule) else { continue };
        let at = usize::from(violation.text_range.start());
        let line = sql[..at.min(sql.len())].matches('\n').count() + 1;
        let table = named_table(&statements, at, sizes);
        // A table that is made by this file, or in this plan, is empty: nothing waits for it.
        if *danger != RiskKind::DataLoss && table.is_none() {
            continue;
        }
        let table_bytes = table.as_ref().and_then(|name| sizes.get(name)).copied();
        let risk = Risk { danger: *danger, line, rule, table, table_bytes, message: violation.message };
        if !risks.iter().any(|known| known.line == risk.line && known.danger == risk.danger) {
            risks.push(risk);
        }
    }
    risks.sort_by_key(|risk| (risk.line, risk.danger));
    FileRisks { statements: Some(super::sql::statements(sql)), risks }
}

/// Without the linter nothing is known of dangers.
#[cfg(not(feature = "risk"))]
pub(crate) fn weigh(sql: &str, _in_transaction: bool, _sizes: &Sizes) -> FileRisks {
    FileRisks { statements: Some(super::sql::statements(sql)), risks: Vec::new() }
}

/// squawk's rules that speak of danger; those of taste are left out.
#[cfg(feature = "risk")]
const RULES: &[(&str, RiskKind)] = &[
    ("ban-drop-column", RiskKind::DataLoss),
    ("ban-drop-database", RiskKind::DataLoss),
    ("ban-drop-table", RiskKind::DataLoss),
    ("ban-truncate-cascade", RiskKind::DataLoss),
    ("changing-column-type", RiskKind::Rewrite),
    ("adding-field-with-default", RiskKind::Rewrite),
    ("adding-required-field", RiskKind::Breaks),
    ("adding-not-nullable-field", RiskKind::Lock),
    ("adding-foreign-key-constraint", RiskKind::Lock),
    ("adding-serial-primary-key-field", RiskKind::Lock),
    ("constraint-missing-not-valid", RiskKind::Lock),
    ("disallowed-unique-constraint", RiskKind::Lock),
    ("require-concurrent-index-creation", RiskKind::Lock),
    ("require-concurrent-index-deletion", RiskKind::Lock),
    ("require-concurrent-reindex", RiskKind::Lock),
    ("renaming-column", RiskKind::Breaks),
    ("renaming-table", RiskKind::Breaks),
];

/// Returns the table of the database that the statement around a place names first.
#[cfg(feature = "risk")]
fn named_table(statements: &[Vec<SqlToken<'_>>], at: usize, sizes: &Sizes) -> Option<String> {
    let statement = statements.iter().find(|tokens| tokens.last().is_some_and(|last| last.end() > at))?;
    let after = |keyword: &str| {
        let mut rest = &statement[statement.iter().position(|token| token.is(keyword))? + 1..];
        while !rest.is_empty() {
            let (name, behind) = rest.split_at(qualified_name(rest).unwrap_or(1));
            let name: Vec<_> = name.iter().filter_map(SqlToken::name).collect();
            let name = name.join(".");
            if sizes.contains_key(&name) {
                return Some(name);
            }
            rest = behind;
        }
        None
    };
    ["table", "on", "truncate"].into_iter().find_map(after)
}

#[cfg(all(test, feature = "risk"))]
mod tests {
    use super::*;

    fn dangers(sql: &str) -> Vec<(RiskKind, usize, Option<u64>)> {
        let sizes = Sizes::from([("users".to_owned(), 3 << 20), ("public.users".to_owned(), 3 << 20)]);
        weigh(sql, true, &sizes)
            .risks
            .into_iter()
            .map(|risk| (risk.danger, risk.line, risk.table_bytes))
            .collect()
    }

    #[test]
    fn every_rule_is_known_to_the_linter() {
        for (name, _) in RULES {
            assert!(name.parse::<squawk_linter::Rule>().is_ok(), "{name}");
        }
    }

    #[test]
    fn dangers_are_told_with_the_size_of_the_table() {
        let size = Some(3 << 20);
        assert_eq!(dangers("select 1;\nalter table users drop column a;"), [(RiskKind::DataLoss, 2, size)]);
        assert_eq!(dangers("CREATE INDEX i ON \"users\"(a);"), [(RiskKind::Lock, 1, size)]);
        assert_eq!(
            dangers("alter table public.users alter column a type bigint;"),
            [(RiskKind::Rewrite, 1, size)]
        );
        assert_eq!(
            dangers("comment on column users.a is 'x; y'; alter table \"users\" drop column a -- ;\n;"),
            [(RiskKind::DataLoss, 1, size)],
            "semicolons in strings and comments end no statement"
        );
        assert_eq!(dangers("create table t (a int); create index i on t (a);"), [], "a new table is empty");
        assert_eq!(weigh("alter table ((", true, &Sizes::new()), FileRisks::default());
    }
}

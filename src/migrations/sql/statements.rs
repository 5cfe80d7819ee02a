//! Statements of a file of SQL by their keywords: transaction control, and what cannot run in a transaction.
//!
//! Promise: words in strings, comments, quoted names and bodies are not seen. This decides messages, refusals and safe
//! retries, never what is sent.

use crate::dump::sql::{self, SqlTokenKind};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SqlStatement {
    /// Line on which it begins, from 1.
    pub(crate) line: usize,
    /// Keywords and unquoted names in upper case; a quoted name is `""`.
    pub(crate) names: Vec<String>,
    /// Reports whether a body in dollars holds the word COMMIT.
    body_commits: bool,
}

/// Returns the statements of a text; empty ones are left out.
pub(crate) fn statements(sql: &str) -> Vec<SqlStatement> {
    let read = |tokens: Vec<sql::SqlToken<'_>>| {
        let mut statement = SqlStatement { line: tokens.first()?.line, ..SqlStatement::default() };
        for token in tokens {
            match token.kind {
                SqlTokenKind::Word | SqlTokenKind::Number => statement.names.push(token.text.to_uppercase()),
                SqlTokenKind::Quoted => statement.names.push("\"\"".to_owned()),
                SqlTokenKind::Body => {
                    statement.body_commits |= token.text.to_uppercase().contains("COMMIT");
                }
                _ => {}
            }
        }
        (!statement.names.is_empty()).then_some(statement)
    };
    sql::statements(sql).into_iter().filter_map(read).collect()
}

impl SqlStatement {
    /// Reports whether it ends a transaction so that its changes stay.
    fn commits(&self) -> bool {
        match self.names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["COMMIT" | "ROLLBACK", "PREPARED", ..] => false,
            ["COMMIT" | "END", ..] | ["PREPARE", "TRANSACTION", ..] => true,
            _ => false,
        }
    }

    /// Reports whether it runs a procedure or a block that may commit: those can where they are a query of their own.
    fn may_commit_inside(&self) -> bool {
        match self.names.first().map(String::as_str) {
            Some("CALL") => true,
            Some("DO") => self.body_commits,
            _ => false,
        }
    }

    /// Name of a statement that the server refuses in a transaction, and so in a query of several statements.
    pub(crate) fn outside(&self) -> Option<String> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let concurrently = || {
            let at = names.iter().position(|keyword| *keyword == "CONCURRENTLY")?;
            // `REINDEX (CONCURRENTLY FALSE)`
            (!matches!(names.get(at + 1), Some(&("FALSE" | "OFF" | "0")))).then_some(())
        };
        let name = match names.as_slice() {
            ["CREATE", "INDEX", ..] | ["CREATE", "UNIQUE", "INDEX", ..] => {
                concurrently().map(|()| "CREATE INDEX CONCURRENTLY")
            }
            ["DROP", "INDEX", ..] => concurrently().map(|()| "DROP INDEX CONCURRENTLY"),
            ["REINDEX", "DATABASE", ..] => Some("REINDEX DATABASE"),
            ["REINDEX", "SYSTEM", ..] => Some("REINDEX SYSTEM"),
            ["REINDEX", ..] => concurrently().map(|()| "REINDEX CONCURRENTLY"),
            ["ALTER", "TABLE", .., "CONCURRENTLY"] => Some("DETACH PARTITION CONCURRENTLY"),
            ["VACUUM", ..] => Some("VACUUM"),
            ["CLUSTER"] | ["CLUSTER", "VERBOSE"] => Some("CLUSTER"),
            ["DISCARD", "ALL"] => Some("DISCARD ALL"),
            ["CREATE", "DATABASE", ..] => Some("CREATE DATABASE"),
            ["DROP", "DATABASE", ..] => Some("DROP DATABASE"),
            ["ALTER", "DATABASE", _, "SET", "TABLESPACE", ..] => Some("ALTER DATABASE SET TABLESPACE"),
            ["CREATE", "TABLESPACE", ..] => Some("CREATE TABLESPACE"),
            ["DROP", "TABLESPACE", ..] => Some("DROP TABLESPACE"),
            ["ALTER", "SYSTEM", ..] => Some("ALTER SYSTEM"),
            ["COMMIT", "PREPARED", ..] => Some("COMMIT PREPARED"),
            ["ROLLBACK", "PREPARED", ..] => Some("ROLLBACK PREPARED"),
            _ => None,
        };
        name.map(str::to_owned)
    }
}

/// Properties of a file that decide what a failure leaves behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Character {
    /// Number of statements.
    pub(crate) statements: usize,
    /// True where a statement of the file commits.
    pub(crate) commits: bool,
    /// True where a statement before the last one commits. The first part of the file stays when the rest fails.
    pub(crate) commits_midway: bool,
    /// True where a statement runs outside of transactions only:
    /// `CREATE INDEX CONCURRENTLY`, `VACUUM`, `CREATE DATABASE` …
    pub(crate) outside: bool,
}

impl Character {
    /// Reads a file.
    pub(crate) fn of(sql: &str) -> Self {
        let all = statements(sql);
        let inside = all.len() == 1 && all[0].may_commit_inside();
        let last = all.len().saturating_sub(1);
        Self {
            statements: all.len(),
            commits: inside || all.iter().any(SqlStatement::commits),
            commits_midway: inside || all.iter().take(last).any(SqlStatement::commits),
            outside: all.iter().any(|statement| statement.outside().is_some()),
        }
    }

    /// Reports whether whatever ends the file half-way leaves nothing of it behind.
    pub(crate) fn whole_or_nothing(self) -> bool {
        !self.commits && !self.outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_strings_comments_and_bodies_are_not_statements() {
        let sql = "-- commit;\n/* begin; /* x */ commit; */ select 'it''s; commit', \"commit;\", E'a\\'; commit';\n\
                   create function f() returns void as $fn$ begin; commit; end $fn$ language plpgsql;";
        let names = statements(sql);
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!((names[0].line, names[1].line), (2, 3));
        assert!(Character::of(sql).whole_or_nothing());
        assert_eq!(statements("  ; -- nothing\n ;").len(), 0);
    }

    #[test]
    fn semicolons_in_rules_and_standard_bodies_end_no_statement() {
        for sql in [
            "create rule r as on insert to t do also (select 1; select 2);",
            "create function f() returns int begin atomic select case when true then 1 end; select 2; end;",
        ] {
            let character = Character::of(sql);
            assert_eq!((character.statements, character.commits), (1, false), "{sql}");
        }
    }

    #[test]
    fn only_what_commits_before_its_end_may_leave_a_part() {
        let of = |sql: &str| {
            let character = Character::of(sql);
            (character.commits, character.commits_midway)
        };
        for sql in
            ["create table a(); commit; select 1/0", "begin; select 1; end; begin; select 2; end", "call p()"]
        {
            assert_eq!(of(sql), (true, true), "{sql}");
        }
        for sql in ["begin; create table a (); commit;", "select 1; prepare transaction 'x'"] {
            assert_eq!(of(sql), (true, false), "{sql}");
        }
        for sql in [
            "begin; select 1",
            "create table a (); rollback; select 1/0",
            "savepoint a; rollback to a; commit prepared 'x'",
            "call p(); select 1",
            "do $$ begin perform 1; end $$",
        ] {
            assert_eq!(of(sql), (false, false), "{sql}");
        }
        assert_eq!(of("do $$ begin perform 1; commit; perform 1/0; end $$"), (true, true));
    }

    #[test]
    fn what_no_transaction_can_hold_is_known_by_name() {
        let outside = |sql: &str| statements(sql)[0].outside();
        for (sql, name) in [
            ("create unique index concurrently if not exists i on t(a)", "CREATE INDEX CONCURRENTLY"),
            ("drop index concurrently \"i\"", "DROP INDEX CONCURRENTLY"),
            ("reindex (verbose, concurrently) table t", "REINDEX CONCURRENTLY"),
            ("reindex index concurrently i", "REINDEX CONCURRENTLY"),
            ("alter table t detach partition p concurrently", "DETACH PARTITION CONCURRENTLY"),
            ("vacuum (full) t", "VACUUM"),
            ("create database x", "CREATE DATABASE"),
            ("alter system set work_mem = '1GB'", "ALTER SYSTEM"),
            ("alter database \"x\" set tablespace t", "ALTER DATABASE SET TABLESPACE"),
        ] {
            assert_eq!(outside(sql).as_deref(), Some(name), "{sql}");
        }
        for sql in [
            "create index i on t (a)",
            "reindex (concurrently false) table t",
            "reindex table t",
            "refresh materialized view concurrently v",
            "alter database x set search_path = public",
            "alter tablespace t rename to u",
            "alter type e add value 'x'",
            "select 'create index concurrently'",
            "cluster t using i",
        ] {
            assert_eq!(outside(sql), None, "{sql}");
        }
        assert!(Character::of("refresh materialized view v; update commit set begin = 1").whole_or_nothing());
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_words(text in "\\PC{0,80}|[-/*'\"$;a-z \\\\\n]{0,80}") {
            let _ = Character::of(&text);
        }
    }
}

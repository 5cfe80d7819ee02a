//! `globals.sql`: which of its statements make a role that is missing.
//!
//! Promises: a statement is taken whole or not at all, and only where it begins as `pg_dumpall` writes it; nothing of an
//! existing role is changed. The text holds password hashes: none of it is for messages.

use std::collections::BTreeSet;

use crate::dump::sql::{SqlToken, SqlTokenKind, begins_with, statements};
use crate::text::sql_quote::ident;

/// Roles of a backup, compared with the roles of a server.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Roles to create, sorted.
    pub(crate) missing: Vec<String>,
    /// Roles that exist and stay unchanged, sorted.
    pub(crate) present: Vec<String>,
    /// Statements that create the missing roles, in order.
    pub(crate) statements: Vec<String>,
}

impl std::fmt::Debug for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { missing, present, .. } = self;
        f.debug_struct("Roles").field("missing", missing).field("present", present).finish_non_exhaustive()
    }
}

/// Effect of a statement on roles.
#[derive(Debug, PartialEq, Eq)]
enum RoleStatement {
    Create(String),
    /// `ALTER ROLE`, `COMMENT ON ROLE`.
    Describe(String),
    /// `GRANT role TO member`.
    Membership(String, String),
}

/// Every role that is created there, sorted.
pub(crate) fn roles(globals: &str) -> Vec<String> {
    let created = role_statements(globals).into_iter().filter_map(|(_, statement)| match statement {
        RoleStatement::Create(role) => Some(role),
        _ => None,
    });
    created.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns which roles to create on a server that has the `existing` roles.
pub(crate) fn pick(globals: &str, existing: &[String]) -> Roles {
    let (present, missing): (Vec<_>, Vec<_>) =
        roles(globals).into_iter().partition(|role| existing.contains(role));
    let new = |role: &String| missing.contains(role);
    let wanted = |statement: &RoleStatement| match statement {
        RoleStatement::Create(role) | RoleStatement::Describe(role) => new(role),
        // Also where an existing role was a member of a missing one: that is the new one's to say.
        RoleStatement::Membership(role, member) => new(role) || new(member),
    };
    let statements = role_statements(globals).into_iter().filter(|(_, statement)| wanted(statement));
    let statements = statements.map(|(text, _)| text.to_owned()).collect();
    Roles { missing, present, statements }
}

/// Returns which of the `needed` roles to create on a server that has the `existing` roles.
/// The file is not authenticated: without `trust`, a role is created with `NOLOGIN`, no password and no attributes.
pub(crate) fn roles_of(globals: &str, existing: &[String], needed: &[String], trust: bool) -> Roles {
    let Roles { mut missing, mut present, .. } = pick(globals, existing);
    missing.retain(|role| needed.contains(role));
    present.retain(|role| needed.contains(role));
    let new = |role: &String| missing.contains(role);
    let known = |role: &String| new(role) || (trust && existing.contains(role));
    let made = |(text, statement): (&str, RoleStatement)| match statement {
        // Without trust no text of the file is sent, only names out of it: what stands behind a name may be anything.
        RoleStatement::Create(role) if !trust => {
            new(&role).then(|| format!("CREATE ROLE {} NOLOGIN", ident(&role)))
        }
        RoleStatement::Membership(role, member) if !trust => {
            (new(&role) && new(&member)).then(|| format!("GRANT {} TO {}", ident(&role), ident(&member)))
        }
        RoleStatement::Create(role) => new(&role).then(|| text.to_owned()),
        RoleStatement::Describe(role) => (trust && new(&role)).then(|| text.to_owned()),
        RoleStatement::Membership(role, member) => {
            (known(&role) && known(&member) && (new(&role) || new(&member))).then(|| text.to_owned())
        }
    };
    let statements = role_statements(globals).into_iter().filter_map(made).collect();
    Roles { missing, present, statements }
}

/// Statements about roles, each with its text without the semicolon.
fn role_statements(globals: &str) -> Vec<(&str, RoleStatement)> {
    let read = |tokens: Vec<SqlToken<'_>>| {
        // What does not end is no statement.
        let (end, tokens) = tokens.split_last().filter(|(end, _)| end.kind == SqlTokenKind::Semicolon)?;
        let text = &globals[tokens.first()?.at..end.at];
        Some((text.trim_end(), role_statement(tokens)?))
    };
    statements(globals).into_iter().filter_map(read).collect()
}

fn role_statement(tokens: &[SqlToken<'_>]) -> Option<RoleStatement> {
    // psql would run a command that stands in a statement.
    if tokens.iter().any(|token| token.kind == SqlTokenKind::Metacommand) {
        return None;
    }
    let name = |at: usize| tokens.get(at)?.name();
    let follows = |at: usize, keywords: &[&str]| begins_with(&tokens[at..], keywords);
    if follows(0, &["create", "role"]) {
        return (tokens.len() == 3).then_some(RoleStatement::Create(name(2)?));
    }
    if follows(0, &["alter", "role"]) {
        let role = name(2)?;
        // `IN DATABASE` belongs to the database and comes with it.
        return (follows(3, &["with"]) || follows(3, &["set"])).then_some(RoleStatement::Describe(role));
    }
    if follows(0, &["comment", "on", "role"]) {
        let role = name(3)?;
        return follows(4, &["is"]).then_some(RoleStatement::Describe(role));
    }
    if !follows(0, &["grant"]) {
        return None;
    }
    let (role, member) = (name(1)?, name(3)?);
    let plain = tokens.len() == 4 || follows(4, &["with"]) || follows(4, &["granted", "by"]);
    (follows(2, &["to"]) && plain).then_some(RoleStatement::Membership(role, member))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOBALS: &str = r#"--
-- PostgreSQL database cluster dump
--

\restrict abc

SET default_transaction_read_only = off;

CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:a;b==$c';
CREATE ROLE "o""dd; x";
ALTER ROLE "o""dd; x" WITH NOLOGIN VALID UNTIL '2030-01-01';
COMMENT ON ROLE "o""dd; x" IS E'two
lines; it''s\\';
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER;
ALTER ROLE app SET search_path TO 'a', 'b';
ALTER ROLE app IN DATABASE x SET work_mem TO '1MB';
GRANT "o""dd; x" TO app WITH INHERIT TRUE GRANTED BY postgres;
GRANT app TO postgres;
GRANT SET ON PARAMETER work_mem TO app;
CREATE TABLESPACE fast OWNER app LOCATION '/x';

\unrestrict abc

--
-- PostgreSQL database cluster dump complete
--
"#;

    #[test]
    fn without_trust_no_text_of_the_file_is_sent() {
        // A statement in a dollar quote is none, and neither is one with a command of psql.
        let hostile = "CREATE ROLE a;\nCREATE ROLE b;\nCOMMENT ON ROLE a IS $x$\n; GRANT a TO b WITH x;\n$x$;\nGRANT b TO a WITH \\! touch /tmp/pwned\n;GRANT a TO b;\n";
        let names = ["a".to_owned(), "b".to_owned()];
        let made = roles_of(hostile, &[], &names, false).statements;
        assert_eq!(made, ["CREATE ROLE \"a\" NOLOGIN", "CREATE ROLE \"b\" NOLOGIN", "GRANT \"a\" TO \"b\""]);
        let trusted = roles_of(hostile, &[], &names, true).statements;
        assert!(!trusted.iter().any(|statement| statement.starts_with("GRANT b")), "{trusted:?}");
    }

    fn picked(existing: &[&str]) -> Roles {
        pick(GLOBALS, &existing.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_makes_the_missing_roles_is_taken_and_nothing_of_the_others() {
        let roles = picked(&["postgres", "app", "stranger"]);
        assert_eq!(roles.missing, ["o\"dd; x"]);
        assert_eq!(roles.present, ["app", "postgres"]);
        assert_eq!(
            roles.statements,
            [
                r#"CREATE ROLE "o""dd; x""#,
                r#"ALTER ROLE "o""dd; x" WITH NOLOGIN VALID UNTIL '2030-01-01'"#,
                "COMMENT ON ROLE \"o\"\"dd; x\" IS E'two\nlines; it''s\\\\'",
                r#"GRANT "o""dd; x" TO app WITH INHERIT TRUE GRANTED BY postgres"#,
            ]
        );
    }

    #[test]
    fn settings_of_databases_parameters_and_tablespaces_are_not_roles() {
        let all = picked(&[]);
        assert_eq!(all.missing, ["app", "o\"dd; x", "postgres"]);
        for value in ["IN DATABASE", "PARAMETER", "TABLESPACE", "restrict", "SET default"] {
            assert!(!all.statements.iter().any(|s| s.contains(value)), "{value}");
        }
        assert!(all.statements.contains(&"GRANT app TO postgres".to_owned()));
        assert!(picked(&["app", "o\"dd; x", "postgres"]).statements.is_empty());
    }

    #[test]
    fn hashes_are_not_shown() {
        assert!(!format!("{:?}", picked(&[])).contains("SCRAM"));
    }

    #[test]
    fn what_does_not_end_is_not_taken() {
        assert!(roles("CREATE ROLE a").is_empty());
        assert!(roles("CREATE ROLE \"a;\nCREATE ROLE b;").is_empty());
        assert!(roles("CREATE ROLE a SUPERUSER;").is_empty());
    }
}

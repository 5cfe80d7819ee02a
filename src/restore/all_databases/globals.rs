//! `globals.sql`: which of its statements make a role that is missing.
//!
//! Promises: a statement is taken whole or not at all, and only where it begins as `pg_dumpall` writes it; nothing of an
//! existing role is changed. The text holds password hashes: none of it is for messages.

use std::collections::BTreeSet;

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
    let created = statements(globals).into_iter().filter_map(|statement| match act(statement)? {
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
    let wanted = |statement: &&str| match act(statement) {
        Some(RoleStatement::Create(role) | RoleStatement::Describe(role)) => new(&role),
        // Also where an existing role was a member of a missing one: that is the new one's to say.
        Some(RoleStatement::Membership(role, member)) => new(&role) || new(&member),
        None => false,
    };
    let statements = statements(globals).into_iter().filter(wanted).map(str::to_owned).collect();
    Roles { missing, present, statements }
}

/// Returns which of the `needed` roles to create on a server that has the `existing` roles.
/// The file is not authenticated: without `trust`, a role is created with `NOLOGIN`, no password and no attributes.
pub(crate) fn roles_of(globals: &str, existing: &[String], needed: &[String], trust: bool) -> Roles {
    let Roles { mut missing, mut present, statements } = pick(globals, existing);
    missing.retain(|role| needed.contains(role));
    present.retain(|role| needed.contains(role));
    let new = |role: &String| missing.contains(role);
    let known = |role: &String| new(role) || (trust && existing.contains(role));
    let made = |statement: String| match act(&statement)? {
        // Without trust no text of the file is sent, only names out of it: what stands behind a name may be anything.
        RoleStatement::Create(role) if !trust => {
            new(&role).then(|| format!("CREATE ROLE {} NOLOGIN", ident(&role)))
        }
        RoleStatement::Membership(role, member) if !trust => {
            (new(&role) && new(&member)).then(|| format!("GRANT {} TO {}", ident(&role), ident(&member)))
        }
        RoleStatement::Create(role) => new(&role).then_some(statement),
        RoleStatement::Describe(role) => (trust && new(&role)).then_some(statement),
        RoleStatement::Membership(role, member) => (known(&role) && known(&member)).then_some(statement),
    };
    let statements = statements.into_iter().filter_map(made).collect();
    Roles { missing, present, statements }
}

/// The statements without their semicolons. Lines of psql's own language and comments between them are left out.
fn statements(sql: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = sql;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return found;
        }
        if rest.starts_with("--") || rest.starts_with('\\') {
            rest = rest.split_once('\n').map_or("", |(_, behind)| behind);
            continue;
        }
        // pg_dumpall doubles quotes and, in E'…', backslashes; so every quote opens or closes.
        let mut within = None;
        let end = rest.char_indices().find_map(|(at, c)| {
            match (within, c) {
                (None, ';') => return Some(at),
                (None, '\'' | '"') => within = Some(c),
                (Some(open), close) if open == close => within = None,
                _ => {}
            }
            None
        });
        // What does not end is no statement.
        let Some(end) = end else { return found };
        found.push(rest[..end].trim_end());
        rest = &rest[end + 1..];
    }
}

fn act(statement: &str) -> Option<RoleStatement> {
    if let Some(rest) = statement.strip_prefix("CREATE ROLE ") {
        let (role, rest) = name(rest)?;
        return rest.is_empty().then_some(RoleStatement::Create(role));
    }
    if let Some(rest) = statement.strip_prefix("ALTER ROLE ") {
        let (role, rest) = name(rest)?;
        // `IN DATABASE` belongs to the database and comes with it.
        let plain = rest.starts_with(" WITH ") || rest.starts_with(" SET ");
        return plain.then_some(RoleStatement::Describe(role));
    }
    if let Some(rest) = statement.strip_prefix("COMMENT ON ROLE ") {
        let (role, rest) = name(rest)?;
        return rest.starts_with(" IS ").then_some(RoleStatement::Describe(role));
    }
    let (role, rest) = name(statement.strip_prefix("GRANT ")?)?;
    let (member, rest) = name(rest.strip_prefix(" TO ")?)?;
    let plain = rest.is_empty() || rest.starts_with(" WITH ") || rest.starts_with(" GRANTED BY ");
    plain.then_some(RoleStatement::Membership(role, member))
}

/// An identifier, quoted or not, and what stands behind it.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, behind) = rest.split_once('"')?;
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
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
        // One statement to PostgreSQL, and two to a parser that knows no dollar quotes.
        let hostile = "CREATE ROLE a;\nCREATE ROLE b;\nCOMMENT ON ROLE a IS $x$\n; GRANT a TO b WITH \\! touch /tmp/pwned\n$x$;\n";
        let names = ["a".to_owned(), "b".to_owned()];
        let made = roles_of(hostile, &[], &names, false).statements;
        assert_eq!(made, ["CREATE ROLE \"a\" NOLOGIN", "CREATE ROLE \"b\" NOLOGIN", "GRANT \"a\" TO \"b\""]);
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
        for word in ["IN DATABASE", "PARAMETER", "TABLESPACE", "restrict", "SET default"] {
            assert!(!all.statements.iter().any(|s| s.contains(word)), "{word}");
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

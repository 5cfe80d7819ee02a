//! Owners and rights of a dump that nobody vouches for: read out of it, checked to be nothing else, and written anew.
//!
//! The role that loads such a dump may set neither. A superuser sets them after the load, and runs no text of the file: a
//! statement is taken apart into names, keywords and signs, has to have one of a few shapes, and is put together again
//! from these. None of the shapes evaluates an expression or calls a function.

use crate::dump::sql::lexer::tokens::{SqlTokenKind, SqlTokens};
use crate::text::sql_quote::ident;

/// Returns `ALTER kind name OWNER TO role`, `GRANT`, `REVOKE`, `ALTER DEFAULT PRIVILEGES` or `ALTER TABLE name FORCE ROW
/// LEVEL SECURITY`, which would bind the role that loads, as it may be sent; `None` where the text is anything else. `schema` is where names without a schema are, in dumps that set a search path.
pub(crate) fn deferred(text: &str, schema: Option<&str>) -> Option<String> {
    let tokens = tokens(text.trim().trim_end_matches(';'))?;
    let statement = DeferredStatement { tokens: &tokens, schema };
    let owner = statement.owner().or_else(|| statement.forced_policies());
    owner.or_else(|| statement.default_privileges()).or_else(|| statement.privileges())
}

/// Reports that `pg_restore` sets an owner for entries of this kind. Event triggers and subscriptions, which the role that
/// loads cannot create, are no such kinds here.
pub(crate) fn has_owner(kind: &str) -> bool {
    const WITH_ARGUMENTS: [&str; 7] =
        ["FUNCTION", "PROCEDURE", "AGGREGATE", "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY", "BLOB"];
    WITH_ARGUMENTS.contains(&kind) || owner_of_entry(kind, "x", "x", "", "x").is_some()
}

/// Returns the statement that gives an object of an archive its owner. `kind` and `name` are those of the entry, `drop` is
/// the statement that drops it, which alone has the arguments of functions and operators.
pub(crate) fn owner_of_entry(
    kind: &str,
    schema: &str,
    name: &str,
    drop: &str,
    owner: &str,
) -> Option<String> {
    let named = |kind: &str| match schema {
        "" => format!("ALTER {kind} {} OWNER TO {}", ident(name), ident(owner)),
        schema => format!("ALTER {kind} {}.{} OWNER TO {}", ident(schema), ident(name), ident(owner)),
    };
    match kind {
        "TABLE"
        | "FOREIGN TABLE"
        | "SEQUENCE"
        | "VIEW"
        | "MATERIALIZED VIEW"
        | "TYPE"
        | "DOMAIN"
        | "COLLATION"
        | "CONVERSION"
        | "STATISTICS"
        | "TEXT SEARCH DICTIONARY"
        | "TEXT SEARCH CONFIGURATION" => Some(named(kind)),
        "SCHEMA" | "PUBLICATION" | "SERVER" | "FOREIGN DATA WRAPPER" | "LANGUAGE" | "PROCEDURAL LANGUAGE" => {
            Some(format!(
                "ALTER {} {} OWNER TO {}",
                kind.trim_start_matches("PROCEDURAL "),
                ident(name),
                ident(owner)
            ))
        }
        "BLOB" if name.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => {
            Some(format!("ALTER LARGE OBJECT {name} OWNER TO {}", ident(owner)))
        }
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" | "OPERATOR" | "OPERATOR CLASS" | "OPERATOR FAMILY" => {
            let object =
                drop.trim().trim_end_matches(';').strip_prefix("DROP ")?.replacen("IF EXISTS ", "", 1);
            deferred(&format!("ALTER {object} OWNER TO {}", ident(owner)), None)
        }
        _ => None,
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnerToken {
    /// A keyword or unquoted name, in lower case.
    Word(String),
    /// A quoted name.
    Name(String),
    Number(String),
    /// A sign, or an operator.
    Sign(String),
}

/// Characters of operators.
const OPERATOR: &str = "+-*/<>=~!@#%^&|`?";

/// Names, keywords, numbers and signs; `None` where there is anything else: strings, comments, several statements.
fn tokens(text: &str) -> Option<Vec<OwnerToken>> {
    let mut tokens = Vec::new();
    let mut end = 0;
    for token in SqlTokens::of(text) {
        let glued = std::mem::replace(&mut end, token.end()) == token.at;
        match token.kind {
            SqlTokenKind::Word => tokens.push(OwnerToken::Word(token.text.to_ascii_lowercase())),
            SqlTokenKind::Quoted => {
                // `U&"…"` is no name that this reads.
                if glued && tokens.last() == Some(&OwnerToken::Sign("&".to_owned())) {
                    return None;
                }
                tokens.push(OwnerToken::Name(token.name()?));
            }
            SqlTokenKind::Number if token.text.bytes().all(|byte| byte.is_ascii_digit()) => {
                tokens.push(OwnerToken::Number(token.text.to_owned()));
            }
            SqlTokenKind::Symbol if token.text.chars().all(|c| OPERATOR.contains(c)) => {
                match tokens.last_mut() {
                    Some(OwnerToken::Sign(sign)) if glued && sign.chars().all(|c| OPERATOR.contains(c)) => {
                        sign.push_str(token.text);
                    }
                    _ => tokens.push(OwnerToken::Sign(token.text.to_owned())),
                }
            }
            SqlTokenKind::Symbol if [".", ",", "(", ")", "[", "]"].contains(&token.text) => {
                tokens.push(OwnerToken::Sign(token.text.to_owned()));
            }
            _ => return None,
        }
    }
    Some(tokens)
}

/// Kinds of objects with an owner and a name that may have a schema.
const RELATIONS: &[&[&str]] = &[
    &["table"],
    &["foreign", "table"],
    &["sequence"],
    &["view"],
    &["materialized", "view"],
    &["type"],
    &["domain"],
    &["collation"],
    &["conversion"],
    &["statistics"],
    &["text", "search", "dictionary"],
    &["text", "search", "configuration"],
];
/// Kinds that have arguments.
const ROUTINES: &[&[&str]] = &[&["function"], &["procedure"], &["routine"], &["aggregate"]];
/// Kinds whose name has no schema.
const PLAIN: &[&[&str]] = &[
    &["schema"],
    &["server"],
    &["foreign", "server"],
    &["foreign", "data", "wrapper"],
    &["language"],
    &["publication"],
];

/// Rights there are on objects of a database.
const RIGHTS: &[&str] = &[
    "all",
    "privileges",
    "select",
    "insert",
    "update",
    "delete",
    "truncate",
    "references",
    "trigger",
    "maintain",
    "usage",
    "execute",
    "create",
];

/// Words that stand for a role and are none.
const NO_ROLES: &[&str] = &["current_user", "session_user", "current_role", "none"];

struct DeferredStatement<'a> {
    tokens: &'a [OwnerToken],
    schema: Option<&'a str>,
}

impl DeferredStatement<'_> {
    fn begins(&self, keywords: &[&str]) -> bool {
        begins(self.tokens, keywords)
    }

    /// `ALTER kind object OWNER TO role`.
    fn owner(&self) -> Option<String> {
        if !self.begins(&["alter"]) {
            return None;
        }
        let (before, last) = self.tokens.split_at(self.tokens.len().checked_sub(3)?);
        if !begins(last, &["owner", "to"]) {
            return None;
        }
        let role = role(last.get(2)?)?;
        let mut rest = &before[1..];
        // Old dumps say PROCEDURAL.
        if begins(rest, &["procedural", "language"]) {
            rest = &rest[1..];
        }
        let (kind, object) = self.object(rest)?;
        Some(format!("ALTER {kind} {object} OWNER TO {role}"))
    }

    /// `ALTER TABLE name FORCE ROW LEVEL SECURITY`.
    fn forced_policies(&self) -> Option<String> {
        const FORCE: [&str; 4] = ["force", "row", "level", "security"];
        let (before, last) = self.tokens.split_at(self.tokens.len().checked_sub(FORCE.len())?);
        if !begins(before, &["alter", "table"]) || !begins(last, &FORCE) {
            return None;
        }
        let (_, table) = self.object(&before[1..])?;
        Some(format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"))
    }

    /// A kind and one object of it, to the last token.
    fn object(&self, tokens: &[OwnerToken]) -> Option<(String, String)> {
        if begins(tokens, &["large", "object"]) {
            let [_, _, OwnerToken::Number(oid)] = tokens else { return None };
            return Some(("LARGE OBJECT".to_owned(), oid.clone()));
        }
        for (method, kind) in [("class", "OPERATOR CLASS"), ("family", "OPERATOR FAMILY")] {
            if begins(tokens, &["operator", method]) {
                let (name, rest) = self.name(&tokens[2..])?;
                let [using, method] = rest else { return None };
                let OwnerToken::Word(method) = method else { return None };
                let named = begins(std::slice::from_ref(using), &["using"]);
                return named.then(|| (kind.to_owned(), format!("{name} USING {}", ident(method))));
            }
        }
        if begins(tokens, &["operator"]) {
            return Some(("OPERATOR".to_owned(), Self::operator(&tokens[1..])?));
        }
        let kinds = |kinds: &[&[&str]]| {
            kinds.iter().find(|kind| begins(tokens, kind)).map(|kind| (kind.join(" "), kind.len()))
        };
        if let Some((kind, length)) = kinds(RELATIONS) {
            let mut rest = &tokens[length..];
            if begins(rest, &["only"]) {
                rest = &rest[1..];
            }
            let (name, rest) = self.name(rest)?;
            return rest.is_empty().then_some((kind, name));
        }
        if let Some((kind, length)) = kinds(ROUTINES) {
            let (object, rest) = self.routine(&tokens[length..])?;
            return rest.is_empty().then_some((kind, object));
        }
        let (kind, length) = kinds(PLAIN)?;
        let [name] = &tokens[length..] else { return None };
        Some((kind, plain(name)?))
    }

    /// A name, with its schema, and what is behind it. System schemas are none of a dump's.
    fn name<'t>(&self, tokens: &'t [OwnerToken]) -> Option<(String, &'t [OwnerToken])> {
        let first = text(tokens.first()?)?;
        let (schema, name, rest) = match tokens {
            [_, OwnerToken::Sign(dot), second, rest @ ..] if dot == "." => (Some(first), text(second)?, rest),
            [_, rest @ ..] => (self.schema, first, rest),
            [] => return None,
        };
        let schema = schema.filter(|schema| !is_system(schema))?;
        Some((format!("{}.{}", ident(schema), ident(name)), rest))
    }

    /// A name and its arguments, and what is behind them.
    fn routine<'t>(&self, tokens: &'t [OwnerToken]) -> Option<(String, &'t [OwnerToken])> {
        let (name, rest) = self.name(tokens)?;
        let end = closing(rest)?;
        Some((format!("{name}{}", written(&rest[..=end])), &rest[end + 1..]))
    }

    /// `schema.+(left, right)`.
    fn operator(tokens: &[OwnerToken]) -> Option<String> {
        let [schema, OwnerToken::Sign(dot), OwnerToken::Sign(operator), arguments @ ..] = tokens else {
            return None;
        };
        let schema = text(schema).filter(|schema| !is_system(schema))?;
        let operates = dot == "." && operator.chars().all(|c| OPERATOR.contains(c));
        let whole = closing(arguments)? + 1 == arguments.len();
        (operates && whole).then(|| format!("{}.{operator} {}", ident(schema), written(arguments)))
    }

    /// `GRANT rights ON objects TO roles`, `REVOKE rights ON objects FROM roles`.
    fn privileges(&self) -> Option<String> {
        let (verb, to) = if self.begins(&["grant"]) { ("GRANT", "to") } else { ("REVOKE", "from") };
        if !self.begins(&[&verb.to_ascii_lowercase()]) {
            return None;
        }
        let mut rest = &self.tokens[1..];
        let mut option = "";
        if begins(rest, &["grant", "option", "for"]) {
            (rest, option) = (&rest[3..], "GRANT OPTION FOR ");
        }
        let on = rest.iter().position(|token| *token == OwnerToken::Word("on".to_owned()))?;
        let (rights, objects) = (rights(&rest[..on])?, &rest[on + 1..]);
        let to_at = objects.iter().rposition(|token| *token == OwnerToken::Word(to.to_owned()))?;
        let (roles, tail) = roles(&objects[to_at + 1..])?;
        let objects = self.objects(&objects[..to_at])?;
        Some(format!("{verb} {option}{rights} ON {objects} {} {roles}{tail}", to.to_ascii_uppercase()))
    }

    /// Objects of one kind, separated by commas.
    fn objects(&self, tokens: &[OwnerToken]) -> Option<String> {
        let kinds = [RELATIONS, ROUTINES, PLAIN, &[&["large", "object"][..]][..]].concat();
        let kind = kinds.iter().find(|kind| begins(tokens, kind));
        // Without a kind they are tables.
        let (keywords, rest) = match kind {
            Some(kind) => (kind.to_vec(), &tokens[kind.len()..]),
            None => (vec!["table"], tokens),
        };
        let mut objects = Vec::new();
        let mut kind_written = String::new();
        for object in separated(rest) {
            let of_kind: Vec<OwnerToken> = keywords
                .iter()
                .map(|keyword| OwnerToken::Word((*keyword).to_owned()))
                .chain(object.iter().cloned())
                .collect();
            let (kind, object) = self.object(&of_kind)?;
            kind_written = kind;
            objects.push(object);
        }
        (!objects.is_empty()).then(|| format!("{kind_written} {}", objects.join(", ")))
    }

    /// `ALTER DEFAULT PRIVILEGES …`: names and keywords alone, in whatever order the server takes them.
    fn default_privileges(&self) -> Option<String> {
        let plain = |token: &OwnerToken| match token {
            OwnerToken::Word(_) | OwnerToken::Name(_) => true,
            OwnerToken::Sign(sign) => sign == ",",
            OwnerToken::Number(_) => false,
        };
        let whole = self.begins(&["alter", "default", "privileges"]) && self.tokens.iter().all(plain);
        whole.then(|| written(self.tokens))
    }
}

fn is_system(schema: &str) -> bool {
    schema.is_empty() || schema.starts_with("pg_") || schema == "information_schema"
}

fn begins(tokens: &[OwnerToken], keywords: &[&str]) -> bool {
    tokens.len() >= keywords.len()
        && tokens
            .iter()
            .zip(keywords)
            .all(|(token, keyword)| matches!(token, OwnerToken::Word(found) if found == keyword))
}

fn text(token: &OwnerToken) -> Option<&str> {
    match token {
        OwnerToken::Word(text) | OwnerToken::Name(text) => Some(text),
        _ => None,
    }
}

/// A name without a schema.
fn plain(token: &OwnerToken) -> Option<String> {
    text(token).filter(|name| !is_system(name)).map(ident)
}

fn role(token: &OwnerToken) -> Option<String> {
    match token {
        OwnerToken::Word(keyword) if NO_ROLES.contains(&keyword.as_str()) => None,
        OwnerToken::Word(keyword) if keyword == "public" => Some("PUBLIC".to_owned()),
        other => text(other).map(ident),
    }
}

/// Returns the index of the parenthesis that closes the first one; only types may stand in between.
fn closing(tokens: &[OwnerToken]) -> Option<usize> {
    let mut depth = 0u32;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            OwnerToken::Sign(sign) if sign == "(" => depth += 1,
            OwnerToken::Sign(sign) if sign == ")" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            // An aggregate of anything: `count(*)`.
            OwnerToken::Sign(sign) if depth > 0 && !["[", "]", ",", ".", "*"].contains(&sign.as_str()) => {
                return None;
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Parts between commas outside of parentheses.
fn separated(tokens: &[OwnerToken]) -> Vec<&[OwnerToken]> {
    let mut depth = 0i32;
    tokens
        .split(|token| {
            if let OwnerToken::Sign(sign) = token {
                depth += i32::from(sign == "(") - i32::from(sign == ")");
            }
            depth == 0 && *token == OwnerToken::Sign(",".to_owned())
        })
        .collect()
}

/// Rights, each with its columns.
fn rights(tokens: &[OwnerToken]) -> Option<String> {
    let mut out = Vec::new();
    for right in separated(tokens) {
        let keywords = right.iter().take_while(|token| matches!(token, OwnerToken::Word(_))).count();
        let known = right[..keywords]
            .iter()
            .all(|token| text(token).is_some_and(|keyword| RIGHTS.contains(&keyword)));
        let columns = &right[keywords..];
        let whole = columns.is_empty() || closing(columns)? + 1 == columns.len();
        if keywords == 0 || !known || !whole {
            return None;
        }
        out.push(format!("{}{}", written(&right[..keywords]), columns_of(columns)?));
    }
    Some(out.join(", "))
}

fn columns_of(tokens: &[OwnerToken]) -> Option<String> {
    if tokens.is_empty() {
        return Some(String::new());
    }
    let inside = &tokens[1..tokens.len() - 1];
    let names: Option<Vec<String>> = separated(inside)
        .into_iter()
        .map(|column| match column {
            [column] => text(column).map(ident),
            _ => None,
        })
        .collect();
    Some(format!("({})", names?.join(", ")))
}

/// Roles, and what may stand behind them.
fn roles(tokens: &[OwnerToken]) -> Option<(String, &'static str)> {
    let tails: [(&[&str], &str); 4] = [
        (&["with", "grant", "option"], " WITH GRANT OPTION"),
        (&["cascade"], " CASCADE"),
        (&["restrict"], " RESTRICT"),
        (&[], ""),
    ];
    let (tail, written) = tails.into_iter().find(|(keywords, _)| {
        tokens.len() >= keywords.len() && begins(&tokens[tokens.len() - keywords.len()..], keywords)
    })?;
    let names: Option<Vec<String>> = separated(&tokens[..tokens.len() - tail.len()])
        .into_iter()
        .map(|one| match one {
            [one] => role(one),
            [group, one] if begins(std::slice::from_ref(group), &["group"]) => role(one),
            _ => None,
        })
        .collect();
    Some((names?.join(", "), written))
}

/// The tokens as SQL.
fn written(tokens: &[OwnerToken]) -> String {
    let texts: Vec<String> = tokens
        .iter()
        .map(|token| match token {
            OwnerToken::Word(text) | OwnerToken::Number(text) | OwnerToken::Sign(text) => text.clone(),
            OwnerToken::Name(name) => ident(name),
        })
        .collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_rights_are_written_anew() {
        for (text, written) in [
            ("ALTER TABLE public.t OWNER TO app;", "ALTER table \"public\".\"t\" OWNER TO \"app\""),
            (
                "ALTER TABLE ONLY public.\"T;x\"\n OWNER TO \"Odd \"\"one\"",
                "ALTER table \"public\".\"T;x\" OWNER TO \"Odd \"\"one\"",
            ),
            (
                "ALTER FUNCTION public.f(a integer, b character varying, VARIADIC c public.\"T\"[]) OWNER TO app",
                "ALTER function \"public\".\"f\"( a integer , b character varying , variadic c public . \"T\" [ ] ) OWNER TO \"app\"",
            ),
            (
                "ALTER AGGREGATE public.c(*) OWNER TO app",
                "ALTER aggregate \"public\".\"c\"( * ) OWNER TO \"app\"",
            ),
            (
                "ALTER OPERATOR public.=== (text, text) OWNER TO app",
                "ALTER OPERATOR \"public\".=== ( text , text ) OWNER TO \"app\"",
            ),
            (
                "ALTER OPERATOR CLASS public.c USING btree OWNER TO app",
                "ALTER OPERATOR CLASS \"public\".\"c\" USING \"btree\" OWNER TO \"app\"",
            ),
            ("ALTER LARGE OBJECT 16389 OWNER TO app", "ALTER LARGE OBJECT 16389 OWNER TO \"app\""),
            ("ALTER PROCEDURAL LANGUAGE plx OWNER TO app", "ALTER language \"plx\" OWNER TO \"app\""),
            (
                "GRANT SELECT,UPDATE ON TABLE public.t TO a,\"B\" WITH GRANT OPTION",
                "GRANT select, update ON table \"public\".\"t\" TO \"a\", \"B\" WITH GRANT OPTION",
            ),
            (
                "GRANT SELECT(a),INSERT(\"B\") ON TABLE public.t TO PUBLIC",
                "GRANT select(\"a\"), insert(\"B\") ON table \"public\".\"t\" TO PUBLIC",
            ),
            (
                "REVOKE ALL ON FUNCTION public.f(integer) FROM PUBLIC",
                "REVOKE all ON function \"public\".\"f\"( integer ) FROM PUBLIC",
            ),
            ("GRANT ALL ON SCHEMA public TO app", "GRANT all ON schema \"public\" TO \"app\""),
            ("GRANT SELECT ON LARGE OBJECT 7 TO app", "GRANT select ON LARGE OBJECT 7 TO \"app\""),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public GRANT SELECT ON TABLES  TO reader",
                "alter default privileges for role app in schema public grant select on tables to reader",
            ),
        ] {
            assert_eq!(deferred(text, None).as_deref(), Some(written), "{text}");
        }
        assert_eq!(
            deferred("GRANT ALL ON TABLE t TO a", Some("old")).as_deref(),
            Some("GRANT all ON table \"old\".\"t\" TO \"a\"")
        );
    }

    #[test]
    fn whatever_could_do_more_is_not_taken() {
        for text in [
            "ALTER TABLE public.t ADD COLUMN a int DEFAULT f(), OWNER TO app",
            "ALTER TABLE public.t ALTER a TYPE int USING f(a), OWNER TO app",
            "ALTER TABLE public.t OWNER TO app; SELECT f()",
            "ALTER TABLE public.t OWNER TO app -- x",
            "ALTER TABLE public.t /* x */ OWNER TO app",
            "ALTER TABLE public.t OWNER TO current_user",
            "ALTER TABLE public.t OWNER TO 'app'",
            "ALTER TABLE U&\"\\0070\".t OWNER TO app",
            "ALTER TABLE pg_catalog.pg_proc OWNER TO app",
            "ALTER TABLE t OWNER TO app",
            "ALTER TABLE public.t ADD a int DEFAULT f(), FORCE ROW LEVEL SECURITY",
            "ALTER DATABASE d OWNER TO app",
            "ALTER EVENT TRIGGER e OWNER TO app",
            "ALTER SUBSCRIPTION s OWNER TO app",
            "ALTER TABLESPACE s OWNER TO app",
            "ALTER FUNCTION public.f() SET role = x OWNER TO app",
            "ALTER FUNCTION public.f(text DEFAULT 'x') OWNER TO app",
            "ALTER FUNCTION public.f(a integer = 1) OWNER TO app",
            "GRANT pg_execute_server_program TO app",
            "GRANT a, b TO app",
            "GRANT ALL ON DATABASE d TO app",
            "GRANT SET ON PARAMETER x TO app",
            "GRANT ALTER SYSTEM ON PARAMETER x TO app",
            "GRANT CREATE ON TABLESPACE x TO app",
            "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO PUBLIC",
            "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
            "GRANT SELECT ON pg_authid TO PUBLIC",
            "GRANT SELECT ON TABLE pg_catalog.pg_authid TO PUBLIC",
            "GRANT SELECT ON TABLE public.a, pg_catalog.pg_authid TO PUBLIC",
            "GRANT SELECT ON ALL TABLES IN SCHEMA pg_catalog TO PUBLIC",
            "GRANT SELECT ON TABLE public.t TO app GRANTED BY postgres",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO 'x'",
            "COMMENT ON TABLE public.t IS 'OWNER TO app'",
            "REVOKE",
            "GRANT ON TO",
            "",
        ] {
            assert_eq!(deferred(text, None), None, "{text}");
        }
        assert_eq!(
            deferred("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC", Some("pg_catalog")),
            None
        );
    }

    #[test]
    fn owners_of_archives_come_from_their_list() {
        assert_eq!(
            owner_of_entry("TABLE", "public", "a\"b", "", "app").as_deref(),
            Some("ALTER TABLE \"public\".\"a\"\"b\" OWNER TO \"app\"")
        );
        assert_eq!(
            owner_of_entry("FUNCTION", "public", "f(integer)", "DROP FUNCTION public.f(integer);\n", "app")
                .as_deref(),
            Some("ALTER function \"public\".\"f\"( integer ) OWNER TO \"app\"")
        );
        assert_eq!(owner_of_entry("FUNCTION", "public", "f()", "SELECT evil();", "app"), None);
        assert_eq!(owner_of_entry("BLOB", "", "7; x", "", "app"), None);
        assert_eq!(owner_of_entry("EVENT TRIGGER", "", "e", "", "app"), None);
        assert_eq!(owner_of_entry("INDEX", "public", "i", "", "app"), None);
    }
}

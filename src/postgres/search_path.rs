//! A search path: the schemas in which the server looks for a name that is written without one.

use std::fmt;
use std::str::FromStr;

use super::access::SET_OWN_PATH;
use super::session::{Refusal, Session};
use crate::text::shell_word::shell_word;
use crate::text::sql_quote::ident;

/// Schemas, in order, without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SearchPath(Vec<String>);

impl SearchPath {
    /// Takes the schemas as they are.
    pub(crate) fn of(schemas: impl IntoIterator<Item = String>) -> Self {
        let mut path = Self::default();
        schemas.into_iter().for_each(|schema| path.add(schema));
        path
    }

    /// Reads the schemas that are there and on the path of the role in this database.
    pub(crate) async fn of_role(session: &mut Session) -> Result<Self, Refusal> {
        session.query("reset search_path").await?;
        let schemas = session.column("select pg_catalog.unnest(pg_catalog.current_schemas(false))").await;
        session.query(SET_OWN_PATH).await?;
        Ok(Self::of(schemas?))
    }

    /// The schema in which a name without one is created: the first of the path, else `public`.
    pub(crate) fn first(&self) -> &str {
        self.0.first().map_or("public", String::as_str)
    }

    /// Adds a schema behind the others, unless it is there.
    pub(crate) fn add(&mut self, schema: String) {
        if !self.0.contains(&schema) {
            self.0.push(schema);
        }
    }

    pub(crate) fn schemas(&self) -> &[String] {
        &self.0
    }

    /// True without a schema.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the path as one shell word.
    pub(crate) fn typed(&self) -> String {
        shell_word(&self.to_string())
    }

    /// The list as SQL: `"public", "Other"`.
    pub(crate) fn sql(&self) -> String {
        self.0.iter().map(|schema| ident(schema)).collect::<Vec<_>>().join(", ")
    }
}

/// Runs a statement that may fire the user's own triggers with the search path of the role, by which they find their names.
/// Every name in `sql` has its schema.
pub(crate) async fn query_as_role(session: &mut Session, sql: &str) -> Result<(), Refusal> {
    session.query("RESET search_path").await?;
    session.query(sql).await?;
    session.query(SET_OWN_PATH).await?;
    Ok(())
}

/// Writes the path as the value of `--search-path`.
impl fmt::Display for SearchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |name: &str| {
            name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let written = |name: &String| if plain(name) { name.clone() } else { ident(name) };
        f.write_str(&self.0.iter().map(written).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for SearchPath {
    type Err = String;

    /// Parses the list as the server parses `search_path`: names without quotes are folded to lower case.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut path = Self::default();
        let mut rest = text.trim();
        loop {
            let name;
            if let Some(quoted) = rest.strip_prefix('"') {
                let mut end = quoted.find('"').ok_or("a quote is not closed")?;
                while quoted[end + 1..].starts_with('"') {
                    end += 2 + quoted[end + 2..].find('"').ok_or("a quote is not closed")?;
                }
                name = quoted[..end].replace("\"\"", "\"");
                rest = quoted[end + 1..].trim_start();
            } else {
                let end = rest.find(',').unwrap_or(rest.len());
                name = rest[..end].trim().to_lowercase();
                rest = &rest[end..];
            }
            if name.is_empty() || name.contains('\0') {
                return Err("a schema has no name; write it like `public,extensions`".to_owned());
            }
            path.add(name);
            if rest.is_empty() {
                return Ok(path);
            }
            rest = rest.strip_prefix(',').ok_or("schemas are separated by commas")?.trim_start();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_is_read_as_the_server_reads_it_and_written_so_that_it_reads_back() {
        for (text, schemas, written) in [
            ("public", &["public"][..], "public"),
            (" Public , ext ", &["public", "ext"], "public,ext"),
            ("\"$user\", public", &["$user", "public"], "\"$user\",public"),
            ("\"a,b\",\"c\"\"d\"", &["a,b", "c\"d"], "\"a,b\",\"c\"\"d\""),
            ("a,a", &["a"], "a"),
        ] {
            let path: SearchPath = text.parse().unwrap();
            assert_eq!(path.schemas(), schemas, "{text}");
            assert_eq!(path.to_string(), written, "{text}");
            assert_eq!(path.to_string().parse::<SearchPath>().unwrap(), path);
        }
        for text in ["", ",", "a,", "a,,b", "\"a", "\"a\"b", "\"\""] {
            assert!(text.parse::<SearchPath>().is_err(), "{text}");
        }
        assert_eq!(SearchPath::of(["a".to_owned(), "B".to_owned()]).sql(), "\"a\", \"B\"");
    }
}

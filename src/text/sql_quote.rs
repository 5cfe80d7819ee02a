//! Quoting of names and values for SQL and for connection strings.
//!
//! Promise: any name PostgreSQL can hold comes back from the server as it went in. Names cannot hold
//! NUL; a NUL in a value is refused by the server's own parser long before it matters.

/// `name` as an SQL identifier: `we"ird` → `"we""ird"`.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as an SQL string. The `E''` form is taken where there is a backslash, so that the value does
/// not depend on `standard_conforming_strings`.
pub(crate) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// A libpq connection string. Always this form: libpq reads a bare `-d` value that holds `=` as a whole
/// connection string, so a database called `x host=evil` would go elsewhere.
pub(crate) fn conninfo(pairs: &[(&str, &str)]) -> String {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
    pairs.iter().map(|(key, value)| format!("{key}='{}'", quoted(value))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_names() {
        assert_eq!(ident(r#"a"; DROP DATABASE x; --"#), r#""a""; DROP DATABASE x; --""#);
        assert_eq!(literal("o'clock"), "'o''clock'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
        assert_eq!(conninfo(&[("dbname", r"it's \ host=evil")]), r"dbname='it\'s \\ host=evil'");
    }
}

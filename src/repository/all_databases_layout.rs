//! Names of the files in a backup of all databases.

/// Roles and tablespaces, as `pg_dumpall --globals-only` writes them. It holds the roles' password hashes.
pub(crate) const GLOBALS: &str = "globals.sql";
/// Owner, encoding, locale and settings by database.
pub(crate) const PROPERTIES: &str = "properties.json";
/// The folder of the dumps.
pub(crate) const DATABASES: &str = "databases";

/// Reports whether a file begins as such a backup: a tar whose first member is [`GLOBALS`].
pub(crate) fn begins_one(head: &[u8]) -> bool {
    let begins = head.strip_prefix(GLOBALS.as_bytes()).is_some_and(|rest| rest.first() == Some(&0));
    begins && head.get(257..262) == Some(b"ustar")
}

//! Names of the files in a backup of all databases.

/// Roles and tablespaces, as `pg_dumpall --globals-only` writes them. It holds the roles' password hashes.
pub(crate) const GLOBALS: &str = "globals.sql";
/// Owner, encoding, locale and settings by database.
pub(crate) const PROPERTIES: &str = "properties.json";
/// The folder of the dumps.
pub(crate) const DATABASES: &str = "databases";

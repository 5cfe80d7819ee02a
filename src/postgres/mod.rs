//! Communication with the database inside its container: roles, commands and answers.
//!
//! Everything goes through the container's own `psql` and `pg_dump`, so client and server always match
//! and a hostile server meets only them (`reference`: client-side CVEs of libpq).

pub(crate) mod access;
pub(crate) mod blocking_session;
pub(crate) mod connections;
pub(crate) mod csv;
pub(crate) mod database_info;
pub(crate) mod empty_databases;
pub(crate) mod find_primary;
pub(crate) mod health;
pub(crate) mod initdb_wait;
pub(crate) mod lock;
#[cfg(test)]
mod lock_tests;
pub(crate) mod maintenance_database;
pub(crate) mod orphan_sessions;
pub(crate) mod preflight;
pub(crate) mod preload;
pub(crate) mod privileges;
pub(crate) mod search_path;
pub(crate) mod search_path_dependents;
pub(crate) mod server_durability;
pub(crate) mod server_error;
pub(crate) mod session;
pub(crate) mod session_terminator;
#[cfg(test)]
mod session_tests;
pub(crate) mod tools;
pub(crate) mod version;

pub(crate) use access::Access;
pub(crate) use blocking_session::BlockingSession;
pub(crate) use server_error::ServerError;
pub(crate) use session::Session;

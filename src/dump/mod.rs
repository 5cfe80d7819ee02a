//! The output of `pg_dump` as bytes: plain SQL and archives. Pure: no Docker, no server.

pub(crate) mod archive;
pub(crate) mod fingerprint;
pub(crate) mod format;
pub(crate) mod owners_and_privileges;
pub(crate) mod scanner;
pub(crate) mod sql;

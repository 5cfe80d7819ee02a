//! PostgreSQL's client tools: their arguments, their output and where they run.

pub(crate) mod copy_database;
pub(crate) mod decompress;
pub(crate) mod dump_runner;
pub(crate) mod load_runner;
pub(crate) mod load_settings;
pub(crate) mod pg_dump;
pub(crate) mod pg_restore;
pub(crate) mod psql;
pub(crate) mod psql_output;
pub(crate) mod runner;
pub(crate) mod statement_error;
pub(crate) mod worker_access;

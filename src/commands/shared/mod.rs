//! Shared parts of the commands: the context of a run, the database, the catalog of backups.

pub(crate) mod context;
pub(crate) mod database;
pub(crate) mod download;
pub(crate) mod find_catalog;
pub(crate) mod interactive_exec;
pub(crate) mod multi_stack_table;
pub(crate) mod transport_args;

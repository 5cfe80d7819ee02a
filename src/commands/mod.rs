//! Commands: one file for each verb, with its `Args`, the steps and the output.
//!
//! Promise: a command file holds no detail of how things are done; it names the steps in order.

pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod connect;
pub(crate) mod context;
pub(crate) mod doctor;
pub(crate) mod download;
pub(crate) mod exec;
pub(crate) mod exit_codes;
pub(crate) mod find_catalog;
pub(crate) mod forward;
pub(crate) mod generate;
pub(crate) mod init;
pub(crate) mod interactive_exec;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod migrate;
pub(crate) mod multi_stack;
mod multi_stack_table;
pub(crate) mod psql;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod restore;
pub(crate) mod schema_tool;
pub(crate) mod seed;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod studio;
pub(crate) mod transport_args;

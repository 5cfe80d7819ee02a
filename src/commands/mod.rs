//! Commands: one file for each verb, with its `Args`, the steps and the output. `shared` is what several have in common.
//!
//! Promise: a command file holds no detail of how things are done; it names the steps in order.

pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod exit_codes;
pub(crate) mod forward;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod migrate;
pub(crate) mod multi_stack;
pub(crate) mod psql;
pub(crate) mod restore;
pub(crate) mod schema_tool;
pub(crate) mod shared;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod studio;

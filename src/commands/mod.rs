//! Commands: one file for each verb, with its `Args`, the steps and the output.
//!
//! Promise: a command file holds no detail of how things are done; it names the steps in order.

pub mod backup;
mod catalogs;
pub mod completions;
pub mod config;
mod database;
pub mod doctor;
pub mod exec;
pub mod exit_codes;
pub mod forward;
pub mod generate;
mod global;
pub mod init;
pub mod logs;
pub mod man;
mod many;
pub mod migrate;
pub mod psql;
pub mod pull;
pub mod push;
pub mod restore;
mod schema;
mod schema_many;
pub mod seed;
pub mod shell;
pub mod status;
pub mod studio;
mod talk;
mod ways;

pub use global::GlobalArgs;

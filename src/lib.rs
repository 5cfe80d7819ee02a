//! envctl: daily work on stacks that run on Docker and PostgreSQL.
//!
//! Every command is the same six steps, one folder each:
//!
//! **args** ([`commands`]) → **settings** ([`config`]) → **docker** ([`docker`]) →
//! **environment** ([`environment`]) → **operation** → **output** ([`ui`]).
//!
//! A step takes the previous step's value and returns a plain value. [`app`] is the only place where
//! the steps meet the process: its clock, its environment variables, its terminal.
//!
//! Operations:
//!
//! - [`backup`] makes a backup, [`restore`] puts one into a database, [`migrations`] applies migrations;
//! - [`repository`] holds backups on disk: names, manifests, catalog, keys;
//! - [`databases`] works on whole databases: staging, swap, previous databases, undo;
//! - [`postgres`] speaks to a server: session, lock, preflight, client tools;
//! - [`verify`] restores a backup into a throwaway server and compares contents.
//! - [`schedule`] decides when backups are made by themselves, and writes the text that installs a schedule.
//! - [`doctor`] checks a stack, [`multi_stack`] runs one command over several stacks.
//!
//! Bytes: [`dump`] reads the output of `pg_dump`, [`codec`] compresses and decompresses it.
//! Neither knows Docker or a server. [`fsutil`] writes files that appear only when they are complete.
//!
//! Guards: [`consent`] decides what asks. A destructive operation takes a `Confirmed` plan, which
//! only [`consent`] makes.
//!
//! A module imports modules of lower layers only. `tests/architecture.rs` has the list, and
//! `ARCHITECTURE.md` the map with a backup and a restore, file by file.

pub(crate) mod app;
pub(crate) mod backup;
pub(crate) mod cancel;
pub mod cli;
pub(crate) mod codec;
pub(crate) mod commands;
pub(crate) mod config;
pub(crate) mod consent;
pub(crate) mod databases;
pub(crate) mod docker;
pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod environment;
pub(crate) mod error;
pub(crate) mod exit;
pub(crate) mod fsutil;
pub(crate) mod migrations;
pub(crate) mod multi_stack;
pub(crate) mod operation;
pub(crate) mod postgres;
pub(crate) mod progress;
pub(crate) mod random;
pub(crate) mod repository;
pub(crate) mod restore;
pub(crate) mod schedule;
pub(crate) mod secret;
pub(crate) mod sync;
pub(crate) mod text;
pub(crate) mod ui;
pub(crate) mod verify;

/// Identity of this machine, for the tests that look at the labels of workers.
pub use docker::worker::machine_id::this_machine;

/// Keys of `envctl.toml`, for the tests that compare them with the manual.
pub use config::keys::{KEYS, Key, OPTIONS};

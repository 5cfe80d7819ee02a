//! The binary as a user meets it: what is typed, what is answered, which exit code, over a fake engine.
//!
//! Promise: needs no Docker, no network and no root. One module a verb, one for each way in which the
//! world can be wrong. `SNAPSHOTS=overwrite cargo test --test cli` rewrites the expectations: read the diff.

mod container;
mod daemon;
mod postgres;
mod stage;

mod config;
mod engines;
mod exec;
mod help;
mod logs;
mod output;
mod psql;
mod shell;
mod targets;

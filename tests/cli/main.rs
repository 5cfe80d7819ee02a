//! The binary as a user meets it: what is typed, what is answered, which exit code, over a fake engine.
//!
//! Promise: needs no Docker, no network and no root. One module a verb, one for each way in which the
//! world can be wrong. `SNAPSHOTS=overwrite cargo test --test cli` rewrites the expectations: read the diff.

#![allow(
    clippy::needless_raw_string_hashes,
    clippy::too_many_lines,
    reason = "snapshots are written by snapbox, in its form and as long as the answer is"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod container;
mod daemon;
mod dumps;
#[path = "../support/hints.rs"]
#[allow(unreachable_pub, reason = "shared with the other test binaries")]
mod hints;
mod postgres;
mod stage;

mod backup;
mod bad_input;
mod check;
mod config;
mod doctor;
mod engines;
mod exec;
mod help;
mod init;
mod json;
mod kept;
mod logs;
mod many;
mod migrate;
mod output;
mod places;
mod preflight;
mod prune;
mod psql;
mod replicas;
mod restore;
mod restore_cut;
mod schedule;
mod shell;
mod status;
mod targets;
mod watched;

//! What people do with envctl, from end to end, against a real engine and a real PostgreSQL.
//!
//! They need a Docker engine and the images of `scripts/setup`, use containers of their own, and remove
//! them.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::collapsible_match,
    reason = "in a test plain steps read best"
)]
#![allow(missing_docs, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod all_databases;
mod archives;
mod attacks;
mod command;
mod counts;
mod data_only;
mod doctor;
mod durability;
mod elsewhere;
mod encodings;
mod encryption;
mod foreign_files;
mod forward;
mod guards;
mod hints;
mod hostile_functions;
mod limits;
mod makefile;
mod many;
mod memory;
mod migration_files;
mod migrations;
mod odd_servers;
mod one_session;
mod options;
mod owner;
mod packed_files;
mod postgis;
mod prisma;
mod prisma_faults;
mod random_schemas;
mod readable;
mod reliance;
mod round_trip;
mod round_trip_worker;
mod sample_migrations;
mod schedule;
mod search_path;
mod sessions;
mod sqlx_itself;
mod studio;
mod terminal;
mod two_at_once;
mod verify;
mod watching;
mod which_backup;

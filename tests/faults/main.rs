//! One test for each fault of the matrix: what is broken on purpose, and what envctl must make of it.
//!
//! Each test is called after its number there. They need a Docker engine and the images of
//! `scripts/setup`, use containers of their own, and remove them.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::collapsible_match,
    reason = "in a test plain steps read best"
)]
#![allow(missing_docs, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod backup_files;
mod backup_stream;
mod daemon_restart;
mod database_replaced;
mod doctor;
mod ending;
mod exec_stream;
mod exec_target;
mod migrations;
mod own_daemon;
mod place;
mod prune;
mod remote;
mod restore_file;
mod restore_server;
mod restore_swap;
mod restore_target;
mod second_daemon;
mod stores;
mod stores_faults;
mod stores_prune;
mod terminal;
mod waits;
mod words;
mod worker;
mod worker_cage;
mod worker_crooked;
mod worker_directory;
mod worker_disk;
mod worker_fallback;
mod worker_far;
mod worker_far_fallback;
mod worker_kills;
mod worker_password;
mod worker_users;

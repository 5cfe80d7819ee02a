//! What people do with envctl, from end to end, against a real engine and a real PostgreSQL.
//!
//! They need a Docker engine and the images of `scripts/setup`, use containers of their own, and remove
//! them.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test fails where it panics")]

#[path = "../support/mod.rs"]
mod support;

mod odd_servers;
mod round_trip;
mod terminal;
mod two_at_once;

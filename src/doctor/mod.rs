//! What is wrong and what to type about it: a list of checks, each from what was seen to its findings.
//!
//! Promises: a check looks or judges, never both in one function, so that what it says is tested without a server;
//! nothing is changed but what any next run of envctl would remove, leftovers of runs that were killed ([`leftovers`]);
//! what cannot be looked at is a finding itself.

pub mod backups;
pub mod containers;
pub mod database;
pub mod engine;
mod finding;
pub mod leftovers;

pub use finding::{Finding, Place, Severity};

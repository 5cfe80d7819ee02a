//! Diagnosis: a list of checks, each of which turns an observed state into findings with commands to type.
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

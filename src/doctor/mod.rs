//! Diagnosis: a list of checks, each of which turns an observed state into findings with commands to type.
//!
//! Promises: a check looks or judges, never both in one function, so that what it says is tested without a server;
//! nothing is changed but what any next run of envctl would remove, orphans of runs that were killed
//! ([`crate::doctor::orphans`]); what cannot be looked at is a finding itself.

pub(crate) mod backups;
pub(crate) mod containers;
pub(crate) mod database;
pub(crate) mod durability;
pub(crate) mod engine;
mod finding;
pub(crate) mod orphans;
pub(crate) mod schedules;
pub(crate) mod stores;

pub(crate) use finding::{CheckFinding, Severity, StackPlace};

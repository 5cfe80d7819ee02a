//! Backups at the place where they are kept: names, manifests, the catalog of a directory, stores, identity and
//! authenticity.

pub(crate) mod all_databases_layout;
pub(crate) mod attempt;
pub(crate) mod authenticity;
pub(crate) mod catalog;
pub(crate) mod check;
#[cfg(test)]
mod check_tests;
pub(crate) mod identity;
pub(crate) mod manifest;
pub(crate) mod manifest_comparison;
pub(crate) mod name;
pub(crate) mod pin;
pub(crate) mod private_part;
pub(crate) mod prune;
pub(crate) mod remote_backups;
pub(crate) mod remote_prune;
#[cfg(test)]
mod remote_prune_tests;
pub(crate) mod retention;
#[cfg(test)]
mod retention_tests;
mod sealed_manifest;
pub(crate) mod store;

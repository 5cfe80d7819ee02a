//! Backups at the place where they are kept: names, manifests, the catalog of a directory, identity and authenticity.

pub(crate) mod all_databases_layout;
pub(crate) mod authenticity;
pub(crate) mod catalog;
pub(crate) mod identity;
pub(crate) mod manifest;
pub(crate) mod name;
#[cfg_attr(not(test), expect(dead_code, reason = "the command that uses it follows"))]
pub(crate) mod retention;
#[cfg(test)]
mod retention_tests;

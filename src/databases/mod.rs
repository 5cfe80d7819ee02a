//! Whole databases: their properties, staging, swap, previous databases and undo.

pub(crate) mod previous;
pub(crate) mod properties;
pub(crate) mod staging;
pub(crate) mod swap;
pub(crate) mod undo;

//! Loads a dump into the staging database, over one session or several.

pub(crate) mod archive;
pub(crate) mod in_place_check;
pub(crate) mod indexed_table;
pub(crate) mod parallel;
pub(crate) mod parallel_archive;
pub(crate) mod plan;
pub(crate) mod request;
pub(crate) mod scheduler;
pub(crate) mod sql;
pub(crate) mod staging_load;

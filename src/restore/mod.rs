//! Restores backups: the input is examined, planned, loaded into a staging database, compared and swapped in.

pub(crate) mod all_databases;
pub(crate) mod analyze;
pub(crate) mod data_only;
pub(crate) mod examine;
pub(crate) mod failure_cause;
pub(crate) mod filtered_dump;
pub(crate) mod load;
pub(crate) mod load_workarounds;
pub(crate) mod loading_role;
pub(crate) mod open_dump;
pub(crate) mod piped_dump;
pub(crate) mod plan;
pub(crate) mod planner;
pub(crate) mod row_counts;
pub(crate) mod run;
pub(crate) mod untrusted_expressions;

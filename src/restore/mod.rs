//! Restores backups: the input is examined, planned, loaded into a staging database, compared and swapped in.

pub(crate) mod all_databases;
pub(crate) mod analyze;
pub(crate) mod autovacuum_code;
pub(crate) mod data_only;
pub(crate) mod explain;
pub(crate) mod filtered_input;
pub(crate) mod input;
pub(crate) mod load;
pub(crate) mod loading_role;
pub(crate) mod open_dump;
pub(crate) mod pipe;
pub(crate) mod plan;
pub(crate) mod restore_plan;
pub(crate) mod row_counts;
pub(crate) mod run;
pub(crate) mod search_path_aids;

//! `pg_dump` as a value: which arguments, in which surroundings.

use super::access::Access;
use crate::docker::ExecSpec;

/// What a dump leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpOptions {
    /// Definitions only.
    pub schema_only: bool,
    /// Rows only.
    pub data_only: bool,
    /// Tables (patterns of pg_dump) whose rows are left out.
    pub exclude_table_data: Vec<String>,
    /// How long to wait for a lock that somebody else holds, in milliseconds.
    pub lock_wait_ms: u64,
}

impl DumpOptions {
    /// Whether the dump holds everything, so that a restore of it is the database.
    pub fn is_whole(&self) -> bool {
        !self.schema_only && !self.data_only && self.exclude_table_data.is_empty()
    }
}

/// `pg_dump` in plain format to its stdout. It never asks for a password, and waits for locks only so
/// long: a dump that queues behind an ALTER TABLE makes everybody else queue behind it.
pub fn plain(access: &Access, options: &DumpOptions, application: &str) -> ExecSpec {
    let mut argv: Vec<String> = ["pg_dump", "--format=plain", "--no-password"].map(str::to_owned).into();
    argv.push(format!("--lock-wait-timeout={}", options.lock_wait_ms));
    if options.schema_only {
        argv.push("--schema-only".to_owned());
    }
    if options.data_only {
        argv.push("--data-only".to_owned());
    }
    argv.extend(options.exclude_table_data.iter().map(|pattern| format!("--exclude-table-data={pattern}")));
    argv.push(access.dbname());
    access.spec(argv, application)
}

//! `pg_restore` as a value: a custom archive from its stdin into a database.

use super::access::Access;
use crate::docker::ExecSpec;

/// Restores into `access.database`, stopping at the first error. The session's settings are as for a
/// restore by psql: the database is new and nobody depends on it until the swap.
pub fn from_stdin(access: &Access, application: &str) -> ExecSpec {
    let mut argv: Vec<String> =
        ["pg_restore", "--format=custom", "--exit-on-error", "--no-password"].map(str::to_owned).into();
    argv.push(access.dbname());
    let mut spec = access.spec(argv, application).with_stdin();
    for (name, value) in &mut spec.env {
        if name == "PGOPTIONS" {
            value.push_str(" -c synchronous_commit=off -c maintenance_work_mem=256MB");
        }
    }
    spec
}

/// The newest archive version, as its minor number, that the `pg_restore` of this major reads
/// (`K_VERS_MAX` of pg_backup_archiver.h).
fn newest_archive(major: u32) -> u32 {
    match major {
        0..=11 => 13,
        12..=15 => 14,
        16 => 15,
        _ => 16,
    }
}

/// Whether an archive of this pg_dump can be read by this server's `pg_restore`.
pub fn reads(server_major: u32, pg_dump_major: u32) -> bool {
    newest_archive(pg_dump_major) <= newest_archive(server_major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_of_a_newer_pg_dump_are_known_before_anything_is_sent() {
        assert!(!reads(15, 17) && !reads(15, 16) && !reads(16, 17));
        assert!(reads(12, 15) && reads(17, 15) && reads(17, 17) && reads(17, 18));
    }
}

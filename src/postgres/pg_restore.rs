//! `pg_restore` as a value: an archive into a database, from its stdin or from a file over several sessions.

use super::access::Access;
use crate::docker::ExecSpec;

/// Restores into `access.database`, stopping at the first error. The session's settings are as for a
/// restore by psql: the database is new and nobody depends on it until the swap.
pub fn from_stdin(access: &Access, application: &str) -> ExecSpec {
    let mut argv: Vec<String> =
        ["pg_restore", "--format=custom", "--exit-on-error", "--no-password"].map(str::to_owned).into();
    argv.push(access.dbname());
    quick(access.spec(argv, application).with_stdin())
}

/// The same from a file or directory at `path`, over `jobs` sessions.
pub fn from_path(access: &Access, application: &str, path: &str, jobs: u8) -> ExecSpec {
    let argv = ["pg_restore", "--exit-on-error", "--no-password"].map(str::to_owned);
    let rest = [format!("--jobs={jobs}"), access.dbname(), path.to_owned()];
    quick(access.spec(argv.into_iter().chain(rest).collect(), application))
}

/// With the settings of a session that loads what nobody depends on yet.
fn quick(mut spec: ExecSpec) -> ExecSpec {
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

//! `pg_restore` as a value: an archive into a database, from its stdin or from a file over several sessions.

use crate::docker::ExecSpec;
use crate::postgres::access::Access;
use crate::postgres::tools::load_settings::LoadSettings;

/// Restores into `access.database`, stopping at the first error.
pub(crate) fn from_stdin(access: &Access, application: &str, loading: LoadSettings) -> ExecSpec {
    let mut argv: Vec<String> =
        ["pg_restore", "--format=custom", "--exit-on-error", "--no-password"].map(str::to_owned).into();
    argv.push(access.dbname());
    access.spec(argv, application).options(&loading.options(1)).with_stdin()
}

/// Restores from a file or directory at `path`, over `jobs` sessions.
pub(crate) fn from_path(
    access: &Access,
    application: &str,
    path: &str,
    loading: LoadSettings,
    jobs: u8,
) -> ExecSpec {
    let argv = ["pg_restore", "--exit-on-error", "--no-password"].map(str::to_owned);
    let rest = [format!("--jobs={jobs}"), access.dbname(), path.to_owned()];
    let options = loading.options(usize::from(jobs));
    access.spec(argv.into_iter().chain(rest).collect(), application).options(&options)
}

/// Options that leave out owners.
pub(crate) const WITHOUT_OWNERS: &[&str] = &["--no-owner"];
/// Options that leave out owners and rights.
pub(crate) const WITHOUT_OWNERS_AND_RIGHTS: &[&str] = &["--no-owner", "--no-privileges"];

/// Adds options, in front of the connection.
pub(crate) fn with(mut spec: ExecSpec, options: &[&str]) -> ExecSpec {
    let at = spec.argv.iter().position(|token| token.ends_with("pg_restore")).map_or(0, |at| at + 1);
    for option in options {
        spec.argv.insert(at, (*option).to_owned());
    }
    spec
}

/// Adds the option to restore in one transaction.
pub(crate) fn in_one_transaction(mut spec: ExecSpec) -> ExecSpec {
    spec.argv.insert(1, "--single-transaction".to_owned());
    spec
}

/// Adds the option to restore only the entries in the list at `path`.
pub(crate) fn of_list(mut spec: ExecSpec, path: &str) -> ExecSpec {
    spec.argv.insert(1, format!("--use-list={path}"));
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

/// Reports whether this server's `pg_restore` can read an archive of this pg_dump.
pub(crate) fn reads(server_major: u32, pg_dump_major: u32) -> bool {
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

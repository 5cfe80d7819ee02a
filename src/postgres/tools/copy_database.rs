//! `pg_dump` into `psql`, both in the container: sections of one database into another one.
//!
//! Promises: psql prints the mark only where pg_dump has ended well and every statement has run; nothing passes the daemon.
//! The shell waits for both, so that neither becomes an orphan of the postmaster.

use crate::docker::ExecSpec;
use crate::postgres::access::Access;
use crate::postgres::tools::load_settings::LoadSettings;
use crate::text::sql_quote::ident;

/// Copies what pg_dump (`$3` and what follows) writes into the database `$2`; `$1` is the mark.
const SCRIPT: &str = r#"m=$1; to=$2; shift 2; { "$@" </dev/null && printf '\n\\echo %s\n' "$m"; } | psql --no-psqlrc --no-password --quiet -v ON_ERROR_STOP=1 -o /dev/null -f - "$to""#;

/// Parts of a database that are copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sections<'a> {
    /// Sections of pg_dump.
    pub(crate) names: &'a [&'a str],
    /// Tables, each with its schema, whose rows are left out.
    pub(crate) without_rows_of: Vec<(&'a str, &'a str)>,
    /// Leaves large objects out.
    pub(crate) without_large_objects: bool,
    /// Exported snapshot that is read.
    pub(crate) snapshot: &'a str,
    /// Time that pg_dump waits for a lock, in milliseconds.
    pub(crate) lock_wait_ms: u64,
}

/// Copies from the database of `from` into `to`.
pub(crate) fn sections(
    from: &Access,
    to: &Access,
    what: &Sections<'_>,
    (application, mark): (&str, &str),
    loading: LoadSettings,
) -> ExecSpec {
    let mut argv: Vec<String> = ["sh", "-c", SCRIPT, "envctl", mark].map(str::to_owned).into();
    argv.push(to.dbname());
    argv.extend(["pg_dump", "--format=plain", "--no-password"].map(str::to_owned));
    argv.push(format!("--snapshot={}", what.snapshot));
    argv.push(format!("--lock-wait-timeout={}", what.lock_wait_ms));
    argv.extend(what.names.iter().map(|section| format!("--section={section}")));
    if what.without_large_objects {
        argv.push("-B".to_owned());
    }
    let pattern =
        |(schema, name): &(&str, &str)| format!("--exclude-table-data={}.{}", ident(schema), ident(name));
    argv.extend(what.without_rows_of.iter().map(pattern));
    argv.push(from.dbname());
    from.spec(argv, application).options(&loading.options(1))
}

//! `pg_dump` as a value: which arguments, in which surroundings.

use crate::docker::ExecSpec;
use crate::dump::format::Format;
use crate::postgres::access::Access;
use crate::postgres::version::ServerVersion;

/// Content and format of a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DumpOptions {
    /// Output format of the dump.
    pub(crate) format: Format,
    /// Compression of an archive's data, as a value of pg_dump's `--compress`: `6`, `zstd:1`, `0`. envctl compresses
    /// plain dumps itself.
    pub(crate) compress: Option<String>,
    /// Number of tables dumped at once, where the format allows more than one.
    pub(crate) jobs: u8,
    /// Definitions only.
    pub(crate) schema_only: bool,
    /// Rows only.
    pub(crate) data_only: bool,
    /// Tables (patterns of pg_dump) whose rows are left out.
    pub(crate) exclude_table_data: Vec<String>,
    /// Time limit for a lock that another session holds, in milliseconds.
    pub(crate) lock_wait_ms: u64,
}

impl DumpOptions {
    /// Reports whether the dump holds the whole database.
    pub(crate) fn is_whole(&self) -> bool {
        !self.schema_only && !self.data_only && self.exclude_table_data.is_empty()
    }
}

/// Compression that pg_dump applies to a plain dump where every byte of the transfer costs. The level is the fastest,
/// since the dump is decompressed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireCompression {
    /// zlib's first level.
    Gzip,
    /// Zstandard's first level; pg_dump 16 and later, where it was built with it.
    Zstd,
}

impl WireCompression {
    /// Returns the compression that pays for a plain dump through the daemon. zlib pays only for a remote daemon,
    /// since zlib's first level is slower than a daemon on this host.
    pub(crate) fn on_the_way(version: &ServerVersion, remote: bool) -> Option<Self> {
        if cfg!(feature = "zstd") && version.pg_dump_may_know_zstd() {
            return Some(Self::Zstd);
        }
        remote.then_some(Self::Gzip)
    }

    /// The value of `--compress`.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            // Of older ones too.
            Self::Gzip => "1",
            Self::Zstd => "zstd:1",
        }
    }

    /// pg_dump's words where it cannot.
    pub(crate) fn is_unknown(text: &str) -> bool {
        text.contains("does not support compression") || text.contains("invalid compression")
    }
}

/// Adds the compression to a `pg_dump` command.
pub(crate) fn packed(mut spec: ExecSpec, packed: WireCompression) -> ExecSpec {
    spec.argv.insert(1, format!("--compress={}", packed.keyword()));
    spec
}

/// Makes a `pg_dump` to stdout one into a file or directory, `path`. Without a sync of its own: into a FIFO that fails,
/// and whoever reads it syncs what they make of it.
pub(crate) fn to_file(mut spec: ExecSpec, path: &str) -> ExecSpec {
    spec.argv.insert(1, format!("--file={path}"));
    spec.argv.insert(1, "--no-sync".to_owned());
    spec
}

/// `pg_dumpall` of what belongs to no database, to its stdout: roles, their passwords' hashes, tablespaces.
pub(crate) fn globals(access: &Access, application: &str) -> ExecSpec {
    let mut argv: Vec<String> = ["pg_dumpall", "--globals-only", "--no-password"].map(str::to_owned).into();
    // Of the connection string it passes the database over.
    argv.push(format!("--database={}", access.database));
    argv.push(access.dbname());
    access.spec(argv, application)
}

/// `pg_dump` to its stdout. It never asks for a password, and waits for locks only so
/// long: a dump that queues behind an ALTER TABLE makes everybody else queue behind it.
pub(crate) fn to_stdout(access: &Access, options: &DumpOptions, application: &str) -> ExecSpec {
    let mut argv: Vec<String> = ["pg_dump", "--no-password"].map(str::to_owned).into();
    argv.insert(1, format!("--format={}", options.format.keyword()));
    argv.extend(options.compress.iter().map(|compression| format!("--compress={compression}")));
    if options.format == Format::Directory {
        argv.push(format!("--jobs={}", options.jobs.max(1)));
    }
    argv.push(format!("--lock-wait-timeout={}", options.lock_wait_ms));
    if options.schema_only {
        argv.push("--schema-only".to_owned());
    }
    if options.data_only {
        argv.push("--data-only".to_owned());
    }
    argv.extend(options.exclude_table_data.iter().map(|pattern| format!("--exclude-table-data={pattern}")));
    argv.push(access.dbname());
    let mut spec = access.spec(argv, application);
    // The database's own: what is not converted comes back byte for byte.
    for (_, value) in spec.env.iter_mut().filter(|(name, _)| name == "PGCLIENTENCODING") {
        access.encoding().unwrap_or("UTF8").clone_into(value);
    }
    // Settings of the database, the role or the server that pg_dump leaves as they are: with them the same rows are
    // other bytes, and a restored copy could not be compared.
    for (_, value) in spec.env.iter_mut().filter(|(name, _)| name == "PGOPTIONS") {
        value.push_str(" -c timezone=UTC -c bytea_output=hex -c xmlbinary=base64");
    }
    spec
}

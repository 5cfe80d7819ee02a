//! Plan of a restore, as it is printed and agreed to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::Digest;
use crate::codec::age::Keyring;
use crate::consent::{Guard, Plan};
use crate::databases::properties::Properties;
use crate::databases::swap::kept_name;
use crate::dump::format::Format;
use crate::dump::sql::{ExtensionPlace, LeftOut, Rules};
use crate::operation::Operation;
use crate::postgres::preflight::Findings;
use crate::postgres::search_path::SearchPath;
use crate::postgres::tools::runner::TransportOptions;
use crate::postgres::version::ServerVersion;
use crate::postgres::{Access, connections};
use crate::repository::authenticity::Authenticity;
use crate::restore::all_databases::Roles;
use crate::restore::data_only::DataOnlyPlan;
use crate::restore::examine::DumpSource;
use crate::restore::load::parallel::ParallelSql;
use crate::restore::load::parallel_archive::ParallelArchive;
use crate::restore::load_workarounds::LoadWorkarounds;
use crate::text::units::{bytes, counted};

/// A restore, decided. Its `Display` is what a person agrees to.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a decision of its own")]
pub(crate) struct RestorePlan {
    pub(crate) operation: Operation,
    pub(crate) source: DumpSource,
    /// Identities that open an encrypted dump.
    pub(crate) keyring: Keyring,
    /// Time and origin of the dump, in words.
    pub(crate) origin: String,
    /// The database that is replaced, or made.
    pub(crate) database: String,
    /// True if the database exists now.
    pub(crate) exists: bool,
    /// Access to the server.
    pub(crate) access: Access,
    pub(crate) version: ServerVersion,
    /// Findings of the preflight checks on the target.
    pub(crate) findings: Findings,
    /// True if a safety backup is made first.
    pub(crate) backup_first: bool,
    /// Analyzes the tables before the swap.
    pub(crate) analyze: bool,
    /// Authenticity of the manifest that describes the dump.
    pub(crate) authenticity: Authenticity,
    /// `--trust`.
    pub(crate) trust: bool,
    /// The command as it was typed, for a hint that adds to it.
    pub(crate) command: String,
    /// Statements of the dump that are left out or changed.
    pub(crate) rules: Rules,
    /// Roles that are made first.
    pub(crate) roles: Roles,
    /// The database that is taken out of a file that holds several.
    pub(crate) taken: Option<String>,
    /// Tables that are filled, where the dump holds rows and no tables.
    pub(crate) data_only: Option<DataOnlyPlan>,
    /// Count of what the rules left out, where the dump was read.
    pub(crate) left_out: LeftOut,
    /// Extensions that the dump creates, in its order, where it was read.
    pub(crate) extensions: Vec<ExtensionPlace>,
    pub(crate) tablespaces: Vec<String>,
    /// Hash of the SQL from the first reading.
    pub sha256: Option<Digest>,
    /// Plain bytes, where known.
    pub(crate) bytes: Option<u64>,
    /// Format of the dump, if the dump was read.
    pub(crate) format: Option<Format>,
    /// Rows, where known.
    pub(crate) rows: Option<u64>,
    /// The dump shared out over several sessions; `None`: one session loads it.
    pub(crate) shared: Option<ParallelPlan>,
    /// Aids for a dump that does not load as it is.
    pub(crate) aids: LoadWorkarounds,
    /// Search path of the database that was dumped, where the manifest tells it.
    pub(crate) source_path: SearchPath,
    /// Unpacking threads.
    pub(crate) threads: usize,
    /// Longest wait for envctl's own lock.
    pub(crate) lock_limit: Duration,
    /// Transports that may carry the bytes.
    pub(crate) transport_options: TransportOptions,
    /// Properties for a database that does not exist, if known.
    /// Otherwise the new database gets the properties of the connected database.
    pub(crate) properties: Option<Properties>,
}

/// A dump that several sessions load.
#[derive(Clone, Debug)]
pub(crate) enum ParallelPlan {
    /// A plain dump, its parts by as many psql.
    Plain(Arc<ParallelSql>),
    /// An archive, by pg_restore itself.
    Archive(Arc<ParallelArchive>),
}

impl ParallelPlan {
    /// Returns the number of sessions.
    pub(crate) fn jobs(&self) -> usize {
        match self {
            Self::Plain(shared) => shared.jobs(),
            Self::Archive(spread) => usize::from(spread.jobs()),
        }
    }
}

impl Plan for RestorePlan {
    fn guard(&self) -> Guard {
        Guard::Destroy
    }
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restore {}", self.source.name())?;
        writeln!(f, "  from     {}", self.origin)?;
        if let Some(rows) = self.rows {
            let what = match self.format {
                Some(Format::Custom | Format::Directory) => "in an archive",
                _ => "of SQL",
            };
            let size = bytes(self.bytes.unwrap_or(0));
            writeln!(f, "  holds    {}, {size} {what}", counted(rows, "row", "rows"))?;
        }
        if self.findings.in_place {
            writeln!(f, "  fills    database {:?}, which is empty, in one transaction:", self.database)?;
            writeln!(f, "           the role {} may not create a database beside it", self.access.user)?;
        } else if self.exists {
            match &self.data_only {
                Some(rows) => {
                    writeln!(
                        f,
                        "  into     database {:?} ({} now)",
                        self.database,
                        bytes(self.findings.size)
                    )?;
                    writeln!(f, "  {rows}")?;
                    writeln!(f, "  waits    whoever writes to the database, until the swap")?;
                }
                None => writeln!(
                    f,
                    "  replaces database {:?} ({} now)",
                    self.database,
                    bytes(self.findings.size)
                )?,
            }
            for (at, line) in connections::disconnected_sessions(&self.findings.sessions).iter().enumerate() {
                writeln!(f, "  {:<8} {line}", if at == 0 { "ends" } else { "" })?;
            }
            let first = if self.backup_first {
                "backed up first, then stays"
            } else {
                "NOT backed up first (--no-backup); stays"
            };
            writeln!(
                f,
                "  previous {first} as {:?} until you drop it",
                kept_name(&self.operation.id, &self.database)
            )?;
        } else {
            writeln!(f, "  creates  database {:?}", self.database)?;
        }
        if let Some(shared) = &self.shared {
            match shared.jobs() {
                1 => writeln!(f, "  loads    by pg_restore in a worker")?,
                jobs => writeln!(f, "  loads    over {jobs} sessions")?,
            }
        }
        if self.analyze {
            writeln!(f, "  analyzes its tables before the swap; `--no-analyze` leaves that out")?;
        }
        if let Some(taken) = &self.taken {
            writeln!(f, "  takes    database {taken:?} out of it")?;
        }
        if !self.roles.missing.is_empty() {
            let with = if self.trust {
                "as the file has them"
            } else {
                "without login, password and rights of their own; `--trust` makes them as the file has them"
            };
            let noun = if self.roles.missing.len() == 1 { "role" } else { "roles" };
            writeln!(f, "  creates  {noun} {}, {with}", self.roles.missing.join(", "))?;
        }
        if !self.left_out.is_empty() {
            writeln!(f, "  left out {}", self.left_out)?;
        }
        if !self.aids.search_path.is_empty() {
            let path = self.aids.search_path.schemas().join(", ");
            writeln!(f, "  path     functions look into {path} while the dump is loaded")?;
        }
        if self.aids.defer_checks {
            writeln!(f, "  checks   that call functions are added when all rows are in")?;
        }
        for warning in &self.findings.warnings {
            writeln!(f, "  note     {warning}")?;
        }
        Ok(())
    }
}

impl RestorePlan {
    /// Reports that nobody vouches for the dump.
    pub(crate) fn is_foreign(&self) -> bool {
        !self.authenticity.is_authenticated() && !self.trust
    }

    /// The name the replaced database will be kept under; `None` where none is replaced.
    pub(crate) fn kept_name(&self) -> Option<String> {
        let replaces = self.exists && !self.findings.in_place;
        replaces.then(|| kept_name(&self.operation.id, &self.database))
    }
}

//! Findings: parts of a dump that would do more than fill a database, with their positions.

use std::fmt;

use crate::text::escape::escape;
use crate::text::mask;

/// Hint of every refusal here.
pub(crate) const TRUST: &str = "add `--trust` if you know where the file comes from";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum FindingKind {
    /// A psql backslash command other than `\restrict` and `\unrestrict` in their places.
    Metacommand,
    /// `\connect`: what follows would go to another database (`pg_dump -C`, `pg_dumpall`).
    Connect,
    /// `:name`, which psql replaces where such a variable is set. Array slices look the same.
    Variable,
    /// Bytes that psql, its other versions or the server cut differently: nothing after can be judged.
    Ambiguous,
    /// A string that ends in a backslash, behind code that could have changed how psql reads that. Honest
    /// dumps have such strings too (`'C:\'`); harmless where psql runs under a `\restrict` of our own.
    BackslashQuote,
    /// CREATE, ALTER or DROP DATABASE.
    OtherDatabase,
    /// Roles and tablespaces, which belong to the whole server.
    ClusterWide,
    /// SET ROLE and its kin: leaves the role the restore runs as.
    ChangesRole,
    /// BEGIN, COMMIT and their kin; `pg_dump` writes them around large objects. They end a surrounding
    /// transaction.
    Transaction,
    /// DO or CALL: code that runs while it is restored. `pg_dump` writes neither.
    RunsCode,
    /// A query that `pg_dump` does not write: SELECT of anything but its own few functions, WITH, a call among INSERTed values.
    Query,
    /// A name as `U&"…"`, which hides it from a reader. `pg_dump` does not write names so.
    HiddenName,
    /// COPY … PROGRAM, or a foreign table's program: a command on the server's machine.
    Program,
    /// Reads or writes files of the server.
    ServerFile,
    /// Code in C or in an untrusted language.
    UntrustedLanguage,
    /// An extension that brings an untrusted language or reads the server's files.
    UntrustedExtension,
    /// LOAD of a library.
    Load,
    AlterSystem,
    /// CREATE EVENT TRIGGER: runs for every later DDL statement, whoever sends it.
    EventTrigger,
    /// CREATE SUBSCRIPTION: connects to another server.
    Subscription,
    /// A write to the system catalogs.
    CatalogWrite,
}

impl FindingKind {
    /// Reports whether psql itself would act on the finding, on the machine where psql runs.
    pub(crate) fn is_metacommand(self) -> bool {
        matches!(self, Self::Metacommand | Self::Connect)
    }

    /// Reports whether it is no longer sure which database the statements behind the finding write.
    pub(crate) fn leaves_database(self) -> bool {
        matches!(self, Self::Connect | Self::OtherDatabase)
    }

    /// Reports whether an unauthenticated dump is refused because of the finding. Other findings are only reported.
    pub(crate) fn stops(self) -> bool {
        !matches!(self, Self::Variable | Self::Transaction)
    }

    /// Returns a description that continues "the dump …".
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Metacommand => "contains a psql command",
            Self::Connect => "switches to another database",
            Self::Variable => "may refer to a psql variable",
            Self::Ambiguous => "contains text that can be read in two ways",
            Self::BackslashQuote => {
                "has a string that ends in a backslash, behind code that may change its meaning"
            }
            Self::OtherDatabase => "creates, changes or drops a database",
            Self::ClusterWide => "changes roles or tablespaces of the whole server",
            Self::ChangesRole => "changes the role it runs as",
            Self::Transaction => "begins or ends transactions of its own",
            Self::RunsCode => "runs code of its own, which pg_dump does not write",
            Self::Query => "runs a query of its own, which pg_dump does not write",
            Self::HiddenName => "hides a name behind `U&\"…\"`, which pg_dump does not write",
            Self::Program => "runs a program on the server",
            Self::ServerFile => "reads or writes files of the server",
            Self::UntrustedLanguage => "brings code in C or in an untrusted language",
            Self::UntrustedExtension => "installs an extension that can reach outside the database",
            Self::Load => "loads a library into the server",
            Self::AlterSystem => "changes the server's settings",
            Self::EventTrigger => "creates an event trigger",
            Self::Subscription => "subscribes to another server",
            Self::CatalogWrite => "writes to the system catalogs",
        }
    }
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The line it begins on, from 1.
    pub(crate) line: u64,
    /// The plain byte it begins at.
    pub(crate) offset: u64,
    pub(crate) kind: FindingKind,
    /// The beginning of the statement or line; secrets are masked, unprintable characters escaped.
    pub(crate) excerpt: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.kind.describe(), self.excerpt)
    }
}

/// The longest excerpt, in bytes of the dump.
pub(crate) const EXCERPT: usize = 160;

/// Returns foreign bytes as one printable line, without their secrets.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = mask(&String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT)]));
    escape(&text.trim().replace(['\n', '\t', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_cannot_speak_to_the_terminal() {
        let line = printable("\\! a'b\u{1b}[2J\u{202e}\u{3164}\n\"é\"".as_bytes());
        assert_eq!(line, "\\! a'b\\u{1b}[2J\\u{202e}\\u{3164} \"é\"");
    }
}

//! Contents of a scanned dump.

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::special_statements::SpecialStatements;
use crate::dump::fingerprint::Fingerprint;
use crate::dump::sql::toc_comment::Entry;
use crate::dump::sql::trailer::Completeness;
use crate::text::encoding::{Text, decode};

/// The data of one table. The names in JSON are those of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyBlock {
    /// The table as the COPY statement writes it, quotes included: usable in SQL as it is.
    #[serde(rename = "name")]
    pub(crate) table: String,
    pub(crate) rows: u64,
    /// Position of the data, without the closing `\.`; plain dumps only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Span>,
    /// Fingerprint of the rows; none where they cannot be unpacked, and in manifests of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) contents: Option<Fingerprint>,
}

/// A part of a plain dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// Offset of the first byte.
    pub(crate) offset: u64,
    /// Length in bytes.
    pub(crate) bytes: u64,
}

/// An extension that a dump creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtensionPlace {
    /// Name.
    pub(crate) name: String,
    /// Schema, where the dump names one.
    pub(crate) schema: Option<String>,
}

/// Everything the scanner learned.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a dump")]
pub(crate) struct Summary {
    pub(crate) completeness: Completeness,
    /// Reports whether it ends as a script may end that has no trailer (`--sql-script`).
    pub(crate) script: Completeness,
    /// Reports whether it has a header of pg_dump.
    pub(crate) of_pg_dump: bool,
    /// Plain bytes.
    pub(crate) bytes: u64,
    /// Line ends plus one.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare it with the text"))]
    pub(crate) lines: u64,
    /// Statements that ended in a semicolon.
    pub(crate) statements: u64,
    /// True if the file begins with a UTF-8 byte order mark, which must not be sent to the server.
    pub(crate) bom: bool,
    /// True if `pg_dumpall` wrote the dump.
    pub(crate) cluster: bool,
    /// From the header: the version of the server that was dumped, e.g. `16.4 (Debian 16.4-1)`.
    pub(crate) server_version: Option<String>,
    /// From the header: the version of `pg_dump`.
    pub(crate) pg_dump_version: Option<String>,
    /// The key of `\restrict`.
    pub(crate) restrict_key: Option<String>,
    /// The client encoding the dump sets.
    pub(crate) encoding: Option<String>,
    /// Kind of text that the dump's bytes are.
    pub(crate) text: Text,
    /// The COPY blocks, in order.
    pub(crate) copies: Vec<CopyBlock>,
    /// The entries, in order.
    pub(crate) entries: Vec<Entry>,
    /// True if the dump has more entries or COPY blocks than are kept.
    pub(crate) overflow: bool,
    /// Extensions created, sorted.
    pub(crate) extensions: Vec<String>,
    /// Extensions in the order of the dump, with their schemas.
    pub(crate) extension_places: Vec<ExtensionPlace>,
    /// Roles that have to exist, sorted.
    pub(crate) roles: Vec<String>,
    /// Tablespaces that have to exist, sorted.
    pub(crate) tablespaces: Vec<String>,
    /// Statements that call for a rule of their own.
    pub(crate) notes: SpecialStatements,
    /// Findings, in order; at most a few dozen of each kind.
    pub(crate) findings: Vec<Finding>,
    /// Findings beyond those kept.
    pub(crate) findings_left_out: u64,
}

impl Summary {
    /// Returns whether the dump is complete, or the reason why not.
    pub(crate) fn completeness(&self) -> Completeness {
        self.completeness.clone()
    }

    /// Returns the summary with all names decoded from the dump's encoding.
    pub(crate) fn decoded(mut self) -> Self {
        let Some(encoding) = self.encoding.clone() else { return self };
        let read = |name: &mut String| *name = decode(name, &encoding);
        self.copies.iter_mut().for_each(|copy| read(&mut copy.table));
        for entry in &mut self.entries {
            read(&mut entry.name);
            entry.schema.iter_mut().chain(&mut entry.owner).for_each(read);
        }
        for names in [&mut self.extensions, &mut self.roles, &mut self.tablespaces] {
            names.iter_mut().for_each(read);
        }
        let tables = std::mem::take(&mut self.notes.rows.tables);
        self.notes.rows.tables = tables.into_iter().map(|name| decode(&name, &encoding)).collect();
        self
    }

    /// Rows in all COPY blocks.
    pub(crate) fn rows(&self) -> u64 {
        self.copies.iter().map(|block| block.rows).sum()
    }

    /// The findings because of which a dump that nobody vouches for is refused.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.kind.stops())
    }

    /// Reports whether the dump creates databases or switches to them: `pg_dumpall`, `pg_dump --create`.
    pub(crate) fn leads_to_databases(&self) -> bool {
        self.cluster || self.findings.iter().any(|finding| finding.kind.leaves_database())
    }

    /// The major version of the dumped server, e.g. 16.
    pub(crate) fn server_major(&self) -> Option<u32> {
        let version = self.server_version.as_deref()?;
        version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

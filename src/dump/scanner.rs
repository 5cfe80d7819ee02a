//! Whatever a dump is, read as it streams by: plain SQL by its statements, an archive by its list.

use super::archive::ArchiveScanner;
use crate::dump::format::Format;
use crate::dump::sql::{DumpScanner, Finding, Summary};

/// The scanner of a stream.
pub(crate) enum AnyScanner {
    /// Plain SQL.
    Plain(Box<DumpScanner>),
    /// A custom archive.
    Archive(Box<ArchiveScanner>),
}

impl AnyScanner {
    /// Before the first byte.
    pub(crate) fn new(format: Format) -> Self {
        match format {
            Format::Plain => Self::Plain(Box::default()),
            // A directory is read as the custom archive it could be.
            Format::Custom | Format::Directory => Self::Archive(Box::default()),
        }
    }

    /// Reads the next chunk, of any size.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        match self {
            Self::Plain(scanner) => scanner.feed(chunk),
            Self::Archive(scanner) => scanner.feed(chunk),
        }
    }

    /// Bytes seen so far.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Plain(scanner) => scanner.bytes(),
            Self::Archive(scanner) => scanner.bytes(),
        }
    }

    /// The table whose data are passing by.
    pub(crate) fn current_table(&self) -> Option<&str> {
        match self {
            Self::Plain(scanner) => scanner.current_table().map(|(name, _)| name),
            Self::Archive(scanner) => scanner.current_table(),
        }
    }

    /// Returns the findings so far.
    pub(crate) fn findings(&self) -> &[Finding] {
        match self {
            Self::Plain(scanner) => scanner.findings(),
            Self::Archive(scanner) => scanner.findings(),
        }
    }

    /// Reports whether all content so far is judged. An archive is judged by its list, which says what will be run.
    pub(crate) fn is_judged(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Archive(scanner) => scanner.is_listed(),
        }
    }

    /// Ends the stream.
    pub(crate) fn finish(self) -> Summary {
        match self {
            Self::Plain(scanner) => scanner.finish(),
            Self::Archive(scanner) => scanner.finish(),
        }
    }
}

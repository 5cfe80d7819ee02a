//! Reads a plain dump as it streams by: is it whole, what is in it, and what would it do besides.
//!
//! Promises: the answer never depends on how the stream was cut into chunks; memory is constant but for
//! the lists of tables and entries; COPY data cost one search for line ends. Lines that look like a
//! trailer, a marker or `\.` inside data, strings, function bodies or comments fool nobody, since
//! outside COPY data the text is lexed as psql lexes it.
//!
//! Limit: a function of the dump that runs during the restore may change `standard_conforming_strings` without psql's
//! knowledge. Text behind a function or a DO block that such a change would cut differently (`'…\'`) is therefore
//! reported as [`FindingKind::BackslashQuote`].

pub(crate) mod classify;
pub(crate) mod copy_data;
mod data_tables;
mod filter;
pub(crate) mod finding;
pub(crate) mod lexer;
mod nesting;
mod special_statements;
pub(crate) mod statement_head;
mod statement_state;
mod summary;
mod summary_builder;
#[cfg(test)]
mod tests;
pub(crate) mod toc_comment;
mod token;
pub(crate) mod trailer;

pub(crate) use filter::{Apart, LeftOut, Rules, StatementFilter};
pub(crate) use filter::{MOST_DEFERRED, MOST_GLOBALS};
pub(crate) use finding::printable;
pub(crate) use finding::{Finding, FindingKind};
use lexer::Lexer;
pub(crate) use lexer::tokens::{SqlToken, SqlTokenKind, SqlTokens, begins_with, qualified_name, statements};
pub(crate) use special_statements::SpecialStatements;
#[cfg(test)]
pub(crate) use summary::Span;
pub(crate) use summary::{CopyBlock, ExtensionPlace, Summary};
use summary_builder::Collector;
pub(crate) use toc_comment::Entry;
use token::Open;
pub(crate) use trailer::Completeness;
pub(crate) use trailer::NO_TRAILER;

use crate::dump::sql::token::BOM;
use crate::text::encoding::TextCheck;

/// Scans a plain dump chunk by chunk.
#[derive(Debug)]
pub(crate) struct DumpScanner {
    lexer: Lexer,
    collector: Collector,
    /// Bytes of a byte order mark seen at the very start; none once that is decided.
    mark: Option<usize>,
    bom: bool,
    text: TextCheck,
}

impl Default for DumpScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl DumpScanner {
    /// A scanner of a dump that a psql without `\restrict` loads: any string that ends in a backslash is doubtful, since
    /// code that the scanner does not see may have changed its meaning.
    pub(crate) fn doubtful() -> Self {
        let mut scanner = Self::new();
        scanner.collector.doubt_all();
        scanner
    }

    /// A scanner before the first byte.
    pub(crate) fn new() -> Self {
        Self {
            lexer: Lexer::with_fingerprint(),
            collector: Collector::default(),
            mark: Some(0),
            bom: false,
            text: TextCheck::default(),
        }
    }

    /// Reads the next chunk, of any size.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.text.feed(chunk);
        let mut rest = chunk;
        while let (Some(seen), Some(&next)) = (self.mark, rest.first()) {
            if next == BOM[seen] {
                rest = &rest[1..];
                self.mark = Some(seen + 1);
                if seen + 1 == BOM.len() {
                    self.mark = None;
                    self.bom = true;
                    self.lexer.skip(BOM.len() as u64);
                }
            } else {
                self.decide_no_mark(seen);
            }
        }
        self.lexer.feed(rest, &mut self.collector);
    }

    fn decide_no_mark(&mut self, seen: usize) {
        self.mark = None;
        self.lexer.feed(&BOM[..seen], &mut self.collector);
    }

    /// Plain bytes seen so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.lexer.offset() + self.mark.unwrap_or(0) as u64
    }

    /// The table whose data are passing by, and its rows so far.
    pub(crate) fn current_table(&self) -> Option<(&str, u64)> {
        Some((self.collector.table()?, self.lexer.copy_rows()))
    }

    /// Returns the findings so far.
    pub(crate) fn findings(&self) -> &[Finding] {
        self.collector.findings()
    }

    /// The plain byte up to which everything may be sent to psql: whole statements, whole backslash
    /// commands and COPY data without a finding that [stops](FindingKind::stops). It never goes back,
    /// and stands still for good after such a finding.
    ///
    /// Statements longer than 256 KiB are let through while they pass, all but their semicolon: psql
    /// only collects them until then. So where a scan ends in a finding or without proof, end psql
    /// without closing its input first: at the end of its input it would run what it has collected.
    /// After a clean [`finish`](Self::finish) the rest (blank lines and comments) may follow.
    pub(crate) fn clean_until(&self) -> u64 {
        self.collector.clean_until(self.lexer.offset(), self.lexer.open_metacommand())
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self) -> Summary {
        if let Some(seen) = self.mark {
            self.decide_no_mark(seen);
        }
        let open = self.lexer.finish(&mut self.collector);
        let (bytes, lines) = (self.lexer.offset(), self.lexer.line());
        let text = self.text.finish();
        Summary { text, ..self.collector.finish(bytes, lines, open, self.bom) }.decoded()
    }
}

impl Open {
    fn is_copy(self) -> bool {
        self == Self::Copy
    }
}

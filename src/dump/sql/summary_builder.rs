//! Listens to the lexer and gathers the summary.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{EXCERPT, Finding, FindingKind, printable};
use super::special_statements::{SpecialStatements, connected};
use super::statement_head::Head;
use super::statement_state::{MOST_NAMES, StatementState};
use super::summary::{CopyBlock, ExtensionPlace, Span, Summary};
use super::token::{Ambiguity, LexerEvents, Open, SourceLocation, Token};
use crate::dump::fingerprint::ItemHasher;
use crate::dump::sql::classify::{StatementClass, judge};
use crate::dump::sql::copy_data::CopyTotals;
use crate::dump::sql::toc_comment;
use crate::dump::sql::toc_comment::Entry;
use crate::dump::sql::token::HELD;
use crate::dump::sql::trailer::{Completeness, Trailer};
use crate::text::encoding::{Text, of_bytes};

/// Largest number of entries, and of COPY blocks, that are kept; real databases have some thousands.
const KEPT_ENTRIES: usize = 500_000;
/// Largest number of findings of one kind that are kept.
const KEPT_FINDINGS: u64 = 25;

/// Facts gathered so far about a dump.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the text so far")]
pub(crate) struct Collector {
    statement: StatementState,
    excerpt: Vec<u8>,
    /// Hash of the statement's own bytes, from its first character.
    hasher: ItemHasher,
    trailer: Trailer,
    /// Offset of the comment lines that an entry marker may belong to, and number of the line after them.
    comments: Option<(u64, u64)>,
    server_version: Option<String>,
    pg_dump_version: Option<String>,
    encoding: Option<String>,
    statements: u64,
    copying: Option<CopyBlock>,
    copies: Vec<CopyBlock>,
    entries: Vec<Entry>,
    overflow: bool,
    extensions: BTreeSet<String>,
    extension_places: Vec<ExtensionPlace>,
    roles: BTreeSet<String>,
    tablespaces: BTreeSet<String>,
    notes: SpecialStatements,
    /// A transaction is open.
    transaction: bool,
    /// Line of the SET by which backslashes in plain strings escape.
    plain_escapes: Option<u64>,
    /// Only settings have passed so far.
    settled: bool,
    findings: Vec<Finding>,
    /// True if code has passed that could change settings unnoticed.
    opaque: bool,
    /// The token that was last found ambiguous; one word about it is enough.
    doubted: Option<u64>,
    counts: BTreeMap<FindingKind, u64>,
    /// Everything before it has been judged.
    judged: u64,
    stopped: Option<u64>,
}

impl Collector {
    /// Takes every change of settings for possible.
    pub(crate) fn doubt_all(&mut self) {
        self.opaque = true;
    }

    pub(crate) fn table(&self) -> Option<&str> {
        self.copying.as_ref().map(|block| block.table.as_str())
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(crate) fn clean_until(&self, offset: u64, open_metacommand: Option<u64>) -> u64 {
        if let Some(stopped) = self.stopped {
            return stopped;
        }
        let reached = open_metacommand.unwrap_or(offset);
        let in_data = self.copying.as_ref().is_some_and(|block| block.data.is_some());
        if in_data || reached - self.judged > HELD { reached } else { self.judged }
    }

    pub(crate) fn finish(mut self, bytes: u64, lines: u64, open: Open, bom: bool) -> Summary {
        let inside = !self.statement.is_empty();
        if inside {
            // psql runs at the end of its input what it has collected by then.
            self.end_statement(bytes);
        }
        let table = self.copying.as_ref().map(|block| block.table.clone()).filter(|_| open.is_copy());
        let completeness = if self.overflow {
            Completeness::Missing("it holds more tables or entries than can be followed".to_owned())
        } else {
            self.trailer.completeness(bytes, open, inside, table.as_deref())
        };
        let script = match self.trailer.end(bytes, open, inside, table.as_deref()) {
            Completeness::Trailer if self.transaction => {
                Completeness::Missing("it begins a transaction and does not end it".to_owned())
            }
            end => end,
        };
        let kept = self.findings.len() as u64;
        Summary {
            completeness,
            script,
            of_pg_dump: self.trailer.is_of_pg_dump(),
            bytes,
            lines,
            statements: self.statements,
            bom,
            cluster: self.trailer.is_cluster(),
            server_version: self.server_version,
            pg_dump_version: self.pg_dump_version,
            restrict_key: self.trailer.key().map(str::to_owned),
            encoding: self.encoding,
            text: Text::default(),
            copies: self.copies,
            entries: self.entries,
            overflow: self.overflow,
            extensions: self.extensions.into_iter().collect(),
            extension_places: self.extension_places,
            roles: self.roles.into_iter().collect(),
            tablespaces: self.tablespaces.into_iter().collect(),
            notes: self.notes,
            findings: self.findings,
            findings_left_out: self.counts.values().sum::<u64>() - kept,
        }
    }

    /// Notes a finding; `at` is the byte that would set it off.
    fn find(&mut self, kind: FindingKind, place: SourceLocation, excerpt: &[u8], at: u64) {
        if kind.stops() && self.stopped.is_none() {
            self.stopped = Some(if at - self.judged > HELD { at } else { self.judged });
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= KEPT_FINDINGS {
            let (line, offset) = (place.line, place.offset);
            self.findings.push(Finding { line, offset, kind, excerpt: printable(excerpt) });
        }
    }

    /// Judges the statement that ends at `at`.
    fn end_statement(&mut self, at: u64) -> StatementClass {
        let class = judge(&self.statement);
        let behind = self.trailer.has_passed();
        self.notes.statement(&self.statement.head, behind);
        self.transaction = SpecialStatements::leaves_transaction_open(self.transaction, &self.statement.head);
        self.strings();
        self.opaque |= self.statement.opaque;
        let excerpt = std::mem::take(&mut self.excerpt);
        if let Some(start) = self.statement.start {
            for &kind in &class.found {
                self.find(kind, start, &excerpt, at);
            }
        }
        if let Some(name) = class.extension.clone().filter(|_| self.extensions.len() < MOST_NAMES)
            && self.extensions.insert(name.clone())
        {
            self.extension_places.push(ExtensionPlace { name, schema: class.schema.clone() });
        }
        let tablespace = class.tablespace.clone();
        self.tablespaces.extend(tablespace.filter(|_| self.tablespaces.len() < MOST_NAMES));
        if class.encoding.is_some() && self.encoding.is_none() {
            self.encoding.clone_from(&class.encoding);
        }
        self.fingerprint();
        self.statement.clear();
        self.excerpt = excerpt;
        self.excerpt.clear();
        class
    }

    /// Adds the statement to the fingerprint of its entry. Settings belong to the next entry, or to none.
    fn fingerprint(&mut self) {
        let hash = self.hasher.finish();
        let Some(entry) = self.entries.last_mut().filter(|_| !self.overflow) else { return };
        if Head(&self.statement.head).are(0, &["set"]) {
            return;
        }
        let contents = entry.contents.get_or_insert_default();
        // A large object is written in pieces, one statement each.
        if entry.kind.starts_with("BLOB") { contents.append(hash) } else { contents.add(hash) }
    }

    /// Follows `SET standard_conforming_strings` at the head of a dump of PostgreSQL 9.0 and older. Behind anything
    /// but settings it is a trick.
    fn strings(&mut self) {
        let head = Head(&self.statement.head);
        let Some(start) = self.statement.start else { return };
        if let Some(on) = head.conforming_strings() {
            if !on && self.settled {
                let excerpt = std::mem::take(&mut self.excerpt);
                self.find(FindingKind::Ambiguous, start, &excerpt, start.offset);
                self.excerpt = excerpt;
            } else {
                self.plain_escapes = (!on).then_some(start.line);
            }
        } else if !head.are(0, &["set"]) && !head.are(0, &["select"]) && !head.are(0, &["drop"]) {
            self.settled = true;
        }
    }

    /// `\restrict KEY` or `\unrestrict KEY`, alone on its line and in its place.
    fn is_restriction(&mut self, line: &[u8], place: SourceLocation) -> bool {
        if !place.line_start || !self.statement.is_empty() {
            return false;
        }
        let Ok(line) = std::str::from_utf8(line) else { return false };
        let Some((command, key)) = line.trim_end().split_once(' ') else { return false };
        // psql would run a second command after a backslash, or a backquoted one.
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return false;
        }
        match command {
            "restrict" => self.trailer.restrict(key),
            "unrestrict" => self.trailer.unrestrict(key),
            _ => false,
        }
    }

    fn header(&mut self, line: &str) {
        let field = |prefix: &str| line.strip_prefix(prefix).map(|text| text.trim().to_owned());
        if self.server_version.is_none() {
            self.server_version = field("-- Dumped from database version ");
        }
        if self.pg_dump_version.is_none() {
            self.pg_dump_version = field("-- Dumped by pg_dump version ");
        }
    }

    fn marker(&mut self, line: &str, place: SourceLocation) {
        let begins = match self.comments {
            Some((begins, next)) if next == place.line => begins,
            _ => place.offset,
        };
        self.comments = Some((begins, place.line + 1));
        if let Some(entry) = toc_comment::parse(line, begins) {
            if self.entries.len() < KEPT_ENTRIES {
                self.entries.push(entry);
            } else {
                self.overflow = true;
            }
        }
    }
}

impl LexerEvents for Collector {
    fn token(&mut self, token: Token<'_>, place: SourceLocation) {
        self.trailer.other();
        self.statement.push(token, place, &mut self.roles);
    }

    fn comment(&mut self, text: &[u8], place: SourceLocation) {
        if !self.statement.is_empty() {
            return;
        }
        self.excerpt.clear();
        self.hasher.clear();
        if !place.line_start {
            return self.trailer.other();
        }
        let line = of_bytes(text);
        self.trailer.comment(&line);
        self.header(&line);
        self.marker(&line, place);
    }

    fn semicolon(&mut self, place: SourceLocation) -> bool {
        self.trailer.other();
        if !self.statement.ends_here() {
            self.statement.push(Token::Symbol(b';'), place, &mut self.roles);
            return false;
        }
        self.statements += 1;
        let class = self.end_statement(place.offset);
        self.judged = place.offset + 1;
        let Some(table) = class.copy else { return false };
        self.copying = Some(CopyBlock { table, rows: 0, data: None, contents: None });
        true
    }

    fn metacommand(&mut self, line: &[u8], place: SourceLocation, whole: bool) {
        if self.is_restriction(line, place) {
            if whole {
                self.judged = place.offset + 1 + line.len() as u64 + 1;
            }
        } else {
            self.trailer.other();
            let keyword = line.split(|byte| !byte.is_ascii_alphanumeric()).next().unwrap_or_default();
            let connects = keyword == b"c" || keyword == b"connect";
            let kind = if connects { FindingKind::Connect } else { FindingKind::Metacommand };
            let excerpt = [b"\\", &line[..line.len().min(EXCERPT)]].concat();
            self.find(kind, place, &excerpt, place.offset);
            if let Some(name) = connected(line) {
                self.notes.connect(name);
            }
        }
        self.excerpt.clear();
        self.hasher.clear();
    }

    fn variable(&mut self, place: SourceLocation) {
        let excerpt = std::mem::take(&mut self.excerpt);
        self.find(FindingKind::Variable, place, &excerpt, place.offset);
        self.excerpt = excerpt;
    }

    fn ambiguous(&mut self, what: Ambiguity, place: SourceLocation, at: u64) {
        let told = self.doubted.replace(place.offset) == Some(place.offset);
        if told || (what == Ambiguity::BackslashQuote && !self.opaque) {
            return;
        }
        let text = match what {
            Ambiguity::ContinuedEscape => "an E'…' string continued on another line",
            Ambiguity::BackslashQuote => "a backslash before the end of a string",
            Ambiguity::GluedNumber => "a number, a name and a quote without a space between",
            Ambiguity::LongTag => "a dollar quote with an absurdly long tag",
            Ambiguity::TextAfterCopy => "text behind COPY … FROM stdin on the same line",
        };
        let kind = match what {
            Ambiguity::BackslashQuote => FindingKind::BackslashQuote,
            _ => FindingKind::Ambiguous,
        };
        self.find(kind, place, text.as_bytes(), at);
    }

    fn copy_begins(&mut self, offset: u64) {
        if let Some(block) = &mut self.copying {
            block.data = Some(Span { offset, bytes: 0 });
        }
    }

    fn copy_ends(&mut self, totals: CopyTotals, end: u64) {
        let Some(mut block) = self.copying.take() else { return };
        block.rows = totals.rows;
        block.contents = totals.contents;
        self.notes.place();
        if let Some(data) = &mut block.data {
            data.bytes = totals.bytes;
        }
        self.judged = end;
        if self.copies.len() < KEPT_ENTRIES {
            self.copies.push(block);
        } else {
            self.overflow = true;
        }
    }

    fn plain_escapes(&self) -> Option<u64> {
        self.plain_escapes
    }

    fn raw(&mut self, bytes: &[u8]) {
        let skipped = |byte: &&u8| byte.is_ascii_whitespace() || **byte == b';';
        let lead = |begun: bool| if begun { 0 } else { bytes.iter().take_while(skipped).count() };
        self.hasher.feed(&bytes[lead(!self.hasher.is_empty())..]);
        if self.excerpt.len() < EXCERPT {
            let text = &bytes[lead(!self.excerpt.is_empty())..];
            self.excerpt.extend_from_slice(&text[..text.len().min(EXCERPT - self.excerpt.len())]);
        }
    }
}

//! Reads a custom archive as it streams by: is it whole, what is in it, and what would it do besides.
//!
//! Promises: the answer never depends on how the stream was cut; memory is bounded by the list of entries
//! (at most [`LARGEST_TOC`] bytes), never by the data; an archive counts as whole only when every entry
//! that announces data has them, unpacked to their end mark, and nothing follows: `pg_restore -l` reads
//! the list alone and passes on a truncated file (reliability F24). What the entries would run is judged
//! by the rules for plain dumps, data in the form of INSERT statements included.

use std::collections::{HashMap, HashSet};

use super::toc::{ArchiveLayout, Cursor, Stop, Toc, TocEntry};
use crate::dump::archive::entry_data::{EntryContents, EntryDataForm, EntryDataReader};
use crate::dump::archive::toc_statements::TocFindings;
use crate::dump::fingerprint::Fingerprint;
use crate::dump::sql::copy_data::CopyTotals;
use crate::dump::sql::{Completeness, CopyBlock, DumpScanner, Finding, Summary};
use crate::text::sql_quote::ident;

/// The longest list of entries that is read: some hundred thousand tables.
pub(crate) const LARGEST_TOC: usize = 256 << 20;

/// Scans a custom archive chunk by chunk.
pub(crate) struct ArchiveScanner {
    bytes: u64,
    /// Bytes that cannot be parsed yet: the head until it is complete, then at most one number.
    pending: Vec<u8>,
    /// Size of `pending` at which the head is parsed again, so that the head is parsed few times.
    try_at: usize,
    body: Option<Body>,
    broken: Option<String>,
}

struct Body {
    listed: TocFindings,
    toc: Toc,
    by_id: HashMap<i32, usize>,
    seen: HashSet<i32>,
    rows: HashMap<i32, CopyBlock>,
    /// Fingerprints of the data that are no rows, by entry.
    contents: HashMap<i32, Fingerprint>,
    place: ParserState,
}

/// Position of the scanner in the data.
enum ParserState {
    /// Between two entries.
    Entries,
    /// Between two large objects of this entry.
    Objects(usize),
    /// Between two chunks.
    Chunks(Box<OpenEntry>),
    /// Inside a chunk that has so many bytes left.
    Chunk(Box<OpenEntry>, usize),
}

struct OpenEntry {
    entry: usize,
    object: bool,
    data: EntryDataReader,
}

impl Default for ArchiveScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl ArchiveScanner {
    /// A scanner before the first byte.
    pub(crate) fn new() -> Self {
        Self { bytes: 0, pending: Vec::new(), try_at: 64, body: None, broken: None }
    }

    /// Reads the next chunk, of any size.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        if self.broken.is_some() {
            return;
        }
        let result = match &mut self.body {
            Some(body) => body.feed(&mut self.pending, chunk),
            None => self.head(chunk),
        };
        self.broken = result.err();
    }

    fn head(&mut self, chunk: &[u8]) -> Result<(), String> {
        self.pending.extend_from_slice(chunk);
        if self.pending.len() < self.try_at {
            return Ok(());
        }
        let (toc, end) = match Toc::parse(&self.pending) {
            Ok(parsed) => parsed,
            Err(Stop::Bad(why)) => return Err(why),
            Err(Stop::More) if self.pending.len() > LARGEST_TOC => {
                return Err("its list of entries has no end".to_owned());
            }
            Err(Stop::More) => {
                self.try_at = self.pending.len() * 2;
                return Ok(());
            }
        };
        if toc.layout != ArchiveLayout::Custom {
            return Err("it is the list of a directory archive, without its data".to_owned());
        }
        let rest = self.pending.split_off(end);
        self.pending.clear();
        let mut body = Body::new(toc);
        let result = body.feed(&mut self.pending, &rest);
        self.body = Some(body);
        result
    }

    /// Bytes seen so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The table whose data are passing by.
    pub(crate) fn current_table(&self) -> Option<&str> {
        let body = self.body.as_ref()?;
        match &body.place {
            ParserState::Chunks(current) | ParserState::Chunk(current, _) => {
                Some(body.toc.entries[current.entry].tag.as_str())
            }
            _ => None,
        }
    }

    /// Reports whether the list of entries has been read, which holds all SQL except INSERT statements among the data.
    pub(crate) fn is_listed(&self) -> bool {
        self.body.is_some()
    }

    /// Returns the findings so far.
    pub(crate) fn findings(&self) -> &[Finding] {
        self.body.as_ref().map_or(&[], |body| body.listed.findings())
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self) -> Summary {
        // The last try at a head that waited for more.
        self.try_at = 0;
        if self.body.is_none() && self.broken.is_none() && self.bytes > 0 {
            self.broken = self.head(&[]).err();
        }
        let Some(body) = self.body else {
            let why = self.broken.unwrap_or_else(|| "it ends inside its list of entries".to_owned());
            let mut summary = DumpScanner::new().finish();
            summary.completeness = Completeness::Missing(why);
            summary.bytes = self.bytes;
            return summary;
        };
        let broken = self.broken.or_else(|| body.missing(&self.pending));
        let mut rows = body.rows;
        let copies = body.toc.entries.iter().filter_map(|entry| rows.remove(&entry.id)).collect();
        let mut summary = body.listed.finish(&body.toc, broken, self.bytes, &body.contents);
        summary.copies = copies;
        summary.decoded()
    }
}

impl Body {
    fn new(toc: Toc) -> Self {
        let by_id = toc.entries.iter().enumerate().map(|(at, entry)| (entry.id, at)).collect();
        Self {
            listed: TocFindings::new(&toc),
            toc,
            by_id,
            seen: HashSet::new(),
            rows: HashMap::new(),
            contents: HashMap::new(),
            place: ParserState::Entries,
        }
    }

    fn feed(&mut self, pending: &mut Vec<u8>, mut chunk: &[u8]) -> Result<(), String> {
        loop {
            if let ParserState::Chunk(current, left) = &mut self.place {
                let (now, later) = chunk.split_at(chunk.len().min(*left));
                let taken = current.data.feed(now);
                taken.map_err(|why| about(&self.toc.entries[current.entry], &why))?;
                self.listed.statements(&mut current.data);
                *left -= now.len();
                chunk = later;
                if *left > 0 {
                    return Ok(());
                }
                let ParserState::Chunk(current, _) = std::mem::replace(&mut self.place, ParserState::Entries)
                else {
                    return Ok(());
                };
                self.place = ParserState::Chunks(current);
            }
            // A number may be cut anywhere; few bytes are ever held.
            let want = match self.place {
                ParserState::Entries => 6,
                _ => 5,
            };
            let take = chunk.len().min(want - pending.len().min(want));
            pending.extend_from_slice(&chunk[..take]);
            chunk = &chunk[take..];
            if pending.len() < want {
                return Ok(());
            }
            let number = std::mem::take(pending);
            self.step(&number)?;
        }
    }

    /// One number of the structure between the data.
    fn step(&mut self, number: &[u8]) -> Result<(), String> {
        let mut at = Cursor { bytes: number, at: 0 };
        let damaged = |_| "its structure is damaged between two entries".to_owned();
        match std::mem::replace(&mut self.place, ParserState::Entries) {
            ParserState::Entries => {
                let kind = at.byte().map_err(damaged)?;
                let id = at.int().map_err(damaged)?;
                let entry = *self.by_id.get(&id).ok_or_else(|| damaged(Stop::More))?;
                if !self.toc.entries[entry].has_data || !self.seen.insert(id) {
                    return Err(damaged(Stop::More));
                }
                self.place = match kind {
                    1 => ParserState::Chunks(Box::new(self.current(entry, None)?)),
                    3 => ParserState::Objects(entry),
                    _ => return Err(damaged(Stop::More)),
                };
            }
            ParserState::Objects(entry) => {
                let oid = at.int().map_err(damaged)?;
                if oid != 0 {
                    self.place = ParserState::Chunks(Box::new(self.current(entry, Some(oid))?));
                }
            }
            ParserState::Chunks(current) => {
                let len = usize::try_from(at.int().map_err(damaged)?).map_err(|_| damaged(Stop::More))?;
                if len > 0 {
                    self.place = ParserState::Chunk(current, len);
                } else {
                    self.end(*current)?;
                }
            }
            chunk @ ParserState::Chunk(..) => self.place = chunk,
        }
        Ok(())
    }

    fn current(&self, entry: usize, object: Option<i32>) -> Result<OpenEntry, String> {
        let form = form(&self.toc.entries[entry], object.is_some());
        let data = EntryDataReader::new(self.toc.inner, form).of_object(object);
        let object = object.is_some();
        if data.is_opaque() && form == EntryDataForm::Statements {
            let why = "its data are compressed statements that cannot be scanned";
            return Err(about(&self.toc.entries[entry], why));
        }
        Ok(OpenEntry { entry, object, data })
    }

    fn end(&mut self, mut current: OpenEntry) -> Result<(), String> {
        let entry = &self.toc.entries[current.entry];
        self.listed.statements(&mut current.data);
        self.listed.saw(current.data.text());
        match current.data.finish().map_err(|why| about(entry, &why))? {
            EntryContents::Rows(CopyTotals { rows, contents, .. }) => {
                let block = CopyBlock { table: table(entry), rows, data: None, contents };
                self.rows.insert(entry.id, block);
            }
            EntryContents::Other(hash) => self.contents.entry(entry.id).or_default().add(hash),
            EntryContents::Unknown => {}
        }
        if current.object {
            self.place = ParserState::Objects(current.entry);
        }
        Ok(())
    }

    fn missing(&self, pending: &[u8]) -> Option<String> {
        let inside = !matches!(self.place, ParserState::Entries) || !pending.is_empty();
        if let ParserState::Chunk(current, _) | ParserState::Chunks(current) = &self.place {
            return Some(format!("it ends inside the data of {}", table(&self.toc.entries[current.entry])));
        }
        if inside {
            return Some("it ends inside an entry".to_owned());
        }
        let lost = self.toc.entries.iter().find(|entry| entry.has_data && !self.seen.contains(&entry.id));
        lost.map(|entry| format!("the data of {} are not there", table(entry)))
    }
}

fn about(entry: &TocEntry, why: &str) -> String {
    format!("{} {}: {why}", entry.kind, table(entry))
}

/// Returns the form of an entry's data.
fn form(entry: &TocEntry, object: bool) -> EntryDataForm {
    if object || entry.kind.starts_with("BLOB") {
        EntryDataForm::Object
    } else if entry.copy.is_empty() {
        EntryDataForm::Statements
    } else {
        EntryDataForm::Rows
    }
}

/// The table of an entry's data.
fn table(entry: &TocEntry) -> String {
    if entry.namespace.is_empty() { entry.tag.clone() } else { shown(&entry.namespace, &entry.tag) }
}

/// A table's name as a person reads it: quoted only where it is no plain word.
pub(crate) fn shown(schema: &str, name: &str) -> String {
    let keyword = |name: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
        if name.bytes().next().is_some_and(plain) && name.bytes().all(|b| plain(b) || b.is_ascii_digit()) {
            name.to_owned()
        } else {
            ident(name)
        }
    };
    format!("{}.{}", keyword(schema), keyword(name))
}

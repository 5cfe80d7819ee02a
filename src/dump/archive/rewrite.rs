//! Rules of a restore applied to the list of a custom archive, before `pg_restore` reads it.
//!
//! Promises: the statements of an entry pass the same filter as those of a plain dump; an entry whose statement is left
//! out stays in the list, without statement and owner, so that its data keep their place; data pass unchanged. Memory is
//! bounded by the list of entries.

use super::scanner::LARGEST_TOC;
use super::toc::{Cursor, OFFSET_BYTES, Stop, Toc, TocEntry};
use crate::dump::owners_and_privileges::{has_owner, owner_of_entry};
use crate::dump::sql::finding::TRUST;
use crate::dump::sql::{LeftOut, MOST_DEFERRED, Rules, StatementFilter};
use crate::error::{self, Error};

/// State of an entry's data in the list: their place is not known, or there are none.
const NOT_SET: u8 = 1;
const NO_DATA: u8 = 3;

/// Rewrites the list of a custom archive that streams by.
pub(crate) struct ListFilter {
    rules: Rules,
    left_out: LeftOut,
    /// Numbers of the entries that are not left out.
    kept: Vec<i32>,
    /// Reports that a part of an entry is changed.
    partial: bool,
    /// Entries whose owner cannot be set later.
    unowned: Vec<String>,
    /// Head and list, until both are whole.
    pending: Vec<u8>,
    try_at: usize,
    done: bool,
}

impl ListFilter {
    /// A filter before the first byte.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            left_out: LeftOut::default(),
            kept: Vec::new(),
            partial: false,
            unowned: Vec::new(),
            pending: Vec::new(),
            try_at: 64,
            done: false,
        }
    }

    /// Takes the next chunk, of any size, and returns what may pass by now.
    pub(crate) fn feed(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        if self.done {
            return chunk;
        }
        self.pending.extend_from_slice(&chunk);
        if self.pending.len() < self.try_at {
            return Vec::new();
        }
        match Toc::parse(&self.pending) {
            Ok((toc, end)) => {
                self.done = true;
                let bytes = std::mem::take(&mut self.pending);
                match self.rewritten(&toc, &bytes[..end]) {
                    Ok(mut list) => {
                        list.extend_from_slice(&bytes[end..]);
                        list
                    }
                    Err(_) => bytes,
                }
            }
            Err(Stop::More) if self.pending.len() <= LARGEST_TOC => {
                self.try_at = self.pending.len() * 2;
                Vec::new()
            }
            // The scanner behind says what is wrong with it.
            Err(_) => {
                self.done = true;
                std::mem::take(&mut self.pending)
            }
        }
    }

    /// Reports that the list has passed.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Reports that a part of an entry is left out or changed, which no list of entries tells.
    pub(crate) fn is_partial(&self) -> bool {
        self.partial
    }

    /// Checks that no owner of the archive is lost.
    ///
    /// # Errors
    /// Kind `Refused`: the owner of an entry, which is named, cannot be set after the load.
    pub(crate) fn check_owners(&self) -> Result<(), Error> {
        let Some(first) = self.unowned.first() else { return Ok(()) };
        let more = self.unowned.len() - 1;
        let others = if more == 0 { String::new() } else { format!(" and of {more} more") };
        Err(error::refused(format!(
            "the owner of {first}{others} in the archive cannot be set: the entry is not as pg_dump writes it"
        ))
        .hint("leave out the owners: `--no-owner`")
        .hint(TRUST))
    }

    /// Returns the list of entries for `pg_restore --use-list`, without those that are left out.
    pub(crate) fn list(&self) -> String {
        self.kept.iter().fold(String::new(), |list, id| list + &id.to_string() + ";\n")
    }

    /// Ends the stream: returns what is left of it, and the count of what was left out.
    pub(crate) fn finish(mut self) -> (Vec<u8>, LeftOut) {
        self.try_at = 0;
        let rest = if self.done { Vec::new() } else { self.feed(Vec::new()) };
        let rest = if self.done { rest } else { self.pending };
        (rest, self.left_out)
    }

    fn rewritten(&mut self, toc: &Toc, bytes: &[u8]) -> Result<Vec<u8>, Stop> {
        let mut out = bytes[..toc.first_entry].to_vec();
        for entry in &toc.entries {
            self.entry(toc, entry, &bytes[entry.body.clone()], &mut out)?;
            // The places of the data are no longer those of the file; a pipe does not use them.
            out.push(if entry.has_data { NOT_SET } else { NO_DATA });
            out.extend([0; OFFSET_BYTES]);
        }
        Ok(out)
    }

    /// Copies an entry with what the rules make of its statement and its owner. Order of the fields: `ReadToc`.
    fn entry(&mut self, toc: &Toc, entry: &TocEntry, body: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
        let mut at = Cursor { bytes: body, at: 0 };
        at.int()?;
        at.int()?;
        for _ in 0..4 {
            at.nullable()?; // Two numbers of the catalog, name, kind.
        }
        at.int()?;
        out.extend_from_slice(&body[..at.at]);
        let definition = at.nullable()?;
        let begin = self.left_out.deferred.len();
        let (definition, emptied) = match definition {
            Some(text) => {
                let kept = self.filtered(text);
                let blank = |text: &[u8]| text.trim_ascii().is_empty();
                let emptied = blank(&kept) && !blank(text);
                self.partial |= !emptied && kept != text;
                (Some(if emptied { Vec::new() } else { kept }), emptied)
            }
            None => (None, false),
        };
        self.for_each_object(toc, entry, begin)?;
        if !emptied {
            self.kept.push(entry.id);
        }
        write(out, definition.as_deref());
        let drop = at.nullable()?;
        write(out, if emptied { Some(b"") } else { drop });
        let middle = at.at;
        for _ in 0..3 {
            at.nullable()?; // COPY, schema, tablespace.
        }
        if toc.minor >= 14 {
            at.nullable()?;
        }
        if toc.minor >= 16 {
            at.int()?;
        }
        out.extend_from_slice(&body[middle..at.at]);
        let owner = at.nullable()?;
        if emptied && self.rules.apart.is_some() && entry.kind == "SCHEMA" {
            // There already, and its owner is the dump's.
            self.defer_owner(entry);
        }
        if emptied || (self.rules.no_owner && !entry.owner.is_empty()) {
            write(out, Some(b""));
            if !emptied {
                self.left_out.owner();
            }
        } else if self.rules.apart.is_some() {
            self.defer_owner(entry);
            write(out, Some(b""));
        } else if let Some(other) = self.rules.roles.get(&entry.owner) {
            self.partial |= other != &entry.owner;
            write(out, Some(other.as_bytes()));
        } else {
            write(out, owner);
        }
        out.extend_from_slice(&body[at.at..]);
        Ok(())
    }

    /// Keeps the owner of an entry for later.
    fn defer_owner(&mut self, entry: &TocEntry) {
        let TocEntry { kind, namespace, tag, drop, owner, .. } = entry;
        let owner = &self.rules.roles.get(owner).unwrap_or(owner).clone();
        if owner.is_empty() || self.rules.no_owner {
            return;
        }
        if kind == "BLOB METADATA" {
            for oid in entry.definition.lines() {
                let owned = owner_of_entry("BLOB", "", oid, "", owner);
                self.keep_owner(owned, || format!("large object {oid:?}"));
            }
        } else if has_owner(kind) {
            let owned = owner_of_entry(kind, namespace, tag, drop, owner);
            self.keep_owner(owned, || format!("{} {tag:?}", kind.to_lowercase()));
        }
    }

    fn keep_owner(&mut self, statement: Option<String>, shown: impl FnOnce() -> String) {
        match statement {
            Some(statement) => self.left_out.deferred.push(statement),
            None => self.unowned.push(shown()),
        }
    }

    /// Repeats the rights of a group of large objects, which the archive writes for the first of them alone.
    fn for_each_object(&mut self, toc: &Toc, entry: &TocEntry, begin: usize) -> Result<(), Stop> {
        if entry.depends.is_empty() {
            return Ok(());
        }
        let groups = toc.entries.iter().filter(|group| entry.depends.contains(&group.id));
        let groups = groups.filter(|group| group.kind == "BLOB METADATA");
        let objects: Vec<&str> = groups.flat_map(|group| group.definition.lines()).collect();
        let Some((first, others)) = objects.split_first() else { return Ok(()) };
        let named = |oid: &str| format!(" LARGE OBJECT {oid} ");
        let rights = self.left_out.deferred[begin..].to_vec();
        if self.left_out.deferred.len() + others.len() * rights.len() > MOST_DEFERRED {
            return Err(Stop::Bad(format!("it sets more than {MOST_DEFERRED} owners and rights")));
        }
        for oid in others.iter().filter(|oid| oid.bytes().all(|b| b.is_ascii_digit())) {
            let more = rights.iter().map(|right| right.replacen(&named(first), &named(oid), 1));
            self.left_out.deferred.extend(more);
        }
        Ok(())
    }

    fn filtered(&mut self, text: &[u8]) -> Vec<u8> {
        let mut filter = StatementFilter::new(self.rules.clone());
        let mut kept = filter.feed(text.to_vec());
        let (rest, left_out) = filter.finish();
        kept.extend(rest);
        self.left_out.merge(left_out);
        kept
    }
}

/// Writes a text as archives do: its length, then its bytes; a length of -1 stands for none.
fn write(out: &mut Vec<u8>, text: Option<&[u8]>) {
    let Some(text) = text else {
        out.push(1);
        return out.extend(1u32.to_le_bytes());
    };
    out.push(0);
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text);
}

//! Scans the entries of an archive by the rules for plain dumps.
//!
//! Promise: every statement that `pg_restore` would send, the COPY statements and the data that are
//! statements themselves included, passes the same scanner as a plain dump does: an archive's COPY
//! statement is free text too, and could name a program.

use std::collections::HashMap;

use super::toc::{Toc, TocEntry};
use crate::dump::archive::entry_data::EntryDataReader;
use crate::dump::fingerprint::{Fingerprint, ItemHash};
use crate::dump::sql::{Completeness, DumpScanner, Entry, Finding, FindingKind, Summary, printable};
use crate::text::encoding::{Text, to_bytes};

/// Scan results of an archive's statements.
pub(crate) struct TocFindings {
    summary: Summary,
    /// Data in the form of statements; so many of its findings are in the summary already.
    inserts: DumpScanner,
    taken: usize,
}

impl TocFindings {
    pub(crate) fn new(toc: &Toc) -> Self {
        let mut listed = Self { summary: DumpScanner::new().finish(), inserts: DumpScanner::new(), taken: 0 };
        for entry in toc.entries.iter().filter(|entry| is_restored(entry)) {
            // One scanner each: they are sent one by one, and a quote left open in one must not hide the next.
            // Since pg_dump 17 the numbers of large objects stand there, and no statement.
            if entry.kind != "BLOB METADATA" {
                listed.judge(&entry.definition, false);
            }
            listed.judge(&entry.drop, false);
            // Put between quotes, or behind ALTER LARGE OBJECT, as they are.
            let oids = match entry.kind.as_str() {
                "BLOB" => &entry.tag,
                "BLOB METADATA" => &entry.definition,
                _ => "",
            };
            if !oids.bytes().all(|b| b.is_ascii_digit() || b == b'\n') {
                listed.doubt(oids);
            }
            if !entry.copy.is_empty() {
                listed.judge(&entry.copy, true);
            }
        }
        listed
    }

    /// One text that is sent as it is. What follows a COPY in it is a statement to the server and rows to
    /// psql, by whose rules the scanner reads: so a COPY stands alone, or the text is doubtful.
    fn judge(&mut self, text: &str, copy: bool) {
        let mut scanner = DumpScanner::new();
        scanner.feed(&to_bytes(text));
        if copy {
            scanner.feed(b"\\.\n");
        }
        let summary = scanner.finish();
        let alone = summary.statements == 1
            && summary.copies.len() == 1
            && summary.copies[0].data.is_none_or(|data| data.bytes == 0);
        let doubtful = if copy { !alone } else { !summary.copies.is_empty() };
        if doubtful && summary.refusals().count() == 0 {
            self.doubt(text);
        }
        self.add(summary);
    }

    fn doubt(&mut self, text: &str) {
        let excerpt = printable(text.as_bytes());
        self.summary.findings.push(Finding { line: 1, offset: 0, kind: FindingKind::Ambiguous, excerpt });
    }

    fn add(&mut self, of: Summary) {
        let summary = &mut self.summary;
        summary.statements += of.statements;
        summary.extensions.extend(of.extensions);
        summary.extension_places.extend(of.extension_places);
        summary.roles.extend(of.roles);
        summary.tablespaces.extend(of.tablespaces);
        // pg_restore drops nothing without --clean.
        summary.notes.merge(of.notes.without_drops());
        summary.findings.extend(of.findings);
        summary.findings_left_out += of.findings_left_out;
        summary.encoding = summary.encoding.take().or(of.encoding);
        summary.text = summary.text.max(of.text);
    }

    /// Takes what data in the form of statements have brought.
    pub(crate) fn statements(&mut self, data: &mut EntryDataReader) {
        if !data.statements.is_empty() {
            self.inserts.feed(&std::mem::take(&mut data.statements));
            let known = self.taken;
            self.taken = self.inserts.findings().len();
            self.summary.findings.extend_from_slice(&self.inserts.findings()[known..]);
        }
    }

    /// Notes what the data of an entry are, by their bytes.
    pub(crate) fn saw(&mut self, text: Text) {
        self.summary.text = self.summary.text.max(text);
    }

    /// Returns the findings so far.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.summary.findings
    }

    /// Returns the summary of the archive, without its rows and with names as they are encoded. `broken` is the reason why the archive is incomplete.
    pub(crate) fn finish(
        mut self,
        toc: &Toc,
        broken: Option<String>,
        bytes: u64,
        contents: &HashMap<i32, Fingerprint>,
    ) -> Summary {
        let mut inserts = std::mem::take(&mut self.inserts).finish();
        inserts.findings.drain(..self.taken.min(inserts.findings.len()));
        self.add(inserts);
        let mut summary = self.summary;
        summary.completeness = broken.map_or(Completeness::Trailer, Completeness::Missing);
        summary.bytes = bytes;
        summary.server_version = Some(toc.server_version.clone()).filter(|version| !version.is_empty());
        summary.pg_dump_version = Some(toc.pg_dump_version.clone()).filter(|version| !version.is_empty());
        let restored = || toc.entries.iter().filter(|entry| is_restored(entry));
        summary.entries = restored().map(|entry| in_summary(entry, contents.get(&entry.id))).collect();
        // Of rows pg_restore sets no owner.
        let owned = restored().filter(|entry| !matches!(entry.kind.as_str(), "TABLE DATA" | "SEQUENCE SET"));
        summary.roles.extend(owned.map(|entry| entry.owner.clone()));
        summary.tablespaces.extend(restored().map(|entry| entry.tablespace.clone()));
        for names in [&mut summary.roles, &mut summary.tablespaces, &mut summary.extensions] {
            names.retain(|name| !name.is_empty());
            names.sort();
            names.dedup();
        }
        summary
    }
}

/// The entry as the manifest lists it; `data` is the fingerprint of data that are no rows.
fn in_summary(entry: &TocEntry, data: Option<&Fingerprint>) -> Entry {
    let mut contents = data.copied().unwrap_or_default();
    for text in [&entry.definition, &entry.copy].into_iter().filter(|text| !text.is_empty()) {
        contents.add(ItemHash::of(&to_bytes(text)));
    }
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Entry {
        offset: 0,
        name: entry.tag.clone(),
        kind: entry.kind.clone(),
        schema: given(&entry.namespace),
        owner: given(&entry.owner),
        data: entry.has_data,
        contents: Some(contents).filter(|contents| *contents != Fingerprint::default()),
    }
}

/// Reports whether `pg_restore` without `--create` restores the entry.
/// Every archive has entries for the database itself, which are left out (`_tocEntryRequired` in pg_backup_archiver.c).
pub(crate) fn is_restored(entry: &TocEntry) -> bool {
    let of_database = matches!(entry.kind.as_str(), "COMMENT" | "ACL" | "SECURITY LABEL")
        && entry.tag.starts_with("DATABASE ");
    !of_database && !matches!(entry.kind.as_str(), "DATABASE" | "DATABASE PROPERTIES")
}

//! How a plain dump is shared out over several sessions, as a value: what goes alone and in order, what
//! may go side by side.
//!
//! Promises: every byte of the dump is in exactly one part, and the parts are in the dump's order; only rows
//! of different tables, and indexes and unique or primary keys that follow one another, stand side by
//! side. Foreign keys, triggers, views and everything with another name wait for all that came
//! before and go alone. A dump that is not recognised beyond doubt has no layout, and the reason is told.

use std::ops::Range;

use super::scan::{Entry, Summary};
use super::source::allowed;

/// A part that may run beside its neighbours in the same [`Stage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its bytes in the SQL.
    pub range: Range<u64>,
    /// What it is about, for messages.
    pub name: String,
    /// The rows of its COPY blocks, in order.
    pub copies: Vec<u64>,
}

/// What has to be done before the next stage begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In the first session, in order.
    Alone(Part),
    /// In all sessions, each part whole in one of them; to be begun in this order.
    Together(Vec<Part>),
}

/// A dump, shared out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The settings at the top, which every session needs.
    pub prelude: Range<u64>,
    /// The rest.
    pub stages: Vec<Stage>,
}

/// What an entry's kind allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Rows,
    Build,
    Other,
}

fn class(entry: &Entry) -> Class {
    match (entry.data, entry.kind.as_str()) {
        (true, "TABLE DATA") => Class::Rows,
        (false, "INDEX" | "CONSTRAINT") => Class::Build,
        _ => Class::Other,
    }
}

/// No dump's settings are longer.
pub(super) const LONGEST_PRELUDE: u64 = 64 << 10;

impl Layout {
    /// Shares a proven dump out. `prelude` is its text before the first entry; `end` the byte at which psql's
    /// own commands behind the last statement begin, or the end.
    ///
    /// # Errors
    /// The reason why it has to be restored in one session.
    pub fn of(summary: &Summary, prelude: &[u8], end: u64) -> Result<Self, &'static str> {
        let first = summary.entries.first().ok_or("it has no entries")?;
        if summary.overflow {
            return Err("it has more entries than are followed");
        }
        if summary.bom || summary.cluster {
            return Err("it is not the output of one pg_dump");
        }
        // A tablespace is chosen by a setting between two entries, which another session would not have.
        if !summary.tablespaces.is_empty() {
            return Err("it chooses tablespaces");
        }
        if !summary.findings.iter().all(|finding| allowed(finding.kind, true, false)) {
            return Err("it holds commands of psql");
        }
        if prelude.len() as u64 != first.offset || !prelude_is_settings(prelude) {
            return Err("it begins with more than settings");
        }
        let mut layout = Self { prelude: 0..first.offset, stages: Vec::new() };
        let mut copies = summary.copies.iter().peekable();
        for (at, entry) in summary.entries.iter().enumerate() {
            let to = summary.entries.get(at + 1).map_or(end, |next| next.offset);
            let range = entry.offset..to;
            if range.is_empty() {
                return Err("two entries begin at the same place");
            }
            let mut rows = Vec::new();
            while let Some(copy) = copies.next_if(|copy| copy.offset < to) {
                if copy.offset < range.start || copy.offset + copy.bytes > to {
                    return Err("rows stand outside of their entry");
                }
                rows.push(copy.rows);
            }
            let class = match class(entry) {
                Class::Rows if rows.len() != 1 => Class::Other,
                Class::Build if !rows.is_empty() => Class::Other,
                class => class,
            };
            layout.add(class, Part { range, name: entry.name.clone(), copies: rows });
        }
        if copies.next().is_some() {
            return Err("rows stand behind the last entry");
        }
        layout.largest_first();
        layout.worthwhile().then_some(layout).ok_or("nothing in it could run side by side")
    }

    fn add(&mut self, class: Class, part: Part) {
        let rows = |parts: &[Part]| parts.iter().any(|part| !part.copies.is_empty());
        match (self.stages.last_mut(), class) {
            (Some(Stage::Alone(last)), Class::Other) => {
                last.range.end = part.range.end;
                last.copies.extend(part.copies);
            }
            (_, Class::Other) => self.stages.push(Stage::Alone(part)),
            (Some(Stage::Together(parts)), class) if rows(parts) == (class == Class::Rows) => {
                parts.push(part);
            }
            _ => self.stages.push(Stage::Together(vec![part])),
        }
    }

    /// The largest table first, so that none is left over at the end; a stable sort keeps the rest in order.
    fn largest_first(&mut self) {
        for stage in &mut self.stages {
            if let Stage::Together(parts) = stage {
                parts.sort_by_key(|part| std::cmp::Reverse(part.range.end - part.range.start));
            }
        }
    }

    fn worthwhile(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage, Stage::Together(parts) if parts.len() > 1))
    }

    /// Rows of all tables.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.stages.iter().flat_map(|stage| match stage {
            Stage::Alone(part) => std::slice::from_ref(part),
            Stage::Together(parts) => parts.as_slice(),
        })
    }
}

/// Whether the text holds nothing but comments, `\restrict`, `SET …;` and the empty search path.
fn prelude_is_settings(text: &[u8]) -> bool {
    const PATH: &str = "SELECT pg_catalog.set_config('search_path', '', false);";
    let Ok(text) = std::str::from_utf8(text) else { return false };
    text.lines().all(|line| {
        let setting = line.starts_with("SET ") && line.find(';') == Some(line.len() - 1);
        line.is_empty()
            || line.starts_with("--")
            || line.starts_with("\\restrict ")
            || setting
            || line == PATH
    })
}

/// The settings as a session without `\restrict` needs them: inside of it psql would not echo our proof. What it
/// guards against, other commands of psql, has been refused by the scanner.
pub(super) fn settings(prelude: &[u8]) -> Vec<u8> {
    let lines = prelude.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(b"\\restrict ")).flatten().copied().collect()
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;

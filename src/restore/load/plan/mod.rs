//! Load plan of a plain dump: which tasks run alone and in order, which run in parallel, and which wait for others.
//!
//! Promises: every byte of the dump is in exactly one task, and the stages keep the dump's order.
//! Only rows of different tables, positions of sequences, indexes, and unique or primary keys run in parallel.
//! An index or key waits for the rows of its table, or for all rows where that table is not known beyond doubt.
//! `pg_restore -j` allows the same parallelism. All other entries, such as foreign keys, triggers and views, wait for
//! everything before them and run alone.
//! A dump that is not recognised beyond doubt has no load plan, and the reason is reported.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use crate::dump::sql::{Entry, Summary};
use crate::repository::authenticity::Authenticity;
use crate::repository::authenticity::allowed;

/// Kind of a task, which decides what the task may run beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// The rows of one table.
    Rows,
    /// Positions of sequences, which belong to no table.
    Sequences,
    Index,
    /// A unique or primary key, whose table nothing else can work on meanwhile: a session that tried would only wait.
    Key,
    /// Anything else, which goes alone.
    Other,
}

impl TaskKind {
    fn of(entry: &Entry) -> Self {
        match (entry.data, entry.kind.as_str()) {
            (true, "TABLE DATA") => Self::Rows,
            (false, "SEQUENCE SET") => Self::Sequences,
            (false, "INDEX") => Self::Index,
            (false, "CONSTRAINT") => Self::Key,
            _ => Self::Other,
        }
    }

    pub(crate) fn builds(self) -> bool {
        matches!(self, Self::Index | Self::Key)
    }
}

/// A part of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadTask {
    /// Byte range of the task in the SQL.
    pub(crate) range: Range<u64>,
    /// Name of the task's entry, for messages.
    pub(crate) name: String,
    pub(crate) class: TaskKind,
    /// The rows of its COPY blocks, in order.
    pub(crate) copies: Vec<u64>,
    /// Table of the task as SQL writes it, where the table is known.
    pub(crate) table: Option<String>,
    /// Tasks that have to be done before this task begins.
    pub(crate) after: After,
}

/// Tasks of the same stage that a task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// No task.
    Nothing,
    /// The parts at these places.
    Parts(Vec<usize>),
    /// All rows.
    Rows,
}

/// Tasks that have to be done before the next stage begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In the first session, in order.
    Alone(LoadTask),
    /// In all sessions, each part whole in one of them; the longest come first.
    Together(Vec<LoadTask>),
}

/// A dump, shared out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadPlan {
    /// The settings at the top, which every session needs.
    pub(crate) prelude: Range<u64>,
    /// The rest.
    pub(crate) stages: Vec<Stage>,
}

/// Reports whether an entry is an index or a key, whose text names the table
/// ([`crate::restore::load::indexed_table::indexed_table`]).
pub(crate) fn builds(entry: &Entry) -> bool {
    TaskKind::of(entry).builds()
}

/// Building an index takes about this share of loading the rows under it.
const BUILD: u64 = 3;

/// No dump's settings are longer.
pub(crate) const LONGEST_PRELUDE: u64 = 64 << 10;

impl LoadPlan {
    /// Shares a verified dump out. `prelude` is its text before the first entry; `end` the byte at which psql's
    /// own commands behind the last statement begin, or the end; `tables` the tables of indexes and keys by the bytes
    /// at which their entries begin.
    ///
    /// # Errors
    /// The reason why it has to be restored in one session.
    pub(crate) fn of(
        summary: &Summary,
        prelude: &[u8],
        end: u64,
        tables: &HashMap<u64, String>,
    ) -> Result<Self, &'static str> {
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
        if !summary.findings.iter().all(|finding| allowed(finding.kind, &Authenticity::Authenticated, false))
        {
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
            let (mut rows, mut table) = (Vec::new(), tables.get(&entry.offset).cloned());
            while let Some(copy) = copies.next_if(|copy| copy.data.is_some_and(|data| data.offset < to)) {
                let data = copy.data.unwrap_or_default();
                if data.offset < range.start || data.offset + data.bytes > to {
                    return Err("rows stand outside of their entry");
                }
                rows.push(copy.rows);
                table = Some(copy.table.clone());
            }
            let class = match TaskKind::of(entry) {
                TaskKind::Rows if rows.len() == 1 => TaskKind::Rows,
                class if class != TaskKind::Rows && rows.is_empty() => class,
                _ => TaskKind::Other,
            };
            layout.add(LoadTask {
                range,
                name: entry.name.clone(),
                class,
                copies: rows,
                table,
                after: After::Nothing,
            });
        }
        if copies.next().is_some() {
            return Err("rows stand behind the last entry");
        }
        for stage in &mut layout.stages {
            if let Stage::Together(parts) = stage {
                order(parts);
            }
        }
        layout.worthwhile().then_some(layout).ok_or("nothing in it could run side by side")
    }

    fn add(&mut self, part: LoadTask) {
        match (self.stages.last_mut(), part.class) {
            (Some(Stage::Alone(last)), TaskKind::Other) => {
                last.range.end = part.range.end;
                last.copies.extend(part.copies);
            }
            (_, TaskKind::Other) => self.stages.push(Stage::Alone(part)),
            (Some(Stage::Together(parts)), TaskKind::Rows) if parts.iter().any(|p| p.class.builds()) => {
                self.stages.push(Stage::Together(vec![part]));
            }
            (Some(Stage::Together(parts)), class) => match parts.last_mut() {
                Some(last) if class == TaskKind::Sequences && last.class == class => {
                    last.range.end = part.range.end;
                }
                _ => parts.push(part),
            },
            _ => self.stages.push(Stage::Together(vec![part])),
        }
    }

    fn worthwhile(&self) -> bool {
        let several =
            |parts: &[LoadTask], of: fn(TaskKind) -> bool| parts.iter().filter(|p| of(p.class)).count() > 1;
        self.stages.iter().any(|stage| match stage {
            Stage::Alone(_) => false,
            Stage::Together(parts) => {
                several(parts, |class| class == TaskKind::Rows) || several(parts, TaskKind::builds)
            }
        })
    }

    /// All parts.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &LoadTask> {
        self.stages.iter().flat_map(|stage| match stage {
            Stage::Alone(part) => std::slice::from_ref(part),
            Stage::Together(parts) => parts.as_slice(),
        })
    }
}

/// Puts the longest first, so that none is left over at the end, and says what waits for what.
pub(crate) fn order(parts: &mut [LoadTask]) {
    let mut loaded: HashMap<String, u64> = HashMap::new();
    for part in parts.iter().filter(|part| part.class == TaskKind::Rows) {
        *loaded.entry(part.table.clone().unwrap_or_default()).or_default() +=
            part.range.end - part.range.start;
    }
    let rows_of = |part: &LoadTask| part.table.as_ref().and_then(|table| loaded.get(table)).copied();
    // A stable sort keeps the rest in the dump's order.
    parts.sort_by_cached_key(|part| {
        Reverse(match part.class {
            TaskKind::Rows => part.range.end - part.range.start,
            _ => rows_of(part).unwrap_or(0) / BUILD,
        })
    });
    let mut rows: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, part) in parts.iter().enumerate().filter(|(_, part)| part.class == TaskKind::Rows) {
        rows.entry(part.table.clone().unwrap_or_default()).or_default().push(at);
    }
    for part in parts.iter_mut().filter(|part| part.class.builds()) {
        // A partition's rows may have been copied through its parent; then no rows bear its name.
        let own = part.table.as_ref().and_then(|table| rows.get(table));
        part.after = own.map_or(After::Rows, |own| After::Parts(own.clone()));
    }
}

/// Reports whether the text holds only comments, `\restrict`, `SET …;` and the empty search path.
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

/// The settings as a session without `\restrict` needs them: inside of it psql would not echo our end marker. What it
/// guards against, other commands of psql, has been refused by the scanner.
pub(crate) fn settings(prelude: &[u8]) -> Vec<u8> {
    let lines = prelude.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(b"\\restrict ")).flatten().copied().collect()
}

#[cfg(test)]
mod tests;

//! Parses the output of a tool's `status` into migrations with a state.
//!
//! Promise: an output in which nothing is recognised is not taken for "nothing waits"; it is `None`.

use std::collections::BTreeSet;

use super::presets::StatusFormat;
use crate::migrations::history::{Migration, MigrationState};
use crate::text::terminal::without_escape_sequences;

/// Reads it; `none` are the words of an output that has no migration to list.
pub(crate) fn read(reading: StatusFormat, none: &[&str], text: &str) -> Option<Vec<Migration>> {
    let text = without_escape_sequences(text);
    let found = match reading {
        StatusFormat::Below { applied, pending } => below(&text, applied, pending),
        StatusFormat::Table { name, state, pending, failed } => table(&text, name, state, pending, failed),
        StatusFormat::Graph { arrow, current } => graph(&text, arrow, current),
        by_line => text.lines().filter_map(|line| line_of(by_line, line.trim())).collect(),
    };
    let nothing = text.trim().is_empty() || none.iter().any(|arguments| text.contains(arguments));
    (!found.is_empty() || nothing).then_some(found)
}

fn line_of(reading: StatusFormat, line: &str) -> Option<Migration> {
    match reading {
        StatusFormat::Begins { applied, pending } => {
            let (state, rest) = begun(line, applied, pending)?;
            let arguments: Vec<&str> = rest.split_whitespace().collect();
            migration(arguments.join(" "), state)
        }
        StatusFormat::BeginsEndsWithName { applied, pending } => {
            let (state, rest) = begun(line, applied, pending)?;
            migration(rest.split_whitespace().next_back()?.to_owned(), state)
        }
        StatusFormat::Ends { applied, pending } => {
            let mut arguments = line.split_whitespace();
            let state = match arguments.next_back()? {
                argument if argument == applied => MigrationState::Applied,
                argument if argument == pending => MigrationState::Pending,
                _ => return None,
            };
            migration(arguments.next()?.to_owned(), state)
        }
        StatusFormat::Behind { mark, pending } => {
            let (before, name) = line.split_once(mark)?;
            let state =
                if before.contains(pending) { MigrationState::Pending } else { MigrationState::Applied };
            migration(name.trim().to_owned(), state)
        }
        StatusFormat::Graph { .. } | StatusFormat::Below { .. } | StatusFormat::Table { .. } => None,
    }
}

fn migration(name: String, state: MigrationState) -> Option<Migration> {
    (!name.is_empty()).then_some(Migration { name, state, applied_at: None })
}

fn begun<'a>(line: &'a str, applied: &str, pending: &str) -> Option<(MigrationState, &'a str)> {
    let after = |mark: &str| {
        let rest = line.strip_prefix(mark)?;
        // A word for a mark ends where the word ends: `update` is not `up`.
        (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(rest)
    };
    after(pending)
        .map(|rest| (MigrationState::Pending, rest))
        .or_else(|| Some((MigrationState::Applied, after(applied)?)))
}

/// In the order of application: what is current, and everything that it goes back to, is applied. Those before the
/// arrow are parents, and dependencies in brackets.
fn graph(text: &str, arrow: &str, current: &str) -> Vec<Migration> {
    let rows: Vec<(Vec<&str>, &str, &str)> = text
        .lines()
        .filter_map(|line| {
            let (before, rest) = line.split_once(arrow)?;
            let parents =
                before.split([' ', ',', '(', ')']).filter(|argument| !argument.is_empty()).collect();
            Some((parents, rest.split([' ', ',']).next()?, rest))
        })
        .collect();
    let marked = |rest: &str| rest.split(',').next().is_some_and(|head| head.contains(current));
    let mut applied: BTreeSet<&str> =
        rows.iter().filter(|(_, _, rest)| marked(rest)).map(|(_, id, _)| *id).collect();
    // A dependency may stand above what needs it: again, until nothing is added.
    loop {
        let known = applied.len();
        let before: Vec<&str> = rows
            .iter()
            .filter(|(_, id, _)| applied.contains(id))
            .flat_map(|(parents, ..)| parents.clone())
            .collect();
        applied.extend(before);
        if applied.len() == known {
            break;
        }
    }
    let state =
        |id: &str| if applied.contains(id) { MigrationState::Applied } else { MigrationState::Pending };
    rows.iter().rev().filter_map(|(_, id, rest)| migration(without_remarks(rest), state(id))).collect()
}

/// `abc (head) (current), add a table` without what is in brackets before the comma.
fn without_remarks(name: &str) -> String {
    let (id, message) = name.split_once(',').unwrap_or((name, ""));
    let id = id.split('(').next().unwrap_or(id).trim();
    format!("{id} {}", message.trim()).trim().to_owned()
}

fn below(text: &str, applied: &str, pending: &str) -> Vec<Migration> {
    let (mut state, mut found) = (None, Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.contains(pending) {
            state = Some(MigrationState::Pending);
        } else if line.contains(applied) {
            state = Some(MigrationState::Applied);
        } else if let Some(state) = &state {
            found.extend(migration(line.to_owned(), state.clone()));
        }
    }
    found
}

fn table(text: &str, name: &[&str], state: &str, pending: &[&str], failed: &[&str]) -> Vec<Migration> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|');
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut rows = text.lines().filter(|line| line.trim().starts_with('|')).map(cells);
    let Some(heading) = rows.next() else { return Vec::new() };
    let place = |title: &str| heading.iter().position(|cell| cell == title);
    let Some(state) = place(state) else { return Vec::new() };
    let names: Vec<usize> = name.iter().filter_map(|title| place(title)).collect();
    rows.filter_map(|row| {
        let argument = row.get(state)?;
        let state = match argument.as_str() {
            argument if pending.contains(&argument) => MigrationState::Pending,
            argument if failed.contains(&argument) => MigrationState::Failed { logs: String::new() },
            _ => MigrationState::Applied,
        };
        let parts = names.iter().filter_map(|at| row.get(*at)).filter(|part| !part.is_empty());
        migration(parts.cloned().collect::<Vec<_>>().join(" "), state)
    })
    .collect()
}

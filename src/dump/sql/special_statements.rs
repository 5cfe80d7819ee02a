//! Statements of a dump that a restore into a new database takes otherwise than psql would take them into an old one.

use std::collections::BTreeMap;

use super::data_tables::DataTables;
use super::statement_head::Head;
use super::statement_state::KeptToken;

/// Statements at the beginning of a dump, and others, that call for a [rule](super::Rules) of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpecialStatements {
    /// Settings that plain SET statements name, and how often.
    pub(crate) settings: BTreeMap<String, u64>,
    /// DROP statements without IF EXISTS before anything is created (`--clean`).
    pub(crate) drops: u64,
    /// CREATE SCHEMA public, with no DROP SCHEMA public before it.
    pub(crate) public: u64,
    /// Statements behind the trailer, which somebody has appended.
    pub(crate) behind: u64,
    /// Databases that the text creates or connects to, in order (`pg_dumpall`, `pg_dump --create`).
    pub(crate) databases: Vec<DumpedDatabase>,
    /// Something stands in front of the first `\connect` that belongs to a database: neither `pg_dumpall` nor
    /// `pg_dump --create` writes that, so the text leads into another database halfway.
    pub(crate) astray: bool,
    /// Tables that it has rows for.
    pub(crate) rows: DataTables,
    unplaced: bool,
    state: Beginning,
}

/// A database in a text that holds several, or one with its CREATE DATABASE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DumpedDatabase {
    pub(crate) name: String,
    /// Reports whether the text connects to it.
    pub(crate) connected: bool,
    /// Reports whether anything is in it.
    pub(crate) filled: bool,
}

/// More databases than that are of no server.
const MOST_DATABASES: usize = 10_000;

impl SpecialStatements {
    /// Notes of a dump that was not read: the settings that pg_dump of this major version writes; of any version where
    /// that is not known.
    pub(crate) fn of_pg_dump(major: Option<u32>) -> Self {
        let written = |since: u32| major.is_none_or(|major| major >= since);
        let settings = WRITTEN_BY_PG_DUMP.iter().filter(|(_, since)| written(*since));
        Self { settings: settings.map(|(name, _)| ((*name).to_owned(), 1)).collect(), ..Self::default() }
    }

    /// Takes note of a statement that has ended.
    pub(crate) fn statement(&mut self, head: &[KeptToken], behind: bool) {
        self.rows.statement(head);
        let head = Head(head);
        self.behind += u64::from(behind);
        let of_server = head.is_of_server() || head.is_of_roles();
        if !head.are(0, &["set"]) && !head.are(0, &["select"]) && !of_server {
            self.place();
        }
        match self.state.judge(&head) {
            Some(Needless::Drop) => self.drops += 1,
            Some(Needless::Public) => self.public += 1,
            None => {}
        }
        if let Some(name) = head.plain_setting()
            && (self.settings.len() < MOST_SETTINGS || self.settings.contains_key(&name))
        {
            *self.settings.entry(name).or_default() += 1;
        }
    }

    /// Takes note of a `\connect`.
    pub(crate) fn connect(&mut self, name: String) {
        self.astray |= self.unplaced;
        let known = self.databases.iter().position(|database| database.name == name);
        let mut database = match known {
            Some(at) => self.databases.remove(at),
            None => DumpedDatabase { name, ..DumpedDatabase::default() },
        };
        database.connected = true;
        if self.databases.len() < MOST_DATABASES {
            self.databases.push(database);
        }
    }

    /// Takes note of something in the database that is connected.
    pub(crate) fn place(&mut self) {
        match self.databases.last_mut() {
            Some(database) => database.filled = true,
            None => self.unplaced = true,
        }
    }

    /// Reports that a transaction is open behind this statement.
    pub(crate) fn leaves_transaction_open(open: bool, head: &[KeptToken]) -> bool {
        let head = Head(head);
        if head.are(0, &["begin"]) || head.are(0, &["start", "transaction"]) {
            return true;
        }
        let ends = ["commit", "end", "rollback", "abort"].iter().any(|keyword| head.are(0, &[keyword]));
        let savepoint = head.are(1, &["to"]) || head.are(2, &["to"]) || head.are(1, &["prepared"]);
        open && (!ends || savepoint)
    }

    /// The notes of an entry of an archive, whose DROP statement is not run.
    #[must_use]
    pub(crate) fn without_drops(self) -> Self {
        Self { drops: 0, ..self }
    }

    /// Adds the notes of another part.
    pub(crate) fn merge(&mut self, other: Self) {
        for (name, count) in other.settings {
            *self.settings.entry(name).or_default() += count;
        }
        self.drops += other.drops;
        self.public += other.public;
        self.behind += other.behind;
        self.rows.merge(other.rows);
    }
}

/// More settings than that are of no dump.
const MOST_SETTINGS: usize = 200;

/// Settings at the head of plain dumps, of pg_dump up to 18, each with the first major version that writes it; 0 where every
/// version in use does.
const WRITTEN_BY_PG_DUMP: &[(&str, u32)] = &[
    ("statement_timeout", 0),
    ("lock_timeout", 0),
    ("idle_in_transaction_session_timeout", 0),
    ("transaction_timeout", 17),
    ("client_encoding", 0),
    ("standard_conforming_strings", 0),
    ("escape_string_warning", 0),
    ("check_function_bodies", 0),
    ("xmloption", 0),
    ("client_min_messages", 0),
    ("row_security", 0),
    ("search_path", 0),
    ("default_tablespace", 0),
    ("default_table_access_method", 12),
    ("default_with_oids", 0),
];

/// Statement that has nothing to do in a new database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needless {
    /// DROP of something that is not there.
    Drop,
    /// CREATE SCHEMA public, which is there.
    Public,
}

/// State of the beginning of a dump: what was dropped, and whether anything was created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beginning {
    passed: bool,
    public_dropped: bool,
}

impl Beginning {
    /// Judges the next statement.
    pub(crate) fn judge(&mut self, head: &Head<'_>) -> Option<Needless> {
        if head.is_drop_of_public() {
            self.public_dropped = true;
            return None;
        }
        if head.are(0, &["create", "schema", "public"]) {
            self.passed = true;
            return (!self.public_dropped).then_some(Needless::Public);
        }
        if self.passed {
            return None;
        }
        if head.drops() {
            return (!head.has_if_exists()).then_some(Needless::Drop);
        }
        self.passed = !head.are(0, &["set"]) && !head.are(0, &["select"]);
        None
    }
}

/// Returns the database that a line `connect NAME` leads to, in the forms that pg_dump, pg_dumpall and people write.
pub(crate) fn connected(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?.trim();
    let (command, rest) = line.split_once(char::is_whitespace)?;
    if !matches!(command, "c" | "connect") {
        return None;
    }
    let rest = rest.trim().trim_end_matches(';').trim();
    let rest = rest.strip_prefix("-reuse-previous=on").map_or(rest, str::trim_start);
    let inner = match rest.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?.replace("\"\"", "\""),
        None if rest.contains(|c: char| c.is_whitespace() || "'\\:`|".contains(c)) => return None,
        None => return Some(rest.to_owned()),
    };
    // A connection string: `dbname='it''s'`, with backslashes before quotes.
    let Some(value) = inner.strip_prefix("dbname=") else { return Some(inner) };
    let value = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
    let mut name = String::new();
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        name.push(if c == '\\' { characters.next()? } else { c });
    }
    Some(name)
}

//! A filter between a plain dump and psql: leaves out or changes whole statements by [`Rules`].
//!
//! Promises: the result does not depend on the size of the chunks; memory is constant; every byte that no rule touches
//! passes unchanged, COPY data included; a statement that is left out leaves its line ends behind, so that line numbers
//! stay those of the file. The scanner reads the filtered stream, so it judges exactly the bytes that psql gets.

mod rules;
mod section;
#[cfg(test)]
mod tests;

use rules::Treatment;

use crate::dump::sql::statement_head::Head;
pub(crate) use rules::{Apart, LeftOut, Rules};

use std::collections::BTreeSet;

use super::lexer::Lexer;
use super::lexer::tokens::token_length;
use super::special_statements::{Beginning, connected};
use super::statement_state::{KeptToken, StatementState};
use super::token::{LexerEvents, SourceLocation, Token};
use crate::dump::owners_and_privileges::deferred;
use crate::dump::sql::classify::judge;
use crate::dump::sql::token::BOM;
use crate::dump::sql::token::HELD;
use crate::text::sql_quote::{ident, literal};
use section::Section;

/// Most owners and rights that are kept for after the load: a hostile file must not fill the memory with them. One more
/// passes, and the role that loads is refused it.
pub(crate) const MOST_DEFERRED: usize = 500_000;

/// Filters a plain dump chunk by chunk.
pub(crate) struct StatementFilter {
    lexer: Lexer,
    reader: Reader,
    /// Bytes whose statement has not ended, or that have not been given out.
    held: Vec<u8>,
    /// Offset of the first held byte in the dump.
    base: u64,
    /// The byte order mark has been looked for.
    begun: bool,
    /// Statements that make roles, outside the database that is taken out; `None` where they are too long to be kept.
    globals: Option<Vec<u8>>,
}

/// Longest text of roles that is kept: a hostile file must not fill the memory with them.
pub(crate) const MOST_GLOBALS: usize = 4 << 20;

impl StatementFilter {
    /// A filter before the first byte.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            lexer: Lexer::new(),
            reader: Reader::new(rules),
            held: Vec::new(),
            base: 0,
            begun: false,
            globals: Some(Vec::new()),
        }
    }

    /// Takes the next chunk, of any size, and returns what may pass by now.
    pub(crate) fn feed(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        if !self.begun {
            self.held.extend_from_slice(&chunk);
            if self.held.len() < BOM.len() && BOM.starts_with(&self.held) {
                return Vec::new();
            }
            return self.begin();
        }
        self.lexer.feed(&chunk, &mut self.reader);
        if self.held.is_empty() {
            self.held = chunk;
        } else {
            self.held.extend_from_slice(&chunk);
        }
        self.reader.settle_open(&self.lexer);
        self.take_settled()
    }

    /// Takes the statements of `pg_dumpall` that make roles, once the stream has ended; `None` where they are longer than
    /// [`MOST_GLOBALS`].
    pub(crate) fn take_globals(&mut self) -> Option<String> {
        let globals = self.globals.replace(Vec::new())?;
        Some(String::from_utf8_lossy(&globals).into_owned())
    }

    /// Ends the stream: returns what is left of it, and the count of what was left out.
    pub(crate) fn finish(&mut self) -> (Vec<u8>, LeftOut) {
        let mut rest = if self.begun { Vec::new() } else { self.begin() };
        let _ = self.lexer.finish(&mut self.reader);
        // A statement without its semicolon passes: the scanner behind says that the dump is cut.
        let usual = self.reader.usual();
        self.reader.settle(self.lexer.offset(), usual);
        rest.extend(self.take_settled());
        (rest, std::mem::take(&mut self.reader.left_out))
    }

    fn begin(&mut self) -> Vec<u8> {
        self.begun = true;
        let held = std::mem::take(&mut self.held);
        let mark = if held.starts_with(BOM) { BOM.len() } else { 0 };
        self.lexer.skip(mark as u64);
        self.lexer.feed(&held[mark..], &mut self.reader);
        self.held = held;
        self.reader.settle_open(&self.lexer);
        self.take_settled()
    }

    /// Gives out the bytes whose fate is known.
    fn take_settled(&mut self) -> Vec<u8> {
        let settled = std::mem::take(&mut self.reader.settled);
        let end = self.base + self.held.len() as u64;
        if matches!(settled.as_slice(), [SettledStatement { to, fate: Fate::Pass }] if *to == end) {
            self.base = end;
            return std::mem::take(&mut self.held);
        }
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        for SettledStatement { to, fate } in settled {
            let next = usize::try_from(to - self.base).unwrap_or(self.held.len()).min(self.held.len());
            let bytes = &self.held[at..next];
            match fate {
                Fate::Pass => out.extend_from_slice(bytes),
                Fate::Gone => {}
                Fate::Last => {
                    out.extend_from_slice(bytes);
                    out.push(b'\n');
                }
                Fate::Globals => {
                    let kept = self.globals.take();
                    self.globals =
                        kept.filter(|kept| kept.len() + bytes.len() < MOST_GLOBALS).map(|mut kept| {
                            kept.extend_from_slice(bytes);
                            kept.push(b'\n');
                            kept
                        });
                }
                Fate::LeaveOut => out.extend(line_ends(bytes)),
                Fate::Defer { names, schema } => {
                    let mut text = Vec::new();
                    rename(bytes, self.base + at as u64, &names, &mut text);
                    let later =
                        std::str::from_utf8(&text).ok().and_then(|text| deferred(text, schema.as_deref()));
                    match later {
                        Some(statement) if self.reader.left_out.deferred.len() < MOST_DEFERRED => {
                            self.reader.left_out.deferred.push(statement);
                            out.extend(line_ends(bytes));
                        }
                        // The role that loads is refused it.
                        _ => out.extend(text),
                    }
                }
                Fate::Rename(names) => rename(bytes, self.base + at as u64, &names, &mut out),
            }
            at = next;
        }
        self.held.drain(..at);
        self.base += at as u64;
        out
    }
}

fn line_ends(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().copied().filter(|byte| *byte == b'\n')
}

/// Copies a statement with other names in place of the tokens at these offsets.
fn rename(bytes: &[u8], base: u64, names: &[(u64, String)], out: &mut Vec<u8>) {
    let mut done = 0;
    for (offset, name) in names {
        let Ok(at) = usize::try_from(offset - base) else { continue };
        let Some(token) = bytes.get(at..) else { continue };
        out.extend_from_slice(&bytes[done..at]);
        let written = if token.first() == Some(&b'\'') { literal(name) } else { ident(name) };
        out.extend_from_slice(written.as_bytes());
        done = at + token_length(token);
    }
    out.extend_from_slice(&bytes[done..]);
}

/// Fate of a range of bytes.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    /// Only line ends pass.
    LeaveOut,
    /// Passes with these names at these offsets.
    Rename(Vec<(u64, String)>),
    /// Is kept for later, with these names, if it is nothing but an owner or a right.
    Defer {
        names: Vec<(u64, String)>,
        schema: Option<String>,
    },
    /// Left out with all line ends, because the bytes belong to another database.
    Gone,
    /// Passes, and a line end behind it, since what follows does not pass.
    Last,
    /// A statement that makes a role; kept aside.
    Globals,
}

#[derive(Debug)]
struct SettledStatement {
    to: u64,
    fate: Fate,
}

/// Listens to the lexer and settles the fate of statements.
struct Reader {
    rules: Rules,
    statement: StatementState,
    /// Roles of one token; kept for its memory.
    roles: BTreeSet<String>,
    /// Roles of this statement that are written otherwise.
    renamed: Vec<(u64, String)>,
    /// First schema of the search path, which old dumps set.
    schema: Option<String>,
    /// The statement is so long that it passes while it is read.
    passing: bool,
    settled: Vec<SettledStatement>,
    settled_to: u64,
    left_out: LeftOut,
    beginning: Beginning,
    section: Option<Section>,
    /// Line of the SET by which backslashes in plain strings escape.
    plain_escapes: Option<u64>,
}

impl Reader {
    fn new(rules: Rules) -> Self {
        Self {
            section: rules.database.clone().map(|name| Section::new(name, rules.script)),
            plain_escapes: None,
            rules,
            statement: StatementState::default(),
            roles: BTreeSet::new(),
            renamed: Vec::new(),
            schema: None,
            passing: false,
            settled: Vec::new(),
            settled_to: 0,
            left_out: LeftOut::default(),
            beginning: Beginning::default(),
        }
    }

    /// Settles everything between the last settled byte and `to`.
    fn settle(&mut self, to: u64, fate: Fate) {
        if to <= self.settled_to {
            return;
        }
        self.settled_to = to;
        match self.settled.last_mut() {
            Some(last) if last.fate == fate && matches!(fate, Fate::Pass | Fate::Gone) => last.to = to,
            _ => self.settled.push(SettledStatement { to, fate }),
        }
    }

    /// Keeps the first schema of a search path that the dump sets.
    fn follow_search_path(&mut self) {
        let head = &self.statement.head;
        let is = |at: usize, keyword: &str| matches!(head.get(at), Some(KeptToken::Word(found)) if found == keyword);
        if is(0, "set") && is(1, "search_path") {
            self.schema = match head.get(3) {
                Some(KeptToken::Word(name) | KeptToken::Name(name) | KeptToken::Text(name)) => {
                    Some(name.clone())
                }
                _ => None,
            };
        } else if is(0, "select") {
            self.schema = None;
        }
    }

    /// Settles at the end of a chunk what no statement, name or command is open over.
    fn settle_open(&mut self, lexer: &Lexer) {
        let open = match self.statement.start {
            Some(place) => Some(place.offset),
            None => lexer.open_token(),
        };
        match open {
            Some(from) if !self.passing && lexer.offset() - from <= HELD => self.settle(from, self.usual()),
            Some(_) => {
                self.passing = self.statement.start.is_some();
                self.settle(lexer.offset(), self.usual());
            }
            None => self.settle(lexer.offset(), self.usual()),
        }
    }

    /// Fate of what no rule touches.
    fn usual(&self) -> Fate {
        match &self.section {
            Some(section) if !section.is_inside() => Fate::Gone,
            _ => Fate::Pass,
        }
    }
}

impl LexerEvents for Reader {
    fn token(&mut self, token: Token<'_>, place: SourceLocation) {
        self.statement.push(token, place, &mut self.roles);
        if let Some(role) = self.roles.pop_first()
            && let Some(other) = self.rules.roles.get(&role)
        {
            self.renamed.push((place.offset, other.clone()));
        }
    }

    fn comment(&mut self, text: &[u8], place: SourceLocation) {
        if self.section.is_none() || !self.statement.is_empty() || !place.line_start {
            return;
        }
        self.settle(place.offset, self.usual());
        if self.section.as_mut().is_some_and(|section| section.comment(text)) {
            self.settle(place.offset + text.len() as u64, Fate::Last);
        }
    }

    fn semicolon(&mut self, place: SourceLocation) -> bool {
        if !self.statement.ends_here() {
            self.statement.push(Token::Symbol(b';'), place, &mut self.roles);
            return false;
        }
        let renamed = std::mem::take(&mut self.renamed);
        if let Some(start) = self.statement.start.filter(|_| !self.passing) {
            self.settle(start.offset, self.usual());
            let outside = self.section.as_ref().filter(|section| !section.is_inside());
            let fate = match outside {
                Some(section)
                    if section.is_between()
                        && !self.rules.needs_no_roles()
                        && Head(&self.statement.head).is_of_roles() =>
                {
                    Fate::Globals
                }
                Some(_) => Fate::Gone,
                None => match self.rules.leave_out(&self.statement.head, &mut self.beginning) {
                    Some(reason) => {
                        self.left_out.add(reason);
                        Fate::LeaveOut
                    }
                    None => match self.rules.treatment(&self.statement.head) {
                        Some(Treatment::Later) => Fate::Defer { names: renamed, schema: self.schema.clone() },
                        Some(Treatment::LeftOut) => Fate::LeaveOut,
                        None if !renamed.is_empty() => Fate::Rename(renamed),
                        None => Fate::Pass,
                    },
                },
            };
            self.follow_search_path();
            self.settle(place.offset + 1, fate);
        }
        if let Some(on) = Head(&self.statement.head).conforming_strings() {
            self.plain_escapes = (!on).then_some(place.line);
        }
        let copies = judge(&self.statement).copy.is_some();
        self.statement.clear();
        self.passing = false;
        copies
    }

    fn metacommand(&mut self, line: &[u8], place: SourceLocation, whole: bool) {
        let end = place.offset + 1 + line.len() as u64;
        // A key of pg_dump: around a script that somebody has edited, or under a `\restrict` of our own.
        let restriction = section::is_restriction(line)
            && self.statement.is_empty()
            && (self.rules.script || (self.rules.restricted && whole && place.line_start));
        if self.section.is_none() {
            if restriction {
                self.settle(place.offset, Fate::Pass);
                self.settle(end, Fate::LeaveOut);
            }
            return;
        }
        self.settle(place.offset, self.usual());
        let before = self.usual();
        let Some(section) = &mut self.section else { return };
        let fate = match connected(line) {
            Some(name) => {
                section.connect(name);
                Fate::Gone
            }
            None => match section.command(line) {
                section::CommandLine::Pass | section::CommandLine::Last
                    if restriction && self.rules.restricted =>
                {
                    Fate::LeaveOut
                }
                section::CommandLine::Pass => before,
                section::CommandLine::LeaveOut => Fate::Gone,
                section::CommandLine::Last => Fate::Last,
            },
        };
        self.settle(end, fate);
    }

    fn plain_escapes(&self) -> Option<u64> {
        self.plain_escapes
    }
}

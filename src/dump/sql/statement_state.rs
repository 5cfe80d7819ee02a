//! One statement as its tokens pass by: enough of it to know what it does, never the whole.
//!
//! Promise: memory is bounded whatever the statement; what decides (the words outside parentheses, a
//! language, a program, the roles) is looked at as it passes, so padding cannot push it out of sight.

use std::collections::BTreeSet;

/// Most names of one kind that are kept of a dump: a hostile one must not fill the memory with them. PostgreSQL refuses
/// a role that is not there by itself.
pub(crate) const MOST_NAMES: usize = 20_000;

use super::finding::FindingKind;
use super::nesting::Nesting;
use super::token::{SourceLocation, Token};
use crate::text::encoding::of_bytes;

/// Largest number of tokens outside parentheses that are kept.
const HEAD: usize = 48;
/// Largest number of tokens kept of a SELECT, those in parentheses included. pg_dump writes no longer SELECT.
const SELECT: usize = 600;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeptToken {
    /// A keyword or unquoted name, in lower case.
    Word(String),
    /// A quoted name.
    Name(String),
    Text(String),
    /// Anything else.
    Other(u8),
}

/// Meaning expected of the next token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ExpectedNext {
    #[default]
    Nothing,
    Language,
    Atomic,
    Role,
    Roles,
    RolesGoOn,
    SetConfigParenthesis,
    SetConfigName,
}

/// The statement that is passing by.
#[derive(Debug, Default)]
pub(crate) struct StatementState {
    /// Position of the first token; `None` before the first token.
    pub(crate) start: Option<SourceLocation>,
    /// First tokens outside parentheses.
    pub(crate) head: Vec<KeptToken>,
    /// All tokens of a SELECT behind its first word; `None` where there are too many.
    pub(crate) select: Option<Vec<KeptToken>>,
    /// Kinds of the findings so far.
    pub(crate) found: BTreeSet<FindingKind>,
    /// True if the statement defines or runs code that the lexer cannot read.
    pub(crate) opaque: bool,
    nesting: Nesting,
    last: Vec<u8>,
    /// The end of a `U&`, where a name may follow at once.
    unicode: Option<u64>,
    expect: ExpectedNext,
}

impl StatementState {
    /// Reports whether no token has passed yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.start.is_none()
    }

    /// Reports whether a semicolon here ends the statement, by psql's own rule.
    pub(crate) fn ends_here(&self) -> bool {
        self.nesting.ends_here()
    }

    /// Forgets everything, for the next statement.
    pub(crate) fn clear(&mut self) {
        self.start = None;
        self.head.clear();
        self.select = None;
        self.found.clear();
        self.opaque = false;
        self.nesting = Nesting::default();
        self.last.clear();
        self.unicode = None;
        self.expect = ExpectedNext::Nothing;
    }

    /// Takes note of a token; role names go to `roles`, at most [`MOST_NAMES`].
    pub(crate) fn push(&mut self, token: Token<'_>, place: SourceLocation, roles: &mut BTreeSet<String>) {
        self.start.get_or_insert(place);
        self.follow_up(token, roles);
        self.follow_unicode(token, place);
        self.follow_select(token);
        match token {
            Token::Word(spelling) => self.spelling(spelling),
            Token::Symbol(b'(') => {
                self.call();
                self.keep(KeptToken::Other(b'('));
                self.nesting.open_parenthesis();
            }
            Token::Symbol(b')') => {
                self.nesting.close_parenthesis();
                self.keep(KeptToken::Other(b')'));
            }
            Token::Quoted(name) => self.keep_text(name, KeptToken::Name),
            Token::Text(text) => {
                self.option();
                self.keep_text(text, KeptToken::Text);
            }
            Token::Symbol(symbol) => self.keep(KeptToken::Other(symbol)),
            Token::Body | Token::Number => self.keep(KeptToken::Other(b'0')),
        }
        self.last.clear();
        if let Token::Word(name) | Token::Quoted(name) = token {
            self.last.extend_from_slice(name);
            self.last.make_ascii_lowercase();
        }
    }

    /// `U&"…"`: the letter, the sign and the quote without anything between.
    fn follow_unicode(&mut self, token: Token<'_>, place: SourceLocation) {
        let expected = self.unicode.take();
        match token {
            Token::Word(b"u" | b"U") => self.unicode = Some(place.offset + 1),
            Token::Symbol(b'&') if expected == Some(place.offset) => self.unicode = Some(place.offset + 1),
            Token::Quoted(_) if expected == Some(place.offset) => {
                self.found.insert(FindingKind::HiddenName);
            }
            _ => {}
        }
    }

    /// Keeps all of a SELECT: its shape decides.
    fn follow_select(&mut self, token: Token<'_>) {
        if self.head.is_empty() && !self.nesting.in_parentheses() {
            let selects = matches!(token, Token::Word(spelling) if spelling.eq_ignore_ascii_case(b"select"));
            self.select = selects.then(Vec::new);
            return;
        }
        let Some(kept) = &mut self.select else { return };
        kept.push(match token {
            Token::Word(spelling) => KeptToken::Word(of_bytes(spelling).to_ascii_lowercase()),
            Token::Quoted(_) => KeptToken::Name(String::new()),
            Token::Text(_) => KeptToken::Text(String::new()),
            Token::Body | Token::Number => KeptToken::Other(b'0'),
            Token::Symbol(symbol) => KeptToken::Other(symbol),
        });
        if kept.len() > SELECT {
            self.select = None;
        }
    }

    fn keep(&mut self, piece: KeptToken) {
        if !self.nesting.in_parentheses() && self.head.len() < HEAD {
            self.head.push(piece);
        }
    }

    fn keep_text(&mut self, text: &[u8], piece: impl Fn(String) -> KeptToken) {
        if !self.nesting.in_parentheses() && self.head.len() < HEAD {
            self.head.push(piece(of_bytes(text)));
        }
    }

    fn head_is(&self, at: usize, spelling: &str) -> bool {
        matches!(self.head.get(at), Some(KeptToken::Word(kept)) if kept == spelling)
    }

    /// Handles a token whose meaning the token before it announced.
    fn follow_up(&mut self, token: Token<'_>, roles: &mut BTreeSet<String>) {
        let expected = std::mem::take(&mut self.expect);
        match (expected, token) {
            (ExpectedNext::Language, _) => {
                let trusted = text_of(token).is_some_and(|name| is_trusted_language(&name.to_lowercase()));
                if !trusted {
                    self.found.insert(FindingKind::UntrustedLanguage);
                }
            }
            (ExpectedNext::Atomic, Token::Word(spelling)) if spelling.eq_ignore_ascii_case(b"atomic") => {}
            (ExpectedNext::Atomic, _) => {
                // psql before 14 ends such a statement at its first semicolon, later ones do not.
                self.found.insert(FindingKind::Ambiguous);
            }
            (ExpectedNext::RolesGoOn, Token::Symbol(b',')) => self.expect = ExpectedNext::Roles,
            (ExpectedNext::Role | ExpectedNext::Roles, _) => {
                if matches!(token, Token::Word(spelling) if spelling.eq_ignore_ascii_case(b"group")) {
                    self.expect = expected;
                } else if let Some(role) = role_of(token) {
                    if roles.len() < MOST_NAMES {
                        roles.insert(role);
                    }
                    if expected == ExpectedNext::Roles {
                        self.expect = ExpectedNext::RolesGoOn;
                    }
                }
            }
            (ExpectedNext::SetConfigParenthesis, Token::Symbol(b'(')) => {
                self.expect = ExpectedNext::SetConfigName;
            }
            (ExpectedNext::SetConfigName, Token::Text(name)) if name.eq_ignore_ascii_case(b"search_path") => {
            }
            (ExpectedNext::SetConfigName, _) => {
                self.found.insert(FindingKind::ChangesRole);
            }
            _ => {}
        }
    }

    fn spelling(&mut self, spelling: &[u8]) {
        if self.nesting.read(spelling) {
            self.expect = ExpectedNext::Atomic;
        }
        let mut buffer = [0; 24];
        let keyword = lower(spelling, &mut buffer);
        if !self.nesting.in_parentheses() {
            self.announce(keyword);
            if self.head.len() < HEAD {
                let text = of_bytes(spelling).to_ascii_lowercase();
                self.head.push(KeptToken::Word(text));
            }
        }
        let selects = matches!(keyword, "select" | "table" | "with");
        if selects && !self.nesting.in_parentheses() && self.head.len() > 1 && self.head_is(0, "insert") {
            self.found.insert(FindingKind::Query);
        }
        if keyword == "set_config" {
            self.expect = ExpectedNext::SetConfigParenthesis;
        }
    }

    /// Words after which the next token says something.
    fn announce(&mut self, keyword: &str) {
        let expect = match keyword {
            "language" if !self.nesting.in_body() && self.defines_code() => ExpectedNext::Language,
            "function" | "procedure" | "do" if !self.nesting.in_body() => {
                self.opaque |= self.head.is_empty() || self.head_is(0, "create");
                return;
            }
            "to" if self.last == b"owner" => ExpectedNext::Role,
            "to" if self.head_is(0, "grant") || self.is_default_privileges() || self.is_policy() => {
                ExpectedNext::Roles
            }
            "from" if self.head_is(0, "revoke") || self.is_default_privileges() => ExpectedNext::Roles,
            "role" | "user" if self.is_default_privileges() && self.last == b"for" => ExpectedNext::Roles,
            "role" if self.head_is(0, "set") => ExpectedNext::Role,
            "authorization" if self.head_is(0, "set") || self.head_is(0, "create") => ExpectedNext::Role,
            "for" if self.head_is(1, "user") && self.head_is(2, "mapping") => ExpectedNext::Role,
            _ => return,
        };
        self.expect = expect;
    }

    fn defines_code(&self) -> bool {
        let defined = |at| {
            self.head_is(at, "function") || self.head_is(at, "procedure") || self.head_is(at, "transform")
        };
        self.head_is(0, "do") || (self.head_is(0, "create") && (defined(1) || defined(3)))
    }

    fn is_default_privileges(&self) -> bool {
        self.head_is(0, "alter") && self.head_is(1, "default") && self.head_is(2, "privileges")
    }

    fn is_policy(&self) -> bool {
        self.head_is(0, "create") && self.head_is(1, "policy")
    }

    /// An opening parenthesis: a call, if a name stands before it.
    fn call(&mut self) {
        let calls = self.nesting.in_parentheses() && !self.last.is_empty() && self.last != b"values";
        if calls && self.head_is(0, "insert") {
            self.found.insert(FindingKind::Query);
        }
        if REACHING_OUT.iter().any(|name| self.last == name.as_bytes()) {
            self.found.insert(FindingKind::ServerFile);
        }
        self.opaque |= RUNNING_TEXT.iter().any(|name| self.last.starts_with(name.as_bytes()));
    }

    /// A string after a word: an option of a foreign table.
    fn option(&mut self) {
        if self.head_is(1, "foreign") && self.last == b"program" {
            self.found.insert(FindingKind::Program);
        } else if self.head_is(1, "foreign") && self.last == b"filename" {
            self.found.insert(FindingKind::ServerFile);
        }
    }
}

/// Functions that read or write the server's files or end its processes.
const REACHING_OUT: &[&str] = &[
    "lo_import",
    "lo_export",
    "pg_read_file",
    "pg_read_binary_file",
    "pg_stat_file",
    "pg_ls_dir",
    "pg_file_write",
    "pg_file_rename",
    "pg_file_unlink",
    "pg_file_sync",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_terminate_backend",
    "dblink",
    "dblink_exec",
    "dblink_connect",
];

/// Functions that run a query given as a string, and so anything.
const RUNNING_TEXT: &[&str] =
    &["query_to_xml", "cursor_to_xml", "ts_stat", "ts_rewrite", "crosstab", "connectby"];

/// Languages whose code stays inside the database, see `pg_language.lanpltrusted`.
pub(crate) fn is_trusted_language(name: &str) -> bool {
    matches!(name, "sql" | "plpgsql" | "plperl" | "pltcl" | "plv8" | "plcoffee" | "plls" | "plrust")
}

fn text_of(token: Token<'_>) -> Option<String> {
    match token {
        Token::Word(text) | Token::Quoted(text) | Token::Text(text) => Some(of_bytes(text)),
        _ => None,
    }
}

fn role_of(token: Token<'_>) -> Option<String> {
    let name = text_of(token)?;
    let Token::Word(_) = token else { return Some(name) };
    let name = name.to_ascii_lowercase();
    let stands_for_another = ["public", "current_user", "current_role", "session_user", "default", "none"];
    (!stands_for_another.contains(&name.as_str())).then_some(name)
}

/// A word in lower case, or nothing if it is too long to be a keyword that matters.
fn lower<'a>(spelling: &[u8], buffer: &'a mut [u8; 24]) -> &'a str {
    let Some(buffer) = buffer.get_mut(..spelling.len()) else { return "" };
    buffer.copy_from_slice(spelling);
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).unwrap_or("")
}

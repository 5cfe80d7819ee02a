//! Which part of the output of `pg_dumpall` or `pg_dump --create` is one database.
//!
//! The part begins behind `\\connect NAME` and ends with the trailer of that dump and its `\\unrestrict`. pg_dump 11 and
//! later writes the header of the dump before the `\\connect`, older ones behind it.

/// Treatment of a line of psql's own commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandLine {
    Pass,
    LeaveOut,
    /// The part ends behind it.
    Last,
}

/// Reports that a line is `restrict KEY` or `unrestrict KEY` and nothing more.
pub(crate) fn is_restriction(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let key = line.strip_prefix(b"restrict ").or_else(|| line.strip_prefix(b"unrestrict "));
    key.is_some_and(|key| !key.is_empty() && key.iter().all(u8::is_ascii_alphanumeric))
}

/// Follows the parts of a text.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the text so far")]
pub(crate) struct Section {
    wanted: String,
    /// A text without headers: every part counts from its `\\connect`.
    script: bool,
    in_dump: bool,
    keywords: bool,
    connected: Option<String>,
    /// Key of the `\\restrict` that has passed.
    key: Option<String>,
    /// The trailer has passed and its `\\unrestrict` has not.
    closing: bool,
}

impl Section {
    pub(crate) fn new(wanted: String, script: bool) -> Self {
        let (in_dump, keywords, connected, key, closing) = (false, false, None, None, false);
        Self { wanted, script, in_dump, keywords, connected, key, closing }
    }

    /// Reports that what passes now belongs to the wanted database.
    pub(crate) fn is_inside(&self) -> bool {
        (self.in_dump || self.closing || self.script) && self.connected.as_ref() == Some(&self.wanted)
    }

    /// Reports that what passes now is no part of a database: the roles of pg_dumpall.
    pub(crate) fn is_between(&self) -> bool {
        !self.in_dump && !self.script
    }

    /// Takes a comment; true where the part ends behind it.
    pub(crate) fn comment(&mut self, text: &[u8]) -> bool {
        match text {
            b"-- PostgreSQL database dump" => self.in_dump = true,
            b"-- PostgreSQL database dump complete" => {
                self.keywords = true;
                return false;
            }
            b"--" if std::mem::take(&mut self.keywords) => {
                let inside = self.is_inside();
                self.in_dump = false;
                self.closing = inside && self.key.is_some();
                let ends = inside && !self.closing;
                if !self.closing {
                    self.connected = None;
                }
                return ends;
            }
            _ => {}
        }
        self.keywords = false;
        false
    }

    /// Takes a `\\connect`.
    pub(crate) fn connect(&mut self, name: String) {
        self.connected = Some(name);
        self.closing = false;
    }

    /// Takes another command of psql.
    pub(crate) fn command(&mut self, line: &[u8]) -> CommandLine {
        let line = String::from_utf8_lossy(line);
        match line.trim_end().split_once(' ') {
            Some(("restrict", key)) if self.is_inside() => {
                let again = self.key.as_deref() == Some(key);
                self.key = Some(key.to_owned());
                if again { CommandLine::LeaveOut } else { CommandLine::Pass }
            }
            Some(("unrestrict", _)) if self.closing => {
                self.closing = false;
                self.key = None;
                self.connected = None;
                CommandLine::Last
            }
            // Before a second `\\connect` of the same part.
            Some(("unrestrict", _)) => CommandLine::LeaveOut,
            _ => CommandLine::Pass,
        }
    }
}

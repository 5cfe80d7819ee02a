//! Parentheses and bodies in standard SQL, in which a semicolon ends no statement.

/// Nesting of the statement that is being read, by psql's own rule.
#[derive(Debug, Default)]
pub(crate) struct Nesting {
    parentheses: u32,
    blocks: u32,
    /// psql's own memory of the first four names, by which it knows CREATE FUNCTION.
    names: [u8; 4],
    names_seen: usize,
}

impl Nesting {
    /// Reports whether a semicolon here ends the statement.
    pub(crate) fn ends_here(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    pub(crate) fn in_parentheses(&self) -> bool {
        self.parentheses > 0
    }

    pub(crate) fn in_body(&self) -> bool {
        self.blocks > 0
    }

    pub(crate) fn open_parenthesis(&mut self) {
        self.parentheses = self.parentheses.saturating_add(1);
    }

    pub(crate) fn close_parenthesis(&mut self) {
        self.parentheses = self.parentheses.saturating_sub(1);
    }

    /// Follows `BEGIN ATOMIC … END`, which counts only in CREATE FUNCTION and CREATE PROCEDURE. Returns true for the BEGIN,
    /// which has to be followed by ATOMIC.
    pub(crate) fn read(&mut self, name: &[u8]) -> bool {
        let is = |keyword: &[u8]| name.eq_ignore_ascii_case(keyword);
        if self.names_seen < self.names.len()
            && (is(b"create") || is(b"function") || is(b"procedure") || is(b"or") || is(b"replace"))
        {
            self.names[self.names_seen] = name[0].to_ascii_lowercase();
        }
        self.names_seen = self.names_seen.saturating_add(1);
        let function = matches!(self.names, [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']);
        if !function || self.in_parentheses() {
            return false;
        }
        if is(b"begin") || (is(b"case") && self.in_body()) {
            self.blocks = self.blocks.saturating_add(1);
        } else if is(b"end") {
            self.blocks = self.blocks.saturating_sub(1);
        }
        is(b"begin")
    }
}

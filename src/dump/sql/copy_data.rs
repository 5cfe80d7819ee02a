//! The data of one `COPY … FROM stdin`: counts rows and finds the line `\.`, at the speed of memory.
//!
//! Promise: never looks at a byte of a row beyond its first four, never keeps one.

use memchr::memchr;

/// Prefix of the closing line `\.` seen on the current line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CopyEnd {
    #[default]
    Start,
    Backslash,
    Dot,
    /// `\.` and a carriage return: psql takes that line end too.
    Return,
    Row,
    Ended,
}

/// The state between two chunks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CopyData {
    line: CopyEnd,
    rows: u64,
    seen: u64,
    /// Bytes before the line that may be the closing one.
    before: u64,
}

impl CopyData {
    /// Rows ended so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Line ends so far, that of `\.` included.
    pub(crate) fn lines(&self) -> u64 {
        self.rows + u64::from(self.ended())
    }

    /// Bytes of data; exact once [`CopyData::ended`].
    pub(crate) fn bytes(&self) -> u64 {
        if self.ended() { self.before } else { self.seen }
    }

    /// Reports whether `\.` has passed.
    pub(crate) fn ended(&self) -> bool {
        self.line == CopyEnd::Ended
    }

    /// Reads on; the number of bytes that belong to the data and its closing line.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> usize {
        let mut at = 0;
        while at < chunk.len() && !self.ended() {
            if matches!(self.line, CopyEnd::Row) || (self.line == CopyEnd::Start && chunk[at] != b'\\') {
                let Some(end) = memchr(b'\n', &chunk[at..]) else {
                    self.line = CopyEnd::Row;
                    at = chunk.len();
                    break;
                };
                at += end + 1;
                self.row();
                continue;
            }
            self.closing(chunk[at], self.seen + at as u64);
            at += 1;
        }
        self.seen += at as u64;
        at
    }

    fn row(&mut self) {
        self.rows += 1;
        self.line = CopyEnd::Start;
    }

    /// One byte of a line that has been `\.` so far.
    fn closing(&mut self, byte: u8, at: u64) {
        self.line = match (self.line, byte) {
            (CopyEnd::Start, b'\\') => {
                self.before = at;
                CopyEnd::Backslash
            }
            (CopyEnd::Backslash, b'.') => CopyEnd::Dot,
            (CopyEnd::Dot, b'\r') => CopyEnd::Return,
            (CopyEnd::Dot | CopyEnd::Return, b'\n') => CopyEnd::Ended,
            (_, b'\n') => return self.row(),
            _ => CopyEnd::Row,
        };
    }
}

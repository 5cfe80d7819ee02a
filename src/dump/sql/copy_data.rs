//! The data of one `COPY … FROM stdin`: counts rows, takes their fingerprint and finds the line `\.`.
//!
//! Promise: no row is kept; a row that two chunks share is hashed in two pieces.

use memchr::memchr;

use crate::dump::fingerprint::{Fingerprint, ItemHash, ItemHasher};

/// Bytes of a row that are enough to know the closing line: `\.` and a carriage return, which psql takes too.
const CLOSING: &[u8] = b"\\.\r";

/// The state between two chunks.
#[derive(Clone, Debug, Default)]
pub(crate) struct CopyData {
    rows: u64,
    seen: u64,
    contents: Option<Fingerprint>,
    /// The row that a chunk has begun and not ended.
    open: Option<OpenRow>,
    /// Bytes before the closing line, once it has passed.
    before: Option<u64>,
}

/// A row that a chunk has begun and not ended.
#[derive(Clone, Debug, Default)]
struct OpenRow {
    /// Offset in the data.
    start: u64,
    /// The first bytes: as many as the closing line may have, and one.
    head: Vec<u8>,
    hasher: ItemHasher,
}

/// Totals of the data of one COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyTotals {
    pub(crate) rows: u64,
    /// Bytes without the closing line.
    pub(crate) bytes: u64,
    /// Fingerprint of the rows, where one is taken.
    pub(crate) contents: Option<Fingerprint>,
}

impl CopyData {
    /// One that takes the fingerprint of the rows, too.
    pub(crate) fn with_fingerprint() -> Self {
        Self { contents: Some(Fingerprint::default()), ..Self::default() }
    }

    /// Rows ended so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Line ends so far, that of `\.` included.
    pub(crate) fn lines(&self) -> u64 {
        self.rows + u64::from(self.ended())
    }

    /// Totals so far; exact once [`CopyData::ended`].
    pub(crate) fn totals(&self) -> CopyTotals {
        CopyTotals { rows: self.rows, bytes: self.before.unwrap_or(self.seen), contents: self.contents }
    }

    /// Reports whether `\.` has passed.
    pub(crate) fn ended(&self) -> bool {
        self.before.is_some()
    }

    /// Reads on; the number of bytes that belong to the data and its closing line.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> usize {
        let mut at = 0;
        while at < chunk.len() && !self.ended() {
            let rest = &chunk[at..];
            let Some(end) = memchr(b'\n', rest) else {
                self.begin(rest, at);
                at = chunk.len();
                break;
            };
            self.line(&rest[..end], at);
            at += end + 1;
        }
        self.seen += at as u64;
        at
    }

    /// Keeps the beginning of a row, or more of it.
    fn begin(&mut self, piece: &[u8], at: usize) {
        let start = self.seen + at as u64;
        let open = self.open.get_or_insert_with(|| OpenRow { start, ..OpenRow::default() });
        open.feed(piece, self.contents.is_some());
    }

    /// Takes a line, or the end of the one that is open.
    fn line(&mut self, line: &[u8], at: usize) {
        let open = self.open.take().map(|mut open| {
            open.feed(line, self.contents.is_some());
            open
        });
        let (start, head) = match &open {
            Some(open) => (open.start, open.head.as_slice()),
            None => (self.seen + at as u64, line),
        };
        if is_closing(head) {
            self.before = Some(start);
            return;
        }
        self.rows += 1;
        if let Some(contents) = &mut self.contents {
            contents.add(open.map_or_else(|| ItemHash::of(line), |mut open| open.hasher.finish()));
        }
    }
}

impl OpenRow {
    fn feed(&mut self, piece: &[u8], hash: bool) {
        let missing = (CLOSING.len() + 1).saturating_sub(self.head.len());
        self.head.extend_from_slice(&piece[..piece.len().min(missing)]);
        if hash {
            self.hasher.feed(piece);
        }
    }
}

/// Reports whether a line, without its line end, closes the data.
fn is_closing(line: &[u8]) -> bool {
    line == b"\\." || line == CLOSING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_do_not_depend_on_the_cut() {
        let rows = ["1\ta", "\\N\tb", "\\.x", "", "\\", "\\.\r\r", &"long".repeat(100)];
        let mut contents = Fingerprint::default();
        for row in rows {
            contents.add(ItemHash::of(row.as_bytes()));
        }
        for closing in ["\\.\n", "\\.\r\n"] {
            let data = rows.join("\n") + "\n";
            let text = format!("{data}{closing}SELECT 1;\n");
            let expected = CopyTotals { rows: 7, bytes: data.len() as u64, contents: Some(contents) };
            for cut in 0..text.len() {
                for second in [cut, cut + 1, cut + 2, text.len()] {
                    let second = second.min(text.len());
                    let mut copy = CopyData::with_fingerprint();
                    let pieces = [&text[..cut], &text[cut..second], &text[second..]];
                    let used: usize = pieces.iter().map(|piece| copy.feed(piece.as_bytes())).sum();
                    assert!(copy.ended(), "{cut} {second}");
                    assert_eq!(
                        (copy.totals(), used),
                        (expected, data.len() + closing.len()),
                        "{cut} {second}"
                    );
                }
            }
        }
    }
}

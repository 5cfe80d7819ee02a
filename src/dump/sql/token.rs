//! Output of the lexer: tokens, positions and ambiguities.

use crate::dump::sql::copy_data::CopyTotals;

/// A piece of a statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// A keyword or an unquoted name, as written.
    Word(&'a [u8]),
    /// A quoted name, without its quotes.
    Quoted(&'a [u8]),
    /// A string, without its quotes.
    Text(&'a [u8]),
    /// A dollar-quoted string.
    Body,
    /// A number or a parameter.
    Number,
    /// Any other character.
    Symbol(u8),
}

/// Bytes that not every reader understands alike, so that nothing after them can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ambiguity {
    /// `E'…'` continued on another line: psql forgets the E there, the server does not.
    ContinuedEscape,
    /// `\'` in a plain string: another end of the string if `standard_conforming_strings` were off.
    BackslashQuote,
    /// A name glued to a number and then a quote: cut differently before `PostgreSQL` 15.
    GluedNumber,
    /// A dollar-quote tag of absurd length.
    LongTag,
    /// Text after `COPY … FROM stdin;` on the same line, which psql runs after the data.
    TextAfterCopy,
}

/// Position at which a token begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceLocation {
    /// Bytes from the start of the stream.
    pub(crate) offset: u64,
    /// Line number, from 1.
    pub(crate) line: u64,
    /// True if the token is the first on its line.
    pub(crate) line_start: bool,
}

/// Somebody who is told what passes by.
pub(crate) trait LexerEvents {
    /// A token of a statement.
    fn token(&mut self, token: Token<'_>, place: SourceLocation);
    /// A `-- …` comment with its line, without the line end.
    fn comment(&mut self, text: &[u8], place: SourceLocation);
    /// A semicolon. True when the data of a `COPY … FROM stdin` follow on the next line.
    fn semicolon(&mut self, place: SourceLocation) -> bool;
    /// A backslash command with the rest of its line; `whole` is false where the stream ended in it.
    fn metacommand(&mut self, line: &[u8], place: SourceLocation, whole: bool);
    /// `:name`, `:'name'`, `:"name"`: what psql would replace by a variable's value.
    fn variable(&mut self, _place: SourceLocation) {}
    /// Bytes that cannot be judged, seen when everything up to `at` had passed.
    fn ambiguous(&mut self, _what: Ambiguity, _place: SourceLocation, _at: u64) {}
    /// The first byte of COPY data.
    fn copy_begins(&mut self, _offset: u64) {}
    /// The end of COPY data: its totals, and the byte after the line of `\.`.
    fn copy_ends(&mut self, _totals: CopyTotals, _end: u64) {}
    /// Line of the SET by which a backslash in a plain string escapes what follows; none while it does not.
    fn plain_escapes(&self) -> Option<u64> {
        None
    }
    /// The bytes of statements themselves, in order; for excerpts.
    fn raw(&mut self, _bytes: &[u8]) {}
}

/// Construct that is open when the stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// No construct.
    Nothing,
    /// A quoted string or a quoted name.
    Quote,
    Comment,
    /// A backslash command without its line end.
    Metacommand,
    /// COPY data.
    Copy,
}

/// UTF-8's byte order mark, which some editors put in front.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Beyond this a statement is let through as it passes, so that a gate needs bounded memory.
pub(crate) const HELD: u64 = 256 * 1024;

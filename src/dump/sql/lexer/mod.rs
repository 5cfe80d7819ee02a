//! Cuts a script into the tokens that psql sees, chunk by chunk, in constant memory.
//!
//! Promises: the cut never depends on where the chunks end; text is kept up to [`KEPT`] bytes a token,
//! the rest is only passed over. The rules are those of psql's `psqlscan.l` with
//! `standard_conforming_strings` on; where versions of psql, or psql and the server, read the same bytes
//! differently, the listener is told of an [`Ambiguity`] instead of taking a side.
//!
//! Here is the state, and what stands in the open; [`crate::dump::sql::lexer::quoted`] reads what stands between two marks.

pub(crate) mod quoted;
pub(crate) mod tokens;

use memchr::{memchr, memchr_iter, memchr2, memrchr};

use super::token::{Ambiguity, LexerEvents, Open, SourceLocation, Token};
use crate::dump::sql::copy_data::CopyData;

/// Largest number of bytes kept of one token's text.
pub(crate) const KEPT: usize = 8 * 1024;
/// The longest dollar-quote tag that is understood.
const LONGEST_TAG: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LexerMode {
    Ground,
    Word { glued: bool },
    Number,
    Dash,
    Slash,
    Colon,
    DollarTag,
    DollarBody { matched: usize },
    LineComment,
    BlockComment { depth: u32, previous: u8 },
    Text { escapes: bool },
    TextEscaped,
    TextEnd { escapes: bool },
    Quoted,
    QuotedEnd,
    Metacommand,
    CopyLineEnd { blamed: bool },
    Copy,
}

/// Effect of a string that has just ended on a quote that follows the string.
#[derive(Clone, Copy, Debug, Default)]
struct StringTail {
    escapes: bool,
    newline: bool,
}

/// The state between two chunks.
#[derive(Debug)]
pub(crate) struct Lexer {
    mode: LexerMode,
    offset: u64,
    line: u64,
    line_start: u64,
    place: SourceLocation,
    text: Vec<u8>,
    tag: Vec<u8>,
    odd_backslashes: bool,
    /// The string has backslashes that escape by a setting, not by an E.
    plain: bool,
    tail: Option<StringTail>,
    copy: CopyData,
    /// Takes the fingerprint of COPY data.
    fingerprint: bool,
}

impl Lexer {
    /// A lexer before the first byte.
    pub(crate) fn new() -> Self {
        Self {
            mode: LexerMode::Ground,
            offset: 0,
            line: 1,
            line_start: 0,
            place: SourceLocation::default(),
            text: Vec::new(),
            tag: Vec::new(),
            odd_backslashes: false,
            plain: false,
            tail: None,
            copy: CopyData::default(),
            fingerprint: false,
        }
    }

    /// A lexer before the first byte, which takes the fingerprint of the rows of COPY data.
    pub(crate) fn with_fingerprint() -> Self {
        Self { fingerprint: true, ..Self::new() }
    }

    /// Passes over bytes at the very start that are no part of the text.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.offset += bytes;
        self.line_start = self.offset;
    }

    /// Bytes seen so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Lines begun so far.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Rows of the COPY data that are passing by.
    pub(crate) fn copy_rows(&self) -> u64 {
        self.copy.rows()
    }

    /// Returns the offset of a backslash command that has not ended yet.
    pub(crate) fn open_metacommand(&self) -> Option<u64> {
        (self.mode == LexerMode::Metacommand).then_some(self.place.offset)
    }

    /// Offset of the token, comment or command that has begun and not ended; none in blanks and in COPY data.
    pub(crate) fn open_token(&self) -> Option<u64> {
        let open = !matches!(self.mode, LexerMode::Ground | LexerMode::Copy | LexerMode::CopyLineEnd { .. });
        open.then_some(self.place.offset)
    }

    /// Returns the construct that is open now.
    pub(crate) fn open(&self) -> Open {
        match self.mode {
            LexerMode::Text { .. }
            | LexerMode::TextEscaped
            | LexerMode::Quoted
            | LexerMode::DollarBody { .. } => Open::Quote,
            LexerMode::LineComment | LexerMode::BlockComment { .. } => Open::Comment,
            LexerMode::Metacommand => Open::Metacommand,
            LexerMode::Copy | LexerMode::CopyLineEnd { .. } => Open::Copy,
            _ => Open::Nothing,
        }
    }

    /// Reads on.
    pub(crate) fn feed<L: LexerEvents>(&mut self, chunk: &[u8], listener: &mut L) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let raw = !matches!(self.mode, LexerMode::Copy | LexerMode::Metacommand | LexerMode::LineComment);
            let used = self.step(rest, listener);
            let (passed, left) = rest.split_at(used);
            self.offset += used as u64;
            if raw && used > 0 {
                listener.raw(passed);
            }
            rest = left;
        }
    }

    /// Ends the stream: a token that only its neighbour would have ended is told.
    pub(crate) fn finish<L: LexerEvents>(&mut self, listener: &mut L) -> Open {
        let open = self.open();
        if self.mode == LexerMode::Metacommand {
            listener.metacommand(&self.text, self.place, false);
        } else if open == Open::Nothing {
            // A line end is the one neighbour that ends every token and means nothing itself.
            while self.mode != LexerMode::Ground {
                self.step(b"\n", listener);
            }
        }
        open
    }

    /// Reads a piece in the present mode; zero bytes when only the mode changed.
    fn step<L: LexerEvents>(&mut self, rest: &[u8], listener: &mut L) -> usize {
        match self.mode {
            LexerMode::Copy => self.copy_data(rest, listener),
            LexerMode::Ground => self.ground(rest, listener),
            LexerMode::Word { glued } => self.keyword(rest, glued, listener),
            LexerMode::Number => self.number(rest, listener),
            LexerMode::Dash => self.second(rest, b'-', b'-', LexerMode::LineComment, listener),
            LexerMode::Slash => {
                self.second(rest, b'*', b'/', LexerMode::BlockComment { depth: 1, previous: 0 }, listener)
            }
            LexerMode::Colon => self.colon(rest, listener),
            LexerMode::DollarTag => self.dollar_tag(rest, listener),
            LexerMode::DollarBody { matched } => self.dollar_body(rest, matched, listener),
            LexerMode::LineComment => self.line_comment(rest, listener),
            LexerMode::BlockComment { depth, previous } => self.block_comment(rest, depth, previous),
            LexerMode::Text { escapes } => self.string(rest, escapes, listener),
            LexerMode::TextEscaped => {
                if self.plain && rest[0] == b'\'' {
                    listener.ambiguous(Ambiguity::BackslashQuote, self.place, self.offset);
                }
                self.newlines(&rest[..1]);
                self.keep(&rest[..1]);
                self.mode = LexerMode::Text { escapes: true };
                1
            }
            LexerMode::TextEnd { escapes } => self.string_end(rest, escapes, listener),
            LexerMode::Quoted => self.quoted(rest),
            LexerMode::QuotedEnd => self.quoted_end(rest, listener),
            LexerMode::Metacommand => self.metacommand(rest, listener),
            LexerMode::CopyLineEnd { blamed } => self.copy_line_end(rest, blamed, listener),
        }
    }

    fn begin(&mut self, mode: LexerMode) {
        self.place = SourceLocation {
            offset: self.offset,
            line: self.line,
            line_start: self.offset == self.line_start,
        };
        self.text.clear();
        self.mode = mode;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let buffer = KEPT.saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..bytes.len().min(buffer)]);
    }

    fn newlines(&mut self, passed: &[u8]) {
        if let Some(last) = memrchr(b'\n', passed) {
            self.line += memchr_iter(b'\n', passed).count() as u64;
            self.line_start = self.offset + last as u64 + 1;
        }
    }

    fn tell<L: LexerEvents>(&mut self, token: Token<'_>, listener: &mut L) {
        self.tail = None;
        self.mode = LexerMode::Ground;
        listener.token(token, self.place);
    }

    fn ground<L: LexerEvents>(&mut self, rest: &[u8], listener: &mut L) -> usize {
        let blank = rest.iter().position(|&byte| !is_space(byte)).unwrap_or(rest.len());
        if blank > 0 {
            self.newlines(&rest[..blank]);
            if let Some(tail) = &mut self.tail {
                tail.newline |= memchr2(b'\n', b'\r', &rest[..blank]).is_some();
            }
            return blank;
        }
        match rest[0] {
            byte if starts_name(byte) => {
                self.begin(LexerMode::Word { glued: false });
                return 0;
            }
            b'0'..=b'9' => self.begin(LexerMode::Number),
            b'\'' => {
                let continued = self.tail.is_some_and(|tail| tail.escapes && tail.newline);
                let since = listener.plain_escapes();
                self.plain = since.is_some();
                self.begin(LexerMode::Text { escapes: self.plain });
                self.odd_backslashes = false;
                // psql reads the rest of a line as it began.
                if continued || since == Some(self.line) {
                    listener.ambiguous(Ambiguity::ContinuedEscape, self.place, self.offset);
                }
            }
            b'"' => self.begin(LexerMode::Quoted),
            b'$' => self.begin(LexerMode::DollarTag),
            b'-' => self.begin(LexerMode::Dash),
            b'/' => self.begin(LexerMode::Slash),
            b':' => self.begin(LexerMode::Colon),
            b'\\' => self.begin(LexerMode::Metacommand),
            b';' => {
                self.begin(LexerMode::Ground);
                self.tail = None;
                if listener.semicolon(self.place) {
                    self.mode = LexerMode::CopyLineEnd { blamed: false };
                }
            }
            byte => {
                self.begin(LexerMode::Ground);
                self.tell(Token::Symbol(byte), listener);
            }
        }
        1
    }

    fn keyword<L: LexerEvents>(&mut self, rest: &[u8], glued: bool, listener: &mut L) -> usize {
        let length = rest.iter().position(|&byte| !continues_name(byte)).unwrap_or(rest.len());
        if length > 0 {
            if glued && memchr(b'$', &rest[..length]).is_some() {
                listener.ambiguous(Ambiguity::GluedNumber, self.place, self.offset);
            }
            self.keep(&rest[..length]);
            return length;
        }
        if rest[0] == b'\'' && glued {
            listener.ambiguous(Ambiguity::GluedNumber, self.place, self.offset);
        }
        if rest[0] == b'\'' && self.text.eq_ignore_ascii_case(b"e") {
            // The E belongs to the string.
            self.text.clear();
            self.plain = false;
            self.mode = LexerMode::Text { escapes: true };
            return 1;
        }
        let text = std::mem::take(&mut self.text);
        self.tell(Token::Word(&text), listener);
        self.text = text;
        0
    }

    fn number<L: LexerEvents>(&mut self, rest: &[u8], listener: &mut L) -> usize {
        let part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        let length = rest.iter().position(|byte| !part(byte)).unwrap_or(rest.len());
        if length == 0 {
            self.tell(Token::Number, listener);
            if starts_name(rest[0]) {
                self.begin(LexerMode::Word { glued: true });
            }
        }
        length
    }

    /// After the first of two characters that together open a comment.
    fn second<L: LexerEvents>(
        &mut self,
        rest: &[u8],
        wanted: u8,
        first: u8,
        then: LexerMode,
        to: &mut L,
    ) -> usize {
        if rest[0] == wanted {
            if then == LexerMode::LineComment {
                self.keep(b"--");
            }
            self.mode = then;
            return 1;
        }
        self.tell(Token::Symbol(first), to);
        0
    }

    fn colon<L: LexerEvents>(&mut self, rest: &[u8], listener: &mut L) -> usize {
        let next = rest[0];
        if starts_name(next) || next.is_ascii_digit() || matches!(next, b'\'' | b'"' | b'{') {
            listener.variable(self.place);
        }
        self.tell(Token::Symbol(b':'), listener);
        usize::from(matches!(next, b':' | b'='))
    }

    fn metacommand<L: LexerEvents>(&mut self, rest: &[u8], listener: &mut L) -> usize {
        let Some(end) = memchr(b'\n', rest) else {
            self.keep(rest);
            return rest.len();
        };
        self.keep(&rest[..end]);
        self.mode = LexerMode::Ground;
        self.tail = None;
        listener.metacommand(&self.text, self.place, true);
        end
    }

    fn copy_line_end<L: LexerEvents>(&mut self, rest: &[u8], blamed: bool, listener: &mut L) -> usize {
        let blank = rest.iter().position(|&byte| byte == b'\n' || !is_space(byte)).unwrap_or(rest.len());
        if blank > 0 {
            return blank;
        }
        if rest[0] == b'\n' {
            self.newlines(&rest[..1]);
            self.mode = LexerMode::Copy;
            self.copy = if self.fingerprint { CopyData::with_fingerprint() } else { CopyData::default() };
            listener.copy_begins(self.offset + 1);
        } else if !blamed {
            self.begin(LexerMode::CopyLineEnd { blamed: true });
            listener.ambiguous(Ambiguity::TextAfterCopy, self.place, self.offset);
        }
        1
    }

    fn copy_data<L: LexerEvents>(&mut self, rest: &[u8], listener: &mut L) -> usize {
        let lines = self.copy.lines();
        let used = self.copy.feed(rest);
        self.line += self.copy.lines() - lines;
        if self.copy.ended() {
            self.line_start = self.offset + used as u64;
            self.mode = LexerMode::Ground;
            listener.copy_ends(self.copy.totals(), self.line_start);
        }
        used
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn continues_name(byte: u8) -> bool {
    starts_name(byte) || byte.is_ascii_digit() || byte == b'$'
}

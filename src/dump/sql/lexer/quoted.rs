//! Lexes text between delimiters: strings, quoted names, dollar-quoted bodies, comments.
//!
//! Promise: each is left only by its own end, however the chunks are cut.

use memchr::{memchr, memchr2};

use super::{LONGEST_TAG, Lexer, LexerMode, StringTail, starts_name};
use crate::dump::sql::token::{Ambiguity, LexerEvents, SourceLocation, Token};

impl Lexer {
    pub(crate) fn dollar_tag<L: LexerEvents>(&mut self, rest: &[u8], listener: &mut L) -> usize {
        let next = rest[0];
        if next == b'$' {
            if self.text.len() > LONGEST_TAG {
                listener.ambiguous(Ambiguity::LongTag, self.place, self.offset);
            }
            std::mem::swap(&mut self.tag, &mut self.text);
            self.mode = LexerMode::DollarBody { matched: 0 };
            return 1;
        }
        if self.text.is_empty() && next.is_ascii_digit() {
            self.mode = LexerMode::Number;
            return 1;
        }
        if starts_name(next) || (next.is_ascii_digit() && !self.text.is_empty()) {
            if self.text.len() <= LONGEST_TAG {
                self.text.push(next);
            }
            return 1;
        }
        // No tag after all: a lone dollar and, perhaps, a name behind it.
        let named = !self.text.is_empty();
        self.tell(Token::Symbol(b'$'), listener);
        if named {
            self.place = SourceLocation { offset: self.place.offset + 1, line_start: false, ..self.place };
            self.mode = LexerMode::Word { glued: false };
        }
        0
    }

    pub(crate) fn dollar_body<L: LexerEvents>(
        &mut self,
        rest: &[u8],
        matched: usize,
        listener: &mut L,
    ) -> usize {
        if matched == 0 {
            let (used, found) = memchr(b'$', rest).map_or((rest.len(), 0), |at| (at + 1, 1));
            self.newlines(&rest[..used]);
            self.mode = LexerMode::DollarBody { matched: found };
            return used;
        }
        let next = rest[0];
        if matched == self.tag.len() + 1 && next == b'$' {
            self.tell(Token::Body, listener);
            return 1;
        }
        let expected = self.tag.get(matched - 1) == Some(&next);
        self.mode = match (expected, next) {
            (true, _) => LexerMode::DollarBody { matched: matched + 1 },
            (false, b'$') => LexerMode::DollarBody { matched: 1 },
            (false, _) => LexerMode::DollarBody { matched: 0 },
        };
        self.newlines(&rest[..1]);
        1
    }

    pub(crate) fn line_comment<L: LexerEvents>(&mut self, rest: &[u8], listener: &mut L) -> usize {
        // psql ends a comment at a carriage return too: what follows it is live text.
        let Some(end) = memchr2(b'\n', b'\r', rest) else {
            self.keep(rest);
            return rest.len();
        };
        self.keep(&rest[..end]);
        self.mode = LexerMode::Ground;
        listener.comment(&self.text, self.place);
        end
    }

    pub(crate) fn block_comment(&mut self, rest: &[u8], depth: u32, previous: u8) -> usize {
        if previous == 0 {
            let (used, found) = memchr2(b'*', b'/', rest).map_or((rest.len(), 0), |at| (at + 1, rest[at]));
            self.newlines(&rest[..used]);
            self.mode = LexerMode::BlockComment { depth, previous: found };
            return used;
        }
        let next = rest[0];
        self.newlines(&rest[..1]);
        self.mode = match (previous, next) {
            (b'*', b'/') if depth == 1 => LexerMode::Ground,
            (b'*', b'/') => LexerMode::BlockComment { depth: depth - 1, previous: 0 },
            (b'/', b'*') => LexerMode::BlockComment { depth: depth.saturating_add(1), previous: 0 },
            (_, b'*' | b'/') => LexerMode::BlockComment { depth, previous: next },
            _ => LexerMode::BlockComment { depth, previous: 0 },
        };
        1
    }

    pub(crate) fn string<L: LexerEvents>(&mut self, rest: &[u8], escapes: bool, listener: &mut L) -> usize {
        let found = if escapes { memchr2(b'\'', b'\\', rest) } else { memchr(b'\'', rest) };
        let content = &rest[..found.unwrap_or(rest.len())];
        self.newlines(content);
        self.keep(content);
        if !escapes {
            let trailing = content.iter().rev().take_while(|&&byte| byte == b'\\').count();
            let carried = trailing == content.len() && self.odd_backslashes;
            self.odd_backslashes = carried ^ (trailing % 2 == 1);
        }
        let Some(end) = found else { return rest.len() };
        if rest[end] == b'\\' {
            self.mode = LexerMode::TextEscaped;
            return end + 1;
        }
        if !escapes && self.odd_backslashes {
            listener.ambiguous(Ambiguity::BackslashQuote, self.place, self.offset);
        }
        self.odd_backslashes = false;
        self.mode = LexerMode::TextEnd { escapes };
        end + 1
    }

    pub(crate) fn string_end<L: LexerEvents>(
        &mut self,
        rest: &[u8],
        escapes: bool,
        listener: &mut L,
    ) -> usize {
        if rest[0] == b'\'' {
            self.keep(b"'");
            self.mode = LexerMode::Text { escapes };
            return 1;
        }
        let text = std::mem::take(&mut self.text);
        self.tell(Token::Text(&text), listener);
        self.text = text;
        self.tail = Some(StringTail { escapes, newline: false });
        0
    }

    pub(crate) fn quoted(&mut self, rest: &[u8]) -> usize {
        let end = memchr(b'"', rest);
        let content = &rest[..end.unwrap_or(rest.len())];
        self.newlines(content);
        self.keep(content);
        match end {
            Some(end) => {
                self.mode = LexerMode::QuotedEnd;
                end + 1
            }
            None => rest.len(),
        }
    }

    pub(crate) fn quoted_end<L: LexerEvents>(&mut self, rest: &[u8], listener: &mut L) -> usize {
        if rest[0] == b'"' {
            self.keep(b"\"");
            self.mode = LexerMode::Quoted;
            return 1;
        }
        let text = std::mem::take(&mut self.text);
        self.tell(Token::Quoted(&text), listener);
        self.text = text;
        0
    }
}

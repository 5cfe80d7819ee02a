//! Cuts a migration into the tokens that the server sees, with comments and backslashes.
//!
//! Promise: marks, semicolons and keywords in strings, quoted names, dollar quotes and comments are not taken for code.
//! The rules are those of `scan.l` with `standard_conforming_strings` on.

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MigrationTokenKind {
    /// A keyword, an unquoted name or a number.
    Word,
    /// A quoted name.
    Quoted,
    /// A string, with or without `E`.
    Text,
    /// A dollar-quoted string.
    Body,
    /// `;`
    Semicolon,
    /// `-- …` to the end of its line.
    LineComment,
    /// `/* … */`
    BlockComment,
    /// A backslash and the rest of its line: a command of psql.
    Backslash,
    /// Any other character.
    Symbol,
}

/// A token and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MigrationToken<'a> {
    pub(crate) kind: MigrationTokenKind,
    pub(crate) text: &'a str,
    /// Bytes from the start of the text.
    pub(crate) at: usize,
}

/// The tokens of a text, without blanks.
pub(crate) struct Tokens<'a> {
    text: &'a str,
    at: usize,
    /// An `E` directly before the next character.
    escapes: bool,
}

impl<'a> Tokens<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, at: 0, escapes: false }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = MigrationToken<'a>;

    fn next(&mut self) -> Option<MigrationToken<'a>> {
        let blank = |c: char| c.is_whitespace();
        let skipped = self.text[self.at..].find(|c: char| !blank(c)).unwrap_or(self.text.len() - self.at);
        if skipped > 0 {
            self.escapes = false;
        }
        self.at += skipped;
        let rest = &self.text[self.at..];
        let first = rest.chars().next()?;
        let (kind, len) = match first {
            '-' if rest.starts_with("--") => (MigrationTokenKind::LineComment, line(rest)),
            '/' if rest.starts_with("/*") => (MigrationTokenKind::BlockComment, comment(rest)),
            '\'' => (MigrationTokenKind::Text, quoted(rest, '\'', self.escapes)),
            '"' => (MigrationTokenKind::Quoted, quoted(rest, '"', false)),
            '$' => {
                dollars(rest).map_or((MigrationTokenKind::Symbol, 1), |len| (MigrationTokenKind::Body, len))
            }
            ';' => (MigrationTokenKind::Semicolon, 1),
            '\\' => (MigrationTokenKind::Backslash, line(rest)),
            c if is_word(c) => {
                (MigrationTokenKind::Word, rest.find(|c| !is_word(c) && c != '$').unwrap_or(rest.len()))
            }
            other => (MigrationTokenKind::Symbol, other.len_utf8()),
        };
        let token = MigrationToken { kind, text: &rest[..len], at: self.at };
        self.escapes = kind == MigrationTokenKind::Word && token.text.eq_ignore_ascii_case("e");
        self.at += len;
        Some(token)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || !c.is_ascii()
}

fn line(text: &str) -> usize {
    text.find(['\n', '\r']).unwrap_or(text.len())
}

/// Returns the length of a comment, which may hold others.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_none_or(|(_, next)| *next != quote) {
                return at + 1;
            }
            chars.next();
        }
    }
    text.len()
}

/// Returns the length of `$tag$ … $tag$`; `None` where the dollar begins none.
fn dollars(text: &str) -> Option<usize> {
    let end = text[1..].find('$')? + 2;
    let (tag, name) = (&text[..end], &text[1..end - 1]);
    let fits = name.chars().all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit());
    fits.then(|| text[end..].find(tag).map_or(text.len(), |close| end + close + tag.len()))
}

/// Returns the number of the line on which a byte stands, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    memchr::memchr_iter(b'\n', &text.as_bytes()[..at]).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(MigrationTokenKind, &str)> {
        Tokens::of(text).map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn strings_bodies_and_comments_are_one_token_each() {
        use MigrationTokenKind::{BlockComment, Body, LineComment, Quoted, Semicolon, Symbol, Text, Word};
        assert_eq!(
            kinds("a 'x''\\' E'\\'' \"q\"\"r\" $f$ ; $$ $f$; $1 /* a /* b */ c */ -- d\r\ne$1$"),
            [
                (Word, "a"),
                (Text, "'x''\\'"),
                (Word, "E"),
                (Text, "'\\''"),
                (Quoted, "\"q\"\"r\""),
                (Body, "$f$ ; $$ $f$"),
                (Semicolon, ";"),
                (Symbol, "$"),
                (Word, "1"),
                (BlockComment, "/* a /* b */ c */"),
                (LineComment, "-- d"),
                (Word, "e$1$"),
            ]
        );
        assert_eq!(kinds("e 'a\\'")[1], (Text, "'a\\'"), "an E of its own escapes nothing");
    }

    #[test]
    fn a_backslash_in_the_open_is_a_command_of_psql() {
        assert_eq!(
            kinds("\\set x 1\na"),
            [(MigrationTokenKind::Backslash, "\\set x 1"), (MigrationTokenKind::Word, "a")]
        );
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_cut_without_a_gap_that_is_not_blank(text in "\\PC{0,80}|[-/*'\"$;a-zE \\\\\n]{0,80}") {
            let mut end = 0;
            for token in Tokens::of(&text) {
                proptest::prop_assert!(text[end..token.at].trim().is_empty());
                end = token.at + token.text.len();
            }
            proptest::prop_assert!(text[end..].trim().is_empty());
        }
    }
}

//! Tokens and statements of a text in memory, cut by the [`Lexer`] that also reads streams.
//!
//! Promises: semicolons, keywords and marks in strings, quoted names, dollar quotes and comments are not taken for code;
//! nothing but blanks stands between two tokens. A text that ends inside a string or a comment has that as its last token.

use std::ops::Range;

use super::{Lexer, LexerMode};
use crate::dump::sql::nesting::Nesting;
use crate::dump::sql::token::{LexerEvents, SourceLocation, Token};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlTokenKind {
    /// A keyword or an unquoted name.
    Word,
    Quoted,
    /// A string, with its `E` if it has one.
    Text,
    /// A dollar-quoted string.
    Body,
    /// A number or a parameter.
    Number,
    Semicolon,
    /// `-- …` to the end of its line.
    LineComment,
    /// `/* … */`
    BlockComment,
    /// A backslash and the rest of its line: a command of psql.
    Metacommand,
    /// Any other character; `::` and `:=` are one.
    Symbol,
}

/// A token and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SqlToken<'a> {
    pub(crate) kind: SqlTokenKind,
    /// The text as it stands there, quotes included.
    pub(crate) text: &'a str,
    /// Bytes from the start of the text.
    pub(crate) at: usize,
    /// Line number, from 1.
    pub(crate) line: usize,
}

impl SqlToken<'_> {
    /// The byte behind the token.
    pub(crate) fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// Reports whether the token is this keyword.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.kind == SqlTokenKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    pub(crate) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == SqlTokenKind::Symbol && self.text == symbol
    }

    pub(crate) fn is_comment(&self) -> bool {
        matches!(self.kind, SqlTokenKind::LineComment | SqlTokenKind::BlockComment)
    }

    /// The name as the server knows it: unquoted ones in lower case, quoted ones without their quotes.
    pub(crate) fn name(&self) -> Option<String> {
        match self.kind {
            SqlTokenKind::Word => Some(self.text.to_ascii_lowercase()),
            SqlTokenKind::Quoted => {
                let inner = self.text.strip_prefix('"')?.strip_suffix('"')?;
                // In a name that does not end the last quote is half of two.
                let ends = inner.matches('"').count() % 2 == 0;
                ends.then(|| inner.replace("\"\"", "\""))
            }
            _ => None,
        }
    }
}

/// Returns the number of tokens of the name at the beginning: one, or three with its schema.
pub(crate) fn qualified_name(tokens: &[SqlToken<'_>]) -> Option<usize> {
    let is_name = |at: usize| tokens.get(at).is_some_and(|token| token.name().is_some());
    let qualified = tokens.get(1).is_some_and(|dot| dot.is_symbol(".")) && is_name(2);
    is_name(0).then_some(if qualified { 3 } else { 1 })
}

/// Reports whether the tokens begin with these keywords.
pub(crate) fn begins_with(tokens: &[SqlToken<'_>], keywords: &[&str]) -> bool {
    tokens.len() >= keywords.len() && tokens.iter().zip(keywords).all(|(token, keyword)| token.is(keyword))
}

/// Tokens of each statement, with the semicolon that ends it and without comments. A semicolon in parentheses or in a body
/// in standard SQL (`BEGIN ATOMIC … END`) ends none, as in psql, and is a symbol here. A command of psql in front of a statement stands alone.
pub(crate) fn statements(sql: &str) -> Vec<Vec<SqlToken<'_>>> {
    let mut all = Vec::new();
    let mut statement = Vec::new();
    let mut nesting = Nesting::default();
    for mut token in SqlTokens::of(sql).filter(|token| !token.is_comment()) {
        let ends = match token.kind {
            SqlTokenKind::Word => {
                nesting.read(token.text.as_bytes());
                false
            }
            SqlTokenKind::Symbol => {
                match token.text {
                    "(" => nesting.open_parenthesis(),
                    ")" => nesting.close_parenthesis(),
                    _ => {}
                }
                false
            }
            SqlTokenKind::Semicolon if nesting.ends_here() => true,
            SqlTokenKind::Semicolon => {
                token.kind = SqlTokenKind::Symbol;
                false
            }
            SqlTokenKind::Metacommand => statement.is_empty(),
            _ => false,
        };
        statement.push(token);
        if ends {
            all.push(std::mem::take(&mut statement));
            nesting = Nesting::default();
        }
    }
    all.extend((!statement.is_empty()).then_some(statement));
    all
}

pub(crate) struct SqlTokens<'a> {
    text: &'a str,
    spans: TokenSpans<'a>,
}

impl<'a> SqlTokens<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, spans: TokenSpans::of(text.as_bytes()) }
    }
}

impl<'a> Iterator for SqlTokens<'a> {
    type Item = SqlToken<'a>;

    fn next(&mut self) -> Option<SqlToken<'a>> {
        let TokenSpan { kind, range, line } = self.spans.next()?;
        Some(SqlToken { kind, text: &self.text[range.clone()], at: range.start, line })
    }
}

/// Returns the length of the token at the beginning of `bytes`.
pub(crate) fn token_length(bytes: &[u8]) -> usize {
    TokenSpans::of(bytes).next().map_or(0, |span| span.range.end)
}

/// A token of a text whose encoding is not known.
struct TokenSpan {
    kind: SqlTokenKind,
    range: Range<usize>,
    line: usize,
}

struct TokenSpans<'a> {
    bytes: &'a [u8],
    at: usize,
    lexer: Lexer,
    last: LastToken,
}

/// The token that the last step has completed.
#[derive(Default)]
struct LastToken(Option<(SqlTokenKind, SourceLocation)>);

impl<'a> TokenSpans<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, lexer: Lexer::new(), last: LastToken::default() }
    }

    /// Makes one step of the lexer; a line end stands for the end of the text.
    fn step(&mut self) {
        let in_comment = matches!(self.lexer.mode, LexerMode::BlockComment { .. });
        match &self.bytes[self.at..] {
            [] => drop(self.lexer.step(b"\n", &mut self.last)),
            rest => {
                let used = self.lexer.step(rest, &mut self.last);
                self.lexer.offset += used as u64;
                self.at += used;
            }
        }
        if in_comment && self.lexer.mode == LexerMode::Ground {
            self.last.0 = Some((SqlTokenKind::BlockComment, self.lexer.place));
        }
    }

    /// The construct that the end of the text leaves open.
    fn unterminated(&mut self) -> Option<SqlTokenKind> {
        let kind = match self.lexer.mode {
            LexerMode::Text { .. } | LexerMode::TextEscaped => SqlTokenKind::Text,
            LexerMode::Quoted => SqlTokenKind::Quoted,
            LexerMode::DollarBody { .. } => SqlTokenKind::Body,
            LexerMode::BlockComment { .. } => SqlTokenKind::BlockComment,
            _ => return None,
        };
        self.lexer.mode = LexerMode::Ground;
        Some(kind)
    }
}

impl Iterator for TokenSpans<'_> {
    type Item = TokenSpan;

    fn next(&mut self) -> Option<TokenSpan> {
        let (kind, place) = loop {
            if self.at == self.bytes.len() {
                if self.lexer.mode == LexerMode::Ground {
                    return None;
                }
                if let Some(kind) = self.unterminated() {
                    break (kind, self.lexer.place);
                }
            }
            self.step();
            if let Some(last) = self.last.0.take() {
                break last;
            }
        };
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let start = number(place.offset);
        // The lexer has read on behind a dollar, to see whether it begins a tag.
        let lone_dollar = kind == SqlTokenKind::Symbol && self.bytes[start] == b'$';
        let end = if lone_dollar { start + 1 } else { self.at };
        Some(TokenSpan { kind, range: start..end, line: number(place.line) })
    }
}

impl LexerEvents for LastToken {
    fn token(&mut self, token: Token<'_>, place: SourceLocation) {
        let kind = match token {
            Token::Word(_) => SqlTokenKind::Word,
            Token::Quoted(_) => SqlTokenKind::Quoted,
            Token::Text(_) => SqlTokenKind::Text,
            Token::Body => SqlTokenKind::Body,
            Token::Number => SqlTokenKind::Number,
            Token::Symbol(_) => SqlTokenKind::Symbol,
        };
        self.0 = Some((kind, place));
    }

    fn comment(&mut self, _text: &[u8], place: SourceLocation) {
        self.0 = Some((SqlTokenKind::LineComment, place));
    }

    fn semicolon(&mut self, place: SourceLocation) -> bool {
        self.0 = Some((SqlTokenKind::Semicolon, place));
        false
    }

    fn metacommand(&mut self, _line: &[u8], place: SourceLocation, _whole: bool) {
        self.0 = Some((SqlTokenKind::Metacommand, place));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dump::sql::DumpScanner;

    fn kinds(text: &str) -> Vec<(SqlTokenKind, &str)> {
        SqlTokens::of(text).map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn strings_bodies_and_comments_are_one_token_each() {
        use SqlTokenKind::{BlockComment, Body, LineComment, Number, Quoted, Semicolon, Symbol, Text, Word};
        assert_eq!(
            kinds(
                "a 'x''\\' E'\\'' \"q\"\"r\" $f$ ; $$ $f$; $1 $b /* a /* b */ c */ a::b := 1.5 -- d\r\ne$1$"
            ),
            [
                (Word, "a"),
                (Text, "'x''\\'"),
                (Text, "E'\\''"),
                (Quoted, "\"q\"\"r\""),
                (Body, "$f$ ; $$ $f$"),
                (Semicolon, ";"),
                (Number, "$1"),
                (Symbol, "$"),
                (Word, "b"),
                (BlockComment, "/* a /* b */ c */"),
                (Word, "a"),
                (Symbol, "::"),
                (Word, "b"),
                (Symbol, ":="),
                (Number, "1.5"),
                (LineComment, "-- d"),
                (Word, "e$1$"),
            ]
        );
        assert_eq!(kinds("e 'a\\'")[1], (Text, "'a\\'"), "an E of its own escapes nothing");
        assert_eq!(kinds("a 'b\n"), [(Word, "a"), (Text, "'b\n")], "a string without an end");
        assert_eq!(kinds("/* a /* b */"), [(BlockComment, "/* a /* b */")]);
    }

    #[test]
    fn a_backslash_in_the_open_is_a_command_of_psql() {
        assert_eq!(
            kinds("\\set x 1\na"),
            [(SqlTokenKind::Metacommand, "\\set x 1"), (SqlTokenKind::Word, "a")]
        );
        assert_eq!(SqlTokens::of("a\n'b\n'\nc").last().map(|token| token.line), Some(4));
    }

    #[test]
    fn statements_end_where_psql_ends_them() {
        let texts = |sql: &'static str| -> Vec<&str> {
            let all = statements(sql);
            all.iter().map(|tokens| &sql[tokens[0].at..tokens[tokens.len() - 1].end()]).collect()
        };
        assert_eq!(
            texts(
                "\\restrict a\n-- ;\nselect ';'; do also (a; b);\ncreate function f() begin atomic case a end; b; end; c"
            ),
            [
                "\\restrict a",
                "select ';';",
                "do also (a; b);",
                "create function f() begin atomic case a end; b; end;",
                "c"
            ]
        );
    }

    #[test]
    fn names_are_those_of_the_server() {
        let names: Vec<_> = SqlTokens::of("Ab \"C\"\"d\" 'e'").map(|token| token.name()).collect();
        assert_eq!(names, [Some("ab".into()), Some("C\"d".into()), None]);
        for open in ["\"", "\"a", "\"a\"\""] {
            assert_eq!(SqlTokens::of(open).next().and_then(|token| token.name()), None, "{open}");
        }
        let tokens: Vec<_> = SqlTokens::of("a.\"b\" c").collect();
        assert_eq!((qualified_name(&tokens), qualified_name(&tokens[2..])), (Some(3), Some(1)));
    }

    /// Events of a stream, in the form of [`SqlTokens`].
    #[derive(Default)]
    struct Told(Vec<(SqlTokenKind, u64, u64)>);

    impl LexerEvents for Told {
        fn token(&mut self, token: Token<'_>, place: SourceLocation) {
            let mut last = LastToken::default();
            last.token(token, place);
            self.0.extend(last.0.map(|(kind, place)| (kind, place.offset, place.line)));
        }

        fn comment(&mut self, _text: &[u8], place: SourceLocation) {
            self.0.push((SqlTokenKind::LineComment, place.offset, place.line));
        }

        fn semicolon(&mut self, place: SourceLocation) -> bool {
            self.0.push((SqlTokenKind::Semicolon, place.offset, place.line));
            false
        }

        fn metacommand(&mut self, _line: &[u8], place: SourceLocation, _whole: bool) {
            self.0.push((SqlTokenKind::Metacommand, place.offset, place.line));
        }
    }

    fn soup() -> impl Strategy<Value = String> {
        let pieces = [
            "'",
            "\"",
            "$",
            "$$",
            "$a$",
            "E'",
            "\\",
            "\n",
            "\r",
            " ",
            "--",
            "/*",
            "*/",
            ";",
            "(",
            ")",
            "::",
            ":",
            "begin atomic",
            "case",
            "end",
            "create function f()",
            "create",
            "1",
            "a",
            "é",
            "-",
            "/",
            "U&",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn a_text_and_a_stream_of_it_have_the_same_tokens(text in soup(), chunk in 1_usize..9) {
            let mut told = Told::default();
            let mut lexer = Lexer::new();
            for part in text.as_bytes().chunks(chunk) {
                lexer.feed(part, &mut told);
            }
            lexer.feed(b"\n", &mut told);
            let whole = format!("{text}\n");
            let tokens = SqlTokens::of(&whole).filter(|token| token.kind != SqlTokenKind::BlockComment);
            let mut tokens: Vec<_> = tokens.map(|token| (token.kind, token.at as u64, token.line as u64)).collect();
            // A stream is not told of what has no end.
            tokens.truncate(tokens.len() - usize::from(tokens.len() > told.0.len()));
            prop_assert_eq!(tokens, told.0);
        }

        #[test]
        fn a_text_and_a_dump_have_the_same_statements(text in soup(), chunk in 1_usize..9) {
            // What follows a command of psql on its line is judged by the scanner alone.
            let text = text.replace('\\', "");
            let mut scanner = DumpScanner::new();
            for part in text.as_bytes().chunks(chunk) {
                scanner.feed(part);
            }
            let ended = statements(&text).iter().filter(|tokens| {
                tokens.last().is_some_and(|last| last.kind == SqlTokenKind::Semicolon)
            }).count();
            prop_assert_eq!(scanner.finish().statements, ended as u64);
        }

        #[test]
        fn only_blanks_stand_between_tokens(text in "\\PC{0,80}|[-/*'\"$;a-zE \\\\\n]{0,80}") {
            let mut end = 0;
            for token in SqlTokens::of(&text) {
                prop_assert!(text[end..token.at].trim().is_empty());
                end = token.end();
            }
            prop_assert!(text[end..].trim().is_empty());
        }
    }
}

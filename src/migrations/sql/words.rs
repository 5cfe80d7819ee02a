//! What a file of SQL does, by its words: statements, transaction control, what cannot be in a transaction.
//!
//! Promise: words in strings, comments, quoted names and bodies in dollars are not seen. This decides
//! messages and safe retries, never what is sent.

/// The statements of a text, each as its words in upper case; empty ones are left out.
pub(super) fn statements(sql: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => comment(rest),
            '\'' => {
                let escapes = words.last().is_some_and(|word| word == "E") && !words.is_empty();
                quoted(rest, '\'', escapes)
            }
            '"' => {
                words.push("\"\"".to_owned());
                quoted(rest, '"', false)
            }
            '$' => dollars(rest).unwrap_or(1),
            ';' => {
                all.push(std::mem::take(&mut words));
                1
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end =
                    rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
                words.push(rest[..end].to_uppercase());
                end
            }
            other => other.len_utf8(),
        };
        rest = &rest[len..];
    }
    all.push(words);
    all.retain(|words| !words.is_empty());
    all
}

/// The length of a comment, which may hold others.
fn comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
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
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of `$tag$ … $tag$`; `None` where the dollar begins none.
fn dollars(text: &str) -> Option<usize> {
    let end = text[1..].find('$')? + 2;
    let tag = &text[..end];
    let name = &tag[1..end - 1];
    let fits = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    fits.then(|| text[end..].find(tag).map_or(text.len(), |close| end + close + tag.len()))
}

/// What is special about a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Character {
    /// It begins, commits or rolls back by itself: its first part may stay when the rest fails.
    pub own_transaction: bool,
    /// It holds what runs outside of transactions only: `CONCURRENTLY`, `VACUUM`, `CREATE DATABASE` …
    pub outside: bool,
}

impl Character {
    /// Of a file.
    pub fn of(sql: &str) -> Self {
        let mut character = Self::default();
        for words in statements(sql) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let first = words.first().copied().unwrap_or_default();
            let has = |word: &str| words.contains(&word);
            character.own_transaction |= matches!(first, "COMMIT" | "ROLLBACK" | "ABORT" | "BEGIN" | "END")
                || matches!(words.as_slice(), ["START" | "PREPARE", "TRANSACTION", ..]);
            character.outside |= first == "VACUUM"
                || has("CONCURRENTLY")
                    && matches!(first, "CREATE" | "DROP" | "REINDEX" | "REFRESH" | "ALTER")
                || matches!(
                    words.as_slice(),
                    ["CREATE" | "DROP" | "ALTER", "DATABASE" | "TABLESPACE" | "SYSTEM", ..]
                );
        }
        character
    }

    /// Whether a failure leaves nothing of the file behind.
    pub fn whole_or_nothing(self) -> bool {
        !self.own_transaction && !self.outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_strings_comments_and_bodies_are_not_statements() {
        let sql = "-- commit;\n/* begin; /* x */ commit; */ select 'it''s; commit', \"commit;\", E'a\\'; commit';\n\
                   create function f() returns void as $fn$ begin; commit; end $fn$ language plpgsql;";
        let words = statements(sql);
        assert_eq!(words.len(), 2, "{words:?}");
        assert!(Character::of(sql).whole_or_nothing());
        assert_eq!(statements("  ; -- nothing\n ;").len(), 0);
    }

    #[test]
    fn what_does_not_roll_back_is_known() {
        for sql in ["create table a(); commit; select 1/0", "begin; select 1; end", "start transaction"] {
            assert!(Character::of(sql).own_transaction, "{sql}");
        }
        for sql in
            ["create unique index concurrently i on t(a)", "vacuum analyze t", "drop index concurrently i"]
        {
            assert!(Character::of(sql).outside, "{sql}");
        }
        assert!(Character::of("refresh materialized view v; update commit set begin = 1").whole_or_nothing());
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_words(text in "\\PC{0,80}|[-/*'\"$;a-z \\\\\n]{0,80}") {
            let _ = Character::of(&text);
        }
    }
}

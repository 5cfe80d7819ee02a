//! Statements as they may be shown: passwords, their hashes and connection strings are left out.
//!
//! Promise: wherever a statement or a server's message about one is shown, it has passed [`mask`].

/// Stands for a secret.
const MASK: &str = "***";

/// Words before a string that is secret, as options of servers and user mappings write them too.
const SECRET_WORDS: &[&str] =
    &["password", "passwd", "passphrase", "secret", "token", "apikey", "api_key", "access_key", "credential"];

/// Words of a connection string whose value is secret.
const SECRET_KEYS: &[&str] = &["password", "passwd", "secret", "token", "api_key", "apikey"];

/// Returns the text with every secret in it replaced by `***`. A text that was cut inside a string is masked to its end.
pub(crate) fn mask(text: &str) -> String {
    in_text(&strings(text))
}

/// Masks whole strings: those behind a secret word, and those that hold a connection string or a hash.
fn strings(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let (mut at, mut secret) = (0, false);
    while at < bytes.len() {
        let rest = &text[at..];
        let length = match bytes[at] {
            b'\'' => {
                let escapes = at > 0 && bytes[at - 1].eq_ignore_ascii_case(&b'E');
                let length = quoted(rest, '\'', escapes);
                let content = &rest[1..length];
                if secret || is_secret(content) {
                    let closed = length > 1 && content.ends_with('\'');
                    out.push_str(&format!("'{MASK}{}", if closed { "'" } else { "" }));
                } else {
                    out.push_str(&rest[..length]);
                }
                at += length;
                secret = false;
                continue;
            }
            b'"' => {
                let length = quoted(rest, '"', false);
                secret = announces(&rest[..length]);
                length
            }
            b'$' if secret => {
                out.push_str(MASK);
                at += dollar_quoted(rest);
                secret = false;
                continue;
            }
            byte if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => {
                let part = |c: char| c.is_alphanumeric() || c == '_';
                let length = rest.find(|c| !part(c)).unwrap_or(rest.len()).max(first(rest));
                let word = &rest[..length];
                let prefix = matches!(word, "e" | "E" | "u" | "U") || word.eq_ignore_ascii_case("to");
                secret = announces(word) || (secret && prefix);
                length
            }
            byte => {
                secret &= byte.is_ascii_whitespace() || matches!(byte, b'=' | b'&' | b':');
                first(rest)
            }
        };
        out.push_str(&rest[..length]);
        at += length;
    }
    out
}

fn first(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// Reports whether a string behind this word is secret.
fn announces(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word == "connection" || SECRET_WORDS.iter().any(|secret| word.contains(secret))
}

/// Bytes of a quoted text from its first quote to its last, or to the end of what is there.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return at + quote.len_utf8();
            }
        }
    }
    text.len()
}

/// Bytes of a dollar-quoted text, or to the end of what is there; one where it is none.
fn dollar_quoted(text: &str) -> usize {
    let Some(tag) = text[1..].find('$').map(|end| &text[..end + 2]) else { return text.len() };
    text[tag.len()..].find(tag).map_or(text.len(), |end| tag.len() + end + tag.len())
}

/// Reports whether the content of a string is a hash or a connection string with a password.
fn is_secret(content: &str) -> bool {
    let lower = content.to_ascii_lowercase();
    let hash = lower.contains("scram-sha-256$")
        || lower
            .strip_prefix("md5")
            .is_some_and(|hex| hex.len() >= 32 && hex.bytes().take(32).all(|b| b.is_ascii_hexdigit()));
    hash || in_text(content) != content
}

/// Masks `password=…` and the password of a URL wherever they stand.
fn in_text(text: &str) -> String {
    urls(&keys(text))
}

fn keys(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some((value, from)) = next_key(&lower, at) {
        out.push_str(&text[at..value]);
        out.push_str(MASK);
        at = from;
    }
    out.push_str(&text[at..]);
    out
}

/// Returns the start and end of the next secret key's value.
fn next_key(lower: &str, from: usize) -> Option<(usize, usize)> {
    let mut from = from;
    loop {
        let found = SECRET_KEYS.iter().filter_map(|key| Some((lower[from..].find(key)?, key.len())));
        let (at, length) = found.min()?;
        let behind = from + at + length;
        let rest = lower[behind..].trim_start();
        let Some(value) = rest.strip_prefix('=') else {
            from = behind;
            continue;
        };
        let value = value.trim_start();
        let begin = lower.len() - value.len();
        let length = match value.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                // Inside of a string its quotes are doubled.
                let marks = value.chars().take_while(|c| *c == quote).count();
                let marks = if marks >= 2 { 2 } else { 1 };
                let close = quote.to_string().repeat(marks);
                value[marks..].find(&close).map_or(value.len(), |end| marks + end + marks)
            }
            _ => value.find(|c: char| c.is_whitespace() || "'\";,)&".contains(c)).unwrap_or(value.len()),
        };
        if length == 0 || value.starts_with(MASK) || value[..length].trim_matches(['\'', '"']) == MASK {
            from = behind;
            continue;
        }
        return Some((begin, begin + length));
    }
}

fn urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        out.push_str(before);
        rest = behind;
        let end = behind.find(|c: char| c.is_whitespace() || "/'\"?#".contains(c)).unwrap_or(behind.len());
        let Some(host) = behind[..end].rfind('@') else { continue };
        let Some(colon) = behind[..host].find(':') else { continue };
        out.push_str(&behind[..=colon]);
        out.push_str(MASK);
        rest = &behind[host..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_of_statements_are_masked() {
        for (text, shown) in [
            (
                "CREATE ROLE a WITH LOGIN PASSWORD 'hunter2' VALID UNTIL 'x'",
                "CREATE ROLE a WITH LOGIN PASSWORD '***' VALID UNTIL 'x'",
            ),
            ("ALTER ROLE a PASSWORD E'hun\\'hunter2' NOLOGIN", "ALTER ROLE a PASSWORD E'***' NOLOGIN"),
            (
                "ALTER ROLE a ENCRYPTED PASSWORD 'SCRAM-SHA-256$4096:hunter2",
                "ALTER ROLE a ENCRYPTED PASSWORD '***",
            ),
            ("ALTER ROLE a PASSWORD $x$hunter2$x$ NOLOGIN", "ALTER ROLE a PASSWORD *** NOLOGIN"),
            ("ALTER ROLE a PASSWORD NULL VALID UNTIL 'y'", "ALTER ROLE a PASSWORD NULL VALID UNTIL 'y'"),
            (
                "CREATE USER MAPPING FOR b SERVER s OPTIONS (\"user\" 'b', password 'hunter''2')",
                "CREATE USER MAPPING FOR b SERVER s OPTIONS (\"user\" 'b', password '***')",
            ),
            (
                "OPTIONS (\"sslpassword\" 'hunter2', api_key 'hunter2')",
                "OPTIONS (\"sslpassword\" '***', api_key '***')",
            ),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'host=h password=hunter2' PUBLICATION p",
                "CREATE SUBSCRIPTION s CONNECTION '***' PUBLICATION p",
            ),
            ("ALTER ROLE a CONNECTION LIMIT 5", "ALTER ROLE a CONNECTION LIMIT 5"),
            (
                "SELECT dblink('host=h password = hunter2 user=x', 'select 1')",
                "SELECT dblink('***', 'select 1')",
            ),
            ("SELECT dblink('postgresql://u:hunter2@h/db', 'select 1')", "SELECT dblink('***', 'select 1')"),
            ("\\connect postgresql://u:hunter2@h/db", "\\connect postgresql://u:***@h/db"),
            ("\\connect \"host=h password=hunter2 user=x\"", "\\connect \"host=h password=*** user=x\""),
            (
                "INSERT INTO t VALUES (1, 'md50123456789abcdef0123456789abcdef')",
                "INSERT INTO t VALUES (1, '***')",
            ),
            (
                "DO $$ begin perform f('password=''hun ter2'' x'); end $$",
                "DO $$ begin perform f('***'); end $$",
            ),
            ("SELECT 'it''s', \"password\", E'a\\'b'", "SELECT 'it''s', \"password\", E'a\\'b'"),
            (
                "FATAL: password authentication failed for user \"a\"",
                "FATAL: password authentication failed for user \"a\"",
            ),
            (
                "ALTER SYSTEM SET primary_conninfo = 'passwörd=x password=''hunter2'''",
                "ALTER SYSTEM SET primary_conninfo = '***'",
            ),
            ("see https://www.postgresql.org/docs: a@b", "see https://www.postgresql.org/docs: a@b"),
        ] {
            assert_eq!(mask(text), shown);
        }
    }

    proptest! {
        #[test]
        fn masking_twice_changes_nothing_more_and_no_secret_stays(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "'", "\"", "$", "$$", "E", "\\", " ", "=", "password", "://", ":", "@", "connection", "é", "x", "''", "secret",
            ]), 0..30)
        ) {
            let once = mask(&pieces.concat());
            prop_assert_eq!(mask(&once), once.clone());
            let secret = mask(&format!("{} ALTER ROLE a PASSWORD 'hunter2'", pieces.concat().replace(['\'', '"', '$', '\\'], "")));
            prop_assert!(!secret.contains("hunter2"), "{}", secret);
        }
    }
}

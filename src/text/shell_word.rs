//! Words of a POSIX shell, for commands that are run and for commands that a message names.

use super::escape::escape;

/// Returns the text as one word of a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Returns the text, escaped, as one word that can be typed: for messages.
pub(crate) fn shell_word(text: &str) -> String {
    quoted(&escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (text, word) in [
            ("acme-prod", "acme-prod"),
            ("", "''"),
            ("my dir", "'my dir'"),
            ("a'b", r"'a'\''b'"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!((shell_word(text).as_str(), quoted(text).as_str()), (word, word));
        }
        assert_eq!(shell_word("a\u{3164}"), r"'a\u{3164}'");
    }
}

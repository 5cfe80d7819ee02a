//! Foreign strings on their way into a message: made visible, and made one word of a shell.
//!
//! Promise: what comes out has no control, no bidirectional and no invisible character; labels and names
//! come from whoever may run a container and must not move the cursor or reorder a line.

/// The text with every character that a terminal would obey, or hide, as a visible escape.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_deceiving(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Marks that reorder or hide text (Unicode TR 36: bidi controls, zero width, line separators, tags).
fn is_deceiving(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The escaped text as one word that can be typed, quoted where a POSIX shell would split or expand it.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    let text = escape(text);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_obeys_becomes_visible() {
        assert_eq!(escape("a\u{1b}[2Jb"), r"a\u{1b}[2Jb");
        assert_eq!(escape("x\u{202e}y\r\n"), r"x\u{202e}y\u{d}\u{a}");
        assert_eq!(escape("ümlaut/日本"), "ümlaut/日本");
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (text, word) in [
            ("acme-prod", "acme-prod"),
            ("", "''"),
            ("my dir", "'my dir'"),
            ("a'b", r"'a'\''b'"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_left_to_obey(text in any::<String>()) {
            prop_assert!(!escape(&text).chars().any(|c| c.is_control() || is_deceiving(c)));
        }
    }
}

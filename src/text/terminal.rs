//! Output of programs that write for a terminal.

/// Returns a text without the escape sequences of a terminal: colours, cursor movements, titles and links.
pub(crate) fn without_escape_sequences(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            // CSI ends with one character of `@` to `~`.
            Some('[') => {
                chars.by_ref().find(|c| matches!(c, '@'..='~'));
            }
            // OSC ends with BEL, or with ESC and a backslash.
            Some(']') => {
                let end = chars.by_ref().find(|c| matches!(c, '\u{7}' | '\u{1b}'));
                if end == Some('\u{1b}') {
                    chars.next();
                }
            }
            // Any other sequence is one character long.
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_removed_and_the_text_stays() {
        for (text, plain) in [
            ("\u{1b}[1m\u{1b}[31mError: \u{1b}[39mx", "Error: x"),
            ("a\u{1b}[2J\u{1b}[3~b\u{1b}[?25lc", "abc"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;https://x.y\u{1b}\\link\u{1b}]8;;\u{1b}\\", "alink"),
            ("\u{1b}cä\u{1b}", "ä"),
            ("\u{1b}[", ""),
        ] {
            assert_eq!(without_escape_sequences(text), plain, "{text:?}");
        }
    }
}

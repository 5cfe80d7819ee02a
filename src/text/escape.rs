//! Foreign strings made visible: labels, names, error texts are written by whoever may run a container.
//!
//! Promise: what comes out holds no control, bidirectional or invisible character, so it can neither
//! drive the terminal nor read differently from what it is. Escapes look like `\u{202e}`.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Reports whether a character can control a terminal, reorder text or hide in text.
///
/// Such characters are C0, C1, DEL, line and paragraph separators, bidirectional controls, zero-width and invisible
/// characters, and tags.
pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The string with every hostile character as a visible escape, newlines too.
pub(crate) fn escape(foreign: &str) -> String {
    escape_except(foreign, |_| false)
}

/// Escapes like [`escape`], but keeps line feeds: for texts of several lines.
/// The caller indents such a text, so that none of its lines looks like a line of envctl.
pub(crate) fn escape_lines(foreign: &str) -> String {
    escape_except(&foreign.replace("\r\n", "\n"), |c| c == '\n')
}

fn escape_except(foreign: &str, keep: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(foreign.len());
    for c in foreign.chars() {
        match c {
            // A byte of an unknown encoding, as `postgres::encoding` stands it in.
            '\u{f780}'..='\u{f7ff}' => {
                let _ = write!(shown, "\\x{:02x}", u32::from(c) - 0xf700);
            }
            c if keep(c) || !is_hostile(c) => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c => shown.extend(c.escape_unicode()),
        }
    }
    shown
}

/// Columns that a string takes on a terminal. East Asian wide characters take two.
pub(crate) fn columns(shown: &str) -> usize {
    shown.width()
}

/// The string, escaped and cut to at most `width` columns; a cut is marked with `…`.
pub(crate) fn ellipsis(foreign: &str, width: usize) -> String {
    let shown = escape(foreign);
    if columns(&shown) <= width {
        return shown;
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in shown.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        cut.push(c);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// A JSON document with hostile characters beyond ASCII as `\u` and four digits. They can only stand inside
/// strings, where JSON means the same by both spellings; serde has escaped the ASCII ones.
pub(crate) fn escape_json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    for c in document.chars() {
        if c.is_ascii() && c != '\u{7f}' || !is_hostile(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing into a string cannot fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_drives_a_terminal_becomes_visible() {
        for (foreign, shown) in [
            ("acme-prod", "acme-prod"),
            ("größe 表", "größe 表"),
            ("\x1b]0;x\x07\x1b[2J", "\\u{1b}]0;x\\u{7}\\u{1b}[2J"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("ac\u{200b}me\u{feff}", "ac\\u{200b}me\\u{feff}"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("one\r\ntwo\tthree", "one\\r\\ntwo\\tthree"),
        ] {
            assert_eq!(escape(foreign), shown);
        }
        assert_eq!(escape_lines("one\r\ntwo\rthree"), "one\ntwo\\rthree");
    }

    #[test]
    fn a_cut_counts_columns_and_shows_itself() {
        for (text, width, shown) in [
            ("acme", 4, "acme"),
            ("acme-prod", 5, "acme…"),
            ("表表表", 4, "表…"),
            ("acme", 1, "…"),
            ("acme", 0, ""),
        ] {
            assert_eq!(ellipsis(text, width), shown);
            assert!(columns(&ellipsis(text, width)) <= width);
        }
    }

    #[test]
    fn json_means_the_same_after_escaping() {
        let text = "a\u{202e}\u{e0001}\u{7f}\u{9b}\n\u{1b}é";
        let document = escape_json(&serde_json::to_string(text).unwrap());
        assert!(!document.chars().any(is_hostile), "{document}");
        assert_eq!(serde_json::from_str::<String>(&document).unwrap(), text);
    }

    /// Half of the characters from the ranges that matter, so that they do occur.
    fn nasty() -> impl Strategy<Value = String> {
        let c = prop_oneof![
            any::<char>(),
            proptest::char::range('\0', '\u{ff}'),
            proptest::char::range('\u{2000}', '\u{206f}'),
            proptest::char::range('\u{fe00}', '\u{ffff}'),
            proptest::char::range('\u{e0000}', '\u{e01ef}'),
        ];
        proptest::collection::vec(c, 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn nothing_hostile_comes_out(text in nasty(), width in 0usize..60) {
            prop_assert!(!escape(&text).chars().any(is_hostile));
            prop_assert!(!escape_lines(&text).chars().any(|c| c != '\n' && is_hostile(c)));
            let cut = ellipsis(&text, width);
            prop_assert!(!cut.chars().any(is_hostile));
            prop_assert!(columns(&cut) <= width);
        }

        #[test]
        fn general_categories_of_control_and_bidi_are_covered(c in any::<char>()) {
            let bidi = matches!(c as u32, 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069);
            prop_assert_eq!(is_hostile(c) || !(c.is_control() || bidi), true);
        }
    }
}

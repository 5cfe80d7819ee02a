//! Words to lines: messages broken at spaces to fit the terminal.
//!
//! Promises: no word is ever cut, and nothing between backquotes is broken: a command that is longer
//! than the line is left to the terminal, where it can still be copied whole.

use super::escape::columns;

/// Breaks escaped text into lines of at most `width` columns (`None`: no limit). The first line starts
/// after `lead`, all others are indented by `indent` spaces; a line's own indentation is kept.
pub(super) fn wrap(
    lead: &str,
    lead_columns: usize,
    text: &str,
    indent: usize,
    width: Option<usize>,
) -> String {
    let mut shown = lead.to_owned();
    for (number, line) in text.trim_end().split('\n').enumerate() {
        let own = line.len() - line.trim_start_matches(' ').len();
        let mut at = lead_columns;
        if number > 0 {
            shown.push('\n');
            at = if line.is_empty() { 0 } else { pad(&mut shown, indent + own) };
        }
        let mut first = true;
        for word in words(line.trim_start_matches(' ')) {
            let wide = columns(word);
            let gap = usize::from(!first);
            if !first && width.is_some_and(|width| at + gap + wide > width) {
                shown.push('\n');
                at = pad(&mut shown, indent + own);
            } else if gap == 1 {
                shown.push(' ');
                at += 1;
            }
            shown.push_str(word);
            at += wide;
            first = false;
        }
    }
    shown.push('\n');
    shown
}

fn pad(shown: &mut String, spaces: usize) -> usize {
    shown.extend(std::iter::repeat_n(' ', spaces));
    spaces
}

/// The words of a line: separated by single spaces, with spans between backquotes kept in one piece.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, c) in line.char_indices() {
        match c {
            '`' => quoted = !quoted,
            ' ' if !quoted => {
                words.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&line[start..]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_keep_commands_whole() {
        let text = "run `envctl restore latest --prod` to put last night's backup back";
        assert_eq!(
            wrap("hint: ", 6, text, 6, Some(39)),
            "hint: run\n      `envctl restore latest --prod` to\n      put last night's backup back\n"
        );
        assert_eq!(wrap("hint: ", 6, text, 6, None), format!("hint: {text}\n"));
    }

    #[test]
    fn lines_of_the_text_stay_lines_and_never_start_at_the_margin() {
        assert_eq!(
            wrap("error: ", 7, "two stacks\n  acme\nerror: forged", 2, Some(80)),
            "error: two stacks\n    acme\n  error: forged\n"
        );
    }

    #[test]
    fn a_word_that_is_too_long_is_left_whole() {
        assert_eq!(
            wrap("", 0, "see /a/very/long/path here", 2, Some(10)),
            "see\n  /a/very/long/path\n  here\n"
        );
    }
}

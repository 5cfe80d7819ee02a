//! Words to lines: messages broken at spaces to fit the terminal.
//!
//! Promises: no word is ever cut, and nothing between backquotes is broken: a command that is longer
//! than the line is left to the terminal, where it can still be copied whole.

use crate::text::escape::columns;

/// A value stands at most so far behind its key for its continuation to stand below it.
const HANG: usize = 28;

/// Breaks escaped text into lines of at most `width` columns (`None`: no limit). The first line starts
/// after `lead`, all others are indented by `indent` spaces; a line's own indentation is kept, and where it is a key
/// and, two spaces or more behind it, a value, what does not fit goes on below the value.
pub(crate) fn wrap(
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
        let hang = indent + own + width.map_or(0, |width| value_at(line.trim_start_matches(' '), width));
        let mut first = true;
        for word in words(line.trim_start_matches(' ')) {
            let wide = columns(word);
            let gap = usize::from(!first);
            if !first && width.is_some_and(|width| at + gap + wide > width) {
                shown.truncate(shown.trim_end_matches(' ').len());
                shown.push('\n');
                // A long name or path has more space at the line's own indentation.
                let narrow = width.is_some_and(|width| hang + wide > width);
                at = pad(&mut shown, if narrow { indent + own } else { hang });
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

/// Column of the value in a line of the form `key  value`.
/// Returns 0 if the line has no value, or if the column is too far right to indent by.
fn value_at(line: &str, width: usize) -> usize {
    let Some(gap) = line.find("  ") else { return 0 };
    let value = line[gap..].trim_start_matches(' ');
    let at = columns(&line[..line.len() - value.len()]);
    if value.is_empty() || at > HANG || at > width / 3 { 0 } else { at }
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
    fn what_stands_behind_a_key_goes_on_below_itself() {
        assert_eq!(
            wrap("", 0, "restore it\n  from     acme prod, PostgreSQL 15.20, of today", 2, Some(36)),
            "restore it\n    from     acme prod, PostgreSQL\n             15.20, of today\n"
        );
        // On a narrow terminal nothing can hang.
        assert_eq!(
            wrap("", 0, "x\n  a key of a plan  and what it says", 2, Some(24)),
            "x\n    a key of a plan  and\n    what it says\n"
        );
    }

    #[test]
    fn a_long_word_behind_a_key_takes_the_space_there_is() {
        assert_eq!(
            wrap("", 0, "x\n  kept     as \"envctl_old_f6b3badf_techmage\" for now", 0, Some(40)),
            "x\n  kept     as\n  \"envctl_old_f6b3badf_techmage\" for now\n"
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

//! A list of what was looked at: a word for how it is, what it is about, and below it what to type.
//!
//! Promises: the word says all, colour only repeats it; on a terminal lines are broken at their words and never in a
//! command, in a pipe each item and each next step is one line; foreign text is escaped here.

use super::style::{Styles, Tone};
use super::wrap::wrap;
use crate::text::escape::{escape, escape_lines};

/// Column of the text: behind the longest word and a space.
const INDENT: usize = 9;
/// On a terminal narrower than this the text begins behind its word, and what follows stands near the margin.
const NARROW: usize = 60;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// State of the item, in one word.
    pub(crate) label: &'static str,
    /// Tone of the word.
    pub(crate) tone: Tone,
    /// Subject of the check.
    pub(crate) about: String,
    /// Result of the check.
    pub(crate) text: String,
    /// Statements about the result.
    pub(crate) notes: Vec<String>,
    /// Next steps, each a phrase with the command to type.
    pub(crate) next: Vec<String>,
}

/// Items in their order: the last are what a person reads first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checklist {
    /// They.
    pub(crate) items: Vec<Item>,
}

impl Checklist {
    /// Renders the items as text with a final line feed; empty if there are no items. `None` is no terminal.
    pub(crate) fn render(&self, width: Option<usize>, styles: Styles) -> String {
        let narrow = width.is_some_and(|width| width < NARROW);
        let (indent, deeper) = if narrow { (2, 2) } else { (INDENT, INDENT + 2) };
        let mut shown = String::new();
        for item in &self.items {
            let begins = if narrow { item.label.len() + 1 } else { INDENT };
            let pad = " ".repeat(begins.saturating_sub(item.label.len()));
            let lead = format!("{}{pad}", styles.paint(item.tone, item.label));
            let text = format!("{}: {}", escape(&item.about), escape_lines(&item.text));
            shown.push_str(&wrap(&lead, begins, &text, indent, width));
            let notes = item.notes.iter().map(|note| ("note:", note));
            for (label, line) in notes.chain(item.next.iter().map(|next| ("hint:", next))) {
                let lead = format!("{}{} ", " ".repeat(indent), styles.paint(Tone::Note, label));
                shown.push_str(&wrap(&lead, indent + 6, &escape_lines(line), deeper, width));
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checklist {
        let item = |label, tone, text: &str, notes: &[&str], next: &[&str]| Item {
            label,
            tone,
            about: "acme prod".into(),
            text: text.into(),
            notes: notes.iter().map(|note| (*note).to_owned()).collect(),
            next: next.iter().map(|step| (*step).to_owned()).collect(),
        };
        Checklist {
            items: vec![
                item("ok", Tone::Good, "PostgreSQL 15.18", &[], &[]),
                item(
                    "problem",
                    Tone::Bad,
                    "container db\x1b[2J has exited with code 1",
                    &["it is between two starts"],
                    &["start it: `docker start acme-prod-db-1`"],
                ),
            ],
        }
    }

    #[test]
    fn a_pipe_gets_a_line_for_each() {
        assert_eq!(
            sample().render(None, Styles::PLAIN),
            "ok       acme prod: PostgreSQL 15.18\n\
             problem  acme prod: container db\\u{1b}[2J has exited with code 1\n         \
             note: it is between two starts\n         \
             hint: start it: `docker start acme-prod-db-1`\n"
        );
    }

    #[test]
    fn a_narrow_terminal_breaks_at_words_and_never_in_a_command() {
        let shown = sample().render(Some(40), Styles::PLAIN);
        assert_eq!(
            shown,
            "ok acme prod: PostgreSQL 15.18\n\
             problem acme prod: container db\\u{1b}[2J\n  \
             has exited with code 1\n  \
             note: it is between two starts\n  \
             hint: start it:\n  \
             `docker start acme-prod-db-1`\n"
        );
    }

    #[test]
    fn only_the_word_is_coloured() {
        let shown = sample().render(Some(80), Styles::COLOURED);
        assert!(shown.starts_with("\x1b[32mok\x1b[0m       acme prod: PostgreSQL"), "{shown}");
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(Checklist::default().render(Some(80), Styles::PLAIN), "");
    }
}

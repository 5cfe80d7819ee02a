//! Errors as they are told: a line, its causes, what is so now, and what to type next; or a JSON document.
//!
//! Promise: whatever a container wrote into an error, no line of it can pass for one of ours: foreign
//! text is escaped and every line after the first is indented.

use serde_json::{Value, json};

use super::style::{Styles, Tone};
use super::target_options::TargetOptions;
use super::wrap::wrap;
use crate::error::{Error, fields_with};
use crate::text::escape::escape_lines;

/// `error: message: cause`, then one `note: …` for each note and one `hint: …` for each hint. `width` is the terminal's, or `None` for
/// lines as long as they are. With `name_the_kind` the class stands in parentheses.
pub(crate) fn human(
    error: &Error,
    options: &TargetOptions,
    styles: Styles,
    width: Option<usize>,
    name_the_kind: bool,
) -> String {
    let label = if name_the_kind { format!("error ({}):", error.kind().code()) } else { "error:".to_owned() };
    let lead = format!("{} ", styles.paint(Tone::Bad, &label));
    let mut shown = wrap(&lead, label.len() + 1, &escape_lines(&error.full_message()), 2, width);
    let lines = error.notes().iter().map(|note| ("note:", note));
    for (label, text) in lines.chain(error.hints().iter().map(|hint| ("hint:", hint))) {
        let lead = format!("{} ", styles.paint(Tone::Note, label));
        shown.push_str(&wrap(&lead, 6, &escape_lines(&options.complete(text)), 6, width));
    }
    shown
}

/// `{"error": {"code", "message", "hint"}}`; several hints are lines of one, none is null. `note` is there where there are
/// notes, and likewise.
pub(crate) fn json(error: &Error, options: &TargetOptions) -> Value {
    let complete = |texts: &[String]| texts.iter().map(|text| options.complete(text)).collect::<Vec<_>>();
    json!({"error": fields_with(error, &complete(error.hints()), &complete(error.notes()))})
}

/// The error object of an answer that could not be written as JSON.
pub(crate) fn unwritable(error: &serde_json::Error) -> Value {
    json!({"code": "failed", "message": format!("the answer cannot be written as JSON: {error}"), "hint": null})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;

    fn sample() -> Error {
        error::docker("cannot reach the daemon at unix:///var/run/docker.sock")
            .because(std::io::Error::other("permission denied\n\x1b[2Jerror: forged"))
            .hint("add yourself to the group: `sudo usermod -aG docker $USER`")
            .hint("or name another daemon with `--context`")
    }

    #[test]
    fn at_80_columns() {
        assert_eq!(
            human(&sample(), &TargetOptions::default(), Styles::PLAIN, Some(80), false),
            "\
error: cannot reach the daemon at unix:///var/run/docker.sock: permission denied
  \\u{1b}[2Jerror: forged
hint: add yourself to the group: `sudo usermod -aG docker $USER`
hint: or name another daemon with `--context`
"
        );
    }

    #[test]
    fn at_40_columns_with_colour() {
        assert_eq!(
            human(&sample(), &TargetOptions::default(), Styles::COLOURED, Some(40), true),
            "\
\x1b[1;31merror (docker):\x1b[0m cannot reach the daemon
  at unix:///var/run/docker.sock:
  permission denied
  \\u{1b}[2Jerror: forged
\x1b[36mhint:\x1b[0m add yourself to the group:
      `sudo usermod -aG docker $USER`
\x1b[36mhint:\x1b[0m or name another daemon with
      `--context`
"
        );
    }

    #[test]
    fn an_error_without_hints_has_a_null_one() {
        assert_eq!(
            json(&error::busy("locked"), &TargetOptions::default()),
            json!({"error": {"code": "busy", "message": "locked", "hint": null}})
        );
    }
}

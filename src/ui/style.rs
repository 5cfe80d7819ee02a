//! The few colours envctl knows, and the only place that writes terminal control sequences.
//!
//! Promises: no meaning is carried by colour alone; with colours off nothing but the text is written.
//! Text handed in is already escaped (`escape.rs`).

/// Value of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ColorChoice {
    /// Colours if the stream is a terminal with colours and `NO_COLOR` is not set.
    #[default]
    Auto,
    /// Everywhere, also into pipes and against `NO_COLOR`.
    Always,
    /// Nowhere.
    Never,
}

impl ColorChoice {
    /// Reads `auto`, `always` or `never`; anything else is `None`.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "always" => Some(Self::Always),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}

/// Meaning of a piece of text, from which the colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Headings.
    Strong,
    /// Less important text.
    Faint,
    /// Errors, failed things.
    Bad,
    /// Warnings, things that wait.
    Warn,
    /// Healthy things, dev.
    Good,
    /// Hints, other profiles.
    Note,
    /// Production: white on a red band.
    Prod,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Bad => "1;31",
            Self::Warn => "33",
            Self::Good => "32",
            Self::Note => "36",
            Self::Prod => "1;97;41",
        }
    }
}

/// Colour setting of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Styles {
    on: bool,
}

impl Styles {
    /// Text as it is.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { on: false };
    #[cfg(test)]
    pub(crate) const COLOURED: Self = Self { on: true };

    /// Decides for one stream. `able` is whether the stream is a terminal that knows colours.
    pub(crate) fn decide(choice: ColorChoice, no_color_env: bool, able: bool) -> Self {
        let on = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => able && !no_color_env,
        };
        Self { on }
    }

    /// Reports whether colours are written.
    pub(crate) fn coloured(self) -> bool {
        self.on
    }

    /// The text in a tone, or as it is.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if self.on { format!("\x1b[{}m{text}\x1b[0m", tone.code()) } else { text.to_owned() }
    }
}

/// Moves of the cursor that a progress line needs; nothing where the distance is zero.
pub(crate) mod cursor {
    /// Goes back to the first column and wipes the line.
    pub(crate) const WIPE_LINE: &str = "\r\x1b[2K";

    /// Moves by `n` in the direction of the final letter: A up, B down, C right, D left.
    pub(crate) fn step(n: usize, letter: char) -> String {
        if n == 0 { String::new() } else { format!("\x1b[{n}{letter}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_outranks_the_environment_and_the_stream() {
        for (choice, no_color, able, expected) in [
            (ColorChoice::Auto, false, true, true),
            (ColorChoice::Auto, true, true, false),
            (ColorChoice::Auto, false, false, false),
            (ColorChoice::Always, true, false, true),
            (ColorChoice::Never, false, true, false),
        ] {
            assert_eq!(
                Styles::decide(choice, no_color, able).coloured(),
                expected,
                "{choice:?} {no_color} {able}"
            );
        }
    }

    #[test]
    fn plain_is_only_the_text() {
        assert_eq!(Styles::PLAIN.paint(Tone::Prod, "prod"), "prod");
        assert_eq!(Styles::COLOURED.paint(Tone::Prod, "prod"), "\x1b[1;97;41mprod\x1b[0m");
    }

    #[test]
    fn choices_are_read_as_written_in_help() {
        assert_eq!(ColorChoice::parse("always"), Some(ColorChoice::Always));
        assert_eq!(ColorChoice::parse("yes"), None);
    }
}

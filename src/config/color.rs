//! Choice of coloured output.

use std::str::FromStr;

/// Use of colour in the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` says otherwise.
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// The word in options and files.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

impl FromStr for Color {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Auto, Self::Always, Self::Never]
            .into_iter()
            .find(|color| color.keyword() == name)
            .ok_or_else(|| format!("`{}` is not one of auto, always, never", name.escape_debug()))
    }
}

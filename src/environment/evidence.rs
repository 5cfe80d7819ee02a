//! Why something was decided: who said it and in which words.
//!
//! Promise: the text is safe to print; foreign strings were escaped when it was made.

use std::fmt;

/// Who says it, weakest first: a later one outweighs every earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A name, a compose file or an image that follows a custom.
    Convention,
    /// A label `envctl.…` on the service.
    Label,
    /// `envctl.toml`.
    Config,
    /// The command line.
    Flag,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    /// Who says it.
    pub source: Source,
    /// What, as a phrase that can follow "because": ``project `acme-prod` ends in -prod``.
    pub text: String,
}

impl Evidence {
    pub(super) fn new(source: Source, text: impl Into<String>) -> Self {
        Self { source, text: text.into() }
    }

    /// Whether a person said so, and no custom.
    pub(super) fn is_decreed(&self) -> bool {
        self.source > Source::Convention
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

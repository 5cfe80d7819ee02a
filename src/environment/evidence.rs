//! Evidence for a decision: its source and its text.
//!
//! Promise: the text is safe to print; foreign strings were escaped when it was made.

use std::fmt;

/// Source of evidence, weakest first: a later source outweighs every earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EvidenceSource {
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
pub(crate) struct Evidence {
    pub(crate) source: EvidenceSource,
    /// Phrase that can follow "because": ``project `acme-prod` ends in -prod``.
    pub(crate) text: String,
}

impl Evidence {
    pub(crate) fn new(source: EvidenceSource, text: impl Into<String>) -> Self {
        Self { source, text: text.into() }
    }

    /// Reports whether a person stated the evidence, and no custom.
    pub(crate) fn is_decreed(&self) -> bool {
        self.source > EvidenceSource::Convention
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

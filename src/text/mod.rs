//! Text for people: units, escapes, percent-encoding, shell words, output for terminals.

pub(crate) mod encoding;
pub(crate) mod escape;
pub(crate) mod mask;
pub(crate) mod percent;
pub(crate) mod shell_word;
pub(crate) mod sql_quote;
pub(crate) mod terminal;
pub(crate) mod units;

pub(crate) use mask::mask;

//! The only room that prints: answers to stdout, talk to stderr, questions before what cannot be undone.
//!
//! Promises: the process's streams, terminal and environment come in as plain values ([`UiOptions`],
//! [`Streams`]); foreign text is escaped on its way out; a progress line is gone before anything else
//! is written.

#[cfg(test)]
pub(crate) mod capture;
mod checklist;
pub mod confirm;
mod error_text;
pub mod escape;
pub mod format;
mod printer;
mod progress;
mod progress_line;
mod streams;
pub mod style;
mod table;
mod target_line;
mod target_options;
mod wrap;

pub use checklist::{Checklist, Item};
pub use confirm::{
    Confirmed, Consent, Decision, Guard, GuardTarget, Parts, Plan, Unlike, confirm, confirm_each, offer,
};
pub use error_text::fields as error_fields;
pub use printer::{Ui, UiOptions};
pub use progress::Indicator;
pub use streams::{OutputFailure, RawStream, Streams};
pub use style::{ColorChoice, Styles, Tone};
pub use table::{Cell, Column, Table};
pub use target_line::TargetLine;
pub use target_options::TargetOptions;
